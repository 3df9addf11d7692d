//! `export`: a jail in the words of another program.

use std::path::Path;

use super::prepare::{Result, state_directory};
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::manifest::schema::{Manifest, Network};
use crate::manifest::{self, Request};
use crate::plan::At;
use crate::report::diagnostic::Diagnostic;
use crate::report::systemd::{self, Unit};

/// Variables by which a unit finds what the command finds that makes it.
const VARIABLES: [&str; 2] = ["STOCKADE_STATE_DIR", "STOCKADE_RUN_DIR"];

/// Writes the unit. From the manifest alone: what this shell's control group lacks for a run the unit is there to give.
pub(super) fn export(options: &cli::Export, request: &Request) -> Result<u8> {
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
    let controls: Vec<_> = manifest.limits.controls.iter().map(|limit| limit.value.control.key()).collect();
    let set = |name| std::env::var_os(name).map(|value| (name, value));
    let text = systemd::text(&Unit {
        jail,
        summary: manifest.summary.as_ref().map(|summary| summary.value.as_str()),
        binary: &binary,
        arguments: &arguments,
        manifest: &path,
        places: &[state_directory()?],
        environment: &VARIABLES.into_iter().filter_map(set).collect::<Vec<_>>(),
        host_network: host_network(manifest),
        // A jail of root's that may have rights of the host's root has one unasked.
        controls: (is_system || !controls.is_empty()).then_some(&controls),
        is_system,
    });
    match &options.output {
        None => Ok(error::print(&text)),
        Some(output) => std::fs::write(Path::new(output), text).map(|()| 0).map_err(|error| {
            let failed = Diagnostic::error(format!("cannot write the unit `{output}`"));
            Failure::new(failed.why(error.to_string()).hint("name a file that you may write"), exit::FAILED)
        }),
    }
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
