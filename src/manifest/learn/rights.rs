//! Who the program is, what it may, and whom it talks to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use super::paths::Paths;
use super::{Facts, reason, shown, text};
use crate::manifest::edit::{Line, Place};
use crate::manifest::root::Root;
use crate::plan::Account;
use crate::plan::capability;
use crate::plan::step::CapabilitySet;
use crate::plan::system_calls::profiles::Profile;
use crate::plan::system_calls::{CALLS, Policy, position};
use crate::seen::{Call, Moment, Seen, Socket, Use};

/// Capabilities that a jail is given when the program has used them. All of them count in its own user namespace only.
const GIVEN: [&str; 13] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
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
    let of_network = capabilities.iter().any(|(name, _)| OF_THE_NETWORK.contains(name));
    if facts.host.is_root() && network.is_some() && !of_network {
        let why = "its rights count in a user namespace of its own, and nowhere else";
        lines.push(Line::value("namespaces", "user", "true", why));
    }
    lines.extend(network);
    lines.extend(
        capabilities.iter().map(|(name, moment)| {
            Line::entry("privileges", "capabilities", text(name), reason(moment, "used"))
        }),
    );
    let set = capabilities.iter().filter_map(|(name, _)| capability::number(name));
    lines.extend(system_calls(seen, set.fold(CapabilitySet::EMPTY, CapabilitySet::with)));
    lines.extend(environment(seen, facts));
    lines
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
    let words = words(seen, facts, paths);
    let is_new = |name: &str, lines: &[Line]| {
        let value = text(name);
        let said = |line: &Line| {
            matches!(line.place, Place::Entry("tree", "users" | "groups")) && line.value == value
        };
        !["root", "nobody", "nogroup"].contains(&name) && !lines.iter().chain(so_far).any(said)
    };
    for user in facts.accounts.users.iter().filter(|user| words.contains(user.name.as_bytes())) {
        if is_new(&user.name, &lines) {
            lines.push(Line::entry("tree", "users", text(&user.name), reason(looked, "probably looked up")));
        }
    }
    let read = paths.files.get(Path::new("/etc/group")).and_then(|used| used.uses.get(&Use::Read));
    for group in facts.accounts.groups.iter().filter(|group| words.contains(group.name.as_bytes())) {
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

/// Words of the command, of the configuration that was read, and whole texts in the program: among them are the names of the users that
/// it looked up, of which no system call tells.
fn words(seen: &Seen, facts: &Facts<'_>, paths: &Paths) -> BTreeSet<Vec<u8>> {
    let root = Root::host();
    let mut words: BTreeSet<Vec<u8>> = BTreeSet::new();
    let apart = |byte: &u8| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    for word in &facts.command {
        words.extend(word.as_bytes().split(apart).map(<[u8]>::to_vec));
    }
    let read = paths.files.iter().filter(|(path, used)| path.starts_with("/etc") && used.is(Use::Read));
    let accounts = ["/etc/passwd", "/etc/group", "/etc/services"].map(Path::new);
    for (path, _) in read.filter(|(path, _)| !accounts.contains(&path.as_path())) {
        let text = root.read(path, MOST).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n');
        let said = lines.filter(|line| !line.trim_ascii_start().starts_with(b"#"));
        words.extend(said.flat_map(|line| line.split(apart)).map(<[u8]>::to_vec));
    }
    for execution in &seen.executions {
        let text = root.read(&execution.path, MOST).unwrap_or_default();
        words.extend(text.split(|byte| *byte == 0).filter(|word| word.len() < 32).map(<[u8]>::to_vec));
    }
    words
}

/// What it can have of the capabilities that it used, and a remark on the rest.
fn capabilities(seen: &Seen) -> (Vec<(&'static str, &Moment)>, Vec<Line>) {
    let mut given = Vec::new();
    let mut missed = Vec::new();
    for (number, moment) in &seen.capabilities {
        let Some(name) = capability::NAMES.get(usize::from(*number)) else { continue };
        let name = name.trim_start_matches("CAP_");
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
    let (what, moment) = seen.sockets.iter().find_map(|(socket, moment)| Some((told(socket)?, moment)))?;
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
    lines.extend(fewest.into_iter().map(|(call, moment)| Line {
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

/// Variables of the caller's that the program has the name of. Their values stay where they are.
fn environment(seen: &Seen, facts: &Facts<'_>) -> Vec<Line> {
    const GIVEN: [&str; 13] = [
        "_",
        "HOME",
        "LANG",
        "LOGNAME",
        "LS_COLORS",
        "MAIL",
        "OLDPWD",
        "PATH",
        "PWD",
        "SHELL",
        "SHLVL",
        "TERM",
        "USER",
    ];
    let Some(first) = seen.executions.first() else { return Vec::new() };
    let text_of = Root::host().read(&first.path, MOST).unwrap_or_default();
    let texts: BTreeSet<&[u8]> = text_of.split(|byte| *byte == 0).collect();
    let named = facts
        .environment
        .iter()
        .filter(|name| !GIVEN.contains(&name.as_str()) && texts.contains(name.as_bytes()));
    let program = shown(&first.path);
    named
        .map(|name| Line::entry("program", "pass_environment", text(name), format!("{program} has its name")))
        .collect()
}
