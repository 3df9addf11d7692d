//! Patterns a second time, as plainly as they can be told: braces are written out, then a pattern is tried piece by piece. Takes
//! long for what is long.

/// Alternatives written out at most; `None` is the answer to more.
const MOST: usize = 256;

/// Whether the whole text matches a pattern that [`Glob`](stockade::manifest::resolve::glob::Glob) has compiled.
pub(super) fn matches(pattern: &[u8], text: &[u8], hidden: bool) -> Option<bool> {
    // Where a brace stands beside a star, alternatives could make a `**` that nobody wrote, or whole in one of them and part of a
    // name in another; these are compiled as what is written.
    let has = |part: &[u8]| pattern.windows(part.len()).any(|window| window == part);
    if pattern.contains(&b'*') && [&b"}*"[..], b"*{", b"}{", b"\\/"].into_iter().any(has) {
        return None;
    }
    let alternatives = expand(pattern)?;
    Some(alternatives.iter().any(|pieces| {
        let mut known = vec![None; (pieces.len() + 1) * (text.len() + 1)];
        try_from(pieces, text, 0, 0, hidden, &mut known)
    }))
}

/// A piece of a pattern without braces.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Byte(u8),
    Any,
    Class(bool, Vec<(u8, u8)>),
    /// `*`
    Name,
    /// `**`: a whole component.
    Deep,
}

/// Each alternative of a pattern, in pieces.
fn expand(pattern: &[u8]) -> Option<Vec<Vec<Piece>>> {
    let (mut done, rest) = sequence(pattern, false)?;
    assert!(rest.is_empty());
    for pieces in &mut done {
        join_stars(pieces);
    }
    Some(done)
}

/// `**` between slashes or ends is one piece; any other run of stars is as good as one star.
fn join_stars(pieces: &mut Vec<Piece>) {
    let mut joined: Vec<Piece> = Vec::new();
    let mut rest = pieces.as_slice();
    while let Some(piece) = rest.first() {
        let stars = rest.iter().take_while(|piece| **piece == Piece::Name).count();
        let slash = |piece: Option<&Piece>| piece.is_none_or(|piece| *piece == Piece::Byte(b'/'));
        if stars == 2 && slash(joined.last()) && slash(rest.get(2)) {
            joined.push(Piece::Deep);
        } else {
            joined.push(piece.clone());
        }
        rest = &rest[stars.max(1)..];
    }
    *pieces = joined;
}

/// All alternatives up to the end, or to the `,` or `}` of the braces this is in.
fn sequence(mut rest: &[u8], inside: bool) -> Option<(Vec<Vec<Piece>>, &[u8])> {
    let mut done = vec![Vec::new()];
    while let Some(first) = rest.first() {
        let piece = match first {
            b',' | b'}' if inside => break,
            b'{' => {
                let mut all = Vec::new();
                while rest[0] != b'}' {
                    let (alternatives, after) = sequence(&rest[1..], true)?;
                    all.extend(alternatives);
                    rest = after;
                }
                rest = &rest[1..];
                done = done
                    .iter()
                    .flat_map(|head| all.iter().map(move |tail| [head.as_slice(), tail].concat()))
                    .collect();
                if done.len() > MOST {
                    return None;
                }
                continue;
            }
            b'*' => Piece::Name,
            b'?' => Piece::Any,
            b'[' => {
                let (piece, after) = class(&rest[1..]);
                rest = after;
                for pieces in &mut done {
                    pieces.push(piece.clone());
                }
                continue;
            }
            b'\\' if rest.len() > 1 => {
                rest = &rest[1..];
                Piece::Byte(rest[0])
            }
            byte => Piece::Byte(*byte),
        };
        rest = &rest[1..];
        for pieces in &mut done {
            pieces.push(piece.clone());
        }
    }
    Some((done, rest))
}

/// A class, and what follows its `]`.
fn class(mut rest: &[u8]) -> (Piece, &[u8]) {
    let negated = matches!(rest[0], b'!' | b'^');
    rest = &rest[usize::from(negated)..];
    let mut ranges = Vec::new();
    loop {
        match rest {
            [b']', after @ ..] if !ranges.is_empty() => return (Piece::Class(negated, ranges), after),
            [from, b'-', to, after @ ..] if *to != b']' => {
                ranges.push((*from, *to));
                rest = after;
            }
            [one, after @ ..] => {
                ranges.push((*one, *one));
                rest = after;
            }
            [] => unreachable!("it was compiled"),
        }
    }
}

/// Whether `text` from `t` on matches the pieces from `p` on.
fn try_from(
    pieces: &[Piece],
    text: &[u8],
    p: usize,
    t: usize,
    hidden: bool,
    known: &mut [Option<bool>],
) -> bool {
    let at = p * (text.len() + 1) + t;
    if let Some(known) = known[at] {
        return known;
    }
    let first = t == 0 || text[t - 1] == b'/';
    let byte = text.get(t).copied();
    // What stands for any byte: no slash, and no dot that hides a name.
    let any = byte.is_some_and(|byte| byte != b'/' && (hidden || byte != b'.' || !first));
    let within = |ranges: &[(u8, u8)]| {
        ranges.iter().any(|(from, to)| byte.is_some_and(|byte| (*from..=*to).contains(&byte)))
    };
    let mut go = |p, t| try_from(pieces, text, p, t, hidden, known);
    let found = match pieces.get(p) {
        None => byte.is_none(),
        Some(Piece::Byte(own)) => byte == Some(*own) && go(p + 1, t + 1),
        Some(Piece::Any) => any && go(p + 1, t + 1),
        Some(Piece::Class(negated, ranges)) => any && within(ranges) != *negated && go(p + 1, t + 1),
        Some(Piece::Name) => go(p + 1, t) || (any && go(p, t + 1)),
        Some(Piece::Deep) => deep(pieces, text, p, t, hidden, &mut go),
    };
    known[at] = Some(found);
    found
}

/// `**/` is any number of whole directories, `**` at the end one name or more below any number of them.
fn deep(
    pieces: &[Piece],
    text: &[u8],
    p: usize,
    t: usize,
    hidden: bool,
    go: &mut dyn FnMut(usize, usize) -> bool,
) -> bool {
    let mut starts = vec![t];
    starts.extend((t..text.len()).filter(|at| text[*at] == b'/').map(|at| at + 1));
    let whole = |name: &[u8]| !name.is_empty() && (hidden || name[0] != b'.');
    let mut from = t;
    for start in starts {
        // Every directory between must be one that a star could stand for.
        if start > t && !whole(&text[from..start - 1]) {
            return false;
        }
        from = start;
        if p + 1 == pieces.len() {
            let name = &text[start..];
            if !name.contains(&b'/') && whole(name) {
                return true;
            }
        } else if go(p + 2, start) {
            return true;
        }
    }
    false
}
