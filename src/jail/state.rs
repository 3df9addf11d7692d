//! Records of running jails: one small file for each, written by its supervisor before there is a program, so that none runs that
//! nobody can find, and removed by it at the end.
//!
//! ```text
//! /run/stockade/NAME@SUPERVISOR        as root; $XDG_RUNTIME_DIR/stockade as a user                       0600 in 0700
//! ```
//!
//! A jail may run more than once at a time; each run has a record of its own, with `.1` and so on behind the number where supervisors
//! in several PID namespaces have the same. The file is locked (flock(2), alone) by the supervisor
//! from before its first byte on, and by nobody else: the lock goes with the supervisor, however that ends, and never comes back. So
//! a record that has something in it and no lock is of a run that is over, whoever has the supervisor's number by now; `records.rs`
//! reads them by this rule. A start time beside each number would say no more, and reading one takes longer than all that is done here.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::sys::stat::{Mode, mkdirat, stat};
use nix::unistd::{unlink, write};

use super::Error;
use super::records::{self, is_ours};
use crate::plan::{JailName, Source};
use crate::sys;
use crate::sys::fs::{Lock, try_lock};

/// Where root's records are.
const SYSTEM: &str = "/run/stockade";

/// How many supervisors of one jail may have the same number, each in a PID namespace of its own.
const MOST_NAMESAKES: u32 = 1000;

/// The first word of every record; another number is another meaning of what follows.
const FORMAT: &str = "stockade 1";

/// Where records are, given the environment. Who names a place for trees has the records of their runs there too; a user whom nobody
/// gave a directory in memory (a session without pam_systemd(8)) has them beside the trees.
pub fn default_path(root_user: bool, trees: &Path, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let named = |name| variable(name).filter(|path: &OsString| !path.is_empty());
    match (named("STOCKADE_RUN_DIR"), named("STOCKADE_STATE_DIR"), root_user) {
        (Some(path), ..) => path.into(),
        (None, None, true) => SYSTEM.into(),
        (None, None, false) => named("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .map_or_else(|| trees.join(".run"), |path| path.join("stockade")),
        (None, Some(_), _) => trees.join(".run"),
    }
}

/// What is known of a run before it starts, and kept for those who come to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The jail.
    pub jail: JailName,
    /// The tree it runs from.
    pub tree: PathBuf,
    /// Whether PID 1 is ours; otherwise it is the program.
    pub init: bool,
    /// Whether its program puts itself into the background.
    pub forking: bool,
    /// What its manifest was read from, the manifest itself first; so that whoever joins it is confined as it is, whatever has been
    /// written since.
    pub sources: Vec<Rc<Source>>,
    /// Each `--set` of its start.
    pub sets: Vec<String>,
    /// The cgroups of its own, if it has any: their directories, one for each hierarchy; with a number behind, if others have them.
    pub cgroups: Vec<PathBuf>,
}

/// An [`Entry`] with the process that it is of. PID 1 is the one child of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) entry: Entry,
    /// The supervisor's number, in the namespace it was started in.
    pub(super) supervisor: i32,
}

impl Written {
    /// The bytes of the file: fields of a name and a value, ended by NUL each, as a path or a manifest's text may hold anything else.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { entry, supervisor } = self;
        let texts: usize = entry.sources.iter().map(|source| source.text.len() + 256).sum();
        let mut bytes = Vec::with_capacity(512 + texts);
        let mut field = |name: &str, value: &OsStr| {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0);
        };
        field("format", FORMAT.as_ref());
        field("jail", entry.jail.as_str().as_ref());
        field("supervisor", supervisor.to_string().as_ref());
        field("init", if entry.init { "true" } else { "false" }.as_ref());
        field("forking", if entry.forking { "true" } else { "false" }.as_ref());
        field("tree", entry.tree.as_os_str());
        for source in &entry.sources {
            field("source", source.path.as_os_str());
            field("text", source.text.as_ref());
        }
        for set in &entry.sets {
            field("set", set.as_ref());
        }
        for cgroup in &entry.cgroups {
            field("cgroup", cgroup.as_os_str());
        }
        // What a full disk has cut off does not end so.
        field("end", OsStr::new(""));
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote, all of it or nothing. Fields of a later version are passed over.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let fields: Vec<(&[u8], &OsStr)> = bytes
            .strip_suffix(b"end=\0")?
            .split(|byte| *byte == 0)
            .filter(|field| !field.is_empty())
            .map(|field| {
                let at = field.iter().position(|byte| *byte == b'=')?;
                Some((&field[..at], OsStr::from_bytes(&field[at + 1..])))
            })
            .collect::<Option<_>>()?;
        let all = |name: &'static str| {
            fields.iter().filter(move |(known, _)| *known == name.as_bytes()).map(|(_, value)| *value)
        };
        let one = |name: &'static str| all(name).next()?.to_str();
        (one("format")? == FORMAT).then_some(())?;
        let source = |(path, text): (&OsStr, &OsStr)| {
            Some(Rc::new(Source { path: path.into(), text: text.to_str()?.to_owned() }))
        };
        Some(Self {
            entry: Entry {
                jail: JailName::parse(one("jail")?).ok()?,
                tree: all("tree").next()?.into(),
                init: one("init")?.parse().ok()?,
                forking: one("forking")?.parse().ok()?,
                sources: all("source").zip(all("text")).map(source).collect::<Option<_>>()?,
                sets: all("set").map(|set| set.to_str().map(str::to_owned)).collect::<Option<_>>()?,
                cgroups: all("cgroup").map(PathBuf::from).collect(),
            },
            supervisor: one("supervisor")?.parse().ok().filter(|number| *number > 0)?,
        })
    }
}

/// What a record says, written again. For `tests/fuzz/`: records are where only their user can write, and may be of another version.
pub fn rewritten(record: &[u8]) -> Option<Vec<u8>> {
    Written::decode(record).map(|written| written.encode())
}

/// The file's name; `further` tells those apart whose supervisors have one number, each in a PID namespace of its own.
fn file_name(jail: &JailName, supervisor: i32, further: u32) -> OsString {
    match further {
        0 => format!("{jail}@{supervisor}"),
        _ => format!("{jail}@{supervisor}.{further}"),
    }
    .into()
}

/// The jail and the supervisor that a file's name tells.
pub(super) fn parse_file_name(name: &OsStr) -> Option<(JailName, i32)> {
    let (jail, number) = name.to_str()?.rsplit_once('@')?;
    let (supervisor, further) = number.split_once('.').unwrap_or((number, "0"));
    further.parse::<u32>().ok()?;
    let supervisor = supervisor.parse().ok().filter(|number| *number > 0)?;
    Some((JailName::parse(jail).ok()?, supervisor))
}

/// A record that could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritten {
    /// Its path.
    pub path: PathBuf,
    /// The call and why.
    pub error: sys::Error,
}

/// A record that is to be written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where records are.
    pub place: PathBuf,
    /// What it says.
    pub entry: Entry,
    /// Whether nothing may run without it. Else there is none where none can be written, and no directory is left for it.
    pub is_needed: bool,
}

impl Draft {
    /// Writes it, by the supervisor, if that can be done or has to be.
    pub(super) fn write_if_needed(&self) -> Result<Option<Record>, Error> {
        match self.write() {
            Err(_) if !self.is_needed => Ok(None),
            written => written.map(Some),
        }
    }

    /// Writes it. Four calls where the directory is there, which has to be one that is read later: what is in a
    /// place where others may write is believed by nobody.
    ///
    /// Where PID 1 is made after it, it inherits the descriptor and closes it with all others before there is a program: for so long it
    /// holds the lock as well.
    pub(super) fn write(&self) -> Result<Record, Error> {
        let supervisor = std::process::id() as i32;
        let (path, file) = self.create(supervisor)?;
        let failed = |call| {
            let path = path.clone();
            move |errno| Unwritten { path, error: sys::Error { call, errno } }
        };
        // From here on, dropping it removes it.
        let record = Record { path: path.clone(), file, leaves_place: self.is_needed };
        let place = stat(&self.place).map_err(failed("stat"))?;
        if !is_ours(&place) {
            let (owner, mode) = (place.st_uid, place.st_mode & 0o7777);
            return Err(Error::Untrusted { place: self.place.clone(), owner, mode });
        }
        // Nobody else takes this lock, and those who look whether it is taken do not look before there is something to read.
        try_lock(&record.file, Lock::Exclusive).map_err(failed("flock"))?;
        let bytes = Written { entry: self.entry.clone(), supervisor }.encode();
        match write(&record.file, &bytes).map_err(failed("write"))? {
            written if written == bytes.len() => Ok(record),
            _ => Err(failed("write")(Errno::ENOSPC).into()),
        }
    }

    /// Makes the file, and the directory it is in. What has its name already is swept, if its jail is over, and left alone if not: that
    /// may be the record of a jail whose supervisor has this number in another PID namespace.
    fn create(&self, supervisor: i32) -> Result<(PathBuf, OwnedFd), Unwritten> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut taken = Errno::EEXIST;
        for further in 0..MOST_NAMESAKES {
            let name = file_name(&self.entry.jail, supervisor, further);
            let path = self.place.join(&name);
            let failed = |call, errno| Unwritten { path: path.clone(), error: sys::Error { call, errno } };
            // Once more for a directory that is not there, and for what is swept.
            for _ in 0..3 {
                match open(&path, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
                    Ok(file) => return Ok((path, file)),
                    Err(Errno::ENOENT) => match mkdirat(AT_FDCWD, &self.place, Mode::S_IRWXU) {
                        Ok(()) | Err(Errno::EEXIST) => taken = Errno::ENOENT,
                        Err(errno) => return Err(failed("mkdir", errno)),
                    },
                    Err(Errno::EEXIST) => {
                        taken = Errno::EEXIST;
                        records::sweep(&self.place, &name);
                    }
                    Err(errno) => return Err(failed("open", errno)),
                }
            }
        }
        let path = self.place.join(file_name(&self.entry.jail, supervisor, 0));
        Err(Unwritten { path, error: sys::Error { call: "open", errno: taken } })
    }
}

/// A written record, which is there for as long as this lives.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    /// The lock goes with this descriptor.
    file: OwnedFd,
    /// Whether the directory stays when it is empty.
    leaves_place: bool,
}

impl Record {
    /// Its file's name.
    pub(super) fn name(&self) -> Option<&OsStr> {
        self.path.file_name()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Before the lock goes, so that nobody finds it stale. What resists is swept by whoever looks next.
        match unlink(&self.path) {
            Ok(()) | Err(_) => {}
        }
        // Not empty, if others run.
        if !self.leaves_place
            && let Some(Ok(()) | Err(_)) = self.path.parent().map(std::fs::remove_dir)
        {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Written {
        let entry = Entry {
            jail: JailName::parse("web-1.x").unwrap(),
            tree: OsStr::from_bytes(b"/var/lib/a=b\xff/tree").into(),
            init: true,
            forking: true,
            sources: [("web.toml", "a = 1\n[b]\n"), ("base.toml", "")]
                .map(|(path, text)| Rc::new(Source { path: path.into(), text: text.into() }))
                .into(),
            sets: vec!["program.nice=5".into()],
            cgroups: vec!["/sys/fs/cgroup/memory/web".into(), "/sys/fs/cgroup/pids/web".into()],
        };
        Written { entry, supervisor: 4711 }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_no_part_of_it() {
        let bytes = written().encode();
        assert_eq!(Written::decode(&bytes), Some(written()));
        for cut in 0..bytes.len() {
            assert_eq!(Written::decode(&bytes[..cut]), None, "{cut}");
        }
        let later = [b"new=thing\0", bytes.as_slice()].concat();
        assert_eq!(Written::decode(&later), Some(written()));
        let wrong = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(&bytes).replace(from, to);
            Written::decode(text.as_bytes())
        };
        for (from, to) in [
            ("stockade 1", "stockade 2"),
            ("jail=web-1.x", "jail=../x"),
            ("supervisor=4711", "supervisor=0"),
            ("init=true", "init=1"),
        ] {
            assert_eq!(wrong(from, to), None, "{to}");
        }
    }

    #[test]
    fn afiles_name_tells_jail_and_supervisor() {
        let jail = JailName::parse("web.1").unwrap();
        assert_eq!(file_name(&jail, 12, 0), "web.1@12");
        assert_eq!(file_name(&jail, 12, 3), "web.1@12.3");
        for name in ["web.1@12", "web.1@12.3"] {
            assert_eq!(parse_file_name(OsStr::new(name)), Some((jail.clone(), 12)));
        }
        for wrong in [
            "web",
            "web@",
            "web@0",
            "web@1.",
            "web@1.x",
            "web@1.2.3",
            "web@-1",
            "web@x",
            "@1",
            ".web@1",
            "a/b@1",
        ] {
            assert_eq!(parse_file_name(OsStr::new(wrong)), None, "{wrong}");
        }
    }

    /// As in two PID namespaces, whose processes have the same numbers.
    #[test]
    fn whoever_has_the_same_number_takes_no_record_away() {
        let place = std::env::temp_dir().join(format!("stockade-namesakes-{}", std::process::id()));
        let draft = Draft { place: place.clone(), entry: written().entry, is_needed: true };
        let names = || {
            let mut names: Vec<_> =
                std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let name = |further| file_name(&draft.entry.jail, std::process::id() as i32, further);
        let first = draft.write().unwrap();
        let second = draft.write().unwrap();
        assert_eq!(names(), [name(0), name(1)]);
        drop(first);
        assert_eq!(names(), [name(1)]);
        // What a killed one has left gives way.
        std::fs::write(place.join(name(0)), written().encode()).unwrap();
        let third = draft.write().unwrap();
        assert_eq!(names(), [name(0), name(1)]);
        drop((second, third));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        drop(
                            Draft { place: place.clone(), entry: written().entry, is_needed: true }
                                .write()
                                .unwrap(),
                        );
                    }
                });
                scope.spawn(|| (0..200).for_each(|_| records::tidy(&place)));
            }
        });
        std::fs::remove_dir(&place)
            .or_else(|error| if place.exists() { Err(error) } else { Ok(()) })
            .unwrap();
    }

    #[test]
    fn the_place_of_records_follows_the_environment() {
        let path = |root, set: &[(&str, &str)]| {
            default_path(root, Path::new("/trees"), |name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            })
        };
        let runtime = ("XDG_RUNTIME_DIR", "/run/user/7");
        assert_eq!(path(true, &[runtime]), Path::new("/run/stockade"));
        assert_eq!(path(false, &[runtime]), Path::new("/run/user/7/stockade"));
        for unset in [("XDG_RUNTIME_DIR", ""), ("XDG_RUNTIME_DIR", "run")] {
            assert_eq!(path(false, &[unset]), Path::new("/trees/.run"));
        }
        for root in [true, false] {
            assert_eq!(path(root, &[runtime, ("STOCKADE_STATE_DIR", "/trees")]), Path::new("/trees/.run"));
            let run = ("STOCKADE_RUN_DIR", "/r");
            assert_eq!(path(root, &[runtime, ("STOCKADE_STATE_DIR", "/trees"), run]), Path::new("/r"));
        }
    }
}
