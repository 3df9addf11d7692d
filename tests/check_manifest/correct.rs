//! Manifests that are right: every key once, includes, `replace`.

use std::path::Path;

use stockade::manifest::schema::{
    DeviceName, MountKind, Network, Proc, Program, ProgramType, Share, Sys, SystemCalls,
};
use stockade::manifest::{self, Loaded, Request, keys};
use stockade::plan::step::{Keep, RootMethod};
use stockade::plan::system_calls::Refusal;
use stockade::plan::value::{Account, HostPath, JailPath, Mode, Size};

use super::common::Dir;

/// Loads `jails/web.toml` of a directory; it must be right and leave no warning.
#[track_caller]
fn load(dir: &Dir) -> Loaded {
    let request = Request { jail: dir.join("jails/web.toml").into(), ..Request::default() };
    let loaded = manifest::load(&request).unwrap();
    assert_eq!(loaded.warnings, []);
    loaded
}

/// Every key of every table.
const FULL: &str = r#"
name = "full"
summary = "every key once"
include = ["base.toml"]
replace = ["tree.groups"]

[program]
command = ["/usr/sbin/nginx", "-g", "daemon off;"]
user = "www-data"
group = 33
supplementary_groups = ["ssl-cert", 4]
working_directory = "/srv/./www/"
umask = "0027"
environment = { TZ = "UTC", EMPTY = "" }
pass_environment = ["TERM"]
unset_environment = ["LOGNAME"]
nice = -5
oom_score_adjust = 500
cpu_affinity = "0-2,8,1"
personality = ["linux32", "no-randomize"]
init = false
type = "notify"
sockets = true
listen = ["80", "datagram:[::1]:53", "/run/web.sock"]
watchdog = "1m"

[tree]
programs = ["/usr/sbin/nginx", { path = "/usr/bin/sudo", keep = ["setid", "capabilities"] }]
libraries = ["/usr/lib/nginx/modules/ngx_stream_module.so"]
files = [
    "/etc/nginx",
    { path = "/srv/www/**", target = "/www", exclude = ["*.bak"], owner = "root", group = 0, mode = "0644", keep = ["setid"], optional = true },
]
packages = ["tzdata"]
directories = ["/var/log", { path = "/var/cache", owner = "www-data", group = "www-data", mode = "0750" }]
users = ["www-data"]
groups = ["ssl-cert"]
devices = ["null", "/dev/urandom", "ptmx", "shm"]
host = ["hosts", "time-zone", "certificates", "locale"]
base = { path = "/srv/image", image = "stable", architecture = "386", keep = ["setid"] }
links = [{ path = "/bin", target = "usr/bin" }]
text = [{ path = "/etc/motd", content = "hello\n", owner = 0, group = 0, mode = 0o640 }]

[[mounts]]
type = "bind"
source = "/srv/zones"
target = "/zones"
read_only = false
executable = false
recursive = false
optional = true
root_squash = true
sockets = false

[[mounts]]
type = "tmpfs"
target = "/tmp"
size = "64M"
inodes = 1000
mode = "1777"
owner = "bind"
group = 53

[[mounts]]
type = "mqueue"
target = "/queues"

[[mounts]]
type = "overlay"
source = "/srv/work"
target = "/work"
size = "128M"
inodes = 2000

[root]
method = "move"
read_only = true
proc = "full"
sys = "masked"
tree = "disk"

[namespaces]
network = "pasta"
publish = ["8080:80", 9090, "0.0.0.0:53:53/udp"]
allow = [5432, "53/udp"]
user = true
first_id = 200000
id_range = true
ipc = "host"
uts = "new"
cgroup = "host"
abstract_sockets = "new"
hostname = "web"

[limits]
address_space = "2G"
core_size = 0
cpu_time = "1m"
data_size = "unlimited"
file_size = "1G:2G"
file_locks = 100
locked_memory = "64K"
message_queues = "800K"
nice_ceiling = 20
open_files = { soft = 1024, hard = "unlimited" }
processes = 64
resident_size = 4096
realtime_priority = 0
realtime_time = "500ms"
pending_signals = "10:20"
stack_size = "8M:unlimited"
memory = "256M"
memory_high = 209715200
swap = "unlimited"
tasks = 64
cpu = "150%"
cpu_weight = 50
io_weight = 200
allowed_cpus = "0-3,8"
io_max = [{ device = "/dev/sda", read_bandwidth = "10M", write_bandwidth = 1000, read_iops = 100, write_iops = 50 }]
device_policy = "closed"
runtime_max = "1h30m"
cpu_time_max = "1500ms"
output_size = "2M"

[privileges]
capabilities = ["CAP_CHOWN", "net_bind_service"]
bounding = ["SETUID"]
no_new_privileges = false
landlock = true
system_calls = ["default", "@debug", "-mlock"]
system_calls_action = "kill"
architectures = ["x86-32"]
best_effort = ["landlock"]

[test]
command = ["curl", "-sf", "http://127.0.0.1/"]
arguments = ["-t"]
input = "x"
expect = ["hello", "world"]
status = 0
stop_status = 1
timeout = "5s"
"#;

/// Compares `[program]` with what [`FULL`] says.
#[track_caller]
fn is_as_written(program: &Program) {
    assert_eq!(program.command.as_ref().unwrap().value, ["/usr/sbin/nginx", "-g", "daemon off;"]);
    assert_eq!(program.user.as_ref().unwrap().value, Account::Name("www-data".into()));
    assert_eq!(program.group.as_ref().unwrap().value, Account::Id(33));
    assert_eq!(program.supplementary_groups.len(), 2);
    assert_eq!(program.working_directory.as_ref().unwrap().value.to_string(), "/srv/www");
    assert_eq!(program.umask.as_ref().unwrap().value, Mode(0o27));
    assert_eq!(program.environment["TZ"].value, "UTC");
    assert_eq!(program.environment["EMPTY"].value, "");
    assert_eq!(program.pass_environment[0].value, "TERM");
    assert_eq!(program.nice.as_ref().unwrap().value, -5);
    assert_eq!(program.oom_score_adjust.as_ref().unwrap().value, 500);
    assert_eq!(program.cpu_affinity.as_ref().unwrap().value, [0, 1, 2, 8]);
    assert_eq!(program.personality.len(), 2);
    assert!(!program.init.as_ref().unwrap().value);
    assert_eq!(program.kind.as_ref().unwrap().value, ProgramType::Notify);
    assert!(program.sockets.as_ref().unwrap().value);
    let addresses: Vec<_> = program.listen.iter().map(|listen| listen.value.to_string()).collect();
    assert_eq!(addresses, ["80", "datagram:[::1]:53", "/run/web.sock"]);
    assert_eq!(program.watchdog.as_ref().unwrap().value.0.as_secs(), 60);
}

#[test]
fn every_key_once() {
    let dir = Dir::new("full");
    dir.write("jails/web.toml", FULL).write("jails/base.toml", "[tree]\ngroups = [\"adm\"]\n");
    let manifest = load(&dir).manifest;
    assert_eq!(manifest.name.as_ref().map(|at| at.value.as_str()), Some("full"));
    assert_eq!(manifest.summary.as_ref().map(|at| at.value.as_str()), Some("every key once"));

    is_as_written(&manifest.program);
    let tree = &manifest.tree;
    assert_eq!(tree.programs[0].value.keep, Keep::default());
    assert_eq!(tree.programs[1].value.keep, Keep { setid: true, capabilities: true });
    assert_eq!(tree.libraries.len(), 1);
    assert_eq!(tree.files[0].value.path, HostPath::parse("/etc/nginx").unwrap());
    let files = &tree.files[1].value;
    assert_eq!(files.target, Some(JailPath::parse("/www").unwrap()));
    assert_eq!(files.exclude, ["*.bak"]);
    assert_eq!((&files.owner, &files.group), (&Some(Account::Name("root".into())), &Some(Account::Id(0))));
    assert_eq!(files.mode, Some(Mode(0o644)));
    assert!(files.keep.setid && !files.keep.capabilities && files.optional);
    assert_eq!(tree.packages[0].value, "tzdata");
    assert_eq!(tree.directories[0].value.mode, None);
    assert_eq!(tree.directories[1].value.mode, Some(Mode(0o750)));
    assert_eq!(tree.users[0].value, "www-data");
    assert_eq!(tree.groups.len(), 1);
    assert_eq!(tree.groups[0].value, "ssl-cert");
    let devices: Vec<_> = tree.devices.as_ref().unwrap().iter().map(|at| at.value).collect();
    assert!(
        matches!(devices[..], [DeviceName::Node(null), DeviceName::Node(_), DeviceName::Pts, DeviceName::Shm] if null.name == "null")
    );
    let base = &tree.base.as_ref().unwrap().value;
    assert_eq!(base.path, HostPath::parse("/srv/image").unwrap());
    assert_eq!((base.image.as_deref(), base.architecture.as_deref()), (Some("stable"), Some("386")));
    assert_eq!(base.keep, Keep { setid: true, capabilities: false });
    assert_eq!(tree.links[0].value.target, "usr/bin");
    assert_eq!(tree.text[0].value.content, "hello\n");
    assert_eq!(tree.text[0].value.mode, Some(Mode(0o640)));

    // Those of `host` come first.
    let (of_host, mounts) = manifest.mounts.split_at(manifest.mounts.len() - 4);
    assert_eq!(of_host[0].value.target.as_path(), Path::new("/etc/hosts"));
    assert_eq!(of_host.len(), 12);
    let MountKind::Bind { recursive, optional, .. } = &mounts[0].value.kind else { panic!() };
    assert_eq!((*recursive, *optional), (Some(false), true));
    assert_eq!(mounts[0].value.read_only, Some(false));
    assert_eq!(mounts[0].value.executable, Some(false));
    let tmpfs = MountKind::Tmpfs {
        size: Some(Size(64 << 20)),
        inodes: Some(1000),
        mode: Some(Mode(0o1777)),
        owner: Some(Account::Name("bind".into())),
        group: Some(Account::Id(53)),
    };
    assert_eq!(mounts[1].value.kind, tmpfs);
    assert_eq!(mounts[2].value.kind, MountKind::Mqueue);
    let overlay = MountKind::Overlay {
        source: HostPath::parse("/srv/work").unwrap(),
        size: Some(Size(128 << 20)),
        inodes: Some(2000),
        sockets: false,
    };
    assert_eq!(mounts[3].value.kind, overlay);

    assert_eq!(manifest.root.method.as_ref().unwrap().value, RootMethod::Move);
    assert_eq!(manifest.root.proc.as_ref().unwrap().value, Proc::Full);
    assert_eq!(manifest.root.sys.as_ref().unwrap().value, Sys::Masked);
    assert_eq!(manifest.namespaces.network.as_ref().unwrap().value, Network::Pasta);
    assert_eq!(manifest.namespaces.uts.as_ref().unwrap().value, Share::New);
    assert_eq!(manifest.namespaces.ipc.as_ref().unwrap().value, Share::Host);

    let limits: Vec<_> = manifest
        .limits
        .resources
        .iter()
        .map(|at| (at.value.resource.key, at.value.soft, at.value.hard))
        .collect();
    assert_eq!(limits.len(), 16);
    for expected in [
        ("core_size", Some(0), Some(0)),
        ("cpu_time", Some(60), Some(60)),
        ("data_size", None, None),
        ("file_size", Some(1 << 30), Some(2 << 30)),
        ("open_files", Some(1024), None),
        ("realtime_time", Some(500_000), Some(500_000)),
        ("pending_signals", Some(10), Some(20)),
        ("stack_size", Some(8 << 20), None),
    ] {
        assert!(limits.contains(&expected), "{expected:?} in {limits:?}");
    }
    assert_eq!(manifest.limits.runtime_max.as_ref().unwrap().value.0.as_secs(), 5400);
    assert_eq!(manifest.limits.cpu_time_max.as_ref().unwrap().value.0.as_millis(), 1500);
    assert_eq!(manifest.limits.output_size.as_ref().unwrap().value.0, 2 << 20);
    assert_eq!(manifest.privileges.capabilities.iter().map(|at| at.value).collect::<Vec<_>>(), [0, 10]);
    assert!(!manifest.privileges.no_new_privileges.as_ref().unwrap().value);
    let Some(SystemCalls::List(words)) = manifest.privileges.system_calls.map(|at| at.value) else {
        panic!("no list of system calls");
    };
    assert_eq!(
        words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>(),
        ["default", "@debug", "-mlock"]
    );
    assert_eq!(manifest.privileges.system_calls_action.map(|at| at.value), Some(Refusal::Kill));
    let test = manifest.test.unwrap().value;
    assert_eq!(test.expect, ["hello", "world"]);
    let timeout = test.timeout.unwrap().0.as_secs();
    assert_eq!((test.status, test.stop_status, timeout), (Some(0), Some(1), 5));
}

#[test]
fn limits_of_a_group_in_their_units() {
    let dir = Dir::new("group-limits");
    dir.write("jails/web.toml", FULL).write("jails/base.toml", "");
    let manifest = load(&dir).manifest;
    let controls: Vec<_> =
        manifest.limits.controls.iter().map(|at| (at.value.control.key(), at.value.amount)).collect();
    let expected = [
        ("memory", Some(256 << 20)),
        ("memory_high", Some(200 << 20)),
        ("swap", None),
        ("tasks", Some(64)),
        ("cpu", Some(150_000)),
        ("cpu_weight", Some(50)),
        ("io_weight", Some(200)),
    ];
    assert_eq!(controls, expected);
}

#[test]
fn every_key_of_the_table_is_in_the_full_manifest() {
    for key in keys::KEYS {
        let written = format!("{} = ", key.name);
        let header = key.example.starts_with('[') && FULL.contains(&format!("\n{}\n", key.example));
        assert!(header || FULL.contains(&written), "{key:?}");
    }
}

#[test]
fn a_value_knows_its_place() {
    let dir = Dir::new("place");
    dir.write("jails/web.toml", "[program]\ncommand = [\"/bin/true\"]\nuser = \"é\u{20}\"\n");
    let request = Request { jail: dir.join("jails/web.toml").into(), ..Request::default() };
    let findings = manifest::load(&request).unwrap_err();
    let place = findings[0].origin.as_ref().unwrap().place().unwrap();
    assert_eq!((place.line, place.column, place.length), (3, 8, 4));
}

#[test]
fn later_files_win_and_lists_append() {
    let dir = Dir::new("layers");
    dir.write("jails/base/one.toml", "name = \"one\"\nsummary = \"one\"\n[program]\ncommand = [\"/bin/one\", \"1\"]\nnice = 1\nenvironment = { A = \"one\", B = \"one\" }\n[tree]\nfiles = [\"/one\"]\n")
        .write("jails/base/two.toml", "include = [\"one.toml\"]\nsummary = \"two\"\n[program]\nnice = 2\n[tree]\nfiles = [\"/two\"]\n")
        .write("jails/web.toml", "include = [\"base/one.toml\", \"base/two.toml\"]\n[program]\ncommand = [\"/bin/web\"]\nenvironment = { B = \"web\" }\n[tree]\nfiles = [\"/web\"]\n");
    let manifest = load(&dir).manifest;
    // A name is not inherited: two jails would build over each other.
    assert_eq!(manifest.name.unwrap().value.as_str(), "web");
    assert_eq!(manifest.summary.unwrap().value, "two");
    assert_eq!(manifest.program.command.unwrap().value, ["/bin/web"]);
    assert_eq!(manifest.program.nice.unwrap().value, 2);
    assert_eq!(manifest.program.environment["A"].value, "one");
    assert_eq!(manifest.program.environment["B"].value, "web");
    // `one.toml` is included twice and counts once.
    let files: Vec<_> = manifest.tree.files.iter().map(|at| at.value.path.to_string()).collect();
    assert_eq!(files, ["/one", "/two", "/web"]);
}

#[test]
fn replace_takes_what_was_included_away() {
    let dir = Dir::new("replace");
    dir.write("jails/base.toml", "[program]\nenvironment = { A = \"a\" }\n[tree]\nfiles = [\"/base\"]\nusers = [\"bind\"]\n[[mounts]]\nsource = \"/a\"\ntarget = \"/a\"\n")
        .write("jails/web.toml", "include = [\"base.toml\"]\nreplace = [\"tree.files\", \"mounts\", \"program.environment\"]\n[program]\ncommand = [\"/bin/true\"]\nenvironment = { B = \"b\" }\n[tree]\nfiles = [\"/web\"]\n");
    let manifest = load(&dir).manifest;
    assert_eq!(manifest.tree.files.len(), 1);
    assert_eq!(manifest.tree.files[0].value.path.to_string(), "/web");
    assert_eq!(manifest.tree.users.len(), 1);
    assert!(manifest.mounts.is_empty());
    assert_eq!(manifest.program.environment.keys().collect::<Vec<_>>(), ["B"]);
}
