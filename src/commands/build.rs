//! `build`: makes a jail's tree anew.

use super::prepare::{Jail, Result};
use crate::error;
use crate::manifest::Request;
use crate::manifest::finding::Finding;
use crate::plan::Size;
use crate::report::diagnostic::{Diagnostic, Severity};
use crate::tree::{self, Built};

/// Builds one jail's tree.
pub(super) fn build(request: &Request) -> Result<u8> {
    let jail = Jail::load(request)?;
    let (built, warnings) = jail.build()?;
    announce(&jail, &built, &warnings);
    Ok(0)
}

/// Says what was built, and what should be known about it.
pub(super) fn announce(jail: &Jail, built: &Built, warnings: &[Finding]) {
    let all: Vec<_> = jail
        .loaded
        .warnings
        .iter()
        .filter(|known| !warnings.contains(known))
        .chain(warnings)
        .map(|finding| finding.clone().into())
        .chain(built.left.iter().map(left))
        .collect();
    error::eprint_all(&all, &jail.loaded.path.display().to_string());
    error::note(&format!(
        "built jail `{}`: {} files, {} directories, {} links, {} in `{}`",
        jail.name,
        built.files,
        built.directories,
        built.links,
        approximate(built.bytes),
        built.generation.tree().display()
    ));
}

/// Something of an older tree that is still there.
fn left(error: &tree::Error) -> Diagnostic {
    let left = Diagnostic::error("something of an older tree is left, and tried again by the next build");
    Diagnostic { severity: Severity::Warning, hint: error.hint(), ..left.why(error.to_string()) }
}

/// Bytes for a person: `9.1 MiB`.
fn approximate(bytes: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match UNITS.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{} bytes", Size(bytes).0),
    }
}

#[cfg(test)]
mod tests {
    use super::approximate;

    #[test]
    fn bytes_are_written_for_a_person() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (9_600_000, "9.1 MiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(approximate(bytes), text);
        }
    }
}
