//! JSON as it is printed: with nothing in it that a terminal would obey, or that turns a line around. All of that stands within strings,
//! where JSON escapes the controls of ASCII alone, and lets the others of Unicode, and marks of direction, stand as they are.

use std::fmt::Write as _;

use serde_json::Value;

use crate::plan::quote::is_harmful;

/// A value, on lines of its own.
pub fn json(value: &Value) -> String {
    harmless(&format!("{value:#}\n"))
}

/// JSON that is a text already.
pub fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_harmful(letter) && letter != '\n' {
            // None of them is beyond the first 65536. That a String cannot be written to is not heard of.
            let _ = write!(text, "\\u{:04x}", u32::from(letter));
        } else {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_chose_is_escaped_and_reads_as_before() {
        let value = serde_json::json!({ "caf\u{e9}": "a\u{9b}31m\u{7f}\u{202e}\n\u{1b}[2J\"\\" });
        let printed = json(&value);
        assert_eq!(printed, "{\n  \"caf\u{e9}\": \"a\\u009b31m\\u007f\\u202e\\n\\u001b[2J\\\"\\\\\"\n}\n");
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), value);
    }
}
