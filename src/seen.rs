//! What a program did while it was traced: files, sockets, rights, calls, each with who did it first, by which call and when.
//! Pure data: `trace` fills it, the manifest is proposed from it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::plan::system_calls::Architecture;

/// Everything that was seen of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Every program that was executed, in order, with the same arguments once; the first is the one that was asked for.
    pub executions: Vec<Execution>,
    /// Every path that was used, as the kernel arrived at it: absolute, without `.`, `..` or doubled slashes, and with no link on the way
    /// to it. Links are paths of their own, used by [`Use::Followed`]: a program that reads `/lib/x.so`, where `/lib` is a link,
    /// has followed `/lib` and read `/usr/lib/x.so`. Below /proc nothing is followed, and a process's own directory is `/proc/self`.
    pub files: BTreeMap<PathBuf, File>,
    /// Every socket that was bound or connected.
    pub sockets: BTreeMap<Socket, Moment>,
    /// Every capability that made a difference, by its number.
    pub capabilities: BTreeMap<u8, Moment>,
    /// Every user id that a process changed to.
    pub users: BTreeMap<u32, Moment>,
    /// Every group id that a process changed to, supplementary ones included.
    pub groups: BTreeMap<u32, Moment>,
    /// Every system call that not every profile lets in, whatever came of it.
    pub calls: BTreeMap<Call, Moment>,
    /// Calls whose arguments could not be read, by their names: those of a process that has made itself undumpable, see `PR_SET_DUMPABLE`
    /// in prctl(2), traced by an ordinary user.
    pub unread: BTreeMap<&'static str, Moment>,
    /// What it lacked; only of a program in a jail.
    pub lacked: Lacked,
    /// Whether there was more of all this than is kept.
    pub is_cut: bool,
}

/// What a program in a jail lacked. Of that, the calls that the jail's filter refused are [`Seen::calls`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacked {
    /// Paths that were missing or refused, with what was to be done with each.
    pub files: BTreeMap<PathBuf, BTreeMap<Use, Moment>>,
    /// Capabilities for want of which a call failed.
    pub capabilities: BTreeMap<u8, Moment>,
}

impl Seen {
    /// The same, where programs have these names instead of their paths.
    #[must_use]
    pub fn named(mut self, names: &BTreeMap<PathBuf, Rc<str>>) -> Self {
        let files = self.files.values_mut().flat_map(|file| file.uses.values_mut());
        let moments = self.executions.iter_mut().map(|execution| &mut execution.moment).chain(files);
        let moments = moments.chain(self.sockets.values_mut()).chain(self.capabilities.values_mut());
        let moments = moments.chain(self.users.values_mut()).chain(self.groups.values_mut());
        for moment in moments.chain(self.calls.values_mut()).chain(self.unread.values_mut()) {
            if let Some(name) = names.get(Path::new(&*moment.program)) {
                moment.program = Rc::clone(name);
            }
        }
        self
    }
}

/// Who did something first, by which call and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the first program was executed.
    pub at: Duration,
    /// The program that the process was executing.
    pub program: Rc<str>,
    /// The system call, as its man page calls it.
    pub call: &'static str,
    /// The effective user id of the process.
    pub uid: u32,
    /// The effective group id of the process.
    pub gid: u32,
}

/// A program that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The path, as in [`Seen::files`].
    pub path: PathBuf,
    /// Its arguments, the first its name.
    pub arguments: Vec<OsString>,
    /// Who executed it; the first time, the caller.
    pub moment: Moment,
}

/// A path, and what it was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What was there at the first use.
    pub kind: Kind,
    /// The first moment of each use.
    pub uses: BTreeMap<Use, Moment>,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Nothing,
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A character device, with its number.
    Character(u64),
    /// A block device, with its number.
    Block(u64),
    /// A fifo.
    Fifo,
    /// A socket.
    Socket,
}

/// What was done with a path. A call that failed is one of the last two and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Executed, or named in the first line of a script that was, or the loader of such a program.
    Executed,
    /// Opened for reading.
    Read,
    /// Opened for writing, or changed otherwise: truncated, given times or attributes.
    Written,
    /// Opened as a directory, to list it or to look things up below.
    Listed,
    /// Made the working directory, or the root directory.
    Entered,
    /// Only looked at: stat(2), access(2).
    Looked,
    /// A symbolic link on the way to something else, or read as one.
    Followed,
    /// Made: a file, directory, link or socket that was not there before.
    Made,
    /// Removed, or renamed away.
    Removed,
    /// Given an owner.
    Owned,
    /// Given a mode.
    Moded,
    /// A socket that was connected to, or sent to.
    Connected,
    /// Not found: ENOENT or ENOTDIR.
    Missing,
    /// There, and refused: EACCES, EPERM, EROFS.
    Refused,
}

/// A socket: what is listened on, or connected to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Socket {
    /// Bound to an address of IP; the port is 0 if the kernel chose it.
    Bound {
        /// The address.
        address: SocketAddr,
        /// `SOCK_STREAM` or not.
        stream: bool,
    },
    /// Connected to, or sent to, an address of IP.
    Connected {
        /// The address.
        address: SocketAddr,
        /// `SOCK_STREAM` or not.
        stream: bool,
    },
    /// Bound to, or connected to, a name of an abstract unix socket.
    Abstract(Vec<u8>),
    /// Any other address family, by its number: netlink, packet, vsock.
    Family(i32),
}

/// A system call with the arguments that a profile decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// 32-bit x86 on a 64-bit kernel, or not: the number's table.
    pub architecture: Architecture,
    /// Its number.
    pub number: u32,
    /// Its arguments; those that nothing is decided by are 0.
    pub arguments: [u64; 6],
}
