//! Lines for a manifest, each with its reason, and how they come into a text: what `learn`, `diagnose` and `import` have to say is said in
//! the words of a manifest, and whoever wrote that keeps their order, spelling and comments.
//!
//! What is there is never taken away: an entry joins its list, a value takes the place of the one under its key, a table comes last.

mod line;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use line::{Line, Place, quoted};

use super::keys;
use line::{entry, list, remark, tables, value};

/// The tables of a manifest in the order in which they are written.
const SECTIONS: [&str; 8] = ["", "program", "tree", "mounts", "root", "namespaces", "limits", "privileges"];

/// Why a line has no place in a text: the key that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPlace {
    /// The line.
    pub line: Line,
    /// What is there instead.
    pub because: String,
}

/// A text with these lines. Those that cannot be placed are returned.
pub fn add(text: &str, lines: &[Line]) -> (String, Vec<NoPlace>) {
    let mut text = text.to_owned();
    let mut left = Vec::new();
    for group in groups(lines) {
        match placed(&text, &group).and_then(parsed) {
            Ok(new) => text = new,
            Err(because) => left.extend(
                group.into_iter().map(|line| NoPlace { line: line.clone(), because: because.clone() }),
            ),
        }
    }
    (text, left)
}

/// A text that is TOML still: tables can be written in many ways, and not all of them take a further line.
fn parsed(text: String) -> Result<String, String> {
    match DeTable::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("what is there is written in another way: {}", error.message())),
    }
}

/// The lines that a text does not say already: an entry that is in its list, a value under whose key there is one, a mount where there is
/// one.
pub fn unsaid(text: &str, lines: &[Line]) -> Vec<Line> {
    let Ok(parsed) = DeTable::parse(text) else { return lines.to_vec() };
    let top = Level { table: parsed.get_ref(), text };
    lines.iter().filter(|line| !top.says(line)).cloned().collect()
}

/// Lines of which each is said once, and of each place that is mounted only the mount that allows most.
pub fn merged(lines: Vec<Line>) -> Vec<Line> {
    let mut kept: Vec<Line> = Vec::new();
    for line in lines {
        let is_mount = matches!(line.place, Place::Table(_));
        let says = |known: &mut Line| {
            known.place == line.place
                && if is_mount {
                    target_of(&known.value) == target_of(&line.value)
                } else {
                    known.value == line.value
                }
        };
        match kept.iter_mut().position(says) {
            Some(at) if is_mount && line.value.len() > kept[at].value.len() => kept[at] = line,
            Some(_) => {}
            None => kept.push(line),
        }
    }
    kept
}

/// The target in the lines of a mount.
fn target_of(lines: &str) -> Option<String> {
    let table = DeTable::parse(lines).ok()?;
    target(table.get_ref())
}

/// The target of a mount.
fn target(table: &DeTable<'_>) -> Option<String> {
    let found = table.iter().find(|(key, _)| key.get_ref() == "target");
    found.and_then(|(_, node)| node.get_ref().as_str().map(str::to_owned))
}

/// A text without the remarks that said these tables could be taken in, now that they are.
pub fn taken_in(text: &str, lines: &[Line]) -> String {
    let mut text = text.to_owned();
    for line in lines {
        let Place::Table(list) = line.place else { continue };
        let value = format!("[[{list}]]\n{}", line.value);
        let body = line::comment(&value);
        let Some(at) = text.find(&body) else { continue };
        // With the reason, which is the line before.
        let before = text[..at].trim_end_matches('\n');
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let mut end = at + body.len();
        if text[..start].ends_with("\n\n") && text[end..].starts_with('\n') {
            end += 1;
        }
        text.replace_range(start..end, "");
    }
    text
}

/// The lines that are written together, in the order of a manifest.
fn groups(lines: &[Line]) -> Vec<Vec<&Line>> {
    let mut sorted: Vec<&Line> = lines.iter().collect();
    sorted.sort_by_key(|line| rank(line.place));
    let mut groups: Vec<Vec<&Line>> = Vec::new();
    for line in sorted {
        match groups.last_mut() {
            // Each is about a table of its own.
            Some(last) if last[0].place == line.place && !matches!(line.place, Place::Within(_)) => {
                last.push(line);
            }
            _ => groups.push(vec![line]),
        }
    }
    groups
}

/// Where a place comes among all.
fn rank(place: Place) -> (usize, usize) {
    let (table, key) = match place {
        Place::Value(table, key) | Place::Entry(table, key) => (table, key),
        Place::Table(list) | Place::Within(list) => (list, ""),
        Place::Remark(table) => (table, ""),
    };
    let top = table.split('.').next().unwrap_or_default();
    let section = SECTIONS.iter().position(|section| *section == top).unwrap_or(SECTIONS.len());
    let last = keys::KEYS.len();
    let at = match place {
        Place::Remark(_) => last + 1,
        // `[[tree.text]]` stands behind the keys of `[tree]`.
        Place::Table(_) => last,
        Place::Within(_) => last + 2,
        _ => keys::of(table).position(|known| known.name == key).unwrap_or(last),
    };
    (section, at)
}

/// The text with the lines of one place.
fn placed(text: &str, lines: &[&Line]) -> Result<String, String> {
    let parsed = DeTable::parse(text).map_err(|_| "the manifest is not right as it is".to_owned())?;
    let top = Level { table: parsed.get_ref(), text };
    match lines[0].place {
        Place::Table(list) => Ok(appended(text, &tables(list, lines))),
        Place::Within(list) => top.set_within(list, lines[0]),
        Place::Remark(section) => {
            let remarks: String = lines.iter().map(|line| remark(line)).collect();
            match top.end(section) {
                Ok(Some(at)) => Ok(inserted(text, at, &remarks)),
                // Of a list of tables there is no one place.
                Ok(None) | Err(_) => Ok(appended(text, &remarks)),
            }
        }
        Place::Value(section, key) => {
            let Some(line) = lines.last() else { return Ok(text.to_owned()) };
            match top.find(section, key)? {
                Some(node) => Ok(replaced(text, node.span(), &line.value)),
                None => top.insert(section, &value(key, line)),
            }
        }
        Place::Entry(section, key) => match top.find(section, key)? {
            Some(node) => joined(text, node, lines),
            None => top.insert(section, &list(key, lines)),
        },
    }
}

/// A text as TOML sees it.
struct Level<'a> {
    table: &'a DeTable<'a>,
    text: &'a str,
}

impl<'a> Level<'a> {
    /// The table of a section; none if it is not there.
    fn section(&self, section: &str) -> Result<Option<&'a DeTable<'a>>, String> {
        if section.is_empty() {
            return Ok(Some(self.table));
        }
        let Some((key, node)) = self.table.iter().find(|(key, _)| key.get_ref().as_ref() == section) else {
            return Ok(None);
        };
        match node.get_ref() {
            DeValue::Table(table) if self.header(section).is_some() => Ok(Some(table)),
            // Only tables below it are there, as `[[tree.text]]`, and it may come after them.
            DeValue::Table(_) if is_header(self.text, key.span().start) => Ok(None),
            _ => Err(format!("`{section}` is not written as `[{section}]`")),
        }
    }

    /// Where the line `[section]` ends.
    fn header(&self, section: &str) -> Option<usize> {
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let name = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
            if name.is_some_and(|(name, _)| name.trim() == section) && !is_in_table(self.table, start) {
                return Some(at);
            }
        }
        None
    }

    /// What stands under a key.
    fn find(&self, section: &str, key: &str) -> Result<Option<&'a Spanned<DeValue<'a>>>, String> {
        let table = self.section(section)?;
        let found = table.and_then(|table| table.iter().find(|(known, _)| known.get_ref().as_ref() == key));
        Ok(found.map(|(_, node)| node))
    }

    /// Whether a line, or what makes it needless, is there.
    fn says(&self, line: &Line) -> bool {
        match line.place {
            Place::Value(section, key) => self.find(section, key).is_ok_and(|found| found.is_some()),
            Place::Entry(section, key) => {
                let Ok(Some(node)) = self.find(section, key) else { return false };
                let DeValue::Array(entries) = node.get_ref() else { return false };
                let Ok(wanted) = DeValue::parse(&line.value) else { return false };
                entries.iter().any(|entry| is_same(entry.get_ref(), wanted.get_ref()))
            }
            Place::Table(list) => self.with_target(list, &line.value).is_some(),
            Place::Within(list) => {
                let Some(table) = self.with_target(list, &line.value) else { return false };
                let Ok(wanted) = DeTable::parse(&line.value) else { return false };
                wanted.get_ref().iter().all(|(key, wanted)| {
                    let found = table.iter().find(|(known, _)| known.get_ref() == key.get_ref());
                    found.is_some_and(|(_, found)| self.text[found.span()] == line.value[wanted.span()])
                })
            }
            Place::Remark(_) => self.text.contains(&remark(line)),
        }
    }

    /// The table of a list that has the target of these lines.
    fn with_target(&self, list: &str, lines: &str) -> Option<&'a DeTable<'a>> {
        let wanted = target_of(lines)?;
        let tables = self.find("", list).ok()??.get_ref().as_array()?;
        let mut tables = tables.iter().filter_map(|table| table.get_ref().as_table());
        tables.find(|table| target(table).as_ref() == Some(&wanted))
    }

    /// The text with the key of a line in the table that has its target.
    fn set_within(&self, list: &str, line: &Line) -> Result<String, String> {
        let absent = || format!("there is no `[[{list}]]` with that target");
        let table = self.with_target(list, &line.value).ok_or_else(absent)?;
        let node = self.find("", list)?.ok_or_else(absent)?;
        if !is_header(self.text, node.span().start + 1) {
            return Err(format!("`{list}` is not written as `[[{list}]]`"));
        }
        let (_, new) = line.value.split_once('\n').ok_or_else(absent)?;
        let (key, value) = new.split_once(" = ").ok_or_else(absent)?;
        if let Some((_, node)) = table.iter().find(|(known, _)| known.get_ref() == key) {
            return Ok(replaced(self.text, node.span(), value));
        }
        let end = table.iter().map(|(_, node)| node.span().end).max().unwrap_or(0);
        let next = self.text[end..].find('\n').map_or(self.text.len(), |at| end + at + 1);
        Ok(inserted(self.text, next, &format!("# {}\n{new}\n", line.reason)))
    }

    /// Where a section's own lines end; none if it is not there.
    fn end(&self, section: &str) -> Result<Option<usize>, String> {
        let Some(table) = self.section(section)? else { return Ok(None) };
        let own = table.iter().filter(|(key, _)| !is_header(self.text, key.span().start));
        let last = own.map(|(_, node)| node.span().end).max();
        let Some(end) = last else { return Ok(Some(self.header(section).unwrap_or(0))) };
        Ok(Some(self.text[end..].find('\n').map_or(self.text.len(), |line| end + line + 1)))
    }

    /// The text with new lines at the end of a section.
    fn insert(&self, section: &str, lines: &str) -> Result<String, String> {
        match self.end(section)? {
            // The top has no header, and comes first of all unless it has lines.
            Some(at) => Ok(inserted(self.text, at, lines)),
            None => Ok(appended(self.text, &format!("[{section}]\n{lines}"))),
        }
    }
}

/// Whether two entries of a list mean the same: text, or tables about the same path.
fn is_same(one: &DeValue<'_>, other: &DeValue<'_>) -> bool {
    let path = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Table(table) => {
            let path = table.iter().find(|(key, _)| key.get_ref() == "path")?;
            path.1.get_ref().as_str().map(str::to_owned)
        }
        _ => None,
    };
    path(one).is_some_and(|one| Some(one) == path(other))
}

/// Whether this byte stands in a `[header]`.
fn is_header(text: &str, at: usize) -> bool {
    let before = text[..at].rsplit('\n').next().unwrap_or_default().trim_start();
    before.starts_with('[') && !before.contains('=')
}

/// Whether this byte is within some text or list of a table, as a line of a text of several lines is.
fn is_in_table(table: &DeTable<'_>, at: usize) -> bool {
    table.iter().any(|(_, node)| is_in(node, at))
}

fn is_in(node: &Spanned<DeValue<'_>>, at: usize) -> bool {
    match node.get_ref() {
        DeValue::Table(table) => is_in_table(table, at),
        // All `[[name]]` are one list, which spans whatever stands between them.
        DeValue::Array(nodes) => nodes.iter().any(|node| is_in(node, at)),
        _ => node.span().contains(&at),
    }
}

/// A list with further entries. One that was on one line has a line for each entry then.
fn joined(text: &str, node: &Spanned<DeValue<'_>>, lines: &[&Line]) -> Result<String, String> {
    let DeValue::Array(entries) = node.get_ref() else {
        return Err(format!("there is `{}`, which is no list", &text[node.span()]));
    };
    let span = node.span();
    if is_header(text, span.start + 1) {
        return Err(format!("the list is written as tables, `{}`", &text[span]));
    }
    let inside = span.start + 1..span.end - 1;
    let new: String = lines.iter().map(|line| entry(line)).collect();
    let last = entries.iter().map(|entry| entry.span().end).max();
    if !text[inside.clone()].contains('\n') {
        let mut all = String::from("\n");
        for old in entries {
            _ = writeln!(all, "    {},", &text[old.span()]);
        }
        return Ok(replaced(text, inside, &(all + &new)));
    }
    let mut text = text.to_owned();
    let mut end = inside.end;
    if let Some(last) = last.filter(|last| !has_comma(&text[*last..inside.end])) {
        text.insert(last, ',');
        end += 1;
    }
    // Before the line of the bracket, or before the bracket where something stands on that line.
    let line = text[..end].rfind('\n').map_or(end, |at| at + 1);
    if text[line..end].trim().is_empty() {
        return Ok(inserted(&text, line, &new));
    }
    Ok(inserted(&text, end, &format!("\n{new}")))
}

/// Whether a comma follows, outside comments.
fn has_comma(rest: &str) -> bool {
    rest.lines().any(|line| line.split('#').next().unwrap_or_default().contains(','))
}

fn replaced(text: &str, span: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..span.start], &text[span.end..])
}

fn inserted(text: &str, at: usize, new: &str) -> String {
    let line = if at == 0 || text[..at].ends_with('\n') || new.starts_with('\n') { "" } else { "\n" };
    format!("{}{line}{new}{}", &text[..at], &text[at..])
}

fn appended(text: &str, new: &str) -> String {
    let text = text.trim_end();
    if text.is_empty() { new.to_owned() } else { format!("{text}\n\n{new}") }
}
