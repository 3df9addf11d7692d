//! Archives of every kind, honest and hostile, and what is read of them.

use super::*;

/// Of what an entry of a test is made.
#[derive(Clone, Copy)]
struct Made<'a> {
    name: &'a str,
    kind: u8,
    target: &'a str,
    content: &'a [u8],
}

fn file<'a>(name: &'a str, content: &'a str) -> Made<'a> {
    Made { name, kind: b'0', target: "", content: content.as_bytes() }
}

fn directory(name: &str) -> Made<'_> {
    Made { name, kind: b'5', target: "", content: b"" }
}

fn link<'a>(name: &'a str, target: &'a str) -> Made<'a> {
    Made { name, kind: b'2', target, content: b"" }
}

fn second<'a>(name: &'a str, target: &'a str) -> Made<'a> {
    Made { name, kind: b'1', target, content: b"" }
}

/// Something before the next entry: `x` of pax, `L` and `K` of GNU.
fn before(kind: u8, content: &[u8]) -> Made<'_> {
    Made { name: "before", kind, target: "", content }
}

/// One record of pax(1).
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length += 1;
    }
    format!("{length}{rest}").into_bytes()
}

/// Writes the checksum of a header.
fn sum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn entry(made: Made<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..made.name.len()].copy_from_slice(made.name.as_bytes());
    bytes[100..108].copy_from_slice(b"0004755\0");
    bytes[108..116].copy_from_slice(b"0000041\0");
    bytes[116..124].copy_from_slice(b"0000052\0");
    bytes[124..136].copy_from_slice(format!("{:011o}\0", made.content.len()).as_bytes());
    bytes[136..148].copy_from_slice(b"00000001750\0");
    bytes[156] = made.kind;
    bytes[157..157 + made.target.len()].copy_from_slice(made.target.as_bytes());
    bytes[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut bytes);
    bytes.extend_from_slice(made.content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn archive(entries: &[Made<'_>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().copied().flat_map(entry).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Reads an archive.
fn read(bytes: &[u8]) -> Result<Archive, Error> {
    let spooled = spool::bytes(bytes)?;
    let mut tree = tree::Tree::default();
    tree.layer(&spooled, 0, false)?;
    Ok(Archive { tree, layers: vec![spooled.file], digest: spooled.digest })
}

/// Reads layers of an image.
fn layers(all: &[Vec<u8>]) -> Result<Archive, Error> {
    let mut tree = tree::Tree::default();
    let mut files = Vec::new();
    for (number, bytes) in all.iter().enumerate() {
        let spooled = spool::bytes(bytes)?;
        tree.layer(&spooled, number, true)?;
        files.push(spooled.file);
    }
    Ok(Archive { tree, layers: files, digest: [0; 32] })
}

/// What is in an archive, a line each.
fn shown(archive: &Archive) -> Vec<String> {
    let line = |(path, node): (&Path, &Node)| match node {
        Node::Directory(_) => format!("{}/", path.display()),
        Node::Link(text, _) => format!("{} -> {}", path.display(), String::from_utf8_lossy(text)),
        Node::File(number) => {
            let content = archive.content(path, 100).map(|bytes| String::from_utf8(bytes).unwrap());
            format!("{} #{number} {}", path.display(), content.unwrap_or_else(|| "?".into()))
        }
    };
    archive.nodes().map(line).collect()
}

fn refused(bytes: &[u8]) -> String {
    read(bytes).map(|archive| shown(&archive)).unwrap_err().to_string()
}

#[test]
fn an_archive_is_read() {
    let long = "d/".to_owned() + &"n".repeat(200);
    let pax = [
        record("path", "d/with pax"),
        record("mtime", "12.5"),
        record("uid", "3000000"),
        record("SCHILY.xattr.user.a", "b"),
    ];
    let gnu = [long.as_bytes(), b"\0"].concat();
    let bytes = archive(&[
        directory("./"),
        directory("./d/"),
        file("./d/a", "one"),
        second("d/b", "./d/a"),
        link("d/c", "../../../etc/passwd"),
        before(b'L', &gnu),
        file("cut", "long"),
        before(b'x', &pax.concat()),
        file("other", "pax"),
        file("in/no/directory", ""),
        Made { kind: b'3', ..file("d/null", "") },
        before(b'g', &record("comment", "abc")),
        before(b'V', b""),
    ]);
    let archive = read(&bytes).unwrap();
    let expected = [
        "/",
        "d/",
        "d/a #0 one",
        "d/b #0 one",
        "d/c -> ../../../etc/passwd",
        &format!("{long} #1 long"),
        "d/with pax #2 pax",
        "in/",
        "in/no/",
        "in/no/directory #3 ",
    ];
    assert_eq!(shown(&archive), expected);
    assert_eq!(archive.passed_over(), [PathBuf::from("d/null")]);
    let first = archive.member(0).unwrap();
    assert_eq!(
        (first.attributes, first.mtime),
        (Attributes { mode: 0o4755, uid: 0o41, gid: 0o52 }, (1000, 0))
    );
    let third = archive.member(2).unwrap();
    assert_eq!((third.attributes.uid, third.mtime), (3_000_000, (12, 500_000_000)));
    assert_eq!(third.xattrs, [(c"user.a".to_owned(), b"b".to_vec())]);
}

#[test]
fn what_comes_later_takes_the_place() {
    let bytes = archive(&[
        file("a", "1"),
        file("a", "2"),
        directory("d"),
        file("d/x", "3"),
        link("d", "/etc"),
        directory("d"),
        file("d/y", "4"),
        directory("e"),
        file("e/z", "5"),
        directory("e"),
        file("f", "6"),
        directory("f/"),
    ]);
    // The link is gone before anything is below its name again.
    assert_eq!(shown(&read(&bytes).unwrap()), ["/", "a #1 2", "d/", "d/y #3 4", "e/", "e/z #4 5", "f/"]);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for (entries, expected) in [
        (vec![file("../a", "")], "`../a`: its name has `..` in it"),
        (vec![file("a/../../b", "")], "`a/../../b`: its name has `..` in it"),
        (
            vec![file("/etc/passwd", "")],
            "`/etc/passwd`: its name begins with `/`, and would be a path of the host",
        ),
        (vec![file("", "")], "``: its name is empty"),
        (
            vec![link("a", "/etc"), file("a/passwd", "")],
            "`a/passwd`: it is below a symbolic link of the same archive",
        ),
        (vec![link("a", "."), link("a/b", "/")], "`a/b`: it is below a symbolic link of the same archive"),
        (vec![file("a", ""), file("a/b", "")], "`a/b`: it is below what is no directory"),
        (vec![second("a", "/etc/shadow")], "`a`: its name begins with `/`, and would be a path of the host"),
        (vec![second("a", "../../etc/shadow")], "`a`: its name has `..` in it"),
        (
            vec![second("a", "b"), file("b", "")],
            "`a`: it is a second name of `b`, which is no file before it",
        ),
        (
            vec![directory("d"), second("a", "d")],
            "`a`: it is a second name of `d`, which is no file before it",
        ),
        (
            vec![link("l", "/etc"), second("a", "l/shadow")],
            "`a`: it is a second name of `l/shadow`, which is no file before it",
        ),
        (vec![link("", "/etc")], "``: its name is empty"),
        (vec![link(".", "/etc")], "`.`: its name is the root's, which is a directory"),
        (vec![link("a", "")], "`a`: its header is wrong: its link leads nowhere"),
        (
            vec![before(b'x', &record("path", "/etc/passwd")), file("a", "")],
            "`/etc/passwd`: its name begins with `/`, and would be a path of the host",
        ),
        (
            vec![before(b'x', &record("path", "a\0b")), file("a", "")],
            "`a\\0b`: its name has a NUL byte in it",
        ),
        (vec![before(b'x', &record("linkpath", "..")), second("a", "b")], "`a`: its name has `..` in it"),
        (vec![before(b'L', b"../x\0"), file("a", "")], "`../x`: its name has `..` in it"),
        (
            vec![before(b'x', &record("path", &"n".repeat(256))), file("a", "")],
            &format!("`{}`: its name is longer than a name may be", "n".repeat(200)),
        ),
        (
            vec![before(b'x', &record("path", &"n/".repeat(3000))), file("a", "")],
            &format!("`{}`: its name is longer than a path may be", "n/".repeat(100)),
        ),
    ] {
        assert_eq!(refused(&archive(&entries)), expected);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = archive(&[file("a", "content")]);
        bytes[at..at + with.len()].copy_from_slice(with);
        sum(&mut bytes);
        bytes
    };
    let good = archive(&[file("a", "content")]);
    let mut sums = archive(&[file("a", "1"), file("b", "2")]);
    sums[1024] = b'c';
    for (bytes, expected) in [
        (vec![], "this is no tar archive"),
        (b"#!/bin/sh\n".repeat(100), "this is no tar archive"),
        (good[..515].to_vec(), "`a`: it ends in the middle"),
        (good[..1024].to_vec(), "it ends in the middle"),
        (sums, "its header is wrong: its checksum differs"),
        (changed(124, b"77777777777\0"), "`a`: it ends in the middle"),
        (changed(124, &[0xff; 12]), "its header is wrong: its size is no number"),
        (changed(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "`a`: it ends in the middle"),
        (changed(108, b"\x80\0\0\0\xff\xff\xff\xff"), "`a`: its header is wrong: its owner is no id"),
        (changed(116, b"\x80\0\0\x01\0\0\0\0"), "`a`: its header is wrong: its group is no id"),
        (changed(100, b"9999999\0"), "`a`: its header is wrong: its mode is no number"),
        (changed(156, b"M"), "`a`: its header is wrong: it goes on from another archive"),
        (changed(156, b"Q"), "`a`: its header is wrong: it is of an unknown type"),
        (
            archive(&[before(b'x', b"99 path=a\n"), file("a", "")]),
            "its header is wrong: what it says of the next entry makes no sense",
        ),
        (
            archive(&[before(b'x', b"0 \n"), file("a", "")]),
            "its header is wrong: what it says of the next entry makes no sense",
        ),
        (
            archive(&[before(b'x', &record("size", "99999999999999999999")), file("a", "")]),
            "its header is wrong: what it says of the next entry makes no sense",
        ),
        (
            archive(&[before(b'x', &record("size", "18446744073709551615")), file("a", "")]),
            "`a`: it ends in the middle",
        ),
        (
            archive(&[before(b'L', &vec![b'n'; 2 << 20]), file("a", "")]),
            "its header is wrong: what it says of the next entry is too long",
        ),
        (b"\xfd7zXZ\0 and so on".to_vec(), "it is compressed by xz"),
        (
            b"\x1f\x8b\x08\0\0\0\0\0\0\0\xff\xff\xff\xff".to_vec(),
            "the compressed data is damaged: it cannot be undone",
        ),
        (b"\x1f\x8b\x08\0".to_vec(), "it ends in the middle"),
    ] {
        assert_eq!(refused(&bytes), expected);
    }
}

#[test]
fn holes_of_every_format_stay_holes() {
    let map = b"2\n1\n3\n100\n2\n";
    let inside = [map.as_slice(), &vec![0; 512 - map.len()], b"onetw"].concat();
    let with = |records: &[(&str, &str)]| {
        records.iter().flat_map(|(key, value)| record(key, value)).collect::<Vec<u8>>()
    };
    let newest = with(&[
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "s"),
        ("GNU.sparse.realsize", "200"),
    ]);
    let newer = with(&[("GNU.sparse.size", "200"), ("GNU.sparse.map", "1,3,100,2")]);
    let mut old = entry(Made { kind: b'S', ..file("s", "onetw") });
    for (at, number) in [(386, 1), (398, 3), (410, 100), (422, 2), (483, 200)] {
        old[at..at + 12].copy_from_slice(format!("{number:011o}\0").as_bytes());
    }
    sum(&mut old);
    for bytes in [
        archive(&[before(b'x', &newest), Made { content: &inside, ..file("GNUSparseFile/s", "") }]),
        archive(&[before(b'x', &newer), file("s", "onetw")]),
        [old, vec![0; 1024]].concat(),
    ] {
        let archive = read(&bytes).unwrap();
        let member = archive.member(0).unwrap();
        assert_eq!(
            (member.size, member.has_holes(), archive.nodes().nth(1).unwrap().0),
            (200, true, Path::new("s"))
        );
        let mut content = [0; 200];
        for piece in member.pieces() {
            let at = piece.at as usize;
            assert_eq!(archive.read(member, *piece, 0, &mut content[at..]).unwrap() as u64, piece.length);
        }
        assert_eq!((&content[..5], &content[99..103]), (b"\0one\0".as_slice(), b"\0tw\0".as_slice()));
    }
    let broken = |map: &str, size: &str| {
        let records = with(&[("GNU.sparse.size", size), ("GNU.sparse.map", map)]);
        refused(&archive(&[before(b'x', &records), file("s", "onetw")]))
    };
    for (map, size, expected) in [
        ("1,3,2,2", "200", "`s`: its header is wrong: its map of holes makes no sense"),
        ("1,3,199,2", "200", "`s`: its header is wrong: its map of holes makes no sense"),
        (
            "18446744073709551615,2",
            "18446744073709551615",
            "`s`: it has too many bytes or pieces of sparse files",
        ),
        ("1", "200", "`s`: its header is wrong: its map of holes is cut short"),
        ("1,3,100,9000", "20000", "`s`: it ends in the middle"),
        ("", "200", "its header is wrong: what it says of the next entry makes no sense"),
    ] {
        assert_eq!(broken(map, size), expected, "{map}");
    }
}

#[test]
fn whiteouts_take_away_what_is_below() {
    let lower = archive(&[
        directory("d"),
        file("d/a", "1"),
        file("d/b", "2"),
        directory("o"),
        file("o/x", "3"),
        file("k", "4"),
    ]);
    // The opaque one stands last, and is about the lower layer all the same.
    let upper = archive(&[
        file("d/.wh.a", ""),
        directory("o"),
        file("o/y", "5"),
        file("o/.wh..wh..opq", ""),
        file(".wh...", ""),
        file(".wh.nothing", ""),
        file(".wh..wh.aufs", ""),
        second("again", "k"),
    ]);
    let archive = layers(&[lower.clone(), upper]).unwrap();
    assert_eq!(shown(&archive), ["/", "again #3 4", "d/", "d/b #1 2", "k #3 4", "o/", "o/y #4 5"]);
    let through = archive_of_link();
    assert!(layers(&[through, self::archive(&[file("l/x", "")])]).is_err());
    // Outside of images they are names like any other.
    assert_eq!(shown(&read(&self::archive(&[file(".wh.a", "")])).unwrap()), ["/", ".wh.a #0 "]);
}

fn archive_of_link() -> Vec<u8> {
    archive(&[link("l", "/etc")])
}

/// Forty thousand names of two thousand directories each would be hundreds of gigabytes of directories that nobody speaks of.
#[test]
fn directories_that_no_entry_speaks_of_count_as_well() {
    let mut bytes = Vec::new();
    for number in 0..600 {
        let name = format!("{number}/{}f", "a/".repeat(2000));
        bytes.extend(entry(before(b'x', &record("path", &name))));
        bytes.extend(entry(file("f", "")));
    }
    assert!(hostile(&bytes, false).is_none());
}
