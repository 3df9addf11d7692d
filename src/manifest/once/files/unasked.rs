//! What is shown that no option asks for: the host's programs and their settings, an empty home, the current directory, and names for
//! the ids in the jail.

use std::fmt::Write as _;
use std::path::Path;

use super::{Bind, Facts, Files, Found, SYSTEM, number, set, table, text_of};
use crate::manifest::key_names::is_named_as_key;
use crate::plan::Origin;

/// What programs read of /etc that tells nothing of who lives here: where libraries and alternatives are, names of services and types,
/// what terminals can. No secret is among them, whatever the host.
const SETTINGS: [&str; 19] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates/extracted",
    "crypto-policies",
    "fonts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
];

impl Files {
    /// The host's programs, and what they need.
    pub(super) fn system(&mut self, facts: &Facts<'_>) {
        let origin = Origin::Default("programs and libraries of the host, as they are");
        for name in SYSTEM {
            let path = Path::new("/").join(name);
            match (facts.look)(&path) {
                Found::Link(text) => self.link(&text, path, &origin),
                Found::Directory => self.bind(&path, path.clone(), Bind::READ_ONLY, &origin),
                Found::Nothing | Found::Other => {}
            }
        }
        let origin = Origin::Default("what programs read of /etc, and no key and no password");
        for name in SETTINGS {
            let path = Path::new("/etc").join(name);
            match (facts.look)(&path) {
                Found::Nothing => {}
                // A link may lead nowhere.
                _ => self.bind(&path, path.clone(), Bind { optional: true, ..Bind::READ_ONLY }, &origin),
            }
        }
    }

    /// A home and a /tmp of the jail's own.
    pub(super) fn own(&mut self, facts: &Facts<'_>) {
        let origin = Origin::Default("an empty place to write, gone with the program");
        for (path, mode) in [(Path::new("/tmp"), "1777"), (facts.home.as_path(), "0755")] {
            if path != Path::new("/") {
                self.size = self.usual_size.clone();
                self.mode = Some(mode.to_owned());
                self.tmpfs(path.to_owned(), &origin);
            }
        }
    }

    /// The current directory, where that shows nothing that nobody meant.
    pub(super) fn current(&mut self, facts: &Facts<'_>) {
        let (here, home) = (facts.current.as_path(), facts.home.as_path());
        // What the kernel shows, what a host is kept by, and where its sockets are.
        let hosts =
            ["/boot", "/dev", "/etc", "/proc", "/run", "/sys"].iter().any(|path| here.starts_with(path));
        // Whose work is only further down.
        let everybodys = ["/", "/home", "/srv", "/tmp", "/var", "/var/lib", "/var/spool", "/var/tmp"]
            .iter()
            .any(|path| here == Path::new(path));
        // Root may look into the home of anybody, and has one that is nobody else's.
        let anothers = here.parent() == Some(Path::new("/home"))
            || (here.starts_with("/root") && !home.starts_with("/root"));
        if here.to_str().is_none() {
            self.note = Some(format!(
                "the name of the current directory `{}` is not UTF-8: it is not shown, as no manifest could name it",
                here.display()
            ));
            return;
        }
        if everybodys || anothers || hosts || home.starts_with(here) {
            let what = if here == home { "the home directory" } else { "no directory to be shown unasked" };
            self.note = Some(format!(
                "the current directory `{}` is {what}: it is not shown; `--ro PATH` shows what of it is needed",
                here.display()
            ));
            return;
        }
        if is_named_as_key(here) {
            self.note = Some(format!(
                "the current directory `{}` is a place for keys: it is not shown; `--ro PATH` shows what of it is needed",
                here.display()
            ));
            return;
        }
        if self.covers(here) {
            return;
        }
        let origin = Origin::Default("the current directory");
        self.bind(here, here.to_owned(), Bind::READ_ONLY, &origin);
    }

    /// The jail's own names for ids: of the host's users and groups there are none but the caller.
    pub(in crate::manifest::once) fn accounts(&mut self, facts: &Facts<'_>, uid: u32, gid: u32) {
        for item in &mut self.items {
            // What is made has a mode, and is the program's.
            if item.table.contains_key("mode") {
                let origin = item.origin.clone();
                set(&mut item.table, "owner", number(uid, &origin));
                set(&mut item.table, "group", number(gid, &origin));
            }
        }
        if self.items.iter().any(|item| item.target == Path::new("/etc")) {
            return;
        }
        if self.is_hosts {
            let origin = Origin::Default("names for ids; the host's, as nothing is made");
            for path in ["/etc/passwd", "/etc/group"].map(Path::new) {
                self.bind(path, path.to_owned(), Bind { optional: true, ..Bind::READ_ONLY }, &origin);
            }
            return;
        }
        let origin =
            Origin::Default("names for the ids in the jail: of the host's there is the caller's only");
        let home = facts.home.display();
        let mut passwd =
            format!("root:x:0:0:root:{}:/bin/sh\n", if uid == 0 { home.to_string() } else { "/root".into() });
        let mut group = "root:x:0:\n".to_owned();
        if ![0, 65534].contains(&uid) {
            _ = writeln!(passwd, "{}:x:{uid}:{gid}:{}:{home}:/bin/sh", facts.user, facts.user);
        }
        if ![0, 65534].contains(&gid) {
            _ = writeln!(group, "{}:x:{gid}:", facts.group);
        }
        passwd += "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
        group += "nogroup:x:65534:\n";
        let hosts = "127.0.0.1 localhost once\n::1 localhost\n".to_owned();
        let shows_hosts = self.host.iter().any(|(word, _)| *word == "hosts");
        for (path, content) in [("/etc/passwd", passwd), ("/etc/group", group), ("/etc/hosts", hosts)] {
            let is_there = self.items.iter().any(|item| item.target == Path::new(path));
            let is_shown = shows_hosts && path == "/etc/hosts";
            if !is_there && !is_shown {
                let table = table([("content", text_of(content, &origin))], &origin);
                self.make(path.into(), "tree.text", table, &origin);
            }
        }
    }
}
