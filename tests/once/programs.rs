//! Programs that people use every day work inside, with no more said than what they may write.

use std::path::Path;

use crate::common::{Dir, Need, needs};
use crate::{once, place};

/// Whether a program is where every jail sees it.
fn is_there(program: &'static str) -> bool {
    let here = Path::new("/usr/bin").join(program).exists();
    needs(Need::UserNamespaces) && (here || needs(Need::Program(program)))
}

/// What root has to say to have its own files written, since root inside is nobody on what is shown.
fn squash() -> &'static [&'static str] {
    if nix::unistd::geteuid().is_root() { &["--no-root-squash"] } else { &[] }
}

/// Runs a script that may write to its directory, and compares all that it says.
#[track_caller]
fn works(dir: &Dir, script: &str, expected: &str) {
    let words = squash().iter().copied().chain(["--rw", ".", "sh", "-c", script]);
    once(dir, words).expect(0, expected, "");
}

#[test]
fn gcc_compiles_links_and_what_comes_of_it_runs() {
    if !is_there("gcc") {
        return;
    }
    let dir = place("once-gcc");
    dir.write("part.c", "int twice(int x) { return 2 * x; }\n");
    dir.write(
        "main.c",
        "#include <math.h>\n#include <stdio.h>\nint twice(int x);\n\
         int main(int count, char **words) { printf(\"%d %.3f\\n\", twice(21), sqrt(count + 1)); return 0; }\n",
    );
    works(&dir, "gcc -O2 -c part.c main.c && gcc part.o main.o -lm -o hello && ./hello", "42 1.414\n");
    // Without a place to write to but what is gone afterwards.
    let script = "gcc -o /tmp/hello main.c part.c -lm && /tmp/hello && ls -A";
    std::fs::remove_file(dir.join("hello")).unwrap();
    once(&dir, ["sh", "-c", script]).expect(0, "42 1.414\ndata\nmain.c\nmain.o\npart.c\npart.o\n", "");
}

#[test]
fn make_builds_what_is_old_and_no_more() {
    if !is_there("make") {
        return;
    }
    let dir = place("once-make");
    dir.write("Makefile", "all: one two\none two: data/file\n\tcp $< $@\n");
    works(
        &dir,
        "make -j2 -Otarget 2>&1 | sort && make",
        &format!("{0}one\n{0}two\nmake: Nothing to be done for 'all'.\n", "cp data/file "),
    );
}

#[test]
fn tar_packs_and_unpacks() {
    if !is_there("tar") {
        return;
    }
    let dir = place("once-tar");
    let script = "tar czf pack.tgz data && mkdir out && tar xzvf pack.tgz -C out && cat out/data/file";
    works(&dir, script, "data/\ndata/file\ncontent\n");
}

#[test]
fn git_keeps_a_history() {
    if !is_there("git") {
        return;
    }
    let dir = place("once-git");
    let script = "git -c init.defaultBranch=main init -q && git add data && \
        git -c user.name=Eve -c user.email=eve@example.org commit -qm 'first words' && \
        git status --short && git log --format='%an: %s' && git clone -q . /tmp/copy && cat /tmp/copy/data/file && git fsck --no-progress";
    works(&dir, script, "Eve: first words\ncontent\n");
}

#[test]
fn python_has_its_library_and_its_processes() {
    if !is_there("python3") {
        return;
    }
    let dir = place("once-python");
    dir.write(
        "script.py",
        "import hashlib, json, multiprocessing, pathlib, sqlite3, ssl, subprocess, tempfile\n\
         def square(x): return x * x\n\
         if __name__ == '__main__':\n\
        \x20   print(json.dumps({'content': pathlib.Path('data/file').read_text()}))\n\
        \x20   with multiprocessing.Pool(2) as pool: print(pool.map(square, range(4)))\n\
        \x20   print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())\n\
        \x20   print(sqlite3.connect(':memory:').execute('select 6 * 7').fetchone()[0])\n",
    );
    works(&dir, "/usr/bin/python3 -B script.py", "{\"content\": \"content\\n\"}\n[0, 1, 4, 9]\nchild\n42\n");
}

#[test]
fn node_has_its_threads() {
    if !is_there("node") {
        return;
    }
    let dir = place("once-node");
    dir.write(
        "script.js",
        "const { Worker, isMainThread, parentPort } = require('worker_threads');\n\
         if (!isMainThread) { parentPort.postMessage(6 * 7); return; }\n\
         console.log(require('fs').readFileSync('data/file', 'utf8').trim());\n\
         new Worker(__filename).on('message', found => console.log(found));\n\
         console.log(require('child_process').execSync('echo child').toString().trim());\n",
    );
    works(&dir, "/usr/bin/node script.js", "content\nchild\n42\n");
}

#[test]
fn cargo_builds_without_a_network() {
    let sysroot = std::process::Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = sysroot.ok().filter(|output| output.status.success());
    let Some(sysroot) = sysroot.and_then(|output| String::from_utf8(output.stdout).ok()) else {
        assert!(!needs(Need::Program("rustc (of this user)")));
        return;
    };
    if !is_there("gcc") {
        return;
    }
    let (dir, sysroot) = (place("once-cargo"), sysroot.trim_end().to_owned());
    dir.write("Cargo.toml", "[package]\nname = \"tiny\"\nedition = \"2021\"\nversion = \"0.1.0\"\n");
    dir.write("build.rs", "fn main() { println!(\"cargo:rustc-env=BUILT=by a script\"); }\n");
    dir.write("src/main.rs", "fn main() { println!(\"built {}\", env!(\"BUILT\")); }\n");
    let path = format!("PATH={sysroot}/bin:/usr/bin:/bin");
    let words = [
        "--rw",
        ".",
        "--ro",
        &sysroot,
        "--env",
        &path,
        "--tmp-size",
        "1G",
        "cargo",
        "run",
        "-q",
        "--offline",
    ];
    once(&dir, squash().iter().copied().chain(words)).expect(0, "built by a script\n", "");
}
