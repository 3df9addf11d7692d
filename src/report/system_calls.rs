//! The page about system calls, docs/system-calls.md, is made of the tables the filters are made of: this test holds it to that.

use std::fmt::Write as _;

use crate::plan::capability;
use crate::plan::system_calls::groups::{GROUPS, Group};
use crate::plan::system_calls::profiles::Profile;
use crate::plan::system_calls::{ALWAYS, Architecture, CALLS, Policy, REASONS, Refused, Rule};

/// What stands before the tables.
const HEAD: &str = "\
# System calls

<!-- Made from src/plan/system_calls/; a test holds it to that. STOCKADE_WRITE_DOCS=1 cargo test --lib report::system_calls writes it. -->

Every jail has a filter of system calls, see seccomp(2), unless its manifest says `system_calls = \"all\"`. It is an allow-list: what is not
in the tables below, because the kernel is newer than they are (Linux 6.18), fails with ENOSYS, as on an older kernel.

```toml
[privileges]
system_calls = \"default\"                        # a profile
system_calls = [\"default\", \"@debug\", \"-mlock\"]  # or a list
system_calls_action = \"errno\"                   # or \"kill\", or \"log\"
```

A list is read from the left. A profile, a group (`@name`, as in systemd's SystemCallFilter=) or a call is added; with a `-` before it, a
group or a call is taken away. A list that begins by taking away begins with `default`. A group brings none of the calls
that are refused below, and no argument that is: these are opened by the call's own name, or by the group in the last column.
";

/// What a refused call becomes.
const ACTIONS: &str = "\
`system_calls_action` says what becomes of a refused call. `errno`: it fails, with the error below. `kill`: the process is killed by
SIGSYS. `log`: the call is made, and the kernel logs it where audit(8) is built in, as `type=1326` with the call's number
(`dmesg`, or `ausearch -m SECCOMP`); so a program's needs can be found out. What fails with ENOSYS does so in any case: a C library tries such a call
before another. So does what comes to `success`: the call is not made, and the program is told that it was.

The kernel logs nothing of a call that fails. To see which one it was, run with `--set privileges.system_calls_action=log`, or
`strace -f stockade run …` on the host.
";

/// What is said of other processors.
const PROCESSORS: &str = "
## Other processors

A 64-bit x86 kernel also serves calls by the numbers of 32-bit x86 (`int 0x80`) and of x32. They kill the process, whatever `system_calls_action`
says: a filter of 64-bit numbers only is walked round by them. Where the jail's program is a 32-bit one, or `architectures = [\"x86-32\"]` says
so, those of 32-bit x86 have a filter of their own with the same decisions.
";

/// The whole page.
fn page() -> String {
    let mut out = HEAD.to_owned();
    let mut write = |text: &str| out.extend([text, "\n"]);
    write("");
    write("| profile | what it allows |\n|---|---|");
    for profile in Profile::ALL {
        write(&format!("| `{}` | {} |", profile.name(), profile.summary()));
    }
    write("");
    write(&format!("Every list allows {}.\n", code(ALWAYS)));
    write(ACTIONS);
    write("## What is refused, and why\n");
    write("| | calls | error | why | opened by |\n|---|---|---|---|---|");
    for refused in all_refused() {
        write(&row(&refused));
    }
    write(PROCESSORS);
    write("## Groups\n");
    write("| group | what it is about | calls |\n|---|---|---|");
    for group in &GROUPS {
        write(&format!("| `@{}` | {} | {} |", group.name, group.summary, members(group)));
    }
    write("");
    let alone = CALLS.iter().filter(|call| !GROUPS.iter().any(|group| group.has(call)));
    write(&format!(
        "{}.",
        code(alone.filter(|call| !matches!(call.rule, Rule::Refuse(..))).map(|call| call.name))
    ));
    out
}

/// Everything that `default` refuses on any processor, and what `compute` does besides.
fn all_refused() -> Vec<Refused> {
    Policy::DEFAULT.closed().refusals(&[Architecture::X86_64, Architecture::X86_32, Architecture::Aarch64])
}

/// A line of the table of refusals.
fn row(refused: &Refused) -> String {
    let Some(reason) = REASONS.iter().find(|reason| reason.name == refused.name) else {
        return String::new();
    };
    let mut calls = code(refused.calls.iter().copied());
    if !refused.when.is_empty() {
        let separator = if calls.is_empty() { "" } else { "; " };
        calls.extend([separator, refused.when]);
    }
    let errors: Vec<_> = refused.errors.iter().map(|errno| errno.name()).collect();
    let groups = reason.groups.iter().map(|group| format!("`@{group}`"));
    let name = reason.capability.and_then(|number| capability::NAMES.get(usize::from(number)));
    let capability = name.map(|name| format!("`{name}` in `daemon`"));
    let call = (!refused.calls.is_empty()).then(|| "the call's name".to_owned());
    let opened: Vec<String> = groups.chain(capability).chain(call).collect();
    let opened = if opened.is_empty() { "`all`".to_owned() } else { opened.join(", ") };
    format!("| {} | {calls} | {} | {} | {opened} |", reason.name, errors.join(", "), reason.why)
}

/// The calls a group brings.
fn members(group: &Group) -> String {
    if group.is_ours() {
        return "none; it opens what is refused above".into();
    }
    let nested =
        GROUPS.iter().filter(|other| other.is_part_of(group)).map(|other| format!("@{}", other.name));
    let own = CALLS.iter().filter(|call| group.has(call) && !nested_has(group, call));
    let names: Vec<String> = nested.chain(own.map(|call| call.name.to_owned())).collect();
    code(names.iter().map(String::as_str))
}

/// Whether a call is in a group that is part of this one.
fn nested_has(group: &Group, call: &crate::plan::system_calls::Call) -> bool {
    GROUPS.iter().any(|other| other.is_part_of(group) && other.has(call))
}

/// Names in backticks, with blanks between them.
fn code<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for name in names {
        // Writing to a String cannot fail.
        if write!(out, "{}`{name}`", if out.is_empty() { "" } else { " " }).is_err() {}
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_made_of_the_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/system-calls.md");
        if std::env::var_os("STOCKADE_WRITE_DOCS").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert!(written == page(), "it is to be written anew: its second line says how");
    }
}
