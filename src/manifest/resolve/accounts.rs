//! Users and groups, from the host's passwd(5) and group(5).
//!
//! The files are read by our own parser, never through NSS: in a static glibc program getpwnam(3) loads the host's
//! `libnss_*.so`, and inside a tree that would be the tree's own code, run with our rights (CVE-2019-14271, CVE-2025-32463).
//! So users known only to LDAP or systemd-homed are unknown here; the hint says to write a number.

#![forbid(unsafe_code)]

use std::path::Path;

use crate::manifest::finding::{Finding, Severity};
use crate::manifest::links::Root;
use crate::manifest::schema::Manifest;
use crate::manifest::suggest::nearest;
use crate::plan::step::Owner;
use crate::plan::{Account, Origin};
use crate::sys::host::Host;
use crate::sys::shortage_of;

/// One line of passwd(5); its password is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Full name or comment.
    pub gecos: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// One line of group(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The group's name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Names of those who have it beside their primary group.
    pub members: Vec<String>,
}

/// Everybody known, in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Users.
    pub users: Vec<User>,
    /// Groups.
    pub groups: Vec<Group>,
}

impl Accounts {
    /// The host's accounts. A host without these files has none, which is no error.
    pub fn read(host: &Host) -> Result<Self, Finding> {
        Ok(Self::parse(&read_file(host, "etc/passwd")?, &read_file(host, "etc/group")?))
    }

    /// Those of a passwd(5) and a group(5).
    pub fn parse(passwd: &[u8], groups: &[u8]) -> Self {
        Self { users: parse(passwd, user), groups: parse(groups, group) }
    }

    /// The accounts a manifest's names are looked up in: those of its own `/etc/passwd` and `/etc/group`, if it gives them as
    /// `text`, before the host's.
    pub fn of(manifest: &Manifest, host: &Host) -> Result<Self, Finding> {
        Ok(Self::over(manifest, &read_file(host, "etc/passwd")?, &read_file(host, "etc/group")?))
    }

    /// The same before those of any passwd(5) and group(5).
    pub(super) fn over(manifest: &Manifest, passwd: &[u8], groups: &[u8]) -> Self {
        let own = |path: &str| {
            let given = manifest.tree.text.iter().find(|text| text.value.path.as_path() == Path::new(path));
            given.map_or("", |text| text.value.content.as_str())
        };
        let known = Self::parse(passwd, groups);
        let mut accounts = Self::parse(own("/etc/passwd").as_bytes(), own("/etc/group").as_bytes());
        accounts.users.extend(known.users);
        accounts.groups.extend(known.groups);
        accounts
    }

    /// Those of a tree that is built; none where it is not.
    pub fn in_tree(tree: &Path) -> Option<Self> {
        let tree = Root::at(tree);
        let read = |path: &str| tree.read(Path::new(path), MOST_BYTES).ok();
        Some(Self::parse(&read("/etc/passwd")?, &read("/etc/group").unwrap_or_default()))
    }

    /// The user's entry, if there is one.
    pub fn user(&self, account: &Account) -> Option<&User> {
        match account {
            Account::Name(name) => self.users.iter().find(|user| user.name == *name),
            Account::Id(uid) => self.users.iter().find(|user| user.uid == *uid),
        }
    }

    /// The group's entry, if there is one.
    pub fn group(&self, account: &Account) -> Option<&Group> {
        match account {
            Account::Name(name) => self.groups.iter().find(|group| group.name == *name),
            Account::Id(gid) => self.groups.iter().find(|group| group.gid == *gid),
        }
    }

    /// The user's id. A number needs no entry.
    pub fn uid_of(&self, account: &Account, origin: &Origin) -> Result<u32, Finding> {
        match (account, self.user(account)) {
            (Account::Id(uid), _) => Ok(*uid),
            (_, Some(user)) => Ok(user.uid),
            (Account::Name(name), None) => {
                Err(unknown("user", name, self.users.iter().map(|user| user.name.as_str()), origin))
            }
        }
    }

    /// The group's id. A number needs no entry.
    pub fn gid_of(&self, account: &Account, origin: &Origin) -> Result<u32, Finding> {
        match (account, self.group(account)) {
            (Account::Id(gid), _) => Ok(*gid),
            (_, Some(group)) => Ok(group.gid),
            (Account::Name(name), None) => {
                Err(unknown("group", name, self.groups.iter().map(|group| group.name.as_str()), origin))
            }
        }
    }

    /// The user's primary group; for a number without an entry, the group of the same number.
    pub fn primary_group(&self, account: &Account, origin: &Origin) -> Result<u32, Finding> {
        let uid = self.uid_of(account, origin)?;
        Ok(self.user(account).map_or(uid, |user| user.gid))
    }

    /// Who owns a file: `default` where nothing is said; a named owner brings its primary group unless a group is named.
    pub fn owner(
        &self,
        owner: Option<&Account>,
        group: Option<&Account>,
        default: Owner,
        origin: &Origin,
    ) -> Result<Owner, Finding> {
        let uid = owner.map_or(Ok(default.uid), |owner| self.uid_of(owner, origin))?;
        let gid = match (group, owner) {
            (Some(group), _) => self.gid_of(group, origin)?,
            (None, Some(owner)) => self.primary_group(owner, origin)?,
            (None, None) => default.gid,
        };
        Ok(Owner { uid, gid })
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>, origin: &Origin) -> Finding {
    let file = if what == "user" { "/etc/passwd" } else { "/etc/group" };
    let finding = Finding::error(format!("there is no {what} `{name}`"), origin)
        .why(format!("`{file}` has no line for it; other sources of names (LDAP, systemd) are not asked"));
    match nearest(name, known) {
        Some(near) => finding.hint(format!("did you mean `{near}`? An id by number needs no entry")),
        None => finding.hint(format!("create the {what} on the host, or write its id as a number")),
    }
}

/// Longest passwd or group that is read: a million users.
const MOST_BYTES: u64 = 64 << 20;

pub(super) fn read_file(host: &Host, path: &str) -> Result<Vec<u8>, Finding> {
    match Root::at(&host.root).read(&Path::new("/").join(path), MOST_BYTES) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Finding {
            severity: Severity::Error,
            message: format!("cannot read the host's users from `/{path}`"),
            origin: None,
            why: vec![error.to_string()],
            hint: shortage_of(&error).map(str::to_owned),
        }),
    }
}

/// Every line that makes sense. Malformed ones are passed over as libc does, and so are NIS entries (`+name`), see passwd(5).
pub(super) fn parse<T>(text: &[u8], line: fn(&[&str]) -> Option<T>) -> Vec<T> {
    let text = String::from_utf8_lossy(text);
    text.lines()
        .filter(|text| !text.starts_with(['+', '-', '#']))
        .filter_map(|text| line(&text.split(':').collect::<Vec<_>>()))
        .collect()
}

fn user(fields: &[&str]) -> Option<User> {
    let [name, _password, uid, gid, gecos, home, shell] = fields else { return None };
    Some(User {
        name: named(name)?,
        uid: id(uid)?,
        gid: id(gid)?,
        gecos: (*gecos).into(),
        home: (*home).into(),
        shell: (*shell).into(),
    })
}

fn group(fields: &[&str]) -> Option<Group> {
    let [name, _password, gid, members] = fields else { return None };
    let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
    Some(Group { name: named(name)?, gid: id(gid)?, members })
}

/// An id. 2^32-1 is none: to chown(2) and setresuid(2) it means to leave the id as it is, and that is the caller's.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

fn named(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::resolve::testing::Scene;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken:x:1\n+nis::::::\n\
        www-data:x:33:33:www,é:/var/www:/usr/sbin/nologin\nbad:x:-1:0::/:\nhuge:x:99999999999:1::/:/\n\
        none:x:4294967295:1::/:/\nnogroup:x:1:4294967295::/:/\n";

    #[test]
    fn malformed_lines_are_passed_over() {
        let scene = Scene::new("accounts-read");
        scene
            .file("etc/passwd", PASSWD)
            .file("etc/group", "www-data:x:33:\nssl-cert:x:101:www-data,bind\nx\nnone:x:4294967295:\n");
        let accounts = Accounts::read(&scene.host).unwrap();
        assert_eq!(
            accounts.users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(),
            ["root", "www-data"]
        );
        assert_eq!(accounts.groups[1].members, ["www-data", "bind"]);
        assert_eq!(accounts.groups.len(), 2);
        assert_eq!(accounts.user(&Account::Id(33)).unwrap().home, "/var/www");
    }

    #[test]
    fn an_unknown_user_gets_the_nearest_name() {
        let scene = Scene::new("accounts-unknown");
        scene.file("etc/passwd", PASSWD);
        let accounts = Accounts::read(&scene.host).unwrap();
        let origin = scene.origin(1);
        let finding = accounts.uid_of(&Account::Name("wwwdata".into()), &origin).unwrap_err();
        assert_eq!(finding.message, "there is no user `wwwdata`");
        assert_eq!(finding.hint.unwrap(), "did you mean `www-data`? An id by number needs no entry");
        assert_eq!(accounts.uid_of(&Account::Id(4242), &origin), Ok(4242));
        let owner = |owner: Account| accounts.owner(Some(&owner), None, Owner::default(), &origin).unwrap();
        assert_eq!(owner(Account::Name("www-data".into())), Owner { uid: 33, gid: 33 });
        assert_eq!(owner(Account::Id(4242)), Owner { uid: 4242, gid: 4242 });
    }

    #[test]
    fn a_host_without_accounts_is_no_error() {
        assert_eq!(Accounts::read(&Scene::new("accounts-none").host), Ok(Accounts::default()));
    }
}
