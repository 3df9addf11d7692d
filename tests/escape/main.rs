//! Ways out of a jail, one named test each: what is known to have let a jailed program reach its host, from CVEs and from the
//! manuals, tried from inside with default settings as root and as a dropped user, and held to be contained.
//!
//! Each is first tried under a plain chroot(2), where it must succeed: a test that cannot fail proves nothing. So that it may,
//! there is a small host for each attempt (`host.c`), in namespaces of its own: a tmpfs as root, a process, services, keys and
//! secrets to be found, and a caller who is careless in every way. Whatever gets out gets there and no further; calls that would
//! act on the whole machine are made with arguments that the kernel refuses only after it has looked who is asking.
//!
//! The attempts are C (`*.c`, a table at the end of each), as most of them are calls that no library has.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are outside the functions clippy takes for tests"
)]

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, OnceLock};

use common::{Need, compile_static, needs};

/// One source after the other, each with its own line numbers in the compiler's messages.
macro_rules! sources {
    ($($file:literal)*) => { concat!($("#line 1 \"", $file, "\"\n", include_str!($file)),*) };
}

/// The host, the ways out, and who tries them: one program.
const SOURCE: &str = sources!(
    "way.h" "tree.c" "inherited.c" "process.c" "mount.c" "planted.c" "identity.c" "proc.c" "kernel.c" "resources.c" "ipc.c"
    "host.c" "main.c"
);

/// What every secret of the host is called, see `way.h`.
const SECRET: &str = "secret-of-the-caller";

/// A jail whose manifest has nothing that is not needed, and how it is started.
struct Jail {
    /// As the summary has it.
    title: &'static str,
    /// The manifest's name.
    manifest: &'static str,
    /// `root` or an ordinary user.
    caller: &'static str,
    /// What it shows on purpose: flags of a way out, see `list` in `main.c`.
    by_design: &'static [&'static str],
}

/// Root inside and a dropped user, by every kind of caller.
const JAILS: [Jail; 7] = [
    Jail { title: "root inside, started by root", manifest: "root", caller: "root", by_design: &[] },
    Jail { title: "nobody inside, started by root", manifest: "nobody", caller: "root", by_design: &[] },
    Jail {
        title: "root inside, started by root, with the host's network",
        manifest: "network",
        caller: "root",
        by_design: &["network", "root"],
    },
    Jail {
        title: "root inside, started by a user",
        manifest: "root",
        caller: "user",
        by_design: &["groups"],
    },
    Jail {
        title: "nobody inside, started by a user",
        manifest: "nobody",
        caller: "user",
        by_design: &["groups"],
    },
    Jail { title: "`once` with no option, by root", manifest: ONCE, caller: "root", by_design: &["tmp"] },
    Jail {
        title: "`once` with no option, by a user",
        manifest: ONCE,
        caller: "user",
        by_design: &["groups", "tmp"],
    },
];

/// In the place of a manifest: what options make, of which there are none.
const ONCE: &str = "once";

/// The manifests: a place to write to, and default settings.
const MANIFESTS: [(&str, &str); 3] = [
    ("root", "program.user = \"root\""),
    ("nobody", ""),
    ("network", "program.user = \"root\"\nnamespaces.network = \"host\""),
];

/// Whether namespaces can be made to be escaped from; said once if not.
static CAN_RUN: LazyLock<bool> = LazyLock::new(|| needs(Need::Root));

/// How one attempt went.
#[derive(Clone, Debug)]
enum Verdict {
    Contained(String),
    Escaped(String),
    /// This kernel has nothing of the kind.
    Absent(String),
}

/// The host's directory, with the program compiled and every tree built.
struct Host {
    directory: PathBuf,
    /// From the name of a way out to the flags of jails that show it on purpose.
    ways: BTreeMap<String, String>,
}

static HOST: LazyLock<Host> = LazyLock::new(|| {
    // It outlives the tests, which end one by one: the next run begins by removing it. Two at once take turns: the lock lasts as long
    // as this process.
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(place.join(format!("{SECRET}.lock"))).unwrap();
    lock.lock().unwrap();
    std::mem::forget(lock);
    let directory = place.join(SECRET);
    let _ = std::fs::remove_dir_all(&directory);
    for name in ["host", "state-root", "state-user"] {
        std::fs::create_dir_all(directory.join(name)).unwrap();
    }
    std::os::unix::fs::chown(directory.join("state-user"), Some(1000), Some(1000)).unwrap();
    compile_static(&directory.join("escape"), SOURCE);
    for (name, more) in MANIFESTS {
        let manifest = format!(
            "name = \"{name}\"\n\
             program.command = [\"/escape\", \"inside\"]\n\
             tree.files = [{{ path = \"/secret-place/escape\", target = \"/escape\" }}]\n\
             mounts = [\n\
                 {{ source = \"/secret-shared\", target = \"/shared\", read_only = false }},\n\
                 {{ type = \"tmpfs\", target = \"/tmp\" }},\n\
             ]\n\
             {more}\n"
        );
        std::fs::write(directory.join(format!("{name}-{SECRET}.toml")), manifest).unwrap();
    }
    let list = Command::new(directory.join("escape")).arg("list").output().unwrap();
    let ways = String::from_utf8(list.stdout).unwrap();
    let ways = ways.lines().map(|line| {
        let fields: Vec<_> = line.split('\t').collect();
        (format!("{}::{}", fields[1], fields[0]), fields[3].to_owned())
    });
    let host = Host { directory, ways: ways.collect() };
    for jail in JAILS.iter().filter(|jail| jail.manifest != ONCE) {
        let built = host.command(jail.manifest, jail.caller, "build").output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }
    host
});

impl Host {
    /// The host with one attempt in it.
    fn command(&self, manifest: &str, caller: &str, name: &str) -> Command {
        let mut command = Command::new(self.directory.join("escape"));
        command.arg("host").arg(&self.directory).arg(common::binary()).args([manifest, caller, name]);
        command.env(SECRET, SECRET).env("NO_COLOR", "1");
        command
    }

    /// Tries one way out.
    fn attempt(&self, manifest: &str, caller: &str, way: &str) -> Verdict {
        let name = way.split("::").last().unwrap();
        let output = self.command(manifest, caller, name).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match said.split_once(": ") {
            Some(("contained", how)) => Verdict::Contained(how.to_owned()),
            Some(("ESCAPED", how)) => Verdict::Escaped(how.to_owned()),
            Some(("n.a.", how)) => Verdict::Absent(how.to_owned()),
            _ => panic!("`{way}` was not tried: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

/// How a way out fared: under a plain chroot, and in each of [`JAILS`]; `None` where that jail shows it on purpose.
struct Outcome {
    plain: Verdict,
    jails: Vec<Option<Verdict>>,
}

/// Each tried once, whoever asks first.
static OUTCOMES: LazyLock<BTreeMap<&str, OnceLock<Outcome>>> =
    LazyLock::new(|| WAYS.iter().map(|way| (*way, OnceLock::new())).collect());

/// What came of one.
fn outcome(way: &'static str) -> &'static Outcome {
    OUTCOMES[way].get_or_init(|| {
        let shown = &HOST.ways[way];
        let plain = HOST.attempt("chroot", "root", way);
        let jails = JAILS.iter().map(|jail| {
            let by_design = jail.by_design.iter().any(|flag| shown.contains(flag));
            (!by_design).then(|| HOST.attempt(jail.manifest, jail.caller, way))
        });
        let jails = if matches!(plain, Verdict::Absent(_)) { Vec::new() } else { jails.collect() };
        Outcome { plain, jails }
    })
}

/// Past the test harness, which shows the output of failed tests only.
fn say(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}

/// One test: the way leads out of a plain chroot, and out of no jail.
#[track_caller]
fn is_contained(way: &'static str) {
    if !*CAN_RUN {
        return;
    }
    let outcome = outcome(way);
    match &outcome.plain {
        Verdict::Escaped(_) => {}
        Verdict::Contained(how) => {
            panic!("it does not lead out of a plain chroot either, which proves nothing: {how}")
        }
        Verdict::Absent(why) => return say(&format!("n.a.: {way}: {why}\n")),
    }
    let escapes = outcome.escapes();
    assert!(escapes.is_empty(), "{}", escapes.join("\n"));
}

impl Outcome {
    /// The jails it leads out of, and how.
    fn escapes(&self) -> Vec<String> {
        JAILS
            .iter()
            .zip(&self.jails)
            .filter_map(|(jail, verdict)| match verdict {
                Some(Verdict::Escaped(how) | Verdict::Absent(how)) => Some(format!("{}: {how}", jail.title)),
                _ => None,
            })
            .collect()
    }
}

/// A test for each name, in a module for each class.
macro_rules! ways_out {
    ($($class:ident { $($way:ident)* })*) => {
        $(mod $class {
            $(#[test]
            fn $way() {
                super::is_contained(concat!(stringify!($class), "::", stringify!($way)));
            })*
        })*

        /// All of them.
        const WAYS: &[&str] = &[$($(concat!(stringify!($class), "::", stringify!($way)),)*)*];
    };
}

ways_out! {
    tree {
        chroot_fchdir chroot_without_chdir chroot_passed_descriptor chroot_moved_directory
        chroot_to_root_of_pid_1 root_of_pid_1 working_directory_of_pid_1 working_directory_kept
        file_handle_opened file_handle_made device_made device_made_in_shared_directory device_shown
        tree_file_made tree_passwd_written program_replaced
    }
    inherited {
        leaked_directory leaked_directory_by_path leaked_file leaked_socket leaked_pidfd
        leaked_namespace leaked_terminal_master leaked_above_the_limit leaked_anything
        directory_as_stdin closed_stdin closed_stdout closed_stderr stdin_reopened_for_writing
        log_reopened_for_reading command_written_to_stdin output_of_others_read log_truncated log_rewritten umask_inherited signals_ignored
        signals_blocked personality_inherited timer_slack_inherited nice_inherited oom_score_inherited
        environment_secret environment_loader environment_gconv environment_shell session_keyring
        user_keyring typed_at_stdin typed_past_a_64_bit_compare typed_at_controlling_terminal
        console_pasted terminal_discipline_set terminal_settings terminal_kept terminal_stolen
    }
    process {
        pid_1_binary pid_1_environment pid_1_arguments pid_1_memory pid_1_mappings
        pid_1_auxiliary_vector pid_1_descriptors pid_1_directory_by_path pid_1_traced
        pid_1_memory_by_call pid_1_descriptor_taken processes_visible process_killed process_reniced
        process_io_priority process_limited process_traced process_memory process_descriptor_taken
        all_processes_killed process_group_killed daemon_outlives_the_jail
        daemon_outlives_the_supervisor
    }
    mount {
        unshare_user unshare_mount unshare_pid unshare_network unshare_ipc unshare_uts unshare_cgroup
        unshare_time clone_user clone_mount clone3_user clone3_mount own_mount_namespace_joined
        mount_namespace_of_pid_1_joined network_namespace_of_pid_1_joined namespaces_of_pidfd_joined
        mount_tmpfs mount_proc mount_sysfs mount_devpts mount_devtmpfs mount_debugfs mount_overlay
        mount_cgroup mount_bind mount_moved_over_root mount_propagated remount_root remount_proc
        umount_cover umount_proc umount_root pivot_root fsopen fspick fsmount open_tree move_mount
        mount_setattr listmount statmount open_tree_attr mounts_of_the_host_listed
    }
    planted {
        setuid_by_chmod setuid_by_fchmod setuid_by_fchmodat setuid_by_fchmodat2 setuid_by_open
        setuid_by_openat setuid_by_openat2 setuid_by_creat setuid_by_mknod setuid_by_mknodat
        setuid_by_nameless_file setuid_by_32_bit_call setuid_by_link setgid_by_chmod setgid_directory
        file_capabilities_given file_capabilities_given_at file_given_away file_of_root
    }
    identity {
        effective_capabilities permitted_capabilities inheritable_capabilities bounding_capabilities
        ambient_capabilities capabilities_set capabilities_by_execve capabilities_by_file setuid_program
        setgid_program supplementary_groups groups_taken user_changed group_changed
        file_system_user_changed no_new_privileges secure_bits identity_map file_of_root_written
    }
    proc {
        write_core_pattern write_modprobe write_poweroff_cmd write_hostname write_panic write_overcommit
        write_protected_links write_ip_forward write_randomization write_sysrq_trigger
        write_irq_affinity write_mtrr write_acpi write_score_of_pid_1 write_uevent_helper
        write_power_state write_device_uevent read_kcore read_kmsg read_keys read_key_users
        read_timer_list read_interrupts read_config read_diskstats read_partitions
        read_slabinfo read_vmallocinfo read_pagetypeinfo read_page_flags read_page_counts
        read_command_line_of_the_kernel read_locks read_symbols read_io_memory read_io_ports read_scsi
        read_acpi read_bus read_sys_file_systems read_sysfs read_kernel_notes read_firmware read_cgroups
        cgroup_path_shown
    }
    kernel {
        add_key request_key keyctl perf_event_open userfaultfd io_uring_setup bpf ptrace_child
        ptrace_by_parent process_vm_readv process_vm_writev pidfd_getfd process_madvise process_mrelease
        personality modify_ldt kcmp mbind set_mempolicy move_pages migrate_pages quotactl quotactl_fd
        lease_taken file_flags_set project_changed project_changed_by_path
        memfd_secret fanotify_init syslog acct swapon swapoff reboot kexec_load kexec_file_load
        finit_module init_module delete_module sethostname setdomainname adjtimex clock_adjtime
        settimeofday iopl ioperm vhangup sysfs_call io_priority_realtime nice_raised int_80_getpid
        int_80_keyctl x32_call socket_vsock socket_packet socket_netlink_generic
        socket_netlink_netfilter socket_netlink_xfrm socket_netlink_audit socket_netlink_sock_diag
        socket_netlink_uevent socket_alg socket_key socket_xdp socket_raw socket_raw_6
        file_of_tmp_executed file_of_tmp_mapped memory_file_executed memory_file_executed_by_path
    }
    resource {
        fork_bomb tmp_bytes tmp_inodes shm_bytes memory_locked core_dumped crash_piped_to_the_host inotify_taken
    }
    ipc {
        abstract_socket abstract_datagram_socket abstract_sockets_listed loopback_service
        host_address_bound network_sockets_listed network_interface_changed privileged_port_bound
        shared_memory message_queue semaphore posix_message_queue
    }
}

#[test]
fn every_way_of_the_program_has_its_test() {
    if !*CAN_RUN {
        return;
    }
    let mut tested = WAYS.to_vec();
    tested.sort_unstable();
    assert_eq!(HOST.ways.keys().map(String::as_str).collect::<Vec<_>>(), tested);
}

#[test]
fn at_least_a_hundred_ways_out_are_contained() {
    if !*CAN_RUN {
        return;
    }
    let outcomes: Vec<_> = WAYS.iter().map(|way| outcome(way)).collect();
    let escapes = outcomes.iter().filter(|outcome| matches!(outcome.plain, Verdict::Escaped(_))).count();
    let mut summary = format!("ways out: {}; they lead out of a plain chroot: {escapes}\n", WAYS.len());
    for (at, jail) in JAILS.iter().enumerate() {
        let there = outcomes.iter().filter_map(|outcome| outcome.jails.get(at));
        let count =
            |wanted: fn(&Option<Verdict>) -> bool| there.clone().filter(|verdict| wanted(verdict)).count();
        let contained = count(|verdict| matches!(verdict, Some(Verdict::Contained(_))));
        let shown = count(Option::is_none);
        let _ = writeln!(summary, "    {}: contained {contained}, shown on purpose {shown}", jail.title);
        assert!(contained >= 100, "{summary}");
    }
    say(&summary);
}
