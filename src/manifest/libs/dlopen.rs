//! Reads `.note.dlopen`: libraries a program loads by itself, which `DT_NEEDED` does not know.
//!
//! The note is JSON, `[{"feature": …, "description": …, "priority": …, "soname": ["libx.so.1", …]}]`, specified by systemd
//! ("ELF dlopen() metadata"). Of the sonames one is enough, the first found is taken.

use std::fmt;

use serde::Deserialize;

/// How much the program misses the library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// It does not work without.
    Required,
    /// It should be there.
    #[default]
    Recommended,
    /// Few need it.
    Suggested,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "required",
            Self::Recommended => "recommended",
            Self::Suggested => "suggested",
        })
    }
}

/// One entry of the note.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Request {
    /// What the library gives the program, in one word.
    #[serde(default)]
    pub feature: String,
    /// The same in a sentence.
    #[serde(default)]
    pub description: String,
    /// How much it is missed.
    #[serde(default)]
    pub priority: Priority,
    /// Names to try, in order.
    pub soname: Vec<String>,
}

/// The entries of one note, or what is wrong with its text.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Request>, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_defaults() {
        let text =
            br#"[{"feature":"idn","description":"IDNA","priority":"suggested","soname":["a.so","b.so"]},
                        {"soname":["c.so"],"later":"addition"}]"#;
        let found = parse(text).unwrap();
        assert_eq!((found[0].priority, found[0].soname.len()), (Priority::Suggested, 2));
        assert_eq!((found[1].priority, found[1].feature.as_str()), (Priority::Recommended, ""));
    }

    #[test]
    fn broken_text_is_described() {
        for text in [
            "",
            "{}",
            "[{}]",
            r#"[{"soname":"x"}]"#,
            r#"[{"soname":[],"priority":"vital"}]"#,
            &"[".repeat(60_000),
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:.40}");
        }
    }
}
