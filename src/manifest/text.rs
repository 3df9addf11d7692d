//! Text → tree: TOML is parsed by the `toml` crate, every value gets its line and column.

use std::rc::Rc;

use toml::de::{DeTable, DeValue};
use toml_parser::lexer::TokenKind;

use super::finding::Finding;
use super::node::{Entry, Node, Table, Value};
use super::syntax;
use crate::plan::{Origin, Place, Source};

/// How many levels a manifest's values may be nested; what it can say has four.
const DEEPEST: usize = 32;
/// How many parts a dotted key may have.
const LONGEST_KEY: usize = 16;
/// Below so many dots in the whole text no key is long enough to matter.
const HARMLESS: usize = 1000;
/// How often the number of characters before a byte is remembered.
const STRIDE: usize = 256;

/// From byte offsets to lines and columns, in constant time: a manifest has many values, and one line may hold them all.
pub(super) struct Locator {
    source: Rc<Source>,
    /// The offset at which each line starts.
    lines: Vec<usize>,
    /// Whether every character is one byte, as in most manifests: then there is nothing to count.
    is_ascii: bool,
    /// How many characters start before each multiple of [`STRIDE`]; empty if each is one byte.
    characters: Vec<usize>,
}

impl Locator {
    /// Reads the text once.
    pub(super) fn new(source: &Rc<Source>) -> Self {
        let bytes = source.text.as_bytes();
        let lines = std::iter::once(0)
            .chain(bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1))
            .collect();
        let is_ascii = bytes.is_ascii();
        let mut characters = Vec::new();
        if !is_ascii {
            let mut before = 0;
            characters.push(before);
            characters.extend(bytes.chunks(STRIDE).map(|chunk| {
                before += count(chunk);
                before
            }));
        }
        Self { source: Rc::clone(source), lines, is_ascii, characters }
    }

    /// The text between two byte offsets.
    pub(super) fn text(&self, span: std::ops::Range<usize>) -> &str {
        self.source.text.get(span).unwrap_or_default()
    }

    /// The text from a byte offset to the end of its line.
    pub(super) fn rest_of_line(&self, from: usize) -> &str {
        self.text(from..self.source.text.len()).lines().next().unwrap_or_default()
    }

    /// Whether this byte stands in a `[header]`, after brackets only.
    pub(super) fn is_header(&self, at: usize) -> bool {
        let before = self.text(0..at);
        let before = before.rsplit('\n').next().unwrap_or_default().trim();
        !before.is_empty() && before.bytes().all(|b| b == b'[')
    }

    /// The span widened to the whole word it is a part of.
    pub(super) fn around(&self, span: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        let ends = |c: char| c.is_whitespace() || matches!(c, ',' | '=' | '[' | ']' | '{' | '}' | '#');
        let before = self.text(0..span.start).rsplit(ends).next().unwrap_or_default();
        let after = self.text(span.end..self.source.text.len()).split(ends).next().unwrap_or_default();
        span.start - before.len()..span.end + after.len()
    }

    /// How many characters start before this byte.
    fn characters_before(&self, at: usize) -> usize {
        if self.is_ascii {
            return at;
        }
        let block = at / STRIDE;
        self.characters[block] + count(&self.source.text.as_bytes()[block * STRIDE..at])
    }

    /// The place of a span; what reaches beyond its first line is cut there.
    pub(super) fn place(&self, span: &std::ops::Range<usize>) -> Place {
        let end_of_text = self.source.text.len();
        let start = span.start.min(end_of_text);
        let line = self.lines.partition_point(|first| *first <= start) - 1;
        let next = self.lines.get(line + 1).map_or(end_of_text, |next| next - 1);
        let end = span.end.clamp(start, next.max(start));
        let before = self.characters_before(start);
        Place {
            source: Rc::clone(&self.source),
            line: line as u32 + 1,
            column: (before - self.characters_before(self.lines[line])) as u32 + 1,
            length: (self.characters_before(end) - before).max(1) as u32,
        }
    }

    /// The same as an origin.
    pub(super) fn origin(&self, span: &std::ops::Range<usize>) -> Origin {
        Origin::Manifest(self.place(span))
    }
}

/// How many characters start in these bytes of UTF-8.
fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| **b & 0xc0 != 0x80).count()
}

/// Parses a whole manifest. All syntax errors are returned together.
pub(super) fn parse(source: &Rc<Source>) -> Result<Table, Vec<Finding>> {
    let locator = Locator::new(source);
    if let Some(span) = too_long_key(&source.text) {
        let finding = Finding::error("this key is nested too deep", &locator.origin(&span))
            .hint(format!("a key has at most {LONGEST_KEY} parts"));
        return Err(vec![finding]);
    }
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return Err(syntax::findings(&errors, &locator));
    }
    let mut findings = Vec::new();
    let table = convert_table(table.into_inner(), &|span| locator.origin(span), &mut findings, 0);
    if findings.is_empty() { Ok(table) } else { Err(findings) }
}

/// Reads one TOML value typed on the command line; what is no TOML is taken as the text it is.
pub(super) fn parse_typed(typed: &str, option: &Origin) -> Node {
    let text = || Node::new(Value::Text(typed.to_owned()), option.clone());
    if too_long_key(typed).is_some() {
        return text();
    }
    let Ok(value) = DeValue::parse(typed) else { return text() };
    let mut findings = Vec::new();
    let value = convert(value.into_inner(), &|_| option.clone(), &mut findings, 0);
    if findings.is_empty() {
        Node { value, origin: option.clone(), typed: Some(typed.to_owned()) }
    } else {
        text()
    }
}

/// A key of too many parts. toml frees a table by recursion, so `a.a.a.…` would overflow the stack before anything could
/// be reported; nested lists it limits itself.
fn too_long_key(text: &str) -> Option<std::ops::Range<usize>> {
    if text.bytes().filter(|b| *b == b'.').count() < HARMLESS {
        return None;
    }
    let (mut parts, mut start) = (0, 0);
    for token in toml_parser::Source::new(text).lex() {
        match token.kind() {
            TokenKind::Dot => parts += 1,
            TokenKind::Whitespace
            | TokenKind::Atom
            | TokenKind::BasicString
            | TokenKind::LiteralString
            | TokenKind::MlBasicString
            | TokenKind::MlLiteralString => {}
            _ => (parts, start) = (0, token.span().end()),
        }
        if parts >= LONGEST_KEY {
            return Some(start..token.span().end());
        }
    }
    None
}

/// One of toml's tables as ours.
fn convert_table(
    table: DeTable<'_>,
    origin: &dyn Fn(&std::ops::Range<usize>) -> Origin,
    findings: &mut Vec<Finding>,
    depth: usize,
) -> Table {
    table
        .into_iter()
        .map(|(key, node)| {
            let place = origin(&key.span());
            let at = origin(&node.span());
            if depth >= DEEPEST {
                findings.push(Finding::error("this is nested too deep", &place));
                return (String::new(), Entry { key: place, node: Node::new(Value::Float, at) });
            }
            let value = convert(node.into_inner(), origin, findings, depth + 1);
            (key.into_inner().into_owned(), Entry { key: place, node: Node::new(value, at) })
        })
        .collect()
}

/// One of toml's values as ours.
fn convert(
    value: DeValue<'_>,
    origin: &dyn Fn(&std::ops::Range<usize>) -> Origin,
    findings: &mut Vec<Finding>,
    depth: usize,
) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Float, |value| Value::Integer { value, octal: number.radix() == 8 }),
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(nodes) => {
            let mut list = Vec::with_capacity(nodes.len());
            for node in nodes {
                let at = origin(&node.span());
                if depth >= DEEPEST {
                    findings.push(Finding::error("this is nested too deep", &at));
                    break;
                }
                list.push(Node::new(convert(node.into_inner(), origin, findings, depth + 1), at));
            }
            Value::List(list)
        }
        DeValue::Table(table) => Value::Table(convert_table(table, origin, findings, depth)),
    }
}
