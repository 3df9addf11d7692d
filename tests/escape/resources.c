// Resources: what one program takes from all others.

enum { MANY = 5000, MANY_FILES = 100000, MUCH = 256 << 20 };

static Verdict forked(NOTHING) {
    static pid_t made[MANY];
    int count = 0;
    while (count < MANY) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;) pause();
        }
        if (pid < 0) break;
        made[count++] = pid;
    }
    int reason = errno;
    for (int at = 0; at < count; at++) kill(made[at], SIGKILL);
    while (wait(NULL) > 0) continue;
    return count == MANY ? escaped("%d processes", count) : contained("%d processes, then %s", count, strerrorname_np(reason));
}

static Verdict filled(const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return contained("%s: %s", path, why());
    int result = fallocate(file, 0, 0, MUCH);
    close(file);
    Verdict verdict = result == 0 ? escaped("256 MiB") : contained("fallocate: %s", why());
    unlink(path);
    return verdict;
}

static Verdict filled_with_files(NOTHING) {
    char path[50];
    for (int at = 0; at < MANY_FILES; at++) {
        snprintf(path, sizeof path, "/tmp/%d", at);
        if (mknod(path, S_IFREG | 0600, 0) < 0) return contained("%d files, then %s", at, why());
    }
    return escaped("%d files", MANY_FILES);
}

static Verdict locked(NOTHING) {
    void *memory = mmap(NULL, MUCH / 2, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return works("mlock", mlock(memory, MUCH / 2));
}

// With the soft limit raised as far as it goes.
static Verdict core_dumped(NOTHING) {
    struct rlimit limit;
    getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_CORE, &limit);
    chdir("/tmp");
    pid_t pid = fork();
    if (pid == 0) abort();
    int status;
    waitpid(pid, &status, 0);
    return WCOREDUMP(status) ? escaped("core dumped") : contained("no core, limit %ld", (long)limit.rlim_max);
}

// A limit of 0 is not looked at when the host's core_pattern names a program, of 1 is: see do_coredump() in fs/coredump.c.
// So it is not to be lowered, though a program that protects itself so is told that it was.
static Verdict core_piped(NOTHING) {
    struct rlimit limit = {0, 1}, old;
    setrlimit(RLIMIT_CORE, &limit);
    prlimit(0, RLIMIT_CORE, &limit, NULL);
    prlimit(0, RLIMIT_CORE, &limit, &old);
    getrlimit(RLIMIT_CORE, &limit);
    return limit.rlim_cur == 1 && limit.rlim_max == 1 ? contained("limit 1") : escaped("limit %ld:%ld", (long)limit.rlim_cur, (long)limit.rlim_max);
}

// Each counts also for whoever made the jail's user namespace, who may have 128 on the whole host.
static Verdict inotify_taken(NOTHING) {
    enum { SOME = 40 };
    int made[SOME], count = 0;
    while (count < SOME && (made[count] = inotify_init1(IN_CLOEXEC)) >= 0) count++;
    int reason = errno;
    for (int at = 0; at < count; at++) close(made[at]);
    return count == SOME ? escaped("%d handles", count) : contained("%d handles, then %s", count, strerrorname_np(reason));
}

static const struct way resource_ways[] = {
    // No limit of getrlimit(2) on processes holds the host's root, of whose ids that jail is; a control group does, where one can
    // be made: see run_jail/control_groups.rs.
    {"fork_bomb", "every shell text", forked, NULL, NULL, HOST_ROOT},
    {"tmp_bytes", "tmpfs(5), size", filled, "/tmp/file"},
    {"tmp_inodes", "tmpfs(5), nr_inodes", filled_with_files},
    {"shm_bytes", "tmpfs(5), /dev/shm", filled, "/dev/shm/file"},
    {"memory_locked", "mlock(2)", locked},
    {"core_dumped", "core(5)", core_dumped},
    {"crash_piped_to_the_host", "core(5): a piped core is not limited by 0", core_piped},
    // Where there is no user namespace of the jail's own, nothing but the host's limit for its user holds it.
    {"inotify_taken", "inotify(7), max_user_instances", inotify_taken, NULL, NULL, HOST_ROOT},
};
