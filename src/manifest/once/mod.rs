//! The options of `stockade once` as one more layer of a manifest: what a file would say, each value with the option it comes from.
//! Whatever holds for a manifest holds for it: it is decoded, checked, resolved and run by the same code, and can be written to a file.

mod files;
mod lacked;
mod place;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};

use super::edit::quoted;
use super::layers::put;
use super::node::{Entry, Node, Table, Value};
use super::schema::RESOURCES;
use super::text;
use crate::plan::{Origin, capability};
use crate::sys::process::USUAL_UMASK;
pub use lacked::{IN_A_MANIFEST, option as option_for};

use files::Files;

/// An option with its values, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name, with the dashes.
    pub name: &'static str,
    /// What stands after it.
    pub values: Vec<String>,
}

impl Asked {
    /// The option as typed.
    fn origin(&self) -> Origin {
        let words = std::iter::once(self.name).chain(self.values.iter().map(String::as_str));
        Origin::CommandLine(words.collect::<Vec<_>>().join(" "))
    }

    /// One of its values.
    fn value(&self, at: usize) -> &str {
        self.values.get(at).map_or("", String::as_str)
    }
}

/// What is at a path of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing that can be seen.
    Nothing,
    /// A symbolic link with this text.
    Link(String),
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// What the options mean depends on who says them, and where.
pub struct Facts<'a> {
    /// The caller's user id.
    pub uid: u32,
    /// The caller's group id.
    pub gid: u32,
    /// The caller's name.
    pub user: String,
    /// The name of the caller's group.
    pub group: String,
    /// The caller's home.
    pub home: PathBuf,
    /// The current directory.
    pub current: PathBuf,
    /// The caller's umask.
    pub umask: u32,
    /// Whether the program will have a terminal.
    pub terminal: bool,
    /// What is at a path; the last component is not followed.
    pub look: &'a dyn Fn(&Path) -> Found,
    /// The names in a directory, sorted.
    pub names: &'a dyn Fn(&Path) -> Vec<String>,
    /// What can be read from a descriptor of the caller's.
    pub read: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
}

impl Facts<'_> {
    /// The first of these that can be a home in the jail, or one that always can.
    pub fn home(user: &str, candidates: impl IntoIterator<Item = PathBuf>) -> PathBuf {
        let found = candidates.into_iter().find(|home| place::can_be_home(home));
        found.unwrap_or_else(|| Path::new("/home").join(user))
    }
}

/// Why an option cannot be taken: what is wrong, and what to do.
pub type Refused = (String, String);

/// What it takes to give files away and to become another user, where there are others. It counts inside only.
const OVER_IDS: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"];

/// The jail's name where no manifest gives one.
const NAME: &str = "once";

/// Variables of the caller's that programs may have: how it wants to be spoken to, and what its terminal can.
const PASSED: [&str; 8] =
    ["COLORTERM", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TERM", "TZ"];

/// Variables that every jail has.
const ALWAYS: [&str; 5] = ["HOME", "LOGNAME", "PATH", "TERM", "USER"];

/// What the options amount to, and what the caller should know of it.
pub(super) struct Layer {
    /// The layer.
    pub(super) table: Table,
    /// Where the current directory is not shown: why.
    pub(super) note: Option<String>,
}

/// The layer of these options and this command.
pub(super) fn layer(asked: &[Asked], command: &[String], facts: &Facts<'_>) -> Result<Layer, Refused> {
    let is_whole = !asked.iter().any(|asked| asked.name == "--from");
    let mut files = Files::new(asked, facts, is_whole);
    let has_range = asked.iter().any(|asked| asked.name == "--id-range");
    let (uid, gid) = if has_range { (0, 0) } else { (facts.uid, facts.gid) };
    let mut made = Making { uid, gid, ..Making::default() };
    for asked in asked {
        if !files.option(asked, facts)? {
            made.option(asked)?;
        }
    }
    files.nothing_is_left()?;
    made.processes()?;
    if is_whole {
        made.whole(facts);
        files.accounts(facts, made.uid, made.gid);
    } else if let Some(origin) = &made.hosts {
        put(&mut made.table, "root.tree", text_of("host", origin));
    }
    let directory = files.working_directory(facts)?;
    let Making { mut table, variables, .. } = made;
    variables.put(&mut table);
    if let Some((command, arguments)) = command.split_first() {
        let path = match (Path::new(command).is_absolute(), command.contains('/')) {
            (false, true) => place::absolute(&directory.path.join(command), facts),
            _ => command.to_owned(),
        };
        let origin = Origin::CommandLine(command.to_owned());
        let words = std::iter::once(&path).chain(arguments).map(|word| text_of(word, &origin));
        put(&mut table, "program.command", list(words.collect::<Vec<_>>(), &origin));
    }
    if let Some(origin) = &directory.origin {
        let path = directory.path.to_string_lossy().into_owned();
        put(&mut table, "program.working_directory", text_of(path, origin));
    }
    let note = directory.note.clone();
    files.put(&mut table);
    Ok(Layer { table, note })
}

/// The layer in the making, but for files.
#[derive(Default)]
struct Making {
    table: Table,
    uid: u32,
    gid: u32,
    /// The options that say so.
    uid_origin: Option<Origin>,
    /// What says that the program stays in the host's tree.
    hosts: Option<Origin>,
    gid_origin: Option<Origin>,
    variables: Variables,
    /// `--pids`, the last of them.
    processes: Option<Asked>,
    /// Whether the program is PID 1 itself.
    is_first: bool,
}

impl Making {
    /// An option that is not about files.
    fn option(&mut self, asked: &Asked) -> Result<(), Refused> {
        let origin = asked.origin();
        let value = asked.value(0);
        let mut set = |key: &str, node| put(&mut self.table, key, node);
        match asked.name {
            "--setenv" => self.variables.set(value, asked.value(1), &origin),
            "--env" => match value.split_once('=') {
                Some((name, value)) => self.variables.set(name, value, &origin),
                None => self.variables.pass(value, &origin),
            },
            "--unsetenv" => self.variables.unset(value, &origin),
            "--clearenv" => self.variables.clear(&origin),
            "--uid" => (self.uid, self.uid_origin) = (id(asked)?, Some(origin)),
            "--gid" => (self.gid, self.gid_origin) = (id(asked)?, Some(origin)),
            "--id-range" => {
                set("namespaces.id_range", Node::new(Value::Flag(true), origin.clone()));
                for capability in OVER_IDS {
                    append(&mut self.table, "privileges.capabilities", text_of(capability, &origin));
                }
            }
            "--hostname" => set("namespaces.hostname", text_of(value, &origin)),
            "--cap-add" if value.eq_ignore_ascii_case("all") => {
                for name in capability::NAMES {
                    append(&mut self.table, "privileges.capabilities", text_of(name, &origin));
                }
            }
            "--cap-add" => append(&mut self.table, "privileges.capabilities", text_of(value, &origin)),
            "--best-effort" => append(&mut self.table, "privileges.best_effort", text_of(value, &origin)),
            "--as-pid-1" => {
                self.is_first = true;
                set("program.init", Node::new(Value::Flag(false), origin));
            }
            "--share-net" => self.share_network(&origin),
            "--net" if value == "host" => self.share_network(&origin),
            "--net" => set("namespaces.network", text_of(value, &origin)),
            "--publish" => append(&mut self.table, "namespaces.publish", text_of(value, &origin)),
            "--allow" => append(&mut self.table, "namespaces.allow", text_of(value, &origin)),
            "--no-proc" => set("root.proc", text_of("none", &origin)),
            "--landlock-only" => self.hosts = Some(origin),
            "--unshare-net" => set("namespaces.network", text_of("none", &origin)),
            "--timeout" => set("limits.runtime_max", text::parse_typed(value, &origin)),
            "--cpu-time" => set("limits.cpu_time_max", text::parse_typed(value, &origin)),
            "--memory" => set("limits.memory", text::parse_typed(value, &origin)),
            "--pids" => self.processes = Some(asked.clone()),
            "--file-size" => set("limits.file_size", text::parse_typed(value, &origin)),
            "--output-size" => set("limits.output_size", text::parse_typed(value, &origin)),
            "--rlimit" => {
                let (key, bounds) = limit(value)?;
                // TOML would take `20:30` for a time of day.
                let is_pair = bounds.contains(':');
                let node =
                    if is_pair { text_of(bounds, &origin) } else { text::parse_typed(bounds, &origin) };
                set(&format!("limits.{key}"), node);
            }
            // The others are for the command itself.
            _ => {}
        }
        Ok(())
    }

    /// The host's network, and a user namespace all the same.
    fn share_network(&mut self, origin: &Origin) {
        put(&mut self.table, "namespaces.network", text_of("host", origin));
        put(&mut self.table, "namespaces.user", Node::new(Value::Flag(true), origin.clone()));
    }

    /// The limit on the program's processes: stockade's own, PID 1, counts with them and comes on top.
    fn processes(&mut self) -> Result<(), Refused> {
        let Some(asked) = &self.processes else { return Ok(()) };
        let origin = asked.origin();
        let node = match asked.value(0).parse::<u32>() {
            Ok(0) => {
                let wrong = format!("`--pids {}` leaves no room for the program", asked.value(0));
                return Err((wrong, "write `--pids 1` for the program alone".into()));
            }
            Ok(count) => number(count.saturating_add((!self.is_first).into()), &origin),
            Err(_) => text::parse_typed(asked.value(0), &origin),
        };
        put(&mut self.table, "limits.processes", node);
        Ok(())
    }

    /// What every jail has that starts from nothing.
    fn whole(&mut self, facts: &Facts<'_>) {
        let default = |reason| Origin::Default(reason);
        let caller = default("who the caller is, as nobody outside");
        put(&mut self.table, "name", text_of(NAME, &default("there is no manifest that gives a name")));
        put(&mut self.table, "program.user", number(self.uid, self.uid_origin.as_ref().unwrap_or(&caller)));
        put(&mut self.table, "program.group", number(self.gid, self.gid_origin.as_ref().unwrap_or(&caller)));
        let memory = default("nothing of a program that is run once is kept");
        put(&mut self.table, "root.tree", text_of("memory", &memory));
        if let Some(origin) = &self.hosts {
            put(&mut self.table, "root.tree", text_of("host", origin));
        }
        // What the caller keeps from others the program does too, but what it makes is never more open than is usual: a caller's own
        // bits are reset like all that is inherited.
        let umask = USUAL_UMASK | facts.umask & 0o077;
        if umask != USUAL_UMASK {
            let reason = default("what the caller's files may be to others");
            put(&mut self.table, "program.umask", text_of(format!("{umask:04o}"), &reason));
        }
        let name = if self.uid == 0 { "root" } else { &facts.user };
        let home = facts.home.to_string_lossy();
        for (variable, value) in [("HOME", &*home), ("LOGNAME", name), ("USER", name)] {
            self.variables.assume(variable, value, &caller);
        }
        let language = default("how the caller wants to be spoken to");
        for name in PASSED {
            self.variables.offer(name, &language);
        }
    }
}

/// The environment: the last option that names a variable decides.
#[derive(Default)]
struct Variables {
    set: Vec<(String, String, Origin)>,
    passed: Vec<(String, Origin)>,
    unset: Vec<(String, Origin)>,
    cleared: bool,
}

impl Variables {
    fn forget(&mut self, name: &str) {
        self.set.retain(|(other, ..)| other != name);
        self.passed.retain(|(other, _)| other != name);
        self.unset.retain(|(other, _)| other != name);
    }

    fn set(&mut self, name: &str, value: &str, origin: &Origin) {
        self.forget(name);
        self.set.push((name.into(), value.into(), origin.clone()));
    }

    fn pass(&mut self, name: &str, origin: &Origin) {
        self.forget(name);
        self.passed.push((name.into(), origin.clone()));
    }

    fn unset(&mut self, name: &str, origin: &Origin) {
        self.forget(name);
        self.unset.push((name.into(), origin.clone()));
    }

    fn clear(&mut self, origin: &Origin) {
        *self = Self { cleared: true, ..Self::default() };
        self.unset = ALWAYS.map(|name| (name.to_owned(), origin.clone())).into();
    }

    fn is_named(&self, name: &str) -> bool {
        self.set.iter().any(|(other, ..)| other == name)
            || self.passed.iter().chain(&self.unset).any(|(other, _)| other == name)
    }

    fn assume(&mut self, name: &str, value: &str, origin: &Origin) {
        if !self.is_named(name) {
            self.set.push((name.into(), value.into(), origin.clone()));
        }
    }

    fn offer(&mut self, name: &str, origin: &Origin) {
        if !self.cleared && !self.is_named(name) {
            self.passed.push((name.into(), origin.clone()));
        }
    }

    fn put(self, table: &mut Table) {
        for (name, value, origin) in self.set {
            let node = text_of(value, &origin);
            let variable = Table::from([(name, Entry { key: origin.clone(), node })]);
            put(table, "program.environment", Node::new(Value::Table(variable), origin));
        }
        for (name, origin) in self.passed {
            append(table, "program.pass_environment", text_of(name, &origin));
        }
        for (name, origin) in self.unset {
            append(table, "program.unset_environment", text_of(name, &origin));
        }
    }
}

/// The layer as the text of a manifest, which includes the one that the options are over.
pub(super) fn text(table: &Table, base: Option<&Path>) -> String {
    let head = "# Written by `stockade once --save`: what its options amount to.\n";
    match base {
        Some(base) => write::toml(table, &format!("{head}include = [{}]\n", quoted(&base.to_string_lossy()))),
        None => write::toml(table, head),
    }
}

/// A user or group id.
fn id(asked: &Asked) -> Result<u32, Refused> {
    let value = asked.value(0);
    value.parse().map_err(|_| {
        (format!("`{} {value}` is not a number", asked.name), format!("write `{} 1000`", asked.name))
    })
}

/// The key of a limit by its name in the kernel, in the shell or in a manifest, and its bounds.
fn limit(value: &str) -> Result<(&'static str, &str), Refused> {
    let Some((name, bounds)) = value.split_once('=') else {
        return Err((
            format!("`--rlimit {value}` gives no bounds"),
            format!("write `--rlimit {value}=SOFT:HARD`"),
        ));
    };
    let lower = name.to_ascii_lowercase();
    let lower = lower.strip_prefix("rlimit_").unwrap_or(&lower);
    let kernels = |resource: &super::schema::Resource| {
        resource.name.strip_prefix("RLIMIT_").unwrap_or_default().to_ascii_lowercase()
    };
    let found = RESOURCES.iter().find(|resource| resource.key == lower || kernels(resource) == lower);
    found.map(|resource| (resource.key, bounds)).ok_or_else(|| {
        let names: Vec<String> = RESOURCES.iter().map(kernels).collect();
        let hint = match super::suggest::nearest(lower, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the limits are {}", super::suggest::listed(names.iter().map(String::as_str))),
        };
        (format!("there is no limit `{name}`"), hint)
    })
}

/// Text with its place.
fn text_of(text: impl Into<String>, origin: &Origin) -> Node {
    Node::new(Value::Text(text.into()), origin.clone())
}

/// A number with its place.
fn number(value: u32, origin: &Origin) -> Node {
    Node::new(Value::Integer { value: value.into(), octal: false }, origin.clone())
}

/// A list with its place.
fn list(nodes: impl Into<Vec<Node>>, origin: &Origin) -> Node {
    Node::new(Value::List(nodes.into()), origin.clone())
}

/// Adds a value to the list at a dotted key.
fn append(table: &mut Table, dotted: &str, node: Node) {
    let origin = node.origin.clone();
    put(table, dotted, list([node], &origin));
}
