//! `io_max`, `allowed_cpus` and `device_policy`: limits of control groups that are no single number.

#![forbid(unsafe_code)]

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use nix::sys::stat::{major, minor};

use super::control_groups::Missing;
use crate::manifest::schema::{DevicePolicy, IoMax, Limits};
use crate::plan::control::{Setting, Version, usual_devices};
use crate::sys::cgroup;
use crate::sys::host::Host;

/// The files of version 1 for the rates of an entry, and the words of version 2.
const RATES: [(&str, &str); 4] = [
    ("blkio.throttle.read_bps_device", "rbps"),
    ("blkio.throttle.write_bps_device", "wbps"),
    ("blkio.throttle.read_iops_device", "riops"),
    ("blkio.throttle.write_iops_device", "wiops"),
];

fn setting(file: &'static str, value: String) -> Setting {
    Setting { file, value, optional: false }
}

/// What is written for an entry of `io_max`.
pub(super) fn io(host: &Host, version: Version, limit: &IoMax) -> Result<Vec<Setting>, Missing> {
    let (major, minor) = disk(host, limit.device.as_path())?;
    let given = RATES.iter().zip(limit.rates).filter_map(|(name, rate)| Some((name, rate?)));
    Ok(match version {
        Version::One => {
            given.map(|((file, _), rate)| setting(file, format!("{major}:{minor} {rate}"))).collect()
        }
        Version::Two => {
            let words: Vec<_> = given.map(|((_, word), rate)| format!("{word}={rate}")).collect();
            vec![setting("io.max", format!("{major}:{minor} {}", words.join(" ")))]
        }
    })
}

/// One of these limits, for a jail that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Its key in `[limits]`.
    pub key: &'static str,
    /// The controllers that hold it: version 1 and version 2 may have a name for it each.
    pub controllers: &'static [&'static str],
}

impl Rate {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self { key: "allowed_cpus", controllers: &["cpuset"] },
        Self { key: "io_max", controllers: &["blkio", "io"] },
        Self { key: "device_policy", controllers: &["devices"] },
    ];

    /// The one of a key.
    pub fn find(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rate| rate.key == key)
    }

    /// What is written to a group in `parent` that is there already, whose files `read` tells, so that it holds what these limits
    /// say and nothing else.
    pub fn again(
        self,
        limits: &Limits,
        host: &Host,
        (version, parent): (Version, &Path),
        read: &dyn Fn(&str) -> String,
    ) -> Result<Vec<Setting>, Missing> {
        match (self.key, version) {
            ("io_max", _) => {
                let mut settings = lifted(version, read);
                for limit in &limits.io_max {
                    settings.extend(io(host, version, &limit.value)?);
                }
                Ok(settings)
            }
            ("device_policy", Version::Two) => Err(Missing::new(
                "in version 2 of cgroups a program decides on devices, which stays as long as the jail runs",
                "change `device_policy` in the manifest and start the jail anew",
            )),
            ("device_policy", Version::One) => Ok(match &limits.device_policy {
                Some(policy) if policy.value == DevicePolicy::Closed => devices(),
                _ => vec![setting("devices.allow", "a".to_owned())],
            }),
            _ => limits
                .allowed_cpus
                .as_ref()
                .map_or(Ok(Vec::new()), |list| cpus(host, version, parent, &list.value)),
        }
    }
}

/// What lifts the rates that a group's files tell of.
fn lifted(version: Version, read: &dyn Fn(&str) -> String) -> Vec<Setting> {
    let lift = |file: &'static str, none: &str| -> Vec<Setting> {
        let disk = |line: &str| line.split_once(' ').map(|(disk, _)| setting(file, format!("{disk} {none}")));
        read(file).lines().filter_map(disk).collect()
    };
    match version {
        Version::One => RATES.iter().flat_map(|(file, _)| lift(file, "0")).collect(),
        Version::Two => lift("io.max", "rbps=max wbps=max riops=max wiops=max"),
    }
}

/// The disk that a block device is of, or on which something is: what is read from a part of it is counted for the whole.
fn disk(host: &Host, path: &Path) -> Result<(u64, u64), Missing> {
    let name =
        |what: String| Missing::new(what, "name the block device itself, such as `/dev/sda`, see lsblk(8)");
    let found =
        std::fs::metadata(host.path(path)).map_err(|error| name(format!("`{}`: {error}", path.display())))?;
    let number = if found.file_type().is_block_device() { found.rdev() } else { found.dev() };
    let number = format!("{}:{}", major(number), minor(number));
    let known = host.path(Path::new("/sys/dev/block")).join(&number);
    let place =
        std::fs::canonicalize(&known).map_err(|_| name(format!("`{}` is on no disk", path.display())))?;
    let whole = match place.parent().filter(|_| place.join("partition").exists()) {
        Some(whole) => std::fs::read_to_string(whole.join("dev")).unwrap_or_default(),
        None => number,
    };
    let parts = whole
        .trim()
        .split_once(':')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parts.ok_or_else(|| name(format!("the kernel does not tell which disk `{}` is on", path.display())))
}

/// What is written for `allowed_cpus` in a group made in `parent`.
pub(super) fn cpus(
    host: &Host,
    version: Version,
    parent: &Path,
    cpus: &[u32],
) -> Result<Vec<Setting>, Missing> {
    let (may, memory) = match version {
        Version::One => ("cpuset.cpus", Some("cpuset.mems")),
        Version::Two => ("cpuset.cpus.effective", None),
    };
    let read = |file: &str| cgroup::words(&host.path(parent), file).concat();
    let known = read(may);
    if let Some(none) = cpus.iter().find(|cpu| !has(&known, **cpu)) {
        let what = format!("the group `{}` has no processor {none}, but {known}", parent.display());
        return Err(Missing::new(what, "name some of those"));
    }
    let list = cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    // In version 1 nobody can join a group that does not say where its memory is either.
    let memory = memory.map(|file| setting(file, read(file)));
    Ok(memory.into_iter().chain([setting("cpuset.cpus", list)]).collect())
}

/// Whether a number is in a list such as `0-3,8`.
fn has(numbers: &str, wanted: u32) -> bool {
    numbers.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bounds = (first.trim().parse::<u32>(), last.trim().parse::<u32>());
        matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&wanted))
    })
}

/// What is written for `device_policy = "closed"`, in version 1.
pub(super) fn devices() -> Vec<Setting> {
    let allowed = usual_devices().map(|(major, minor)| {
        let minor = minor.map_or("*".to_owned(), |minor| minor.to_string());
        setting("devices.allow", format!("c {major}:{minor} rw"))
    });
    std::iter::once(setting("devices.deny", "a".to_owned())).chain(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_processors_has_its_numbers() {
        for (list, number, expected) in [
            ("0-3,8", 2, true),
            ("0-3,8", 8, true),
            ("0-3,8", 4, false),
            ("", 0, false),
            ("1", 1, true),
            ("x-y", 1, false),
        ] {
            assert_eq!(has(list, number), expected, "{list} {number}");
        }
    }
}
