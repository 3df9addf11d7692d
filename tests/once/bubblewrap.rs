//! bubblewrap's options: the same words, given to both, show the same. What bubblewrap does is looked at where it is installed; what is
//! expected is written here all the same.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{Dir, Need, needs};
use crate::{once, place};

/// What bubblewrap needs to be told for any program to run.
const GROUND: [&str; 16] = [
    "--ro-bind",
    "/usr",
    "/usr",
    "--symlink",
    "usr/bin",
    "/bin",
    "--symlink",
    "usr/lib",
    "/lib",
    "--symlink",
    "usr/lib64",
    "/lib64",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
];

/// What both are told beside: bubblewrap leaves what it is not told to make anew.
const ANEW: [&str; 3] = ["--unshare-user", "--unshare-pid", "--unshare-uts"];

/// Runs a script in both, with what `give` does to the command, and compares; `{dir}` is the directory.
fn both_with(dir: &Dir, options: &[&str], script: &str, expected: &str, give: &dyn Fn(&mut Command)) {
    let directory = dir.path().display().to_string();
    let expected = expected.replace("{dir}", &directory);
    let words = GROUND.iter().chain(&ANEW).chain(options).copied().chain(["sh", "-c", script]);
    // Root inside is nobody on what is shown, and bubblewrap's root is root.
    let own =
        if nix::unistd::geteuid().is_root() { &["--bare", "--no-root-squash"][..] } else { &["--bare"] };
    let mut command = once(dir, own.iter().copied().chain(words.clone()));
    give(&mut command.inner);
    let output = command.output();
    let (found, said) = (output.stdout, output.stderr);
    assert_eq!(found, expected, "stockade once {options:?}: {said}");
    if needs(Need::Program("bwrap")) {
        let mut command = Command::new("bwrap");
        command.args(words).current_dir(dir.path()).env("HOME", "/home/eve").stdin(Stdio::null());
        give(&mut command);
        let output = command.output().unwrap();
        let (found, said) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(found, expected, "bwrap {options:?}: {said}");
    }
}

/// The same as it is.
fn both(dir: &Dir, options: &[&str], script: &str, expected: &str) {
    both_with(dir, options, script, expected, &|_| {});
}

/// A directory of its own for one test, if it can run.
fn scene(name: &str) -> Option<Dir> {
    needs(Need::UserNamespaces).then(|| place(name))
}

macro_rules! alike {
    ($($name:ident: $options:expr, $script:expr, $expected:expr;)*) => {
        $(#[test]
        fn $name() {
            let Some(dir) = scene(stringify!($name)) else { return };
            both(&dir, &$options, $script, $expected);
        })*
    };
}

alike! {
    a_directory_is_shown_read_only: ["--ro-bind", "data", "/d"],
        "cat /d/file; touch /d/new 2>&1", "content\ntouch: cannot touch '/d/new': Read-only file system\n";
    a_file_is_shown_read_only: ["--ro-bind", "data/file", "/f"], "cat /f; (echo > /f) 2>/dev/null || echo no", "content\nno\n";
    a_directory_is_shown_writable: ["--bind", "data", "/d"], "echo new > /d/new && ls /d", "file\nnew\n";
    what_is_not_there_is_no_error: ["--bind-try", "nothing", "/d", "--ro-bind-try", "nothing", "/e"], "ls -d /d /e 2>/dev/null", "";
    what_is_there_is_shown_by_try: ["--ro-bind-try", "data", "/d"], "ls /d", "file\n";
    a_later_mount_comes_over_an_earlier_one: ["--ro-bind", "data", "/d", "--tmpfs", "/d"], "ls /d; touch /d/x; ls /d", "x\n";
    a_mount_is_shown_in_an_empty_one: ["--tmpfs", "/d", "--ro-bind", "data", "/d/a/b"], "find /d | sort", "/d\n/d/a\n/d/a/b\n/d/a/b/file\n";
    an_empty_mount_hides_part_of_another: ["--tmpfs", "/usr/share"], "ls -A /usr/share; ls /usr/bin/env", "/usr/bin/env\n";
    an_empty_one_has_a_mode: ["--perms", "0700", "--tmpfs", "/d"], "stat -c '%a %F' /d", "700 directory\n";
    an_empty_one_has_its_own_without: ["--tmpfs", "/d"], "stat -c '%a %F' /d", "755 directory\n";
    an_empty_one_has_a_size: ["--size", "8192", "--tmpfs", "/d"], "head -c 9000 /dev/zero 2>/dev/null > /d/a; stat -c %s /d/a", "8192\n";
    a_directory_is_made: ["--dir", "/d/e"], "ls /d; stat -c %a /d/e", "e\n755\n";
    a_directory_has_a_mode: ["--perms", "0711", "--dir", "/d"], "stat -c %a /d", "711\n";
    a_directory_that_is_there_stays: ["--ro-bind", "data", "/d", "--dir", "/d"], "ls /d", "file\n";
    a_link_is_made: ["--symlink", "/usr/bin/env", "/e"], "readlink /e; /e echo run", "/usr/bin/env\nrun\n";
    a_link_leads_to_a_mount: ["--ro-bind", "data", "/d", "--symlink", "d", "/l"], "cat /l/file", "content\n";
    a_directory_is_changed_to: ["--chdir", "/usr"], "pwd", "/usr\n";
    variables_are_set_and_unset: ["--setenv", "A", "b c", "--unsetenv", "HOME", "--setenv", "A", "d"], "echo \"$A:$HOME\"", "d:\n";
    variables_are_cleared: ["--clearenv", "--setenv", "A", "b", "--setenv", "PATH", "/usr/bin"],
        "env | grep -v -e ^PWD= -e ^_= | sort", "A=b\nPATH=/usr/bin\n";
    a_host_has_a_name: ["--hostname", "other"], "uname -n", "other\n";
    a_user_has_ids: ["--uid", "12", "--gid", "13"], "id -u; id -g", "12\n13\n";
    root_inside_is_an_id_like_others: ["--uid", "0", "--gid", "0"], "id -u; id -g", "0\n0\n";
    a_program_is_process_one: ["--as-pid-1"], "echo $$", "1\n";
    a_mount_becomes_read_only: ["--tmpfs", "/d", "--dir", "/d/e", "--remount-ro", "/d"],
        "touch /d/x 2>&1; ls /d", "touch: cannot touch '/d/x': Read-only file system\ne\n";
    a_device_is_shown: ["--dev-bind", "/dev/null", "/n"], "echo x > /n; stat -c %F /n", "character special file\n";
    devices_are_there: [], "for d in null zero full random urandom tty; do stat -c '%n %t:%T' /dev/$d; done; readlink /dev/stdin /dev/fd",
        "/dev/null 1:3\n/dev/zero 1:5\n/dev/full 1:7\n/dev/random 1:8\n/dev/urandom 1:9\n/dev/tty 5:0\n/proc/self/fd/0\n/proc/self/fd\n";
    everything_is_unshared: ["--unshare-all", "--new-session"], "cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '", "lo\n";
    a_relative_place_is_below_the_root: ["--ro-bind", "data", "d"], "cat /d/file", "content\n";
}

#[test]
fn what_is_written_is_on_the_host_and_no_place_for_a_mount_is() {
    let Some(dir) = scene("bw-host") else { return };
    fs::create_dir(dir.join("data/inner")).unwrap();
    both(
        &dir,
        &["--bind", "data", "/d", "--tmpfs", "/d/inner"],
        "echo x > /d/written; touch /d/inner/y; ls /d",
        "file\ninner\nwritten\n",
    );
    assert_eq!(fs::read_to_string(dir.join("data/written")).unwrap(), "x\n");
    assert_eq!(fs::read_dir(dir.join("data/inner")).unwrap().count(), 0);
    // Where bubblewrap would make the place on the host, this refuses.
    let output = once(&dir, ["--bind", "data", "/d", "--tmpfs", "/d/ghost", "/bin/true"]).output();
    assert!(output.stderr.contains("there is no `/d/ghost`, and it cannot be made"), "{}", output.stderr);
    assert!(!dir.join("data/ghost").exists());
}

#[test]
fn what_is_in_a_directory_is_the_root() {
    let Some(dir) = scene("bw-root") else { return };
    for name in ["tree/etc", "tree/proc", "tree/dev"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    dir.write("tree/etc/name", "of the tree\n");
    std::os::unix::fs::symlink("etc", dir.join("tree/link")).unwrap();
    fs::create_dir(dir.join("tree/usr")).unwrap();
    for link in ["bin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), dir.join("tree").join(link)).unwrap();
    }
    let words = ["--ro-bind", "tree", "/", "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"];
    let script = ["sh", "-c", "cat /link/name; ls /; touch /x 2>/dev/null || echo no"];
    let expected = "of the tree\nbin\ndev\netc\nlib\nlib64\nlink\nproc\nusr\nno\n";
    once(&dir, ["--bare"].into_iter().chain(words).chain(script)).expect(0, expected, "");
    if needs(Need::Program("bwrap")) {
        let output = Command::new("bwrap").args(words).args(script).current_dir(dir.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}

/// The command is given a file as its descriptor 3.
fn with_descriptor(dir: &Dir, content: &[u8]) -> impl Fn(&mut Command) + use<> {
    let path = dir.join("given");
    fs::write(&path, content).unwrap();
    move |command| {
        let program = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3< \"$0\"; exec \"$@\""]).arg(&path).arg(program).args(arguments);
        shell.stdin(Stdio::null());
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        *command = shell;
    }
}

#[test]
fn a_file_comes_from_a_descriptor() {
    let Some(dir) = scene("bw-file") else { return };
    let give = with_descriptor(&dir, b"given\n");
    both_with(&dir, &["--file", "3", "/etc/x"], "cat /etc/x; stat -c %a /etc/x", "given\n666\n", &give);
    both_with(
        &dir,
        &["--ro-bind-data", "3", "/etc/x"],
        "cat /etc/x; stat -c %a /etc/x",
        "given\n600\n",
        &give,
    );
    both_with(&dir, &["--bind-data", "3", "/etc/x"], "cat /etc/x", "given\n", &give);
    both_with(&dir, &["--perms", "0640", "--file", "3", "/etc/x"], "stat -c %a /etc/x", "640\n", &give);
}

#[test]
fn options_come_from_a_descriptor() {
    let Some(dir) = scene("bw-args") else { return };
    let give = with_descriptor(&dir, b"--setenv\0A\0from there\0--ro-bind\0data\0/d\0");
    both_with(
        &dir,
        &["--args", "3", "--setenv", "B", "c"],
        "echo $A $B; ls /d",
        "from there c\nfile\n",
        &give,
    );
}

#[test]
fn a_descriptor_is_told_of_start_and_end() {
    let Some(dir) = scene("bw-status") else { return };
    for option in ["--json-status-fd", "--info-fd"] {
        let mut command = Command::new("sh");
        let own = once(&dir, [option, "3", "sh", "-c", "exit 7"]).inner;
        command.args(["-c", "exec 3> told; exec \"$@\"", "sh"]).arg(own.get_program()).args(own.get_args());
        command.current_dir(dir.path()).env("HOME", "/home/eve").stdin(Stdio::null());
        assert_eq!(command.status().unwrap().code(), Some(7));
        let told = fs::read_to_string(dir.join("told")).unwrap();
        let pid: String =
            told.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        let told = told.replace(&format!(": {pid}"), ": PID");
        let expected = match option {
            "--info-fd" => "{\n    \"child-pid\": PID\n}\n",
            _ => "{ \"child-pid\": PID }\n{ \"exit-code\": 7 }\n",
        };
        assert_eq!(told, expected);
    }
}
