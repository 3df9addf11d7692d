//! What `run --report` and `once --report` write, as JSON, and the same in one line.
//!
//! ```text
//! format      1; raised when a member changes its meaning or disappears
//! jail        the jail's name
//! layers[]    of its confinement: layer, state (enforced, degraded, off), reason (null if all of it is enforced), origin; as in `plan --json`
//! network     host, none (loopback only), or pasta (its own, connected by that); null if it did not come so far
//! limits[]    of its control groups that it reached: limit (the manifest's key), amount (as a manifest has it), effect (killed, refused or
//!             delayed), times
//! used        wall_ms, user_ms, system_ms; cpu_ms: on processors, with those that nobody waited for where that is limited; peak_memory:
//!             bytes of its largest process; peak_together, peak_tasks: of all together, null where no control group counts them;
//!             voluntary_switches, involuntary_switches: of context; bytes_read, bytes_written: by read(2), write(2) and their like,
//!             null where the kernel does not count them; blocks_read, blocks_written: of 512 bytes, from and to disks. null if
//!             nothing was executed
//! changes     what was written to overlays: added, modified, deleted: how many paths; committed: how many of them were applied to the host;
//!             paths[]: change, path (as in `plan --json`). null if there was no overlay, or its layer was not looked at (`run`)
//! ended_by    the limit that ended it, by its key in a manifest (runtime_max, cpu_time_max, cpu_time, file_size,
//!             output_size, memory), or null
//! ended       how (exited, signaled, timed_out, or failed: nothing was executed), status (exited) or signal (signaled)
//! message     the same in words
//! exit_code   stockade's own
//! ```
//!
//! The meta file of isolate(1) has the same by other names: time (cpu_ms), time-wall (wall_ms), max-rss (peak_memory), csw-voluntary,
//! csw-forced (voluntary_switches, involuntary_switches), cg-mem (peak_together), cg-enabled (that it is not null), cg-oom-killed
//! (limits[] with memory, killed), exitcode, exitsig (status, signal in ended), killed and status TO (ended_by), message.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use nix::libc;
use serde_json::{Value, json};

use super::amount;
use super::json::{layers, text};
use crate::plan::step::{Clock, Interrupt};
use crate::plan::{ControlLimit, Enforcement, JailName, LayerState};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The program ended by itself.
    Exited(i32),
    /// The program was killed by this signal.
    Signaled(i32),
    /// A time limit was over.
    TimedOut(Clock),
    /// It wrote more than it may: told as the signal that the kernel has for that.
    TooMuchOutput,
    /// It was never executed.
    Failed,
}

/// What a run has used: its own processes, and the supervisor's none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// From its start to its end.
    pub wall: Duration,
    /// On processors, in the program.
    pub user: Duration,
    /// On processors, in the kernel.
    pub system: Duration,
    /// The same of all its processes together, where that is limited: who nobody has waited for is missing above.
    pub time_together: Option<Duration>,
    /// Bytes of memory that its largest process has had at once.
    pub peak_memory: u64,
    /// The same of all its processes together, where a control group counts it.
    pub peak_together: Option<u64>,
    /// How many processes and threads it has had at once, PID 1 included, where a control group counts them.
    pub peak_tasks: Option<u64>,
    /// How often one of its processes waited.
    pub voluntary_switches: u64,
    /// How often one of them had to give way.
    pub involuntary_switches: u64,
    /// Bytes that its processes have read and written, whatever from and to, if the kernel counts them.
    pub bytes: Option<[u64; 2]>,
    /// Blocks read from disks.
    pub blocks_read: u64,
    /// Blocks written to disks.
    pub blocks_written: u64,
}

/// What is known of a run when it has ended.
#[derive(Debug)]
pub struct Course {
    /// What became of each layer; empty if it did not come so far.
    pub layers: Vec<LayerState>,
    /// Which network it had.
    pub network: Option<&'static str>,
    /// The limits of control groups that it reached.
    pub hits: Vec<LimitHit>,
    /// How it ended.
    pub ended: Ended,
    /// What it used, if it was executed.
    pub used: Option<Used>,
    /// Whether anybody is told how many bytes it read and wrote, for which files of /proc have to be read.
    pub tells_bytes: bool,
    /// How much time on processors it was allowed.
    pub cpu_time: Option<Duration>,
    /// Whether the user interrupted it and it died of that: then what waits for this process is to see it die of that as well.
    pub interrupted: Option<Interrupt>,
    /// How large it could make files.
    pub file_size: Option<u64>,
    /// What was written to overlays, if there were any.
    pub changes: Option<Changes>,
}

/// What was written to overlays.
#[derive(Debug, Default)]
pub struct Changes {
    /// By path.
    pub paths: Vec<Changed>,
    /// How many of them were applied to the host's directories.
    pub committed: usize,
}

impl Changes {
    /// How many paths became this.
    fn count(&self, what: &str) -> usize {
        self.paths.iter().filter(|changed| changed.what == what).count()
    }
}

/// A path that is not as it is on the host.
#[derive(Debug)]
pub struct Changed {
    /// What became of it: added, modified, deleted.
    pub what: &'static str,
    /// As the program says it.
    pub path: PathBuf,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            network: None,
            hits: Vec::new(),
            ended: Ended::Failed,
            used: None,
            tells_bytes: false,
            cpu_time: None,
            file_size: None,
            interrupted: None,
            changes: None,
        }
    }
}

impl Course {
    /// The limit that ended it, by its key in a manifest. The kernel says so of none but by the signal, which any process can send itself:
    /// it counts where there is such a limit.
    fn ended_by(&self) -> Option<&'static str> {
        let was_killed = self.hits.iter().any(|hit| hit.effect == "killed");
        let time = self.used.map(|used| used.user + used.system).unwrap_or_default();
        // At the hard bound. The kernel counts whole ticks for that, which on a busy machine are a good deal more than was used.
        let is_over = self.cpu_time.is_some_and(|limit| time * 2 >= limit);
        match self.ended {
            Ended::TimedOut(clock) => Some(clock.key()),
            Ended::Signaled(libc::SIGXCPU) if self.cpu_time.is_some() => Some("cpu_time"),
            Ended::Signaled(libc::SIGXFSZ) if self.file_size.is_some() => Some("file_size"),
            Ended::TooMuchOutput => Some("output_size"),
            Ended::Signaled(libc::SIGKILL) if was_killed => Some("memory"),
            Ended::Signaled(libc::SIGKILL) if is_over => Some("cpu_time"),
            _ => None,
        }
    }

    /// How it ended, in words.
    fn message(&self) -> String {
        let mut line = match self.ended {
            Ended::Exited(status) => format!("exit status {status}"),
            Ended::Signaled(signal) => format!("killed by signal {signal}"),
            Ended::TimedOut(_) => "time limit reached".into(),
            Ended::TooMuchOutput => "too much output".into(),
            Ended::Failed => "not executed".into(),
        };
        if let Some(key) = self.ended_by() {
            _ = write!(line, ", by the limit `{key}`");
        }
        line
    }

    /// How it ended and what it used, in a line for a person.
    pub fn line(&self) -> String {
        let seconds = |time: Duration| format!("{}.{:02} s", time.as_secs(), time.subsec_millis() / 10);
        let mut line = self.message();
        if let Some(used) = &self.used {
            let (wall, user, system) = (seconds(used.wall), seconds(used.user), seconds(used.system));
            let memory = amount::bytes(used.peak_memory);
            _ = write!(line, " after {wall}; {user} user, {system} system, {memory} at most");
        }
        if let Some(changes) = &self.changes {
            let [added, modified, deleted] = ["added", "modified", "deleted"].map(|what| changes.count(what));
            let committed = changes.committed;
            _ = write!(
                line,
                "; {added} paths added, {modified} modified, {deleted} deleted, {committed} committed"
            );
        }
        let weak = self.layers.iter().filter(|state| !matches!(state.enforcement, Enforcement::Enforced));
        let weak: Vec<_> = weak.map(|state| state.layer.name()).collect();
        match weak.as_slice() {
            [] => {}
            weak => _ = write!(line, "; not wholly enforced: {}", weak.join(" ")),
        }
        line
    }
}

/// A limit of a control group that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitHit {
    /// Which.
    pub limit: ControlLimit,
    /// What came of it.
    pub effect: &'static str,
    /// How often.
    pub times: u64,
}

/// What was written to overlays.
fn changes(changes: &Changes) -> Value {
    let path = |changed: &Changed| json!({ "change": changed.what, "path": text(&changed.path) });
    json!({
        "added": changes.count("added"), "modified": changes.count("modified"),
        "deleted": changes.count("deleted"), "committed": changes.committed, "paths": changes.paths.iter().map(path).collect::<Vec<_>>(),
    })
}

/// The report.
pub fn json(jail: &JailName, course: &Course, exit_code: u8) -> Value {
    let limit = |hit: &LimitHit| {
        json!({
            "limit": hit.limit.control.key(), "amount": hit.limit.to_string(), "effect": hit.effect, "times": hit.times,
        })
    };
    let limits: Vec<Value> = course.hits.iter().map(limit).collect();
    let ended = match course.ended {
        Ended::Exited(status) => json!({ "how": "exited", "status": status }),
        Ended::Signaled(signal) => json!({ "how": "signaled", "signal": signal }),
        Ended::TimedOut(_) => json!({ "how": "timed_out" }),
        Ended::TooMuchOutput => json!({ "how": "signaled", "signal": libc::SIGXFSZ }),
        Ended::Failed => json!({ "how": "failed" }),
    };
    let milliseconds = |time: Duration| time.as_millis() as u64;
    let used = course.used.map(|used| {
        json!({
            "wall_ms": milliseconds(used.wall), "user_ms": milliseconds(used.user),
            "system_ms": milliseconds(used.system),
            "cpu_ms": milliseconds(used.time_together.unwrap_or_default().max(used.user + used.system)), "peak_memory": used.peak_memory,
            "peak_together": used.peak_together, "peak_tasks": used.peak_tasks,
            "voluntary_switches": used.voluntary_switches, "involuntary_switches": used.involuntary_switches,
            "bytes_read": used.bytes.map(|[read, _]| read), "bytes_written": used.bytes.map(|[_, written]| written),
            "blocks_read": used.blocks_read, "blocks_written": used.blocks_written,
        })
    });
    json!({
        "format": 1, "jail": jail.as_str(), "layers": layers(&course.layers),
        "network": course.network, "limits": limits, "ended": ended,
        "ended_by": course.ended_by(), "message": course.message(), "used": used,
        "changes": course.changes.as_ref().map(changes), "exit_code": exit_code,
    })
}
