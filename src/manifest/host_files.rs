//! `host` under `[tree]`: what programs commonly need of the host as it is now, each by one word. A copy in the tree would grow old: the
//! resolver moves, the zone changes, an authority is withdrawn. So each word stands for read-only binds, made at every start from what
//! the host's paths lead to then.
//!
//! A running jail sees what the host does in the directories, and what it writes into a file; a file that the host replaces by another
//! (rename(2)) stays the old one until the next start, since a mount is of a file and not of its name. `verify` tells of it.

use super::schema::{Manifest, Mount, MountKind, Network, Text};
use crate::plan::{At, HostPath, JailPath};

/// One word of `host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostFiles {
    /// `dns`: which servers resolve names.
    Dns,
    /// `hosts`: names that no server is asked for.
    Hosts,
    /// `time-zone`: the zone of the host, and all zones by name.
    TimeZone,
    /// `certificates`: the authorities that are trusted.
    Certificates,
    /// `locale`: languages and character sets of the C library.
    Locale,
}

/// A file or directory that is shown, at its own path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Its path on the host and in the jail.
    pub(super) path: &'static str,
    /// Whether it is a directory.
    pub(super) is_directory: bool,
    /// Whether hosts without it are in order.
    pub(super) optional: bool,
}

/// See resolv.conf(5).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A file that has to be there.
const fn file(path: &'static str) -> Shown {
    Shown { path, is_directory: false, optional: false }
}

/// A directory that has to be there.
const fn directory(path: &'static str) -> Shown {
    Shown { path, is_directory: true, optional: false }
}

impl Shown {
    /// Not everywhere.
    const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
}

/// /etc/ssl/certs is on every distribution, and on every one its links lead elsewhere. None of this has keys in it.
const CERTIFICATES: [Shown; 7] = [
    directory("/etc/ssl/certs"),
    // Debian, Alpine.
    directory("/usr/share/ca-certificates").optional(),
    directory("/usr/local/share/ca-certificates").optional(),
    // Fedora.
    directory("/etc/pki/ca-trust/extracted").optional(),
    directory("/etc/pki/tls/certs").optional(),
    // Arch, SUSE.
    directory("/etc/ca-certificates/extracted").optional(),
    directory("/var/lib/ca-certificates").optional(),
];

impl HostFiles {
    /// All of them, by their words.
    pub(super) const NAMES: &'static [(&'static str, Self)] = &[
        ("dns", Self::Dns),
        ("hosts", Self::Hosts),
        ("time-zone", Self::TimeZone),
        ("certificates", Self::Certificates),
        ("locale", Self::Locale),
    ];

    /// Its word.
    pub(super) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, files)| *files == self).map_or("", |(name, _)| name)
    }

    /// What is shown.
    pub(super) fn shown(self) -> &'static [Shown] {
        // localtime(5): the file is usually a link into the directory; Debian has the zone's name beside it.
        const TIME_ZONE: [Shown; 3] = [
            file("/etc/localtime"),
            file("/etc/timezone").optional(),
            directory("/usr/share/zoneinfo").optional(),
        ];
        match self {
            Self::Dns => const { &[file(RESOLV_CONF)] },
            Self::Hosts => const { &[file("/etc/hosts")] },
            Self::TimeZone => &TIME_ZONE,
            Self::Certificates => &CERTIFICATES,
            Self::Locale => const { &[directory("/usr/lib/locale")] },
        }
    }
}

/// The mounts that these words stand for.
pub(super) fn mounts(words: &[At<HostFiles>]) -> Vec<At<Mount>> {
    let mount = |word: &At<HostFiles>, shown: &Shown| {
        let kind = MountKind::Bind {
            source: HostPath::parse(shown.path).ok()?,
            recursive: None,
            optional: shown.optional,
            root_squash: None,
            sockets: false,
            devices: false,
        };
        let target = JailPath::parse(shown.path).ok()?;
        let value = Mount { target, kind, read_only: Some(true), executable: Some(false) };
        Some(At { value, origin: word.origin.found(format!("`{}` of the host", word.value.name())) })
    };
    words
        .iter()
        .flat_map(|word| word.value.shown().iter().filter_map(move |shown| mount(word, shown)))
        .collect()
}

/// Where a jail asks for names whose network pasta(1) connects: pasta passes what is sent there on to the host's own resolver, which the
/// jail need not be able to reach. An address of those that are never another machine's, see RFC 3927.
pub const RESOLVER: &str = "169.254.1.1";

/// For such a jail `dns` is a file that names that address, and not the host's, whose resolver may be at 127.0.0.53.
pub(super) fn forward_names(manifest: &mut Manifest) {
    if !matches!(manifest.namespaces.network, Some(At { value: Network::Pasta, .. })) {
        return;
    }
    let Ok(path) = JailPath::parse(RESOLV_CONF) else { return };
    let words = std::mem::take(&mut manifest.tree.host);
    let (dns, others): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word.value == HostFiles::Dns);
    manifest.tree.host = others;
    let is_given = manifest.tree.text.iter().any(|text| text.value.path == path);
    if let Some(word) = dns.into_iter().next().filter(|_| !is_given) {
        let content = format!("nameserver {RESOLVER}\n");
        let value = Text { path, content, owner: None, group: None, mode: None };
        manifest
            .tree
            .text
            .push(At { value, origin: word.origin.found("pasta answers for the host's resolver") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Origin;

    #[test]
    fn every_word_is_read_only_binds_of_the_same_paths() {
        let words: Vec<_> = HostFiles::NAMES
            .iter()
            .map(|(_, value)| At { value: *value, origin: Origin::Default("asked for") })
            .collect();
        let made = mounts(&words);
        assert_eq!(made.len(), 13);
        for At { value, origin } in &made {
            let MountKind::Bind { source, .. } = &value.kind else { panic!("{value:?}") };
            assert_eq!(source.as_path(), value.target.as_path());
            assert_eq!((value.read_only, value.executable), (Some(true), Some(false)));
            assert!(origin.to_string().contains("of the host"), "{origin}");
        }
    }

    #[test]
    fn every_word_has_something_that_must_be_there() {
        for (name, files) in HostFiles::NAMES {
            assert!(files.shown().iter().any(|shown| !shown.optional), "{name}");
            assert_eq!(files.name(), *name);
        }
    }
}
