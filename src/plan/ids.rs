//! Which id outside a user namespace an id inside stands for, see user_namespaces(7).

use std::fmt;
use std::ops::RangeInclusive;

use super::step::Owner;

/// One line of an id map: `count` ids from `inside` on stand for as many from `outside` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first id inside.
    pub inside: u32,
    /// The id outside that it stands for.
    pub outside: u32,
    /// How many, this one included.
    pub count: u32,
}

impl Extent {
    /// One id.
    const fn one(inside: u32, outside: u32) -> Self {
        Self { inside, outside, count: 1 }
    }

    /// As the kernel shows it.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(str::parse);
        let mut next = || words.next()?.ok();
        Some(Self { inside: next()?, outside: next()?, count: next()? })
    }

    /// The id inside that an id outside is, if this line has it.
    fn inside(self, outside: u32) -> Option<u32> {
        let at = outside.checked_sub(self.outside).filter(|at| *at < self.count)?;
        self.inside.checked_add(at)
    }

    /// The id outside that an id inside is, if this line has it.
    pub fn outside(self, inside: u32) -> Option<u32> {
        Self { inside: self.outside, outside: self.inside, ..self }.inside(inside)
    }
}

impl fmt::Display for Extent {
    /// As the kernel reads and shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.count)
    }
}

/// The maps of a user namespace, of user and of group ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// The lines of `uid_map`.
    pub users: Vec<Extent>,
    /// The lines of `gid_map`.
    pub groups: Vec<Extent>,
}

impl IdMap {
    /// One user and one group: all that an ordinary user may map.
    pub fn one(inside: Owner, outside: Owner) -> Self {
        Self {
            users: vec![Extent::one(inside.uid, outside.uid)],
            groups: vec![Extent::one(inside.gid, outside.gid)],
        }
    }

    /// What an ordinary user may map beside itself, who is root inside: the ids of these ranges, of users and of groups, in their order.
    pub fn granted(outside: Owner, [users, groups]: [&[RangeInclusive<u32>]; 2]) -> Self {
        let map = |own: u32, ranges: &[RangeInclusive<u32>]| {
            let mut map = vec![Extent::one(0, own)];
            let mut inside = 1u32;
            for range in ranges {
                let left = u32::MAX - inside;
                let count = (range.end() - range.start()).saturating_add(1).min(left);
                if count > 0 {
                    map.push(Extent { inside, outside: *range.start(), count });
                }
                inside += count;
            }
            map
        };
        Self { users: map(outside.uid, users), groups: map(outside.gid, groups) }
    }

    /// The ids of a jail started by root: those from 0 to [`COUNT`] inside are those from `first` on outside.
    pub fn range(first: u32) -> Self {
        let all = vec![Extent { inside: 0, outside: first, count: COUNT }];
        Self { users: all.clone(), groups: all }
    }

    /// How such a jail's ids are translated on what is shown to it writable: an id on disk is the same id inside, but for 0. The
    /// host's root is nobody inside, and what root inside makes belongs to `first` on disk, as it does in memory. NFS calls
    /// that `root_squash`, see exports(5).
    pub fn squashed(first: u32) -> Self {
        let all = vec![
            Extent::one(0, 0),
            Extent { inside: 1, outside: first + 1, count: COUNT - 1 },
            Extent::one(first, first),
        ];
        Self { users: all.clone(), groups: all }
    }

    /// The user outside that a user inside is; one that is not mapped is nobody there.
    pub fn outside_user(&self, uid: u32) -> Option<u32> {
        self.users.iter().find_map(|extent| extent.outside(uid))
    }

    /// Whether a group inside is one outside.
    pub fn has_group(&self, gid: u32) -> bool {
        self.groups.iter().any(|extent| extent.outside(gid).is_some())
    }

    /// How an owner outside is shown inside.
    pub fn inside(&self, outside: Owner) -> Owner {
        let find = |map: &[Extent], id| map.iter().find_map(|extent| extent.inside(id)).unwrap_or(UNMAPPED);
        Owner { uid: find(&self.users, outside.uid), gid: find(&self.groups, outside.gid) }
    }

    /// The two maps as they are written to `uid_map` and `gid_map`.
    pub fn lines(&self) -> [(&'static str, String); 2] {
        let lines = |extents: &[Extent]| super::display::join("\n", extents);
        [("uid_map", lines(&self.users)), ("gid_map", lines(&self.groups))]
    }
}

/// How many ids a jail started by root has: those of 16 bits, which every file system and program knows.
pub const COUNT: u32 = 65536;

/// The lowest and the highest first id of such a range: inside and outside have no id in common, and none is the one that means no
/// id at all (`(uid_t) -1`).
pub const FIRST: RangeInclusive<u32> = COUNT..=u32::MAX - COUNT;

/// Who an id is that no map has, see /proc/sys/kernel/overflowuid in proc(5).
pub const UNMAPPED: u32 = 65534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extent_knows_its_own_ids_and_no_others() {
        let extent = Extent { inside: 10, outside: 1000, count: 3 };
        assert_eq!(extent.to_string(), "10 1000 3");
        assert_eq!(Extent::parse("        10       1000          3"), Some(extent));
        assert_eq!(["", "1 2", "1 2 x"].map(Extent::parse), [None; 3]);
        assert_eq!([999, 1000, 1002, 1003].map(|id| extent.inside(id)), [None, Some(10), Some(12), None]);
        assert_eq!([9, 10, 12, 13].map(|id| extent.outside(id)), [None, Some(1000), Some(1002), None]);
    }

    #[test]
    fn what_is_granted_comes_after_root_without_a_gap() {
        let (own, last) = (Owner { uid: 1000, gid: 100 }, u32::MAX - 1);
        let map = IdMap::granted(own, [&[100_000..=165_535, 7..=7], &[2..=last]]);
        assert_eq!(
            map.lines().map(|(_, lines)| lines),
            ["0 1000 1\n1 100000 65536\n65537 7 1".to_owned(), format!("0 100 1\n1 2 {}", last - 1)]
        );
        assert_eq!(
            [0, 1, 65_537, 65_538].map(|uid| map.outside_user(uid)),
            [Some(1000), Some(100_000), Some(7), None]
        );
        assert!(map.has_group(0) && !map.has_group(u32::MAX));
    }

    #[test]
    fn roots_files_are_nobodys_where_root_is_squashed() {
        let jail = IdMap::range(600_000);
        assert_eq!(
            [0, 33, 65535, 65536].map(|uid| jail.outside_user(uid)),
            [Some(600_000), Some(600_033), Some(665_535), None]
        );
        // On disk, then inside: what the kernel does with such a mount, see mount_setattr(2).
        let shown = |uid| {
            let outside = IdMap::squashed(600_000).outside_user(uid);
            outside.map(|uid| jail.inside(Owner { uid, gid: 600_000 }).uid)
        };
        assert_eq!(
            [0, 33, 65535, 600_000, 600_033].map(shown),
            [Some(UNMAPPED), Some(33), Some(65535), Some(0), None]
        );
    }
}
