//! From the steps that start a jail to those by which another program comes into it while it runs: what makes namespaces and mounts
//! is left out, they are joined instead, and whatever confines a program is the same. So the two cannot come apart.

use super::run::Run;
use crate::manifest::finding::Finding;
use crate::plan::landlock::Beneath;
use crate::plan::step::{Action, Namespaces, RootMethod};
use crate::plan::{HostPath, Origin, Phase, Step};
use crate::sys::host::Host;

/// The steps that join a jail, of those that start it.
///
/// Its control groups are those the jail is in, wherever the caller is.
pub fn join_steps(run: Run, host: &Host, groups: &[HostPath]) -> Result<Run, Finding> {
    let namespaces = joined(&run.steps);
    let mut steps: Vec<Step> = Vec::new();
    let mut rules = Vec::new();
    for step in run.steps {
        match &step.action {
            Action::CreateFileSystem { target, .. } if target.parent().is_none() => {
                return Err(Finding::error("a jail whose tree is in memory cannot be joined", &step.origin)
                    .why("nothing on the host tells its root from another's")
                    .hint("write `tree = \"disk\"` under [root], or start what is needed from within"));
            }
            Action::AllowAccess { beneath: Beneath::Host(_), .. } => {
                return Err(Finding::error("a jail without namespaces cannot be joined", &step.origin)
                    .why("with `tree = \"host\"` there is nothing to be entered")
                    .hint("start another one"));
            }
            Action::MakeControlGroups { .. }
            | Action::EnterControlGroups { .. }
            | Action::MakeUserNamespace { .. }
            | Action::MapIds { .. }
            | Action::GrantIds { .. }
            | Action::ForbidUserNamespaces
            | Action::LimitInotify
            | Action::MakePrivate
            | Action::CloneRoot { .. }
            | Action::CloneTree { .. }
            | Action::CreateFileSystem { .. }
            | Action::CreateOverlay { .. }
            | Action::Furnish { .. }
            | Action::Seal { .. }
            | Action::Listen { .. }
            | Action::AttachTree { .. }
            | Action::Cover { .. }
            | Action::LoopbackUp
            | Action::ConnectNetwork { .. }
            | Action::EnterNetwork
            | Action::SetHostname { .. } => {}
            Action::Clone { .. } => {
                steps.push(Step { action: Action::Clone { namespaces: Namespaces::default() }, ..step });
                if !groups.is_empty() {
                    let origin = Origin::Default("what it uses counts as the jail's");
                    let action = Action::JoinControlGroups { directories: groups.to_vec() };
                    steps.push(Step { action, phase: Phase::Enter, origin });
                }
            }
            Action::EnterRoot { method: RootMethod::Chroot, .. } => {
                return Err(Finding::error(
                    "a jail whose root is changed by chroot(2) alone cannot be joined",
                    &step.origin,
                )
                .why("the root of its mount namespace is the host's")
                .hint("start it with `method = \"pivot\"` under [root]"));
            }
            Action::ReopenDescriptor { descriptor, .. } if !host.is_root() => {
                return Err(not_given(*descriptor));
            }
            // The mounts that rules are about are found in the jail's mount namespace.
            Action::CreateRuleset { .. } | Action::AllowAccess { .. } => rules.push(step),
            Action::EnterRoot { tree, .. } => {
                let origin = Origin::Default("the program is to be where the jail's is");
                steps.push(Step {
                    action: Action::JoinNamespaces { namespaces, tree: tree.clone() },
                    phase: Phase::Enter,
                    origin,
                });
                steps.append(&mut rules);
            }
            Action::ForkProgram { .. } => {
                let phase = step.phase;
                let origin = Origin::Default(
                    "when `stockade exec` is killed its program ends; what that has started stays until the jail ends",
                );
                steps.push(step);
                steps.push(Step { action: Action::DieWithJoiner, phase, origin });
            }
            _ => steps.push(step),
        }
    }
    Ok(Run { steps, layers: run.layers, ..Run::default() })
}

/// The namespaces a jail has of its own and its first process was made in. One for ids that root's jail has is entered later, when
/// limits have been set.
fn joined(steps: &[Step]) -> Namespaces {
    steps.iter().fold(Namespaces::default(), |all, step| match &step.action {
        Action::Clone { namespaces } => Namespaces {
            network: all.network | namespaces.network,
            cgroup: all.cgroup | namespaces.cgroup,
            ..*namespaces
        },
        Action::EnterControlGroups { namespace, .. } => Namespaces { cgroup: all.cgroup | namespace, ..all },
        Action::MakeUserNamespace { network, .. } => Namespaces { network: all.network | network, ..all },
        _ => all,
    })
}

/// A file that cannot be shown read-only.
fn not_given(descriptor: i32) -> Finding {
    Finding::plain(format!("descriptor {descriptor} is a file, which an ordinary user cannot give to a jail that runs"))
        .why("it would have to be shown read-only through a mount of its own, which takes a right that an ordinary user has in a new jail only")
        .hint("pass the data through a pipe: `cat FILE | stockade exec JAIL -- COMMAND`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::resolve::testing::Scene;
    use crate::plan::JailPath;
    use crate::plan::order;
    use crate::plan::step::MountFlags;

    fn step(phase: Phase, action: Action) -> Step {
        Step { action, phase, origin: Origin::Default("a test") }
    }

    #[test]
    fn what_makes_is_left_out_and_what_confines_is_kept() {
        let tree = HostPath::parse("/t").unwrap();
        let namespaces = Namespaces { mount: true, pid: true, ipc: true, ..Namespaces::default() };
        let run = |method| Run {
            steps: vec![
                step(Phase::Parent, Action::Clone { namespaces }),
                step(Phase::Enter, Action::SetUndumpable),
                step(Phase::Enter, Action::MakePrivate),
                step(
                    Phase::Enter,
                    Action::CloneRoot { tree: tree.clone(), flags: MountFlags::GUARDED, idmap: None },
                ),
                step(Phase::Enter, Action::EnterRoot { tree: tree.clone(), method }),
                step(Phase::Enter, Action::AttachTree { target: JailPath::root() }),
                step(Phase::Enter, Action::SetHostname { name: "x".into() }),
                step(Phase::Confine, Action::SetUid { uid: 7 }),
                step(
                    Phase::Exec,
                    Action::ForkProgram { filtered: true, forking: false, passed: 0, input: false },
                ),
                step(Phase::Exec, Action::ResetSignals),
            ],
            ..Run::default()
        };
        let scene = Scene::new("join");
        let group = HostPath::parse("/sys/fs/cgroup/web").unwrap();
        let found =
            join_steps(run(RootMethod::Pivot), &scene.host, std::slice::from_ref(&group)).unwrap().steps;
        let actions: Vec<Action> = found.iter().map(|step| step.action.clone()).collect();
        let expected = [
            Action::Clone { namespaces: Namespaces::default() },
            Action::JoinControlGroups { directories: vec![group] },
            Action::SetUndumpable,
            Action::JoinNamespaces { namespaces, tree: tree.clone() },
            Action::SetUid { uid: 7 },
            Action::ForkProgram { filtered: true, forking: false, passed: 0, input: false },
            Action::DieWithJoiner,
            Action::ResetSignals,
        ];
        assert_eq!(actions, expected);
        assert_eq!(order::check(&found), Ok(()));
        assert!(join_steps(run(RootMethod::Chroot), &scene.host, &[]).is_err());
    }
}
