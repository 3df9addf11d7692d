//! A jail of one's own with everything it uses in a temporary directory, and the real binary let loose on it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::common::{self, Dir, Output, is_root};

/// The user that a test run by root becomes where an ordinary user is wanted, and that user's group.
const NOBODY: u32 = 65534;

/// A manifest, `web.toml`, beside the files it names. `DIR` in texts stands for the directory they are in.
pub(super) struct Jail {
    dir: Dir,
    /// What the binary is started by, if by something: a program with its first arguments.
    by: Vec<String>,
    /// What has had its mode changed, in case that keeps its owner from removing it.
    changed: Vec<PathBuf>,
}

/// The machine the tests run on and the one that [`for_another_machine`] makes files for, in words.
const OURS: &str = if cfg!(target_arch = "aarch64") { "aarch64 (64-bit)" } else { "x86-64 (64-bit)" };
const OTHER: &str = if cfg!(target_arch = "aarch64") { "RISC-V (64-bit)" } else { "aarch64 (64-bit)" };

impl Drop for Jail {
    fn drop(&mut self) {
        for path in &self.changed {
            let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o755));
        }
    }
}

impl Jail {
    /// A jail of whoever runs the tests.
    pub(super) fn new(manifest: &str) -> Self {
        let jail = Self { dir: Dir::new("broken"), by: Vec::new(), changed: Vec::new() };
        // The caller's umask may be a narrow one, and the jailed user has to come through.
        set_mode(jail.dir.path(), 0o755);
        jail.text("web.toml", manifest)
    }

    /// The same with a static program `DIR/program` that ends with status 0.
    pub(super) fn with_program(manifest: &str) -> Self {
        let jail = Self::new(manifest);
        common::compile_static(&jail.dir.join("program"), "int main(void) { return 0; }");
        jail
    }

    /// Writes a file whose content may name `DIR`.
    pub(super) fn text(self, path: &str, content: &str) -> Self {
        self.dir.write(path, content.replace("DIR", &self.dir.path().to_string_lossy()));
        self
    }

    /// Writes an executable script.
    pub(super) fn script(self, path: &str, content: &str) -> Self {
        self.text(path, content).mode(path, 0o755)
    }

    /// Changes the mode of something.
    pub(super) fn mode(mut self, path: &str, mode: u32) -> Self {
        set_mode(&self.path(path), mode);
        self.changed.push(self.path(path));
        self
    }

    /// Changes the mode of something in the tree that has the path it has on the host.
    pub(super) fn mode_in_tree(self, path: &str, mode: u32) -> Self {
        set_mode(&self.in_tree(path), mode);
        self
    }

    /// Removes a file.
    pub(super) fn without(self, path: &str) -> Self {
        fs::remove_file(self.path(path)).unwrap();
        self
    }

    /// Removes a file of the tree that has the path it has on the host.
    pub(super) fn without_in_tree(self, path: &str) -> Self {
        fs::remove_file(self.in_tree(path)).unwrap();
        self
    }

    /// Removes a file from the tree's root.
    pub(super) fn without_in_root(self, name: &str) -> Self {
        let path = format!("tree/{name}");
        self.without(&path)
    }

    /// Where a file of the directory is in the tree when it kept its path.
    fn in_tree(&self, path: &str) -> PathBuf {
        self.path("tree/").join(self.dir.join(path).strip_prefix("/").unwrap())
    }

    /// Replaces a text in the manifest, for one too long to be written there.
    pub(super) fn replace(self, from: &str, to: &str) -> Self {
        let path = self.path("web.toml");
        let manifest = fs::read_to_string(&path).unwrap();
        fs::write(path, manifest.replace(from, to)).unwrap();
        self
    }

    /// A static program that ends with status 0.
    pub(super) fn with_static(self, to: &str) -> Self {
        common::compile_static(&self.path(to), "int main(void) { return 0; }");
        self
    }

    /// A static program `DIR/program` that says something and then waits for a signal.
    pub(super) fn with_waiting_program(self) -> Self {
        let source = "#include <stdio.h>\n#include <unistd.h>\n\
                      int main(void) { puts(\"waiting\"); fflush(stdout); pause(); return 0; }";
        common::compile_static(&self.path("program"), source);
        self
    }

    /// A program `DIR/program` that needs the library `DIR/lib/libfoo.so`.
    pub(super) fn with_library(self) -> Self {
        self.compile(
            "lib/libfoo.so",
            "int foo(void) { return 0; }",
            &["-shared", "-fPIC", "-Wl,-soname,libfoo.so"],
        )
        .compile(
            "program",
            "int foo(void); int main(void) { return foo(); }",
            &["DIR/lib/libfoo.so", "-Wl,-rpath,DIR/lib"],
        )
    }

    /// A program `DIR/program` whose loader is `DIR/ld.so`.
    pub(super) fn with_loader(self) -> Self {
        self.with_static("ld.so").compile(
            "program",
            "int main(void) { return 0; }",
            &["-Wl,--dynamic-linker=DIR/ld.so"],
        )
    }

    /// Does something to a path.
    pub(super) fn with(self, path: &str, change: impl FnOnce(&Path)) -> Self {
        change(&self.path(path));
        self
    }

    /// Compiles C, with these further arguments.
    pub(super) fn compile(self, to: &str, source: &str, arguments: &[&str]) -> Self {
        use std::io::Write as _;
        let directory = self.dir.path().to_string_lossy();
        let mut compiler = Command::new("cc")
            .args(["-O1", "-x", "c", "-", "-x", "none", "-o"])
            .arg(self.path(to))
            .args(arguments.iter().map(|argument| argument.replace("DIR", &directory)))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        compiler.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
        assert!(compiler.wait().unwrap().success());
        self
    }

    /// The same jail of an ordinary user, who owns all there is so far.
    pub(super) fn of_ordinary_user(mut self) -> Self {
        if is_root() {
            give(self.dir.path());
            let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
            self.by
                .extend(["setpriv".to_owned()].into_iter().chain(ids).chain(["--clear-groups".to_owned()]));
        }
        self
    }

    /// The same jail, for which a shell does something in a mount namespace of its own first, as root.
    pub(super) fn after(mut self, script: &str) -> Self {
        let script =
            format!("{}; exec \"$0\" \"$@\"", script.replace("DIR", &self.dir.path().to_string_lossy()));
        self.by.extend(["unshare", "--mount", "sh", "-ec"].map(str::to_owned));
        self.by.push(script);
        self
    }

    /// The same jail, the binary started by this program.
    pub(super) fn started_by(mut self, by: &[&str]) -> Self {
        self.by.extend(by.iter().map(|&word| word.to_owned()));
        self
    }

    /// Where something is. Of the tree's files those of the first generation are there under `tree`.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        match path.strip_prefix("tree/") {
            Some(path) => self.dir.join("state/web/generations/1/tree").join(path),
            None => self.dir.join(path),
        }
    }

    /// Builds the jail, which must work: it breaks later.
    pub(super) fn built(self) -> Self {
        let output = self.run(&["build"]);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        self
    }

    /// Runs a command on the jail and compares its code and all it says on stderr.
    #[track_caller]
    pub(super) fn expect(&self, command: &[&str], code: i32, stderr: &str) {
        let output = self.run(command);
        self.compare(&output, code, stderr);
    }

    /// Compares what a command left.
    #[track_caller]
    fn compare(&self, output: &Output, code: i32, stderr: &str) {
        let found = self.normalized(&output.stderr);
        assert!(
            found == stderr && output.code == Some(code),
            "exit code {:?}, expected {code}\n{}",
            output.code,
            common::difference(stderr, &found)
        );
    }

    /// Runs a command on the jail.
    fn run(&self, command: &[&str]) -> Output {
        let mut prepared = self.dir.stockade(command.iter().copied().chain(["./web.toml"]));
        prepared.inner.env("STOCKADE_STATE_DIR", self.path("state"));
        if self.by.is_empty() {
            return prepared.output();
        }
        let mut binary = PathBuf::from(prepared.inner.get_program());
        if self.by.iter().any(|word| word == "setpriv") && !reachable(&binary) {
            let copy = self.path("stockade");
            if !copy.exists() {
                common::copy_program(&binary, &copy);
            }
            binary = copy;
        }
        let mut by = Command::new(&self.by[0]);
        by.args(&self.by[1..]).arg(binary).args(prepared.inner.get_args()).current_dir(self.dir.path());
        by.envs(prepared.inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null());
        common::Command { inner: by }.output()
    }

    /// A text without what differs from one machine to the next: the directory's path and the carets below it, the numbers of
    /// steps (`faults.rs` compares those), what was built, the owner,
    /// the machines, and where the host keeps libraries.
    fn normalized(&self, text: &str) -> String {
        let path = self.dir.path().to_string_lossy();
        // Whoever runs the tests owns what they make.
        let own = fs::metadata("/proc/self").unwrap();
        let owner = format!("owner {}:{}", own.uid(), own.gid());
        let mut out = String::new();
        let mut shorter = 0;
        for line in text.lines().filter(|line| !is_of_the_host(line, &path)) {
            let found = line.matches(&*path).count() * (path.len() - "DIR".len());
            let line = line.replace(&*path, "DIR");
            let line = without_numbers(&line)
                .replace(&owner, "owner 0:0")
                .replace(OURS, "OURS")
                .replace(OTHER, "OTHER");
            if let Some((margin, carets)) =
                line.split_once("| ").filter(|(_, rest)| rest.trim_start().starts_with('^'))
            {
                let length = carets.matches('^').count();
                let keep = if length > shorter { length - shorter } else { length };
                let carets = carets.replacen(&"^".repeat(length), &"^".repeat(keep), 1);
                let _ = writeln!(out, "{margin}| {carets}");
            } else if line.starts_with("built jail `web`: ") {
                out += "built jail `web`\n";
            } else {
                let _ = writeln!(out, "{line}");
            }
            shorter = found;
        }
        out
    }
}

/// Whether a line tells where else a library was looked for.
fn is_of_the_host(line: &str, path: &str) -> bool {
    let looked_for = line.starts_with("  why: looked for at `/") && !line.contains(path);
    looked_for || line.starts_with("  why: and at ")
}

/// `step 5 of 40` as `step N of M`.
fn without_numbers(line: &str) -> String {
    let Some((before, after)) =
        line.split_once("step ").filter(|(_, after)| after.starts_with(|c: char| c.is_ascii_digit()))
    else {
        return line.to_owned();
    };
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest.strip_prefix(" of ") {
        Some(rest) => format!("{before}step N of M{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => format!("{before}step N{rest}"),
    }
}

/// Whether everybody may come to a file.
fn reachable(path: &Path) -> bool {
    path.ancestors().all(|at| fs::metadata(at).is_ok_and(|found| found.mode() & 1 != 0))
}

/// Makes an ELF file one for another processor: `e_machine`, see elf(5).
pub(super) fn for_another_machine(path: &Path) {
    const AARCH64: u8 = 183;
    const RISCV: u8 = 243;
    let mut bytes = fs::read(path).unwrap();
    bytes[18] = if bytes[18] == AARCH64 { RISCV } else { AARCH64 };
    fs::write(path, bytes).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives a directory and all below it to nobody.
fn give(path: &Path) {
    std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}
