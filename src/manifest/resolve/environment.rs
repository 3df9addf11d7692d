//! The environment of a jail's program.

use std::ffi::OsString;

use super::command::DEFAULT_PATH;
use super::context::Context;
use super::passed;
use crate::manifest::schema::Program;
use crate::plan::step::{NOTIFY_DIRECTORY, SOCKET};

/// The program's environment, from nothing: what every program expects, what the manifest passes, what it sets.
pub(super) fn environment(context: &Context<'_>) -> Vec<(OsString, OsString)> {
    let program = &context.manifest.program;
    let mut variables = std::collections::BTreeMap::<OsString, OsString>::new();
    variables.insert("PATH".into(), DEFAULT_PATH.into());
    variables.insert("HOME".into(), context.identity.home.clone());
    for name in ["USER", "LOGNAME"] {
        variables.insert(name.into(), context.identity.name.clone().into());
    }
    let passed = program.pass_environment.iter().map(|name| name.value.as_str());
    let terminal = (!context.host.terminals().is_empty()).then_some("TERM");
    for name in passed.chain(terminal) {
        if let Some(value) = std::env::var_os(name) {
            variables.insert(name.into(), value);
        }
    }
    if program.notifies().is_some() {
        variables.insert("NOTIFY_SOCKET".into(), format!("{NOTIFY_DIRECTORY}/{SOCKET}").into());
        variables.extend(watchdog(program));
    }
    variables.extend(passed::environment(context));
    for (name, value) in &program.environment {
        variables.insert(name.into(), value.value.clone().into());
    }
    for name in &program.unset_environment {
        variables.remove(std::ffi::OsStr::new(&name.value));
    }
    variables.into_iter().collect()
}

/// How often a service manager wants to hear that the program is well, see sd_watchdog_enabled(3): outside the supervisor is who is to
/// say so, inside it is the program.
fn watchdog(program: &Program) -> Vec<(OsString, OsString)> {
    let is_ours = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    let period = std::env::var("WATCHDOG_USEC").ok().filter(|_| is_ours);
    match period.filter(|period| period.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(period) => [("WATCHDOG_USEC", period), ("WATCHDOG_PID", program.own_number().to_owned())]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        None => Vec::new(),
    }
}
