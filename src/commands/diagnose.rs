//! Why a program could not be executed. execve(2) says "No such file or directory" of a program that is there when its loader
//! or interpreter is not; this looks at the file as the kernel did, names what is really missing, and the line that mends it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::manifest::libs::{self, Error, Kind, Machine, Problem};
use crate::manifest::links::Root;
use crate::plan::step::Action;
use crate::plan::{JailPath, Step};

/// What was found out: facts, and what to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Diagnosis {
    /// What is missing or wrong, a sentence each.
    pub(super) why: Vec<String>,
    /// The line that mends it.
    pub(super) hint: Option<String>,
}

impl Diagnosis {
    fn new(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { why: vec![why.into()], hint: Some(hint.into()) }
    }
}

/// Why execve(2) refused `program` with `errno`, as far as the tree and the mounts tell.
pub(super) fn refused(steps: &[Step], tree: &Path, program: &JailPath, errno: Errno) -> Diagnosis {
    if let Some(covering) = covering_mount(steps, program) {
        return on_mount(&covering, program, errno);
    }
    by_file(&Root::at(tree), program)
        .or_else(|| by_permission(steps, tree, program).filter(|_| errno == Errno::EACCES))
        .unwrap_or_default()
}

/// Libraries that the loader will not have found, for a program that ended with status 127.
pub(super) fn missing_libraries(steps: &[Step], tree: &Path, program: &JailPath) -> Option<Diagnosis> {
    if covering_mount(steps, program).is_some() {
        return None;
    }
    match libs::closure(&Root::at(tree), program.as_path()) {
        Err(error @ Error::Missing(_)) => Some(library_missing(&error)),
        _ => None,
    }
}

/// A mount other than the root, with the line it comes from.
struct Mount {
    target: JailPath,
    source: Option<PathBuf>,
    no_exec: bool,
    place: String,
}

/// The mount a path is on, if it is not on the tree itself.
fn covering_mount(steps: &[Step], path: &JailPath) -> Option<Mount> {
    let mounts = steps.iter().filter_map(|step| match &step.action {
        Action::CloneTree { source, target, flags, .. } => {
            Some((step, target, Some(source.as_path().to_owned()), flags.no_exec))
        }
        Action::CreateFileSystem { target, flags, .. } => Some((step, target, None, flags.no_exec)),
        _ => None,
    });
    mounts
        .filter(|(_, target, ..)| path.starts_with(target))
        .max_by_key(|(_, target, ..)| target.as_path().components().count())
        .map(|(step, target, source, no_exec)| Mount {
            target: target.clone(),
            source,
            no_exec,
            place: step.origin.to_string(),
        })
}

/// For a program that is not in the tree but on something mounted over it.
fn on_mount(mount: &Mount, program: &JailPath, errno: Errno) -> Diagnosis {
    let Mount { target, place, .. } = mount;
    if errno == Errno::EACCES && mount.no_exec {
        return Diagnosis::new(
            format!("`{target}` is mounted noexec ({place})"),
            format!("add `executable = true` to the mount of `{target}`"),
        );
    }
    let Some(source) = &mount.source else {
        return Diagnosis::new(
            format!("`{target}` is an empty file system when the jail starts ({place})"),
            format!("put the program elsewhere, or copy it into `{target}` from inside first"),
        );
    };
    let rest = program.as_path().strip_prefix(target.as_path()).unwrap_or(Path::new(""));
    let path = source.join(rest);
    match fs::metadata(&path) {
        Err(_) => Diagnosis::new(
            format!(
                "`{}` is not on the host, which shows `{}` at `{target}` ({place})",
                path.display(),
                source.display()
            ),
            "correct `command` under [program]",
        ),
        Ok(found) if found.mode() & 0o111 == 0 => not_executable(&path),
        Ok(_) => match libs::describe(&Root::host(), &path) {
            Ok(kind) => interpreter_or_machine(program, kind).unwrap_or_default(),
            Err(error) => Diagnosis { why: vec![error.to_string()], hint: None },
        },
    }
}

/// What the file itself, its loader, its interpreter and its libraries tell.
fn by_file(root: &Root, program: &JailPath) -> Option<Diagnosis> {
    match libs::closure(root, program.as_path()) {
        Ok(_) => libs::describe(root, program.as_path()).ok().and_then(|kind| foreign(program, &kind)),
        Err(Error::File { path, problem: Problem::Absent, .. }) if path == program.as_path() => {
            Some(Diagnosis::new(
                format!("there is no `{program}` in the jail"),
                format!("add `{program}` to `programs` under [tree], or correct `command` under [program]"),
            ))
        }
        Err(Error::File { path, problem: Problem::NotExecutable, .. }) => Some(not_executable(&path)),
        Err(Error::File { path, problem: Problem::UnknownFormat, .. }) => Some(Diagnosis::new(
            format!("`{}` is neither an ELF program nor a script that begins with `#!`", path.display()),
            "begin it with a line such as `#!/bin/sh`, or name its interpreter first in `command`",
        )),
        Err(Error::Interpreter { path, by, problem }) => Some(interpreter(root, &path, &by, &problem)),
        Err(error @ Error::Missing(_)) => Some(library_missing(&error)),
        Err(error) => Some(Diagnosis { why: vec![error.to_string()], hint: None }),
    }
}

/// The loader of a program, or the interpreter of a script, is missing or unusable.
fn interpreter(root: &Root, path: &Path, by: &Path, problem: &Problem) -> Diagnosis {
    let (path, shown) = (path.display(), by.display());
    match libs::describe(root, by) {
        Ok(Kind::Script { .. }) => Diagnosis::new(
            format!("`{shown}` is a script for `{path}`: {problem}"),
            format!("add `{path}` to `programs` under [tree]"),
        ),
        _ => Diagnosis::new(
            format!("`{shown}` is started by its loader `{path}`: {problem}"),
            format!(
                "list `{shown}` under `programs` instead of `files`: its loader and libraries then come along"
            ),
        ),
    }
}

/// A file built for another processor, or one that only its loader can start.
fn interpreter_or_machine(program: &JailPath, kind: Kind) -> Option<Diagnosis> {
    foreign(program, &kind).or_else(|| match kind {
        Kind::Elf { interpreter: Some(loader), .. } => Some(Diagnosis::new(
            format!("`{program}` is started by its loader `{}`, which is not in the jail", loader.display()),
            format!("add `{}` to `libraries` under [tree]", loader.display()),
        )),
        Kind::Script { interpreter, .. } => Some(Diagnosis::new(
            format!("`{program}` is a script for `{}`, which is not in the jail", interpreter.display()),
            format!("add `{}` to `programs` under [tree]", interpreter.display()),
        )),
        Kind::Elf { .. } | Kind::Other => None,
    })
}

/// A file built for another processor.
fn foreign(program: &JailPath, kind: &Kind) -> Option<Diagnosis> {
    let (Kind::Elf { machine, .. }, Some(ours)) = (kind, Machine::ours()) else { return None };
    (*machine != ours).then(|| {
        Diagnosis::new(
            format!(
                "`{program}` is built for {machine} ({}), this machine is {ours} ({})",
                machine.class, ours.class
            ),
            "use a program built for this machine, or a kernel that can run the other kind",
        )
    })
}

/// Nobody may execute it.
fn not_executable(path: &Path) -> Diagnosis {
    Diagnosis::new(
        format!("`{}` has no execute bit", path.display()),
        "give it `mode = \"0755\"` under [tree], or make it executable on the host",
    )
}

/// Libraries that are not in the jail, each with who needs it.
fn library_missing(error: &Error) -> Diagnosis {
    let Error::Missing(missing) = error else { return Diagnosis::default() };
    let why = missing.iter().map(|library| {
        let by =
            library.chain.last().map_or_else(String::new, |path| format!(", needed by `{}`", path.display()));
        format!("library `{}`{by} is not in the jail", library.name.display())
    });
    Diagnosis {
        why: why.collect(),
        hint: Some(
            "list the program under `programs` instead of `files`, or the library under `libraries`, in [tree]".into(),
        ),
    }
}

/// A directory on the way or the file itself that the program's user may not enter or execute.
fn by_permission(steps: &[Step], tree: &Path, program: &JailPath) -> Option<Diagnosis> {
    let verified = steps.iter().find_map(|step| match &step.action {
        Action::Verify { uid, gid, .. } => Some((*uid, *gid)),
        _ => None,
    });
    let (uid, gid) = verified?;
    let real = Root::at(tree).real(program.as_path()).ok()?;
    let mut ancestors: Vec<_> = real.ancestors().collect();
    ancestors.reverse();
    for path in ancestors {
        let found = fs::metadata(tree.join(path.strip_prefix("/").unwrap_or(path))).ok()?;
        let bits = match (found.uid() == uid, found.gid() == gid) {
            (true, _) => found.mode() >> 6,
            (_, true) => found.mode() >> 3,
            _ => found.mode(),
        };
        if uid != 0 && bits & 0o1 == 0 {
            return Some(Diagnosis::new(
                format!(
                    "user {uid} may not {} `{}` (mode {:04o}, owner {}:{})",
                    if found.is_dir() { "search" } else { "execute" },
                    path.display(),
                    found.mode() & 0o7777,
                    found.uid(),
                    found.gid()
                ),
                "give it an `owner` or a `mode` under [tree] that this user may use",
            ));
        }
    }
    None
}
