//! What of /sys a jail shows: nothing unless it is asked for, and then processors, memory and its own network devices.

use std::fs;
use std::path::Path;

use crate::support::{Jail, is_root};

/// What the masked one has something in, see README; below these everything is as on the host.
const SHOWN: [&str; 8] = [
    "/sys/class/net",
    "/sys/devices/system",
    "/sys/devices/virtual/net",
    "/sys/kernel/address_bits",
    "/sys/kernel/cgroup",
    "/sys/kernel/cpu_byteorder",
    "/sys/kernel/fscaps",
    "/sys/kernel/mm",
];

/// The jails that a masked /sys is looked at in: of whoever runs the test, and of root with the rights of the host's.
fn jails() -> impl Iterator<Item = Jail> {
    let as_root = "program.user = \"root\"\nprivileges.capabilities = [\"DAC_OVERRIDE\", \"SYSLOG\"]";
    let jails = ["", as_root].map(str::to_owned).into_iter();
    let of_the_host = is_root().then(|| format!("{as_root}\nnamespaces.user = false"));
    jails.chain(of_the_host).map(|more| Jail::shell("sys", &format!("root.sys = \"masked\"\n{more}")))
}

#[test]
fn nothing_of_it_is_there_unless_asked_for() {
    let script = "[ -e /sys ] && echo there; exit 0";
    Jail::shell("sys", "").expect(&[script], 0, "");
    Jail::shell("sys", "root.sys = \"none\"").expect(&[script], 0, "");
}

/// Directories that are gone through one by one.
const LISTED: [&str; 6] =
    ["/sys", "/sys/class", "/sys/devices", "/sys/devices/virtual", "/sys/fs", "/sys/kernel"];

#[test]
fn what_is_not_known_as_harmless_is_covered() {
    let shown = SHOWN.map(|path| format!("-path {path} -prune")).join(" -o ");
    // Whatever can be read or leads somewhere, and then every directory.
    let script = format!(
        "find /sys \\( {shown} \\) -o ! -type d -print 2>/dev/null | while read -r path; do \
         head -c 1 $path 2>/dev/null; [ -L $path ] && echo $path; done; \
         find /sys \\( {shown} \\) -o -type d -print | sort"
    );
    // Those of the host that are gone through, and nothing in any of the others.
    let mut directories = vec!["/sys".to_owned()];
    for listed in LISTED {
        for entry in fs::read_dir(listed).unwrap() {
            let path = entry.unwrap().path().display().to_string();
            if Path::new(&path).is_dir() && !SHOWN.contains(&path.as_str()) {
                directories.push(path);
            }
        }
    }
    directories.sort();
    let expected = directories.join("\n") + "\n";
    for jail in jails() {
        jail.expect(&[&script], 0, &expected);
    }
    // The host has more: the test can fail.
    assert!(fs::read_dir("/sys/bus").unwrap().next().is_some());
    assert!(Path::new("/sys/kernel/notes").exists());
}

#[test]
fn processors_and_the_settings_of_memory_are_the_hosts() {
    let script = "cat /sys/devices/system/cpu/online /sys/kernel/mm/transparent_hugepage/enabled";
    let read = |path: &str| fs::read_to_string(path).unwrap();
    let expected =
        read("/sys/devices/system/cpu/online") + &read("/sys/kernel/mm/transparent_hugepage/enabled");
    for jail in jails() {
        jail.expect(&[script], 0, &expected);
    }
}

#[test]
fn nothing_in_it_can_be_written() {
    let script = "for f in kernel/mm/transparent_hugepage/enabled kernel/mm/ksm/run kernel/uevent_helper devices/system/cpu/cpu1/online; do \
                  (echo never > /sys/$f) 2>/dev/null && echo $f; done; exit 0";
    for jail in jails() {
        jail.expect(&[script], 0, "");
    }
}

#[test]
fn network_devices_are_those_of_the_jails_network() {
    for jail in jails() {
        jail.expect(&["ls /sys/class/net; cat /sys/class/net/lo/ifindex"], 0, "lo\n1\n");
    }
    let jail = Jail::shell("sys", "root.sys = \"masked\"\nnamespaces.network = \"host\"");
    if is_root() {
        let mut devices: Vec<_> = fs::read_dir("/sys/class/net")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        devices.sort();
        jail.expect(&["ls /sys/class/net"], 0, &format!("{}\n", devices.join("\n")));
    } else {
        let manifest = jail.manifest();
        let line = fs::read_to_string(&manifest).unwrap().lines().position(|line| line.contains("root.sys"));
        let at = line.unwrap() + 1;
        assert_eq!(
            jail.refused(&["true"]),
            format!(
                "error: an ordinary user's jail cannot have a /sys and the host's network
  --> {}:{at}:12
{at:>5} | root.sys = \"masked\"
      |            ^^^^^^^^
  why: it shows network devices, so it is mounted by whoever owns their namespace: the host's root
hint: leave `sys` out, or say `network = \"none\"` under `[namespaces]`
",
                manifest.display()
            )
        );
    }
}
