// What a careless caller hands down: descriptors, standard descriptors, the state of a process, its terminal.

static Verdict leaked_directory(NOTHING) {
    return is_host(LEAKED_DIRECTORY) ? escaped("descriptor %d is the host's root", LEAKED_DIRECTORY) : contained("none");
}

// CVE-2024-21626 to the letter: the path of a descriptor as working directory.
static Verdict directory_by_path(const char *process) {
    for (int at = 3; at < 64; at++) {
        char path[50];
        snprintf(path, sizeof path, "/proc/%s/fd/%d", process, at);
        if (chdir(path) == 0) {
            if (climb() == ESCAPED) return escaped("the host's root from %s", path);
        }
    }
    return contained("no directory among them");
}

static Verdict leaked_file(NOTHING) {
    char text[64] = "";
    return pread(LEAKED_FILE, text, sizeof text - 1, 0) > 0 ? escaped("read: %s", text) : contained("read: %s", why());
}

// A socket whose other end has a directory to give.
static Verdict leaked_socket(NOTHING) {
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(LEAKED_SOCKET, &message, MSG_DONTWAIT) < 0) return contained("recvmsg: %s", why());
    int directory = -1;
    if (CMSG_FIRSTHDR(&message)) memcpy(&directory, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof directory);
    return escaped("a socket of the host's%s", is_host(directory) ? ", with its root" : "");
}

WORKS(leaked_pidfd, syscall(SYS_pidfd_send_signal, LEAKED_PIDFD, 0, NULL, 0))
WORKS(leaked_namespace, setns(LEAKED_NAMESPACE, 0))
WORKS(leaked_master, ioctl(LEAKED_MASTER, TIOCGPTPEER, O_RDWR | O_NOCTTY))
WORKS(leaked_above_the_limit, fcntl(LEAKED_HIGH, F_GETFD))

static Verdict leaked_anything(NOTHING) {
    for (int at = 3; at < 20000; at++)
        if (fcntl(at, F_GETFD) >= 0) {
            char path[50], target[200] = "";
            snprintf(path, sizeof path, "/proc/self/fd/%d", at);
            readlink(path, target, sizeof target - 1);
            return escaped("descriptor %d is open: %s", at, target);
        }
    return contained("none above 2");
}

static Verdict directory_as_stdin(NOTHING) {
    return is_host(0) ? escaped("standard input is the host's root") : contained("not a directory of the host's");
}

// The program's next file would be its standard input, or get its error messages.
static Verdict closed(const char *number) {
    struct stat file;
    if (fstat(*number - '0', &file) < 0) return escaped("descriptor %s: the next file opened becomes it", number);
    if (S_ISCHR(file.st_mode) && file.st_rdev == makedev(1, 3)) return contained("/dev/null");
    return escaped("descriptor %s is something of somebody else's, mode %o", number, file.st_mode);
}

static Verdict reopened(const char *how) {
    const char *path = *how == 'r' ? "/proc/self/fd/2" : "/proc/self/fd/0";
    struct stat file;
    int opened = open(path, *how == 'r' ? O_RDONLY | O_NONBLOCK : O_WRONLY | O_NONBLOCK);
    if (opened < 0) return contained("%s: %s", path, why());
    fstat(opened, &file);
    return S_ISREG(file.st_mode) ? escaped("%s opened again", path) : contained("not the file");
}

static Verdict truncated(NOTHING) {
    ftruncate(2, 0);
    return contained("left to the host to see");
}

static Verdict rewritten(NOTHING) {
    if (fcntl(2, F_SETFL, 0) == 0) pwrite(2, "X", 1, 0);
    return contained("left to the host to see");
}

static Verdict log_intact(void) {
    return contains("/secret-log", SECRET) ? CONTAINED : escaped("the log's earlier lines are gone");
}

static Verdict umask_kept(NOTHING) {
    mode_t mask = umask(0);
    return mask == 0 ? escaped("umask 0") : contained("umask %03o", mask);
}

static Verdict signals_ignored(NOTHING) {
    int64_t set = field("/proc/self/status", "SigIgn:", 16);
    for (int number = 1; set < 0 && number < 32; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) set = number;
    }
    return set > 0 ? escaped("ignored: %llx", (unsigned long long)set) : contained("none");
}

static Verdict signals_blocked(NOTHING) {
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    for (int number = 1; number < 65; number++)
        if (sigismember(&set, number) > 0) return escaped("signal %d is blocked", number);
    return contained("none");
}

static Verdict personality_kept(NOTHING) {
    int now = personality(0xffffffff);
    return now > 0 ? escaped("personality %x", now) : contained("none");
}

static Verdict timer_slack_kept(NOTHING) {
    int slack = prctl(PR_GET_TIMERSLACK);
    return slack != 50000 ? escaped("timer slack %d ns", slack) : contained("50 us");
}

static Verdict nice_kept(NOTHING) {
    errno = 0;
    int nice = getpriority(PRIO_PROCESS, 0);
    return nice != 0 ? escaped("nice %d", nice) : contained("nice 0");
}

static Verdict oom_score_kept(NOTHING) {
    int64_t value = field("/proc/self/oom_score_adj", "", 10);
    if (value > 0) return absent("this caller may not be spared, which takes CAP_SYS_RESOURCE");
    return value < 0 ? escaped("oom_score_adj %ld", (long)value) : contained("0");
}

static Verdict environment_kept(const char *name) {
    return getenv(name) ? escaped("%s=%s", name, getenv(name)) : contained("none");
}

static Verdict session_key(NOTHING) {
    return works("keyctl", syscall(SYS_keyctl, 10 /* SEARCH */, -3 /* SESSION */, "user", CANARY, 0));
}

static Verdict user_key(NOTHING) {
    return works("keyctl", syscall(SYS_keyctl, 10 /* SEARCH */, -4 /* USER */, "user", CANARY, 0));
}

// Types a command at the caller's terminal; the host looks whether it got there.
static Verdict typed(const char *how) {
    int terminal = *how == '/' ? open(how, O_RDWR | O_NOCTTY) : 0;
    if (terminal < 0) return contained("%s: %s", how, why());
    long high = *how == 'h' ? 1L << 32 : 0, result = 0;
    for (const char *at = "typed\n"; *at && result == 0; at++) result = syscall(SYS_ioctl, terminal, TIOCSTI | high, at);
    return door("TIOCSTI", result);
}

// The caller's terminal, as the host opened it.
static int host_terminal = -1;

static Verdict nothing_typed(void) {
    char text[64] = "";
    ssize_t length = read(host_terminal, text, sizeof text - 1);
    return length > 0 ? escaped("typed at the caller's terminal: %s", text) : CONTAINED;
}

static Verdict console_ioctl(NOTHING) {
    char command = 6; // TIOCL_GETSHIFTSTATE
    return door("TIOCLINUX", ioctl(0, TIOCLINUX, &command));
}

// A number that no line discipline has: the kernel would load the module of one that it knows.
static Verdict discipline_set(NOTHING) {
    int none = 30000;
    return door("TIOCSETD", ioctl(0, TIOCSETD, &none));
}

static Verdict terminal_changed(NOTHING) {
    struct termios settings;
    if (tcgetattr(0, &settings) < 0) return contained("no terminal: %s", why());
    settings.c_lflag &= ~ECHO;
    tcsetattr(0, TCSANOW, &settings);
    return contained("left to the host to see");
}

static Verdict terminal_intact(void) {
    struct termios settings;
    tcgetattr(host_terminal, &settings);
    return settings.c_lflag & ECHO ? CONTAINED : escaped("the caller's terminal does not echo any more");
}

static Verdict controlling_terminal(NOTHING) {
    // Field 7 of proc(5), stat: 0 without one.
    char text[300] = "";
    int file = open("/proc/self/stat", O_RDONLY), number = -1;
    if (file < 0 || read(file, text, sizeof text - 1) <= 0) return contained("no /proc");
    sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %d", &number);
    return number != 0 ? escaped("controlling terminal %d", number) : contained("none");
}

// Takes the terminal from whoever has it: CAP_SYS_ADMIN.
DOOR(terminal_stolen, (setsid(), ioctl(0, TIOCSCTTY, 1)))

// The caller's pipes, whose other ends the host has.
static int host_input[2], host_output[2];

// Writes a command to its own input, for whoever reads on from there.
static Verdict injected(NOTHING) {
    int opened = open("/proc/self/fd/0", O_WRONLY | O_NONBLOCK);
    if (opened < 0) return contained("/proc/self/fd/0: %s", why());
    write(opened, CANARY, strlen(CANARY));
    return contained("left to the host to see");
}

static Verdict nothing_injected(void) {
    char text[100];
    ssize_t length = read(host_input[0], text, sizeof text);
    return length > 0 ? escaped("the caller reads %.*s from its own pipe", (int)length, text) : contained("nothing in the caller's pipe");
}

// Reads what somebody else has written to the same output, before whom it is for.
static Verdict overheard(NOTHING) {
    char text[100];
    int opened = open("/proc/self/fd/2", O_RDONLY | O_NONBLOCK);
    if (opened < 0) return contained("/proc/self/fd/2: %s", why());
    ssize_t length = read(opened, text, sizeof text);
    return length > 0 ? escaped("%.*s was read", (int)length, text) : contained("nothing in the pipe");
}

static const struct way inherited_ways[] = {
    {"leaked_directory", "CVE-2024-21626", leaked_directory},
    {"leaked_directory_by_path", "CVE-2024-21626: /proc/self/fd/7 as working directory", directory_by_path, "self"},
    {"leaked_file", "CVE-2016-9962", leaked_file},
    {"leaked_socket", "unix(7), SCM_RIGHTS; CVE-2016-9962", leaked_socket},
    {"leaked_pidfd", "pidfd_open(2); runc 1.1.12 notes", leaked_pidfd},
    {"leaked_namespace", "setns(2); runc 1.1.12 notes", leaked_namespace},
    {"leaked_terminal_master", "ioctl_tty(2), TIOCGPTPEER; runc 1.1.12 notes", leaked_master},
    {"leaked_above_the_limit", "close_range(2): a loop up to RLIMIT_NOFILE misses it", leaked_above_the_limit},
    {"leaked_anything", "runc 1.1.12 notes: nor the tool's own", leaked_anything},
    {"directory_as_stdin", "CVE-2024-21626, by descriptor 0", directory_as_stdin, NULL, NULL, IN_DIRECTORY | MAY_REFUSE},
    {"closed_stdin", "CVE-2002-0572", closed, "0", NULL, CLOSED_IN},
    {"closed_stdout", "CVE-2002-0572", closed, "1", NULL, CLOSED_OUT},
    {"closed_stderr", "CVE-2002-0572", closed, "2", NULL, CLOSED_ERR},
    {"stdin_reopened_for_writing", "proc(5), /proc/PID/fd", reopened, "w", NULL, IN_FILE},
    {"log_reopened_for_reading", "proc(5), /proc/PID/fd", reopened, "r", NULL, ERR_LOG},
    {"command_written_to_stdin", "proc_pid_fd(5): a script piped to a shell that starts a jail", injected, NULL, nothing_injected, IN_PIPE},
    {"output_of_others_read", "proc_pid_fd(5)", overheard, NULL, NULL, ERR_PIPE},
    {"log_truncated", "ftruncate(2) on an append-only descriptor", truncated, NULL, log_intact, ERR_LOG},
    {"log_rewritten", "fcntl(2), F_SETFL without O_APPEND", rewritten, NULL, log_intact, ERR_LOG},
    {"umask_inherited", "umask(2)", umask_kept},
    {"signals_ignored", "bwrap 0.11.1 #705", signals_ignored},
    {"signals_blocked", "sigprocmask(2)", signals_blocked},
    {"personality_inherited", "CVE-2009-1895", personality_kept},
    {"timer_slack_inherited", "PR_SET_TIMERSLACK(2const)", timer_slack_kept},
    {"nice_inherited", "setpriority(2)", nice_kept},
    {"oom_score_inherited", "proc_pid_oom_score_adj(5)", oom_score_kept},
    {"environment_secret", "environ(7)", environment_kept, SECRET},
    {"environment_loader", "CVE-2016-10122", environment_kept, "LD_PRELOAD"},
    {"environment_gconv", "CVE-2021-4034", environment_kept, "GCONV_PATH"},
    {"environment_shell", "bash(1), BASH_ENV", environment_kept, "BASH_ENV"},
    {"session_keyring", "runc #488", session_key},
    {"user_keyring", "runc #488: the user's stays", user_key},
    {"typed_at_stdin", "CVE-2017-5226", typed, "low", nothing_typed, IN_TERMINAL},
    {"typed_past_a_64_bit_compare", "CVE-2019-10063, CVE-2019-7303", typed, "high", nothing_typed, IN_TERMINAL},
    {"typed_at_controlling_terminal", "CVE-2016-2779", typed, "/dev/tty", nothing_typed},
    {"console_pasted", "TIOCLINUX; CVE-2023-1523", console_ioctl, NULL, NULL, IN_TERMINAL},
    {"terminal_discipline_set", "CVE-2017-2636", discipline_set, NULL, NULL, IN_TERMINAL},
    {"terminal_settings", "termios(3)", terminal_changed, NULL, terminal_intact, IN_TERMINAL},
    {"terminal_kept", "CVE-2005-4890", controlling_terminal},
    {"terminal_stolen", "TIOCSCTTY(2const)", terminal_stolen, NULL, NULL, IN_TERMINAL},
};
