//! What the jail's first processes do, as operations: everything they need is made before clone(2), because they may not allocate. One
//! step of a plan becomes one operation; [`super::lower`] makes them.

use std::cell::Cell;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::{self, sock_filter};

use super::cgroup::{ControlGroups, Hit, Peaks};
use super::furnish::Piece;
use super::mounts::Overlay;
use super::spaces::{NewSpace, Spaces};
use super::verify::Verify;
use super::{grant, pasta};

use crate::plan::ControlGroup;
use crate::plan::ids::{Extent, UNMAPPED};
use crate::plan::step::{IdSpace, Idmap, Interrupt, Listener, Owner, RootMethod, Scheduling};
use crate::sys;
use crate::sys::process::PointerArray;

/// What the child does, in order, and what its first operation needs of clone(2).
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Program {
    /// Flags of clone(2).
    pub(super) namespaces: libc::c_int,
    /// The operations, each with the index of its step in the plan.
    pub(super) operations: Vec<(usize, Operation)>,
    /// How many of them, from the first, are the supervisor's own, done before clone(2).
    pub(super) prepared: usize,
    /// The control groups made by those.
    pub(super) groups: ControlGroups,
    /// The namespaces made by those.
    pub(super) spaces: Spaces,
    /// A process of a running jail that is joined.
    pub(super) joined: Cell<Option<OwnedFd>>,
    /// The program that connects the jail's network.
    pub(super) pasta: Option<pasta::Wanted>,
    /// The programs that map ids for it.
    pub(super) grant: Option<grant::Wanted>,
    /// Whether there is no PID namespace whose end would end all of its processes: the supervisor inherits them and ends them itself.
    pub(super) adopts: bool,
    /// Detached mounts on their way from the host's tree to the jail's.
    pub(super) slots: Vec<Cell<Option<OwnedFd>>>,
    /// The descriptors that become the program's own terminal.
    pub(super) terminal: Vec<i32>,
    /// The descriptors whose output the supervisor passes on, those that share a pipe together, and whether that goes to a stream.
    pub(super) outputs: Vec<(Vec<i32>, bool)>,
    /// How many sockets a service manager has passed for the program.
    pub(super) passed: u32,
    /// How many overlays are made.
    pub(super) overlays: usize,
    /// Their scratch layers, in the order of the steps, once the jail has ended.
    pub(super) layers: Cell<Vec<OwnedFd>>,
    /// When its first process was made.
    pub(super) began: Cell<Option<Instant>>,
    /// Whether the user has interrupted it.
    pub(super) interrupt: Cell<Option<Interrupt>>,
    /// Whether the supervisor reads what is logged inside.
    pub(super) log: bool,
    /// Whether it reads what the program says of itself.
    pub(super) notify: bool,
    /// The program's limit on the size of files.
    pub(super) file_size: Option<u64>,
    /// Whether standard input is a file that is read on from where the caller was.
    pub(super) shares_input: bool,
    /// Owner of the terminal and of the pipes, as the host sees the program.
    pub(super) owner: u32,
}

/// One step, ready for the kernel: C strings, masks and arrays.
#[derive(Debug)]
pub(super) enum Operation {
    WriteFiles(Vec<(CString, Vec<u8>)>),
    NewSession,
    NewKeyring,
    AttachTerminal(Vec<i32>),
    ReopenDescriptor {
        descriptor: i32,
        source: CString,
        attributes: u64,
        flags: OFlag,
        file: (u64, u64),
        /// Whether it is read on from where the caller was.
        seeks: bool,
    },
    RelayOutput {
        relay: usize,
        onto: Vec<i32>,
    },
    MakePrivate,
    SetUndumpable,
    MakeControlGroups {
        name: String,
        groups: Vec<ControlGroup>,
    },
    EnterControlGroups {
        namespace: bool,
    },
    MakeUserNamespace(NewSpace),
    JoinNamespaces {
        kinds: libc::c_int,
        tree: CString,
    },
    GrantIds,
    ConnectNetwork,
    EnterNetwork,
    EnterUserNamespace,
    LoopbackUp,
    SetHostname(CString),
    CloneTree {
        slot: usize,
        source: CString,
        attributes: u64,
        recursive: bool,
        idmap: Option<Idmap>,
    },
    EnterRoot {
        slot: usize,
        over: CString,
        method: RootMethod,
    },
    Listen {
        to: Listener,
        slot: usize,
    },
    AttachTree {
        slot: usize,
        target: CString,
    },
    Cover {
        /// Where a copy is to be attached first.
        copy: Option<(usize, CString)>,
        place: CString,
        /// Below `place`: what covers, then what is covered.
        names: Vec<CString>,
    },
    CreateFileSystem {
        slot: usize,
        kind: CString,
        options: Vec<(CString, CString)>,
        attributes: u64,
    },
    CreateOverlay {
        slot: usize,
        overlay: Overlay,
    },
    Furnish {
        slot: usize,
        path: CString,
        what: Piece,
        owner: Option<Owner>,
        mode: Option<u32>,
    },
    Seal {
        slot: usize,
    },
    CreateRuleset {
        slot: usize,
        handled: u64,
        network: u64,
        scoped: u64,
    },
    AllowAccess {
        ruleset: usize,
        beneath: Parent,
        access: u64,
    },
    RestrictSelf {
        ruleset: usize,
    },
    SetLimit {
        resource: u32,
        soft: u64,
        hard: u64,
    },
    SetUmask(u32),
    SetPersonality(u64),
    SetNice(i32),
    ResetScheduling(Vec<Scheduling>),
    SetAffinity(Vec<u64>),
    DropBounding {
        keep: u64,
    },
    LockSecureBits(u32),
    SetGroups(Vec<u32>),
    SetGid(u32),
    SetUid(u32),
    SetCapabilities(u64),
    SetAmbient(u64),
    NoNewPrivileges,
    DieWithParent,
    DieWithJoiner,
    ForkProgram {
        /// Whether PID 1 stays until the last process has ended.
        forking: bool,
        /// Whether it passes standard input on.
        input: bool,
        filter: Option<Vec<sock_filter>>,
    },
    ResetSignals,
    NewProcessGroup {
        terminal: Option<i32>,
    },
    ChangeDirectory(CString),
    Verify(Verify),
    CloseDescriptors,
    FilterSystemCalls(Vec<sock_filter>),
    Execute {
        path: CString,
        arguments: PointerArray,
        environment: PointerArray,
    },
    /// A function of a test's: a fault to be injected, a counter to be read.
    Check(fn() -> Result<(), sys::Error>),
}

/// What a rule of Landlock is about.
#[derive(Debug)]
pub(super) enum Parent {
    /// The mount in this slot.
    Slot(usize),
    /// A standard descriptor.
    Standard(i32),
    /// What is at this path of the host's.
    Host(CString),
    /// The mount at this path of a jail that was joined.
    Path(CString),
}

impl Program {
    /// The limits that control groups have held the jail to, once it has ended.
    pub fn hits(&self) -> Vec<Hit> {
        self.groups.hits()
    }

    /// The most that its control groups have counted at once, when it has ended.
    pub fn peaks(&self) -> Peaks {
        self.groups.peaks()
    }

    /// What is in the scratch layers of its overlays, in the order of the steps that made them, when it has ended.
    pub fn layers(&self) -> Vec<OwnedFd> {
        self.layers.take()
    }

    /// How long ago its first process was made.
    pub fn wall(&self) -> Duration {
        self.began.get().map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// Whether the user has interrupted it, by what.
    pub fn interrupt(&self) -> Option<Interrupt> {
        self.interrupt.get()
    }

    /// The control groups that could not be removed when it had ended, and why.
    pub fn left_groups(&self) -> Vec<(PathBuf, Errno)> {
        self.groups.left()
    }

    /// What the program that connected its network said, if that has ended before the jail.
    pub fn lost_connection(&self) -> Option<String> {
        self.pasta.as_ref().and_then(|wanted| wanted.lost.take())
    }

    /// The process whose namespaces are joined, for a plan that joins any, and who its users are outside: the map was written long
    /// ago, and is in no step of such a plan. Without it a number that means a user inside would be given to whom it means here.
    pub fn join(&mut self, process: OwnedFd, users: &[Extent]) -> std::io::Result<()> {
        self.owner = users.iter().find_map(|extent| extent.outside(self.owner)).unwrap_or(UNMAPPED);
        self.spaces.of(IdSpace::Jail).set(Some(process.try_clone()?));
        self.joined.set(Some(process));
        Ok(())
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether PID 1 stays ours, and the program has a process of its own.
    pub fn keeps_init(&self) -> bool {
        self.operations.iter().any(|(_, operation)| matches!(operation, Operation::ForkProgram { .. }))
    }

    /// The operation that gives the program its terminal.
    pub(super) fn attaches_terminal(&self) -> Option<usize> {
        self.operations.iter().position(|(_, operation)| matches!(operation, Operation::AttachTerminal(_)))
    }

    /// Whether PID 1 leaves the host's tree, and says so.
    pub(super) fn enters_root(&self) -> bool {
        self.operations.iter().any(|(_, operation)| matches!(operation, Operation::EnterRoot { .. }))
    }

    /// Whether the program puts itself into the background.
    pub fn is_forking(&self) -> bool {
        self.operations
            .iter()
            .any(|(_, operation)| matches!(operation, Operation::ForkProgram { forking: true, .. }))
    }

    /// Whether the supervisor makes control groups before there is a child.
    pub(super) fn makes_control_groups(&self) -> bool {
        self.operations.iter().any(|(_, operation)| matches!(operation, Operation::MakeControlGroups { .. }))
    }

    /// How many of them, from the first, the supervisor runs before there is a child.
    pub fn prepared(&self) -> usize {
        self.prepared
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Puts a function before operation `at`, on behalf of the same step: how tests make any step fail, or look at the child
    /// from within. It runs between clone(2) and execve(2), so it may not allocate; before one of the supervisor's operations
    /// the supervisor runs it.
    pub fn insert(&mut self, at: usize, check: fn() -> Result<(), sys::Error>) {
        let step = self.operations.get(at).map_or(0, |(step, _)| *step);
        self.prepared += usize::from(at < self.prepared);
        self.operations.insert(at, (step, Operation::Check(check)));
    }

    /// The step that operation `at` belongs to.
    pub fn step_of(&self, at: usize) -> Option<usize> {
        self.operations.get(at).map(|(step, _)| *step)
    }
}
