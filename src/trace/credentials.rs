//! Who a process is, and what the modes of files let it do.

use std::collections::HashMap;

use crate::seen::Kind;

/// What counts of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub kind: Kind,
    /// Mode bits, without the type.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// Bits of a mode's class.
pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
pub(super) const SEARCH: u32 = 1;

/// Ids and capabilities of a thread, see proc_pid_status(5): real, effective, saved, file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub uids: [u32; 4],
    pub gids: [u32; 4],
    pub groups: Vec<u32>,
    /// Effective capabilities, bit n for number n.
    pub effective: u64,
    /// Its process.
    pub process: i32,
    /// The same as the process itself knows it, in its own PID namespace.
    pub inner: i32,
}

impl Credentials {
    /// Those of a thread. Nothing of one that has just been killed.
    pub(super) fn of(thread: i32) -> Option<Self> {
        let text = std::fs::read(format!("/proc/{thread}/status")).ok()?;
        Some(Self::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(text: &str) -> Self {
        let fields: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let field = |name| fields.get(name).copied().unwrap_or_default();
        let numbers = |name| -> Vec<u32> {
            field(name).split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        let four = |name| numbers(name).try_into().unwrap_or_default();
        Self {
            uids: four("Uid"),
            gids: four("Gid"),
            groups: numbers("Groups"),
            effective: u64::from_str_radix(field("CapEff").trim(), 16).unwrap_or_default(),
            process: field("Tgid").trim().parse().unwrap_or_default(),
            inner: numbers("NStgid").last().map_or(0, |number| *number as i32),
        }
    }

    /// Whether it is root in its user namespace, see user_namespaces(7): the first id of its map.
    pub(super) fn is_root_inside(&self, thread: i32) -> bool {
        let map = std::fs::read_to_string(format!("/proc/{thread}/uid_map")).unwrap_or_default();
        let root = map.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            if words.next()? == "0" { words.next()?.parse().ok() } else { None }
        });
        root == Some(self.file_user())
    }

    /// Whether it has this capability in effect.
    pub(super) fn has(&self, capability: u8) -> bool {
        self.effective & 1 << capability != 0
    }

    /// The user by whom files are judged.
    pub(super) fn file_user(&self) -> u32 {
        self.uids[3]
    }

    /// Whether it is in a group, for files.
    pub(super) fn is_in(&self, group: u32) -> bool {
        self.gids[3] == group || self.groups.contains(&group)
    }

    /// Whether the mode alone grants this, see path_resolution(7).
    pub(super) fn granted(&self, file: &Attributes, wanted: u32) -> bool {
        let class = if file.uid == self.file_user() {
            file.mode >> 6
        } else if self.is_in(file.gid) {
            file.mode >> 3
        } else {
            file.mode
        };
        class & wanted == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_grants_by_class() {
        let text = "Name:\tx\nTgid:\t7\nUid:\t1\t2\t3\t4\nGid:\t10\t20\t30\t40\nGroups:\t5 6\nCapEff:\t0000000000000401\n";
        let who = Credentials::parse(text);
        assert_eq!((who.uids, who.gids, who.process), ([1, 2, 3, 4], [10, 20, 30, 40], 7));
        assert!(who.has(0) && who.has(10) && !who.has(1));
        let file = |uid, gid, mode| Attributes { kind: Kind::Regular, mode, uid, gid };
        assert!(who.granted(&file(4, 0, 0o400), READ) && !who.granted(&file(4, 0, 0o077), READ));
        assert!(who.granted(&file(0, 40, 0o060), READ | WRITE) && who.granted(&file(0, 6, 0o010), SEARCH));
        assert!(!who.granted(&file(0, 6, 0o007), READ) && who.granted(&file(0, 0, 0o004), READ));
        assert_eq!(Credentials::parse(""), Credentials::default());
    }
}
