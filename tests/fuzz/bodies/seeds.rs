//! Inputs to begin with that need no code of their own: files of this machine and of this repository, and short texts.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// No words.
pub(super) fn none() -> Vec<Vec<u8>> {
    Vec::new()
}

/// Regular files of a directory that begin with `start` and are no longer than `most`: the smallest `count`.
pub(super) fn files(directory: &str, start: &[u8], most: u64, count: usize) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            (metadata.is_file() && metadata.len() <= most).then(|| (metadata.len(), entry.path()))
        })
        .collect();
    found.sort_unstable_by_key(|(length, path)| (*length, path.as_os_str().as_bytes().to_vec()));
    let contents = found.into_iter().filter_map(|(_, path)| fs::read(path).ok());
    contents.filter(|content| content.starts_with(start)).take(count).collect()
}

/// The manifests of this repository.
pub(super) fn jails() -> Vec<Vec<u8>> {
    let place = std::env::var_os("STOCKADE_TEST_PLACE");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().find(|at| at.join("jails").is_dir()).unwrap_or(here);
    let jails = place.as_ref().map_or(root, Path::new).join("jails");
    files(&jails.display().to_string(), b"", 1 << 20, usize::MAX)
}

/// The host's own cache, and a small one written by hand.
pub(super) fn ld_so_cache() -> Vec<Vec<u8>> {
    let mut small = b"glibc-ld.so.cache1.1".to_vec();
    // One library, 29 bytes of names, little endian, extensions behind them.
    small.extend([1, 29, 2, 48 + 24 + 29, 0, 0, 0].map(u32::to_le_bytes).concat());
    small.extend([0x303_u32, 72, 82, 0, 0, 1 << 30].map(u32::to_le_bytes).concat());
    small.extend(b"libz.so.1\0/lib/libz.so.1\0v3\0\0");
    let names = 48 + 24 + 29 + 24;
    small.extend([0xeaa4_2174_u32, 1, 1, 0, names, 4, 72 + 25].map(u32::to_le_bytes).concat());
    let mut seeds = vec![
        [b"libz.so.1\0", small.as_slice()].concat(),
        [b"libz.so.1\0ld.so-1.7.0\0", small.as_slice()].concat(),
    ];
    let host = fs::read("/etc/ld.so.cache").ok().filter(|cache| cache.len() < 65536);
    seeds.extend(host.map(|cache| [b"libc.so.6\0", cache.as_slice()].concat()));
    seeds
}

/// First lines as people write them, and those of this machine's scripts.
pub(super) fn scripts() -> Vec<Vec<u8>> {
    let own =
        ["#!/bin/sh", "#! /usr/bin/env -S -i A='b c' perl\\_-w -T\n", "#!/usr/bin/env -u X -- A=b python3\n"];
    let mut seeds: Vec<Vec<u8>> = own.map(|line| line.as_bytes().to_vec()).to_vec();
    seeds.extend(files("/usr/bin", b"#!", 5000, 20).into_iter().map(|mut script| {
        script.truncate(300);
        script
    }));
    seeds
}

pub(super) fn script_words() -> Vec<Vec<u8>> {
    ["#!/", "/usr/bin/env ", "--split-string=", "-S", "-u ", "--unset ", "\\_", "-- "]
        .map(|word| word.as_bytes().to_vec())
        .to_vec()
}

/// The notes of systemd's specification, and its own.
pub(super) fn notes() -> Vec<Vec<u8>> {
    let own = [
        r#"[{"feature":"idn","description":"IDNA","priority":"suggested","soname":["liba.so","libb.so"]}]"#,
        r#"[{"soname":["libc.so.1"],"later":{"x":[1,-2.5e3,null,true]}},{"soname":[]}]"#,
        "[]",
    ];
    own.map(|note| note.as_bytes().to_vec()).to_vec()
}

pub(super) fn note_words() -> Vec<Vec<u8>> {
    let words = [
        "\"feature\"",
        "\"description\"",
        "\"priority\"",
        "\"soname\"",
        "\"required\"",
        "\"recommended\"",
        "\"suggested\"",
        "\\u",
    ];
    words.map(|word| word.as_bytes().to_vec()).to_vec()
}
