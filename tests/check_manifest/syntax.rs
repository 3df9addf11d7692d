//! Broken manifests: what is no TOML.

use super::broken;

#[test]
fn text_without_quotes() {
    broken(
        r"[program]
command = [/usr/sbin/nginx]
user = root
",
        r#"error: `/usr/sbin/nginx` is not a value
  --> jails/web.toml:2:12
    2 | command = [/usr/sbin/nginx]
      |            ^^^^^^^^^^^^^^^
hint: text is written in quotes: `"/usr/sbin/nginx"`

error: `root` is not a value
  --> jails/web.toml:3:8
    3 | user = root
      |        ^^^^
hint: text is written in quotes: `"root"`

2 errors in jails/web.toml
"#,
    );
}

#[test]
fn mode_without_quotes() {
    broken(
        r#"[program]
command = ["/bin/true"]
umask = 0027
"#,
        r#"error: `0027` starts with a zero, which no number may
  --> jails/web.toml:3:9
    3 | umask = 0027
      |         ^^^^
hint: as a number write `27`; a mode is written in quotes: `"0027"`
"#,
    );
}

#[test]
fn size_without_quotes() {
    broken(
        r#"[program]
command = ["/bin/true"]
[limits]
stack_size = 8M
"#,
        r#"error: `8M` is not a value
  --> jails/web.toml:4:14
    4 | stack_size = 8M
      |              ^^
hint: text is written in quotes: `"8M"`
"#,
    );
}

#[test]
fn yes_instead_of_true() {
    broken(
        r#"[program]
command = ["/bin/true"]
init = yes
"#,
        r"error: `yes` is not a value
  --> jails/web.toml:3:8
    3 | init = yes
      |        ^^^
hint: write `true`
",
    );
}

#[test]
fn capital_true() {
    broken(
        r#"[program]
command = ["/bin/true"]
init = True
"#,
        r"error: `True` is not a value
  --> jails/web.toml:3:8
    3 | init = True
      |        ^^^^
hint: write `true`
",
    );
}

#[test]
fn yaml() {
    broken(
        r"name: web
program:
",
        r"error: a key is followed by `=`, not by `:`
  --> jails/web.toml:1:5
    1 | name: web
      |     ^
hint: write `key = value`

error: a key without `=` and a value
  --> jails/web.toml:2:9
    2 | program:
      |         ^
hint: write `key = value`, or `#` before a comment

2 errors in jails/web.toml
",
    );
}

#[test]
fn json() {
    broken(
        r#"{ "name": "web" }
"#,
        r#"error: a manifest is TOML, this looks like JSON
  --> jails/web.toml:1:1
    1 | { "name": "web" }
      | ^
hint: write `key = value` lines and `[table]` headers
"#,
    );
}

#[test]
fn quote_not_closed() {
    broken(
        r#"name = "web
[program]
command = ["/bin/true"]
"#,
        r#"error: the text is not closed
  --> jails/web.toml:1:12
    1 | name = "web
      |            ^
hint: write `"` after its last character
"#,
    );
}

#[test]
fn list_not_closed() {
    broken(
        r#"[program]
command = ["/bin/true"
user = "root"
"#,
        r#"error: the list above is not closed
  --> jails/web.toml:3:6
    3 | user = "root"
      |      ^
hint: write `]` after its last entry
"#,
    );
}

#[test]
fn comma_missing() {
    broken(
        r#"[program]
command = ["/bin/echo" "hello"]
"#,
        r#"error: two entries of a list without `,` between them
  --> jails/web.toml:2:24
    2 | command = ["/bin/echo" "hello"]
      |                        ^
hint: separate the entries with `,`
"#,
    );
}

#[test]
fn header_not_closed() {
    broken(
        r#"[program
command = ["/bin/true"]
"#,
        r"error: the table's name is not closed
  --> jails/web.toml:1:9
    1 | [program
      |         ^
hint: write `]` after it
",
    );
}

#[test]
fn table_given_twice() {
    broken(
        r#"[program]
command = ["/bin/true"]
[program]
user = "root"
"#,
        r"error: `program` is already there
  --> jails/web.toml:3:2
    3 | [program]
      |  ^^^^^^^
hint: put what stands here below the first `[program]`
",
    );
}

#[test]
fn key_given_twice() {
    broken(
        r#"[program]
command = ["/bin/true"]
user = "a"
user = "b"
"#,
        r#"error: `user` is already there
  --> jails/web.toml:4:1
    4 | user = "b"
      | ^^^^
hint: take one of the two out
"#,
    );
}

#[test]
fn mount_without_double_brackets() {
    broken(
        r#"[program]
command = ["/bin/true"]
[mounts]
source = "/srv"
[mounts]
source = "/var"
"#,
        r"error: `mounts` is already there
  --> jails/web.toml:5:2
    5 | [mounts]
      |  ^^^^^^
hint: write `[[mounts]]`, one for each mount
",
    );
}

#[test]
fn value_missing() {
    broken(
        r"[program]
command =
",
        r"error: the value is missing
  --> jails/web.toml:2:10
    2 | command =
      |          ^
hint: write it after `=`; text in quotes
",
    );
}

#[test]
fn backslash_in_text() {
    broken(
        r#"name = "a\d"
[program]
command = ["/bin/true"]
"#,
        r#"error: `\` starts an escape that does not exist
  --> jails/web.toml:1:11
    1 | name = "a\d"
      |           ^
hint: write `\\` for a backslash, or put the text in single quotes: `'…'`
"#,
    );
}

#[test]
fn several_at_once() {
    broken(
        r#"name = web
[program]
command = ["/bin/true" "x"]
nice = 05
init = no
"#,
        r#"error: `web` is not a value
  --> jails/web.toml:1:8
    1 | name = web
      |        ^^^
hint: text is written in quotes: `"web"`

error: two entries of a list without `,` between them
  --> jails/web.toml:3:24
    3 | command = ["/bin/true" "x"]
      |                        ^
hint: separate the entries with `,`

error: `05` starts with a zero, which no number may
  --> jails/web.toml:4:8
    4 | nice = 05
      |        ^^
hint: as a number write `5`; a mode is written in quotes: `"05"`

error: `no` is not a value
  --> jails/web.toml:5:8
    5 | init = no
      |        ^^
hint: write `false`

4 errors in jails/web.toml
"#,
    );
}
