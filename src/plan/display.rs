//! A step in one line, like a man page: the call, or the name of what is done, with its arguments. [`Action::calls`] has the
//! system calls one by one.

use std::fmt;

use super::landlock::Beneath;
use super::quote::Quoted;
use super::step::{Action, Bound, Furniture, IdSpace, Idmap, Keep, MountFlags, Owner, RootMethod, SOCKET};
use super::{HostPath, IdMap, JailPath};

impl fmt::Display for Action {
    #[allow(clippy::too_many_lines, reason = "one arm an action, in the order of the type")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeDirectory { path, mode, owner } => write!(f, "mkdir({}, {mode}, {owner})", jail(path)),
            Self::CopyFile { source, path, mode, owner, keep } => {
                write!(f, "copy({} \u{2192} ", host(source))?;
                if source.as_path() == path.as_path() {
                    f.write_str("same")?;
                } else {
                    write!(f, "{}", jail(path))?;
                }
                write!(f, ", {mode}, {owner}{})", Kept(*keep))
            }
            Self::UnpackFile { archive, path, mode, owner, keep, .. } => {
                write!(f, "unpack({} \u{2192} {}, {mode}, {owner}{})", host(archive), jail(path), Kept(*keep))
            }
            Self::MakeHardLink { existing, path } => write!(f, "link({}, {})", jail(existing), jail(path)),
            Self::MakeSymlink { text, path, owner } => {
                write!(f, "symlink({}, {}, {owner})", Quoted::of(text), jail(path))
            }
            Self::WriteFile { path, content, mode, owner } => {
                let bytes = if content.len() == 1 { "byte" } else { "bytes" };
                write!(f, "write({}, {} {bytes}, {mode}, {owner})", jail(path), content.len())
            }
            Self::MakeDevice { path, device } => {
                write!(f, "mknod({}, S_IFCHR|0666, makedev({}, {}))", jail(path), device.major, device.minor)
            }
            Self::MakeControlGroups { name, groups } => {
                write!(f, "mkdir(\"{name}\" in {})", join(", ", groups))
            }
            Self::EnterControlGroups { namespace, .. } => {
                f.write_str("write(cgroup.procs, \"0\")")?;
                if *namespace { f.write_str(", unshare(CLONE_NEWCGROUP)") } else { Ok(()) }
            }
            Self::MakeUserNamespace { map, network, .. } => {
                let network = if *network { "|CLONE_NEWNET" } else { "" };
                write!(f, "clone(CLONE_NEWUSER{network}), write({})", Maps(map))
            }
            Self::Clone { namespaces } => {
                write!(f, "clone({})", join("|", namespaces.flags().map(|(flag, _)| flag).chain(["SIGCHLD"])))
            }
            Self::MapIds { map } => write!(f, "write(setgroups \"deny\", {})", Maps(map)),
            Self::GrantIds { map, .. } => {
                let lines = |extents| join(", ", extents);
                write!(f, "newuidmap({}), newgidmap({})", lines(&map.users), lines(&map.groups))
            }
            Self::ForbidUserNamespaces => {
                write!(f, "write(\"{}\", \"0\")", super::calls::MAX_USER_NAMESPACES)
            }
            Self::LimitInotify => {
                let (file, most) = (super::calls::MAX_INOTIFY_INSTANCES, super::calls::INOTIFY_INSTANCES);
                write!(f, "write(\"{file}\", \"{most}\")")
            }
            Self::MakePrivate => f.write_str("mount(\"/\", private, recursive)"),
            Self::NewSession => f.write_str("setsid()"),
            Self::NewKeyring => f.write_str("keyctl(KEYCTL_JOIN_SESSION_KEYRING)"),
            Self::SetUndumpable => f.write_str("prctl(PR_SET_DUMPABLE, 0)"),
            Self::AttachTerminal { onto } => {
                write!(f, "ioctl(<terminal>, TIOCSCTTY), dup2 onto {}", join(" ", onto))
            }
            Self::JoinControlGroups { directories } => {
                let procs = directories
                    .iter()
                    .map(|path| Quoted::of(&path.as_path().join("cgroup.procs")).to_string());
                write!(f, "write({} \"0\")", procs.collect::<Vec<_>>().join(", "))
            }
            Self::JoinNamespaces { namespaces, .. } => {
                let flags: Vec<_> = namespaces.flags().map(|(flag, _)| flag).collect();
                write!(f, "setns(<jail>, {})", flags.join("|"))
            }
            Self::ConnectNetwork { arguments, .. } => write!(f, "pasta({})", arguments.join(" ")),
            Self::EnterNetwork => f.write_str("setns(<network>, CLONE_NEWNET)"),
            Self::LoopbackUp => f.write_str("ioctl(SIOCSIFFLAGS, \"lo\", IFF_UP|IFF_RUNNING)"),
            Self::SetHostname { name } => write!(f, "sethostname({})", Quoted::of(name)),
            Self::SetOomScore { adjustment } => {
                write!(f, "write(\"/proc/self/oom_score_adj\", \"{adjustment}\")")
            }
            Self::CloneTree { source, target, flags, recursive, idmap } => {
                let bind = if *recursive { "rbind" } else { "bind" };
                write!(f, "open_tree({} \u{2192} {}, {bind}, {}", host(source), jail(target), Flags(*flags))?;
                write_idmap(f, *idmap, *recursive)
            }
            Self::CloneRoot { tree, flags, idmap } => {
                write!(f, "open_tree({} \u{2192} \"/\", bind, {}", host(tree), Flags(*flags))?;
                write_idmap(f, *idmap, false)
            }
            Self::Furnish { within, path, what, owner } => {
                let place = format_args!("<{within}>, {}", Quoted::of(path.relative_to(within))).to_string();
                match what {
                    Furniture::Directory { mode } => write!(f, "mkdirat({place}, {mode}"),
                    Furniture::Link { text } => write!(f, "symlinkat({}, {place}", Quoted::of(text)),
                    Furniture::File { content, mode } => {
                        let bytes = if content.len() == 1 { "byte" } else { "bytes" };
                        write!(f, "write({place}, {} {bytes}, {mode}", content.len())
                    }
                }?;
                match owner {
                    Some(owner) => write!(f, ", {owner})"),
                    None => f.write_str(")"),
                }
            }
            Self::Seal { target } => write!(f, "mount_setattr(<{target}>, ro)"),
            Self::ReopenDescriptor { descriptor, source, flags, access, .. } => {
                let flags = Flags(*flags);
                write!(
                    f,
                    "open({} \u{2192} descriptor {descriptor}, {flags}, {})",
                    host(source),
                    access.mode()
                )
            }
            Self::RelayOutput { onto, .. } => write!(f, "dup2(<pipe>) onto {}", join(" ", onto)),
            Self::CreateRuleset { handled, network, scoped } => {
                let files = format!("{} rights over files", handled.names().count());
                let handled = [files].into_iter().chain(network.names().map(str::to_ascii_lowercase));
                let scopes = if scoped.0 == 0 { "nothing".into() } else { join(" ", scoped.names()) };
                let (handled, scopes) = (join(", ", handled), scopes.to_ascii_lowercase());
                write!(f, "landlock_create_ruleset({handled}, scope of {scopes})")
            }
            Self::AllowAccess { beneath, access } => {
                write!(f, "landlock_add_rule({}, {access})", Subject(beneath))
            }
            Self::EnterRoot { method, .. } => f.write_str(match method {
                RootMethod::Pivot => "pivot_root(\".\", \".\")",
                RootMethod::Move => "mount(\".\", \"/\", move), chroot(\".\")",
                RootMethod::Chroot => "chroot(\".\")",
            }),
            Self::Listen { to, target } => write!(f, "bind(<{}>, \"{target}/{SOCKET}\")", to.name()),
            Self::AttachTree { target } => write!(f, "move_mount(<mount>, {})", jail(target)),
            Self::Cover { over, .. } => write!(f, "cover({})", join(", ", over.iter().map(jail))),
            Self::CreateFileSystem { kind, target, flags, options } => {
                write!(f, "fsmount(\"{kind}\" \u{2192} {}, {}", jail(target), Flags(*flags))?;
                write_options(f, options)?;
                f.write_str(")")
            }
            Self::CreateOverlay { source, target, flags, idmap, layer, .. } => {
                write!(f, "overlay({} \u{2192} {}, {}", host(source), jail(target), Flags(*flags))?;
                f.write_str(if idmap.is_some() { ", idmap" } else { "" })?;
                write_options(f, layer)?;
                f.write_str(")")
            }
            Self::SetLimit { resource, soft, hard } => {
                write!(f, "setrlimit({resource}, {}, {})", Limit(*soft), Limit(*hard))
            }
            Self::SetUmask { mask } => write!(f, "umask({mask})"),
            Self::SetPersonality { flags, .. } if flags.is_empty() => f.write_str("personality(PER_LINUX)"),
            Self::SetPersonality { flags, .. } => write!(f, "personality({})", join("|", flags)),
            Self::SetNice { nice } => write!(f, "setpriority(PRIO_PROCESS, 0, {nice})"),
            Self::ResetScheduling { what } => {
                let calls = what.iter().map(|what| {
                    let (name, arguments) = what.call();
                    format!("{name}({arguments})")
                });
                f.write_str(&join(", ", calls))
            }
            Self::SetAffinity { processors } => {
                write!(f, "sched_setaffinity(0, [{}])", join(" ", processors))
            }
            Self::RestrictSelf => f.write_str("landlock_restrict_self(<ruleset>)"),
            Self::EnterUserNamespace => f.write_str("setns(<user namespace>, CLONE_NEWUSER)"),
            Self::DropBounding { keep } if keep.0 == 0 => f.write_str("prctl(PR_CAPBSET_DROP, all)"),
            Self::DropBounding { keep } => write!(f, "prctl(PR_CAPBSET_DROP, all but {keep})"),
            Self::LockSecureBits { bits } => write!(f, "prctl(PR_SET_SECUREBITS, {bits})"),
            Self::SetGroups { groups } => write!(f, "setgroups({}, [{}])", groups.len(), join(", ", groups)),
            Self::SetGid { gid } => write!(f, "setresgid({gid}, {gid}, {gid})"),
            Self::SetUid { uid } => write!(f, "setresuid({uid}, {uid}, {uid})"),
            Self::SetCapabilities { set } => {
                write!(f, "capset(effective permitted inheritable = {set})")
            }
            Self::SetAmbient { set } if set.0 == 0 => f.write_str("prctl(PR_CAP_AMBIENT, clear)"),
            Self::SetAmbient { set } => write!(f, "prctl(PR_CAP_AMBIENT, clear, raise {set})"),
            Self::NoNewPrivileges => f.write_str("prctl(PR_SET_NO_NEW_PRIVS, 1)"),
            Self::DieWithParent | Self::DieWithJoiner => f.write_str("prctl(PR_SET_PDEATHSIG, SIGKILL)"),
            Self::ForkProgram { forking, input, .. } => {
                f.write_str(if *input { "dup2(<pipe>) onto 0, fork()" } else { "fork()" })?;
                f.write_str(if *forking { ", until the last process has ended" } else { "" })
            }
            Self::ResetSignals => f.write_str("sigaction(every signal, SIG_DFL), sigprocmask(none)"),
            Self::NewProcessGroup { terminal: None } => f.write_str("setpgid(0, 0)"),
            Self::NewProcessGroup { terminal: Some(fd) } => write!(f, "setpgid(0, 0), tcsetpgrp({fd})"),
            Self::ChangeDirectory { path } => write!(f, "chdir({})", jail(path)),
            Self::Verify { uid, gid, groups, capabilities, secure_bits, no_new_privileges } => {
                write!(f, "verify(uid {uid}, gid {gid}")?;
                if let Some(groups) = groups {
                    write!(f, ", groups [{}]", join(" ", groups))?;
                }
                let privileges = if *no_new_privileges { "no_new_privs" } else { "new privileges allowed" };
                write!(f, ", capabilities {capabilities}, secure bits {:#x}, {privileges})", secure_bits.0)
            }
            Self::CloseDescriptors { passed } => write!(f, "close_range({}, ~0)", 3 + passed),
            Self::FilterSystemCalls { filter, .. } => {
                let names = filter.architectures.iter().map(|architecture| architecture.name());
                let (words, names) = (Quoted::of(&filter.words), join(" ", names));
                write!(f, "seccomp(SECCOMP_SET_MODE_FILTER, {words}, {}, {names})", filter.refusal.name())
            }
            Self::Execute { path, arguments, environment } => {
                let variables = if environment.len() == 1 { "variable" } else { "variables" };
                let arguments = join(", ", arguments.iter().map(Quoted::of));
                write!(f, "execve({}, [{arguments}], {} {variables})", jail(path), environment.len())
            }
        }
    }
}

/// What a file keeps, after what is said of it anyhow.
struct Kept(Keep);

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kept, name) in [(self.0.setid, "setid"), (self.0.capabilities, "capabilities")] {
            if kept {
                write!(f, ", keep {name}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Owner {
    /// `root:root`, or numbers: names mean different users on the host and in the jail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { uid: 0, gid: 0 } => f.write_str("root:root"),
            Self { uid, gid } => write!(f, "{uid}:{gid}"),
        }
    }
}

/// The content of both map files: `uid_map "33 1000 1", gid_map "33 1000 1"`.
struct Maps<'a>(&'a IdMap);

impl fmt::Display for Maps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let maps = self.0.lines().map(|(name, lines)| format!("{name} \"{}\"", lines.replace('\n', ", ")));
        f.write_str(&maps.join(", "))
    }
}

/// Mount flags between other arguments: `ro nosuid nodev`.
struct Flags(MountFlags);

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string().replace(',', " "))
    }
}

/// What a rule of Landlock is about.
struct Subject<'a>(&'a Beneath);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Beneath::Mount(target) => jail(target).fmt(f),
            Beneath::Host(path) => write!(f, "host {}", host(path)),
            Beneath::Descriptor(number) => write!(f, "descriptor {number}"),
        }
    }
}

/// The last of a copied mount's arguments, and the end of them: whether its owners are translated, and whose not.
fn write_idmap(f: &mut fmt::Formatter<'_>, idmap: Option<Idmap>, recursive: bool) -> fmt::Result {
    if let Some(Idmap { space, below }) = idmap {
        f.write_str(match space {
            IdSpace::Jail => ", idmap",
            IdSpace::Shared => ", idmap but root",
        })?;
        if recursive && !below {
            f.write_str(" of the topmost")?;
        }
    }
    f.write_str(")")
}

/// The options of a file system, each after the one before.
fn write_options(f: &mut fmt::Formatter<'_>, options: &[(&'static str, String)]) -> fmt::Result {
    for (at, (key, value)) in options.iter().enumerate() {
        f.write_str(if at == 0 { ", " } else { " " })?;
        f.write_str(key)?;
        if !value.is_empty() {
            write!(f, "={}", super::quote::Escaped(value.as_bytes()))?;
        }
    }
    Ok(())
}

/// One bound of a limit.
struct Limit(Bound);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bound) => bound.fmt(f),
            None => f.write_str("RLIM_INFINITY"),
        }
    }
}

/// A path of the jail, quoted.
fn jail(path: &JailPath) -> Quoted<'_> {
    Quoted::of(path.as_path())
}

/// A path of the host, quoted.
fn host(path: &HostPath) -> Quoted<'_> {
    Quoted::of(path.as_path())
}

/// Several values with something between them.
pub(super) fn join<T: fmt::Display>(between: &str, values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn a_step_reads_like_its_man_page() {
        let shown: Vec<String> = sample::all().iter().map(ToString::to_string).collect();
        let native = super::super::system_calls::Architecture::NATIVE.unwrap().name();
        let filter = format!("seccomp(SECCOMP_SET_MODE_FILTER, \"default\", errno, {native})");
        let expected = [
            r#"mkdir("/var/www", 0750, 33:33)"#,
            r#"copy("/usr/sbin/nginx" → same, 0755, root:root, keep capabilities)"#,
            r#"unpack("/srv/debian.tar" → "/usr/bin/daemon", 0755, root:root)"#,
            r#"link("/usr/sbin/nginx", "/usr/sbin/web")"#,
            r#"symlink("usr/lib", "/lib", root:root)"#,
            r#"write("/etc/hosts", 20 bytes, 0644, root:root)"#,
            r#"mknod("/dev/null", S_IFCHR|0666, makedev(1, 3))"#,
            "mkdir(\"stockade-web\" in \"/sys/fs/cgroup/system.slice/web.service\" leaving it for \"supervisor\" handing on +memory +pids memory.max=268435456 memory.swap.max=0)",
            "clone(CLONE_NEWUSER|CLONE_NEWNET), write(uid_map \"0 524288 65536\", gid_map \"0 524288 65536\")",
            "clone(CLONE_NEWNS|CLONE_NEWUSER|CLONE_NEWPID|SIGCHLD)",
            r#"write(cgroup.procs, "0"), unshare(CLONE_NEWCGROUP)"#,
            r#"write("/sys/fs/cgroup/pids/web/cgroup.procs" "0")"#,
            r#"write(setgroups "deny", uid_map "33 1000 1", gid_map "33 1000 1")"#,
            "newuidmap(0 1000 1, 1 100000 65536), newgidmap(0 1000 1, 1 100000 65536)",
            r#"write("/proc/sys/user/max_user_namespaces", "0")"#,
            r#"write("/proc/sys/user/max_inotify_instances", "32")"#,
            "pasta(--no-map-gw)",
            r#"mount("/", private, recursive)"#,
            "setsid()",
            "keyctl(KEYCTL_JOIN_SESSION_KEYRING)",
            r#"write("/proc/self/oom_score_adj", "500")"#,
            "prctl(PR_SET_DUMPABLE, 0)",
            "ioctl(<terminal>, TIOCSCTTY), dup2 onto 0 1",
            "setns(<network>, CLONE_NEWNET)",
            r#"ioctl(SIOCSIFFLAGS, "lo", IFF_UP|IFF_RUNNING)"#,
            r#"sethostname("web")"#,
            r#"open_tree("/srv/www" → "/var/www", rbind, ro nosuid nodev, idmap)"#,
            r#"open_tree("/var/lib/stockade/web/tree" → "/", bind, ro nosuid nodev)"#,
            "fsmount(\"proc\" \u{2192} \"/proc\", rw nosuid nodev noexec, subset=pid)",
            r#"overlay("/srv/work" → "/srv/work", rw nosuid nodev, idmap, size=64M mode=0700)"#,
            r#"open("/srv/input" → descriptor 0, ro nosuid nodev noexec, O_RDONLY)"#,
            "dup2(<pipe>) onto 1 2",
            r#"mkdirat(</>, "tmp", 1777, 524288:524288)"#,
            "mount_setattr(</home/eve>, ro)",
            "bind(<log>, \"/proc/socket\")",
            "setns(<jail>, CLONE_NEWNS|CLONE_NEWPID)",
            "landlock_create_ruleset(16 rights over files, bind_tcp, connect_tcp, scope of abstract_unix_socket signal)",
            r#"landlock_add_rule("/var/www", write_file change)"#,
            r#"pivot_root(".", ".")"#,
            r#"move_mount(<mount>, "/var/www")"#,
            r#"cover("/proc/kcore", "/proc/keys")"#,
            "setrlimit(RLIMIT_NOFILE, 1024, 4096)",
            "umask(0022)",
            "personality(ADDR_NO_RANDOMIZE|UNAME26)",
            "setpriority(PRIO_PROCESS, 0, 5)",
            "prctl(PR_SET_TIMERSLACK, 50000), sched_setscheduler(0, SCHED_OTHER, [0])",
            "sched_setaffinity(0, [2 0])",
            "landlock_restrict_self(<ruleset>)",
            "setns(<user namespace>, CLONE_NEWUSER)",
            "prctl(PR_CAPBSET_DROP, all but NET_BIND_SERVICE)",
            "prctl(PR_SET_SECUREBITS, SECBIT_NOROOT|SECBIT_NOROOT_LOCKED|SECBIT_NO_SETUID_FIXUP_LOCKED|SECBIT_KEEP_CAPS)",
            "setgroups(2, [33, 44])",
            "setresgid(33, 33, 33)",
            "setresuid(33, 33, 33)",
            "capset(effective permitted inheritable = NET_BIND_SERVICE)",
            "prctl(PR_CAP_AMBIENT, clear, raise NET_BIND_SERVICE)",
            "prctl(PR_SET_NO_NEW_PRIVS, 1)",
            "prctl(PR_SET_PDEATHSIG, SIGKILL)",
            "fork()",
            "prctl(PR_SET_PDEATHSIG, SIGKILL)",
            "setpgid(0, 0), tcsetpgrp(0)",
            "close_range(3, ~0)",
            "sigaction(every signal, SIG_DFL), sigprocmask(none)",
            r#"chdir("/var/www")"#,
            "verify(uid 33, gid 33, groups [33 44], capabilities NET_BIND_SERVICE, secure bits 0x1b, no_new_privs)",
            filter.as_str(),
            r#"execve("/usr/sbin/nginx", ["nginx", "-g", "daemon off;\n"], 1 variable)"#,
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_name_from_a_manifest_cannot_move_the_cursor() {
        let action = super::Action::MakeDirectory {
            path: sample::jail("/a\u{1b}[2K\nb"),
            mode: super::super::Mode(0o755),
            owner: super::Owner::default(),
        };
        assert_eq!(action.to_string(), r#"mkdir("/a\u{1b}[2K\nb", 0755, root:root)"#);
    }
}
