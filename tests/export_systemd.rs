//! `stockade export systemd`: a unit that systemd takes, with the reason of each line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod common;

use common::{Dir, Need, is_root, needs};

/// A jail with what units have to say something about, in a directory whose name is not easily written.
fn jail(name: &str) -> Dir {
    let dir = Dir::new(name);
    dir.write(
        "a %n $x/w'\\.toml",
        "name = \"web\"\nsummary = \"100% \\\\\"\nprogram.command = [\"/bin/true\"]\n\
         namespaces.network = \"host\"\nlimits = { memory = \"64M\", tasks = 8, allowed_cpus = [0] }\n",
    );
    dir
}

const MANIFEST: &str = "./a %n $x/w'\\.toml";

#[test]
fn a_unit_says_all_that_starts_the_jail_and_why() {
    let dir = jail("export");
    let here = dir.path().display();
    let (network, wanted, place, command) = if is_root() {
        let network = "# The jail has the host's network (./a %n $x/w'\\\\.toml:4), which must be there before, and go after.\n\
                       After=network.target\n";
        (network, "multi-user.target", "/etc/systemd/system", "systemctl")
    } else {
        ("", "default.target", "~/.config/systemd/user", "systemctl --user")
    };
    let binary = common::binary().display().to_string();
    dir.stockade(["export", "systemd", "--set=program.environment.A=$B %n", MANIFEST]).expect(
        0,
        &format!(
            r#"# Jail `web`, as {here}/a %n $x/w'\\.toml describes it: made by `stockade export systemd`.
# Put it in {place}/stockade-web.service, then: {command} daemon-reload && {command} enable --now stockade-web

[Unit]
# The manifest's summary.
Description=100%%
# The manifest, and the place of the trees, may be on file systems of their own.
RequiresMountsFor="{here}/a %%n $x/w'\\.toml" {here}/state
{network}
[Service]
# stockade says when it is started: executed, gone into the background, or by its own words, as its `type` is.
Type=notify
# It was set when this unit was made.
Environment="STOCKADE_STATE_DIR={here}/state"
# By absolute paths: a service has no working directory.
ExecStart={binary} run --set "program.environment.A=$$B %%n" "{here}/a %%n $$x/w'\\.toml"
# SIGTERM goes to stockade alone, which passes it on to the program; what is left in the end is killed, all of it.
KillMode=mixed
# How long the program has for ending by itself.
TimeoutStopSec=30s
# The exit code is 128 and the signal when the program ends by SIGHUP, SIGINT or SIGTERM, as it does when it is stopped.
SuccessExitStatus=129 130 143
# A program that crashes is started again, and so is one that reached a limit.
Restart=on-failure
# A second between, so that a program that fails at once does not use up the starts that are allowed.
RestartSec=1s
# Limits (memory, tasks, allowed_cpus) are held by a control group that stockade makes below the unit's own, which is handed to it for that.
Delegate=yes

[Install]
# Started with the system's other services, once it is enabled.
WantedBy={wanted}
"#
        )
        .replace(&format!("\"STOCKADE_STATE_DIR={here}/state\""), &format!("STOCKADE_STATE_DIR={here}/state")),
        "",
    );
}

/// A jail that is started by its sockets and watched.
fn activated(name: &str) -> Dir {
    let dir = Dir::new(name);
    dir.write(
        "web.toml",
        "program.command = [\"/bin/true\"]\nprogram.type = \"notify\"\nprogram.watchdog = \"1m30s\"\nprogram.sockets = true\n\
         program.listen = [\n    \"8080\",\n    \"datagram:192.0.2.1:53\",\n    \"/run/a %n.sock\",\n    \"@web\",\n]\n",
    );
    dir
}

#[test]
fn sockets_have_a_unit_of_their_own() {
    let dir = activated("export-socket");
    let here = dir.path().display();
    let (wanted, place, command) = if is_root() {
        ("multi-user.target", "/etc/systemd/system", "systemctl")
    } else {
        ("default.target", "~/.config/systemd/user", "systemctl --user")
    };
    let socket = format!(
        r"# Jail `web`, as {here}/web.toml describes it: made by `stockade export systemd-socket`.
# Put it in {place}/stockade-web.socket, then: {command} daemon-reload && {command} enable --now stockade-web.socket

[Unit]
# The manifest has no summary.
Description=jail web

[Socket]
# Whoever connects here starts stockade-web.service, which is given the socket (./web.toml:6).
ListenStream=8080
# Who sends something here starts stockade-web.service, which is given the socket (./web.toml:7).
ListenDatagram=192.0.2.1:53
# Whoever connects here starts stockade-web.service, which is given the socket (./web.toml:8).
ListenStream=/run/a %%n.sock
# Whoever connects here starts stockade-web.service, which is given the socket (./web.toml:9).
ListenStream=@web
# An address may come to this host later than the socket does.
FreeBind=yes

[Install]
# It listens from early on, once it is enabled.
WantedBy=sockets.target
"
    );
    dir.stockade(["export", "systemd-socket", "./web.toml"]).expect(0, &socket, "");
    // Into a directory go both.
    let output = dir.path().display().to_string();
    dir.stockade(["export", "systemd", "-o", &output, "./web.toml"]).expect(0, "", "");
    assert_eq!(std::fs::read_to_string(dir.join("stockade-web.socket")).unwrap(), socket);
    let service = std::fs::read_to_string(dir.join("stockade-web.service")).unwrap();
    dir.stockade(["export", "systemd", "./web.toml"]).expect(0, &service, "");
    for part in [
        format!("\n# Put it in {place}/stockade-web.service, then: {command} daemon-reload && {command} enable --now stockade-web.socket\n"),
        "\n# The program's sockets are made by this one, also when it is started by hand.\n\
         Requires=stockade-web.socket\nAfter=stockade-web.socket\n\n[Service]\n"
            .to_owned(),
        "\n# A program that has not said for so long that it is well is ended, and started again (./web.toml:3).\n\
         WatchdogSec=90s\n\
         # All of it at once: a program that hangs hears nothing, and a core file would be stockade's own.\n\
         WatchdogSignal=SIGKILL\n"
            .to_owned(),
        "\n[Install]\n# Started by its sockets, which are enabled with it.\nAlso=stockade-web.socket\n".to_owned(),
    ] {
        assert!(service.contains(&part), "{service}\nwithout\n{part}");
    }
    assert!(!service.contains(wanted), "{service}");
}

#[test]
fn systemd_takes_the_units() {
    if !needs(Need::Program("systemd-analyze")) {
        return;
    }
    let plain = jail("export-verify");
    verify(&plain, MANIFEST, &["stockade-web.service"]);
    let sockets = activated("export-verify-socket");
    verify(&sockets, "./web.toml", &["stockade-web.service", "stockade-web.socket"]);
}

/// Writes a jail's units into a directory and has systemd look at them.
#[track_caller]
fn verify(dir: &Dir, manifest: &str, units: &[&str]) {
    let place = dir.path().display().to_string();
    dir.stockade(["export", "systemd", "-o", &place, manifest]).expect(0, "", "");
    let mut verify = std::process::Command::new("systemd-analyze");
    if !is_root() {
        verify.arg("--user").env("XDG_RUNTIME_DIR", dir.path());
    }
    // Units that they name are looked for beside them.
    verify.env("SYSTEMD_UNIT_PATH", format!("{place}:"));
    let output = verify.arg("verify").args(units.iter().map(|unit| dir.join(unit))).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // What it says of other units of the host is not about this one.
    let about: Vec<_> = said.lines().filter(|line| line.contains("stockade-web")).collect();
    assert_eq!((about, output.status.code()), (Vec::<&str>::new(), Some(0)), "{said}");
}

#[test]
fn what_cannot_be_written_is_said() {
    let dir = jail("export-usage");
    dir.stockade(["export", "openrc", "web"]).expect(
        2,
        "",
        "error: `openrc` is nothing that can be written\nhint: write `stockade export systemd web`\n",
    );
    dir.stockade(["export", "systemd"]).expect(
        2,
        "",
        "error: a format and a jail are wanted\nhint: write `stockade export systemd JAIL`\n",
    );
    let dir = jail("export-listens");
    dir.stockade(["export", "systemd-socket", MANIFEST]).expect(
        1,
        "",
        "error: nobody listens for jail `web`\n  why: its manifest names no address\n\
         hint: write `sockets = true` and `listen = [\"127.0.0.1:8080\"]` under `[program]`\n",
    );
}

/// As on a full disk, whoever runs this: no file may be written to at all.
#[test]
fn a_unit_that_cannot_be_written_whole_leaves_the_old_one() {
    let dir = Dir::new("export-full");
    dir.write("web.toml", "program.command = [\"/bin/true\"]\n");
    dir.write("units/web.service", "the old one");
    let units = dir.join("units");
    let unit = units.join("web.service");
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"])
        .arg(common::binary())
        .args(["export", "systemd", "-o"])
        .args([&unit, &dir.join("web.toml")])
        .env("STOCKADE_STATE_DIR", dir.join("state"))
        .output()
        .unwrap();
    let expected = format!(
        "error: cannot write the unit `{}`\n  why: File too large (EFBIG)\nhint: name a file that you may write\n",
        unit.display()
    );
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
        (Some(125), expected.as_str())
    );
    assert_eq!(std::fs::read_to_string(&unit).unwrap(), "the old one");
    assert_eq!(std::fs::read_dir(&units).unwrap().count(), 1, "nothing is left beside it");
    dir.stockade(["export", "systemd", "-o", "/dev/full", "./web.toml"]).expect(
        125,
        "",
        "error: cannot write the unit `/dev/full`\n  why: No space left on device (ENOSPC)\n\
         hint: its file system is full (blocks or inodes); see df(1) with and without `-i`\n",
    );
}
