//! The environment: no system call tells of a variable that is read, so the program is watched with hardly more than a jail has, and of the
//! rest the manifest keeps what the program or its configuration has the name of.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use super::paths::Paths;
use super::{Facts, shown, text};
use crate::manifest::edit::Line;
use crate::manifest::resolve::command::DEFAULT_PATH;
use crate::manifest::root::Root;
use crate::plan::Account;
use crate::seen::{Seen, Use};

/// What tells of the caller's session, and is nothing to a program that runs by itself.
const OF_THE_SESSION: [&str; 14] = [
    "COLORTERM",
    "EDITOR",
    "LANG",
    "LANGUAGE",
    "LS_COLORS",
    "MAIL",
    "OLDPWD",
    "PAGER",
    "PWD",
    "SHELL",
    "SHLVL",
    "TERM",
    "VISUAL",
    "_",
];

/// Families of such names, and of what loaders, allocators and build tools are told.
const FAMILIES: [&str; 13] = [
    "CARGO",
    "DBUS_",
    "GLIBC_",
    "LC_",
    "LD_",
    "LESS",
    "NOTIFY_",
    "RUST",
    "SSH_",
    "STOCKADE_",
    "SUDO_",
    "WATCHDOG_",
    "XDG_",
];

/// Parts of names whose values are not for a file.
const SECRET: [&str; 9] =
    ["AUTH", "COOKIE", "CREDENTIAL", "KEY", "PASS", "PRIVATE", "PWD", "SECRET", "TOKEN"];

/// Words in values with which a secret begins, in small letters.
const SAID: [&str; 9] =
    ["authorization", "credential", "key", "pass", "passwd", "password", "pwd", "secret", "token"];

/// What every jail has, by its own.
const OWN: [&str; 4] = ["HOME", "LOGNAME", "PATH", "USER"];

/// The largest file that is looked through.
const MOST: u64 = 8 << 20;

/// The environment to watch a program in: a jail's, and of the caller's what is not of the session.
pub fn environment(facts: &Facts<'_>) -> Vec<(OsString, OsString)> {
    let user = facts.accounts.user(&Account::Id(facts.host.uid));
    let name = user.map_or_else(|| facts.host.uid.to_string(), |user| user.name.clone());
    let home = user.map_or("/", |user| user.home.as_str());
    let own = [("HOME", home), ("LOGNAME", &name), ("PATH", DEFAULT_PATH), ("USER", &name)];
    let own = own.into_iter().map(|(name, value)| (name.into(), value.into()));
    own.chain(facts.environment.iter().map(|(name, value)| (name.into(), value.into()))).collect()
}

/// The caller's variables that are not of the session.
pub fn of_caller() -> Vec<(String, String)> {
    let is_wanted = |name: &str| {
        !OF_THE_SESSION.contains(&name)
            && !OWN.contains(&name)
            && !FAMILIES.iter().any(|family| name.starts_with(family))
    };
    let all = std::env::vars_os();
    let all = all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(name, _)| is_wanted(name)).collect()
}

/// The variables that are kept, with who names them.
pub(super) fn lines(seen: &Seen, facts: &Facts<'_>, paths: &Paths) -> Vec<Line> {
    let mut open = Vec::new();
    let mut lines = Vec::new();
    let mut by = BTreeSet::new();
    for (name, value) in &facts.environment {
        let Some(who) = named_by(name, seen, paths) else { continue };
        if SECRET.iter().any(|part| name.to_ascii_uppercase().contains(part)) || has_password(value) {
            let why = format!("{who} has its name; its value is the caller's");
            lines.push(Line::entry("program", "pass_environment", text(name), why));
        } else {
            open.push(format!("{name} = {}", text(value)));
            by.insert(who);
        }
    }
    if !open.is_empty() {
        let by: Vec<String> = by.into_iter().collect();
        let value = format!("{{ {} }}", open.join(", "));
        lines.push(Line::value("program", "environment", value, format!("named by {}", by.join(", "))));
    }
    lines
}

/// Whether a value has a password in it: as an address does, behind the user and before the last `@` (RFC 3986, 3.2.1, has no `/` in one, and
/// people do), or by a word that says so, as connection strings and options do; or whether a key is in it.
fn has_password(value: &str) -> bool {
    let is_address = value.rsplit_once('@').is_some_and(|(before, _)| has_user_and_password(before));
    let plain = |c: &char| !c.is_whitespace() && !matches!(c, '"' | '\'');
    let text: String = value.chars().filter(plain).collect::<String>().to_ascii_lowercase();
    let is_said = |word: &&str| ['=', ':'].iter().any(|sign| text.contains(&format!("{word}{sign}")));
    is_address || SAID.iter().any(is_said) || value.contains("PRIVATE KEY-----")
}

/// Whether what stands before an `@` is a user with a password, behind the scheme if there is one.
fn has_user_and_password(before: &str) -> bool {
    before.rsplit_once("://").map_or(before, |(_, rest)| rest).contains(':')
}

/// The program or the configuration that has a variable's name: a program as a text of its own, a configuration behind a `$`.
fn named_by(name: &str, seen: &Seen, paths: &Paths) -> Option<String> {
    let read = |path: &Path| Root::host().read(path, MOST).unwrap_or_default();
    let has_text = |path: &&Path| read(path).split(|byte| *byte == 0).any(|text| text == name.as_bytes());
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let refers = |path: &&Path| {
        let text = read(path);
        [format!("${name}"), format!("${{{name}")].iter().any(|wanted| {
            let ends = |at: usize| text.get(at + wanted.len()).is_none_or(|next| !is_word(*next));
            let mut found = text.windows(wanted.len()).enumerate();
            found.any(|(at, part)| part == wanted.as_bytes() && ends(at))
        })
    };
    // Each once, in the order in which they were executed: a script may execute one a thousand times.
    let mut programs: Vec<&Path> = Vec::new();
    for execution in &seen.executions {
        if !programs.contains(&execution.path.as_path()) {
            programs.push(&execution.path);
        }
    }
    let configuration =
        paths.files.iter().filter(|(path, used)| path.starts_with("/etc") && used.is(Use::Read));
    let mut configuration = configuration.map(|(path, _)| path.as_path());
    programs.into_iter().find(has_text).or_else(|| configuration.find(refers)).map(shown)
}

#[cfg(test)]
mod tests {
    use super::has_password;

    #[test]
    fn a_password_in_a_value_is_one() {
        for value in [
            "postgres://user:hunter2@db.example/x",
            "postgres://user:pa/ss@db/x",
            "postgres://user:p@ss@db/x",
            "redis://:hunter2@db",
            "user:hunter2@tcp(db:3306)/x",
            "http://proxy/ ftp://user:hunter2@db",
            "Server=db;Password=hunter2",
            "server=db;PWD = 'hunter2'",
            "host=db user=x passwd=hunter2",
            "{\"token\": \"x\"}",
            "--client-secret=x",
            "AccountKey=x",
            "-----BEGIN EC PRIVATE KEY-----",
            // Rather one too many.
            "https://example.org/a:b@c",
        ] {
            assert!(has_password(value), "{value}");
        }
        for value in [
            "https://example.org:8080/a/b",
            "postgres://user@db:5432/x",
            "git@example.org:a/b",
            "user@example.org",
            "/etc/app/password",
            "key",
            "",
        ] {
            assert!(!has_password(value), "{value}");
        }
    }
}
