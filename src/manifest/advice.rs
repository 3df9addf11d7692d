//! What was meant by a key that does not exist: a misspelling, a key of another table, or another tool's word for it.

use super::keys::{KEYS, find, header, of};
use super::suggest;

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
    ("memory_max", "limits", "memory"),
    ("mem", "limits", "memory"),
    ("memory_swap_max", "limits", "swap"),
    ("memory_swap", "limits", "swap"),
    ("tasks_max", "limits", "tasks"),
    ("pids", "limits", "tasks"),
    ("pids_max", "limits", "tasks"),
    ("cpu_quota", "limits", "cpu"),
    ("cpu_max", "limits", "cpu"),
    ("cpu_shares", "limits", "cpu_weight"),
    ("memlock", "limits", "locked_memory"),
    ("stack", "limits", "stack_size"),
    ("time_limit", "limits", "runtime_max"),
    ("runtime_max_sec", "limits", "runtime_max"),
    ("cpu_time_limit", "limits", "cpu_time_max"),
    ("output_limit", "limits", "output_size"),
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
            ("root", "flavour", "the keys of `[root]` are `method`, `read_only`, `proc`, `sys`, `tree`"),
        ] {
            assert_eq!(advice(table, unknown), expected, "{table}.{unknown}");
        }
    }
}
