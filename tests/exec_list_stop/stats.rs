//! `stats`: what a jail uses.

use crate::support::{Jail, Running, is_root, until};
use crate::{expect, stockade, told};

#[test]
fn what_a_jail_uses_is_told() {
    let jail = Jail::shell("used", "");
    expect(&jail, &["stats"], 0, "", "");
    expect(&jail, &["stats", "--watch"], 0, "", "");
    expect(&jail, &["stats", "used"], 1, "", "");
    // A second of work, then none.
    let mut running = jail.start(&["busybox sleep 1000 & echo ready; while :; do :; done"]);
    running.expect("ready");
    let look = || -> serde_json::Value {
        serde_json::from_str(&told(&jail, &["stats", "--json", "used"]).stdout).unwrap()
    };
    until("some work", || (look()["jails"][0]["time"].as_f64()? > 0.05).then_some(()));
    let stats = look();
    let [row] = stats["jails"].as_array().unwrap().as_slice() else { panic!("{stats}") };
    // PID 1, the shell, its sleep.
    assert_eq!((&row["processes"], &row["tasks"]), (&3.into(), &3.into()), "{row}");
    assert!(row["memory"].as_u64().unwrap() > 4096, "{row}");
    assert_eq!(row["instance"], format!("used@{}", running.pid()));
    let table = told(&jail, &["stats"]);
    assert!(table.stdout.starts_with("NAME  CPU  TIME"), "{table:?}");
    // Watched until it ends: the second look knows what was used since the first.
    let mut watch = Running::start(&mut stockade(&jail, &["stats", "--watch", "--json"]));
    let mut next = || -> serde_json::Value { serde_json::from_str(&watch.line()).unwrap() };
    let looks = [next(), next()];
    assert!(looks[0]["jails"][0]["processors"].is_null(), "{looks:?}");
    assert!(looks[1]["jails"][0]["processors"].as_f64() > Some(0.001), "{looks:?}");
    expect(&jail, &["stop", "used"], 0, "", "stopped jail `used`\n");
    assert_eq!(watch.wait(), 0);
    running.wait();
}

#[test]
fn control_groups_tell_where_there_are_some() {
    if !is_root() {
        return;
    }
    let jail = Jail::shell("counted", "limits.memory = \"64M\"");
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let stats: serde_json::Value = serde_json::from_str(&told(&jail, &["stats", "--json"]).stdout).unwrap();
    let row = &stats["jails"][0];
    assert_eq!(row["memory_counted"], "cgroup", "{row}");
    assert!(row["peak"].as_u64().unwrap() >= row["memory"].as_u64().unwrap() / 2, "{row}");
    // The sum over its processes would have what they share with the supervisor as well.
    until("the list tells the same", || {
        let memory = |verb| {
            let told: serde_json::Value =
                serde_json::from_str(&told(&jail, &[verb, "--json"]).stdout).unwrap();
            told["jails"][0]["memory"].as_u64().unwrap()
        };
        (memory("list") == memory("stats")).then_some(())
    });
    expect(&jail, &["stop", "counted"], 0, "", "stopped jail `counted`\n");
    running.wait();
}
