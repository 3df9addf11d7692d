// /proc and /sys: what acts on the host, and what tells of it.

// Only opened: nothing is written to what acts on the whole machine.
static Verdict writable(const char *path) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0 && plain && errno == ENOENT) return absent("%s: not in this kernel", path);
    return file >= 0 ? escaped("%s can be written", path) : contained("%s: %s", path, why());
}

static Verdict readable(const char *path) {
    char text[200] = "";
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0 && plain && errno == ENOENT) return absent("%s: not in this kernel", path);
    if (file < 0) return contained("%s: %s", path, why());
    ssize_t length = read(file, text, 192 /* whole numbers of 64 bits, for kpageflags */);
    if (length == 0 && plain) return absent("%s: empty here", path);
    return length > 0 || errno == EAGAIN ? escaped("%s: %.60s", path, text) : contained("%s: empty", path);
}

// Tables of addresses, which the kernel replaces by zeros for those who may not know them.
static Verdict addresses(const char *path) {
    char line[300];
    FILE *file = fopen(path, "re");
    if (!file) return contained("%s: %s", path, why());
    for (int at = 0; at < 2000 && fgets(line, sizeof line, file); at++) {
        char *end = line;
        uint64_t start = strtoull(line, &end, 16);
        if (*end == '-') start = strtoull(end + 1, NULL, 16);
        if (start != 0) return escaped("%s: %.60s", path, line);
    }
    return contained("%s: no address", path);
}

static Verdict listed(const char *path) {
    DIR *directory = opendir(path);
    if (!directory && plain && errno == ENOENT) return absent("%s: not in this kernel", path);
    if (!directory) return contained("%s: %s", path, why());
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.') return escaped("%s: %s", path, entry->d_name);
    return plain ? absent("%s: empty here", path) : contained("%s: empty", path);
}

static Verdict other_users_keys(NOTHING) {
    return contains("/proc/key-users", " 4242:") ? escaped("that user %d has keys", CANARY_UID) : contained("not there");
}

static Verdict locks_shown(NOTHING) {
    return contains("/proc/locks", " 4711 4711") ? escaped("the host's locks are listed") : contained("not there");
}

static Verdict cgroup_shown(NOTHING) {
    return contains("/proc/self/cgroup", CANARY) ? escaped("the caller's cgroup is named") : contained("not there");
}

static const struct way proc_ways[] = {
    {"write_core_pattern", "CVE-2025-31133, CVE-2025-52565", writable, "/proc/sys/kernel/core_pattern"},
    {"write_modprobe", "kernel.modprobe: a program run by the host", writable, "/proc/sys/kernel/modprobe"},
    {"write_poweroff_cmd", "kernel.poweroff_cmd: a program run by the host", writable, "/proc/sys/kernel/poweroff_cmd"},
    {"write_hostname", "sysctl kernel.hostname", writable, "/proc/sys/kernel/hostname"},
    {"write_panic", "sysctl kernel.panic", writable, "/proc/sys/kernel/panic"},
    {"write_overcommit", "sysctl vm.overcommit_memory", writable, "/proc/sys/vm/overcommit_memory"},
    {"write_protected_links", "sysctl fs.protected_symlinks", writable, "/proc/sys/fs/protected_symlinks"},
    {"write_ip_forward", "sysctl net.ipv4.ip_forward", writable, "/proc/sys/net/ipv4/ip_forward"},
    {"write_randomization", "sysctl kernel.randomize_va_space", writable, "/proc/sys/kernel/randomize_va_space"},
    {"write_sysrq_trigger", "runc masked paths; CVE-2025-31133", writable, "/proc/sysrq-trigger"},
    {"write_irq_affinity", "runc read-only paths", writable, "/proc/irq/default_smp_affinity"},
    {"write_mtrr", "nsjail, bwrap: /proc/mtrr", writable, "/proc/mtrr"},
    {"write_acpi", "CVE-2018-10892", writable, "/proc/acpi/wakeup"},
    {"write_score_of_pid_1", "proc_pid_oom_score_adj(5)", writable, "/proc/1/oom_score_adj"},
    {"write_uevent_helper", "a program run by the host, as in CVE-2022-0492", writable, "/sys/kernel/uevent_helper"},
    {"write_power_state", "sysfs", writable, "/sys/power/state"},
    {"write_device_uevent", "sysfs: udev of the host acts on it", writable, "/sys/devices/virtual/mem/null/uevent"},
    {"read_kcore", "runc masked paths", readable, "/proc/kcore"},
    {"read_kmsg", "syslog(2)", readable, "/proc/kmsg"},
    {"read_keys", "docker masks /proc/keys", readable, "/proc/keys"},
    {"read_key_users", "keyrings(7)", other_users_keys},
    {"read_timer_list", "CVE-2017-5967", readable, "/proc/timer_list"},
    {"read_interrupts", "moby masks it: timing of keys and packets", readable, "/proc/interrupts"},
    {"read_config", "the kernel's configuration", readable, "/proc/config.gz"},
    {"read_diskstats", "the host's disks", readable, "/proc/diskstats"},
    {"read_partitions", "the host's disks", readable, "/proc/partitions"},
    {"read_slabinfo", "heap layout", readable, "/proc/slabinfo"},
    {"read_vmallocinfo", "kernel addresses", readable, "/proc/vmallocinfo"},
    {"read_pagetypeinfo", "physical memory", readable, "/proc/pagetypeinfo"},
    {"read_page_flags", "physical memory", readable, "/proc/kpageflags"},
    {"read_page_counts", "physical memory", readable, "/proc/kpagecount"},
    {"read_command_line_of_the_kernel", "boot arguments", readable, "/proc/cmdline"},
    {"read_locks", "proc_locks(5): inodes and processes", locks_shown},
    {"read_symbols", "kallsyms: kernel addresses", addresses, "/proc/kallsyms"},
    {"read_io_memory", "iomem: physical addresses", addresses, "/proc/iomem"},
    {"read_io_ports", "ioports", addresses, "/proc/ioports"},
    {"read_scsi", "CVE-2017-16539", listed, "/proc/scsi"},
    {"read_acpi", "CVE-2018-10892", listed, "/proc/acpi"},
    {"read_bus", "runc read-only paths", listed, "/proc/bus/pci"},
    {"read_sys_file_systems", "runc read-only paths", listed, "/proc/fs"},
    {"read_sysfs", "bwrap, nsjail: no /sys unless asked", listed, "/sys/kernel"},
    {"read_kernel_notes", "build id of the kernel", readable, "/sys/kernel/notes"},
    {"read_firmware", "docker masks /sys/firmware", listed, "/sys/firmware"},
    {"read_cgroups", "CVE-2023-25809", listed, "/sys/fs/cgroup"},
    {"cgroup_path_shown", "cgroup_namespaces(7)", cgroup_shown},
};
