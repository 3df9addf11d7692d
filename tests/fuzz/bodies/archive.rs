//! Archives: whatever is read, every path stays below the root and below directories, and every file within its layer.

use std::collections::HashMap;
use std::path::{Component, Path};

use stockade::archive::{self, Archive, Node};

/// The first byte says whether the rest is a layer of an image.
pub(super) fn read(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    // A checksum is a wall to a fuzzer, so it is set right before.
    let mended = mended(rest);
    for bytes in [rest, &mended] {
        if let Some(archive) = archive::hostile(bytes, first & 1 == 1) {
            look(&archive);
        }
    }
}

fn look(archive: &Archive) {
    let nodes: HashMap<&Path, &Node> = archive.nodes().collect();
    for (path, node) in &nodes {
        assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{}", path.display());
        for above in path.ancestors().skip(1) {
            assert!(
                matches!(nodes.get(above), Some(Node::Directory(_))),
                "{} below {}",
                path.display(),
                above.display()
            );
        }
        let Node::File(number) = node else { continue };
        let member = archive.member(*number).expect("a file that is there");
        let mut reached = 0;
        for piece in member.pieces() {
            assert!(piece.at >= reached, "{}", path.display());
            reached = piece.at.checked_add(piece.length).expect("an end");
            let mut buffer = [0; 64];
            let read = archive.read(member, *piece, 0, &mut buffer).expect("a layer that can be read");
            assert_eq!(read as u64, piece.length.min(64), "{} reaches beyond the end", path.display());
        }
        assert!(reached <= member.size, "{}", path.display());
        archive.content(path, 1 << 16);
    }
}

/// The same bytes with the checksum of each block that may be a header.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512) {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

fn entry(name: &str, kind: u8, target: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    for (at, text) in [(100, "0000755"), (108, "0000000"), (116, "0000000"), (136, "00000000000")] {
        bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    bytes[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    bytes[156] = kind;
    bytes[157..157 + target.len()].copy_from_slice(target.as_bytes());
    bytes[257..265].copy_from_slice(b"ustar\x0000");
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let end = vec![0; 1024];
    let whole = [
        vec![0],
        entry("d/", b'5', "", b""),
        entry("d/a", b'0', "", b"content"),
        entry("d/b", b'1', "d/a", b""),
        entry("l", b'2', "../../etc", b""),
        entry("x", b'x', "", b"12 path=d/e\n22 GNU.sparse.major=1\n28 GNU.sparse.realsize=200\n"),
        entry("s", b'0', "", b"1\n1\n2\n"),
        entry("L", b'L', "", b"long/name\0"),
        entry("m", b'0', "", b""),
        entry("n", b'3', "", b""),
        end.clone(),
    ]
    .concat();
    let layer = [
        vec![1],
        entry("d/.wh..wh..opq", b'0', "", b""),
        entry(".wh.a", b'0', "", b""),
        entry("a", b'S', "", b""),
        end,
    ];
    // `tar`, by gzip: an empty file.
    let packed = b"\0\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0".to_vec();
    vec![whole, layer.concat(), packed]
}

pub(super) fn words() -> Vec<Vec<u8>> {
    let words: [&[u8]; 16] = [
        b"ustar",
        b"ustar\x0000",
        b"ustar  \0",
        b"../",
        b"/etc/passwd",
        b".wh.",
        b".wh..wh..opq",
        b"path=",
        b"linkpath=",
        b"size=",
        b"GNU.sparse.map=",
        b"GNU.sparse.size=",
        b"GNU.sparse.major=1",
        b"SCHILY.xattr.security.capability=",
        b"\x1f\x8b\x08\0",
        b"\x80\0\0\0\xff\xff\xff\xff",
    ];
    words.map(<[u8]>::to_vec).to_vec()
}
