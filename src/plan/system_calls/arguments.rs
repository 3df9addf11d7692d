//! Tests of a call's arguments, as data. The kernel hands a filter the six registers, 64 bits each; the arguments tested here are
//! read by the kernel as 32 bits or fewer, so only the low half counts: a filter that compared all 64 bits could be passed by
//! setting one above them (CVE-2019-10063). Pointers alone are 64 bits: of one, both halves count.

use super::Errno;
use super::decisions::Decision;

/// A test by the call it is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// clone(2): no new namespace.
    Clone,
    /// unshare(2): no new namespace.
    Unshare,
    /// A mode as the second argument: chmod(2), fchmod(2), creat(2).
    ModeSecond,
    /// A mode as the third argument: fchmodat(2).
    ModeThird,
    /// open(2): the mode counts only when a file is made.
    Open,
    /// openat(2).
    OpenAt,
    /// mknod(2).
    Node,
    /// mknodat(2).
    NodeAt,
    /// ioctl(2).
    Ioctl,
    /// fcntl(2).
    Fcntl,
    /// socket(2).
    Socket,
    /// socketpair(2).
    SocketPair,
    /// personality(2).
    Personality,
    /// memfd_create(2).
    Memfd,
    /// setrlimit(2).
    Limit,
    /// prlimit(2), the kernel's prlimit64.
    LimitOf,
}

impl Test {
    /// All tests.
    pub const ALL: [Self; 16] = [
        Self::Clone,
        Self::Unshare,
        Self::ModeSecond,
        Self::ModeThird,
        Self::Open,
        Self::OpenAt,
        Self::Node,
        Self::NodeAt,
        Self::Ioctl,
        Self::Fcntl,
        Self::Socket,
        Self::SocketPair,
        Self::Personality,
        Self::Memfd,
        Self::Limit,
        Self::LimitOf,
    ];

    /// Its first node.
    pub const fn node(self) -> &'static Node {
        match self {
            Self::Clone => &CLONE,
            Self::Unshare => &UNSHARE,
            Self::ModeSecond => &MODE_SECOND,
            Self::ModeThird => &MODE_THIRD,
            Self::Open => &OPEN,
            Self::OpenAt => &OPEN_AT,
            Self::Node => &NODE,
            Self::NodeAt => &NODE_AT,
            Self::Ioctl => &IOCTL,
            Self::Fcntl => &FCNTL,
            Self::Socket => &SOCKET,
            Self::SocketPair => &SOCKET_PAIR,
            Self::Personality => &PERSONALITY,
            Self::Memfd => &MEMFD,
            Self::Limit => &LIMIT,
            Self::LimitOf => &LIMIT_OF,
        }
    }
}

/// A node of a test: a verdict, or a question with two answers.
#[derive(Debug)]
pub enum Node {
    /// The call is made.
    Allow,
    /// The call is refused with this error, unless the decision is opened.
    Refuse(Decision, Errno),
    /// Whether an argument, by its number from 0, has one of some values.
    If {
        /// Which argument.
        argument: u8,
        /// The bits of it that count.
        mask: u32,
        /// The values.
        is: Values,
        /// If it has one of them.
        then: &'static Node,
        /// If not.
        otherwise: &'static Node,
    },
    /// Whether an argument is no pointer.
    IfNull {
        /// Which argument.
        argument: u8,
        /// If it is none.
        then: &'static Node,
        /// If it is one.
        otherwise: &'static Node,
    },
}

impl Node {
    /// The errors it may come to because of a decision.
    pub fn errors(&self, decision: Decision) -> Vec<Errno> {
        match self {
            Self::Refuse(of, errno) if *of == decision => vec![*errno],
            Self::Allow | Self::Refuse(..) => Vec::new(),
            Self::If { then, otherwise, .. } | Self::IfNull { then, otherwise, .. } => {
                then.errors(decision).into_iter().chain(otherwise.errors(decision)).collect()
            }
        }
    }
}

/// The values a question is about.
#[derive(Debug)]
pub enum Values {
    /// One of these.
    Any(&'static [u32]),
    /// What the manifest makes of personality(2), or the value that only asks.
    Personality,
}

/// All 32 bits.
const WHOLE: u32 = u32::MAX;

/// `CLONE_NEW…` of linux/sched.h, but the one for time, whose bit is part of a signal's number in clone(2).
const NAMESPACES: u32 = 0x7E02_0000;
/// `CLONE_NEWTIME`, which unshare(2) takes.
const NEW_TIME: u32 = 0x80;
const NO_NAMESPACE: Node = Node::Refuse(Decision::Namespaces, Errno::EPERM);

static CLONE: Node = Node::If {
    argument: 0,
    mask: NAMESPACES,
    is: Values::Any(&[0]),
    then: &Node::Allow,
    otherwise: &NO_NAMESPACE,
};

static UNSHARE: Node = Node::If {
    argument: 0,
    mask: NAMESPACES | NEW_TIME,
    is: Values::Any(&[0]),
    then: &Node::Allow,
    otherwise: &NO_NAMESPACE,
};

/// `S_ISUID | S_ISGID`.
const SET_ID: u32 = 0o6000;

/// A mode without set-id bits in this argument.
const fn mode(argument: u8) -> Node {
    Node::If {
        argument,
        mask: SET_ID,
        is: Values::Any(&[0]),
        then: &Node::Allow,
        otherwise: &Node::Refuse(Decision::SetId, Errno::EPERM),
    }
}

static MODE_SECOND: Node = mode(1);
static MODE_THIRD: Node = mode(2);
static MODE_FOURTH: Node = mode(3);

/// `O_CREAT | __O_TMPFILE`: without them the mode is not looked at, and may be anything.
const MAKES_FILE: u32 = 0o2000_0100;

static OPEN: Node = Node::If {
    argument: 1,
    mask: MAKES_FILE,
    is: Values::Any(&[0]),
    then: &Node::Allow,
    otherwise: &MODE_THIRD,
};

static OPEN_AT: Node = Node::If {
    argument: 2,
    mask: MAKES_FILE,
    is: Values::Any(&[0]),
    then: &Node::Allow,
    otherwise: &MODE_FOURTH,
};

/// `S_IFMT`, and the two types of it that are devices: `S_IFCHR`, `S_IFBLK`.
const TYPE: u32 = 0o170_000;
const DEVICES: &[u32] = &[0o020_000, 0o060_000];

static NODE: Node = Node::If {
    argument: 1,
    mask: TYPE,
    is: Values::Any(DEVICES),
    then: &Node::Refuse(Decision::Devices, Errno::EPERM),
    otherwise: &MODE_SECOND,
};

static NODE_AT: Node = Node::If {
    argument: 2,
    mask: TYPE,
    is: Values::Any(DEVICES),
    then: &Node::Refuse(Decision::Devices, Errno::EPERM),
    otherwise: &MODE_THIRD,
};

/// `TIOCSTI`, `TIOCLINUX`, `TIOCCONS`, `TIOCSETD` of asm-generic/ioctls.h.
static IOCTL: Node = Node::If {
    argument: 1,
    mask: WHOLE,
    is: Values::Any(&[0x5412, 0x541C, 0x541D, 0x5423]),
    then: &Node::Refuse(Decision::Terminal, Errno::EPERM),
    otherwise: &ATTRIBUTES,
};

/// `FS_IOC_SETFLAGS` for programs of 64 and of 32 bits and `FS_IOC_FSSETXATTR` of linux/fs.h, `FS_IOC_ENABLE_VERITY` of
/// linux/fsverity.h, `FS_IOC_SET_ENCRYPTION_POLICY` of linux/fscrypt.h.
static ATTRIBUTES: Node = Node::If {
    argument: 1,
    mask: WHOLE,
    is: Values::Any(&[0x4008_6602, 0x4004_6602, 0x401C_5820, 0x4080_6685, 0x800C_6613]),
    then: &Node::Refuse(Decision::Attributes, Errno::EPERM),
    otherwise: &Node::Allow,
};

/// `F_SETLEASE`, `F_SETDELEG` (Linux 6.19) of linux/fcntl.h.
static FCNTL: Node = Node::If {
    argument: 1,
    mask: WHOLE,
    is: Values::Any(&[1024, 1040]),
    then: &Node::Refuse(Decision::Leases, Errno::EPERM),
    otherwise: &Node::Allow,
};

/// Address families of linux/socket.h.
const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_NETLINK: u32 = 16;
const AF_PACKET: u32 = 17;
/// `SOCK_TYPE_MASK`: what `SOCK_CLOEXEC` and `SOCK_NONBLOCK` are not part of.
const SOCKET_TYPE: u32 = 0xF;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;
/// The default of the type, ICMP, TCP, UDP, ICMPv6.
const PROTOCOLS: &[u32] = &[0, 1, 6, 17, 58];

static SOCKET: Node = Node::If {
    argument: 0,
    mask: WHOLE,
    is: Values::Any(&[AF_INET, AF_INET6]),
    then: &INTERNET,
    otherwise: &Node::If {
        argument: 0,
        mask: WHOLE,
        is: Values::Any(&[AF_UNIX]),
        then: &Node::Allow,
        otherwise: &Node::If {
            argument: 0,
            mask: WHOLE,
            is: Values::Any(&[AF_NETLINK]),
            then: &NETLINK,
            otherwise: &Node::If {
                argument: 0,
                mask: WHOLE,
                is: Values::Any(&[AF_PACKET]),
                then: &Node::Refuse(Decision::RawSockets, Errno::EAFNOSUPPORT),
                otherwise: &Node::Refuse(Decision::Sockets, Errno::EAFNOSUPPORT),
            },
        },
    },
};

static INTERNET: Node = Node::If {
    argument: 1,
    mask: SOCKET_TYPE,
    is: Values::Any(&[SOCK_STREAM, SOCK_DGRAM]),
    then: &Node::If {
        argument: 2,
        mask: WHOLE,
        is: Values::Any(PROTOCOLS),
        then: &Node::Allow,
        otherwise: &Node::Refuse(Decision::Sockets, Errno::EPROTONOSUPPORT),
    },
    otherwise: &Node::If {
        argument: 1,
        mask: SOCKET_TYPE,
        is: Values::Any(&[SOCK_RAW]),
        then: &Node::Refuse(Decision::RawSockets, Errno::EPERM),
        otherwise: &Node::Refuse(Decision::Sockets, Errno::EPROTONOSUPPORT),
    },
};

/// `NETLINK_ROUTE` is protocol 0.
static NETLINK: Node = Node::If {
    argument: 2,
    mask: WHOLE,
    is: Values::Any(&[0]),
    then: &Node::Allow,
    otherwise: &Node::Refuse(Decision::Netlink, Errno::EPROTONOSUPPORT),
};

/// A pair of sockets without connection is open to the address of each message, which the filter cannot see.
static SOCKET_PAIR: Node = Node::If {
    argument: 0,
    mask: WHOLE,
    is: Values::Any(&[AF_UNIX]),
    then: &Node::If {
        argument: 1,
        mask: SOCKET_TYPE,
        is: Values::Any(&[SOCK_DGRAM, SOCK_RAW]),
        then: &Node::Refuse(Decision::Datagrams, Errno::EPROTONOSUPPORT),
        otherwise: &Node::Allow,
    },
    otherwise: &Node::Refuse(Decision::Sockets, Errno::EAFNOSUPPORT),
};

static PERSONALITY: Node = Node::If {
    argument: 0,
    mask: WHOLE,
    is: Values::Personality,
    then: &Node::Allow,
    otherwise: &Node::Refuse(Decision::Personality, Errno::EPERM),
};

/// `MFD_NOEXEC_SEAL` of linux/memfd.h.
static MEMFD: Node = Node::If {
    argument: 1,
    mask: 8,
    is: Values::Any(&[8]),
    then: &Node::Allow,
    otherwise: &Node::Refuse(Decision::Memfd, Errno::ENOSYS),
};

/// `RLIMIT_CORE` of asm-generic/resource.h.
const CORE: &[u32] = &[4];

static LIMIT: Node = Node::If {
    argument: 0,
    mask: WHOLE,
    is: Values::Any(CORE),
    then: &Node::Refuse(Decision::CoreLimit, Errno::Success),
    otherwise: &Node::Allow,
};

/// The first argument is a process, 0 for the own one, the third the new limit, the fourth where the old one is to be written, which
/// whoever asks for it then reads: with that, and of other processes, the call fails.
static LIMIT_OF: Node = Node::If {
    argument: 1,
    mask: WHOLE,
    is: Values::Any(CORE),
    then: &Node::IfNull {
        argument: 2,
        then: &Node::Allow,
        otherwise: &Node::IfNull { argument: 3, then: &OWN_LIMIT, otherwise: &OTHERS_LIMIT },
    },
    otherwise: &Node::Allow,
};

static OWN_LIMIT: Node = Node::If {
    argument: 0,
    mask: WHOLE,
    is: Values::Any(&[0]),
    then: &Node::Refuse(Decision::CoreLimit, Errno::Success),
    otherwise: &OTHERS_LIMIT,
};

static OTHERS_LIMIT: Node = Node::Refuse(Decision::CoreLimit, Errno::EPERM);
