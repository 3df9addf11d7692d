//! What the processes of a running jail have mapped of files, as /proc/PID/maps tells (proc_pid_maps(5)): the programs and
//! libraries that they really run, which may be others than those that are on disk by now.
//!
//! The names are the jailed program's to choose. They are shown and compared, never opened.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Most processes of one jail that are looked at.
const PROCESSES: usize = 4096;

/// Most of one process's list that is read: a program can map 65530 pieces of files with long names.
const LONGEST: u64 = 16 << 20;

/// Most files that are told of one jail.
const FILES: usize = 4096;

/// A file from which code can run in a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapped {
    /// Its path, as the jail says it.
    pub path: PathBuf,
    /// Whether the file that is mapped has no name any more.
    pub is_deleted: bool,
    /// The process, by the host's number.
    pub pid: u32,
}

/// What the descendants of a supervisor have mapped to execute it. Nothing of processes that end meanwhile, or that the caller may
/// not look into.
pub fn mapped(supervisor: u32) -> Vec<Mapped> {
    let mut found = BTreeSet::new();
    for pid in descendants(supervisor) {
        let Ok(file) = File::open(format!("/proc/{pid}/maps")) else { continue };
        let mut list = BufReader::new(file.take(LONGEST));
        let mut line = Vec::new();
        while found.len() < FILES && matches!(list.read_until(b'\n', &mut line), Ok(1..)) {
            if let Some((path, is_deleted)) = of_line(&line) {
                found.insert(Mapped { path, is_deleted, pid });
            }
            line.clear();
        }
    }
    found.into_iter().collect()
}

/// The processes that a process has started, and those that these have.
fn descendants(first: u32) -> Vec<u32> {
    let mut all = vec![first];
    let mut at = 0;
    while at < all.len() && all.len() < PROCESSES {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", all[at]));
        for task in tasks.into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        at += 1;
    }
    all.remove(0);
    all
}

/// The file of a line, if code in it can be executed, and whether it is deleted.
///
/// `7f12a000-7f12b000 r-xp 00026000 08:02 135522    /usr/lib/libc.so.6 (deleted)`
fn of_line(line: &[u8]) -> Option<(PathBuf, bool)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let permissions = fields.nth(1)?;
    // Of a file that is not one of a file system (the heap, vdso) the name is in brackets, or missing.
    let path = fields.nth(3)?.trim_ascii_start();
    if permissions.get(2) != Some(&b'x') || !path.starts_with(b"/") {
        return None;
    }
    let (path, is_deleted) = match path.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (path, false),
    };
    // The only byte that the kernel escapes here.
    let mut name = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.windows(4).position(|part| part == b"\\012") {
        name.extend_from_slice(&rest[..at]);
        name.push(b'\n');
        rest = &rest[at + 4..];
    }
    name.extend_from_slice(rest);
    Some((OsString::from_vec(name).into(), is_deleted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_a_file_and_whether_it_is_deleted() {
        let line = |text: &str| of_line(text.as_bytes());
        for (text, expected) in [
            ("7f-80 r-xp 0 08:02 13 /usr/lib/libc.so.6\n", Some(("/usr/lib/libc.so.6", false))),
            ("7f-80 r-xp 0 08:02 13         /usr/lib/a b (deleted)\n", Some(("/usr/lib/a b", true))),
            ("7f-80 r-xp 0 08:02 13 /a\\012b\n", Some(("/a\nb", false))),
            ("7f-80 r--p 0 08:02 13 /usr/lib/libc.so.6\n", None),
            ("7f-80 r-xp 0 00:00 0 \n", None),
            ("7f-80 r-xp 0 00:00 0 [vdso]\n", None),
            ("7f-80 r-xp", None),
            ("", None),
        ] {
            assert_eq!(line(text), expected.map(|(path, deleted)| (path.into(), deleted)), "{text}");
        }
    }

    #[test]
    fn a_process_maps_its_own_program() {
        use std::process::{Command, Stdio};
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // It has answered, so it has been executed.
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        std::io::Write::write_all(&mut input, b"x").unwrap();
        output.read_exact(&mut [0]).unwrap();
        let found = mapped(std::process::id());
        let ours = found.iter().filter(|mapped| mapped.pid == child.id());
        assert!(ours.into_iter().any(|mapped| !mapped.is_deleted), "{found:?}");
        drop(input);
        child.wait().unwrap();
    }
}
