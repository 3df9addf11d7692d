//! Shared by the unit tests of this directory: damage to bytes, and ELF files written by hand.

/// Marsaglia's xorshift: the same damage on every run, without a dependency.
pub(super) struct XorShift(u64);

impl XorShift {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A copy with one to eight bytes changed: at random, or to values at the edges.
    pub(super) fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.next() % 8 {
            let at = self.next() as usize % bytes.len();
            bytes[at] = match self.next() % 4 {
                0 => 0xff,
                1 => 0,
                2 => bytes[at].wrapping_add(1),
                _ => self.next() as u8,
            };
        }
        bytes
    }
}

/// Builds small ELF files: one `PT_LOAD` over everything, so that addresses are file offsets.
#[derive(Clone)]
pub(super) struct Builder {
    pub wide: bool,
    pub little: bool,
    pub machine: u16,
    pub interpreter: Option<&'static str>,
    /// (tag, string) entries.
    pub names: Vec<(u64, String)>,
    /// `DT_FLAGS_1`.
    pub flags_1: u64,
    /// Texts of `.note.dlopen`.
    pub notes: Vec<String>,
    /// Dynamic symbols: (name, bound and type, section; 0 is undefined).
    pub symbols: Vec<(&'static str, u8, u16)>,
}

pub(super) const NEEDED: u64 = 1;
pub(super) const SONAME: u64 = 14;
pub(super) const RPATH: u64 = 15;
pub(super) const RUNPATH: u64 = 29;
pub(super) const AUXILIARY: u64 = 0x7fff_fffd;

impl Default for Builder {
    fn default() -> Self {
        let (interpreter, names, notes, symbols) = (None, Vec::new(), Vec::new(), Vec::new());
        Self { wide: true, little: true, machine: 62, interpreter, names, flags_1: 0, notes, symbols }
    }
}

impl Builder {
    pub(super) fn name(mut self, tag: u64, text: &str) -> Self {
        self.names.push((tag, text.to_owned()));
        self
    }

    pub(super) fn interpreter(mut self, path: &'static str) -> Self {
        self.interpreter = Some(path);
        self
    }

    pub(super) fn symbol(mut self, name: &'static str, info: u8, section: u16) -> Self {
        self.symbols.push((name, info, section));
        self
    }

    pub(super) fn note(mut self, text: &str) -> Self {
        self.notes.push(text.to_owned());
        self
    }

    fn number(&self, into: &mut Vec<u8>, value: u64, size: usize) {
        let mut bytes = value.to_le_bytes()[..size].to_vec();
        if !self.little {
            bytes.reverse();
        }
        into.extend(bytes);
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let word = if self.wide { 8 } else { 4 };
        let (header, entry) = if self.wide { (64, 56) } else { (52, 32) };
        let segments = 2 + u64::from(self.interpreter.is_some()) + u64::from(!self.notes.is_empty());
        let mut at = header + segments * entry;
        let mut body = Vec::new();
        let mut place = |bytes: Vec<u8>| {
            let start = at;
            at += bytes.len().next_multiple_of(8) as u64;
            body.extend(&bytes);
            body.resize(body.len().next_multiple_of(8), 0);
            (start, bytes.len() as u64)
        };

        let interpreter = self.interpreter.map(|path| place([path.as_bytes(), b"\0"].concat()));
        let mut notes = Vec::new();
        for text in &self.notes {
            for value in [4, text.len() as u64 + 1, 0x407c_0c0a] {
                self.number(&mut notes, value, 4);
            }
            notes.extend(b"FDO\0");
            notes.extend(text.as_bytes());
            notes.push(0);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        let notes = place(notes);

        let mut strings = vec![0];
        let mut string = |text: &str| {
            let start = strings.len() as u64;
            strings.extend(text.as_bytes());
            strings.push(0);
            start
        };
        let mut symbols = vec![0; if self.wide { 24 } else { 16 }];
        for (name, info, section) in &self.symbols {
            self.number(&mut symbols, string(name), 4);
            let shape: &[(u64, usize)] = if self.wide {
                &[(u64::from(*info), 1), (0, 1), (u64::from(*section), 2), (0, 8), (0, 8)]
            } else {
                &[(0, 4), (0, 4), (u64::from(*info), 1), (0, 1), (u64::from(*section), 2)]
            };
            for (value, size) in shape {
                self.number(&mut symbols, *value, *size);
            }
        }
        let mut dynamic: Vec<(u64, u64)> =
            self.names.iter().map(|(tag, text)| (*tag, string(text))).collect();
        let symbols = place(symbols);
        let strings = place(strings);
        dynamic.extend([
            (5, strings.0),
            (10, strings.1),
            (6, symbols.0),
            (0x6fff_fffb, self.flags_1),
            (0, 0),
        ]);
        let mut table = Vec::new();
        for value in dynamic.iter().flat_map(|(tag, value)| [tag, value]) {
            self.number(&mut table, *value, word);
        }
        let dynamic = place(table);

        let mut file = b"\x7fELF".to_vec();
        file.extend([if self.wide { 2 } else { 1 }, if self.little { 1 } else { 2 }, 1]);
        file.resize(16, 0);
        let mut field = |value: u64, size: usize| self.number(&mut file, value, size);
        for (value, size) in
            [(3, 2), (u64::from(self.machine), 2), (1, 4), (0, word), (header, word), (0, word)]
        {
            field(value, size);
        }
        for (value, size) in [(0, 4), (header, 2), (entry, 2), (segments, 2), (0, 2), (0, 2), (0, 2)] {
            field(value, size);
        }
        let mut segment = |kind: u64, (offset, size): (u64, u64)| {
            let flags = |field: &mut dyn FnMut(u64, usize)| field(4, 4);
            field(kind, 4);
            if self.wide {
                flags(&mut field);
            }
            for value in [offset, offset, offset, size, size] {
                field(value, word);
            }
            if !self.wide {
                flags(&mut field);
            }
            field(4, word);
        };
        segment(1, (0, at));
        segment(2, dynamic);
        if let Some(interpreter) = interpreter {
            segment(3, interpreter);
        }
        if !self.notes.is_empty() {
            segment(4, notes);
        }
        file.extend(body);
        file
    }
}
