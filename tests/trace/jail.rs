//! A program in a jail: what it lacks there.

use std::path::Path;

use super::{common, program, trace};
use common::{Dir, Need, needs};
use stockade::plan::capability::NAMES;
use stockade::plan::system_calls::Policy;
use stockade::seen::{Seen, Use};
use stockade::trace::Command;

/// Runs the program of a directory in a jail, with this in its manifest, and whoever sets the jail up under trace.
fn seen_in_jail(directory: &Dir, more: &str) -> Seen {
    let path = directory.join("program");
    let manifest = format!(
        "name = \"traced\"\nprogram.command = [\"/program\"]\n\
         tree.files = [{{ path = \"{}\", target = \"/program\" }}, {{ path = \"{}\", target = \"/there/file\" }}]\n{more}\n",
        path.display(),
        directory.join("file").display(),
    );
    directory.write("file", "").write("jail.toml", manifest);
    let mut environment: Vec<_> = std::env::vars_os().collect();
    environment.push(("STOCKADE_STATE_DIR".into(), directory.join("state").into()));
    let command = Command {
        arguments: vec![common::binary().into(), "run".into(), directory.join("jail.toml").into()],
        environment: Some(environment),
        directory: None,
        jail: Some(Policy::DEFAULT),
    };
    let (seen, status) = trace(&command);
    assert!(status.success(), "{status}");
    seen
}

/// What it lacked, a line each.
fn lacked(seen: &Seen) -> Vec<String> {
    let files = seen.lacked.files.iter().map(|(path, uses)| {
        let result = &seen.files[path].uses.keys().next_back().unwrap();
        format!("{}: {:?} {result:?}", path.display(), uses.keys().collect::<Vec<_>>())
    });
    let capabilities = seen.lacked.capabilities.iter();
    let capabilities =
        capabilities.map(|(number, moment)| format!("{} {}", NAMES[usize::from(*number)], moment.call));
    let calls = seen.calls.iter().map(|(call, moment)| format!("{} {:?}", moment.call, call.arguments));
    files.chain(capabilities).chain(calls).collect()
}

#[test]
fn what_a_jailed_program_lacks_is_told() {
    if !needs(Need::UserNamespaces) {
        return;
    }
    let directory = program(
        "trace-jail",
        "",
        r#"
        need(open("/there/file", O_RDONLY) >= 0);
        need(open("/there/link", O_RDONLY) >= 0);
        need(open("/there/none", O_RDONLY) < 0 && errno == ENOENT);
        need(chdir("/there") == 0 && open("other", O_RDONLY) < 0);
        need(open("/there/new", O_WRONLY | O_CREAT, 0600) < 0 && errno == EROFS);
        need(access("/there/../there/file", R_OK) == 0);
        need(ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 && errno == EPERM);
        need(socket(AF_VSOCK, SOCK_STREAM, 0) < 0);
        need(setpriority(PRIO_PROCESS, 0, -5) < 0 && errno == EACCES);
        need(sethostname("x", 1) < 0 && errno == EPERM);
        char own[64], inner[64];
        snprintf(own, sizeof own, "/proc/%d/nothing", getpid());
        need(open(own, O_RDONLY) < 0);
        int status;
        if (fork() == 0) { execl("/there/program", "program", NULL); _exit(3); }
        need(wait(&status) > 0 && WEXITSTATUS(status) == 3);
        "#,
    );
    let seen =
        seen_in_jail(&directory, r#"tree.links = [{ path = "/there/link", target = "../there/file" }]"#);
    assert_eq!(
        lacked(&seen),
        [
            "/proc/self/nothing: [Read] Missing",
            "/there/new: [Written, Made] Refused",
            "/there/none: [Read] Missing",
            "/there/other: [Read] Missing",
            "/there/program: [Executed] Missing",
            "SYS_NICE setpriority",
            "socket [40, 1, 0, 0, 0, 0]",
            "ptrace [0, 0, 0, 0, 0, 0]",
            "sethostname [0, 0, 0, 0, 0, 0]",
        ]
    );
    let link = &seen.files[Path::new("/there/link")];
    assert_eq!(link.uses.keys().collect::<Vec<_>>(), [&Use::Followed]);
    assert_eq!(seen.executions[0].path, Path::new("/program"));
    assert_eq!(seen.executions[0].arguments, ["/program"]);
    let moment = &seen.lacked.files[Path::new("/there/none")][&Use::Read];
    assert_eq!((&*moment.program, moment.call), ("/program", "openat"));
}
