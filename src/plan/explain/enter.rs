//! The texts of the actions that make the jail's surroundings, until the host's files are out of reach.

use super::Text;

pub(super) const MAKE_CONTROL_GROUPS: Text = Text {
    why: "A control group is a directory of the kernel's: processes that are in it share what its files allow, however many they are \
          and whoever they run as. It is made below the caller's own group, so that whatever holds the caller holds the jail \
          too, and is locked: when the lock is gone, so is the supervisor, and the next start removes what is left.",
    man: &["cgroups(7)", "systemd.resource-control(5)"],
    without: "setrlimit(2) counts for one process, or for one user on the whole host. A program that makes a hundred processes has a \
              hundred times its memory, and one that runs as the host's root has no limit on processes at all.",
};

pub(super) const ENTER_CONTROL_GROUPS: Text = Text {
    why: "The first process joins by writing 0, itself, to a file that the supervisor opened; its children are born in the group. A new \
          cgroup namespace then begins there: the jail's own group is all that is to be seen of the hierarchy.",
    man: &["cgroups(7)", "cgroup_namespaces(7)"],
    without: "The limits would hold nobody. Without the namespace /proc/self/cgroup tells where on the host the jail is, its name \
              and its container's included.",
};

pub(super) const MAKE_USER_NAMESPACE: Text = Text {
    why: "The ids inside are to mean nothing outside: 65536 of them, 0 included, stand for as many that nobody on the host has. A process \
          that ends at once makes the user namespace, and with it the jail's network, so that capabilities inside count for that \
          network; the limit on further user namespaces becomes 0, that on handles of inotify 32. The supervisor writes the maps and keeps \
          the descriptors.",
    man: &["user_namespaces(7)", "subuid(5)", "network_namespaces(7)"],
    without: "User 0 inside is the host's root, with or without capabilities: every file of root's that is within reach, /proc/sys \
              among them, is its own, and a bug in the kernel or in the set-up is worth all of the host (CVE-2019-5736).",
};

pub(super) const MAKE_SHARED_NAMESPACE: Text = Text {
    why: "Nobody enters this one. Its maps say who owns what on the directories that are shown writable: www-data inside is www-data \
          there, but root is not root. What belongs to the host's root belongs to nobody inside, and what root inside makes \
          belongs to an id the host does not use, as with NFS and its root_squash.",
    man: &["mount_setattr(2)", "user_namespaces(7)", "exports(5)"],
    without: "Root inside could leave a set-user-id program of root's in a shared directory, for any user of the host to start, or \
              replace what the host's root reads there.",
};

pub(super) const CLONE: Text = Text {
    why: "One call makes the jail's first process together with its namespaces: its own table of mounts, its own process numbers and \
          whatever else is asked for. In a new PID namespace it is process 1, and when it ends the kernel kills all others in it.",
    man: &["clone(2)", "namespaces(7)", "pid_namespaces(7)"],
    without: "Every later step would happen to the host: the mounts, the host name, the root of the caller. Without a PID namespace \
              the program sees and may signal every process of its user, and a daemon that forks twice outlives its jail.",
};

pub(super) const MAP_IDS: Text = Text {
    why: "In a new user namespace a process has every capability over the namespace but no user id yet. The map says which id outside \
          an id inside stands for. An ordinary user may map its own ids alone, the group only after giving up setgroups(2).",
    man: &["user_namespaces(7)", "capabilities(7)"],
    without: "Ids without a map show as 65534 and cannot be taken on. If setgroups(2) were left allowed, a user could drop a group by \
              which a file is closed to it (mode 0604 denies the group) and so gain access: CVE-2014-8989.",
};

pub(super) const FORBID_USER_NAMESPACES: Text = Text {
    why: "Anybody may make a user namespace, and has every capability in it. This limit, a counter the kernel keeps for each user \
          namespace, becomes 0 in the jail's own: whoever is inside makes no further one, with whatever system call.",
    man: &["namespaces(7)", "user_namespaces(7)"],
    without: "The program makes a user namespace of its own, is root in it with every capability, and from there reaches kernel \
              code that is meant for root alone: mounting file systems (CVE-2022-0185), packet filters (CVE-2022-32250).",
};

pub(super) const LIMIT_INOTIFY: Text = Text {
    why: "Each handle of inotify that is made in a user namespace counts for whoever made that namespace as well, and a user of the host may \
          have 128 (fs.inotify.max_user_instances). Inside there are 32 for each user.",
    man: &["inotify(7)", "namespaces(7)"],
    without: "The program takes all that the caller has left. Whatever else the caller runs then watches no file any more: of root's that is \
              systemd, udev and every daemon that starts, which fail with \"Too many open files\".",
};

pub(super) const MAKE_PRIVATE: Text = Text {
    why: "A new mount namespace starts as a copy whose mounts are still tied to the host's: systemd makes them all shared, and what is \
          mounted on one side appears on the other. This cuts every tie, in both directions.",
    man: &["mount_namespaces(7)", "mount(2)"],
    without: "The jail's mounts would appear on the host and stay there after its end; detaching the old root could take the host's own file systems with it. pivot_root(2) refuses shared mounts with EINVAL for that reason.",
};

pub(super) const NEW_SESSION: Text = Text {
    why: "A process inherits the session of who started it, and with it the controlling terminal, which it can open as /dev/tty even \
          with all its descriptors closed. A new session has no terminal until it takes one.",
    man: &["setsid(2)", "credentials(7)"],
    without: "The jailed program could push characters into the caller's terminal (TIOCSTI), which the caller's shell then runs as \
              if typed: CVE-2017-5226 in bubblewrap. A key such as Ctrl-C would also reach the jail's processes past PID 1.",
};

pub(super) const NEW_KEYRING: Text = Text {
    why: "The kernel keeps keys (Kerberos tickets, disk passwords, tokens) in keyrings, and a process inherits its parent's session \
          keyring. No namespace separates them. The jail joins a new, empty one.",
    man: &["session-keyring(7)", "keyctl(2)", "keyrings(7)"],
    without: "The program could list and read every key of the login session it was started from, as root or not: possession of the \
              keyring is all the right it needs.",
};

pub(super) const SET_UNDUMPABLE: Text = Text {
    why: "PID 1 is a copy of the supervisor: it still holds the caller's environment and memory. Undumpable memory may be neither \
          traced nor dumped, and its files under /proc belong to root, although the program will have the same user id. execve(2) \
          ends this for the program itself.",
    man: &["prctl(2)", "ptrace(2)", "proc(5)"],
    without: "The program could read the caller's secrets from /proc/1/environ, or take over PID 1 with ptrace(2) and use what it \
              holds: CVE-2016-8659 in bubblewrap, CVE-2016-9962 in runc.",
};

pub(super) const ATTACH_TERMINAL: Text = Text {
    why: "The program gets a pseudo-terminal of its own; the supervisor holds the other end and passes bytes both ways. Only the \
          descriptors that were a terminal of the caller's are replaced, so pipes and files stay what they are.",
    man: &["pty(7)", "ioctl_tty(2)", "dup(2)"],
    without: "A shell in the jail would have no job control (\"cannot set terminal process group\"). Handing over the caller's \
              terminal instead gives the program a descriptor of the host that it can read, reconfigure and type into.",
};

pub(super) const REOPEN_DESCRIPTOR: Text = Text {
    why: "A file the caller gives is a right over it beyond what it was opened for: who owns it may change its mode through any \
          descriptor, and open it again for more. So the file is mounted by itself, read-only, and opened again through that mount. The \
          program reads on where the caller was, and the caller goes on where the program stopped.",
    man: &["open_tree(2)", "mount_setattr(2)", "proc_pid_fd(5)"],
    without: "With `stockade run … < notes`, an ordinary user's program could write to notes through /proc/self/fd/0, or make it \
              set-user-id by fchmod(2); with root's rights inside, close /dev/null to every other user of the host.",
};

pub(super) const RELAY_OUTPUT: Text = Text {
    why: "What the program writes goes through a pipe to the supervisor, and the supervisor writes it to the caller's file: the program \
          has no descriptor of the file. Descriptors of one file share one pipe, so that their lines stay in order. Pipes of the program's \
          own user are written so as well; with `output_size` all pipes, sockets and devices are, and what goes through is counted.",
    man: &["pipe(7)", "fcntl(2)", "ftruncate(2)", "proc_pid_fd(5)"],
    without: "With `stockade run … >> log`, the program could cut the log, or take O_APPEND off and write over what was there before \
              it; an intruder would remove his traces. If the user owns the file, it could be made set-user-id, with a program in it. \
              From a pipe that its user owns it could read what others have written there, and keep it from who shall have it. What reads a pipe would have to bear as much as the program writes: no limit of the kernel's counts that.",
};

pub(super) const JOIN_CONTROL_GROUPS: Text = Text {
    why: "Whoever comes into a jail uses up what the jail may: its memory, tasks and time on processors count in the same groups. It is \
          the first thing done, so that nothing is used outside them, and while the host's cgroup file systems are in reach.",
    man: &["cgroups(7)"],
    without: "A program started by `stockade exec` would be free of the jail's limits, and `freeze` and `cgroup.kill` would pass it over.",
};

pub(super) const JOIN_NAMESPACES: Text = Text {
    why: "All namespaces are entered by one call, through a descriptor of the jail's first process that no number given again can \
          turn into another. The new mount namespace brings its root and working directory; the PID namespace counts for \
          processes made from now on, so that this one, which is still privileged, is no process of the jail's at any time \
          (CVE-2016-9962). The root is then looked at: it has to be that of the tree the jail was started from.",
    man: &["setns(2)", "pidfd_open(2)", "namespaces(7)", "stat(2)"],
    without: "The program would run on the host, with the host's files and processes in sight.",
};

pub(super) const GRANT_IDS: Text = Text {
    why: "An ordinary user may map one id: its own. Which others are its to map the host's root has written into /etc/subuid and \
          /etc/subgid, and newuidmap and newgidmap, which are set-user-id, map those and no others. The user is root inside, and the other \
          ids inside are nobody's outside, so owners can be given away in the jail, and groups be set.",
    man: &["newuidmap(1)", "newgidmap(1)", "subuid(5)", "user_namespaces(7)"],
    without: "Every file belongs to one user, and chown(2) to any other fails with EINVAL: package managers, tar as root and daemons \
              that change to their user stop there.",
};

pub(super) const CONNECT_NETWORK: Text = Text {
    why: "A network of the jail's own leads nowhere, and joining it to the host's by a bridge takes root on the host. pasta reads the \
          packets that the jail sends to a device of its own, and does with ordinary sockets, with no right but its caller's, what they ask \
          for. The host's loopback is no destination (--no-map-gw, -T none, -U none), nor is any port of the jail one, unless the manifest \
          names it. The supervisor starts it in the jail's user namespace and ends it with the jail; it confines itself by namespaces and \
          a filter of system calls.",
    man: &["pasta(1)", "network_namespaces(7)"],
    without: "The jail has loopback alone: no name is resolved, and no other machine is reached.",
};

pub(super) const ENTER_NETWORK: Text = Text {
    why: "The network that was made together with the jail's user namespace holds a loopback interface, already up, and nothing else: \
          127.0.0.1 and ::1 reach no further than the jail.",
    man: &["setns(2)", "network_namespaces(7)"],
    without: "The jail would be in the host's network: its addresses, its loopback with every service that trusts it, its abstract \
              sockets (CVE-2020-15257 was a way out of containers through one).",
};

pub(super) const LOOPBACK_UP: Text = Text {
    why: "A new network namespace holds nothing but a loopback interface, and that one is down. Bringing it up gives the jail \
          127.0.0.1 and ::1, reachable from inside alone.",
    man: &["network_namespaces(7)", "netdevice(7)"],
    without: "Connecting to localhost fails with ENETUNREACH, which breaks test suites, database clients and language runtimes that \
              talk to themselves.",
};

pub(super) const SET_HOSTNAME: Text = Text {
    why: "The UTS namespace holds the name that uname(2) tells. Naming it after the jail makes prompts and log lines say where they \
          come from, and keeps the host's name to the host.",
    man: &["sethostname(2)", "uts_namespaces(7)"],
    without: "Log lines of the jail look like the host's own, and the program learns the name of the machine it runs on.",
};

pub(super) const SET_OOM_SCORE: Text = Text {
    why: "When memory runs out the kernel kills the process with the highest score. The adjustment, from -1000 (never) to 1000 (first), \
          is inherited by everything in the jail. Raising it is free, lowering it needs CAP_SYS_RESOURCE.",
    man: &["proc(5)", "choom(1)"],
    without: "A jail that eats memory is as likely to survive as the database beside it: the kernel takes the largest process, not \
              the guilty one.",
};

pub(super) const CLONE_TREE: Text = Text {
    why: "Something of the host is to be visible inside: the kernel makes a second mount of it, attached nowhere yet and held by a \
          descriptor. Its flags are set before anybody can see it: set-user-id bits and devices count for nothing on it. A descriptor \
          cannot be exchanged for another file as a path can.",
    man: &["open_tree(2)", "mount_setattr(2)"],
    without: "The jail has no access to the data it works on. Binding by path instead, in a tree others write to, is a race that runc \
              lost in CVE-2021-30465; and the old mount(2) makes only the topmost mount read-only, not those below it.",
};

pub(super) const CLONE_TREE_MAPPED: Text = Text {
    why: "Something of the host is to be visible inside: a second mount of it, attached nowhere yet and held by a descriptor. Its flags are \
          set before anybody can see it, and its owners are translated: an id on disk is the same id inside, which without that \
          would stand for another one outside and own nothing.",
    man: &["open_tree(2)", "mount_setattr(2)", "user_namespaces(7)"],
    without: "Without the mount the jail has no access to the data it works on. Without the translation every file shown belongs to \
              nobody inside: a key that its daemon's group may read cannot be read.",
};

pub(super) const CLONE_TREE_SHARED: Text = Text {
    why: "The program writes to this directory of the host's: a second mount of it, held by a descriptor, whose owners are translated \
          except for root. A user inside is the same user on disk, root inside is nobody there that the host knows.",
    man: &["open_tree(2)", "mount_setattr(2)", "exports(5)"],
    without: "The program keeps nothing: all that it writes is gone with the jail. Translated for root as well, what root inside leaves \
              there would be root's for the host too.",
};

pub(super) const CLONE_ROOT: Text = Text {
    why: "The tree becomes a mount of its own, on top of itself. Only a mount can be made the root, and only a mount can be made \
          read-only as a whole, whatever the modes of its files are.",
    man: &["open_tree(2)", "move_mount(2)", "pivot_root(2)"],
    without: "pivot_root(2) fails with EINVAL on a plain directory. If the tree stays writable, a program that is broken into can \
              replace its own binary and configuration and be there again after a restart.",
};

pub(super) const ROOT_IN_MEMORY: Text = Text {
    why: "The root is a file system of its own, in memory and empty, of a limited size: what is to be in it is made there at every start, and \
          the host's directories are shown in it by mounts. Nothing of the jail is on any disk, and it is gone with its last process.",
    man: &["tmpfs(5)", "fsopen(2)", "fsmount(2)"],
    without: "The jail needs a directory on the host for its root, which somebody has to make, keep right and remove; and every place \
              that something is mounted on would be made in it, for others to find when the jail has long ended.",
};

pub(super) const FURNISH_DIRECTORY: Text = Text {
    why: "A directory of the root in memory, or a place to mount something on. It is made by the descriptor of a file system that is \
          mounted nowhere yet: no path can lead anywhere else, and nobody but this process can reach it.",
    man: &["mkdir(2)", "fsmount(2)"],
    without: "move_mount(2) finds nothing to mount on (ENOENT). Made by path after mounting, the directory could come to stand in what is \
              mounted there: an empty directory on the host that nobody asked for.",
};

pub(super) const FURNISH_LINK: Text = Text {
    why: "A symbolic link of the root in memory. Where the host has /bin as a link to usr/bin the jail has so too: what programs find \
          by one name they find by the other, and it is one mount less.",
    man: &["symlink(2)", "hier(7)"],
    without: "Paths that everybody takes for granted, /bin/sh and /lib64/ld-linux-x86-64.so.2 before all others, lead nowhere, and a \
              program that is there cannot be executed (ENOENT).",
};

pub(super) const FURNISH_FILE: Text = Text {
    why: "A small file of the root in memory with content of its own, or an empty one to mount a file on. Its text is in the plan: nothing is \
          read from the host for it when the jail starts.",
    man: &["open(2)", "write(2)"],
    without: "Programs look into such files for who they are and what machine this is; from the host's own they would also learn who \
              else lives there.",
};

pub(super) const SEAL: Text = Text {
    why: "What had to be made in this file system is made. As the mount becomes read-only before anybody inside can see it, it stays as the \
          plan has it, whatever modes and owners say.",
    man: &["mount_setattr(2)"],
    without: "The program could put a file of its own in the place of /etc/passwd or of a link that others follow, and fill the memory \
              that the root takes.",
};

pub(super) const ROOT_PIVOT: Text = Text {
    why: "The tree becomes the root of the whole mount namespace. Called with \".\" twice, pivot_root stacks the old root on the new \
          one, and unmounting \".\" takes it off: from here on no path, and no mount, leads to the host's files.",
    man: &["pivot_root(2)", "umount2(2)"],
    without: "The host's files stay one chroot(2) away: a process with CAP_SYS_CHROOT makes a directory, changes root into it without \
              changing directory, and climbs out with \"..\". Here there is nothing left above to climb to.",
};

pub(super) const ROOT_MOVE: Text = Text {
    why: "For hosts that run from an initial ramfs, which pivot_root(2) refuses to leave: the tree is moved over the root and chroot(2) \
          follows it there. The host's files are covered, not gone.",
    man: &["mount(2)", "chroot(2)"],
    without: "There would be no root to run in on such a host. Even so it is the weaker way: with CAP_SYS_ADMIN the tree can be \
              unmounted again, which uncovers the host. Prefer pivot wherever it works.",
};

pub(super) const ROOT_CHROOT: Text = Text {
    why: "chroot(2) changes one thing: where this process's paths begin. It is enough for a program that has no capability and no \
          descriptor of a directory outside. The change of directory after it is part of it.",
    man: &["chroot(2)", "path_resolution(7)"],
    without: "Every path would be the host's. With it alone, root inside still gets out in two lines (a second chroot(2), then \"..\"), \
              and the host's whole tree is still mounted. It is here for teaching and for hosts that can do nothing better.",
};

pub(super) const ATTACH_TREE: Text = Text {
    why: "The copied mount, held by its descriptor until now, is put at its place. Its target is looked up with the jail's root as \
          root, so that no link in the tree can lead out of it.",
    man: &["move_mount(2)"],
    without: "The mount would vanish as soon as its descriptor is closed. Attached before the change of root, a link planted at the \
              target would have put it on top of a directory of the host.",
};

pub(super) const CLONE_COVER: Text = Text {
    why: "A cover for files of /proc or /sys is prepared while the host's are in reach: a copy of its null device, on a mount where \
          devices cannot be opened.",
    man: &["open_tree(2)", "mount_setattr(2)", "null(4)"],
    without: "There would be nothing to mount over it later. A cover taken from the jail's own tree could have been replaced there by a \
              link to something worth reading: CVE-2025-31133 in runc.",
};

pub(super) const COVER_FILES: Text = Text {
    why: "/proc shows more than processes: keys, interrupts, disks, the command line the kernel was started with. No namespace holds \
          those back, so each is hidden under a mount: whatever the kernel has there and is not known to be harmless. Then each is \
          looked at: the null device must be there. Nobody inside can unmount it without CAP_SYS_ADMIN.",
    man: &["move_mount(2)", "mount(2)", "proc(5)"],
    without: "The program learns what machine it is on and what others do there, and for root some of these files act on the host. \
              bubblewrap leaves /proc/sys writable for a root without capabilities, because it covers by what access(2) says and \
              does not look again.",
};

pub(super) const COVER_DIRECTORIES: Text = Text {
    why: "Whole directories of /proc tell of the host: its buses, its interrupts, the file systems it has mounted. /proc/tty/ldisc is an \
          empty directory in every kernel; it is mounted over each of them, and each is looked at.",
    man: &["mount(2)", "proc(5)"],
    without: "The program reads what hardware there is and from which disks the host runs. Read-only is not enough: CVE-2017-16539 took \
              the disks away through /proc/scsi, before that was covered.",
};

pub(super) const MOUNT_PROC: Text = Text {
    why: "/proc shows the processes of the PID namespace it is mounted in, so the jail needs a new one to see its own. It is also where \
          programs find their descriptors, their memory map and their limits. It is made while the host's is still in sight: a user \
          namespace gets a new one only where it sees one that nothing covers. With hidepid the program sees just the processes it \
          could trace: not PID 1, which is a copy of the supervisor.",
    man: &["proc(5)", "pid_namespaces(7)", "fsopen(2)"],
    without: "ps, and many runtimes, fail. A bind of the host's /proc would show every process of the host, with its command line, and \
              /proc/1/root as a door. As root, /proc/sys/kernel/core_pattern names a program that the host runs: CVE-2025-31133.",
};

pub(super) const MOUNT_SYS: Text = Text {
    why: "/sys is where C libraries count processors, and where databases and allocators ask how memory is managed. A new one shows the \
          network devices of the namespace it is made in, so it is made in the jail's, and it is read-only as a whole.",
    man: &["sysfs(5)", "fsopen(2)"],
    without: "Some programs take the machine for one with a single processor. A bind of the host's /sys would show the host's network \
              devices, and everything that is mounted below: control groups, tracing, debugging.",
};

pub(super) const COVER_SYS: Text = Text {
    why: "/sys is a picture of the hardware, of the drivers and of what is loaded into the kernel. Shown are processors, memory, clocks \
          and network devices; whatever else this kernel has there is hidden under mounts: files under the null device, directories \
          under /sys/fs/cgroup, which is an empty directory in every new /sys. Then each is looked at.",
    man: &["sysfs(5)", "mount(2)"],
    without: "The program reads serial numbers, disks, modules and power meters (CVE-2020-8694: what is computed next door shows in the \
              current it draws), and for root some of these files act on the host: /sys/kernel/uevent_helper names a program that the kernel runs.",
};

pub(super) const MOUNT_DEVPTS: Text = Text {
    why: "Terminals opened inside (by ssh, screen, script) are numbered in a devpts of their own, with its own ptmx.",
    man: &["devpts(5)", "pts(4)"],
    without: "Opening a terminal fails inside. Sharing the host's devpts would show every terminal of the host, and let root in the \
              jail write to them.",
};

pub(super) const MOUNT_MQUEUE: Text = Text {
    why: "POSIX message queues belong to the IPC namespace; mounting them shows the jail's own as files.",
    man: &["mq_overview(7)", "ipc_namespaces(7)"],
    without: "mq_open(3) still works, but nobody can list the queues or remove one that was left behind by a crash.",
};

pub(super) const LISTEN_LOG: Text = Text {
    why: "syslog(3) writes to /dev/log and to nothing else: a daemon that logs by it is mute without, or does not start. The socket is the \
          supervisor's own, which shows each line on standard error, so that no door of the host's is opened, and a logger of the \
          host's that is started anew takes nothing with it. The first process gives it a name inside, in a file system of its own, \
          which is read-only from then on: nobody inside can put another in its place.",
    man: &["syslog(3)", "unix(7)", "bind(2)"],
    without: "What the daemon says is lost. With the host's /dev/log shown inside, the jail could write lines in anybody's name to the \
              host's log, as many as it likes; and when the host's logger makes its socket anew, a bind of the old one leads nowhere.",
};

pub(super) const LISTEN_NOTIFY: Text = Text {
    why: "A program with `type = \"notify\"` says by sd_notify(3) when it is ready. The socket it says so to is the supervisor's own, which \
          passes on to the service manager what a service may say of itself, and nothing else: who sends to the manager's own socket \
          could name another process as the service, or have descriptors kept. It is named inside as the socket of a log is.",
    man: &["sd_notify(3)", "unix(7)", "bind(2)"],
    without: "The program is taken as started when it is executed, and what depends on it is started too early; a watchdog has nobody to \
              hear from.",
};

pub(super) const CREATE_OVERLAY: Text = Text {
    why: "The program is to work on a directory of the host's as if it were its own, and the host's is to stay as it is: an overlay shows \
          the directory below an empty layer in memory, of a limited size, to which everything goes that is written, and in which what \
          is removed is marked. The layer is reached by no path of the jail's; the supervisor keeps a descriptor of it, to tell \
          afterwards what has changed.",
    man: &["mount(8)", "tmpfs(5)", "fsopen(2)", "user_namespaces(7)"],
    without: "Either the program cannot write, or it writes to the host's own files: what a careless build script removes is gone. A copy \
              of the directory would do as well, and take as long and as much room as the directory is large.",
};

pub(super) const MOUNT_TMPFS: Text = Text {
    why: "A place to write in a root that is read-only: memory of its own, empty at every start, of a limited size, gone with the jail.",
    man: &["tmpfs(5)", "fsopen(2)", "fsmount(2)"],
    without: "Programs that make temporary files fail with EROFS. On a shared /tmp they would meet files the host planted there, and \
              the other way round (CVE-2026-3888 in snap-confine); without a size limit one file takes all memory.",
};
