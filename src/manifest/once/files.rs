//! What options show: mounts, directories, links and small files, in the order in which they are asked for. As with bubblewrap a later
//! one comes over an earlier one; what it would hide is left out, so that the rest is in an order any manifest can have.

mod links;
mod unasked;

use std::path::{Path, PathBuf};

use super::place::{absolute, place};
use super::{Asked, Entry, Facts, Found, Node, Refused, Table, Value, append, number, text_of};
use crate::plan::Origin;

/// Where programs and libraries are: directories, or links to directories.
pub(super) const SYSTEM: [&str; 8] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"];

/// One thing that is shown or made.
struct Item {
    target: PathBuf,
    /// The list of a manifest that it goes to.
    list: &'static str,
    table: Table,
    origin: Origin,
}

/// Where the program begins.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// Because of what; `None` leaves it to the manifest.
    pub(super) origin: Option<Origin>,
    /// What the caller should know.
    pub(super) note: Option<String>,
}

/// Everything that is shown so far.
#[allow(clippy::struct_excessive_bools, reason = "independent options")]
pub(super) struct Files {
    items: Vec<Item>,
    /// Words of `host`.
    host: Vec<(&'static str, Origin)>,
    /// The mode of what is made next, and the size of the next tmpfs.
    mode: Option<String>,
    size: Option<String>,
    /// The size of what writes to memory, where none is given for it alone.
    usual_size: Option<String>,
    /// What the next `--tmp-overlay` is over.
    below: Option<(PathBuf, Origin)>,
    is_whole: bool,
    /// Whether what `--root` names is shown writable.
    root_is_writable: bool,
    /// Whether root inside is root on what is shown writable.
    root_is_root: bool,
    /// Whether there is a /dev/tty: where there is a terminal, or devices are asked for.
    has_tty: bool,
    /// Whether the program stays in the host's tree.
    is_hosts: bool,
    /// Whether nothing of the host's is shown unasked.
    is_bare: bool,
    chdir: Option<(String, Origin)>,
    /// Why the current directory is not shown, if it is not.
    note: Option<String>,
}

impl Files {
    /// What is shown before any option.
    pub(super) fn new(asked: &[Asked], facts: &Facts<'_>, is_whole: bool) -> Self {
        let is_root = |asked: &Asked| match asked.name {
            "--bare" | "--root" => true,
            "--ro-bind" | "--bind" | "--ro-bind-try" | "--bind-try" => asked.value(1) == "/",
            _ => false,
        };
        let mut files = Self {
            items: Vec::new(),
            host: Vec::new(),
            mode: None,
            size: None,
            usual_size: asked
                .iter()
                .rev()
                .find(|asked| asked.name == "--tmp-size")
                .map(|asked| asked.value(0).into()),
            below: None,
            is_whole,
            is_hosts: asked.iter().any(|asked| asked.name == "--landlock-only"),
            has_tty: facts.terminal || asked.iter().any(|asked| asked.name == "--dev"),
            root_is_root: asked.iter().any(|asked| asked.name == "--no-root-squash"),
            root_is_writable: asked.iter().any(|asked| asked.name == "--rw-root"),
            is_bare: !is_whole || asked.iter().any(is_root),
            chdir: None,
            note: None,
        };
        if !files.is_bare {
            files.system(facts);
        }
        if is_whole && !files.is_hosts && !asked.iter().any(|asked| asked.name == "--bare") {
            files.own(facts);
        }
        if !files.is_bare {
            files.current(facts);
        }
        files
    }

    /// Whether a bind shows this path of the host where it is on the host.
    fn covers(&self, path: &Path) -> bool {
        let above = self.items.iter().filter(|item| item.list == "mounts" && path.starts_with(&item.target));
        let top = above.max_by_key(|item| item.target.as_os_str().len());
        top.is_some_and(|item| {
            matches!(item.table.get("source").map(|entry| &entry.node.value), Some(Value::Text(source)) if Path::new(source) == item.target)
        })
    }

    /// One option, if it is about files.
    pub(super) fn option(&mut self, asked: &Asked, facts: &Facts<'_>) -> Result<bool, Refused> {
        let origin = asked.origin();
        let (first, last) = (asked.value(0), asked.values.last().map_or("", String::as_str));
        let source = || PathBuf::from(absolute(Path::new(first), facts));
        let bind = |writable, optional, devices| Bind { writable, optional, devices };
        match asked.name {
            "--rw" | "--ro" => {
                let target = self.meant(source(), facts);
                self.bind(&source(), target, bind(asked.name == "--rw", false, false), &origin);
            }
            "--root" => {
                self.root(&source(), bind(self.root_is_writable, false, false), facts, &origin);
            }
            "--bind" | "--ro-bind" | "--bind-try" | "--ro-bind-try" | "--dev-bind" | "--dev-bind-try" => {
                let how = Bind {
                    writable: !asked.name.contains("ro-"),
                    optional: asked.name.ends_with("-try"),
                    devices: asked.name.contains("dev-"),
                };
                match place(last)? {
                    target if target == Path::new("/") => self.root(&source(), how, facts, &origin),
                    target => self.bind(&source(), self.meant(target, facts), how, &origin),
                }
            }
            "--tmpfs" => self.tmpfs(self.meant(place(first)?, facts), &origin),
            "--overlay" if self.below.is_some() => {
                return Err((
                    "`--overlay` after `--overlay-src` is bubblewrap's, of three words, and cannot be had".into(),
                    "write --tmp-overlay DEST instead, and --commit if the changes are to come to the directory below".into(),
                ));
            }
            "--overlay" => {
                let target = self.meant(place(&absolute(Path::new(first), facts))?, facts);
                self.overlay(&source(), target, &origin);
            }
            "--overlay-src" => {
                if let Some((before, _)) = self.below.replace((source(), origin)) {
                    return Err((
                        format!(
                            "`--overlay-src {first}` is one more than `--overlay-src {}`, and an overlay is over one directory",
                            before.display()
                        ),
                        "write --tmp-overlay DEST after each, at places of their own".into(),
                    ));
                }
            }
            "--tmp-overlay" => {
                let Some((source, _)) = self.below.take() else {
                    return Err((
                        format!("`--tmp-overlay {first}` has nothing below it"),
                        "write --overlay-src SRC before it, or `--overlay DIR` for both".into(),
                    ));
                };
                self.overlay(&source, self.meant(place(first)?, facts), &origin);
            }
            "--mqueue" => {
                let table = table([("type", text_of("mqueue", &origin))], &origin);
                self.mount(self.meant(place(first)?, facts), table, &origin);
            }
            "--dir" => self.directory(place(first)?, &origin),
            "--symlink" => self.link(first, place(last)?, &origin),
            "--file" | "--bind-data" | "--ro-bind-data" => self.file(asked, facts, &origin)?,
            "--hide" => self.hide(&place(&absolute(Path::new(first), facts))?, facts, &origin),
            "--remount-ro" => self.remount(&self.meant(place(first)?, facts), asked, &origin)?,
            "--perms" => given_once(asked, self.mode.replace(first.to_owned()))?,
            "--size" => given_once(asked, self.size.replace(bounded(asked)?))?,
            "--tmp-size" => _ = bounded(asked)?,
            "--chdir" => self.chdir = Some((first.to_owned(), origin)),
            "--dev" | "--proc" => {
                let path = asked.name.replace("--", "/");
                if place(first)? != Path::new(&path) {
                    return Err((
                        format!("`{} {first}` cannot be had", asked.name),
                        format!("it is at `{path}` in every jail"),
                    ));
                }
            }
            "--share-net" | "--net" => {
                self.host.retain(|(word, _)| !matches!(*word, "dns" | "hosts"));
                // Who is asked for names in a network that leads anywhere.
                if first != "none" {
                    self.host.extend([("dns", origin.clone()), ("hosts", origin)]);
                }
            }
            _ => return Ok(false),
        }
        // The network is an affair of namespaces as well.
        Ok(!matches!(asked.name, "--share-net" | "--net"))
    }

    /// A mount, which hides what was there before.
    fn mount(&mut self, target: PathBuf, mut table: Table, origin: &Origin) {
        self.items.retain(|item| !item.target.starts_with(&target));
        set(&mut table, "target", text_of(target.to_string_lossy(), origin));
        self.items.push(Item { target, list: "mounts", table, origin: origin.clone() });
    }

    fn bind(&mut self, source: &Path, target: PathBuf, how: Bind, origin: &Origin) {
        let flag = |value| Node::new(Value::Flag(value), origin.clone());
        let mut table = table([("source", text_of(source.to_string_lossy(), origin))], origin);
        if how.writable {
            if self.root_is_root {
                set(&mut table, "root_squash", flag(false));
            }
            set(&mut table, "read_only", flag(false));
            set(&mut table, "executable", flag(true));
        }
        for (key, on) in [("optional", how.optional), ("devices", how.devices)] {
            if on {
                set(&mut table, key, flag(true));
            }
        }
        self.mount(target, table, origin);
    }

    /// What is in a directory of the host as what is in the root, each for itself: the root is in memory all the same.
    fn root(&mut self, source: &Path, how: Bind, facts: &Facts<'_>, origin: &Origin) {
        for name in (facts.names)(source) {
            let (from, to) = (source.join(&name), Path::new("/").join(&name));
            // The jail has its own; and what is mounted on /sys tells of the host.
            if ["proc", "dev", "sys"].contains(&name.as_str()) {
                continue;
            }
            // Who listens at the sockets there does on the host what the jail asks for: a mount of it would be refused.
            if source == Path::new("/") && name == "run" {
                self.tmpfs(to, origin);
                continue;
            }
            match (facts.look)(&from) {
                Found::Link(text) => self.link(&text, to, origin),
                Found::Directory | Found::Other => self.bind(&from, to, how, origin),
                Found::Nothing => {}
            }
        }
    }

    fn tmpfs(&mut self, target: PathBuf, origin: &Origin) {
        let mode = self.mode.take().unwrap_or_else(|| "0755".into());
        let executable = Node::new(Value::Flag(true), origin.clone());
        let mut table = table(
            [("type", text_of("tmpfs", origin)), ("mode", text_of(mode, origin)), ("executable", executable)],
            origin,
        );
        if let Some(size) = self.size.take() {
            set(&mut table, "size", crate::manifest::text::parse_typed(&size, origin));
        }
        self.mount(target, table, origin);
    }

    /// A directory of the host's below a scratch layer.
    fn overlay(&mut self, source: &Path, target: PathBuf, origin: &Origin) {
        let executable = Node::new(Value::Flag(true), origin.clone());
        let source = text_of(source.to_string_lossy(), origin);
        let mut table = table(
            [("type", text_of("overlay", origin)), ("source", source), ("executable", executable)],
            origin,
        );
        if let Some(size) = self.size.take().or_else(|| self.usual_size.clone()) {
            set(&mut table, "size", crate::manifest::text::parse_typed(&size, origin));
        }
        self.mount(target, table, origin);
    }

    /// Something small that is made, unless a directory is wanted where one is.
    fn make(&mut self, target: PathBuf, list: &'static str, mut table: Table, origin: &Origin) {
        let is_directory = list == "tree.directories";
        if is_directory && self.items.iter().any(|item| item.target == target) {
            return;
        }
        self.items.retain(|item| item.target != target);
        set(&mut table, "path", text_of(target.to_string_lossy(), origin));
        self.items.push(Item { target, list, table, origin: origin.clone() });
    }

    fn directory(&mut self, target: PathBuf, origin: &Origin) {
        let mode = self.mode.take().unwrap_or_else(|| "0755".into());
        self.make(target, "tree.directories", table([("mode", text_of(mode, origin))], origin), origin);
    }

    fn link(&mut self, text: &str, target: PathBuf, origin: &Origin) {
        self.make(target, "tree.links", table([("target", text_of(text, origin))], origin), origin);
    }

    fn file(&mut self, asked: &Asked, facts: &Facts<'_>, origin: &Origin) -> Result<(), Refused> {
        let (name, from) = (asked.name, asked.value(0));
        let unread = |why: String| {
            (
                format!("`{name} {from}`: {why}"),
                format!("give a descriptor that is open for reading: `{name} 3 DEST 3< FILE`"),
            )
        };
        let bytes = (facts.read)(from).map_err(unread)?;
        let content = String::from_utf8(bytes).map_err(|_| {
            (
                format!("what can be read from descriptor {from} is no text"),
                "show a file of the host's by `--ro-bind FILE DEST`".to_owned(),
            )
        })?;
        let mode = self.mode.take().unwrap_or_else(|| if name == "--file" { "0666" } else { "0600" }.into());
        let table = table([("mode", text_of(mode, origin)), ("content", text_of(content, origin))], origin);
        self.make(place(asked.value(1))?, "tree.text", table, origin);
        Ok(())
    }

    /// Something empty over what is there.
    fn hide(&mut self, target: &Path, facts: &Facts<'_>, origin: &Origin) {
        // What a link leads to is what is not to be seen, if that is shown at all.
        let meant = self.meant(target.to_owned(), facts);
        let (target, on_host) = match self.on_host(&meant) {
            Some(on_host) => (meant.as_path(), on_host),
            None => (target, target.to_owned()),
        };
        if (facts.look)(&on_host) == Found::Directory {
            // Size and mode are its own: what --perms and --size have said is for another.
            let for_another = (self.size.replace("4K".into()), self.mode.replace("0755".into()));
            self.tmpfs(target.to_owned(), origin);
            (self.size, self.mode) = for_another;
            if let Some(item) = self.items.last_mut() {
                set(&mut item.table, "read_only", Node::new(Value::Flag(true), origin.clone()));
            }
        } else {
            self.bind(Path::new("/dev/null"), target.to_owned(), Bind::READ_ONLY, origin);
        }
    }

    fn remount(&mut self, target: &Path, asked: &Asked, origin: &Origin) -> Result<(), Refused> {
        if target == Path::new("/") {
            return Ok(());
        }
        let found = self.items.iter_mut().find(|item| item.list == "mounts" && item.target == target);
        let Some(item) = found else {
            let message =
                format!("nothing is mounted at `{}` that `--remount-ro` could be about", asked.value(0));
            return Err((message, "name the DEST of a --bind or --tmpfs that stands before it".into()));
        };
        set(&mut item.table, "read_only", Node::new(Value::Flag(true), origin.clone()));
        Ok(())
    }

    /// Where the program begins: where an option says, or in the current directory, or at home.
    pub(super) fn working_directory(&mut self, facts: &Facts<'_>) -> Result<Directory, Refused> {
        if let Some((path, origin)) = self.chdir.take() {
            let path = Path::new("/").join(path);
            if self.is_whole && !self.has(&path) {
                let message = format!("there is no `{}` in the jail to begin in", path.display());
                return Err((message, "show or make it: `--ro PATH`, `--dir PATH`".into()));
            }
            return Ok(Directory { path, origin: Some(origin), note: None });
        }
        if !self.is_whole {
            return Ok(Directory { path: facts.current.clone(), origin: None, note: None });
        }
        let origin = Origin::Default("where the caller is, if that is shown");
        if self.covers(&facts.current) {
            return Ok(Directory { path: facts.current.clone(), origin: Some(origin), note: None });
        }
        let has_home = self.items.iter().any(|item| item.target == facts.home);
        let path = if has_home { facts.home.clone() } else { "/".into() };
        Ok(Directory { path, origin: Some(origin), note: self.note.take() })
    }

    /// Whether something is made or shown at a path, or may be below what is shown.
    fn has(&self, path: &Path) -> bool {
        ["/dev", "/proc"].iter().any(|own| path.starts_with(own))
            || self.items.iter().any(|item| {
                item.target.starts_with(path) || (item.list == "mounts" && path.starts_with(&item.target))
            })
    }

    /// A mode or a size that is given to nothing is a mistake in the order of options.
    pub(super) fn nothing_is_left(&self) -> Result<(), Refused> {
        for (name, left, of) in [
            ("--perms", &self.mode, "--dir, --tmpfs or --file"),
            ("--size", &self.size, "--tmpfs or --overlay"),
        ] {
            if let Some(value) = left {
                let message = format!("`{name} {value}` comes before nothing that it could be of");
                return Err((message, format!("write it before the {of} that is meant")));
            }
        }
        match &self.below {
            Some((source, _)) => Err((
                format!("`--overlay-src {}` has nothing over it", source.display()),
                "write --tmp-overlay DEST after it, or `--overlay DIR` for both".into(),
            )),
            None => Ok(()),
        }
    }

    /// All of it in a layer.
    pub(super) fn put(self, layer: &mut Table) {
        // Words of `host` come before mounts, which would hide what they show.
        for (word, origin) in self.host {
            let shown = Path::new(if word == "dns" { "/etc/resolv.conf" } else { "/etc/hosts" });
            if !self.items.iter().any(|item| item.list == "mounts" && shown.starts_with(&item.target)) {
                append(layer, "tree.host", text_of(word, &origin));
            }
        }
        let taken: Vec<_> = self.items.iter().map(|item| item.target.clone()).collect();
        for Item { list, table, origin, .. } in self.items {
            append(layer, list, Node::new(Value::Table(table), origin));
        }
        if self.is_whole {
            let origin = Origin::Default("devices that reach nothing, and terminals of the jail's own");
            let tty = self.has_tty.then_some("tty");
            let own = if self.is_hosts { [].as_slice() } else { &["pts", "shm"] };
            let nodes = ["null", "zero", "full", "random", "urandom"];
            for device in nodes.into_iter().chain(own.iter().copied()).chain(tty) {
                // An option may put something else in its place.
                if !taken.contains(&Path::new("/dev").join(device)) {
                    append(layer, "tree.devices", text_of(device, &origin));
                }
            }
        }
    }
}

/// How something of the host is shown.
#[derive(Clone, Copy)]
struct Bind {
    writable: bool,
    optional: bool,
    devices: bool,
}

impl Bind {
    const READ_ONLY: Self = Self { writable: false, optional: false, devices: false };
}

/// One of two would be for nothing.
fn given_once(asked: &Asked, before: Option<String>) -> Result<(), Refused> {
    let Some(before) = before else { return Ok(()) };
    let (name, value) = (asked.name, asked.value(0));
    let message = format!("`{name} {before}` and `{name} {value}` are for the same");
    Err((message, format!("leave one of them out, or write what `{name} {before}` is of after it")))
}

/// A size of a file system in memory, which has one: the kernel takes 0 for no limit, see tmpfs(5).
fn bounded(asked: &Asked) -> Result<String, Refused> {
    let value = asked.value(0);
    if value.trim_matches(|c: char| c == '0' || c.is_ascii_alphabetic()).is_empty() {
        let message = format!("`{} {value}` would be no limit at all", asked.name);
        return Err((message, format!("write a size, such as `{} 64M`", asked.name)));
    }
    Ok(value.to_owned())
}

/// A table with these values.
fn table<const N: usize>(values: [(&str, Node); N], origin: &Origin) -> Table {
    values.into_iter().map(|(key, node)| (key.to_owned(), Entry { key: origin.clone(), node })).collect()
}

/// One more value of a table.
fn set(table: &mut Table, key: &str, node: Node) {
    table.insert(key.to_owned(), Entry { key: node.origin.clone(), node });
}
