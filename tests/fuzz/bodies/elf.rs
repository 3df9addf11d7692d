//! `elf`: the headers, dynamic section, notes and symbols of a program. And ELF files to begin with.

use stockade::manifest::libs::hostile;

use super::seeds;

pub(super) fn read(data: &[u8]) {
    hostile::elf(data);
}

/// Small programs and libraries of this machine, and some of a kilobyte of our own, where every changed byte counts.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = seeds::files("/usr/bin", b"\x7fELF", 20_000, 8);
    for (wide, little) in [(true, true), (true, false), (false, true)] {
        let names = [(1, "libz.so.1"), (14, "me.so"), (29, "$ORIGIN/../lib"), (0x7fff_fffd, "aux.so")];
        seeds.push(made(
            wide,
            little,
            Some("/lib64/ld.so"),
            &names,
            "pthread_exit",
            r#"[{"soname":["libd.so"]}]"#,
        ));
    }
    assert!(seeds.iter().all(|seed| hostile::elf(seed)));
    seeds
}

/// The tags of the dynamic section that are read.
pub(super) fn words() -> Vec<Vec<u8>> {
    let tags = [1_u64, 4, 5, 6, 10, 14, 15, 29, 0x6fff_fffb, 0x7fff_fffd, 0x7fff_ffff, 0x6fff_fef5];
    let wide = tags.iter().map(|tag| tag.to_le_bytes().to_vec());
    let narrow = tags.iter().map(|tag| (*tag as u32).to_le_bytes().to_vec());
    let types = (1..=4_u32).map(|kind| kind.to_le_bytes().to_vec());
    wide.chain(narrow).chain(types).chain([b"FDO\0".to_vec(), b"pthread_exit\0".to_vec()]).collect()
}

/// An ELF file with one `PT_LOAD` over everything, so that addresses are offsets. `names` are entries of the dynamic section with
/// their texts.
pub(super) fn made(
    wide: bool,
    little: bool,
    interpreter: Option<&str>,
    names: &[(u64, &str)],
    symbol: &str,
    note: &str,
) -> Vec<u8> {
    let number = |value: u64, size: usize| {
        let mut bytes = value.to_le_bytes()[..size].to_vec();
        if !little {
            bytes.reverse();
        }
        bytes
    };
    let (word, header, entry) = if wide { (8, 64, 56) } else { (4, 52, 32) };
    let mut body = Vec::new();
    // Where a piece lies in the file, and its length.
    let mut place = |bytes: &[u8]| {
        let at = header + 4 * entry + body.len();
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(8), 0);
        (at as u64, bytes.len() as u64)
    };

    let interpreter = interpreter.map(|path| place(&[path.as_bytes(), b"\0"].concat()));
    let mut text: Vec<u8> =
        [4, note.len() as u64 + 1, 0x407c_0c0a].iter().flat_map(|n| number(*n, 4)).collect();
    text.extend([b"FDO\0", note.as_bytes(), b"\0"].concat());
    text.resize(text.len().next_multiple_of(4), 0);
    let note = place(&text);
    let mut strings = vec![0];
    let mut string = |text: &str| {
        let at = strings.len() as u64;
        strings.extend([text.as_bytes(), b"\0"].concat());
        at
    };
    let mut symbols = vec![0; if wide { 24 } else { 16 }];
    symbols.extend(number(string(symbol), 4));
    let mut rest = vec![0; if wide { 20 } else { 12 }];
    rest[if wide { 0 } else { 8 }] = 0x12; // a global function, undefined here
    symbols.extend(rest);
    let mut dynamic: Vec<(u64, u64)> = names.iter().map(|(tag, text)| (*tag, string(text))).collect();
    let symbols = place(&symbols);
    let strings = place(&strings);
    dynamic.extend([(5, strings.0), (10, strings.1), (6, symbols.0), (0x6fff_fffb, 0), (0, 0)]);
    let table: Vec<u8> =
        dynamic.iter().flat_map(|(tag, value)| [number(*tag, word), number(*value, word)].concat()).collect();
    let dynamic = place(&table);
    let size = (header + 4 * entry + body.len()) as u64;

    let mut file = b"\x7fELF".to_vec();
    file.extend([if wide { 2 } else { 1 }, if little { 1 } else { 2 }, 1]);
    file.resize(16, 0);
    let fields = [(3, 2), (62, 2), (1, 4), (0, word), (header as u64, word), (0, word), (0, 4)];
    let sizes = [(header as u64, 2), (entry as u64, 2), (3 + u64::from(interpreter.is_some()), 2), (0, 6)];
    file.extend(fields.iter().chain(&sizes).flat_map(|(value, size)| number(*value, *size)));
    let mut segment = |kind: u64, (at, size): (u64, u64)| {
        let flags = (4, 4);
        let (before, after) = if wide { (Some(flags), None) } else { (None, Some(flags)) };
        let fields = [
            Some((kind, 4)),
            before,
            Some((at, word)),
            Some((at, word)),
            Some((at, word)),
            Some((size, word)),
        ];
        let fields = fields.into_iter().chain([Some((size, word)), after, Some((4, word))]).flatten();
        file.extend(fields.flat_map(|(value, size)| number(value, size)));
    };
    segment(1, (0, size));
    segment(2, dynamic);
    segment(4, note);
    if let Some(interpreter) = interpreter {
        segment(3, interpreter);
    }
    file.resize(header + 4 * entry, 0);
    file.extend(body);
    file
}
