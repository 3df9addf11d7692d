//! A judge of contests: programs that do every wrong thing, each ended by the limit that is for it, and the whole report of it; many
//! times, eight at once. STOCKADE_JUDGE_ROUNDS says how many times (1).

use std::fmt::Write as _;
use std::fs::{self, File};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::common::{Dir, Need, compile_static, difference, needs};
use crate::{once, place};

/// So many programs run at once.
const AT_ONCE: usize = 8;

/// How a program ends.
enum Ends {
    Exits(i64),
    Dies(i64),
    IsLate,
    TooMuch,
}

/// One of the programs of judge.c, with the options it is run with and what becomes of it.
struct Case {
    name: &'static str,
    options: &'static [&'static str],
    ends: Ends,
    /// The limit that ends it.
    by: Option<&'static str>,
    /// What it says.
    says: &'static str,
    /// Members of `used` that are no less than this.
    least: &'static [(&'static str, u64)],
}

use Ends::{Dies, Exits, IsLate, TooMuch};

/// Short for one.
const fn case(
    name: &'static str,
    options: &'static [&'static str],
    ends: Ends,
    by: Option<&'static str>,
) -> Case {
    Case { name, options, ends, by, says: "", least: &[] }
}

const CASES: &[Case] = &[
    Case { says: "42\n", ..case("right", &["--timeout=60s", "--cpu-time=30s", "--pids=1"], Exits(0), None) },
    case("wrong", &[], Exits(1), None),
    Case { least: &[("wall_ms", 300)], ..case("sleep", &["--timeout=300ms"], IsLate, Some("runtime_max")) },
    Case { least: &[("wall_ms", 300)], ..case("deaf", &["--timeout=300ms"], IsLate, Some("runtime_max")) },
    Case { least: &[("cpu_ms", 200)], ..case("spin", &["--cpu-time=200ms"], IsLate, Some("cpu_time_max")) },
    Case { least: &[("cpu_ms", 200)], ..case("split", &["--cpu-time=200ms"], IsLate, Some("cpu_time_max")) },
    Case { least: &[("cpu_ms", 200)], ..case("relay", &["--cpu-time=200ms"], IsLate, Some("cpu_time_max")) },
    case("nobody-waits", &["--cpu-time=200ms"], IsLate, Some("cpu_time_max")),
    // Without a control group: memory that cannot be had is an error that the program sees.
    case("eat", &["--rlimit=as=32M"], Exits(9), None),
    Case {
        least: &[("bytes_written", 64 << 10)],
        ..case("file", &["--file-size=64K"], Dies(25), Some("file_size"))
    },
    case("output", &["--file-size=64K"], Dies(25), Some("file_size")),
    Case { says: "No space left on device\n", ..case("disk", &["--tmp-size=64K"], Exits(7), None) },
    Case {
        least: &[("wall_ms", 300)],
        ..case("bomb", &["--pids=20", "--timeout=300ms"], IsLate, Some("runtime_max"))
    },
    case("stack", &["--rlimit=stack=1M"], Dies(11), None),
    case("abort", &[], Dies(6), None),
    case("divide", &[], Dies(8), None),
    case("pointer", &[], Dies(11), None),
    case("suicide", &[], Dies(9), None),
    // The signals of limits that there are not.
    case("raise-24", &[], Dies(24), None),
    case("raise-25", &[], Dies(25), None),
    case("pipe", &[], Dies(13), None),
    // What is left behind counts, and does not outlive it.
    case("orphans", &["--cpu-time=200ms"], IsLate, Some("cpu_time_max")),
    case("leaves", &["--timeout=30s"], Exits(0), None),
    case("closes", &["--timeout=300ms"], IsLate, Some("runtime_max")),
    case("stops", &["--timeout=300ms"], IsLate, Some("runtime_max")),
    case("threads", &["--cpu-time=200ms"], IsLate, Some("cpu_time_max")),
    case("output", &["--output-size=64K"], TooMuch, Some("output_size")),
];

/// What needs a control group.
const GROUPED: &[Case] = &[Case {
    least: &[("peak_together", 24 << 20)],
    ..case("eat", &["--memory=32M", "--timeout=60s"], Dies(9), Some("memory"))
}];

impl Case {
    /// Runs it; what is wrong with how that went.
    fn run(&self, dir: &Dir, number: usize) -> String {
        let (path, output) = (format!("{number}.json"), dir.join(format!("{number}.out")));
        let words = ["--report", &path].into_iter().chain(self.options.iter().copied());
        let mut command = once(dir, words.chain(["--", "./judge", self.name])).inner;
        let file = File::create(&output).unwrap();
        command.stderr(file.try_clone().unwrap()).stdout(file);
        let code = command.status().unwrap().code();
        let said = fs::read(&output).unwrap();
        let text = fs::read_to_string(dir.join(&path)).unwrap_or_default();
        let mut report: Value = serde_json::from_str(&text).unwrap_or_default();
        let used = std::mem::take(&mut report["used"]);
        for layer in report["layers"].as_array_mut().into_iter().flatten() {
            *layer = json!([layer["layer"], layer["state"]]);
        }
        let mut wrong = String::new();
        if report != self.report() {
            let both = [self.report(), report].map(|report| format!("{report:#}"));
            wrong += &difference(&both[0], &both[1]);
        }
        if code.map(i64::from) != Some(self.code()) {
            _ = writeln!(wrong, "exit code {code:?}");
        }
        // That a process was killed for lack of memory stockade tells itself, there.
        let expected = match self.name {
            "output" => vec![0; 64 << 10],
            _ if self.by == Some("memory") => said.clone(),
            _ => self.says.into(),
        };
        if said != expected {
            _ = writeln!(wrong, "said {:?}", String::from_utf8_lossy(&said));
        }
        for (member, least) in self.least {
            if used[member].as_u64().is_none_or(|found| found < *least) {
                _ = writeln!(wrong, "{member}: {}, expected {least} and more", used[member]);
            }
        }
        let names: Vec<_> = used.as_object().into_iter().flat_map(|used| used.keys()).collect();
        if names != USED {
            _ = writeln!(wrong, "{names:?}");
        }
        if wrong.is_empty() { wrong } else { format!("{} {:?}:\n{wrong}{used}\n", self.name, self.options) }
    }

    /// stockade's exit code.
    fn code(&self) -> i64 {
        match self.ends {
            Exits(status) => status,
            Dies(signal) => 128 + signal,
            IsLate => 124,
            TooMuch => 153,
        }
    }

    /// The end in words.
    fn message(&self) -> String {
        let how = match self.ends {
            Exits(status) => format!("exit status {status}"),
            Dies(signal) => format!("killed by signal {signal}"),
            IsLate => "time limit reached".to_owned(),
            TooMuch => "too much output".to_owned(),
        };
        self.by.map_or(how.clone(), |by| format!("{how}, by the limit `{by}`"))
    }

    /// The report but for what was used.
    fn report(&self) -> Value {
        let ended = match self.ends {
            Exits(status) => json!({ "how": "exited", "status": status }),
            Dies(signal) => json!({ "how": "signaled", "signal": signal }),
            IsLate => json!({ "how": "timed_out" }),
            TooMuch => json!({ "how": "signaled", "signal": 25 }),
        };
        let limits = match self.by {
            Some("memory") => json!([{ "limit": "memory", "amount": "32M", "effect": "killed", "times": 1 }]),
            _ => json!([]),
        };
        json!({
            "format": 1, "jail": "once", "ended": ended, "ended_by": self.by, "exit_code": self.code(),
            "changes": null,
            "message": self.message(), "network": "none", "layers": LAYERS.map(|layer| [layer, "enforced"]), "limits": limits, "used": null,
        })
    }
}

/// Each layer of a jail.
const LAYERS: [&str; 6] = ["user_namespace", "keyring", "proc", "limits", "landlock", "seccomp"];

/// What is told of what was used.
const USED: [&str; 13] = [
    "blocks_read",
    "blocks_written",
    "bytes_read",
    "bytes_written",
    "cpu_ms",
    "involuntary_switches",
    "peak_memory",
    "peak_tasks",
    "peak_together",
    "system_ms",
    "user_ms",
    "voluntary_switches",
    "wall_ms",
];

/// How many times.
fn rounds() -> usize {
    std::env::var("STOCKADE_JUDGE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn each_program_is_ended_by_its_limit_every_time() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let dir = place("once-judge");
    compile_static(&dir.join("judge"), include_str!("judge.c"));
    let grouped = if needs(Need::ControlGroups) { GROUPED } else { &[] };
    let cases: Vec<&Case> = CASES.iter().chain(grouped).collect();
    let (next, all) = (AtomicUsize::new(0), cases.len() * rounds());
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut wrong = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= all {
                    return wrong;
                }
                wrong.push(cases[number % cases.len()].run(&dir, number));
                // Thousands of files are nobody's to look at.
                for kind in ["json", "out"] {
                    _ = fs::remove_file(dir.join(format!("{number}.{kind}")));
                }
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(wrong.len(), all);
    let wrong: Vec<_> = wrong.into_iter().filter(|wrong| !wrong.is_empty()).collect();
    assert!(wrong.is_empty(), "{} of {all} runs:\n{}", wrong.len(), wrong.concat());
}
