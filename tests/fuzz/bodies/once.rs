//! `once`: words → options → layer → decode → check, and what `--save` would write is a manifest that says the same.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::rc::Rc;

use stockade::manifest::once::{Facts, Found};
use stockade::manifest::{self, Unusable};
use stockade::plan::Source;
use stockade::report::diagnostic::{self, Diagnostic, Style};

use super::manifest::{harmless, shown};

/// Words, each ended by NUL; of the first the bytes say who the caller is, and where.
pub(super) fn options(data: &[u8]) {
    let (caller, line) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(0));
    let line = line.strip_prefix(b"\0").unwrap_or(line);
    let words: Vec<OsString> =
        line.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    // These read what is open in this process, and any file of the host: not the fuzzer's to choose.
    let reads = |word: &OsString| {
        ["--args", "--from"].iter().any(|name| word.as_encoded_bytes().starts_with(name.as_bytes()))
    };
    if words.iter().any(reads) {
        return;
    }
    let (asked, command) = match stockade::once_words(words) {
        Ok(found) => found,
        Err(told) => return harmless(&told),
    };
    let flag = |bit: u8| caller.first().is_some_and(|byte| byte & bit != 0);
    let own = if flag(1) { 0 } else { 1000 };
    let facts = Facts {
        uid: own,
        gid: own,
        home: Facts::home("eve", [if flag(2) { "/usr" } else { "/home/eve" }.into()]),
        user: "eve".into(),
        group: "users".into(),
        current: if flag(4) { "/home/eve/work" } else { "/srv/up" }.into(),
        umask: 0o022,
        terminal: flag(8),
        look: &look,
        names: &|_| vec!["a".into(), "b c".into(), "usr".into()],
        read: &|descriptor| match descriptor {
            "3" => Ok(caller.to_vec()),
            _ => Err("it is not open".into()),
        },
    };
    match manifest::load_options(None, &asked, &command, &facts) {
        Ok(found) => {
            shown(&found.loaded.warnings);
            found.note.iter().for_each(|note| harmless(note));
            let source = Rc::new(Source { path: "saved.toml".into(), text: found.text });
            let again = manifest::load_text(Rc::clone(&source));
            // Words that are no text a manifest cannot have.
            if command.iter().all(|word| word.to_str().is_some()) {
                let again = again.unwrap_or_else(|findings| panic!("{findings:?} in {}", source.text));
                assert_eq!(again.manifest.mounts.len(), found.loaded.manifest.mounts.len());
                assert_eq!(
                    again.manifest.program.environment.len(),
                    found.loaded.manifest.program.environment.len()
                );
            }
        }
        Err(Unusable::Refused((message, hint))) => {
            let told = [Diagnostic::error(message).hint(hint)];
            harmless(&diagnostic::texts(&told, "once", Style::PLAIN));
        }
        Err(Unusable::Wrong(findings)) => shown(&findings),
    }
}

/// A host with every kind of thing, and links that lead nowhere, up and round.
fn look(path: &Path) -> Found {
    match path.to_str().unwrap_or_default() {
        "/bin" => Found::Link("usr/bin".into()),
        "/lib" => Found::Link("/usr/lib".into()),
        "/round" => Found::Link("/round/a".into()),
        "/srv/up" => Found::Link("../../../home".into()),
        "/nowhere" => Found::Link(String::new()),
        "/file" | "/home/eve/work/file" | "/etc/hosts" => Found::Other,
        text if text.contains("none") => Found::Nothing,
        _ => Found::Directory,
    }
}

/// Every option of the help with values, and lines as people type them.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut lines: Vec<String> = [
        "-- true",
        "--rw . -- make -j 4",
        "--timeout 10s --memory=256M --pids 5 --file-size 1M --cpu-time 1500ms ./a.out",
        "--bare --ro-bind /usr /usr --symlink usr/lib64 /lib64 --size 4096 --perms 0700 --tmpfs /work --chdir /work /usr/bin/env",
        "--root /srv --rw-root --bind /file /round/x --hide /etc --remount-ro /round sh",
        "--bind-try none /a --dir /a/b --file 3 /a/b/c --ro-bind-data 3 /d --dev-bind /dev/null /dev/x cat",
        "--clearenv --setenv A b --env B=c --env D --unsetenv A --hostname x --uid 0 --gid 7 --cap-add NET_RAW id",
        "--rlimit nofile=64:128 --rlimit RLIMIT_AS=1G --best-effort landlock --unshare-all --share-net --as-pid-1 sh -c",
    ]
    .map(str::to_owned)
    .to_vec();
    for (name, values) in known() {
        let values = values.iter().map(|value| if value.contains("FD") { " 3" } else { " /a" });
        lines.push(format!("{name}{} true", values.collect::<String>()));
    }
    let line = |(number, line): (usize, String)| {
        [&[number as u8 | 0x30][..], b"\0", line.replace(' ', "\0").as_bytes()].concat()
    };
    lines.into_iter().enumerate().map(line).collect()
}

/// The options that the help lists, with what stands behind each.
fn known() -> Vec<(String, Vec<String>)> {
    let help = stockade::once_words(vec!["--help".into()]).expect_err("the help");
    let lines = help.lines().filter_map(|line| line.strip_prefix("  --"));
    lines
        .map(|line| {
            let mut words = line.split("  ").next().unwrap_or_default().split(' ').map(str::to_owned);
            let name = words.next().unwrap_or_default();
            (format!("--{name}"), words.collect())
        })
        .collect()
}

/// Their names, and values that mean something.
pub(super) fn words() -> Vec<Vec<u8>> {
    let values = [
        "\0/bin",
        "\0/round/a",
        "/..",
        "\0--\0",
        "=",
        "256M",
        "10s",
        "0755",
        "unlimited",
        "\0none",
        "\0.",
        "\0~",
    ];
    let names = known().into_iter().map(|(name, _)| format!("\0{name}\0").into_bytes());
    values.iter().map(|value| value.as_bytes().to_vec()).chain(names).collect()
}
