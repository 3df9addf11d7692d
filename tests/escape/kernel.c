// The kernel's surface: calls that ordinary programs do not make and exploits do.

DOOR(add_key, syscall(SYS_add_key, "user", "x", "y", 1, -2 /* PROCESS */))
DOOR(request_key, syscall(SYS_request_key, "user", "absent", NULL, 0))
DOOR(keyctl, syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -3, 1))
DOOR(userfaultfd, syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY))
DOOR(bpf, syscall(SYS_bpf, 9999, NULL, 0))
DOOR(modify_ldt, syscall(SYS_modify_ldt, 0, (char[16]){0}, 16))
DOOR(kcmp, syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0))
DOOR(mbind, syscall(SYS_mbind, 0, 0, 0, NULL, 0, 0))
DOOR(set_mempolicy, syscall(SYS_set_mempolicy, 0, NULL, 0))
DOOR(move_pages, syscall(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0))
DOOR(migrate_pages, syscall(SYS_migrate_pages, 0, 0, NULL, NULL))
DOOR(quotactl, syscall(SYS_quotactl, 0x80000101 /* Q_SYNC */, "/absent", 0, NULL))
DOOR(quotactl_fd, syscall(443, -1, 0x80000101, 0, NULL))
DOOR(memfd_secret, syscall(SYS_memfd_secret, 0))
DOOR(personality_set, personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC))
DOOR(iopl_set, syscall(SYS_iopl, 3))
DOOR(ioperm_set, syscall(SYS_ioperm, 0x80, 1, 1))
DOOR(fanotify, syscall(SYS_fanotify_init, 0x200 /* REPORT_FID */, 0))
DOOR(kernel_log, syscall(SYS_syslog, 10 /* SIZE_BUFFER */, NULL, 0))
DOOR(accounting, syscall(SYS_acct, "/absent"))
DOOR(swap_on, swapon("/absent", 0))
DOOR(swap_off, swapoff("/absent"))
// Without its magic numbers it does nothing.
DOOR(reboot_called, syscall(SYS_reboot, 0, 0, 0, NULL))
DOOR(kexec, syscall(SYS_kexec_load, 0, 1000, NULL, 1 << 20))
DOOR(kexec_file, syscall(SYS_kexec_file_load, -1, -1, 0, NULL, 1 << 20))
DOOR(module_loaded, syscall(SYS_finit_module, -1, "", 0))
DOOR(module_loaded_from_memory, syscall(SYS_init_module, NULL, 0, ""))
DOOR(module_removed, syscall(SYS_delete_module, "absent-module", O_NONBLOCK))
DOOR(host_named, sethostname("escaped", 7))
DOOR(domain_named, setdomainname("escaped", 7))
// In a session of its own, which has no terminal that could be hung up.
DOOR(hung_up, (setsid(), syscall(SYS_vhangup)))
DOOR(realtime_io, syscall(SYS_ioprio_set, 1, 0, 1 << 13 | 4))
DOOR(sysfs_asked, syscall(SYS_sysfs, 3))
DOOR(nice_raised, setpriority(PRIO_PROCESS, 0, -10))
DOOR(process_madvised, syscall(SYS_process_madvise, -1, NULL, 0, 0, 0))
DOOR(process_released, syscall(448, -1, 0))

static Verdict not_named(void) {
    struct utsname name;
    uname(&name);
    return strcmp(name.nodename, "escaped") == 0 || strcmp(name.domainname, "escaped") == 0 ? escaped("the host is called `escaped`") : CONTAINED;
}

// Beyond what it takes (Linux wants 9,000 to 11,000 us a tick): who may set the clock is told so, everybody else that he may not.
static Verdict clock_adjusted(const char *clock) {
    struct timex change = {.modes = ADJ_TICK, .tick = 1};
    return door("adjtimex", *clock == 'c' ? syscall(SYS_clock_adjtime, CLOCK_REALTIME, &change) : syscall(SYS_adjtimex, &change));
}

static Verdict time_zone_set(NOTHING) {
    // No place is four days from Greenwich.
    struct timezone zone = {6000, 0};
    return door("settimeofday", syscall(SYS_settimeofday, NULL, &zone));
}

static Verdict io_ring(NOTHING) {
    char parameters[120] = {0};
    return door("io_uring_setup", syscall(SYS_io_uring_setup, 1, parameters));
}

static Verdict performance(NOTHING) {
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1, .exclude_hv = 1};
    return door("perf_event_open", syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
}

static Verdict own_child_traced(NOTHING) {
    pid_t pid = victim();
    return door("ptrace", ptrace(PTRACE_SEIZE, pid, 0, 0));
}

static Verdict traced_by_parent(NOTHING) {
    return door("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
}

static Verdict own_child_memory(const char *how) {
    char text[8] = "", *from = (char *)report;
    struct iovec local = {text, sizeof text}, remote = {from, sizeof text};
    pid_t pid = victim();
    return door("process_vm", syscall(*how == 'r' ? SYS_process_vm_readv : SYS_process_vm_writev, pid, &local, 1, &remote, 1, 0));
}

static Verdict own_child_descriptor(NOTHING) {
    int process = syscall(SYS_pidfd_open, victim(), 0);
    return process < 0 ? door("pidfd_open", process) : door("pidfd_getfd", syscall(SYS_pidfd_getfd, process, 0, 0));
}

static Verdict int_80(const char *number) { return door("int 0x80", call_32(atoi(number), 0, 1)); }

static Verdict x32(NOTHING) {
    return door("x32 getpid", syscall(0x40000000 | SYS_getpid));
}

static Verdict family(const char *what) {
    int family = 0, kind = 0, protocol = 0;
    sscanf(what, "%d %d %d", &family, &kind, &protocol);
    int opened = socket(family, kind, protocol);
    if (opened < 0 && plain && (errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT))
        return absent("not in this kernel");
    return works("socket", opened);
}

// A copy of this program was run, or not.
static Verdict executed(int code) {
    return code == RAN ? escaped("it ran") : contained("execve: %s", code == 99 ? "EACCES or EPERM" : "not possible");
}

static Verdict file_executed(const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    if (file < 0) return contained("%s: %s", path, why());
    fchmod(copy("/escape", file), 0755);
    close(file);
    return executed(execute(path, "run"));
}

static Verdict memory_executed(const char *how) {
    int file = memfd_create("program", 0);
    if (file < 0) return contained("memfd_create: %s", why());
    copy("/escape", file);
    if (*how == 'p') {
        char path[50];
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        return executed(execute(path, "run"));
    }
    pid_t pid = fork();
    if (pid == 0) {
        char *arguments[] = {"escape", "run", NULL};
        syscall(SYS_execveat, file, "", arguments, NULL, AT_EMPTY_PATH);
        _exit(99);
    }
    int status;
    waitpid(pid, &status, 0);
    return executed(WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

// A file made here as code of this process, as dlopen(3) would have it.
static Verdict library_mapped(const char *path) {
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0755);
    if (file < 0) return contained("%s: %s", path, why());
    ftruncate(file, 4096);
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    return code != MAP_FAILED ? escaped("mapped executable") : contained("mmap: %s", why());
}

// A file of its own in the directory that the host shows, as the host opens it.
static int shown_file(void) {
    close(open(SHARED "/own", O_RDWR | O_CREAT, 0600));
    return open(SHARED "/own", O_RDONLY);
}

DOOR(lease_taken, fcntl(shown_file(), F_SETLEASE, F_WRLCK))
DOOR(flags_set, ioctl(shown_file(), FS_IOC_SETFLAGS, &(int){0}))
// A file system without projects says so: then it was asked.
DOOR(project_set, ioctl(shown_file(), FS_IOC_FSSETXATTR, &(struct fsxattr){0}))
DOOR(project_set_by_path, syscall(469 /* file_setattr */, AT_FDCWD, SHARED, &(uint64_t[3]){0}, 24, 0))

static const struct way kernel_ways[] = {
    {"add_key", "CVE-2016-0728", add_key},
    {"request_key", "CVE-2017-17807", request_key},
    {"keyctl", "CVE-2016-0728", keyctl},
    {"perf_event_open", "CVE-2013-2094", performance},
    {"userfaultfd", "userfaultfd(2): races are won by it", userfaultfd},
    {"io_uring_setup", "CVE-2022-29582; moby #46762", io_ring},
    {"bpf", "CVE-2021-3490", bpf},
    {"ptrace_child", "CVE-2019-13272", own_child_traced},
    {"ptrace_by_parent", "CVE-2019-13272", traced_by_parent},
    {"process_vm_readv", "process_vm_readv(2)", own_child_memory, "r"},
    {"process_vm_writev", "process_vm_writev(2)", own_child_memory, "w"},
    {"pidfd_getfd", "pidfd_getfd(2)", own_child_descriptor},
    {"process_madvise", "process_madvise(2)", process_madvised},
    {"process_mrelease", "process_mrelease, Linux 5.15", process_released},
    {"personality", "CVE-2009-1895", personality_set},
    {"modify_ldt", "CVE-2017-17053", modify_ldt},
    {"kcmp", "kcmp(2): kernel pointers compared", kcmp},
    {"mbind", "CVE-2017-7616", mbind},
    {"set_mempolicy", "CVE-2017-7616", set_mempolicy},
    {"move_pages", "CVE-2010-0415", move_pages},
    {"migrate_pages", "docker's profile", migrate_pages},
    {"quotactl", "docker's profile", quotactl},
    {"quotactl_fd", "docker's profile, Linux 5.14", quotactl_fd},
    {"lease_taken", "F_SETLEASE: whoever opens the file next waits", lease_taken},
    {"file_flags_set", "ioctl_iflags(2)", flags_set},
    {"project_changed", "FS_IOC_FSSETXATTR: past a project's quota", project_set},
    {"project_changed_by_path", "file_setattr, Linux 6.17", project_set_by_path},
    {"memfd_secret", "memfd_secret(2)", memfd_secret},
    {"fanotify_init", "fanotify(7)", fanotify},
    {"syslog", "syslog(2)", kernel_log},
    {"acct", "acct(2)", accounting},
    {"swapon", "swapon(2)", swap_on},
    {"swapoff", "swapoff(2)", swap_off},
    {"reboot", "reboot(2)", reboot_called},
    {"kexec_load", "kexec_load(2)", kexec},
    {"kexec_file_load", "kexec_load(2)", kexec_file},
    {"finit_module", "init_module(2)", module_loaded},
    {"init_module", "init_module(2)", module_loaded_from_memory},
    {"delete_module", "delete_module(2)", module_removed},
    {"sethostname", "sethostname(2)", host_named, NULL, not_named},
    {"setdomainname", "setdomainname(2)", domain_named, NULL, not_named},
    {"adjtimex", "adjtimex(2)", clock_adjusted, "a"},
    {"clock_adjtime", "clock_adjtime(2)", clock_adjusted, "c"},
    {"settimeofday", "settimeofday(2)", time_zone_set},
    {"iopl", "iopl(2)", iopl_set},
    {"ioperm", "ioperm(2)", ioperm_set},
    {"vhangup", "vhangup(2)", hung_up},
    {"sysfs_call", "sysfs(2)", sysfs_asked},
    {"io_priority_realtime", "ioprio_set(2)", realtime_io},
    {"nice_raised", "setpriority(2)", nice_raised},
    {"int_80_getpid", "firejail 0.9.42", int_80, "20"},
    {"int_80_keyctl", "firejail 0.9.42", int_80, "288"},
    {"x32_call", "firejail 0.9.42; CVE-2014-0038", x32},
    {"socket_vsock", "CVE-2021-26708; no network namespace holds it", family, "40 1 0"},
    {"socket_packet", "CVE-2020-14386", family, "17 3 0"},
    {"socket_netlink_generic", "netlink(7)", family, "16 3 16"},
    {"socket_netlink_netfilter", "CVE-2022-32250, CVE-2024-1086", family, "16 3 12"},
    {"socket_netlink_xfrm", "CVE-2017-16939", family, "16 3 6"},
    {"socket_netlink_audit", "netlink(7)", family, "16 3 9"},
    {"socket_netlink_sock_diag", "CVE-2013-1763", family, "16 3 4"},
    {"socket_netlink_uevent", "CVE-2009-1185", family, "16 3 15"},
    {"socket_alg", "CVE-2019-8912", family, "38 5 0"},
    {"socket_key", "CVE-2022-1353", family, "15 3 2"},
    {"socket_xdp", "Documentation/networking/af_xdp.rst", family, "44 3 0"},
    {"socket_raw", "raw(7)", family, "2 3 1"},
    {"socket_raw_6", "raw(7)", family, "10 3 58"},
    {"file_of_tmp_executed", "hakoniwa, bwrap: a writable /tmp is executable", file_executed, "/tmp/program", NULL, OWN_TMP},
    {"file_of_tmp_mapped", "mmap(2), PROT_EXEC", library_mapped, "/tmp/library", NULL, OWN_TMP},
    {"memory_file_executed", "memfd_create(2), execveat(2)", memory_executed, "execveat"},
    {"memory_file_executed_by_path", "memfd_create(2), /proc/self/fd", memory_executed, "path"},
};
