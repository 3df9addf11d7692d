// System calls one by one, with arguments that harm nothing, and what became of each: one line an answer, errors by the
// kernel's names. With arguments, only the probes named.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Newer than some headers.
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#endif
enum { cachestat_number = 451, fchmodat2_number = 452, statmount_number = 457 };

static char *const *wanted;

static int is_wanted(const char *name) {
    if (!*wanted) return 1;
    for (char *const *each = wanted; *each; each++)
        if (!strcmp(*each, name)) return 1;
    return 0;
}

// Whether the limit on core files is what it is in every jail, after it was set otherwise.
static long core_kept_of(pid_t process, long result) {
    struct { uint64_t soft, hard; } now;
    if (result < 0) return result;
    if (syscall(SYS_prlimit64, process, RLIMIT_CORE, NULL, &now)) return -1;
    if (now.soft == 1) return 0;
    errno = ECANCELED;
    return -1;
}

static long core_kept(long result) {
    return core_kept_of(0, result);
}

#define PROBE(name, call)                                                              \
    do {                                                                               \
        if (is_wanted(name)) {                                                         \
            errno = 0;                                                                 \
            long result = (long)(call);                                                \
            printf("%s: %s\n", name, result < 0 ? strerrorname_np(errno) : "ok");      \
            fflush(stdout);                                                            \
        }                                                                              \
    } while (0)

// The same in a child, for what ends the process or changes it.
#define PROBE_APART(name, call)                                                        \
    do {                                                                               \
        if (is_wanted(name)) {                                                         \
            pid_t child = fork();                                                      \
            if (child == 0) {                                                          \
                errno = 0;                                                             \
                long result = (long)(call);                                            \
                _exit(result < 0 ? errno : 0);                                         \
            }                                                                          \
            int status = 0;                                                            \
            waitpid(child, &status, 0);                                                \
            if (WIFSIGNALED(status)) printf("%s: SIG%s\n", name, sigabbrev_np(WTERMSIG(status))); \
            else printf("%s: %s\n", name, WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "ok"); \
            fflush(stdout);                                                            \
        }                                                                              \
    } while (0)

// clone(2) as fork(2) with more flags; its child ends at once.
static long with_flags(unsigned long flags) {
    long child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    if (child > 0) waitpid(child, NULL, 0);
    return child;
}

static long opened(int fd) {
    if (fd >= 0) close(fd);
    return fd;
}

// A bit that only registers of 64 bits have.
#if __SIZEOF_LONG__ == 8
static const long above = 1L << 32;
#else
static const long above = 0;
#endif

#ifdef __x86_64__
// getpid(2) by the numbers of 32-bit x86.
static long by_interrupt(void) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
    return result;
}
#endif

int main(int argc, char **argv) {
    (void)argc;
    wanted = argv + 1;
    umask(0);
    if (chdir("/tmp") != 0) return 1;
    int file = open("file", O_CREAT | O_RDWR, 0600);

    PROBE("fork", with_flags(0));
    PROBE("clone of a namespace", with_flags(CLONE_NEWUSER));
    PROBE("clone of a network", with_flags(CLONE_NEWNET | above));
    PROBE("clone3", syscall(SYS_clone3, NULL, 0));
    PROBE_APART("unshare of files", unshare(CLONE_FILES));
    PROBE_APART("unshare of a user namespace", unshare(CLONE_NEWUSER));
    PROBE_APART("unshare of a time namespace", unshare(0x80));
    PROBE("setns", setns(-1, 0));

    PROBE("mount", syscall(SYS_mount, NULL, NULL, NULL, 0, NULL));
    PROBE("umount2", syscall(SYS_umount2, NULL, 0));
    PROBE("pivot_root", syscall(SYS_pivot_root, NULL, NULL));
    PROBE("open_tree", syscall(SYS_open_tree, -1, NULL, 0));
    PROBE("move_mount", syscall(SYS_move_mount, -1, NULL, -1, NULL, 0));
    PROBE("fsopen", syscall(SYS_fsopen, NULL, 0));
    PROBE("mount_setattr", syscall(SYS_mount_setattr, -1, NULL, ~0u, NULL, 0));
    PROBE("statmount", syscall(statmount_number, NULL, NULL, 0, 0));
    PROBE("chroot", syscall(SYS_chroot, "."));

    PROBE("chmod", fchmod(file, 01700));
    PROBE("fchmod of set-user-id", fchmod(file, 04700));
    PROBE("fchmod of set-group-id", fchmod(file, 02710));
    PROBE("fchmod with bits above", syscall(SYS_fchmod, file, 04700 | above));
    PROBE("fchmodat of set-user-id", fchmodat(AT_FDCWD, "file", 04700, 0));
    PROBE("fchmodat2 of set-user-id", syscall(fchmodat2_number, AT_FDCWD, "file", 04700, 0));
    PROBE("open of set-user-id", opened(openat(AT_FDCWD, "new", O_CREAT | O_WRONLY, 04700)));
    PROBE("unnamed file of set-user-id", opened(openat(AT_FDCWD, ".", O_TMPFILE | O_WRONLY, 06700)));
    PROBE("open with a mode that does not count", opened(syscall(SYS_openat, AT_FDCWD, "file", O_RDONLY, 06777)));
    PROBE("mknod of set-user-id", mknodat(AT_FDCWD, "node", S_IFREG | 04700, 0));
    PROBE("openat2", syscall(SYS_openat2, AT_FDCWD, NULL, NULL, 0));
    PROBE("mkdir", mkdirat(AT_FDCWD, "directory", 06700));
    PROBE("mkfifo", mkfifo("fifo", 0600));
    PROBE("mknod of a device", mknodat(AT_FDCWD, "device", S_IFCHR | 0600, 0x103));
#ifdef SYS_chmod
    PROBE("old chmod", syscall(SYS_chmod, "file", 04700));
    PROBE("old open", opened(syscall(SYS_open, "new", O_CREAT | O_WRONLY, 02710)));
    PROBE("old creat", opened(syscall(SYS_creat, "new", 04700)));
    PROBE("old mknod", syscall(SYS_mknod, "node", S_IFREG | 04700, 0));
#endif
    PROBE("memfd", opened(memfd_create("probe", MFD_CLOEXEC)));
    PROBE("memfd that is never executed", opened(memfd_create("probe", MFD_CLOEXEC | MFD_NOEXEC_SEAL)));
    PROBE("name_to_handle_at", syscall(SYS_name_to_handle_at, -1, NULL, NULL, NULL, 0));
    PROBE("open_by_handle_at", syscall(SYS_open_by_handle_at, -1, NULL, 0));
    PROBE("fanotify_init", syscall(SYS_fanotify_init, ~0u, 0));
    PROBE("quotactl", syscall(SYS_quotactl, ~0u, NULL, 0, NULL));

    PROBE("unix socket", opened(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    PROBE("tcp socket", opened(socket(AF_INET, SOCK_STREAM, 0)));
    PROBE("udp socket", opened(socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP)));
    PROBE("raw socket", opened(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)));
    PROBE("sctp socket", opened(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)));
    PROBE("packet socket", opened(socket(AF_PACKET, SOCK_DGRAM, 0)));
    PROBE("vsock", opened(socket(AF_VSOCK, SOCK_STREAM, 0)));
    PROBE("vsock with bits above", opened(syscall(SYS_socket, AF_VSOCK | above, SOCK_STREAM, 0)));
    PROBE("alg socket", opened(socket(AF_ALG, SOCK_SEQPACKET, 0)));
    PROBE("route socket", opened(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)));
    PROBE("netlink of another kind", opened(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG)));
    int pair[2];
    PROBE("socket pair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    PROBE("datagram pair", socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    PROBE("tipc pair", socketpair(AF_TIPC, SOCK_STREAM, 0, pair));

    PROBE("ioctl", ioctl(-1, FIONREAD, NULL));
    PROBE("TIOCSTI", ioctl(-1, TIOCSTI, "x"));
    PROBE("TIOCSTI with bits above", syscall(SYS_ioctl, -1, TIOCSTI | above, "x"));
    PROBE("TIOCLINUX", ioctl(-1, TIOCLINUX, "x"));
    PROBE("TIOCSETD", ioctl(-1, TIOCSETD, "x"));

    PROBE_APART("ptrace", syscall(SYS_ptrace, 0, 0, 0, 0));
    PROBE("process_vm_readv", syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0));
    PROBE("kcmp", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
    PROBE("pidfd_getfd", syscall(SYS_pidfd_getfd, -1, 0, 0));
    PROBE("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    PROBE("bpf", syscall(SYS_bpf, ~0u, NULL, 0));
    PROBE("userfaultfd", syscall(SYS_userfaultfd, ~0u));
    PROBE("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
    PROBE("keyctl", syscall(SYS_keyctl, ~0u, 0, 0, 0, 0));
    PROBE("add_key", syscall(SYS_add_key, NULL, NULL, NULL, 0, 0));
    PROBE("request_key", syscall(SYS_request_key, NULL, NULL, NULL, 0));

    PROBE("get_mempolicy", syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0));
    PROBE("mbind", syscall(SYS_mbind, NULL, 0, ~0u, NULL, 0, 0));
    PROBE("move_pages", syscall(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0));
    PROBE("memfd_secret", syscall(447, ~0u));
    PROBE("asking for the personality", personality(0xffffffff));
    PROBE("the personality of the manifest", personality(0));
    PROBE_APART("another personality", syscall(SYS_personality, ADDR_NO_RANDOMIZE));
    PROBE_APART("another personality with bits above", syscall(SYS_personality, READ_IMPLIES_EXEC | above));
#ifdef SYS_modify_ldt
    PROBE("modify_ldt", syscall(SYS_modify_ldt, 0, NULL, 0));
    PROBE("iopl", syscall(SYS_iopl, 0));
    PROBE("ioperm", syscall(SYS_ioperm, ~0ul, 0, 0));
#endif
    PROBE("clock_settime", syscall(SYS_clock_settime, 0, NULL));
    PROBE("adjtimex", syscall(SYS_adjtimex, NULL));
    PROBE("syslog", syscall(SYS_syslog, ~0u, NULL, 0));
    PROBE("init_module", syscall(SYS_init_module, NULL, 0, NULL));
    PROBE("kexec_load", syscall(SYS_kexec_load, 0, ~0ul, NULL, ~0ul));
    PROBE("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
    PROBE("swapon", syscall(SYS_swapon, NULL, ~0u));
    PROBE("acct", syscall(SYS_acct, "/tmp/nothing"));
    PROBE("sethostname", syscall(SYS_sethostname, NULL, ~0u));
#ifdef SYS_ustat
    PROBE("ustat", syscall(SYS_ustat, 0, NULL));
#endif

    PROBE("cachestat", syscall(cachestat_number, -1, NULL, NULL, 0));
    PROBE("a call of the future", syscall(1000));
    PROBE("no call", syscall(-1));
#ifdef __x86_64__
    PROBE_APART("x32", syscall(0x40000000 | SYS_getpid));
    PROBE_APART("int 0x80", by_interrupt());
#endif
    struct rlimit none = {0, 0}, old;
    struct { uint64_t soft, hard; } wide = {0, 0}, old_wide;
    PROBE_APART("lowering the limit on core files", core_kept(syscall(SYS_setrlimit, RLIMIT_CORE, &none)));
    PROBE_APART("lowering it by the C library", core_kept(setrlimit(RLIMIT_CORE, &none)));
    PROBE_APART("lowering it by prlimit", core_kept(syscall(SYS_prlimit64, 0, RLIMIT_CORE, &wide, NULL)));
    PROBE_APART("lowering it in another process", core_kept_of(getppid(), syscall(SYS_prlimit64, getppid(), RLIMIT_CORE, &wide, NULL)));
    PROBE_APART("lowering it and asking for the old one", core_kept(syscall(SYS_prlimit64, 0, RLIMIT_CORE, &wide, &old_wide)));
    PROBE("asking for it", getrlimit(RLIMIT_CORE, &old));
    PROBE("asking for it by prlimit", syscall(SYS_prlimit64, 0, RLIMIT_CORE, NULL, &old_wide));
    PROBE_APART("lowering another limit", setrlimit(RLIMIT_FSIZE, &none));
    PROBE_APART("setuid", setuid(getuid()));
    char *const nothing[] = {NULL};
    PROBE_APART("execve", execve("/missing", nothing, nothing));
    return 0;
}
