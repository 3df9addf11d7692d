//! Libraries and loaders.

use std::fs;

use super::Jail;
use super::common::{Need, needs};
use super::fixture::for_another_machine;

#[test]
fn library_not_on_the_host() {
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .text("lib/.keep", "")
    .with_library()
    .without("lib/libfoo.so")
    .expect(&["build"], 1, r#"error: the library `libfoo.so` is not on the host
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
  why: needed by `DIR/program`
  why: looked for at `DIR/lib/libfoo.so` (RUNPATH of DIR/program): no such file
hint: install the package that has `libfoo.so`; if it is in a directory of its own, name that in /etc/ld.so.conf.d and run ldconfig(8)
"#);
}

#[test]
fn library_of_a_library_not_on_the_host() {
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .text("lib/.keep", "")
    .text("deep/.keep", "")
    .compile("deep/libbar.so", "int bar(void) { return 0; }", &["-shared", "-fPIC", "-Wl,-soname,libbar.so"])
    .compile(
        "lib/libfoo.so",
        "int bar(void); int foo(void) { return bar(); }",
        &["-shared", "-fPIC", "-Wl,-soname,libfoo.so", "DIR/deep/libbar.so", "-Wl,-rpath,DIR/deep"],
    )
    .compile(
        "program",
        "int foo(void); int main(void) { return foo(); }",
        &["DIR/lib/libfoo.so", "-Wl,-rpath,DIR/lib", "-Wl,--allow-shlib-undefined"],
    )
    .without("deep/libbar.so")
    .expect(&["build"], 1, r#"error: the library `libbar.so` is not on the host
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
  why: needed by `DIR/program` -> `DIR/lib/libfoo.so`
  why: looked for at `DIR/deep/libbar.so` (RUNPATH of DIR/lib/libfoo.so): no such file
hint: install the package that has `libbar.so`; if it is in a directory of its own, name that in /etc/ld.so.conf.d and run ldconfig(8)
"#);
}

#[test]
fn library_for_another_machine() {
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .text("lib/.keep", "")
    .with_library()
    .with("lib/libfoo.so", for_another_machine)
    .expect(&["build"], 1, r#"error: the library `libfoo.so` is not on the host
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
  why: needed by `DIR/program`
  why: looked for at `DIR/lib/libfoo.so` (RUNPATH of DIR/program): built for OTHER, not for OURS
hint: install the package that has `libfoo.so`; if it is in a directory of its own, name that in /etc/ld.so.conf.d and run ldconfig(8)
"#);
}

#[test]
fn library_that_is_no_elf_file() {
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .text("lib/.keep", "")
    .with_library()
    .text("lib/libfoo.so", "INPUT(-lfoo)\n")
    .expect(
        &["build"],
        1,
        r#"error: `DIR/program` would not start
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
  why: `DIR/lib/libfoo.so`: neither an ELF file nor a script that begins with #!; needed by `DIR/program`
hint: install the package of that file anew
"#,
    );
}

#[test]
fn loader_not_on_the_host() {
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .text("lib/.keep", "")
    .compile("program", "int main(void) { return 0; }", &["-Wl,--dynamic-linker=/lib/ld-broken.so.1"])
    .expect(
        &["build"],
        1,
        r#"error: `DIR/program` would not start
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
  why: `DIR/program` is to be started by `/lib/ld-broken.so.1`: no such file
hint: install what it is to be started by at that very path
"#,
    );
}

#[test]
fn library_gone_from_the_tree() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .text("lib/.keep", "")
    .with_library()
    .built()
    .without_in_tree("lib/libfoo.so")
    .expect(&["run"], 127, r#"DIR/program: error while loading shared libraries: libfoo.so: cannot open shared object file: No such file or directory
error: `DIR/program` could not be loaded
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
  why: library `libfoo.so`, needed by `DIR/program`, is not in the jail
hint: list the program under `programs` instead of `files`, or the library under `libraries`, in [tree]; if so it is, build again with `stockade build`
"#);
}

#[test]
fn library_gone_from_the_tree_of_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .text("lib/.keep", "")
    .with_library()
    .of_ordinary_user()
    .built()
    .without_in_tree("lib/libfoo.so")
    .expect(&["run"], 127, r#"DIR/program: error while loading shared libraries: libfoo.so: cannot open shared object file: No such file or directory
error: `DIR/program` could not be loaded
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
  why: library `libfoo.so`, needed by `DIR/program`, is not in the jail
hint: list the program under `programs` instead of `files`, or the library under `libraries`, in [tree]; if so it is, build again with `stockade build`
"#);
}

#[test]
fn loader_gone_from_the_tree() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .text("lib/.keep", "")
    .with_loader()
    .built()
    .without_in_tree("ld.so")
    .expect(&["run"], 127, r#"error: cannot execute `DIR/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `DIR/program` is started by its loader `DIR/ld.so`, which is not in the jail
hint: bring `DIR/program` by `programs` instead of `files`, with its loader and libraries; if so it is, build again with `stockade build`
"#);
}

#[test]
fn loader_gone_from_the_tree_of_an_ordinary_user() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .text("lib/.keep", "")
    .with_loader()
    .of_ordinary_user()
    .built()
    .without_in_tree("ld.so")
    .expect(&["run"], 127, r#"error: cannot execute `DIR/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `DIR/program` is started by its loader `DIR/ld.so`, which is not in the jail
hint: bring `DIR/program` by `programs` instead of `files`, with its loader and libraries; if so it is, build again with `stockade build`
"#);
}

#[test]
fn loader_without_execute_bit_in_the_tree() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["DIR/program"]
"#,
    )
    .text("lib/.keep", "")
    .with_loader()
    .built()
    .mode_in_tree("ld.so", 0o644)
    .expect(
        &["run"],
        126,
        r#"error: cannot execute `DIR/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["DIR/program"]
      |           ^^^^^^^^^^^^^^^
  why: execve(2): Permission denied (EACCES), step N of M, by the program's own process
  why: `DIR/ld.so` has no execute bit
hint: give it `mode = "0755"` under [tree]
"#,
    );
}

#[test]
fn loader_of_a_program_behind_a_mount() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
"#,
    )
    .text("app/.keep", "")
    .compile("ld.so", "int main(void) { return 0; }", &["-static"])
    .compile("app/program", "int main(void) { return 0; }", &["-Wl,--dynamic-linker=DIR/ld.so"])
    .built()
    .expect(
        &["run"],
        127,
        r#"error: cannot execute `/app/program` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `/app/program` is started by its loader `DIR/ld.so`, which is not in the jail
hint: add `DIR/ld.so` to `libraries` under [tree], or show it (`stockade once --ro DIR/ld.so`)
"#,
    );
}

#[test]
fn library_of_a_program_behind_a_mount() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r#"[program]
command = ["/app/program"]
[[mounts]]
source = "DIR/app"
target = "/app"
[tree]
programs = ["/bin/sh"]
"#,
    )
    .text("lib/.keep", "")
    .text("app/.keep", "")
    .with_library()
    .with("program", |path| fs::rename(path, path.with_file_name("app/program")).unwrap())
    .built()
    .expect(&["run"], 127, r#"/app/program: error while loading shared libraries: libfoo.so: cannot open shared object file: No such file or directory
error: `/app/program` could not be loaded
  --> ./web.toml:2:11
    2 | command = ["/app/program"]
      |           ^^^^^^^^^^^^^^^^
  why: library `DIR/lib/libfoo.so`, needed by `DIR/app/program`, is not in the jail
hint: a program that is shown by a mount comes without its libraries: list them under `libraries` in [tree], or show them (`--ro` of `stockade once`)
"#);
}

#[test]
fn program_under_files() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    Jail::new(
        r##"[program]
command = ["/start"]
[tree]
files = [{ path = "DIR/program", target = "/program" }]
text = [{ path = "/start", mode = "0755", content = "#!/program\n" }]
"##,
    )
    .compile("program", "int main(void) { return 0; }", &["-Wl,--dynamic-linker=DIR/ld.so"])
    .compile("ld.so", "int main(void) { return 0; }", &["-static"])
    .built()
    .without_in_tree("ld.so")
    .expect(&["run"], 127, r#"error: cannot execute `/start` in jail `web`
  --> ./web.toml:2:11
    2 | command = ["/start"]
      |           ^^^^^^^^^^
  why: execve(2): No such file or directory (ENOENT), step N of M, by the program's own process
  why: `/program` is started by its loader `DIR/ld.so`, which is not in the jail
hint: bring `/program` by `programs` instead of `files`, with its loader and libraries; if so it is, build again with `stockade build`
"#);
}
