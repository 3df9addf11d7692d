//! Mounts that are attached nowhere yet: copies of the host's, new file systems, and overlays, each held by a descriptor. Nothing is
//! allocated.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstat, mkdirat};
use nix::unistd::{Gid, Uid, fchownat};

use super::child::lent;
use super::spaces::Spaces;
use crate::plan::step::Idmap;
use crate::sys::{Error, fs, mount, pass};

/// The file system of a scratch layer.
pub(super) const TMPFS: &CStr = c"tmpfs";

/// The one that shows it above something else.
pub(super) const OVERLAYFS: &CStr = c"overlay";

/// A copy of what is mounted at a path of the host.
pub(super) fn copy(
    spaces: &Spaces,
    source: &CStr,
    attributes: u64,
    recursive: bool,
    idmap: Option<Idmap>,
) -> Result<OwnedFd, Error> {
    let tree = clone_tree(source, recursive)?;
    let set = |attributes, recursive| mount::set_attributes(tree.as_fd(), attributes, recursive);
    let translate = |attributes, recursive, space| {
        lent(spaces.of(space), |maps| mount::translate_owners(tree.as_fd(), attributes, recursive, maps))
    };
    match idmap {
        None => set(attributes, recursive),
        Some(Idmap { space, below }) if below == recursive => translate(attributes, recursive, space),
        Some(Idmap { space, .. }) => set(attributes, recursive).and_then(|()| translate(0, false, space)),
    }
    .map_err(Error::of("mount_setattr"))?;
    Ok(tree)
}

/// A detached copy of what is at a path of the host's, in which no link is followed: a program that can write there might put one in.
pub(super) fn clone_tree(source: &CStr, recursive: bool) -> Result<OwnedFd, Error> {
    let place = fs::open_place(source).map_err(Error::of("openat2"))?;
    mount::clone_tree(place.as_fd(), recursive).map_err(Error::of("open_tree"))
}

/// A new file system.
pub(super) fn create(kind: &CStr, options: &[(CString, CString)], attributes: u64) -> Result<OwnedFd, Error> {
    let context = mount::open_file_system(kind).map_err(Error::of("fsopen"))?;
    for (key, value) in options {
        mount::configure(context.as_fd(), key, value).map_err(Error::of("fsconfig"))?;
    }
    mount::create(context.as_fd()).map_err(Error::of("fsconfig"))?;
    mount::mount_created(context.as_fd(), attributes).map_err(Error::of("fsmount"))
}

/// An overlay, ready for the kernel.
#[derive(Debug)]
pub(super) struct Overlay {
    /// The directory of the host's.
    pub(super) source: CString,
    /// How its owners are translated.
    pub(super) idmap: Option<Idmap>,
    /// The options of the scratch layer's file system.
    pub(super) layer: Vec<(CString, CString)>,
    /// And its attributes.
    pub(super) layer_attributes: u64,
    /// The options of the overlay.
    pub(super) options: Vec<(CString, CString)>,
    /// And its attributes.
    pub(super) attributes: u64,
}

/// Makes an overlay, and hands a descriptor of its scratch layer to the supervisor.
///
/// The kernel takes layers by path, and before Linux 6.15 only from mounts that are attached: so they are for a moment, over the source,
/// in a mount namespace that nobody else is in. The paths are relative to the layer's own root: no link can lead elsewhere, and no
/// character of them means anything else to overlayfs. Detached again, the layer is reached by nothing but the overlay and that
/// descriptor, and is gone with both.
pub(super) fn overlay(
    spaces: &Spaces,
    wanted: &Overlay,
    supervisor: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, Error> {
    let supervisor = supervisor.ok_or(Error { call: "sendmsg", errno: Errno::EBADF })?;
    let read_only = wanted.attributes | mount::attribute::READ_ONLY;
    let lower = copy(spaces, &wanted.source, read_only, false, wanted.idmap)?;
    let layer = create(TMPFS, &wanted.layer, wanted.layer_attributes)?;
    mount::attach(layer.as_fd(), &wanted.source).map_err(Error::of("move_mount"))?;
    nix::unistd::fchdir(&layer).map_err(Error::of("fchdir"))?;
    for name in [c"lower", c"upper", c"work"] {
        mkdirat(AT_FDCWD, name, Mode::S_IRWXU).map_err(Error::of("mkdirat"))?;
    }
    resemble(lower.as_fd(), c"upper")?;
    mount::attach(lower.as_fd(), c"lower").map_err(Error::of("move_mount"))?;
    let made = create(OVERLAYFS, &wanted.options, wanted.attributes)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let upper = openat(AT_FDCWD, c"upper", flags, Mode::empty()).map_err(Error::of("openat"))?;
    pass::send(supervisor, upper.as_fd()).map_err(Error::of("sendmsg"))?;
    drop(upper);
    mount::detach_here().map_err(Error::of("umount2"))?;
    nix::unistd::chdir(c"/").map_err(Error::of("chdir"))?;
    drop(layer);
    drop(lower);
    Ok(made)
}

/// Gives a directory the owner and the mode of another: what is seen of the root of an overlay is that of its uppermost layer.
fn resemble(model: BorrowedFd<'_>, path: &CStr) -> Result<(), Error> {
    let stat = fstat(model).map_err(Error::of("newfstatat"))?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match fchownat(AT_FDCWD, path, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW) {
        // Somebody who has no id in this user namespace: then it is the caller's, who may change nothing there but in this layer.
        Ok(()) | Err(Errno::EINVAL | Errno::EPERM) => {}
        Err(errno) => return Err(Error { call: "fchownat", errno }),
    }
    let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
    fchmodat(AT_FDCWD, path, mode, FchmodatFlags::FollowSymlink).map_err(Error::of("fchmodat"))
}
