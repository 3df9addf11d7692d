//! Races: directories swapped for links in a tight loop, by a jailed root in its tree and by a user in the sources, while `build`,
//! `run` and `remove` work. Canaries outside stay as they are, to the nanosecond, and are never seen inside.
//!
//! `STOCKADE_RACE_SECONDS` says for how long, all races together (default 6). As root the same is done as an ordinary user too.
//!
//! That the racers win where they can is shown by [`a_naive_follower_loses`]: the same swaps against code that uses paths.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

#[path = "../common/mod.rs"]
mod common;
mod field;

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Need, Numbers, is_root, needs};
use field::{Field, SONG, look_at};
use stockade::sys::fs::rename;

/// Races that share the time: seven as root, and the same as an ordinary user.
const RACES: u32 = 14;

/// A user of the host's who is neither root nor whoever runs the tests.
const BOB: u32 = 12345;

/// The time of one race.
fn share() -> Duration {
    let seconds = std::env::var("STOCKADE_RACE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    Duration::from_secs(seconds) / RACES
}

/// Ends a race, also when the work ends by a panic.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Swaps each of these names in a directory for its partner in the same directory, for as long as `work` takes.
fn raced<T>(directory: &File, pairs: &[(String, String)], work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let name = |name: &String| CString::new(name.as_str()).unwrap();
    let pairs: Vec<_> = pairs.iter().map(|(one, other)| (name(one), name(other))).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut numbers = Numbers(1);
            while !done.load(Ordering::Relaxed) {
                // Long bursts, after which things are as they were or not, and pauses in which something may succeed.
                for _ in 0..50 + numbers.below(2) {
                    for (one, other) in &pairs {
                        // Whatever has just been removed, or is a mount point, is swapped another time.
                        let _ = rename(directory, one, directory, other, nix::libc::RENAME_EXCHANGE);
                    }
                }
                std::thread::sleep(Duration::from_micros(numbers.below(1000)));
            }
        });
        let _done = Done(&done);
        work()
    })
}

/// Plants a link to the canary beside each of these names; the pairs to be swapped.
fn plant(field: &Field, tree: &Path, names: &[&str]) -> Vec<(String, String)> {
    let canary = field.path("canary");
    let mut pairs = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let partner = format!(".partner-{name}");
        let to = match (*name, at % 3) {
            ("look", _) => canary.join("program"),
            (_, 0) => canary.clone(),
            (_, 1) => canary.join("inner"),
            // By the way of the tree's own place in the state directory.
            _ => PathBuf::from("../../../../../canary"),
        };
        symlink(to, tree.join(&partner)).unwrap();
        pairs.push(((*name).to_owned(), partner));
    }
    pairs
}

/// Calls `turn` again and again for one race's time, and at least twice.
fn again_and_again(mut turn: impl FnMut(u32)) -> u32 {
    let end = Instant::now() + share();
    let mut turns = 0;
    while turns < 2 || Instant::now() < end {
        turn(turns);
        turns += 1;
    }
    turns
}

#[test]
fn a_tree_swapped_from_outside_does_not_lead_a_run_astray() {
    // More than a jailed root can do, who cannot move what is mounted on in its own namespace.
    if !needs(Need::UserNamespaces) {
        return;
    }
    let field = Field::new("run");
    fs::create_dir(field.path("shown")).unwrap();
    let mut codes = Vec::new();
    for init in [true, false] {
        field.manifest(&format!(
            "program.init = {init}\nprogram.working_directory = \"/work\"\nroot.read_only = false\n\
             tree.files = [{{ path = \"{{here}}/look\", target = \"/look\" }}]\n\
             [[mounts]]\ntype = \"tmpfs\"\ntarget = \"/tmp\"\n\
             [[mounts]]\nsource = \"{{here}}/shown\"\ntarget = \"/data/inner\"\n"
        ));
        field.succeeds("build");
        let (path, tree) = field.tree();
        let pairs = plant(&field, &path, &["dev", "proc", "etc", "work", "data", "tmp", "look"]);
        again_and_again(|turn| {
            // One at a time and its neighbour, so that not everything is in a mess at once.
            let at = turn as usize % (pairs.len() - 1);
            raced(&tree, &pairs[at..at + 2], || codes.push(field.finish("run").0));
        });
    }
    println!(
        "{} runs, {} of them to the end",
        codes.len(),
        codes.iter().filter(|code| **code == Some(0)).count()
    );
}

#[test]
fn a_source_swapped_where_a_jail_can_write_does_not_choose_what_is_shown() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let field = Field::new("source");
    fs::create_dir_all(field.path("shared/way/inner")).unwrap();
    field.manifest(
        "tree.files = [{ path = \"{here}/look\", target = \"/look\" }]\n\
         [[mounts]]\nsource = \"{here}/shared\"\ntarget = \"/shared\"\nread_only = false\n\
         [[mounts]]\nsource = \"{here}/shared/way/inner\"\ntarget = \"/work\"\n",
    );
    field.succeeds("build");
    field.succeeds("run");
    let (shared, partner) = (File::open(field.path("shared")).unwrap(), ".partner-way");
    symlink(field.path("canary"), field.path("shared").join(partner)).unwrap();
    let pairs = [("way".to_owned(), partner.to_owned())];
    again_and_again(|_| raced(&shared, &pairs, || drop(field.finish("run"))));
    // Nor does one that stays.
    fs::rename(field.path("shared/way"), field.path("shared/away")).ok();
    symlink(field.path("canary"), field.path("shared/way")).ok();
    let (code, told) = field.finish("run");
    assert_eq!(code, Some(125), "{told}");
    assert!(told.contains("a symbolic link that leads out of"), "{told}");
}

#[test]
fn a_tree_swapped_while_it_is_verified_leads_nowhere() {
    let field = Field::new("verify");
    field.manifest(
        "tree.files = [{ path = \"{here}/look\", target = \"/look\" }]\n\
         tree.text = [{ path = \"/work/file\", content = \"w\" }, { path = \"/data/inner/file\", content = \"d\" }]\n",
    );
    field.succeeds("build");
    let (path, tree) = field.tree();
    let inner = File::open(path.join("data")).unwrap();
    let mut pairs = plant(&field, &path, &["dev", "etc", "work", "data", "look"]);
    // A fifo that nobody writes to takes its turn as well.
    nix::unistd::mkfifo(&path.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    pairs.push((".partner-look".into(), "fifo".into()));
    symlink(field.path("canary"), path.join("data/.partner-inner")).unwrap();
    let inside = [("inner".to_owned(), ".partner-inner".to_owned())];
    let turns = again_and_again(|_| {
        let (code, told) = raced(&tree, &pairs, || raced(&inner, &inside, || field.finish("verify")));
        // The planted names at least are found, whatever becomes of the rest.
        assert_eq!(code, Some(1), "{told}");
    });
    // Nobody swaps any more: what was never touched is as it was.
    let (code, told) = field.finish("verify");
    assert_eq!(code, Some(1), "{told}");
    println!("{turns} verifications");
}

#[test]
fn a_tree_swapped_while_it_is_removed_takes_nothing_else_along() {
    // In memory where there is such a place: a build waits for its disk, and most of the time nothing would be raced.
    let memory = Path::new("/dev/shm");
    let field = if memory.is_dir() { Field::new_in(memory, "remove") } else { Field::new("remove") };
    field.manifest("tree.text = [{ path = \"/look\", content = \"\", mode = \"0755\" }]\n");
    let mut left = 0;
    let turns = again_and_again(|turn| {
        field.succeeds("build");
        let (path, tree) = field.tree();
        let pairs: Vec<_> = (0..20)
            .map(|at| {
                let (directory, link) = (format!("d{at}"), format!("l{at}"));
                fs::create_dir_all(path.join(&directory).join("inner/more")).unwrap();
                fs::write(path.join(&directory).join("inner/file"), "").unwrap();
                symlink(field.path("canary"), path.join(&link)).unwrap();
                (directory, link)
            })
            .collect();
        // A directory that has been moved away is swapped there too: the names in it are the racer's.
        let deep = File::open(path.join("d0")).unwrap();
        symlink(field.path("canary"), path.join("d0/link")).unwrap();
        let inner = [("inner".to_owned(), "link".to_owned())];
        let verb = if turn % 2 == 0 { "remove" } else { "build" };
        let (code, told) = raced(&tree, &pairs, || raced(&deep, &inner, || field.finish(verb)));
        match code {
            Some(0) => {}
            Some(125) => {
                assert!(told.contains("Directory not empty"), "{told}");
                left += 1;
            }
            _ => panic!("{verb}: {code:?} {told}"),
        }
        // What had to stay goes once nobody swaps any more.
        let (code, told) = field.finish("remove");
        assert!(matches!(code, Some(0 | 1)), "{told}");
        assert_eq!(fs::read_dir(field.path("state")).unwrap().count(), 0);
    });
    println!("{turns} removals, {left} of them at a second attempt");
}

#[test]
fn sources_swapped_by_their_owner_do_not_choose_what_is_copied() {
    let field = Field::new("sources");
    let home = field.path("home");
    fs::create_dir_all(home.join("site/inner")).unwrap();
    for file in ["site/file", "site/inner/file", "page"] {
        fs::write(home.join(file), "public").unwrap();
    }
    field.manifest(
        "tree.files = [{ path = \"{here}/look\", target = \"/look\" }, { path = \"{here}/home/site\", target = \"/site\" },\n\
         { path = \"{here}/home/page\", target = \"/page\", optional = true }]\n",
    );
    let mut pairs = plant(&field, &home, &["site"]);
    symlink(field.path("canary/file"), home.join(".partner-page")).unwrap();
    pairs.push(("page".into(), ".partner-page".into()));
    if is_root() {
        for path in [".", "site", "site/inner", "site/file", "site/inner/file", "page"] {
            chown(home.join(path), Some(BOB), Some(BOB)).unwrap();
        }
        for (_, link) in &pairs {
            lchown(home.join(link), Some(BOB), Some(BOB)).unwrap();
        }
    }
    let opened = File::open(&home).unwrap();
    let mut built = 0;
    let turns = raced(&opened, &pairs, || {
        again_and_again(|_| {
            let (code, _) = field.finish("build");
            if code == Some(0) {
                built += 1;
            }
            // An ordinary user's own link may lead to what that user can read; root's eyes are not bob's to use.
            if is_root() && field.path("state/raced/current").exists() {
                let sung = Command::new("grep").arg("-rq").arg(SONG).arg(field.tree().0).status().unwrap();
                assert_eq!(sung.code(), Some(1), "the canary was copied");
            }
        })
    });
    println!("{turns} builds, {built} of them to the end");
}

/// A jail that races for ever: ended with the test, also with one that fails, which would else be waited for as long.
struct Racer(std::process::Child);

impl Drop for Racer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_jail_that_swaps_its_own_tree_gets_no_further_by_the_next_run_or_build() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let field = Field::new("inside");
    field.manifest(
        "program.working_directory = \"/work\"\nroot.read_only = false\n\
         tree.files = [{ path = \"{here}/look\", target = \"/look\" }]\n",
    );
    field.succeeds("build");
    let mut runs = 0;
    let turns = again_and_again(|_| {
        // In the very tree from which the others are run.
        let racing = field.stockade("run").args(["--", "race"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut racing = Racer(racing);
        let mut line = [0; 7];
        std::io::Read::read_exact(racing.0.stdout.as_mut().unwrap(), &mut line).unwrap();
        assert_eq!(&line, b"racing\n");
        for _ in 0..8 {
            runs += u32::from(field.finish("run").0 == Some(0));
        }
        // Whatever it makes of its tree while that is looked at.
        assert_eq!(field.finish("verify").0, Some(1));
        let (code, told) = field.finish("remove");
        assert!(code == Some(125) && told.contains("it from `"), "{told}");
        // The raced tree stays until its racer ends, and then as the one to go back to.
        field.succeeds("build");
        let count = fs::read_dir(field.path("state/raced/generations")).unwrap().count();
        assert!(matches!(count, 2 | 3), "{count} generations");
        drop(racing);
    });
    field.succeeds("remove");
    assert_eq!(fs::read_dir(field.path("state")).unwrap().count(), 0);
    println!("{} runs, {runs} of them to the end", turns * 8);
}

/// What code does that goes by paths, as many a script: looks, then makes or removes.
fn naive(tree: &Path) {
    let inner = tree.join("d/inner");
    if tree.join("d").symlink_metadata().is_ok_and(|found| found.is_dir()) {
        let _ = fs::write(tree.join("d/made"), "");
        let _ = fs::set_permissions(&inner, fs::Permissions::from_mode(0o755));
        let _ = fs::remove_file(tree.join("d/made"));
    }
}

#[test]
fn a_naive_follower_loses() {
    // The proof that these races can be lost: the canary's directory shows that something was made in it.
    let field = Field::new("naive");
    let tree = field.path("tree");
    fs::create_dir_all(tree.join("d/inner")).unwrap();
    let pairs = plant(&field, &tree, &["d"]);
    let opened = File::open(&tree).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    let touched = raced(&opened, &pairs, || {
        while Instant::now() < end {
            naive(&tree);
            if look_at(&field.path("canary")) != field.before {
                return true;
            }
        }
        false
    });
    assert!(touched, "the racer did not win against code that follows links: these tests prove nothing");
}

#[test]
fn the_same_as_an_ordinary_user() {
    if !is_root() {
        return;
    }
    if !needs(Need::Program("setpriv")) {
        return;
    }
    // Copies of this program and of the binary where nobody can reach them.
    let place = common::Dir::new("races-nobody");
    fs::create_dir_all(place.join("bin")).unwrap();
    fs::create_dir(place.join("tmp")).unwrap();
    chown(place.join("tmp"), Some(65534), Some(65534)).unwrap();
    common::copy_program(&common::binary(), &place.join("bin/stockade"));
    common::copy_program(&std::env::current_exe().unwrap(), &place.join("bin/races"));
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(place.join("bin/races"))
        .args(["--nocapture", "--test-threads=2", "--skip", "naive"])
        .env("STOCKADE_TEST_PLACE", place.path())
        .env("TMPDIR", place.join("tmp"))
        .current_dir(place.join("tmp"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("test result: ok. 7 passed"), "{said}");
}
