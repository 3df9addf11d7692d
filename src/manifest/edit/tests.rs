//! Lines that come into texts of all kinds.

use super::*;

fn added(text: &str, lines: &[Line]) -> String {
    let (text, left) = add(text, lines);
    assert_eq!(left, Vec::new());
    text
}

#[test]
fn a_manifest_is_written_from_nothing() {
    let lines = [
        Line::entry("tree", "files", "\"/etc/a\"", "read by x"),
        Line { place: Place::Table("mounts"), value: "target = \"/run\"".into(), reason: "made".into() },
        Line::value("program", "command", "[\"/bin/x\"]", "what was learned"),
        Line::value("", "name", "\"x\"", ""),
        Line::entry("tree", "files", "\"/etc/b\"", "read by y"),
        Line::entry("tree", "programs", "\"/bin/x\"", "the program"),
        Line { place: Place::Remark("tree"), value: "files = [\"k\"]".into(), reason: "a key".into() },
        Line { place: Place::Remark("mounts"), value: "[[mounts]]\na = 1".into(), reason: "b".into() },
    ];
    let expected = "\
name = \"x\"

[program]
# what was learned
command = [\"/bin/x\"]

[tree]
programs = [
    \"/bin/x\",  # the program
]
files = [
    \"/etc/a\",  # read by x
    \"/etc/b\",  # read by y
]
# a key
#     files = [\"k\"]

# made
[[mounts]]
target = \"/run\"

# b
#     [[mounts]]
#     a = 1
";
    assert_eq!(added("", &lines), expected);
}

#[test]
fn what_is_there_stays_as_it_is() {
    let text = "\
name='x' # mine
[tree]   # what
files = [\"/a\", { path = \"/b\" }]  # one line
devices = [
  \"null\"  # no comma, yet
]
[[tree.text]]
path = \"/t\"
content = \"\"
[namespaces]
network = 'none' # closed
";
    let lines = [
        Line::entry("tree", "files", "\"/c\"", "new"),
        Line::entry("tree", "devices", "\"full\"", "new"),
        Line::entry("tree", "users", "\"u\"", "new"),
        Line::value("namespaces", "network", "\"host\"", "new"),
        Line::value("namespaces", "user", "true", "new"),
        Line::value("root", "proc", "\"none\"", ""),
    ];
    let expected = "\
name='x' # mine
[tree]   # what
files = [
    \"/a\",
    { path = \"/b\" },
    \"/c\",  # new
]  # one line
devices = [
  \"null\",  # no comma, yet
    \"full\",  # new
]
users = [
    \"u\",  # new
]
[[tree.text]]
path = \"/t\"
content = \"\"
[namespaces]
network = \"host\" # closed
# new
user = true

[root]
proc = \"none\"
";
    assert_eq!(added(text, &lines), expected);
}

#[test]
fn a_bracket_behind_the_last_entry_is_left_there() {
    let lines = [Line::entry("tree", "files", "\"/c\"", "")];
    assert_eq!(
        added("[tree]\nfiles = [\"/a\",\n  \"/b\"]\n", &lines),
        "[tree]\nfiles = [\"/a\",\n  \"/b\",\n    \"/c\",\n]\n"
    );
    assert_eq!(added("[tree]\nfiles = []", &lines), "[tree]\nfiles = [\n    \"/c\",\n]");
    assert_eq!(added("[tree]", &lines), "[tree]\nfiles = [\n    \"/c\",\n]\n");
    let below = "[[tree.text]]\npath = \"/t\"\ncontent = '''\n[tree]\n'''\n";
    assert_eq!(added(below, &lines), format!("{below}\n[tree]\nfiles = [\n    \"/c\",\n]\n"));
}

#[test]
fn what_has_no_place_is_told() {
    let mount =
        Line { place: Place::Table("mounts"), value: "type = \"tmpfs\"".into(), reason: String::new() };
    let (same, left) = add("mounts = []\n", std::slice::from_ref(&mount));
    assert_eq!(same, "mounts = []\n");
    assert_eq!(left.len(), 1);
    let line = Line::entry("tree", "files", "\"/c\"", "");
    for (text, because) in [
        ("tree.users = []", "`tree` is not written as `[tree]`"),
        ("tree = {}", "`tree` is not written as `[tree]`"),
        ("[tree]\nfiles = 3", "there is `3`, which is no list"),
        (
            "[tree]\nusers = []\n[[tree.files]]\npath = \"/x\"",
            "the list is written as tables, `[[tree.files]]`",
        ),
        ("[\"tree\"]\nusers = []", "what is there is written in another way: duplicate key"),
        ("[tree", "the manifest is not right as it is"),
    ] {
        let (same, left) = add(text, std::slice::from_ref(&line));
        assert_eq!(same, text);
        assert_eq!(left, [NoPlace { line: line.clone(), because: because.into() }]);
    }
}

#[test]
fn a_key_joins_the_table_that_has_its_target() {
    let text = "[[mounts]]\nsource = \"/a\"\ntarget = \"/a\" # mine\n\n[[mounts]]\ntarget = \"/b\"\nread_only = true\n";
    let lines = [
        Line::within("mounts", "/a", "read_only", "false", "written"),
        Line::within("mounts", "/b", "read_only", "false", "written"),
        Line::within("mounts", "/c", "read_only", "false", "written"),
    ];
    let (new, left) = add(text, &lines);
    let expected = "[[mounts]]\nsource = \"/a\"\ntarget = \"/a\" # mine\n# written\nread_only = false\n\n\
                    [[mounts]]\ntarget = \"/b\"\nread_only = false\n";
    assert_eq!(new, expected);
    let because = "there is no `[[mounts]]` with that target".to_owned();
    assert_eq!(left, [NoPlace { line: lines[2].clone(), because }]);
    assert_eq!(unsaid(&new, &lines), [lines[2].clone()]);
    let (same, left) = add("mounts = [{ target = \"/a\" }]\n", &lines[..1]);
    assert_eq!((same.as_str(), left.len()), ("mounts = [{ target = \"/a\" }]\n", 1));
}

#[test]
fn a_mount_is_said_once_and_as_the_one_that_allows_most() {
    let mount = |more: &str| Line {
        place: Place::Table("mounts"),
        value: format!("source = \"/a\"\ntarget = \"/a\"{more}"),
        reason: "read".into(),
    };
    let entry = Line::entry("tree", "files", "\"/b\"", "read");
    let lines = vec![mount(""), entry.clone(), mount("\nread_only = false"), entry.clone()];
    assert_eq!(merged(lines), [mount("\nread_only = false"), entry]);
}

#[test]
fn a_remark_that_was_taken_in_goes() {
    let line =
        Line { place: Place::Table("mounts"), value: "target = \"/k\"".into(), reason: "a key".into() };
    let remark = Line {
        place: Place::Remark("mounts"),
        value: "[[mounts]]\ntarget = \"/k\"".into(),
        reason: "a secret".into(),
    };
    let text = added("name = \"x\"\n\n[program]\ncommand = [\"x\"]\n", &[remark]);
    assert!(text.contains("# a secret\n#     [[mounts]]\n"), "{text}");
    assert_eq!(taken_in(&text, &[line]), "name = \"x\"\n\n[program]\ncommand = [\"x\"]\n\n");
}
