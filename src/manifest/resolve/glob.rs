//! Patterns for paths: `*`, `?`, `[a-z]`, `{a,b}` as in glob(7), and `**` for any number of directories.
//!
//! A pattern is compiled to a small machine that is in several states at once, so that matching takes at most
//! (length of pattern) × (length of path) steps. A matcher that tries and goes back instead can be kept busy for years by
//! `{a,aa}{a,aa}{a,aa}…*b`. The same machine tells, with a directory's name read so far, whether anything below can match:
//! whoever walks the host with it reads only directories that matter.
//!
//! Bytes are compared, as the kernel does: `?` and a class stand for one byte, so write `*` for a letter outside ASCII.

#![forbid(unsafe_code)]

/// `PATH_MAX`: longer than every path it could match, braces aside.
const MOST_BYTES: usize = 4096;
/// Braces within braces within braces; nobody writes more, and compiling recurses this deep.
const MOST_NESTING: u32 = 16;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Glob {
    states: Vec<State>,
    /// Whether `*`, `?` and classes match a dot at the start of a name.
    hidden: bool,
}

/// One state; a state without a target of its own goes on to the next.
#[derive(Clone, Debug)]
enum State {
    /// Reads this byte.
    Byte(u8),
    /// Reads any byte but `/`.
    Any,
    /// Reads one of these ranges (or none of them), never `/`.
    Class { negated: bool, ranges: Vec<(u8, u8)> },
    /// Reads nothing, is in both.
    Both(usize, usize),
    /// As `Both`, at the head of a `**`.
    Deep(usize, usize),
    /// Reads nothing, is there.
    Jump(usize),
    /// The pattern has matched, if the text ends here.
    Accept,
}

/// How far a text has been read: the states, and whether the next byte is the first of a name.
#[derive(Clone, Debug)]
pub struct Position {
    states: Vec<usize>,
    first: bool,
}

/// Whether a path has anything in it that makes it a pattern.
pub fn is_pattern(path: &[u8]) -> bool {
    path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'{'))
}

impl Glob {
    /// A pattern for choosing files. As in a shell, a name that starts with a dot must be asked for with a dot.
    pub fn parse(pattern: &[u8]) -> Result<Self, String> {
        Self::compile(pattern, false)
    }

    /// A pattern for leaving files out: it matches hidden names as any others.
    pub fn parse_exclude(pattern: &[u8]) -> Result<Self, String> {
        Self::compile(pattern, true)
    }

    fn compile(pattern: &[u8], hidden: bool) -> Result<Self, String> {
        if pattern.len() > MOST_BYTES {
            return Err(format!("it is longer than {MOST_BYTES} bytes"));
        }
        let mut compiler = Compiler { pattern, at: 0, states: Vec::new(), begins: true, slashes: Vec::new() };
        compiler.sequence(0)?;
        compiler.states.push(State::Accept);
        Ok(Self { states: compiler.states, hidden })
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        let mut position = self.start();
        self.advance(&mut position, text);
        self.is_match(&position)
    }

    /// The position before the first byte.
    pub fn start(&self) -> Position {
        let mut position = Position { states: Vec::new(), first: true };
        self.enter(0, &mut vec![false; self.states.len()], &mut position.states);
        position
    }

    /// Reads on.
    pub fn advance(&self, position: &mut Position, text: &[u8]) {
        for byte in text {
            // A leading dot is for a dot in the pattern only, see glob(7), "Pathnames".
            let literal_only = *byte == b'.' && position.first && !self.hidden;
            let mut seen = vec![false; self.states.len()];
            let mut next = Vec::new();
            for state in &position.states {
                let reads = match &self.states[*state] {
                    State::Byte(own) => own == byte,
                    State::Any => *byte != b'/' && !literal_only,
                    State::Class { negated, ranges } => {
                        let within = ranges.iter().any(|(from, to)| (*from..=*to).contains(byte));
                        *byte != b'/' && !literal_only && within != *negated
                    }
                    _ => false,
                };
                if reads {
                    self.enter(state + 1, &mut seen, &mut next);
                }
            }
            position.states = next;
            position.first = *byte == b'/';
        }
    }

    /// Whether the text read so far matches.
    pub fn is_match(&self, position: &Position) -> bool {
        position.states.iter().any(|state| matches!(self.states[*state], State::Accept))
    }

    /// Whether anything that begins with the text read so far can match.
    pub fn is_alive(position: &Position) -> bool {
        !position.states.is_empty()
    }

    /// Whether a `**` is at work here: directories are then entered, links to directories are not.
    pub fn is_deep(&self, position: &Position) -> bool {
        position.states.iter().any(|state| matches!(self.states[*state], State::Deep(..)))
    }

    /// Adds a state and all that it leads to without reading.
    fn enter(&self, state: usize, seen: &mut [bool], into: &mut Vec<usize>) {
        let mut ahead = vec![state];
        while let Some(state) = ahead.pop() {
            if seen[state] {
                continue;
            }
            seen[state] = true;
            into.push(state);
            match self.states[state] {
                State::Both(one, other) | State::Deep(one, other) => ahead.extend([other, one]),
                State::Jump(to) => ahead.push(to),
                _ => {}
            }
        }
    }
}

struct Compiler<'a> {
    pattern: &'a [u8],
    at: usize,
    states: Vec<State>,
    /// Whether a component of the path begins here.
    begins: bool,
    /// The jumps of each `**` that ends an alternative of braces with a slash behind them: they lead past that slash.
    slashes: Vec<usize>,
}

impl Compiler<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.pattern.get(self.at + ahead).copied()
    }

    /// Compiles up to the end, or inside braces up to the `,` or `}` that ends this alternative.
    fn sequence(&mut self, nesting: u32) -> Result<(), String> {
        while let Some(byte) = self.peek(0) {
            match byte {
                b',' | b'}' if nesting > 0 => return Ok(()),
                b'*' => {
                    self.begins = self.star(nesting);
                    continue;
                }
                b'?' => {
                    self.at += 1;
                    self.states.push(State::Any);
                }
                b'[' => self.class()?,
                b'{' => {
                    self.braces(nesting)?;
                    continue;
                }
                _ => {
                    // A backslash takes the meaning from what follows; at the very end it is itself.
                    self.at += usize::from(byte == b'\\' && self.peek(1).is_some());
                    self.states.push(State::Byte(self.pattern[self.at]));
                    self.at += 1;
                }
            }
            self.begins = matches!(self.states.last(), Some(State::Byte(b'/')));
        }
        if nesting > 0 {
            Err("a `{` has no `}`; write `\\{` for the character itself".into())
        } else {
            Ok(())
        }
    }

    /// `*`; and `**` where it is a whole component: `**/` is any number of directories, at the end everything below. At the edge
    /// of braces what is beyond them counts: `{x,**}/y` is `x/y` or `**/y`. Whether a component begins behind it.
    fn star(&mut self, nesting: u32) -> bool {
        let mut stars = 0;
        while self.peek(0) == Some(b'*') {
            self.at += 1;
            stars += 1;
        }
        let beyond = self.beyond(nesting);
        if stars == 2 && self.begins && matches!(beyond, None | Some(b'/')) {
            let head = self.states.len();
            self.states.extend([State::Deep(0, 0), State::Any]);
            self.any_name();
            self.states.extend([State::Byte(b'/'), State::Jump(head)]);
            self.states[head] = State::Deep(head + 1, self.states.len());
            if self.peek(0) == Some(b'/') {
                self.at += 1;
                return true;
            }
            if beyond.is_some() {
                self.slashes.push(self.states.len());
                self.states.push(State::Jump(0));
                return false;
            }
            self.states.push(State::Any);
        }
        self.any_name();
        false
    }

    /// The byte that follows here, the braces this is in left behind.
    fn beyond(&self, mut nesting: u32) -> Option<u8> {
        let mut rest = self.pattern.get(self.at..).unwrap_or_default();
        while nesting > 0 && matches!(rest.first(), Some(b',' | b'}')) {
            rest = after_braces(rest);
            nesting -= 1;
        }
        rest.first().copied()
    }

    /// Any number of bytes of one name.
    fn any_name(&mut self) {
        let head = self.states.len();
        self.states.extend([State::Both(head + 1, head + 3), State::Any, State::Jump(head)]);
    }

    /// `[abc]`, `[a-z]`, `[!a]`; a `]` right after the opening is a member.
    fn class(&mut self) -> Result<(), String> {
        self.at += 1;
        let negated = matches!(self.peek(0), Some(b'!' | b'^'));
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        loop {
            let Some(from) = self.peek(0) else {
                return Err("a `[` has no `]`; write `\\[` for the character itself".into());
            };
            if from == b']' && !ranges.is_empty() {
                self.at += 1;
                self.states.push(State::Class { negated, ranges });
                return Ok(());
            }
            match (self.peek(1), self.peek(2)) {
                (Some(b'-'), Some(to)) if to != b']' => {
                    if to < from {
                        return Err(format!(
                            "the range `{}-{}` is backwards",
                            char::from(from),
                            char::from(to)
                        ));
                    }
                    ranges.push((from, to));
                    self.at += 3;
                }
                _ => {
                    ranges.push((from, from));
                    self.at += 1;
                }
            }
        }
    }

    /// `{a,b}`: each alternative, then all go on behind the `}`.
    fn braces(&mut self, nesting: u32) -> Result<(), String> {
        if nesting == MOST_NESTING {
            return Err(format!("braces are nested more than {MOST_NESTING} deep"));
        }
        let begins = self.begins;
        let outside = self.slashes.len();
        let mut exits = Vec::new();
        let mut all_begin = true;
        loop {
            self.at += 1; // `{` or `,`
            self.begins = begins;
            let fork = self.states.len();
            self.states.push(State::Jump(fork + 1));
            self.sequence(nesting + 1)?;
            all_begin &= self.begins;
            exits.push(self.states.len());
            self.states.push(State::Jump(0));
            if self.peek(0) != Some(b',') {
                break;
            }
            self.states[fork] = State::Both(fork + 1, self.states.len());
        }
        self.at += 1;
        let end = self.states.len();
        for exit in exits {
            self.states[exit] = State::Jump(end);
        }
        self.begins = all_begin;
        if self.peek(0) == Some(b'/') {
            for slash in self.slashes.drain(outside..) {
                self.states[slash] = State::Jump(end + 1);
            }
        }
        Ok(())
    }
}

/// What follows the `}` that ends the braces a text begins in.
fn after_braces(text: &[u8]) -> &[u8] {
    let (mut at, mut depth) = (0, 0_u32);
    while let Some(byte) = text.get(at) {
        at += match byte {
            b'\\' => 2,
            b'[' => class_length(&text[at..]),
            _ => 1,
        };
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    text.get(at..).unwrap_or_default()
}

/// How long the class is that a text begins with, brackets included.
fn class_length(text: &[u8]) -> usize {
    // A `]` right after the opening is a member.
    let first = 1 + usize::from(matches!(text.get(1), Some(b'!' | b'^')));
    let ends = |byte: &u8| *byte == b']';
    text.iter().skip(first + 1).position(ends).map_or(text.len(), |at| first + at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::parse(pattern.as_bytes()).unwrap().matches(text.as_bytes())
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, yes, no) in [
            ("a.conf", "a.conf", "axconf"),
            ("*.conf", "nginx.conf", "nginx.conf.bak"),
            ("?", "a", "/"),
            ("[!a-c]x", "dx", "bx"),
            ("[]x]", "]", "y"),
            ("{a,b{c,d},}e", "bde", "be"),
            ("lib{c,z}.so.*", "libz.so.1", "libm.so.6"),
            ("\\*", "*", "a"),
            ("[^/]", "a", "/"),
        ] {
            assert!(matches(pattern, yes), "{pattern} should match {yes}");
            assert!(!matches(pattern, no), "{pattern} should not match {no}");
        }
    }

    #[test]
    fn two_stars_cross_directories() {
        for (pattern, text, expected) in [
            ("**/UTC", "UTC", true),
            ("**/UTC", "right/Etc/UTC", true),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**/b", "a/b", true),
            ("a**b", "a/b", false),
            ("{x,**}/b", "c/d/b", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn two_stars_at_the_edge_of_braces_see_what_is_beyond() {
        for (pattern, text, expected) in [
            ("{x,**}/b", "b", true),
            ("{x,{y,**}}/b", "c/d/b", true),
            // The slash behind inner braces is theirs alone.
            ("{**,{x,**}/y}/b", "c/d/b", true),
            ("{**,{x,**}/y}/b", "b", true),
            ("{x,**}/", "", true),
            ("a/{**,x}", "a/b/c", true),
            ("a{**,x}", "ab/c", false),
            ("{**}b", "a/b", false),
            ("{a[}]**,b}/c", "a}x/y/c", false),
            ("x,**", "x,a/b", false),
            ("**,x", "a/b,x", false),
            ("\\{**", "{a/b", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn hidden_names_are_asked_for() {
        assert!(!matches("*", ".env") && !matches("?env", ".env") && !matches("**/x", ".git/x"));
        assert!(matches(".*", ".env") && matches("a*", "a.env"));
        assert!(Glob::parse_exclude(b"*.swp").unwrap().matches(b".a.swp"));
    }

    #[test]
    fn a_position_knows_what_can_still_match() {
        let glob = Glob::parse(b"conf.d/*.conf").unwrap();
        let mut position = glob.start();
        glob.advance(&mut position, b"conf.d/");
        assert!(Glob::is_alive(&position) && !glob.is_match(&position) && !glob.is_deep(&position));
        glob.advance(&mut position, b"sub/");
        assert!(!Glob::is_alive(&position));
        let glob = Glob::parse(b"**/x").unwrap();
        assert!(glob.is_deep(&glob.start()));
    }

    #[test]
    fn what_is_not_a_pattern_is_said() {
        for (pattern, part) in [("a[b", "`[` has no `]`"), ("{a,b", "`{` has no `}`"), ("[z-a]", "backwards")]
        {
            assert!(Glob::parse(pattern.as_bytes()).unwrap_err().contains(part), "{pattern}");
        }
        assert!(Glob::parse(&[b'a'; 4097]).unwrap_err().contains("longer"));
        assert!(Glob::parse("{".repeat(4000).as_bytes()).unwrap_err().contains("nested"));
    }

    #[test]
    fn no_pattern_takes_long() {
        let text = "a".repeat(2000);
        for pattern in ["*a".repeat(30) + "b", "{a,aa}".repeat(60) + "b", "**/".repeat(30) + "b"] {
            assert!(!matches(&pattern, &text));
        }
    }
}
