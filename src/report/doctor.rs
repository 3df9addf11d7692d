//! What `stockade doctor` found, as text and as JSON.
//!
//! ```text
//! format     1; raised when a member changes its meaning or disappears
//! checks[]   name, state (ok, degraded or missing), required (whether a jail of defaults needs it), detail, cure (null if ok)
//! ```

use serde_json::{Value, json};

use super::layout::wrap;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be used.
    Ok,
    /// It can be used in part.
    Degraded,
    /// It cannot.
    Missing,
}

impl State {
    /// The word for it.
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// Whether a jail of defaults cannot start without it.
    pub required: bool,
    /// What was seen.
    pub detail: String,
    /// What to do about it, in one line.
    pub cure: Option<String>,
}

impl Check {
    /// Something that can be used.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, required: false, detail: detail.into(), cure: None }
    }

    /// Something that cannot, wholly.
    pub fn lacking(
        name: &'static str,
        state: State,
        detail: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { name, state, required: false, detail: detail.into(), cure: Some(cure.into()) }
    }

    /// The same, as something that a jail of defaults needs.
    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Whether a jail of defaults cannot start because of it.
    pub fn prevents(&self) -> bool {
        self.required && self.state == State::Missing
    }
}

/// The checks as text of at most `width` columns where words allow it, ending with a newline.
pub fn text(checks: &[Check], width: usize) -> String {
    let mut lines = Vec::new();
    for check in checks {
        let indent = " ".repeat(31);
        let detail = wrap(&check.detail, width - indent.len());
        let mut detail = detail.iter().map(String::as_str);
        let first = detail.next().unwrap_or_default();
        lines.push(format!("{:20} {:9} {first}", check.name, check.state.name()));
        lines.extend(detail.map(|line| format!("{indent}{line}")));
        // A command in it is to be copied: never broken.
        lines.extend(check.cure.as_ref().map(|cure| format!("{indent}cure: {cure}")));
    }
    let prevented: Vec<&str> =
        checks.iter().filter(|check| check.prevents()).map(|check| check.name).collect();
    lines.push(String::new());
    lines.push(if prevented.is_empty() {
        "Jails can run here.".to_owned()
    } else {
        format!("Jails of defaults cannot run here, for want of: {}.", prevented.join(", "))
    });
    lines.join("\n") + "\n"
}

/// The checks as JSON.
pub fn json(checks: &[Check]) -> Value {
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({
                "name": check.name,
                "state": check.state.name(),
                "required": check.required,
                "detail": check.detail,
                "cure": check.cure,
            })
        })
        .collect();
    json!({ "format": 1, "checks": checks })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> [Check; 2] {
        [
            Check::ok("kernel", "Linux 6.18.0").required(),
            Check::lacking("user namespaces", State::Missing, "EPERM here", "sysctl -w a=1").required(),
        ]
    }

    #[test]
    fn what_is_missing_comes_with_its_cure() {
        let expected = "\
kernel               ok        Linux 6.18.0
user namespaces      missing   EPERM here
                               cure: sysctl -w a=1

Jails of defaults cannot run here, for want of: user namespaces.
";
        assert_eq!(text(&checks(), 100), expected);
        assert!(text(&checks()[..1], 100).ends_with("Jails can run here.\n"));
    }

    #[test]
    fn the_json_has_every_member() {
        assert_eq!(
            json(&checks())["checks"][1],
            json!({ "name": "user namespaces", "state": "missing", "required": true, "detail": "EPERM here", "cure": "sysctl -w a=1" })
        );
    }
}
