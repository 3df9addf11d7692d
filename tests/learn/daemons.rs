//! Daemons of Debian's, each by the command its package has: learned, built and probed by a real client, with no line changed by hand. In a
//! network of their own, and with copies of what they write to on the host.

use std::fs;

use super::common::{Dir, Need, needs};
use super::said;

/// Makes a network, and puts copies in the place of directories; runs what follows.
const APART: &str = r#"
ip link set lo up
mkdir "$COPIES/run" && mount --bind "$COPIES/run" /run
for place in $PLACES; do
    copy=$COPIES$place
    mkdir -p "$(dirname "$copy")"
    case $place in /run/*) mkdir -p "$place"; continue;; esac
    cp -a "$place" "$copy" && mount --bind "$copy" "$place"
done
"$@"
"#;

/// A daemon.
struct Daemon {
    name: &'static str,
    /// Its command, in words of a shell.
    command: &'static str,
    /// The client.
    probe: &'static str,
    /// What it writes to, and what its package makes when the host starts.
    places: &'static str,
    /// Programs that have to be there.
    needed: &'static [&'static str],
}

/// Learns and proves one.
fn proves(daemon: &Daemon) {
    let programs = ["ip", "unshare"].iter().chain(daemon.needed);
    if !needs(Need::Root) || !programs.copied().all(|program| needs(Need::Program(program))) {
        return;
    }
    let dir = Dir::new(&format!("learn-{}", daemon.name));
    fs::create_dir(dir.join("copies")).unwrap();
    let file = dir.join(format!("{}.toml", daemon.name)).display().to_string();
    let own = dir.stockade(["learn", "--prove", "--output", &file, "--probe", daemon.probe, "--"]).inner;
    let mut command = dir.stockade([""]);
    let state: Vec<_> =
        own.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap().to_owned())).collect();
    // As a service manager starts it, without a terminal: a daemon may end all of its process group with itself.
    command.inner = std::process::Command::new("setsid");
    command
        .inner
        .args(["--wait", "unshare", "--net", "--mount", "sh", "-ec", APART, "sh"])
        .arg(own.get_program())
        .args(own.get_args());
    command.inner.args(daemon.command.split(' ')).current_dir("/").envs(state);
    command.inner.env("COPIES", dir.join("copies")).env("PLACES", daemon.places);
    command.inner.stdin(std::process::Stdio::null());
    let output = command.output();
    let text = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(output.code, Some(0), "{}{text}", said(&output));
    assert!(output.stderr.contains("learned and proved jail"), "{}", said(&output));
    let checked = dir.stockade(["check", &file]).output();
    assert_eq!(checked.code, Some(0), "{}", said(&checked));
    // Nothing of it is left, and no secret of the host's is in it.
    let planned = dir.stockade(["plan", "--all", &file]).output();
    for secret in ["/etc/shadow", "/etc/gshadow", "/etc/ssl/private", "rndc.key", "/root/"] {
        assert!(!planned.stdout.contains(secret), "{secret}: {}", planned.stdout);
    }
    for line in text.lines().filter(|line| line.starts_with("    \"") || line.starts_with("    { ")) {
        assert!(line.contains("  # "), "a line without a reason: {line}");
    }
}

macro_rules! daemons {
    ($($name:ident: $command:literal, $probe:literal, $places:literal, $needed:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let name = stringify!($name);
                proves(&Daemon { name, command: $command, probe: $probe, places: $places, needed: &$needed });
            }
        )*
    };
}

daemons! {
    nginx: "/usr/sbin/nginx -e stderr", "curl -fsS http://127.0.0.1/", "/var/lib/nginx /var/log/nginx", ["nginx", "curl"];
    redis: "/usr/bin/redis-server /etc/redis/redis.conf", "redis-cli ping | grep -q PONG", "/var/lib/redis /var/log/redis",
        ["redis-server", "redis-cli"];
    memcached: "/usr/bin/memcached -u memcache -l 127.0.0.1", "printf 'version\\r\\nquit\\r\\n' | nc -q1 127.0.0.1 11211 | grep -q VERSION",
        "", ["memcached", "nc"];
    named: "/usr/sbin/named -f -u bind", "dig @127.0.0.1 +time=1 +tries=1 +short localhost A | grep -qx 127.0.0.1", "/var/cache/bind /run/named",
        ["named", "dig"];
    dnsmasq: "/usr/sbin/dnsmasq --keep-in-foreground", "dig @127.0.0.1 +time=1 +tries=1 localhost A | grep -q 'status: NOERROR'",
        "/var/lib/misc", ["dnsmasq", "dig"];
    vsftpd: "/usr/sbin/vsftpd /etc/vsftpd.conf -oanonymous_enable=YES", "curl -fsS --max-time 3 ftp://127.0.0.1/",
        "/var/log /run/vsftpd/empty /srv/ftp", ["vsftpd", "curl"];
    lighttpd: "/usr/sbin/lighttpd -D -f /etc/lighttpd/lighttpd.conf", "curl -fsS http://127.0.0.1/",
        "/var/log/lighttpd /var/cache/lighttpd", ["lighttpd", "curl"];
    tinyproxy: "/usr/bin/tinyproxy -d", "curl -fsS --max-time 2 -x http://127.0.0.1:8888 http://tinyproxy.stats/ | grep -qi tinyproxy",
        "/var/log /run/tinyproxy", ["tinyproxy", "curl"];
    tftpd: "/usr/sbin/in.tftpd --foreground --listen --user tftp --address :69 --secure /usr/share/base-files",
        "curl -fsS --max-time 3 tftp://127.0.0.1/motd", "", ["in.tftpd", "curl"];
    apache: "/usr/sbin/apache2ctl -D FOREGROUND", "curl -fsS http://127.0.0.1/", "/var/log/apache2 /run/apache2 /run/lock",
        ["apache2ctl", "curl"];
    php_fpm: "/usr/sbin/php-fpm8.2 --nodaemonize",
        "SCRIPT_FILENAME=/nowhere.php REQUEST_METHOD=GET cgi-fcgi -bind -connect /run/php/php8.2-fpm.sock | grep -q 'not found'",
        "/var/log /run/php", ["php-fpm8.2", "cgi-fcgi"];
    chrony: "/usr/sbin/chronyd -d -x", "chronyc -n tracking | grep -q Stratum", "/var/lib/chrony /var/log/chrony", ["chronyd", "chronyc"];
    // One that puts itself into the background.
    forking_nginx: "/usr/sbin/nginx", "curl -fsS http://127.0.0.1/", "/var/lib/nginx /var/log/nginx", ["nginx", "curl"];
}
