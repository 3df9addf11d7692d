//! `why`: where a path of a jail comes from, and who needs it, by the record of its tree.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use serde_json::json;

use super::build;
use super::prepare::{Result, state_directory};
use super::remove;
use crate::cli;
use crate::error::{self, Failure, exit};
use crate::manifest::resolve::package_of;
use crate::manifest::root::Root;
use crate::manifest::{self, suggest};
use crate::plan::quote::Escaped;
use crate::report::diagnostic::Diagnostic;
use crate::report::json::text as any_text;
use crate::report::printed;
use crate::tree::record::{Entry, Kind};
use crate::tree::{self, Record, Store};

/// Most links on one path, as in path_resolution(7).
const LINKS: usize = 40;

/// Tells of one path.
pub(super) fn why(options: &cli::Why) -> Result<u8> {
    let name = remove::named(&options.jail)?;
    let state = state_directory()?;
    let cannot = |error: &tree::Error| {
        let failed =
            Diagnostic { hint: error.hint(), ..Diagnostic::error(format!("cannot tell of jail `{name}`")) };
        Failure::new(failed.why(error.to_string()), exit::FAILED)
    };
    let store = Store::find(&state).map_err(|error| cannot(&error))?;
    let found =
        store.as_ref().map_or(Ok(None), |store| store.latest(&name)).map_err(|error| cannot(&error))?;
    let (Some(store), Some(generation)) = (&store, found) else {
        return Err(remove::absent(store.as_ref(), &state, &name));
    };
    let record = store.record(&generation).map_err(|error| cannot(&error))?;
    let tree = Known::new(&record);
    let asked = Path::new("/").join(&options.path);
    let Walk { links, end } = tree.walk(&asked);
    let Some(entry) = tree.entry(&end) else {
        return match shown_by_mount(&record, &end) {
            Some(mount) => Ok(error::print(&mount)),
            None => Err(tree.not_there(&record, &asked, &end)),
        };
    };
    let of_host = entry.source.as_ref().and_then(|source| package_of(&Root::host(), &source.0));
    // A base has its own packages, whose lists came along.
    let package = of_host.or_else(|| package_of(&Root::at(generation.tree()), &end));
    if options.json {
        let value = json!({
            "format": 1,
            "jail": name.as_str(),
            "generation": generation.number,
            "path": any_text(&end),
            "links": links
                .iter()
                .map(|link| json!({ "path": any_text(&link.path.0), "target": link.target.as_ref().map(|text| any_text(&text.0)),
                    "reasons": tree.reasons(link) }))
                .collect::<Vec<_>>(),
            "entry": entry,
            "package": package,
            "reasons": tree.reasons(entry),
        });
        return Ok(error::print(&printed::json(&value)));
    }
    let mut lines = String::new();
    for link in links {
        lines += &described(link, None, &tree);
    }
    lines += &described(entry, package.as_deref(), &tree);
    Ok(error::print(&lines))
}

/// One entry for people: what it is, where it comes from, and why.
fn described(entry: &Entry, package: Option<&str>, tree: &Known<'_>) -> String {
    let shown = |path: &Path| Escaped(path.as_os_str().as_bytes()).to_string();
    let mut lines = vec![match (&entry.target, &entry.hard_link_to) {
        (Some(target), _) => format!("{}: a link to {}", shown(&entry.path.0), shown(&target.0)),
        (None, Some(first)) => format!("{}: a second name of {}", shown(&entry.path.0), shown(&first.0)),
        (None, None) => {
            let size = entry.size.map_or_else(String::new, |size| format!(", {size} bytes"));
            let (kind, mode) = (entry.kind.word(), entry.mode);
            format!("{}: {kind}, mode {mode}, owner {}:{}{size}", shown(&entry.path.0), entry.uid, entry.gid)
        }
    }];
    let package = package.map(|package| format!("of the package {}", Escaped(package.as_bytes())));
    match (&entry.source, package) {
        (Some(source), Some(package)) => {
            lines.push(format!("    copied from {}, {package}", shown(&source.0)));
        }
        (Some(source), None) => lines.push(format!("    copied from {}", shown(&source.0))),
        (None, Some(package)) => lines.push(format!("    {package}")),
        (None, None) => {}
    }
    if !entry.not_kept.is_empty() {
        lines.push(format!("    without {} of it", entry.not_kept.join(", ")));
    }
    let reasons = tree.reasons(entry);
    lines.extend(reasons.iter().map(|reason| format!("    because: {}", Escaped(reason.as_bytes()))));
    lines.join("\n") + "\n"
}

/// A record, to be looked up in.
struct Known<'a> {
    by_path: HashMap<&'a Path, &'a Entry>,
}

/// Where a path leads in a tree.
struct Walk<'a> {
    /// The links on the way.
    links: Vec<&'a Entry>,
    /// What it leads to, which need not be there.
    end: PathBuf,
}

impl<'a> Known<'a> {
    fn new(record: &'a Record) -> Self {
        Self { by_path: record.entries.iter().map(|entry| (entry.path.0.as_path(), entry)).collect() }
    }

    fn entry(&self, path: &Path) -> Option<&'a Entry> {
        self.by_path.get(path).copied()
    }

    /// Follows a path through the links of the record, as the kernel would inside.
    fn walk(&self, path: &Path) -> Walk<'a> {
        let mut links = Vec::new();
        let mut end = PathBuf::from("/");
        let mut rest: Vec<OsString> = reversed(path);
        while let Some(name) = rest.pop() {
            if name == ".." {
                end.pop();
                continue;
            }
            let here = end.join(&name);
            match self.entry(&here) {
                Some(link @ Entry { kind: Kind::Link, target: Some(target), .. }) if links.len() < LINKS => {
                    links.push(link);
                    if target.0.is_absolute() {
                        end = PathBuf::from("/");
                    }
                    rest.extend(reversed(&target.0));
                }
                _ => end = here,
            }
        }
        Walk { links, end }
    }

    /// Why an entry is there: what asked for it, what asked for that, and so on to the line of the manifest.
    fn reasons(&self, entry: &Entry) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        let mut seen = vec![entry.path.0.clone()];
        let mut next = Some(entry);
        while let Some(entry) = next.take() {
            for reason in entry.reason.split("; ") {
                reasons.push(reason.to_owned());
                let of = reason.rsplit_once(" of ").map(|(_, path)| Path::new(path));
                let of = of.filter(|path| path.is_absolute()).map(|path| self.walk(path).end);
                let who = of.and_then(|path| self.entry(&path)).filter(|who| !seen.contains(&who.path.0));
                if let Some(who) = who {
                    seen.push(who.path.0.clone());
                    next = Some(who);
                    break;
                }
            }
        }
        reasons
    }

    /// The answer for a path that is not in the tree, with one that was perhaps meant.
    fn not_there(&self, record: &Record, asked: &Path, end: &Path) -> Failure {
        let jail = &record.head.jail;
        let mut nothing = Diagnostic::error(format!("`{}` is not in jail `{jail}`", asked.display()));
        if asked != end {
            nothing = nothing.why(format!("it leads to `{}`, which is not there", end.display()));
        }
        let mut paths: Vec<&Path> = self.by_path.keys().copied().collect();
        paths.sort_unstable();
        // The same name elsewhere, or one of the same directory, or any, in this order.
        let name = end.file_name();
        let same = paths.iter().find(|path| path.file_name() == name && name.is_some()).copied();
        let near = |candidates: &mut dyn Iterator<Item = &Path>, written: &OsStr| -> Option<String> {
            let names: Vec<String> = candidates.map(|path| path.to_string_lossy().into_owned()).collect();
            let found = suggest::nearest(&written.to_string_lossy(), names.iter().map(String::as_str));
            found.map(str::to_owned)
        };
        let beside = || {
            let name = name?;
            let mut names = paths
                .iter()
                .filter(|path| path.parent() == end.parent())
                .filter_map(|path| Some(Path::new(path.file_name()?)));
            near(&mut names, name).map(|found| end.with_file_name(found))
        };
        let anywhere = || near(&mut paths.iter().copied(), end.as_os_str()).map(PathBuf::from);
        let like = || {
            let stem =
                |path: &Path| path.file_name()?.to_str()?.split_once(".so").map(|(stem, _)| stem.to_owned());
            let wanted = stem(end)?;
            paths.iter().find(|path| stem(path).as_ref() == Some(&wanted)).map(|path| path.to_path_buf())
        };
        let meant = same.map(Path::to_owned).or_else(beside).or_else(like).or_else(anywhere);
        let nothing = match meant {
            Some(meant) => nothing.hint(format!("did you mean `{}`?", meant.display())),
            None => nothing.hint("`stockade plan --all` shows every path of a jail"),
        };
        Failure::new(nothing, exit::FINDING)
    }
}

/// The components of a path, the first last.
fn reversed(path: &Path) -> Vec<OsString> {
    let components = path.components().rev();
    components
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// What there is to say of a path that is not in the tree but below a mount of the manifest's.
fn shown_by_mount(record: &Record, path: &Path) -> Option<String> {
    let jail = build::unasked(record)?;
    let mounts = jail.loaded.manifest.mounts.iter();
    let mount = mounts
        .filter(|mount| path.starts_with(mount.value.target.as_path()))
        .max_by_key(|mount| mount.value.target.as_path().components().count())?;
    let shown = Escaped(path.as_os_str().as_bytes());
    let what = match &mount.value.kind {
        manifest::schema::MountKind::Bind { source, .. } => format!("of the host's {source}"),
        manifest::schema::MountKind::Tmpfs { .. } => "of empty memory".to_owned(),
        manifest::schema::MountKind::Mqueue => "of message queues".to_owned(),
        manifest::schema::MountKind::Overlay { source, .. } => {
            format!("of a scratch layer over the host's {source}")
        }
    };
    let target = &mount.value.target;
    Some(format!(
        "{shown}: not in the tree, but on the mount {what} at {target}\n    because: {}\n",
        mount.origin
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::record::Name;

    fn entry(path: &str, kind: Kind, reason: &str) -> Entry {
        let text = format!(
            "{{\"path\":\"{path}\",\"type\":\"file\",\"mode\":\"0644\",\"uid\":0,\"gid\":0,\"mtime\":[0,0],\"reason\":\"{reason}\"}}"
        );
        Entry { kind, ..serde_json::from_str(&text).unwrap() }
    }

    fn link(path: &str, target: &str) -> Entry {
        Entry { target: Some(Name(target.into())), ..entry(path, Kind::Link, "web.toml:1") }
    }

    #[test]
    fn a_path_is_followed_as_the_kernel_would() {
        let entries =
            [link("/lib", "usr/lib"), link("/usr/lib/a.so", "../share/b.so"), link("/loop", "/loop")];
        let known = Known { by_path: entries.iter().map(|entry| (entry.path.0.as_path(), entry)).collect() };
        for (path, links, end) in [
            ("/lib/a.so", 2, "/usr/share/b.so"),
            ("/../lib/./x", 1, "/usr/lib/x"),
            ("/loop", LINKS, "/loop"),
            ("/", 0, "/"),
        ] {
            let walk = known.walk(Path::new(path));
            assert_eq!((walk.links.len(), walk.end.as_path()), (links, Path::new(end)), "{path}");
        }
    }

    #[test]
    fn the_chain_goes_back_to_the_manifest() {
        let entries = [
            link("/lib", "usr/lib"),
            entry("/usr/lib/c", Kind::File, "DT_NEEDED c of /lib/b; web.toml:9"),
            entry("/usr/lib/b", Kind::File, "DT_NEEDED b of /bin/a; web.toml:9"),
            entry("/bin/a", Kind::File, "package x; web.toml:3"),
            entry("/self", Kind::File, "DT_NEEDED self of /self; web.toml:4"),
        ];
        let known = Known { by_path: entries.iter().map(|entry| (entry.path.0.as_path(), entry)).collect() };
        assert_eq!(
            known.reasons(&entries[1]),
            ["DT_NEEDED c of /lib/b", "DT_NEEDED b of /bin/a", "package x", "web.toml:3"]
        );
        assert_eq!(known.reasons(&entries[4]), ["DT_NEEDED self of /self", "web.toml:4"]);
    }
}
