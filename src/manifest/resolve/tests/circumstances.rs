//! What a program starts with beside its rights: from a manifest and its caller to steps.

use super::super::testing::Scene;
use super::*;
use crate::manifest::schema::{Manifest, RESOURCES, ResourceLimit};
use crate::sys::creds;
use crate::sys::priority::Priorities;

/// The steps of a run that begin with one of these.
fn steps(scene: &Scene, manifest: &Manifest, names: &[&str]) -> Vec<String> {
    let run = scene.run(manifest).unwrap();
    let shown = run.steps.iter().map(|step| step.action.to_string());
    shown.filter(|step| names.iter().any(|name| step.starts_with(name))).collect()
}

/// The caller's limit of a resource.
fn set(scene: &mut Scene, resource: &str, soft: u64, hard: u64) {
    let at = creds::LIMITS.iter().position(|known| *known == resource).unwrap();
    scene.host.limits[at] = [soft, hard];
}

#[test]
fn every_jail_has_limits() {
    let scene = Scene::new("circumstances-limits");
    assert_eq!(
        steps(&scene, &Manifest::default(), &["setrlimit"]),
        [
            "setrlimit(RLIMIT_CORE, 1, 1)",
            "setrlimit(RLIMIT_MEMLOCK, 8388608, 8388608)",
            "setrlimit(RLIMIT_MSGQUEUE, 819200, 819200)",
            "setrlimit(RLIMIT_NICE, 0, 0)",
            "setrlimit(RLIMIT_NOFILE, 1024, 65536)",
            "setrlimit(RLIMIT_NPROC, 1024, 1024)",
            "setrlimit(RLIMIT_RTPRIO, 0, 0)",
            "setrlimit(RLIMIT_SIGPENDING, 4096, 4096)",
            "setrlimit(RLIMIT_STACK, 8388608, RLIM_INFINITY)",
        ]
    );
}

#[test]
fn the_manifest_wins_and_a_caller_with_less_hands_on_less() {
    let mut scene = Scene::new("circumstances-less");
    set(&mut scene, "RLIMIT_NOFILE", 512, 4096);
    set(&mut scene, "RLIMIT_NPROC", 5000, 5000);
    set(&mut scene, "RLIMIT_MEMLOCK", 0, 1 << 20);
    set(&mut scene, "RLIMIT_CORE", 0, u64::MAX);
    set(&mut scene, "RLIMIT_STACK", u64::MAX, 1 << 20);
    let mut manifest = Manifest::default();
    let processes = *RESOURCES.iter().find(|resource| resource.key == "processes").unwrap();
    manifest.limits.resources =
        vec![scene.at(1, ResourceLimit { resource: processes, soft: Some(5000), hard: None })];
    let found = steps(&scene, &manifest, &["setrlimit"]);
    assert_eq!(found[0], "setrlimit(RLIMIT_NPROC, 5000, RLIM_INFINITY)");
    assert_eq!(found.len(), 9);
    for expected in [
        "setrlimit(RLIMIT_CORE, 1, 1)",
        "setrlimit(RLIMIT_MEMLOCK, 0, 1048576)",
        "setrlimit(RLIMIT_NOFILE, 512, 4096)",
        "setrlimit(RLIMIT_STACK, 1048576, 1048576)",
    ] {
        assert!(found.contains(&expected.to_owned()), "{expected} is not in {found:?}");
    }
    // Nothing can be done about a hard limit of 0.
    set(&mut scene, "RLIMIT_CORE", 0, 0);
    assert_eq!(
        steps(&scene, &Manifest::default(), &["setrlimit(RLIMIT_CORE"]),
        ["setrlimit(RLIMIT_CORE, 0, 0)"]
    );
}

#[test]
fn favours_of_the_caller_are_not_handed_on() {
    let names =
        ["setpriority", "prctl(PR_SET_TIMERSLACK", "write(\"/proc/self/oom_score_adj\"", "personality"];
    let mut scene = Scene::new("circumstances-favours");
    let slack = "prctl(PR_SET_TIMERSLACK, 50000)";
    let plain = "personality(PER_LINUX)";
    assert_eq!(steps(&scene, &Manifest::default(), &names), [slack, plain]);
    scene.host.priorities = Priorities {
        nice: -5,
        policy: 2,
        io: 1 << 13,
        memory_policy: 3,
        memory_merge: true,
        oom_score: -1000,
    };
    let all = format!(
        "{slack}, sched_setscheduler(0, SCHED_OTHER, [0]), ioprio_set(IOPRIO_WHO_PROCESS, 0, \
         IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0)), set_mempolicy(MPOL_DEFAULT, NULL, 0), prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0)"
    );
    assert_eq!(
        steps(&scene, &Manifest::default(), &names),
        [
            "write(\"/proc/self/oom_score_adj\", \"0\")",
            "setpriority(PRIO_PROCESS, 0, 0)",
            all.as_str(),
            plain
        ]
    );
    // Who asked to come after others does.
    scene.host.priorities =
        Priorities { nice: 5, policy: 5, io: 3 << 13, oom_score: 500, ..Priorities::default() };
    assert_eq!(steps(&scene, &Manifest::default(), &names), [slack, plain]);
    let mut manifest = Manifest::default();
    manifest.program.nice = Some(scene.at(1, -3));
    manifest.program.oom_score_adjust = Some(scene.at(1, -7));
    scene.host.priorities = Priorities { nice: -5, oom_score: -1000, ..Priorities::default() };
    assert_eq!(
        steps(&scene, &manifest, &names),
        ["write(\"/proc/self/oom_score_adj\", \"-7\")", "setpriority(PRIO_PROCESS, 0, -3)", slack, plain]
    );
}

#[test]
fn memory_for_files_has_a_number_of_files_by_its_size() {
    let scene = Scene::new("circumstances-inodes");
    let mut manifest = Manifest::default();
    for (size, inodes, expected) in [
        (None, None, "size=64M mode=1777 nr_inodes=16384"),
        (Some(8 << 20), None, "size=8M mode=1777 nr_inodes=2048"),
        (Some(4096), None, "size=4K mode=1777 nr_inodes=1024"),
        (Some(4096), Some(7), "size=4K mode=1777 nr_inodes=7"),
        (Some(0), None, "size=0 mode=1777 uid="),
    ] {
        let kind = MountKind::Tmpfs {
            size: size.map(crate::plan::Size),
            inodes,
            mode: None,
            owner: None,
            group: None,
        };
        manifest.mounts = vec![scene.at(1, Mount { kind, ..bind("/", "/tmp") })];
        let found = steps(&scene, &manifest, &["fsmount(\"tmpfs\""]);
        assert!(found[0].contains(expected), "{expected}: {found:?}");
    }
}
