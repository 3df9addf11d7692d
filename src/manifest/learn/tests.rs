//! What is proposed for runs that are made up: from what was written to, to the text of the mounts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::paths::Used;
use super::*;
use crate::seen::File;

/// A directory for one test.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stockade-learn-{name}-{}", std::process::id()));
        _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(fs::canonicalize(path).unwrap())
    }

    /// A file in it, empty.
    pub(super) fn file(&self, path: &str) -> &Self {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        self
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A thing that was used: its path, what was there before, what it was used for, and by which call.
type Thing<'a> = (&'a Path, Kind, Use, &'static str);

/// The mounts that are proposed for an ordinary user's program that used these.
fn proposed(things: &[Thing<'_>]) -> String {
    let moment =
        |call| Moment { at: Duration::from_millis(1), program: "/x".into(), call, uid: 1000, gid: 1000 };
    let mut seen = Seen::default();
    for (path, kind, of, call) in things {
        let file = File { kind: *kind, uses: [(*of, moment(call))].into() };
        seen.files.insert(path.to_path_buf(), file);
    }
    let mut host = Host::current(Path::new("/"));
    (host.uid, host.gid) = (1000, 1000);
    let accounts = Accounts::parse(b"eve:x:1000:1000::/home/eve:/bin/sh\n", b"eve:x:1000:\n");
    let facts =
        Facts { command: vec!["/x".into()], ..Facts::new("x".into(), "x.toml".into(), &host, &accounts) };
    let paths = Paths::of(&seen, &facts);
    let lines = written::lines(&seen, &paths, &purpose::all(&paths), &facts);
    edit::add("", &lines).0.trim().to_owned()
}

#[test]
fn where_the_host_executes_or_is_configured_it_is_told_only() {
    let told = proposed(&[
        (Path::new("/etc/cron.d/stockade-no-such-job"), Kind::Nothing, Use::Made, "openat"),
        (Path::new("/srv/no-such/file"), Kind::Nothing, Use::Made, "openat"),
        (Path::new("/usr/lib/no-such/__pycache__/x.pyc"), Kind::Nothing, Use::Made, "openat"),
        (Path::new("/var/spool/cron/crontabs/no-such"), Kind::Nothing, Use::Made, "openat"),
    ]);
    let expected = "\
# state: /srv/no-such/file made by x, openat(2), at 0.001 s
[[mounts]]
source    = \"/srv/no-such\"
target    = \"/srv/no-such\"
read_only = false

# state: /etc/cron.d/stockade-no-such-job made by x, openat(2), at 0.001 s: the host is configured by what is there, so it is not made writable unasked
#     [[mounts]]
#     source    = \"/etc/cron.d\"
#     target    = \"/etc/cron.d\"
#     read_only = false
# state: /usr/lib/no-such/__pycache__/x.pyc made by x, openat(2), at 0.001 s: the host's programs and libraries are there, so it is not made writable unasked
#     [[mounts]]
#     source    = \"/usr/lib/no-such/__pycache__\"
#     target    = \"/usr/lib/no-such/__pycache__\"
#     read_only = false
# state: /var/spool/cron/crontabs/no-such made by x, openat(2), at 0.001 s: the host executes what is there when its time has come, so it is not made writable unasked
#     [[mounts]]
#     source    = \"/var/spool/cron/crontabs\"
#     target    = \"/var/spool/cron/crontabs\"
#     read_only = false";
    assert_eq!(told, expected);
}

#[test]
fn of_a_place_for_the_settings_of_all_programs_it_is_what_was_made_there() {
    let scratch = Scratch::new("settings");
    let config = scratch.file(".config/token").file(".config/app/settings").0.join(".config");
    let expected = |path: &str, call: &str| {
        let place = scratch.0.join(".config/app").display().to_string();
        let path = scratch.0.join(path).display().to_string();
        let of = if path == place { String::new() } else { format!("{path} ") };
        format!(
            "# state: {of}made by x, {call}(2), at 0.001 s\n[[mounts]]\nsource    = \"{place}\"\ntarget    = \"{place}\"\nread_only = false"
        )
    };
    let (app, settings) = (config.join("app"), config.join("app/settings"));
    let app = (app.as_path(), Kind::Nothing, Use::Made, "mkdir");
    let settings = (settings.as_path(), Kind::Nothing, Use::Made, "openat");
    assert_eq!(proposed(&[app, settings]), expected(".config/app", "mkdir"));
    // The place itself was made as well.
    let made = (config.as_path(), Kind::Nothing, Use::Made, "mkdir");
    assert_eq!(proposed(&[made, app, settings]), expected(".config/app", "mkdir"));
    assert_eq!(proposed(&[made]), "");
}

#[test]
fn a_socket_beside_those_of_who_does_as_he_is_told_is_told_only() {
    let mine = Path::new("/run/podman/mine.sock");
    let expected = "\
# who listens there has power over the host, /run/podman/mine.sock made by x, bind(2), at 0.001 s: if it has to be in the jail, take this in
#     [[mounts]]
#     source    = \"/run/podman\"
#     target    = \"/run/podman\"
#     read_only = false
#     sockets   = true";
    assert_eq!(proposed(&[(mine, Kind::Nothing, Use::Made, "bind")]), expected);
}

#[test]
fn what_is_read_and_then_changed_where_nothing_is_changed_is_copied() {
    let name = Path::new("/etc/hostname");
    if !name.is_file() {
        eprintln!("SKIP: there is no {}", name.display());
        return;
    }
    let used = |path: &Path, uses: &[Use]| Used {
        kind: Kind::Regular,
        uses: uses
            .iter()
            .map(|of| {
                (*of, Moment { at: Duration::ZERO, program: "/x".into(), call: "openat", uid: 0, gid: 0 })
            })
            .collect(),
        now: fs::symlink_metadata(path).ok(),
    };
    let is_copied = |path: &Path, uses: &[Use]| {
        copied::is_read_and_not_written(path, Purpose::Written, &used(path, uses))
    };
    assert!(is_copied(name, &[Use::Read, Use::Written]));
    assert!(!is_copied(name, &[Use::Written]));
    assert!(!is_copied(Path::new("/etc/no-such-file"), &[Use::Read, Use::Removed]));
    let scratch = Scratch::new("copied");
    assert!(!is_copied(&scratch.file("x").0.join("x"), &[Use::Read, Use::Written]));
}
