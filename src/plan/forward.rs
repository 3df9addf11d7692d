//! Ports that pasta(1) connects: those of the host that lead to the jail, and those of the host's loopback that the jail may reach.

use std::ffi::CStr;
use std::fmt;
use std::net::IpAddr;

use super::SocketKind;

/// Where pasta finds the jail's network: in a mount namespace of its own, whose /tmp is another than the host's.
pub const NETWORK: &CStr = c"/tmp/netns";

/// A port, of TCP or of UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Of what.
    pub kind: SocketKind,
}

/// A port of the host that leads to one of the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Publish {
    /// The address of the host's; its loopback if none is given.
    pub address: Option<IpAddr>,
    /// Its port.
    pub outside: Port,
    /// The port of the jail.
    pub inside: u16,
}

/// The number of a port.
fn number(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| *port > 0 && is_number)
}

/// What stands before `/udp` or `/tcp`, and which it is: TCP where neither does.
fn kind(text: &str) -> (&str, SocketKind) {
    match text.strip_suffix("/udp") {
        Some(rest) => (rest, SocketKind::Datagram),
        None => (text.strip_suffix("/tcp").unwrap_or(text), SocketKind::Stream),
    }
}

impl Port {
    /// Reads `5432` or `53/udp`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (port, kind) = kind(text);
        let found = number(port).map(|number| Self { number, kind });
        found.ok_or_else(|| format!("`{text}` is not a port; write a number such as `5432`, or `53/udp`"))
    }
}

impl Publish {
    /// Reads `8080`, `8080:80`, `0.0.0.0:8080:80` or `[::]:53:53/udp`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` does not say which port is published; write `8080:80`, of the host and of the jail, \
                 `0.0.0.0:8080:80`, or `53:53/udp`"
            )
        };
        let (ports, kind) = kind(text);
        let (address, ports) = match ports.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
            Some((address, ports)) => (Some(address), ports),
            None => match ports.split_once(':') {
                Some((address, ports)) if address.contains('.') => (Some(address), ports),
                _ => (None, ports),
            },
        };
        let address: Option<IpAddr> = address.map(str::parse).transpose().map_err(|_| wrong())?;
        let (outside, inside) = ports.split_once(':').unwrap_or((ports, ports));
        let (outside, inside) = number(outside).zip(number(inside)).ok_or_else(wrong)?;
        Ok(Self { address, outside: Port { number: outside, kind }, inside })
    }

    /// As pasta(1) reads it. Nobody but the host's own users reaches what is published without an address.
    pub fn specification(&self) -> String {
        let address = self.address.map_or_else(|| "127.0.0.1".into(), |address| address.to_string());
        format!("{address}/{}:{}", self.outside.number, self.inside)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == SocketKind::Datagram { "/udp" } else { "" };
        write!(f, "{}{kind}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_as_other_tools_read_it() {
        for (text, expected) in [
            ("8080", "127.0.0.1/8080:8080"),
            ("8080:80", "127.0.0.1/8080:80"),
            ("8080:80/tcp", "127.0.0.1/8080:80"),
            ("0.0.0.0:8080:80", "0.0.0.0/8080:80"),
            ("192.0.2.1:53/udp", "192.0.2.1/53:53"),
            ("[::1]:8080:80", "::1/8080:80"),
        ] {
            let published = Publish::parse(text).unwrap();
            assert_eq!(published.specification(), expected, "{text}");
            let is_udp = published.outside.kind == SocketKind::Datagram;
            assert_eq!(is_udp, text.ends_with("/udp"), "{text}");
        }
        for text in [
            "",
            "0",
            "65536",
            "+80",
            "80:",
            ":80",
            "80:80:80",
            "a:80:80",
            "1.2.3:80:80",
            "::1:80:80",
            "80/sctp",
        ] {
            assert!(Publish::parse(text).unwrap_err().contains("; write "), "{text}");
        }
    }

    #[test]
    fn ports_are_read_and_shown_alike() {
        for text in ["5432", "53/udp"] {
            assert_eq!(Port::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Port::parse("80/tcp").unwrap().to_string(), "80");
        for text in ["", "0", "70000", "80/", "x", "80:80"] {
            assert!(Port::parse(text).unwrap_err().contains("; write "), "{text}");
        }
    }
}
