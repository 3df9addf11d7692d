//! Whatever step of a start fails, the error names that step, nothing is executed, and nothing is left: no process, no mount,
//! no descriptor. And nothing is allocated between clone and execve.
//!
//! The steps are those of a real plan, run by the real jail code in this process; only the failing call is put in.

#![allow(unsafe_code, reason = "a counting allocator")]
#![allow(clippy::unnecessary_wraps, reason = "what is inserted into a program returns a result")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Need, needs};
use nix::errno::Errno;
use stockade::jail::{self, End, Program};
use stockade::manifest::resolve::accounts::Accounts;
use stockade::manifest::resolve::{control_groups, run};
use stockade::manifest::schema::{Manifest, Mount, MountKind};
use stockade::plan::step::{Action, MountFlags, Reopen, Watch};
use stockade::plan::{At, Control, ControlLimit, Extent, HostPath, JailName, JailPath, Origin, Phase, Step};
use stockade::sys;
use stockade::sys::descriptor::Descriptor;
use stockade::sys::host::Host;

/// Counts every allocation of this test binary, in the parent and, in its own copy of the counter, in the child.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // Freeing is as forbidden to the child as taking.
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One jail at a time: the child copies this process's counter, and another test's thread would be counted in it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A tree with one static program that ends with status 42, and the steps that run it.
struct Fixture {
    directory: common::Dir,
    steps: Vec<Step>,
    /// What its control groups are called.
    group: String,
}

impl Fixture {
    fn new(name: &str) -> Self {
        let directory = common::Dir::new(name);
        let tree = directory.path().join("tree");
        for below in ["dev", "proc", "shared", "overlay"] {
            fs::create_dir_all(tree.join(below)).unwrap();
        }
        for device in ["null", "zero", "full", "random", "urandom"] {
            fs::write(tree.join("dev").join(device), "").unwrap();
        }
        common::compile_static(&tree.join("program"), "int main(void) { return 42; }");
        let mut manifest = Manifest::default();
        let origin = Origin::CommandLine("test".into());
        manifest.program.command = Some(At { value: vec!["/program".into()], origin });
        let shared = Mount {
            target: JailPath::parse("/shared").unwrap(),
            kind: MountKind::Bind {
                source: HostPath::parse(directory.path()).unwrap(),
                recursive: None,
                optional: false,
                root_squash: Some(true),
                sockets: false,
                devices: false,
            },
            read_only: Some(false),
            executable: None,
        };
        manifest.mounts.push(At { value: shared, origin: Origin::CommandLine("test".into()) });
        if needs(Need::Overlays) {
            let source = directory.path().join("below");
            fs::create_dir(&source).unwrap();
            let overlay = Mount {
                target: JailPath::parse("/overlay").unwrap(),
                kind: MountKind::Overlay {
                    source: HostPath::parse(source).unwrap(),
                    size: None,
                    inodes: None,
                    sockets: false,
                },
                read_only: None,
                executable: None,
            };
            manifest.mounts.push(At { value: overlay, origin: Origin::CommandLine("test".into()) });
        }
        // Devices are shown one by one, as for an ordinary user, so that the fixture needs no mknod.
        let host =
            Host { device_nodes: false, standard: [Descriptor::PIPE; 3], ..Host::current(Path::new("/")) };
        if control_groups::available(&host, "pids").is_ok() {
            let limit = ControlLimit { control: Control::Tasks, amount: Some(50) };
            manifest.limits.controls = vec![At { value: limit, origin: Origin::CommandLine("test".into()) }];
        }
        let accounts = Accounts::read(&host).unwrap();
        // A name that no other run of these tests has: control groups are called after it, and are the whole machine's.
        let name = format!("{name}-of-{}", std::process::id());
        let run::Run { steps, .. } = run::run_steps(
            &manifest,
            &host,
            &accounts,
            &JailName::parse(&name).unwrap(),
            &run::Tree::on_disk(&HostPath::parse(&tree).unwrap()),
            &JailPath::parse("/program").unwrap(),
            || Ok(600_000_000),
        )
        .unwrap();
        Self { directory, steps, group: format!("stockade-{name}") }
    }

    /// What a run could leave behind: children, mounts below the tree, control groups, open descriptors.
    fn traces(&self) -> BTreeSet<String> {
        let me = std::process::id();
        let mut traces = BTreeSet::new();
        for task in fs::read_dir(format!("/proc/{me}/task")).unwrap() {
            let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
            traces.extend(children.split_whitespace().map(|pid| format!("child {pid}")));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let tree = self.directory.path().display().to_string();
        traces.extend(mounts.lines().filter(|line| line.contains(&tree)).map(|line| format!("mount {line}")));
        let groups = walkdir::WalkDir::new("/sys/fs/cgroup").into_iter().filter_map(Result::ok);
        let groups = groups.filter(|entry| entry.file_name().to_string_lossy().starts_with(&self.group));
        traces.extend(groups.map(|group| format!("group {}", group.path().display())));
        for descriptor in fs::read_dir("/proc/self/fd").unwrap() {
            let path = descriptor.unwrap().path();
            let target = fs::read_link(&path).unwrap_or_default();
            // The listing's own descriptor is gone by now.
            if target != Path::new("") && !target.starts_with("/proc") {
                traces.insert(format!("descriptor {} {}", path.display(), target.display()));
            }
        }
        traces
    }
}

/// The error every injected fault fails with: one that no step gives by itself.
fn fault() -> Result<(), sys::Error> {
    Err(sys::Error { call: "test", errno: Errno::EXDEV })
}

#[test]
fn a_jail_without_a_fault_runs() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let fixture = Fixture::new("faultless");
    let before = fixture.traces();
    let program = Program::lower(&fixture.steps).unwrap();
    assert_eq!(jail::run(&program, Watch::default()), Ok(End::Exited(42)));
    drop(program);
    assert_eq!(fixture.traces(), before);
}

#[test]
fn a_fault_at_every_step_names_that_step_and_leaves_nothing() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let fixture = Fixture::new("faulty");
    let before = fixture.traces();
    let count = Program::lower(&fixture.steps).unwrap().len();
    assert!(count > 30, "only {count} operations: the plan has lost its steps");
    for at in 0..count {
        let mut program = Program::lower(&fixture.steps).unwrap();
        let step = program.step_of(at).unwrap();
        program.insert(at, fault);
        let expected = jail::Error::Failed { step, error: sys::Error { call: "test", errno: Errno::EXDEV } };
        assert_eq!(
            jail::run(&program, Watch::default()),
            Err(expected),
            "operation {at}: {:?}",
            fixture.steps[step]
        );
        drop(program);
        assert_eq!(
            fixture.traces(),
            before,
            "left behind by a fault before operation {at}: {:?}",
            fixture.steps[step]
        );
    }
}

#[test]
fn a_file_put_in_the_place_of_the_callers_is_not_opened() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let mut fixture = Fixture::new("swapped");
    let at = fixture.steps.iter().position(|step| matches!(step.action, Action::MakePrivate)).unwrap() + 1;
    let action = Action::ReopenDescriptor {
        descriptor: 0,
        source: HostPath::parse("/etc/passwd").unwrap(),
        flags: MountFlags::GUARDED.read_only(),
        access: Reopen::File,
        // Another's.
        file: (0, 0),
    };
    let origin = Origin::Default("test");
    fixture.steps.insert(at, Step { action, phase: Phase::Enter, origin });
    let program = Program::lower(&fixture.steps).unwrap();
    let error = sys::Error { call: "open", errno: Errno::ESTALE };
    assert_eq!(jail::run(&program, Watch::default()), Err(jail::Error::Failed { step: at, error }));
}

#[test]
fn a_working_directory_outside_is_noticed() {
    // CVE-2024-21626: whatever way leads there.
    fn keep_a_directory_of_the_host() -> Result<(), sys::Error> {
        let flags = nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(c"/tmp", flags, nix::sys::stat::Mode::empty());
        let directory = directory.map_err(sys::Error::of("test"))?;
        sys::process::duplicate_onto(directory.as_fd(), 2).map_err(sys::Error::of("test"))
    }
    fn go_there() -> Result<(), sys::Error> {
        nix::unistd::fchdir(sys::process::standard_descriptor(2)).map_err(sys::Error::of("test"))
    }
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let fixture = Fixture::new("outside");
    let of =
        |wanted: fn(&Action) -> bool| fixture.steps.iter().position(|step| wanted(&step.action)).unwrap();
    let (private, verify) = (
        of(|action| matches!(action, Action::MakePrivate)),
        of(|action| matches!(action, Action::Verify { .. })),
    );
    let mut program = Program::lower(&fixture.steps).unwrap();
    let operation =
        |program: &Program, step| (0..program.len()).find(|at| program.step_of(*at) == Some(step)).unwrap();
    program.insert(operation(&program, private), keep_a_directory_of_the_host);
    program.insert(operation(&program, verify), go_there);
    let error = sys::Error { call: "working directory", errno: Errno::EPERM };
    assert_eq!(jail::run(&program, Watch::default()), Err(jail::Error::Failed { step: verify, error }));
}

#[test]
fn a_user_namespace_that_cannot_be_made_names_its_step_and_leaves_nothing() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let mut fixture = Fixture::new("mapless");
    let before = fixture.traces();
    let making: Vec<usize> = (0..fixture.steps.len())
        .filter(|at| matches!(fixture.steps[*at].action, Action::MakeUserNamespace { .. }))
        .collect();
    // An ordinary user's jail is made in one from the start.
    assert_eq!(making.len(), if nix::unistd::geteuid().is_root() { 2 } else { 0 });
    for step in making {
        let steps = fixture.steps.clone();
        if let Action::MakeUserNamespace { map, .. } = &mut fixture.steps[step].action {
            // No id at all: the kernel refuses such a line once the namespace is there.
            map.groups = vec![Extent { inside: 0, outside: 0, count: 0 }];
        }
        let program = Program::lower(&fixture.steps).unwrap();
        let expected = sys::Error { call: "write", errno: Errno::EINVAL };
        assert_eq!(
            jail::run(&program, Watch::default()),
            Err(jail::Error::Failed { step, error: expected }),
            "{:?}",
            fixture.steps[step]
        );
        drop(program);
        assert_eq!(fixture.traces(), before, "left behind by {:?}", fixture.steps[step]);
        fixture.steps = steps;
    }
}

#[test]
fn the_child_allocates_nothing() {
    fn counter_is_still_zero() -> Result<(), sys::Error> {
        match ALLOCATIONS.load(Ordering::Relaxed) - BASELINE.load(Ordering::Relaxed) {
            0 => Ok(()),
            // The count comes back as an errno: 1 is EPERM, 2 is ENOENT, and so on.
            count => Err(sys::Error { call: "test", errno: Errno::from_raw(count.min(100) as i32) }),
        }
    }
    fn remember() -> Result<(), sys::Error> {
        BASELINE.store(ALLOCATIONS.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(())
    }
    static BASELINE: AtomicUsize = AtomicUsize::new(0);

    let _one = ONE_AT_A_TIME.lock().unwrap();
    let fixture = Fixture::new("frugal");
    let count = Program::lower(&fixture.steps).unwrap().len();
    // The supervisor may allocate: it makes the control groups first.
    let first = usize::from(matches!(fixture.steps[0].action, Action::MakeControlGroups { .. }));
    // After every operation, the last of which is the execution itself and never comes back.
    for at in first + 1..count {
        let mut program = Program::lower(&fixture.steps).unwrap();
        program.insert(at, counter_is_still_zero);
        program.insert(first, remember);
        assert_eq!(
            jail::run(&program, Watch::default()),
            Ok(End::Exited(42)),
            "allocations before operation {at}"
        );
    }
    // The check can fail: an allocation in the child is seen.
    let mut program = Program::lower(&fixture.steps).unwrap();
    program.insert(count - 1, counter_is_still_zero);
    program.insert(count - 1, || {
        drop(std::hint::black_box(Box::new(7)));
        Ok(())
    });
    program.insert(first, remember);
    assert!(matches!(
        jail::run(&program, Watch::default()),
        Err(jail::Error::Failed { error: sys::Error { call: "test", errno: Errno::ENOENT }, .. })
    ));
}
