//! A plan as JSON, for other programs.
//!
//! ```text
//! format            1; raised when a member changes its meaning or disappears
//! jail              the jail's name
//! layers[]          of the run's confinement: layer (its name), state (enforced, degraded, off), reason (null if all of it is enforced), origin
//! steps[]           in order
//!   number          counted from 1 within the build and within the run, as in the text and in messages
//!   phase           build, parent, enter, confine or exec
//!   action          kind: the action's name (make_directory, set_uid, ...), and its values as members of their own
//!   display         the step in one line, as `stockade plan` prints it
//!   origin
//!     kind          manifest, option, default or resolved
//!     text          as `stockade plan` prints it
//!     option        (option) as typed
//!     reason        (default) why it is the default
//!     finding       (resolved) what was found, and
//!     from          (resolved) the origin of what it was found for
//!     file, line, column, length, excerpt
//!                   the place in a manifest it goes back to, if any; line and column from 1, column and length in characters
//!   calls[]         name and arguments of each system call, as strace(1) prints them; empty for the build
//!   explain         why, without, man[], shell (a string or null), order[] (the rules that keep it where it is)
//! ```
//!
//! New members may appear at any time, and new kinds of actions: readers ignore members they do not know. In `action`, a mode is
//! a string in octal; a bound of a limit is a number or null for no limit; capabilities, mount flags and namespaces are lists of
//! the kernel's names. A path or text is a string, or, when its bytes are no UTF-8, an object with the single member `base16`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::{Value, json};

use super::explain;
use super::plan::origin as origin_text;
use crate::plan::control::Setting;
use crate::plan::landlock::Beneath;
use crate::plan::step::{CapabilitySet, Ceiling, Furniture, Idmap, MountFlags, Owner};
use crate::plan::{Action, Extent, LayerState, Origin, Plan};

/// The plan as JSON.
pub fn json(plan: &Plan) -> Value {
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .enumerate()
        .map(|(at, step)| {
            let explanation = step.action.explain();
            json!({
                "number": plan.number(at),
                "phase": step.phase.name(),
                "action": action(&step.action),
                "display": step.action.to_string(),
                "origin": origin(&step.origin),
                "calls": step
                    .action
                    .calls()
                    .iter()
                    .map(|call| json!({ "name": call.name, "arguments": call.arguments }))
                    .collect::<Vec<_>>(),
                "explain": {
                    "why": explanation.why,
                    "without": explanation.without,
                    "man": explanation.man,
                    "shell": explanation.shell,
                    "order": explain::rules(&plan.steps, &step.action).collect::<Vec<_>>(),
                },
            })
        })
        .collect();
    json!({ "format": 1, "jail": plan.jail.as_str(), "layers": layers(&plan.layers), "steps": steps })
}

/// What became of each layer, for a plan and for a report of a run.
pub fn layers(layers: &[LayerState]) -> Vec<Value> {
    let layer = |state: &LayerState| {
        json!({
            "layer": state.layer.name(),
            "state": state.enforcement.name(),
            "reason": state.enforcement.reason(),
            "origin": origin(&state.origin),
        })
    };
    layers.iter().map(layer).collect()
}

/// An origin with the place it goes back to.
fn origin(origin: &Origin) -> Value {
    let mut value = match origin {
        Origin::Manifest(_) => json!({ "kind": "manifest" }),
        Origin::CommandLine(option) => json!({ "kind": "option", "option": option }),
        Origin::Default(reason) => json!({ "kind": "default", "reason": reason }),
        Origin::Resolved(finding, from) => {
            json!({ "kind": "resolved", "finding": finding, "from": self::origin(from) })
        }
    };
    value["text"] = origin_text(origin).into();
    if let Some(place) = origin.place() {
        value["file"] = text(&place.source.path);
        value["line"] = place.line.into();
        value["column"] = place.column.into();
        value["length"] = place.length.into();
        value["excerpt"] = place.excerpt().into();
    }
    value
}

/// An action with its values.
#[allow(clippy::too_many_lines, reason = "one arm an action, in the order of the type")]
fn action(action: &Action) -> Value {
    match action {
        Action::MakeDirectory { path, mode, owner } => json!({
            "kind": "make_directory", "path": text(path.as_path()), "mode": mode.to_string(), "owner": ids(*owner),
        }),
        Action::CopyFile { source, path, mode, owner, keep } => json!({
            "kind": "copy_file", "source": text(source.as_path()), "path": text(path.as_path()),
            "mode": mode.to_string(), "owner": ids(*owner),
            "keep": { "setid": keep.setid, "capabilities": keep.capabilities },
        }),
        Action::UnpackFile { archive, size, path, mode, owner, keep, .. } => json!({
            "kind": "unpack_file", "archive": text(archive.as_path()), "size": size, "path": text(path.as_path()),
            "mode": mode.to_string(), "owner": ids(*owner),
            "keep": { "setid": keep.setid, "capabilities": keep.capabilities },
        }),
        Action::MakeHardLink { existing, path } => json!({
            "kind": "make_hard_link", "existing": text(existing.as_path()), "path": text(path.as_path()),
        }),
        Action::MakeSymlink { text: target, path, owner } => json!({
            "kind": "make_symlink", "text": text(target), "path": text(path.as_path()), "owner": ids(*owner),
        }),
        Action::WriteFile { path, content, mode, owner } => json!({
            "kind": "write_file", "path": text(path.as_path()), "content": text(OsStr::from_bytes(content)),
            "mode": mode.to_string(), "owner": ids(*owner),
        }),
        Action::MakeDevice { path, device } => json!({
            "kind": "make_device", "path": text(path.as_path()), "major": device.major, "minor": device.minor,
        }),
        Action::MakeControlGroups { name, groups } => json!({
            "kind": "make_control_groups", "name": name,
            "groups": groups
                .iter()
                .map(|group| json!({
                    "version": group.version.number(), "parent": text(group.parent.as_path()),
                    "leaf": group.leaf, "enable": group.enable,
                    "settings": group
                        .settings
                        .iter()
                        .map(|Setting { file, value, optional }| json!({
                            "file": file, "value": value, "optional": optional,
                        }))
                        .collect::<Vec<_>>(),
                    "closed_devices": group.closed_devices,
                }))
                .collect::<Vec<_>>(),
        }),
        Action::EnterControlGroups { groups, namespace } => {
            json!({ "kind": "enter_control_groups", "groups": groups, "namespace": namespace })
        }
        Action::MakeUserNamespace { space, map, network, is_last, ceilings } => json!({
            "kind": "make_user_namespace", "space": space.name(), "users": extents(&map.users),
            "groups": extents(&map.groups), "network": network, "is_last": is_last,
            "ceilings": ceilings
                .iter()
                .map(|Ceiling { resource, soft, hard }| json!({ "resource": resource, "soft": soft, "hard": hard }))
                .collect::<Vec<_>>(),
        }),
        Action::JoinControlGroups { directories } => json!({
            "kind": "join_control_groups", "directories": directories.iter().map(|path| text(path.as_path())).collect::<Vec<_>>(),
        }),
        Action::JoinNamespaces { namespaces, tree } => json!({
            "kind": "join_namespaces", "namespaces": namespaces.flags().map(|(flag, _)| flag).collect::<Vec<_>>(),
            "tree": text(tree.as_path()),
        }),
        Action::ConnectNetwork { program, arguments } => {
            json!({ "kind": "connect_network", "program": text(program.as_path()), "arguments": arguments })
        }
        Action::EnterNetwork => json!({ "kind": "enter_network" }),
        Action::EnterUserNamespace => json!({ "kind": "enter_user_namespace" }),
        Action::Clone { namespaces } => json!({
            "kind": "clone", "namespaces": namespaces.flags().map(|(flag, _)| flag).collect::<Vec<_>>(),
        }),
        Action::MapIds { map } => {
            json!({ "kind": "map_ids", "users": extents(&map.users), "groups": extents(&map.groups) })
        }
        Action::GrantIds { map, programs } => json!({
            "kind": "grant_ids", "users": extents(&map.users), "groups": extents(&map.groups),
            "programs": programs.iter().map(|path| text(path.as_path())).collect::<Vec<_>>(),
        }),
        Action::ForbidUserNamespaces => json!({ "kind": "forbid_user_namespaces" }),
        Action::LimitInotify => json!({ "kind": "limit_inotify" }),
        Action::MakePrivate => json!({ "kind": "make_private" }),
        Action::NewSession => json!({ "kind": "new_session" }),
        Action::NewKeyring => json!({ "kind": "new_keyring" }),
        Action::SetUndumpable => json!({ "kind": "set_undumpable" }),
        Action::AttachTerminal { onto } => json!({ "kind": "attach_terminal", "onto": onto }),
        Action::LoopbackUp => json!({ "kind": "loopback_up" }),
        Action::SetHostname { name } => json!({ "kind": "set_hostname", "name": name }),
        Action::SetOomScore { adjustment } => json!({ "kind": "set_oom_score", "adjustment": adjustment }),
        Action::CloneTree { source, target, flags, recursive, idmap } => json!({
            "kind": "clone_tree", "source": text(source.as_path()), "target": text(target.as_path()),
            "flags": attributes(*flags), "recursive": recursive, "idmap": self::idmap(*idmap),
        }),
        Action::CloneRoot { tree, flags, idmap } => json!({
            "kind": "clone_root", "tree": text(tree.as_path()), "flags": attributes(*flags),
            "idmap": self::idmap(*idmap),
        }),
        Action::Furnish { within, path, what, owner } => {
            let (kind, mode, link, content) = match what {
                Furniture::Directory { mode } => ("directory", Some(mode), None, None),
                Furniture::Link { text: link } => ("link", None, Some(text(link)), None),
                Furniture::File { content, mode } => {
                    ("file", Some(mode), None, Some(text(OsStr::from_bytes(content))))
                }
            };
            json!({
                "kind": "furnish", "within": text(within.as_path()), "path": text(path.as_path()), "type": kind,
                "mode": mode.map(ToString::to_string), "link": link, "content": content,
                "owner": owner.map(ids),
            })
        }
        Action::Seal { target } => json!({ "kind": "seal", "target": text(target.as_path()) }),
        Action::ReopenDescriptor { descriptor, source, flags, access, file: (device, inode) } => json!({
            "kind": "reopen_descriptor", "descriptor": descriptor, "source": text(source.as_path()),
            "flags": attributes(*flags), "access": access.mode(), "device": device, "inode": inode,
        }),
        Action::RelayOutput { onto, stream } => {
            json!({ "kind": "relay_output", "onto": onto, "stream": stream })
        }
        Action::CreateRuleset { handled, network, scoped } => json!({
            "kind": "create_ruleset", "handled": handled.names().collect::<Vec<_>>(),
            "network": network.names().collect::<Vec<_>>(), "scoped": scoped.names().collect::<Vec<_>>(),
        }),
        Action::AllowAccess { beneath, access } => {
            let (mount, descriptor) = match beneath {
                Beneath::Host(path) => {
                    return json!({
                        "kind": "allow_access", "host": text(path.as_path()), "mount": null, "descriptor": null,
                        "access": access.names().collect::<Vec<_>>(),
                    });
                }
                Beneath::Mount(target) => (text(target.as_path()), Value::Null),
                Beneath::Descriptor(number) => (Value::Null, Value::from(*number)),
            };
            json!({
                "kind": "allow_access", "mount": mount, "descriptor": descriptor,
                "access": access.names().collect::<Vec<_>>(),
            })
        }
        Action::EnterRoot { tree, method } => {
            json!({ "kind": "enter_root", "tree": text(tree.as_path()), "method": method.name() })
        }
        Action::Listen { to, target } => {
            json!({ "kind": format!("listen_{}", to.name()), "target": text(target.as_path()) })
        }
        Action::AttachTree { target } => json!({ "kind": "attach_tree", "target": text(target.as_path()) }),
        Action::Cover { with, over } => json!({
            "kind": "cover", "with": with.as_ref().map(|path| text(path.as_path())), "over": over.iter().map(|path| text(path.as_path())).collect::<Vec<_>>(),
        }),
        Action::CreateFileSystem { kind, target, flags, options } => json!({
            "kind": "create_file_system", "type": kind, "target": text(target.as_path()), "flags": attributes(*flags),
            "options": options.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
        }),
        Action::CreateOverlay { source, target, flags, idmap, layer, own_ids } => json!({
            "kind": "create_overlay", "source": text(source.as_path()), "target": text(target.as_path()),
            "flags": attributes(*flags), "idmap": self::idmap(*idmap), "own_ids": own_ids,
            "layer": layer.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
        }),
        Action::SetLimit { resource, soft, hard } => {
            json!({ "kind": "set_limit", "resource": resource, "soft": soft, "hard": hard })
        }
        Action::SetUmask { mask } => json!({ "kind": "set_umask", "mask": mask.to_string() }),
        Action::SetPersonality { flags, value } => {
            json!({ "kind": "set_personality", "flags": flags, "value": value })
        }
        Action::SetNice { nice } => json!({ "kind": "set_nice", "nice": nice }),
        Action::ResetScheduling { what } => {
            json!({ "kind": "reset_scheduling", "what": what.iter().map(|what| what.name()).collect::<Vec<_>>() })
        }
        Action::SetAffinity { processors } => json!({ "kind": "set_affinity", "processors": processors }),
        Action::RestrictSelf => json!({ "kind": "restrict_self" }),
        Action::DropBounding { keep } => json!({ "kind": "drop_bounding", "keep": capabilities(*keep) }),
        Action::LockSecureBits { bits } => {
            json!({ "kind": "lock_secure_bits", "bits": bits.names().collect::<Vec<_>>() })
        }
        Action::SetGroups { groups } => json!({ "kind": "set_groups", "groups": groups }),
        Action::SetGid { gid } => json!({ "kind": "set_gid", "gid": gid }),
        Action::SetUid { uid } => json!({ "kind": "set_uid", "uid": uid }),
        Action::SetCapabilities { set } => json!({ "kind": "set_capabilities", "set": capabilities(*set) }),
        Action::SetAmbient { set } => json!({ "kind": "set_ambient", "set": capabilities(*set) }),
        Action::NoNewPrivileges => json!({ "kind": "no_new_privileges" }),
        Action::DieWithParent => json!({ "kind": "die_with_parent" }),
        Action::DieWithJoiner => json!({ "kind": "die_with_joiner" }),
        Action::ForkProgram { filtered, forking, passed: _, input } => {
            json!({ "kind": "fork_program", "filtered": filtered, "forking": forking, "relays_input": input })
        }
        Action::ResetSignals => json!({ "kind": "reset_signals" }),
        Action::NewProcessGroup { terminal } => json!({ "kind": "new_process_group", "terminal": terminal }),
        Action::ChangeDirectory { path } => {
            json!({ "kind": "change_directory", "path": text(path.as_path()) })
        }
        Action::Verify { uid, gid, groups, capabilities: set, secure_bits, no_new_privileges } => json!({
            "kind": "verify", "uid": uid, "gid": gid, "groups": groups, "capabilities": capabilities(*set),
            "secure_bits": secure_bits.names().collect::<Vec<_>>(), "no_new_privileges": no_new_privileges,
        }),
        Action::CloseDescriptors { passed } => json!({ "kind": "close_descriptors", "passed": passed }),
        Action::FilterSystemCalls { filter, privileged } => json!({
            "kind": "filter_system_calls", "system_calls": filter.words, "action": filter.refusal.name(),
            "architectures": filter.architectures.iter().map(|each| each.name()).collect::<Vec<_>>(),
            "instructions": filter.program.len(), "privileged": privileged,
            "refused": filter
                .policy
                .refusals(&filter.architectures)
                .iter()
                .map(|refused| json!({
                    "decision": refused.name, "calls": refused.calls, "when": refused.when,
                    "errors": refused.errors.iter().map(|errno| errno.name()).collect::<Vec<_>>(), "why": refused.why,
                }))
                .collect::<Vec<_>>(),
        }),
        Action::Execute { path, arguments, environment } => json!({
            "kind": "execute", "path": text(path.as_path()),
            "arguments": arguments.iter().map(text).collect::<Vec<_>>(),
            "environment": environment
                .iter()
                .map(|(name, value)| json!({ "name": text(name), "value": text(value) }))
                .collect::<Vec<_>>(),
        }),
    }
}

/// How owners are translated, if they are.
fn idmap(idmap: Option<Idmap>) -> Value {
    idmap.map_or(Value::Null, |Idmap { space, below }| json!({ "space": space.name(), "below": below }))
}

/// The lines of an id map.
fn extents(map: &[Extent]) -> Vec<Value> {
    let line = |Extent { inside, outside, count }: &Extent| json!({ "inside": inside, "outside": outside, "count": count });
    map.iter().map(line).collect()
}

/// A path or text, which may be any bytes.
pub fn text(text: impl AsRef<OsStr>) -> Value {
    let text = text.as_ref();
    text.to_str().map_or_else(
        || {
            let digits = text.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
            let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
            json!({ "base16": digits.collect::<String>() })
        },
        Value::from,
    )
}

/// Both ids of an owner.
fn ids(owner: Owner) -> Value {
    json!({ "uid": owner.uid, "gid": owner.gid })
}

/// The kernel's names of mount flags.
fn attributes(flags: MountFlags) -> Vec<&'static str> {
    flags.attributes().collect()
}

/// The kernel's names of capabilities.
fn capabilities(set: CapabilitySet) -> Vec<String> {
    set.names().map(|name| format!("CAP_{name}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::plan::tests::plan;
    use super::*;
    use crate::plan::{JailName, Phase, sample};

    #[test]
    fn a_step_has_all_its_members() {
        let value = json(&plan());
        assert_eq!((&value["format"], &value["jail"]), (&json!(1), &json!("nginx")));
        let step = &value["steps"][4];
        assert_eq!(step["number"], 5);
        assert_eq!(step["phase"], "build");
        assert_eq!(
            step["action"],
            json!({
                "kind": "copy_file", "source": "/usr/sbin/nginx", "path": "/usr/sbin/nginx", "mode": "0755",
                "owner": { "uid": 0, "gid": 0 }, "keep": { "setid": false, "capabilities": true },
            })
        );
        let place = json!({
            "kind": "manifest", "text": "nginx.toml:2", "file": "nginx.toml", "line": 2, "column": 9, "length": 12,
            "excerpt": "programs = [\"/usr/sbin/nginx\"]",
        });
        let mut expected = place.clone();
        expected["kind"] = "resolved".into();
        expected["finding"] = "DT_NEEDED libz.so.1 of /usr/sbin/nginx".into();
        expected["text"] = "DT_NEEDED libz.so.1 of /usr/sbin/nginx; nginx.toml:2".into();
        expected["from"] = place;
        assert_eq!(step["origin"], expected);
        assert_eq!(step["calls"], json!([]));
        let last = &value["steps"][7];
        assert_eq!(last["calls"], json!([{ "name": "setresuid", "arguments": "33, 33, 33" }]));
        assert_eq!(last["explain"]["shell"], "setpriv --reuid=33 \u{2026}");
        assert_eq!(last["explain"]["man"][0], "setresuid(2)");
        assert_eq!(last["explain"]["order"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn every_action_has_a_kind_of_its_own() {
        let kinds: Vec<String> = sample::all().iter().map(|each| action(each)["kind"].to_string()).collect();
        let distinct: HashSet<&String> = kinds.iter().collect();
        assert_eq!(distinct.len(), kinds.len());
        assert!(!kinds.contains(&"null".to_owned()));
    }

    #[test]
    fn bytes_that_are_no_text_survive() {
        assert_eq!(text(OsStr::from_bytes(b"/srv/\xff")), json!({ "base16": "2f7372762fff" }));
        assert_eq!(text("/srv/\u{1b}"), "/srv/\u{1b}");
    }

    #[test]
    fn a_whole_run_can_be_written() {
        let plan = Plan { jail: JailName::parse("web").unwrap(), steps: sample::run(), layers: Vec::new() };
        let value = json(&plan);
        let steps = value["steps"].as_array().unwrap();
        assert_eq!(steps.len(), plan.steps.len());
        for (step, value) in plan.steps.iter().zip(steps) {
            assert!(step.phase == Phase::Build || value["calls"][0]["name"].is_string(), "{value}");
        }
    }
}
