//! Too little memory: of the address space, where it is named, and of a group, where the kernel kills.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::{Need, needs};
use crate::scarce::{Outcome, Scarce};

#[test]
fn too_little_memory_is_named() {
    if !needs(Need::UserNamespaces) || !needs(Need::Program("prlimit")) {
        return;
    }
    let jail = Scarce::new("memory");
    jail.build();
    let (mut told, mut worked) = (0, 0);
    // From where not even the kernel can load the binary to where there is enough.
    for most in (1_000_000..24_000_000).step_by(400_000) {
        let limit = format!("--as={most}:{most}");
        for verb in ["run", "build", "verify"] {
            match jail.finish(&["prlimit", &limit], verb) {
                Outcome::Works => worked += 1,
                // By execve(2), which has nowhere to return to, or for want of a page of stack.
                Outcome::Killed(signal) => {
                    assert!([9, 11].contains(&signal), "{verb} with {most} bytes: signal {signal}");
                }
                outcome @ Outcome::Error(_) => {
                    outcome.expect_error(&["memory"]);
                    told += 1;
                    // An end in the middle of a build leaves what the next one sweeps.
                    jail.build();
                }
            }
        }
    }
    println!("{told} told, {worked} worked");
    assert!(worked > 0);
    jail.build();
    jail.assert_clean(false);
}

/// A cgroup below this process's own with a limit on memory, removed at the end; none where there is no such thing.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new(bytes: u64) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = own.lines().find_map(|line| line.split_once(":memory:"))?.1;
        let place = Path::new("/sys/fs/cgroup/memory").join(path.trim_start_matches('/'));
        // Not called like a jail's, which the next jail that starts would take away while nobody is in it.
        let group = place.join(format!("scarce-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let made = Self(group);
        fs::write(made.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        Some(made)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_mins(1);
        while fs::remove_dir(&self.0).is_err() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn killed_for_want_of_memory_nothing_is_left() {
    if !needs(Need::Root) {
        return;
    }
    let jail = Scarce::new("oom");
    jail.build();
    let mut killed = 0;
    for kib in [200, 300, 400, 500, 700, 900, 1200, 1600, 2000, 3000, 4000, 8000] {
        let Some(group) = MemoryGroup::new(kib << 10) else {
            println!("SKIP: no memory cgroup can be made here");
            return;
        };
        let join = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.0.display());
        for verb in ["run", "build"] {
            match jail.finish(&["sh", "-c", &join, "sh"], verb) {
                Outcome::Works => {}
                Outcome::Killed(signal) => {
                    assert_eq!(signal, 9, "{verb} with {kib} KiB");
                    killed += 1;
                }
                outcome @ Outcome::Error(_) => outcome.expect_error(&["memory"]),
            }
        }
    }
    println!("{killed} killed");
    // The next build sweeps what they left.
    jail.build();
    jail.assert_clean(false);
}
