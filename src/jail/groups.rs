//! The control groups of a jail that runs: found by where the kernel says that its PID 1 is, of those that its record names; limits
//! changed, all its processes stopped and let go on. What was found stays what it is, as it is held by descriptor.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::cgroup::{Switch, directory, freezer};
use super::child::write_to;
use crate::plan::control::{Control, ControlLimit, Setting, Version};
use crate::sys::{self, cgroup};

/// How long all processes may take to stop: one that waits for a disk stops when it has its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Those of one jail; none if it has no limit that needs one.
#[derive(Debug)]
pub struct Groups(Vec<Live>);

/// One of them.
#[derive(Debug)]
struct Live {
    version: Version,
    controllers: Option<Vec<String>>,
    path: PathBuf,
    directory: OwnedFd,
}

/// One of them, for a limit that is more than a number.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a>(&'a Live);

impl Held<'_> {
    /// Its version.
    pub const fn version(self) -> Version {
        self.0.version
    }

    /// The group it was made in.
    pub fn parent(self) -> PathBuf {
        self.0.path.parent().map(Path::to_owned).unwrap_or_default()
    }

    /// What one of its files says; nothing if it has none.
    pub fn read(self, file: &str) -> String {
        self.0.text(file).unwrap_or_default()
    }

    /// Writes its files, in this order, for the limit of this key.
    pub fn write(self, settings: &[Setting], key: &'static str) -> Result<(), Error> {
        let write = |setting: &Setting| self.0.write(setting.file, &setting.value);
        settings.iter().try_for_each(write).map_err(absent_if_missing(Error::Absent(key)))
    }
}

/// What a jail has used by the count of its control groups; `None` for what none of them counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) memory: Option<u64>,
    /// The most of it at any time.
    pub(super) peak: Option<u64>,
    pub(super) tasks: Option<u64>,
    /// On processors.
    pub(super) time: Option<Duration>,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The jail has no group that holds the limit of this key.
    Absent(&'static str),
    /// It has none by which it could be stopped.
    NoFreezer,
    /// In version 1 swap is counted together with memory, which has no limit.
    NoMemory,
    /// Not all processes have stopped.
    Late,
    /// A call failed.
    Call(sys::Error),
}

impl From<sys::Error> for Error {
    fn from(error: sys::Error) -> Self {
        Self::Call(error)
    }
}

impl Groups {
    /// Those that a process is in, of those that its jail's record names: a service that a jail is started by may be called as a jail's
    /// group is. Whether it is still the same process is for the caller to look.
    pub(super) fn of(pid: i32, recorded: &[PathBuf]) -> Self {
        if recorded.is_empty() {
            return Self(Vec::new());
        }
        let ours = |path: &Path| recorded.iter().any(|name| is_named(path, name));
        let found = cgroup::hierarchies_of(Path::new("/"), pid);
        let live = found.into_iter().filter(|found| ours(&found.directory)).filter_map(|found| {
            let version = if found.controllers.is_some() { Version::One } else { Version::Two };
            let directory = directory(&found.directory).ok()?;
            Some(Live { version, controllers: found.controllers, path: found.directory, directory })
        });
        Self(live.collect())
    }

    /// Changes limits, in this order.
    pub fn set(&self, limits: &[ControlLimit]) -> Result<(), Error> {
        limits.iter().try_for_each(|limit| self.set_one(*limit))
    }

    /// The one that has one of these controllers, for the limit of this key. That of version 2 may have any.
    pub fn held(&self, controllers: &[&str], key: &'static str) -> Result<Held<'_>, Error> {
        let has = |live: &&Live| {
            let known = |name: &String| controllers.contains(&name.as_str());
            live.controllers.as_ref().is_none_or(|all| all.iter().any(known))
        };
        self.0.iter().find(has).map(Held).ok_or(Error::Absent(key))
    }

    fn set_one(&self, limit: ControlLimit) -> Result<(), Error> {
        let absent = Error::Absent(limit.control.key());
        let Held(live) = self.held(&[limit.control.controller()], limit.control.key())?;
        let file = limit.control.file(live.version).ok_or(absent)?;
        match (live.version, limit.control) {
            (Version::One, Control::Memory) => live.set_memory(limit),
            (Version::One, Control::Swap) => {
                let memory = live.number(MEMORY).ok_or(absent)?;
                // What no limit is in version 1: as many pages as a word can count.
                let memory = (memory < UNLIMITED).then_some(memory);
                if memory.is_none() && limit.amount.is_some() {
                    return Err(Error::NoMemory);
                }
                live.write(file.name, &limit.value(Version::One, memory)).map_err(absent_if_missing(absent))
            }
            (version, _) => {
                live.write(file.name, &limit.value(version, None)).map_err(absent_if_missing(absent))
            }
        }
    }

    /// What all processes together have used, the ended ones too, as far as it is counted.
    pub(super) fn used(&self) -> Used {
        let first = |one: &str, two: &str| {
            self.0.iter().find_map(|live| live.number(if live.version == Version::One { one } else { two }))
        };
        let stat = || {
            let text = self.0.iter().find_map(|live| live.text("cpu.stat"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
            line.trim().parse().ok().map(Duration::from_micros)
        };
        Used {
            memory: first("memory.usage_in_bytes", "memory.current"),
            peak: first("memory.max_usage_in_bytes", "memory.peak"),
            tasks: first("pids.current", "pids.current"),
            time: first("cpuacct.usage", "").map(Duration::from_nanos).or_else(stat),
        }
    }

    /// Whether all processes are stopped.
    pub fn is_frozen(&self) -> bool {
        self.0.iter().any(|live| freezer(&live.directory).is_some_and(|(_, is_frozen)| is_frozen))
    }

    /// Stops all processes, new ones included, and waits until they are.
    pub fn freeze(&self) -> Result<(), Error> {
        let (directory, version) = self.freezer()?;
        let Switch { file, on, .. } = Switch::of(version);
        write_below(directory, file, on)?;
        let end = Instant::now() + PATIENCE;
        while !self.is_frozen() {
            if Instant::now() >= end {
                self.thaw()?;
                return Err(Error::Late);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<(), Error> {
        let (directory, version) = self.freezer()?;
        let Switch { file, off, .. } = Switch::of(version);
        Ok(write_below(directory, file, off)?)
    }

    /// The group by which processes are stopped.
    fn freezer(&self) -> Result<(&OwnedFd, Version), Error> {
        let found = self.0.iter().find_map(|live| {
            let (version, _) = freezer(&live.directory)?;
            Some((&live.directory, version))
        });
        found.ok_or(Error::NoFreezer)
    }
}

/// Whether a group has this name, or it with a number behind.
pub(super) fn is_named(path: &Path, name: &Path) -> bool {
    let text = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let (Some(found), Some(name_text)) = (text(path), text(name)) else { return false };
    path.parent() == name.parent()
        && found.strip_prefix(&name_text).is_some_and(|rest| {
            rest.is_empty()
                || rest
                    .strip_prefix('-')
                    .is_some_and(|number| number.parse().is_ok_and(|number: u32| number > 1))
        })
}

/// For a file that is not there: its controller is not in this group.
fn absent_if_missing(absent: Error) -> impl Fn(sys::Error) -> Error {
    move |error| if error.errno == Errno::ENOENT { absent } else { Error::Call(error) }
}

/// The limits of version 1 on memory, and on memory and swap together.
const MEMORY: &str = "memory.limit_in_bytes";
const BOTH: &str = "memory.memsw.limit_in_bytes";
/// From here on it is no limit.
const UNLIMITED: u64 = 1 << 62;

impl Live {
    /// Version 1: the limit on memory, with as much swap beside it as before. The one on both can never be the lower one, so which is
    /// written first depends on where they go.
    fn set_memory(&self, limit: ControlLimit) -> Result<(), Error> {
        let absent = Error::Absent(limit.control.key());
        let memory = self.number(MEMORY).ok_or(absent)?;
        let value = limit.value(Version::One, None);
        let Some(both) = self.number(BOTH) else {
            return Ok(self.write(MEMORY, &value)?);
        };
        let swap = if both >= UNLIMITED { None } else { Some(both - memory) };
        let both_value = match (limit.amount, swap) {
            (Some(memory), Some(swap)) => memory.saturating_add(swap).to_string(),
            _ => "-1".to_owned(),
        };
        if limit.amount.is_none_or(|amount| amount > memory) {
            self.write(BOTH, &both_value)?;
            self.write(MEMORY, &value)?;
        } else {
            self.write(MEMORY, &value)?;
            self.write(BOTH, &both_value)?;
        }
        Ok(())
    }

    fn write(&self, name: &str, value: &str) -> Result<(), sys::Error> {
        write_below(&self.directory, name, value)
    }

    /// A file with a number.
    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.trim().parse().ok()
    }

    /// What a file says.
    fn text(&self, name: &str) -> Option<String> {
        let file = openat(&self.directory, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

/// Writes a file of a group.
fn write_below(directory: &OwnedFd, name: &str, value: &str) -> Result<(), sys::Error> {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty()).map_err(sys::Error::of("open"))?;
    write_to(&file, value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_known_by_its_name_or_a_number_behind_it() {
        let is = |path| is_named(Path::new(path), Path::new("/pids/stockade-web"));
        assert!(
            ["/pids/stockade-web", "/pids/stockade-web-2", "/pids/stockade-web-1000"].into_iter().all(is)
        );
        for other in [
            "/pids/stockade-web.service",
            "/pids/stockade-web-admin",
            "/pids/stockade-web-1",
            "/x/stockade-web",
            "/",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
