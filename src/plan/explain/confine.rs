//! The texts of the actions that take something away.

use super::Text;

pub(super) const SET_LIMIT: Text = Text {
    why: "A resource limit holds one process: the soft bound is enforced, the hard bound is how far the program may raise the soft one \
          itself. Children inherit both.",
    man: &["getrlimit(2)", "prlimit(1)"],
    without: "A runaway or hostile program takes what there is, and the host pays: processor time and file size have no bound by default.",
};

pub(super) const LIMIT_PROCESSES: Text = Text {
    why: "Bounds how many processes and threads the user may have. The kernel counts by user id, not by jail: PID 1 counts too, and \
          so do the same user's processes outside unless there is a user namespace. Root is exempt.",
    man: &["getrlimit(2)", "credentials(7)"],
    without: "A fork bomb, `:(){ :|:& };:`, fills the process table of the whole machine in a second.",
};

pub(super) const LIMIT_CORE: Text = Text {
    why: "Bounds the file the kernel writes when a process crashes; none is written below a page. That file is the process's memory, keys \
          and passwords included. 1 means more than 0: it keeps the kernel from starting the program that core_pattern may name.",
    man: &["core(5)", "getrlimit(2)"],
    without: "A crash leaves memory on disk for whoever reads the directory. If core_pattern is a pipe, the kernel starts its helper \
              on the host, as root, on input of the jail's choosing (a limit of 0 is passed over there; a limit of 1 is not).",
};

pub(super) const LIMIT_FILES: Text = Text {
    why: "Bounds the highest descriptor number a process may get. The soft bound is kept modest because select(2) breaks above 1024; \
          servers raise it themselves up to the hard one.",
    man: &["getrlimit(2)", "select(2)"],
    without: "With a high limit inherited from the caller, a leak of descriptors goes on until the system-wide table is full and every program on the host sees ENFILE.",
};

pub(super) const LIMIT_MEMORY: Text = Text {
    why: "Bounds the memory of each single process: address space, data, stack or locked pages. It is a fence against accidents; a sum \
          over all processes of a jail needs a memory cgroup.",
    man: &["getrlimit(2)", "mmap(2)", "mlock(2)"],
    without: "A program that goes wrong allocates until the kernel starts killing, and it may kill something else first.",
};

pub(super) const SET_UMASK: Text = Text {
    why: "The umask takes permission bits off every file the program creates. It is inherited, so without a step of its own the jail \
          would run with whatever the caller's shell had.",
    man: &["umask(2)"],
    without: "Started from a shell with umask 000, a daemon creates files that every user can write; with 077, its clients cannot \
              open its socket. The same jail would behave differently by who starts it.",
};

pub(super) const SET_PERSONALITY: Text = Text {
    why: "Old binaries expect an old system: uname(2) that says i686 or 2.6, no address randomisation, pages that can be executed \
          because they can be read. personality(2) gives it to this process and its children only.",
    man: &["personality(2)", "setarch(8)"],
    without: "A 32-bit installer refuses a 64-bit machine, a version check does not understand 6.x, a Lisp that dumps its own memory \
              crashes. Note the price: without randomisation every address in an exploit is right the first time.",
};

pub(super) const RESET_PERSONALITY: Text = Text {
    why: "The execution domain is inherited over fork(2) and execve(2): a caller started by setarch(8), or by a debugger, hands its own \
          on. The program gets the plain one: addresses randomised, nothing executable for being readable.",
    man: &["personality(2)", "setarch(8)"],
    without: "Under a debugger's ADDR_NO_RANDOMIZE the jail's addresses would be the same at every start, which an exploit can count \
              on: CVE-2009-1895 was a privileged program that trusted a personality it had inherited.",
};

pub(super) const RESET_SCHEDULING: Text = Text {
    why: "How soon a sleeper wakes, by which policy it gets the processor, whose disk requests go first, from which node memory comes, \
          whether its pages are merged with equal ones of others: the program starts with the kernel's defaults, not with what its \
          caller was favoured by.",
    man: &["prctl(2)", "sched(7)", "ioprio_set(2)", "set_mempolicy(2)"],
    without: "Started by a real-time daemon, a jail that loops keeps every other program off the processor. A caller's timer slack of a \
              nanosecond makes each of its sleeps an interrupt of its own. A page that is merged takes longer to be written to, by \
              which the jail finds out what others have in memory, and others what it has: CVE-2015-2877.",
};

pub(super) const SET_NICE: Text = Text {
    why: "The nice value weighs this jail's share of the processor against others': each step is about 1.25 times. Raising it (being \
          nicer) is free; lowering it needs CAP_SYS_NICE.",
    man: &["setpriority(2)", "sched(7)"],
    without: "A batch job competes with interactive programs on equal terms, and everything feels slow while it runs.",
};

pub(super) const SET_AFFINITY: Text = Text {
    why: "Binds the jail to some processors, for steady timing or to leave the others free. Programs that ask how many there are \
          (nproc, most runtimes) start that many threads.",
    man: &["sched_setaffinity(2)", "cpuset(7)", "taskset(1)"],
    without: "The jail spreads over every processor. This is no boundary: the program may widen its own mask again, only a cpuset \
              cgroup holds it.",
};

pub(super) const CREATE_RULESET: Text = Text {
    why: "Landlock is a second fence beside mount flags and file modes: every right over files that the ruleset handles is refused \
          unless a rule allows it, to root as to anybody. So are connections \
          by TCP where standard input is one of the host's. Its scopes keep the program from signalling processes, and from connecting to \
          abstract sockets, outside the jail.",
    man: &["landlock_create_ruleset(2)", "landlock(7)"],
    without: "One mount that is writable by mistake, or remounted, is all it takes. With the host's network the program could connect to \
              every abstract socket of the host, as CVE-2020-15257 did to become root through containerd-shim.",
};

pub(super) const ALLOW_MOUNT: Text = Text {
    why: "A rule allows rights over a directory and everything below it: reading and running in the whole jail, changing only what the \
          manifest shows writable, commands to devices only in /dev. Making device nodes is never among them.",
    man: &["landlock_add_rule(2)", "landlock(7)"],
    without: "Nothing could be opened there: what no rule allows is refused. That it is allowed here is no right by itself: the mount's \
              flags and the file's mode still have to agree.",
};

pub(super) const ALLOW_HOST: Text = Text {
    why: "The program stays in the host's tree, so what it may do there is said by rules alone: this is one. Its path is the host's, and \
          links on the way are followed now, by the caller, and never again.",
    man: &["landlock_add_rule(2)", "landlock(7)"],
    without: "Nothing there can be opened. Its names can be seen all the same: Landlock keeps nobody from looking whether a file exists.",
};

pub(super) const ALLOW_DESCRIPTOR: Text = Text {
    why: "What is behind standard input, output and error has no place in the jail, and programs open it again by name (/dev/stdin, \
          /dev/stderr). So each that has a path of its own, such as a terminal or an input file, gets a rule with the rights it was \
          given for. Pipes need none.",
    man: &["landlock_add_rule(2)", "fd(4)", "proc(5)"],
    without: "`cat /dev/stdin` and `error_log /dev/stderr` fail with EACCES. With more rights than these, what was given to be read \
              could be opened for writing through /proc/self/fd/0.",
};

pub(super) const RESTRICT_SELF: Text = Text {
    why: "From here on the rules hold for this process and all its descendants, for good: a domain is never left, only narrowed. \
          It also ends mounting, whatever capability is left. PID 1 and the program share the domain, so PID 1 can still pass signals on.",
    man: &["landlock_restrict_self(2)", "landlock(7)"],
    without: "The ruleset would be a list that nobody enforces. A program that gets CAP_SYS_ADMIN by a hole in the kernel could remount \
              the root writable, or take the covers off /proc.",
};

pub(super) const ENTER_USER_NAMESPACE: Text = Text {
    why: "Everything that takes a right on the host is done. From here on the process has rights in the jail's own user namespace alone: \
          over its network and its ids, and over none of the mounts, which belong to the host's. The steps that follow take \
          even those away.",
    man: &["setns(2)", "user_namespaces(7)", "capabilities(7)"],
    without: "The ids that the next steps take on would be the host's own, and what is given up later is all that stands between the \
              program and the host's root.",
};

pub(super) const DROP_BOUNDING: Text = Text {
    why: "The bounding set is the ceiling of what execve(2) can add to the inheritable set, for a set-user-id program, one with file \
          capabilities, and uid 0. A capability once dropped never returns to it, in this process or its children.",
    man: &["capabilities(7)", "prctl(2)"],
    without: "A program that runs as uid 0 gets every capability back at execve(2), however empty its sets were before: the kernel \
              gives root its inheritable set and the whole bounding set.",
};

pub(super) const LOCK_SECURE_BITS: Text = Text {
    why: "To the kernel user 0 is special: it gives it capabilities at execve(2) and takes them when it is left. The secure bits say \
          how much of that holds. The first half is switched off and the second stays on, and the locks make both final for every \
          process of the jail. What capabilities the manifest grants are kept over the next change of ids (SECBIT_KEEP_CAPS).",
    man: &["capabilities(7)", "prctl(2)"],
    without: "Emptied sets are one thing and an emptied ceiling another: a process that is, or becomes, user 0 is given at execve(2) \
              whatever its inheritable and bounding sets still hold. A caller that had SECBIT_NO_SETUID_FIXUP on would let root's \
              capabilities outlive the change to another user.",
};

pub(super) const SECURE_BITS_WITH_ROOT: Text = Text {
    why: "This jail lets programs gain rights by execve(2), so user 0 keeps its meaning there: a set-user-id program has what the \
          bounding set leaves. Whatever secure bits the caller had are replaced, and leaving user 0 takes capabilities for good.",
    man: &["capabilities(7)", "execve(2)", "prctl(2)"],
    without: "With bits inherited from an odd caller, such as SECBIT_NO_SETUID_FIXUP, a daemon that gives up user 0 would keep its \
              capabilities and not know it.",
};

pub(super) const SET_GROUPS: Text = Text {
    why: "Supplementary groups are a list beside the group id, inherited from the caller. The list is replaced by the one the manifest \
          gives, mostly an empty one.",
    man: &["setgroups(2)", "credentials(7)"],
    without: "A daemon that changes its uid but keeps the groups of its caller still opens what they open, wherever it is in reach: disks \
              through `disk`, /etc/shadow through `shadow`, root's own containers through `docker`.",
};

pub(super) const SET_GID: Text = Text {
    why: "Real, effective and saved group id all become the program's. All three, because any of them can be taken back into the \
          effective one.",
    man: &["setresgid(2)", "credentials(7)"],
    without: "Files open to group root stay open, and files the program creates belong to group root.",
};

pub(super) const SET_UID: Text = Text {
    why: "Real, effective and saved user id all become the program's; with the last 0 gone the kernel empties the permitted, effective \
          and ambient capability sets. If the manifest grants capabilities, the permitted ones are kept over this call \
          (SECBIT_KEEP_CAPS) for the next step to choose from.",
    man: &["setresuid(2)", "capabilities(7)", "prctl(2)"],
    without: "The program is root. seteuid(2) alone would not do: a saved 0 lets any exploit call seteuid(0) and be root again. And \
              a result nobody looks at may be a failure: sendmail went on as root that way (CVE-2000-0506).",
};

pub(super) const SET_UID_ROOT: Text = Text {
    why: "The manifest lets the program start as user 0, for daemons that drop rights by themselves. All three ids are set so that \
          they agree; what holds it are the bounding set and no_new_privs.",
    man: &["setresuid(2)", "user_namespaces(7)", "capabilities(7)"],
    without: "The ids could differ, depending on who starts the jail. Mind that without a user namespace this is the host's root: \
              files that belong to root, also below /proc/sys, are its own to write, with no capability at all.",
};

pub(super) const NO_CAPABILITIES: Text = Text {
    why: "All three sets become empty. Permitted says what a process may use, effective what it uses now, inheritable what it may pass \
          on through execve(2). A user namespace gives its first process all of them, so they are taken away there too.",
    man: &["capset(2)", "capabilities(7)"],
    without: "Whoever is in the jail could mount, change root, load packet filters or trace other users' programs: CAP_SYS_ADMIN \
              alone undoes most of what was set up here.",
};

pub(super) const SET_CAPABILITIES: Text = Text {
    why: "The three sets become just what the manifest grants: one capability for the one thing that needed root, such as a port below \
          1024. They are inheritable as well, which the ambient set asks for.",
    man: &["capset(2)", "capabilities(7)", "capsh(1)"],
    without: "The program has none of them, since leaving uid 0 emptied the effective set, or, if it stays uid 0, all of root's. A \
              stale inheritable set is what runc's CVE-2022-29162 was about.",
};

pub(super) const SET_AMBIENT: Text = Text {
    why: "A program of an ordinary user, without file capabilities, loses its capabilities at execve(2). The ambient set is what stays. \
          It is emptied first, then filled with what the manifest grants.",
    man: &["capabilities(7)", "prctl(2)"],
    without: "The daemon gets EACCES when it binds port 80, although the step before granted the capability: it was gone after \
              execve(2).",
};

pub(super) const NO_AMBIENT: Text = Text {
    why: "Some callers, a service manager among them, start their children with ambient capabilities. Emptying the set makes the \
          jail independent of who starts it.",
    man: &["prctl(2)", "capabilities(7)"],
    without: "Nothing in the usual case, as capset(2) with an empty permitted set empties it as well. It is done all the same: a \
              right is taken away by name, not as the side effect of another call.",
};

pub(super) const NO_NEW_PRIVILEGES: Text = Text {
    why: "From now on execve(2) grants nothing: set-user-id and set-group-id bits and file capabilities are ignored, for this process \
          and all its children, and the mark cannot be removed. It is also what allows an ordinary user to install a seccomp filter.",
    man: &["prctl(2)", "execve(2)", "seccomp(2)"],
    without: "A forgotten set-user-id program in the tree or on a mount is a way back to root: su with the jail's own passwd, or an \
              old sudo with CVE-2021-3156.",
};

pub(super) const DIE_WITH_PARENT: Text = Text {
    why: "If the supervisor dies, however it does, the kernel kills PID 1, and with PID 1 everything in the jail. The byte that is read \
          afterwards is the supervisor's word that others can find the jail: the end of the socket comes in its place if it had died just \
          before this call, when no signal would come.",
    man: &["prctl(2)", "pid_namespaces(7)"],
    without: "After `kill -9` of the supervisor the jail runs on, with nobody to keep its time limit, collect its status or stop it.",
};

pub(super) const DIE_WITH_JOINER: Text = Text {
    why: "The process that has joined the jail stays outside its PID namespace, so the end of that namespace is not what ends the \
          program when `stockade exec` is killed: the parent-death signal is. Whether the joiner had died before is asked afterwards. What the program has started \
          by then has no such signal, and stays until the jail ends.",
    man: &["prctl(2)"],
    without: "A killed `stockade exec` would leave its program in the jail for as long as that runs.",
};
