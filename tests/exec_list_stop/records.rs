//! Records of running jails are believed only as far as the kernel says the same.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{Need, needs};
use crate::support::{Jail, Running, finish, until};
use crate::{expect, stockade, told};

/// What is in the place of records.
fn records(jail: &Jail) -> Vec<PathBuf> {
    let entries = fs::read_dir(jail.path("state/.run")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[test]
fn a_record_is_its_owners_and_goes_with_the_run() {
    let jail = Jail::shell("kept", "");
    let mut running = jail.start(&["echo ready; exec sleep 1000"]);
    running.expect("ready");
    let [record] = &records(&jail)[..] else { panic!("{:?}", records(&jail)) };
    assert!(record.ends_with(format!("kept@{}", running.pid())));
    assert_eq!(record.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(record.parent().unwrap().metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    running.signal(Signal::SIGTERM);
    running.wait();
    assert_eq!(records(&jail), [""; 0].map(PathBuf::from));
}

#[test]
fn the_record_of_a_killed_supervisor_is_swept_and_no_jail_is_left() {
    let jail = Jail::shell("orphan", "");
    let mut running = jail.start(&["echo ready; exec sleep 1000"]);
    running.expect("ready");
    running.signal(Signal::SIGKILL);
    running.wait();
    jail.wait_for_nobody();
    let [record] = &records(&jail)[..] else { panic!("{:?}", records(&jail)) };
    // The next start sweeps as well, whoever has the number by now.
    fs::rename(record, record.with_file_name("orphan@1")).unwrap();
    jail.run(&["exit 0"]);
    assert_eq!(records(&jail), [""; 0].map(PathBuf::from));
}

#[test]
fn the_record_of_a_killed_supervisor_is_swept_by_a_list() {
    let jail = Jail::shell("listed", "");
    let mut running = jail.start(&["echo ready; exec sleep 1000"]);
    running.expect("ready");
    running.signal(Signal::SIGKILL);
    running.wait();
    jail.wait_for_nobody();
    assert_eq!(records(&jail).len(), 1);
    expect(&jail, &["list"], 0, "", "");
    assert_eq!(records(&jail), [""; 0].map(PathBuf::from));
}

#[test]
fn a_record_that_names_other_processes_is_not_believed() {
    let jail = Jail::shell("forged", "");
    let mut running = jail.start(&["echo ready; exec sleep 1000"]);
    running.expect("ready");
    let [record] = &records(&jail)[..] else { panic!("{:?}", records(&jail)) };
    let text = fs::read_to_string(record).unwrap();
    // Nothing happens to these, which are no jail.
    let mut bystander = Command::new("sh").args(["-c", "exec sleep 1000"]).spawn().unwrap();
    for (from, to) in [
        (format!("supervisor={}", running.pid()), format!("supervisor={}", bystander.id())),
        ("jail=forged".to_owned(), "jail=another".to_owned()),
        ("end=".to_owned(), String::new()),
    ] {
        fs::write(record, text.replace(&from, &to)).unwrap();
        expect(&jail, &["list"], 0, "", "");
    }
    assert!(bystander.try_wait().unwrap().is_none());
    // A copy under another's number that somebody else holds: that one has no child that is the first of a namespace.
    let copy = record.with_file_name(format!("forged@{}", bystander.id()));
    fs::write(&copy, text.replace(&running.pid().to_string(), &bystander.id().to_string())).unwrap();
    let held = fs::File::open(&copy).unwrap();
    held.lock().unwrap();
    fs::write(record, &text).unwrap();
    expect(&jail, &["list", "--names"], 0, "forged\n", "");
    assert!(copy.exists());
    drop(held);
    // A copy that nobody holds.
    fs::write(&copy, &text).unwrap();
    expect(&jail, &["list", "--names"], 0, "forged\n", "");
    assert!(!copy.exists(), "a record that nobody holds is swept");
    // What is no record is left alone.
    fs::write(record.with_file_name("notes"), "mine").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", record.with_file_name("forged@1")).unwrap();
    expect(&jail, &["stop", "--all"], 0, "", "stopped jail `forged`\n");
    assert_eq!(running.wait(), 143);
    assert_eq!(records(&jail).len(), 2);
    for left in records(&jail) {
        fs::remove_file(left).unwrap();
    }
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

/// The same command as the first but one process of a PID namespace of its own.
fn in_namespace(command: &Command) -> Command {
    let mut inside = Command::new("unshare");
    inside.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "\"$@\"; exit $?", "sh"]);
    inside.arg(command.get_program()).args(command.get_args()).stdin(std::process::Stdio::null());
    for (name, value) in command.get_envs() {
        inside.env(name, value.unwrap_or_default());
    }
    inside
}

#[test]
fn a_jail_in_another_pid_namespace_is_told_of_and_left_alone() {
    if !needs(Need::Root) {
        return;
    }
    let jail = Jail::shell("apart", "");
    jail.build();
    let mut running = Running::start(&mut in_namespace(&jail.command(&["echo ready; exec sleep 1000"])));
    running.expect("ready");
    let [record] = &records(&jail)[..] else { panic!("{:?}", records(&jail)) };
    let table = "NAME   STATE      PID  UPTIME  MEMORY  TASKS\napart  elsewhere  -    -       -       -\n";
    let refused = "error: jail `apart` runs elsewhere\n  why: by /proc/locks the process that holds its record is in another PID \
                   namespace, or on another host\nhint: call stockade where it was started\n";
    let left_alone = |words: &[&str], code: i32, stdout: &str, stderr: &str| {
        expect(&jail, words, code, stdout, stderr);
        // From a namespace in which the numbers of the record are those of the caller and what it starts.
        let ended = finish(&mut in_namespace(&stockade(&jail, words)));
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.as_str(), ended.code),
            (stdout, stderr, Some(code)),
            "{words:?}"
        );
        assert!(record.exists());
    };
    left_alone(&["list"], 0, table, "");
    left_alone(&["list", "--names", "apart"], 0, "apart\n", "");
    left_alone(&["stop", "apart"], 1, "", refused);
    left_alone(&["signal", "apart", "KILL"], 1, "", refused);
    left_alone(&["exec", "apart", "--", "true"], 125, "", refused);
    left_alone(&["stop", "--all"], 0, "", "");
    assert_eq!(running.child.try_wait().unwrap(), None);
    kill(Pid::from_raw(crate::support::children(running.pid())[0]), Signal::SIGKILL).unwrap();
    running.wait();
    jail.wait_for_nobody();
    expect(&jail, &["list"], 0, "", "");
    assert_eq!(records(&jail), [""; 0].map(PathBuf::from));
}

#[test]
fn nobody_is_signalled_who_has_the_same_number_in_another_namespace() {
    if !needs(Need::Root) {
        return;
    }
    let (far, near) = (Jail::shell("same", ""), Jail::shell("same", ""));
    far.build();
    near.build();
    let mut running = Running::start(&mut in_namespace(&far.command(&["echo ready; exec sleep 1000"])));
    running.expect("ready");
    let [record] = &records(&far)[..] else { panic!("{:?}", records(&far)) };
    let number = record.to_str().unwrap().rsplit('@').next().unwrap().to_owned();
    // A jail whose supervisor has that number here, and whoever stops the other one beside it.
    let script = format!(
        "\"$0\" run \"$1\" -- 'echo ready; read word; echo \"$word\"' <\"$3\" & test $! = {number} || exit 9; read go; \
         STOCKADE_STATE_DIR=\"$2\" \"$0\" stop --timeout 0 same; echo \"stopped $?\"; echo alive >\"$3\"; wait"
    );
    let fifo = near.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script]);
    command.arg(crate::common::binary()).arg(near.manifest()).arg(far.path("state")).arg(&fifo);
    command.env("STOCKADE_STATE_DIR", near.path("state")).env("NO_COLOR", "1");
    command.stdin(std::process::Stdio::piped());
    let mut beside = Running::start(&mut command);
    // Opened for both, so that neither side waits for the other.
    let held = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    beside.expect("ready");
    std::io::Write::write_all(beside.child.stdin.as_mut().unwrap(), b"go\n").unwrap();
    beside.expect("stopped 1");
    beside.expect("alive");
    drop(held);
    assert_eq!(beside.wait(), 0);
    assert_eq!(running.child.try_wait().unwrap(), None);
    kill(Pid::from_raw(crate::support::children(running.pid())[0]), Signal::SIGKILL).unwrap();
    running.wait();
    far.wait_for_nobody();
}

#[test]
fn an_empty_record_is_left_to_whoever_is_making_it() {
    let jail = Jail::shell("unfinished", "");
    jail.build();
    fs::create_dir(jail.path("state/.run")).unwrap();
    fs::set_permissions(jail.path("state/.run"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut maker = Command::new("sleep").arg("1000").spawn().unwrap();
    let record = jail.path("state/.run").join(format!("unfinished@{}", maker.id()));
    fs::write(&record, "").unwrap();
    let made = |when| fs::File::options().write(true).open(&record).unwrap().set_modified(when).unwrap();
    // However long this takes.
    made(std::time::SystemTime::now() + std::time::Duration::from_mins(2));
    expect(&jail, &["list"], 0, "", "");
    assert!(record.exists());
    maker.kill().unwrap();
    maker.wait().unwrap();
    // Its maker may be in another namespace, with another number.
    expect(&jail, &["list"], 0, "", "");
    assert!(record.exists());
    made(std::time::SystemTime::now() - std::time::Duration::from_mins(2));
    expect(&jail, &["list"], 0, "", "");
    assert!(!record.exists());
}

#[test]
fn records_that_others_may_write_are_refused() {
    let jail = Jail::shell("open", "");
    jail.build();
    let place = jail.path("state/.run");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
    let refusal = |mode: &str, owner: u32| {
        format!(
            "error: cannot find out which jails run\n  why: `{}` belongs to user {owner}, mode {mode}: others could have \
             written what is in it\nhint: remove it, if no jail of yours runs; STOCKADE_RUN_DIR names another place\n",
            place.display()
        )
    };
    let own = nix::unistd::geteuid().as_raw();
    for words in [&["list"][..], &["stop", "open"], &["stop", "--all"]] {
        expect(&jail, words, 125, "", &refusal("0777", own));
    }
    // Nor is a jail started that these would refuse to see.
    let ended = finish(&mut jail.command(&["echo never"]));
    let why = format!(
        "error: cannot run jail `open`\n  why: records of running jails go to `{}`, which belongs to user {own}, mode 0777: others \
         could write them\n",
        place.display()
    );
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.code), ("", why.as_str(), Some(125)));
    assert_eq!(records(&jail), [""; 0].map(PathBuf::from));
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    expect(&jail, &["list"], 0, "", "");
    if !needs(Need::Root) {
        return;
    }
    chown(&place, Some(65534), Some(65534)).unwrap();
    expect(&jail, &["list"], 125, "", &refusal("0700", 65534));
    chown(&place, Some(0), Some(0)).unwrap();
    // Nor is a single record that is another user's.
    let mut running = jail.start(&["echo ready; exec sleep 1000"]);
    running.expect("ready");
    let [record] = &records(&jail)[..] else { panic!("{:?}", records(&jail)) };
    chown(record, Some(65534), Some(65534)).unwrap();
    expect(&jail, &["list"], 0, "", "");
    chown(record, Some(0), Some(0)).unwrap();
    expect(&jail, &["stop", "open"], 0, "", "stopped jail `open`\n");
    running.wait();
}

#[test]
fn a_jail_that_cannot_be_recorded_is_not_run() {
    let jail = Jail::shell("nowhere", "");
    jail.build();
    let mut command = jail.command(&["echo never; sleep 1000"]);
    let ended = finish(command.env("STOCKADE_RUN_DIR", "/proc/nowhere"));
    let supervisor =
        ended.stderr.split('@').nth(1).and_then(|rest| rest.split('`').next()).unwrap_or_default();
    assert_eq!(
        (ended.stderr.as_str(), ended.code),
        (
            format!(
                "error: cannot record that jail `nowhere` runs\n  why: `/proc/nowhere/nowhere@{supervisor}`: mkdir(2): No \
                 such file or directory (ENOENT)\nhint: XDG_RUNTIME_DIR names a directory that is not there; \
                 STOCKADE_RUN_DIR names another place\n"
            )
            .as_str(),
            Some(125)
        )
    );
}

#[test]
fn whoever_is_killed_while_it_stops_a_jail_leaves_nothing() {
    let jail = Jail::shell("cut", "");
    jail.build();
    for round in 0..20 {
        let mut running = jail.start(&["trap '' TERM; echo ready; while :; do sleep 0.01; done"]);
        running.expect("ready");
        let mut stop = stockade(&jail, &["stop", "--timeout", "20ms", "cut"])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2 * round));
        let victim = if round % 2 == 0 { stop.id() as i32 } else { running.pid() };
        let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
        stop.wait().unwrap();
        let _ = told(&jail, &["stop", "--timeout=0", "cut"]);
        running.wait();
        until("nobody", || jail.processes().is_empty().then_some(()));
        expect(&jail, &["list"], 0, "", "");
        assert_eq!(records(&jail), [""; 0].map(PathBuf::from));
    }
}

#[test]
fn no_jail_is_shown_the_records_to_write_to() {
    for shown in ["{here}/state", "{here}", "{here}/state/.run"] {
        let mount = |read_only| {
            format!(
                "mounts = [{{ source = \"{shown}\", target = \"/mnt\", read_only = {read_only}, sockets = true }}]"
            )
        };
        let jail = Jail::shell("shown", &mount(false));
        for private in ["state", "state/.run"] {
            fs::create_dir(jail.path(private)).unwrap();
            fs::set_permissions(jail.path(private), fs::Permissions::from_mode(0o700)).unwrap();
        }
        jail.build();
        let ended = finish(&mut jail.command(&["echo never"]));
        assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(125)));
        let message = "error: this mount would let the program write the records of running jails\n";
        assert!(ended.stderr.starts_with(message), "{}", ended.stderr);
        // Elsewhere they are out of its reach.
        if shown == "{here}/state" {
            fs::create_dir(jail.path("elsewhere")).unwrap();
            let mut command = jail.command(&["echo runs"]);
            let ended = finish(command.env("STOCKADE_RUN_DIR", jail.path("elsewhere")));
            assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("runs\n", ""));
        }
    }
}

#[test]
fn a_jail_is_here_also_where_the_list_of_locks_is_covered() {
    if !needs(Need::Root) {
        return;
    }
    let jail = Jail::shell("covered", "");
    let mut running = jail.start(&["echo ready; exec sleep 1000"]);
    running.expect("ready");
    let covered = |words: &[&str]| {
        let command = stockade(&jail, words);
        let mut inside = Command::new("unshare");
        inside.args(["--mount", "sh", "-c", "mount --bind /dev/null /proc/locks && exec \"$@\"", "sh"]);
        inside.arg(command.get_program()).args(command.get_args()).stdin(std::process::Stdio::null());
        inside.env("STOCKADE_STATE_DIR", jail.path("state")).env("NO_COLOR", "1");
        let ended = finish(&mut inside);
        (ended.stdout, ended.stderr, ended.code)
    };
    let said = |stdout: &str, stderr: &str| (stdout.to_owned(), stderr.to_owned(), Some(0));
    let listed = covered(&["list"]);
    assert!(listed.0.contains("\ncovered  running  "), "{listed:?}");
    assert_eq!(covered(&["list", "--names"]), said("covered\n", ""));
    assert_eq!(covered(&["stop", "covered"]), said("", "stopped jail `covered`\n"));
    running.wait();
}
