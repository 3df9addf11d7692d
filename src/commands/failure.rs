//! A step that failed, as a message: what was to be done, on which path and because of which manifest line, why it failed, and
//! what to do about it.

use std::path::Path;

use nix::errno::Errno;

use crate::manifest::finding::Finding;
use crate::plan::landlock::Beneath;
use crate::plan::step::{Action, Listener};
use crate::plan::{Phase, Step};
use crate::sys;
use crate::sys::host::Host;

/// The message for a failed step of a run, `number` counted from 0 in `steps`.
pub(super) fn of_step(
    steps: &[Step],
    number: usize,
    error: sys::Error,
    jail: &str,
    host: &Host,
) -> Option<Finding> {
    let failed = steps.get(number)?;
    let mut finding =
        Finding::error(format!("cannot {} in jail `{jail}`", purpose(&failed.action)), &failed.origin).why(
            format!(
                "{}, step {} of {}, {}",
                cause(failed, error),
                number + 1,
                steps.len(),
                whereabouts(failed.phase)
            ),
        );
    if failed.origin.place().is_none() {
        finding = finding.why(format!("the step is there by {}", failed.origin));
    }
    finding.hint = hint(&failed.action, error, host);
    Some(finding)
}

/// The message for a step that another program did not do, by what it has said.
pub(super) fn of_helper(steps: &[Step], number: usize, said: &str, jail: &str) -> Vec<Finding> {
    let Some(failed) = steps.get(number) else { return Vec::new() };
    let is_network = matches!(failed.action, Action::ConnectNetwork { .. });
    let hint = match said {
        _ if !is_network => {
            "the ranges are those of /etc/subuid and /etc/subgid; newuidmap and newgidmap have to be set-user-id or to have their \
             file capabilities, and cannot be used where no_new_privs is set"
        }
        said if said.contains("tun ") || said.contains("tap ") => {
            "pasta makes a device by /dev/net/tun, which everybody may open on most hosts: `modprobe tun`, `chmod 0666 /dev/net/tun`"
        }
        said if said.contains("External interface") || said.contains("routable") => {
            "pasta goes out where the host's default route leads, and there is none: see `ip route`"
        }
        said if said.contains("Failed to bind") => {
            "another program has one of the published ports of the host, or it is below 1024, which needs a right (ip_unprivileged_port_start in ip(7)): publish another one"
        }
        _ => "see pasta(1); `network = \"host\"` under [namespaces] (`once --share-net`) goes without it",
    };
    let number = number + 1;
    let (what, who) =
        if is_network { ("connect the network", "pasta") } else { ("map the ids", "newuidmap or newgidmap") };
    let finding = Finding::error(format!("cannot {what} of jail `{jail}`"), &failed.origin);
    vec![finding.why(format!("{who}, step {number} of {}: {said}", steps.len())).hint(hint)]
}

/// The call and the reason in words; a difference found by reading back is no call, nor is a process that was killed.
fn cause(step: &Step, error: sys::Error) -> String {
    match step.action {
        Action::Verify { .. } if error.call == "working directory" => {
            "the working directory is outside the jail's root".into()
        }
        Action::Verify { .. } | Action::Cover { .. }
            if error.call.contains(' ') || error.call == "no_new_privs" =>
        {
            format!("the {} read back differ from the plan", error.call)
        }
        Action::FilterSystemCalls { .. } if error.call.contains(' ') => {
            "the kernel took the filter, but does not run it".into()
        }
        Action::MakeUserNamespace { .. } if error.call.contains(' ') => {
            "the process that makes it was killed before it was done".into()
        }
        _ => error.to_string(),
    }
}

/// Where a phase happens, for a sentence.
const fn whereabouts(phase: Phase) -> &'static str {
    match phase {
        Phase::Build => "while building the tree",
        Phase::Parent => "outside the jail",
        Phase::Enter => "in the new namespaces",
        Phase::Confine => "inside, before the program",
        Phase::Exec => "by the program's own process",
    }
}

/// What a step is for, as the end of "cannot …".
fn purpose(action: &Action) -> String {
    match action {
        Action::MakeControlGroups { .. } => "make the control groups".into(),
        Action::EnterControlGroups { .. } => "join the control groups".into(),
        Action::MakeUserNamespace { .. } => "make a user namespace".into(),
        Action::JoinControlGroups { .. } => "join the jail's control groups".into(),
        Action::JoinNamespaces { .. } => "join the jail's namespaces".into(),
        Action::ConnectNetwork { .. } => "connect the jail's network by pasta".into(),
        Action::EnterNetwork => "enter the jail's network".into(),
        Action::EnterUserNamespace => "enter the jail's user namespace".into(),
        Action::Clone { .. } => "make the new namespaces".into(),
        Action::MapIds { .. } => "map ids into the user namespace".into(),
        Action::GrantIds { .. } => "have the ids mapped that the host grants".into(),
        Action::ForbidUserNamespaces => "forbid further user namespaces".into(),
        Action::LimitInotify => "limit handles of inotify".into(),
        Action::MakePrivate => "make the mounts private".into(),
        Action::NewSession => "begin a session".into(),
        Action::NewKeyring => "join a new session keyring".into(),
        Action::SetUndumpable => "hide the set-up from other processes".into(),
        Action::AttachTerminal { .. } => "attach the program's terminal".into(),
        Action::LoopbackUp => "bring `lo` up".into(),
        Action::SetHostname { name } => format!("set the host name `{name}`"),
        Action::SetOomScore { adjustment } => format!("set the out-of-memory score to {adjustment}"),
        Action::CloneTree { source, target, .. } => format!("show `{source}` at `{target}`"),
        Action::CreateFileSystem { kind, target, .. } => format!("make the `{kind}` for `{target}`"),
        Action::CreateOverlay { source, target, .. } => {
            format!("show `{source}` below a scratch layer at `{target}`")
        }
        Action::CloneRoot { tree, .. } => format!("use `{tree}` as the root"),
        Action::Furnish { path, .. } => format!("make `{path}` in memory"),
        Action::Seal { target } => format!("make `{target}` read-only"),
        Action::ReopenDescriptor { source, descriptor, .. } => {
            format!("open `{source}` again as descriptor {descriptor}")
        }
        Action::RelayOutput { .. } => "relay the output".into(),
        Action::CreateRuleset { .. } => "make a Landlock ruleset".into(),
        Action::AllowAccess { beneath: Beneath::Mount(target), .. } => {
            format!("make a Landlock rule for `{target}`")
        }
        Action::AllowAccess { beneath: Beneath::Host(path), .. } => {
            format!("make a Landlock rule for `{path}`")
        }
        Action::AllowAccess { beneath: Beneath::Descriptor(number), .. } => {
            format!("make a Landlock rule for descriptor {number}")
        }
        Action::EnterRoot { method, .. } => format!("change the root by `{}`", method.name()),
        Action::Listen { to: Listener::Log, .. } => "listen to what is logged".into(),
        Action::Listen { to: Listener::Notify, .. } => "listen to what the program says of itself".into(),
        Action::AttachTree { target } => format!("mount on `{target}`"),
        Action::Cover { .. } => "cover what tells of the host".into(),
        Action::SetLimit { resource, .. } => format!("set {resource}"),
        Action::SetUmask { .. } => "set the umask".into(),
        Action::SetPersonality { .. } => "set the personality".into(),
        Action::SetNice { nice } => format!("set the nice value to {nice}"),
        Action::ResetScheduling { .. } => "reset how the kernel favours the jail".into(),
        Action::SetAffinity { .. } => "choose the processors".into(),
        Action::RestrictSelf => "enforce the Landlock rules".into(),
        Action::DropBounding { .. } => "drop capabilities from the bounding set".into(),
        Action::LockSecureBits { .. } => "lock the secure bits".into(),
        Action::SetGroups { .. } => "set the supplementary groups".into(),
        Action::SetGid { gid } => format!("become group {gid}"),
        Action::SetUid { uid } => format!("become user {uid}"),
        Action::SetCapabilities { set } => format!("set the capabilities to: {set}"),
        Action::SetAmbient { set } => format!("set the ambient capabilities to: {set}"),
        Action::NoNewPrivileges => "set no_new_privs".into(),
        Action::DieWithJoiner => "bind the program's life to that of `stockade exec`".into(),
        Action::DieWithParent => "bind the jail's life to its supervisor's".into(),
        Action::ForkProgram { .. } => "make the program's process".into(),
        Action::ResetSignals => "reset the signals".into(),
        Action::NewProcessGroup { .. } => "give the program its process group".into(),
        Action::ChangeDirectory { path } => format!("change to the directory `{path}`"),
        Action::Verify { .. } => "confirm the rights that are left".into(),
        Action::CloseDescriptors { .. } => "close the caller's descriptors".into(),
        Action::FilterSystemCalls { .. } => "install the filter of system calls".into(),
        Action::Execute { path, .. } => format!("execute `{path}`"),
        Action::MakeDirectory { path, .. }
        | Action::CopyFile { path, .. }
        | Action::UnpackFile { path, .. }
        | Action::MakeHardLink { path, .. }
        | Action::MakeSymlink { path, .. }
        | Action::WriteFile { path, .. }
        | Action::MakeDevice { path, .. } => format!("make `{path}`"),
    }
}

/// What to do about what any call may fail with.
pub(super) fn general(error: sys::Error) -> Option<String> {
    match error.errno {
        Errno::ENOSYS => Some(format!(
            "this kernel, or a filter on its calls, has no {}(2); stockade needs Linux 5.12 or newer",
            error.call
        )),
        errno => sys::shortage(errno).map(str::to_owned),
    }
}

/// What to do, where something can be done.
#[allow(clippy::too_many_lines, reason = "one arm a failure, in the order of the steps")]
fn hint(action: &Action, error: sys::Error, host: &Host) -> Option<String> {
    let text: String = match (action, error.errno) {
        (Action::CreateRuleset { .. } | Action::AllowAccess { .. } | Action::RestrictSelf, Errno::ENOSYS) => {
            format!("{}(2) came with Linux 5.13: `best_effort = [\"landlock\"]` under [privileges] goes on without", error.call)
        }
        (_, Errno::ENOSYS | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE) => return general(error),
        (Action::AttachTerminal { .. }, _) if error.call == "open" => {
            "terminals are made by the host's /dev/ptmx: mount devpts(5) at /dev/pts, or give the program no terminal, as with `< /dev/null 2>&1 | cat`".into()
        }
        // Where AppArmor restricts them one can be made, and nothing done in it.
        (Action::Clone { .. }, Errno::EPERM | Errno::ENOSPC | Errno::EUSERS)
        | (Action::MapIds { .. } | Action::LoopbackUp, Errno::EPERM | Errno::EACCES)
            if !host.is_root() =>
        {
            no_user_namespaces(host)
        }
        (Action::Clone { .. } | Action::MakeUserNamespace { .. }, Errno::EPERM) if error.call == "clone" => {
            "making namespaces needs CAP_SYS_ADMIN, which root lacks inside many containers; `stockade once --landlock-only` goes \
             without them, with less around the program"
                .into()
        }
        (Action::Clone { .. }, Errno::ENOSPC | Errno::EUSERS) => {
            "a limit on namespaces is reached: raise user.max_*_namespaces with sysctl(8)".into()
        }
        (Action::Clone { .. }, Errno::EINVAL) => {
            "this kernel lacks one of the namespaces, or CLONE_PIDFD, which came with Linux 5.2: see `stockade doctor`".into()
        }
        (Action::Clone { .. } | Action::ForkProgram { .. }, Errno::EAGAIN) => {
            "a limit on processes is reached: RLIMIT_NPROC of this user, or the pids limit of its cgroup".into()
        }
        (Action::MakeControlGroups { .. } | Action::EnterControlGroups { .. }, Errno::EBUSY) => {
            "other processes are in the group that stockade was started in: start it by `systemd-run --scope -p Delegate=yes \
             stockade run …`, or say `Delegate=yes` in its unit"
                .into()
        }
        (Action::MakeControlGroups { .. }, Errno::ENOSPC | Errno::EAGAIN) => {
            "a limit on control groups is reached: see cgroup.max.descendants of the groups above".into()
        }
        (Action::MakeControlGroups { .. }, _) if error.call == "bpf" => {
            "`device_policy` takes CAP_BPF and CAP_NET_ADMIN of the host's, and a kernel with CONFIG_CGROUP_BPF: leave it out otherwise"
                .into()
        }
        (Action::MakeControlGroups { .. }, Errno::EINVAL | Errno::ERANGE) => {
            "the kernel refuses one of the values: see `stockade plan` for what is written".into()
        }
        (Action::MakeControlGroups { .. }, Errno::ENOENT) => {
            "this kernel has not the file of one of the limits, such as for swap without CONFIG_SWAP: leave that limit out".into()
        }
        (Action::JoinNamespaces { .. } | Action::EnterUserNamespace, Errno::ESRCH) => {
            "the jail has ended meanwhile: see `stockade list`".into()
        }
        (Action::JoinControlGroups { .. }, Errno::EACCES | Errno::EPERM) => {
            "moving a process takes the right to write to cgroup.procs where it is and where it goes, and above both: start \
             `stockade exec` in the group from which the jail was started (cgroups(7))"
                .into()
        }
        (Action::JoinNamespaces { .. }, Errno::ESTALE) => {
            "the root of the jail's mount namespace is not the tree that it was started from: start the jail again".into()
        }
        (Action::JoinNamespaces { .. }, Errno::EPERM) => {
            "joining namespaces needs CAP_SYS_ADMIN and CAP_SYS_CHROOT, and CAP_SYS_PTRACE over the jail's first process, which root \
             lacks inside many containers"
                .into()
        }
        (Action::CloneTree { source, .. } | Action::CreateOverlay { source, .. }, Errno::ELOOP) => format!(
            "a symbolic link has come into `{source}` since it was looked up: somebody changes what is there, perhaps a jail that is shown it writable"
        ),
        (Action::CreateOverlay { .. }, Errno::ENODEV) => {
            "this kernel has no overlayfs: `modprobe overlay` loads it, where there is one".into()
        }
        (Action::CreateOverlay { .. }, Errno::EPERM) if !["openat2", "open_tree"].contains(&error.call) => {
            "in a user namespace overlays can be mounted since Linux 5.11: run as root, or on a newer kernel".into()
        }
        (Action::CreateOverlay { source, .. }, Errno::EINVAL) if error.call == "fsconfig" => format!(
            "the kernel takes `{source}` for no lower layer: one on another file system than vfat or one with names of either case; \
             and where its owners are translated, on Linux 5.19 or newer"
        ),
        (
            Action::CloneTree { source, .. } | Action::CreateOverlay { source, .. },
            Errno::ENOENT,
        ) => {
            format!("`{source}` is not on the host: correct `source`, or say `optional = true`")
        }
        (
            Action::CloneTree { source, .. } | Action::CreateOverlay { source, .. },
            Errno::EACCES,
        ) => format!("this user may not reach `{source}`"),
        (Action::ReopenDescriptor { source, .. }, Errno::ESTALE | Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => {
            format!("another file was put in the place of `{source}` meanwhile: run again")
        }
        (Action::CloneRoot { .. }, Errno::ENOENT) => "the tree is gone: build it again with `stockade build`".into(),
        (Action::CreateFileSystem { kind: "proc", .. }, Errno::EPERM) => {
            "the host's own /proc is covered in parts, as in a container, and then the kernel gives no new one: \
             set `proc = \"none\"` under [root] (`once --no-proc`)"
                .into()
        }
        (Action::CreateFileSystem { kind: "sysfs", .. }, Errno::EPERM) => {
            "the host's own /sys is covered in parts, as in a container, and then the kernel gives no new one: \
             leave `sys` out of [root]"
                .into()
        }
        (Action::AllowAccess { beneath: Beneath::Mount(target), .. }, Errno::EINVAL) => {
            format!("what is shown at `{target}` was a directory when the plan was made and is none now, or the reverse: run again")
        }
        (Action::RestrictSelf, Errno::E2BIG) => {
            "stockade runs inside as many Landlock domains as the kernel allows, 16: start it outside of some".into()
        }
        (Action::AttachTree { target }, Errno::ENOENT | Errno::ENOTDIR) => {
            format!("the tree has nothing at `{target}` to mount on: build it again with `stockade build`")
        }
        (Action::AttachTree { target }, Errno::EINVAL) => format!(
            "`{target}` is a directory in the tree and a file on the host, or the reverse: \
             build it again with `stockade build`"
        ),
        (Action::MakePrivate, Errno::EINVAL) => {
            "stockade was started where `/` is no mount point, as in a chroot: start it outside".into()
        }
        (Action::EnterRoot { .. }, Errno::EINVAL) => {
            "pivot_root(2) does not work when the host's root is a ramfs: set `method = \"move\"` under [root]".into()
        }
        (Action::SetLimit { resource, .. }, Errno::EPERM) if *resource == "RLIMIT_NOFILE" => {
            "raising a hard limit needs CAP_SYS_RESOURCE, and nobody gets more files than fs.nr_open in sysctl(8): \
             choose at most what `ulimit -Hn` says"
                .into()
        }
        (Action::SetLimit { resource, .. }, Errno::EPERM) => {
            format!("raising a hard limit needs CAP_SYS_RESOURCE: choose at most what the caller has of {resource}")
        }
        (Action::SetLimit { .. }, Errno::EINVAL) => {
            "the soft limit is above the hard one, or above what the kernel allows".into()
        }
        (Action::SetNice { .. }, Errno::EACCES | Errno::EPERM) => {
            "a more favoured nice value than the caller's needs CAP_SYS_NICE or a sufficient RLIMIT_NICE: choose a higher `nice`"
                .into()
        }
        (Action::SetOomScore { .. }, Errno::EACCES | Errno::EPERM) => {
            "lowering the score below the caller's needs CAP_SYS_RESOURCE: choose a higher `oom_score_adjust`".into()
        }
        (Action::SetAffinity { .. }, Errno::EINVAL) => "none of these processors is there: see nproc(1)".into(),
        (Action::SetAmbient { .. } | Action::SetCapabilities { .. } | Action::DropBounding { .. }, Errno::EPERM) => {
            "the caller has not got all of these capabilities itself: see `capsh --print`".into()
        }
        (Action::LockSecureBits { .. }, Errno::EPERM) => {
            "the caller lacks CAP_SETPCAP, or has secure bits of its own that are locked otherwise: see `setpriv --dump`".into()
        }
        (Action::SetGroups { .. }, Errno::EPERM) => {
            "the user namespace stockade was started in denies setgroups(2), as one made by `unshare -r` does: start it outside"
                .into()
        }
        (Action::SetUid { .. } | Action::SetGid { .. }, Errno::EINVAL) => {
            "an ordinary user's jail has one user and one group: those of `user` and `group`".into()
        }
        (Action::ChangeDirectory { .. }, Errno::ENOENT | Errno::ENOTDIR) => "correct `working_directory`".into(),
        (Action::ChangeDirectory { path }, Errno::EACCES) => {
            format!("the program's user may not search `{path}`: see its mode and owner under [tree]")
        }
        (Action::Execute { .. }, Errno::E2BIG) => {
            "the arguments and the environment are too long together, or one of them is longer than 128K: \
             put what is long into a file"
                .into()
        }
        _ => return of_ids(action, error),
    };
    Some(text)
}

/// Settings that refuse user namespaces to ordinary users, what they are where they do, and the cure.
const REFUSING: [(&str, &str, &str); 3] = [
    (
        "user/max_user_namespaces",
        "0",
        "user.max_user_namespaces is 0: `sysctl user.max_user_namespaces=10000`",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "kernel.unprivileged_userns_clone is 0: `sysctl kernel.unprivileged_userns_clone=1`",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "kernel.apparmor_restrict_unprivileged_userns is 1: give stockade a profile of AppArmor with `userns,`, or \
         `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
];

/// Why an ordinary user gets no user namespace, as far as the host says so, and what to do.
fn no_user_namespaces(host: &Host) -> String {
    let setting = |name: &str| std::fs::read_to_string(host.path(&Path::new("/proc/sys").join(name)));
    let refusing =
        REFUSING.iter().find(|(name, value, _)| setting(name).is_ok_and(|found| found.trim_end() == *value));
    let cure = refusing.map_or(
        "the filter of a container refuses them, or too many are in use (user.max_user_namespaces): start stockade outside, or give \
         the container `seccomp=unconfined`",
        |(.., cure)| cure,
    );
    format!(
        "user namespaces are refused to this user: {cure}; or run as root, or, with less around the program, `stockade once --landlock-only`"
    )
}

/// What to do about a user namespace or about owners that are to be translated.
fn of_ids(action: &Action, error: sys::Error) -> Option<String> {
    let text = match (action, error.errno) {
        (
            Action::CloneTree { idmap: Some(_), .. }
            | Action::CreateOverlay { idmap: Some(_), .. }
            | Action::CloneRoot { idmap: Some(_), .. },
            Errno::EINVAL,
        )
            if error.call == "mount_setattr" =>
        {
            "its file system cannot translate owners (MOUNT_ATTR_IDMAP in mount_setattr(2)): choose another one (for trees by \
             STOCKADE_STATE_DIR), or say `user = false` under [namespaces]"
                .into()
        }
        (Action::MakeUserNamespace { .. }, Errno::EPERM) if error.call == "write" => {
            "mapping ids needs CAP_SETUID and CAP_SETGID, which root lacks inside many containers: say `user = false` under \
             [namespaces]"
                .into()
        }
        (Action::MakeUserNamespace { .. }, Errno::EPERM) if error.call == "prlimit" => {
            "raising a hard limit needs CAP_SYS_RESOURCE: choose at most what the caller has".into()
        }
        (Action::MakeUserNamespace { .. }, Errno::ENOSPC | Errno::EUSERS | Errno::EINVAL) => {
            "user namespaces are forbidden here, or too many are in use: raise user.max_user_namespaces and its like with \
             sysctl(8), or say `user = false` under [namespaces]"
                .into()
        }
        (
            Action::ForbidUserNamespaces | Action::LimitInotify | Action::MakeUserNamespace { .. },
            Errno::EROFS,
        ) => {
            "/proc/sys is read-only here, as in a container: say `best_effort = [\"user_namespace\"]` under [privileges] (`once --best-effort user_namespace`) to go \
             on without this limit"
                .into()
        }
        _ => return None,
    };
    Some(text)
}
