// A caller that gives odd things: `gives KIND DESCRIPTOR COMMAND ARGUMENT...` runs the command with such a descriptor.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int open_kind(const char *kind) {
    static const struct { const char *name, *path; int flags; } files[] = {
        {"directory", "/", O_RDONLY},
        {"place", "/etc/passwd", O_PATH},
        {"place-of-a-directory", "/", O_PATH | O_DIRECTORY},
        {"mount-namespace", "/proc/self/ns/mnt", O_RDONLY},
        {"user-namespace", "/proc/self/ns/user", O_RDONLY},
        {"proc-status", "/proc/1/status", O_RDONLY},
        {"own-memory", "/proc/self/mem", O_RDWR},
        {"sysctl", "/proc/sys/kernel/hostname", O_RDONLY},
        {"sysfs", "/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY},
        {"memory", "/dev/mem", O_RDONLY},
        {"kernel-log", "/dev/kmsg", O_RDONLY},
        {"fuse", "/dev/fuse", O_RDWR},
        {"disk", "/dev/vda", O_RDONLY},
        {"loop", "/dev/loop0", O_RDONLY},
        {"null", "/dev/null", O_RDWR},
        {"zero", "/dev/zero", O_RDONLY},
        {"file", "/etc/passwd", O_RDONLY},
    };
    for (unsigned at = 0; at < sizeof files / sizeof *files; at++)
        if (strcmp(kind, files[at].name) == 0) return open(files[at].path, files[at].flags);
    sigset_t none;
    sigemptyset(&none);
    char parameters[200] = {0};
    int pair[2];
#define IS(name) (strcmp(kind, name) == 0)
    if (IS("epoll")) return epoll_create1(0);
    if (IS("eventfd")) return eventfd(1, 0);
    if (IS("signalfd")) return signalfd(-1, &none, 0);
    if (IS("timerfd")) return timerfd_create(CLOCK_MONOTONIC, 0);
    if (IS("inotify")) return inotify_init();
    if (IS("io_uring")) return syscall(SYS_io_uring_setup, 1, parameters);
    if (IS("userfaultfd")) return syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */);
    if (IS("process")) return syscall(SYS_pidfd_open, getppid(), 0);
    if (IS("memfd")) return memfd_create("given", 0);
    if (IS("netlink")) return socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
    if (IS("packet")) return socket(AF_PACKET, SOCK_DGRAM, 0);
    if (IS("raw")) return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    if (IS("vsock")) return socket(AF_VSOCK, SOCK_STREAM, 0);
    if (IS("udp")) return socket(AF_INET, SOCK_DGRAM, 0);
    if (IS("tcp")) return socket(AF_INET6, SOCK_STREAM, 0);
    if (IS("unix")) return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 ? pair[0] : -1;
    if (IS("pipe")) return pipe(pair) == 0 ? pair[0] : -1;
    return -1;
}

int main(int count, char **arguments) {
    if (count < 4) return 2;
    int given = open_kind(arguments[1]);
    if (given < 0) {
        perror(arguments[1]);
        return 77;
    }
    if (dup2(given, atoi(arguments[2])) < 0) return 3;
    execv(arguments[3], arguments + 3);
    return 4;
}
