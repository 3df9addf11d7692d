//! Sockets that wait for connections, of TCP and of the unix domain, and who is at the other end of one.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockaddrLike as _, SockaddrStorage, getsockname, getsockopt, sockopt};

/// A socket that waits for connections. What it was bound to as a path goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// The path, if it was made here, and its device and inode.
    made: Option<(PathBuf, (u64, u64))>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Where a connection comes from, as far as connections are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An address.
    Address(IpAddr),
    /// A user of this host.
    User(u32),
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it comes from.
    pub origin: Origin,
    /// Its port, or its process.
    pub number: u32,
}

impl Listener {
    /// Listens at an address.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        Self::of(Socket::Tcp(TcpListener::bind(address)?), None)
    }

    /// Listens at a path, to which only this user and root can connect. A socket that this user has left there, and at which nobody
    /// listens any more, gives way.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left(path) => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            listener => listener?,
        };
        let found = path.symlink_metadata()?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Self::of(Socket::Unix(listener), Some((path.to_owned(), (found.dev(), found.ino()))))
    }

    /// A socket that somebody else has made, and that listens already.
    pub fn passed(socket: OwnedFd) -> io::Result<Self> {
        if !getsockopt(&socket, sockopt::AcceptConn)? {
            return Err(io::Error::other("it is no socket that listens"));
        }
        let address: SockaddrStorage = getsockname(std::os::fd::AsRawFd::as_raw_fd(&socket))?;
        let socket = match address.family() {
            Some(AddressFamily::Unix) => Socket::Unix(socket.into()),
            Some(AddressFamily::Inet | AddressFamily::Inet6) => Socket::Tcp(socket.into()),
            _ => return Err(io::Error::other("it is neither of TCP nor of the unix domain")),
        };
        Self::of(socket, None)
    }

    fn of(socket: Socket, made: Option<(PathBuf, (u64, u64))>) -> io::Result<Self> {
        match &socket {
            Socket::Tcp(listener) => listener.set_nonblocking(true)?,
            Socket::Unix(listener) => listener.set_nonblocking(true)?,
        }
        Ok(Self { socket, made })
    }

    /// The next connection, which waits for what is read and written; none if there is none.
    pub fn accept(&self) -> io::Result<Option<(OwnedFd, Peer)>> {
        let accepted = match &self.socket {
            Socket::Tcp(listener) => listener.accept().and_then(|(stream, address)| of_tcp(stream, address)),
            Socket::Unix(listener) => listener.accept().and_then(|(stream, _)| of_unix(stream)),
        };
        match accepted {
            Ok(accepted) => Ok(Some(accepted)),
            // The last three: the other end has gone in between, see accept(2).
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(
                    Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED | Errno::ENOTCONN | Errno::EPROTO,
                ) => Ok(None),
                _ => Err(error),
            },
        }
    }
}

fn of_tcp(stream: TcpStream, address: SocketAddr) -> io::Result<(OwnedFd, Peer)> {
    stream.set_nonblocking(false)?;
    // One of an older family is the same whichever socket it comes to.
    let origin = Origin::Address(address.ip().to_canonical());
    Ok((stream.into(), Peer { origin, number: address.port().into() }))
}

fn of_unix(stream: UnixStream) -> io::Result<(OwnedFd, Peer)> {
    stream.set_nonblocking(false)?;
    let peer = getsockopt(&stream, sockopt::PeerCredentials)?;
    Ok((stream.into(), Peer { origin: Origin::User(peer.uid()), number: peer.pid().unsigned_abs() }))
}

/// Whether a path is a socket of this user's at which nobody listens.
fn is_left(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    let is_own = |found: std::fs::Metadata| {
        found.file_type().is_socket() && found.uid() == nix::unistd::geteuid().as_raw()
    };
    path.symlink_metadata().is_ok_and(is_own)
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((path, file)) = &self.made
            && path.symlink_metadata().is_ok_and(|found| (found.dev(), found.ino()) == *file)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Socket::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(error) => error.fmt(f),
            },
            Socket::Unix(listener) => {
                match listener.local_addr().ok().as_ref().and_then(|address| address.as_pathname()) {
                    Some(path) => path.display().fmt(f),
                    None => f.write_str("an abstract socket"),
                }
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::User(user) => write!(f, "user {user}"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Address(address) => SocketAddr::new(address, self.number as u16).fmt(f),
            Origin::User(user) => write!(f, "user {user}, process {}", self.number),
        }
    }
}
