// What a contest's programs do, each by its name.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long count;

// Works for so many milliseconds of processor time, or for ever.
static void spin(long milliseconds) {
    for (;;) {
        for (int at = 0; at < 10000; at++) count++;
        struct timespec used;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        if (milliseconds && used.tv_sec * 1000 + used.tv_nsec / 1000000 >= milliseconds) return;
    }
}

// Writes until that fails, and tells why.
static int fill(int file) {
    static char zeros[4096];
    while (write(file, zeros, sizeof zeros) > 0) {}
    fprintf(stderr, "%s\n", strerror(errno));
    return 7;
}

static int deeper(int level) {
    volatile char room[1024];
    room[level % 1024] = (char)level;
    return deeper(level + 1) + room[0];
}

static void *work(void *nothing) {
    spin(0);
    return nothing;
}

int main(int words, char **word) {
    const char *what = words > 1 ? word[1] : "";
#define IS(name) (!strcmp(what, name))
    if (IS("right")) return puts("42") < 0;
    if (IS("wrong")) return 1;
    if (IS("sleep")) for (;;) pause();
    if (IS("deaf")) {
        for (int number = 1; number < 32; number++) signal(number, SIG_IGN);
        for (;;) pause();
    }
    if (IS("spin")) spin(0);
    if (IS("split")) {
        // Each for itself would be far below the limit.
        for (int at = 0; at < 5; at++)
            if (!fork()) spin(0);
        while (wait(NULL) > 0) {}
    }
    if (IS("relay") || IS("nobody-waits")) {
        if (IS("nobody-waits")) signal(SIGCHLD, SIG_IGN);
        for (;;) {
            if (!fork()) {
                spin(60);
                _exit(0);
            }
            while (wait(NULL) > 0) {}
        }
    }
    if (IS("eat"))
        for (;;) {
            char *piece = malloc(1 << 20);
            if (!piece) return 9;
            memset(piece, 1, 1 << 20);
        }
    if (IS("file") || IS("disk")) return fill(open("/tmp/file", O_CREAT | O_WRONLY, 0600));
    if (IS("output")) return fill(1);
    if (IS("bomb")) for (;;) fork();
    if (IS("stack")) return deeper(0);
    if (IS("abort")) abort();
    if (IS("divide")) {
        volatile int nothing = 0;
        count = (unsigned long)(words / nothing);
        // Some processors make nothing of it.
        raise(SIGFPE);
    }
    if (IS("pointer")) return *(volatile int *)8;
    if (IS("suicide")) raise(SIGKILL);
    if (!strncmp(what, "raise-", 6)) raise(atoi(what + 6));
    if (IS("pipe")) {
        int ends[2];
        if (pipe(ends) || close(ends[0])) return 3;
        return write(ends[1], "x", 1) > 0;
    }
    if (IS("orphans") || IS("leaves")) {
        // In sessions of their own, with nobody above them but PID 1.
        if (!fork()) {
            setsid();
            for (int at = 0; at < 3; at++)
                if (!fork()) spin(0);
            _exit(0);
        }
        wait(NULL);
        if (IS("leaves")) return 0;
        for (;;) pause();
    }
    if (IS("closes")) {
        for (int at = 0; at < 3; at++) close(at);
        for (;;) pause();
    }
    if (IS("stops")) raise(SIGSTOP);
    if (IS("threads")) {
        pthread_t thread;
        for (int at = 0; at < 4; at++) pthread_create(&thread, NULL, work, NULL);
        for (;;) pause();
    }
    return 2;
}
