//! Lines of a given width, and the two styles of text: bold for names, dim for what can be passed over.

/// Whether styles are written at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) colour: bool,
}

impl Style {
    /// A name.
    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Something in the background.
    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// A text with an attribute of ECMA-48, see console_codes(4).
    fn with(self, attribute: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{attribute}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A text in lines of at most `width` characters, broken at blanks; a longer word keeps a line of its own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A line of a manifest in at most `width` characters, without its indentation and trailing comma, safe to print.
pub(super) fn shorten(line: &str, width: usize) -> String {
    let line = crate::plan::quote::Escaped(line.trim().trim_end_matches(',').as_bytes()).to_string();
    if line.chars().count() <= width {
        return line;
    }
    line.chars().take(width - 1).chain(['\u{2026}']).collect()
}

/// Rows of cells, each column as wide as its widest, two blanks between them and none at the end.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_at_blanks() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a pneumonoultramicroscopic word", 6), ["a", "pneumonoultramicroscopic", "word"]);
    }

    #[test]
    fn a_line_is_cut_to_its_width() {
        assert_eq!(shorten("  files = [\"/etc\"],", 40), "files = [\"/etc\"]");
        assert_eq!(shorten("abcdefgh", 5), "abcd\u{2026}");
        assert_eq!(shorten("a\u{1b}b", 40), "a\\u{1b}b");
    }
}
