//! Who the program is, what it may, and whom it talks to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use super::paths::Paths;
use super::{Facts, reason, text};
use crate::manifest::edit::{Line, Place};
use crate::manifest::root::Root;
use crate::plan::Account;
use crate::plan::capability;
use crate::plan::step::CapabilitySet;
use crate::plan::system_calls::profiles::Profile;
use crate::plan::system_calls::{CALLS, Errno, Policy, position};
use crate::seen::{Call, Moment, Seen, Socket, Use};

/// Capabilities that a jail is given when the program has used them. All of them count in its own user namespace only.
pub(super) const GIVEN: [&str; 12] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "KILL",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETUID",
    "SYS_CHROOT",
];

/// Of these, what counts for the host's network only where root is the host's.
const OF_THE_NETWORK: [&str; 2] = ["NET_BIND_SERVICE", "NET_RAW"];

/// What is tried by everybody who is root, and not missed.
const NOT_MISSED: [&str; 5] = ["SETPCAP", "SYS_ADMIN", "SYS_NICE", "SYS_PTRACE", "SYS_RESOURCE"];

/// From here on the kernel chooses ports, see ip(7).
const CHOSEN: u16 = 32768;

/// The largest file in which names of users are looked for.
const MOST: u64 = 8 << 20;

/// Users, capabilities, network and system calls.
pub(super) fn lines(seen: &Seen, facts: &Facts<'_>, so_far: &[Line], paths: &Paths) -> Vec<Line> {
    let uid = facts.host.uid;
    let who = super::written::user(uid, facts);
    let mut lines = vec![Line::value("program", "user", who, "who it was started as")];
    if facts.host.is_root() {
        lines.extend(accounts(seen, facts, so_far, paths));
    }
    let network = network(seen);
    let (capabilities, missed) = capabilities(seen);
    lines.extend(missed);
    if facts.host.is_root() && can_have_user_namespace(seen) {
        if facts.is_host_root {
            let why = "in a user namespace of its own, where others are nobody, it did not work";
            lines.push(Line::value("namespaces", "user", "false", why));
        } else if network.is_some() {
            let why = "its rights count in a user namespace of its own, and nowhere else";
            lines.push(Line::value("namespaces", "user", "true", why));
        }
    }
    lines.extend(network);
    lines.extend(
        capabilities.iter().map(|(name, moment)| {
            Line::entry("privileges", "capabilities", text(name), reason(moment, "used"))
        }),
    );
    let set = capabilities.iter().filter_map(|(name, _)| capability::number(name));
    lines.extend(system_calls(seen, set.fold(CapabilitySet::EMPTY, CapabilitySet::with)));
    lines
}

/// Whether root's jail has a user namespace.
pub(super) fn has_user_namespace(seen: &Seen, facts: &Facts<'_>) -> bool {
    can_have_user_namespace(seen) && !facts.is_host_root
}

/// Whether it can have one: not where a right is for the host's network.
fn can_have_user_namespace(seen: &Seen) -> bool {
    !capabilities(seen).0.iter().any(|(name, _)| OF_THE_NETWORK.contains(name))
}

/// The users and groups that it changed to, looked up, or owns something as.
fn accounts(seen: &Seen, facts: &Facts<'_>, so_far: &[Line], paths: &Paths) -> Vec<Line> {
    let mut lines = Vec::new();
    let is_known = |id: u32| id == 0 || id == 65534 || id == facts.host.uid;
    for (uid, moment) in seen.users.iter().filter(|(uid, _)| !is_known(**uid)) {
        if let Some(user) = facts.accounts.user(&Account::Id(*uid)) {
            lines.push(Line::entry("tree", "users", text(&user.name), reason(moment, "changed to")));
        }
    }
    for (gid, moment) in seen.groups.iter().filter(|(gid, _)| !is_known(**gid)) {
        let brought = seen.users.keys().filter_map(|uid| facts.accounts.user(&Account::Id(*uid)));
        let group = facts.accounts.group(&Account::Id(*gid));
        if let Some(group) = group.filter(|_| !brought.into_iter().any(|user| user.gid == *gid)) {
            lines.push(Line::entry("tree", "groups", text(&group.name), reason(moment, "changed to")));
        }
    }
    let Some(looked) = paths.files.get(Path::new("/etc/passwd")).and_then(|used| used.uses.get(&Use::Read))
    else {
        return lines;
    };
    let words = words(facts, paths);
    let program = seen.executions.first().map(|first| first.path.as_path());
    let own = program.map_or_else(BTreeSet::new, own_names);
    let is_named = |name: &str| words.contains(name.as_bytes()) || own.contains(name.as_bytes());
    let is_new = |name: &str, lines: &[Line]| {
        let value = text(name);
        let said = |line: &Line| {
            matches!(line.place, Place::Entry("tree", "users" | "groups")) && line.value == value
        };
        !["root", "nobody", "nogroup"].contains(&name) && !lines.iter().chain(so_far).any(said)
    };
    for user in facts.accounts.users.iter().filter(|user| is_named(&user.name)) {
        if is_new(&user.name, &lines) {
            lines.push(Line::entry("tree", "users", text(&user.name), reason(looked, "probably looked up")));
        }
    }
    let read = paths.files.get(Path::new("/etc/group")).and_then(|used| used.uses.get(&Use::Read));
    for group in facts.accounts.groups.iter().filter(|group| is_named(&group.name)) {
        let brought = facts
            .accounts
            .users
            .iter()
            .any(|user| user.gid == group.gid && lines.iter().any(|line| line.value == text(&user.name)));
        if let Some(looked) = read.filter(|_| !brought && is_new(&group.name, &lines)) {
            lines.push(Line::entry(
                "tree",
                "groups",
                text(&group.name),
                reason(looked, "probably looked up"),
            ));
        }
    }
    lines
}

/// Words of the command, and of lines of its configuration that are about users: among them are the names of those that it looked up, of
/// which no system call tells.
fn words(facts: &Facts<'_>, paths: &Paths) -> BTreeSet<Vec<u8>> {
    const ABOUT: [&[u8]; 4] = [b"user", b"group", b"owner", b"uid"];
    let root = Root::host();
    let mut words: BTreeSet<Vec<u8>> = BTreeSet::new();
    let apart = |byte: &u8| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    // `-u bind`, `--user=bind:bind`, but not `daemon off;`.
    let parts = facts.command.iter().flat_map(|word| word.split(['=', ':', '.']));
    words.extend(parts.map(|part| part.as_bytes().to_vec()));
    let read = paths.files.iter().filter(|(path, used)| path.starts_with("/etc") && used.is(Use::Read));
    let accounts = ["/etc/passwd", "/etc/group", "/etc/services"].map(Path::new);
    for (path, _) in read.filter(|(path, _)| !accounts.contains(&path.as_path())) {
        let text = root.read(path, MOST).unwrap_or_default();
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| !matches!(line.trim_ascii_start().first(), Some(b'#' | b';')))
        {
            let lower = line.to_ascii_lowercase();
            let is_about = |what: &&[u8]| lower.windows(what.len()).any(|part| part == *what);
            if ABOUT.iter().any(is_about) {
                words.extend(line.split(apart).map(<[u8]>::to_vec));
            }
        }
    }
    words
}

/// Texts in a program that are like its own name: `_chrony` in `chronyd`, `ftp` in `vsftpd`.
fn own_names(program: &Path) -> BTreeSet<Vec<u8>> {
    let name = program.file_name().unwrap_or_default().as_encoded_bytes().to_owned();
    let text = Root::host().read(program, MOST).unwrap_or_default();
    let is_like = |word: &&[u8]| {
        let word = word.trim_ascii_start();
        let word = word.strip_prefix(b"_").unwrap_or(word);
        word.len() > 2 && name.windows(word.len()).any(|part| part == word)
    };
    text.split(|byte| *byte == 0).filter(is_like).map(<[u8]>::to_vec).collect()
}

/// What it can have of the capabilities that it used, and a remark on the rest.
fn capabilities(seen: &Seen) -> (Vec<(&'static str, &Moment)>, Vec<Line>) {
    let mut given = Vec::new();
    let mut missed = Vec::new();
    for (number, moment) in &seen.capabilities {
        let Some(name) = capability::NAMES.get(usize::from(*number)) else { continue };
        // What reading past the modes of files needs, this one gives too, without opening any file by its number.
        let name = name.trim_start_matches("CAP_");
        let name = if name == "DAC_READ_SEARCH" { "DAC_OVERRIDE" } else { name };
        if given.iter().any(|(known, _)| *known == name) {
            continue;
        }
        if GIVEN.contains(&name) {
            given.push((name, moment));
        } else if !NOT_MISSED.contains(&name) {
            missed.push(Line {
                place: Place::Remark("privileges"),
                value: format!("capabilities = [\"{name}\"]"),
                reason: format!(
                    "{}: it has power over the host, so it is not given unasked",
                    reason(moment, "used")
                ),
            });
        }
    }
    (given, missed)
}

/// The network, if there is a socket that needs one.
fn network(seen: &Seen) -> Option<Line> {
    let told = |socket: &Socket| {
        let said = |what: &str, address: &SocketAddr, stream: bool| {
            format!("{what} {}{address}", if stream { "" } else { "datagrams at " })
        };
        match socket {
            Socket::Bound { address, stream } => Some(said("bound to", address, *stream)),
            Socket::Connected { address, stream } => Some(said("connected to", address, *stream)),
            Socket::Abstract(_) | Socket::Family(_) => None,
        }
    };
    // What is listened on tells more than what is asked from a port of the kernel's choice.
    let rank = |(socket, moment): &(&Socket, &Moment)| match socket {
        Socket::Bound { address, .. } => (u16::from(address.port() >= CHOSEN), moment.at),
        _ => (2, moment.at),
    };
    let (socket, moment) =
        seen.sockets.iter().filter(|(socket, _)| told(socket).is_some()).min_by_key(rank)?;
    let what = told(socket)?;
    Some(Line::value("namespaces", "network", "\"host\"", reason(moment, &what)))
}

/// The smallest profile that lets in all it called, or the one that comes nearest, with a remark on what that refuses.
fn system_calls(seen: &Seen, capabilities: CapabilitySet) -> Vec<Line> {
    let policy = |profile| Policy::profile(profile, capabilities);
    let refused = |policy: &Policy| {
        let is_refused =
            |call: &Call| policy.refuses(call.architecture, call.number, &call.arguments).is_some();
        seen.calls.iter().filter(|(call, _)| is_refused(call)).collect::<Vec<_>>()
    };
    let profiles = [Profile::Compute, Profile::Default, Profile::Daemon];
    let fewest = refused(&policy(Profile::Daemon));
    let profile = profiles.into_iter().find(|profile| refused(&policy(*profile)).len() == fewest.len());
    let profile = profile.unwrap_or(Profile::Daemon);
    let smaller = profiles.into_iter().take_while(|known| *known != profile).last();
    let why = match smaller.map(policy).map(|smaller| refused(&smaller)) {
        Some(more) => {
            let first = more.iter().find(|call| !fewest.contains(call));
            first.map_or_else(String::new, |(call, moment)| reason(moment, &format!("{} called", name(call))))
        }
        None => "the smallest: it called nothing else".to_owned(),
    };
    let mut lines = vec![Line::value("privileges", "system_calls", text(profile.name()), why)];
    let nearest = policy(profile);
    // What is answered as by an older kernel is done another way.
    let is_missed =
        |call: &Call| nearest.refuses(call.architecture, call.number, &call.arguments) == Some(Errno::EPERM);
    let missed = fewest.into_iter().filter(|(call, _)| is_missed(call));
    lines.extend(missed.map(|(call, moment)| Line {
        place: Place::Remark("privileges"),
        value: format!("system_calls = [\"{}\", \"{}\"]", profile.name(), name(call)),
        reason: format!(
            "{}: no profile lets it in, and most programs go on without",
            reason(moment, "called")
        ),
    }));
    lines
}

/// A call's name.
fn name(call: &Call) -> &'static str {
    position(call.architecture, call.number).map_or("an unknown call", |at| CALLS[at].name)
}
