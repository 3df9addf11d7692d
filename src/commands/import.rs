//! `import`: the manifest that another tool's configuration amounts to.

use std::ffi::OsString;
use std::path::Path;

use super::manifest_file::write;
use super::once;
use super::prepare::Result;
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::manifest::{edit, import};
use crate::report::diagnostic::Diagnostic;

/// Where jailkit has its sections.
const JAILKIT: &str = "/etc/jailkit/jk_init.ini";

/// Writes it.
pub(super) fn import(options: &cli::Import, words: Vec<OsString>) -> Result<u8> {
    let text = match options.tool.as_str() {
        "jailkit" if !options.sections.is_empty() && words.is_empty() => jailkit(options)?,
        "bwrap" if options.sections.is_empty() && options.file.is_none() && !words.is_empty() => {
            bwrap(words)?
        }
        tool => return Err(usage(tool)),
    };
    match &options.output {
        Some(path) => write(path, &text).map(|()| 0),
        None => Ok(error::print(&text)),
    }
}

fn usage(tool: &str) -> Failure {
    let message = match tool {
        "jailkit" => "sections of jailkit's are wanted, and no words after `--`".to_owned(),
        "bwrap" => "the options of bubblewrap are wanted after `--`, and nothing else".to_owned(),
        _ => format!("`{tool}` is nothing that can be imported"),
    };
    let hint = "write `stockade import jailkit SECTION…` or `stockade import bwrap -- OPTIONS COMMAND`";
    Failure::new(Diagnostic::error(message).hint(hint), exit::USAGE)
}

/// Sections of jailkit's.
fn jailkit(options: &cli::Import) -> Result<String> {
    let path = options.file.as_deref().unwrap_or(Path::new(JAILKIT));
    let text = std::fs::read_to_string(path).map_err(|error| {
        let cannot = Diagnostic::error(format!("cannot read `{}`", path.display())).why(error.to_string());
        let hint = "name the file with `--file`, such as a copy of jailkit's jk_init.ini";
        Failure::new(cannot.hint(hint), exit::FAILED)
    })?;
    let lines = import::jailkit(&text, &options.sections).map_err(|(message, hint)| {
        let place = format!("in `{}`", path.display());
        Failure::new(Diagnostic::error(message).why(place).hint(hint), exit::FINDING)
    })?;
    Ok(edit::add("", &lines).0)
}

/// Options of bubblewrap's: they are options of `once` as well, but for what it shares unless it is told not to.
fn bwrap(words: Vec<OsString>) -> Result<String> {
    let unshared = |word: &OsString| word == "--unshare-net" || word == "--unshare-all";
    let mut all: Vec<OsString> = vec!["--bare".into()];
    all.extend((!words.iter().any(unshared)).then(|| "--share-net".into()));
    all.extend(words);
    let options = cli::once(all).map_err(|early| match early {
        cli::Early::Usage(failure) => failure,
        cli::Early::Answer(_) => usage("bwrap"),
    })?;
    // The same word, and another thing: a layer on the host that is kept.
    if options.options.iter().any(|asked| asked.name == "--overlay") {
        let failed = Diagnostic::error("`--overlay RWSRC WORKDIR DEST` cannot be imported");
        let hint =
            "write --overlay-src SRC and --tmp-overlay DEST for a layer that is dropped, or --bind for none";
        return Err(Failure::new(failed.hint(hint), exit::USAGE));
    }
    once::as_text(&options)
}
