//! A jail that lies in wait for whoever joins it.

use crate::support::{Jail, Running, finish, is_root};
use crate::{common, expect, stockade};

/// Joins a jail again and again whose program, with these rights, tries to take hold of the joiner.
fn join_a_grabber(rights: &str) {
    let jail = Jail::shell("grabber", "");
    assert!(common::compile(&jail.path("grab"), include_str!("grab.c"), &["-w"]));
    jail.write_manifest(
        "[\"/grab\"]",
        &format!(
            "program.user = \"root\"\nroot.proc = \"full\"\nprivileges.system_calls = \"all\"\nprivileges.landlock = false\n{rights}\n\
             mounts = [{{ type = \"tmpfs\", target = \"/tmp\" }}, {{ source = \"{{here}}/grab\", target = \"/grab\", executable = true }}]"
        ),
    );
    let mut running = Running::start(jail.build().command(&[]).stdout(std::process::Stdio::piped()));
    running.expect("ready");
    for _ in 0..60 {
        expect(&jail, &["exec", "grabber", "--", "/bin/busybox", "true"], 0, "", "");
    }
    // One joiner that is long in coming: its environment and arguments are large, and copied while it is looked for.
    let long = "x".repeat(100_000);
    for _ in 0..20 {
        let status = stockade(&jail, &["exec", "grabber", "--", "/bin/busybox", "true", &long])
            .env("SECRET", &long)
            .status();
        assert!(status.unwrap().success());
    }
    expect(&jail, &["exec", "grabber", "--", "/bin/busybox", "touch", "/tmp/end"], 0, "", "");
    let said = running.line();
    println!("{rights:?}: {said}");
    assert!(said.starts_with("got nothing after"), "{said}");
    assert_eq!(running.wait(), 0);
}

#[test]
fn who_joins_a_jail_cannot_be_grabbed_by_its_root() {
    join_a_grabber(
        "privileges.capabilities = [\"SYS_PTRACE\", \"DAC_OVERRIDE\", \"DAC_READ_SEARCH\", \"SYS_ADMIN\", \"KILL\"]",
    );
    join_a_grabber("privileges.no_new_privileges = false");
}

#[test]
fn nor_by_a_root_that_is_the_hosts() {
    if is_root() {
        join_a_grabber(
            "namespaces.user = false\nprivileges.capabilities = [\"DAC_OVERRIDE\", \"DAC_READ_SEARCH\", \"KILL\"]",
        );
    }
}

#[test]
fn a_jail_that_could_grab_is_not_joined() {
    if !is_root() {
        return;
    }
    // With this the grabber above gets hold of memory, root, working directory, descriptors and binary of nearly every joiner.
    let more = "program.user = \"root\"\nnamespaces.user = false\nprivileges.capabilities = [\"SYS_PTRACE\"]";
    let jail = Jail::shell("tracer", more);
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let refused = "error: jail `tracer` is not to be joined\n  why: it has SYS_PTRACE and the host's ids, and could read the memory of \
                   the joining process, and reach the host's files through it\nhint: take `SYS_PTRACE` out of `capabilities` and \
                   `bounding`, or say `user = true` under [namespaces]\n";
    expect(&jail, &["exec", "tracer", "--", "busybox", "true"], 125, "", refused);
    expect(&jail, &["stop", "tracer"], 0, "", "stopped jail `tracer`\n");
    running.wait();
}

/// Without a PID 1 of ours the program is asked what it can have, and may have made a process that can have more.
#[test]
fn nor_is_one_that_says_that_it_could_not() {
    if !is_root() {
        return;
    }
    let jail = Jail::shell("liar", "");
    let source = "#include <stdio.h>\n#include <sys/prctl.h>\n#include <unistd.h>\n\
                  int main(void) { if (!fork()) for (;;) pause();\n\
                  puts(prctl(PR_CAPBSET_DROP, 19) ? \"kept\" : \"dropped\"); fflush(stdout); for (;;) pause(); }";
    assert!(common::compile(&jail.path("liar"), source, &["-w"]));
    jail.write_manifest(
        "[\"/liar\"]",
        "program.user = \"root\"\nprogram.init = false\nnamespaces.user = false\n\
         privileges.capabilities = [\"SYS_PTRACE\", \"SETPCAP\"]\nprivileges.system_calls = \"all\"\n\
         mounts = [{ source = \"{here}/liar\", target = \"/liar\", executable = true }]",
    );
    let mut running = Running::start(jail.build().command(&[]).stdout(std::process::Stdio::piped()));
    running.expect("dropped");
    let ended = crate::told(&jail, &["exec", "liar", "--", "/bin/busybox", "true"]);
    let refused = "error: jail `liar` is not to be joined\n";
    assert!(ended.code == Some(125) && ended.stderr.starts_with(refused), "{ended:?}");
    expect(&jail, &["stop", "--timeout=0", "liar"], 0, "", "killed jail `liar`\n");
    running.wait();
}

#[test]
fn a_working_directory_that_has_become_a_link_to_a_descriptor_leads_nowhere() {
    // CVE-2024-21626, with descriptors of the joiner and of its caller.
    let more = "program.user = \"root\"\nprogram.working_directory = \"/work\"\ntree.directories = [\"/work\"]\nroot.read_only = false";
    let jail = Jail::shell("planted", more);
    let mut running = jail.start(&["echo ready; exec busybox sleep 1000"]);
    running.expect("ready");
    let work = jail.tree().join("work");
    std::fs::remove_dir(&work).unwrap();
    for descriptor in 3..30 {
        std::os::unix::fs::symlink(format!("/proc/self/fd/{descriptor}"), &work).unwrap();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "exec 7</etc; exec \"$@\"", "sh"]).arg(common::binary());
        command.args(["exec", "planted", "--", "/bin/busybox", "ls"]);
        command.env("STOCKADE_STATE_DIR", jail.path("state")).env("NO_COLOR", "1");
        let ended = finish(&mut command);
        assert_eq!((ended.stdout.as_str(), ended.code), ("", Some(125)), "{descriptor}: {}", ended.stderr);
        assert!(ended.stderr.contains("cannot change to the directory `/work`"), "{}", ended.stderr);
        std::fs::remove_file(&work).unwrap();
    }
    expect(&jail, &["stop", "--timeout=0", "planted"], 0, "", "killed jail `planted`\n");
    running.wait();
}
