//! `export`: a jail in the words of another program.

use std::path::Path;

use super::manifest_file;
use super::prepare::{Result, state_directory};
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::manifest;
use crate::manifest::schema::{DevicePolicy, Manifest, Network};
use crate::plan::{At, JailName};
use crate::report::diagnostic::Diagnostic;
use crate::report::systemd::{self, Unit};

/// Variables by which a unit finds what the command finds that makes it.
const VARIABLES: [&str; 3] = ["STOCKADE_STATE_DIR", "STOCKADE_RUN_DIR", "XDG_STATE_HOME"];

/// What can be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `systemd`: the unit that starts the program.
    Service,
    /// `systemd-socket`: the one that listens for it.
    Socket,
}

impl Format {
    fn parse(options: &cli::Export) -> Result<Self> {
        match options.format.as_str() {
            "systemd" => Ok(Self::Service),
            "systemd-socket" => Ok(Self::Socket),
            other => {
                let wrong = Diagnostic::error(format!("`{other}` is nothing that can be written"));
                let hint = format!("write `stockade export systemd {}`", options.jail);
                Err(Failure::new(wrong.hint(hint), exit::USAGE))
            }
        }
    }
}

/// Writes a unit, or into a directory all that there are. From the manifest alone: what this shell's control group lacks for a run the unit is there to give.
pub(super) fn export(options: &cli::Export) -> Result<u8> {
    let format = Format::parse(options)?;
    let request = &cli::request(&options.jail, &options.set, Vec::new());
    let loaded = manifest::load(request).map_err(|findings| Failure::manifest(findings, &request.jail))?;
    let warnings: Vec<_> = loaded.warnings.iter().cloned().map(Diagnostic::from).collect();
    error::eprint_all(&warnings, &loaded.path.display().to_string());
    let manifest = &loaded.manifest;
    // `load` fills it in from the file's name.
    let Some(jail) = manifest.name.as_ref().map(|name| &name.value) else {
        return Err(Failure::new(Diagnostic::error("the jail has no name"), exit::FINDING));
    };
    let path = std::path::absolute(&loaded.path).map_err(|error| unknown("where the manifest is", &error))?;
    let binary = std::env::current_exe().map_err(|error| unknown("where `stockade` is", &error))?;
    let Some(named) = path.to_str() else {
        let message = format!("the path of the manifest is not UTF-8: {}", path.display());
        return Err(Failure::new(
            Diagnostic::error(message).hint("arguments of stockade are text: move it"),
            exit::FAILED,
        ));
    };
    let mut arguments = vec!["run".to_owned()];
    arguments.extend(options.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
    arguments.push(named.to_owned());
    let arguments: Vec<_> = arguments.into_iter().map(Into::into).collect();
    let is_system = nix::unistd::geteuid().is_root();
    let controls = controls(manifest);
    let set = |name| std::env::var_os(name).map(|value| (name, value));
    let unit = Unit {
        jail,
        summary: manifest.summary.as_ref().map(|summary| summary.value.as_str()),
        binary: &binary,
        arguments: &arguments,
        manifest: &path,
        places: &[state_directory()?],
        environment: &VARIABLES.into_iter().filter_map(set).collect::<Vec<_>>(),
        listen: &manifest.program.listen,
        watchdog: manifest.program.watchdog.as_ref(),
        host_network: host_network(manifest),
        // A jail of root's that may have rights of the host's root has one unasked.
        controls: (is_system || !controls.is_empty()).then_some(&controls),
        is_system,
    };
    if format == Format::Socket && unit.listen.is_empty() {
        return Err(no_sockets(jail));
    }
    match options.output.as_deref().map(Path::new) {
        Some(place) if place.is_dir() => {
            if format == Format::Service {
                manifest_file::replace("unit", &place.join(unit.service()), &systemd::service(&unit))?;
            }
            if !unit.listen.is_empty() {
                manifest_file::replace("unit", &place.join(unit.socket()), &systemd::socket(&unit))?;
            }
            Ok(0)
        }
        output => {
            let text = match format {
                Format::Service => systemd::service(&unit),
                Format::Socket => systemd::socket(&unit),
            };
            let write = |path| manifest_file::replace("unit", path, &text).map(|()| 0);
            output.map_or_else(|| Ok(error::print(&text)), write)
        }
    }
}

/// A jail for which nobody listens.
fn no_sockets(jail: &JailName) -> Failure {
    let none = Diagnostic::error(format!("nobody listens for jail `{jail}`"));
    let hint = "write `sockets = true` and `listen = [\"127.0.0.1:8080\"]` under `[program]`";
    Failure::new(none.why("its manifest names no address").hint(hint), exit::FINDING)
}

/// The keys of the limits that a control group holds.
fn controls(manifest: &Manifest) -> Vec<&'static str> {
    let limits = &manifest.limits;
    let is_closed = limits.device_policy.as_ref().is_some_and(|at| at.value == DevicePolicy::Closed);
    let others = [
        ("allowed_cpus", limits.allowed_cpus.is_some()),
        ("io_max", !limits.io_max.is_empty()),
        ("device_policy", is_closed),
    ];
    let numbers = limits.controls.iter().map(|limit| limit.value.control.key());
    numbers.chain(others.into_iter().filter(|(_, is_given)| *is_given).map(|(key, _)| key)).collect()
}

/// What says that the jail has the host's network, if it has.
fn host_network(manifest: &Manifest) -> Option<&crate::plan::Origin> {
    match &manifest.namespaces.network {
        Some(At { value: Network::Host, origin }) => Some(origin),
        _ => None,
    }
}

/// A path that cannot be made absolute.
fn unknown(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Diagnostic::error(format!("cannot find out {what}")).why(error.to_string()), exit::FAILED)
}
