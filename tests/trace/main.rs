//! What the tracer sees of small C programs, each of which does one thing: as root and as an ordinary user.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod jail;
mod processes;
mod rights;
mod sockets;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use common::Dir;
use stockade::seen::{Seen, Use};
use stockade::trace::{Command, Happened, Tracer};

/// What every program begins with.
const HEAD: &str = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
/* Fails unless it holds. */
#define need(what) do { if (!(what)) { fprintf(stderr, "%d: %s: %m\n", __LINE__, #what); _exit(99); } } while (0)
"#;

/// A directory with a program made of these statements, and maybe functions before them.
fn program(name: &str, functions: &str, statements: &str) -> Dir {
    let directory = Dir::new(name);
    let source =
        format!("{HEAD}{functions}\nint main(int argc, char **argv) {{ {statements}\nreturn 0; }}\n");
    common::compile_static(&directory.join("program"), &source);
    directory
}

/// The program of a directory, which is where it runs.
fn command(directory: &Dir) -> Command {
    Command {
        arguments: vec![directory.join("program").into()],
        environment: Some(vec![("PATH".into(), "/usr/bin:/bin".into())]),
        directory: Some(directory.path().into()),
        ..Command::default()
    }
}

/// Runs a program to its end, of which there has to be one.
fn trace(command: &Command) -> (Seen, ExitStatus) {
    let mut tracer = Tracer::start(command).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match tracer.run(Some(deadline)).unwrap() {
            Happened::AllEnded => break,
            Happened::Deadline => panic!("it does not end"),
            _ => {}
        }
    }
    let status = tracer.status().unwrap();
    (tracer.finish().unwrap(), status)
}

/// The same, where it has to succeed.
fn seen(directory: &Dir) -> Seen {
    let (seen, status) = trace(&command(directory));
    assert!(status.success(), "{status}");
    seen
}

/// What was done with the files below a directory: a line for each, its uses in their order.
fn below(seen: &Seen, directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, file) in &seen.files {
        if let Ok(rest) = path.strip_prefix(directory)
            && rest != Path::new("program")
        {
            let uses: Vec<Use> = file.uses.keys().copied().collect();
            lines.push(format!("{}: {:?} {uses:?}", rest.as_os_str().as_bytes().escape_ascii(), file.kind));
        }
    }
    lines
}

/// Words for a command.
fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(Into::into).collect()
}
