//! `serve`: listens, and runs a jail for each connection, as inetd(8) does.
//!
//! Each connection gets a process that is a copy of this one, in a session of its own: the supervisor of a run like any other, with the
//! connection for standard input and output. It reads the manifest anew, so that what was built since is what runs. When this process
//! ends, however that comes about, the kernel kills each of them, and with it its jail. What they say of themselves goes to standard
//! error, and a line for each connection when it has ended.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::prepare::{Jail, Result};
use super::run;
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::manifest::Request;
use crate::manifest::resolve::passed_count;
use crate::plan::Span;
use crate::report::diagnostic::Diagnostic;
use crate::sys;
use crate::sys::listen::{Listener, Origin, Peer};
use crate::sys::process::{self, Child};
use crate::sys::signal::{self, SignalSet};

/// How many connections are served at once if nobody says.
const MAX: u32 = 64;
/// How long running programs may go on after a signal to end.
const GRACE: Duration = Duration::from_secs(30);
/// How long they then have for ending by themselves, before they are killed.
const LAST: Duration = Duration::from_secs(5);
/// How long nothing is accepted after there was too little of something for it.
const PAUSE: Duration = Duration::from_millis(200);
/// How many refusals are told a second; more are counted.
const TOLD: u32 = 10;

/// What asks for an end.
const ENDING: SignalSet = SignalSet::of(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT]);

/// Serves until a signal ends it.
pub(super) fn serve(options: &cli::Serve, request: &Request) -> Result<u8> {
    let max = options.max.unwrap_or(MAX);
    let limits = Limits { all: max, source: options.max_per_source.unwrap_or(max) };
    let grace = match &options.grace {
        None => GRACE,
        Some(text) => {
            Span::parse(text).map_err(|why| usage("`--grace` needs a time", why, "write `--grace 30s`"))?.0
        }
    };
    if limits.all == 0 || limits.source == 0 {
        return Err(usage(
            "`--max 0` serves nobody",
            "every connection would be refused".into(),
            "write how many are served at once",
        ));
    }
    // First, so that the numbers of what was passed are theirs still.
    let listeners = listeners(&options.listen)?;
    // What is wrong is found out before anybody is served, and the first connection waits for no build.
    build(request)?;
    // As some callers leave it, it would let the kernel collect children before it is seen how they ended.
    signal::reset(libc::SIGCHLD).map_err(|errno| cannot("rt_sigaction", errno))?;
    // A reader of the messages that has gone is no reason to end.
    signal::ignore(libc::SIGPIPE).map_err(|errno| cannot("rt_sigaction", errno))?;
    let before = signal::set_mask(ENDING).map_err(|errno| cannot("rt_sigprocmask", errno))?;
    let signals = signal::descriptor(ENDING).map_err(|errno| cannot("signalfd", errno))?;
    for listener in &listeners {
        error::note(&format!("jail `{}` is served at {listener}", request.jail.display()));
    }
    let manager = run::manager();
    if let Some(manager) = &manager {
        manager.ready(None);
    }
    let mut server =
        Server { request, limits, before, running: Vec::new(), refused: Refused::default(), paused: None };
    server.accept(&listeners, &signals)?;
    if let Some(manager) = &manager {
        manager.stopping();
    }
    drop(listeners);
    // Those that a service manager has passed are open by their own numbers too.
    process::close_passed(passed_count()).map_err(|errno| cannot("close_range", errno))?;
    server.finish(&signals, grace)?;
    Ok(0)
}

/// How many connections are served at once.
#[derive(Clone, Copy)]
struct Limits {
    all: u32,
    source: u32,
}

/// A connection that is served.
struct Served {
    peer: Peer,
    child: Child,
    since: Instant,
}

/// Refusals that were not told.
#[derive(Default)]
struct Refused {
    /// The second that is counted.
    since: Option<Instant>,
    told: u32,
    more: u32,
}

struct Server<'r> {
    request: &'r Request,
    limits: Limits,
    /// The signals that are blocked for a child.
    before: SignalSet,
    running: Vec<Served>,
    refused: Refused,
    /// Until when nothing is accepted.
    paused: Option<Instant>,
}

impl Server<'_> {
    /// Accepts connections until a signal comes.
    fn accept(&mut self, listeners: &[Listener], signals: &OwnedFd) -> Result<()> {
        loop {
            let pause = self.paused.map(|until| until.saturating_duration_since(Instant::now()));
            if pause.is_some_and(|left| left.is_zero()) {
                self.paused = None;
            }
            let open = if self.paused.is_some() { &[] } else { listeners };
            let ready = self.wait(signals, open, pause.or(self.refused.due()))?;
            if ready.signal {
                self.refused.tell_rest();
                return Ok(());
            }
            for listener in ready.listeners.iter().filter_map(|at| listeners.get(*at)) {
                self.accept_one(listener);
            }
            self.refused.tell();
        }
    }

    /// Lets those that run come to their end, asks what still runs then to end, and kills what does not. Another signal means now.
    fn finish(mut self, signals: &OwnedFd, grace: Duration) -> Result<()> {
        for (time, then) in [(grace, libc::SIGTERM), (LAST, libc::SIGKILL)] {
            let deadline = Instant::now() + time;
            while !self.running.is_empty() && Instant::now() < deadline {
                let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                if self.wait(signals, &[], Some(left))?.signal {
                    break;
                }
            }
            for served in &self.running {
                // One that has ended in between needs no signal.
                let _ = process::signal_process(served.child.pidfd.as_fd(), then);
            }
        }
        while !self.running.is_empty() {
            self.wait(signals, &[], None)?;
        }
        Ok(())
    }

    /// Waits for a connection, a signal, or the end of what runs, which is told.
    fn wait(
        &mut self,
        signals: &OwnedFd,
        listeners: &[Listener],
        timeout: Option<Duration>,
    ) -> Result<Ready> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut all = vec![readable(signals.as_fd())];
        all.extend(self.running.iter().map(|served| readable(served.child.pidfd.as_fd())));
        let ends = all.len();
        all.extend(listeners.iter().map(|listener| readable(listener.as_fd())));
        let timeout = timeout.map_or(PollTimeout::NONE, |time| {
            PollTimeout::try_from(time + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut all, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(errno) => return Err(cannot("poll", errno)),
        }
        let is_ready = |at: usize| all[at].revents().is_some_and(|events| !events.is_empty());
        let ended: Vec<usize> = (1..ends).filter(|at| is_ready(*at)).map(|at| at - 1).collect();
        let listeners = (ends..all.len()).filter(|at| is_ready(*at)).map(|at| at - ends).collect();
        let mut ready = Ready { signal: false, listeners };
        for at in ended.into_iter().rev() {
            let served = self.running.swap_remove(at);
            Self::ended(&served);
        }
        while signal::next(signals.as_fd()).map_err(|errno| cannot("read", errno))?.is_some() {
            ready.signal = true;
        }
        Ok(ready)
    }

    /// Accepts a connection and serves it, or refuses it.
    fn accept_one(&mut self, listener: &Listener) {
        let (connection, peer) = match listener.accept() {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return,
            Err(error) => {
                // Of descriptors or memory: it stays where it is until there is more.
                error::note(&format!("nothing can be accepted at {listener} for now: {error}"));
                self.paused = Some(Instant::now() + PAUSE);
                return;
            }
        };
        let of_source = self.running.iter().filter(|served| served.peer.origin == peer.origin).count() as u32;
        if self.running.len() as u32 >= self.limits.all {
            return self.refused.add(peer, &format!("{} are served already", self.limits.all));
        }
        if of_source >= self.limits.source {
            return self
                .refused
                .add(peer, &format!("{} of {} are served already", self.limits.source, peer.origin));
        }
        let (request, before, parent) = (self.request, self.before, std::process::id());
        match process::clone(0, || connected(connection.as_fd(), before, parent, request, peer).into()) {
            Ok(child) => self.running.push(Served { peer, child, since: Instant::now() }),
            Err(errno) => {
                self.refused.add(peer, &sys::describe(errno));
                self.paused = Some(Instant::now() + PAUSE);
            }
        }
    }

    /// A connection has come to its end.
    fn ended(served: &Served) {
        let Served { peer, child, since } = served;
        let time = since.elapsed();
        let how = match process::wait(child.pid) {
            Ok(status) => format!("exit code {}", process::exit_code(status)),
            Err(errno) => sys::describe(errno),
        };
        let (seconds, thousandths) = (time.as_secs(), time.subsec_millis());
        error::note(&format!("{peer}: served by process {}, {how}, {seconds}.{thousandths:03} s", child.pid));
    }
}

/// What there is to be done.
#[derive(Default)]
struct Ready {
    signal: bool,
    listeners: Vec<usize>,
}

impl Refused {
    /// Tells of a refusal, unless many are told already.
    fn add(&mut self, peer: Peer, why: &str) {
        self.since.get_or_insert_with(Instant::now);
        if self.told < TOLD {
            self.told += 1;
            error::note(&format!("{peer}: refused: {why}"));
        } else {
            self.more += 1;
        }
    }

    /// When the second that is counted is over.
    fn due(&self) -> Option<Duration> {
        self.since.map(|since| Duration::from_secs(1).saturating_sub(since.elapsed()))
    }

    /// Tells how many were not told, once a second.
    fn tell(&mut self) {
        if self.due().is_some_and(|left| left.is_zero()) {
            self.tell_rest();
        }
    }

    /// Tells how many were not told so far.
    fn tell_rest(&mut self) {
        if self.more > 0 {
            error::note(&format!("and {} more were refused", self.more));
        }
        *self = Self::default();
    }
}

/// The life of a connection's process; its exit code.
fn connected(
    connection: BorrowedFd<'_>,
    before: SignalSet,
    parent: u32,
    request: &Request,
    peer: Peer,
) -> u8 {
    let prepared = || {
        // A terminal's keys are for whoever serves, who lets this one come to its end.
        process::new_session()?;
        process::die_with_parent()?;
        // It may have ended before.
        if nix::unistd::getppid().as_raw().unsigned_abs() != parent {
            return Err(Errno::ESRCH);
        }
        process::duplicate_onto(connection, 0)?;
        process::duplicate_onto(connection, 1)?;
        process::close_inherited()?;
        signal::set_mask(before).map(drop)
    };
    match prepared() {
        Ok(()) => run::run_beside(request, &environment(peer)).unwrap_or_else(|failure| failure.report()),
        Err(errno) => cannot("prepare a connection", errno).report(),
    }
}

/// Who is at the other end, as systemd.exec(5) has it for the programs it starts so.
fn environment(peer: Peer) -> Vec<(&'static str, String)> {
    match peer.origin {
        Origin::Address(address) => {
            vec![("REMOTE_ADDR", address.to_string()), ("REMOTE_PORT", peer.number.to_string())]
        }
        Origin::User(_) => Vec::new(),
    }
}

/// Builds the tree, if that has to be.
fn build(request: &Request) -> Result<()> {
    let jail = Jail::load(request).map_err(|failure| failure.code(exit::FAILED))?;
    if jail.is_in_memory() {
        return Ok(());
    }
    let held = jail.held(|built, warnings| super::build::announce(&jail, built, warnings));
    held.map(|held| jail.release(held)).map_err(|failure| failure.code(exit::FAILED))
}

/// The sockets that a service manager has passed, and those that are asked for.
fn listeners(asked: &[String]) -> Result<Vec<Listener>> {
    let not = |what: &str, error: &std::io::Error| {
        let failed = Diagnostic::error(format!("cannot listen at {what}")).why(error.to_string());
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => "end what listens there, see ss(8), or choose another place",
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 are for root, and so may be the directory of a socket"
            }
            _ => "write a port, an address with a port, or the path of a socket",
        };
        Failure::new(failed.hint(hint), exit::FAILED)
    };
    let mut listeners = Vec::new();
    for number in 0..passed_count() {
        let socket = process::passed_descriptor(number).try_clone_to_owned();
        let listener = socket.and_then(Listener::passed);
        listeners.push(
            listener.map_err(|error| not(&format!("descriptor {}, which was passed", 3 + number), &error))?,
        );
    }
    for place in asked {
        let listener =
            if place.starts_with(['/', '.']) { Listener::unix(Path::new(place)) } else { tcp(place) };
        listeners.push(listener.map_err(|error| not(&format!("`{place}`"), &error))?);
    }
    if listeners.is_empty() {
        return Err(usage(
            "it is not said where to listen",
            "no service manager has passed a socket either".into(),
            "write `--listen 127.0.0.1:PORT`",
        ));
    }
    Ok(listeners)
}

/// Listens at an address with its port, or at a port of every address of this host.
fn tcp(place: &str) -> std::io::Result<Listener> {
    if let Ok(port) = place.parse::<u16>() {
        let listener = Listener::tcp((Ipv6Addr::UNSPECIFIED, port).into());
        // Where there is no IPv6.
        let older = |_| Listener::tcp((Ipv4Addr::UNSPECIFIED, port).into());
        return listener.or_else(older);
    }
    let address =
        place.parse().map_err(|_| std::io::Error::other("it is no address: names are not looked up"))?;
    Listener::tcp(address)
}

fn usage(message: &str, why: String, hint: &str) -> Failure {
    Failure::new(Diagnostic::error(message).why(why).hint(hint), exit::USAGE)
}

fn cannot(call: &'static str, errno: Errno) -> Failure {
    let failed = Diagnostic::error("cannot serve");
    Failure::new(failed.why(sys::Error { call, errno }.to_string()), exit::FAILED)
}
