//! What can go wrong while a tree is built, with its arguments as data, and what to do about it.

use std::fmt;
use std::path::PathBuf;

use nix::errno::Errno;

use super::trust::Distrust;
use crate::plan::{HostPath, JailName, JailPath, Origin};
use crate::sys::shortage;

/// Why a tree was not built, opened or removed.
#[derive(Debug)]
pub enum Error {
    /// A step of the plan could not be done; its staged tree has been removed.
    Step(Box<FailedStep>),
    /// A call on the store itself failed.
    Store {
        /// The file or directory of the store.
        path: PathBuf,
        /// The call, as its man page is named.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
    /// A component of the path to the store is under somebody else's control.
    Untrusted {
        /// The store's directory.
        store: PathBuf,
        /// Which component, and what is wrong with it.
        distrust: Distrust,
    },
    /// Another build of this jail is under way.
    Busy {
        /// The jail.
        jail: JailName,
        /// The process that builds it, as far as known.
        pid: Option<u32>,
    },
    /// A generation is in use by a running jail.
    InUse {
        /// The jail.
        jail: JailName,
        /// Its directory.
        path: PathBuf,
        /// The supervisors of the jails that run from it, as far as known.
        pids: Vec<u32>,
    },
    /// The generation has been replaced and removed since it was looked up: look again.
    Gone {
        /// Its directory.
        path: PathBuf,
    },
    /// What the current generation is called and what it says of itself are two numbers.
    Misnamed {
        /// The link that leads to it.
        current: PathBuf,
        /// Where that leads to.
        leads_to: PathBuf,
        /// The number in its stamp.
        stamp: u64,
    },
    /// Something below a directory to be removed could not be; the rest is gone.
    NotRemoved {
        /// The directory that was to be removed.
        path: PathBuf,
        /// The name that resisted, and that of its directory.
        entry: PathBuf,
        /// The call that failed.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
    /// The record of a generation cannot be understood: it was built by another version, or it is broken.
    Unreadable {
        /// The record.
        path: PathBuf,
    },
    /// The generation to go back to was built from another manifest, or by another version.
    OfAnotherManifest {
        /// Its directory.
        path: PathBuf,
    },
    /// The new generation did not pass its trial; the old one stays.
    NotPassed,
    /// Asked to stop, by a signal or by the caller, before the switch; nothing is left.
    Interrupted,
}

/// A step of the plan that could not be done.
#[derive(Debug)]
pub struct FailedStep {
    /// Its index in the plan, counted from 0.
    pub index: usize,
    /// What was to be made.
    pub path: JailPath,
    /// The host's file it was to be made from.
    pub source: Option<HostPath>,
    /// Because of what it is in the plan.
    pub origin: Origin,
    /// What failed.
    pub cause: Cause,
}

/// What failed in a step.
#[derive(Debug)]
pub enum Cause {
    /// A call on the tree.
    Call(&'static str, Errno),
    /// A call on the host's file.
    SourceCall(&'static str, Errno),
    /// The host's file is not a regular file but this.
    NotRegular(&'static str),
    /// The host's file has content only while it is read: procfs, sysfs and their kind.
    Synthetic,
    /// The host's file is longer than the tree's whole file system: nearly all of it is holes.
    Vast {
        /// Its bytes.
        size: u64,
    },
    /// The host's file was written to while it was copied, and again while it was copied a second time.
    Changed,
    /// The host's file may be a second name that the owner of its directory gave another user's file.
    Planted {
        /// Whose file it is.
        owner: u32,
    },
    /// A hard link to a path that no earlier step made as a file.
    NothingToLink,
    /// The action does not make anything in a tree.
    NotBuildable,
    /// Asked to stop.
    Interrupted,
}

/// Names the call that an errno came from.
pub(super) trait Called<T> {
    /// On the tree.
    fn call(self, name: &'static str) -> Result<T, Cause>;
    /// On the host's file.
    fn source_call(self, name: &'static str) -> Result<T, Cause>;
}

impl<T> Called<T> for Result<T, Errno> {
    fn call(self, name: &'static str) -> Result<T, Cause> {
        self.map_err(|errno| Cause::Call(name, errno))
    }

    fn source_call(self, name: &'static str) -> Result<T, Cause> {
        self.map_err(|errno| Cause::SourceCall(name, errno))
    }
}

/// The errno of a std error; `EIO` for the few that std makes up itself (a write that wrote nothing).
pub(super) fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

impl Error {
    /// Where the failed step comes from, so that the manifest's line can be shown.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Step(step) => Some(&step.origin),
            _ => None,
        }
    }

    /// The error of the system call behind it, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Step(step) => match step.cause {
                Cause::Call(_, errno) | Cause::SourceCall(_, errno) => Some(errno),
                _ => None,
            },
            Self::Store { errno, .. } | Self::NotRemoved { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// What to do about it, in one line.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Step(step) => step.cause.hint(),
            Self::NotRemoved { path, errno: Errno::EPERM, .. } => Some(format!(
                "something in it is immutable or append-only, see lsattr(1): `chattr -R -i -a '{}'`",
                path.display()
            )),
            Self::NotRemoved { errno: Errno::ENOTEMPTY, .. } => {
                Some("a process goes on writing to it: find and end it, see fuser(1)".to_owned())
            }
            Self::Store { call, errno, .. } | Self::NotRemoved { call, errno, .. } => {
                tree_hint(call, *errno).map(str::to_owned)
            }
            Self::Untrusted { distrust, .. } => Some(distrust.hint()),
            Self::Busy { pid: Some(pid), .. } => Some(format!("wait for process {pid}, or end it")),
            Self::InUse { jail, .. } => Some(format!("end it first: `stockade stop {jail}`")),
            Self::Misnamed { .. } => Some(
                "the state directory was restored in part, or changed by hand: `stockade build` makes the tree anew".to_owned(),
            ),
            Self::Unreadable { .. } => Some("`stockade build` makes the tree anew, with a record".to_owned()),
            Self::OfAnotherManifest { .. } => Some(
                "the next run would build anew from the manifest as it is now: first make it again what it was".to_owned(),
            ),
            Self::Busy { pid: None, .. } | Self::Gone { .. } | Self::NotPassed | Self::Interrupted => None,
        }
    }
}

impl Cause {
    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Call(call, errno) => return tree_hint(call, *errno).map(str::to_owned),
            Self::SourceCall(
                call,
                errno @ (Errno::ENOSYS | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE),
            ) => {
                return tree_hint(call, *errno).map(str::to_owned);
            }
            Self::SourceCall(_, Errno::ENOENT) => {
                "the file was there when the plan was made; an update of its package may be under way: build again"
            }
            Self::SourceCall(_, Errno::EACCES | Errno::EPERM) => {
                "this user may not read the file; build as root, or leave it out"
            }
            Self::SourceCall(_, Errno::ELOOP) => {
                "the file, or a directory on the way to it, became a symbolic link since the plan was made: build again"
            }
            Self::SourceCall("openat", Errno::EAGAIN) => {
                "a process holds a lease on the file, see lsof(8): wait for it to let go, or end it"
            }
            Self::NotRegular(_) => {
                "only regular files are copied; a device is named in `devices`, a socket's directory in `mounts`"
            }
            Self::Synthetic => {
                "such a file tells about the moment it is read: mount `/proc` in the jail instead of copying from it"
            }
            Self::Changed => {
                "stop what writes to it, copy a snapshot of it, or show it in the jail as a mount"
            }
            Self::Vast { .. } => "leave it out with `exclude`, or show it in the jail as a mount",
            Self::Planted { .. } => {
                "copy it there instead of linking it, or let the kernel see to it: `sysctl fs.protected_hardlinks=1`"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// What to do about a failed call on the tree or the store.
pub(super) fn tree_hint(call: &str, errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::ENOSPC => {
            "the file system of the state directory is full (blocks or inodes); see df(1) with and without `-i`"
        }
        Errno::EDQUOT => "the quota of this user on the state directory's file system is used up",
        Errno::EROFS => {
            "the state directory is on a read-only file system; set STOCKADE_STATE_DIR to another"
        }
        Errno::EPERM if call == "mknod" => {
            "making devices needs CAP_MKNOD in the first user namespace; build as an ordinary user, who gets the host's devices bound at run time"
        }
        Errno::EPERM if call == "fsetxattr" => {
            "setting file capabilities needs CAP_SETFCAP; leave `keep` out"
        }
        Errno::EPERM | Errno::EINVAL if call == "fchown" => {
            "this root cannot give files to that id: it lacks CAP_CHOWN, or its user namespace does not map the id"
        }
        Errno::EACCES | Errno::EPERM => {
            "this user may not write there; STOCKADE_STATE_DIR names another state directory"
        }
        Errno::EXDEV => "something is mounted inside the tree; unmount it first",
        Errno::ELOOP if call == "openat2" => "the path leads over a symbolic link; name the real directory",
        Errno::EBUSY => "something is mounted there; unmount it first",
        Errno::ENOSYS => {
            "this kernel, or a filter on its calls, lacks the call; openat2(2), the newest that is needed, came with Linux 5.6"
        }
        _ => return shortage(errno),
    })
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call, errno) => write!(f, "{call}(2): {} ({errno:?})", errno.desc()),
            Self::SourceCall(call, errno) => {
                write!(f, "{call}(2) of the source: {} ({errno:?})", errno.desc())
            }
            Self::NotRegular(kind) => write!(f, "the source is {kind}, not a regular file"),
            Self::Synthetic => f.write_str("the kernel makes the source's content up when it is read"),
            Self::Vast { size } => {
                write!(
                    f,
                    "the source is {size} bytes long, more than the whole file system of the tree: nearly all are holes"
                )
            }
            Self::Changed => f.write_str("the source kept changing while it was copied"),
            Self::Planted { owner } => write!(
                f,
                "the source has a second name and belongs to user {owner}, but others can write to its directory: they may have linked it there"
            ),
            Self::NothingToLink => f.write_str("no earlier step made the file it would be a second name of"),
            Self::NotBuildable => f.write_str("this action makes nothing in a tree"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => {
                match &step.source {
                    Some(source) => write!(f, "cannot copy `{source}` to `{}`", step.path)?,
                    None => write!(f, "cannot make `{}`", step.path)?,
                }
                write!(f, " in the tree (step {}): {}", step.index + 1, step.cause)
            }
            Self::Store { path, call, errno } => {
                write!(f, "`{}`: {call}(2): {} ({errno:?})", path.display(), errno.desc())
            }
            Self::Untrusted { store, distrust } => {
                let verb = if distrust.is_of_others() { "trusted" } else { "used" };
                write!(f, "the state directory `{}` cannot be {verb}: {distrust}", store.display())
            }
            Self::Busy { jail, pid: Some(pid) } => write!(f, "process {pid} is building jail `{jail}`"),
            Self::Busy { jail, pid: None } => write!(f, "another process is building jail `{jail}`"),
            Self::InUse { path, pids, .. } => match (pids.len(), listed(pids)) {
                (1, Some(pid)) => write!(f, "process {pid} runs it from `{}`", path.display()),
                (_, Some(pids)) => write!(f, "processes {pids} run it from `{}`", path.display()),
                (_, None) => write!(f, "it runs from `{}`", path.display()),
            },
            Self::Gone { path } => write!(f, "`{}` has been replaced and removed", path.display()),
            Self::Misnamed { current, leads_to, stamp, .. } => write!(
                f,
                "`{}` leads to `{}`, whose stamp says that it is generation {stamp}",
                current.display(),
                leads_to.display()
            ),
            Self::NotRemoved { path, entry, call, errno } => write!(
                f,
                "cannot remove `{}` whole: {call}(2) of `{}`: {} ({errno:?})",
                path.display(),
                entry.display(),
                errno.desc()
            ),
            Self::Unreadable { path } => {
                write!(f, "`{}` is not a record that this version has written", path.display())
            }
            Self::OfAnotherManifest { path } => {
                write!(
                    f,
                    "`{}` was built from another manifest, or by another version of stockade",
                    path.display()
                )
            }
            Self::NotPassed => {
                f.write_str("the new tree did not pass its test; the one before stays current")
            }
            Self::Interrupted => f.write_str("interrupted; the tree is as it was"),
        }
    }
}

/// Process ids in a sentence.
fn listed(pids: &[u32]) -> Option<String> {
    let texts: Vec<_> = pids.iter().map(u32::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

impl std::error::Error for Error {}
