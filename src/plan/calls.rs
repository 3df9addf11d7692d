//! The system calls a step is made of, in order and in the notation of strace(1) on x86-64: the kernel's names, not the C
//! library's (`openat` for open(), `prlimit64` for setrlimit()). What cannot be known beforehand stands in angle brackets:
//! `<mount>` and the like for a descriptor, `<report>` for a message, `<environment>` for an address.

mod sequences;

use std::fmt;

use super::capability;
use super::display::join;
use super::landlock::Beneath;
use super::notation::{SIGNALS, mask, persona, text};
use super::step::{Action, Reopen, RootMethod, SOCKET};
use super::system_calls::INIT_PROGRAM;
pub use sequences::{INOTIFY_INSTANCES, MAX_INOTIFY_INSTANCES, MAX_USER_NAMESPACES, place_of_cover};
use sequences::{
    attach, capability_sets, clone_tree, close_others, cover, create_file_system, create_overlay, furnish,
    limit, loopback_up, make_control_group, make_user_namespace, past_last, set_filter, write,
};

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The kernel's name of it.
    pub name: &'static str,
    /// Its arguments, separated by `, `.
    pub arguments: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.arguments)
    }
}

/// Short for one call.
fn call(name: &'static str, arguments: impl Into<String>) -> Call {
    Call { name, arguments: arguments.into() }
}

impl Action {
    /// The system calls of a step that runs, in order; none for a step of the build, which `tree` decides by what it finds on
    /// disk. Those of the process that runs the step: what PID 1 goes on to do after `ForkProgram` is its own affair.
    #[allow(clippy::too_many_lines, reason = "one arm an action, in the order of the type")]
    pub fn calls(&self) -> Vec<Call> {
        match self {
            Self::MakeDirectory { .. }
            | Self::CopyFile { .. }
            | Self::UnpackFile { .. }
            | Self::MakeHardLink { .. }
            | Self::MakeSymlink { .. }
            | Self::WriteFile { .. }
            | Self::MakeDevice { .. } => Vec::new(),
            Self::MakeControlGroups { name, groups } => {
                groups.iter().flat_map(|group| make_control_group(name, group)).collect()
            }
            Self::EnterControlGroups { groups, namespace } => {
                let join = [call("write", "<processes>, \"0\", 1"), call("close", "<processes>")];
                let own = namespace.then(|| call("unshare", "CLONE_NEWCGROUP"));
                std::iter::repeat_n(join, *groups).flatten().chain(own).collect()
            }
            Self::MakeUserNamespace { map, network, is_last, ceilings, .. } => {
                make_user_namespace(map, *network, *is_last, ceilings)
            }
            Self::Clone { namespaces } => {
                let flags = ["CLONE_PIDFD"].into_iter().chain(namespaces.flags().map(|(flag, _)| flag));
                let flags = join("|", flags.chain(["SIGCHLD"]));
                vec![call("clone", format!("child_stack=NULL, flags={flags}, parent_tid=[<pidfd>]"))]
            }
            Self::MapIds { map } => std::iter::once(write("/proc/self/setgroups", "deny"))
                .chain(map.lines().map(|(name, lines)| write(&format!("/proc/self/{name}"), &lines)))
                .flatten()
                .collect(),
            Self::ForbidUserNamespaces => write(MAX_USER_NAMESPACES, "0"),
            Self::LimitInotify => write(MAX_INOTIFY_INSTANCES, INOTIFY_INSTANCES),
            Self::MakePrivate => vec![call("mount", "NULL, \"/\", NULL, MS_REC|MS_PRIVATE, NULL")],
            Self::NewSession => vec![call("setsid", "")],
            Self::NewKeyring => vec![call("keyctl", "KEYCTL_JOIN_SESSION_KEYRING, NULL")],
            Self::SetUndumpable => vec![call("prctl", "PR_SET_DUMPABLE, SUID_DUMP_DISABLE")],
            Self::AttachTerminal { onto } => [call("ioctl", "<terminal>, TIOCSCTTY, 0")]
                .into_iter()
                .chain(onto.iter().map(|fd| call("dup2", format!("<terminal>, {fd}"))))
                .collect(),
            Self::JoinControlGroups { directories } => directories
                .iter()
                .flat_map(|path| write(&path.as_path().join("cgroup.procs").to_string_lossy(), "0"))
                .collect(),
            Self::JoinNamespaces { namespaces, tree } => {
                let flags = join("|", namespaces.flags().map(|(flag, _)| flag.to_owned()));
                let look = |path| call("newfstatat", format!("AT_FDCWD, {path}, <what>, 0"));
                let tree = text(tree.as_path());
                vec![
                    look(tree),
                    call("setns", format!("<jail>, {flags}")),
                    call("close", "<jail>"),
                    look("\"/\"".into()),
                ]
            }
            Self::GrantIds { .. } | Self::ConnectNetwork { .. } => vec![
                call("write", "<status>, <asked>, <length>"),
                call("close", "<release>"),
                call("read", "<release>, <byte>, 1"),
            ],
            Self::EnterNetwork => {
                vec![call("setns", "<network>, CLONE_NEWNET"), call("close", "<network>")]
            }
            Self::LoopbackUp => loopback_up(),
            Self::SetHostname { name } => {
                vec![call("sethostname", format!("{}, {}", text(name), name.len()))]
            }
            Self::SetOomScore { adjustment } => write("/proc/self/oom_score_adj", &adjustment.to_string()),
            Self::CloneTree { source, flags, recursive, idmap, .. } => {
                clone_tree(source.as_path(), *flags, *recursive, *idmap)
            }
            Self::ReopenDescriptor { descriptor, source, flags, access, .. } => {
                let mut calls = clone_tree(source.as_path(), *flags, false, None);
                let mode = access.mode();
                let path = format!("AT_FDCWD, \"/proc/self/fd/<mount>\", {mode}|O_NOCTTY|O_CLOEXEC");
                calls.push(call("openat", path));
                calls.push(call("newfstatat", "<file>, \"\", <status>, AT_EMPTY_PATH"));
                calls.push(call("close", "<mount>"));
                if *access == Reopen::File {
                    calls.push(call("lseek", format!("{descriptor}, 0, SEEK_CUR")));
                    calls.push(call("lseek", "<file>, <offset>, SEEK_SET"));
                }
                calls.push(call("dup2", format!("<file>, {descriptor}")));
                calls.push(call("close", "<file>"));
                calls
            }
            Self::Furnish { within, path, what, owner } => furnish(path.relative_to(within), what, *owner),
            Self::Seal { .. } => vec![call(
                "mount_setattr",
                "<mount>, \"\", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY, attr_clr=0, \
                 propagation=0 /* MS_??? */, userns_fd=0}, 32",
            )],
            Self::Listen { to, .. } => vec![
                call("fchdir", "<mount>"),
                call(
                    "bind",
                    format!("<{}>, {{sa_family=AF_UNIX, sun_path=\"{SOCKET}\"}}, <length>", to.name()),
                ),
                call("fchmodat", format!("AT_FDCWD, \"{SOCKET}\", 0666")),
                call(
                    "mount_setattr",
                    "<mount>, \"\", AT_EMPTY_PATH, {attr_set=MOUNT_ATTR_RDONLY, attr_clr=0, \
                     propagation=0 /* MS_??? */, userns_fd=0}, 32",
                ),
                call("chdir", "\"/\""),
            ],
            Self::RelayOutput { onto, .. } => {
                onto.iter().map(|fd| call("dup2", format!("<pipe>, {fd}"))).collect()
            }
            Self::CreateRuleset { handled, network, scoped } => {
                let network = join("|", network.names().map(|name| format!("LANDLOCK_ACCESS_NET_{name}")));
                let network = if network.is_empty() { "0" } else { &network };
                let handled = join("|", handled.names().map(|name| format!("LANDLOCK_ACCESS_FS_{name}")));
                let scoped = join("|", scoped.names().map(|name| format!("LANDLOCK_SCOPE_{name}")));
                let scoped = if scoped.is_empty() { "0" } else { &scoped };
                let attr = format!(
                    "{{handled_access_fs={handled}, handled_access_net={network}, scoped={scoped}}}, 24, 0"
                );
                vec![call("landlock_create_ruleset", attr)]
            }
            Self::AllowAccess { beneath, access } => {
                let access = join("|", access.names().map(|name| format!("LANDLOCK_ACCESS_FS_{name}")));
                let parent = match beneath {
                    Beneath::Mount(_) => "<mount>".to_owned(),
                    Beneath::Descriptor(number) => number.to_string(),
                    Beneath::Host(_) => "<place>".to_owned(),
                };
                let attr = format!("{{allowed_access={access}, parent_fd={parent}}}");
                let add =
                    call("landlock_add_rule", format!("<ruleset>, LANDLOCK_RULE_PATH_BENEATH, {attr}, 0"));
                match beneath {
                    Beneath::Host(path) => {
                        let open = call(
                            "openat",
                            format!("AT_FDCWD, {}, O_RDONLY|O_CLOEXEC|O_PATH", text(path.as_path())),
                        );
                        vec![open, add, call("close", "<place>")]
                    }
                    _ => vec![add],
                }
            }
            Self::CloneRoot { tree, flags, idmap } => clone_tree(tree.as_path(), *flags, false, *idmap),
            Self::EnterRoot { tree, method } => {
                let change: &[(&str, &str)] = match method {
                    RootMethod::Pivot => &[("pivot_root", "\".\", \".\""), ("umount2", "\".\", MNT_DETACH")],
                    RootMethod::Move => {
                        &[("mount", "\".\", \"/\", NULL, MS_MOVE, NULL"), ("chroot", "\".\"")]
                    }
                    RootMethod::Chroot => &[("chroot", "\".\"")],
                };
                let rest = [("fchdir", "<mount>"), ("close", "<mount>")]
                    .iter()
                    .chain(change)
                    .chain(&[("chdir", "\"/\""), ("write", "<status>, <report>, 33")])
                    .map(|(name, arguments)| call(name, *arguments));
                std::iter::once(attach(tree.as_path())).chain(rest).collect()
            }
            Self::AttachTree { target } => vec![attach(target.as_path()), call("close", "<mount>")],
            Self::Cover { with, over } => cover(with.as_ref(), over),
            Self::CreateFileSystem { kind, flags, options, .. } => {
                let options = options.iter().map(|(key, value)| (*key, value.as_str()));
                create_file_system(kind, options, *flags)
            }
            Self::CreateOverlay { source, flags, idmap, layer, own_ids, .. } => {
                create_overlay(source.as_path(), *flags, *idmap, layer, *own_ids)
            }
            Self::SetLimit { resource, soft, hard } => {
                vec![limit(resource, *soft, *hard)]
            }
            Self::SetUmask { mask: bits } => vec![call("umask", mask(*bits))],
            Self::SetPersonality { flags, .. } => vec![call("personality", persona(flags))],
            Self::SetNice { nice } => vec![call("setpriority", format!("PRIO_PROCESS, 0, {nice}"))],
            Self::ResetScheduling { what } => {
                what.iter().map(|what| what.call()).map(|(name, arguments)| call(name, arguments)).collect()
            }
            Self::SetAffinity { processors } => {
                let mut processors = processors.clone();
                processors.sort_unstable();
                processors.dedup();
                let bytes = processors.last().map_or(8, |last| (last / 64 + 1) * 8);
                vec![call("sched_setaffinity", format!("0, {bytes}, [{}]", join(" ", processors)))]
            }
            Self::RestrictSelf => {
                vec![call("landlock_restrict_self", "<ruleset>, 0"), call("close", "<ruleset>")]
            }
            Self::EnterUserNamespace => {
                vec![call("setns", "<user namespace>, CLONE_NEWUSER"), call("close", "<user namespace>")]
            }
            Self::DropBounding { keep } => capability::NAMES
                .iter()
                .zip(0..)
                .filter(|(_, number)| !keep.has(*number))
                .map(|(name, _)| call("prctl", format!("PR_CAPBSET_DROP, CAP_{name}")))
                .chain([past_last("PR_CAPBSET_DROP")])
                .collect(),
            Self::LockSecureBits { bits } => vec![call("prctl", format!("PR_SET_SECUREBITS, {bits}"))],
            Self::SetGroups { groups } => {
                vec![call("setgroups", format!("{}, [{}]", groups.len(), join(", ", groups)))]
            }
            Self::SetGid { gid } => vec![call("setresgid", format!("{gid}, {gid}, {gid}"))],
            Self::SetUid { uid } => vec![call("setresuid", format!("{uid}, {uid}, {uid}"))],
            Self::SetCapabilities { set } => vec![capability_sets("capset", *set)],
            Self::SetAmbient { set } => [call("prctl", "PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0")]
                .into_iter()
                .chain(set.names().map(|name| {
                    call("prctl", format!("PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_{name}, 0, 0"))
                }))
                .collect(),
            Self::NoNewPrivileges => vec![call("prctl", "PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0")],
            Self::DieWithJoiner => {
                vec![
                    call("prctl", "PR_SET_PDEATHSIG, SIGKILL"),
                    call("setpgid", "0, 0"),
                    call("poll", "[{fd=<status>, events=0}, {fd=<joiner>, events=POLLIN}], 2, 0"),
                    call("close", "<joiner>"),
                ]
            }
            Self::DieWithParent => vec![
                call("prctl", "PR_SET_PDEATHSIG, SIGKILL"),
                call("close", "<supervisor>"),
                call("read", "<status>, <byte>, 1"),
            ],
            Self::ForkProgram { filtered, passed, input, .. } => {
                let mut calls = Vec::from(close_others(*passed));
                calls.extend([call(
                    "signalfd4",
                    "-1, [HUP INT QUIT USR1 USR2 ALRM TERM CHLD CONT WINCH], 8, SFD_CLOEXEC|SFD_NONBLOCK",
                )]);
                if *input {
                    calls.extend([
                        call("pipe2", "[<pipe>, <own>], O_CLOEXEC"),
                        call("dup2", "<pipe>, 0"),
                        call("close", "<pipe>"),
                    ]);
                }
                calls.extend([
                    call("prctl", "PR_SET_NAME, \"stockade\""),
                    call("clone", "child_stack=<stack>, flags=CLONE_VM|CLONE_VFORK|SIGCHLD"),
                ]);
                if *passed > 0 {
                    calls.push(call("close_range", format!("3, {}, 0", 2 + passed)));
                }
                if *filtered {
                    calls.extend([call("close_range", "<first>, 2, 0"), set_filter(INIT_PROGRAM.len())]);
                }
                calls
            }
            Self::ResetSignals => SIGNALS
                .iter()
                .map(|name| (*name).to_owned())
                .chain(["SIGRTMIN".to_owned()])
                .chain((1..=32).map(|number| format!("SIGRT_{number}")))
                .map(|name| {
                    let default = "{sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}";
                    call("rt_sigaction", format!("{name}, {default}, NULL, 8"))
                })
                .chain([call("rt_sigprocmask", "SIG_SETMASK, [], ~[KILL STOP], 8")])
                .collect(),
            Self::NewProcessGroup { terminal } => [call("setpgid", "0, 0")]
                .into_iter()
                .chain(terminal.iter().flat_map(|fd| {
                    [call("getpgrp", ""), call("ioctl", format!("{fd}, TIOCSPGRP, [<group>]"))]
                }))
                .collect(),
            Self::ChangeDirectory { path } => vec![call("chdir", text(path.as_path()))],
            Self::Verify { uid, gid, groups, capabilities, .. } => {
                let mut calls = vec![
                    call("write", "<status>, <report>, 33"),
                    call("getresuid", format!("[{uid}], [{uid}], [{uid}]")),
                    call("getresgid", format!("[{gid}], [{gid}], [{gid}]")),
                ];
                calls.extend(
                    groups.iter().map(|groups| call("getgroups", format!("64, [{}]", join(", ", groups)))),
                );
                calls.push(capability_sets("capget", *capabilities));
                calls.extend(
                    capability::NAMES
                        .iter()
                        .map(|name| call("prctl", format!("PR_CAPBSET_READ, CAP_{name}"))),
                );
                calls.push(past_last("PR_CAPBSET_READ"));
                calls.push(call("prctl", "PR_GET_SECUREBITS"));
                calls.push(call("getcwd", "<directory>, 4096"));
                calls.push(call("prctl", "PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0"));
                calls
            }
            // All but the socket to the supervisor.
            Self::CloseDescriptors { passed } => close_others(*passed).into(),
            Self::FilterSystemCalls { filter, .. } => {
                vec![set_filter(filter.program.len()), call("syscall_0x3fffffff", "0, 0, 0, 0, 0, 0")]
            }
            Self::Execute { path, arguments, environment } => {
                let variables = if environment.len() == 1 { "var" } else { "vars" };
                vec![call(
                    "execve",
                    format!(
                        "{}, [{}], <environment> /* {} {variables} */",
                        text(path.as_path()),
                        join(", ", arguments.iter().map(text)),
                        environment.len()
                    ),
                )]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::plan::step::{IdSpace, Idmap, MountFlags};

    /// The calls of the first sample step that `wanted` picks.
    fn shown(wanted: impl Fn(&Action) -> bool) -> Vec<String> {
        let steps = sample::run();
        let step = steps.iter().find(|step| wanted(&step.action)).unwrap();
        step.action.calls().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bind_is_a_detached_copy_with_its_flags() {
        assert_eq!(
            shown(|action| matches!(action, Action::CloneTree { .. })),
            [
                r#"openat2(AT_FDCWD, "/srv/www", {flags=O_RDONLY|O_CLOEXEC|O_PATH, resolve=RESOLVE_NO_SYMLINKS}, 24)"#,
                r#"open_tree(<source>, "", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_EMPTY_PATH|AT_RECURSIVE)"#,
                "close(<source>)",
                "mount_setattr(<mount>, \"\", AT_EMPTY_PATH|AT_RECURSIVE, {attr_set=MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID\
                 |MOUNT_ATTR_NODEV|MOUNT_ATTR_IDMAP, attr_clr=0, propagation=0 /* MS_??? */, userns_fd=<user namespace>}, 32)",
            ]
        );
    }

    #[test]
    fn only_the_topmost_mount_is_translated_by_a_call_of_its_own() {
        let idmap = Some(Idmap { space: IdSpace::Shared, below: false });
        let set: Vec<_> = clone_tree("/srv", MountFlags::GUARDED, true, idmap)[3..]
            .iter()
            .map(ToString::to_string)
            .collect();
        let values = |set, space| {
            format!("{{attr_set={set}, attr_clr=0, propagation=0 /* MS_??? */, userns_fd={space}}}, 32)")
        };
        assert_eq!(
            set,
            [
                format!(
                    "mount_setattr(<mount>, \"\", AT_EMPTY_PATH|AT_RECURSIVE, {}",
                    values("MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV", "0")
                ),
                format!(
                    "mount_setattr(<mount>, \"\", AT_EMPTY_PATH, {}",
                    values("MOUNT_ATTR_IDMAP", "<shared namespace>")
                ),
            ]
        );
    }

    #[test]
    fn a_file_system_is_opened_configured_and_made() {
        assert_eq!(
            shown(|action| matches!(action, Action::CreateFileSystem { .. })),
            [
                r#"fsopen("proc", FSOPEN_CLOEXEC)"#,
                r#"fsconfig(<context>, FSCONFIG_SET_STRING, "source", "proc", 0)"#,
                r#"fsconfig(<context>, FSCONFIG_SET_STRING, "subset", "pid", 0)"#,
                "fsconfig(<context>, FSCONFIG_CMD_CREATE, NULL, NULL, 0)",
                "fsmount(<context>, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC)",
                "close(<context>)",
            ]
        );
    }

    #[test]
    fn repeated_calls_are_listed_each() {
        let drop = shown(|action| matches!(action, Action::DropBounding { .. }));
        assert_eq!(drop.len(), 41);
        assert_eq!(drop[0], "prctl(PR_CAPBSET_DROP, CAP_CHOWN)");
        assert_eq!(drop[40], "prctl(PR_CAPBSET_DROP, 0x29 /* CAP_??? */)");
        let reset = shown(|action| matches!(action, Action::ResetSignals));
        assert_eq!(reset.len(), 63);
        let default = "{sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, NULL, 8)";
        assert_eq!(reset[61], format!("rt_sigaction(SIGRT_32, {default}"));
    }

    #[test]
    fn execve_shows_its_arguments_and_counts_its_variables() {
        assert_eq!(
            shown(|action| matches!(action, Action::Execute { .. })),
            [r#"execve("/usr/sbin/nginx", ["nginx", "-g", "daemon off;\n"], <environment> /* 1 var */)"#]
        );
    }
}
