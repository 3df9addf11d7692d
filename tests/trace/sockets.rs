//! Sockets: what is bound and connected, by which kind of address.

use super::{below, common, program, seen};
use common::{Need, needs};

#[test]
fn addresses_are_told() {
    // Nobody else's in this network at this moment.
    let name = format!("name-{}", std::process::id());
    let statements = r#"
        struct sockaddr_in free = { AF_INET, 0, { htonl(INADDR_LOOPBACK) } };
        struct sockaddr_in discard = { AF_INET, htons(9), { htonl(INADDR_LOOPBACK) } };
        struct sockaddr_un path = { AF_UNIX, "socket" }, none = { AF_UNIX, "none" }, name = { AF_UNIX, "\0NAME" };
        int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
        need(bind(tcp, (void *)&free, sizeof free) == 0 && listen(tcp, 1) == 0);
        need(connect(udp, (void *)&discard, sizeof discard) == 0);
        int one = socket(AF_UNIX, SOCK_STREAM, 0), two = socket(AF_UNIX, SOCK_STREAM, 0);
        need(connect(two, (void *)&none, sizeof none) < 0 && errno == ENOENT);
        need(bind(one, (void *)&path, sizeof path) == 0);
        need(connect(two, (void *)&path, sizeof path) < 0 && errno == ECONNREFUSED);
        int three = socket(AF_UNIX, SOCK_DGRAM, 0);
        need(bind(three, (void *)&name, offsetof(struct sockaddr_un, sun_path) + sizeof "NAME") == 0);
        need(sendto(udp, "x", 1, 0, NULL, 0) < 0 || 1);
        "#;
    let directory = program("trace-sockets", "", &statements.replace("NAME", &name));
    let seen = seen(&directory);
    let sockets: Vec<_> = seen.sockets.keys().map(|socket| format!("{socket:?}")).collect();
    assert_eq!(
        sockets,
        [
            "Bound { address: 127.0.0.1:0, stream: true }".to_owned(),
            "Connected { address: 127.0.0.1:9, stream: false }".to_owned(),
            format!("Abstract({:?})", name.as_bytes()),
        ]
    );
    assert_eq!(
        below(&seen, directory.path()),
        ["none: Nothing [Missing]", "socket: Nothing [Made, Connected]"]
    );
}

#[test]
fn a_low_port_needs_a_capability() {
    if !needs(Need::Root) {
        return;
    }
    let directory = program(
        "trace-port",
        "",
        r"
        need(unshare(CLONE_NEWNET) == 0);
        struct sockaddr_in6 low = { AF_INET6, htons(80) };
        int tcp = socket(AF_INET6, SOCK_STREAM, 0);
        need(bind(tcp, (void *)&low, sizeof low) == 0);
        ",
    );
    let seen = seen(&directory);
    let sockets: Vec<_> = seen.sockets.keys().map(|socket| format!("{socket:?}")).collect();
    assert_eq!(sockets, ["Bound { address: [::]:80, stream: true }"]);
    // SYS_ADMIN for the namespace.
    assert_eq!(seen.capabilities.keys().copied().collect::<Vec<_>>(), [10, 21]);
    assert_eq!(seen.capabilities[&10].call, "bind");
}
