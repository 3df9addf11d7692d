// What every way out uses. A way out is one function that tries it, from inside, and one that looks for the damage, outside.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/perf_event.h>
#include <linux/securebits.h>
#include <linux/userfaultfd.h>
#include <mqueue.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

// Calls that not every machine has: ENOSYS there.
#ifndef __x86_64__
enum { SYS_open = -1, SYS_creat = -1, SYS_mknod = -1, SYS_modify_ldt = -1, SYS_iopl = -1, SYS_ioperm = -1, SYS_sysfs = -1 };
#endif

// How an attempt went. ABSENT: this kernel has nothing of the kind, so that there is nothing to contain.
typedef enum { CONTAINED, ESCAPED, ABSENT } Verdict;

// The argument of a probe that needs none.
#define NOTHING __attribute__((unused)) const char *argument

struct way {
    const char *name, *source; // `source`: a CVE, or who described it or closed it
    Verdict (*probe)(const char *argument);
    const char *argument;
    Verdict (*check)(void); // by the host, afterwards
    unsigned flags;
};

enum {
    // What the caller hands down as standard descriptors.
    IN_TERMINAL = 1 << 0,
    IN_DIRECTORY = 1 << 1,
    IN_FILE = 1 << 2,
    ERR_LOG = 1 << 3,
    CLOSED_IN = 1 << 4,
    CLOSED_OUT = 1 << 5,
    CLOSED_ERR = 1 << 6,
    // The probe is the program itself, and not a child of it that may come to grief: it need not report.
    SILENT = 1 << 7,
    // Not to start at all is a way to contain it.
    MAY_REFUSE = 1 << 8,
    // The supervisor is killed while the program runs.
    KILL_SUPERVISOR = 1 << 9,
    // Shown on purpose where the manifest says `network = "host"`.
    HOST_NETWORK = 1 << 10,
    // An ordinary user's groups cannot be dropped in a user namespace, see user_namespaces(7).
    OWN_GROUPS = 1 << 11,
    // Uid 0 inside is uid 0 outside where root's jail has the host's network; `stockade plan` says so.
    HOST_ROOT = 1 << 12,
    // What `stockade once` has in /tmp may be executed: a compiler's output goes there.
    OWN_TMP = 1 << 13,
    // Of the caller's own again: pipes, one with a command still to come, one with what others have written.
    IN_PIPE = 1 << 14,
    ERR_PIPE = 1 << 15,
};

// Of the host.
#define CANARY "canary-of-the-host"          // a file in its root, and the name of many other things of its own
#define SECRET "secret-of-the-caller"        // in the caller's environment, files and arguments
#define CANARY_PID 30001                     // a process that minds its own business
#define CANARY_UID 4242                      // a user, and a group, that nobody else is
#define CANARY_PORT 4711                     // a service on the loopback interface
#define CANARY_ADDRESS "192.0.2.7"           // an address of the host
#define CANARY_KEY 0x57ACADE                 // of the System V kind
#define SHARED "/shared"                     // the directory shown writable inside
enum { LEAKED_DIRECTORY = 10, LEAKED_FILE, LEAKED_SOCKET, LEAKED_PIDFD, LEAKED_NAMESPACE, LEAKED_MASTER, LEAKED_HIGH = 3000 };

// The report, in memory that outlives whatever happens to the process, its root and its descriptors.
struct report {
    Verdict verdict;
    char text[300];
};
static struct report *report;
static bool plain; // Inside a plain chroot.

static Verdict say(Verdict verdict, const char *format, va_list values) {
    char text[sizeof report->text];
    vsnprintf(text, sizeof text, format, values);
    for (char *at = text; *at; at++)
        if (*at < ' ' || *at > '~') *at = ' ';
    report->verdict = verdict;
    strcpy(report->text, text);
    return verdict;
}

#define VERDICT(name, verdict)                                     \
    __attribute__((format(printf, 1, 2))) static Verdict name(const char *format, ...) { \
        va_list values;                                            \
        va_start(values, format);                                  \
        return say(verdict, format, values);                       \
    }
VERDICT(contained, CONTAINED)
VERDICT(escaped, ESCAPED)
VERDICT(absent, ABSENT)

static const char *why(void) { return strerrorname_np(errno); }

// A call that was refused or not. A kernel that refuses says so before it looks at the arguments, which are chosen so that
// they do nothing: any other error is as good as success.
static Verdict door(const char *call, long result) {
    if (result >= 0) return escaped("%s: works", call);
    if (errno == ENOSYS && plain) return absent("%s: not in this kernel", call);
    if (errno == EPERM || errno == EACCES || errno == ENOSYS) return contained("%s: %s", call, why());
    return escaped("%s: %s, so it was not refused", call, why());
}

// A call that did its work or not.
static Verdict works(const char *call, long result) {
    return result >= 0 ? escaped("%s: works", call) : contained("%s: %s", call, why());
}

// A call of the 32-bit kind: numbers differ there, so that a filter by number alone is walked round.
static long call_32(long number, long first, long second) {
    long result = -ENOSYS;
#ifdef __x86_64__
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(0), "S"(0), "D"(0) : "memory", "r8", "r9", "r10", "r11");
#else
    (void)number, (void)first, (void)second;
#endif
    if (result >= 0 || result < -4095) return result;
    errno = -result;
    return -1;
}

#define DOOR(name, call)                               \
    static Verdict name(NOTHING) {        \
        return door(#name, (call));                    \
    }
#define WORKS(name, call)                              \
    static Verdict name(NOTHING) {        \
        return works(#name, (call));                   \
    }

// Whether the host's root is this directory.
static bool is_host(int directory) { return faccessat(directory, CANARY, F_OK, 0) == 0; }

// From the working directory up, as far as it goes.
static Verdict climb(void) {
    for (int at = 0; at < 64; at++) {
        if (is_host(AT_FDCWD)) return escaped("the host's root is %d levels above", at);
        if (chdir("..") < 0) break;
    }
    return contained("nothing of the host above");
}

// Where a chroot itself stands in the way: as root, out of it first.
static void leave_chroot(void) {
    int here = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mkdir("/tmp/scratch", 0777);
    if (chroot("/tmp/scratch") < 0) return;
    fchdir(here);
    for (int at = 0; at < 64; at++) chdir("..");
    chroot(".");
}

static const char *scratch(void) {
    mkdir("/tmp/scratch", 0777);
    return "/tmp/scratch";
}

// A child that waits to be looked at.
static pid_t victim(void) {
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pause();
    }
    return pid;
}

// Runs this program again, in a child; its exit code.
static int execute(const char *path, const char *role) {
    pid_t pid = fork();
    if (pid == 0) {
        execl(path, "escape", role, NULL);
        _exit(errno == EACCES || errno == EPERM ? 99 : 98);
    }
    int status;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}
enum { RAN = 42 };

static int64_t field(const char *path, const char *name, int base) {
    char line[500];
    int64_t value = -1;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0) value = strtoull(line + strlen(name), NULL, base);
    if (file) fclose(file);
    return value;
}

static int copy(const char *from, int to) {
    char buffer[65536];
    int file = open(from, O_RDONLY | O_CLOEXEC);
    for (ssize_t length; (length = read(file, buffer, sizeof buffer)) > 0;) write(to, buffer, length);
    close(file);
    return to;
}

// Whether a file of /proc contains a text, with whatever stands between its NUL bytes.
static bool contains(const char *path, const char *text) {
    static char buffer[65536];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, buffer, sizeof buffer);
    close(file);
    return length > 0 && memmem(buffer, length, text, strlen(text));
}
