//! Where a thread is: its root, its working directory, and the tree that it sees them in.

use std::collections::hash_map::Entry::Vacant;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;

use super::walk::{From, Walker};
use super::watch::Watch;

/// Where a process is: paths as for [`From`].
#[derive(Clone, Debug)]
pub(super) struct Place {
    root: Vec<u8>,
    directory: Vec<u8>,
    /// The mount namespace, if it is not this process's own.
    elsewhere: Option<u64>,
    /// What its process is called in its /proc.
    process: i32,
}

/// The tree of another mount namespace.
#[derive(Debug)]
pub(super) struct Elsewhere {
    pub walker: Walker,
    /// Where its root is in what /proc tells of paths there: not at the top if a jail's root was only entered by chroot(2).
    prefix: Vec<u8>,
}

impl Watch {
    /// Where a thread is.
    pub(super) fn place(&mut self, thread: i32) -> Rc<Place> {
        let epoch = self.epoch;
        match self.tasks.get(&thread).and_then(|task| task.place.as_ref()) {
            Some((of, place)) if *of == epoch => return Rc::clone(place),
            _ => {}
        }
        let elsewhere = mount_namespace(&thread.to_string()).filter(|found| *found != self.own);
        let mut found = Place {
            root: link(&format!("/proc/{thread}/root")).unwrap_or_default(),
            directory: link(&format!("/proc/{thread}/cwd")).unwrap_or_default(),
            elsewhere,
            process: self.process(thread),
        };
        if let Some(namespace) = elsewhere {
            found.process = self.credentials(thread).inner;
            if let Vacant(entry) = self.others.entry(namespace)
                && let Ok(walker) = Walker::below(Path::new(&format!("/proc/{thread}/root")))
            {
                entry.insert(Elsewhere { walker, prefix: found.root.clone() });
            }
            found.root = self.inside(&found, found.root.clone());
            found.directory = self.inside(&found, found.directory.clone());
        }
        let found = Rc::new(found);
        if let Some(task) = self.tasks.get_mut(&thread) {
            task.place = Some((epoch, Rc::clone(&found)));
        }
        found
    }

    /// A path that /proc tells of, as it is in the tree of a place.
    pub(super) fn inside(&self, place: &Place, path: Vec<u8>) -> Vec<u8> {
        let other = place.elsewhere.and_then(|namespace| self.others.get(&namespace));
        let below = other.and_then(|other| path.strip_prefix(other.prefix.as_slice()));
        match below {
            Some(below) if below.is_empty() || below[0] == b'/' => below.to_owned(),
            _ => path,
        }
    }

    /// The tree that a thread sees.
    pub(super) fn walker(&mut self, place: &Place) -> Option<&mut Walker> {
        match place.elsewhere {
            Some(namespace) => self.others.get_mut(&namespace).map(|other| &mut other.walker),
            None => Some(&mut self.host),
        }
    }

    /// Paths may lead elsewhere now.
    pub(super) fn forget(&mut self) {
        self.host.forget();
        self.others.values_mut().for_each(|other| other.walker.forget());
    }
}

impl Place {
    /// For a walk from a directory, or from the working directory.
    pub(super) fn from<'a>(&'a self, directory: Option<&'a [u8]>) -> From<'a> {
        From { root: &self.root, base: directory.unwrap_or(&self.directory), process: self.process }
    }

    /// What its process is called in its /proc.
    pub(super) fn process(&self) -> i32 {
        self.process
    }
}

/// The path that a link of /proc tells, without the slash of the root; none if it is no path. One of a directory that was removed
/// has a word after it.
pub(super) fn link(path: &str) -> Option<Vec<u8>> {
    let target = std::fs::read_link(path).ok()?;
    let target = target.as_os_str().as_bytes();
    if target.first() != Some(&b'/') {
        return None;
    }
    let path = match target.strip_suffix(b" (deleted)") {
        Some(path) if std::fs::symlink_metadata(OsStr::from_bytes(target)).is_err() => path,
        _ => target,
    };
    Some(if path == b"/" { Vec::new() } else { path.to_owned() })
}

/// The inode of a process's mount namespace.
pub(super) fn mount_namespace(process: &str) -> Option<u64> {
    std::fs::metadata(format!("/proc/{process}/ns/mnt")).ok().map(|found| found.ino())
}
