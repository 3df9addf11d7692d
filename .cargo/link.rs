//! Build script: five wishes of the released binary to its linker, each asked for only if it can do it, as lld can, which rustc
//! brings on x86-64.
//!
//! - No unwind tables, a tenth of its size. Its panics abort, so nothing would read them but a backtrace, which symbols stripped would
//!   not name.
//! - No backtrace either, another tenth: `src/sys/entry.rs` has a walk over the stack that finds nothing, and the linker is to take that
//!   instead of the compiler's.
//! - Of functions that came out the same, one: nothing here compares their addresses.
//! - Two mappings of the file and not four: constants with the code, and data in one piece. Each mapping is made at a start, copied for PID 1 and
//!   taken apart twice. What is given up is small: in a static binary at fixed addresses nothing is resolved while it runs that relro would keep
//!   from being written, and constants that can be executed are no code that was meant.
//! - What a start of a jail executes lies side by side: `.cargo/start-order` lists it, `tests/bench/start-order` makes that list. A start touches a
//!   twentieth of the binary, scattered over all of it, and each 64 KiB touched is a page fault; `src/sys/memory.rs` has all of it mapped at once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// Sections to drop, in the language of linker scripts.
const NO_UNWIND_TABLES: &str =
    "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.eh_frame_hdr) *(.gcc_except_table*) } } INSERT AFTER .text;\n";

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=.cargo/link.rs");
    println!("cargo::rerun-if-changed=.cargo/start-order");
    println!("cargo::rerun-if-env-changed=STOCKADE_NO_START_ORDER");
    println!("cargo::rustc-check-cfg=cfg(no_backtrace, start_order)");
    let variable = |name| env::var(name).unwrap_or_default();
    if variable("PROFILE") != "release" {
        return Ok(());
    }
    let directory = PathBuf::from(variable("OUT_DIR"));
    let order = fs::read_to_string(".cargo/start-order").unwrap_or_default();
    let order = if env::var_os("STOCKADE_NO_START_ORDER").is_some() { "" } else { &order };
    // A compiler is told what is meant for the linker.
    let prefix = if variable("RUSTC_LINKER").ends_with("lld") { "" } else { "-Wl," };
    fs::write(directory.join("probe.rs"), "fn main() {}\n")?;
    let script = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).map(|()| format!("--script={}", path.display()))
    };
    let tables = [script("no-unwind-tables.ld", NO_UNWIND_TABLES)?, "--no-eh-frame-hdr".to_owned()];
    let order = format!("SECTIONS {{ .text.start : {{\n{order}}} }} INSERT BEFORE .text;\n");
    // Each with what the code is told of it.
    let wishes = [
        (tables.to_vec(), None),
        (vec!["--allow-multiple-definition".to_owned()], Some("no_backtrace")),
        (vec!["--icf=all".to_owned()], None),
        (vec![script("start-order.ld", &order)?], Some("start_order")),
        (vec!["-znorelro".to_owned(), "--no-rosegment".to_owned()], None),
    ];
    for (arguments, told) in wishes {
        let arguments: Vec<String> =
            arguments.into_iter().map(|argument| format!("{prefix}{argument}")).collect();
        if links(&directory, &arguments) {
            for argument in arguments {
                println!("cargo::rustc-link-arg-bins={argument}");
            }
            if let Some(told) = told {
                println!("cargo::rustc-cfg={told}");
            }
        }
    }
    Ok(())
}

/// Whether a program links with these arguments and the flags of this build, and runs.
fn links(directory: &Path, arguments: &[String]) -> bool {
    let probe = directory.join("probe");
    let mut compiler = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    compiler
        .args(["--edition", "2024", "-C", "panic=abort", "--target"])
        .arg(env::var_os("TARGET").unwrap_or_default());
    let linker = env::var("RUSTC_LINKER").map(|linker| format!("linker={linker}"));
    compiler.args(linker.iter().flat_map(|linker| ["-C", linker]));
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
