//! A jail of one's own on a host that has too little, and how a command of it ended.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common;

/// The program of the jails: says that it ran, after so many milliseconds, and ends with the number of signals it has seen.
pub(super) const PROGRAM: &str = r#"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static volatile int seen;
static void see(int number) { seen++; }
int main(int argc, char **argv) {
    signal(SIGUSR1, see);
    if (argc > 1) {
        write(1, "ready\n", 6);
        for (int left = atoi(argv[1]); left > 0; left--) usleep(1000);
    }
    write(1, "ran\n", 4);
    return 0;
}
"#;

/// A jail in a directory of its own.
pub(super) struct Scarce {
    pub(super) directory: PathBuf,
    mark: String,
}

impl Scarce {
    pub(super) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("stockade-scarce-{name}-{}-{count}", std::process::id());
        let directory = std::env::temp_dir().join(&mark);
        fs::create_dir(&directory).unwrap();
        common::compile_static(&directory.join("program"), PROGRAM);
        common::copy_program(&common::binary(), &directory.join("stockade"));
        let text = format!(
            "name = \"scarce\"\nprogram.command = [\"/program\"]\nprogram.environment.MARK = \"{mark}\"\n\
             tree.files = [{{ path = \"{}\", target = \"/program\" }}]\n\
             [[mounts]]\ntype = \"tmpfs\"\ntarget = \"/tmp\"\n\
             [[mounts]]\nsource = \"/usr\"\ntarget = \"/shown\"\n",
            directory.join("program").display()
        );
        fs::write(directory.join("scarce.toml"), text).unwrap();
        Self { directory, mark }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// `stockade VERB`, behind these words, with arguments for the program.
    pub(super) fn command(&self, before: &[&str], verb: &str, arguments: &[&str]) -> Command {
        let (binary, manifest) = (self.path("stockade"), self.path("scarce.toml"));
        let mut words: Vec<_> = before.iter().map(|word| (*word).to_owned()).collect();
        words.extend([binary.display().to_string(), verb.to_owned(), manifest.display().to_string()]);
        if !arguments.is_empty() {
            words.push("--".into());
            words.extend(arguments.iter().map(|word| (*word).to_owned()));
        }
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env("STOCKADE_STATE_DIR", self.path("state"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end; then nothing is left of it but, where it was killed, what the next command sweeps.
    pub(super) fn finish(&self, before: &[&str], verb: &str) -> Outcome {
        let output = self.command(before, verb, &[]).output().unwrap();
        let outcome = Outcome::of(verb, &output);
        let out_of_memory =
            matches!(&outcome, Outcome::Error(told) if told.contains("error: out of memory\n"));
        self.assert_clean(out_of_memory || matches!(outcome, Outcome::Killed(_)));
        outcome
    }

    pub(super) fn build(&self) {
        let outcome = self.finish(&[], "build");
        assert!(matches!(outcome, Outcome::Works), "{outcome:?}");
    }

    /// That no process, mount or half-made tree is there.
    #[track_caller]
    pub(super) fn assert_clean(&self, was_killed: bool) {
        let end = Instant::now() + Duration::from_mins(1);
        while let Some(pid) = self.marked() {
            assert!(Instant::now() < end, "process {pid} is left");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&self.mark), "mounts are left: {mounts}");
        if was_killed {
            return;
        }
        let names = |path: &Path| -> Vec<String> {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let state = self.path("state");
        let half_made = |name: &String| name.starts_with('.') && name != ".run";
        let found =
            [names(&state), names(&state.join("scarce")), names(&state.join("scarce/generations"))].concat();
        assert!(!found.iter().any(half_made), "half-made: {found:?}");
    }

    /// A process that carries the mark.
    pub(super) fn marked(&self) -> Option<String> {
        fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let pid = entry.file_name().to_string_lossy().into_owned();
            let has = |file: &str| {
                let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
                bytes.windows(self.mark.len()).any(|part| part == self.mark.as_bytes())
            };
            (pid.parse::<u32>().is_ok() && (has("cmdline") || has("environ"))).then_some(pid)
        })
    }
}

impl Drop for Scarce {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// How a command ended, if it ended as it should.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It did what it was asked for.
    Works,
    /// It said what, why, and what to do.
    Error(String),
    /// By this signal, without a word.
    Killed(i32),
}

impl Outcome {
    #[track_caller]
    pub(super) fn of(verb: &str, output: &Output) -> Self {
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let (said, told) = (said.as_ref(), told.as_ref());
        match (output.status.code(), verb) {
            (Some(0), "run") => assert_eq!(said, "ran\n", "{told}"),
            (Some(0), "verify") => assert!(
                said.ends_with(" paths are as they were built, and as the host has them\n"),
                "{said}{told}"
            ),
            (Some(0), _) => assert!(said.is_empty() && told.contains("built jail `scarce`"), "{said}{told}"),
            (Some(1 | 125), _) => {
                let lines: Vec<_> = told.lines().filter(|line| !line.is_empty()).collect();
                let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
                // What was found before, such as warnings, may stand first; a tree that cannot be built any more is a finding, too.
                let said =
                    if verb == "verify" && said.contains("a build would fail now") { "" } else { said };
                assert!(!told.contains("altered"), "{told}");
                assert!(has("error: ") && has("  why: ") && has("hint: ") && said.is_empty(), "{said}{told}");
                assert!(!told.contains("panicked") && !told.contains("stack backtrace"), "{told}");
                return Self::Error(told.to_owned());
            }
            // The C library of a static program, which finds no room for itself.
            (Some(127), _) if told == "Fatal glibc error: Cannot allocate TLS block\n" => {
                return Self::Killed(Signal::SIGKILL as i32);
            }
            (None, _) => {
                // At any moment, so perhaps when the program had ended already.
                let ran = verb == "run" && said == "ran\n";
                assert!((ran || said.is_empty()) && told.is_empty(), "{}: {said}{told}", output.status);
                return Self::Killed(output.status.signal().unwrap());
            }
            _ => panic!("{verb}: {} {said}{told}", output.status),
        }
        Self::Works
    }

    /// That it is an error that mentions all of these.
    #[track_caller]
    pub(super) fn expect_error(&self, parts: &[&str]) {
        let Self::Error(told) = self else { panic!("{self:?} instead of an error about {parts:?}") };
        for part in parts {
            assert!(told.contains(part), "{part:?} is not in: {told}");
        }
    }
}
