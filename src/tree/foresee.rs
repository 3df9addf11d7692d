//! What a build would make, without making it: the entries that its record would have.

use std::collections::HashMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;

use super::attributes;
use super::copy::{self, Copier, digest, room_at};
use super::error::{Cause, Error};
use super::place::unpack::unpacked;
use super::place::{copied, entry};
use super::record::{Entry, Kind, Name, Record};
use super::{Step, failed};
use crate::archive::Archive;
use crate::plan::step::{Keep, Owner};
use crate::plan::{Action, HostPath, JailPath, Mode, Origin, Phase, Plan};
use crate::sys::held::HeldSignals;

/// The entries of a build of `plan`. Every source is read, but for those that are, by inode and time of the last change, what
/// `known` was made from. As a build in the state directory `state` would, it fails for a source that is not to be had, or is larger than
/// all there is room for.
pub fn foresee(
    plan: &Plan,
    state: &Path,
    root_user: bool,
    known: Option<&Record>,
    archive: Option<&Archive>,
) -> Result<Vec<Entry>, Error> {
    let signals = HeldSignals::hold().map_err(|errno| Error::Store {
        path: Path::new("/").to_owned(),
        call: "sigprocmask",
        errno,
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = TimeSpec::from(now);
    let known = known.map(|record| &record.entries[..]).unwrap_or_default();
    let root = entry(
        &JailPath::root(),
        Kind::Directory,
        Mode(0o755),
        Owner::default(),
        now,
        &Origin::Default("a tree has a root"),
    );
    let mut foreseen = Foreseen {
        now,
        root_user,
        copier: Copier::new(&signals).within(room_at(state)),
        archive,
        known: known.iter().map(|entry| (entry.path.0.as_path(), entry)).collect(),
        by_path: HashMap::new(),
        entries: vec![root],
    };
    for (index, step) in plan.steps.iter().enumerate().filter(|(_, step)| step.phase == Phase::Build) {
        if signals.pending().is_some() {
            return Err(Error::Interrupted);
        }
        foreseen.apply(step).map_err(|cause| failed(index, step, cause))?;
    }
    Ok(foreseen.entries)
}

/// A tree that is not made.
struct Foreseen<'a> {
    now: TimeSpec,
    root_user: bool,
    copier: Copier<'a>,
    archive: Option<&'a Archive>,
    known: HashMap<&'a Path, &'a Entry>,
    by_path: HashMap<JailPath, usize>,
    entries: Vec<Entry>,
}

impl Foreseen<'_> {
    fn apply(&mut self, step: &Step) -> Result<(), Cause> {
        let (now, why) = (self.now, &step.origin);
        let (path, made) = match &step.action {
            Action::MakeDirectory { path, mode, owner } => {
                let made = entry(path, Kind::Directory, *mode, *owner, now, why);
                if *path == JailPath::root() {
                    self.entries[0] = made;
                    return Ok(());
                }
                (path, made)
            }
            Action::CopyFile { source, path, mode, owner, keep } => {
                let blank = entry(path, Kind::File, *mode, *owner, now, why);
                (path, self.copy(source, blank, *keep)?)
            }
            Action::UnpackFile { member, path, mode, owner, keep, .. } => {
                let blank = entry(path, Kind::File, *mode, *owner, now, why);
                (path, self.unpack(*member, blank, *keep)?)
            }
            Action::MakeHardLink { existing, path } => {
                let first = self.by_path.get(existing).map(|at| &self.entries[*at]);
                let first = first.filter(|entry| entry.kind == Kind::File).ok_or(Cause::NothingToLink)?;
                let group = first.hard_link_to.clone().unwrap_or_else(|| first.path.clone());
                let made = Entry {
                    path: path.as_path().into(),
                    hard_link_to: Some(group),
                    reason: why.to_string(),
                    ..first.clone()
                };
                (path, made)
            }
            Action::MakeSymlink { text, path, owner } => {
                let target = Some(Name(text.into()));
                (path, Entry { target, ..entry(path, Kind::Link, Mode(0o777), *owner, now, why) })
            }
            Action::WriteFile { path, content, mode, owner } => {
                let (size, sha256) = (Some(content.len() as u64), Some(digest(content)));
                (path, Entry { size, sha256, ..entry(path, Kind::File, *mode, *owner, now, why) })
            }
            Action::MakeDevice { path, device } => {
                let device = Some((device.major, device.minor));
                (path, Entry { device, ..entry(path, Kind::Device, Mode(0o666), Owner::default(), now, why) })
            }
            _ => return Err(Cause::NotBuildable),
        };
        self.by_path.insert(path.clone(), self.entries.len());
        self.entries.push(made);
        Ok(())
    }

    fn copy(&mut self, source: &HostPath, blank: Entry, keep: Keep) -> Result<Entry, Cause> {
        let opened = self.copier.open(source)?;
        let offered = attributes::read(&opened.file, keep, self.root_user)?;
        let (mode, lacks) = attributes::mode(blank.mode, opened.stat.st_mode, keep, self.root_user);
        let blank = Entry { mode, ..blank };
        let wanted = copied(blank, source, &opened.stat, self.now, offered.attributes(), &lacks);
        let old = self.known.get(wanted.path.0.as_path()).filter(|old| {
            old.source_state == Some(copy::state(&opened.stat))
                && (old.size, &old.source) == (wanted.size, &wanted.source)
        });
        let sha256 = match old.and_then(|old| old.sha256) {
            Some(digest) => digest,
            None => self.copier.digest(&opened)?.ok_or(Cause::Changed)?,
        };
        Ok(Entry { sha256: Some(sha256), ..wanted })
    }

    fn unpack(&mut self, member: usize, blank: Entry, keep: Keep) -> Result<Entry, Cause> {
        let archive = self.archive.ok_or(Cause::NotBuildable)?;
        let member = archive.member(member).ok_or(Cause::NotBuildable)?;
        let offered = attributes::offered(&member.xattrs, keep, self.root_user);
        let (mode, lacks) = attributes::mode(blank.mode, member.attributes.mode, keep, self.root_user);
        let wanted = unpacked(Entry { mode, ..blank }, member, offered.attributes(), &lacks);
        Ok(Entry { sha256: Some(self.copier.unpack(archive, member, None)?), ..wanted })
    }
}
