//! Groups that a killed supervisor has left: nobody has them locked, and they are removed once no process is in them.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{directory, paths, thaw};
use crate::plan::Step;
use crate::plan::control::PREFIX;
use crate::sys::fs::{Lock, try_lock};

/// What became of a group that may be nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swept {
    /// It is gone.
    Gone,
    /// A supervisor has it locked.
    InUse,
    /// Nobody has, but something is still in it.
    Busy,
}

/// Removes a group if nobody has it locked and no process is in it.
pub(super) fn sweep_one(path: &Path) -> Swept {
    match directory(path).map(|directory| (try_lock(&directory, Lock::Exclusive), directory)) {
        Err(Errno::ENOENT) => Swept::Gone,
        Ok((Ok(()), _locked)) if std::fs::remove_dir(path).is_ok() => Swept::Gone,
        Ok((Err(Errno::EWOULDBLOCK), _)) => Swept::InUse,
        Ok((Ok(()), directory)) => {
            // Of a jail whose supervisor was killed while it was stopped: it dies when it goes on.
            thaw(&directory);
            Swept::Busy
        }
        Ok(_) | Err(_) => Swept::Busy,
    }
}

/// What a control group of systemd's is called at its end, see systemd.unit(5): it is made before a process is in it, and nobody locks it.
const UNITS: [&str; 6] = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];

/// Whether a group with such a name is one that a supervisor may have left, and not a unit's. A jail that is called like a unit has
/// what is left of it removed by itself, see [`super::make`].
fn is_ours(name: &str, prefix: &str) -> bool {
    name.starts_with(prefix) && !UNITS.iter().any(|unit| name.ends_with(unit))
}

/// Removes what killed supervisors have left of the groups whose names begin like this one's; whether nothing is left of them.
fn sweep_named(path: &Path) -> bool {
    let (Some(parent), Some(prefix)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return true;
    };
    let mut is_clean = true;
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_it = entry.file_name().to_str().is_some_and(|name| is_ours(name, prefix));
        if prefix.starts_with(PREFIX) && is_it && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            is_clean &= sweep_one(&entry.path()) != Swept::Busy;
        }
    }
    is_clean
}

/// Removes what a supervisor that was killed has left of these groups; whether nothing is left. They may have got numbers.
pub(in crate::jail) fn swept(paths: &[PathBuf]) -> bool {
    // Each of them, whatever becomes of another.
    paths.iter().filter(|path| !sweep_named(path)).count() == 0
}

/// Removes what killed supervisors have left where a plan is to make groups; nothing is looked at if it makes none.
pub fn sweep(steps: &[Step]) {
    for path in paths(steps) {
        sweep_named(&path.with_file_name(PREFIX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_group_is_nobodys_to_sweep() {
        for (name, prefix, expected) in [
            ("stockade-web", PREFIX, true),
            ("stockade-web-2", "stockade-web", true),
            ("stockade-web.service", PREFIX, false),
            ("stockade-web.service", "stockade-web", false),
            ("stockade-run-7.scope", PREFIX, false),
            ("stockade-web.services", PREFIX, true),
            ("web.service", PREFIX, false),
        ] {
            assert_eq!(is_ours(name, prefix), expected, "{name}");
        }
    }
}
