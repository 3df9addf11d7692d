// Out of the tree: a root directory is only a pointer, and a tree is only files.

static Verdict chroot_fchdir(NOTHING) {
    int here = open("/", O_RDONLY | O_DIRECTORY);
    if (chroot(scratch()) < 0) return contained("chroot: %s", why());
    fchdir(here);
    return climb();
}

static Verdict chroot_without_chdir(NOTHING) {
    chdir("/");
    if (chroot(scratch()) < 0) return contained("chroot: %s", why());
    return climb();
}

// A directory given by a process that is not in the inner root, over a socket.
static Verdict chroot_passed_descriptor(NOTHING) {
    int pair[2], here = open("/", O_RDONLY | O_DIRECTORY);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) return contained("socketpair: %s", why());
    char byte = 0, control[CMSG_SPACE(sizeof here)] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof here);
    memcpy(CMSG_DATA(header), &here, sizeof here);
    sendmsg(pair[0], &message, 0);
    close(here);
    if (chroot(scratch()) < 0) return contained("chroot: %s", why());
    chdir("/");
    recvmsg(pair[1], &message, 0);
    memcpy(&here, CMSG_DATA(header), sizeof here);
    fchdir(here);
    return climb();
}

// A directory moved out of the inner root while a process is in it: its `..` does not meet that root any more.
static Verdict chroot_moved_directory(NOTHING) {
    mkdir(scratch(), 0777), mkdir("/tmp/scratch/inner", 0777);
    if (chdir("/tmp/scratch/inner") < 0) return contained("chdir: %s", why());
    int old = open("/tmp", O_RDONLY | O_DIRECTORY);
    if (chroot("/tmp/scratch") < 0) return contained("chroot: %s", why());
    renameat(old, "scratch/inner", old, "outer");
    return climb();
}

static Verdict chroot_to(const char *path) {
    if (chroot(path) < 0) return contained("chroot: %s", why());
    chdir("/");
    return is_host(AT_FDCWD) ? escaped("the host's root through %s", path) : contained("not the host's root");
}

static Verdict host_root_at(const char *path) {
    int directory = open(path, O_PATH | O_DIRECTORY);
    if (directory < 0) return contained("%s: %s", path, why());
    return is_host(directory) ? escaped("%s is the host's root", path) : contained("%s is not the host's", path);
}

static Verdict working_directory(NOTHING) {
    char path[4096] = "";
    // Outside of the root it begins with "(unreachable)", which the library makes an error of.
    if (syscall(SYS_getcwd, path, sizeof path) > 0 && path[0] != '/') return escaped("the working directory is %s", path);
    return climb();
}

static Verdict handle_of_host(NOTHING) {
    // The host put a handle there. Whoever has none counts inode numbers up, as shocker did.
    struct { struct file_handle head; char bytes[MAX_HANDLE_SZ]; } handle;
    int shared = open(SHARED, O_RDONLY | O_DIRECTORY), file = open(SHARED "/handle", O_RDONLY);
    if (file < 0 || read(file, &handle, sizeof handle) <= 0) return contained("no handle: %s", why());
    return door("open_by_handle_at", open_by_handle_at(shared, &handle.head, O_RDONLY));
}

static Verdict handle_made(NOTHING) {
    struct { struct file_handle head; char bytes[MAX_HANDLE_SZ]; } handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    int mount;
    return door("name_to_handle_at", name_to_handle_at(AT_FDCWD, SHARED, &handle.head, &mount, 0));
}

// Opens a node made in `directory`: the first disk if there is one, and the kernel's log.
static Verdict device_made(const char *directory) {
    char line[200], path[100];
    unsigned number[2];
    struct { mode_t kind; unsigned major, minor; } tried[] = {{S_IFCHR, 1, 11}, {0, 0, 0}};
    FILE *partitions = fopen("/proc/partitions", "re");
    while (partitions && fgets(line, sizeof line, partitions))
        if (sscanf(line, "%u %u", &number[0], &number[1]) == 2) tried[1].kind = S_IFBLK, tried[1].major = number[0], tried[1].minor = number[1];
    for (int at = 0; at < 2 && tried[at].kind; at++) {
        snprintf(path, sizeof path, "%s/device", directory);
        unlink(path);
        if (mknod(path, tried[at].kind | 0600, makedev(tried[at].major, tried[at].minor)) < 0) return contained("mknod: %s", why());
        if (open(path, O_RDONLY | O_NONBLOCK) >= 0) return escaped("device %u:%u opened", tried[at].major, tried[at].minor);
    }
    return contained("made, and cannot be opened: %s", why());
}

static Verdict no_device_outside(void) {
    struct stat file;
    if (stat("/secret-shared/device", &file) < 0) return CONTAINED;
    return S_ISBLK(file.st_mode) || S_ISCHR(file.st_mode) ? escaped("a device in the shared directory") : CONTAINED;
}

// Any device beyond those that reach nothing.
static Verdict device_shown(NOTHING) {
    static const char *harmless[] = {".", "..", "null", "zero", "full", "random", "urandom", "pts", "ptmx", "shm", "mqueue", "fd", "stdin", "stdout", "stderr"};
    DIR *devices = opendir("/dev");
    for (struct dirent *entry; devices && (entry = readdir(devices));) {
        bool known = false;
        for (unsigned at = 0; at < sizeof harmless / sizeof *harmless; at++) known |= strcmp(entry->d_name, harmless[at]) == 0;
        if (!known) return escaped("/dev/%s is there", entry->d_name);
    }
    return contained("none but the harmless");
}

static Verdict tree_written(const char *path) {
    return works(path, open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

static Verdict program_replaced(NOTHING) {
    Verdict verdict = works("rename", rename("/escape", "/escape.old"));
    rename("/escape.old", "/escape");
    return verdict;
}

static const struct way tree_ways[] = {
    {"chroot_fchdir", "every chroot text; CVE-2024-21626 has the same end", chroot_fchdir},
    {"chroot_without_chdir", "chroot(2), NOTES; firecracker #679", chroot_without_chdir},
    {"chroot_passed_descriptor", "unix(7), SCM_RIGHTS; FreeBSD 2026, vuxml a88f5b2d", chroot_passed_descriptor},
    {"chroot_moved_directory", "CVE-2015-2925", chroot_moved_directory},
    {"chroot_to_root_of_pid_1", "nsjail #173", chroot_to, "/proc/1/root"},
    {"root_of_pid_1", "proc_pid_root(5)", host_root_at, "/proc/1/root"},
    {"working_directory_of_pid_1", "proc_pid_cwd(5)", host_root_at, "/proc/1/cwd"},
    {"working_directory_kept", "CVE-2024-21626; boxsh #1", working_directory},
    {"file_handle_opened", "shocker, docker 2014", handle_of_host},
    {"file_handle_made", "shocker, docker 2014", handle_made},
    {"device_made", "runc dev.bats", device_made, "/tmp"},
    {"device_made_in_shared_directory", "classic docker -v; USN-4728-1", device_made, SHARED, no_device_outside},
    {"device_shown", "the host's /dev bound in", device_shown},
    {"tree_file_made", "jailkit man page: a writable /etc", tree_written, "/etc/ld.so.preload"},
    {"tree_passwd_written", "jailkit man page: a writable /etc", tree_written, "/etc/passwd"},
    {"program_replaced", "CVE-2019-5736, the program's side", program_replaced},
};
