//! The jail's own /etc/passwd, /etc/group and /etc/nsswitch.conf: names for the ids that occur in it, and no more.
//!
//! A daemon that drops to `www-data` looks that name up inside; without the entry it ends with "unknown user". The host's
//! whole files would tell the jail who else lives here. Passwords never come along: the field is `*`, which no password
//! matches, or `x` if the manifest brings /etc/shadow, see passwd(5).

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::accounts::{Accounts, Group, User};
use super::command;
use super::content::Content;
use super::draft::{Claim, Draft};
use crate::manifest::schema::Manifest;
use crate::plan::step::Owner;
use crate::plan::{Account, At, Mode, Origin};

/// What a shell becomes that is not in the tree: a login there would fail anyhow, and this says so.
const NO_SHELL: &str = "/usr/sbin/nologin";
/// Where glibc looks names up, see nsswitch.conf(5); `files` is built into libc.so.6 since 2.34.
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n";

/// Writes those of the three files that nothing else has placed.
pub(super) fn place(draft: &mut Draft<'_>, manifest: &Manifest, accounts: &Accounts) {
    let mut chosen = Chosen::default();
    chosen.collect(draft, manifest, accounts);
    let origin =
        chosen.origin.clone().unwrap_or(Origin::Default("names for the ids in the jail: root and nobody"));
    let has_shadow = draft.find(Path::new("/etc/shadow")).is_some();
    let password = if has_shadow { "x" } else { "*" };
    let users = chosen.users(accounts);
    let passwd = users.iter().fold(String::new(), |mut text, user| {
        let User { name, uid, gid, gecos, home, shell } = user;
        let shell = if draft.find(Path::new(shell)).is_some() { shell } else { NO_SHELL };
        let _ = writeln!(text, "{name}:{password}:{uid}:{gid}:{gecos}:{home}:{shell}");
        text
    });
    let group = chosen.groups(accounts, &users).iter().fold(String::new(), |mut text, group| {
        let members = group.members.iter().filter(|member| users.iter().any(|user| user.name == **member));
        let members: Vec<_> = members.map(String::as_str).collect();
        let _ = writeln!(text, "{}:{password}:{}:{}", group.name, group.gid, members.join(","));
        text
    });
    for (path, text) in
        [("/etc/passwd", passwd), ("/etc/group", group), ("/etc/nsswitch.conf", NSSWITCH.into())]
    {
        // In a tree in memory nothing is made below a mount of the host's.
        let is_shown = manifest.root.is_in_memory() && command::is_mounted(manifest, Path::new(path));
        if draft.find(Path::new(path)).is_none() && !is_shown {
            let content =
                Content::Text { bytes: text.into_bytes(), mode: Mode(0o644), owner: Owner::default() };
            draft.place(Path::new(path), content, Claim::Along, &origin);
        }
    }
}

/// Whose entries the jail gets.
#[derive(Default)]
struct Chosen {
    uids: BTreeSet<u32>,
    /// Users asked for by name: several may share an id.
    names: BTreeSet<String>,
    gids: BTreeSet<u32>,
    /// The first line of the manifest that asks for one.
    origin: Option<Origin>,
}

impl Chosen {
    fn collect(&mut self, draft: &mut Draft<'_>, manifest: &Manifest, accounts: &Accounts) {
        let program = &manifest.program;
        let by_name =
            |name: &At<String>| At { value: Account::Name(name.value.clone()), origin: name.origin.clone() };
        let listed = manifest.tree.users.iter().map(by_name);
        for At { value, origin } in program.user.iter().cloned().chain(listed) {
            match accounts.uid_of(&value, &origin) {
                Ok(_) => self.user(&value, accounts, &origin),
                Err(finding) => draft.findings.push(finding),
            }
        }
        let listed = manifest.tree.groups.iter().map(by_name);
        for At { value, origin } in
            program.group.iter().chain(&program.supplementary_groups).cloned().chain(listed)
        {
            match accounts.gid_of(&value, &origin) {
                Ok(_) => self.group(&value, accounts, &origin),
                Err(finding) => draft.findings.push(finding),
            }
        }
        // Unknown owners have been reported where they own something.
        let tree = &manifest.tree;
        let files = tree.files.iter().map(|at| (&at.value.owner, &at.value.group, &at.origin));
        let directories = tree.directories.iter().map(|at| (&at.value.owner, &at.value.group, &at.origin));
        let text = tree.text.iter().map(|at| (&at.value.owner, &at.value.group, &at.origin));
        for (owner, group, origin) in files.chain(directories).chain(text) {
            if let Some(owner) = owner {
                self.user(owner, accounts, origin);
            }
            if let Some(group) = group {
                self.group(group, accounts, origin);
            }
        }
    }

    fn user(&mut self, account: &Account, accounts: &Accounts, origin: &Origin) {
        let Some(user) = accounts.user(account) else { return };
        if let Account::Name(name) = account {
            self.names.insert(name.clone());
        }
        self.uids.insert(user.uid);
        self.asked_by(origin);
    }

    fn group(&mut self, account: &Account, accounts: &Accounts, origin: &Origin) {
        let Some(group) = accounts.group(account) else { return };
        self.gids.insert(group.gid);
        self.asked_by(origin);
    }

    fn asked_by(&mut self, origin: &Origin) {
        self.origin.get_or_insert_with(|| origin.found("names for the ids in the jail"));
    }

    /// root and nobody, then the others in the order of the host's file. Whoever shares an id comes only if asked for by name.
    fn users(&self, accounts: &Accounts) -> Vec<User> {
        let fixed = [
            (
                "root",
                0,
                User {
                    name: "root".into(),
                    uid: 0,
                    gid: 0,
                    gecos: "root".into(),
                    home: "/root".into(),
                    shell: "/bin/sh".into(),
                },
            ),
            (
                "nobody",
                65534,
                User {
                    name: "nobody".into(),
                    uid: 65534,
                    gid: 65534,
                    gecos: "nobody".into(),
                    home: "/nonexistent".into(),
                    shell: NO_SHELL.into(),
                },
            ),
        ];
        let mut users: Vec<User> = fixed
            .into_iter()
            .map(|(name, _, made_up)| accounts.user(&Account::Name(name.into())).cloned().unwrap_or(made_up))
            .collect();
        for user in &accounts.users {
            let by_id = self.uids.contains(&user.uid) && !users.iter().any(|there| there.uid == user.uid);
            let by_name =
                self.names.contains(&user.name) && !users.iter().any(|there| there.name == user.name);
            if by_name || (by_id && !self.names.iter().any(|name| Self::has_id(accounts, name, user.uid))) {
                users.push(user.clone());
            }
        }
        users
    }

    fn has_id(accounts: &Accounts, name: &str, uid: u32) -> bool {
        accounts.user(&Account::Name(name.to_owned())).is_some_and(|user| user.uid == uid)
    }

    /// The users' primary groups and those asked for, each id once.
    fn groups(&self, accounts: &Accounts, users: &[User]) -> Vec<Group> {
        let wanted: BTreeSet<u32> =
            users.iter().map(|user| user.gid).chain(self.gids.iter().copied()).collect();
        let named = |gid: u32| accounts.group(&Account::Id(gid)).cloned();
        let made_up = |gid: u32| {
            let name = match gid {
                0 => "root",
                65534 => "nogroup",
                _ => return None,
            };
            Some(Group { name: name.into(), gid, members: Vec::new() })
        };
        wanted.into_iter().filter_map(|gid| named(gid).or_else(|| made_up(gid))).collect()
    }
}
