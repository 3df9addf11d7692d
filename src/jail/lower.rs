//! From the steps of a plan to operations that need nothing of the heap: strings ended by NUL, numbers of the kernel's, places for
//! descriptors. Whatever cannot be handed to the kernel is found here, before anything is done.

#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ffi::CString;

use super::cgroup::ControlGroups;
use super::encode::{
    affinity_mask, attributes, clone_flags, instructions, open_flags, resource_number, text, variable,
};
use super::furnish::Piece;
use super::grant::{self, Mapper};
use super::mounts::{self, Overlay};
use super::pasta::{Identity, Wanted};
use super::program::{Operation, Parent, Program};
use super::spaces::{NewSpace, Spaces};
use super::verify::Verify;
use crate::plan::ids::UNMAPPED;
use crate::plan::landlock::Beneath;
use crate::plan::step::{
    Action, Ceiling, Furniture, IdSpace, Listener, MountFlags, Namespaces, Reopen, Step, overlay_options,
};
use crate::plan::system_calls::INIT_PROGRAM;
use crate::plan::{Bound, Extent, HostPath, IdMap, JailPath, Phase, calls};
use crate::sys::process::PointerArray;

/// A limit of a user namespace: its file, and what is written to it.
type Limit = (&'static str, &'static str);

const FORBIDDEN: Limit = (calls::MAX_USER_NAMESPACES, "0");
const WATCHED: Limit = (calls::MAX_INOTIFY_INSTANCES, calls::INOTIFY_INSTANCES);

/// A limit as it is written by a step.
fn limit_file(step: usize, (file, most): Limit) -> Result<(CString, Vec<u8>), super::Error> {
    Ok((text(step, file)?, most.as_bytes().to_vec()))
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
            pasta: None,
            grant: None,
            adopts: false,
            slots: Vec::new(),
            terminal: Vec::new(),
            outputs: Vec::new(),
            passed: 0,
            overlays: 0,
            layers: Cell::default(),
            began: Cell::default(),
            interrupt: Cell::default(),
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
                    Operation::MakeUserNamespace(NewSpace {
                        space: *space,
                        maps: map
                            .lines()
                            .into_iter()
                            .map(|(name, lines)| Ok((text(index, name)?, lines.into_bytes())))
                            .collect::<Result<_, super::Error>>()?,
                        network: *network,
                        limits: if *is_last {
                            [FORBIDDEN, WATCHED]
                                .into_iter()
                                .map(|limit| limit_file(index, limit))
                                .collect::<Result<_, _>>()?
                        } else {
                            Vec::new()
                        },
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
                    program.adopts = false;
                    Operation::JoinNamespaces {
                        kinds: clone_flags(*namespaces),
                        tree: text(index, tree.as_path())?,
                    }
                }
                Action::ConnectNetwork { program: path, arguments } => {
                    let words = std::iter::once("pasta").chain(arguments.iter().map(String::as_str));
                    program.pasta = Some(Wanted {
                        path: text(index, path.as_path())?,
                        arguments: PointerArray::new(
                            words.map(|word| text(index, word)).collect::<Result<_, _>>()?,
                        ),
                        identity: made_ids(steps).and_then(Identity::of),
                        lost: Cell::new(None),
                        ended: Cell::new(None),
                    });
                    Operation::ConnectNetwork
                }
                Action::EnterNetwork => Operation::EnterNetwork,
                Action::EnterUserNamespace => Operation::EnterUserNamespace,
                Action::Clone { namespaces } => {
                    program.namespaces = clone_flags(*namespaces);
                    program.adopts = *namespaces == Namespaces::default();
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
                Action::GrantIds { map, programs: [users, groups] } => {
                    let mapper = |path: &HostPath, extents: &[Extent]| {
                        let numbers =
                            extents.iter().flat_map(|extent| [extent.inside, extent.outside, extent.count]);
                        Ok::<_, super::Error>(Mapper {
                            path: text(index, path.as_path())?,
                            ranges: numbers.map(|number| text(index, number.to_string())).collect::<Result<
                                _,
                                super::Error,
                            >>(
                            )?,
                        })
                    };
                    let mappers = [mapper(users, &map.users)?, mapper(groups, &map.groups)?];
                    program.grant = Some(grant::Wanted { mappers, ended: RefCell::default() });
                    Operation::GrantIds
                }
                Action::ForbidUserNamespaces => Operation::WriteFiles(vec![limit_file(index, FORBIDDEN)?]),
                Action::LimitInotify => Operation::WriteFiles(vec![limit_file(index, WATCHED)?]),
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
                Action::RelayOutput { onto, stream } => {
                    program.outputs.push((onto.clone(), *stream));
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
                        Beneath::Host(path) => Parent::Host(text(index, path.as_path())?),
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
                Action::CreateOverlay { source, target, flags, idmap, layer, own_ids } => {
                    let slot = program.slot();
                    detached.push((target.clone(), slot));
                    program.overlays += 1;
                    let named = |kind| std::iter::once((c"source".to_owned(), CString::from(kind)));
                    let layer = layer.iter().map(|(key, value)| Ok((text(index, key)?, text(index, value)?)));
                    let options = overlay_options(*own_ids).into_iter();
                    let options = options.map(|(key, value)| Ok((text(index, key)?, text(index, value)?)));
                    let overlay = Overlay {
                        source: text(index, source.as_path())?,
                        idmap: *idmap,
                        layer: named(mounts::TMPFS)
                            .map(Ok)
                            .chain(layer)
                            .collect::<Result<_, super::Error>>()?,
                        layer_attributes: attributes(MountFlags::GUARDED),
                        options: named(mounts::OVERLAYFS)
                            .map(Ok)
                            .chain(options)
                            .collect::<Result<_, super::Error>>()?,
                        attributes: attributes(*flags),
                    };
                    Operation::CreateOverlay { slot, overlay }
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
                Action::ForkProgram { filtered, forking, input, .. } => {
                    let filter = filtered.then(|| instructions(&INIT_PROGRAM));
                    Operation::ForkProgram { forking: *forking, input: *input, filter }
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
        Action::MapIds { map }
        | Action::GrantIds { map, .. }
        | Action::MakeUserNamespace { space: IdSpace::Jail, map, .. } => Some(map),
        _ => None,
    });
    map.map_or(uid, |map| map.outside_user(uid).unwrap_or(UNMAPPED))
}

/// The ids of a jail whose user namespace the supervisor makes.
fn made_ids(steps: &[Step]) -> Option<&IdMap> {
    steps.iter().find_map(|step| match &step.action {
        Action::MakeUserNamespace { space: IdSpace::Jail, map, .. } => Some(map),
        _ => None,
    })
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
