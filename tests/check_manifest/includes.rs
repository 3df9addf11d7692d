//! Broken manifests: includes and `replace`.

use super::{broken, broken_file};

#[test]
fn missing() {
    broken_file(
        "jails/web.toml",
        &[("jails/base/glibc.toml", r"")],
        r#"include = ["base/glib.toml"]
[program]
command = ["/bin/true"]
"#,
        r#"error: there is no manifest `jails/base/glib.toml`
  --> jails/web.toml:1:12
    1 | include = ["base/glib.toml"]
      |            ^^^^^^^^^^^^^^^^
hint: did you mean `glibc.toml`?
"#,
    );
}

#[test]
fn a_device_is_not_opened() {
    broken(
        r#"include = ["/dev/null"]
[program]
command = ["/bin/true"]
"#,
        r#"error: cannot read `/dev/null`
  --> jails/web.toml:1:12
    1 | include = ["/dev/null"]
      |            ^^^^^^^^^^^
  why: it is a device, a FIFO or a socket
"#,
    );
}

#[test]
fn circle() {
    broken_file(
        "jails/web.toml",
        &[
            (
                "jails/a.toml",
                r#"include = ["b.toml"]
"#,
            ),
            (
                "jails/b.toml",
                r#"include = ["web.toml"]
"#,
            ),
        ],
        r#"include = ["a.toml"]
[program]
command = ["/bin/true"]
"#,
        r#"error: files include each other in a circle
  --> jails/b.toml:1:12
    1 | include = ["web.toml"]
      |            ^^^^^^^^^^
  why: `jails/web.toml` includes `jails/a.toml` includes `jails/b.toml` includes `jails/web.toml`
hint: take this entry out of `include`
"#,
    );
}

#[test]
fn broken_in_an_included_file() {
    broken_file(
        "jails/web.toml",
        &[(
            "jails/base.toml",
            r"[limits]
open_files = many
",
        )],
        r#"include = ["base.toml"]
[program]
command = ["/bin/true"]
"#,
        r#"error: `many` is not a value
  --> jails/base.toml:2:14
    2 | open_files = many
      |              ^^^^
hint: text is written in quotes: `"many"`
"#,
    );
}

#[test]
fn wrong_in_two_files() {
    broken_file(
        "jails/web.toml",
        &[(
            "jails/base.toml",
            r"[limits]
open_file = 10
",
        )],
        r#"include = ["base.toml"]
[program]
command = ["/bin/true"]
nise = 4
"#,
        r"error: unknown key `open_file` in `[limits]`
  --> jails/base.toml:2:1
    2 | open_file = 10
      | ^^^^^^^^^
hint: did you mean `open_files`?

error: unknown key `nise` in `[program]`
  --> jails/web.toml:4:1
    4 | nise = 4
      | ^^^^
hint: did you mean `nice`?

2 errors in jails/web.toml
",
    );
}

#[test]
fn replace_of_no_list() {
    broken(
        r#"replace = ["tree.file", "files", "limits.memory"]
[program]
command = ["/bin/true"]
"#,
        r#"error: `tree.file` is not a list or table of a manifest
  --> jails/web.toml:1:12
    1 | replace = ["tree.file", "files", "limits.memory"]
      |            ^^^^^^^^^^^
hint: did you mean `tree.files`?

error: `files` is not a list or table of a manifest
  --> jails/web.toml:1:25
    1 | replace = ["tree.file", "files", "limits.memory"]
      |                         ^^^^^^^
hint: did you mean `tree.files`?

error: `limits.memory` is not a list or table of a manifest
  --> jails/web.toml:1:34
    1 | replace = ["tree.file", "files", "limits.memory"]
      |                                  ^^^^^^^^^^^^^^^
hint: write the list's whole path, such as `tree.files`; a single value is replaced without being named here

3 errors in jails/web.toml
"#,
    );
}

#[test]
fn not_a_list() {
    broken(
        r#"include = "base.toml"
[program]
command = ["/bin/true"]
"#,
        r#"error: `include` must be a list of text, this is text
  --> jails/web.toml:1:11
    1 | include = "base.toml"
      |           ^^^^^^^^^^^
hint: write `include = ["base.toml"]`
"#,
    );
}

#[test]
fn a_directory() {
    broken_file(
        "jails/web.toml",
        &[("jails/base/x.toml", r"")],
        r#"include = ["base"]
[program]
command = ["/bin/true"]
"#,
        r#"error: `jails/base` is a directory
  --> jails/web.toml:1:12
    1 | include = ["base"]
      |            ^^^^^^
hint: name a manifest in it, such as `jails/web.toml`
"#,
    );
}
