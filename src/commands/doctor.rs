//! `doctor`: what this kernel and this user can do for jails, and the cure, in one line, for what they cannot. Everything is tried,
//! not guessed from versions, but for the reason of a failure, which the host's settings tell.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::cli::Doctor;
use crate::error::{self, exit};
use crate::manifest::resolve::{control_groups, ids, network};
use crate::plan::calls;
use crate::report::doctor::{self as report, Check, State};
use crate::report::printed;
use crate::sys::host::Host;
use crate::sys::{creds, describe, probe};
use crate::tree::{self, Store};

/// Looks at everything, prints it; exit code 1 if a jail of defaults cannot run here.
pub(super) fn doctor(options: &Doctor) -> u8 {
    let checks = checks();
    let text = if options.json { printed::json(&report::json(&checks)) } else { report::text(&checks, 100) };
    let printed = error::print(&text);
    if checks.iter().any(Check::prevents) { exit::FINDING } else { printed }
}

/// All checks, in the order in which a jail needs what they look at.
fn checks() -> Vec<Check> {
    let host = Host::current(Path::new("/"));
    // Root of a container, without the capabilities of root, is a user.
    let root = host.is_root();
    let user = if root { 0 } else { libc::CLONE_NEWUSER };
    vec![
        kernel().required(),
        user_namespaces(root),
        further_user_namespaces().required(),
        namespaces(user).required(),
        mounts(user).required(),
        new_proc(user).required(),
        keyrings(),
        landlock(&host).required(),
        seccomp().required(),
        resource_groups(&host),
        subordinate_ids(root),
        pasta(),
        overlays(),
        state_directory(nix::unistd::geteuid().is_root()).required(),
        devices(root),
    ]
}

/// A file of /proc or /sys as trimmed text; empty if it is not there.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The newest call that a start cannot do without is mount_setattr(2).
fn kernel() -> Check {
    const NAME: &str = "kernel";
    let release = read("/proc/sys/kernel/osrelease");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let detail = format!("Linux {release}");
    if version >= (5, 12) {
        Check::ok(NAME, detail)
    } else {
        Check::lacking(NAME, State::Missing, detail, "use Linux 5.12 or newer")
    }
}

/// Whether this user may make a user namespace and be root in it.
fn user_namespaces(root: bool) -> Check {
    const NAME: &str = "user namespace";
    // AppArmor lets the namespace be made and takes its capabilities away: the mount shows it.
    let tried = probe::namespaces(libc::CLONE_NEWUSER).and_then(|()| probe::mounts(libc::CLONE_NEWUSER));
    let check = match tried {
        Ok(()) => Check::ok(NAME, if root { "can be made" } else { "can be made without root" }),
        Err(errno) => Check::lacking(NAME, State::Missing, describe(errno), why_no_user_namespace(errno)),
    };
    if root { check } else { check.required() }
}

/// Whether a jail can be forbidden to make user namespaces itself.
fn further_user_namespaces() -> Check {
    const NAME: &str = "further namespaces";
    let read_only =
        statvfs(calls::MAX_USER_NAMESPACES).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY));
    if read_only {
        let cure = format!(
            "{}; or write `best_effort = [\"user_namespace\"]` under `[privileges]` (`once --best-effort user_namespace`)",
            container("systempaths=unconfined")
        );
        Check::lacking(NAME, State::Missing, "/proc/sys is read-only, as in a container", cure)
    } else {
        Check::ok(NAME, "a jail can be forbidden to make more")
    }
}

/// The setting that forbids user namespaces, and how to change it.
fn why_no_user_namespace(errno: Errno) -> String {
    let max = read("/proc/sys/user/max_user_namespaces");
    if max == "0" || errno == Errno::ENOSPC {
        return "sysctl -w user.max_user_namespaces=15000".into();
    }
    if read("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        return "sysctl -w kernel.unprivileged_userns_clone=1".into();
    }
    if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        return "give this binary an AppArmor profile with `userns,`, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
            .into();
    }
    match errno {
        Errno::EINVAL => "use a kernel built with CONFIG_USER_NS".into(),
        _ if is_filtered() => container("seccomp=unconfined"),
        _ => "leave the chroot or container that this runs in, or run as root".into(),
    }
}

/// What to say where a container engine's own confinement is in the way.
fn container(option: &str) -> String {
    format!("start the container with `--security-opt {option}`")
}

/// Whether an outer system call filter holds this process.
fn is_filtered() -> bool {
    read("/proc/self/status")
        .lines()
        .any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() != "0"))
}

/// The other namespaces, each by itself.
fn namespaces(user: libc::c_int) -> Check {
    const NAME: &str = "namespaces";
    const ALL: [(&str, libc::c_int); 6] = [
        ("mount", libc::CLONE_NEWNS),
        ("pid", libc::CLONE_NEWPID),
        ("ipc", libc::CLONE_NEWIPC),
        ("uts", libc::CLONE_NEWUTS),
        ("cgroup", libc::CLONE_NEWCGROUP),
        ("network", libc::CLONE_NEWNET),
    ];
    let failed: Vec<(&str, Errno)> = ALL
        .into_iter()
        .filter_map(|(name, flag)| Some((name, probe::namespaces(user | flag).err()?)))
        .collect();
    match failed.first() {
        None => Check::ok(NAME, ALL.map(|(name, _)| name).join(" ")),
        Some((_, errno)) => {
            let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
            let cure = match errno {
                Errno::ENOSPC => "raise the limits in /proc/sys/user (namespaces(7))".into(),
                Errno::EINVAL => "use a kernel built with them (CONFIG_NAMESPACES)".into(),
                _ if user != 0 => "see `user namespace`".into(),
                _ if is_filtered() => container("seccomp=unconfined"),
                _ => "run with CAP_SYS_ADMIN: as real root, in a container with `--cap-add SYS_ADMIN`"
                    .to_owned(),
            };
            Check::lacking(NAME, State::Missing, format!("{}: {}", names.join(" "), describe(*errno)), cure)
        }
    }
}

/// Detached mounts, as setting up a root needs them.
fn mounts(user: libc::c_int) -> Check {
    const NAME: &str = "mounts";
    match probe::mounts(user) {
        Ok(()) => Check::ok(NAME, "open_tree, mount_setattr and move_mount work in a new mount namespace"),
        Err(errno) => {
            let cure = match errno {
                Errno::ENOSYS if !is_filtered() => "use Linux 5.12 or newer".into(),
                _ if is_filtered() => container("seccomp=unconfined"),
                _ if user != 0 => "see `user namespace`".into(),
                _ => "run with CAP_SYS_ADMIN, outside of a confining AppArmor profile".to_owned(),
            };
            Check::lacking(NAME, State::Missing, describe(errno), cure)
        }
    }
}

/// A /proc of a jail's own: refused in a user namespace where the visible /proc is covered in part, as in a container.
fn new_proc(user: libc::c_int) -> Check {
    const NAME: &str = "new /proc";
    match probe::file_system(user, c"proc") {
        Ok(()) => Check::ok(NAME, "can be mounted"),
        Err(errno) => {
            let cure = if user != 0 && errno == Errno::EPERM {
                format!(
                    "{}; or write `proc = \"none\"` under `[root]` (`once --no-proc`)",
                    container("systempaths=unconfined")
                )
            } else {
                "run with CAP_SYS_ADMIN, or write `proc = \"none\"` under `[root]`".into()
            };
            Check::lacking(NAME, State::Missing, describe(errno), cure)
        }
    }
}

/// keyctl(2).
fn keyrings() -> Check {
    const NAME: &str = "session keyring";
    if creds::has_keyrings() {
        Check::ok(NAME, "a jail gets a new one")
    } else {
        Check::ok(NAME, "keyctl cannot be used here, so no key can be reached by it")
    }
}

/// Landlock, and what its version lacks.
fn landlock(host: &Host) -> Check {
    const NAME: &str = "Landlock";
    match host.landlock {
        Ok(version) => Check::ok(NAME, format!("version {version}")),
        Err(errno) => {
            let cure = match errno {
                Errno::EOPNOTSUPP => "boot with `landlock` in the kernel's `lsm=` list".into(),
                _ if is_filtered() => container("seccomp=unconfined"),
                _ => "use Linux 5.13 or newer, built with CONFIG_SECURITY_LANDLOCK; or write `best_effort = [\"landlock\"]` under `[privileges]`"
                    .to_owned(),
            };
            Check::lacking(NAME, State::Missing, describe(errno), cure)
        }
    }
}

/// System call filters, and whether there is one around us already.
fn seccomp() -> Check {
    const NAME: &str = "seccomp";
    let actions = read("/proc/sys/kernel/seccomp/actions_avail");
    if actions.split(' ').any(|action| action == "errno") {
        let outer = if is_filtered() { "; an outer filter holds already" } else { "" };
        Check::ok(NAME, format!("filters can be installed{outer}"))
    } else {
        Check::lacking(
            NAME,
            State::Missing,
            "/proc/sys/kernel/seccomp is not there",
            "use a kernel built with CONFIG_SECCOMP_FILTER",
        )
    }
}

/// Control groups: which controllers this user may use where this process is.
fn resource_groups(host: &Host) -> Check {
    const NAME: &str = "cgroups";
    const WANTED: [&str; 3] = ["memory", "pids", "cpu"];
    let found =
        WANTED.map(|name| control_groups::available(host, name).map(|version| (version.number(), name)));
    let there: Vec<String> =
        found.iter().flatten().map(|(version, name)| format!("{name} (v{version})")).collect();
    let there = there.join(", ");
    match found.into_iter().find_map(Result::err) {
        None => Check::ok(NAME, there),
        Some(missing) if there.is_empty() => {
            Check::lacking(NAME, State::Degraded, missing.what, missing.cure)
        }
        Some(missing) => {
            Check::lacking(NAME, State::Degraded, format!("{there}; {}", missing.what), missing.cure)
        }
    }
}

/// Ranges of ids that this user may map, see subuid(5).
fn subordinate_ids(root: bool) -> Check {
    const NAME: &str = "subordinate ids";
    if root {
        return Check::ok(NAME, "not needed: root may map any");
    }
    let uid = nix::unistd::geteuid().as_raw().to_string();
    let passwd = read("/etc/passwd");
    let name = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()))
        .and_then(|fields| fields.first().map(|name| (*name).to_owned()))
        .unwrap_or_else(|| uid.clone());
    let granted = |path: &str| {
        read(path).lines().any(|line| line.split(':').next().is_some_and(|who| who == name || who == uid))
    };
    let missing = ids::MAPPERS.into_iter().find(|path| !Path::new(path).is_file());
    if let Some(missing) = missing {
        let cure = "install the package `uidmap` (Debian, Ubuntu) or `shadow-utils`";
        let detail = format!("there is no {missing}: one id inside, the caller's own outside");
        Check::lacking(NAME, State::Degraded, detail, cure)
    } else if granted("/etc/subuid") && granted("/etc/subgid") {
        Check::ok(NAME, format!("granted to `{name}`"))
    } else {
        Check::lacking(
            NAME,
            State::Degraded,
            "none: one id inside, the caller's own outside",
            format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"),
        )
    }
}

/// What connects a jail's own network, and the device that it does so by.
fn pasta() -> Check {
    const NAME: &str = "pasta";
    let found = network::PLACES.into_iter().find(|path| Path::new(path).is_file());
    let lacking = |detail: String, cure: &str| Check::lacking(NAME, State::Degraded, detail, cure);
    let Some(path) = found else {
        return lacking(
            "not installed: a jail has the host's network or none".into(),
            "install the package `passt` (Debian 12, Ubuntu 23.04, Fedora 36 and newer)",
        );
    };
    match fs::File::options().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Check::ok(NAME, format!("{path} connects a jail's own network")),
        Err(error) => lacking(format!("/dev/net/tun: {error}"), "modprobe tun; chmod 0666 /dev/net/tun"),
    }
}

/// What overlays over the host's directories can do in a user namespace.
fn overlays() -> Check {
    const NAME: &str = "overlays";
    match probe::keeps_user_attributes() {
        Ok(()) => Check::ok(NAME, "anything can be changed in one"),
        Err(_) => Check::lacking(
            NAME,
            State::Degraded,
            "no directory of the host's can be removed or replaced in one",
            "use Linux 6.6 or newer",
        ),
    }
}

/// Where trees are kept.
fn state_directory(root: bool) -> Check {
    const NAME: &str = "state directory";
    let Some(path) = Store::default_path(root, |name| std::env::var_os(name)) else {
        let cure = "set STOCKADE_STATE_DIR to a directory of your own";
        return Check::lacking(NAME, State::Missing, "neither HOME nor XDG_STATE_HOME is set", cure);
    };
    let shown = path.display();
    if !path.exists() {
        return Check::ok(NAME, format!("{shown} will be made by the first build"));
    }
    match Store::open(&path) {
        Ok(_) => Check::ok(NAME, shown.to_string()),
        Err(error) => {
            let cure =
                error.hint().unwrap_or_else(|| "set STOCKADE_STATE_DIR to a directory of your own".into());
            Check::lacking(NAME, State::Missing, tree::Error::to_string(&error), cure)
        }
    }
}

/// How a jail gets its devices.
fn devices(root: bool) -> Check {
    const NAME: &str = "device nodes";
    let state = Store::default_path(root, |name| std::env::var_os(name)).unwrap_or_default();
    if Host::current(&state).device_nodes {
        Check::ok(NAME, "made in the tree")
    } else {
        Check::ok(
            NAME,
            "bound from the host at each start: mknod is not to be had, or the state directory is mounted nodev",
        )
    }
}
