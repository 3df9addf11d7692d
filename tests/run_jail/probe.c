// What a test asks from inside a jail and a shell cannot. Prints one line an answer; errors by the kernel's names.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

static void say(const char *what, long result) {
    printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
    fflush(stdout);
}

static char grab[] = "some memory";

static struct __user_cap_header_struct capability_header = {.version = _LINUX_CAPABILITY_VERSION_3};

// The permitted set.
static void permitted(void) {
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &capability_header, sets) == 0) printf("permitted %x\n", sets[0].permitted);
    fflush(stdout);
}

static struct sockaddr_in address(const char *host, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &to.sin_addr);
    return to;
}

// bind HOST PORT
static void bind_to(const char *host, int port) {
    struct sockaddr_in to = address(host, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    say("bind", bind(fd, (void *)&to, sizeof to));
}

// A server and a client on 127.0.0.1, and a connection to a network that is not there.
static void network(void) {
    struct sockaddr_in here = address("127.0.0.1", 8080), away = address("192.0.2.1", 80);
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    char text[3] = "";
    say("bind", bind(server, (void *)&here, sizeof here));
    say("listen", listen(server, 1));
    say("connect", connect(client, (void *)&here, sizeof here));
    int served = accept(server, NULL, NULL);
    say("write", write(client, "hi", 2));
    say("read", read(served, text, 2));
    puts(text);
    say("away", connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&away, sizeof away));
}

// A user namespace inside the jail's, by both calls that make one.
static void nest(void) {
    say("unshare", unshare(CLONE_NEWUSER));
    long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) _exit(0);
    say("clone", child);
}

static void pseudo_terminal(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    say("posix_openpt", master);
    say("grantpt", -(grantpt(master) != 0));
    say("unlockpt", -(unlockpt(master) != 0));
    const char *name = ptsname(master);
    puts(name ? name : "no name");
    int slave = open(name ? name : "", O_RDWR | O_NOCTTY);
    say("open", slave);
    char text[6] = "";
    say("write", write(slave, "hello", 5));
    say("read", read(master, text, 5));
    puts(text);
}

// Puts a command line into the terminal, as if it were typed.
static void type_at(const char *name, const char *text) {
    int fd = open(name, O_RDWR | O_NOCTTY);
    if (fd < 0) {
        say("open", fd);
        return;
    }
    long result = 0;
    for (; *text && result == 0; text++) result = ioctl(fd, TIOCSTI, text);
    if (result == 0) result = ioctl(fd, TIOCSTI, "\n");
    say("TIOCSTI", result);
}

static void descriptors(void) {
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0) {
            struct stat file;
            fstat(fd, &file);
            const char *kind = S_ISCHR(file.st_mode) ? "device" : S_ISFIFO(file.st_mode) ? "pipe" : "other";
            if (S_ISCHR(file.st_mode) && file.st_rdev == 0x103) kind = "null";
            printf("%d: %s%s\n", fd, kind, isatty(fd) ? ", a terminal" : "");
        }
}


// Prints the name of each signal it gets, until SIGTERM.
static void signals(void) {
    const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCONT, SIGWINCH};
    sigset_t set;
    sigemptyset(&set);
    for (unsigned at = 0; at < sizeof numbers / sizeof *numbers; at++) sigaddset(&set, numbers[at]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    puts("ready");
    fflush(stdout);
    for (int number = 0; number != SIGTERM;) {
        if (sigwait(&set, &number) == 0) printf("%s\n", sigabbrev_np(number));
        fflush(stdout);
    }
}

// Writes the terminal's size now and whenever it changes, until SIGTERM.
static void sizes(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int number = 0; number != SIGTERM;) {
        struct winsize size = {0};
        ioctl(1, TIOCGWINSZ, &size);
        printf("size %d %d\n", size.ws_row, size.ws_col);
        fflush(stdout);
        sigwait(&set, &number);
    }
}

// Grandchildren whose parents end before them: init's to reap. Then no other process may be left, not even a zombie.
static void orphans(void) {
    for (int at = 0; at < 5; at++) {
        if (fork() == 0) {
            if (fork() == 0) {
                usleep(10000);
                _exit(0);
            }
            _exit(0);
        }
        wait(NULL);
    }
    for (int tries = 0; tries < 500; tries++) {
        int left = 0;
        // PID 1 and this one are there; any other number is an orphan, ended or not.
        for (int pid = 2; pid < 100; pid++)
            if (pid != getpid() && kill(pid, 0) == 0) left++;
        if (left == 0) {
            puts("all reaped");
            return;
        }
        usleep(10000);
    }
    puts("orphans are left");
}

// Fills a file until the file system is full.
static void fill(const char *path) {
    static char block[4096];
    long total = 0, count;
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    if (fd < 0) {
        say("open", fd);
        return;
    }
    while ((count = write(fd, block, sizeof block)) > 0) total += count;
    printf("%ld bytes, then %s\n", total, strerrorname_np(errno));
}

// Makes empty files until there are no inodes left.
static void fill_inodes(const char *directory) {
    char path[200];
    for (int at = 0; at < 10000; at++) {
        snprintf(path, sizeof path, "%s/%d", directory, at);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        if (fd < 0) {
            printf("%d files, then %s\n", at, strerrorname_np(errno));
            return;
        }
        close(fd);
    }
}

// What root with CAP_SYS_ADMIN could undo of a jail's mounts.
static void undo_mounts(void) {
    say("remount", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    say("write", open("/new", O_CREAT | O_WRONLY, 0600));
    say("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    say("umount", umount2("/proc", MNT_DETACH));
    say("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */));
    say("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
}

// Every kind of change in a directory: one answer a kind.
static void change(const char *directory) {
    if (chdir(directory) != 0) return say("chdir", -1);
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
    say("mkdir", mkdir("below", 0755));
    say("create", open("file", O_CREAT | O_WRONLY, 0644));
    say("truncate", truncate("file", 0));
    say("link", link("file", "second"));
    say("link into another directory", link("file", "below/third"));
    say("rename into another directory", rename("second", "below/second"));
    say("symlink", symlink("file", "link"));
    say("mkfifo", mkfifo("fifo", 0600));
    say("bind", bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, sizeof name));
    say("mknod character", mknod("character", S_IFCHR | 0600, 0x103));
    say("mknod block", mknod("block", S_IFBLK | 0600, 0x700));
    say("unlink", unlink("below/second"));
    say("unlink", unlink("below/third"));
    say("rmdir", rmdir("below"));
}

// Connects to a socket in the abstract name space; one of the jail's own if NAME is empty.
static void abstract(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", name);
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address.sun_path + 1);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (!*name) {
        // A name that nobody has in this network, see "Autobind feature" in unix(7).
        say("bind", bind(server, (void *)&address, sizeof address.sun_family));
        length = sizeof address;
        getsockname(server, (void *)&address, &length);
        say("listen", listen(server, 1));
    }
    say("connect", connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, length));
}

// Opens a file in each way.
static void open_as(const char *path) {
    say("read", open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK));
    say("write", open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK));
    say("both", open(path, O_RDWR | O_NOCTTY | O_NONBLOCK));
    say("cut", open(path, O_WRONLY | O_TRUNC | O_NOCTTY | O_NONBLOCK));
}

// Everything but reading and writing that can be done to a file by a descriptor of it.
static void meddle(int fd) {
    say("fchmod", fchmod(fd, 06777));
    say("fchown", fchown(fd, getuid(), getgid()));
    say("futimens", futimens(fd, NULL));
    say("fsetxattr", fsetxattr(fd, "user.stockade", "x", 1, 0));
    say("ftruncate", ftruncate(fd, 0));
    say("F_SETFL", fcntl(fd, F_SETFL, 0));
    say("pwrite", pwrite(fd, "X", 1, 0));
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    say("open for both", open(path, O_RDWR));
    say("chmod", chmod(path, 06777));
}

// Exchanges the connection that standard input is for one to a port of 127.0.0.1.
static void reconnect(int port) {
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct sockaddr_in to = address("127.0.0.1", port);
    say("disconnect", connect(0, &none, sizeof none));
    say("connect", connect(0, (void *)&to, sizeof to));
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "", *first = count > 2 ? arguments[2] : "";
    const char *second = count > 3 ? arguments[3] : "";
#define IS(name) (strcmp(what, name) == 0)
    if (IS("exit")) return atoi(first);
    // keyctl(2): with a key in a session keyring of its own, becomes ARGUMENTS; looks for that key.
    if (IS("hold-key")) {
        syscall(SYS_keyctl, 1 /* JOIN_SESSION_KEYRING */, NULL);
        if (syscall(SYS_add_key, "user", "stockade-test", "secret", 6, -3 /* SESSION */) < 0) return 2;
        execv(first, arguments + 2);
        return 3;
    }
    if (IS("find-key")) say("key", syscall(SYS_keyctl, 10 /* SEARCH */, -3, "user", "stockade-test", 0));
    if (IS("die")) {
        raise(atoi(first));
        return 1;
    }
    if (IS("bind")) bind_to(first, atoi(second));
    if (IS("network")) network();
    if (IS("nest")) nest();
    if (IS("pty")) pseudo_terminal();
    if (IS("type")) type_at(first, second);
    if (IS("descriptors")) descriptors();
    if (IS("signals")) signals();
    if (IS("sizes")) sizes();
    if (IS("orphans")) orphans();
    if (IS("fill")) fill(first);
    if (IS("fill-inodes")) fill_inodes(first);
    if (IS("undo-mounts")) undo_mounts();
    if (IS("change")) change(first);
    if (IS("meddle")) meddle(atoi(first));
    if (IS("chmod-null")) say("fchmod", fchmod(atoi(first), 0666));
    if (IS("reconnect")) reconnect(atoi(first));
    if (IS("abstract")) abstract(first);
    if (IS("open")) open_as(first);
    if (IS("personality")) printf("%08x\n", personality(0xffffffff));
    if (IS("nice")) printf("%d\n", getpriority(PRIO_PROCESS, 0));
    if (IS("securebits")) printf("%d\n", prctl(PR_GET_SECUREBITS));
    if (IS("careless")) {
        // A caller who has something odd of everything that is inherited, as far as it may, runs what follows.
        personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC);
        prctl(PR_SET_TIMERSLACK, 1);
        setpriority(PRIO_PROCESS, 0, -5);
        syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 0);  // best effort, first
        unsigned long node = 1;
        syscall(SYS_set_mempolicy, 3, &node, 64);  // MPOL_INTERLEAVE
        prctl(67, 1, 0, 0, 0);  // PR_SET_MEMORY_MERGE
        FILE *score = fopen("/proc/self/oom_score_adj", "w");
        if (score) {
            fputs("-500", score);
            fclose(score);
        }
        struct rlimit limit;
        int raised[] = {RLIMIT_CORE, RLIMIT_STACK, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_MEMLOCK};
        for (unsigned at = 0; at < sizeof raised / sizeof *raised; at++) {
            getrlimit(raised[at], &limit);
            limit.rlim_cur = limit.rlim_max;
            setrlimit(raised[at], &limit);
        }
        umask(0);
        execv(first, arguments + 2);
    }
    if (IS("bomb")) {
        int made = 0;
        while (made < 5000) {
            int pid = fork();
            if (pid < 0) break;
            if (pid == 0) {
                pause();
                _exit(0);
            }
            made++;
        }
        printf("made %d\n", made);
    }
    if (IS("circumstances")) {
        int policy = -1;
        syscall(SYS_get_mempolicy, &policy, NULL, 0, NULL, 0);
        printf("personality %x\ntimer slack %d\nnice %d\n", personality(0xffffffff), prctl(PR_GET_TIMERSLACK), getpriority(PRIO_PROCESS, 0));
        printf("io %ld\nmemory policy %d\numask %o\n", syscall(SYS_ioprio_get, 1, 0), policy, umask(0));
        printf("merging %d\n", prctl(68, 0, 0, 0, 0) == 1);  // PR_GET_MEMORY_MERGE
        int kept[] = {RLIMIT_CORE, RLIMIT_STACK, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_NICE, RLIMIT_RTPRIO};
        const char *names[] = {"core", "stack", "files", "processes", "locked", "nice", "rtprio"};
        for (unsigned at = 0; at < sizeof kept / sizeof *kept; at++) {
            struct rlimit limit;
            getrlimit(kept[at], &limit);
            printf("%s %ld\n", names[at], (long)limit.rlim_cur);
        }
    }
    if (IS("grab")) {
        // Everything that would read another process's memory or take its descriptors.
        int pid = atoi(first), fd;
        char path[64], byte;
        struct iovec to = {&byte, 1}, from = {grab, 1};
        snprintf(path, sizeof path, "/proc/%d/mem", pid);
        say("open mem", fd = open(path, O_RDONLY));
        if (fd >= 0) close(fd);
        say("process_vm_readv", process_vm_readv(pid, &to, 1, &from, 1, 0));
        int pidfd = syscall(SYS_pidfd_open, pid, 0);
        if (pidfd >= 0) say("pidfd_getfd", syscall(SYS_pidfd_getfd, pidfd, 0, 0));
        say("ptrace", ptrace(PTRACE_SEIZE, pid, 0, 0));
    }
    if (IS("set-securebits")) say("PR_SET_SECUREBITS", prctl(PR_SET_SECUREBITS, atoi(first)));
    if (IS("keep-capabilities")) {
        permitted();
        say("PR_SET_KEEPCAPS", prctl(PR_SET_KEEPCAPS, 1));
        say("setresuid", setresuid(1, 1, 1));
        permitted();
        struct __user_cap_data_struct keep[2] = {{.effective = 1 << 10, .permitted = 1 << 10}};
        say("capset", syscall(SYS_capset, &capability_header, keep));
        permitted();
    }
    if (IS("leave-root")) {
        permitted();
        say("setresuid", setresuid(1, 1, 1));
        permitted();
    }
    if (IS("setcap")) {
        // Every capability there is, effective at once: see linux/capability.h, struct vfs_cap_data.
        unsigned data[5] = {0x02000001, ~0u, 0, 0x1ff, 0};
        say("setxattr", setxattr(first, "security.capability", data, sizeof data, 0));
    }
    if (IS("ids")) {
        uid_t real, effective, saved;
        getresuid(&real, &effective, &saved);
        printf("uid %d %d %d\n", real, effective, saved);
    }
    if (IS("rights")) {
        // What root without capabilities cannot do.
        say("chown", chown("/tmp/file", 1, 1));
        say("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
        say("umount", umount2("/proc", MNT_DETACH));
        say("sethostname", sethostname("x", 1));
        say("chroot", chroot("/tmp"));
        say("mknod", mknod("/tmp/node", S_IFCHR | 0600, 0x103));
        say("setuid", setuid(12345));
        say("kill 1", kill(1, 0));
    }
    if (IS("closed")) {
        // Ends its output but not itself.
        puts("last words");
        fflush(stdout);
        for (int fd = 0; fd < 3; fd++) close(fd);
        pause();
    }
    if (IS("pause")) {
        puts("ready");
        fflush(stdout);
        for (;;) pause();
    }
    if (IS("count-enlarging")) {
        // All that comes, by little pieces, from a pipe that is made as large as may be before each.
        char piece[70];
        long all = 0;
        for (ssize_t count; fcntl(0, F_SETPIPE_SZ, 1 << 20), (count = read(0, piece, sizeof piece)) > 0;) all += count;
        printf("%ld\n", all);
    }
    if (IS("flood")) {
        // Many lines to the terminal, and the end right after them.
        static char line[101];
        memset(line, 'x', 99);
        line[99] = '\n';
        for (int at = 0; at < atoi(first); at++)
            if (write(1, line, 100) < 0) return 2;
    }
    if (IS("forks")) {
        // As many children as there may be, at most so many: how many that were.
        int made = 0;
        while (made < atoi(first)) {
            pid_t child = fork();
            if (child < 0) break;
            if (child == 0) for (;;) pause();
            made++;
        }
        printf("%d\n", made);
    }
    if (IS("stop-often")) {
        // A child stops this process again and again.
        int times = atoi(first);
        if (fork() == 0) {
            for (int at = 0; at < times; at++) {
                kill(getppid(), SIGSTOP);
                usleep(200);
                kill(getppid(), SIGCONT);
                usleep(200);
            }
            kill(getppid(), SIGCONT);
            _exit(0);
        }
        int status;
        while (wait(&status) < 0) continue;
        puts("went on");
    }
    return 0;
}
