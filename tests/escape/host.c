// The host that is at stake: a small system in namespaces of its own, so that an attempt that succeeds harms nothing but
// this. It has a process, services, keys and files to be found, and a caller who is careless in every way.

static const struct way *find(const char *name);

static char *host_directory;

// From this number on are the host's pipes.
enum { PIPES = 100 };

static void must(const char *what, long result) {
    if (result >= 0) return;
    fprintf(stderr, "host: %s: %s\n", what, why());
    exit(1);
}

static void put(const char *path, const char *text, mode_t mode) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(path, file);
    must(path, write(file, text, strlen(text)));
    fchmod(file, mode);
    close(file);
}

static void bind_mount(const char *source, const char *target) { must(source, mount(source, target, NULL, MS_BIND | MS_REC, NULL)); }

// `path` below the host's root while that is still a directory of the machine's.
static const char *below(const char *path) {
    static char text[4][4096];
    static int at;
    at = (at + 1) % 4;
    snprintf(text[at], sizeof text[at], "%s/host/%s", host_directory, path);
    return text[at];
}

// Every hierarchy the kernel has, mounted as seen from the new cgroup namespace: each of the first version, and the second,
// which has the place for itself where it is the only one.
static void mount_cgroups(void) {
    char line[300], names[200], path[300];
    bool is_first = true;
    FILE *list = fopen("/proc/self/cgroup", "re");
    for (; list && fgets(line, sizeof line, list); is_first = false) {
        bool is_second = sscanf(line, "%*d:%199[^:]:", names) != 1;
        if (is_second && is_first) {
            mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
            continue;
        }
        if (is_first) mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=755");
        const char *name = is_second ? "unified" : strchr(names, '=') ? strchr(names, '=') + 1 : names;
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s", name);
        mkdir(path, 0755);
        mount("none", path, is_second ? "cgroup2" : "cgroup", 0, is_second ? NULL : names);
    }
    if (list) fclose(list);
}

// What makes names on the machine unlike those of a host beside this one.
static int unique;

// In each hierarchy, the group the caller is put in.
static void in_cgroup(void (*act)(const char *path)) {
    char path[400];
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s-%d", CANARY, unique);
    if (access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0) return act(path);
    DIR *list = opendir("/sys/fs/cgroup");
    for (struct dirent *entry; list && (entry = readdir(list));) {
        // A new cpuset has no processor and takes nobody.
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, "cpuset", 6) == 0) continue;
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s-%d", entry->d_name, CANARY, unique);
        act(path);
    }
    if (list) closedir(list);
}

static void enter_cgroup(const char *path) {
    char file[500];
    mkdir(path, 0755);
    snprintf(file, sizeof file, "%s/cgroup.procs", path);
    int procs = open(file, O_WRONLY | O_CLOEXEC);
    if (procs >= 0) write(procs, "0", 1);
    close(procs);
}

// The jail may have made some below.
static void leave_cgroup(const char *path) {
    char below[700];
    for (int at = 0; at < 100 && rmdir(path) < 0 && errno != ENOENT; at++) {
        DIR *list = opendir(path);
        for (struct dirent *entry; list && (entry = readdir(list));) {
            snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
            if (entry->d_type == DT_DIR && entry->d_name[0] != '.') rmdir(below);
        }
        if (list) closedir(list);
        usleep(10000);
    }
}

static void run_tool(char *const arguments[]) {
    pid_t pid = fork();
    if (pid == 0) {
        execvp(arguments[0], arguments);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (status != 0) fprintf(stderr, "host: %s: status %x\n", arguments[0], status), exit(1);
}

// A root directory with nothing of the machine's but the test's own directory.
static void make_root(const char *stockade, const char *tree) {
    static const char *directories[] = {"dev", "proc", "sys", "etc", "tmp", "root", "run", "var", "var/lib", "bin", "secret-place", "secret-shared", "secret-shared/programs", "jail", "mount-" CANARY};
    must("private", mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    must("tmpfs", mount("tmpfs", below(""), "tmpfs", 0, "mode=755"));
    umask(0);
    for (unsigned at = 0; at < sizeof directories / sizeof *directories; at++) must(directories[at], mkdir(below(directories[at]), 0755));
    chmod(below("tmp"), 01777), chmod(below("secret-shared"), 0777), chmod(below("root"), 0700);
    put(below("stockade"), "", 0755);
    bind_mount(stockade, below("stockade"));
    bind_mount(host_directory, below("secret-place"));
    if (*tree) run_tool((char *[]){"cp", "-a", (char *)tree, (char *)below("jail/tree"), NULL});
    put(below("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0644);
    put(below("etc/group"), "root:x:0:\nnogroup:x:65534:\n", 0644);
    static const struct { const char *name; unsigned minor; } devices[] = {{"dev/null", 3}, {"dev/zero", 5}, {"dev/full", 7}, {"dev/random", 8}, {"dev/urandom", 9}, {"dev/kmsg", 11}};
    for (unsigned at = 0; at < sizeof devices / sizeof *devices; at++) must(devices[at].name, mknod(below(devices[at].name), S_IFCHR | 0666, makedev(1, devices[at].minor)));
    must("dev/tty", mknod(below("dev/tty"), S_IFCHR | 0666, makedev(5, 0)));
    must("dev/pts", mkdir(below("dev/pts"), 0755));
    must("dev/shm", mkdir(below("dev/shm"), 01777));
    must("chdir", chdir(below("")));
    must("pivot_root", syscall(SYS_pivot_root, ".", "."));
    must("umount", umount2(".", MNT_DETACH));
    must("chdir", chdir("/"));
    must("proc", mount("proc", "/proc", "proc", 0, NULL));
    must("sysfs", mount("sysfs", "/sys", "sysfs", 0, NULL));
    must("devpts", mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=666,mode=620"));
    symlink("pts/ptmx", "/dev/ptmx");
    must("tmpfs", mount("tmpfs", "/mount-" CANARY, "tmpfs", 0, NULL));
    mount_cgroups();
}

static int listening(int family, int kind, const void *address, socklen_t length) {
    int server = socket(family, kind | SOCK_CLOEXEC, 0);
    must("bind", bind(server, address, length));
    if (kind == SOCK_STREAM) must("listen", listen(server, 10));
    return server;
}

// What is to be found.
static void furnish(void) {
    put("/" CANARY, CANARY "\n", 0644);
    // A lock, and a directory in PID 1's hands.
    struct flock lock = {.l_type = F_RDLCK, .l_start = CANARY_PORT, .l_len = 1};
    must("lock", fcntl(open("/" CANARY, O_RDONLY | O_CLOEXEC), F_SETLK, &lock));
    must("directory", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    put("/secret-log", SECRET ": an earlier line\n", 0666);
    put("/secret-input", SECRET ": a file given to read\n", 0666);
    put("/secret-shared/of-root", "of root\n", 0600);
    // Programs of another user's, and one with capabilities.
    static const char *programs[] = {"setuid", "setgid", "capable"};
    for (int at = 0; at < 3; at++) {
        char path[100];
        snprintf(path, sizeof path, "/secret-shared/programs/%s", programs[at]);
        put(path, "", 0755);
        int to = copy("/secret-place/escape", open(path, O_WRONLY | O_CLOEXEC));
        fchown(to, at < 2 ? CANARY_UID : 0, at < 2 ? CANARY_UID : 0);
        fchmod(to, at == 0 ? 04755 : at == 1 ? 02755 : 0755);
        struct vfs_cap_data all = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, {{1 << CAP_NET_RAW, 0}, {0, 0}}};
        if (at == 2) must("setxattr", fsetxattr(to, "security.capability", &all, sizeof all, 0));
        close(to);
    }
    struct { struct file_handle head; char bytes[MAX_HANDLE_SZ]; } handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    int id;
    if (name_to_handle_at(AT_FDCWD, "/" CANARY, &handle.head, &id, 0) == 0) {
        int file = open("/secret-shared/handle", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        write(file, &handle, sizeof handle);
        close(file);
    }
    must("sethostname", sethostname(CANARY, strlen(CANARY)));
    // The loopback interface with one more address.
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
    must("lo", ioctl(control, SIOCSIFFLAGS, &request));
    struct ifreq second = {.ifr_name = "lo:1"};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(CANARY_ADDRESS)};
    memcpy(&second.ifr_addr, &address, sizeof address);
    must("lo:1", ioctl(control, SIOCSIFADDR, &second));
    close(control);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(CANARY_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listening(AF_INET, SOCK_STREAM, &address, sizeof address);
    struct sockaddr_un name;
    socklen_t length = abstract(&name, CANARY);
    listening(AF_UNIX, SOCK_STREAM, &name, length);
    length = abstract(&name, CANARY "-datagram");
    listening(AF_UNIX, SOCK_DGRAM, &name, length);
    pid_t other = fork();
    if (other == 0) {
        setresuid(CANARY_UID, CANARY_UID, CANARY_UID);
        // It goes by itself.
        _exit(syscall(SYS_keyctl, 15 /* SET_TIMEOUT */, syscall(SYS_add_key, "user", CANARY, "x", 1, -4 /* USER */), 30) < 0);
    }
    waitpid(other, NULL, 0);
    must("shmget", shmget(CANARY_KEY, 4096, IPC_CREAT | 0666));
    must("msgget", msgget(CANARY_KEY, IPC_CREAT | 0666));
    must("semget", semget(CANARY_KEY, 1, IPC_CREAT | 0666));
    // As small as can be: what a queue may grow to counts against its user until the namespace has been taken apart, which may take a while.
    struct mq_attr least = {.mq_maxmsg = 1, .mq_msgsize = 1};
    must("mq_open", mq_open("/" CANARY, O_RDWR | O_CREAT | O_CLOEXEC, 0666, &least));
}

// A process under a number that no jail of a few processes has, in the caller's process group and as its user.
static void start_canary(uid_t user) {
    pid_t wanted = CANARY_PID;
    // clone3(2): flags, exit_signal, set_tid and set_tid_size.
    int ready[2];
    must("pipe", pipe2(ready, O_CLOEXEC));
    uint64_t arguments[11] = {CLONE_PARENT};
    arguments[8] = (uintptr_t)&wanted, arguments[9] = 1;
    pid_t pid = syscall(SYS_clone3, arguments, sizeof arguments);
    must("clone3", pid);
    if (pid > 0) {
        close(ready[1]);
        read(ready[0], &pid, 1);
        close(ready[0]);
        return;
    }
    prctl(PR_SET_NAME, "canary");
    setresuid(user, user, user);
    // When the caller, who leads its session, ends.
    signal(SIGHUP, SIG_IGN);
    close_range(3, ~0u, 0);
    for (;;) pause();
}

static void leak(int descriptor, int number) {
    must("leak", descriptor);
    must("leak", dup2(descriptor, number));
    close(descriptor);
}

// Careless in every way.
static void be_careless(const struct way *way, bool ordinary, int terminal_master) {
    // Only the terminal's master is handed down of what the host holds, and the pipes where they are wanted.
    must("master", dup2(terminal_master, 50));
    must("close_range", close_range(3, 49, 0));
    must("close_range", close_range(51, PIPES - 1, 0));
    in_cgroup(enter_cgroup);
    must("setsid", setsid());
    start_canary(ordinary ? 1000 : 0);
    int terminal = open("/dev/pts/0", O_RDWR | O_NOCTTY);
    must("terminal", terminal);
    must("TIOCSCTTY", ioctl(terminal, TIOCSCTTY, 0));
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &unlimited);
    setpriority(PRIO_PROCESS, 0, -5);
    // As low as this caller may: where there is no CAP_SYS_RESOURCE, only up.
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (write(score, "-500", 4) < 0) write(score, "500", 3);
    close(score);
    gid_t group = CANARY_UID;
    must("setgroups", setgroups(1, &group));

    leak(open("/", O_RDONLY | O_DIRECTORY), LEAKED_DIRECTORY);
    leak(open("/secret-log", O_RDWR), LEAKED_FILE);
    int pair[2];
    must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    leak(pair[0], LEAKED_SOCKET);
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &(int){LEAKED_DIRECTORY}, sizeof(int));
    must("sendmsg", sendmsg(pair[1], &message, 0));
    leak(open("/proc/self/ns/net", O_RDONLY), LEAKED_NAMESPACE);
    leak(50, LEAKED_MASTER);

    if (ordinary) {
        must("setresgid", setresgid(1000, 1000, 1000));
        must("setresuid", setresuid(1000, 1000, 1000));
        prctl(PR_SET_DUMPABLE, 1);
    } else {
        struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct sets[2];
        must("capget", syscall(SYS_capget, &head, sets));
        sets[0].inheritable = sets[0].permitted, sets[1].inheritable = sets[1].permitted;
        must("capset", syscall(SYS_capset, &head, sets));
        must("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
    }
    syscall(SYS_keyctl, 1 /* JOIN_SESSION_KEYRING */, NULL);
    syscall(SYS_add_key, "user", CANARY, "x", 1, -3 /* SESSION */);
    // The user's keyring outlives this: the key goes by itself.
    int key = syscall(SYS_add_key, "user", CANARY, "x", 1, -4 /* USER */);
    syscall(SYS_keyctl, 15 /* SET_TIMEOUT */, key, 30);

    leak(syscall(SYS_pidfd_open, CANARY_PID, 0), LEAKED_PIDFD);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    must("leak", dup2(LEAKED_DIRECTORY, LEAKED_HIGH));
    files.rlim_cur = 1024;
    setrlimit(RLIMIT_NOFILE, &files);
    umask(0);
    personality(ADDR_NO_RANDOMIZE);
    prctl(PR_SET_TIMERSLACK, 123456);
    signal(SIGCHLD, SIG_IGN), signal(SIGPIPE, SIG_IGN), signal(SIGUSR1, SIG_IGN), signal(SIGQUIT, SIG_IGN);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2), sigaddset(&blocked, SIGTERM), sigaddset(&blocked, SIGCHLD), sigaddset(&blocked, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    setenv(SECRET, SECRET, 1), setenv("LD_PRELOAD", "/absent", 1), setenv("GCONV_PATH", "/absent", 1), setenv("BASH_ENV", "/absent", 1);

    if (way->flags & IN_TERMINAL) dup2(terminal, 0);
    else if (way->flags & IN_DIRECTORY) dup2(LEAKED_DIRECTORY, 0);
    else if (way->flags & IN_FILE) dup2(open("/secret-input", O_RDONLY), 0);
    else if (way->flags & IN_PIPE) dup2(host_input[0], 0);
    else dup2(open("/dev/null", O_RDONLY), 0);
    dup2(2, 1);
    if (way->flags & ERR_PIPE) dup2(host_output[1], 2);
    if (way->flags & ERR_LOG) dup2(open("/secret-log", O_WRONLY | O_APPEND), 2);
    close_range(3, LEAKED_DIRECTORY - 1, 0);
    close_range(LEAKED_MASTER + 1, LEAKED_HIGH - 1, 0);
    for (int at = 0; at < 3; at++)
        if (way->flags & (CLOSED_IN << at)) close(at);
}

// As the handbooks have it: the host's /proc, /sys and /dev bound into the tree, and chroot(2).
static void plain_chroot(void) {
    bind_mount("/proc", "/jail/tree/proc");
    mkdir("/jail/tree/sys", 0755), mkdir("/jail/tree/dev", 0755), mkdir("/jail/tree/tmp", 0755), mkdir("/jail/tree" SHARED, 0755);
    bind_mount("/sys", "/jail/tree/sys");
    bind_mount("/dev", "/jail/tree/dev");
    bind_mount("/secret-shared", "/jail/tree" SHARED);
    must("tmpfs", mount("tmpfs", "/jail/tree/tmp", "tmpfs", 0, "mode=1777"));
}

static Verdict judge(const struct way *way, int status) {
    int file = open("/secret-shared/result", O_RDONLY | O_CLOEXEC);
    if (file >= 0 && read(file, report, sizeof *report) == sizeof *report) {
        // What it says of itself.
    } else if (way->flags & SILENT && access("/secret-shared/ready", F_OK) == 0) {
        contained("left to the host to see");
    } else if (way->flags & MAY_REFUSE && WIFEXITED(status) && WEXITSTATUS(status) == 125) {
        contained("refused");
    } else {
        fprintf(stderr, "no result, status %x\n", status);
        exit(1);
    }
    if (way->check && report->verdict == CONTAINED) way->check();
    return report->verdict;
}

// host DIRECTORY STOCKADE MANIFEST USER NAME: `MANIFEST` is `chroot` for a plain one, and NAME `build` only builds.
static int host(char **arguments) {
    host_directory = arguments[0];
    const char *stockade = arguments[1], *manifest = arguments[2], *name = arguments[4];
    bool ordinary = strcmp(arguments[3], "root") != 0, builds = strcmp(name, "build") == 0;
    plain = strcmp(manifest, "chroot") == 0;
    const struct way *way = builds ? &tree_ways[0] : find(name);
    must("unshare", unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP));
    unique = getpid();
    pid_t first = fork();
    must("fork", first);
    if (first > 0) {
        int status;
        waitpid(first, &status, 0);
        in_cgroup(leave_cgroup);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(60);
    char tree[4096] = "";
    if (plain) snprintf(tree, sizeof tree, "%s/state-root/root/current/tree", host_directory);
    char real[4096] = "";
    if (plain && !realpath(tree, real)) must(tree, -1);
    make_root(stockade, real);
    furnish();
    put("/proc/self/comm", "host", 0644);
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    must("posix_openpt", master), grantpt(master), unlockpt(master);
    host_terminal = open("/dev/pts/0", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    must("/dev/pts/0", host_terminal);
    chmod("/dev/pts/0", 0666);
    if (plain) plain_chroot();
    int *pipes[] = {host_input, host_output};
    for (int at = 0; at < 2; at++) {
        must("pipe2", pipe2(pipes[at], O_CLOEXEC | O_NONBLOCK));
        // Out of the way of what is leaked.
        for (int end = 0; end < 2; end++) pipes[at][end] = fcntl(pipes[at][end], F_DUPFD_CLOEXEC, PIPES);
        if (ordinary) must("fchown", fchown(pipes[at][0], 1000, 1000));
    }
    must("write", write(host_output[1], SECRET, strlen(SECRET)));

    pid_t caller = fork();
    must("fork", caller);
    if (caller == 0) {
        setenv("STOCKADE_STATE_DIR", ordinary ? "/secret-place/state-user" : "/secret-place/state-root", 1);
        char path[200];
        snprintf(path, sizeof path, "/secret-place/%s-" SECRET ".toml", manifest);
        if (builds) {
            if (ordinary) must("setresuid", setresgid(1000, 1000, 1000) + setresuid(1000, 1000, 1000));
            execl("/stockade", "stockade", "build", path, NULL);
            _exit(127);
        }
        be_careless(way, ordinary, master);
        // As without any option, but for the program and the place where it leaves what it found.
        if (strcmp(manifest, "once") == 0)
            execl("/stockade", "stockade", "once", "--ro-bind", "/secret-place/escape", "/escape", "--bind", "/secret-shared", "/shared",
                  "/escape", "inside", name, NULL);
        if (!plain) execl("/stockade", "stockade", "run", path, "--", name, NULL);
        // No chdir: the working directory stays the host's root, which is what chroot(2) does.
        if (chroot("/jail/tree") == 0) execl("/escape", "escape", "inside", name, "plain", NULL);
        _exit(127);
    }
    int status = 0;
    if (way->flags & KILL_SUPERVISOR) {
        for (int at = 0; at < 1000 && !is_alive("survivor"); at++) usleep(10000);
        if (!is_alive("survivor")) fprintf(stderr, "host: nobody there to survive\n"), exit(1);
        kill(caller, SIGKILL);
    }
    waitpid(caller, &status, 0);
    if (builds) return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
    judge(way, status);
    static const char *verdicts[] = {"contained", "ESCAPED", "n.a."};
    printf("%s: %s\n", verdicts[report->verdict], report->text);
    return 0;
}
