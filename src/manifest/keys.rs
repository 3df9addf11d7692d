//! Every key a manifest may have: one table for decoding's error texts, for "did you mean", for `replace`, and for the tests
//! that keep it complete.

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
    key("program", "unset_environment", TEXTS, "unset_environment = [\"HOME\"]"),
    key("program", "nice", NUMBER, "nice = 5"),
    key("program", "oom_score_adjust", NUMBER, "oom_score_adjust = 500"),
    key("program", "cpu_affinity", "a list of numbers, or text", "cpu_affinity = \"0-3,8\""),
    key("program", "personality", TEXTS, "personality = [\"linux32\"]"),
    key("program", "init", FLAG, "init = false"),
    key("program", "type", TEXT, "type = \"forking\""),
    key("program", "sockets", FLAG, "sockets = true"),
    key("program", "listen", "a list of addresses", "listen = [\"127.0.0.1:8080\", \"/run/web.sock\"]"),
    key("program", "watchdog", TIME, "watchdog = \"30s\""),

    key("tree", "programs", MIXED, "programs = [\"/usr/bin/python3\"]"),
    key("tree", "libraries", TEXTS, "libraries = [\"/usr/lib/nginx/modules/ngx_stream_module.so\"]"),
    key("tree", "files", MIXED, "files = [\"/etc/nginx\", { path = \"/srv/www\", exclude = [\"*.bak\"] }]"),
    key("tree", "packages", TEXTS, "packages = [\"tzdata\"]"),
    key("tree", "directories", MIXED, "directories = [{ path = \"/var/cache/bind\", owner = \"bind\", mode = \"0750\" }]"),
    key("tree", "users", TEXTS, "users = [\"bind\"]"),
    key("tree", "groups", TEXTS, "groups = [\"ssl-cert\"]"),
    key("tree", "devices", TEXTS, "devices = [\"null\", \"urandom\"]"),
    key("tree", "links", TABLES, "links = [{ path = \"/bin\", target = \"usr/bin\" }]"),
    key("tree", "host", TEXTS, "host = [\"dns\", \"time-zone\"]"),
    key("tree", "base", "text or a table", "base = \"/srv/debian.tar.gz\""),
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

    key("tree.base", "path", TEXT, "path = \"/srv/image\""),
    key("tree.base", "image", TEXT, "image = \"stable\""),
    key("tree.base", "architecture", TEXT, "architecture = \"386\""),
    key("tree.base", "keep", TEXTS, "keep = [\"setid\"]"),

    key("mounts", "type", TEXT, "type = \"tmpfs\""),
    key("mounts", "source", TEXT, "source = \"/srv/zones\""),
    key("mounts", "target", TEXT, "target = \"/etc/bind/zones\""),
    key("mounts", "read_only", FLAG, "read_only = false"),
    key("mounts", "executable", FLAG, "executable = false"),
    key("mounts", "recursive", FLAG, "recursive = false"),
    key("mounts", "optional", FLAG, "optional = true"),
    key("mounts", "root_squash", FLAG, "root_squash = false"),
    key("mounts", "sockets", FLAG, "sockets = true"),
    key("mounts", "devices", FLAG, "devices = true"),
    key("mounts", "size", SIZE, "size = \"64M\""),
    key("mounts", "inodes", NUMBER, "inodes = 1000"),
    key("mounts", "mode", MODE, "mode = \"1777\""),
    key("mounts", "owner", USER, "owner = \"bind\""),
    key("mounts", "group", USER, "group = \"bind\""),

    key("root", "method", TEXT, "method = \"pivot\""),
    key("root", "read_only", FLAG, "read_only = true"),
    key("root", "proc", TEXT, "proc = \"masked\""),
    key("root", "sys", TEXT, "sys = \"masked\""),
    key("root", "tree", TEXT, "tree = \"memory\""),

    key("namespaces", "network", TEXT, "network = \"none\""),
    key("namespaces", "publish", "a list of ports", "publish = [\"8080:80\", \"0.0.0.0:53:53/udp\"]"),
    key("namespaces", "allow", "a list of ports", "allow = [5432, \"53/udp\"]"),
    key("namespaces", "user", FLAG, "user = true"),
    key("namespaces", "first_id", NUMBER, "first_id = 200000"),
    key("namespaces", "id_range", FLAG, "id_range = true"),
    key("namespaces", "ipc", TEXT, "ipc = \"host\""),
    key("namespaces", "uts", TEXT, "uts = \"host\""),
    key("namespaces", "cgroup", TEXT, "cgroup = \"host\""),
    key("namespaces", "abstract_sockets", TEXT, "abstract_sockets = \"host\""),
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
    key("limits", "memory", SIZE, "memory = \"256M\""),
    key("limits", "memory_high", SIZE, "memory_high = \"200M\""),
    key("limits", "swap", SIZE, "swap = \"64M\""),
    key("limits", "tasks", "a number or `\"unlimited\"`", "tasks = 64"),
    key("limits", "cpu", "a share of processors", "cpu = \"150%\""),
    key("limits", "cpu_weight", NUMBER, "cpu_weight = 50"),
    key("limits", "io_weight", NUMBER, "io_weight = 50"),
    key("limits", "allowed_cpus", "a list of numbers, or text", "allowed_cpus = \"0-3,8\""),
    key("limits", "io_max", TABLES, "io_max = [{ device = \"/dev/sda\", write_bandwidth = \"10M\" }]"),
    key("limits", "device_policy", TEXT, "device_policy = \"closed\""),
    key("limits", "runtime_max", TIME, "runtime_max = \"10s\""),
    key("limits", "cpu_time_max", TIME, "cpu_time_max = \"10s\""),
    key("limits", "output_size", SIZE, "output_size = \"1M\""),

    key("limits.io_max", "device", TEXT, "device = \"/dev/sda\""),
    key("limits.io_max", "read_bandwidth", SIZE, "read_bandwidth = \"10M\""),
    key("limits.io_max", "write_bandwidth", SIZE, "write_bandwidth = \"10M\""),
    key("limits.io_max", "read_iops", NUMBER, "read_iops = 100"),
    key("limits.io_max", "write_iops", NUMBER, "write_iops = 100"),

    key("limits.*", "soft", "a number or text", "soft = 1024"),
    key("limits.*", "hard", "a number or text", "hard = 4096"),

    key("privileges", "capabilities", TEXTS, "capabilities = [\"NET_BIND_SERVICE\"]"),
    key("privileges", "bounding", TEXTS, "bounding = [\"SETUID\", \"SETGID\"]"),
    key("privileges", "no_new_privileges", FLAG, "no_new_privileges = true"),
    key("privileges", "landlock", FLAG, "landlock = false"),
    key("privileges", "system_calls", "text or a list of text", "system_calls = [\"default\", \"@debug\", \"-mlock\"]"),
    key("privileges", "system_calls_action", TEXT, "system_calls_action = \"kill\""),
    key("privileges", "architectures", TEXTS, "architectures = [\"x86-32\"]"),
    key("privileges", "best_effort", TEXTS, "best_effort = [\"landlock\"]"),

    key("test", "command", WORDS, "command = [\"curl\", \"-sf\", \"http://127.0.0.1/\"]"),
    key("test", "arguments", WORDS, "arguments = [\"--version\"]"),
    key("test", "input", TEXT, "input = \"PING\\n\""),
    key("test", "expect", "text or a list of text", "expect = \"hello\""),
    key("test", "status", NUMBER, "status = 0"),
    key("test", "stop_status", NUMBER, "stop_status = 1"),
    key("test", "timeout", TIME, "timeout = \"10s\""),
];

/// Lists that are one value, so that a later file replaces them whole: half of one command continued by another's arguments
/// is neither.
pub(super) const WHOLE: [&str; 5] =
    ["program.command", "program.cpu_affinity", "limits.allowed_cpus", "test.command", "test.arguments"];

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
        "tree.programs" | "tree.files" | "tree.directories" | "tree.links" | "tree.text"
        | "limits.io_max" => {
            format!("an entry of `{table}`")
        }
        "tree.base" => "`base` written as a table".into(),
        "limits.*" => "a limit written as a table".into(),
        _ => format!("`[{table}]`"),
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
}
