// New namespaces, which give every capability back, and mounts.

static Verdict unshared(const char *flag) {
    // A process in a chroot may not make a user namespace, see user_namespaces(7).
    if (plain) leave_chroot();
    return door("unshare", unshare(strtol(flag, NULL, 16)));
}

static Verdict cloned(const char *flag) {
    if (plain) leave_chroot();
    pid_t pid = syscall(SYS_clone, strtol(flag, NULL, 16) | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    return door("clone", pid);
}

// The flags are in memory, where a filter does not see them.
static Verdict cloned_by_clone3(const char *flag) {
    uint64_t arguments[11] = {strtol(flag, NULL, 16), 0, 0, 0, SIGCHLD};
    if (plain) leave_chroot();
    pid_t pid = syscall(SYS_clone3, arguments, sizeof arguments);
    if (pid == 0) _exit(0);
    return door("clone3", pid);
}

static Verdict joined(const char *path) {
    int namespace = open(path, O_RDONLY);
    if (namespace < 0) return contained("%s: %s", path, why());
    if (setns(namespace, 0) < 0) return contained("setns: %s", why());
    return strstr(path, "mnt") && !is_host(AT_FDCWD) ? contained("joined, and no host there") : escaped("joined %s", path);
}

static Verdict joined_by_pidfd(NOTHING) {
    int process = syscall(SYS_pidfd_open, 1, 0);
    if (process < 0) return contained("pidfd_open: %s", why());
    return door("setns", setns(process, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS));
}

static Verdict mounted(const char *kind) {
    return door(kind, mount("none", scratch(), kind, MS_RDONLY, NULL));
}

// Some cgroup hierarchy of the first version, as the kernel lists them. Only opened: what is written there acts on the host.
static Verdict cgroup_mounted(NOTHING) {
    char line[300], name[200] = "";
    FILE *list = fopen("/proc/self/cgroup", "re");
    while (list && fgets(line, sizeof line, list))
        if (sscanf(line, "%*d:%199[^:]:", name) == 1) break;
    if (mount("none", scratch(), *name ? "cgroup" : "cgroup2", 0, *name ? name : NULL) < 0) return door("mount", -1);
    return open("/tmp/scratch/cgroup.procs", O_WRONLY) >= 0 ? escaped("writable, hierarchy `%s`", name) : escaped("mounted");
}

DOOR(bound, mount("/", scratch(), NULL, MS_BIND | MS_REC, NULL))
DOOR(moved_over_root, mount(scratch(), "/", NULL, MS_MOVE, NULL))
DOOR(root_remounted, mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL))
DOOR(proc_remounted, mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND, NULL))
DOOR(root_shared, mount(NULL, "/tmp", NULL, MS_SHARED | MS_REC, NULL))
DOOR(cover_removed, umount2("/proc/keys", MNT_DETACH))
DOOR(root_unmounted, umount2("/", MNT_DETACH))
DOOR(proc_unmounted, umount2("/proc", MNT_DETACH))
DOOR(pivoted, syscall(SYS_pivot_root, scratch(), scratch()))
DOOR(opened_file_system, syscall(SYS_fsopen, "tmpfs", 0))
DOOR(picked_file_system, syscall(SYS_fspick, AT_FDCWD, "/tmp", 0))
DOOR(tree_cloned, syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */))
DOOR(tree_cloned_with_attributes, syscall(467, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */, NULL, 0))
DOOR(tree_moved, syscall(SYS_move_mount, AT_FDCWD, "/tmp", AT_FDCWD, "/tmp", 0))
DOOR(file_system_mounted, syscall(SYS_fsmount, -1, 0, 0))

static Verdict attributes_set(NOTHING) {
    uint64_t attributes[4] = {0, 1 /* MOUNT_ATTR_RDONLY: to be cleared */};
    return door("mount_setattr", syscall(SYS_mount_setattr, AT_FDCWD, "/tmp", 0, attributes, sizeof attributes));
}

static Verdict mounts_listed(NOTHING) {
    uint64_t request[4] = {24, UINT64_MAX /* LSMT_ROOT */}, found[64];
    return door("listmount", syscall(458, request, found, 64, 0));
}

static Verdict mount_asked(NOTHING) {
    uint64_t request[4] = {24, UINT64_MAX, 2 /* STATMOUNT_MNT_BASIC */}, found[64];
    return door("statmount", syscall(457, request, found, sizeof found, 0));
}

static Verdict mounts_shown(NOTHING) {
    // mountinfo lists what is below the reader's root.
    leave_chroot();
    return contains("/proc/self/mountinfo", "/mount-" CANARY) ? escaped("the host's mounts are listed") : contained("not there");
}

static Verdict nothing_mounted(void) {
    return contains("/proc/self/mountinfo", "scratch") ? escaped("a mount reached the host") : CONTAINED;
}

static const struct way mount_ways[] = {
    {"unshare_user", "CVE-2022-0185", unshared, "10000000"},
    {"unshare_mount", "CVE-2022-0492", unshared, "20000"},
    {"unshare_pid", "pid_namespaces(7)", unshared, "20000000"},
    {"unshare_network", "CVE-2020-14386", unshared, "40000000"},
    {"unshare_ipc", "ipc_namespaces(7)", unshared, "8000000"},
    {"unshare_uts", "uts_namespaces(7)", unshared, "4000000"},
    {"unshare_cgroup", "CVE-2022-0492", unshared, "2000000"},
    {"unshare_time", "time_namespaces(7)", unshared, "80"},
    {"clone_user", "bwrap --disable-userns", cloned, "10000000"},
    {"clone_mount", "mount_namespaces(7)", cloned, "20000"},
    {"clone3_user", "CVE-2021-41133", cloned_by_clone3, "10000000"},
    {"clone3_mount", "CVE-2021-41133", cloned_by_clone3, "20000"},
    {"own_mount_namespace_joined", "jchroot #1", joined, "/proc/self/ns/mnt"},
    {"mount_namespace_of_pid_1_joined", "setns(2)", joined, "/proc/1/ns/mnt"},
    {"network_namespace_of_pid_1_joined", "CVE-2017-5985", joined, "/proc/1/ns/net"},
    {"namespaces_of_pidfd_joined", "setns(2), since Linux 5.8", joined_by_pidfd},
    {"mount_tmpfs", "CVE-2021-41133", mounted, "tmpfs", nothing_mounted},
    {"mount_proc", "CVE-2025-52881", mounted, "proc", nothing_mounted},
    {"mount_sysfs", "bwrap: sysfs in a user namespace", mounted, "sysfs", nothing_mounted},
    {"mount_devpts", "CVE-2025-52565", mounted, "devpts", nothing_mounted},
    {"mount_devtmpfs", "devices of the host", mounted, "devtmpfs", nothing_mounted},
    {"mount_debugfs", "Documentation/filesystems/debugfs", mounted, "debugfs", nothing_mounted},
    {"mount_overlay", "CVE-2023-0386", mounted, "overlay", nothing_mounted},
    {"mount_cgroup", "CVE-2022-0492", cgroup_mounted},
    {"mount_bind", "mount(2), MS_BIND", bound},
    {"mount_moved_over_root", "nsjail --no_pivotroot; runc --no-pivot", moved_over_root},
    {"mount_propagated", "runc mounts_propagation.bats", root_shared},
    {"remount_root", "bwrap as root keeps the right to", root_remounted},
    {"remount_proc", "bwrap as root keeps the right to", proc_remounted},
    {"umount_cover", "bwrap as root keeps the right to", cover_removed},
    {"umount_proc", "umount(2)", proc_unmounted},
    {"umount_root", "systemd-nspawn, firejail --chroot: umount -l /", root_unmounted},
    {"pivot_root", "pivot_root(2)", pivoted},
    {"fsopen", "CVE-2022-0185", opened_file_system},
    {"fspick", "CVE-2021-41133", picked_file_system},
    {"fsmount", "CVE-2021-41133", file_system_mounted},
    {"open_tree", "CVE-2021-41133", tree_cloned},
    {"open_tree_attr", "CVE-2021-41133: what came later, Linux 6.15", tree_cloned_with_attributes},
    {"move_mount", "CVE-2021-41133", tree_moved},
    {"mount_setattr", "CVE-2021-41133", attributes_set},
    {"listmount", "listmount(2)", mounts_listed},
    {"statmount", "statmount(2)", mount_asked},
    {"mounts_of_the_host_listed", "proc_pid_mountinfo(5)", mounts_shown},
};
