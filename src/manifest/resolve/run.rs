//! A manifest's run part as steps: which namespaces, which mounts, which rights. Every default of a run is here.

use super::accounts::Accounts;
use super::context::{Context, Ids, Steps, or_default};
use super::control_groups::Controls;
use super::environment::environment;
use super::ids::{self, Granted};
use super::mounts::{self, Planned};
use super::{
    circumstances, furniture, hosts_tree, identity, landlock, layers, network, passed, proc, standard,
    system_calls,
};
use crate::manifest::finding::Finding;
use crate::manifest::schema::{Manifest, Proc, ProgramType, Share, Sys};
use crate::plan::step::{Action, CEILINGS, Ceiling, IdSpace, Namespaces, Owner, RootMethod, Watch};
use crate::plan::{At, HostPath, IdMap, JailName, JailPath, Layer, LayerState, Origin, Phase, Span, Step};
use crate::sys::host::Host;

/// The tree that a program is to run in.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// Where it is on the host; of one in memory, what it is mounted over.
    pub path: &'a HostPath,
    /// The steps that make one in memory, as a build would take them.
    pub made: &'a [Step],
}

impl<'a> Tree<'a> {
    /// One that has been built.
    pub fn on_disk(path: &'a HostPath) -> Self {
        Self { path, made: &[] }
    }
}

/// The run part of a plan.
#[derive(Debug, Default)]
pub struct Run {
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// What became of each layer.
    pub layers: Vec<LayerState>,
    /// What the supervisor watches meanwhile.
    pub watch: Watch,
}

/// What runs `command` in `tree`. `first_id` is asked for the first of the host's ids that the jail gets, if it gets any.
pub fn run_steps(
    manifest: &Manifest,
    host: &Host,
    accounts: &Accounts,
    name: &JailName,
    tree: &Tree<'_>,
    command: &JailPath,
    first_id: impl FnOnce() -> Result<u32, Finding>,
) -> Result<Run, Vec<Finding>> {
    let mut findings = Vec::new();
    let ids = layers::user_namespace(manifest, host).and_then(|wanted| {
        Ok(match wanted {
            false => (Ids::Host, None),
            true if host.is_root() => (Ids::Range(first_id()?), None),
            true => match ids::granted(manifest, host)? {
                Some(granted) => (Ids::Granted, Some(granted)),
                None => (Ids::One, None),
            },
        })
    });
    let (ids, granted) = ids.unwrap_or_else(|finding| {
        findings.push(finding);
        (Ids::Host, None)
    });
    let map = granted.as_ref().map(|granted| &granted.map);
    let identity = identity::resolve(manifest, accounts, ids, map, &mut findings);
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut context = Context {
        manifest,
        host,
        tree: tree.path,
        ids,
        granted,
        accounts,
        identity,
        covers: None,
        passed: Vec::new(),
        controls: Controls::default(),
    };
    context.controls = Controls::of(&context);
    context.passed = passed::sockets(&context).map_err(|finding| vec![finding])?;
    if shown_proc(manifest).0 == Proc::Masked && !manifest.root.is_hosts() {
        context.covers = proc::covers(&context);
    }
    let filter = system_calls::filter(&context, command).unwrap_or_else(|finding| {
        findings.push(finding);
        None
    });
    let mut layers = Vec::new();
    for layer in Layer::ALL {
        match layers::state(&context, layer) {
            Ok(state) => layers.push(state),
            Err(finding) => findings.push(finding),
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let time = |limit: &Option<At<Span>>| limit.as_ref().map(|limit| limit.value.0);
    let watch = Watch {
        runtime_max: time(&manifest.limits.runtime_max),
        cpu_time_max: time(&manifest.limits.cpu_time_max),
        output_size: manifest.limits.output_size.as_ref().map(|limit| limit.value.0),
    };
    if manifest.root.is_hosts() {
        let run = Run { steps: Vec::new(), layers, watch };
        return hosts_tree::run(context, name, command, (run, filter.into_iter().collect()));
    }
    let mut steps = Steps::default();
    let mounts = mounts::planned(&context)?;
    let furniture = furniture::steps(&context, &mounts, tree.made)?;
    context.controls.make(name, &mut steps);
    parent(&context, &mounts, &mut steps);
    enter(&context, name, &mounts, furniture, &mut steps).map_err(|finding| vec![finding])?;
    circumstances::steps(&context, &mut steps);
    enter_user_namespace(&context, &mut steps);
    landlock::restrict(&context, &mut steps);
    let (early, late) = filter.into_iter().partition::<Vec<_>, _>(|step| step.phase == Phase::Confine);
    steps.0.extend(early);
    identity::confine(&context, &mut steps);
    execute(&context, command, late, &mut steps);
    Ok(Run { steps: steps.0, layers, watch })
}

/// By the supervisor: the user namespaces of a jail started by root, then one clone.
fn parent(context: &Context<'_>, mounts: &[Planned], steps: &mut Steps) {
    let wanted = &context.manifest.namespaces;
    let new = |share: &Option<At<Share>>| !matches!(share, Some(At { value: Share::Host, .. }));
    let network = network::is_own(context.manifest);
    let mut namespaces = Namespaces {
        user: matches!(context.ids, Ids::One | Ids::Granted),
        mount: true,
        pid: true,
        ipc: new(&wanted.ipc),
        uts: new(&wanted.uts),
        // With a group of its own the namespace is made once it is joined, so that it begins there.
        cgroup: new(&wanted.cgroup) && context.controls.is_empty(),
        network,
    };
    if let Ids::Range(first) = context.ids {
        // Made with the user namespace, so that it belongs to it.
        namespaces.network = false;
        let (_, origin) = layers::user_namespace_origin(context.manifest);
        let ceilings = context.manifest.limits.resources.iter().map(|limit| limit.value);
        let ceilings = ceilings
            .filter(|limit| CEILINGS.contains(&limit.resource.name))
            .map(|limit| Ceiling { resource: limit.resource.name, soft: limit.soft, hard: limit.hard });
        let action = Action::MakeUserNamespace {
            space: IdSpace::Jail,
            map: IdMap::range(first),
            network,
            is_last: layers::may_forbid_user_namespaces(context.manifest, context.host),
            ceilings: ceilings.collect(),
        };
        steps.push(Phase::Parent, action, &origin);
        if let Some(shared) = mounts.iter().find(|mount| mount.is_in(IdSpace::Shared)) {
            let action = Action::MakeUserNamespace {
                space: IdSpace::Shared,
                map: IdMap::squashed(first),
                network: false,
                is_last: false,
                ceilings: Vec::new(),
            };
            steps.push(Phase::Parent, action, &shared.origin);
        }
    }
    let origin = wanted.network.as_ref().map_or(
        Origin::Default("every namespace is new unless the manifest shares it with the host"),
        |network| network.origin.clone(),
    );
    steps.push(Phase::Parent, Action::Clone { namespaces }, &origin);
}

/// In the new namespaces, until the root has changed and everything is mounted.
fn enter(
    context: &Context<'_>,
    name: &JailName,
    mounts: &[Planned],
    furniture: Vec<Step>,
    steps: &mut Steps,
) -> Result<(), Finding> {
    let manifest = context.manifest;
    let own_view = !matches!(manifest.namespaces.cgroup, Some(At { value: Share::Host, .. }));
    context.controls.enter(own_view, steps);
    map_ids(context, steps);
    network::connect(context, steps)?;
    circumstances::oom_score(context, steps);
    session(context, steps);
    steps.unasked(Phase::Enter, Action::MakePrivate, "mounts made here are nobody else's business");
    network::enter(context, steps);
    standard::replace(context, steps)?;
    let (method, method_origin) = or_default(
        manifest.root.method.as_ref(),
        RootMethod::Pivot,
        "pivot_root leaves nothing of the host mounted",
    );
    let (read_only, root_origin) =
        or_default(manifest.root.read_only.as_ref(), true, "what the program may write is mounted by name");
    let sealed = furniture::root(context, read_only, &root_origin, steps);
    for mount in mounts {
        let furnished = furniture
            .iter()
            .any(|step| matches!(&step.action, Action::Seal { target } if target == mount.target()));
        mount.detach(furnished, steps);
    }
    steps.0.extend(furniture);
    if let Some(sealed) = sealed {
        steps.push(Phase::Enter, sealed, &root_origin);
    }
    for mount in mounts {
        mount.furnish(steps);
    }
    landlock::rules(context, mounts, read_only, &root_origin, steps);
    steps.push(Phase::Enter, Action::EnterRoot { tree: context.tree.clone(), method }, &method_origin);
    for mount in mounts {
        mount.attach(steps);
    }
    if !matches!(manifest.namespaces.uts, Some(At { value: Share::Host, .. })) {
        let (hostname, origin) =
            or_default(manifest.namespaces.hostname.as_ref(), name.to_string(), "the jail's name");
        steps.push(Phase::Enter, Action::SetHostname { name: hostname }, &origin);
    }
    Ok(())
}

/// What the first process has of the caller's beside files.
pub(super) fn session(context: &Context<'_>, steps: &mut Steps) {
    steps.unasked(Phase::Enter, Action::SetUndumpable, "PID 1 is still a copy of the supervisor");
    steps.unasked(Phase::Enter, Action::NewSession, "the caller's terminal is not the jail's");
    if context.host.keyrings {
        steps.unasked(Phase::Enter, Action::NewKeyring, "the caller's keys are not the jail's");
    }
    let onto = context.host.terminals();
    if !onto.is_empty() {
        steps.unasked(
            Phase::Enter,
            Action::AttachTerminal { onto },
            "the caller's standard descriptors are a terminal",
        );
    }
}

/// The maps of an ordinary user's user namespace, which was made with the jail.
fn map_ids(context: &Context<'_>, steps: &mut Steps) {
    match (context.ids, &context.granted) {
        (Ids::Granted, Some(Granted { map, programs, origin })) => {
            let action = Action::GrantIds { map: map.clone(), programs: programs.clone() };
            steps.push(Phase::Enter, action, origin);
        }
        (Ids::One, _) => {
            let inside = Owner { uid: context.identity.uid, gid: context.identity.gid };
            let outside = Owner { uid: context.host.uid, gid: context.host.gid };
            let action = Action::MapIds { map: IdMap::one(inside, outside) };
            steps.unasked(Phase::Enter, action, "an ordinary user has one id to give");
        }
        _ => return,
    }
    if layers::may_forbid_user_namespaces(context.manifest, context.host) {
        steps.unasked(
            Phase::Enter,
            Action::ForbidUserNamespaces,
            "a user namespace made inside would give every capability in it",
        );
        steps.unasked(
            Phase::Enter,
            Action::LimitInotify,
            "what the jail has of them is missing to its caller",
        );
    }
}

/// Into the user namespace that was made beforehand, once nothing is left to do that takes a right on the host.
fn enter_user_namespace(context: &Context<'_>, steps: &mut Steps) {
    if matches!(context.ids, Ids::Range(_)) {
        let (_, origin) = layers::user_namespace_origin(context.manifest);
        steps.push(Phase::Confine, Action::EnterUserNamespace, &origin);
    }
}

/// By the program's own process, last.
fn execute(context: &Context<'_>, command: &JailPath, filter: Vec<Step>, steps: &mut Steps) {
    let program = &context.manifest.program;
    let (init, origin) = or_default(
        program.init.as_ref(),
        true,
        "PID 1 must reap orphans and forward signals, which few programs do",
    );
    let passed = context.passed.len() as u32;
    if init {
        let filtered = system_calls::init_is_filtered(context);
        let kind = program.kind.as_ref().filter(|kind| kind.value == ProgramType::Forking);
        let input = standard::is_input_relayed(context);
        let action = Action::ForkProgram { filtered, forking: kind.is_some(), passed, input };
        steps.push(Phase::Exec, action, kind.map_or(&origin, |kind| &kind.origin));
        let terminal = context.host.terminals().first().copied();
        steps.unasked(
            Phase::Exec,
            Action::NewProcessGroup { terminal },
            "keys of the terminal and signals to the group reach the program, not PID 1",
        );
    }
    execute_itself(context, command, filter, steps);
}

/// By the process that becomes the program.
pub(super) fn execute_itself(
    context: &Context<'_>,
    command: &JailPath,
    filter: Vec<Step>,
    steps: &mut Steps,
) {
    let program = &context.manifest.program;
    let passed = context.passed.len() as u32;
    let (_, close_origin) = or_default(
        program.sockets.as_ref().filter(|_| passed > 0),
        false,
        "a file the caller left open is a way out",
    );
    steps.push(Phase::Exec, Action::CloseDescriptors { passed }, &close_origin);
    let (path, origin) = or_default(program.working_directory.as_ref(), JailPath::root(), "the jail's root");
    steps.push(Phase::Exec, Action::ChangeDirectory { path }, &origin);
    steps.unasked(Phase::Exec, Action::ResetSignals, "a signal the caller ignored would stay ignored");
    steps.unasked(
        Phase::Exec,
        identity::verification(context),
        "a right that was not dropped must be noticed here",
    );
    steps.0.extend(filter);
    if let Some(written) = &program.command {
        let arguments = written.value.iter().chain(&program.extra_arguments).cloned().collect();
        let environment = environment(context);
        steps.push(
            Phase::Exec,
            Action::Execute { path: command.clone(), arguments, environment },
            &written.origin,
        );
    }
}

/// What of /sys a manifest wants shown.
pub(super) fn shown_sys(manifest: &Manifest) -> (Sys, Origin) {
    or_default(
        manifest.root.sys.as_ref(),
        Sys::None,
        "few programs read /sys, and all it tells is the host's",
    )
}

/// What of /proc a manifest wants shown.
pub(super) fn shown_proc(manifest: &Manifest) -> (Proc, Origin) {
    or_default(
        manifest.root.proc.as_ref(),
        Proc::Masked,
        "most programs read /proc; what tells of the host is covered",
    )
}
