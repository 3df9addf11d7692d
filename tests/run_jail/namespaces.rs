//! A jail has namespaces of its own: which differ from the host's, and what is in them.

use std::fs;

use crate::support::{Jail, is_root};

/// Every namespace but the user's, as /proc names them.
const ALL: [&str; 6] = ["mnt", "pid", "ipc", "uts", "cgroup", "net"];

/// Which namespaces of a jail are the host's.
fn shared(jail: &Jail) -> Vec<String> {
    let ended = jail.run(&["cd /proc/self/ns; for name in mnt pid ipc uts cgroup net user; do echo $name $(readlink $name); done"]);
    let lines = ended.lines();
    assert_eq!(lines.len(), 7);
    let mut shared = Vec::new();
    for line in lines {
        let (name, inside) = line.split_once(' ').unwrap();
        let outside = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        if outside.to_str() == Some(inside) {
            shared.push(name.to_owned());
        }
    }
    shared
}

/// What is shared with the host beside `names`: a jail of root's that has the host's network has no user namespace.
fn with_user(names: &[&'static str]) -> Vec<&'static str> {
    names.iter().copied().chain(is_root().then_some("user")).collect()
}

#[test]
fn every_namespace_is_new() {
    assert_eq!(shared(&Jail::shell("new", "")), [""; 0]);
    assert_eq!(shared(&Jail::shell("none", "namespaces.network = \"none\"")), [""; 0]);
}

#[test]
fn a_namespace_is_shared_when_asked_for() {
    for name in ["ipc", "uts", "cgroup"] {
        let jail = Jail::shell("share", &format!("namespaces.{name} = \"host\""));
        assert_eq!(shared(&jail), [name]);
    }
    assert_eq!(shared(&Jail::shell("share", "namespaces.network = \"host\"")), with_user(&["net"]));
    let all = "namespaces = { ipc = \"host\", uts = \"host\", cgroup = \"host\", network = \"host\" }";
    assert_eq!(shared(&Jail::shell("share", all)), with_user(&ALL[2..]));
    // Asked for the other way round.
    if is_root() {
        assert_eq!(shared(&Jail::shell("share", "namespaces.user = false")), ["user"]);
        let both = "namespaces = { user = true, network = \"host\" }";
        assert_eq!(shared(&Jail::shell("share", both)), ["net"]);
    }
}

#[test]
fn what_is_mounted_stays_whatever_capability_root_inside_has() {
    if !is_root() {
        // An ordinary user's mounts are made in its own user namespace, and stay by Landlock and the filter alone.
        return;
    }
    let more = "program.user = \"root\"
        privileges.capabilities = [\"SYS_ADMIN\", \"SYS_CHROOT\", \"DAC_OVERRIDE\"]
        privileges.landlock = false
        privileges.system_calls = \"all\"
        mounts = [{ type = \"tmpfs\", target = \"/tmp\" }]";
    Jail::probe("held", more).expect(
        &["undo-mounts"],
        0,
        "remount: EPERM\nwrite: EROFS\nmount: EPERM\numount: EPERM\nopen_tree: EPERM\npivot_root: EPERM\n",
    );
}

#[test]
fn a_cgroup_namespace_begins_at_the_callers_own_cgroup() {
    let jail = Jail::shell("cgroup", "");
    for line in jail.run(&["cat /proc/self/cgroup"]).lines() {
        assert!(line.ends_with(":/"), "{line}");
    }
}

#[test]
fn a_network_of_its_own_has_loopback_and_nothing_else() {
    let jail = Jail::probe("lo", "");
    jail.expect(
        &["network"],
        0,
        "bind: ok\nlisten: ok\nconnect: ok\nwrite: ok\nread: ok\nhi\naway: ENETUNREACH\n",
    );
    let jail = Jail::shell("interfaces", "");
    jail.expect(&["sed '1,2d;s/:.*//;s/ *//' /proc/net/dev; ip -o addr | wc -l"], 0, "lo\n2\n");
}

#[test]
fn the_hosts_network_is_the_hosts() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let script = format!("exec 3<>/dev/null; nc 127.0.0.1 {port} </dev/null");
    let serve = std::thread::spawn(move || {
        use std::io::Write as _;
        server.accept().unwrap().0.write_all(b"from the host\n").unwrap();
    });
    Jail::shell("host-net", "namespaces.network = \"host\"").expect(&[&script], 0, "from the host\n");
    serve.join().unwrap();
}

#[test]
fn the_host_name_is_the_jails_name_or_what_the_manifest_says() {
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    Jail::shell("named", "").expect(&["hostname"], 0, "named\n");
    Jail::shell("named", "namespaces.hostname = \"web.example\"").expect(&["hostname"], 0, "web.example\n");
    Jail::shell("named", "namespaces.uts = \"host\"").expect(&["hostname"], 0, &before);
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
}

#[test]
fn system_v_memory_of_the_host_is_not_seen() {
    // The header line alone.
    Jail::shell("ipc", "").expect(&["wc -l < /proc/sysvipc/shm"], 0, "1\n");
}

#[test]
fn processes_of_the_host_are_not_seen() {
    // The shell alone; PID 1 is hidden from it.
    let jail = Jail::shell("processes", "");
    jail.expect(
        &["cd /proc; for p in [0-9]*; do read -r n < $p/comm; echo $p $n; done; echo $$"],
        0,
        "2 sh\n2\n",
    );
}
