//! The texts of the last actions, by the program's own process.

use super::Text;

pub(super) const FORK_PROGRAM: Text = Text {
    why: "PID 1 has duties: it inherits every orphan of the namespace and must collect it, and signals it has no handler for do not \
          reach it. Most programs know nothing of this, so PID 1 stays ours (it forwards signals and reaps) and its child becomes the \
          program. From then on PID 1 needs a few system calls, and under no_new_privs a filter kills it for any other.",
    man: &["fork(2)", "pid_namespaces(7)", "wait(2)"],
    without: "As PID 1 a program without a handler for SIGTERM cannot be stopped but by SIGKILL from outside, and zombies pile up until no \
              process can be made.",
};

pub(super) const FORK_WITH_INPUT: Text = Text {
    why: "PID 1 stays ours: it forwards signals and reaps, as few programs can, and its child becomes the program. Standard input is a pipe that \
          belongs to the program's user, who could open it again by /proc/self/fd/0 and write to it. So the program has another pipe, \
          and PID 1 copies into that what comes. It takes out of the caller's only what the program has read.",
    man: &["fork(2)", "pid_namespaces(7)", "tee(2)", "proc_pid_fd(5)"],
    without: "What the program writes to its own input the next reader of that pipe takes for the caller's words: a shell that has its script \
              from there executes it, outside the jail.",
};

pub(super) const FORK_DAEMON: Text = Text {
    why: "A daemon of the old kind starts another process and ends at once. PID 1, which inherits what it leaves, ends only when nobody is \
          left, or when the program's own process ends with anything but status 0, since then nothing was started. Beside that it does \
          what every PID 1 of ours does: it reaps, passes signals on, and is held by a filter of its own under no_new_privs.",
    man: &["daemon(7)", "fork(2)", "pid_namespaces(7)", "wait(2)"],
    without: "The end of PID 1 kills every process of the namespace: the daemon would be gone in the moment in which it says that it has started.",
};

pub(super) const RESET_SIGNALS: Text = Text {
    why: "An ignored signal stays ignored across execve(2), and the signal mask is kept. The program gets what a program expects: \
          every signal at its default, none blocked.",
    man: &["sigaction(2)", "sigprocmask(2)", "signal(7)"],
    without: "Started by a caller that ignores SIGPIPE or SIGCHLD, `yes | head` never ends and wait(2) finds no child; with our own \
              mask, not even Ctrl-C would arrive.",
};

pub(super) const NEW_PROCESS_GROUP: Text = Text {
    why: "A signal sent to a group reaches each process in it. With a group of its own the program and its children can be stopped and \
          continued together, and PID 1 is not among them.",
    man: &["setpgid(2)", "credentials(7)"],
    without: "A program that signals its own group, as shells do with kill 0, would hit PID 1 as well; stopping the jail \
              would stop the one process that has to report it.",
};

pub(super) const FOREGROUND: Text = Text {
    why: "Of the groups in a session one has the terminal: it may read, and Ctrl-C and Ctrl-Z go to it. The program gets a group of its \
          own and that group the terminal, as a shell does it for each of its jobs.",
    man: &["setpgid(2)", "tcsetpgrp(3)", "credentials(7)"],
    without: "The program would be stopped by SIGTTIN at its first read from the terminal, and Ctrl-C would go to PID 1.",
};

pub(super) const CHANGE_DIRECTORY: Text = Text {
    why: "The working directory is a reference of its own, beside the root. It is set inside, as the program's user, so it can only be \
          a place that this user may enter.",
    man: &["chdir(2)", "path_resolution(7)"],
    without: "The program starts in `/` whatever it expects. And a working directory left outside the root is an open door, since \
              \"..\" and relative paths start there: CVE-2024-21626 in runc.",
};

pub(super) const VERIFY: Text = Text {
    why: "What was set is read back from the kernel and compared with the plan: ids, groups, capability sets, bounding set, \
          no_new_privs; and that the working directory has a path from the root. The program is executed only if all of it agrees; the \
          same step tells the supervisor who the program is.",
    man: &["getresuid(2)", "getgroups(2)", "capget(2)", "prctl(2)", "getcwd(2)"],
    without: "A call that succeeds and does less than expected would go unnoticed: an old kernel, a filter that pretends success, a \
              mistake in a plan. Whatever dropped nothing looks just like what dropped everything.",
};

pub(super) const CLOSE_DESCRIPTORS: Text = Text {
    why: "A descriptor is a right that no change of root or user takes away. All from 3 up are closed, whoever opened them, before \
          the first path is looked up that the jail may have had a hand in. Only the socket to the supervisor stays, for an error \
          yet to be reported: execve(2) closes it.",
    man: &["close_range(2)", "execve(2)", "proc_pid_fd(5)"],
    without: "A directory the caller or stockade had open leads straight out: fchdir(2) to it, then \"..\"; so does a link in the tree \
              to /proc/self/fd/3, if it is the working directory or the program. CVE-2024-21626 was one such descriptor in runc.",
};

pub(super) const FILTER_SYSTEM_CALLS: Text = Text {
    why: "The kernel runs a small program of ours at every system call, and that says whether the call is made. What the program does not \
          need, and what is in most exploits of the kernel, is out of reach, whatever rights it has. It cannot be taken off \
          again. To prove that it is in force, it answers one number that no kernel knows.",
    man: &["seccomp(2)", "systemd.exec(5)"],
    without: "Some 350 calls are in reach, and a flaw in any of them is a way out: a socket of a rare family, a new namespace with all its \
              capabilities (CVE-2022-0185), io_uring, bpf, keys of the host's user.",
};

pub(super) const FILTER_BEFORE: Text = Text {
    why: "The kernel runs a small program of ours at every system call, and that says whether the call is made. Without no_new_privs \
          only who has CAP_SYS_ADMIN may install it, so it comes before that is given up, and holds the rest of the set-up too.",
    man: &["seccomp(2)", "systemd.exec(5)"],
    without: "Every call is in reach of a program that may gain rights as well: the manifest says `no_new_privileges = false`.",
};

pub(super) const EXECUTE: Text = Text {
    why: "The process becomes the program. The environment is the plan's alone, nothing of the caller's; memory, mappings and handlers \
          of ours are gone, while ids, limits, namespaces and no_new_privs stay.",
    man: &["execve(2)", "environ(7)", "ld.so(8)"],
    without: "Nothing runs. With the caller's environment instead, its tokens and passwords would be inside, and LD_PRELOAD, BASH_ENV \
              or PYTHONPATH could decide what code runs first.",
};
