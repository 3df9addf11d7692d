//! `[limits]`: what the program may use.

use crate::plan::control::ControlLimit;
use crate::plan::value::{HostPath, Size, Span};
use crate::plan::{At, Bound};

/// `[limits]`
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Limits of setrlimit(2), in the order of [`RESOURCES`].
    pub resources: Vec<At<ResourceLimit>>,
    /// Limits of control groups, in the order of [`Control::ALL`].
    pub controls: Vec<At<ControlLimit>>,
    /// `allowed_cpus`: the processors that a control group lets it run on.
    pub allowed_cpus: Option<At<Vec<u32>>>,
    /// `io_max`: how much may be read from disks and written to them in a second.
    pub io_max: Vec<At<IoMax>>,
    /// `device_policy`: whether a control group lets it open no more than the usual devices.
    pub device_policy: Option<At<DevicePolicy>>,
    /// `runtime_max`: wall time after which the jail is killed (exit code 124).
    pub runtime_max: Option<At<Span>>,
    /// `cpu_time_max`: time on processors, of all processes together, after which it is.
    pub cpu_time_max: Option<At<Span>>,
    /// `output_size`: bytes that it may write to standard output and error together.
    pub output_size: Option<At<Size>>,
}

/// One entry of `io_max`. What is not given is not limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoMax {
    /// `device`: a block device, or something on the file system of one.
    pub device: HostPath,
    /// `read_bandwidth`, `write_bandwidth`, `read_iops`, `write_iops`: bytes and calls a second, in the order of [`IO_RATES`].
    pub rates: [Option<u64>; 4],
}

/// The keys of an entry of `io_max`.
pub const IO_RATES: [&str; 4] = ["read_bandwidth", "write_bandwidth", "read_iops", "write_iops"];

/// `device_policy`, as in systemd.resource-control(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevicePolicy {
    /// `auto`: devices are a matter of the tree and its mounts. The default.
    Auto,
    /// `closed`: no other device than those a manifest can name under `devices` can be opened, wherever it is.
    Closed,
}

/// One resource limit. Written as a number (both bounds), `"soft:hard"`, `{ soft = …, hard = … }` or `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// Which.
    pub resource: Resource,
    /// Soft bound: what is enforced.
    pub soft: Bound,
    /// Hard bound: as far as the program may raise the soft one.
    pub hard: Bound,
}

/// In what a resource is counted, which decides how its bounds are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Count,
    /// Bytes: `64M`.
    Bytes,
    /// Whole seconds: `10s`.
    Seconds,
    /// Microseconds: `500ms`.
    Microseconds,
}

/// One resource of setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its key in `[limits]`.
    pub key: &'static str,
    /// Its name in the kernel.
    pub name: &'static str,
    /// In what it is counted.
    pub unit: Unit,
}

/// All sixteen resources, with their keys.
pub const RESOURCES: [Resource; 16] = [
    Resource { key: "address_space", name: "RLIMIT_AS", unit: Unit::Bytes },
    Resource { key: "core_size", name: "RLIMIT_CORE", unit: Unit::Bytes },
    Resource { key: "cpu_time", name: "RLIMIT_CPU", unit: Unit::Seconds },
    Resource { key: "data_size", name: "RLIMIT_DATA", unit: Unit::Bytes },
    Resource { key: "file_size", name: "RLIMIT_FSIZE", unit: Unit::Bytes },
    Resource { key: "file_locks", name: "RLIMIT_LOCKS", unit: Unit::Count },
    Resource { key: "locked_memory", name: "RLIMIT_MEMLOCK", unit: Unit::Bytes },
    Resource { key: "message_queues", name: "RLIMIT_MSGQUEUE", unit: Unit::Bytes },
    Resource { key: "nice_ceiling", name: "RLIMIT_NICE", unit: Unit::Count },
    Resource { key: "open_files", name: "RLIMIT_NOFILE", unit: Unit::Count },
    Resource { key: "processes", name: "RLIMIT_NPROC", unit: Unit::Count },
    Resource { key: "resident_size", name: "RLIMIT_RSS", unit: Unit::Bytes },
    Resource { key: "realtime_priority", name: "RLIMIT_RTPRIO", unit: Unit::Count },
    Resource { key: "realtime_time", name: "RLIMIT_RTTIME", unit: Unit::Microseconds },
    Resource { key: "pending_signals", name: "RLIMIT_SIGPENDING", unit: Unit::Count },
    Resource { key: "stack_size", name: "RLIMIT_STACK", unit: Unit::Bytes },
];
