//! Rules across keys: what each value alone cannot tell. One function for each, every finding returned. Nothing here looks at
//! the host; whether a path exists is `resolve`'s question.

mod paths;
mod rights;

use super::finding::Finding;
use super::host_files::HostFiles;
use super::schema::{Manifest, Network, ProgramType, Share, SystemCalls};
use crate::plan::step::RootMethod;
use crate::plan::system_calls::profiles::Profile;
use crate::plan::value::JailPath;
use crate::plan::{At, Layer, Mode, Origin};

/// All rules. `program` is where `[program]` stands, or the top of the file; `complete` says that every value could be
/// decoded, so that a missing one is really missing.
pub(super) fn rules(manifest: &Manifest, program: &Origin, complete: bool, findings: &mut Vec<Finding>) {
    if complete {
        command_is_given(manifest, program, findings);
        test_tests_something(manifest, findings);
    }
    command_can_be_found(manifest, findings);
    umask_masks_permissions(manifest, findings);
    a_background_needs_a_pid_1(manifest, findings);
    sockets_that_are_listened_on_are_given(manifest, findings);
    a_watchdog_is_answered(manifest, findings);
    processors_are_left(manifest, findings);
    io_is_limited(manifest, findings);
    variable_comes_from_one_place(manifest, findings);
    variable_is_true_of_the_program(manifest, findings);
    soft_bound_is_below_hard(manifest, findings);
    time_is_left(manifest, findings);
    host_name_can_be_set(manifest, findings);
    abstract_sockets_are_shared(manifest, findings);
    a_resolver_can_be_reached(manifest, findings);
    pasta_has_a_network_of_the_jails_own(manifest, findings);
    method_confines(manifest, findings);
    nothing_is_copied_into_memory(manifest, findings);
    the_hosts_tree_has_its_fences(manifest, findings);
    rights::rules(manifest, findings);
    paths::rules(manifest, findings);
}

fn command_is_given(manifest: &Manifest, program: &Origin, findings: &mut Vec<Finding>) {
    if manifest.program.command.is_none() {
        findings.push(
            Finding::error("no program to run", program)
                .hint("write `command = [\"/usr/bin/program\", \"argument\"]` under `[program]`"),
        );
    }
}

fn command_can_be_found(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let Some(command) = &manifest.program.command else { return };
    let Some(program) = command.value.first() else {
        findings.push(
            Finding::error("the command is empty", &command.origin)
                .hint("write `command = [\"/usr/bin/program\", \"argument\"]`"),
        );
        return;
    };
    let text = program.to_string_lossy();
    if text.is_empty() {
        findings.push(Finding::error("the command's first word is empty", &command.origin));
    } else if text.contains('/') {
        if let Err(why) = JailPath::parse(program) {
            let finding = Finding::error(format!("cannot run `{text}`"), &command.origin).why(why);
            findings
                .push(finding.hint("write the whole path in the jail, or a name that is looked up in PATH"));
        }
    } else if text.contains(char::is_whitespace) && command.value.len() == 1 {
        let words: Vec<_> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
        findings.push(
            Finding::warning("the program's name contains white space", &command.origin)
                .hint(format!("no shell takes it apart; write `command = [{}]`", words.join(", "))),
        );
    }
}

fn test_tests_something(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let Some(test) = &manifest.test else { return };
    let wanted = &test.value;
    if wanted.command.as_ref().is_some_and(Vec::is_empty) {
        findings.push(
            Finding::error("the test's command is empty", &test.origin)
                .hint("leave it out, or write `command = [\"curl\", \"-sf\", \"http://127.0.0.1/\"]`"),
        );
    } else if wanted.command.is_none() && wanted.expect.is_empty() && wanted.status.is_none() {
        findings.push(
            Finding::error("the test looks at nothing", &test.origin)
                .hint("add `command`, a client that must succeed, or `expect`, text the program must print"),
        );
    }
}

fn umask_masks_permissions(manifest: &Manifest, findings: &mut Vec<Finding>) {
    if let Some(umask) = manifest.program.umask.as_ref().filter(|umask| umask.value > Mode(0o777)) {
        findings.push(
            Finding::error(
                format!("a umask of {} has bits that umask(2) ignores", umask.value),
                &umask.origin,
            )
            .hint("write at most `\"0777\"`; `\"0027\"` is a common one"),
        );
    }
}

fn a_background_needs_a_pid_1(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let program = &manifest.program;
    let forking = program.kind.as_ref().filter(|kind| kind.value == ProgramType::Forking);
    if let (Some(kind), Some(At { value: false, .. })) = (forking, &program.init) {
        findings.push(
            Finding::error("`type = \"forking\"` and `init = false` exclude each other", &kind.origin)
                .why("the end of a program that is PID 1 itself is the end of all it has put into the background")
                .hint("take `init = false` out"),
        );
    }
}

fn sockets_that_are_listened_on_are_given(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let program = &manifest.program;
    let given = program.sockets.as_ref().is_some_and(|sockets| sockets.value);
    if let Some(address) = program.listen.first().filter(|_| !given) {
        findings.push(
            Finding::error(
                "a service manager would listen here, and the program would not get the socket",
                &address.origin,
            )
            .hint(
                "write `sockets = true` beside it, for a program that takes sockets as sd_listen_fds(3) says",
            ),
        );
    }
}

fn a_watchdog_is_answered(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let Some(watchdog) = &manifest.program.watchdog else { return };
    if manifest.program.notifies().is_none() {
        findings.push(
            Finding::error("a program that says nothing cannot be watched", &watchdog.origin)
                .why("it is by sd_notify(3) that a program says that it is well")
                .hint("write `type = \"notify\"` beside it, for a program that does so, or take it out"),
        );
    } else if watchdog.value.0.is_zero() {
        findings.push(
            Finding::error("no program is well all the time", &watchdog.origin)
                .hint("write a time, such as `\"30s\"`, or leave `watchdog` out"),
        );
    }
}

fn io_is_limited(manifest: &Manifest, findings: &mut Vec<Finding>) {
    for entry in manifest.limits.io_max.iter().filter(|entry| entry.value.rates == [None; 4]) {
        findings.push(
            Finding::error("this limits nothing", &entry.origin)
                .hint("add `read_bandwidth`, `write_bandwidth`, `read_iops` or `write_iops`"),
        );
    }
}

fn processors_are_left(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let lists = [&manifest.program.cpu_affinity, &manifest.limits.allowed_cpus];
    for list in lists.into_iter().flatten().filter(|list| list.value.is_empty()) {
        findings.push(
            Finding::error("no processor is left to run on", &list.origin)
                .hint("name at least one, or leave `cpu_affinity` out to use all"),
        );
    }
}

fn variable_comes_from_one_place(manifest: &Manifest, findings: &mut Vec<Finding>) {
    for name in &manifest.program.pass_environment {
        if manifest.program.environment.contains_key(&name.value) {
            findings.push(
                Finding::warning(format!("`{}` has a value in `environment` too", name.value), &name.origin)
                    .hint("the value in `environment` wins; take one of the two out"),
            );
        }
    }
}

/// By what a service manager and the supervisor understand each other, see sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3), and
/// what gives the program its own.
const MANAGERS: [(&str, &str); 6] = [
    ("NOTIFY_SOCKET", "type = \"notify\""),
    ("WATCHDOG_USEC", "type = \"notify\""),
    ("WATCHDOG_PID", "type = \"notify\""),
    ("LISTEN_FDS", "sockets = true"),
    ("LISTEN_PID", "sockets = true"),
    ("LISTEN_FDNAMES", "sockets = true"),
];

fn variable_is_true_of_the_program(manifest: &Manifest, findings: &mut Vec<Finding>) {
    for At { value: name, origin } in &manifest.program.pass_environment {
        if let Some((_, own)) = MANAGERS.iter().find(|(known, _)| known == name) {
            findings.push(
                Finding::error(format!("`{name}` cannot be passed on"), origin)
                    .why("what it says to the supervisor, outside, is not true of the program")
                    .hint(format!("`{own}` gives the program what is true inside; take this out")),
            );
        }
    }
}

fn soft_bound_is_below_hard(manifest: &Manifest, findings: &mut Vec<Finding>) {
    for limit in &manifest.limits.resources {
        // No bound is more than any bound.
        let above = match (limit.value.soft, limit.value.hard) {
            (Some(soft), Some(hard)) => soft > hard,
            (None, Some(_)) => true,
            _ => false,
        };
        if above {
            findings.push(
                Finding::error(
                    format!("the soft bound of `{}` is above the hard one", limit.value.resource.key),
                    &limit.origin,
                )
                .hint("the soft bound is what is enforced, the hard one how far it may be raised; write `\"soft:hard\"`"),
            );
        }
    }
}

fn time_is_left(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let limits = &manifest.limits;
    for (key, time) in [("runtime_max", &limits.runtime_max), ("cpu_time_max", &limits.cpu_time_max)] {
        if let Some(time) = time.as_ref().filter(|time| time.value.0.is_zero()) {
            findings.push(
                Finding::error("the program would be killed before it starts", &time.origin)
                    .hint(format!("leave `{key}` out for no limit")),
            );
        }
    }
}

fn host_name_can_be_set(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let namespaces = &manifest.namespaces;
    let shared = namespaces.uts.as_ref().is_some_and(|share| share.value == Share::Host);
    if let Some(hostname) = namespaces.hostname.as_ref().filter(|_| shared) {
        findings.push(
            Finding::error("with `uts = \"host\"` this would rename the host", &hostname.origin)
                .hint("take out `uts` or `hostname`"),
        );
    }
}

fn abstract_sockets_are_shared(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let namespaces = &manifest.namespaces;
    let host = namespaces.network.as_ref().is_some_and(|network| network.value == Network::Host);
    let wanted = namespaces.abstract_sockets.as_ref().filter(|share| share.value == Share::Host);
    if let Some(wanted) = wanted.filter(|_| !host) {
        findings.push(
            Finding::error(
                "there are no abstract sockets of the host in a network of the jail's own",
                &wanted.origin,
            )
            .hint("write `network = \"host\"` beside it, or take it out"),
        );
    }
}

fn pasta_has_a_network_of_the_jails_own(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let namespaces = &manifest.namespaces;
    let published = namespaces.publish.first().map(|port| ("publish", &port.origin));
    let allowed = namespaces.allow.first().map(|port| ("allow", &port.origin));
    let named = published.into_iter().chain(allowed);
    let Some(pasta) = namespaces.network.as_ref().filter(|network| network.value == Network::Pasta) else {
        for (key, origin) in named {
            findings.push(
                Finding::error(format!("`{key}` connects ports of a network that pasta connects"), origin)
                    .hint(
                        "write `network = \"pasta\"` under [namespaces] (`once --net pasta`), or take it out",
                    ),
            );
        }
        return;
    };
    if namespaces.user.as_ref().is_some_and(|user| !user.value) {
        findings.push(
            Finding::error("pasta needs a user namespace of the jail's own", &pasta.origin)
                .why("it is there that it may make a device, and without it it would have to be the host's root")
                .hint("take `user = false` out"),
        );
    }
}

fn a_resolver_can_be_reached(manifest: &Manifest, findings: &mut Vec<Finding>) {
    let host = manifest.namespaces.network.as_ref().is_some_and(|network| network.value == Network::Host);
    let dns = manifest.tree.host.iter().find(|word| word.value == HostFiles::Dns);
    if let Some(dns) = dns.filter(|_| !host) {
        findings.push(
            Finding::warning("no name server can be asked from a network of the jail's own", &dns.origin)
                .why("it has loopback only, and nobody listens there")
                .hint("take `dns` out, or write `network = \"host\"` under `[namespaces]`; `hosts` needs no network"),
        );
    }
}

fn method_confines(manifest: &Manifest, findings: &mut Vec<Finding>) {
    if let Some(method) = manifest.root.method.as_ref().filter(|method| method.value == RootMethod::Chroot) {
        findings.push(
            Finding::warning("chroot alone does not hold a program that is root or can become it", &method.origin)
                .why("chroot(2) moves a pointer; the host's tree stays mounted, and root can move the pointer back")
                .hint("write `method = \"pivot\"` where the kernel has mount namespaces"),
        );
    }
}

fn nothing_is_copied_into_memory(manifest: &Manifest, findings: &mut Vec<Finding>) {
    if !manifest.root.is_in_memory() {
        return;
    }
    let tree = &manifest.tree;
    let copied = [
        ("base", tree.base.as_ref().map(|base| &base.origin)),
        ("programs", tree.programs.first().map(|entry| &entry.origin)),
        ("libraries", tree.libraries.first().map(|entry| &entry.origin)),
        ("files", tree.files.first().map(|entry| &entry.origin)),
        ("packages", tree.packages.first().map(|entry| &entry.origin)),
    ];
    for (name, origin) in copied {
        if let Some(origin) = origin {
            findings.push(
                Finding::error(format!("`{name}` has no place in a tree that is in memory"), origin)
                    .why("`tree = \"memory\"` is made at every start, and what is copied would be copied each time")
                    .hint("show what is needed by `[[mounts]]`, or leave `tree` out for a tree that is built once"),
            );
        }
    }
}

fn the_hosts_tree_has_its_fences(manifest: &Manifest, findings: &mut Vec<Finding>) {
    if !manifest.root.is_hosts() {
        return;
    }
    let privileges = &manifest.privileges;
    let off =
        |flag: &Option<At<bool>>| flag.as_ref().filter(|flag| !flag.value).map(|flag| flag.origin.clone());
    let weaker =
        privileges.best_effort.iter().filter(|layer| matches!(layer.value, Layer::Landlock | Layer::Seccomp));
    let all = privileges
        .system_calls
        .as_ref()
        .filter(|calls| matches!(calls.value, SystemCalls::Profile(Profile::All)));
    let found = off(&privileges.landlock).into_iter().chain(off(&privileges.no_new_privileges));
    for origin in
        found.chain(weaker.map(|layer| layer.origin.clone())).chain(all.map(|calls| calls.origin.clone()))
    {
        findings.push(
            Finding::error("with `tree = \"host\"` there is nothing else that holds the program", &origin)
                .hint("take this out, or `tree = \"host\"` (`once --landlock-only`)"),
        );
    }
}
