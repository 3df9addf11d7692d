/* Runs a program step by step, with every process it makes, and prints each address below 16 MiB that was executed, in hexadecimal: which
 * parts of a static binary a start touches. Before it stands a sum: 1 if the first process was there before it had made another, 2 if
 * another process was, 4 if the first was later. See ptrace(2), PTRACE_SINGLESTEP. Used by `start-order`. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* Beyond this nothing of a binary that is not position-independent is loaded. */
#define LIMIT (16u << 20)

static unsigned char executed[LIMIT];

int main(int count, char **arguments) {
    if (count < 2) return 2;
    pid_t first = fork();
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(arguments[1], arguments + 1);
        _exit(127);
    }
    int status;
    if (waitpid(first, &status, 0) < 0 || !WIFSTOPPED(status)) return 1;
    ptrace(PTRACE_SETOPTIONS, first, 0,
           PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
    ptrace(PTRACE_SINGLESTEP, first, 0, 0);
    unsigned char phase = 1;
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
        if (!WIFSTOPPED(status)) {
            if (pid == first) break;
            continue;
        }
        /* The jailed program itself is not ours. */
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
            ptrace(PTRACE_DETACH, pid, 0, 0);
            continue;
        }
        if (pid == first && status >> 16 != 0) phase = 4;
        struct user_regs_struct registers;
        if (ptrace(PTRACE_GETREGS, pid, 0, &registers) == 0 && registers.rip < LIMIT)
            executed[registers.rip] |= pid == first ? phase : 2;
        int signal = WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP ? 0 : WSTOPSIG(status);
        ptrace(PTRACE_SINGLESTEP, pid, 0, signal);
    }
    for (unsigned at = 0; at < LIMIT; at++)
        if (executed[at]) printf("%d %x\n", executed[at], at);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
