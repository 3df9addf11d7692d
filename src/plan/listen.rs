//! Addresses that a service manager listens on for a jail's program, as `ListenStream=` of systemd.socket(5) writes them.

use std::fmt;
use std::net::SocketAddr;

/// One address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listen {
    /// What is made there.
    pub kind: SocketKind,
    /// Where.
    pub address: Address,
}

/// The kind of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// Connections: TCP, or streams.
    Stream,
    /// Messages: UDP, or datagrams.
    Datagram,
}

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A port of every address of the host's.
    Port(u16),
    /// A port of one address.
    Internet(SocketAddr),
    /// A path on the host.
    Path(String),
    /// A name in the abstract name space.
    Abstract(String),
}

/// What stands before the address of a [`SocketKind::Datagram`].
const DATAGRAM: &str = "datagram:";

impl Listen {
    /// Reads `80`, `127.0.0.1:80`, `[::1]:80`, `/run/web.sock` or `@web`, each also with `datagram:` before it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, address) = match text.strip_prefix(DATAGRAM) {
            Some(address) => (SocketKind::Datagram, address),
            None => (SocketKind::Stream, text),
        };
        Ok(Self { kind, address: Address::parse(address)? })
    }
}

impl Address {
    fn parse(text: &str) -> Result<Self, String> {
        // A unit's line ends where a text's does, and blanks around a value are not its.
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(format!(
                "`{}` has blanks around it or a control character in it",
                text.escape_debug()
            ));
        }
        let wrong = || {
            format!(
                "`{text}` is not an address; write a port, `127.0.0.1:80`, `[::1]:80`, `/run/web.sock` or `@web`"
            )
        };
        let port = |number: u16| (number > 0).then_some(number).ok_or_else(wrong);
        match text.chars().next() {
            Some('/') if !text.split('/').any(|part| part == "..") && !text.ends_with(['/', '\\']) => {
                Ok(Self::Path(text.to_owned()))
            }
            Some('@') if text.len() > 1 && !text.ends_with('\\') => Ok(Self::Abstract(text[1..].to_owned())),
            Some('0'..='9') if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                port(text.parse().map_err(|_| wrong())?).map(Self::Port)
            }
            _ => {
                let address: SocketAddr = text.parse().map_err(|_| wrong())?;
                port(address.port()).map(|_| Self::Internet(address))
            }
        }
    }

    /// Whether it may come to the host only when its network does, and not be there when sockets are made.
    pub fn comes_later(&self) -> bool {
        let Self::Internet(address) = self else { return false };
        let ip = match address {
            // An IPv4 address in the clothes of IPv6 is what it is.
            SocketAddr::V6(address) => address.ip().to_canonical(),
            SocketAddr::V4(address) => (*address.ip()).into(),
        };
        !ip.is_unspecified() && !ip.is_loopback()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Internet(address) => write!(f, "{address}"),
            Self::Path(path) => f.write_str(path),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == SocketKind::Datagram { DATAGRAM } else { "" };
        write!(f, "{kind}{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_was_read() {
        for text in [
            "80",
            "127.0.0.1:80",
            "[::1]:80",
            "/run/a b%.sock",
            "@web",
            "datagram:53",
            "datagram:[::]:53",
            "datagram:/dev/x",
        ] {
            assert_eq!(Listen::parse(text).map(|listen| listen.to_string()), Ok(text.to_owned()));
        }
        for wrong in [
            "",
            "0",
            "70000",
            "127.0.0.1",
            "::1:80",
            "localhost:80",
            "a/b",
            "/",
            "/run/../x",
            "@",
            "tcp:80",
            "80 ",
            "/a\nb",
            "/a\\",
            "1.2.3.4:0",
        ] {
            assert!(Listen::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_of_a_network_comes_later() {
        let later = |text: &str| Listen::parse(text).unwrap().address.comes_later();
        for here in [
            "80",
            "127.0.0.2:80",
            "[::1]:80",
            "0.0.0.0:80",
            "[::]:80",
            "[::ffff:127.0.0.1]:80",
            "/run/x",
            "@x",
        ] {
            assert!(!later(here), "{here}");
        }
        assert!(later("10.0.0.1:80") && later("[fd00::1]:80"));
    }
}
