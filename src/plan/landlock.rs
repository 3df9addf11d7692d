//! Rights of Landlock by name, number and the version that brought them, see landlock(7) and the kernel's linux/landlock.h.

use std::fmt;

use super::display::join;
use super::{HostPath, JailPath};

/// Rights over files as a mask of the kernel's `LANDLOCK_ACCESS_FS_*`, bit n for `RIGHTS[n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AccessSet(pub u64);

/// Every right that kernels up to 6.18 handle, at its number: its name, and the version of Landlock's interface that has it.
pub const RIGHTS: [(&str, u32); 16] = [
    ("EXECUTE", 1),
    ("WRITE_FILE", 1),
    ("READ_FILE", 1),
    ("READ_DIR", 1),
    ("REMOVE_DIR", 1),
    ("REMOVE_FILE", 1),
    ("MAKE_CHAR", 1),
    ("MAKE_DIR", 1),
    ("MAKE_REG", 1),
    ("MAKE_SOCK", 1),
    ("MAKE_FIFO", 1),
    ("MAKE_BLOCK", 1),
    ("MAKE_SYM", 1),
    ("REFER", 2),
    ("TRUNCATE", 3),
    ("IOCTL_DEV", 5),
];

impl AccessSet {
    /// No right.
    pub const NONE: Self = Self(0);
    /// To run a file, beside what its mode and its mount say.
    pub const EXECUTE: Self = Self(1);
    /// To open a file for writing.
    pub const WRITE_FILE: Self = Self(1 << 1);
    /// To open a file for reading.
    pub const READ_FILE: Self = Self(1 << 2);
    /// To list a directory.
    pub const READ_DIR: Self = Self(1 << 3);
    /// To make, remove, rename, link and truncate files of every kind but devices.
    pub const CHANGE: Self = Self(0b0111_0111_1011_0000);
    /// To cut a file.
    pub const TRUNCATE: Self = Self(1 << 14);
    /// To give a device commands.
    pub const IOCTL_DEV: Self = Self(1 << 15);
    /// What can be allowed for a file, and not only for what is in a directory.
    const OF_FILES: Self = Self(Self::EXECUTE.0 | Self::TRUNCATE.0 | Self::IOCTL_DEV.0 | 0b110);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Every right that this version of the interface handles.
    pub fn known_to(version: u32) -> Self {
        let bits = RIGHTS.iter().enumerate().filter(|(_, (_, since))| *since <= version);
        Self(bits.map(|(number, _)| 1 << number).sum())
    }

    /// Those that are in the other as well.
    #[must_use]
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that can be allowed for a file.
    #[must_use]
    pub const fn of_file(self) -> Self {
        self.within(Self::OF_FILES)
    }

    /// The members' names, without the prefix `LANDLOCK_ACCESS_FS_`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        RIGHTS
            .iter()
            .enumerate()
            .filter(move |(number, _)| self.0 & (1 << number) != 0)
            .map(|(_, right)| right.0)
    }
}

impl fmt::Display for AccessSet {
    /// `execute read_file read_dir`; what changes files is too much to be listed each time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.within(Self::CHANGE) == Self::CHANGE;
        let listed = if whole { Self(self.0 & !Self::CHANGE.0) } else { *self };
        let names = listed.names().map(str::to_ascii_lowercase);
        f.write_str(&join(" ", names.chain(whole.then(|| "change".to_owned()))))
    }
}

/// Rights over connections as a mask of the kernel's `LANDLOCK_ACCESS_NET_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NetworkSet(pub u64);

/// The version of the interface that brought rights over connections.
pub const NETWORK_SINCE: u32 = 4;

impl NetworkSet {
    /// To bind a TCP socket to a port, and to connect one.
    pub const TCP: Self = Self(0b11);

    /// The members' names, without the prefix `LANDLOCK_ACCESS_NET_`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [(1, "BIND_TCP"), (2, "CONNECT_TCP")]
            .into_iter()
            .filter_map(move |(right, name)| (self.0 & right != 0).then_some(name))
    }
}

/// What a process cannot reach outside its domain, as a mask of the kernel's `LANDLOCK_SCOPE_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ScopeSet(pub u64);

/// The version of the interface that brought scopes.
pub const SCOPES_SINCE: u32 = 6;

impl ScopeSet {
    /// Sockets of unix(7) whose names are in the abstract name space.
    pub const ABSTRACT_UNIX_SOCKET: Self = Self(1);
    /// Processes, by signals.
    pub const SIGNAL: Self = Self(2);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members' names, without the prefix `LANDLOCK_SCOPE_`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [(Self::ABSTRACT_UNIX_SOCKET, "ABSTRACT_UNIX_SOCKET"), (Self::SIGNAL, "SIGNAL")]
            .into_iter()
            .filter_map(move |(scope, name)| (self.0 & scope.0 != 0).then_some(name))
    }
}

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beneath {
    /// What will be mounted at this path, and everything below it.
    Mount(JailPath),
    /// What is at this path of the host, where the program stays in the host's tree.
    Host(HostPath),
    /// The file behind this standard descriptor, which has no path in the jail.
    Descriptor(i32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_have_the_kernels_numbers() {
        use landlock::{ABI, Access, AccessFs, AccessNet, Scope};
        let versions = [ABI::V1, ABI::V2, ABI::V3, ABI::V4, ABI::V5, ABI::V6, ABI::V7];
        for (version, abi) in (1..).zip(versions) {
            let known = AccessSet::known_to(version);
            assert_eq!(known.0, AccessFs::from_all(abi).bits(), "{abi:?}");
            assert_eq!(known.of_file().0, AccessFs::from_file(abi).bits(), "{abi:?}");
            let names: Vec<_> =
                known.names().map(|name| name.replace('_', "").to_ascii_lowercase()).collect();
            let expected: Vec<_> = AccessFs::from_all(abi)
                .iter()
                .map(|right| format!("{right:?}").to_ascii_lowercase())
                .collect();
            assert_eq!(names, expected, "{abi:?}");
            let scopes = if version < SCOPES_SINCE { 0 } else { 3 };
            assert_eq!(Scope::from_all(abi).bits(), scopes, "{abi:?}");
        }
        assert_eq!(AccessSet::known_to(0), AccessSet::NONE);
        assert_eq!(ScopeSet::ABSTRACT_UNIX_SOCKET.0, Scope::AbstractUnixSocket as u64);
        assert_eq!(ScopeSet::SIGNAL.0, Scope::Signal as u64);
        assert_eq!(NetworkSet::TCP.0, AccessNet::from_all(ABI::V4).bits());
    }

    #[test]
    fn what_changes_files_is_what_no_reader_needs() {
        use landlock::{ABI, AccessFs, make_bitflags};
        let devices = make_bitflags!(AccessFs::{MakeChar | MakeBlock | IoctlDev | WriteFile});
        assert_eq!(AccessSet::CHANGE.0, (AccessFs::from_write(ABI::V7) & !devices).bits());
        for (set, right) in [
            (AccessSet::EXECUTE, AccessFs::Execute),
            (AccessSet::WRITE_FILE, AccessFs::WriteFile),
            (AccessSet::READ_FILE, AccessFs::ReadFile),
            (AccessSet::READ_DIR, AccessFs::ReadDir),
            (AccessSet::TRUNCATE, AccessFs::Truncate),
            (AccessSet::IOCTL_DEV, AccessFs::IoctlDev),
        ] {
            assert_eq!(set.0, right as u64, "{right:?}");
        }
    }

    #[test]
    fn no_device_can_be_made() {
        for right in ["MAKE_CHAR", "MAKE_BLOCK"] {
            assert!(AccessSet::known_to(u32::MAX).names().any(|name| name == right));
            assert!(AccessSet::CHANGE.names().all(|name| name != right));
        }
    }

    #[test]
    fn a_set_reads_in_words() {
        assert_eq!(AccessSet::EXECUTE.and(AccessSet::READ_DIR).to_string(), "execute read_dir");
        assert_eq!(AccessSet::WRITE_FILE.and(AccessSet::CHANGE).to_string(), "write_file change");
        assert_eq!(AccessSet::CHANGE.within(AccessSet::known_to(1)).names().count(), 7);
        assert_eq!(ScopeSet::ABSTRACT_UNIX_SOCKET.and(ScopeSet::SIGNAL).names().count(), 2);
    }
}
