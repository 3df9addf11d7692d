//! `--set` and words after `--`: they meet the manifest before it is checked, and win.

use stockade::manifest::{self, Request};
use stockade::plan::Origin;

use super::common::Dir;

const WEB: &str = "[program]\ncommand = [\"/bin/true\"]\nnice = 1\n[tree]\nfiles = [\"/a\", \"/b\"]\n";

#[test]
fn options_win() {
    let dir = Dir::new("set");
    dir.write("jails/web.toml", WEB);
    let request = Request {
        jail: dir.join("jails/web.toml").into(),
        sets: [
            "program.nice=5",
            "tree.files=[\"/c\"]",
            "namespaces.hostname=7",
            "program.umask=027",
            "program.environment.TZ=UTC",
            "limits.open_files=10",
            "limits.open_files=20",
        ]
        .map(String::from)
        .to_vec(),
        extra_arguments: vec!["--flag".into()],
    };
    let manifest = manifest::load(&request).unwrap().manifest;
    let nice = manifest.program.nice.unwrap();
    assert_eq!((nice.value, nice.origin), (5, Origin::CommandLine("--set program.nice=5".into())));
    assert_eq!(manifest.tree.files.len(), 1);
    assert_eq!(manifest.namespaces.hostname.unwrap().value, "7");
    assert_eq!(manifest.program.umask.unwrap().value.to_string(), "0027");
    assert_eq!(manifest.program.environment["TZ"].value, "UTC");
    assert_eq!(manifest.limits.resources[0].value.soft, Some(20));
    assert_eq!(manifest.program.extra_arguments, ["--flag"]);
    assert_eq!(manifest.program.command.unwrap().value, ["/bin/true"]);
}

#[test]
fn a_wrong_option_is_shown_as_typed() {
    let dir = Dir::new("set");
    dir.write("jails/web.toml", WEB)
        .stockade([
            "plan",
            "web",
            "--set=program.nise=5",
            "--set",
            "program.nice=warm",
            "--set",
            "x",
            "--set=.a=1",
            "--set=include=[]",
        ])
        .expect(
            1,
            "",
            r"error: the option gives no value
  --> --set x
hint: write `--set x=VALUE`

error: `.a` is not a key
  --> --set .a=1
hint: write `--set program.nice=5`

error: `include` can be set in a file only
  --> --set include=[]
hint: a list set by an option replaces the manifest's

3 errors in jails/web.toml
",
        );
    dir.stockade(["plan", "web", "--set=program.nise=5", "--set", "program.nice=warm"]).expect(
        1,
        "",
        r"error: `nice` must be a number, this is text
  --> --set program.nice=warm
hint: for example `nice = 5`

error: unknown key `nise` in `[program]`
  --> --set program.nise=5
hint: did you mean `nice`?

2 errors in jails/web.toml
",
    );
}
