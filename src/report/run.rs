//! What `run --report` writes, as JSON.
//!
//! ```text
//! format      1; raised when a member changes its meaning or disappears
//! jail        the jail's name
//! layers[]    of its confinement: layer, state (enforced, degraded, off), reason (null if all of it is enforced), origin; as in `plan --json`
//! limits[]    of its control groups that it reached: limit (the manifest's key), amount (as a manifest has it), effect (killed, refused or
//!             delayed), times
//! ended       how (exited, signaled, timed_out, or failed: nothing was executed), status (exited) or signal (signaled)
//! exit_code   stockade's own
//! ```

use serde_json::{Value, json};

use super::json::layers;
use crate::plan::{ControlLimit, JailName, LayerState};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The program ended by itself.
    Exited(i32),
    /// The program was killed by this signal.
    Signaled(i32),
    /// The time limit was over.
    TimedOut,
    /// It was never executed.
    Failed,
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

/// The report.
pub fn json(
    jail: &JailName,
    layer_states: &[LayerState],
    hits: &[LimitHit],
    ended: Ended,
    exit_code: u8,
) -> Value {
    let limit = |hit: &LimitHit| {
        json!({
            "limit": hit.limit.control.key(), "amount": hit.limit.to_string(), "effect": hit.effect, "times": hit.times,
        })
    };
    let limits: Vec<Value> = hits.iter().map(limit).collect();
    let ended = match ended {
        Ended::Exited(status) => json!({ "how": "exited", "status": status }),
        Ended::Signaled(signal) => json!({ "how": "signaled", "signal": signal }),
        Ended::TimedOut => json!({ "how": "timed_out" }),
        Ended::Failed => json!({ "how": "failed" }),
    };
    json!({
        "format": 1, "jail": jail.as_str(), "layers": layers(layer_states), "limits": limits, "ended": ended,
        "exit_code": exit_code,
    })
}
