//! What the scratch layers of overlays hold when the program has ended: told by `--changes`, applied by `--commit`, else dropped.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::prepare::Result;
use crate::cli::Once;
use crate::error::{self, Failure, exit};
use crate::manifest::schema::{Manifest, MountKind};
use crate::plan::quote::{Escaped, Quoted};
use crate::plan::step::{Action, IdSpace, Step};
use crate::plan::{HostPath, IdMap, JailPath};
use crate::report::diagnostic::Diagnostic;
use crate::report::run::{Changed, Changes};
use crate::sys;
use crate::sys::held::HeldSignals;
use crate::tree::scratch::{self, Edit, Found, Layer, Trouble, Why};

/// What is to become of what the layers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    told: bool,
    reported: bool,
    committed: bool,
}

impl Wanted {
    /// What the options ask for; of `--commit` and `--discard` the last one counts.
    fn of(options: &Once) -> Self {
        let has = |name: &str| options.value(name).is_some();
        let mut ends = options.options.iter().rev().map(|asked| asked.name);
        let end = ends.find(|name| ["--commit", "--discard"].contains(name));
        Self {
            told: has("--changes"),
            reported: has("--report") || has("-v"),
            committed: end == Some("--commit"),
        }
    }
}

/// How many messages about paths are written: a program can leave ten thousand pipes.
const MOST_TOLD: usize = 1000;

/// The overlays of a run whose layers are to be looked at.
pub(super) struct Overlays {
    wanted: Wanted,
    watched: RefCell<Vec<Watched>>,
    /// From when on a change of the host's is somebody else's.
    since: Cell<TimeSpec>,
}

/// One of them.
struct Watched {
    source: HostPath,
    target: JailPath,
    lower: OwnedFd,
    upper: Option<OwnedFd>,
    owners: Option<IdMap>,
    own_ids: bool,
}

impl Overlays {
    /// Those of a manifest, if their layers are to be looked at; without any there is nothing to tell or to commit.
    pub(super) fn of(options: &Once, manifest: &Manifest) -> Result<Option<Self>> {
        let wanted = Wanted::of(options);
        let is_overlay = |kind: &MountKind| matches!(kind, MountKind::Overlay { .. });
        if !manifest.mounts.iter().any(|mount| is_overlay(&mount.value.kind)) {
            let asked = if wanted.committed { "--commit" } else { "--changes" };
            if wanted.committed || wanted.told {
                let failed = Diagnostic::error(format!("`{asked}` has nothing to be about"));
                let hint = "write --overlay DIR for the directory whose changes are meant";
                return Err(Failure::new(failed.hint(hint), exit::USAGE));
            }
            return Ok(None);
        }
        let is_looked_at = wanted.told || wanted.reported || wanted.committed;
        let none = || Self { wanted, watched: RefCell::default(), since: Cell::new(TimeSpec::new(0, 0)) };
        Ok(is_looked_at.then(none))
    }

    /// Opens the directories below, before anything is executed.
    pub(super) fn open(&self, steps: &[Step]) -> Result<()> {
        let map = steps.iter().find_map(|step| match &step.action {
            Action::MakeUserNamespace { space: IdSpace::Jail, map, .. } => Some(map),
            _ => None,
        });
        for step in steps {
            let Action::CreateOverlay { source, target, idmap, own_ids, .. } = &step.action else { continue };
            self.watched.borrow_mut().push(Watched {
                source: source.clone(),
                target: target.clone(),
                lower: open(source)?,
                upper: None,
                owners: idmap.and_then(|_| map.cloned()),
                own_ids: *own_ids,
            });
        }
        if self.wanted.committed {
            self.since.set(next_tick());
        }
        Ok(())
    }

    /// Takes the layers, in the order of the overlays.
    pub(super) fn take(&self, layers: Vec<OwnedFd>) {
        for (watched, layer) in self.watched.borrow_mut().iter_mut().zip(layers) {
            watched.upper = Some(layer);
        }
    }

    /// Does what is wanted, of a program that ended with this exit code: the exit code then, and what there is to report.
    pub(super) fn finish(&self, code: u8) -> (u8, Option<Changes>) {
        // Half of a commit is nobody's wish. Should this fail, the signal does what it would have done.
        let _held = HeldSignals::hold();
        let (mut changes, mut wrong) = (Changes::default(), Vec::new());
        let mut lines = Vec::new();
        for watched in &*self.watched.borrow() {
            let Some(upper) = &watched.upper else { return (code, None) };
            let layer = Layer {
                upper: upper.as_fd(),
                lower: watched.lower.as_fd(),
                owners: watched.owners.as_ref(),
                own_ids: watched.own_ids,
            };
            let found = scratch::changes(&layer);
            for trouble in &found.troubles {
                wrong.push(told(&watched.source, trouble, "cannot tell what became of"));
            }
            let target = watched.target.as_path();
            lines.extend(found.changes.iter().map(|change| (below(target, &change.path), change.edit)));
            if self.wanted.committed && code == 0 {
                changes.committed += commit(&layer, &watched.source, &found, self.since.get(), &mut wrong);
            }
        }
        lines.sort_by(|one, other| one.0.cmp(&other.0));
        if self.wanted.committed && code != 0 && !lines.is_empty() {
            error::note(&format!("note: nothing is committed, as the program ended with exit code {code}"));
        }
        let mut failed = 0;
        if self.wanted.told {
            failed = error::print(&listed(&lines));
        }
        if !wrong.is_empty() {
            let sources = self.watched.borrow();
            let sources = sources.iter().map(|watched| shown(watched.source.as_path()).to_string());
            let more = wrong.split_off(wrong.len().min(MOST_TOLD)).len();
            if more > 0 {
                wrong.push(Diagnostic::error(format!("{more} more cannot be told or committed")));
            }
            error::eprint_all(&wrong, &sources.collect::<Vec<_>>().join(", "));
            failed = exit::FAILED;
        }
        changes.paths = lines.into_iter().map(|(path, edit)| Changed { what: edit.name(), path }).collect();
        (if failed == 0 { code } else { failed }, Some(changes))
    }
}

/// The directory of the host's that is meant, which the plan names without links.
fn open(source: &HostPath) -> Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(AT_FDCWD, source.as_path(), how).map_err(|errno| {
        let why = sys::Error { call: "openat2", errno }.to_string();
        let failed = Diagnostic::error(format!("cannot open `{source}`, which is below an overlay"));
        Failure::new(failed.why(why), exit::FAILED)
    })
}

/// A time that every change before is before, and every later change not. File systems take a change's time from the coarse clock,
/// which goes on in steps of some milliseconds and lags behind the fine one; since Linux 6.13 from the fine one where somebody has
/// looked at the time before (multigrain timestamps). So: once the coarse clock has passed what the fine one showed.
fn next_tick() -> TimeSpec {
    let Ok(before) = clock_gettime(ClockId::CLOCK_REALTIME) else { return TimeSpec::new(0, 0) };
    loop {
        match clock_gettime(ClockId::CLOCK_REALTIME_COARSE) {
            Ok(after) if after <= before => std::thread::sleep(Duration::from_millis(1)),
            Ok(after) => return after,
            Err(_) => return TimeSpec::new(0, 0),
        }
    }
}

/// Applies what was found; how many paths were.
fn commit(
    layer: &Layer<'_>,
    source: &HostPath,
    found: &Found,
    since: TimeSpec,
    wrong: &mut Vec<Diagnostic>,
) -> usize {
    let committed = scratch::commit(layer, &found.changes, since);
    wrong.extend(committed.troubles.iter().map(|trouble| told(source, trouble, "cannot commit")));
    if committed.within > 0 {
        let what = if committed.within == 1 { "path" } else { "paths" };
        let failed = Diagnostic::error(format!("cannot commit {} {what} more", committed.within));
        wrong.push(failed.why("the directory it belongs in is not as it should be, see above"));
    }
    for path in &committed.stripped {
        let path = below(source.as_path(), path);
        error::note(&format!("note: `{}` is committed without its set-id bits", shown(&path)));
    }
    committed.done
}

/// The message for a path that something is wrong with.
fn told(source: &HostPath, trouble: &Trouble, what: &str) -> Diagnostic {
    let path = below(source.as_path(), &trouble.path);
    let failed = Diagnostic::error(format!("{what} `{}`", shown(&path))).why(trouble.why.to_string());
    match &trouble.why {
        Why::Meanwhile(_) => failed.hint("the host's is kept as it is: run the program again"),
        Why::Special(_) => {
            failed.hint("only directories, files and symbolic links are: make it outside, if it is needed")
        }
        Why::Call(error) => match (error.errno, sys::shortage(error.errno)) {
            (Errno::EACCES | Errno::EPERM, _) => failed.hint(
                "it is applied with your own rights: see the mode and the owner of it, and of the directory it is in",
            ),
            (_, Some(hint)) => failed.hint(hint),
            _ => failed,
        },
        Why::Deep => failed,
    }
}

/// A path below a directory, or the directory itself.
fn below(directory: &Path, path: &Path) -> PathBuf {
    if path == Path::new("") { directory.to_owned() } else { directory.join(path) }
}

/// A path in a sentence.
fn shown(path: &Path) -> Escaped<'_> {
    Escaped(path.as_os_str().as_bytes())
}

/// A letter and a path a line. A path that would not be a line, or might be taken for a quoted one, is quoted.
fn listed(lines: &[(PathBuf, Edit)]) -> String {
    let mut text = String::new();
    for (path, edit) in lines {
        let bytes = path.as_os_str().as_bytes();
        let escaped = Escaped(bytes).to_string();
        let is_plain = escaped.as_bytes() == bytes && !bytes.iter().any(|byte| b"\"\\".contains(byte));
        let written = if is_plain { escaped } else { Quoted(bytes).to_string() };
        _ = writeln!(text, "{} {written}", edit.letter());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_line_is_one_path_whatever_its_name() {
        let lines = ["/d/plain name", "/d/é", "/d/a\nA /etc/shadow", "/d/\"q\"", "/d/\\n", "/d/\u{202e}x"];
        let lines: Vec<_> = lines.map(|path| (path.into(), Edit::Added)).into();
        let bytes = (Path::new(OsStr::from_bytes(b"/d/\xff")).to_owned(), Edit::Deleted);
        assert_eq!(
            listed(&[lines, vec![bytes]].concat()),
            "A /d/plain name\nA /d/é\nA \"/d/a\\nA /etc/shadow\"\nA \"/d/\\\"q\\\"\"\nA \"/d/\\\\n\"\nA \"/d/\\u{202e}x\"\nD \"/d/\\xff\"\n"
        );
    }

    #[test]
    fn what_changes_after_a_tick_is_not_before_it() {
        let path = std::env::temp_dir().join(format!("stockade-tick-{}", std::process::id()));
        let changed = || {
            std::fs::write(&path, "x").unwrap();
            let found = nix::sys::stat::stat(&path).unwrap();
            TimeSpec::new(found.st_ctime, found.st_ctime_nsec)
        };
        // As the clocks lie to one another only now and then, it is tried more than once.
        for _ in 0..100 {
            let before = changed();
            let tick = next_tick();
            let after = changed();
            assert!(before < tick && tick <= after, "{before:?} {tick:?} {after:?}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
