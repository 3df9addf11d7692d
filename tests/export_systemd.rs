//! `stockade export systemd`: a unit that systemd takes, with the reason of each line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod common;

use common::{Dir, Need, needs};

/// Whether root's units are for the system's manager, and an ordinary user's for its own.
fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A jail with what units have to say something about, in a directory whose name is not easily written.
fn jail(name: &str) -> Dir {
    let dir = Dir::new(name);
    dir.write(
        "a %n $x/w'\\.toml",
        "name = \"web\"\nsummary = \"100% \\\\\"\nprogram.command = [\"/bin/true\"]\n\
         namespaces.network = \"host\"\nlimits = { memory = \"64M\", tasks = 8 }\n",
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
# Started is what has been executed: stockade says so, and stays in the foreground, also with `type = "forking"`.
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
# Limits (memory, tasks) are held by a control group that stockade makes below the unit's own, which is handed to it for that.
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

#[test]
fn systemd_takes_the_unit() {
    if !needs(Need::Program("systemd-analyze")) {
        return;
    }
    let dir = jail("export-verify");
    let unit = dir.join("stockade-web.service");
    let named = unit.display().to_string();
    dir.stockade(["export", "systemd", "-o", &named, MANIFEST]).expect(0, "", "");
    let mut verify = std::process::Command::new("systemd-analyze");
    if !is_root() {
        verify.arg("--user").env("XDG_RUNTIME_DIR", dir.path());
    }
    let output = verify.arg("verify").arg(&unit).output().unwrap();
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
}
