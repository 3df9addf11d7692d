//! Sockets that a service manager has passed, see sd_listen_fds(3): the program gets them if the manifest says so, and nothing that is
//! not a socket.

use std::ffi::OsString;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::context::Context;
use super::standard;
use crate::manifest::finding::Finding;
use crate::manifest::schema::Manifest;
use crate::plan::{At, Origin};
use crate::sys;
use crate::sys::descriptor::{Descriptor, Kind};
use crate::sys::process;

/// Most sockets that are taken: the kernel passes no more at once either (`SCM_MAX_FD`).
const MOST: u32 = 253;

/// What asks for them, if anything does.
fn wanted(manifest: &Manifest) -> Option<&Origin> {
    match &manifest.program.sockets {
        Some(At { value: true, origin }) => Some(origin),
        _ => None,
    }
}

/// How many were passed: none that are meant for another process.
pub fn count() -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() => count,
        _ => 0,
    }
}

/// The sockets that were passed; no call is made where none are wanted, or none were.
pub(super) fn sockets(context: &Context<'_>) -> Result<Vec<Descriptor>, Finding> {
    let Some(origin) = wanted(context.manifest) else { return Ok(Vec::new()) };
    let refused = |number: u32, why: String| {
        Finding::error("a descriptor that the service manager has passed cannot be given to a jail", origin)
            .why(format!("descriptor {}: {why}", 3 + number))
            .hint("take it out of the socket unit, or `sockets = true` out of the manifest")
    };
    let count = count();
    if count > MOST {
        return Err(refused(MOST, format!("LISTEN_FDS is {count}, and at most {MOST} are taken")));
    }
    (0..count)
        .map(|number| {
            let descriptor = process::passed_descriptor(number);
            let failed = |errno: Errno| refused(number, sys::describe(errno));
            // What survived the execve(2) of stockade has no such flag, and all that stockade itself has opened since has it.
            if fcntl(descriptor, FcntlArg::F_GETFD).map_err(failed)? & libc::FD_CLOEXEC != 0 {
                return Err(refused(number, "it was not passed".into()));
            }
            let found = Descriptor::of(descriptor).map_err(failed)?;
            let why = match found.kind {
                Kind::Socket { .. } => {
                    standard::danger(&found).or_else(|| standard::reaches_network(context, &found))
                }
                _ => Some("it is not a socket".into()),
            };
            why.map_or(Ok(found), |why| Err(refused(number, why)))
        })
        .collect()
}

/// What the program is told of them.
pub(super) fn environment(context: &Context<'_>) -> Vec<(OsString, OsString)> {
    if context.passed.is_empty() {
        return Vec::new();
    }
    let pid = context.manifest.program.own_number();
    let names = std::env::var_os("LISTEN_FDNAMES").map(|names| ("LISTEN_FDNAMES".into(), names));
    [("LISTEN_FDS", context.passed.len().to_string()), ("LISTEN_PID", pid.to_owned())]
        .map(|(name, value)| (name.into(), value.into()))
        .into_iter()
        .chain(names)
        .collect()
}
