//! Layers as a hostile program, or a careless host, may leave them, without an overlay: the files are made as overlayfs would.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use nix::sys::stat::{Mode, SFlag, mkdirat, mknod};

use super::*;
use crate::sys::fs::{get_xattr, set_xattr};

/// A layer, a directory of the host's, and one beside it that nobody is to touch.
struct Scene {
    path: PathBuf,
}

/// A time before which everything was changed.
const LATER: TimeSpec = TimeSpec::new(1 << 40, 0);

impl Scene {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stockade-scratch-{name}-{}", std::process::id()));
        let scene = Self { path };
        for directory in ["upper", "lower", "outside"] {
            fs::create_dir_all(scene.path.join(directory)).unwrap();
        }
        scene.write("outside/canary", "sings");
        scene
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), content).unwrap();
    }

    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn whiteout(&self, path: &str) {
        mknod(&self.at(path), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
    }

    fn opaque(&self, path: &str) {
        set_xattr(File::open(self.at(path)).unwrap(), c"user.overlay.opaque", b"y").unwrap();
    }

    fn with<T>(&self, act: impl FnOnce(&Layer<'_>) -> T) -> T {
        let [upper, lower] = ["upper", "lower"].map(|path| File::open(self.at(path)).unwrap());
        act(&Layer { upper: upper.as_fd(), lower: lower.as_fd(), owners: None, own_ids: true })
    }

    /// What the layer changes, a letter and a path each.
    fn changes(&self) -> Vec<String> {
        let found = self.with(changes);
        assert_eq!(found.troubles, []);
        let line = |change: &Change| format!("{} {}", change.edit.letter(), change.path.display());
        found.changes.iter().map(line).collect()
    }

    fn commit(&self, since: TimeSpec) -> Committed {
        let committed = self.with(|layer| commit(layer, &changes(layer).changes, since));
        assert_eq!(fs::read_to_string(self.at("outside/canary")).unwrap(), "sings");
        assert_eq!(fs::read_dir(self.at("outside")).unwrap().count(), 1);
        committed
    }

    /// The names in a directory of the host's, sorted.
    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let parent = File::open(self.path.parent().unwrap()).unwrap();
        let name = CStr::to_owned(
            &std::ffi::CString::new(self.path.file_name().unwrap().as_encoded_bytes()).unwrap(),
        );
        let _ = crate::tree::remove::remove(&parent, &name);
    }
}

fn told(committed: &Committed) -> Vec<String> {
    committed.troubles.iter().map(|trouble| format!("{}: {}", trouble.path.display(), trouble.why)).collect()
}

#[test]
fn what_overlayfs_notes_is_understood_and_not_applied() {
    let scene = Scene::new("notes");
    for path in ["lower/gone", "lower/hidden/a", "lower/hidden/in/b", "lower/hidden/in/c", "lower/kept"] {
        scene.write(path, "old");
    }
    scene.write("upper/hidden/in/b", "newer");
    scene.write("upper/hidden/d", "new");
    scene.opaque("upper/hidden");
    scene.whiteout("upper/gone");
    scene.whiteout("upper/never");
    // What a program may set itself means nothing here: it is the other mount's name.
    set_xattr(File::open(scene.at("upper/hidden/d")).unwrap(), c"user.overlay.redirect", b"/").unwrap();
    set_xattr(File::open(scene.at("upper/hidden/d")).unwrap(), c"user.mine", b"kept").unwrap();
    let expected = ["D gone", "D hidden/a", "A hidden/d", "M hidden/in/b", "D hidden/in/c"];
    assert_eq!(scene.changes(), expected);
    let committed = scene.commit(LATER);
    assert_eq!((told(&committed), committed.done), (vec![], 5));
    assert_eq!(scene.names("lower"), ["hidden", "kept"]);
    assert_eq!(scene.names("lower/hidden"), ["d", "in"]);
    assert_eq!(scene.names("lower/hidden/in"), ["b"]);
    let new = File::open(scene.at("lower/hidden/d")).unwrap();
    assert_eq!(get_xattr(&new, c"user.overlay.redirect", &mut [0; 8]), Err(Errno::ENODATA));
    assert_eq!(get_xattr(&new, c"user.mine", &mut [0; 8]), Ok(4));
}

#[test]
fn no_right_and_nothing_special_comes_to_the_host() {
    let scene = Scene::new("rights");
    scene.write("upper/program", "x");
    scene.mode("upper/program", 0o6755);
    fs::create_dir(scene.at("upper/directory")).unwrap();
    scene.mode("upper/directory", 0o7777);
    nix::unistd::mkfifo(&scene.at("upper/pipe"), Mode::S_IRWXU).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(scene.at("upper/s")).unwrap();
    drop(socket);
    // CAP_DAC_OVERRIDE, permitted and effective, as capabilities(7) stores it (VFS_CAP_REVISION_2): root alone can give it.
    let capability = [1, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let program = File::open(scene.at("upper/program")).unwrap();
    let given = set_xattr(&program, c"security.capability", &capability);
    assert_eq!(given.is_ok(), nix::unistd::geteuid().is_root());
    let committed = scene.commit(LATER);
    assert_eq!(told(&committed), ["pipe: it is a named pipe", "s: it is a socket"]);
    let program = File::open(scene.at("lower/program")).unwrap();
    assert_eq!(get_xattr(&program, c"security.capability", &mut [0; 64]), Err(Errno::ENODATA));
    assert_eq!(committed.stripped, [Path::new("program"), Path::new("directory")]);
    let mode = |path: &str| fs::metadata(scene.at(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("lower/program"), mode("lower/directory")), (0o755, 0o1777));
    assert_eq!(scene.names("lower"), ["directory", "program"]);
}

#[test]
fn a_link_that_the_host_has_by_now_is_not_followed() {
    let scene = Scene::new("links");
    scene.write("upper/a/planted", "x");
    scene.write("upper/file", "new");
    scene.whiteout("upper/a/canary");
    symlink("../outside", scene.at("lower/a")).unwrap();
    symlink("../outside/canary", scene.at("lower/file")).unwrap();
    // Replaced as a link, if it was one all the time; kept, if it has become one.
    let committed = scene.commit(TimeSpec::new(0, 0));
    assert_eq!(
        told(&committed),
        [
            "a: the host's was changed since the program was started",
            "file: the host's was changed since the program was started"
        ]
    );
    assert_eq!(committed.within, 1);
    assert_eq!(scene.names("lower"), ["a", "file"]);
    assert!(scene.commit(LATER).troubles.is_empty());
    assert_eq!(fs::read_to_string(scene.at("lower/file")).unwrap(), "new");
    assert_eq!(scene.names("lower/a"), ["planted"]);
}

#[test]
fn what_others_have_changed_meanwhile_stays() {
    let scene = Scene::new("meanwhile");
    scene.write("lower/changed", "theirs");
    scene.write("lower/directory/one", "theirs");
    scene.write("upper/changed", "ours");
    scene.whiteout("upper/directory");
    scene.write("upper/added", "ours");
    scene.write("upper/new/file", "ours");
    let found = scene.with(changes);
    scene.write("lower/added", "theirs");
    fs::create_dir(scene.at("lower/new")).unwrap();
    let committed = scene.with(|layer| commit(layer, &found.changes, TimeSpec::new(1, 0)));
    assert_eq!(
        told(&committed),
        [
            "added: the host's has appeared since the program was started",
            "changed: the host's was changed since the program was started",
            "directory: the host's was changed since the program was started",
            "new: the host's has appeared since the program was started",
        ]
    );
    assert_eq!((committed.done, committed.within), (0, 1));
    assert_eq!(fs::read_to_string(scene.at("lower/added")).unwrap(), "theirs");
    assert_eq!(scene.names("lower"), ["added", "changed", "directory", "new"]);
}

#[test]
fn several_names_of_the_hosts_are_not_taken_for_changes_of_others() {
    let scene = Scene::new("names");
    scene.write("lower/one", "old");
    fs::create_dir(scene.at("lower/directory")).unwrap();
    for name in ["two", "three", "directory/four"] {
        fs::hard_link(scene.at("lower/one"), scene.at("lower").join(name)).unwrap();
    }
    scene.write("upper/one", "new");
    scene.write("upper/two", "newer");
    scene.whiteout("upper/directory");
    // A tick of the clock of file systems is 10 ms at most.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let clock = nix::time::ClockId::CLOCK_REALTIME_COARSE;
    let committed = scene.commit(nix::time::clock_gettime(clock).unwrap());
    assert_eq!((told(&committed), committed.done), (vec![], 3));
    assert_eq!(scene.names("lower"), ["one", "three", "two"]);
    let read = |path: &str| fs::read_to_string(scene.at(path)).unwrap();
    assert_eq!([read("lower/one"), read("lower/two"), read("lower/three")], ["new", "newer", "old"]);
}

#[test]
fn a_type_is_changed_in_one_step() {
    let scene = Scene::new("types");
    scene.write("lower/file", "x");
    scene.write("lower/directory/one/two", "x");
    symlink("file", scene.at("lower/link")).unwrap();
    scene.write("upper/file/inside", "x");
    scene.write("upper/directory", "x");
    symlink("elsewhere", scene.at("upper/link")).unwrap();
    assert_eq!(scene.changes(), ["M directory", "M file", "A file/inside", "M link"]);
    assert!(scene.commit(LATER).troubles.is_empty());
    assert_eq!(fs::read_to_string(scene.at("lower/directory")).unwrap(), "x");
    assert_eq!(scene.names("lower/file"), ["inside"]);
    assert_eq!(fs::read_link(scene.at("lower/link")).unwrap(), Path::new("elsewhere"));
    assert_eq!(scene.names("lower"), ["directory", "file", "link"]);
}

#[test]
fn many_names_and_holes_take_no_more_room_than_in_the_layer() {
    let scene = Scene::new("room");
    scene.write("upper/one", "content");
    for name in ["a/two", "b/three", "four"] {
        fs::create_dir_all(scene.at("upper").join(name).parent().unwrap()).unwrap();
        fs::hard_link(scene.at("upper/one"), scene.at("upper").join(name)).unwrap();
    }
    let file = File::create(scene.at("upper/holes")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(scene.commit(LATER).troubles.is_empty());
    let found = |path: &str| fs::metadata(scene.at(path)).unwrap();
    let first = found("lower/one");
    assert_eq!(first.nlink(), 4);
    for name in ["lower/a/two", "lower/b/three", "lower/four"] {
        assert_eq!(found(name).ino(), first.ino());
    }
    assert_eq!(found("lower/holes").len(), 1 << 40);
    assert!(found("lower/holes").blocks() < 1 << 12);
}

#[test]
fn modes_that_shut_out_and_odd_names_are_no_obstacle() {
    let scene = Scene::new("odd");
    scene.write("upper/shut/in/file", "x");
    scene.write("upper/a\nb", "x");
    scene.write("upper/secret", "x");
    for (path, mode) in
        [("upper/secret", 0), ("upper/shut/in/file", 0o200), ("upper/shut/in", 0), ("upper/shut", 0o444)]
    {
        scene.mode(path, mode);
    }
    assert_eq!(scene.commit(LATER).done, 5);
    let mode = |path: &str| fs::metadata(scene.at(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("lower/secret"), mode("lower/shut")), (0, 0o444));
    scene.mode("lower/shut", 0o755);
    assert_eq!(mode("lower/shut/in"), 0);
    scene.mode("lower/shut/in", 0o755);
    assert_eq!(mode("lower/shut/in/file"), 0o200);
    assert_eq!(fs::read_to_string(scene.at("lower/a\nb")).unwrap(), "x");
}

#[test]
fn a_path_without_end_is_told_and_the_rest_goes_on() {
    let scene = Scene::new("deep");
    let name = "d".repeat(200);
    let mut at = OwnedFd::from(File::open(scene.at("upper")).unwrap());
    for _ in 0..200 {
        mkdirat(&at, name.as_str(), Mode::S_IRWXU).unwrap();
        at = beneath(at.as_fd(), Path::new(&name), OFlag::O_RDONLY | OFlag::O_DIRECTORY).unwrap();
    }
    drop(at);
    scene.write("upper/file", "x");
    let found = scene.with(changes);
    assert_eq!(found.troubles.iter().map(|trouble| &trouble.why).collect::<Vec<_>>(), [&Why::Deep]);
    let committed = scene.with(|layer| commit(layer, &found.changes, LATER));
    assert!(committed.troubles.is_empty());
    assert_eq!(committed.done, found.changes.len());
    assert_eq!(fs::read_to_string(scene.at("lower/file")).unwrap(), "x");
}

#[test]
fn a_copy_that_is_the_same_is_no_change() {
    let scene = Scene::new("same");
    scene.write("lower/in/file", "same");
    scene.write("upper/in/file", "same");
    let time = fs::metadata(scene.at("lower/in/file")).unwrap().modified().unwrap();
    File::options().write(true).open(scene.at("upper/in/file")).unwrap().set_modified(time).unwrap();
    assert_eq!(scene.changes(), [""; 0]);
    scene.mode("upper/in/file", 0o600);
    scene.mode("upper", 0o700);
    scene.mode("lower", 0o755);
    assert_eq!(scene.changes(), ["M ", "M in/file"]);
    assert!(scene.commit(LATER).troubles.is_empty());
    assert_eq!(fs::metadata(scene.at("lower")).unwrap().mode() & 0o7777, 0o700);
}
