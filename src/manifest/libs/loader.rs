//! What a program's dynamic loader has built in: whose it is, and which directories it searches last.
//!
//! The C library's build chooses the directories (`/lib/x86_64-linux-gnu` on Debian, `/lib64` on Fedora, one in
//! `/nix/store` on NixOS), and the loader holds them as text: `SYSTEM_DIRS` of glibc's `elf/dl-load.c`, each ended by a slash
//! and a NUL byte. Reading them there is exact where a table of distributions would be a guess.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::super::links::Root;
use super::machine::{Class, Machine};
use super::{conf, file};

/// glibc's loader has 200 KiB, with debugging symbols 1.5 MiB.
const MOST_BYTES: u64 = 4 << 20;

/// The dynamic loader of one program.
#[derive(Debug)]
pub(super) struct Loader {
    pub path: PathBuf,
    pub family: Family,
    /// Searched last.
    pub system: Vec<PathBuf>,
    /// `$LIB`: `lib`, `lib64`, `lib/x86_64-linux-gnu`.
    pub lib: PathBuf,
}

/// Whose rules the loader follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// ld.so(8). Other loaders than musl's are taken for glibc's too.
    Glibc,
    /// musl's `ldso/dynlink.c`; the file that names the system directories, if there is one.
    Musl { configured: Option<PathBuf> },
}

impl Loader {
    pub(super) fn read(root: &Root, path: &Path, machine: Machine) -> Self {
        if path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"ld-musl-")) {
            let (system, configured) = conf::musl_path(root, path);
            return Self {
                path: path.to_owned(),
                family: Family::Musl { configured },
                system,
                lib: PathBuf::from("lib"),
            };
        }
        let mut system =
            file::read(root, path, MOST_BYTES).map(|bytes| system_directories(&bytes)).unwrap_or_default();
        if system.is_empty() {
            let first =
                if machine.class == Class::Bits64 { ["/lib64", "/usr/lib64"].as_slice() } else { &[] };
            system = first.iter().chain(&["/lib", "/usr/lib"]).map(PathBuf::from).collect();
        }
        let first = system.first().map_or(Path::new("/lib"), PathBuf::as_path);
        let lib = first.strip_prefix("/usr").or_else(|_| first.strip_prefix("/")).unwrap_or(first).to_owned();
        Self { path: path.to_owned(), family: Family::Glibc, system, lib }
    }

    pub(super) fn is_musl(&self) -> bool {
        self.family != Family::Glibc
    }

    /// Whether musl's loader takes `name` for itself: it contains all of the C library.
    pub(super) fn provides(&self, name: &OsStr) -> bool {
        const RESERVED: [&[u8]; 7] = [b"c.", b"pthread.", b"rt.", b"m.", b"dl.", b"util.", b"xnet."];
        let own = |rest: &[u8]| RESERVED.iter().any(|reserved| rest.starts_with(reserved));
        self.is_musl()
            && (name == self.path.as_os_str() || name.as_bytes().strip_prefix(b"lib").is_some_and(own))
    }
}

/// The loader a shared library without `PT_INTERP` is most likely loaded by: where the ABI of its processor puts it.
pub(super) fn usual_path(machine: Machine, needed: &[std::ffi::OsString]) -> Option<PathBuf> {
    let musl = needed.iter().any(|name| name.as_bytes().starts_with(b"libc.musl-") || name == "libc.so");
    let (glibc, musl_name) = match (machine.number, machine.class, machine.little) {
        (3, ..) => ("/lib/ld-linux.so.2", "i386"),
        (62, Class::Bits64, _) => ("/lib64/ld-linux-x86-64.so.2", "x86_64"),
        (62, Class::Bits32, _) => ("/libx32/ld-linux-x32.so.2", "x32"),
        (183, _, true) => ("/lib/ld-linux-aarch64.so.1", "aarch64"),
        (40, ..) => ("/lib/ld-linux-armhf.so.3", "armhf"),
        (21, _, true) => ("/lib64/ld64.so.2", "powerpc64le"),
        (22, Class::Bits64, _) => ("/lib/ld64.so.1", "s390x"),
        (243, Class::Bits64, _) => ("/lib/ld-linux-riscv64-lp64d.so.1", "riscv64"),
        (258, ..) => ("/lib64/ld-linux-loongarch-lp64d.so.1", "loongarch64"),
        _ => return None,
    };
    Some(if musl { format!("/lib/ld-musl-{musl_name}.so.1").into() } else { PathBuf::from(glibc) })
}

/// The longest run of texts of the form `/…/` NUL, one right after the other, each naming a `lib`.
pub(super) fn system_directories(bytes: &[u8]) -> Vec<PathBuf> {
    let mut best: Vec<&[u8]> = Vec::new();
    let mut run: Vec<&[u8]> = Vec::new();
    for text in bytes.split(|byte| *byte == 0) {
        // The first of a run may have other bytes right before it; they are not printable.
        let start = text.iter().rposition(|byte| !byte.is_ascii_graphic()).map_or(0, |at| at + 1);
        let path = text.get(start..).unwrap_or_default();
        let is_directory = path.len() > 2
            && path.len() < 256
            && path.starts_with(b"/")
            && path.ends_with(b"/")
            && path.windows(3).any(|part| part == b"lib");
        if !is_directory || start > 0 {
            run.clear();
        }
        if is_directory && run.len() < 16 {
            run.push(path);
            if run.len() > best.len() {
                best.clone_from(&run);
            }
        }
    }
    best.into_iter()
        .map(|path| PathBuf::from(OsStr::from_bytes(path.strip_suffix(b"/").unwrap_or(path))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_found_in_the_loader() {
        let found = |bytes: &[u8]| system_directories(bytes);
        assert_eq!(
            found(b"/etc/\0x\0\x80\x01/lib64/\0/usr/lib64/\0/proc/\0/lib/\0"),
            [Path::new("/lib64"), Path::new("/usr/lib64")]
        );
        assert_eq!(
            found(b"\0/nix/store/abc-glibc-2.40/lib/\0"),
            [Path::new("/nix/store/abc-glibc-2.40/lib")]
        );
        assert_eq!(found(b"/lib/"), [Path::new("/lib")]);
        assert!(found(b"").is_empty() && found(b"//\0/etc/\0").is_empty());
    }

    #[test]
    fn musl_is_its_own_c_library() {
        let machine = Machine { number: 62, class: Class::Bits64, little: true };
        let musl = Loader::read(&Root::at("/nonexistent"), Path::new("/lib/ld-musl-x86_64.so.1"), machine);
        for name in
            ["libc.so", "libc.musl-x86_64.so.1", "libpthread.so.0", "libm.so.6", "/lib/ld-musl-x86_64.so.1"]
        {
            assert!(musl.provides(name.as_ref()), "{name}");
        }
        for name in ["libcrypto.so.3", "libmagic.so", "libz.so.1", "c.so"] {
            assert!(!musl.provides(name.as_ref()), "{name}");
        }
        assert_eq!(musl.system, ["/lib", "/usr/local/lib", "/usr/lib"].map(PathBuf::from));
        let glibc =
            Loader::read(&Root::at("/nonexistent"), Path::new("/lib64/ld-linux-x86-64.so.2"), machine);
        assert!(!glibc.provides("libc.so.6".as_ref()));
        assert_eq!(glibc.lib, Path::new("lib64"));
    }
}
