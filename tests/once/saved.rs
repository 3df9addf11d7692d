//! What options amount to, as a manifest that does the same.

use crate::common::{Need, needs};
use crate::{once, place};

#[test]
fn a_saved_manifest_does_what_its_options_do() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-save");
    let script = "cat /d/file; ls /x; echo \"$A\"; ulimit -n; uname -n; stat -c %a /y; cat /proc/mounts | cut -d' ' -f2 | grep -v ^/proc | sort";
    let options = [
        "--ro-bind",
        "data",
        "/d",
        "--tmpfs",
        "/x",
        "--dir",
        "/x/inner",
        "--setenv",
        "A",
        "a \"b\"\n\\c",
        "--rlimit",
        "nofile=64:128",
        "--hostname",
        "saved",
        "--perms",
        "0700",
        "--dir",
        "/y",
    ];
    let run = once(&dir, options.into_iter().chain(["sh", "-c", script])).output();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    once(&dir, options.into_iter().chain(["--save", "saved.toml", "sh", "-c", script])).expect(0, "", "");
    let mut again = dir.stockade(["run", "./saved.toml"]);
    again.inner.env("STOCKADE_RUN_DIR", dir.join("run"));
    let again = again.output();
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    assert_eq!(again.stdout, run.stdout);
    // And it is a manifest like any other.
    dir.stockade(["check", "./saved.toml"]).expect(0, "./saved.toml: ok\n", "");
}
