//! A network of the jail's own that pasta(1) connects to others. What is outside is made by root in namespaces of the test's own, and each
//! test is done as root and as an ordinary user.

use crate::common::{Dir, Need, Output, binary, copy_program, difference, needs};
use crate::place;

/// The network outside.
const OUTSIDE: &str = include_str!("../common/outside");

/// Starts the servers, and defines what the tests' scripts use. A resolver that is on loopback is the one that has to be forwarded to.
const PRELUDE: &str = r#"
echo 'nameserver 127.0.0.53' > resolv.conf
mount --bind resolv.conf /etc/resolv.conf
mkfifo ready
/usr/bin/python3 servers.py > ready &
read ready < ready
once() { setpriv $as "$stockade" once "$@" < /dev/null; }
# Processes of pasta's that have not ended.
pastas() { grep -l "^Name:.pas[st]" $(grep -L '^State:.Z' /proc/[0-9]*/status 2>/dev/null) /dev/null 2>/dev/null | wc -l; }
set +e
"#;

/// Whether these tests can be done here.
fn can() -> bool {
    needs(Need::Root)
        && ["pasta", "ip", "curl", "unshare", "setpriv"].into_iter().all(|name| needs(Need::Program(name)))
}

/// What a script says in the network outside, with `once` for `stockade once` as this user.
fn outside(dir: &Dir, user: &str, script: &str) -> Output {
    copy_program(&binary(), &dir.join("stockade"));
    dir.write("servers.py", include_str!("servers.py"));
    let mut command = dir.stockade([]);
    // A PID namespace ends with everything in it, whatever becomes of the script.
    let mut inner = std::process::Command::new("unshare");
    inner.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c"]);
    inner.arg(format!("{OUTSIDE}{PRELUDE}{script}\nkill $(jobs -p)\n")).current_dir(dir.path());
    inner.env("stockade", dir.join("stockade")).env("HOME", "/home/eve");
    let ids = if user == "root" { "" } else { "--reuid=65534 --regid=65534 --clear-groups" };
    inner.env("as", ids).stdin(std::process::Stdio::null());
    command.inner = inner;
    command.output()
}

/// Does it as root and as an ordinary user, and compares everything that is said.
fn expect(name: &str, script: &str, stdout: &str, stderr: &str) {
    if !can() {
        return;
    }
    for user in ["root", "nobody"] {
        let dir = place(name);
        let found = outside(&dir, user, script);
        for (expected, found) in [(stdout, &found.stdout), (stderr, &found.stderr)] {
            assert!(expected == found, "as {user}:\n{}", difference(expected, found));
        }
    }
}

#[test]
fn other_machines_and_names_are_reached_and_the_hosts_loopback_is_not() {
    expect(
        "pasta-reach",
        r#"
once --net pasta -- sh -c '
    cat /etc/resolv.conf
    curl -s http://203.0.113.5:8000/
    curl -s http://outside.example:8000/
    # Loopback, the gateway, the address that it shares with the host, and by those a server on each address.
    for place in 127.0.0.1:8001 198.51.100.1:8001 198.51.100.2:8001 127.0.0.1:8002 198.51.100.1:8002 198.51.100.2:8002 [::1]:8002; do
        curl -s -m 2 http://$place/ || echo "not $place"
    done
    tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " "
'
echo "exit code $?, left: $(pastas)"
"#,
        "nameserver 169.254.1.1\nanother machine\nanother machine\nnot 127.0.0.1:8001\nnot 198.51.100.1:8001\n\
         not 198.51.100.2:8001\nnot 127.0.0.1:8002\nnot 198.51.100.1:8002\nnot 198.51.100.2:8002\nnot [::1]:8002\n\
         lo\ndevice0\nexit code 0, left: 0\n",
        "",
    );
}

#[test]
fn ports_are_connected_that_are_named_and_no_others() {
    let server = r#"
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nthe jail\n")
servers = [socketserver.TCPServer(("0.0.0.0", port), Handler) for port in (8080, 8081)]
import threading
threading.Thread(target=servers[1].serve_forever, daemon=True).start()
servers[0].serve_forever()
"#;
    let script = format!(
        r#"
cat > jail.py <<'EOF'
{server}
EOF
chmod 644 jail.py
once --net pasta --publish 9090:8080 --publish=203.0.113.5:9091:8080 -- /usr/bin/python3 jail.py &
until curl -s http://127.0.0.1:9090/ > /dev/null; do sleep 0.1; done
for place in 127.0.0.1:9090 203.0.113.5:9091; do
    curl -s -m 60 http://$place/ || echo "not $place: $?"
done
for place in 198.51.100.2:9090 127.0.0.1:9091 127.0.0.1:8081; do
    curl -s -m 2 http://$place/ || echo "not $place"
done
once --net pasta --allow 8001 -- sh -c '
    curl -s http://127.0.0.1:8001/
    curl -s -m 2 http://127.0.0.1:8002/ || echo "not 8002"
'
"#
    );
    expect(
        "pasta-ports",
        &script,
        "the jail\nthe jail\nnot 198.51.100.2:9090\nnot 127.0.0.1:9091\nnot 127.0.0.1:8081\n\
         the host's loopback\nnot 8002\n",
        "",
    );
}

#[test]
fn pasta_ends_with_the_jail_and_with_a_killed_supervisor() {
    expect(
        "pasta-end",
        r#"
until_gone() { until [ "$(pastas)" = 0 ]; do sleep 0.05; done; }
once --net pasta -- true; echo "$? $(pastas)"
once --net pasta --timeout 300ms -- sleep 100; echo "$? $(pastas)"
setpriv $as "$stockade" once --net pasta -- sleep 100 &
until [ "$(pastas)" = 1 ] && pgrep -x sleep > /dev/null; do sleep 0.05; done
kill -KILL $!; wait $! 2> /dev/null; echo $?
until_gone
until ! pgrep -x sleep > /dev/null; do sleep 0.05; done
echo gone
setpriv $as "$stockade" once --net pasta -- sleep 100 &
until [ "$(pastas)" = 1 ] && pgrep -x sleep > /dev/null; do sleep 0.05; done
kill -TERM $!; wait $!; echo "$? $(pastas)"
# It is the first to end: the jail goes on, and that is told.
setpriv $as "$stockade" once --net pasta -- sh -c 'until [ -e go ]; do sleep 0.5; done' &
until [ "$(pastas)" = 1 ] && pgrep -x sleep > /dev/null; do sleep 0.05; done
pkill -KILL 'pas(st|ta)'; until_gone; touch go; wait $!; echo $?
"#,
        "0 0\n124 0\n137\ngone\n143 0\n0\n",
        "warning: pasta ended before jail `once` did, and its network with it\n  why: it ended without a word\n",
    );
}

#[test]
fn what_pasta_cannot_do_is_told_whole() {
    if !can() {
        return;
    }
    let script = r#"
try() { once --net pasta "$@" -- true 2>&1 | sed 's/\(why: pasta, step\).*/\1 …/'; }
try --publish 203.0.113.5:8000
ip route delete default; try; ip route add default via 198.51.100.1 dev device0
chmod 600 /dev/net/tun
[ -z "$as" ] || try
mount --bind /dev/null /usr/bin/pasta; try
"#;
    let unconnected =
        "error: cannot connect the network of jail `once`\n  --> --net pasta\n  why: pasta, step …\nhint: ";
    let port = "another program has one of the published ports of the host, or it is below 1024, which needs a right \
                (ip_unprivileged_port_start in ip(7)): publish another one\n";
    let route = "pasta goes out where the host's default route leads, and there is none: see `ip route`\n";
    let tun = "pasta makes a device by /dev/net/tun, which everybody may open on most hosts: `modprobe tun`, `chmod 0666 /dev/net/tun`\n";
    let missing = "error: pasta, which is to connect the jail's network, is not installed\n  --> --net pasta\n  \
        why: there is no `/usr/bin/pasta` and no `/usr/local/bin/pasta`\n\
        hint: install the package `passt` (Debian 12, Ubuntu 23.04, Fedora 36 and newer), or share the host's network: \
        `network = \"host\"` (`once --share-net`)\n";
    let dir = place("pasta-errors");
    let found = outside(&dir, "nobody", script);
    // Later versions need no route.
    let routes = if found.stdout.contains(route) { format!("{unconnected}{route}") } else { String::new() };
    let expected = format!("{unconnected}{port}{routes}{unconnected}{tun}{missing}");
    assert!(found.stdout == expected, "{}{}", difference(&expected, &found.stdout), found.stderr);
}
