//! What a program lacked in its jail, and for each the lines of the manifest that give it: `diagnose`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::paths::{Paths, Used};
use super::purpose::{self, Purpose, is_wide};
use super::secrets::{self, Secret};
use super::{Facts, copied, data, is_key, quoted, reason, shown, text, word, written};
use crate::manifest::edit::{Line, Place};
use crate::manifest::resolve::sockets::is_control;
use crate::manifest::resolve::{devices, system_calls};
use crate::manifest::schema::{Manifest, Mount, MountKind};
use crate::plan::capability;
use crate::plan::step::DEVICES;
use crate::plan::system_calls::{CALLS, Decision, Errno, Rule, position};
use crate::seen::{Call, Kind, Moment, Seen, Use};

/// What `sys = "masked"` under `[root]` shows.
const MASKED: [&str; 3] = ["/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/class/net"];

/// What is said of a key.
const SECRET: &str = "a secret is never copied unasked: if the program needs it, show it by a mount";

/// What is said of a directory with keys in it.
const AMONG_KEYS: &str = "there are keys in it, or too much to tell: name what is needed of it in `files`, or show all of it by a mount";

/// What is said of what is refused on a mount that allows all there is.
const MODE_THERE: &str = "it is on a mount, and its owner or mode is in the way: change that on the host, choose another `user`, or, for what is root's, say `root_squash = false` of the mount";

/// What is said of a control socket.
const CONTROL: &str =
    "who listens there has power over the host: if it is meant, show it by a mount with `sockets = true`";

/// What is said of a capability that the jail has.
const GIVEN_UP: &str = "the jail has it: the program has given it up before, as by changing its user, or it is missed on what is the host's";

/// One thing that was lacking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What, and for whom.
    pub what: String,
    /// What gives it.
    pub lines: Vec<Line>,
    /// What to do where no line does.
    pub hint: Option<String>,
    /// The key, or the place of keys, that it is about, if it is.
    pub secret: Option<PathBuf>,
}

impl Lack {
    /// One that lines give.
    fn of(what: String, lines: Vec<Line>) -> Self {
        Self { what, lines, hint: None, secret: None }
    }
}

/// Everything that was lacking: paths that the host has, capabilities, system calls.
pub fn lacks(seen: &Seen, facts: &Facts<'_>, manifest: &Manifest) -> Vec<Lack> {
    let mut lacks: Vec<Lack> = seen
        .lacked
        .files
        .iter()
        .filter_map(|(path, uses)| {
            let file = seen.files.get(path)?;
            let refused = file.uses.contains_key(&Use::Refused);
            self::path(path, uses, refused, seen, facts, manifest)
        })
        .collect();
    lacks.extend(seen.lacked.capabilities.iter().filter_map(|(number, moment)| {
        let name = capability::NAMES.get(usize::from(*number))?;
        let why = reason(moment, "missed");
        let what = format!("capability {name} is {why}");
        if manifest.privileges.capabilities.iter().any(|given| given.value == *number) {
            return Some(Lack { hint: Some(GIVEN_UP.into()), ..Lack::of(what, Vec::new()) });
        }
        let line = Line::entry("privileges", "capabilities", text(name), why.clone());
        Some(Lack::of(what, vec![line]))
    }));
    lacks.extend(calls(seen, manifest));
    lacks
}

/// A path that was missing or refused; nothing if it is the same on the host, or if every jail is so.
fn path(
    path: &Path,
    wanted: &BTreeMap<Use, Moment>,
    refused: bool,
    seen: &Seen,
    facts: &Facts<'_>,
    manifest: &Manifest,
) -> Option<Lack> {
    let now = std::fs::metadata(path).ok();
    let used = Used { kind: now.as_ref().map_or(Kind::Nothing, kind), uses: wanted.clone(), now };
    let changed = used.changed().is_some();
    let why = used.changed().map_or_else(|| used.reason(), |(one, moment)| reason(moment, word(one)));
    let how = if refused { "refused" } else { "missing" };
    let what = format!("`{}` is {how}: to be {why}", shown(path));
    let lack = |lines: Vec<Line>| Some(Lack::of(what.clone(), lines));
    let on = mount_of(path, manifest);
    // Whether it is there still or not.
    let lines = on.filter(|_| refused).map(|on| on_mount(on, &used, changed, &why));
    if let Some(lines) = lines.filter(|lines| !lines.is_empty()) {
        return lack(lines);
    }
    if used.now.is_none() && !(changed && path.parent().is_some_and(Path::is_dir)) {
        return None;
    }
    let hint = |hint: &str| Some(Lack { hint: Some(hint.to_owned()), ..Lack::of(what.clone(), Vec::new()) });
    let secret = || hint(SECRET).map(|lack| Lack { secret: Some(path.to_owned()), ..lack });
    match on {
        Some(_) if refused => return hint(MODE_THERE),
        // What is missing there is missing on the host.
        Some(Mount { kind: MountKind::Bind { .. } | MountKind::Overlay { .. }, .. }) => return None,
        Some(_) | None => {}
    }
    if path.to_str().is_none() {
        return hint("its name is no text, as a manifest is: name the directory it is in");
    }
    if path.starts_with("/proc") || path.starts_with("/sys") {
        if !(used.is(Use::Read) || used.is(Use::Listed) || changed) {
            return None;
        }
        let masked = MASKED.iter().any(|shown| path.starts_with(shown)) && manifest.root.sys.is_none();
        return if masked && !changed {
            lack(vec![Line::value("root", "sys", "\"masked\"", why)])
        } else {
            hint("a jail sees little of /proc and /sys on purpose; see `proc` and `sys` under [root]")
        };
    }
    if refused && !changed {
        return hint(
            "it is in the jail, and its mode is in the way: give it an `owner` or a `mode` under [tree], or choose another `user`",
        );
    }
    if is_key(path) {
        return secret();
    }
    match purpose::of(path, &used) {
        Purpose::Nothing => None,
        Purpose::Device(name) => lack(device(name, &why, manifest)),
        Purpose::OtherDevice => hint("it is not among the devices that a jail can have"),
        Purpose::Host(name) => lack(vec![Line::entry("tree", "host", text(name), why)]),
        Purpose::Peer => {
            let line = written::peers(&written::place_of_peer(path), &why);
            if matches!(line.place, Place::Remark(_)) { hint(CONTROL) } else { lack(vec![line]) }
        }
        Purpose::Written => {
            let paths = Paths {
                files: [(path.to_owned(), used)].into(),
                links: BTreeMap::new(),
                unnamed: BTreeMap::new(),
            };
            let purposes = [(path, Purpose::Written)].into();
            let lines = written::wanted(seen, &paths, &purposes, facts);
            let is_told = lines.iter().any(|line| matches!(line.place, Place::Remark(_)));
            let is_control = is_told && path.parent().is_some_and(is_control);
            if is_control { hint(CONTROL) } else { lack(lines) }
        }
        Purpose::Data => match data::place(path, used.kind == Kind::Directory) {
            Some(place) => lack(vec![mount(place, "", why)]),
            None => hint(AMONG_KEYS).map(|lack| Lack { secret: Some(path.to_owned()), ..lack }),
        },
        Purpose::Program => lack(vec![Line::entry("tree", "programs", quoted(path), why)]),
        Purpose::File => match secrets::of(path, &used) {
            Secret::No => lack(vec![Line::entry("tree", place_of(path), quoted(path), why)]),
            Secret::Private => lack(vec![mount(path, "", why)]),
            Secret::Key => secret(),
        },
        Purpose::Directory if (used.is(Use::Listed) || used.is(Use::Read)) && !is_wide(path) => {
            match copied::directory_without_secrets(path) {
                Some(value) => lack(vec![Line::entry("tree", "files", value, why)]),
                None => hint("it is large: name what is needed of it in `files`, or show it by a mount"),
            }
        }
        Purpose::Directory => {
            lack(vec![Line::entry("tree", "directories", format!("{{ path = {} }}", quoted(path)), why)])
        }
    }
}

/// The mount that a path is on.
fn mount_of<'a>(path: &Path, manifest: &'a Manifest) -> Option<&'a Mount> {
    let mounts = manifest.mounts.iter().map(|mount| &mount.value);
    mounts
        .filter(|mount| path.starts_with(mount.target.as_path()))
        .max_by_key(|mount| mount.target.as_path().components().count())
}

/// What a mount has to allow for what was refused on it, if it does not.
fn on_mount(mount: &Mount, used: &Used, changed: bool, why: &str) -> Vec<Line> {
    let is_bind = matches!(mount.kind, MountKind::Bind { .. });
    let is_read_only = mount.read_only.unwrap_or(is_bind);
    let target = mount.target.to_string();
    let key = |key: &str, value: &str| Line::within("mounts", &target, key, value, why);
    let mut lines = Vec::new();
    if changed && is_read_only {
        lines.push(key("read_only", "false"));
    }
    if used.is(Use::Executed) && !mount.executable.unwrap_or(is_bind && is_read_only) {
        lines.push(key("executable", "true"));
    }
    lines
}

/// The list that a file is named in.
fn place_of(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(".so") || name.contains(".so.") { "libraries" } else { "files" }
}

/// A place of the host's, shown.
fn mount(place: &Path, more: &str, why: String) -> Line {
    let value = format!("source = {0}\ntarget = {0}{more}", quoted(place));
    Line { place: Place::Table("mounts"), value, reason: why }
}

/// A device. A list that is written takes the place of the one that every jail has, so that has to be in it.
fn device(name: &str, why: &str, manifest: &Manifest) -> Vec<Line> {
    let mut lines = Vec::new();
    if manifest.tree.devices.is_none() {
        lines.extend(default_devices());
    }
    lines.push(Line::entry("tree", "devices", text(name), why));
    lines
}

/// The devices that every jail has whose manifest says nothing of them.
pub(super) fn default_devices() -> impl Iterator<Item = Line> {
    let default = DEVICES.iter().filter(|device| devices::is_default(device.name));
    default.map(|device| Line::entry("tree", "devices", text(device.name), "as in every jail"))
}

/// The calls that the jail's filter refused. What it answers as an older kernel would, or pretends, says nothing: programs go on.
fn calls(seen: &Seen, manifest: &Manifest) -> Vec<Lack> {
    let (words, policy) = system_calls::of(manifest);
    let mut refused: Vec<(usize, Option<Decision>, &Call, &Moment)> = Vec::new();
    for (call, moment) in &seen.calls {
        let Some(at) = position(call.architecture, call.number) else { continue };
        match policy.refuses_at(at, &call.arguments) {
            Some((_, Errno::ENOSYS | Errno::Success)) | None => {}
            // One call with other arguments is refused for the same reason, and opened by the same word.
            Some((decision, _)) => {
                match refused.iter_mut().find(|(known, of, ..)| (*known, *of) == (at, decision)) {
                    Some(known) if known.3.at <= moment.at => {}
                    Some(known) => *known = (at, decision, call, moment),
                    None => refused.push((at, decision, call, moment)),
                }
            }
        }
    }
    let opened = refused.iter().filter_map(|(at, decision, ..)| opens(*at, *decision));
    let mut all = words;
    for word in opened {
        if !all.contains(&word) {
            all.push(word);
        }
    }
    let all: Vec<String> = all.iter().map(|word| text(word)).collect();
    let list = format!("[{}]", all.join(", "));
    let lack = |(at, decision, _, moment): (usize, Option<Decision>, &Call, &Moment)| {
        let why = reason(moment, "wanted");
        let about = decision.map_or_else(String::new, |decision| format!(" ({})", decision.reason().name));
        let what = format!("system call `{}`{about} is refused: {why}", CALLS[at].name);
        let mut lines = Vec::new();
        if opens(at, decision).is_some() {
            lines.push(Line::value("privileges", "system_calls", list.clone(), why.clone()));
        }
        let has = |number: &u8| manifest.privileges.capabilities.iter().any(|given| given.value == *number);
        let capability = decision.and_then(|decision| decision.reason().capability);
        if let Some(number) = capability.filter(|number| !has(number)) {
            let name = capability::NAMES[usize::from(number)];
            lines.push(Line::entry("privileges", "capabilities", text(name), why));
        }
        let hint = lines.is_empty().then(|| "only `system_calls = \"all\"` lets it in".to_owned());
        Lack { hint, ..Lack::of(what, lines) }
    };
    refused.into_iter().map(lack).collect()
}

/// The word of a list that lets a call in: its own, or that of the group for the decision in its way.
fn opens(at: usize, decision: Option<Decision>) -> Option<String> {
    match (decision, CALLS[at].rule) {
        (None, _) | (_, Rule::Refuse(..)) => Some(CALLS[at].name.to_owned()),
        (Some(decision), _) => decision.reason().groups.first().map(|group| format!("@{group}")),
    }
}

/// What is there.
fn kind(now: &std::fs::Metadata) -> Kind {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    match now.file_type() {
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_socket() => Kind::Socket,
        kind if kind.is_fifo() => Kind::Fifo,
        kind if kind.is_char_device() => Kind::Character(now.rdev()),
        kind if kind.is_block_device() => Kind::Block(now.rdev()),
        _ => Kind::Regular,
    }
}
