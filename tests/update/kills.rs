//! Builds killed at random moments. `STOCKADE_KILLS` says how many (default 20).

use super::common::Numbers;
use super::*;

#[test]
fn a_build_killed_at_any_moment_leaves_the_old_tree_or_the_new_one() {
    let kills: u32 = std::env::var("STOCKADE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let dir = jail("update-killed");
    let mut files = String::new();
    let here = dir.path().display().to_string();
    for number in 0..40 {
        let _ = writeln!(files, "  {{ path = \"{here}/data/{number}\", target = \"/data/{number}\" }},");
        // What never changes stands between what does, so that a tree has files of both kinds.
        dir.write(format!("data/{number}"), vec![b'x'; 30_000]);
    }
    common::compile_static(&dir.join("program"), READER);
    let text = manifest(&dir, "");
    dir.write("web.toml", text.strip_suffix("]\n").unwrap().to_owned() + &files + "]\n");
    let version = |number: u32| {
        for at in (0..40).step_by(2) {
            dir.write(format!("data/{at}"), format!("version {number}\n"));
        }
    };
    // Moments are drawn from a little more than the time that a build of this kind takes. Nothing is asserted of it.
    let mut span = Duration::MAX;
    for _ in 0..3 {
        version(0);
        let began = Instant::now();
        succeeds(&dir, &["build", "./web.toml"]);
        span = span.min(began.elapsed());
    }
    let mut numbers = Numbers(11);
    let (mut old, mut new, mut landed) = (0, 0, 0);
    let mut current = 0;
    for kill in 1..=kills {
        version(kill);
        let mut command = dir.stockade(["build", "./web.toml"]).inner;
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(span * numbers.below(1100) as u32 / 1000);
        landed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let said = said(&dir);
        match said.as_str() {
            text if text == format!("version {current}\n") => old += 1,
            text if text == format!("version {kill}\n") => {
                new += 1;
                current = kill;
            }
            text => panic!("kill {kill}: {text:?} is neither version {current} nor {kill}"),
        }
        // What a verification finds is the upgrade at most.
        let verified = dir.stockade(["verify", "web"]).output();
        assert!(!verified.stdout.is_empty() && verified.stderr.is_empty(), "{}", verified.stderr);
        let stale = verified.stdout.lines().last().unwrap().contains(": 0 altered, 0 missing, 0 added, ");
        assert!(verified.code == Some(0) || stale, "{}", verified.stdout);
    }
    println!("{kills} kills, {landed} of them before the end: {old} left the old tree, {new} the new one");
    assert!(kills < 20 || (old > 0 && landed > 0), "none was in time");
    succeeds(&dir, &["build", "./web.toml"]);
    assert_eq!(said(&dir), format!("version {kills}\n"));
    succeeds(&dir, &["remove", "web"]);
    let left: Vec<_> =
        fs::read_dir(dir.join("state")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == ".run"), "{left:?}");
}

/// Says what is in the files that change, once if it is the same in all of them, and each that differs; and that the others are whole.
const READER: &str = r#"
#include <stdio.h>
#include <string.h>
int main(void) {
    static char first[100], text[40000], path[100];
    for (int at = 0; at < 40; at++) {
        snprintf(path, sizeof path, "/data/%d", at);
        FILE *file = fopen(path, "r");
        size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
        text[length] = 0;
        if (at % 2) {
            if (length != 30000 || strspn(text, "x") != 30000) printf("%s is not whole\n", path);
        } else if (at == 0) {
            strcpy(first, text);
            fputs(text, stdout);
        } else if (strcmp(first, text)) {
            printf("%s: %s", path, text);
        }
        if (file) fclose(file);
    }
}
"#;
