//! What a service manager is told, see sd_notify(3): that the program has started, and that it has ended. The manager's socket is the
//! supervisor's alone. To the manager the service is the supervisor, whose child of a child the program is: of a process that is
//! not its own child systemd learns neither the end nor the exit code, and would start nothing again.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

/// How long a message may wait for a manager that reads none.
const PATIENCE: Duration = Duration::from_secs(5);

/// A service manager that waits to be told.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    /// The manager that has started this process, if it wants to be told anything: by its variable, without which no call is made.
    pub fn of_environment() -> Option<io::Result<Self>> {
        std::env::var_os("NOTIFY_SOCKET").map(|address| Self::at(address.as_ref()))
    }

    /// The manager with this socket: a path, or `@` and a name in the abstract namespace.
    fn at(address: &OsStr) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        match address.as_bytes() {
            [b'/', ..] => socket.connect(Path::new(address))?,
            [b'@', name @ ..] => {
                socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket })
    }

    /// The program has started, as this process if there is only one of it.
    pub fn ready(&self, program: Option<i32>) {
        let status = program.map(status).unwrap_or_default();
        self.send(&format!("READY=1\nMAINPID={}\n{status}", std::process::id()));
    }

    /// Another process has taken its place.
    pub fn replaced(&self, program: i32) {
        self.send(&status(program));
    }

    /// The program has ended.
    pub fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    /// What the program says of itself.
    pub(super) fn pass(&self, message: &str) {
        self.send(message);
    }

    /// One message. A manager that is gone is no reason to end a daemon; one that waits in vain says so itself.
    fn send(&self, message: &str) {
        match self.socket.send(message.as_bytes()) {
            Ok(_) | Err(_) => {}
        }
    }
}

/// The text by which an administrator finds the program: the service's main process is the supervisor.
fn status(program: i32) -> String {
    format!("STATUS=the program is process {program}\n")
}
