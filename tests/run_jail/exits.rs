//! How a run ends, what it is given, and what it gives back: exit codes, descriptors, pipes.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use crate::support::{Jail, Running, children, finish, status_of, until};

#[test]
fn the_programs_exit_code_is_the_runs() {
    let jail = Jail::probe("codes", "");
    jail.build();
    let direct = Jail::probe("codes-direct", "program.init = false");
    direct.build();
    for code in (0..=255).step_by(5).chain([1, 2, 124, 126, 127, 128, 129, 137, 143, 254]) {
        let jail = if code % 2 == 0 { &jail } else { &direct };
        let ended = finish(&mut jail.command(&["exit", &code.to_string()]));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{}", ended.stderr);
    }
}

#[test]
fn death_by_a_signal_is_128_and_its_number() {
    let jail = Jail::probe("deaths", "");
    jail.build();
    for signal in [1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 34, 64] {
        let ended = finish(&mut jail.command(&["die", &signal.to_string()]));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(128 + signal), ""));
    }
}

#[test]
fn stockades_own_failures_are_125_to_127() {
    let code = |jail: &Jail| {
        let output = jail.stockade("run").output().unwrap();
        assert!(!output.stderr.is_empty(), "a failure is said");
        output.status.code()
    };
    // What is to be copied is missed before anything runs.
    assert_eq!(code(&Jail::with_command("missing", "[\"/missing\"]", "")), Some(125));
    assert_eq!(code(&Jail::probe("processor", "program.cpu_affinity = [1023]")), Some(125));
    // What is mounted can go later.
    let mounts = "mounts = [{ source = \"{here}\", target = \"/srv\" }]";
    let jail = Jail::with_command("mounted", "[\"/srv/program\"]", mounts);
    crate::common::copy_program(&jail.path("probe"), &jail.path("program"));
    jail.expect(&["exit", "0"], 0, "");
    fs::set_permissions(jail.path("program"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(code(&jail), Some(126));
    fs::remove_file(jail.path("program")).unwrap();
    assert_eq!(code(&jail), Some(127));
    let shut = mounts.replace("target", "executable = false, target");
    assert_eq!(code(&Jail::with_command("shut", "[\"/srv/probe\"]", &shut)), Some(126));
}

#[test]
fn a_program_as_pid_1_is_pid_1() {
    let jail = Jail::shell("direct", "program.init = false");
    jail.expect(&["echo $$; exit 3"], 3, "1\n");
    let mut running = jail.start(&["echo ready; sleep 1000; :"]);
    running.expect("ready");
    // No process of ours is inside.
    assert_eq!(children(running.pid()).len(), 1);
    assert_eq!(status_of(running.first(), "Name"), "sh");
    assert_eq!(status_of(running.first(), "NSpid").split_whitespace().last(), Some("1"));
}

#[test]
fn descriptors_of_the_caller_stay_outside() {
    for more in ["", "program.init = false"] {
        let jail = Jail::probe("descriptors", more);
        jail.build();
        let before = "exec 3</etc/passwd 7<&3 9>/dev/null 20</etc/passwd 100</etc/passwd";
        let ended = finish(&mut jail.command_after(before, &["descriptors"]));
        assert_eq!(ended.lines(), ["0: null", "1: pipe", "2: pipe"]);
    }
}

#[test]
fn pid_1_holds_no_descriptor_of_the_caller() {
    let jail = Jail::probe("pid-1", "");
    jail.build();
    let mut running = Running::start(
        jail.command_after("exec 3</etc/passwd 7<&3 20</etc/passwd", &["pause"]).stderr(Stdio::null()),
    );
    running.expect("ready");
    let first = running.first();
    // It closes them once the program is there; an ordinary user cannot look.
    let open = || -> Option<Vec<String>> {
        let entries = fs::read_dir(format!("/proc/{first}/fd")).ok()?;
        entries.map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string())).collect()
    };
    if nix::unistd::geteuid().is_root() {
        until("two descriptors", || {
            let open = open()?;
            let kinds: Vec<_> = open.iter().map(|name| name.split(':').next().unwrap()).collect();
            (kinds == ["socket", "anon_inode"] || kinds == ["anon_inode", "socket"]).then_some(())
        });
    }
}

#[test]
fn closed_standard_descriptors_become_the_null_device() {
    let jail = Jail::shell("closed", "");
    jail.build();
    let script = "/probe descriptors >/dev/full 2>&1 || :; readlink /proc/self/fd/0; readlink /proc/self/fd/1; readlink /proc/self/fd/2";
    // What can still be seen is written to the one that is open.
    for (close, to) in [("exec 0<&-", "1"), ("exec 0<&- 2>&-", "1"), ("exec 0<&- 1>&-", "2")] {
        let ended = finish(&mut jail.command_after(close, &[&format!("exec 9>&1; {{ {script}; }} >&{to}")]));
        let text = if to == "1" { &ended.stdout } else { &ended.stderr };
        assert!(text.lines().any(|line| line == "/dev/null"), "{close}: {ended:?}");
        assert!(!text.contains("socket") && !text.contains("stockade"), "{close}: {text}");
        assert_eq!(ended.code, Some(0));
    }
    // All three.
    assert_eq!(finish(&mut jail.command_after("exec 0<&- 1>&- 2>&-", &["exit 9"])).code, Some(9));
}

#[test]
fn a_pipes_reader_sees_the_end_when_the_program_closes_it() {
    // The program goes on, and neither PID 1 nor the supervisor's descriptors keep the pipe open: the supervisor's own standard
    // output is the same pipe, so the reader here is inside, behind one of the jail's own.
    let jail = Jail::shell("pipe", "");
    jail.expect(
        &["(echo one; exec >&-; sleep 1000) | { cat; echo end; kill -9 -1 2>/dev/null; }"],
        137,
        "one\nend\n",
    );
}

#[test]
fn input_passes_byte_by_byte() {
    let jail = Jail::shell("binary", "");
    jail.build();
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at * 7 % 256) as u8).collect();
    let mut child = jail.command(&["cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let given = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&given).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.stdout == bytes, "{} bytes came back of {}", output.stdout.len(), bytes.len());
}

#[test]
fn a_reader_that_leaves_ends_the_program() {
    // SIGPIPE is at its default inside, whatever the caller had.
    let jail = Jail::shell("sigpipe", "");
    for before in [":", "trap '' PIPE"] {
        jail.build();
        let ended = finish(&mut jail.command_after(
            before,
            &["yes | head -1; echo ${PIPESTATUS:-} >&2; (yes; echo $? >&2) | head -1"],
        ));
        assert_eq!(ended.stdout, "y\ny\n");
        assert_eq!(ended.stderr, "\n141\n");
    }
}
