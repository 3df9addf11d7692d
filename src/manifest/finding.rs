//! What is wrong with a manifest: one value for each thing found, all reported at once.

use crate::plan::Origin;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// It can be used, but probably does not say what was meant.
    Warning,
}

/// One thing found: what, where, why and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop; names in backticks.
    pub message: String,
    /// Where it comes from; its place is shown with an excerpt.
    pub origin: Option<Origin>,
    /// Further facts, a line each, printed as `why: …`.
    pub why: Vec<String>,
    /// What to do about it, printed as `hint: …`.
    pub hint: Option<String>,
}

impl Finding {
    /// How many are reported of one manifest at most.
    pub const MOST: usize = 100;

    /// An error that has no place.
    pub fn plain(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), origin: None, why: Vec::new(), hint: None }
    }

    /// An error at a place.
    pub fn error(message: impl Into<String>, origin: &Origin) -> Self {
        Self { origin: Some(origin.clone()), ..Self::plain(message) }
    }

    /// A warning at a place.
    pub fn warning(message: impl Into<String>, origin: &Origin) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message, origin) }
    }

    /// The same with one more fact.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why.push(why.into());
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
