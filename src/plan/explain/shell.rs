//! A shell line for each action: what a person would type to see the same happen.

use std::path::Path;

use super::super::control::Setting;
use super::super::display::join;
use super::super::quote::shell as word;
use super::super::step::{
    Action, CapabilitySet, Furniture, IdSpace, Idmap, Listener, MountFlags, OVERLAY, Owner, RootMethod,
    SOCKET, Scheduling, overlay_options,
};
use super::super::{Bound, Extent, JailPath};

/// The line for an action, if the shell has one.
#[allow(clippy::too_many_lines, reason = "one arm an action, in the order of the type")]
pub(super) fn line(action: &Action) -> Option<String> {
    Some(match action {
        Action::MakeDirectory { path, mode, owner } => {
            format!("install --directory --mode={mode} {} {}", owned(*owner), below(path))
        }
        Action::CopyFile { source, path, mode, owner, .. } => {
            let (source, path) = (word(source.as_path()), below(path));
            format!("install -p --mode={mode} {} {source} {path}", owned(*owner))
        }
        Action::UnpackFile { archive, path, .. } => {
            format!(
                "tar -x -p --file={} --directory=\"$tree\" {}",
                word(archive.as_path()),
                word(Path::new(".").join(path.relative()))
            )
        }
        Action::MakeHardLink { existing, path } => format!("ln {} {}", below(existing), below(path)),
        Action::MakeSymlink { text, path, .. } => format!("ln -s -- {} {}", word(text), below(path)),
        Action::WriteFile { path, mode, owner, .. } => {
            format!("install --mode={mode} {} /dev/stdin {} < content", owned(*owner), below(path))
        }
        Action::MakeDevice { path, device } => {
            format!("mknod --mode=0666 {} c {} {}", below(path), device.major, device.minor)
        }
        Action::MakeControlGroups { name, groups } => {
            let made = groups.iter().flat_map(|group| {
                let directory = group.beside(name);
                let make = format!("mkdir {}", word(&directory));
                let write = move |setting: &Setting| {
                    format!("echo {} > {}", word(&setting.value), word(directory.join(setting.file)))
                };
                let devices = group.closed_devices.then(|| {
                    format!("bpftool cgroup attach {} cgroup_device \u{2026}", word(group.beside(name)))
                });
                std::iter::once(make).chain(group.settings.iter().map(write)).chain(devices)
            });
            join("; ", made)
        }
        Action::EnterControlGroups { namespace, .. } => {
            let own = if *namespace { "; unshare --cgroup \u{2026}" } else { "" };
            format!("echo 0 > cgroup.procs{own}")
        }
        Action::MakeUserNamespace { space, map, network, .. } => {
            let (name, network) = (variable(*space), if *network { " --net" } else { "" });
            let maps =
                map.lines().map(|(file, lines)| format!("printf {} > /proc/${name}/{file}", word(lines)));
            format!("unshare --user{network} sleep infinity & {name}=$!; {}", maps.join("; "))
        }
        Action::Clone { namespaces } => {
            format!(
                "unshare {} --fork \u{2026}",
                join(" ", namespaces.flags().map(|(_, name)| format!("--{name}")))
            )
        }
        Action::MapIds { map } => {
            let first = |extents: &[Extent]| extents.first().map_or(0, |extent| extent.inside);
            let (user, group) = (first(&map.users), first(&map.groups));
            format!("unshare --user --map-user={user} --map-group={group} \u{2026}")
        }
        Action::GrantIds { map, programs } => {
            let line = |program: &crate::plan::HostPath, extents: &[Extent]| {
                format!("{} $jail {}", word(program.as_path()), join(" ", extents))
            };
            let [users, groups] = programs;
            format!("{} && {}", line(users, &map.users), line(groups, &map.groups))
        }
        Action::ForbidUserNamespaces => "sysctl --write user.max_user_namespaces=0".into(),
        Action::LimitInotify => {
            format!("sysctl --write user.max_inotify_instances={}", crate::plan::calls::INOTIFY_INSTANCES)
        }
        Action::MakePrivate => "mount --make-rprivate /".into(),
        Action::NewSession => "setsid --wait \u{2026}".into(),
        Action::NewKeyring => "keyctl session - \u{2026}".into(),
        Action::AttachTerminal { .. } => "script --quiet --return --command \u{2026} /dev/null".into(),
        Action::ReopenDescriptor { descriptor, source, flags, .. } => {
            let source = word(source.as_path());
            format!(
                "touch /tmp/again && mount --bind {source} /tmp/again && {} && exec {descriptor}</tmp/again",
                remount(*flags, "/tmp/again")
            )
        }
        Action::RelayOutput { onto, .. } => {
            let descriptors = join(" ", onto.iter().map(|fd| format!("{fd}> >(cat >> file)")));
            format!("\u{2026} {descriptors}")
        }
        Action::JoinControlGroups { directories } => {
            let lines = directories
                .iter()
                .map(|path| format!("echo $$ > {}", word(path.as_path().join("cgroup.procs"))));
            lines.collect::<Vec<_>>().join("; ")
        }
        Action::JoinNamespaces { namespaces, .. } => {
            let options: Vec<_> = namespaces.flags().map(|(_, name)| format!("--{name}")).collect();
            format!("nsenter --target=$jail {} \u{2026}", options.join(" "))
        }
        Action::ConnectNetwork { program, arguments } => {
            let words = std::iter::once(word(program.as_path())).chain(arguments.iter().map(word));
            format!("nsenter --user=/proc/$jail/ns/user {} &", words.collect::<Vec<_>>().join(" "))
        }
        Action::EnterNetwork => "nsenter --net=/proc/$jail/ns/net \u{2026}".into(),
        Action::EnterUserNamespace => "nsenter --user=/proc/$jail/ns/user \u{2026}".into(),
        Action::LoopbackUp => "ip link set lo up".into(),
        Action::Listen { to, target } => {
            let place = below(target);
            let onto = match to {
                Listener::Log => "STDERR",
                Listener::Notify => "UNIX-SENDTO:$NOTIFY_SOCKET",
            };
            format!(
                "socat -u UNIX-RECVFROM:{place}/{SOCKET},mode=666,fork {onto} & mount -o remount,bind,ro {place}"
            )
        }
        Action::SetHostname { name } => format!("hostname {}", word(name)),
        Action::SetOomScore { adjustment } => format!("choom --adjust {adjustment} --pid $$"),
        Action::CloneTree { source, target, flags, recursive, idmap } => {
            let bind = if *recursive { "--rbind" } else { "--bind" };
            let (target, idmap) = (below(target), mapped(*idmap));
            format!("mount {bind}{idmap} {} {target} && {}", word(source.as_path()), remount(*flags, &target))
        }
        Action::CloneRoot { tree, flags, idmap } => {
            let (tree, idmap) = (word(tree.as_path()), mapped(*idmap));
            format!("mount --bind{idmap} {tree} {tree} && {} && tree={tree}", remount(*flags, &tree))
        }
        Action::EnterRoot { method, .. } => match method {
            RootMethod::Pivot => "cd \"$tree\" && pivot_root . . && umount --lazy . && cd /",
            RootMethod::Move => "cd \"$tree\" && mount --move . / && exec chroot . \u{2026}",
            RootMethod::Chroot => "exec chroot \"$tree\" \u{2026}",
        }
        .into(),
        Action::Furnish { path, what, owner, .. } => {
            let path = below(path);
            let made = match what {
                Furniture::Directory { mode } => format!("mkdir -m {mode} {path}"),
                Furniture::Link { text } => format!("ln -s {} {path}", word(text)),
                Furniture::File { mode, .. } => format!("install --mode={mode} /dev/stdin {path} < content"),
            };
            match owner {
                Some(owner) => format!("{made} && chown -h {}:{} {path}", owner.uid, owner.gid),
                None => made,
            }
        }
        Action::Seal { target } => format!("mount -o remount,bind,ro {}", below(target)),
        Action::CreateFileSystem { kind, target, flags, options } => {
            let flags = flags.to_string();
            let options = options.iter().map(|(key, value)| match value.as_str() {
                "" => (*key).to_owned(),
                value => format!("{key}={value}"),
            });
            let options = join(",", [flags].into_iter().chain(options));
            format!("mount -t {kind} -o {} {kind} {}", word(options), below(target))
        }
        Action::CreateOverlay { source, target, flags, idmap, layer, own_ids } => {
            let source = word(source.as_path());
            let layer = join(",", layer.iter().map(|(key, value)| format!("{key}={value}")));
            let options = overlay_options(*own_ids).into_iter().map(|(key, value)| match value {
                "" => key.to_owned(),
                value => format!("{key}={value}"),
            });
            let (target, options) =
                (below(target), join(",", [flags.to_string()].into_iter().chain(options)));
            format!(
                "layer=$(mktemp -d) && mount -t tmpfs -o {layer} tmpfs $layer && cd $layer && mkdir {} && mount --bind{} {source} lower \
                 && mount -t overlay -o {} overlay {target} && cd / && umount --lazy $layer",
                join(" ", OVERLAY),
                mapped(*idmap),
                word(options),
            )
        }
        Action::Cover { with, over } => {
            let (first, rest) = over.split_first()?;
            let (with, over) = with.as_ref().map_or((first, rest), |with| (with, over.as_slice()));
            format!(
                "for path in {}; do mount --bind {} \"$path\"; done",
                join(" ", over.iter().map(below)),
                below(with)
            )
        }
        Action::SetLimit { resource, soft, hard } => {
            let name = resource.trim_start_matches("RLIMIT_").to_ascii_lowercase();
            format!("prlimit --pid $$ --{name}={}:{}", bound(*soft), bound(*hard))
        }
        Action::SetUmask { mask } => format!("umask {mask}"),
        Action::SetPersonality { flags, .. } => {
            let flags = match flags.as_slice() {
                [] => persona("PER_LINUX"),
                flags => join(" ", flags.iter().map(|flag| persona(flag))),
            };
            format!("setarch {flags} \u{2026}")
        }
        Action::SetNice { nice } => format!("renice --priority {nice} --pid $$"),
        Action::ResetScheduling { what } => {
            let commands = what.iter().filter_map(|what| match what {
                // No command sets them.
                Scheduling::TimerSlack | Scheduling::Merging => None,
                Scheduling::Policy => Some("chrt --other --pid 0 $$"),
                Scheduling::Io => Some("ionice --class 0 --pid $$"),
                Scheduling::Memory => Some("numactl --default \u{2026}"),
            });
            let line = join("; ", commands);
            return Some(line).filter(|line| !line.is_empty());
        }
        Action::SetAffinity { processors } => {
            format!("taskset --pid --cpu-list {} $$", join(",", processors))
        }
        Action::DropBounding { keep } => format!("setpriv --bounding-set={} \u{2026}", kept(*keep)),
        Action::LockSecureBits { bits } => {
            let names = bits.names().map(|name| name.trim_start_matches("SECBIT_").to_ascii_lowercase());
            format!("setpriv --securebits={} \u{2026}", join(",", names.map(|name| format!("+{name}"))))
        }
        Action::SetGroups { groups } if groups.is_empty() => "setpriv --clear-groups \u{2026}".into(),
        Action::SetGroups { groups } => format!("setpriv --groups={} \u{2026}", join(",", groups)),
        Action::SetGid { gid } => format!("setpriv --regid={gid} --keep-groups \u{2026}"),
        Action::SetUid { uid } => format!("setpriv --reuid={uid} \u{2026}"),
        Action::SetCapabilities { set } => {
            let names = join(",", set.names().map(|name| format!("cap_{}", name.to_ascii_lowercase())));
            let flags = if names.is_empty() { "" } else { "eip" };
            format!("capsh --caps={names}={flags} -- -c \u{2026}")
        }
        Action::SetAmbient { set } => format!("setpriv --ambient-caps={} \u{2026}", kept(*set)),
        Action::NoNewPrivileges => "setpriv --no-new-privs \u{2026}".into(),
        Action::DieWithParent | Action::DieWithJoiner => "setpriv --pdeathsig=KILL \u{2026}".into(),
        Action::ForkProgram { .. } => {
            "trap 'kill -TERM $program' TERM; \u{2026} & program=$!; wait $program".into()
        }
        Action::ResetSignals => "env --default-signal \u{2026}".into(),
        Action::NewProcessGroup { terminal: None } => "set -m; \u{2026} &".into(),
        Action::NewProcessGroup { terminal: Some(_) } => "set -m; \u{2026}".into(),
        Action::ChangeDirectory { path } => format!("cd {}", word(path.as_path())),
        Action::Verify { .. } => "setpriv --dump".into(),
        Action::CloseDescriptors { passed } => {
            let last = 2 + passed;
            format!("for fd in $(ls /proc/self/fd); do [ \"$fd\" -le {last} ] || eval \"exec $fd>&-\"; done")
        }
        Action::FilterSystemCalls { filter, .. } => {
            format!("setpriv --seccomp-filter={}.bpf \u{2026}", word(&filter.words))
        }
        Action::Execute { path, arguments, environment } => {
            let variables = environment.iter().map(|(name, value)| {
                let mut variable = name.clone();
                variable.push("=");
                variable.push(value);
                word(variable)
            });
            let words = variables.chain([word(path.as_path())]).chain(arguments.iter().skip(1).map(word));
            format!("exec env -i {}", join(" ", words))
        }
        // No command makes a shell undumpable; mount(8) binds and attaches in one; setpriv(1) knows Landlock from util-linux 2.40
        // on, and takes all of it in one.
        Action::SetUndumpable
        | Action::AttachTree { .. }
        | Action::CreateRuleset { .. }
        | Action::AllowAccess { .. }
        | Action::RestrictSelf => return None,
    })
}

/// A path below the tree.
fn below(path: &JailPath) -> String {
    format!("\"$tree\"{}", word(path.as_path()))
}

/// Owner and group for install(1).
fn owned(owner: Owner) -> String {
    format!("--owner={} --group={}", owner.uid, owner.gid)
}

/// The shell variable with the number of the process that holds a user namespace.
const fn variable(space: IdSpace) -> &'static str {
    match space {
        IdSpace::Jail => "jail",
        IdSpace::Shared => "shared",
    }
}

/// The option of mount(8) that translates owners.
fn mapped(idmap: Option<Idmap>) -> String {
    idmap.map_or_else(String::new, |Idmap { space, .. }| {
        format!(" -o X-mount.idmap=/proc/${}/ns/user", variable(space))
    })
}

/// Flags of a bind have to be set in a second call.
fn remount(flags: MountFlags, target: &str) -> String {
    format!("mount -o remount,bind,{flags} {target}")
}

/// One bound for prlimit(1).
fn bound(bound: Bound) -> String {
    bound.map_or("unlimited".into(), |bound| bound.to_string())
}

/// A set for setpriv(1): nothing but these.
fn kept(set: CapabilitySet) -> String {
    join(
        ",",
        ["-all".to_owned()]
            .into_iter()
            .chain(set.names().map(|name| format!("+{}", name.to_ascii_lowercase()))),
    )
}

/// The option of setarch(8) for a flag of personality(2).
fn persona(flag: &str) -> String {
    match flag {
        "PER_LINUX" => "linux64".into(),
        "PER_LINUX32" => "linux32".into(),
        "UNAME26" => "--uname-2.6".into(),
        "ADDR_LIMIT_3GB" => "--3gb".into(),
        // The others are spelled alike.
        flag => format!("--{}", flag.to_ascii_lowercase().replace('_', "-")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn a_line_can_be_typed() {
        let lines: Vec<_> = sample::all().iter().filter_map(line).collect();
        for expected in [
            "install --directory --mode=0750 --owner=33 --group=33 \"$tree\"/var/www",
            "ln -s -- usr/lib \"$tree\"/lib",
            "mknod --mode=0666 \"$tree\"/dev/null c 1 3",
            "unshare --mount --user --pid --fork \u{2026}",
            "unshare --user --net sleep infinity & jail=$!; printf '0 524288 65536' > /proc/$jail/uid_map; \
             printf '0 524288 65536' > /proc/$jail/gid_map",
            "mount --rbind -o X-mount.idmap=/proc/$jail/ns/user /srv/www \"$tree\"/var/www && mount -o remount,bind,ro,nosuid,nodev \"$tree\"/var/www",
            "mount -t proc -o rw,nosuid,nodev,noexec,subset=pid proc \"$tree\"/proc",
            "prlimit --pid $$ --nofile=1024:4096",
            "setarch --addr-no-randomize --uname-2.6 \u{2026}",
            "chrt --other --pid 0 $$",
            "setpriv --bounding-set=-all,+net_bind_service \u{2026}",
            "capsh --caps=cap_net_bind_service=eip -- -c \u{2026}",
            "exec env -i TZ=UTC /usr/sbin/nginx -g $'daemon off;\\012'",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:#?}");
        }
    }

    #[test]
    fn what_no_command_does_has_no_line() {
        let reset = |what: &[Scheduling]| line(&Action::ResetScheduling { what: what.to_vec() });
        assert_eq!(reset(&[Scheduling::TimerSlack]), None);
        let both = "chrt --other --pid 0 $$; ionice --class 0 --pid $$";
        assert_eq!(reset(&[Scheduling::Policy, Scheduling::TimerSlack, Scheduling::Io]).unwrap(), both);
    }
}
