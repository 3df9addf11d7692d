//! What a directory or glob would bring that nobody asked for by name: secrets, and files that cannot be copied.
//!
//! A secret is a matter of how it is asked for. `files = ["/etc/ssh/ssh_host_ed25519_key"]` is a decision; the same key
//! coming with `files = ["/etc"]` is an accident. So password hashes and the host's identity are left out unless their
//! very path is listed, and other files that only root can read are copied (a daemon's own key belongs to its configuration)
//! but named in a warning.

#![forbid(unsafe_code)]

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::manifest::finding::Finding;
use crate::plan::Origin;

/// Names of password files, see shadow(5), gshadow(5), pam_unix(8); a `-` at the end is the last version but one.
const PASSWORDS: [&str; 5] =
    ["/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/security/opasswd"];
/// Directories of nothing but keys and credentials.
const VAULTS: [&str; 5] = [
    "/etc/ssl/private",
    "/root/.ssh",
    "/root/.gnupg",
    "/etc/letsencrypt/accounts",
    "/etc/NetworkManager/system-connections",
];
/// How many paths a warning shows.
const SHOWN: usize = 5;

/// What one entry of the manifest came upon.
#[derive(Debug, Default)]
pub(super) struct Notes {
    left_out: Vec<PathBuf>,
    only_root: Vec<PathBuf>,
    special: Vec<PathBuf>,
    unreadable: Vec<PathBuf>,
    /// Files of a package that are no longer there.
    pub(super) gone: Vec<PathBuf>,
}

impl Notes {
    /// Whether a regular file that was met, not named, may come along.
    pub(super) fn admit(&mut self, path: &Path, metadata: &Metadata) -> bool {
        if is_secret(path) {
            self.left_out.push(path.to_owned());
            return false;
        }
        let for_others = metadata.mode() & 0o077;
        if metadata.uid() == 0 && for_others == 0 {
            self.only_root.push(path.to_owned());
        }
        true
    }

    /// A socket, FIFO or device was met.
    pub(super) fn special(&mut self, path: &Path) {
        self.special.push(path.to_owned());
    }

    /// Something was met that the caller may not read. A secret would have been left out anyhow.
    pub(super) fn unreadable(&mut self, path: &Path) {
        let list = if is_secret(path) { &mut self.left_out } else { &mut self.unreadable };
        list.push(path.to_owned());
    }

    /// The findings, at most one of each kind.
    pub(super) fn report(self, of: &str, origin: &Origin, findings: &mut Vec<Finding>) {
        let mut warn = |paths: &[PathBuf], finding: Finding| {
            if !paths.is_empty() {
                findings.push(shown(finding, paths));
            }
        };
        warn(
            &self.unreadable,
            Finding::error(format!("{} of {of} cannot be read", count(&self.unreadable, "file")), origin)
                .hint("run as a user who may read them, or leave them out with `exclude`"),
        );
        warn(
            &self.left_out,
            Finding::warning(
                format!("{} of {of} left out: secrets of the host", count(&self.left_out, "file")),
                origin,
            )
            .hint("list a secret by its own path if the jail is to have it"),
        );
        warn(
            &self.only_root,
            Finding::warning(
                format!("{} of {of} can be read by root only", count(&self.only_root, "file")),
                origin,
            )
            .hint("leave them out with `exclude`, or list them by their own paths to say that this is meant"),
        );
        warn(
            &self.special,
            Finding::warning(
                format!("{} of {of} skipped: not a file, directory or link", count(&self.special, "entry")),
                origin,
            )
            .hint("sockets and devices of the host are shown with `[[mounts]]`"),
        );
        warn(
            &self.gone,
            Finding::warning(
                format!("{} of {of} cannot be found on the host", count(&self.gone, "file")),
                origin,
            )
            .hint("reinstall the package if the program needs them"),
        );
    }
}

/// Adds the first few paths to a finding.
pub(super) fn shown(mut finding: Finding, paths: &[PathBuf]) -> Finding {
    for path in paths.iter().take(SHOWN) {
        finding = finding.why(path.display().to_string());
    }
    if paths.len() > SHOWN { finding.why(format!("and {} more", paths.len() - SHOWN)) } else { finding }
}

fn count(paths: &[PathBuf], what: &str) -> String {
    match (paths.len(), what) {
        (1, what) => format!("1 {what}"),
        (many, "entry") => format!("{many} entries"),
        (many, what) => format!("{many} {what}s"),
    }
}

/// Whether a host's file is a secret by its place, whatever its mode.
fn is_secret(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_host_key = path.parent() == Some(Path::new("/etc/ssh"))
        && name.starts_with("ssh_host_")
        && Path::new(name).extension().is_none();
    is_host_key
        || path == Path::new("/etc/krb5.keytab")
        || PASSWORDS.iter().any(|known| path == Path::new(known))
        || VAULTS.iter().any(|vault| path.starts_with(vault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_place() {
        for path in [
            "/etc/shadow",
            "/etc/gshadow-",
            "/etc/ssh/ssh_host_rsa_key",
            "/etc/ssl/private/a/b",
            "/root/.ssh/id",
        ] {
            assert!(is_secret(Path::new(path)), "{path}");
        }
        for path in
            ["/etc/passwd", "/etc/ssh/ssh_host_rsa_key.pub", "/etc/ssh/sshd_config", "/srv/etc/shadow"]
        {
            assert!(!is_secret(Path::new(path)), "{path}");
        }
    }
}
