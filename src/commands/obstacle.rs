//! Why a program could not be executed. execve(2) says "No such file or directory" of a program that is there when its loader
//! or interpreter is not, and "Permission denied" for any of five reasons; this looks at the files as the kernel did, one after
//! the other, names what is really missing, and the line that mends it.

mod spot;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};

use self::spot::{Jail, Mount, Spot};
use crate::manifest::libs::{self, Error, Kind, Machine, Problem, Why};
use crate::manifest::links::{self, Root};
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

/// Files the kernel opens for one execve(2) at most: five scripts that interpret each other, a program, its loader.
const MOST_FILES: usize = 7;

/// Why execve(2) refused `program` with `errno`, as far as the tree and the mounts tell.
pub(super) fn refused(steps: &[Step], tree: &Path, program: &JailPath, errno: Errno) -> Diagnosis {
    let jail = Jail { steps, tree };
    let mut file = File { path: program.as_path().to_owned(), role: Role::Program };
    for _ in 0..MOST_FILES {
        let Some(spot) = jail.spot(&file.path) else { return Diagnosis::default() };
        if let Some(found) = jail.obstacle(&spot, &file, errno) {
            return found;
        }
        match libs::describe(&spot.root, &spot.path) {
            Ok(Kind::Script { interpreter, .. }) => {
                file = File { path: interpreter, role: Role::InterpreterOf(file.path) };
            }
            Ok(kind @ Kind::Elf { .. }) if foreign(&file.path, &kind).is_some() => {
                return foreign(&file.path, &kind).unwrap_or_default();
            }
            Ok(Kind::Elf { interpreter: Some(loader), .. })
                if !matches!(file.role, Role::LoaderOf { .. }) =>
            {
                file = File {
                    path: loader,
                    role: Role::LoaderOf { program: file.path, in_tree: spot.mount.is_none() },
                };
            }
            Ok(Kind::Elf { .. }) => return Diagnosis::default(),
            Ok(Kind::Other) => {
                return match libs::closure(&spot.root, &spot.path) {
                    Err(error @ Error::File { problem: Problem::NotLoadable, .. }) => Diagnosis::new(
                        error.to_string(),
                        "link it into a program, or correct `command` under [program]",
                    ),
                    _ => no_program(&spot.path),
                };
            }
            Err(Error::File { problem: Problem::UnknownFormat, .. }) => return no_program(&spot.path),
            Err(error) => {
                return Diagnosis::new(
                    error.to_string(),
                    "install it anew, or correct `command` under [program]",
                );
            }
        }
    }
    Diagnosis::new(
        format!("`{program}` is a script, interpreted by a script, and so on for more than five"),
        "let the first line of one of them name a program",
    )
}

/// Libraries that the loader will not have found, for a program that ended with status 127.
pub(super) fn missing_libraries(steps: &[Step], tree: &Path, program: &JailPath) -> Option<Diagnosis> {
    let jail = Jail { steps, tree };
    let spot = jail.spot(program.as_path())?;
    let Some(mount) = &spot.mount else {
        return match libs::closure(&spot.root, program.as_path()) {
            Err(error @ Error::Missing(_)) => Some(library_missing(&error)),
            _ => None,
        };
    };
    // The program is the host's, and what it needs there may not be in the jail.
    let closure = libs::closure(&spot.root, &spot.path).ok()?;
    let is_there = |path: &Path| {
        mount.source.as_ref().is_some_and(|source| path.starts_with(source))
            || jail.spot(path).is_none_or(|at| {
                (at.mount.is_some() || !jail.is_in_memory()) && at.root.real(&at.path).is_ok()
            })
    };
    let missing =
        closure.files.iter().filter(|file| matches!(file.why, Why::Needed { .. }) && !is_there(&file.path));
    let why: Vec<_> = missing
        .map(|file| {
            format!(
                "library `{}`, needed by `{}`, is not in the jail",
                file.path.display(),
                file.by.display()
            )
        })
        .collect();
    let hint = "a program that is shown by a mount comes without its libraries: list them under `libraries` in [tree], or show them \
                (`--ro` of `stockade once`)";
    (!why.is_empty()).then(|| Diagnosis { why, hint: Some(hint.into()) })
}

/// Why chdir(2) refused the working directory with `errno`.
pub(super) fn no_directory(steps: &[Step], tree: &Path, path: &JailPath, errno: Errno) -> Option<Diagnosis> {
    let jail = Jail { steps, tree };
    let spot = jail.spot(path.as_path())?;
    match (errno, &spot.mount) {
        (Errno::EACCES, _) => jail.forbidden(&spot),
        (Errno::ENOENT, Some(Mount { source: None, .. })) if jail.is_joined() => None,
        (Errno::ENOENT, Some(Mount { target, source: None, place, .. })) => Some(Diagnosis::new(
            format!("`{target}` is an empty file system when the jail starts ({place})"),
            "choose a `working_directory` outside it; the program can change to this one when it has made it",
        )),
        (Errno::ENOENT, Some(mount)) => Some(Diagnosis::new(
            not_behind(&spot.path, mount),
            format!("make `{}` on the host, or correct `working_directory`", spot.path.display()),
        )),
        (Errno::ENOENT, None) => Some(Diagnosis::new(
            format!("there is no `{path}` in the tree any more, as something has changed it"),
            "build it again with `stockade build`",
        )),
        _ => None,
    }
}

/// A file that the kernel opens to execute a program.
struct File {
    /// Its path in the jail.
    path: PathBuf,
    role: Role,
}

/// What the file is for.
enum Role {
    /// It was asked for.
    Program,
    /// The `#!` line of this script names it.
    InterpreterOf(PathBuf),
    /// `PT_INTERP` of this program names it.
    LoaderOf {
        program: PathBuf,
        /// Whether the program is in the tree, and not behind a mount.
        in_tree: bool,
    },
}

impl Jail<'_> {
    /// What keeps the kernel from executing a file before it has read the first byte.
    fn obstacle(self, spot: &Spot, file: &File, errno: Errno) -> Option<Diagnosis> {
        if let Some(mount) = &spot.mount {
            if errno == Errno::EACCES && mount.no_exec {
                return Some(Diagnosis::new(
                    format!("`{}` is mounted noexec ({})", mount.target, mount.place),
                    format!("add `executable = true` to the mount of `{}`", mount.target),
                ));
            }
            // What has come there since is not looked for.
            if mount.source.is_none() && self.is_joined() {
                return Some(Diagnosis::default());
            }
            if mount.source.is_none() {
                return Some(Diagnosis::new(
                    format!(
                        "`{}` is an empty file system when the jail starts ({})",
                        mount.target, mount.place
                    ),
                    format!("put `{}` elsewhere, or mount this elsewhere", file.path.display()),
                ));
            }
        }
        if spot.mount.is_none() && self.is_in_memory() && self.made(&spot.path).is_none() {
            return Some(absent(spot, file, self.is_joined()));
        }
        let metadata = match spot.root.metadata(&spot.path) {
            Ok(metadata) => metadata,
            Err(links::Error::Missing { .. } | links::Error::NotADirectory { .. }) => {
                return Some(absent(spot, file, self.is_joined()));
            }
            Err(error) => return Some(Diagnosis { why: vec![error.to_string()], hint: None }),
        };
        if metadata.is_dir() {
            return Some(Diagnosis::new(
                format!("`{}` is a directory", file.path.display()),
                "name a program in it: correct `command` under [program]",
            ));
        }
        if errno != Errno::EACCES {
            return None;
        }
        self.forbidden(spot).or_else(|| without_exec(self.tree, spot))
    }

    /// A directory on the way or the file itself that the program's user may not enter or execute.
    fn forbidden(self, spot: &Spot) -> Option<Diagnosis> {
        let verified = self.steps.iter().find_map(|step| match &step.action {
            Action::Verify { uid, gid, groups, .. } => Some((*uid, *gid, groups.clone().unwrap_or_default())),
            _ => None,
        });
        let (uid, gid, groups) = verified?;
        let top = spot.mount.as_ref().and_then(|mount| mount.source.as_deref()).unwrap_or(Path::new("/"));
        let real = spot.root.real(&spot.path).ok()?;
        let mut ancestors: Vec<_> = real.ancestors().collect();
        ancestors.reverse();
        // What is above a mount's source the jail does not go through.
        let top = spot.root.real(top).ok()?;
        for path in ancestors.into_iter().filter(|path| path.starts_with(&top)) {
            let found = spot.root.metadata(path).ok()?;
            let owner = self.owner(&found);
            if found.is_file() && found.mode() & 0o111 == 0 {
                return Some(no_execute_bit(path, spot));
            }
            let bits = if owner.uid == uid {
                found.mode() >> 6
            } else if owner.gid == gid || groups.contains(&owner.gid) {
                found.mode() >> 3
            } else {
                found.mode()
            };
            // Root without capabilities is held to the bits like everybody else.
            if bits & 0o1 == 0 {
                let hint = if spot.mount.is_some() {
                    "change its mode or owner on the host, or choose another `user` under [program]"
                } else {
                    "give it an `owner` or a `mode` under [tree] that this user may use"
                };
                return Some(Diagnosis::new(
                    format!(
                        "user {uid} may not {} `{}` (mode {:04o}, owner {}:{})",
                        if found.is_dir() { "search" } else { "execute" },
                        path.display(),
                        found.mode() & 0o7777,
                        owner.uid,
                        owner.gid
                    ),
                    hint,
                ));
            }
        }
        None
    }
}

/// A file that is not there, by what it is for.
fn absent(spot: &Spot, file: &File, joins: bool) -> Diagnosis {
    let path = file.path.display();
    let on_host = Root::host().real(&file.path).is_ok();
    match (&file.role, &spot.mount) {
        (Role::Program, Some(mount)) => Diagnosis::new(
            not_behind(&spot.path, mount),
            if joins {
                "put it there, or name a program that is in the jail"
            } else {
                "put it there, or correct `command` under [program]"
            },
        ),
        // A build has seen to the manifest's program, but not to what `exec` is told to start.
        (Role::Program, None) if joins => Diagnosis::new(
            format!("there is no `{path}` in the jail"),
            if on_host {
                format!("add `{path}` to `programs` under [tree], build the jail and start it anew")
            } else {
                "name a program that is in the jail".to_owned()
            },
        ),
        (Role::Program, None) => Diagnosis::new(
            format!("there is no `{path}` in the tree any more, as something has changed it"),
            "build it again with `stockade build`",
        ),
        (Role::InterpreterOf(script), _) if path.to_string().ends_with('\r') => Diagnosis::new(
            format!("`{}` is a script for `{path}`: its lines end in CR LF, as on Windows", script.display()),
            "take the carriage returns out, as dos2unix(1) does",
        ),
        (Role::InterpreterOf(script), mount) => Diagnosis::new(
            format!("`{}` is a script for `{path}`, which is not in the jail", script.display()),
            match mount {
                Some(mount) => format!(
                    "put it into what is mounted on `{}`, or correct the script's first line",
                    mount.target
                ),
                None if on_host => {
                    format!("add `{path}` to `programs` under [tree], or build again with `stockade build`")
                }
                None => "it is not on the host at that path either: install it there, or correct the script's first line".to_owned(),
            },
        ),
        (Role::LoaderOf { program, in_tree }, _) => Diagnosis::new(
            format!("`{}` is started by its loader `{path}`, which is not in the jail", program.display()),
            match (on_host, in_tree) {
                (false, _) => format!("install `{path}` on the host, or use a program built for this system"),
                (true, true) => format!(
                    "bring `{}` by `programs` instead of `files`, with its loader and libraries; if so it is, build again with `stockade build`",
                    program.display()
                ),
                (true, false) => format!("add `{path}` to `libraries` under [tree], or show it (`stockade once --ro {path}`)"),
            },
        ),
    }
}

/// A path of the host's that a mount does not show, as it is not there.
fn not_behind(path: &Path, mount: &Mount) -> String {
    let source = mount.source.as_deref().unwrap_or(Path::new("")).display();
    format!(
        "`{}` is not on the host, which shows `{source}` at `{}` ({})",
        path.display(),
        mount.target,
        mount.place
    )
}

/// A file on a file system of the host's that is mounted noexec, which the jail's mount of it inherits.
fn without_exec(tree: &Path, spot: &Spot) -> Option<Diagnosis> {
    let shown = if spot.mount.is_some() { &spot.path } else { tree };
    let no_exec = statvfs(shown).is_ok_and(|found| found.flags().contains(FsFlags::ST_NOEXEC));
    no_exec.then(|| match &spot.mount {
        Some(Mount { source: Some(source), .. }) => Diagnosis::new(
            format!("the host has the file system of `{}` mounted noexec", source.display()),
            "list the program under `programs` in [tree], which copies it, or mount that file system without noexec",
        ),
        _ => Diagnosis::new(
            "the state directory is on a file system that is mounted noexec",
            "set STOCKADE_STATE_DIR to a directory on another file system",
        ),
    })
}

/// A file built for another processor.
fn foreign(program: &Path, kind: &Kind) -> Option<Diagnosis> {
    let (Kind::Elf { machine, .. }, Some(ours)) = (kind, Machine::ours()) else { return None };
    (*machine != ours).then(|| {
        Diagnosis::new(
            format!(
                "`{}` is built for {machine} ({}), this machine is {ours} ({})",
                program.display(),
                machine.class,
                ours.class
            ),
            "use a program built for this machine, or a kernel that can run the other kind",
        )
    })
}

/// A file that says nothing about how to run it.
fn no_program(path: &Path) -> Diagnosis {
    Diagnosis::new(
        format!("`{}` is neither an ELF program nor a script that begins with `#!`", path.display()),
        "begin it with a line such as `#!/bin/sh`, or name its interpreter first in `command`",
    )
}

/// Nobody may execute it.
fn no_execute_bit(path: &Path, spot: &Spot) -> Diagnosis {
    Diagnosis::new(
        format!("`{}` has no execute bit", path.display()),
        match spot.mount {
            Some(_) => format!("make it executable on the host: `chmod +x '{}'`", path.display()),
            None => "give it `mode = \"0755\"` under [tree]".to_owned(),
        },
    )
}

/// Libraries that are not in the jail, each with who needs it.
fn library_missing(error: &Error) -> Diagnosis {
    let Error::Missing(missing) = error else { return Diagnosis::default() };
    let why = missing.iter().map(|library| {
        let by = library
            .chain
            .last()
            .map_or_else(String::new, |path| format!(", needed by `{}`,", path.display()));
        format!("library `{}`{by} is not in the jail", library.name.display())
    });
    Diagnosis {
        why: why.collect(),
        hint: Some(
            "list the program under `programs` instead of `files`, or the library under `libraries`, in [tree]; if so it is, build again with `stockade build`".into(),
        ),
    }
}
