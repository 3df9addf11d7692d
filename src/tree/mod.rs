//! The tree on disk: does the Build phase of a plan.
//!
//! # Theory of operation
//!
//! A build is a transaction on one jail's directory in the state directory ([`store`] shows the layout):
//!
//! 1. `generation` locks the jail, so that there is one build at a time, and sweeps what killed builds left.
//! 2. It makes a private staging directory beside the old generations.
//! 3. `place` does the plan's steps in it, one after the other, beneath its root descriptor; `copy` and `attributes` do the files.
//!    Directories get owner, mode and times at the end, when they are complete. A file that is the same in the current generation
//!    gets a second name there instead of a copy (`base`).
//! 4. The [`record`] of what was made, and why, is written beside the tree, and a one-line stamp by which `run` knows it.
//! 5. Everything is flushed to disk, the staging directory gets its number, and one rename(2) of the link `current` switches.
//! 6. `remove` takes away the old generations that are not kept to go back to and no jail runs from; those that one does, when it
//!    ends.
//!
//! Before the rename of step 5 a failure removes the staging directory and the old generation stays current; after it
//! the new one is. A signal (Ctrl-C, SIGTERM) is held back: it is looked for between steps and ends the build like
//! any failure, then takes its course. SIGKILL and power cuts leave a staging directory, which the next build sweeps,
//! or the end of the next run.
//!
//! Who may do what to whom: the state directory is root's or the caller's alone (`trust`), so nobody else can put
//! anything in a build's way. What a jailed root planted in an *old* tree meets `remove`, which never follows it
//! anywhere. What users of the host do to the *sources* meanwhile meets `copy`, which checks what it has opened.
//!
//! Going back (`Store::roll_back`) is the same rename the other way, of a tree that is still there. A generation with a higher number
//! than the current one is thus always one that was never switched to, or that was gone back from, and is swept.

#![forbid(unsafe_code)]

mod attributes;
mod base;
mod changes;
mod copy;
mod deviation;
mod error;
mod foresee;
mod generation;
mod ids;
mod place;
pub mod record;
mod remove;
pub mod scratch;
mod store;
mod trust;
mod verify;

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::utsname::{UtsName, uname};
use nix::unistd::geteuid;

pub use changes::{Change, ChangeKind, changes};
pub use deviation::{Deviation, DeviationKind, Verified};
pub use error::{Cause, Error, FailedStep};
pub use foresee::foresee;
pub use ids::RecordedIds;
pub use record::Record;
pub use store::{Freshness, Generation, Stamp, Store, is_alone};
pub use trust::{Distrust, Fault, trust_file};
pub use verify::verify;

use crate::archive::Archive;
use crate::plan::{Action, HostPath, JailPath, Phase, Plan, Step};
use crate::sys::held::HeldSignals;
use generation::{JailStore, Staging};
use place::{Made, Tree};
use record::{Digest, Entry, FORMAT, Head, Kind, MadeFrom, Ownership};

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// The new current generation.
    pub generation: Generation,
    /// Regular files, without second names.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Directories, the root included.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Second names of files.
    pub hard_links: u64,
    /// Devices, or the empty files in their place.
    pub devices: u64,
    /// How it differs from the generation that was current, and which that was; `None` without one whose record can be read.
    pub since: Option<(u64, Vec<Change>)>,
    /// How many of the files are shared with that one.
    pub shared: u64,
    /// What of older generations could not be removed: no failure, but worth a warning.
    pub left: Vec<Error>,
}

/// How a tree is to be built, beside its plan.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Digest of what the tree depends on.
    pub digest: [u8; 32],
    /// Whether owners and devices are made (root) or only recorded.
    pub root_user: bool,
    /// Whether the jailed program may come to write to the tree.
    pub writable: bool,
    /// What asks for it, for the record.
    pub made_from: Option<MadeFrom>,
    /// How many older generations are to be kept from now on; as before if absent.
    pub keep: Option<u32>,
    /// What members of an archive are unpacked from.
    pub archive: Option<Rc<Archive>>,
}

/// A moment of a build, told before it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The step of this index in the plan.
    Step(usize),
    /// Owner, mode and times of the directories.
    Finish,
    /// The record and the stamp.
    Record,
    /// Flushing to disk.
    Publish,
    /// The switch.
    Switch,
}

/// Builds a jail's tree as its new current generation. `digest` is of the manifest; `root_user` says whether owners
/// and devices are made (root) or only recorded.
pub fn build(store: &Store, plan: &Plan, digest: &[u8; 32], root_user: bool) -> Result<Built, Error> {
    build_watched(store, plan, digest, root_user, &mut |_| ControlFlow::Continue(()))
}

/// The same, telling `watch` of every moment, so that it can show progress or stop: then the error is
/// [`Error::Interrupted`].
pub fn build_watched(
    store: &Store,
    plan: &Plan,
    digest: &[u8; 32],
    root_user: bool,
    watch: &mut dyn FnMut(Moment) -> ControlFlow<()>,
) -> Result<Built, Error> {
    let wish = Wish { digest: *digest, root_user, ..Wish::default() };
    build_as(store, plan, &wish, watch, &mut |_| true)
}

/// The same with every wish. `trial` is shown the new generation before the switch; if it is not content, the error is
/// [`Error::NotPassed`] and the old generation stays current.
pub fn build_as(
    store: &Store,
    plan: &Plan,
    wish: &Wish,
    watch: &mut dyn FnMut(Moment) -> ControlFlow<()>,
    trial: &mut dyn FnMut(&Generation) -> bool,
) -> Result<Built, Error> {
    let signals = HeldSignals::hold().map_err(|errno| Error::Store {
        path: store.path().to_owned(),
        call: "sigprocmask",
        errno,
    })?;
    let mut go_on = |moment| match watch(moment) {
        ControlFlow::Continue(()) if signals.pending().is_none() => Ok(()),
        _ => Err(Error::Interrupted),
    };
    let jail = JailStore::open(store, &plan.jail, &mut || signals.pending().is_some())?;
    if let Some(count) = wish.keep {
        jail.keep(count)?;
    }
    jail.sweep(None)?;
    let base = jail.base();
    let mut staging = jail.stage()?;

    let ownership = if wish.root_user { Ownership::Real } else { Ownership::Recorded };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let sharing = base.as_ref().filter(|base| {
        let head = &base.record.head;
        !wish.writable && !head.writable && (head.ownership, head.uid) == (ownership, geteuid().as_raw())
    });
    let mut tree = Tree::new(
        staging.make_tree()?,
        ownership,
        TimeSpec::from(now),
        &signals,
        sharing,
        wish.archive.as_deref(),
    );
    for (index, step) in plan.steps.iter().enumerate().filter(|(_, step)| step.phase == Phase::Build) {
        go_on(Moment::Step(index))?;
        tree.apply(index, step).map_err(|cause| failed(index, step, cause))?;
    }
    go_on(Moment::Finish)?;
    let Made { entries, shared } = tree.finish().map_err(|(index, cause)| {
        match index.and_then(|index| Some((index, plan.steps.get(index)?))) {
            Some((index, step)) => failed(index, step, cause),
            None => failed_root(store, plan, &cause),
        }
    })?;

    go_on(Moment::Record)?;
    let head = describe(plan, &staging, wish, now.as_secs() as i64, ownership);
    let record = Record { head, entries };
    let text = record.to_json().map_err(|error| Error::Store {
        path: store.path().join(plan.jail.as_str()),
        call: "write",
        errno: error.io_error_kind().map_or(Errno::EINVAL, |_| Errno::EIO),
    })?;
    staging.write("record.json", &text)?;
    staging.write("stamp", Stamp::now(staging.number, wish.digest).line().as_bytes())?;
    go_on(Moment::Publish)?;
    let generation = staging.settle()?;
    if !trial(&generation) {
        return Err(if signals.pending().is_some() { Error::Interrupted } else { Error::NotPassed });
    }
    go_on(Moment::Switch)?;
    staging.publish()?;
    let since = base.as_ref().map(|base| {
        let entries = &base.record.entries;
        (base.record.head.generation, changes(entries, &record.entries))
    });
    // There is no point in going back to what is the same.
    let superfluous = since.as_ref().filter(|(_, changes)| changes.is_empty()).map(|(number, _)| *number);
    // The new tree is in place: whatever happens to the old ones is no failure of this build.
    let left = jail.sweep(superfluous).unwrap_or_else(|error| vec![error]);
    Ok(Built { since, shared, left, ..Built::of(generation, &record.entries) })
}

impl Built {
    /// Counts what was made.
    fn of(generation: Generation, entries: &[Entry]) -> Self {
        let (seconds, firsts): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.hard_link_to.is_some());
        let count = |kind| firsts.iter().filter(|entry| entry.kind == kind).count() as u64;
        Self {
            generation,
            files: count(Kind::File),
            bytes: firsts.iter().filter_map(|entry| entry.size).sum(),
            directories: count(Kind::Directory),
            links: count(Kind::Link),
            hard_links: seconds.len() as u64,
            devices: count(Kind::Device),
            since: None,
            shared: 0,
            left: Vec::new(),
        }
    }
}

/// The record's head.
fn describe(plan: &Plan, staging: &Staging<'_>, wish: &Wish, built: i64, ownership: Ownership) -> Head {
    // uname(2) fails for a bad pointer only.
    let host = uname().ok();
    let text = |part: fn(&UtsName) -> &OsStr| {
        host.as_ref().map_or_else(String::new, |host| part(host).to_string_lossy().into_owned())
    };
    Head {
        format: FORMAT,
        stockade: store::VERSION.to_owned(),
        jail: plan.jail.as_str().to_owned(),
        generation: staging.number,
        manifest: Digest(wish.digest),
        built,
        host: text(UtsName::nodename),
        kernel: text(UtsName::release),
        uid: geteuid().as_raw(),
        ownership,
        writable: wish.writable,
        made_from: wish.made_from.clone(),
    }
}

/// What a step's failure is to the caller.
fn failed(index: usize, step: &Step, cause: Cause) -> Error {
    if matches!(cause, Cause::Interrupted) {
        return Error::Interrupted;
    }
    let (path, source) = made(&step.action);
    Error::Step(Box::new(FailedStep { index, path, source, origin: step.origin.clone(), cause }))
}

/// The root of a tree, which no step asked for, could not be finished.
fn failed_root(store: &Store, plan: &Plan, cause: &Cause) -> Error {
    let (call, errno) = match cause {
        Cause::Call(call, errno) | Cause::SourceCall(call, errno) => (*call, *errno),
        _ => ("openat2", Errno::EIO),
    };
    Error::Store { path: store.path().join(plan.jail.as_str()), call, errno }
}

/// What an action makes, and of what.
fn made(action: &Action) -> (JailPath, Option<HostPath>) {
    match action {
        Action::CopyFile { source, path, .. } | Action::UnpackFile { archive: source, path, .. } => {
            (path.clone(), Some(source.clone()))
        }
        Action::MakeDirectory { path, .. }
        | Action::MakeHardLink { path, .. }
        | Action::MakeSymlink { path, .. }
        | Action::WriteFile { path, .. }
        | Action::MakeDevice { path, .. } => (path.clone(), None),
        _ => (JailPath::root(), None),
    }
}
