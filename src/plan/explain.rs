//! Why each action is there, its man page, its shell equivalent, and what breaks without it. Written to be read by somebody who
//! sees a jail being made for the first time: each text stands alone, and names the escape or the failure it is about.

mod confine;
mod enter;
mod exec;
mod shell;
mod tree;

use std::path::Path;

use super::JailPath;
use super::landlock::Beneath;
use super::secure_bits::SecureBits;
use super::step::{Action, Furniture, IdSpace, Idmap, Listener, RootMethod};

/// What there is to say about one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Why it is done.
    pub why: &'static str,
    /// Where to read more, most important first.
    pub man: &'static [&'static str],
    /// A shell line that does the same. `$tree` is the jail's tree before the root changes; a final `…` is the command that is
    /// run with the new property.
    pub shell: Option<String>,
    /// What breaks, or becomes possible, without it.
    pub without: &'static str,
}

/// The part of an explanation that is the same for every jail.
struct Text {
    why: &'static str,
    man: &'static [&'static str],
    without: &'static str,
}

impl Action {
    /// Explains it.
    pub fn explain(&self) -> Explanation {
        let Text { why, man, without } = self.text();
        Explanation { why, man, shell: shell::line(self), without }
    }

    /// The texts of each kind of action; where a kind comes in flavours that differ in meaning, of each flavour.
    #[allow(clippy::too_many_lines, reason = "a table: one line a kind")]
    fn text(&self) -> &'static Text {
        match self {
            Self::MakeDirectory { .. } => &tree::MAKE_DIRECTORY,
            Self::CopyFile { .. } => &tree::COPY_FILE,
            Self::UnpackFile { .. } => &tree::UNPACK_FILE,
            Self::MakeHardLink { .. } => &tree::MAKE_HARD_LINK,
            Self::MakeSymlink { .. } => &tree::MAKE_SYMLINK,
            Self::WriteFile { .. } => &tree::WRITE_FILE,
            Self::MakeDevice { .. } => &tree::MAKE_DEVICE,
            Self::MakeControlGroups { .. } => &enter::MAKE_CONTROL_GROUPS,
            Self::EnterControlGroups { .. } => &enter::ENTER_CONTROL_GROUPS,
            Self::MakeUserNamespace { space: IdSpace::Jail, .. } => &enter::MAKE_USER_NAMESPACE,
            Self::MakeUserNamespace { space: IdSpace::Shared, .. } => &enter::MAKE_SHARED_NAMESPACE,
            Self::Clone { .. } => &enter::CLONE,
            Self::MapIds { .. } => &enter::MAP_IDS,
            Self::GrantIds { .. } => &enter::GRANT_IDS,
            Self::ForbidUserNamespaces => &enter::FORBID_USER_NAMESPACES,
            Self::LimitInotify => &enter::LIMIT_INOTIFY,
            Self::MakePrivate => &enter::MAKE_PRIVATE,
            Self::NewSession => &enter::NEW_SESSION,
            Self::NewKeyring => &enter::NEW_KEYRING,
            Self::SetUndumpable => &enter::SET_UNDUMPABLE,
            Self::AttachTerminal { .. } => &enter::ATTACH_TERMINAL,
            Self::JoinControlGroups { .. } => &enter::JOIN_CONTROL_GROUPS,
            Self::JoinNamespaces { .. } => &enter::JOIN_NAMESPACES,
            Self::ConnectNetwork { .. } => &enter::CONNECT_NETWORK,
            Self::EnterNetwork => &enter::ENTER_NETWORK,
            Self::LoopbackUp => &enter::LOOPBACK_UP,
            Self::SetHostname { .. } => &enter::SET_HOSTNAME,
            Self::SetOomScore { .. } => &enter::SET_OOM_SCORE,
            Self::CloneTree { target, .. } if is_cover(target) => &enter::CLONE_COVER,
            Self::CloneTree { idmap: Some(Idmap { space: IdSpace::Jail, .. }), .. } => {
                &enter::CLONE_TREE_MAPPED
            }
            Self::CloneTree { idmap: Some(Idmap { space: IdSpace::Shared, .. }), .. } => {
                &enter::CLONE_TREE_SHARED
            }
            Self::CloneTree { .. } => &enter::CLONE_TREE,
            Self::CloneRoot { .. } => &enter::CLONE_ROOT,
            Self::Furnish { what: Furniture::Directory { .. }, .. } => &enter::FURNISH_DIRECTORY,
            Self::Furnish { what: Furniture::Link { .. }, .. } => &enter::FURNISH_LINK,
            Self::Furnish { what: Furniture::File { .. }, .. } => &enter::FURNISH_FILE,
            Self::Seal { .. } => &enter::SEAL,
            Self::ReopenDescriptor { .. } => &enter::REOPEN_DESCRIPTOR,
            Self::RelayOutput { .. } => &enter::RELAY_OUTPUT,
            Self::CreateRuleset { .. } => &confine::CREATE_RULESET,
            Self::AllowAccess { beneath: Beneath::Mount(_), .. } => &confine::ALLOW_MOUNT,
            Self::AllowAccess { beneath: Beneath::Host(_), .. } => &confine::ALLOW_HOST,
            Self::AllowAccess { beneath: Beneath::Descriptor(_), .. } => &confine::ALLOW_DESCRIPTOR,
            Self::EnterRoot { method: RootMethod::Pivot, .. } => &enter::ROOT_PIVOT,
            Self::EnterRoot { method: RootMethod::Move, .. } => &enter::ROOT_MOVE,
            Self::EnterRoot { method: RootMethod::Chroot, .. } => &enter::ROOT_CHROOT,
            Self::Listen { to: Listener::Log, .. } => &enter::LISTEN_LOG,
            Self::Listen { to: Listener::Notify, .. } => &enter::LISTEN_NOTIFY,
            Self::AttachTree { .. } => &enter::ATTACH_TREE,
            Self::Cover { over, .. } if over.iter().any(in_sys) => &enter::COVER_SYS,
            Self::Cover { with: None, .. } => &enter::COVER_FILES,
            Self::Cover { with: Some(_), .. } => &enter::COVER_DIRECTORIES,
            Self::CreateFileSystem { target, .. } if target.parent().is_none() => &enter::ROOT_IN_MEMORY,
            Self::CreateFileSystem { kind: "proc", .. } => &enter::MOUNT_PROC,
            Self::CreateFileSystem { kind: "sysfs", .. } => &enter::MOUNT_SYS,
            Self::CreateFileSystem { kind: "devpts", .. } => &enter::MOUNT_DEVPTS,
            Self::CreateFileSystem { kind: "mqueue", .. } => &enter::MOUNT_MQUEUE,
            Self::CreateFileSystem { .. } => &enter::MOUNT_TMPFS,
            Self::CreateOverlay { .. } => &enter::CREATE_OVERLAY,
            Self::SetLimit { resource, .. } => match *resource {
                "RLIMIT_NPROC" => &confine::LIMIT_PROCESSES,
                "RLIMIT_CORE" => &confine::LIMIT_CORE,
                "RLIMIT_NOFILE" => &confine::LIMIT_FILES,
                "RLIMIT_AS" | "RLIMIT_DATA" | "RLIMIT_STACK" | "RLIMIT_MEMLOCK" => &confine::LIMIT_MEMORY,
                _ => &confine::SET_LIMIT,
            },
            Self::SetUmask { .. } => &confine::SET_UMASK,
            Self::SetPersonality { flags, .. } if flags.is_empty() => &confine::RESET_PERSONALITY,
            Self::SetPersonality { .. } => &confine::SET_PERSONALITY,
            Self::SetNice { .. } => &confine::SET_NICE,
            Self::ResetScheduling { .. } => &confine::RESET_SCHEDULING,
            Self::SetAffinity { .. } => &confine::SET_AFFINITY,
            Self::RestrictSelf => &confine::RESTRICT_SELF,
            Self::EnterUserNamespace => &confine::ENTER_USER_NAMESPACE,
            Self::DropBounding { .. } => &confine::DROP_BOUNDING,
            Self::LockSecureBits { bits } if bits.has(SecureBits::NO_ROOT) => &confine::LOCK_SECURE_BITS,
            Self::LockSecureBits { .. } => &confine::SECURE_BITS_WITH_ROOT,
            Self::SetGroups { .. } => &confine::SET_GROUPS,
            Self::SetGid { .. } => &confine::SET_GID,
            Self::SetUid { uid: 0 } => &confine::SET_UID_ROOT,
            Self::SetUid { .. } => &confine::SET_UID,
            Self::SetCapabilities { set } if set.0 == 0 => &confine::NO_CAPABILITIES,
            Self::SetCapabilities { .. } => &confine::SET_CAPABILITIES,
            Self::SetAmbient { set } if set.0 == 0 => &confine::NO_AMBIENT,
            Self::SetAmbient { .. } => &confine::SET_AMBIENT,
            Self::NoNewPrivileges => &confine::NO_NEW_PRIVILEGES,
            Self::DieWithParent => &confine::DIE_WITH_PARENT,
            Self::DieWithJoiner => &confine::DIE_WITH_JOINER,
            Self::ForkProgram { forking: false, input: false, .. } => &exec::FORK_PROGRAM,
            Self::ForkProgram { forking: false, input: true, .. } => &exec::FORK_WITH_INPUT,
            Self::ForkProgram { forking: true, .. } => &exec::FORK_DAEMON,
            Self::ResetSignals => &exec::RESET_SIGNALS,
            Self::NewProcessGroup { terminal: None } => &exec::NEW_PROCESS_GROUP,
            Self::NewProcessGroup { terminal: Some(_) } => &exec::FOREGROUND,
            Self::ChangeDirectory { .. } => &exec::CHANGE_DIRECTORY,
            Self::Verify { .. } => &exec::VERIFY,
            Self::CloseDescriptors { .. } => &exec::CLOSE_DESCRIPTORS,
            Self::FilterSystemCalls { privileged: false, .. } => &exec::FILTER_SYSTEM_CALLS,
            Self::FilterSystemCalls { .. } => &exec::FILTER_BEFORE,
            Self::Execute { .. } => &exec::EXECUTE,
        }
    }
}

/// Whether a mount covers something of /proc or /sys.
fn is_cover(target: &JailPath) -> bool {
    target.as_path().parent() == Some(Path::new("/proc")) || in_sys(target)
}

/// Whether a path is one below /sys, where nothing but covers is mounted.
fn in_sys(path: &JailPath) -> bool {
    path.as_path() != Path::new("/sys") && path.as_path().starts_with("/sys")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::sample;
    use super::super::step::{Bound, CapabilitySet, MountFlags};
    use super::*;

    /// Every kind of action, and every flavour that has a text of its own.
    fn flavours() -> Vec<Action> {
        let file_system = |kind| Action::CreateFileSystem {
            kind,
            target: sample::jail("/mnt"),
            flags: MountFlags::GUARDED,
            options: Vec::new(),
        };
        let limit = |resource| Action::SetLimit { resource, soft: Bound::None, hard: Some(1) };
        let mut all = sample::all();
        all.retain(|action| !matches!(action, Action::CreateFileSystem { .. } | Action::SetLimit { .. }));
        all.extend(["proc", "sysfs", "devpts", "mqueue", "tmpfs"].map(file_system));
        all.push(Action::CreateFileSystem {
            kind: "tmpfs",
            target: sample::jail("/"),
            flags: MountFlags::GUARDED,
            options: Vec::new(),
        });
        all.extend(["RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_CPU"].map(limit));
        all.extend([None, Some(IdSpace::Shared)].map(|space| Action::CloneTree {
            source: sample::host("/srv"),
            target: sample::jail("/srv"),
            flags: MountFlags::GUARDED,
            recursive: true,
            idmap: space.map(|space| Idmap { space, below: true }),
        }));
        all.push(Action::MakeUserNamespace {
            space: IdSpace::Shared,
            map: crate::plan::IdMap::squashed(524_288),
            network: false,
            is_last: false,
            ceilings: Vec::new(),
        });
        all.extend([RootMethod::Move, RootMethod::Chroot].map(|method| Action::EnterRoot {
            tree: crate::plan::HostPath::parse("/tree").unwrap(),
            method,
        }));
        all.extend([
            Action::CloneTree {
                source: sample::host("/dev/null"),
                target: sample::jail("/proc/keys"),
                flags: MountFlags::GUARDED.read_only(),
                recursive: false,
                idmap: None,
            },
            Action::SetPersonality { flags: Vec::new(), value: 0 },
            Action::Cover {
                with: Some(sample::jail("/proc/tty/ldisc")),
                over: vec![sample::jail("/proc/fs")],
            },
            Action::Cover {
                with: Some(sample::jail("/sys/fs/cgroup")),
                over: vec![sample::jail("/sys/firmware")],
            },
            Action::LockSecureBits { bits: SecureBits::FIXUP },
            Action::SetUid { uid: 0 },
            Action::SetCapabilities { set: CapabilitySet::EMPTY },
            Action::SetAmbient { set: CapabilitySet::EMPTY },
            Action::NewProcessGroup { terminal: None },
            Action::ForkProgram { filtered: true, forking: true, passed: 2, input: false },
            Action::ForkProgram { filtered: true, forking: false, passed: 0, input: true },
            Action::AllowAccess {
                beneath: Beneath::Host(sample::host("/usr")),
                access: crate::plan::landlock::AccessSet::READ_FILE,
            },
            Action::AllowAccess {
                beneath: Beneath::Descriptor(0),
                access: crate::plan::landlock::AccessSet::READ_FILE,
            },
            sample::filter(true),
        ]);
        all
    }

    #[test]
    fn every_explanation_says_something_and_nothing_twice() {
        let mut said: HashMap<&str, Action> = HashMap::new();
        for action in flavours() {
            let explanation = action.explain();
            assert!(!explanation.man.is_empty(), "{action}");
            for page in explanation.man {
                let section = page.strip_suffix(')').and_then(|page| page.split_once('('));
                assert!(section.is_some_and(|(_, number)| "12345678".contains(number)), "{page} of {action}");
            }
            for text in [explanation.why, explanation.without] {
                assert!(text.len() > 60 && text.ends_with('.'), "{action}: {text}");
                if let Some(other) = said.insert(text, action.clone()) {
                    panic!("{other} and {action} say the same: {text}");
                }
            }
            assert_ne!(explanation.shell.as_deref(), Some(""), "{action}");
        }
    }
}
