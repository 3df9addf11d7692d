//! One input, several texts: a manifest with what it includes, a program with its libraries. A line that begins with `%%` starts
//! another, and says what it is.

/// Begins a part, at the start of a line.
pub(super) const MARK: &[u8] = b"\n%% ";

/// The first part, and each further one with the line that tells what it is.
pub(super) fn split(data: &[u8]) -> (&[u8], Vec<(&str, &[u8])>) {
    let mut texts = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        texts.push(&rest[..at]);
        rest = &rest[at + MARK.len()..];
    }
    texts.push(rest);
    let first = texts.remove(0);
    let part = |text: &'_ [u8]| {
        let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
        (end, text.len())
    };
    let parts = texts.into_iter().filter_map(|text| {
        let (end, length) = part(text);
        Some((str::from_utf8(&text[..end]).ok()?, &text[(end + 1).min(length)..]))
    });
    (first, parts.collect())
}

/// An input made of such parts.
pub(super) fn join(first: &[u8], parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut data = first.to_vec();
    for (what, text) in parts {
        data.extend([MARK, what.as_bytes(), b"\n", text].concat());
    }
    data
}
