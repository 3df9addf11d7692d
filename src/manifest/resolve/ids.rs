//! Which ids of the host a jail started by root gets: [`COUNT`] that nobody has, and no other jail.
//!
//! They come from the entry `stockade` in /etc/subuid and /etc/subgid if there is one, see subuid(5). Otherwise a jail's key
//! decides where the search begins in the range that systemd-nspawn takes its containers' ids from; what overlaps an entry of
//! those files, or an id of passwd(5) or group(5), is passed over. Either way a range that another jail has is passed over too.

#![forbid(unsafe_code)]

use std::ops::RangeInclusive;
use std::path::Path;

use super::accounts::{self, Accounts};
use crate::manifest::finding::Finding;
use crate::manifest::schema::Manifest;
use crate::plan::ids::{COUNT, FIRST};
use crate::plan::step::Owner;
use crate::plan::{Account, At, HostPath, IdMap, JailName, Origin};
use crate::sys::host::Host;

/// The files that are asked, below the root.
pub const SOURCES: [&str; 4] = ["etc/subuid", "etc/subgid", "etc/passwd", "etc/group"];

/// The first ids there may be where nothing is said: systemd's container range, see "Users, Groups, UIDs and GIDs on systemd Systems".
const CONTAINERS: RangeInclusive<u32> = 524_288..=1_879_048_191;

/// Whose entry in subuid(5) is ours.
const OURS: &str = "stockade";

/// Ids that somebody has, first and last.
type Range = RangeInclusive<u32>;

/// Why the host's files give no ids.
fn none(why: String, hint: &str) -> Finding {
    Finding::plain("there are no ids to give to the jail").why(why).hint(format!(
        "{hint}; or give the first of them with `first_id` under [namespaces], or go without them with `user = false`"
    ))
}

/// The first id of a jail's range. `taken` are those of other jails; `before` is the one this jail has had, which it keeps if it may.
pub fn choose(
    host: &Host,
    manifest: &Manifest,
    name: &JailName,
    taken: &[u32],
    before: Option<u32>,
) -> Result<u32, Finding> {
    if let Some(given) = &manifest.namespaces.first_id {
        return Ok(given.value);
    }
    let read = |path| accounts::read_file(host, path);
    let (users, groups) = (read("etc/subuid")?, read("etc/subgid")?);
    pick([&users, &groups], || Accounts::read(host), name, taken, before)
}

/// The same by the texts of subuid(5) and subgid(5), and by who the host's users are where those give us nothing.
pub fn pick(
    [users, groups]: [&[u8]; 2],
    accounts: impl FnOnce() -> Result<Accounts, Finding>,
    name: &JailName,
    taken: &[u32],
    before: Option<u32>,
) -> Result<u32, Finding> {
    let subordinate =
        Subordinate { users: accounts::parse(users, entry), groups: accounts::parse(groups, entry) };
    let granted = subordinate.granted()?;
    let used = if granted.is_some() { Vec::new() } else { subordinate.used(&accounts()?) };
    let places = granted.unwrap_or_else(|| vec![CONTAINERS]);
    let is_free = |first: u32| {
        let last = first.saturating_add(COUNT - 1);
        let overlaps = |other: &Range| first <= *other.end() && *other.start() <= last;
        !taken.iter().any(|other| overlaps(&(*other..=other.saturating_add(COUNT - 1))))
            && !used.iter().any(overlaps)
    };
    let count: u64 = places.iter().map(blocks).sum();
    let begin = hash(name.as_str().as_bytes()) % count.max(1);
    let all = (0..count).map(|at| block(&places, (begin + at) % count));
    let kept = before.filter(|first| (0..count).any(|at| block(&places, at) == *first));
    kept.into_iter().chain(all).find(|first| is_free(*first)).ok_or_else(|| {
        none(
            format!("every range of {COUNT} ids there is belongs to another jail or to a user"),
            "remove jails that are no longer wanted, or make the ranges of `stockade` in /etc/subuid and /etc/subgid larger",
        )
    })
}

/// How many whole ranges of [`COUNT`] ids are in a range.
fn blocks(place: &Range) -> u64 {
    (u64::from(*place.end()) + 1).saturating_sub(u64::from(*place.start())) / u64::from(COUNT)
}

/// The first id of range number `at`, counted through all places.
fn block(places: &[Range], mut at: u64) -> u32 {
    for place in places {
        let here = blocks(place);
        if at < here {
            return place.start() + at as u32 * COUNT;
        }
        at -= here;
    }
    *FIRST.start()
}

/// FNV-1a: spreads names well enough, and is the same in every version.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The entries of subuid(5) and subgid(5).
struct Subordinate {
    users: Vec<(String, Range)>,
    groups: Vec<(String, Range)>,
}

impl Subordinate {
    /// What is ours in both files; `None` if nothing is said of us.
    fn granted(&self) -> Result<Option<Vec<Range>>, Finding> {
        let ours = |entries: &[(String, Range)]| -> Vec<Range> {
            entries.iter().filter(|(name, _)| name == OURS).map(|(_, range)| range.clone()).collect()
        };
        let (users, groups) = (ours(&self.users), ours(&self.groups));
        if users.is_empty() && groups.is_empty() {
            return Ok(None);
        }
        let both: Vec<Range> = users
            .iter()
            .flat_map(|one| {
                groups.iter().map(move |other| {
                    *one.start().max(other.start()).max(FIRST.start())
                        ..=*one.end().min(other.end()).min(&(FIRST.end() + (COUNT - 1)))
                })
            })
            .filter(|range| blocks(range) > 0)
            .collect();
        if both.is_empty() {
            return Err(none(
                format!(
                    "the entries of `stockade` in /etc/subuid and /etc/subgid have no {COUNT} ids from {} on in common",
                    FIRST.start()
                ),
                "give it the same ids in both files, for example `stockade:524288:6553600`",
            ));
        }
        Ok(Some(both))
    }

    /// Every id that somebody has.
    fn used(self, accounts: &Accounts) -> Vec<Range> {
        let ids = accounts.users.iter().flat_map(|user| [user.uid, user.gid]);
        let ids =
            ids.chain(accounts.groups.iter().map(|group| group.gid)).filter(|id| CONTAINERS.contains(id));
        let ids: Vec<Range> = ids.map(|id| id..=id).collect();
        self.users.into_iter().chain(self.groups).map(|(_, range)| range).chain(ids).collect()
    }
}

/// One line of subuid(5): name, first id, count. What cannot be, as a range past the last id, is passed over, as newuidmap(1) does.
fn entry(fields: &[&str]) -> Option<(String, Range)> {
    let [name, first, count] = fields else { return None };
    let (first, count): (u32, u32) = (first.parse().ok()?, count.trim_end().parse().ok()?);
    Some(((*name).to_owned(), first..=first.checked_add(count.checked_sub(1)?)?))
}

/// Where the programs are that write an ordinary user's maps. The caller's PATH has no say.
pub const MAPPERS: [&str; 2] = ["/usr/bin/newuidmap", "/usr/bin/newgidmap"];

/// The ids that the host grants to an ordinary user, and who maps them.
pub struct Granted {
    /// What they are inside.
    pub map: IdMap,
    /// newuidmap(1) and newgidmap(1).
    pub programs: [HostPath; 2],
    /// Because of what.
    pub origin: Origin,
}

/// Those, if the manifest wants them.
pub(super) fn granted(manifest: &Manifest, host: &Host) -> Result<Option<Granted>, Finding> {
    let wanted = manifest.namespaces.id_range.as_ref().filter(|wanted| wanted.value);
    let Some(At { origin, .. }) = wanted else { return Ok(None) };
    let refused = |why: String, hint: String| {
        Finding::error("this user has no range of ids to give to the jail", origin).why(why).hint(hint)
    };
    let missing = MAPPERS.iter().find(|path| !host.path(Path::new(path)).is_file());
    let programs = MAPPERS.map(|path| HostPath::parse(path).ok());
    let (None, [Some(users), Some(groups)]) = (missing, programs) else {
        return Err(refused(
            format!("there is no `{}`, which maps ids for ordinary users", missing.unwrap_or(&MAPPERS[0])),
            "install the package `uidmap` (Debian, Ubuntu) or `shadow-utils`, or leave `id_range` (`once --id-range`) out".into(),
        ));
    };
    let accounts = Accounts::read(host)?;
    let name = accounts.user(&Account::Id(host.uid)).map(|user| user.name.clone());
    let own = |text: &[u8]| -> Vec<Range> {
        let is_own =
            |(found, _): &(String, Range)| Some(found) == name.as_ref() || found.parse() == Ok(host.uid);
        accounts::parse(text, entry).into_iter().filter(is_own).map(|(_, range)| range).collect()
    };
    let [of_users, of_groups] = ["etc/subuid", "etc/subgid"];
    let ranges = [own(&accounts::read_file(host, of_users)?), own(&accounts::read_file(host, of_groups)?)];
    let name = name.unwrap_or_else(|| host.uid.to_string());
    if let Some(at) = ranges.iter().position(Vec::is_empty) {
        let file = [of_users, of_groups][at];
        return Err(refused(
            format!("no line of `/{file}` is `{name}`'s"),
            format!(
                "root grants one: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}`, with numbers that no other \
                 line has; or leave `id_range` (`once --id-range`) out"
            ),
        ));
    }
    let map = IdMap::granted(Owner { uid: host.uid, gid: host.gid }, [&ranges[0], &ranges[1]]);
    Ok(Some(Granted { map, programs: [users, groups], origin: origin.clone() }))
}

/// Why an id is none in a jail of an ordinary user's with a range.
pub(super) fn not_granted(what: &str, id: u32, origin: &Origin) -> Finding {
    Finding::error(format!("{what} {id} is not among the ids of the jail"), origin)
        .why("they are 0, the caller, and from 1 on as many as /etc/subuid and /etc/subgid grant to the caller")
        .hint("choose another one, or have root grant more with usermod(8)")
}

/// Why an id has no place in a jail's range.
pub(super) fn out_of_range(what: &str, id: u32, origin: &Origin) -> Finding {
    Finding::error(format!("{what} {id} has no place in the jail's user namespace"), origin)
        .why(format!("a jail started by root has the ids from 0 to {}", COUNT - 1))
        .hint("choose another one, or say `user = false` under [namespaces]: then ids inside are the host's own")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::resolve::testing::Scene;

    /// The first id of a jail of this name.
    fn first(scene: &Scene, name: &str, taken: &[u32], before: Option<u32>) -> Result<u32, String> {
        let name = JailName::parse(name).unwrap();
        choose(&scene.host, &Manifest::default(), &name, taken, before)
            .map_err(|finding| finding.why.first().cloned().unwrap_or_default())
    }

    #[test]
    fn each_jail_has_a_range_of_its_own_in_the_containers_range() {
        let scene = Scene::new("ids-hash");
        let (one, other) =
            (first(&scene, "web", &[], None).unwrap(), first(&scene, "dns", &[], None).unwrap());
        assert_ne!(one, other);
        for id in [one, other] {
            assert!(
                CONTAINERS.contains(&id) && CONTAINERS.contains(&(id + COUNT - 1)) && id % COUNT == 0,
                "{id}"
            );
        }
        // The same at every start, and another one when somebody has it.
        assert_eq!(first(&scene, "web", &[other], None), Ok(one));
        assert_eq!(first(&scene, "web", &[one], None), Ok(one + COUNT));
        assert_eq!(first(&scene, "web", &[one + COUNT - 1], None), Ok(one + 2 * COUNT));
        // A number at the very end, as no jail has it, is nobody's in the way.
        assert_eq!(first(&scene, "web", &[u32::MAX], None), Ok(one));
        assert_eq!(first(&scene, "web", &[], Some(other)), Ok(other));
        assert_eq!(first(&scene, "web", &[other], Some(other)), Ok(one));
        // One that was given by hand, and is not any more.
        assert_eq!(first(&scene, "web", &[], Some(70_000)), Ok(one));
    }

    #[test]
    fn ids_of_the_hosts_users_are_passed_over() {
        let scene = Scene::new("ids-used");
        let one = first(&scene, "web", &[], None).unwrap();
        for (file, text) in [
            ("etc/subuid", format!("eve:{}:10\n", one - 9)),
            ("etc/subgid", format!("eve:{}:65536\n", one + COUNT - 1)),
            ("etc/passwd", format!("eve:x:{}:100::/:/bin/sh\n", one + 5)),
            ("etc/group", format!("eve:x:{}:\n", one + COUNT - 1)),
        ] {
            let scene = Scene::new("ids-used-by");
            scene.file(file, &text);
            let next = if file == "etc/subgid" { one + 2 * COUNT } else { one + COUNT };
            assert_eq!(first(&scene, "web", &[], None), Ok(next), "{file}: {text}");
        }
        // An id beside the range, and lines that mean nothing.
        scene.file("etc/subuid", &format!("eve:{}:9\neve:1\neve:4294967295:2\neve:5:0\n", one - 9));
        assert_eq!(first(&scene, "web", &[], None), Ok(one));
    }

    #[test]
    fn an_entry_for_stockade_is_what_ids_are_taken_from() {
        let scene = Scene::new("ids-granted");
        scene.file("etc/subuid", "eve:100000:65536\nstockade:200000:131072\n");
        scene.file("etc/subgid", "stockade:190000:200000\n");
        let one = first(&scene, "web", &[], None).unwrap();
        let other = first(&scene, "web", &[one], None).unwrap();
        let mut both = [one, other];
        both.sort_unstable();
        assert_eq!(both, [200_000, 265_536]);
        assert!(first(&scene, "web", &both, None).unwrap_err().contains("belongs to another jail"));
        // Too small, too low, in one file only.
        for (users, groups) in [
            ("stockade:200000:65535\n", "stockade:200000:65535\n"),
            ("stockade:0:65536\n", "stockade:0:65536\n"),
            ("stockade:200000:65536\n", ""),
            ("stockade:200000:65536\n", "stockade:200001:65536\n"),
        ] {
            scene.file("etc/subuid", users).file("etc/subgid", groups);
            assert!(first(&scene, "web", &[], None).unwrap_err().contains("in common"), "{users} {groups}");
        }
        // Up to the last id there is.
        scene.file("etc/subuid", "stockade:4294836224:131071\n");
        scene.file("etc/subgid", "stockade:4294836224:131071\n");
        assert_eq!(first(&scene, "web", &[], None), Ok(4_294_836_224));
    }

    #[test]
    fn an_ordinary_user_has_what_its_lines_say() {
        let scene = Scene::new("ids-of-user");
        let mut manifest = Manifest::default();
        let granted =
            |manifest: &Manifest| granted(manifest, &scene.host).map_err(|finding| finding.why.join(" "));
        assert!(granted(&manifest).unwrap().is_none());
        manifest.namespaces.id_range = Some(At { value: true, origin: Origin::Default("asked for") });
        let why = |manifest: &Manifest| granted(manifest).map(|_| ()).unwrap_err();
        assert!(why(&manifest).contains("no `/usr/bin/newuidmap`"));
        scene.file("usr/bin/newuidmap", "").file("usr/bin/newgidmap", "");
        let own = scene.host.uid;
        scene.file("etc/passwd", &format!("eve:x:{own}:{own}::/:/bin/sh\n"));
        scene.file("etc/subuid", "adam:100000:10\n").file("etc/subgid", "eve:100000:10\n");
        assert_eq!(why(&manifest), "no line of `/etc/subuid` is `eve`'s");
        scene.file("etc/subuid", &format!("adam:100000:10\neve:200000:10\nadam:5:1\n{own}:300000:20\n"));
        let found = granted(&manifest).unwrap().unwrap();
        let outside = [0, 1, 10, 11, 30, 31].map(|uid| found.map.outside_user(uid));
        assert_eq!(outside, [Some(own), Some(200_000), Some(200_009), Some(300_000), Some(300_019), None]);
        assert!(found.map.has_group(10) && !found.map.has_group(11));
    }
}
