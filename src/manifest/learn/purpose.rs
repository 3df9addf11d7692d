//! What a path is for, by where it is and what was done with it. Where things are is hier(7)'s matter.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::paths::{Paths, Used};
use crate::manifest::host_files::HostFiles;
use crate::plan::step::DEVICES;
use crate::seen::{Kind, Use};

/// The purpose of every path.
pub(super) type All<'a> = BTreeMap<&'a Path, Purpose>;

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What every jail has, or makes itself, or must not have: nothing is said of it.
    Nothing,
    /// A device that a manifest can name.
    Device(&'static str),
    /// Any other device.
    OtherDevice,
    /// A file of the host that a word stands for.
    Host(&'static str),
    /// A socket at which somebody else listens.
    Peer,
    /// Changed, or in a place for what changes.
    Written,
    /// Data of the host's that lives on: pages, a database that is only read.
    Data,
    /// Executed.
    Program,
    /// A regular file that is read.
    File,
    /// A directory that has to be there.
    Directory,
}

/// What the kernel shows, what is synthesised, what only the host's own tools use.
const NOTHING: [&str; 26] = [
    "/proc",
    "/sys",
    "/etc/group",
    "/etc/group-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.nohwcap",
    "/etc/ld.so.preload",
    "/etc/locale.alias",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/passwd-",
    "/etc/selinux",
    "/etc/shadow",
    "/etc/shadow-",
    "/run/dbus",
    "/run/nscd",
    "/run/systemd",
    "/run/user",
    "/usr/share/locale",
    "/var/cache/nscd",
    "/var/db/nscd",
    "/var/lib/dpkg",
];

/// Where directories are parts of programs.
pub(super) const SYSTEM: [&str; 3] = ["/etc", "/opt", "/usr"];

/// Where what is only read is the host's own, and another tomorrow.
const DATA: [&str; 6] = ["/srv", "/var/lib", "/var/mail", "/var/spool", "/var/www", "/usr/local/www"];

/// Directories for programs: what is only looked at there was looked for, and not run.
const PROGRAMS: [&str; 5] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/games"];

/// Directories for programs that others execute, by their whole paths.
const HELPERS: [&str; 5] = ["/opt", "/usr/lib", "/usr/libexec", "/usr/local/lib", "/usr/share"];

/// The largest file that is copied because it was looked at.
const LOOKED_AT: u64 = 1 << 20;

/// What all paths are for.
pub(super) fn all(paths: &Paths) -> All<'_> {
    let mut all: All<'_> = paths.files.iter().map(|(path, used)| (path.as_path(), of(path, used))).collect();
    // The C library reads this list of its converters at every start, and few programs convert anything.
    let lists: Vec<&Path> =
        all.keys().filter(|path| path.ends_with("gconv/gconv-modules.cache")).copied().collect();
    for list in lists {
        let converters = list.parent().unwrap_or(list);
        if !all.keys().any(|path| *path != list && *path != converters && path.starts_with(converters)) {
            all.insert(list, Purpose::Nothing);
        }
    }
    // Who lists a directory looks at all that is in it.
    let is_listed = |path: &Path| {
        let directory = path.parent().and_then(|directory| paths.files.get(directory));
        directory.is_some_and(|directory| directory.is(Use::Listed))
    };
    for (path, purpose) in &mut all {
        if *purpose == Purpose::Program && !paths.files[*path].is(Use::Executed) && is_listed(path) {
            *purpose = Purpose::Nothing;
        }
    }
    all
}

/// What a path is for.
pub(super) fn of(path: &Path, used: &Used) -> Purpose {
    let below = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    if path.starts_with("/dev") {
        return device(path, used);
    }
    if path == Path::new("/") || below(&NOTHING) || used.uses.keys().all(|one| *one == Use::Missing) {
        return Purpose::Nothing;
    }
    if is_searched(path, used) || is_name_service(path) {
        return Purpose::Nothing;
    }
    if used.kind == Kind::Socket && used.is(Use::Connected) && used.changed().is_none() {
        return Purpose::Peer;
    }
    if used.is_made_sure_of() && (is_wide(path) || below(&SYSTEM)) {
        return Purpose::Directory;
    }
    if used.changed().is_some() || is_for_change(path, used) || is_somebodys(path, used) {
        return Purpose::Written;
    }
    if used.uses.keys().all(|one| matches!(one, Use::Missing | Use::Refused)) {
        return Purpose::Nothing;
    }
    if let Some(word) = host(path) {
        return Purpose::Host(word);
    }
    if used.is(Use::Executed) {
        return if used.kind == Kind::Regular { Purpose::Program } else { Purpose::Nothing };
    }
    match used.kind {
        // A directory that is only on the way, or a state directory as such.
        Kind::Directory if below(&DATA) && (used.is(Use::Listed) || used.is(Use::Entered)) => Purpose::Data,
        Kind::Directory => Purpose::Directory,
        Kind::Regular if below(&DATA) => Purpose::Data,
        Kind::Regular if used.is(Use::Read) => Purpose::File,
        Kind::Regular if is_helper(path, used) => Purpose::Program,
        Kind::Regular if is_worth_a_copy(used) && !below(&PROGRAMS) => Purpose::File,
        _ => Purpose::Nothing,
    }
}

/// Directories that are gone through for what may be there: the C library does so for users that systemd makes up.
fn is_searched(path: &Path, used: &Used) -> bool {
    ["/run", "/usr/lib", "/usr/local", "/usr/local/lib"].iter().any(|place| path == Path::new(place))
        && used.changed().is_none()
}

/// A module of the host's nsswitch.conf; a jail has one of its own.
pub(super) fn is_name_service(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"libnss_"))
}

/// Places where whatever is used is somebody's to write: a jail has its own. A program or data that somebody has put below /tmp is what it
/// would be elsewhere.
fn is_for_change(path: &Path, used: &Used) -> bool {
    let is_temporary = ["/tmp", "/var/tmp"].iter().any(|place| path == Path::new(place));
    // What is only on the way to a program below it is not hidden by an empty one.
    let is_passed = used.uses.keys().all(|one| matches!(one, Use::Looked | Use::Missing));
    is_temporary && !is_passed || path.starts_with("/run") && !matches!(used.kind, Kind::Regular)
}

/// Whether a directory for state belongs to somebody, who will write to it sooner or later.
fn is_somebodys(path: &Path, used: &Used) -> bool {
    let for_state = ["/var/cache", "/var/lib", "/var/log", "/var/spool"];
    used.kind == Kind::Directory
        && !is_wide(path)
        && for_state.iter().any(|place| path.starts_with(place))
        && used.now.as_ref().is_some_and(|now| now.uid() != 0)
}

/// Whether a file that was only looked at is part of the answer: not a program.
fn is_worth_a_copy(used: &Used) -> bool {
    let small = |now: &std::fs::Metadata| now.len() <= LOOKED_AT && now.permissions().mode() & 0o111 == 0;
    used.is(Use::Looked) && used.now.as_ref().is_some_and(small)
}

/// Whether it is a program that somebody has made sure of, to execute it when there is need: not one of a directory that is gone through.
fn is_helper(path: &Path, used: &Used) -> bool {
    let is_program =
        |now: &std::fs::Metadata| now.len() <= LOOKED_AT && now.permissions().mode() & 0o111 != 0;
    let is_object = path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so"));
    let is_place = HELPERS.iter().any(|place| path.starts_with(place));
    used.is(Use::Looked) && is_place && !is_object && used.now.as_ref().is_some_and(is_program)
}

/// What is below /dev.
fn device(path: &Path, used: &Used) -> Purpose {
    let name = path.strip_prefix("/dev").ok().and_then(Path::to_str).unwrap_or_default();
    let known = DEVICES.iter().map(|device| device.name).find(|known| *known == name);
    let first = name.split('/').next().unwrap_or_default();
    match (known, first) {
        // The caller's terminal is a terminal of the jail's own, if there is one.
        (Some("tty"), _) | (None, "" | "fd" | "stdin" | "stdout" | "stderr" | "console" | "char") => {
            Purpose::Nothing
        }
        (Some(name), _) => Purpose::Device(name),
        (None, "log") => Purpose::Device("log"),
        (None, "shm") => Purpose::Device("shm"),
        (None, "ptmx") => Purpose::Device("pts"),
        _ => {
            let is_device = |now: &std::fs::Metadata| {
                now.file_type().is_char_device() || now.file_type().is_block_device()
            };
            let opened = used.is(Use::Read) || used.is(Use::Written);
            if opened && first != "pts" && used.now.as_ref().is_some_and(is_device) {
                Purpose::OtherDevice
            } else {
                Purpose::Nothing
            }
        }
    }
}

/// The word that stands for a file of the host.
fn host(path: &Path) -> Option<&'static str> {
    let words = HostFiles::NAMES.iter();
    words
        .filter(|(_, files)| files.shown().iter().any(|shown| path.starts_with(shown.path)))
        .map(|(name, _)| *name)
        .next()
}

/// Whether nothing is said of a path, or of a link there.
pub(super) fn is_nothing(path: &Path) -> bool {
    NOTHING.iter().any(|place| path.starts_with(place))
}

/// Whether a directory belongs to everybody: nothing is shown whole because of one file in it.
pub(super) fn is_wide(directory: &Path) -> bool {
    const WIDE: [&str; 26] = [
        "/",
        "/etc",
        "/home",
        "/media",
        "/mnt",
        "/opt",
        "/root",
        "/run",
        "/srv",
        "/usr",
        "/usr/lib",
        "/usr/local",
        "/usr/local/bin",
        "/usr/local/etc",
        "/usr/local/lib",
        "/usr/local/share",
        "/usr/sbin",
        "/usr/bin",
        "/usr/share",
        "/var",
        "/var/cache",
        "/var/lib",
        "/var/log",
        "/var/mail",
        "/var/spool",
        "/var/www",
    ];
    // Of a user's own, see file-hierarchy(7): next to what one program keeps there are the tokens of all others.
    const OF_HOMES: [&str; 5] = [".cache", ".config", ".local", ".local/share", ".local/state"];
    WIDE.iter().any(|wide| directory == Path::new(wide))
        || directory.parent() == Some(Path::new("/home"))
        || OF_HOMES.iter().any(|wide| directory.ends_with(wide))
}
