//! Tree of values → schema. One function for each table, one line for each key; see [`super::cursor`] for how it goes on
//! after an error.

mod program;
mod tree;

use super::cursor::{Cursor, Part};
use super::finding::Finding;
use super::node::{Table, Value};
use super::read;
use super::schema::{
    DevicePolicy, IO_RATES, IoMax, Limits, Manifest, Mount, MountKind, Namespaces, Network, Privileges, Proc,
    RESOURCES, Resource, ResourceLimit, Root, RootTree, Share, Sys, SystemCalls, Test,
};
use crate::plan::Control;
use crate::plan::ids::FIRST;
use crate::plan::step::RootMethod;
use crate::plan::system_calls::profiles::Profile;
use crate::plan::system_calls::{Architecture, Refusal};
use crate::plan::{At, Layer, Origin, Port, Publish};

/// Decodes a merged manifest; what cannot be decoded is left out and reported.
pub(super) fn manifest(table: Table, origin: &Origin, findings: &mut Vec<Finding>) -> Manifest {
    let mut top = Cursor::new("", table, origin, findings);
    let manifest = Manifest {
        name: top.value("name", read::jail_name),
        summary: top.value("summary", read::text),
        program: top.section("program", program::program).map(|at| at.value).unwrap_or_default(),
        tree: top.section("tree", tree::tree).map(|at| at.value).unwrap_or_default(),
        mounts: top.tables("mounts", "mounts", None, mount),
        root: top.section("root", root).map(|at| at.value).unwrap_or_default(),
        namespaces: top.section("namespaces", namespaces).map(|at| at.value).unwrap_or_default(),
        limits: top.section("limits", limits).map(|at| at.value).unwrap_or_default(),
        privileges: top.section("privileges", privileges).map(|at| at.value).unwrap_or_default(),
        test: top.section("test", test),
    };
    top.finish();
    manifest
}

/// Which kind of mount, by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Bind,
    Tmpfs,
    Mqueue,
    Overlay,
}

/// `[[mounts]]`
fn mount(table: &mut Cursor) -> Option<Mount> {
    const TYPES: &[(&str, Type)] =
        &[("bind", Type::Bind), ("tmpfs", Type::Tmpfs), ("mqueue", Type::Mqueue), ("overlay", Type::Overlay)];
    let written = table.value("type", read::one_of(TYPES));
    let kind = written.map_or(Type::Bind, |at| at.value);
    let source = match kind {
        Type::Bind | Type::Overlay => table.required("source", read::host_path),
        _ => table.value("source", read::host_path),
    };
    let target = table.required("target", read::jail_path);
    let read_only = table.value("read_only", read::flag);
    let executable = table.value("executable", read::flag);
    let recursive = table.value("recursive", read::flag);
    let optional = table.value("optional", read::flag);
    let root_squash = table.value("root_squash", read::flag);
    let sockets = table.value("sockets", read::flag);
    let devices = table.value("devices", read::flag);
    let size = table.value("size", read::size);
    let inodes = table.value("inodes", read::amount);
    let mode = table.value("mode", read::mode);
    let owner = table.value("owner", read::account);
    let group = table.value("group", read::account);

    let of_host = [
        ("source", source.as_ref().map(|at| &at.origin)),
        ("sockets", sockets.as_ref().map(|at| &at.origin)),
    ];
    let of_bind = [
        ("recursive", recursive.as_ref().map(|at| &at.origin)),
        ("optional", optional.as_ref().map(|at| &at.origin)),
        ("root_squash", root_squash.as_ref().map(|at| &at.origin)),
        ("devices", devices.as_ref().map(|at| &at.origin)),
    ];
    let of_memory =
        [("size", size.as_ref().map(|at| &at.origin)), ("inodes", inodes.as_ref().map(|at| &at.origin))];
    let of_tmpfs = [
        ("mode", mode.as_ref().map(|at| &at.origin)),
        ("owner", owner.as_ref().map(|at| &at.origin)),
        ("group", group.as_ref().map(|at| &at.origin)),
    ];
    if !matches!(kind, Type::Bind | Type::Overlay) {
        misplaced(table, &of_host, "bind");
    }
    if kind != Type::Bind {
        misplaced(table, &of_bind, "bind");
    }
    if !matches!(kind, Type::Tmpfs | Type::Overlay) {
        misplaced(table, &of_memory, "tmpfs");
    }
    if kind != Type::Tmpfs {
        misplaced(table, &of_tmpfs, "tmpfs");
    }

    let kind = match kind {
        Type::Bind => MountKind::Bind {
            source: source?.value,
            recursive: recursive.map(|at| at.value),
            optional: optional.is_some_and(|at| at.value),
            root_squash: root_squash.map(|at| at.value),
            sockets: sockets.is_some_and(|at| at.value),
            devices: devices.is_some_and(|at| at.value),
        },
        Type::Tmpfs => MountKind::Tmpfs {
            size: size.map(|at| at.value),
            inodes: inodes.map(|at| at.value),
            mode: mode.map(|at| at.value),
            owner: owner.map(|at| at.value),
            group: group.map(|at| at.value),
        },
        Type::Mqueue => MountKind::Mqueue,
        Type::Overlay => MountKind::Overlay {
            source: source?.value,
            size: size.map(|at| at.value),
            inodes: inodes.map(|at| at.value),
            sockets: sockets.is_some_and(|at| at.value),
        },
    };
    Some(Mount {
        target: target?.value,
        kind,
        read_only: read_only.map(|at| at.value),
        executable: executable.map(|at| at.value),
    })
}

/// Reports keys that mean something for another type of mount only.
fn misplaced(table: &mut Cursor, keys: &[(&str, Option<&Origin>)], owner: &str) {
    for (name, origin) in keys {
        if let Some(origin) = origin {
            table.report(
                Finding::error(format!("`{name}` means nothing for this type of mount"), origin)
                    .hint(format!("leave it out, or write `type = \"{owner}\"`")),
            );
        }
    }
}

/// `[root]`
fn root(table: &mut Cursor) -> Root {
    const METHODS: &[(&str, RootMethod)] =
        &[("pivot", RootMethod::Pivot), ("move", RootMethod::Move), ("chroot", RootMethod::Chroot)];
    const TREES: &[(&str, RootTree)] =
        &[("disk", RootTree::Disk), ("memory", RootTree::Memory), ("host", RootTree::Host)];
    const PROC: &[(&str, Proc)] = &[
        ("masked", Proc::Masked),
        ("processes", Proc::Processes),
        ("full", Proc::Full),
        ("none", Proc::None),
    ];
    const SYS: &[(&str, Sys)] = &[("none", Sys::None), ("masked", Sys::Masked)];
    Root {
        method: table.value("method", read::one_of(METHODS)),
        read_only: table.value("read_only", read::flag),
        proc: table.value("proc", read::one_of(PROC)),
        sys: table.value("sys", read::one_of(SYS)),
        tree: table.value("tree", read::one_of(TREES)),
    }
}

/// `[namespaces]`
fn namespaces(table: &mut Cursor) -> Namespaces {
    const NETWORKS: &[(&str, Network)] =
        &[("host", Network::Host), ("none", Network::None), ("pasta", Network::Pasta)];
    const SHARES: &[(&str, Share)] = &[("new", Share::New), ("host", Share::Host)];
    Namespaces {
        network: table.value("network", read::one_of(NETWORKS)),
        publish: table.list("publish", read::port(Publish::parse)),
        allow: table.list("allow", read::port(Port::parse)),
        user: table.value("user", read::flag),
        first_id: table.value("first_id", read::number(*FIRST.start(), *FIRST.end())),
        id_range: table.value("id_range", read::flag),
        ipc: table.value("ipc", read::one_of(SHARES)),
        uts: table.value("uts", read::one_of(SHARES)),
        cgroup: table.value("cgroup", read::one_of(SHARES)),
        abstract_sockets: table.value("abstract_sockets", read::one_of(SHARES)),
        hostname: table.value("hostname", read::hostname),
    }
}

/// `[limits]`
fn limits(table: &mut Cursor) -> Limits {
    Limits {
        resources: RESOURCES.iter().filter_map(|resource| limit(table, *resource)).collect(),
        controls: Control::ALL
            .into_iter()
            .filter_map(|control| table.value(control.key(), read::control(control)))
            .collect(),
        allowed_cpus: program::processors(table, "allowed_cpus"),
        io_max: table.tables("io_max", "limits.io_max", None, io_max),
        device_policy: table.value("device_policy", read::one_of(POLICIES)),
        runtime_max: table.value("runtime_max", read::time),
        cpu_time_max: table.value("cpu_time_max", read::time),
        output_size: table.value("output_size", read::size),
    }
}

/// `device_policy` by its names.
const POLICIES: &[(&str, DevicePolicy)] = &[("auto", DevicePolicy::Auto), ("closed", DevicePolicy::Closed)];

/// `io_max = [{ device = "/dev/sda", write_bandwidth = "10M" }]`
fn io_max(table: &mut Cursor) -> Option<IoMax> {
    let device = table.required("device", read::host_path);
    let rates = IO_RATES.map(|key| table.value(key, read::rate(key)).map(|at| at.value));
    Some(IoMax { device: device?.value, rates })
}

/// One limit: `{ soft = …, hard = … }`, or what [`read::limit`] takes.
fn limit(table: &mut Cursor, resource: Resource) -> Option<At<ResourceLimit>> {
    let node = table.take(resource.key)?.node;
    let origin = node.origin.clone();
    let value = match node.value {
        Value::Table(entries) => {
            let mut bounds = table.inner("limits.*", entries, &origin);
            let soft = bounds.required("soft", read::one_bound(resource.unit));
            let hard = bounds.required("hard", read::one_bound(resource.unit));
            bounds.finish();
            ResourceLimit { resource, soft: soft?.value, hard: hard?.value }
        }
        _ => match read::limit(resource)(&node) {
            Ok(limit) => limit,
            Err(problem) => {
                table.wrong(resource.key, Part::Whole, &node, problem);
                return None;
            }
        },
    };
    Some(At { value, origin })
}

/// The layers by the names a manifest has for them.
const LAYERS: [(&str, Layer); Layer::ALL.len()] = {
    let mut names = [("", Layer::Seccomp); Layer::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = (Layer::ALL[at].name(), Layer::ALL[at]);
        at += 1;
    }
    names
};

/// `system_calls`: a profile, or a list.
fn system_calls(table: &mut Cursor) -> Option<At<SystemCalls>> {
    const PROFILES: [(&str, Profile); Profile::ALL.len()] = {
        let mut names = [("", Profile::Default); Profile::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = (Profile::ALL[at].name(), Profile::ALL[at]);
            at += 1;
        }
        names
    };
    let node = table.take("system_calls")?.node;
    let value = if let Value::List(nodes) = &node.value {
        let read = |node| table.read("system_calls", Part::Entry, node, &read::system_call);
        SystemCalls::List(nodes.iter().filter_map(read).map(|at| at.value).collect())
    } else {
        let profile = table.read("system_calls", Part::Whole, &node, &read::one_of(&PROFILES))?;
        SystemCalls::Profile(profile.value)
    };
    Some(At { value, origin: node.origin })
}

/// `[privileges]`
fn privileges(table: &mut Cursor) -> Privileges {
    const ARCHITECTURES: &[(&str, Architecture)] = &[
        (Architecture::X86_64.name(), Architecture::X86_64),
        (Architecture::X86_32.name(), Architecture::X86_32),
        (Architecture::Aarch64.name(), Architecture::Aarch64),
    ];
    const REFUSALS: &[(&str, Refusal)] = &[
        (Refusal::Errno.name(), Refusal::Errno),
        (Refusal::Kill.name(), Refusal::Kill),
        (Refusal::Log.name(), Refusal::Log),
    ];
    Privileges {
        capabilities: table.list("capabilities", read::capability),
        bounding: table.list("bounding", read::capability),
        no_new_privileges: table.value("no_new_privileges", read::flag),
        landlock: table.value("landlock", read::flag),
        system_calls: system_calls(table),
        system_calls_action: table.value("system_calls_action", read::one_of(REFUSALS)),
        architectures: table.maybe_list("architectures", read::one_of(ARCHITECTURES)),
        best_effort: table.list("best_effort", read::one_of(&LAYERS)),
    }
}

/// `[test]`
fn test(table: &mut Cursor) -> Test {
    let expect = match table.take("expect") {
        None => Vec::new(),
        Some(entry) => match &entry.node.value {
            Value::List(nodes) => {
                nodes.iter().filter_map(|node| table.read("expect", Part::Entry, node, &read::text)).collect()
            }
            _ => table.read("expect", Part::Whole, &entry.node, &read::text).into_iter().collect(),
        },
    };
    Test {
        command: table.whole_list("command", read::os_word).map(|at| at.value),
        arguments: table.whole_list("arguments", read::os_word).map(|at| at.value).unwrap_or_default(),
        input: table.value("input", read::text).map(|at| at.value),
        expect: expect.into_iter().map(|at| at.value).collect(),
        status: table.value("status", read::number(0, 255)).map(|at| at.value),
        stop_status: table.value("stop_status", read::number(0, 255)).map(|at| at.value),
        timeout: table.value("timeout", read::time).map(|at| at.value),
    }
}
