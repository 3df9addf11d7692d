//! Limits that a control group holds, see cgroups(7): a limit of the manifest, and the file of either version with what is written to
//! it. Names and units are systemd's (systemd.resource-control(5)) where it has them.

use std::fmt;

use super::operand::DEVICES;
use super::value::Size;
use super::{HostPath, quote};

/// Which interface a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller, or a few.
    One,
    /// One for all.
    Two,
}

impl Version {
    /// The number.
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Memory, page cache and kernel memory included: past it something is killed.
    Memory,
    /// Memory past which processes are slowed down and their pages taken back.
    MemoryHigh,
    /// Swap space.
    Swap,
    /// Processes and threads.
    Tasks,
    /// Time on processors.
    Cpu,
    /// The share of time when there is too little.
    CpuWeight,
    /// The share of a disk when there is too little.
    IoWeight,
}

/// A file of a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// The controller that has it.
    pub controller: &'static str,
    /// Its name.
    pub name: &'static str,
}

impl Control {
    /// All, in the order in which they can be written: version 1 refuses a limit on memory and swap together that is below
    /// that on memory.
    pub const ALL: [Self; 7] =
        [Self::Memory, Self::MemoryHigh, Self::Swap, Self::Tasks, Self::Cpu, Self::CpuWeight, Self::IoWeight];

    /// Its key in `[limits]`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::MemoryHigh => "memory_high",
            Self::Swap => "swap",
            Self::Tasks => "tasks",
            Self::Cpu => "cpu",
            Self::CpuWeight => "cpu_weight",
            Self::IoWeight => "io_weight",
        }
    }

    /// The control of a key.
    pub fn find(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|control| control.key() == key)
    }

    /// The controller it takes.
    pub const fn controller(self) -> &'static str {
        match self {
            Self::Memory | Self::MemoryHigh | Self::Swap => "memory",
            Self::Tasks => "pids",
            Self::Cpu | Self::CpuWeight => "cpu",
            Self::IoWeight => "io",
        }
    }

    /// The file that holds it, if that version has one.
    pub const fn file(self, version: Version) -> Option<File> {
        let name = match (self, version) {
            (Self::Memory, Version::One) => "memory.limit_in_bytes",
            (Self::Memory, Version::Two) => "memory.max",
            (Self::MemoryHigh, Version::Two) => "memory.high",
            (Self::Swap, Version::One) => "memory.memsw.limit_in_bytes",
            (Self::Swap, Version::Two) => "memory.swap.max",
            (Self::Tasks, _) => "pids.max",
            (Self::Cpu, Version::One) => "cpu.cfs_quota_us",
            (Self::Cpu, Version::Two) => "cpu.max",
            (Self::CpuWeight, Version::One) => "cpu.shares",
            (Self::CpuWeight, Version::Two) => "cpu.weight",
            (Self::IoWeight, Version::Two) => "io.weight",
            // Soft limits of version 1 hold nothing while the host has memory left, and its weights went with CFQ (Linux 5.0).
            (Self::MemoryHigh | Self::IoWeight, Version::One) => return None,
        };
        Some(File { controller: self.controller(), name })
    }

    /// Reads an amount as a manifest or a command line has it; `None` is no limit.
    pub fn parse(self, text: &str) -> Result<Option<u64>, String> {
        if !self.is_weight() && matches!(text, "unlimited" | "infinity" | "max") {
            return Ok(None);
        }
        let number = || {
            text.parse::<u64>().map_err(|_| format!("`{text}` is not a number; write one, without quotes"))
        };
        let amount = match self {
            Self::Memory | Self::MemoryHigh | Self::Swap => Size::parse(text)?.0,
            Self::Cpu => processor_time(text)?,
            Self::Tasks | Self::CpuWeight | Self::IoWeight => number()?,
        };
        self.check(amount).map(Some)
    }

    /// An amount, if the kernel takes it.
    pub fn check(self, amount: u64) -> Result<u64, String> {
        match self {
            Self::Memory if amount < PAGE => {
                Err(format!("no program runs in {amount} bytes; write a size such as `64M`"))
            }
            Self::Tasks if amount == 0 => {
                Err("0 tasks are none; write 2 or more, since PID 1 is one of them".into())
            }
            Self::Cpu if amount < 1000 => {
                Err("the kernel gives no less than 1% of a processor; write `1%` or more".into())
            }
            Self::CpuWeight | Self::IoWeight if !(1..=10_000).contains(&amount) => Err(format!(
                "{amount} is no weight; write a number from 1 to 10000, where 100 is everybody's"
            )),
            Self::Memory | Self::MemoryHigh | Self::Swap if amount > MOST_BYTES => {
                Err("this is more than the kernel can count; write `unlimited`".into())
            }
            Self::Tasks if amount > MOST_TASKS => {
                Err(format!("the kernel has no more than {MOST_TASKS} processes; write `unlimited`"))
            }
            _ => Ok(amount),
        }
    }

    /// Whether it is a share and not a bound.
    const fn is_weight(self) -> bool {
        matches!(self, Self::CpuWeight | Self::IoWeight)
    }
}

/// The smallest page.
const PAGE: u64 = 4096;
/// Bytes are counted as pages in a signed word.
const MOST_BYTES: u64 = i64::MAX as u64;
/// `PID_MAX_LIMIT` of linux/threads.h.
const MOST_TASKS: u64 = 4 << 20;
/// The period of a quota, in microseconds: the kernel's default.
pub const PERIOD: u64 = 100_000;

/// `150%`, or `1.5` processors, in microseconds a period.
fn processor_time(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no share of processors; write `150%`, or `1.5` for one and a half");
    let (digits, unit) = match text.strip_suffix('%') {
        Some(digits) => (digits.trim_end(), PERIOD / 100),
        None => (text, PERIOD),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 3 || whole.len() > 9 {
        return Err(wrong());
    }
    let [whole, thousandths] = [whole, format!("{part:0<3}").as_str()].map(str::parse::<u64>);
    let (whole, thousandths) = (whole.map_err(|_| wrong())?, thousandths.map_err(|_| wrong())?);
    Ok(whole * unit + thousandths * unit / 1000)
}

/// A limit with its amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlLimit {
    /// What is limited.
    pub control: Control,
    /// Bytes, tasks, microseconds of each [`PERIOD`], or a weight; none: no limit.
    pub amount: Option<u64>,
}

impl ControlLimit {
    /// What is written to the file of a version. In version 1 the limit on swap space is one on memory and swap together, so it
    /// needs that on memory.
    pub fn value(self, version: Version, memory: Option<u64>) -> String {
        let unlimited = match (version, self.control) {
            (_, Control::Tasks) | (Version::Two, _) => "max",
            (Version::One, _) => "-1",
        };
        let amount = match (version, self.control, self.amount) {
            (Version::One, Control::Swap, Some(swap)) => {
                memory.map(|memory| memory.saturating_add(swap).min(MOST_BYTES))
            }
            // As systemd translates it: 100 is 1024 (systemd.resource-control(5), CPUShares=).
            (Version::One, Control::CpuWeight, Some(weight)) => Some((weight * 1024 / 100).clamp(2, 262_144)),
            (_, _, amount) => amount,
        };
        match (version, self.control, amount) {
            (Version::Two, Control::Cpu, Some(quota)) => format!("{quota} {PERIOD}"),
            (Version::Two, Control::IoWeight, Some(weight)) => format!("default {weight}"),
            (_, _, Some(amount)) => amount.to_string(),
            (_, _, None) => unlimited.to_owned(),
        }
    }
}

impl fmt::Display for ControlLimit {
    /// The amount as a manifest has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.control, self.amount) {
            (_, None) => f.write_str("unlimited"),
            (Control::Memory | Control::MemoryHigh | Control::Swap, Some(bytes)) => Size(bytes).fmt(f),
            (Control::Cpu, Some(quota)) => {
                let (whole, part) = (quota / 1000, quota % 1000);
                if part == 0 { write!(f, "{whole}%") } else { write!(f, "{whole}.{part:03}%") }
            }
            (_, Some(number)) => number.fmt(f),
        }
    }
}

/// What is written to one file of a new group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The file's name.
    pub file: &'static str,
    /// What is written.
    pub value: String,
    /// Whether a kernel that has no such file is no reason to end: nobody asked for it.
    pub optional: bool,
}

/// A control group to be made in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlGroup {
    /// Of which version the hierarchy is.
    pub version: Version,
    /// The group it is made in.
    pub parent: HostPath,
    /// Whether the supervisor leaves that group for one of its own in it: in version 2 a group that hands on controllers has no
    /// processes itself.
    pub leaf: bool,
    /// Controllers that have to be handed on there first.
    pub enable: Vec<&'static str>,
    /// What is written to the new group's files.
    pub settings: Vec<Setting>,
    /// Version 2: whether a program is attached to it that lets no devices be opened but [`usual_devices`], as files of version 1 do.
    pub closed_devices: bool,
}

/// Devices of terminals, beside those that a manifest names: with pts(4) the one by which a program makes more.
const TERMINALS: [(u32, Option<u32>); 2] = [(5, Some(2)), (136, None)];

/// What can be opened with `device_policy = "closed"`: character devices by major and minor number, or with any minor one.
pub fn usual_devices() -> impl Iterator<Item = (u32, Option<u32>)> {
    DEVICES.iter().map(|device| (device.major, Some(device.minor))).chain(TERMINALS)
}

/// What the control groups of a jail are called: this, and its name.
pub const PREFIX: &str = "stockade-";

/// The supervisor's own group, where it has to leave the one it was started in.
pub const LEAF: &str = "supervisor";

impl ControlGroup {
    /// What is written to hand controllers on.
    pub fn handed_on(&self) -> String {
        super::display::join(" ", self.enable.iter().map(|name| format!("+{name}")))
    }

    /// A path in the group it is made in, for a call or a shell.
    pub fn beside(&self, name: &str) -> std::path::PathBuf {
        self.parent.as_path().join(name)
    }
}

impl fmt::Display for ControlGroup {
    /// The files with what is written to them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote::Quoted::of(self.parent.as_path()).fmt(f)?;
        if self.leaf {
            write!(f, " leaving it for \"{LEAF}\"")?;
        }
        if !self.enable.is_empty() {
            write!(f, " handing on {}", self.handed_on())?;
        }
        for setting in &self.settings {
            write!(f, " {}={}", setting.file, setting.value)?;
        }
        if self.closed_devices {
            f.write_str(" closed devices")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_their_units() {
        for (control, text, amount) in [
            (Control::Memory, "256M", Some(256 << 20)),
            (Control::Swap, "0", Some(0)),
            (Control::Memory, "unlimited", None),
            (Control::Tasks, "64", Some(64)),
            (Control::Cpu, "150%", Some(150_000)),
            (Control::Cpu, "1.5", Some(150_000)),
            (Control::Cpu, "2", Some(200_000)),
            (Control::Cpu, "12.5%", Some(12_500)),
            (Control::Cpu, "infinity", None),
            (Control::CpuWeight, "100", Some(100)),
        ] {
            assert_eq!(control.parse(text), Ok(amount), "{text}");
        }
        for (control, text) in [
            (Control::Memory, "much"),
            (Control::Memory, "1"),
            (Control::Tasks, "0"),
            (Control::Tasks, "-1"),
            (Control::Cpu, "0.5%"),
            (Control::Cpu, "1.2345"),
            (Control::Cpu, "%"),
            (Control::Cpu, "99999999999"),
            (Control::CpuWeight, "0"),
            (Control::IoWeight, "10001"),
            (Control::IoWeight, "unlimited"),
        ] {
            assert!(control.parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_version_is_written_in_its_own_words() {
        let both = |control, amount| {
            [Version::One, Version::Two].map(|version| {
                let limit = ControlLimit { control, amount };
                control
                    .file(version)
                    .map(|file| format!("{}={}", file.name, limit.value(version, Some(1 << 20))))
            })
        };
        let of = |text: &str| Some(text.to_owned());
        for (control, amount, one, two) in [
            (Control::Memory, Some(1 << 20), of("memory.limit_in_bytes=1048576"), of("memory.max=1048576")),
            (Control::Memory, None, of("memory.limit_in_bytes=-1"), of("memory.max=max")),
            (Control::MemoryHigh, Some(4096), None, of("memory.high=4096")),
            (Control::Swap, Some(0), of("memory.memsw.limit_in_bytes=1048576"), of("memory.swap.max=0")),
            (Control::Tasks, Some(5), of("pids.max=5"), of("pids.max=5")),
            (Control::Tasks, None, of("pids.max=max"), of("pids.max=max")),
            (Control::Cpu, Some(150_000), of("cpu.cfs_quota_us=150000"), of("cpu.max=150000 100000")),
            (Control::Cpu, None, of("cpu.cfs_quota_us=-1"), of("cpu.max=max")),
            (Control::CpuWeight, Some(200), of("cpu.shares=2048"), of("cpu.weight=200")),
            (Control::CpuWeight, Some(10_000), of("cpu.shares=102400"), of("cpu.weight=10000")),
            (Control::IoWeight, Some(50), None, of("io.weight=default 50")),
        ] {
            assert_eq!(both(control, amount), [one, two], "{control:?}");
        }
    }

    #[test]
    fn an_amount_is_shown_as_it_is_written() {
        for (control, text) in [
            (Control::Memory, "256M"),
            (Control::Cpu, "150%"),
            (Control::Cpu, "12.500%"),
            (Control::Tasks, "64"),
            (Control::Swap, "unlimited"),
        ] {
            let limit = ControlLimit { control, amount: control.parse(text).unwrap() };
            assert_eq!(limit.to_string(), text);
            assert_eq!(Control::find(control.key()), Some(control));
        }
    }
}
