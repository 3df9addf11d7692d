//! `list`: what runs.

use crate::support::{Jail, children, finish};
use crate::{expect, stockade, told};

#[test]
fn what_runs_is_listed_and_what_does_not_is_not() {
    let jail = Jail::shell("listed", "");
    expect(&jail, &["list"], 0, "", "");
    expect(&jail, &["list", "--names"], 0, "", "");
    expect(&jail, &["list", "--json"], 0, "{\n  \"format\": 1,\n  \"jails\": []\n}\n", "");
    let mut running = jail.start(&["sleep 1000 & sleep 1000 & echo ready; wait"]);
    running.expect("ready");
    let table = told(&jail, &["list"]);
    let rows: Vec<Vec<&str>> = table.lines().iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "STATE", "PID", "UPTIME", "MEMORY", "TASKS"]);
    assert_eq!(rows[1][..3], ["listed", "running", &running.program().to_string()]);
    // PID 1, the shell, and its two.
    assert_eq!((rows[1].last(), rows.len()), (Some(&"4"), 2), "{table:?}");
    expect(&jail, &["list", "--names"], 0, "listed\n", "");
    let json: serde_json::Value =
        serde_json::from_str(&told(&jail, &["list", "--json", "listed"]).stdout).unwrap();
    let [row] = json["jails"].as_array().unwrap().as_slice() else { panic!("{json}") };
    for (member, expected) in [
        ("name", "listed".into()),
        ("instance", format!("listed@{}", running.pid()).into()),
        ("state", "running".into()),
        ("pid", running.program().into()),
        ("supervisor", running.pid().into()),
        ("first", running.first().into()),
        ("tasks", 4.into()),
    ] {
        let expected: serde_json::Value = expected;
        assert_eq!(row[member], expected, "{member}");
    }
    assert!(row["memory"].as_u64().unwrap() > 0 && row["uptime"].as_u64().is_some(), "{row}");
    assert!(row["tree"].as_str().unwrap().ends_with("state/listed/generations/1/tree"), "{row}");
    // Somebody else is asked for, by name and by manifest.
    expect(&jail, &["list", "other"], 1, "", "");
    expect(&jail, &["list", "--names", jail.manifest().to_str().unwrap()], 0, "listed\n", "");
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.wait();
    expect(&jail, &["list"], 0, "", "");
}

#[test]
fn a_stopped_program_is_told() {
    let jail = Jail::shell("halted", "");
    let mut running = jail.start(&["echo ready; sleep 1000"]);
    running.expect("ready");
    let program = nix::unistd::Pid::from_raw(running.program());
    nix::sys::signal::kill(program, nix::sys::signal::Signal::SIGSTOP).unwrap();
    crate::support::until("the stop", || {
        let listed = told(&jail, &["list"]).stdout;
        listed.contains(" stopped ").then_some(())
    });
    expect(&jail, &["stop", "--timeout=0", "halted"], 0, "", "killed jail `halted`\n");
    running.wait();
}

#[test]
fn a_program_that_is_pid_1_is_listed_as_such() {
    let jail = Jail::shell("bare", "program.init = false");
    let mut running = jail.start(&["echo ready; sleep 1000; exit 0"]);
    running.expect("ready");
    let listed = told(&jail, &["list"]);
    assert!(listed.lines()[1].starts_with(&format!("bare  running  {}  ", running.first())), "{listed:?}");
    expect(&jail, &["stop", "--timeout=0", "bare"], 0, "", "killed jail `bare`\n");
    assert_eq!(running.wait(), 137);
}

#[test]
fn runs_of_one_jail_have_names_of_their_own() {
    let jail = Jail::shell("twice", "");
    let mut runs: Vec<_> = (0..2).map(|_| jail.start(&["echo ready; exec sleep 1000"])).collect();
    for run in &mut runs {
        run.expect("ready");
    }
    let mut pids: Vec<i32> = runs.iter().map(crate::support::Running::pid).collect();
    let names = told(&jail, &["list", "--names", "twice"]);
    let mut expected: Vec<String> = pids.iter().map(|pid| format!("twice@{pid}")).collect();
    let mut found = names.lines();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    // One of them, by its supervisor, by PID 1, or by its program.
    let one = [runs[0].pid(), runs[0].first(), children(runs[0].first())[0]];
    for number in one {
        let name = format!("twice@{number}");
        expect(&jail, &["list", "--names", &name], 0, "twice\n", "");
    }
    let name = format!("twice@{}", runs[0].program());
    expect(&jail, &["stop", &name], 0, "", "stopped jail `twice`\n");
    assert_eq!(runs[0].wait(), 143);
    pids.remove(0);
    expect(&jail, &["list", "--names"], 0, "twice\n", "");
    expect(&jail, &["stop", "--all"], 0, "", "stopped jail `twice`\n");
    assert_eq!(runs[1].wait(), 143);
}

/// Each jail that is found is held by two descriptors.
#[test]
fn where_descriptors_are_short_no_jail_that_runs_is_passed_over() {
    let jail = Jail::shell("many", "");
    let mut running: Vec<_> = (0..3).map(|_| jail.start(&["echo ready; sleep 1000"])).collect();
    for running in &mut running {
        running.expect("ready");
    }
    let listed = |limit: u32, words: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh"]);
        let asked = stockade(&jail, words);
        command.arg(asked.get_program()).args(asked.get_args());
        command.envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?))));
        finish(&mut command)
    };
    let is_short = |ended: &crate::support::Ended| {
        let told = ended.stderr.starts_with("error: cannot find out which jails run\n  why: `")
            && ended.stderr.ends_with("\nhint: too many open files: raise the limit, see `ulimit -n`\n");
        told && (ended.code, ended.stdout.as_str()) == (Some(125), "")
    };
    let all = |ended: &crate::support::Ended| {
        ended.code == Some(0) && ended.stdout.matches("\"state\": \"running\"").count() == running.len()
    };
    // From what is too little for the first to what is enough for all.
    let answers: Vec<_> = (4..20).map(|limit| listed(limit, &["list", "--json"])).collect();
    assert!(answers.iter().all(|ended| is_short(ended) || all(ended)), "{answers:#?}");
    assert!(answers.first().is_some_and(is_short) && answers.last().is_some_and(all), "{answers:#?}");
    let stopped = listed(8, &["stop", "--all"]);
    assert!(is_short(&stopped), "{stopped:?}");
    for mut running in running {
        running.signal(nix::sys::signal::Signal::SIGTERM);
        running.wait();
    }
}
