//! From a plan's steps to a program of operations: everything the child needs is made here, before clone(2), because the
//! child may not allocate. One step becomes one operation.

use std::cell::Cell;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::{self, sock_filter};

use super::cgroup::{ControlGroups, Hit};
use super::furnish::Piece;
use super::spaces::{NewSpace, Spaces};
use super::verify::Verify;

use crate::plan::ids::{Extent, UNMAPPED};
use crate::plan::landlock::Beneath;
use crate::plan::step::{
    Action, Ceiling, Furniture, IdSpace, Idmap, Listener, Namespaces, Owner, Reopen, RootMethod, Scheduling,
    Step,
};
use crate::plan::system_calls::{INIT_PROGRAM, Instruction};
use crate::plan::{Bound, ControlGroup};
use crate::plan::{HostPath, JailPath, Phase, calls};
use crate::sys;
use crate::sys::creds;
use crate::sys::mount::attribute;
use crate::sys::process::PointerArray;

/// What the child does, in order, and what its first operation needs of clone(2).
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
    /// Detached mounts on their way from the host's tree to the jail's.
    pub(super) slots: Vec<Cell<Option<OwnedFd>>>,
    /// The descriptors that become the program's own terminal.
    pub(super) terminal: Vec<i32>,
    /// The descriptors whose output the supervisor passes on, those that share a pipe together.
    pub(super) outputs: Vec<Vec<i32>>,
    /// How many sockets a service manager has passed for the program.
    pub(super) passed: u32,
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
    /// The mount at this path of a jail that was joined.
    Path(CString),
}

impl Program {
    /// Lowers the run phases of a plan. Steps keep the index they have in `steps`, so that a failure can name its step.
    #[allow(clippy::too_many_lines, reason = "one arm for each action, each a line or a few")]
    pub fn lower(steps: &[Step]) -> Result<Self, super::Error> {
        let mut program = Self {
            namespaces: 0,
            operations: Vec::new(),
            prepared: 0,
            groups: ControlGroups::default(),
            spaces: Spaces::default(),
            joined: Cell::new(None),
            slots: Vec::new(),
            terminal: Vec::new(),
            outputs: Vec::new(),
            passed: 0,
            log: false,
            notify: false,
            file_size: None,
            shares_input: false,
            owner: owner(steps),
        };
        let mut detached: Vec<(JailPath, usize)> = Vec::new();
        let mut ruleset = None;
        let mut joined = false;
        let mut bounding = u64::MAX;
        for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.phase != Phase::Build) {
            let operation = match &step.action {
                Action::MakeControlGroups { name, groups } => {
                    if step.phase != Phase::Parent {
                        return Err(super::Error::Misplaced { step: index });
                    }
                    Operation::MakeControlGroups { name: name.clone(), groups: groups.clone() }
                }
                Action::EnterControlGroups { namespace, .. } => {
                    Operation::EnterControlGroups { namespace: *namespace }
                }
                Action::MakeUserNamespace { space, map, network, is_last, ceilings } => {
                    if step.phase != Phase::Parent {
                        return Err(super::Error::Misplaced { step: index });
                    }
                    let limit = is_last.then_some(calls::MAX_USER_NAMESPACES);
                    Operation::MakeUserNamespace(NewSpace {
                        space: *space,
                        maps: map
                            .lines()
                            .into_iter()
                            .map(|(name, lines)| Ok((text(index, name)?, lines.into_bytes())))
                            .collect::<Result<_, super::Error>>()?,
                        network: *network,
                        limit: limit.map(|path| text(index, path)).transpose()?,
                        ceilings: ceilings
                            .iter()
                            .map(|Ceiling { resource, soft, hard }| {
                                let bound = |bound: Bound| bound.unwrap_or(u64::MAX);
                                (resource_number(resource), bound(*soft), bound(*hard))
                            })
                            .collect(),
                    })
                }
                Action::JoinControlGroups { directories } => {
                    let file = |path: &HostPath| {
                        Ok((text(index, path.as_path().join("cgroup.procs"))?, b"0".to_vec()))
                    };
                    Operation::WriteFiles(directories.iter().map(file).collect::<Result<_, super::Error>>()?)
                }
                Action::JoinNamespaces { namespaces, tree } => {
                    joined = true;
                    Operation::JoinNamespaces {
                        kinds: clone_flags(*namespaces),
                        tree: text(index, tree.as_path())?,
                    }
                }
                Action::EnterNetwork => Operation::EnterNetwork,
                Action::EnterUserNamespace => Operation::EnterUserNamespace,
                Action::Clone { namespaces } => {
                    program.namespaces = clone_flags(*namespaces);
                    program.prepared = program.operations.len();
                    continue;
                }
                Action::MapIds { map } => {
                    // user_namespaces(7): setgroups must be denied before an ordinary user may write gid_map.
                    let mut files = vec![(c"/proc/self/setgroups".into(), b"deny".to_vec())];
                    for (name, lines) in map.lines() {
                        files.push((text(index, format!("/proc/self/{name}"))?, lines.into_bytes()));
                    }
                    Operation::WriteFiles(files)
                }
                Action::ForbidUserNamespaces => {
                    Operation::WriteFiles(vec![(text(index, calls::MAX_USER_NAMESPACES)?, b"0".to_vec())])
                }
                Action::SetOomScore { adjustment } => Operation::WriteFiles(vec![(
                    c"/proc/self/oom_score_adj".into(),
                    adjustment.to_string().into_bytes(),
                )]),
                Action::MakePrivate => Operation::MakePrivate,
                Action::NewSession => Operation::NewSession,
                Action::NewKeyring => Operation::NewKeyring,
                Action::SetUndumpable => Operation::SetUndumpable,
                Action::AttachTerminal { onto } => {
                    program.terminal.clone_from(onto);
                    Operation::AttachTerminal(onto.clone())
                }
                Action::LoopbackUp => Operation::LoopbackUp,
                Action::SetHostname { name } => Operation::SetHostname(text(index, name)?),
                Action::CloneTree { source, target, flags, recursive, idmap } => {
                    let slot = program.slot();
                    detached.push((target.clone(), slot));
                    Operation::CloneTree {
                        slot,
                        source: text(index, source.as_path())?,
                        attributes: attributes(*flags),
                        recursive: *recursive,
                        idmap: *idmap,
                    }
                }
                Action::CloneRoot { tree, flags, idmap } => {
                    let slot = program.slot();
                    detached.push((JailPath::root(), slot));
                    let source = text(index, tree.as_path())?;
                    Operation::CloneTree {
                        slot,
                        source,
                        attributes: attributes(*flags),
                        recursive: false,
                        idmap: *idmap,
                    }
                }
                Action::Furnish { within, path, what, owner } => Operation::Furnish {
                    slot: slot_of(index, &detached, within)?.1,
                    path: text(index, path.relative_to(within))?,
                    what: match what {
                        Furniture::Directory { mode } => Piece::Directory(mode.0),
                        Furniture::Link { text: target } => Piece::Link(text(index, target)?),
                        Furniture::File { content, mode } => Piece::File(content.clone(), mode.0),
                    },
                    owner: *owner,
                    mode: what.mode().map(|mode| mode.0),
                },
                Action::Seal { target } => Operation::Seal { slot: slot_of(index, &detached, target)?.1 },
                Action::ReopenDescriptor { descriptor, source, flags, access, file } => {
                    let seeks = *access == Reopen::File;
                    program.shares_input |= seeks && *descriptor == 0;
                    Operation::ReopenDescriptor {
                        descriptor: *descriptor,
                        source: text(index, source.as_path())?,
                        attributes: attributes(*flags),
                        flags: open_flags(*access),
                        file: *file,
                        seeks,
                    }
                }
                Action::RelayOutput { onto } => {
                    program.outputs.push(onto.clone());
                    Operation::RelayOutput { relay: program.outputs.len() - 1, onto: onto.clone() }
                }
                Action::CreateRuleset { handled, network, scoped } => {
                    let slot = program.slot();
                    ruleset = Some(slot);
                    Operation::CreateRuleset {
                        slot,
                        handled: handled.0,
                        network: network.0,
                        scoped: scoped.0,
                    }
                }
                Action::AllowAccess { beneath, access } => Operation::AllowAccess {
                    ruleset: ruleset.ok_or(super::Error::Misplaced { step: index })?,
                    beneath: match beneath {
                        Beneath::Mount(target) if joined => Parent::Path(text(index, target.as_path())?),
                        Beneath::Mount(target) => Parent::Slot(slot_of(index, &detached, target)?.1),
                        Beneath::Descriptor(number) => Parent::Standard(*number),
                    },
                    access: access.0,
                },
                Action::RestrictSelf => Operation::RestrictSelf {
                    ruleset: ruleset.take().ok_or(super::Error::Misplaced { step: index })?,
                },
                Action::EnterRoot { tree, method } => Operation::EnterRoot {
                    slot: take_slot(index, &mut detached, &JailPath::root())?,
                    over: text(index, tree.as_path())?,
                    method: *method,
                },
                Action::Listen { to, target } => {
                    match to {
                        Listener::Log => program.log = true,
                        Listener::Notify => program.notify = true,
                    }
                    Operation::Listen { to: *to, slot: slot_of(index, &detached, target)?.1 }
                }
                Action::AttachTree { target } => Operation::AttachTree {
                    slot: take_slot(index, &mut detached, target)?,
                    target: text(index, target.as_path())?,
                },
                Action::Cover { with, over } => {
                    let misplaced = super::Error::Misplaced { step: index };
                    let first = over.first().ok_or(misplaced.clone())?;
                    let place = calls::place_of_cover(with.as_ref(), over).ok_or(misplaced.clone())?;
                    let copy = match with {
                        Some(_) => None,
                        None => {
                            Some((take_slot(index, &mut detached, first)?, text(index, first.as_path())?))
                        }
                    };
                    let names = with.iter().chain(over).map(|path| {
                        let name = path.as_path().strip_prefix(place).map_err(|_| misplaced.clone())?;
                        text(index, name)
                    });
                    let names = names.collect::<Result<_, _>>()?;
                    Operation::Cover { copy, place: text(index, place)?, names }
                }
                Action::CreateFileSystem { kind, target, flags, options } => {
                    let slot = program.slot();
                    detached.push((target.clone(), slot));
                    // The name mountinfo shows as the source.
                    let source = Ok((c"source".into(), text(index, kind)?));
                    let options =
                        options.iter().map(|(key, value)| Ok((text(index, key)?, text(index, value)?)));
                    Operation::CreateFileSystem {
                        slot,
                        kind: text(index, kind)?,
                        options: std::iter::once(source)
                            .chain(options)
                            .collect::<Result<_, super::Error>>()?,
                        attributes: attributes(*flags),
                    }
                }
                Action::SetLimit { resource, soft, hard } => {
                    if *resource == "RLIMIT_FSIZE" {
                        program.file_size = *soft;
                    }
                    Operation::SetLimit {
                        resource: resource_number(resource),
                        soft: soft.unwrap_or(u64::MAX),
                        hard: hard.unwrap_or(u64::MAX),
                    }
                }
                Action::SetUmask { mask } => Operation::SetUmask(mask.0),
                Action::SetPersonality { value, .. } => Operation::SetPersonality(*value),
                Action::SetNice { nice } => Operation::SetNice(*nice),
                Action::ResetScheduling { what } => Operation::ResetScheduling(what.clone()),
                Action::SetAffinity { processors } => Operation::SetAffinity(affinity_mask(processors)),
                Action::DropBounding { keep } => {
                    bounding = keep.0;
                    Operation::DropBounding { keep: keep.0 }
                }
                Action::LockSecureBits { bits } => Operation::LockSecureBits(bits.0),
                Action::SetGroups { groups } => Operation::SetGroups(groups.clone()),
                Action::SetGid { gid } => Operation::SetGid(*gid),
                Action::SetUid { uid } => Operation::SetUid(*uid),
                Action::SetCapabilities { set } => Operation::SetCapabilities(set.0),
                Action::SetAmbient { set } => Operation::SetAmbient(set.0),
                Action::NoNewPrivileges => Operation::NoNewPrivileges,
                Action::DieWithParent => Operation::DieWithParent,
                Action::DieWithJoiner => Operation::DieWithJoiner,
                Action::ForkProgram { filtered, forking, .. } => {
                    let filter = filtered.then(|| instructions(&INIT_PROGRAM));
                    Operation::ForkProgram { forking: *forking, filter }
                }
                Action::ResetSignals => Operation::ResetSignals,
                Action::NewProcessGroup { terminal } => Operation::NewProcessGroup { terminal: *terminal },
                Action::ChangeDirectory { path } => Operation::ChangeDirectory(text(index, path.as_path())?),
                Action::Verify { uid, gid, groups, capabilities, secure_bits, no_new_privileges } => {
                    Operation::Verify(Verify {
                        uid: *uid,
                        gid: *gid,
                        groups: groups.clone(),
                        capabilities: capabilities.0,
                        bounding,
                        secure_bits: secure_bits.0,
                        no_new_privileges: *no_new_privileges,
                    })
                }
                Action::CloseDescriptors { passed } => {
                    program.passed = *passed;
                    Operation::CloseDescriptors
                }
                Action::FilterSystemCalls { filter, .. } => {
                    Operation::FilterSystemCalls(instructions(&filter.program))
                }
                Action::Execute { path, arguments, environment } => Operation::Execute {
                    path: text(index, path.as_path())?,
                    arguments: PointerArray::new(
                        arguments.iter().map(|argument| text(index, argument)).collect::<Result<_, _>>()?,
                    ),
                    environment: PointerArray::new(
                        environment
                            .iter()
                            .map(|(name, value)| variable(index, name, value))
                            .collect::<Result<_, _>>()?,
                    ),
                },
                Action::MakeDirectory { .. }
                | Action::CopyFile { .. }
                | Action::UnpackFile { .. }
                | Action::MakeHardLink { .. }
                | Action::MakeSymlink { .. }
                | Action::WriteFile { .. }
                | Action::MakeDevice { .. } => return Err(super::Error::Misplaced { step: index }),
            };
            program.operations.push((index, operation));
        }
        Ok(program)
    }

    /// The limits that control groups have held the jail to, once it has ended.
    pub fn hits(&self) -> Vec<Hit> {
        self.groups.hits()
    }

    /// The control groups that could not be removed when it had ended, and why.
    pub fn left_groups(&self) -> Vec<(PathBuf, Errno)> {
        self.groups.left()
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

    /// Whether the program puts itself into the background.
    pub fn is_forking(&self) -> bool {
        self.operations
            .iter()
            .any(|(_, operation)| matches!(operation, Operation::ForkProgram { forking: true, .. }))
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

    /// A new empty place for a detached mount.
    fn slot(&mut self) -> usize {
        self.slots.push(Cell::new(None));
        self.slots.len() - 1
    }
}

/// Who the program is outside; of one that joins a jail, inside.
fn owner(steps: &[Step]) -> u32 {
    let uid = steps.iter().find_map(|step| match &step.action {
        Action::SetUid { uid } => Some(*uid),
        _ => None,
    });
    let uid = uid.unwrap_or(0);
    let map = steps.iter().find_map(|step| match &step.action {
        Action::MapIds { map } | Action::MakeUserNamespace { space: IdSpace::Jail, map, .. } => Some(map),
        _ => None,
    });
    map.map_or(uid, |map| map.outside_user(uid).unwrap_or(UNMAPPED))
}

/// A C string of anything made of bytes; a NUL inside is an error of the step.
fn text(step: usize, bytes: impl AsRef<OsStr>) -> Result<CString, super::Error> {
    CString::new(bytes.as_ref().as_bytes()).map_err(|_| super::Error::NulByte { step })
}

/// `NAME=value`.
fn variable(step: usize, name: &OsStr, value: &OsStr) -> Result<CString, super::Error> {
    let mut both = OsString::from(name).into_vec();
    both.push(b'=');
    both.extend_from_slice(value.as_bytes());
    text(step, OsString::from_vec(both))
}

/// The mount that was detached for `target`: where it stands in the list, and its slot.
fn slot_of(
    step: usize,
    detached: &[(JailPath, usize)],
    target: &JailPath,
) -> Result<(usize, usize), super::Error> {
    let mut listed = detached.iter().enumerate();
    listed
        .find_map(|(at, (path, slot))| (path == target).then_some((at, *slot)))
        .ok_or(super::Error::Misplaced { step })
}

/// The same, which leaves the list with it.
fn take_slot(
    step: usize,
    detached: &mut Vec<(JailPath, usize)>,
    target: &JailPath,
) -> Result<usize, super::Error> {
    let (at, slot) = slot_of(step, detached, target)?;
    detached.swap_remove(at);
    Ok(slot)
}

/// The access mode of open(2).
fn open_flags(access: Reopen) -> OFlag {
    match access {
        Reopen::File | Reopen::ReadDevice => OFlag::O_RDONLY,
        Reopen::WriteDevice => OFlag::O_WRONLY,
        Reopen::Device => OFlag::O_RDWR,
    }
}

/// The bits of mount_setattr(2).
fn attributes(flags: crate::plan::step::MountFlags) -> u64 {
    [
        (flags.read_only, attribute::READ_ONLY),
        (flags.no_suid, attribute::NO_SUID),
        (flags.no_dev, attribute::NO_DEV),
        (flags.no_exec, attribute::NO_EXEC),
    ]
    .iter()
    .map(|(on, bit)| if *on { *bit } else { 0 })
    .sum()
}

/// The flags of clone(2).
fn clone_flags(namespaces: Namespaces) -> libc::c_int {
    [
        (namespaces.user, libc::CLONE_NEWUSER),
        (namespaces.mount, libc::CLONE_NEWNS),
        (namespaces.pid, libc::CLONE_NEWPID),
        (namespaces.ipc, libc::CLONE_NEWIPC),
        (namespaces.uts, libc::CLONE_NEWUTS),
        (namespaces.cgroup, libc::CLONE_NEWCGROUP),
        (namespaces.network, libc::CLONE_NEWNET),
    ]
    .iter()
    .map(|(on, flag)| if *on { *flag } else { 0 })
    .sum()
}

/// A filter as the kernel takes it.
fn instructions(program: &[Instruction]) -> Vec<sock_filter> {
    let kernels = |each: &Instruction| sock_filter {
        code: each.code,
        jt: each.then,
        jf: each.otherwise,
        k: each.operand,
    };
    program.iter().map(kernels).collect()
}

/// The kernel's number of a resource; one that it does not know, and refuses (EINVAL), if the name is none.
fn resource_number(name: &str) -> u32 {
    creds::LIMITS.iter().position(|known| *known == name).map_or(u32::MAX, |at| at as u32)
}

/// A bit for each processor, 64 to a word.
fn affinity_mask(processors: &[u32]) -> Vec<u64> {
    let words = processors.iter().max().map_or(1, |last| last / 64 + 1);
    let mut mask = vec![0; words as usize];
    for processor in processors {
        mask[(processor / 64) as usize] |= 1 << (processor % 64);
    }
    mask
}
