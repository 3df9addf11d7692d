/* Tries to take hold of every process that appears in its PID namespace and is stockade's still: CVE-2016-9962, CVE-2019-5736.
   Ends when there is a file /tmp/end, with what it got hold of, and how often it tried. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static long tried, got;

static int is_stockade(int pid) {
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return 0;
    ssize_t length = read(fd, name, sizeof name - 1);
    close(fd);
    return length > 0 && strncmp(name, "stockade", 8) == 0;
}

static void hold(int pid, const char *what) {
    /* What was opened may be of the program by now, which is as good as this one. */
    if (is_stockade(pid)) {
        printf("got %s\n", what);
        got++;
    }
}

static void grab(int pid) {
    static const char *const names[] = {"mem", "root", "cwd", "exe", "fd/0", "environ", "maps", "ns/mnt", "fd/1"};
    char path[64];
    tried++;
    for (int at = 0; at < 9; at++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, names[at]);
        int fd = open(path, O_RDONLY);
        if (fd < 0) continue;
        char byte;
        int readable = at != 5 && at != 6;
        /* environ and maps can be opened by their mode, and are empty then. */
        if (readable || read(fd, &byte, 1) > 0) hold(pid, names[at]);
        close(fd);
    }
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
    if (process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0) hold(pid, "process_vm_readv");
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
        hold(pid, "ptrace");
        ptrace(PTRACE_DETACH, pid, 0, 0);
    }
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    printf("ready\n");
    while (access("/tmp/end", F_OK) != 0) {
        for (int turn = 0; turn < 100; turn++) {
            DIR *list = opendir("/proc");
            for (struct dirent *entry; list && (entry = readdir(list));) {
                int pid = atoi(entry->d_name);
                if (pid > 1 && pid != getpid() && is_stockade(pid)) grab(pid);
            }
            if (list) closedir(list);
        }
        while (waitpid(-1, 0, WNOHANG) > 0) {}
    }
    printf("%s after %s\n", got ? "got hold" : "got nothing", tried ? "trying" : "no try");
    return 0;
}
