//! A jail with an existing root as its base: a directory, a tar archive, an OCI image layout.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod common;

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use common::{Dir, Need, needs};

/// Says who it runs as by the names of the root it sees, and how many bits it has.
const WHO: &str = r#"#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    char line[256], wanted[32];
    FILE *file = fopen("/etc/passwd", "r");
    snprintf(wanted, sizeof wanted, ":x:%d:", (int)getuid());
    while (file && fgets(line, sizeof line, file)) {
        char *at = strstr(line, wanted);
        if (at) { *at = 0; printf("%s, %d bits\n", line, (int)sizeof(void *) * 8); }
    }
    return 0;
}"#;

/// A directory with a small root in it, `root`: a program, a link to it, two names of a file, and users of its own.
fn root(name: &str) -> Dir {
    let dir = Dir::new(name);
    dir.write("root/etc/passwd", "root:x:0:0::/:/bin/sh\nancient:x:65534:65534::/:/bin/who\n")
        .write("root/etc/group", "root:x:0:\nancient:x:65534:\n")
        .write("root/data/first", "content\n");
    for below in ["bin", "dev", "tmp"] {
        fs::create_dir_all(dir.join("root").join(below)).unwrap();
    }
    common::compile_static(&dir.join("root/bin/who"), WHO);
    fs::set_permissions(dir.join("root/bin/who"), Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(dir.join("root/tmp"), Permissions::from_mode(0o1777)).unwrap();
    fs::hard_link(dir.join("root/data/first"), dir.join("root/data/second")).unwrap();
    symlink("who", dir.join("root/bin/me")).unwrap();
    dir.write("root/dev/null", "a file");
    dir
}

/// The manifest of a jail over a base.
fn manifest(dir: &Dir, base: &str, more: &str) {
    let text = format!(
        "name = \"old\"\nprogram.command = [\"me\"]\nprogram.user = \"ancient\"\ntree.base = {}\n{more}",
        base.replace("HERE", dir.path().to_str().unwrap())
    );
    dir.write("old.toml", text);
}

fn tar(dir: &Dir, words: &[&str]) {
    assert!(Command::new("tar").current_dir(dir.path()).args(words).status().unwrap().success());
}

fn tree(dir: &Dir, path: &str) -> PathBuf {
    dir.join("state/old/current/tree").join(path)
}

/// Builds and runs, and looks at what is built.
#[track_caller]
fn works(dir: &Dir) {
    let built = dir.stockade(["build", "./old.toml"]).output();
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    dir.stockade(["run", "./old.toml"]).expect(0, "ancient, 64 bits\n", "");
    let mode = |path: &str| tree(dir, path).symlink_metadata().unwrap().mode() & 0o7777;
    assert_eq!((mode("bin/who"), mode("tmp")), (0o755, 0o1777), "no set-user-id bit");
    let inode = |path: &str| tree(dir, path).symlink_metadata().unwrap().ino();
    assert_eq!(inode("data/first"), inode("data/second"));
    assert_eq!(fs::read_link(tree(dir, "bin/me")).unwrap(), Path::new("who"));
    assert_ne!(fs::read(tree(dir, "dev/null")).unwrap_or_default(), b"a file");
    let verified = dir.stockade(["verify", "old"]).output();
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
    let again = dir.stockade(["build", "./old.toml"]).output();
    assert!(again.stderr.contains("nothing has changed; 4 files are shared with it\n"), "{}", again.stderr);
}

/// Puts a blob into a layout; its descriptor.
fn blob(dir: &Dir, content: &[u8], media: &str, more: &str) -> String {
    let digest = Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    dir.write(format!("image/blobs/sha256/{digest}"), content);
    format!("{{\"mediaType\":\"{media}\",\"digest\":\"sha256:{digest}\",\"size\":{}{more}}}", content.len())
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image of these layers; its descriptor.
fn image(dir: &Dir, layers: &[Vec<u8>], more: &str) -> String {
    let config =
        blob(dir, b"{\"architecture\":\"unheard-of\"}", "application/vnd.oci.image.config.v1+json", "");
    let layers =
        layers.iter().map(|layer| blob(dir, layer, "application/vnd.oci.image.layer.v1.tar+gzip", ""));
    let layers = layers.collect::<Vec<_>>().join(",");
    let text = format!("{{\"schemaVersion\":2,\"config\":{config},\"layers\":[{layers}]}}");
    blob(dir, text.as_bytes(), MANIFEST, more)
}

fn layout(dir: &Dir, images: &[String]) {
    dir.write("image/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}")
        .write("image/index.json", format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", images.join(",")));
}

fn packed(dir: &Dir, directory: &str, options: &str) -> Vec<u8> {
    tar(dir, &[options, "layer", "-C", directory, "."]);
    fs::read(dir.join("layer")).unwrap()
}

/// The platform of this machine, in an image's index.
fn here() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!(",\"platform\":{{\"architecture\":\"{architecture}\",\"os\":\"linux\"}}")
}

fn can_run() -> bool {
    needs(Need::UserNamespaces) && cfg!(target_pointer_width = "64")
}

#[test]
fn a_directory_is_a_base() {
    if !can_run() {
        return;
    }
    let dir = root("base-directory");
    manifest(&dir, "\"HERE/root\"", "");
    works(&dir);
    dir.write("root/data/first", "other\n");
    let stale = dir.stockade(["verify", "old"]).output();
    assert_eq!(stale.code, Some(1));
    assert!(stale.stdout.contains("/data/first"), "{}", stale.stdout);
}

#[test]
fn an_archive_is_a_base() {
    if !can_run() {
        return;
    }
    for options in ["-cf", "-czf", "--format=pax -czSf", "--format=gnu -cSf", "--format=v7 -cf"] {
        let dir = root("base-archive");
        let words: Vec<&str> = options.split(' ').chain(["root.tar", "-C", "root", "."]).collect();
        tar(&dir, &words);
        fs::rename(dir.join("root"), dir.join("gone")).unwrap();
        manifest(&dir, "\"HERE/root.tar\"", "");
        works(&dir);
    }
}

#[test]
fn an_archive_that_changes_is_stale_and_built_anew() {
    if !can_run() {
        return;
    }
    let dir = root("base-stale");
    tar(&dir, &["-cf", "root.tar", "-C", "root", "."]);
    manifest(&dir, "\"HERE/root.tar\"", "");
    works(&dir);
    dir.stockade(["why", "old", "/data/second"]).expect(
        0,
        &format!(
            "/data/second: a second name of /data/first\n    because: in the base {0}/root.tar\n    because: ./old.toml:4\n",
            dir.path().display()
        ),
        "",
    );
    dir.write("root/data/third", "new\n").write("root/data/first", "other\n");
    tar(&dir, &["-cf", "root.tar", "-C", "root", "."]);
    let stale = dir.stockade(["verify", "old"]).output();
    assert_eq!(stale.code, Some(1));
    let told: Vec<&str> = stale.stdout.lines().filter(|line| line.contains("/data/")).collect();
    assert_eq!(told.len(), 3, "{}", stale.stdout);
    let built = dir.stockade(["build", "./old.toml"]).output();
    assert!(built.stderr.contains("1 added, 2 changed, 0 removed"), "{}", built.stderr);
    assert_eq!(fs::read(tree(&dir, "data/third")).unwrap(), b"new\n");
    assert_eq!(dir.stockade(["build", "./old.toml", "--rollback"]).output().code, Some(0));
    assert_eq!(fs::read(tree(&dir, "data/first")).unwrap(), b"content\n");
}

#[test]
fn the_packages_of_a_base_are_its_own() {
    let dir = root("base-package");
    // The host has such a file too, of another package.
    dir.write("root/var/lib/dpkg/info/ancient:i386.list", "/.\n/bin\n/bin/who\n");
    manifest(&dir, "\"HERE/root\"", "");
    assert_eq!(dir.stockade(["build", "./old.toml"]).output().code, Some(0));
    let why = dir.stockade(["why", "old", "/bin/who"]).output().stdout;
    let copied = format!("    copied from {}/root/bin/who, of the package ancient\n", dir.path().display());
    assert!(why.contains(&copied), "{why}");
    tar(&dir, &["-cf", "root.tar", "-C", "root", "."]);
    manifest(&dir, "\"HERE/root.tar\"", "");
    assert_eq!(dir.stockade(["build", "./old.toml"]).output().code, Some(0));
    let why = dir.stockade(["why", "old", "/bin/who"]).output().stdout;
    assert!(why.contains("bytes\n    of the package ancient\n"), "{why}");
}

#[test]
fn an_image_is_a_base() {
    if !can_run() {
        return;
    }
    let dir = root("base-image");
    dir.write("upper/data/.wh.third", "")
        .write("upper/data/.wh.fourth", "")
        .write("root/data/third", "gone\n");
    let layers = [packed(&dir, "root", "-czf"), packed(&dir, "upper", "-cf")];
    let other = image(&dir, &[b"nothing that is read".to_vec()], "");
    layout(&dir, &[other, image(&dir, &layers, &here())]);
    manifest(&dir, "\"HERE/image\"", "");
    works(&dir);
    assert!(!tree(&dir, "data/third").exists());
}

#[test]
fn one_of_several_images_is_named() {
    let dir = root("base-named");
    let named = |name: &str| {
        format!("{},\"annotations\":{{\"org.opencontainers.image.ref.name\":\"{name}\"}}", here())
    };
    let layers = [packed(&dir, "root", "-czf")];
    let (old, new) = (image(&dir, &layers, &named("old")), image(&dir, &layers, &named("new")));
    layout(&dir, &[old, new]);
    let said = |base: &str| {
        manifest(&dir, base, "");
        let planned = dir.stockade(["plan", "./old.toml"]).output();
        (planned.code, planned.stderr)
    };
    assert_eq!(said("{ path = \"HERE/image\", image = \"new\" }"), (Some(0), String::new()));
    let (code, several) = said("\"HERE/image\"");
    assert_eq!(code, Some(1));
    assert!(several.contains("why: several images are meant; there are `old` for "), "{several}");
    let (_, none) = said("{ path = \"HERE/image\", architecture = \"vax\" }");
    assert!(none.contains("why: no image is meant; there are `old` for "), "{none}");
    let (_, misplaced) = said("{ path = \"HERE/root\", architecture = \"vax\" }");
    assert!(misplaced.contains("is no OCI image layout"), "{misplaced}");
}

#[test]
fn an_image_that_is_not_what_its_digest_says_is_refused() {
    let dir = root("base-digest");
    let layers = [packed(&dir, "root", "-czf")];
    layout(&dir, &[image(&dir, &layers, &here())]);
    manifest(&dir, "\"HERE/image\"", "");
    assert_eq!(dir.stockade(["plan", "./old.toml"]).output().code, Some(0));
    let blobs = fs::read_dir(dir.join("image/blobs/sha256")).unwrap().map(|blob| blob.unwrap().path());
    let largest = blobs.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let other = packed(&dir, "root/data", "-czf");
    fs::write(&largest, other).unwrap();
    let refused = dir.stockade(["plan", "./old.toml"]).output();
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("its content is not what its digest says"), "{}", refused.stderr);
    // Nor is anything outside of it read, whatever a digest is called.
    dir.write(
        "image/index.json",
        "{\"manifests\":[{\"digest\":\"sha256:../../../../etc/passwd\",\"size\":1}]}",
    );
    let refused = dir.stockade(["plan", "./old.toml"]).output();
    assert!(refused.stderr.contains("is no digest by sha256"), "{}", refused.stderr);
}

#[test]
fn what_a_manifest_lists_comes_over_the_base() {
    if !can_run() {
        return;
    }
    let dir = root("base-over");
    manifest(
        &dir,
        "\"HERE/root\"",
        "tree.text = [{ path = \"/data/first\", content = \"ours\\n\" }, { path = \"/data/added\", content = \"\" }]\n\
         tree.directories = [{ path = \"/data\", mode = \"0700\" }]\n",
    );
    assert_eq!(dir.stockade(["build", "./old.toml"]).output().code, Some(0));
    assert_eq!(fs::read(tree(&dir, "data/first")).unwrap(), b"ours\n");
    assert_eq!(fs::read(tree(&dir, "data/second")).unwrap(), b"content\n");
    assert_eq!(tree(&dir, "data").metadata().unwrap().mode() & 0o777, 0o700);
    dir.stockade(["run", "./old.toml"]).expect(0, "ancient, 64 bits\n", "");
}

#[test]
fn set_user_id_bits_stay_when_asked_for() {
    if !needs(Need::Root) {
        return;
    }
    let dir = root("base-keep");
    tar(&dir, &["-cf", "root.tar", "-C", "root", "."]);
    for base in ["root", "root.tar"] {
        manifest(&dir, &format!("{{ path = \"HERE/{base}\", keep = [\"setid\"] }}"), "");
        assert_eq!(dir.stockade(["build", "./old.toml"]).output().code, Some(0));
        assert_eq!(tree(&dir, "bin/who").metadata().unwrap().mode() & 0o7777, 0o4755, "{base}");
    }
}

#[test]
fn a_program_of_32_bits_needs_nothing_of_the_host() {
    if !(can_run() && needs(Need::Narrow)) {
        return;
    }
    let dir = root("base-narrow");
    // Dynamic, with the loader and the library at paths that the host has not.
    let source = dir.join("who.c");
    fs::write(&source, WHO).unwrap();
    let found = Command::new("cc").args(["-m32", "-print-file-name=libc.so.6"]).output().unwrap();
    let library = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
    let Some(loader) = library.parent().map(|place| place.join("ld-linux.so.2")).filter(|path| path.exists())
    else {
        eprintln!("SKIP: the C library of 32 bits is not where its loader is");
        return;
    };
    let options = ["-m32", "-Wl,--dynamic-linker=/old/loader", "-o"];
    let made = Command::new("cc").args(options).arg(dir.join("root/bin/who")).arg(&source).status().unwrap();
    assert!(made.success());
    fs::create_dir_all(dir.join("root/old")).unwrap();
    fs::create_dir_all(dir.join("root/lib")).unwrap();
    fs::copy(loader, dir.join("root/old/loader")).unwrap();
    fs::copy(library, dir.join("root/lib/libc.so.6")).unwrap();
    tar(&dir, &["-czf", "root.tgz", "-C", "root", "."]);
    for base in ["root", "root.tgz"] {
        manifest(&dir, &format!("\"HERE/{base}\""), "");
        let built = dir.stockade(["build", "./old.toml"]).output();
        assert_eq!((built.code, built.stderr.contains("warning")), (Some(0), false), "{}", built.stderr);
        dir.stockade(["run", "./old.toml"]).expect(0, "ancient, 32 bits\n", "");
        assert!(
            !tree(&dir, "lib64").exists() && !tree(&dir, "usr").exists(),
            "something of the host came along"
        );
    }
    fs::remove_file(dir.join("root/lib/libc.so.6")).unwrap();
    manifest(&dir, "\"HERE/root\"", "");
    let built = dir.stockade(["build", "./old.toml"]).output();
    assert!(built.stderr.contains("warning: `/bin/me` of the base would not start"), "{}", built.stderr);
}

#[test]
fn names_of_users_are_those_of_the_base() {
    let dir = root("base-users");
    manifest(&dir, "\"HERE/root\"", "tree.users = [\"daemon\"]\n");
    let refused = dir.stockade(["plan", "./old.toml"]).output();
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("there is no user `daemon`"), "{}", refused.stderr);
}

#[test]
fn a_hostile_base_is_refused_and_touches_nothing() {
    let dir = root("base-hostile");
    let outside = dir.join("outside");
    dir.write("outside/file", "precious");
    let script = format!(
        r"import tarfile, sys
def add(tar, name, kind, target='', data=b''):
    import io
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, target, len(data)
    tar.addfile(entry, io.BytesIO(data))
cases = {{
    'up': [('../outside/file', tarfile.REGTYPE, '', b'x')],
    'absolute': [('{0}/file', tarfile.REGTYPE, '', b'x')],
    'through': [('a', tarfile.SYMTYPE, '{0}', b''), ('a/file', tarfile.REGTYPE, '', b'x')],
    'second': [('a', tarfile.LNKTYPE, '../outside/file', b'')],
    'dev': [('dev', tarfile.SYMTYPE, '{0}', b'')],
}}
for name, entries in cases.items():
    with tarfile.open(name + '.tar', 'w') as tar:
        for entry in entries: add(tar, *entry)
",
        outside.display()
    );
    if !needs(Need::Program("python3")) {
        return;
    }
    assert!(
        Command::new("python3").current_dir(dir.path()).args(["-c", &script]).status().unwrap().success()
    );
    symlink(&outside, dir.join("root/proc")).unwrap();
    for (base, expected) in [
        ("up.tar", "its name has `..` in it"),
        ("absolute.tar", "its name begins with `/`, and would be a path of the host"),
        ("through.tar", "it is below a symbolic link of the same archive"),
        ("second.tar", "its name has `..` in it"),
        ("dev.tar", "`/dev` of the base is no directory"),
        ("root", "`/proc` of the base is no directory"),
        ("outside/file", "this is no tar archive"),
    ] {
        manifest(&dir, &format!("\"HERE/{base}\""), "");
        let refused = dir.stockade(["build", "./old.toml"]).output();
        assert_eq!(refused.code, Some(1), "{base}: {}", refused.stderr);
        assert!(refused.stderr.contains(expected), "{base}: {}", refused.stderr);
    }
    assert_eq!(fs::read(dir.join("outside/file")).unwrap(), b"precious");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}
