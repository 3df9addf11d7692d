//! `libraries`: a program with everything its loader asks: libraries, the cache or ld.so.conf(5), musl's path file. Each is the
//! input's, and the closure of the program is looked for beneath their root.

use std::collections::HashSet;
use std::path::Path;

use stockade::manifest::libs::{self, Kind, Why};
use stockade::manifest::links::Root;

use super::place;
use super::{elf, parts};

/// The files an input may give. Names are not the fuzzer's to choose: it would write wherever they lead.
const FILES: [&str; 12] = [
    "lib64/ld.so",
    "lib/ld-musl-x86_64.so.1",
    "lib/libz.so.1",
    "lib/liba.so",
    "usr/lib/liba.so",
    "opt/lib/libb.so",
    "bin/sh",
    "bin/script",
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/ld.so.conf.d/a.conf",
    "etc/ld-musl-x86_64.path",
];

pub(super) fn closure(data: &[u8]) {
    place::with(|place| {
        let (program, parts) = parts::split(data);
        place.write("root/program", program);
        let mut written = vec!["program"];
        for (what, content) in parts {
            if let Some(name) = FILES.iter().find(|name| **name == what) {
                place.write(&format!("root/{name}"), content);
                written.push(name);
            }
        }
        let root = Root::at(place.path("root"));
        match libs::closure(&root, Path::new("/program")) {
            Ok(closure) => {
                assert_eq!(closure.files[0].path, Path::new("/program"));
                let paths: HashSet<_> = closure.files.iter().map(|needed| &needed.path).collect();
                assert_eq!(paths.len(), closure.files.len(), "each path once");
                for needed in &closure.files {
                    assert!(root.real(&needed.path).is_ok(), "{} is not there", needed.path.display());
                    // A search path is of the loader: for a library, of the one that most likely loads it.
                    let is_loaders = matches!(needed.why, Why::SearchPath { .. });
                    assert!(is_loaders || paths.contains(&needed.by), "{closure:?}");
                    assert!(!needed.why.to_string().is_empty());
                }
                assert!(closure.notes.iter().all(|note| !note.to_string().is_empty()));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        if let Ok(Kind::Script { interpreter, .. }) = libs::describe(&root, Path::new("/program")) {
            assert!(interpreter.is_absolute());
        }
        written.sort_unstable();
        written.dedup();
        for name in written {
            place.remove(&format!("root/{name}"));
        }
    });
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let made = |interpreter, names: &[(u64, &str)], note| {
        elf::made(true, true, interpreter, names, "pthread_exit", note)
    };
    let library = |soname: &str| made(None, &[(14, soname)], "[]");
    let loader = [made(None, &[], "[]"), b"\0/lib64/\0/usr/lib/\0".to_vec()].concat();
    let note =
        r#"[{"soname":["libb.so"],"priority":"recommended"},{"soname":["libq.so"],"priority":"required"}]"#;
    let glibc =
        made(Some("/lib64/ld.so"), &[(1, "libz.so.1"), (1, "liba.so"), (29, "$ORIGIN/lib:/opt/$LIB")], "[]");
    let noted = made(Some("/lib64/ld.so"), &[(0x7fff_fffd, "liba.so"), (15, "/opt/lib:lib")], note);
    let musl = made(Some("/lib/ld-musl-x86_64.so.1"), &[(1, "libc.so"), (1, "libb.so")], "[]");
    let (z, a, b) = (library("libz.so.1"), library("liba.so"), library("libb.so"));
    let cache = &super::seeds::ld_so_cache()[0][10..];
    vec![
        parts::join(
            &glibc,
            &[
                ("lib64/ld.so", &loader),
                ("lib/libz.so.1", &z),
                ("usr/lib/liba.so", &a),
                ("etc/ld.so.cache", cache),
            ],
        ),
        parts::join(
            &noted,
            &[
                ("lib64/ld.so", &loader),
                ("lib/liba.so", &a),
                ("opt/lib/libb.so", &b),
                ("etc/ld.so.conf", b"# x\ninclude ld.so.conf.d/*.conf\n/opt/lib\nhwcap 1 x\n"),
                ("etc/ld.so.conf.d/a.conf", b"/usr/lib, /opt/lib=libc6\ninclude /etc/ld.so.conf\n"),
            ],
        ),
        parts::join(
            &musl,
            &[
                ("lib/ld-musl-x86_64.so.1", &loader),
                ("opt/lib/libb.so", &b),
                ("etc/ld-musl-x86_64.path", b"/lib:/opt/lib\n"),
            ],
        ),
        parts::join(b"#!/bin/script\n", &[("bin/script", b"#!/usr/bin/env -S sh -x\n"), ("bin/sh", &z)]),
    ]
}

pub(super) fn words() -> Vec<Vec<u8>> {
    let mut words = elf::words();
    words.extend(FILES.map(|name| format!("\n%% {name}\n").into_bytes()));
    let texts = [
        "include ",
        "$ORIGIN",
        "${LIB}",
        "$PLATFORM",
        "/lib/libz.so.1",
        "/opt/lib",
        "libb.so",
        "glibc-hwcaps",
        "#!/bin/sh\n",
    ];
    words.extend(texts.map(|word| word.as_bytes().to_vec()));
    words
}
