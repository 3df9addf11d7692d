//! Calls with addresses, see bind(2), connect(2), sendto(2), and the addresses of ip(7), ipv6(7), unix(7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::sys::socket::{SockType, getsockopt, sockopt};

use super::calls::Shape;
use super::credentials::WRITE;
use super::pending::{MISSING, Pending, Planned};
use super::rights::NET_BIND_SERVICE;
use super::walk::Found;
use super::watch::{Made, Watch};
use crate::plan::system_calls::table;
use crate::seen::{Socket, Use};
use crate::sys::{process, ptrace};

/// Longest address, `struct sockaddr_storage`.
const LONGEST: u32 = 128;
/// As many messages of sendmmsg(2) as are looked at.
const MESSAGES: u32 = 64;
/// Families of linux/socket.h with a meaning here.
const UNSPECIFIED: u16 = 0;
const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;

/// What is done with an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Bind,
    Connect,
}

impl Watch {
    /// One of the calls with an address.
    pub(super) fn socket(&mut self, made: &Made, shape: Shape, pending: &mut Pending) -> Result<(), Errno> {
        match shape {
            Shape::Bind => self.address(made, Way::Bind, made.word(1), made.integer(2), pending),
            Shape::Connect => self.address(made, Way::Connect, made.word(1), made.integer(2), pending),
            Shape::SendTo => self.address(made, Way::Connect, made.word(4), made.integer(5), pending),
            Shape::SendMessage => self.message(made, made.word(1), pending),
            Shape::SendMessages => {
                // struct mmsghdr: a struct msghdr and a length, padded.
                let size = if made.memory.narrow { 32 } else { 64 };
                for at in 0..(made.integer(2) as u32).min(MESSAGES) {
                    self.message(made, made.word(1).wrapping_add(u64::from(at) * size), pending)?;
                }
                Ok(())
            }
            Shape::SocketCall => self.socket_call(made, pending),
            _ => Ok(()),
        }
    }

    /// socketcall(2), the one call for sockets that 32-bit x86 had: a number, and an array of arguments.
    fn socket_call(&mut self, made: &Made, pending: &mut Pending) -> Result<(), Errno> {
        let (name, count) = match made.integer(0) {
            1 => ("socket", 3),
            2 => ("bind", 3),
            3 => ("connect", 3),
            11 => ("sendto", 6),
            14 => ("setsockopt", 5),
            16 => ("sendmsg", 3),
            20 => ("sendmmsg", 4),
            _ => return Ok(()),
        };
        let Some(at) = table::find(name) else { return Ok(()) };
        let mut arguments = [0; 6];
        for (place, argument) in arguments.iter_mut().enumerate().take(count) {
            *argument = made.memory.word(made.word(1), place as u64)?;
        }
        pending.at = at;
        self.plan(&Made { at, arguments, ..*made }, pending)
    }

    /// A message: the first two fields of struct msghdr are an address and its length.
    fn message(&mut self, made: &Made, header: u64, pending: &mut Pending) -> Result<(), Errno> {
        let address = made.memory.word(header, 0)?;
        if address == 0 {
            return Ok(());
        }
        let length = made.memory.number(header.wrapping_add(if made.memory.narrow { 4 } else { 8 }))?;
        self.address(made, Way::Connect, address, length as i32, pending)
    }

    fn address(
        &mut self,
        made: &Made,
        way: Way,
        at: u64,
        length: i32,
        pending: &mut Pending,
    ) -> Result<(), Errno> {
        let length = u32::try_from(length).unwrap_or(0).min(LONGEST);
        if at == 0 || length < 2 {
            return Ok(());
        }
        let bytes = made.memory.bytes(at, length as usize)?;
        let family = u16::from_ne_bytes([bytes[0], bytes[1]]);
        match family {
            UNSPECIFIED => Ok(()),
            UNIX => {
                self.unix(made, way, &bytes[2..], pending);
                Ok(())
            }
            INET | INET6 => {
                if let Some(address) = internet(&bytes) {
                    self.internet(made, way, address, pending);
                }
                Ok(())
            }
            other => {
                self.socket_seen(made, Socket::Family(other.into()));
                Ok(())
            }
        }
    }

    /// An address of IP. It is recorded whatever comes of it: that is what the program is for.
    fn internet(&mut self, made: &Made, way: Way, address: SocketAddr, pending: &mut Pending) {
        let stream = self.is_stream(made);
        if way == Way::Connect {
            return self.socket_seen(made, Socket::Connected { address, stream });
        }
        self.socket_seen(made, Socket::Bound { address, stream });
        if address.port() != 0 && address.port() < first_free_port() {
            pending.capabilities.push(NET_BIND_SERVICE);
        }
    }

    /// An address of unix(7): a path, which ends with a NUL or the address, or a name that begins with one.
    fn unix(&mut self, made: &Made, way: Way, name: &[u8], pending: &mut Pending) {
        match name.first() {
            // The kernel is to choose.
            None => return,
            Some(0) => return self.socket_seen(made, Socket::Abstract(name[1..].to_vec())),
            Some(_) => {}
        }
        let path = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let Some(walked) = self.walk_text(made, None, path, way == Way::Connect) else { return };
        let searched = self.search(made, &walked, pending);
        let planned = match way {
            Way::Bind => {
                self.needs_directory(made, &walked.path, pending);
                Planned::of(walked, vec![Use::Made], false)
            }
            Way::Connect => {
                // It takes the right to write, see "Pathname socket ownership and permissions" in unix(7).
                if let Some(file) = walked.found.attributes().filter(|_| searched) {
                    self.needs(made, &file, WRITE, pending);
                }
                if walked.closed.is_empty() && matches!(walked.found, Found::Nothing) {
                    pending.expected = Some(MISSING);
                }
                Planned::of(walked, vec![Use::Connected], true)
            }
        };
        pending.files.push(planned);
    }

    fn socket_seen(&mut self, made: &Made, socket: Socket) {
        let length = if let Socket::Abstract(name) = &socket { name.len() } else { 0 };
        if !self.record.seen.sockets.contains_key(&socket) && self.record.has_room(length) {
            let doer = self.doer(made.thread, made.at);
            let moment = self.record.moment(&doer);
            self.record.seen.sockets.insert(socket, moment);
        }
    }

    /// Whether the first argument is a stream: asked of the socket itself.
    fn is_stream(&self, made: &Made) -> bool {
        let kind = || {
            let process = process::pidfd_open(self.process(made.thread)).ok()?;
            let socket = ptrace::descriptor_of(process.as_fd(), made.integer(0)).ok()?;
            getsockopt(&socket, sockopt::SockType).ok()
        };
        !matches!(kind(), Some(SockType::Datagram | SockType::Raw))
    }
}

/// The address of struct sockaddr_in or sockaddr_in6.
fn internet(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]);
    let address: IpAddr = if bytes.len() >= 28 && bytes[0] == INET6 as u8 {
        Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[8..24]).ok()?).into()
    } else {
        Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(4..8)?).ok()?).into()
    };
    Some(SocketAddr::new(address, port))
}

/// The first port that needs no right, see `ip_unprivileged_port_start` in ip(7).
fn first_free_port() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    text.trim().parse().unwrap_or(1024)
}
