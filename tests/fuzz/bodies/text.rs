//! The targets of small texts: records, accounts, lists of packages, patterns, values, and the reports of a jail's first processes.

use std::os::unix::ffi::OsStrExt as _;

use stockade::jail::is_report;
use stockade::jail::state::rewritten;
use stockade::manifest::libs::hostile;
use stockade::manifest::resolve::accounts::Accounts;
use stockade::manifest::resolve::glob::Glob;
use stockade::manifest::resolve::ids::pick;
use stockade::manifest::resolve::package_files;
use stockade::plan::ids;
use stockade::plan::quote::{Escaped, Quoted, shell};
use stockade::plan::{Account, HostPath, JailName, JailPath, Mode, Origin, Size, Span, capability};
use stockade::sys::locks::held;
use stockade::tree::Stamp;
use stockade::tree::record::{Record, escape, unescape};

use super::manifest::harmless;

fn all(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The parts of an input, with NUL bytes between them.
fn split<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// `record.json` and `stamp` of a generation: what can be read is written as it was read.
pub(super) fn record(data: &[u8]) {
    if let Ok(record) = Record::from_json(data) {
        let text = record.to_json().unwrap();
        assert_eq!(Record::from_json(&text).unwrap(), record);
    }
    assert_eq!(unescape(&escape(data)).as_deref(), Some(data));
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some(name) = unescape(text) {
        assert_eq!(unescape(&escape(&name)), Some(name));
    }
    if let Some(stamp) = Stamp::parse(text) {
        assert_eq!(Stamp::parse(&stamp.line()), Some(stamp));
    }
}

pub(super) fn records() -> Vec<Vec<u8>> {
    let digest = "5a".repeat(32);
    let head = format!(
        r#"{{"format":1,"stockade":"0.1.0","jail":"a","generation":7,"manifest":"{digest}","built":1700000000,"host":"h","kernel":"6.1","uid":0,"ownership":"real","entries":["#
    );
    let file = format!(
        r#"{{"path":"/a\\xff","type":"file","mode":"0644","uid":0,"gid":5,"mtime":[-1,999999999],"size":3,"sha256":"{digest}","source":"/b","xattrs":["user.a"],"not_kept":["setuid"],"reason":"x"}}"#
    );
    let link = r#"{"path":"/l","type":"link","mode":"0777","uid":0,"gid":0,"mtime":[0,0],"target":"a","reason":"y"}"#;
    let device = r#"{"path":"/d","type":"device","mode":"0666","uid":0,"gid":0,"mtime":[0,0],"device":[1,3],"hard_link_to":"/a","reason":"z"}"#;
    all(&[
        &format!("{head}]}}"),
        &format!("{head}{file},\n{link},\n{device}]}}"),
        &format!("1 0.1.0 12 {digest}\n"),
        "/usr/bin/\\xff\\\\x",
    ])
}

pub(super) fn record_words() -> Vec<Vec<u8>> {
    all(&[
        "\"entries\"",
        "\"path\"",
        "\"type\"",
        "\"directory\"",
        "\"recorded\"",
        "\"target\"",
        "\\\\x",
        "null",
        "18446744073709551615",
    ])
}

/// passwd(5), group(5), and a name that is looked up in them.
pub(super) fn accounts(data: &[u8]) {
    let [passwd, group, name] = split(data);
    let accounts = Accounts::parse(passwd, group);
    let is_line = |text: &str| !text.contains([':', '\n']);
    for user in &accounts.users {
        assert!(!user.name.is_empty() && is_line(&user.name) && is_line(&user.home) && is_line(&user.shell));
        assert_ne!(user.uid.min(user.gid), u32::MAX, "no id: it leaves the caller's as it is");
        assert!(accounts.user(&Account::Id(user.uid)).is_some());
    }
    for group in &accounts.groups {
        assert!(group.members.iter().all(|member| !member.is_empty() && is_line(member)));
        assert_ne!(group.gid, u32::MAX);
    }
    let origin = Origin::Default("a test");
    if let Ok(account) = Account::parse(&String::from_utf8_lossy(name)) {
        for result in [
            accounts.uid_of(&account, &origin),
            accounts.gid_of(&account, &origin),
            accounts.primary_group(&account, &origin),
        ] {
            assert!(
                result.is_ok_and(|id| id != u32::MAX)
                    || accounts.user(&account).is_none()
                    || accounts.group(&account).is_none()
            );
        }
    }
}

pub(super) fn account_files() -> Vec<Vec<u8>> {
    all(&[
        "root:x:0:0:root:/root:/bin/bash\n+nis::::::\nwww-data:x:33:33:www,\u{e9}:/var/www:/x\n\0root:x:0:\nssl-cert:x:101:www-data,bind\n\0www-dat",
        "a:x:4294967295:1:::\n\0a:x:4294967295:\n\x004294967294",
    ])
}

/// A package's list, dpkg's diversions, and the package's name.
pub(super) fn packages(data: &[u8]) {
    let [list, diversions, package] = split(data);
    let paths = package_files(list, diversions, &String::from_utf8_lossy(package));
    assert!(paths.len() <= list.split(|byte| *byte == b'\n').count());
    assert!(paths.iter().all(|path| !path.as_os_str().as_bytes().contains(&b'\n')));
}

pub(super) fn package_lists() -> Vec<Vec<u8>> {
    all(&[
        "/.\n/etc\n/bin/sh\nrelative\n/usr//share/./doc/..\n\0/bin/sh\n/bin/sh.distrib\ndash\n/a\n/b\n:\n\0bash",
    ])
}

/// Patterns: the compiled machine against a matcher that is slow and plain, and ld.so.conf's against both.
pub(super) fn glob(data: &[u8]) {
    let [pattern, text, _] = split(data);
    let (Ok(glob), Ok(exclude)) = (Glob::parse(pattern), Glob::parse_exclude(pattern)) else { return };
    let matched = glob.matches(text);
    assert!(!matched || exclude.matches(text), "who hides no name matches more");
    // Read in two pieces, the answer is the same.
    let mut position = glob.start();
    let (head, tail) = text.split_at(text.len() / 2);
    glob.advance(&mut position, head);
    let alive = Glob::is_alive(&position);
    glob.advance(&mut position, tail);
    assert_eq!(glob.is_match(&position), matched);
    assert!(alive || !matched);
    let shown = || format!("{} on {}", Quoted(pattern), Quoted(text));
    for (hidden, found) in [(false, matched), (true, exclude.matches(text))] {
        if pattern.len() <= 64
            && text.len() <= 64
            && let Some(expected) = super::reference::matches(pattern, text, hidden)
        {
            assert_eq!(found, expected, "{}", shown());
        }
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'?' | b'.');
    if pattern.iter().all(plain) && !pattern.windows(2).any(|two| two == b"**") && !text.contains(&b'/') {
        assert_eq!(hostile::matches(pattern, text), exclude.matches(text), "{}", shown());
    }
}

pub(super) fn patterns() -> Vec<Vec<u8>> {
    let mut patterns = all(&[
        "*.conf\0nginx.conf",
        "{a,b{c,d},}e[!x-z]\0bdeq",
        "a/**/b\0a/x/y/b",
        "**\0a/b/c",
        "{x,**}/b?\0c/d/bb",
        "{**,{x,**}/y}/*\0b",
        "\\*[]x]\0*]",
        ".*\0.env",
        "*a*b?c\0xaxbxc",
    ]);
    patterns.push([b"{a,aa}".repeat(20), b"b\0".to_vec(), b"a".repeat(40)].concat());
    patterns
}

pub(super) fn pattern_words() -> Vec<Vec<u8>> {
    all(&["**", "/**/", "{", "}", ",", "[!", "[^", "]", "\\", "/.", "a-z"])
}

/// Every value a manifest is made of: what is written is read as the same, and what is shown harms no terminal.
pub(super) fn value(data: &[u8]) {
    assert_eq!(unshell(&shell(std::ffi::OsStr::from_bytes(data))), data);
    harmless(&Quoted(data).to_string());
    harmless(&Escaped(data).to_string());
    let Ok(text) = str::from_utf8(data) else { return };
    macro_rules! same {
        ($($kind:ty)+) => {$(
            match <$kind>::parse(text) {
                Ok(value) => assert_eq!(<$kind>::parse(&value.to_string()), Ok(value)),
                Err(why) => assert!(!why.is_empty()),
            }
        )+};
    }
    same! { JailName Size Span Mode Account }
    if let Ok(path) = HostPath::parse(text) {
        assert_eq!(HostPath::parse(path.as_path()), Ok(path));
    }
    if let Ok(path) = JailPath::parse(text) {
        assert!(path.relative().is_relative() && path.starts_with(&JailPath::root()));
        assert!(path.parent().is_none_or(|parent| path.starts_with(&parent)));
        assert_eq!(JailPath::parse(path.as_path()), Ok(path));
    }
    assert!(capability::number(text).is_none_or(|number| number < 64));
}

/// What a shell makes of a word that [`shell`] wrote.
fn unshell(word: &str) -> Vec<u8> {
    let Some(escaped) = word.strip_prefix("$'") else {
        return word.replace("'\\''", "\0").replace('\'', "").replace('\0', "'").into_bytes();
    };
    let mut bytes = escaped.strip_suffix('\'').unwrap().bytes();
    let mut text = Vec::new();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| u32::from(byte.unwrap() - b'0');
        text.push(match byte {
            b'\\' => match bytes.next().unwrap() {
                next @ (b'\'' | b'\\') => next,
                next => (digit(Some(next)) * 64 + digit(bytes.next()) * 8 + digit(bytes.next())) as u8,
            },
            byte => byte,
        });
    }
    text
}

pub(super) fn values() -> Vec<Vec<u8>> {
    all(&[
        "web-1.example_a",
        "/usr//lib/./x",
        "1GiB",
        "4096",
        "1h30m500ms",
        "0o0750",
        "www-data",
        "4294967294",
        "CAP_NET_BIND_SERVICE",
        "it's \u{202e}\n",
    ])
}

pub(super) fn value_words() -> Vec<Vec<u8>> {
    all(&["KiB", "min", "sec", "ms", "/../", "18446744073709551615", "'", "\\"])
}

/// `/proc/locks`.
pub(super) fn proc(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert!(held(&text).count() <= text.lines().count());
}

pub(super) fn proc_files() -> Vec<Vec<u8>> {
    let mut files = all(&[
        "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF\n1: -> FLOCK  ADVISORY  READ 99 08:01:5678 0 EOF\n\
         2: POSIX  ADVISORY  READ  5 08:01:5678 128 128\n3: FLOCK  ADVISORY  WRITE -1 08:01:5678 0 EOF\n",
    ]);
    files.extend(std::fs::read("/proc/locks"));
    files
}

/// A message of a jail's first processes.
pub(super) fn report(data: &[u8]) {
    // A kind, and two numbers.
    assert!(!is_report(data) || data.len() >= 9);
}

/// The record of a running jail: what is read is written as it was read, but for what a later version has more.
pub(super) fn running(data: &[u8]) {
    if let Some(record) = rewritten(data) {
        assert_eq!(rewritten(&record).as_ref(), Some(&record));
        assert!(record.ends_with(b"end=\0"));
    }
}

pub(super) fn running_records() -> Vec<Vec<u8>> {
    let record = "format=stockade 1\0jail=web\0supervisor=4711\0init=true\0forking=false\0tree=/t\0source=/etc/a.toml\0text=a = 1\n\0\
                  set=a=2\0cgroup=/sys/fs/cgroup/x\0end=\0";
    all(&[record, &record.replace("set", "later"), &record.replace("4711", "-1"), "end=\0"])
}

/// subuid(5) and subgid(5), and the first ids of other jails: the range that a jail gets is nobody else's.
pub(super) fn subordinate(data: &[u8]) {
    let [users, groups, others] = split(data);
    let taken: Vec<u32> = others
        .chunks_exact(4)
        .map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
        .filter(|first| ids::FIRST.contains(first))
        .collect();
    let name = JailName::parse("web").unwrap();
    let choose = |before| {
        pick([users, groups], || Ok(Accounts::parse(b"a:x:600000:600001::/:\n", b"")), &name, &taken, before)
    };
    if let Ok(first) = choose(None) {
        assert!(ids::FIRST.contains(&first));
        assert!(taken.iter().all(|other| other.abs_diff(first) >= ids::COUNT), "{first} is of another jail");
        assert_eq!(choose(Some(first)).ok(), Some(first), "a jail keeps what it has");
    }
}

pub(super) fn subordinate_files() -> Vec<Vec<u8>> {
    let mut taken = b"stockade:524288:6553600\neve:100000:65536\n\0stockade:589824:131072\n\0".to_vec();
    taken.extend(589_824_u32.to_le_bytes());
    let mut seeds = all(&[
        "stockade:524288:65536\nstockade:524288:65536\n\0stockade:524288:4294443008\n\0",
        "eve:1\n\0\0",
    ]);
    seeds.push(taken);
    seeds
}

pub(super) fn reports() -> Vec<Vec<u8>> {
    let mut failed = vec![1, 7, 0, 0, 0, 22, 0, 0, 0];
    failed.extend(b"pivot_root");
    failed.resize(33, 0);
    vec![vec![0; 33], failed, vec![2; 33], vec![3; 9]]
}
