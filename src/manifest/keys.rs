//! Every key a manifest may have: one table for decoding's error texts, for "did you mean", for `replace` and `--set`, and for
//! the tests that keep it complete.

use super::suggest;

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The table it stands in, as a dotted path; empty for the top. `tree.files` means the tables in that list.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What is expected, to follow "must be".
    pub expects: &'static str,
    /// How it is written, whole.
    pub example: &'static str,
}

/// A line of [`KEYS`].
const fn key(table: &'static str, name: &'static str, expects: &'static str, example: &'static str) -> Key {
    Key { table, name, expects, example }
}

const TEXT: &str = "text";
const NUMBER: &str = "a number";
const FLAG: &str = "true or false";
const TEXTS: &str = "a list of text";
const TABLE: &str = "a table";
const TABLES: &str = "a list of tables";
const MIXED: &str = "a list of text or tables";
const BOUND: &str = "a number, text such as `\"soft:hard\"`, or a table";
const WORDS: &str = "a list of words";
const USER: &str = "a name or a number";
const MODE: &str = "text, octal digits in quotes";
const SIZE: &str = "a size";
const TIME: &str = "a time";

/// The keys, in the order in which a manifest is best written.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("", "name", TEXT, "name = \"web\""),
    key("", "summary", TEXT, "summary = \"a web server\""),
    key("", "include", TEXTS, "include = [\"base/glibc.toml\"]"),
    key("", "replace", TEXTS, "replace = [\"tree.files\"]"),
    key("", "program", TABLE, "[program]"),
    key("", "tree", TABLE, "[tree]"),
    key("", "mounts", TABLES, "[[mounts]]"),
    key("", "root", TABLE, "[root]"),
    key("", "namespaces", TABLE, "[namespaces]"),
    key("", "limits", TABLE, "[limits]"),
    key("", "privileges", TABLE, "[privileges]"),
    key("", "test", TABLE, "[test]"),

    key("program", "command", WORDS, "command = [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]"),
    key("program", "user", USER, "user = \"www-data\""),
    key("program", "group", USER, "group = \"www-data\""),
    key("program", "supplementary_groups", "a list of names or numbers", "supplementary_groups = [\"ssl-cert\"]"),
    key("program", "working_directory", TEXT, "working_directory = \"/srv\""),
    key("program", "umask", MODE, "umask = \"0027\""),
    key("program", "environment", "a table of text", "environment = { TZ = \"UTC\" }"),
    key("program", "pass_environment", TEXTS, "pass_environment = [\"TERM\", \"LANG\"]"),
    key("program", "nice", NUMBER, "nice = 5"),
    key("program", "oom_score_adjust", NUMBER, "oom_score_adjust = 500"),
    key("program", "cpu_affinity", "a list of numbers, or text", "cpu_affinity = \"0-3,8\""),
    key("program", "personality", TEXTS, "personality = [\"linux32\"]"),
    key("program", "init", FLAG, "init = false"),

    key("tree", "programs", MIXED, "programs = [\"/usr/bin/python3\"]"),
    key("tree", "libraries", TEXTS, "libraries = [\"/usr/lib/nginx/modules/ngx_stream_module.so\"]"),
    key("tree", "files", MIXED, "files = [\"/etc/nginx\", { path = \"/srv/www\", exclude = [\"*.bak\"] }]"),
    key("tree", "packages", TEXTS, "packages = [\"tzdata\"]"),
    key("tree", "directories", MIXED, "directories = [{ path = \"/var/cache/bind\", owner = \"bind\", mode = \"0750\" }]"),
    key("tree", "users", TEXTS, "users = [\"bind\"]"),
    key("tree", "groups", TEXTS, "groups = [\"ssl-cert\"]"),
    key("tree", "devices", TEXTS, "devices = [\"null\", \"urandom\"]"),
    key("tree", "links", TABLES, "links = [{ path = \"/bin\", target = \"usr/bin\" }]"),
    key("tree", "text", TABLES, "text = [{ path = \"/etc/motd\", content = \"hello\\n\" }]"),

    key("tree.programs", "path", TEXT, "path = \"/usr/bin/sudo\""),
    key("tree.programs", "keep", TEXTS, "keep = [\"setid\", \"capabilities\"]"),

    key("tree.files", "path", TEXT, "path = \"/etc/ssl/*.pem\""),
    key("tree.files", "target", TEXT, "target = \"/etc/app\""),
    key("tree.files", "exclude", TEXTS, "exclude = [\"*.bak\"]"),
    key("tree.files", "owner", USER, "owner = \"bind\""),
    key("tree.files", "group", USER, "group = \"bind\""),
    key("tree.files", "mode", MODE, "mode = \"0640\""),
    key("tree.files", "keep", TEXTS, "keep = [\"setid\"]"),
    key("tree.files", "optional", FLAG, "optional = true"),

    key("tree.directories", "path", TEXT, "path = \"/var/cache/bind\""),
    key("tree.directories", "owner", USER, "owner = \"bind\""),
    key("tree.directories", "group", USER, "group = \"bind\""),
    key("tree.directories", "mode", MODE, "mode = \"0750\""),

    key("tree.links", "path", TEXT, "path = \"/bin\""),
    key("tree.links", "target", TEXT, "target = \"usr/bin\""),

    key("tree.text", "path", TEXT, "path = \"/etc/motd\""),
    key("tree.text", "content", TEXT, "content = \"hello\\n\""),
    key("tree.text", "owner", USER, "owner = \"bind\""),
    key("tree.text", "group", USER, "group = \"bind\""),
    key("tree.text", "mode", MODE, "mode = \"0640\""),

    key("mounts", "type", TEXT, "type = \"tmpfs\""),
    key("mounts", "source", TEXT, "source = \"/srv/zones\""),
    key("mounts", "target", TEXT, "target = \"/etc/bind/zones\""),
    key("mounts", "read_only", FLAG, "read_only = false"),
    key("mounts", "executable", FLAG, "executable = false"),
    key("mounts", "recursive", FLAG, "recursive = false"),
    key("mounts", "optional", FLAG, "optional = true"),
    key("mounts", "size", SIZE, "size = \"64M\""),
    key("mounts", "inodes", NUMBER, "inodes = 1000"),
    key("mounts", "mode", MODE, "mode = \"1777\""),

    key("root", "method", TEXT, "method = \"pivot\""),
    key("root", "read_only", FLAG, "read_only = true"),
    key("root", "proc", TEXT, "proc = \"masked\""),

    key("namespaces", "network", TEXT, "network = \"none\""),
    key("namespaces", "user", FLAG, "user = true"),
    key("namespaces", "ipc", TEXT, "ipc = \"host\""),
    key("namespaces", "uts", TEXT, "uts = \"host\""),
    key("namespaces", "cgroup", TEXT, "cgroup = \"host\""),
    key("namespaces", "hostname", TEXT, "hostname = \"web\""),

    key("limits", "address_space", BOUND, "address_space = \"2G\""),
    key("limits", "core_size", BOUND, "core_size = 0"),
    key("limits", "cpu_time", BOUND, "cpu_time = \"60s\""),
    key("limits", "data_size", BOUND, "data_size = \"512M\""),
    key("limits", "file_size", BOUND, "file_size = \"1G\""),
    key("limits", "file_locks", BOUND, "file_locks = 100"),
    key("limits", "locked_memory", BOUND, "locked_memory = \"64K\""),
    key("limits", "message_queues", BOUND, "message_queues = \"800K\""),
    key("limits", "nice_ceiling", BOUND, "nice_ceiling = 20"),
    key("limits", "open_files", BOUND, "open_files = \"1024:4096\""),
    key("limits", "processes", BOUND, "processes = 64"),
    key("limits", "resident_size", BOUND, "resident_size = \"256M\""),
    key("limits", "realtime_priority", BOUND, "realtime_priority = 0"),
    key("limits", "realtime_time", BOUND, "realtime_time = \"500ms\""),
    key("limits", "pending_signals", BOUND, "pending_signals = 1024"),
    key("limits", "stack_size", BOUND, "stack_size = \"8M\""),
    key("limits", "runtime_max", TIME, "runtime_max = \"10s\""),

    key("limits.*", "soft", "a number or text", "soft = 1024"),
    key("limits.*", "hard", "a number or text", "hard = 4096"),

    key("privileges", "capabilities", TEXTS, "capabilities = [\"NET_BIND_SERVICE\"]"),
    key("privileges", "bounding", TEXTS, "bounding = [\"SETUID\", \"SETGID\"]"),
    key("privileges", "no_new_privileges", FLAG, "no_new_privileges = true"),

    key("test", "command", WORDS, "command = [\"curl\", \"-sf\", \"http://127.0.0.1/\"]"),
    key("test", "arguments", WORDS, "arguments = [\"--version\"]"),
    key("test", "input", TEXT, "input = \"PING\\n\""),
    key("test", "expect", "text or a list of text", "expect = \"hello\""),
    key("test", "status", NUMBER, "status = 0"),
    key("test", "timeout", TIME, "timeout = \"10s\""),
];

/// Lists that are one value, so that a later file replaces them whole: half of one command continued by another's arguments
/// is neither.
pub(super) const WHOLE: [&str; 4] =
    ["program.command", "program.cpu_affinity", "test.command", "test.arguments"];

/// What people write who come from systemd, docker, bubblewrap, nsjail, firejail, or the man pages.
const FOREIGN: &[(&str, &str, &str)] = &[
    ("args", "program", "command"),
    ("argv", "program", "command"),
    ("cmd", "program", "command"),
    ("entrypoint", "program", "command"),
    ("exec", "program", "command"),
    ("exec_start", "program", "command"),
    ("execstart", "program", "command"),
    ("binary", "program", "command"),
    ("uid", "program", "user"),
    ("username", "program", "user"),
    ("gid", "program", "group"),
    ("groups", "program", "supplementary_groups"),
    ("cwd", "program", "working_directory"),
    ("chdir", "program", "working_directory"),
    ("workdir", "program", "working_directory"),
    ("env", "program", "environment"),
    ("keep_env", "program", "pass_environment"),
    ("pass_env", "program", "pass_environment"),
    ("niceness", "program", "nice"),
    ("oom_score_adj", "program", "oom_score_adjust"),
    ("cpus", "program", "cpu_affinity"),
    ("cpuset", "program", "cpu_affinity"),
    ("persona", "program", "personality"),
    ("binaries", "tree", "programs"),
    ("executables", "tree", "programs"),
    ("libs", "tree", "libraries"),
    ("copy", "tree", "files"),
    ("paths", "tree", "files"),
    ("dirs", "tree", "directories"),
    ("folders", "tree", "directories"),
    ("symlinks", "tree", "links"),
    ("nodes", "tree", "devices"),
    ("dev", "tree", "devices"),
    ("bind", "", "mounts"),
    ("binds", "", "mounts"),
    ("volumes", "", "mounts"),
    ("mount", "", "mounts"),
    ("description", "", "summary"),
    ("includes", "", "include"),
    ("extends", "", "include"),
    ("rlimits", "", "limits"),
    ("resources", "", "limits"),
    ("security", "", "privileges"),
    ("src", "mounts", "source"),
    ("from", "mounts", "source"),
    ("dst", "mounts", "target"),
    ("dest", "mounts", "target"),
    ("destination", "mounts", "target"),
    ("to", "mounts", "target"),
    ("fstype", "mounts", "type"),
    ("ro", "mounts", "read_only"),
    ("readonly", "mounts", "read_only"),
    ("exclude_files", "tree.files", "exclude"),
    ("to", "tree.links", "target"),
    ("destination", "tree.files", "target"),
    ("dest", "tree.files", "target"),
    ("permissions", "tree.files", "mode"),
    ("permissions", "tree.directories", "mode"),
    ("permissions", "tree.text", "mode"),
    ("user", "tree.files", "owner"),
    ("user", "tree.directories", "owner"),
    ("user", "tree.text", "owner"),
    ("contents", "tree.text", "content"),
    ("net", "namespaces", "network"),
    ("userns", "namespaces", "user"),
    ("host_name", "namespaces", "hostname"),
    ("nofile", "limits", "open_files"),
    ("rlimit_nofile", "limits", "open_files"),
    ("limit_nofile", "limits", "open_files"),
    ("nproc", "limits", "processes"),
    ("max_processes", "limits", "processes"),
    ("fsize", "limits", "file_size"),
    ("cpu", "limits", "cpu_time"),
    ("memlock", "limits", "locked_memory"),
    ("stack", "limits", "stack_size"),
    ("time_limit", "limits", "runtime_max"),
    ("runtime_max_sec", "limits", "runtime_max"),
    ("caps", "privileges", "capabilities"),
    ("cap_add", "privileges", "capabilities"),
    ("ambient", "privileges", "capabilities"),
    ("bounding_set", "privileges", "bounding"),
    ("no_new_privs", "privileges", "no_new_privileges"),
    ("nnp", "privileges", "no_new_privileges"),
    ("output", "test", "expect"),
    ("stdin", "test", "input"),
    ("exit_code", "test", "status"),
    ("exit_status", "test", "status"),
];

/// The keys of one table.
pub(super) fn of(table: &str) -> impl Iterator<Item = &'static Key> + Clone + '_ {
    KEYS.iter().filter(move |key| key.table == table)
}

/// One key.
pub(super) fn find(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.table == table && key.name == name)
}

/// The table a key stands in, as its author writes it.
pub(super) fn header(table: &str) -> String {
    match table {
        "" => "the top of the file".into(),
        "mounts" => "`[[mounts]]`".into(),
        "tree.programs" | "tree.files" | "tree.directories" | "tree.links" | "tree.text" => {
            format!("an entry of `{table}`")
        }
        "limits.*" => "a limit written as a table".into(),
        _ => format!("`[{table}]`"),
    }
}

/// What to write instead of a key that does not exist in this table.
pub(super) fn advice(table: &str, unknown: &str) -> String {
    let folded = unknown.to_ascii_lowercase().replace('-', "_");
    // A table is best named by its header.
    let spelled = |table: &str, name: &str| match find(table, name) {
        Some(key) if key.example.starts_with('[') => key.example.to_owned(),
        _ => name.to_owned(),
    };
    let there = |other: &str, name: &str| match (other, spelled(other, name)) {
        ("", header) if header.starts_with('[') => format!("did you mean `{header}`?"),
        ("", name) => format!("did you mean `{name}`, at the top of the file before the first `[table]`?"),
        (_, name) => format!("did you mean `{name}`, in {}?", header(other)),
    };
    let here = |name: &str| format!("did you mean `{}`?", spelled(table, name));
    // A misspelling by one letter; the same name elsewhere; another tool's name; a worse misspelling.
    let close = suggest::nearest(unknown, of(table).map(|key| key.name));
    if let Some(name) = close.filter(|name| suggest::distance(unknown, name) <= 1) {
        return here(name);
    }
    let foreign = |key: &&(&str, &str, &str)| key.0 == folded;
    if let Some((_, _, name)) = FOREIGN.iter().filter(foreign).find(|(_, of, _)| *of == table) {
        return here(name);
    }
    // The tables of list entries have names too common (`path`, `mode`) to be what was meant from elsewhere.
    let tables = || KEYS.iter().filter(|key| !key.table.contains('.') && key.table != table);
    if let Some(key) = tables().find(|key| key.name == folded) {
        return there(key.table, key.name);
    }
    if let Some((_, table, name)) = FOREIGN.iter().find(foreign) {
        return there(table, name);
    }
    if let Some(name) = close {
        return here(name);
    }
    match suggest::nearest(unknown, tables().map(|key| key.name))
        .and_then(|name| tables().find(|key| key.name == name))
    {
        Some(key) => there(key.table, key.name),
        None => {
            format!("the keys of {} are {}", header(table), suggest::listed(of(table).map(|key| key.name)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_an_example_of_itself() {
        for key in KEYS {
            assert!(key.example.trim_start_matches('[').starts_with(key.name), "{key:?}");
            assert!(toml::de::DeTable::parse(key.example).is_ok(), "{key:?}");
        }
    }

    #[test]
    fn every_foreign_name_leads_to_a_key() {
        for (foreign, table, name) in FOREIGN {
            assert!(find(table, name).is_some(), "{table}.{name}");
            assert!(find(table, foreign).is_none(), "{table}.{foreign} is a key of ours");
        }
    }

    #[test]
    fn advice_names_the_key_or_its_table() {
        for (table, unknown, expected) in [
            ("program", "comand", "did you mean `command`?"),
            ("program", "cwd", "did you mean `working_directory`?"),
            ("program", "hostname", "did you mean `hostname`, in `[namespaces]`?"),
            ("program", "nofile", "did you mean `open_files`, in `[limits]`?"),
            ("", "caps", "did you mean `capabilities`, in `[privileges]`?"),
            ("program", "name", "did you mean `name`, at the top of the file before the first `[table]`?"),
            ("", "mount", "did you mean `[[mounts]]`?"),
            ("", "volumes", "did you mean `[[mounts]]`?"),
            ("root", "flavour", "the keys of `[root]` are `method`, `read_only`, `proc`"),
        ] {
            assert_eq!(advice(table, unknown), expected, "{table}.{unknown}");
        }
    }
}
