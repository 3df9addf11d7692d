// Other processes: PID 1, which has the supervisor's memory, and those outside.

static Verdict first_readable(const char *name) {
    char path[50], text[8];
    snprintf(path, sizeof path, "/proc/1/%s", name);
    int file = open(path, O_RDONLY);
    if (file < 0) return contained("%s: %s", path, why());
    if (strcmp(name, "mem") == 0) {
        // The first mapping of this same program, which the host's PID 1 is.
        return pread(file, text, sizeof text, 0x400000) > 0 ? escaped("memory read") : contained("read: %s", why());
    }
    return read(file, text, sizeof text) > 0 ? escaped("%s can be read", path) : contained("%s: nothing", path);
}

static Verdict first_tells(const char *name) {
    char path[50];
    snprintf(path, sizeof path, "/proc/1/%s", name);
    return contains(path, SECRET) ? escaped("%s has the caller's secret", path) : contained("not there");
}

static Verdict first_executable(NOTHING) {
    int file = open("/proc/1/exe", O_WRONLY);
    if (file >= 0 || errno == ETXTBSY) return escaped("writable as soon as it ends: %s", file < 0 ? why() : "at once");
    return open("/proc/1/exe", O_PATH) >= 0 ? escaped("the supervisor's binary is in reach") : contained("%s", why());
}

static Verdict first_descriptors(NOTHING) {
    DIR *list = opendir("/proc/1/fd");
    char path[300], target[300] = "";
    if (!list) return contained("/proc/1/fd: %s", why());
    for (struct dirent *entry; (entry = readdir(list));) {
        snprintf(path, sizeof path, "/proc/1/fd/%s", entry->d_name);
        if (readlink(path, target, sizeof target - 1) > 0) return escaped("%s is %s", path, target);
    }
    return contained("none shown");
}

static Verdict traced(const char *pid) {
    long result = ptrace(PTRACE_SEIZE, atoi(pid), 0, 0);
    if (result == 0) ptrace(PTRACE_DETACH, atoi(pid), 0, 0);
    return works("PTRACE_SEIZE", result);
}

static Verdict memory_of(const char *pid) {
    char text[8];
    struct iovec local = {text, sizeof text}, remote = {(void *)0x400000, sizeof text};
    return works("process_vm_readv", process_vm_readv(atoi(pid), &local, 1, &remote, 1, 0));
}

static Verdict descriptor_of(const char *pid) {
    int process = syscall(SYS_pidfd_open, atoi(pid), 0);
    if (process < 0) return contained("pidfd_open: %s", why());
    for (int at = 0; at < 64; at++)
        if (syscall(SYS_pidfd_getfd, process, at, 0) >= 0) return escaped("its descriptor %d is ours", at);
    return contained("pidfd_getfd: %s", why());
}

static Verdict visible(NOTHING) {
    DIR *list = opendir("/proc");
    char path[300];
    for (struct dirent *entry; list && (entry = readdir(list));) {
        snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
        if (contains(path, "canary")) return escaped("process %s of the host is there", entry->d_name);
    }
    return contained("not there");
}

WORKS(killed, kill(CANARY_PID, SIGKILL))
WORKS(reniced, setpriority(PRIO_PROCESS, CANARY_PID, 15))
WORKS(pinned, syscall(SYS_ioprio_set, 1 /* PROCESS */, CANARY_PID, 3 << 13 /* IDLE */))

static Verdict limited(NOTHING) {
    struct rlimit none = {0, 0};
    return works("prlimit", prlimit(CANARY_PID, RLIMIT_CORE, &none, NULL));
}

// The program itself: it is spared, its parent would not be.
static Verdict killed_all(const char *pid) {
    signal(SIGTERM, SIG_IGN);
    kill(atoi(pid), *pid == '0' ? SIGTERM : SIGKILL);
    return contained("left to the host to see");
}

static Verdict canary_lives(void) {
    // A signal that was sent has not yet killed.
    struct pollfd ended = {syscall(SYS_pidfd_open, CANARY_PID, 0), POLLIN, 0};
    return poll(&ended, 1, 300) == 0 ? CONTAINED : escaped("a process of the host's was killed");
}

// A daemon that its parent does not wait for.
static Verdict outlived(NOTHING) {
    if (fork() == 0) {
        setsid();
        prctl(PR_SET_NAME, "survivor");
        signal(SIGHUP, SIG_IGN), signal(SIGTERM, SIG_IGN);
        if (fork() > 0) _exit(0);
        for (int at = 0; at < 20; at++) sleep(1);
        _exit(0);
    }
    wait(NULL);
    return contained("left to the host to see");
}

static Verdict supervisor_killed(NOTHING) {
    outlived(NULL);
    // The host sees that, and kills the supervisor.
    for (int at = 0; at < 20; at++) sleep(1);
    return contained("left to the host to see");
}

static bool is_alive(const char *name) {
    DIR *list = opendir("/proc");
    char path[300];
    bool found = false;
    for (struct dirent *entry; list && (entry = readdir(list));) {
        snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
        if (contains(path, name)) found = true;
    }
    closedir(list);
    return found;
}

static Verdict nobody_left(void) {
    // The last of them may still be on its way out.
    for (int at = 0; at < 100 && is_alive("survivor"); at++) usleep(20000);
    return is_alive("survivor") ? escaped("a process is left") : CONTAINED;
}

static const struct way process_ways[] = {
    {"pid_1_binary", "CVE-2019-5736", first_executable},
    {"pid_1_environment", "bwrap, nsjail: the supervisor's environment in /proc/1/environ", first_tells, "environ"},
    {"pid_1_arguments", "proc_pid_cmdline(5)", first_tells, "cmdline"},
    {"pid_1_memory", "proc_pid_mem(5)", first_readable, "mem"},
    {"pid_1_mappings", "proc_pid_maps(5)", first_readable, "maps"},
    {"pid_1_auxiliary_vector", "proc_pid_auxv(5)", first_readable, "auxv"},
    {"pid_1_descriptors", "CVE-2024-21626", first_descriptors},
    {"pid_1_directory_by_path", "CVE-2024-21626", directory_by_path, "1"},
    {"pid_1_traced", "CVE-2016-8659, CVE-2026-41163", traced, "1"},
    {"pid_1_memory_by_call", "process_vm_readv(2)", memory_of, "1"},
    {"pid_1_descriptor_taken", "pidfd_getfd(2)", descriptor_of, "1"},
    {"processes_visible", "pid_namespaces(7)", visible},
    {"process_killed", "kill(2)", killed, NULL, canary_lives},
    {"process_reniced", "setpriority(2)", reniced},
    {"process_io_priority", "ioprio_set(2)", pinned},
    {"process_limited", "prlimit(2)", limited},
    {"process_traced", "ptrace(2)", traced, "30001"},
    {"process_memory", "process_vm_readv(2)", memory_of, "30001"},
    {"process_descriptor_taken", "pidfd_getfd(2)", descriptor_of, "30001"},
    {"all_processes_killed", "kill(2), -1", killed_all, "-1", canary_lives, SILENT},
    {"process_group_killed", "kill(2), 0", killed_all, "0", canary_lives, SILENT},
    {"daemon_outlives_the_jail", "chroot(1) knows no end", outlived, NULL, nobody_left},
    {"daemon_outlives_the_supervisor", "PR_SET_PDEATHSIG(2const); nsjail, minijail0 -I", supervisor_killed, NULL, nobody_left, SILENT | KILL_SUPERVISOR},
};
