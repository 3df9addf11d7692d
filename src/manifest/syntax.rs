//! What toml says about wrong syntax, in words that tell what to write instead.

use super::finding::Finding;
use super::text::Locator;

/// After so many lines with errors, the rest is only counted.
const SHOWN: usize = 10;

/// More errors than this are not even looked at: one megabyte of garbage has as many.
const LOOKED_AT: usize = 1000;

/// Findings from toml's errors: the first of each line (the others mostly follow from it), in the order of the text.
pub(super) fn findings(errors: &[toml::de::Error], locator: &Locator) -> Vec<Finding> {
    let mut errors: Vec<_> = errors.iter().map(|e| (e.span().unwrap_or_default(), e.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    errors.truncate(LOOKED_AT);
    drop_consequences(&mut errors, locator);
    let mut findings: Vec<Finding> = Vec::new();
    let (mut line, mut more) = (0, 0);
    for (span, message) in errors {
        let place = locator.place(&span);
        if place.line == line {
            continue;
        }
        line = place.line;
        if findings.len() == SHOWN {
            more += 1;
            continue;
        }
        findings.push(finding(&span, message, locator));
    }
    if let Some(last) = findings.last_mut().filter(|_| more > 0) {
        last.why.push(format!("{more} or more further lines are wrong"));
    }
    findings
}

/// Drops errors that only follow from an earlier one.
fn drop_consequences(errors: &mut Vec<(std::ops::Range<usize>, &str)>, locator: &Locator) {
    // A list that is not closed swallows the lines after it, so what is said about them says nothing.
    if let Some(at) = errors.iter().position(|(_, message)| message.starts_with(NOT_CLOSED)) {
        errors.truncate(at + 1);
        let line = locator.place(&errors[at].0).line;
        errors.retain(|(span, message)| {
            message.starts_with(NOT_CLOSED)
                || !message.starts_with("missing comma") && locator.place(span).line != line
        });
    }
    // The keys of a table's second `[header]` collide with those of its first.
    let header =
        errors.iter().position(|(span, message)| is_duplicate(message) && locator.is_header(span.start));
    if let Some(first) = header {
        let end = errors[first].0.end;
        errors.retain(|(span, message)| {
            span.start < end || !is_duplicate(message) || locator.is_header(span.start)
        });
    }
}

/// What toml says at the `=` of the first line that a list swallows.
const NOT_CLOSED: &str = "unexpected `=` in array";

/// Whether this is about a key that is there already.
fn is_duplicate(message: &str) -> bool {
    message.starts_with("duplicate key")
}

/// The word at the start of a text: up to white space or what separates values.
fn word(text: &str) -> &str {
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}' | '#' | '='))
        .next()
        .unwrap_or_default()
}

/// One error in our words.
fn finding(span: &std::ops::Range<usize>, message: &str, locator: &Locator) -> Finding {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let rest = locator.rest_of_line(span.start);
    let error = |text: String| Finding::error(text, &locator.origin(span));
    match what {
        "string values must be quoted" | "invalid boolean" | "invalid float" => {
            unquoted(&locator.around(span), locator)
        }
        "unexpected leading zero" => {
            let number = word(rest);
            Finding::error(
                format!("`{number}` starts with a zero, which no number may"),
                &locator.origin(&(span.start..span.start + number.len())),
            )
            .hint(format!(
                "as a number write `{}`; a mode is written in quotes: `\"{number}\"`",
                match number.trim_start_matches('0') {
                    "" => "0",
                    rest => rest,
                }
            ))
        }
        "invalid unquoted key" | "key with no value" if rest.trim_start().starts_with(':') => {
            error("a key is followed by `=`, not by `:`".into()).hint("write `key = value`")
        }
        "key with no value" => {
            error("a key without `=` and a value".into()).hint("write `key = value`, or `#` before a comment")
        }
        "invalid unquoted key" => error(format!("`{}` cannot stand in a key", locator.text(span.clone())))
            .hint("a key is made of letters, digits, `-` and `_`; put any other in quotes"),
        "invalid key-value pair" if rest.starts_with('{') => {
            error("a manifest is TOML, this looks like JSON".into())
                .hint("write `key = value` lines and `[table]` headers")
        }
        "unquoted keys cannot be empty" => error("the key is missing".into()).hint("write `key = value`"),
        "missing value" | "missing value for key" => error("the value is missing after `=`".into()),
        "duplicate key" => {
            let name = locator.text(span.clone());
            error(format!("`{name}` is already there")).hint(match locator.is_header(span.start) {
                true if name == "mounts" => "write `[[mounts]]`, one for each mount".to_owned(),
                true => format!("put what stands here below the first `[{name}]`"),
                false => "take one of the two out".to_owned(),
            })
        }
        "unexpected `=` in array" => {
            error("the list above is not closed".into()).hint("write `]` after its last entry")
        }
        "unclosed array" => error("the list is not closed".into()).hint("write `]` after its last entry"),
        "missing comma between array elements" => {
            error("two entries of a list without `,` between them".into())
                .hint("separate the entries with `,`")
        }
        "missing comma between key-value pairs" | "extra assignment between key-value pairs" => {
            error("two keys of a table without `,` between them".into())
                .hint("separate them with `,`: `{ path = \"/srv\", mode = \"0750\" }`")
        }
        "unclosed inline table" => {
            error("the table is not closed".into()).hint("write `}` after its last value")
        }
        "unclosed table" => error("the table's name is not closed".into()).hint("write `]` after it"),
        "unclosed array table" => error("the table's name is not closed".into()).hint("write `]]` after it"),
        "invalid basic string" | "invalid literal string" if rest.trim().is_empty() => {
            error("the text is not closed".into()).hint(format!("write {expected} after its last character"))
        }
        "invalid multi-line basic string" | "invalid multi-line literal string" if rest.trim().is_empty() => {
            error("the text is not closed".into()).hint("write three quotes after its last line")
        }
        "missing escaped value" | "too few unicode value digits" => {
            error("`\\` starts an escape that does not exist".into())
                .hint("write `\\\\` for a backslash, or put the text in single quotes: `'…'`")
        }
        "unexpected key or value" => {
            error("something follows the value".into()).hint("one `key = value` a line")
        }
        "cannot recurse further; max recursion depth met" => error("this is nested too deep".into()),
        _ if expected.is_empty() || expected == "nothing" => error(format!("not TOML: {what}")),
        _ => error(format!("not TOML: {what}")).why(format!("expected {expected}")),
    }
}

/// A word where a value should be: text without quotes, a size without quotes, `True`, `yes`, or nothing at all.
fn unquoted(span: &std::ops::Range<usize>, locator: &Locator) -> Finding {
    let written = locator.text(span.clone());
    let error = |text: String| Finding::error(text, &locator.origin(span));
    match written.to_ascii_lowercase().as_str() {
        "" => error("the value is missing".into()).hint("write it after `=`; text in quotes"),
        flag @ ("true" | "false") => {
            error(format!("`{written}` is not a value")).hint(format!("write `{flag}`"))
        }
        "yes" | "on" => error(format!("`{written}` is not a value")).hint("write `true`"),
        "no" | "off" => error(format!("`{written}` is not a value")).hint("write `false`"),
        "null" | "nil" | "none" | "~" => {
            error(format!("`{written}` is not a value")).hint("leave the key out, or write text in quotes")
        }
        _ if written.bytes().all(|b| b.is_ascii_digit() || b == b' ') && written.contains(' ') => {
            error("two entries of a list without `,` between them".into())
                .hint("separate the entries with `,`")
        }
        _ => error(format!("`{written}` is not a value"))
            .hint(format!("text is written in quotes: `\"{written}\"`")),
    }
}
