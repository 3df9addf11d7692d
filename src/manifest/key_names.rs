//! What only keys and tokens are called, and the directories they are kept in: whatever else is known of a file, it is not shown or copied
//! unasked.

use std::path::Path;

/// Ends of paths that only such things have; what is below one of these counts as well.
const NAMES: [&str; 49] = [
    ".aws",
    ".azure",
    ".boto",
    ".cargo/credentials",
    ".config/doctl",
    ".config/gcloud",
    ".config/gh",
    ".config/git/credentials",
    ".config/glab-cli",
    ".config/hub",
    ".config/rclone",
    ".docker",
    ".gem/credentials",
    ".git-credentials",
    ".gnupg",
    ".htpasswd",
    ".kube",
    ".local/share/keyrings",
    ".m2/settings.xml",
    ".my.cnf",
    ".netrc",
    ".npmrc",
    ".oci",
    ".password-store",
    ".pgpass",
    ".pki",
    ".pypirc",
    ".s3cfg",
    ".ssh",
    ".terraform.d",
    ".terraformrc",
    ".vault-token",
    "composer/auth.json",
    "containers/auth.json",
    "credentials.json",
    "credentials.toml",
    "gshadow",
    "htpasswd",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "id_rsa",
    "rndc.key",
    "sasldb2",
    "shadow",
    "sudoers",
    "sudoers.d",
];

/// What the names of such files end in: key tables of Kerberos, keys in PKCS #12 (RFC 7292), databases of passwords.
const ENDINGS: [&str; 4] = ["keytab", "kdbx", "p12", "pfx"];

/// Where a directory called `private` is one for keys, as in /etc/ssl; elsewhere it is perhaps somebody's work.
const SETTINGS: [&str; 3] = ["/etc", "/usr/local/etc", "/var"];

/// Whether a path is that of a key, or of something in a directory of keys, by its names alone.
pub(super) fn is_named_as_key(path: &Path) -> bool {
    let ends_so = |path: &Path| NAMES.iter().any(|name| path.ends_with(name));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_host_key = name.starts_with("ssh_host_") && !name.ends_with(".pub");
    let is_store = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
    let is_hosts = SETTINGS.iter().any(|settings| path.starts_with(settings));
    let is_private = is_hosts && path.components().any(|component| component.as_os_str() == "private");
    path.ancestors().any(ends_so) || is_private || is_host_key || is_store
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_their_names() {
        for path in [
            "/home/eve/.aws/credentials",
            "/home/eve/.cargo/credentials.toml",
            "/home/eve/.config/gcloud/credentials.db",
            "/home/eve/.config/gh/hosts.yml",
            "/home/eve/.docker/config.json",
            "/home/eve/.kube/config",
            "/home/eve/.netrc",
            "/home/eve/.npmrc",
            "/home/eve/.pypirc",
            "/home/eve/.azure",
            "/opt/keys/.ssh",
            "/etc/krb5.keytab",
            "/etc/ssh/ssh_host_rsa_key",
            "/etc/ssl/private/x.pem",
        ] {
            assert!(is_named_as_key(Path::new(path)), "{path}");
        }
        for path in [
            "/usr/bin/gcloud",
            "/usr/bin/gh",
            "/home/eve/.config/app/settings",
            "/home/eve/aws",
            "/etc/ssh/ssh_host_rsa_key.pub",
            "/srv/privately",
            "/home/eve/private/project",
            "/",
        ] {
            assert!(!is_named_as_key(Path::new(path)), "{path}");
        }
    }
}
