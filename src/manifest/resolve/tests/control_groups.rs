//! Limits of control groups: from a manifest and the host's hierarchies to steps, and what is missing where there are none.

use std::fs;
use std::path::Path;

use super::super::control_groups::{Missing, available};
use super::super::rates::Rate;
use super::super::run::Run;
use super::super::testing::Scene;
use crate::manifest::schema::{DevicePolicy, IoMax, Manifest, Network};
use crate::plan::control::{Setting, Version};
use crate::plan::step::Action;
use crate::plan::{Account, Control, ControlLimit, Enforcement, HostPath, Layer};

/// A host with version 1 only.
fn first_version() -> Scene {
    let scene = Scene::new("groups-v1");
    scene.file("proc/self/cgroup", "8:pids:/\n6:freezer:/\n4:memory:/here\n1:cpu,cpuacct:/here\n");
    scene.file(
        "proc/self/mountinfo",
        "1 0 0:1 / /cg/memory rw - cgroup cgroup rw,memory\n2 0 0:2 / /cg/pids rw - cgroup cgroup rw,pids\n\
         3 0 0:3 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n4 0 0:4 / /cg/freezer rw - cgroup cgroup rw,freezer\n",
    );
    for group in ["cg/memory/here", "cg/pids", "cg/cpu/here", "cg/freezer"] {
        scene.directory(group, 0o755);
    }
    scene
}

/// A host with version 2 only, where this process is in `own` with `others`.
fn second_version(own: &str, others: &str, is_delegated: bool) -> Scene {
    let scene = Scene::new("groups-v2");
    scene.file("proc/self/cgroup", &format!("0::/{own}\n"));
    scene.file("proc/self/mountinfo", "1 0 0:1 / /cg rw - cgroup2 cgroup2 rw\n");
    scene.directory("run/systemd/system", 0o755);
    for group in ["cg".to_owned(), format!("cg/{own}")] {
        scene.file(&format!("{group}/cgroup.controllers"), "cpuset cpu io memory pids\n");
        scene.file(&format!("{group}/cgroup.subtree_control"), "pids\n");
        scene.file(&format!("{group}/cgroup.procs"), &format!("{}\n{others}", std::process::id()));
    }
    scene.file(&format!("cg/{own}/cgroup.type"), "domain\n");
    if is_delegated {
        delegate(&scene, own);
    }
    scene
}

/// As systemd does.
fn delegate(scene: &Scene, group: &str) {
    let directory = fs::File::open(scene.host.path(Path::new("/cg")).join(group)).unwrap();
    crate::sys::fs::set_xattr(&directory, c"user.delegate", b"1").unwrap();
}

/// A manifest with these limits, in the order in which decoding finds them.
fn manifest(scene: &Scene, limits: &[(Control, &str)]) -> Manifest {
    let mut manifest = Manifest::default();
    let limit = |(line, (control, text)): (u32, &(Control, &str))| {
        scene.at(line, ControlLimit { control: *control, amount: control.parse(text).unwrap() })
    };
    manifest.limits.controls = (1..).zip(limits).map(limit).collect();
    manifest
}

/// The steps about control groups, and whether clone(2) makes the namespace.
fn groups(run: &Run) -> (Vec<String>, bool) {
    let about = |action: &&Action| {
        matches!(action, Action::MakeControlGroups { .. } | Action::EnterControlGroups { .. })
    };
    let steps = run.steps.iter().map(|step| &step.action).filter(about).map(ToString::to_string).collect();
    let cloned = run
        .steps
        .iter()
        .any(|step| matches!(&step.action, Action::Clone { namespaces } if namespaces.cgroup));
    (steps, cloned)
}

/// What is missing of the layer `limits`.
fn missing(scene: &Scene, manifest: &Manifest) -> String {
    let findings = scene.run(manifest).unwrap_err();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].message, "this host cannot enforce the layer `limits`");
    findings[0].why.join("\n")
}

#[test]
fn a_jail_without_such_limits_has_no_group() {
    let run = first_version().run(&Manifest::default()).unwrap();
    assert_eq!(groups(&run), (Vec::new(), true));
}

#[test]
fn version_1_has_a_group_in_each_hierarchy_that_holds_a_limit() {
    let scene = first_version();
    let limits =
        [(Control::Memory, "1M"), (Control::Tasks, "20"), (Control::Cpu, "150%"), (Control::CpuWeight, "50")];
    let run = scene.run(&manifest(&scene, &limits)).unwrap();
    let make = "mkdir(\"stockade-web\" in \
        \"/cg/memory/here\" memory.limit_in_bytes=1048576 memory.memsw.limit_in_bytes=1048576, \
        \"/cg/pids\" pids.max=20, \
        \"/cg/cpu/here\" cpu.cfs_quota_us=150000 cpu.shares=512, \
        \"/cg/freezer\")";
    let enter = "write(cgroup.procs, \"0\"), unshare(CLONE_NEWCGROUP)";
    assert_eq!(groups(&run), (vec![make.into(), enter.into()], false));
    // Swap that is asked for is counted together with memory, and has to be there.
    let limits = [(Control::Memory, "1M"), (Control::Swap, "1M")];
    let run = scene.run(&manifest(&scene, &limits)).unwrap();
    assert!(groups(&run).0[0].contains("memory.memsw.limit_in_bytes=2097152"), "{:?}", groups(&run));
}

#[test]
fn what_version_1_lacks_is_named() {
    let scene = first_version();
    let of = |limits: &[(Control, &str)]| missing(&scene, &manifest(&scene, limits));
    assert_eq!(
        of(&[(Control::MemoryHigh, "1M")]),
        "cgroup v1 has no `memory_high`: boot with systemd.unified_cgroup_hierarchy=1 for cgroup v2"
    );
    assert_eq!(
        of(&[(Control::Swap, "1M")]),
        "cgroup v1 limits swap together with memory: write `memory` too"
    );
    assert_eq!(
        of(&[(Control::IoWeight, "50")]),
        "no hierarchy with the controller `io` is mounted: mount cgroup2 on /sys/fs/cgroup (cgroups(7))"
    );
    let hybrid = first_version();
    hybrid.file("proc/self/cgroup", "8:pids:/\n0::/\n");
    hybrid.file(
        "proc/self/mountinfo",
        "2 0 0:2 / /cg/pids rw - cgroup cgroup rw,pids\n5 0 0:5 / /cg/unified rw - cgroup2 cgroup2 rw\n",
    );
    hybrid.file("cg/unified/cgroup.controllers", "\n");
    assert_eq!(
        missing(&hybrid, &manifest(&hybrid, &[(Control::IoWeight, "50")])),
        "version 1 of cgroups is in use here, and has no `io` to offer: boot with systemd.unified_cgroup_hierarchy=1 for cgroup v2"
    );
    // Where that is allowed the rest is enforced.
    let mut manifest = manifest(&scene, &[(Control::MemoryHigh, "1M"), (Control::Tasks, "20")]);
    manifest.privileges.best_effort = vec![scene.at(9, Layer::Limits)];
    let run = scene.run(&manifest).unwrap();
    assert!(groups(&run).0[0].contains("pids.max=20"));
    let limits = run.layers.iter().find(|state| state.layer == Layer::Limits).unwrap();
    assert!(matches!(&limits.enforcement, Enforcement::Degraded(why) if why.contains("memory_high")));
}

#[test]
fn a_delegated_group_of_version_2_is_left_for_a_leaf_and_hands_on_what_is_needed() {
    let scene = second_version("system.slice/web.service", "", true);
    let limits = [(Control::Memory, "1M"), (Control::MemoryHigh, "512K"), (Control::Tasks, "20")];
    let run = scene.run(&manifest(&scene, &limits)).unwrap();
    let Some(Action::MakeControlGroups { groups, .. }) = run.steps.first().map(|step| &step.action) else {
        panic!("{:?}", run.steps.first());
    };
    let [group] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!(
        group.to_string(),
        "\"/cg/system.slice/web.service\" leaving it for \"supervisor\" handing on +memory memory.max=1048576 memory.swap.max=0 memory.high=524288 pids.max=20"
    );
    assert_eq!((group.leaf, group.handed_on().as_str(), group.version), (true, "+memory", Version::Two));
}

#[test]
fn a_leaf_that_systemd_or_an_earlier_start_has_made_is_not_left() {
    let scene = second_version("web.service/supervisor", "", false);
    scene.file("cg/web.service/cgroup.procs", "");
    scene.file("cg/web.service/cgroup.type", "domain\n");
    scene.file("cg/web.service/cgroup.controllers", "memory pids\n");
    scene.file("cg/web.service/cgroup.subtree_control", "memory pids\n");
    delegate(&scene, "web.service");
    let run = scene.run(&manifest(&scene, &[(Control::Tasks, "20")])).unwrap();
    let Some(Action::MakeControlGroups { groups, .. }) = run.steps.first().map(|step| &step.action) else {
        panic!("{:?}", run.steps.first());
    };
    assert_eq!(groups[0].to_string(), "\"/cg/web.service\" pids.max=20");
    assert_eq!((groups[0].leaf, groups[0].enable.len()), (false, 0));
}

#[test]
fn a_group_of_version_2_that_is_not_ours_is_left_alone() {
    let cure =
        "start it by `systemd-run --scope -p Delegate=yes stockade run …`, or say `Delegate=yes` in its unit";
    let of = |scene: &Scene| available(&scene.host, "memory");
    let wrong = |what: &str| Err(Missing { what: what.into(), cure: cure.into() });
    assert_eq!(
        of(&second_version("user.slice/session-1.scope", "", false)),
        wrong("systemd manages the group `/cg/user.slice/session-1.scope` and has not delegated it")
    );
    assert_eq!(
        of(&second_version("web.service", "1\n", true)),
        wrong(
            "process 1 is in the group `/cg/web.service` as well, and one that hands controllers on can have none"
        )
    );
    let lacking = second_version("web.service", "", true);
    lacking.file("cg/web.service/cgroup.controllers", "pids\n");
    assert_eq!(of(&lacking), wrong("the group `/cg/web.service` has no controller `memory`"));
    // Without systemd nobody else manages groups.
    let alone = second_version("here", "", false);
    fs::remove_dir(alone.host.path(Path::new("/run/systemd/system"))).unwrap();
    assert_eq!(of(&alone), Ok(Version::Two));
    // An ordinary user's own groups are not marked by that user's manager.
    let mut own = second_version("user/run.scope", "", false);
    own.host.uid = 1000;
    let cure = "start it by `systemd-run --user --scope -p Delegate=yes stockade run …`";
    if nix::unistd::geteuid().is_root() {
        let what = "systemd manages the group `/cg/user/run.scope` and has not delegated it";
        assert_eq!(of(&own), Err(Missing { what: what.into(), cure: cure.into() }));
        let group = own.host.path(Path::new("/cg/user/run.scope"));
        std::os::unix::fs::chown(group, Some(1000), None).unwrap();
    } else {
        own.host.uid = nix::unistd::geteuid().as_raw();
    }
    assert_eq!(of(&own), Ok(Version::Two));
    // The very top may have processes.
    let top = second_version("", "1\n", false);
    fs::remove_file(top.host.path(Path::new("/cg/cgroup.type"))).unwrap();
    assert_eq!(of(&top), Ok(Version::Two));
}

#[test]
fn what_several_limits_lack_is_said_once() {
    let scene = second_version("session-1.scope", "", false);
    let wanted = manifest(&scene, &[(Control::Memory, "32M"), (Control::Tasks, "12"), (Control::Cpu, "20%")]);
    assert_eq!(
        missing(&scene, &wanted),
        "systemd manages the group `/cg/session-1.scope` and has not delegated it: start it by `systemd-run --scope -p \
         Delegate=yes stockade run …`, or say `Delegate=yes` in its unit; `address_space` (RLIMIT_AS) limits the memory \
         of each process alone"
    );
}

#[test]
fn a_jail_of_the_hosts_root_has_its_tasks_limited_where_that_can_be() {
    let scene = first_version();
    let mut manifest = Manifest::default();
    manifest.namespaces.network = Some(scene.at(1, Network::Host));
    manifest.program.user = Some(scene.at(2, Account::Id(0)));
    let tasks = |scene: &Scene, manifest: &Manifest| {
        let run = scene.run(manifest).unwrap();
        let limits =
            run.layers.iter().find(|state| state.layer == Layer::Limits).unwrap().enforcement.clone();
        (groups(&run).0.first().cloned(), limits)
    };
    let group =
        |most: u32| Some(format!("mkdir(\"stockade-web\" in \"/cg/pids\" pids.max={most}, \"/cg/freezer\")"));
    assert_eq!(tasks(&scene, &manifest), (group(1024), Enforcement::Enforced));
    // Where it cannot, nobody asked for it.
    let (found, enforcement) = tasks(&Scene::new("groups-none"), &manifest);
    assert!(found.is_none() && matches!(enforcement, Enforcement::EnforcedBut(_)));
    // A limit on processes says what is meant.
    manifest.limits.resources = vec![scene.at(
        3,
        crate::manifest::schema::ResourceLimit {
            resource: crate::manifest::schema::RESOURCES[10],
            soft: Some(7),
            hard: Some(7),
        },
    )];
    assert_eq!(tasks(&scene, &manifest).0, group(7));
}

/// The same limits of other kinds for either version.
fn of_other_kinds(scene: &Scene) -> Manifest {
    scene.file("sys/devices/disk/dev", "8:0\n");
    scene.file("sys/devices/disk/part/partition", "1\n");
    let number =
        fs::metadata(&scene.host.root).map(|found| std::os::unix::fs::MetadataExt::dev(&found)).unwrap();
    let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
    scene.link(&format!("sys/dev/block/{major}:{minor}"), "../../devices/disk/part");
    let mut manifest = Manifest::default();
    let device = HostPath::parse("/").unwrap();
    let limit = IoMax { device, rates: [Some(1024), None, None, Some(7)] };
    manifest.limits.io_max = vec![scene.at(1, limit)];
    manifest.limits.allowed_cpus = Some(scene.at(2, vec![1, 2]));
    manifest
}

#[test]
fn rates_and_processors_are_written_in_the_words_of_each_version() {
    let scene = Scene::new("groups-rates");
    let names = ["blkio", "cpuset", "devices"];
    let lines = names.map(|name| format!("1:{name}:/\n"));
    scene.file("proc/self/cgroup", &lines.concat());
    let lines = names.map(|name| format!("1 0 0:1 / /cg/{name} rw - cgroup cgroup rw,{name}\n"));
    scene.file("proc/self/mountinfo", &lines.concat());
    for name in names {
        scene.directory(&format!("cg/{name}"), 0o755);
    }
    scene.file("cg/cpuset/cpuset.cpus", "0-3\n").file("cg/cpuset/cpuset.mems", "0\n");
    let mut manifest = of_other_kinds(&scene);
    manifest.limits.device_policy = Some(scene.at(3, DevicePolicy::Closed));
    let (steps, _) = groups(&scene.run(&manifest).unwrap());
    let expected = "mkdir(\"stockade-web\" in \
        \"/cg/blkio\" blkio.throttle.read_bps_device=8:0 1024 blkio.throttle.write_iops_device=8:0 7, \
        \"/cg/cpuset\" cpuset.mems=0 cpuset.cpus=1,2, \
        \"/cg/devices\" devices.deny=a devices.allow=c 1:3 rw devices.allow=c 1:5 rw devices.allow=c 1:7 rw \
        devices.allow=c 1:8 rw devices.allow=c 1:9 rw devices.allow=c 5:0 rw devices.allow=c 5:2 rw devices.allow=c 136:* rw)";
    assert_eq!(steps[0], expected);

    let mut scene = second_version("unit", "", true);
    scene.file("cg/unit/cpuset.cpus.effective", "0,2-3\n");
    let mut manifest = of_other_kinds(&scene);
    assert_eq!(
        missing(&scene, &manifest),
        "the group `/cg/unit` has no processor 1, but 0,2-3: name some of those"
    );
    manifest.limits.allowed_cpus = Some(scene.at(2, vec![0, 3]));
    let (steps, _) = groups(&scene.run(&manifest).unwrap());
    let expected = "mkdir(\"stockade-web\" in \"/cg/unit\" leaving it for \"supervisor\" handing on +io +cpuset \
        io.max=8:0 rbps=1024 wiops=7 cpuset.cpus=0,3)";
    assert_eq!(steps[0], expected);
    manifest.limits.device_policy = Some(scene.at(3, DevicePolicy::Closed));
    scene.host.uid = 0;
    let (steps, _) = groups(&scene.run(&manifest).unwrap());
    assert_eq!(steps[0], expected.replace("=0,3)", "=0,3 closed devices)"));
    scene.host.uid = 1000;
    assert!(missing(&scene, &manifest).contains("a program of bpf(2) decides on devices: run as root, or "));
}

#[test]
fn rates_of_a_group_that_is_there_are_lifted_before_new_ones_are_written() {
    let scene = Scene::new("groups-again");
    scene
        .file("cg/cpuset.cpus.effective", "0-3\n")
        .file("cg/cpuset.cpus", "0-3\n")
        .file("cg/cpuset.mems", "0\n");
    let manifest = of_other_kinds(&scene);
    let again = |key: &str, version, read: &dyn Fn(&str) -> String| {
        let rate = Rate::find(key).unwrap();
        let place = (version, Path::new("/cg"));
        let settings = rate.again(&manifest.limits, &scene.host, place, read)?;
        let shown = |setting: &Setting| format!("{}={}", setting.file, setting.value);
        Ok::<_, Missing>(settings.iter().map(shown).collect::<Vec<_>>())
    };
    let nothing = |_: &str| String::new();
    let first = |file: &str| match file {
        "blkio.throttle.read_bps_device" => "254:0 1048576\n8:0 7\n".to_owned(),
        _ => String::new(),
    };
    assert_eq!(
        again("io_max", Version::One, &first),
        Ok(vec![
            "blkio.throttle.read_bps_device=254:0 0".to_owned(),
            "blkio.throttle.read_bps_device=8:0 0".to_owned(),
            "blkio.throttle.read_bps_device=8:0 1024".to_owned(),
            "blkio.throttle.write_iops_device=8:0 7".to_owned(),
        ])
    );
    assert_eq!(
        again("io_max", Version::Two, &|_| "254:0 rbps=max wbps=5 riops=max wiops=max\n".to_owned()),
        Ok(vec![
            "io.max=254:0 rbps=max wbps=max riops=max wiops=max".to_owned(),
            "io.max=8:0 rbps=1024 wiops=7".to_owned(),
        ])
    );
    let processors = "cpuset.cpus=1,2".to_owned();
    assert_eq!(again("allowed_cpus", Version::Two, &nothing), Ok(vec![processors.clone()]));
    assert_eq!(
        again("allowed_cpus", Version::One, &nothing),
        Ok(vec!["cpuset.mems=0".to_owned(), processors])
    );
    assert_eq!(again("device_policy", Version::One, &nothing), Ok(vec!["devices.allow=a".to_owned()]));
    let missing = again("device_policy", Version::Two, &nothing).unwrap_err();
    assert!(missing.what.starts_with("in version 2 of cgroups a program decides on devices"));
}
