//! Steps that take several calls, call by call.

use std::ffi::OsStr;
use std::path::Path;

use super::{Call, call};
use crate::plan::control::{ControlGroup, LEAF};
use crate::plan::display::join;
use crate::plan::notation::{attributes, bound, text};
use crate::plan::step::{
    Bound, CapabilitySet, Ceiling, Furniture, IdSpace, Idmap, MountFlags, OVERLAY, Owner, overlay_options,
};
use crate::plan::{IdMap, JailPath, capability};

/// How many user namespaces may be made in the one that it is opened in, see namespaces(7).
pub const MAX_USER_NAMESPACES: &str = "/proc/sys/user/max_user_namespaces";

/// How many handles of inotify(7) each user of the user namespace that it is opened in may have.
pub const MAX_INOTIFY_INSTANCES: &str = "/proc/sys/user/max_inotify_instances";

/// So many are a jail's: a quarter of what the kernel allows each user of the host by default.
pub const INOTIFY_INSTANCES: &str = "32";

/// seccomp(2) with a program of this length.
pub(super) fn set_filter(length: usize) -> Call {
    call("seccomp", format!("SECCOMP_SET_MODE_FILTER, 0, {{len={length}, filter=<program>}}"))
}

/// A file of /proc opened, written and closed.
pub(super) fn write(path: &str, content: &str) -> Vec<Call> {
    vec![
        call("openat", format!("AT_FDCWD, {}, O_WRONLY|O_CLOEXEC", text(path))),
        call("write", format!("<file>, {}, {}", text(content), content.len())),
        call("close", "<file>"),
    ]
}

/// A control group with its limits, kept by descriptors: its directory's, which is locked for as long as the supervisor lives, and
/// that of the file by which a process joins it.
pub(super) fn make_control_group(name: &str, group: &ControlGroup) -> Vec<Call> {
    let mut calls = Vec::new();
    let write_below = |directory: &str, file: &str, value: &str| {
        [
            call("openat", format!("<{directory}>, \"{file}\", O_WRONLY|O_CLOEXEC")),
            call("write", format!("<file>, {}, {}", text(value), value.len())),
            call("close", "<file>"),
        ]
    };
    if group.leaf {
        let leaf = group.beside(LEAF);
        calls.push(call("mkdir", format!("{}, 0755", text(&leaf))));
        calls.extend(write(&leaf.join("cgroup.procs").to_string_lossy(), "0"));
    }
    if !group.enable.is_empty() {
        let file = group.beside("cgroup.subtree_control");
        calls.extend(write(&file.to_string_lossy(), &group.handed_on()));
    }
    let directory = text(group.beside(name));
    calls.push(call("mkdir", format!("{directory}, 0755")));
    calls.push(call("openat", format!("AT_FDCWD, {directory}, O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY")));
    calls.push(call("flock", "<group>, LOCK_EX|LOCK_NB"));
    for setting in &group.settings {
        calls.extend(write_below("group", setting.file, &setting.value));
    }
    if group.closed_devices {
        calls.extend([
            call("bpf", "BPF_PROG_LOAD"),
            call("bpf", "BPF_PROG_ATTACH"),
            call("close", "<program>"),
        ]);
    }
    calls.push(call("openat", "<group>, \"cgroup.procs\", O_WRONLY|O_CLOEXEC"));
    calls
}

/// A user namespace by way of a process that ends at once: the supervisor's calls and, between them, that process's.
pub(super) fn make_user_namespace(
    map: &IdMap,
    network: bool,
    is_last: bool,
    ceilings: &[Ceiling],
) -> Vec<Call> {
    let raised = |Ceiling { resource, soft, hard }: &Ceiling| limit(resource, *soft, *hard);
    let mut calls: Vec<Call> = ceilings.iter().map(raised).collect();
    let flags = ["CLONE_VM", "CLONE_FILES", "CLONE_VFORK", "CLONE_NEWUSER"];
    let flags = flags.into_iter().chain(network.then_some("CLONE_NEWNET")).chain(["SIGCHLD"]);
    calls.push(call("clone", format!("child_stack=<stack>, flags={}", join("|", flags))));
    calls.push(call("openat", "AT_FDCWD, \"/proc/self\", O_RDONLY|O_CLOEXEC|O_PATH|O_DIRECTORY"));
    if network {
        calls.extend(loopback_up());
        calls.push(call("openat", "<process>, \"ns/net\", O_RDONLY|O_CLOEXEC"));
    }
    if is_last {
        calls.extend(write(MAX_USER_NAMESPACES, "0"));
        calls.extend(write(MAX_INOTIFY_INSTANCES, INOTIFY_INSTANCES));
    }
    calls.push(call("exit_group", "0"));
    for (name, lines) in map.lines() {
        calls.extend([
            call("openat", format!("<process>, \"{name}\", O_WRONLY|O_CLOEXEC")),
            call("write", format!("<file>, {}, {}", text(&lines), lines.len())),
            call("close", "<file>"),
        ]);
    }
    calls.extend([
        call("openat", "<process>, \"ns/user\", O_RDONLY|O_CLOEXEC"),
        call("close", "<process>"),
        call("wait4", "<process>, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL"),
    ]);
    calls
}

/// `lo` up in the caller's network namespace.
pub(super) fn loopback_up() -> Vec<Call> {
    vec![
        call("socket", "AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP"),
        call("ioctl", "<socket>, SIOCSIFFLAGS, {ifr_name=\"lo\", ifr_flags=IFF_UP|IFF_RUNNING}"),
        call("close", "<socket>"),
    ]
}

/// Something made below the descriptor of a file system.
pub(super) fn furnish(path: &Path, what: &Furniture, owner: Option<Owner>) -> Vec<Call> {
    let path = text(path);
    let mut calls = match what {
        Furniture::Directory { mode } => vec![call("mkdirat", format!("<mount>, {path}, 0{:o}", mode.0))],
        Furniture::Link { text: target } => {
            vec![call("symlinkat", format!("{}, <mount>, {path}", text(target)))]
        }
        Furniture::File { content, mode } => vec![
            call(
                "openat",
                format!("<mount>, {path}, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0{:o}", mode.0),
            ),
            call("write", format!("<file>, <content>, {}", content.len())),
            call("close", "<file>"),
        ],
    };
    if let Furniture::File { content, .. } = what
        && content.is_empty()
    {
        calls.remove(1);
    }
    if let Some(Owner { uid, gid }) = owner {
        calls.push(call("fchownat", format!("<mount>, {path}, {uid}, {gid}, AT_SYMLINK_NOFOLLOW")));
    }
    if let Some(mode) = what.mode() {
        calls.push(call("fchmodat", format!("<mount>, {path}, 0{:o}", mode.0)));
    }
    calls
}

/// The directory that holds all that a cover is mounted over, and itself: they are named from there.
pub fn place_of_cover<'p>(with: Option<&'p JailPath>, over: &'p [JailPath]) -> Option<&'p Path> {
    let mut paths = with.into_iter().chain(over).map(JailPath::as_path);
    let first = paths.next()?.parent()?;
    paths.try_fold(first, |place, path| place.ancestors().find(|place| path.starts_with(place)))
}

/// Several names covered and looked at.
pub(super) fn cover(with: Option<&JailPath>, over: &[JailPath]) -> Vec<Call> {
    let Some((first, rest)) = over.split_first() else { return Vec::new() };
    let place = place_of_cover(with, over).unwrap_or(first.as_path());
    let name = |path: &JailPath| text(path.as_path().strip_prefix(place).unwrap_or(path.as_path()));
    let look = |path| call("newfstatat", format!("AT_FDCWD, {}, <what>, AT_SYMLINK_NOFOLLOW", name(path)));
    let mut calls = match with {
        None => vec![attach(first.as_path()), call("close", "<mount>")],
        Some(_) => Vec::new(),
    };
    let (with, over) = with.map_or((first, rest), |with| (with, over));
    calls.extend([call("chdir", text(place)), look(with)]);
    for path in over {
        calls.push(call("mount", format!("{}, {}, NULL, MS_BIND, NULL", name(with), name(path))));
        calls.push(look(path));
    }
    calls.push(call("chdir", "\"/\""));
    calls
}

/// A resource limit of the caller's.
pub(super) fn limit(resource: &str, soft: Bound, hard: Bound) -> Call {
    let limit = format!("{{rlim_cur={}, rlim_max={}}}", bound(soft), bound(hard));
    call("prlimit64", format!("0, {resource}, {limit}, NULL"))
}

/// A detached copy of a mount with its attributes. Owners are translated by the same call, unless only the topmost mount's are.
pub(super) fn clone_tree(
    source: impl AsRef<OsStr>,
    flags: MountFlags,
    recursive: bool,
    idmap: Option<Idmap>,
) -> Vec<Call> {
    let below = |recursive| if recursive { "|AT_RECURSIVE" } else { "" };
    let set = |attributes: &str, recursive: bool, space: Option<IdSpace>| {
        let space = match space {
            None => "0",
            Some(IdSpace::Jail) => "<user namespace>",
            Some(IdSpace::Shared) => "<shared namespace>",
        };
        let values =
            format!("{{attr_set={attributes}, attr_clr=0, propagation=0 /* MS_??? */, userns_fd={space}}}");
        call("mount_setattr", format!("<mount>, \"\", AT_EMPTY_PATH{}, {values}, 32", below(recursive)))
    };
    let how = "{flags=O_RDONLY|O_CLOEXEC|O_PATH, resolve=RESOLVE_NO_SYMLINKS}";
    let open = format!("<source>, \"\", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH{}", below(recursive));
    let flags = attributes(flags);
    let mut calls = vec![
        call("openat2", format!("AT_FDCWD, {}, {how}, 24", text(source))),
        call("open_tree", open),
        call("close", "<source>"),
    ];
    match idmap {
        None => calls.push(set(&flags, recursive, None)),
        Some(Idmap { space, below }) if below == recursive => {
            let both = if flags == "0" { IDMAP.to_owned() } else { format!("{flags}|{IDMAP}") };
            calls.push(set(&both, recursive, Some(space)));
        }
        Some(Idmap { space, .. }) => {
            calls.push(set(&flags, recursive, None));
            calls.push(set(IDMAP, false, Some(space)));
        }
    }
    calls
}

/// A new file system, detached.
pub(super) fn create_file_system<'a>(
    kind: &str,
    options: impl Iterator<Item = (&'a str, &'a str)>,
    flags: MountFlags,
) -> Vec<Call> {
    let mut calls = vec![
        call("fsopen", format!("\"{kind}\", FSOPEN_CLOEXEC")),
        call("fsconfig", format!("<context>, FSCONFIG_SET_STRING, \"source\", \"{kind}\", 0")),
    ];
    calls.extend(options.map(|(key, value)| {
        let (command, value) = match value {
            "" => ("FSCONFIG_SET_FLAG", "NULL".to_owned()),
            value => ("FSCONFIG_SET_STRING", text(value)),
        };
        call("fsconfig", format!("<context>, {command}, {}, {value}, 0", text(key)))
    }));
    calls.extend([
        call("fsconfig", "<context>, FSCONFIG_CMD_CREATE, NULL, NULL, 0"),
        call("fsmount", format!("<context>, FSMOUNT_CLOEXEC, {}", attributes(flags))),
        call("close", "<context>"),
    ]);
    calls
}

/// An overlay, detached: until it is made its layers are mounted over its source, where nobody else sees them, since the kernel takes
/// none that are mounted nowhere.
pub(super) fn create_overlay(
    source: &Path,
    flags: MountFlags,
    idmap: Option<Idmap>,
    layer: &[(&'static str, String)],
    own_ids: bool,
) -> Vec<Call> {
    let [lower, upper, work] = OVERLAY;
    let mut calls = clone_tree(source, flags.read_only(), false, idmap);
    let options = layer.iter().map(|(key, value)| (*key, value.as_str()));
    calls.extend(create_file_system("tmpfs", options, MountFlags::GUARDED));
    calls.push(attach(source));
    calls.push(call("fchdir", "<layer>"));
    calls.extend([lower, upper, work].map(|name| call("mkdirat", format!("AT_FDCWD, \"{name}\", 0700"))));
    // As the source's own root is.
    calls.extend([
        call("newfstatat", "<mount>, \"\", <status>, AT_EMPTY_PATH"),
        call("fchownat", format!("AT_FDCWD, \"{upper}\", <owner>, <group>, AT_SYMLINK_NOFOLLOW")),
        call("fchmodat", format!("AT_FDCWD, \"{upper}\", <mode>")),
        attach(lower),
    ]);
    calls.extend(create_file_system("overlay", overlay_options(own_ids).into_iter(), flags));
    calls.extend([
        call("openat", format!("AT_FDCWD, \"{upper}\", O_RDONLY|O_CLOEXEC|O_DIRECTORY")),
        call(
            "sendmsg",
            "<supervisor>, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"\\0\", iov_len=1}], msg_iovlen=1, \
             msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[<upper>]}], \
             msg_controllen=24, msg_flags=0}, 0",
        ),
        call("close", "<upper>"),
        call("umount2", "\".\", MNT_DETACH"),
        call("chdir", "\"/\""),
        call("close", "<layer>"),
        call("close", "<mount>"),
    ]);
    calls
}

/// The attribute that translates owners, by the kernel's name.
const IDMAP: &str = "MOUNT_ATTR_IDMAP";

/// A detached mount becomes visible.
pub(super) fn attach(target: impl AsRef<OsStr>) -> Call {
    call("move_mount", format!("<mount>, \"\", AT_FDCWD, {}, MOVE_MOUNT_F_EMPTY_PATH", text(target)))
}

/// The call with the first number past the last capability: EINVAL there ends the loop, see capabilities(7). A kernel that knows
/// fewer capabilities ends it sooner.
pub(super) fn past_last(option: &str) -> Call {
    call("prctl", format!("{option}, 0x{:x} /* CAP_??? */", capability::NAMES.len()))
}

/// capset(2) or capget(2) with three equal sets.
pub(super) fn capability_sets(name: &'static str, set: CapabilitySet) -> Call {
    let members = join("|", set.names().map(|name| format!("1<<CAP_{name}")));
    let members = if members.is_empty() { "0" } else { &members };
    let header = "{version=_LINUX_CAPABILITY_VERSION_3, pid=0}";
    call(name, format!("{header}, {{effective={members}, permitted={members}, inheritable={members}}}"))
}

/// Every descriptor above 2 is closed but the socket to the supervisor, and but the sockets that were passed.
pub(super) fn close_others(passed: u32) -> [Call; 2] {
    [
        call("close_range", format!("{}, <before status>, 0", 3 + passed)),
        call("close_range", "<after status>, 4294967295, 0"),
    ]
}
