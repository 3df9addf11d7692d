//! Why the profiles refuse what they refuse, and what opens it. The calls of a decision are in the table, or, where the arguments
//! decide, in the tests; both name the decision.

/// A reason to refuse something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each has its text below")]
pub enum Decision {
    Namespaces,
    Mounting,
    Root,
    SetId,
    Devices,
    Memfd,
    Handles,
    Fanotify,
    Quotas,
    Attributes,
    Leases,
    Sockets,
    RawSockets,
    Netlink,
    Datagrams,
    Terminal,
    Tracing,
    Performance,
    Bpf,
    Userfaultfd,
    IoUring,
    Keyrings,
    Numa,
    SecretMemory,
    Personality,
    CoreLimit,
    Segments,
    Ports,
    Clock,
    KernelLog,
    Modules,
    Reboot,
    Swap,
    Administration,
    Obsolete,
}

/// What there is to say of a decision.
#[derive(Debug)]
pub struct Reason {
    /// Which.
    pub decision: Decision,
    /// Its name, for people.
    pub name: &'static str,
    /// What is refused where not the whole call is.
    pub when: &'static str,
    /// Why.
    pub why: &'static str,
    /// Groups that open it when a list names them. The name of a call that is refused whole opens that call.
    pub groups: &'static [&'static str],
    /// The capability that opens it in the profile `daemon`, by its number.
    pub capability: Option<u8>,
}

/// Short for a decision about whole calls.
const fn calls(
    decision: Decision,
    name: &'static str,
    groups: &'static [&'static str],
    why: &'static str,
) -> Reason {
    Reason { decision, name, when: "", why, groups, capability: None }
}

impl Reason {
    /// The same, for calls that are refused for some arguments only.
    const fn when(mut self, when: &'static str) -> Self {
        self.when = when;
        self
    }

    /// The same, opened by a capability.
    const fn for_capability(mut self, number: u8) -> Self {
        self.capability = Some(number);
        self
    }
}

/// Every decision, in the order of [`Decision`].
pub static REASONS: [Reason; Decision::COUNT] = [
    calls(
        Decision::Namespaces,
        "namespaces",
        &["namespaces"],
        "In a user namespace of its own a process has every capability, and the kernel code behind them is in reach: many \
         local root exploits begin so (CVE-2022-0185). clone3(2) passes its flags behind a pointer; for ENOSYS the C \
         library takes clone(2).",
    )
    .when("clone(2) and unshare(2) with the flag of a namespace"),
    calls(
        Decision::Mounting,
        "mounting",
        &["mount"],
        "A mount call undoes the tree: it uncovers what is masked, shows other file systems, makes read-only writable. The new calls \
         are refused with the old (CVE-2021-41133); listing mounts tells paths of the host.",
    ),
    calls(
        Decision::Root,
        "chroot",
        &["mount"],
        "chroot(2) inside a jail is the classic way out of one that was made by chroot(2). A daemon that confines itself needs it.",
    )
    .for_capability(18),
    calls(
        Decision::SetId,
        "set-id files",
        &["setid"],
        "A program made set-user-id in a directory shared with the host runs there with its owner's rights: root's, if the jail's \
         root is the host's. openat2(2) has its mode behind a pointer; programs fall back to openat(2).",
    )
    .when("a mode with S_ISUID or S_ISGID in chmod(2), fchmod(2), fchmodat(2), mknod(2), and in open(2) and openat(2) when they make a file; mkdir(2) never sets them"),
    calls(
        Decision::Devices,
        "device nodes",
        &[],
        "A node for a disk reads every file of the host. It needs CAP_MKNOD too; a FIFO or a socket does not and is allowed.",
    )
    .when("mknod(2) of S_IFCHR or S_IFBLK")
    .for_capability(27),
    calls(
        Decision::Memfd,
        "programs in memory",
        &["memfd"],
        "A file in memory can be executed though every writable mount is noexec: malware is started so without touching a disk. With \
         MFD_NOEXEC_SEAL (Linux 6.3) it cannot. For ENOSYS programs take shm_open(3) or a temporary file.",
    )
    .when("memfd_create(2) without MFD_NOEXEC_SEAL"),
    calls(
        Decision::Handles,
        "file handles",
        &[],
        "open_by_handle_at(2) opens a file by its inode number, wherever the root is: the way out of early Docker (\"shocker\").",
    ),
    calls(
        Decision::Fanotify,
        "fanotify",
        &[],
        "Watches, and may hold up, what other processes do with a whole file system. inotify(7) is allowed.",
    ),
    calls(
        Decision::Quotas,
        "quotas",
        &[],
        "Quotas belong to the host's file systems, whatever is mounted inside.",
    ),
    calls(
        Decision::Attributes,
        "file attributes",
        &["attributes"],
        "A file's owner may change its project, by which a shared directory may have its quota, where ids inside are the host's, and make it \
         unchangeable by fs-verity. With `--landlock-only` nothing else keeps files that are shown read-only from it. chattr(1) needs it.",
    )
    .when("ioctl(2) with FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_ENABLE_VERITY or FS_IOC_SET_ENCRYPTION_POLICY"),
    calls(
        Decision::Leases,
        "leases",
        &["leases"],
        "Whoever owns a file may take a lease on it, also on one that is shown read-only: each program of the host that opens it is then \
         held up, for 45 seconds (fs.lease-break-time), and the next one again. File servers use them, and go on without.",
    )
    .when("fcntl(2) with F_SETLEASE or F_SETDELEG"),
    calls(
        Decision::Sockets,
        "address families",
        &["sockets"],
        "Each family is a driver of its own, loaded at the first socket, and the rare ones are little looked at: AF_ALG, AF_VSOCK (which \
         no network namespace holds), Bluetooth, CAN, TIPC, SCTP, DCCP and the like. AF_UNIX, AF_INET and AF_INET6 with TCP, UDP and \
         ICMP stay. On 32-bit x86 socketcall(2) has its arguments behind a pointer: there nothing but the network namespace and \
         the kernel's own checks hold a family; `-socketcall` takes it away.",
    )
    .when("socket(2) and socketpair(2) of another family or protocol"),
    calls(
        Decision::RawSockets,
        "raw sockets",
        &["sockets"],
        "They see and forge what others send. They need CAP_NET_RAW as well; ping(1) does without.",
    )
    .when("socket(2) of AF_PACKET, or of type SOCK_RAW")
    .for_capability(13),
    calls(
        Decision::Netlink,
        "netlink",
        &["sockets"],
        "Through netlink one talks to packet filters, IPsec, audit and dozens of drivers. Programs need NETLINK_ROUTE, to list addresses.",
    )
    .when("socket(2) of AF_NETLINK with a protocol other than NETLINK_ROUTE")
    .for_capability(12),
    calls(
        Decision::Datagrams,
        "datagrams",
        &["network-io"],
        "Each datagram may have another address, which the filter cannot see: one end of a pair reaches any socket there is. In \
         `compute` only.",
    )
    .when("socketpair(2) of type SOCK_DGRAM, in the profile `compute`"),
    calls(
        Decision::Terminal,
        "terminals",
        &[],
        "TIOCSTI and TIOCLINUX type into the terminal, as if its user had: whoever is there next executes it (CVE-2017-5226, \
         CVE-2019-10063). TIOCSETD loads line disciplines (CVE-2017-2636), TIOCCONS takes the console's output.",
    )
    .when("ioctl(2) with TIOCSTI, TIOCLINUX, TIOCSETD or TIOCCONS"),
    calls(
        Decision::Tracing,
        "tracing",
        &["debug"],
        "Reads and changes other processes of the same user, and their descriptors. A debugger inside the jail needs it; gdb(1), \
         strace(1) and LeakSanitizer say that they cannot attach.",
    ),
    calls(
        Decision::Performance,
        "performance counters",
        &["debug"],
        "A large part of the kernel with a long list of flaws; it times other processes.",
    ),
    calls(
        Decision::Bpf,
        "eBPF",
        &[],
        "Loads programs into the kernel; mistakes in its verifier were root exploits (CVE-2020-8835, CVE-2021-3490).",
    ),
    calls(
        Decision::Userfaultfd,
        "userfaultfd",
        &[],
        "Stops the kernel in the middle of a copy for as long as one likes, which turns a race into a sure thing.",
    ),
    calls(
        Decision::IoUring,
        "io_uring",
        &[],
        "Takes its calls from memory, past any filter, and has been a source of kernel exploits (CVE-2022-29582). For ENOSYS programs take \
         epoll(7).",
    ),
    calls(
        Decision::Keyrings,
        "keyrings",
        &["keyring"],
        "The user's keyring belongs to a user id and not to a jail: a jail of the same user would find the host's keys.",
    ),
    calls(
        Decision::Numa,
        "memory placement",
        &["resources"],
        "Moves pages between memory nodes, also those of others; helps exploits place theirs. For ENOSYS libnuma goes on without.",
    ),
    calls(
        Decision::SecretMemory,
        "secret memory",
        &[],
        "Memory the kernel itself cannot read is unmovable, is on few systems, and is the same to a program as none.",
    ),
    calls(
        Decision::Personality,
        "personality",
        &["personality"],
        "ADDR_NO_RANDOMIZE and READ_IMPLIES_EXEC make every exploit easier, and execve(2) keeps them. Asking, and setting what the \
         manifest's `personality` sets, is allowed.",
    )
    .when("personality(2) with another value than 0xffffffff and the manifest's (0 without one)"),
    calls(
        Decision::CoreLimit,
        "limit on core files",
        &[],
        "A core_pattern that names a program (`|…`) has the host run it, as root, with the memory of what crashed. The limit of 1 that a jail \
         has keeps the kernel from that, as one of 0 does not (core(5)), so a program that lowers its own would let it through. \
         Servers and shells that lower it to protect themselves are told that they did. Another `core_size` in the manifest opens it.",
    )
    .when("setrlimit(2) and prlimit(2) that set RLIMIT_CORE (EPERM of another process, or if the old limit is asked for as well)"),
    calls(
        Decision::Segments,
        "descriptor tables",
        &["cpu-emulation"],
        "modify_ldt(2) and vm86(2) are for emulators of old systems, and had flaws (CVE-2017-17053).",
    ),
    calls(
        Decision::Ports,
        "I/O ports",
        &["raw-io"],
        "Speaks to hardware past every driver. It needs CAP_SYS_RAWIO too.",
    ),
    calls(
        Decision::Clock,
        "clock",
        &["clock"],
        "There is one clock for the host and all jails. adjtimex(2) can be used to read it, but which it is stands behind a pointer; \
         clock_gettime(2) reads it as well.",
    )
    .for_capability(25),
    calls(
        Decision::KernelLog,
        "kernel log",
        &[],
        "The log tells of the host, addresses of the kernel included.",
    )
    .for_capability(34),
    calls(
        Decision::Modules,
        "modules",
        &["module"],
        "A module is kernel code.",
    ),
    calls(
        Decision::Reboot,
        "reboot",
        &["reboot"],
        "Stops the host, or starts another kernel in its place.",
    ),
    calls(
        Decision::Swap,
        "swap",
        &["swap"],
        "Swap space is the host's.",
    ),
    calls(
        Decision::Administration,
        "administration",
        &[],
        "What only an administrator of the host does: accounting, host names, hanging up terminals, changing a security label.",
    ),
    calls(
        Decision::Obsolete,
        "obsolete",
        &["obsolete"],
        "Nothing of today uses them; most kernels do not have them.",
    ),
];

impl Decision {
    /// How many there are.
    pub const COUNT: usize = Self::Obsolete as usize + 1;

    /// Its text.
    pub fn reason(self) -> &'static Reason {
        &REASONS[self as usize]
    }
}

/// A set of decisions, bit n for decision n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decisions(u64);

impl Decisions {
    /// No decision.
    pub const NONE: Self = Self(0);
    /// Every decision.
    pub const ALL: Self = Self(u64::MAX >> (64 - Decision::COUNT));

    /// The set with one more.
    #[must_use]
    pub const fn with(self, decision: Decision) -> Self {
        Self(self.0 | 1 << decision as u64)
    }

    /// The set without one.
    #[must_use]
    pub const fn without(self, decision: Decision) -> Self {
        Self(self.0 & !(1 << decision as u64))
    }

    /// All that are in either.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether it holds this one.
    pub const fn has(self, decision: Decision) -> bool {
        self.0 & 1 << decision as u64 != 0
    }
}
