//! One action of every kind, for the tests of everything that must know all of them.

use super::control::{ControlGroup, Setting, Version};
use super::landlock::{AccessSet, Beneath, NetworkSet, ScopeSet};
use super::secure_bits::SecureBits;
use super::step::{
    Action, CapabilitySet, DEVICES, Furniture, IdSpace, Idmap, Keep, Listener, MountFlags, Namespaces, Owner,
    Reopen, RootMethod, Scheduling,
};
use super::system_calls::{Architecture, Filter, Policy, Refusal};
use super::{HostPath, IdMap, JailPath, Mode, Origin, Phase, Step};

/// A path of the jail.
pub(crate) fn jail(path: &str) -> JailPath {
    JailPath::parse(path).unwrap()
}

/// A path of the host.
pub(crate) fn host(path: &str) -> HostPath {
    HostPath::parse(path).unwrap()
}

/// A step of a phase that is there by default.
pub(crate) fn step(phase: Phase, action: Action) -> Step {
    Step { action, phase, origin: Origin::Default("every jail has it") }
}

/// The step that filters system calls.
pub(crate) fn filter(privileged: bool) -> Action {
    let native = Architecture::NATIVE.unwrap();
    let filter = Filter::new("default".into(), Policy::DEFAULT, Refusal::Errno, vec![native]);
    Action::FilterSystemCalls { filter, privileged }
}

/// The steps of the build, one of each kind.
pub(crate) fn build() -> Vec<Action> {
    let www = Owner { uid: 33, gid: 33 };
    let root = Owner::default();
    let program = "/usr/sbin/nginx";
    vec![
        Action::MakeDirectory { path: jail("/var/www"), mode: Mode(0o750), owner: www },
        Action::CopyFile {
            source: host(program),
            path: jail(program),
            mode: Mode(0o755),
            owner: root,
            keep: Keep { setid: false, capabilities: true },
        },
        Action::UnpackFile {
            archive: host("/srv/debian.tar"),
            member: 7,
            size: 1234,
            path: jail("/usr/bin/daemon"),
            mode: Mode(0o755),
            owner: root,
            keep: Keep::default(),
        },
        Action::MakeHardLink { existing: jail(program), path: jail("/usr/sbin/web") },
        Action::MakeSymlink { text: "usr/lib".into(), path: jail("/lib"), owner: root },
        Action::WriteFile {
            path: jail("/etc/hosts"),
            content: b"127.0.0.1 localhost\n".to_vec(),
            mode: Mode(0o644),
            owner: root,
        },
        Action::MakeDevice { path: jail("/dev/null"), device: DEVICES[0] },
    ]
}

/// A control group of version 2, in a unit of systemd's.
fn control_group() -> ControlGroup {
    let setting = |file, value: &str, optional| Setting { file, value: value.into(), optional };
    ControlGroup {
        version: Version::Two,
        parent: host("/sys/fs/cgroup/system.slice/web.service"),
        leaf: true,
        enable: vec!["memory", "pids"],
        settings: vec![setting("memory.max", "268435456", false), setting("memory.swap.max", "0", true)],
        closed_devices: false,
    }
}

/// The steps until the host's files are out of reach.
#[allow(clippy::too_many_lines, reason = "one of each kind")]
fn enter() -> Vec<Action> {
    vec![
        Action::EnterControlGroups { groups: 1, namespace: true },
        Action::JoinControlGroups { directories: vec![host("/sys/fs/cgroup/pids/web")] },
        Action::MapIds { map: IdMap::one(Owner { uid: 33, gid: 33 }, Owner { uid: 1000, gid: 1000 }) },
        Action::GrantIds {
            map: IdMap::granted(Owner { uid: 1000, gid: 1000 }, [&[100_000..=165_535], &[100_000..=165_535]]),
            programs: [host("/usr/bin/newuidmap"), host("/usr/bin/newgidmap")],
        },
        Action::ForbidUserNamespaces,
        Action::LimitInotify,
        Action::ConnectNetwork { program: host("/usr/bin/pasta"), arguments: vec!["--no-map-gw".into()] },
        Action::MakePrivate,
        Action::NewSession,
        Action::NewKeyring,
        Action::SetOomScore { adjustment: 500 },
        Action::SetUndumpable,
        Action::AttachTerminal { onto: vec![0, 1] },
        Action::EnterNetwork,
        Action::LoopbackUp,
        Action::SetHostname { name: "web".into() },
        Action::CloneTree {
            source: host("/srv/www"),
            target: jail("/var/www"),
            flags: MountFlags::GUARDED.read_only(),
            recursive: true,
            idmap: Some(Idmap { space: IdSpace::Jail, below: true }),
        },
        Action::CloneTree {
            source: host("/dev/null"),
            target: jail("/proc/kcore"),
            flags: MountFlags::GUARDED.read_only(),
            recursive: false,
            idmap: None,
        },
        Action::CloneRoot {
            tree: host("/var/lib/stockade/web/tree"),
            flags: MountFlags::GUARDED.read_only(),
            idmap: None,
        },
        Action::CreateFileSystem {
            kind: "proc",
            target: jail("/proc"),
            flags: MountFlags::GUARDED.no_exec(),
            options: vec![("subset", "pid".into())],
        },
        Action::CreateFileSystem {
            kind: "sysfs",
            target: jail("/sys"),
            flags: MountFlags::GUARDED.no_exec().read_only(),
            options: Vec::new(),
        },
        Action::CreateOverlay {
            source: host("/srv/work"),
            target: jail("/srv/work"),
            flags: MountFlags::GUARDED,
            idmap: Some(Idmap { space: IdSpace::Jail, below: false }),
            layer: vec![("size", "64M".into()), ("mode", "0700".into())],
            own_ids: false,
        },
        Action::ReopenDescriptor {
            descriptor: 0,
            source: host("/srv/input"),
            flags: MountFlags::GUARDED.read_only().no_exec(),
            access: Reopen::File,
            file: (1, 2),
        },
        Action::RelayOutput { onto: vec![1, 2], stream: false },
        Action::Furnish {
            within: jail("/"),
            path: jail("/tmp"),
            what: Furniture::Directory { mode: Mode(0o1777) },
            owner: Some(Owner { uid: 524_288, gid: 524_288 }),
        },
        Action::Furnish {
            within: jail("/"),
            path: jail("/bin"),
            what: Furniture::Link { text: "usr/bin".into() },
            owner: None,
        },
        Action::Furnish {
            within: jail("/home/eve"),
            path: jail("/home/eve/.profile"),
            what: Furniture::File { content: b"umask 077\n".to_vec(), mode: Mode(0o600) },
            owner: None,
        },
        Action::Seal { target: jail("/home/eve") },
        Action::Listen { to: Listener::Log, target: jail("/proc") },
        Action::Listen { to: Listener::Notify, target: jail("/proc") },
        Action::JoinNamespaces {
            namespaces: Namespaces { mount: true, pid: true, ..Namespaces::default() },
            tree: HostPath::parse("/t").unwrap(),
        },
        Action::CreateRuleset {
            handled: AccessSet::known_to(7),
            network: NetworkSet::TCP,
            scoped: ScopeSet::ABSTRACT_UNIX_SOCKET.and(ScopeSet::SIGNAL),
        },
        Action::AllowAccess {
            beneath: Beneath::Mount(jail("/var/www")),
            access: AccessSet::WRITE_FILE.and(AccessSet::CHANGE),
        },
        Action::EnterRoot { tree: host("/var/lib/stockade/web/tree"), method: RootMethod::Pivot },
        Action::AttachTree { target: jail("/var/www") },
        Action::AttachTree { target: jail("/proc") },
        Action::AttachTree { target: jail("/sys") },
        Action::Cover { with: None, over: vec![jail("/proc/kcore"), jail("/proc/keys")] },
        Action::Cover { with: Some(jail("/sys/fs/cgroup")), over: vec![jail("/sys/block")] },
    ]
}

/// The steps of a run in a good order, at least one of each kind.
pub(crate) fn run() -> Vec<Step> {
    let capabilities = CapabilitySet::EMPTY.with(10);
    let secure_bits = SecureBits::NO_ROOT.and(SecureBits::FIXUP).and(SecureBits::KEEP);
    let parent = [
        Action::MakeControlGroups { name: "stockade-web".into(), groups: vec![control_group()] },
        Action::MakeUserNamespace {
            space: IdSpace::Jail,
            map: IdMap::range(524_288),
            network: true,
            is_last: true,
            ceilings: Vec::new(),
        },
        Action::Clone {
            namespaces: Namespaces { user: true, mount: true, pid: true, ..Namespaces::default() },
        },
    ];
    let confine = [
        Action::SetLimit { resource: "RLIMIT_NOFILE", soft: Some(1024), hard: Some(4096) },
        Action::SetUmask { mask: Mode(0o22) },
        Action::SetPersonality { flags: vec!["ADDR_NO_RANDOMIZE", "UNAME26"], value: 0x6_0000 },
        Action::SetNice { nice: 5 },
        Action::ResetScheduling { what: vec![Scheduling::TimerSlack, Scheduling::Policy] },
        Action::SetAffinity { processors: vec![2, 0] },
        Action::RestrictSelf,
        Action::EnterUserNamespace,
        Action::DropBounding { keep: capabilities },
        Action::LockSecureBits { bits: secure_bits },
        Action::SetGroups { groups: vec![33, 44] },
        Action::SetGid { gid: 33 },
        Action::SetUid { uid: 33 },
        Action::SetCapabilities { set: capabilities },
        Action::SetAmbient { set: capabilities },
        Action::NoNewPrivileges,
        Action::DieWithParent,
    ];
    let exec = [
        Action::ForkProgram { filtered: true, forking: false, passed: 0, input: false },
        Action::DieWithJoiner,
        Action::NewProcessGroup { terminal: Some(0) },
        Action::CloseDescriptors { passed: 0 },
        Action::CloseDescriptors { passed: 2 },
        Action::ResetSignals,
        Action::ChangeDirectory { path: jail("/var/www") },
        Action::Verify {
            uid: 33,
            gid: 33,
            groups: Some(vec![33, 44]),
            capabilities,
            secure_bits,
            no_new_privileges: true,
        },
        filter(false),
        Action::Execute {
            path: jail("/usr/sbin/nginx"),
            arguments: vec!["nginx".into(), "-g".into(), "daemon off;\n".into()],
            environment: vec![("TZ".into(), "UTC".into())],
        },
    ];
    let phase = |phase, actions: Vec<Action>| actions.into_iter().map(move |action| step(phase, action));
    phase(Phase::Parent, parent.into())
        .chain(phase(Phase::Enter, enter()))
        .chain(phase(Phase::Confine, confine.into()))
        .chain(phase(Phase::Exec, exec.into()))
        .collect()
}

/// One action of every kind.
pub(crate) fn all() -> Vec<Action> {
    let mut all: Vec<_> = build().into_iter().chain(run().into_iter().map(|step| step.action)).collect();
    all.dedup_by_key(|action| std::mem::discriminant(action));
    all
}
