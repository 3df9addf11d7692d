//! A directory of one race: a jail's manifest, its state directory, and a canary outside that stays as it is.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{self, is_root};

/// What the canary's files say.
pub(super) const SONG: &str = "the canary sings";

/// A directory of one race: the jail's manifest, the state directory, a canary.
pub(super) struct Field {
    directory: PathBuf,
    pub(super) before: Vec<String>,
}

impl Field {
    pub(super) fn new(name: &str) -> Self {
        Self::new_in(&std::env::temp_dir(), name)
    }

    pub(super) fn new_in(place: &Path, name: &str) -> Self {
        let directory = place.join(format!("stockade-races-{name}-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let canary = directory.join("canary");
        fs::create_dir_all(canary.join("inner/empty")).unwrap();
        for file in ["file", "inner/file"] {
            fs::write(canary.join(file), SONG).unwrap();
            fs::set_permissions(canary.join(file), fs::Permissions::from_mode(0o640)).unwrap();
        }
        symlink("file", canary.join("link")).unwrap();
        common::compile_static(
            &canary.join("program"),
            "#include <stdio.h>\nint main(void) { puts(\"the canary sings\"); }",
        );
        fs::set_permissions(&canary, fs::Permissions::from_mode(0o700)).unwrap();
        common::compile_static(
            &directory.join("look"),
            &LOOK.replace("CANARY", &canary.display().to_string()),
        );
        let before = look_at(&canary);
        Self { directory, before }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes the manifest: a jail whose program looks for the canary. `{here}` is this directory.
    pub(super) fn manifest(&self, more: &str) {
        let user = if is_root() { "program.user = \"root\"\n" } else { "" };
        let text = format!(
            "name = \"raced\"\nprogram.command = [\"/look\"]\n{user}\
             tree.directories = [\"/work\", \"/data/inner\"]\n{}",
            more.replace("{here}", &self.directory.display().to_string())
        );
        fs::write(self.path("raced.toml"), text).unwrap();
    }

    /// `stockade VERB` of the jail.
    pub(super) fn stockade(&self, verb: &str) -> Command {
        let mut command = Command::new(common::binary());
        command
            .args([verb, &self.path("raced.toml").display().to_string()])
            .env("STOCKADE_STATE_DIR", self.path("state"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, with the code it ended with; whatever it says, it does not sing.
    #[track_caller]
    pub(super) fn finish(&self, verb: &str) -> (Option<i32>, String) {
        let output = self.stockade(verb).output().unwrap();
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!said.contains(SONG) && !told.contains(SONG), "{verb}: {said}{told}");
        self.assert_untouched();
        let expected = match output.status.code() {
            Some(0) => verb != "run" || said == "looked\n",
            // What it finds it says on stdout: no name of the canary's, which it would have found had it been led there.
            Some(1) if verb == "verify" => !said.is_empty() && !said.contains("/program"),
            Some(1 | 125..=127) => said.is_empty(),
            _ => false,
        };
        assert!(expected, "{verb}: {:?} {said}{told}", output.status);
        (output.status.code(), told.into_owned())
    }

    /// The same for a command that nothing can be in the way of.
    #[track_caller]
    pub(super) fn succeeds(&self, verb: &str) {
        let (code, told) = self.finish(verb);
        assert_eq!(code, Some(0), "{verb}: {told}");
    }

    /// The root of the current tree, as it was opened: also when it has been moved since.
    pub(super) fn tree(&self) -> (PathBuf, File) {
        let path = self.path("state/raced/current/tree").canonicalize().unwrap();
        let opened = File::open(&path).unwrap();
        (path, opened)
    }

    #[track_caller]
    pub(super) fn assert_untouched(&self) {
        assert_eq!(look_at(&self.path("canary")), self.before, "the canary was touched");
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Everything about a directory and what is below it: kind, mode, owner, links, times of the last write and change, content.
pub(super) fn look_at(path: &Path) -> Vec<String> {
    let mut seen = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let found = path.symlink_metadata().unwrap();
        let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
        let content = if found.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if found.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path).unwrap()
        };
        let owner = (found.uid(), found.gid(), found.nlink(), found.len());
        let content = String::from_utf8_lossy(&content).into_owned();
        seen.push(format!("{} {:o} {owner:?} {times:?} {content}", path.display(), found.mode()));
    }
    seen.sort();
    seen
}

/// The program of the jails: looks where a swapped directory would show the canary, and writes there. Asked to race, it swaps
/// whatever the kernel lets it in its own root.
pub(super) const LOOK: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void look(const char *place, const char *name) {
    char path[4096], text[64];
    snprintf(path, sizeof path, "%s/%s", place, name);
    int fd = open(path, O_RDWR | O_APPEND | O_NONBLOCK);
    if (fd < 0) fd = open(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0) return;
    long length = read(fd, text, sizeof text);
    if (length > 0 && text[0] == 't') {
        fwrite(text, 1, length, stdout);
        write(fd, "!", 1);
    }
    close(fd);
}

static void race(void) {
    const char *names[] = {"etc", "dev", "proc", "work", "data", "usr", "look"};
    const char *ways[] = {"CANARY", "/proc/self/fd/3", "../../../../../canary", "/proc/1/root/CANARY"};
    chdir("/");
    for (int at = 0; at < 7; at++) {
        char partner[64];
        snprintf(partner, sizeof partner, ".partner-%s", names[at]);
        symlink(ways[at % 4], partner);
    }
    write(1, "racing\n", 7);
    for (unsigned turn = 0;; turn++) {
        int at = turn / 100 % 7;
        char partner[64];
        snprintf(partner, sizeof partner, ".partner-%s", names[at]);
        renameat2(AT_FDCWD, names[at], AT_FDCWD, partner, RENAME_EXCHANGE);
        if (turn % 100 == 0) {
            usleep(turn / 100 % 500);
            mkdir("work/inner", 0777);
            mkfifo("work/file", 0666);
            unlink("work/file");
        }
    }
}

int main(int argc, char **argv) {
    const char *places[] = {".", "/etc", "/dev", "/proc", "/tmp", "/work", "/data", "/data/inner", "/shared", "CANARY",
                            "/proc/self/cwd", "/proc/self/root", "/proc/1/cwd", "/proc/1/root"};
    if (argc > 1) race();
    for (unsigned place = 0; place < sizeof places / sizeof *places; place++) {
        look(places[place], "file");
        look(places[place], "inner/file");
    }
    puts("looked");
}
"#;
