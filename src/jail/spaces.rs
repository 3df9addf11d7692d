//! The namespaces that the supervisor makes before there is a jail: the user namespace of a jail started by root, a network
//! namespace that belongs to it, and user namespaces whose maps alone are wanted.
//!
//! A user namespace comes into being with a process in it, but its maps have to be written from outside. That process (the
//! holder) shares the supervisor's memory and descriptors, does what needs a right in the new namespace, and ends at once. A
//! process that has ended and was not waited for keeps its user namespace, and its directory of /proc: by a descriptor of
//! that the supervisor writes the maps and takes hold of the namespace, and there is never a process that waits for it and
//! could be left behind. What PID 1 does as root outside, it can so do before it enters, and nothing is passed between the two.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::libc;
use nix::sys::stat::fstatat;

use super::child;
use super::report::MAKER_KILLED;
use crate::plan::step::IdSpace;
use crate::sys::{Error, creds, network, process};

/// The namespaces made, until they are entered or closed.
#[derive(Default)]
pub(super) struct Spaces {
    jail: Cell<Option<OwnedFd>>,
    shared: Cell<Option<OwnedFd>>,
    /// The network namespace of the jail's.
    pub(super) network: Cell<Option<OwnedFd>>,
}

impl Spaces {
    /// Where one of the user namespaces is kept.
    pub(super) const fn of(&self, space: IdSpace) -> &Cell<Option<OwnedFd>> {
        match space {
            IdSpace::Jail => &self.jail,
            IdSpace::Shared => &self.shared,
        }
    }

    /// Closes all of them.
    pub(super) fn close(&self) {
        for cell in [&self.jail, &self.shared, &self.network] {
            drop(cell.take());
        }
    }
}

/// A user namespace to be made, ready for the kernel.
#[derive(Debug)]
pub(super) struct NewSpace {
    /// Which.
    pub(super) space: IdSpace,
    /// The names of the map files with what is written to them.
    pub(super) maps: Vec<(CString, Vec<u8>)>,
    /// Whether a network namespace comes with it.
    pub(super) network: bool,
    /// Files with limits of the namespace, such as how many further ones there may be, and what is written to them.
    pub(super) limits: Vec<(CString, Vec<u8>)>,
    /// Limits of this process that hold for the namespace as a whole: resource, soft and hard bound.
    pub(super) ceilings: Vec<(u32, u64, u64)>,
}

/// What the holder leaves behind, in the memory it shares.
#[derive(Default)]
struct Left {
    /// Its directory of /proc.
    process: Cell<Option<OwnedFd>>,
    network: Cell<Option<OwnedFd>>,
    /// How it went; none if it was killed before it was done.
    done: Cell<Option<Result<(), Error>>>,
}

/// Makes a user namespace and puts its descriptor, and that of its network, where the jail's first process finds them.
pub(super) fn make(wanted: &NewSpace, spaces: &Spaces) -> Result<(), Error> {
    for (resource, soft, hard) in &wanted.ceilings {
        creds::set_limit(*resource, *soft, *hard).map_err(Error::of("prlimit"))?;
    }
    let left = Left::default();
    let network = if wanted.network { libc::CLONE_NEWNET } else { 0 };
    let hold = || {
        left.done.set(Some(hold(wanted, &left)));
        0
    };
    let holder = process::spawn_in(libc::CLONE_NEWUSER | network, &hold).map_err(Error::of("clone"))?;
    let taken = take_hold(wanted, &left, spaces);
    process::wait(holder).map_err(Error::of("wait4"))?;
    taken
}

/// By the holder, which has every capability in the new namespaces, and ends after this.
fn hold(wanted: &NewSpace, left: &Left) -> Result<(), Error> {
    left.process.set(Some(child::open(c"/proc/self", OFlag::O_PATH | OFlag::O_DIRECTORY)?));
    if wanted.network {
        network::loopback_up()?;
        left.network.set(Some(below(left, c"ns/net", OFlag::O_RDONLY)?));
    }
    wanted.limits.iter().try_for_each(|(limit, most)| child::write_file(limit, most))
}

/// By the supervisor: the maps are written, and the descriptors kept.
fn take_hold(wanted: &NewSpace, left: &Left, spaces: &Spaces) -> Result<(), Error> {
    left.done.take().unwrap_or(Err(Error { call: MAKER_KILLED, errno: Errno::ESRCH }))?;
    for (name, lines) in &wanted.maps {
        child::write_to(&below(left, name, OFlag::O_WRONLY)?, lines)?;
    }
    spaces.of(wanted.space).set(Some(below(left, c"ns/user", OFlag::O_RDONLY)?));
    drop(left.process.take());
    if let Some(network) = left.network.take() {
        spaces.network.set(Some(network));
    }
    Ok(())
}

/// Enters the namespaces of a running jail. `ESTALE` if what is its root by then is not that of the tree it was started from: its first
/// process would not be where it belongs, and `/` the host's.
pub(super) fn join(process: Option<OwnedFd>, kinds: libc::c_int, tree: &CStr) -> Result<(), Error> {
    let look = |path: &CStr| {
        let found = fstatat(AT_FDCWD, path, AtFlags::empty()).map_err(Error::of("newfstatat"))?;
        Ok((found.st_dev, found.st_ino))
    };
    let wanted = look(tree)?;
    child::enter(process, kinds)?;
    if look(c"/")? == wanted { Ok(()) } else { Err(Error { call: "setns", errno: Errno::ESTALE }) }
}

/// Opens something below the holder's directory of /proc, which means this process for as long as it is open: no other that has
/// its number later.
fn below(left: &Left, name: &CStr, flags: OFlag) -> Result<OwnedFd, Error> {
    let Some(process) = left.process.take() else { return Err(Error { call: "open", errno: Errno::EBADF }) };
    let mode = nix::sys::stat::Mode::empty();
    let opened = nix::fcntl::openat(&process, name, flags | OFlag::O_CLOEXEC, mode);
    left.process.set(Some(process));
    opened.map_err(Error::of("open"))
}
