//! A terminal played by a test: what is typed, what is shown, and the modes in between.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};

use crate::common::PATIENCE;

/// A terminal with a session on it.
pub struct Terminal {
    master: OwnedFd,
    /// The device, held open so that the terminal outlives its session's processes.
    slave: OwnedFd,
    pub child: Child,
    seen: String,
    /// What of `seen` was waited for.
    cursor: usize,
}

impl Terminal {
    /// Starts a command as the leader of a session on a new terminal.
    pub fn start(command: &Command) -> Self {
        Self::start_with(command, |terminal| (terminal(), terminal(), terminal()))
    }

    /// A shell with job control, that says `> ` when it waits.
    pub fn shell() -> Self {
        let mut command = Command::new("bash");
        command.args(["--norc", "--noprofile", "--noediting", "-i"]);
        command.env("PS1", "> ").env("HISTFILE", "/dev/null").env_remove("PROMPT_COMMAND");
        let mut terminal = Self::start(&command);
        terminal.wait_for("> ");
        terminal
    }

    /// The same with other standard descriptors than three times the terminal; the first is to be it.
    pub fn start_with(
        command: &Command,
        standard: impl FnOnce(&dyn Fn() -> Stdio) -> (Stdio, Stdio, Stdio),
    ) -> Self {
        let size = nix::pty::Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(&size, None).unwrap();
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).unwrap();
        }
        let (stdin, stdout, stderr) = standard(&|| pty.slave.try_clone().unwrap().into());
        // setsid(1) makes its standard input the controlling terminal.
        let mut leader = Command::new("setsid");
        leader.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => leader.env(name, value),
                None => leader.env_remove(name),
            };
        }
        let child = leader.stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
        fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        Self { master: pty.master, slave: pty.slave, child, seen: String::new(), cursor: 0 }
    }

    /// Types, taking what is shown meanwhile.
    pub fn keys(&mut self, text: &str) {
        let left = self.keys_that_fit(text, PATIENCE);
        assert_eq!(left, "", "typed in vain");
    }

    /// Types until there has been no room for a while; what is left.
    pub fn keys_that_fit<'a>(&mut self, mut text: &'a str, patience: Duration) -> &'a str {
        let mut last = Instant::now();
        while !text.is_empty() && last.elapsed() < patience {
            match nix::unistd::write(&self.master, text.as_bytes()) {
                Ok(count) => {
                    text = &text[count..];
                    last = Instant::now();
                }
                Err(Errno::EAGAIN) => self.take(PollFlags::POLLOUT),
                Err(errno) => panic!("write: {errno}"),
            }
        }
        text
    }

    /// Takes what is shown, waiting a little for it.
    fn take(&mut self, more: PollFlags) {
        let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN | more)];
        poll(&mut ready, PollTimeout::from(20_u8)).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = nix::unistd::read(&self.master, &mut buffer) {
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }

    /// Takes a little of what is shown now and then, until something has come of it.
    #[track_caller]
    pub fn read_slowly_until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < end, "waited in vain for {what}");
            let mut buffer = [0; 512];
            if let Ok(count @ 1..) = nix::unistd::read(&self.master, &mut buffer) {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until a text is shown, after what was waited for before; what was shown in between.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen[self.cursor..].find(text) {
                let between = self.seen[self.cursor..self.cursor + at].to_owned();
                self.cursor += at + text.len();
                return between;
            }
            assert!(
                Instant::now() < end,
                "waited in vain for {text:?} after {:?}",
                &self.seen[self.cursor..]
            );
            self.take(PollFlags::empty());
        }
    }

    /// A command line and its answer, in a shell that says `> `.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.keys(&format!("{line}\n"));
        self.wait_for("\r\n");
        self.wait_for("> ").replace('\r', "")
    }

    /// All that was shown.
    pub fn shown(&mut self) -> &str {
        self.take(PollFlags::empty());
        &self.seen
    }

    /// The modes it has now.
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.slave).unwrap()
    }

    /// Whether lines are edited and keys are signals.
    pub fn is_cooked(&self) -> bool {
        self.modes().local_flags.contains(LocalFlags::ICANON | LocalFlags::ISIG)
    }

    /// The device's name.
    pub fn name(&self) -> String {
        nix::unistd::ttyname(&self.slave).unwrap().display().to_string()
    }

    /// Changes the window's size.
    pub fn resize(&self, rows: u16, columns: u16) {
        let done = Command::new("stty")
            .args(["-F", &self.name(), "rows", &rows.to_string(), "cols", &columns.to_string()])
            .status();
        assert!(done.unwrap().success());
    }

    /// Waits for the session leader's end; its exit code, or less than 0 for a signal.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.take(PollFlags::empty());
            if let Some(status) = self.child.try_wait().unwrap() {
                self.take(PollFlags::empty());
                // Told apart from a code.
                return status.code().or(status.signal().map(|signal| -signal));
            }
            assert!(
                Instant::now() < end,
                "waited in vain for the end, after {:?}",
                &self.seen[self.cursor..]
            );
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
