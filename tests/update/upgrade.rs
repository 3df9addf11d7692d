//! An upgrade of the host: found, built, served all the time, gone back from.

use super::*;

/// A server and its library in directories of their own, which play the host's: `libans.so.1` is a link to `libans.so.1.2.0`.
fn serving(name: &str) -> Dir {
    let dir = Dir::new(name);
    let here = dir.path().display().to_string();
    dir.write("server.c", SERVER);
    fs::create_dir(dir.join("lib")).unwrap();
    fs::create_dir(dir.join("run")).unwrap();
    fs::set_permissions(dir.join("run"), Permissions::from_mode(0o777)).unwrap();
    library(&dir, "2.0");
    cc(&dir, &["-o", "server", "server.c", "-Llib", "-l:libans.so.1", &format!("-Wl,-rpath,{here}/lib")]);
    dir.write(
        "ans.toml",
        format!(
            "program.command = [\"{here}/server\"]\n\
             [[mounts]]\nsource = \"{here}/run\"\ntarget = \"/run/ans\"\nread_only = false\n"
        ),
    );
    dir
}

/// A server on a socket, which answers what its library says.
const SERVER: &str = r#"
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
const char *answer(void);
int main(void) {
    struct sockaddr_un address = { AF_UNIX, "/run/ans/socket" };
    unlink(address.sun_path);
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 8)) return 9;
    write(1, "r\n", 2);
    for (int client; (client = accept(listening, 0, 0)) >= 0; close(client)) write(client, answer(), strlen(answer()));
}
"#;

/// Installs the library as this version, under a name that has the version in it, as a package would: the old one goes.
fn library(dir: &Dir, version: &str) {
    dir.write("ans.c", format!("const char *answer(void) {{ return \"version {version}\"; }}"));
    let file = format!("libans.so.1.{version}");
    cc(dir, &["-shared", "-fPIC", "-Wl,-soname,libans.so.1", "-o", &format!("lib/{file}.new"), "ans.c"]);
    for old in fs::read_dir(dir.join("lib")).unwrap() {
        let path = old.unwrap().path();
        if path.extension().is_some_and(|ending| ending != "new") {
            fs::remove_file(path).unwrap();
        }
    }
    fs::rename(dir.join(format!("lib/{file}.new")), dir.join("lib").join(&file)).unwrap();
    std::os::unix::fs::symlink(&file, dir.join("lib/libans.so.1")).unwrap();
}

/// What the daemon answers.
fn ask(socket: &Path) -> String {
    let mut answer = String::new();
    UnixStream::connect(socket).unwrap().read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_library_that_an_upgrade_gives_another_name_is_found_updated_and_gone_back_from() {
    if !needs(Need::Program("cc")) || !needs(Need::UserNamespaces) {
        return;
    }
    let dir = serving("update-library");
    let socket = dir.join("run/socket");
    let lib = dir.join("lib").display().to_string();
    succeeds(&dir, &["build", "./ans.toml"]);
    let daemon = Daemon::start(&dir);
    assert_eq!(ask(&socket), "version 2.0");
    assert_eq!(dir.stockade(["verify", "ans"]).output().code, Some(0));

    // The host is upgraded: the old file goes, the link changes, the program stays.
    library(&dir, "3.0");
    let verified = dir.stockade(["verify", "ans"]).output();
    assert_eq!(verified.code, Some(1), "{}", verified.stderr);
    for expected in [
        format!(
            "stale {lib}/libans.so.1\n      the host has it otherwise now\n      \
             leads to libans.so.1.3.0, led to libans.so.1.2.0\n"
        ),
        format!(
            "stale {lib}/libans.so.1.2.0\n      its source {lib}/libans.so.1.2.0 is gone\n      \
             {lib}/libans.so.1.3.0 seems to replace it\n"
        ),
        format!("stale {lib}/libans.so.1.3.0\n      the host has it now, the tree has not\n"),
        format!("hint: `stockade build {}` makes the tree anew\n", dir.join("ans.toml").display()),
        "jail `ans`: 0 altered, 0 missing, 0 added, 3 stale of ".to_owned(),
    ] {
        assert!(verified.stdout.contains(&expected), "{expected}\nin\n{}", verified.stdout);
    }

    // It serves while the tree is built, and goes on as it was until it is started anew.
    let done = AtomicBool::new(false);
    let (told, asked) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while !done.load(Ordering::Relaxed) || asked == 0 {
                assert_eq!(ask(&socket), "version 2.0");
                asked += 1;
            }
            asked
        });
        let built = dir.stockade(["build", "./ans.toml"]).output();
        done.store(true, Ordering::Relaxed);
        (built, asking.join().unwrap())
    });
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stderr.contains("since generation 1: 1 added, 1 changed, 1 removed; "), "{}", told.stderr);
    println!("asked {asked} times during the build");
    assert_eq!(ask(&socket), "version 2.0");
    let verified = dir.stockade(["verify", "ans"]).output();
    let outdated = format!(
        "stale /\n      process {} still runs it from generation 1, and 2 is the current one\n      \
         it has {lib}/libans.so.1.2.0 mapped as it was there\n      hint: start the jail anew\n",
        daemon.0.id()
    );
    assert_eq!(verified.code, Some(1));
    assert!(verified.stdout.starts_with(&outdated), "{outdated}\nin\n{}", verified.stdout);

    daemon.stop();
    let daemon = Daemon::start(&dir);
    assert_eq!(ask(&socket), "version 3.0");
    assert_eq!(dir.stockade(["verify", "ans"]).output().code, Some(0));

    dir.stockade(["build", "--rollback", "./ans.toml"]).expect(0, "", "jail `ans` is back at generation 1\n");
    assert_eq!(ask(&socket), "version 3.0");
    daemon.stop();
    let daemon = Daemon::start(&dir);
    assert_eq!(ask(&socket), "version 2.0");
    daemon.stop();
}

#[test]
fn a_deleted_library_of_the_hosts_that_a_jail_still_maps_is_stale() {
    if !needs(Need::Program("cc")) || !needs(Need::UserNamespaces) {
        return;
    }
    let dir = serving("update-deleted");
    let lib = dir.join("lib").display().to_string();
    // The host's libraries are shown instead of copied ones.
    let text = fs::read_to_string(dir.join("ans.toml")).unwrap();
    dir.write("ans.toml", format!("{text}[[mounts]]\nsource = \"{lib}\"\ntarget = \"{lib}\"\n"));
    succeeds(&dir, &["build", "./ans.toml"]);
    let daemon = Daemon::start(&dir);
    assert_eq!(dir.stockade(["verify", "ans"]).output().code, Some(0));
    library(&dir, "3.0");
    succeeds(&dir, &["build", "./ans.toml"]);
    let verified = dir.stockade(["verify", "ans"]).output();
    assert_eq!(verified.code, Some(1));
    let expected = format!("stale {lib}/libans.so.1.2.0\n      process ");
    let at = verified.stdout.find(&expected).unwrap_or_else(|| panic!("{expected}\nin\n{}", verified.stdout));
    assert!(
        verified.stdout[at..]
            .contains(" has it mapped, and it is deleted\n      hint: start the jail anew\n")
    );
    daemon.stop();
    let daemon = Daemon::start(&dir);
    assert_eq!(ask(&dir.join("run/socket")), "version 3.0");
    assert_eq!(dir.stockade(["verify", "ans"]).output().code, Some(0));
    daemon.stop();
}

#[test]
fn a_tree_that_was_gone_back_from_goes_with_the_jail_that_runs_from_it() {
    if !needs(Need::Program("cc")) || !needs(Need::UserNamespaces) {
        return;
    }
    let dir = serving("update-popped");
    succeeds(&dir, &["build", "./ans.toml"]);
    library(&dir, "3.0");
    succeeds(&dir, &["build", "./ans.toml"]);
    let daemon = Daemon::start(&dir);
    succeeds(&dir, &["build", "--rollback", "./ans.toml"]);
    let trees = || fs::read_dir(dir.join("state/ans/generations")).unwrap().count();
    assert_eq!((trees(), ask(&dir.join("run/socket")).as_str()), (2, "version 3.0"));
    daemon.stop();
    assert_eq!(trees(), 1);
}
