//! Build script: leaves the unwind tables out of the released binary, a tenth of its size. Its panics abort, so nothing would read
//! them but a backtrace, which symbols stripped would not name. The linker is asked first whether it can: lld, which rustc brings
//! on x86-64, does; GNU ld keeps the tables.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// Sections to drop, in the language of linker scripts.
const SCRIPT: &str =
    "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.eh_frame_hdr) *(.gcc_except_table*) } } INSERT AFTER .text;\n";

fn main() {
    println!("cargo::rerun-if-changed=.cargo/link.rs");
    let variable = |name| env::var(name).unwrap_or_default();
    if variable("PROFILE") != "release" {
        return;
    }
    let directory = PathBuf::from(variable("OUT_DIR"));
    let script = directory.join("no-unwind-tables.ld");
    let arguments = [format!("-Wl,-T,{}", script.display()), "-Wl,--no-eh-frame-hdr".to_owned()];
    let written =
        fs::write(&script, SCRIPT).and_then(|()| fs::write(directory.join("probe.rs"), "fn main() {}\n"));
    if written.is_ok() && links(&directory, &arguments) {
        for argument in arguments {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}

/// Whether a program links with these arguments and the flags of this build, and runs.
fn links(directory: &Path, arguments: &[String]) -> bool {
    let probe = directory.join("probe");
    let mut compiler = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    compiler
        .args(["--edition", "2024", "-C", "panic=abort", "--target"])
        .arg(env::var_os("TARGET").unwrap_or_default());
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    compiler.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    for argument in arguments {
        compiler.args(["-C", &format!("link-arg={argument}")]);
    }
    compiler
        .arg(directory.join("probe.rs"))
        .arg("-o")
        .arg(&probe)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let succeeds = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    succeeds(&mut compiler) && succeeds(&mut Command::new(&probe))
}
