//! What most commands begin with: a jail's manifest, the host's facts, the tree, the plan.

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Failure, exit};
use crate::jail::state;
use crate::manifest::finding::Finding;
use crate::manifest::resolve::accounts::Accounts;
use crate::manifest::resolve::run::{self, Run, Tree};
use crate::manifest::resolve::tree::{Nodes, TreeSteps, tree_steps};
use crate::manifest::resolve::{command, ids, join, may_write_tree, shows, tree_key};
use crate::manifest::schema::{Mount, MountKind, ProgramType};
use crate::manifest::{self, Loaded, Request};
use crate::plan::{At, HostPath, JailName, JailPath, LayerState, Plan, Step, order};
use crate::report::diagnostic::Diagnostic;
use crate::sys::host::Host;
use crate::tree::record::MadeFrom;
use crate::tree::{self, Freshness, Generation, Record, RecordedIds, Store};

/// How often a jail is looked up again whose tree is replaced just then.
pub(super) const ATTEMPTS: usize = 100;

/// A manifest and what it meets.
pub(super) struct Jail {
    /// The manifest.
    pub(super) loaded: Loaded,
    /// Its name.
    pub(super) name: JailName,
    /// The host's facts.
    pub(super) host: Host,
    /// Where trees are kept.
    state: PathBuf,
    /// What the tree depends on.
    pub(super) key: [u8; 32],
    /// Whether the program may come to write to it.
    writable: bool,
    /// The options that changed the manifest.
    sets: Vec<String>,
    /// The state directory, once it has been opened to be written to.
    opened: OnceCell<Store>,
}

/// A tree that stays as it is for as long as this is held.
pub(super) struct Held {
    /// The tree's root.
    pub(super) tree: HostPath,
    /// The lock that keeps a build from removing it.
    pub(super) lock: OwnedFd,
}

/// What every step of these commands may end with.
pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Jail {
    /// Loads and checks a manifest and reads the facts it is resolved against.
    pub(super) fn load(request: &Request) -> Result<Self> {
        let loaded =
            manifest::load(request).map_err(|findings| Failure::manifest(findings, &request.jail))?;
        Self::of(loaded, request.sets.clone())
    }

    /// A jail that runs, as it was started, whatever its manifest says by now.
    pub(super) fn of_running(entry: &state::Entry) -> Result<Self> {
        Self::of_running_with(entry, &[])
    }

    /// The same with these over it, as by `--set`.
    pub(super) fn of_running_with(entry: &state::Entry, more: &[String]) -> Result<Self> {
        let sets = [entry.sets.as_slice(), more].concat();
        let loaded = manifest::load_again(&entry.sources, &sets)
            .map_err(|findings| Failure::findings(findings, Path::new("")))?;
        Self::of(loaded, sets)
    }

    /// With the facts it is resolved against.
    pub(super) fn of(loaded: Loaded, sets: Vec<String>) -> Result<Self> {
        // What is in memory needs no place to be kept.
        let state = match state_directory() {
            Err(_) if loaded.manifest.root.is_in_memory() => PathBuf::new(),
            found => found?,
        };
        let host = Host::current(&state);
        let writable = may_write_tree(&loaded.manifest, &state);
        let key = tree_key(&loaded.manifest, &host, writable);
        // `load` fills it in from the file's name.
        let Some(name) = loaded.manifest.name.as_ref().map(|name| name.value.clone()) else {
            return Err(Failure::new(Diagnostic::error("the jail has no name"), exit::FINDING));
        };
        Ok(Self { loaded, name, host, state, key, writable, sets, opened: OnceCell::new() })
    }

    /// What was found while the manifest met the host.
    pub(super) fn findings(&self, findings: Vec<Finding>) -> Failure {
        Failure::findings(findings, &self.loaded.path)
    }

    /// The users and groups known to the host, and those the manifest brings.
    pub(super) fn accounts(&self) -> Result<Accounts> {
        Accounts::of(&self.loaded.manifest, &self.host).map_err(|finding| self.findings(vec![finding]))
    }

    /// The tree as it is, for printing: nothing is made and nothing is locked.
    pub(super) fn tree_path(&self) -> Result<HostPath> {
        if self.is_in_memory() {
            return host_path("/".into());
        }
        host_path(self.state.join(self.name.as_str()).join("current/tree"))
    }

    /// The steps that build the tree, with what should be known although it is no error.
    pub(super) fn build_steps(&self) -> Result<TreeSteps> {
        // In memory none can be made, since nobody makes one in a user namespace (mknod(2)).
        let nodes = if self.host.device_nodes && !self.is_in_memory() { Nodes::Made } else { Nodes::Bound };
        tree_steps(&self.loaded.manifest, &self.host, &self.accounts()?, nodes)
            .map_err(|findings| self.findings(findings))
    }

    /// A mount through which the program could write what is believed of running jails.
    fn shown_records(&self) -> Option<Finding> {
        let place = records(&self.state);
        let writable = |mount: &&At<Mount>| mount.value.read_only == Some(false);
        self.loaded.manifest.mounts.iter().filter(writable).find_map(|mount| {
            let MountKind::Bind { source, .. } = &mount.value.kind else { return None };
            shows(source.as_path(), &place).then(|| {
                Finding::error("this mount would let the program write the records of running jails", &mount.origin)
                    .why(format!("they are in `{}`, and `list`, `stop` and `exec` go by them", place.display()))
                    .hint("show a directory that is needed instead, or say `read_only = true`, or set STOCKADE_RUN_DIR to another place")
            })
        })
    }

    /// The same for a program in `tree`: where there is a base, names are those of the tree.
    fn accounts_in(&self, tree: &HostPath) -> Result<Accounts> {
        let is_own = self.loaded.manifest.tree.base.is_some();
        let own = is_own.then(|| Accounts::in_tree(tree.as_path())).flatten();
        own.map_or_else(|| self.accounts(), Ok)
    }

    /// What runs `command` in `tree`.
    pub(super) fn run_steps(&self, tree: &Tree<'_>, command: &JailPath) -> Result<Run> {
        self.run_steps_as(tree, command, None)
    }

    /// The same where it is known who there is, as the tree is not built yet.
    pub(super) fn run_steps_as(
        &self,
        tree: &Tree<'_>,
        command: &JailPath,
        known: Option<Accounts>,
    ) -> Result<Run> {
        if let Some(finding) = self.shown_records() {
            return Err(self.findings(vec![finding]));
        }
        let program = &self.loaded.manifest.program;
        // A jail that names nobody starts without reading who there is.
        let owned = |mount: &At<Mount>| match &mount.value.kind {
            MountKind::Tmpfs { owner, group, .. } => owner.is_some() || group.is_some(),
            MountKind::Bind { .. } | MountKind::Mqueue | MountKind::Overlay { .. } => false,
        };
        let named = program.user.is_some()
            || program.group.is_some()
            || !program.supplementary_groups.is_empty()
            || self.loaded.manifest.mounts.iter().any(owned);
        let accounts = match known {
            Some(known) => known,
            None if named => self.accounts_in(tree.path)?,
            None => Accounts::default(),
        };
        let first_id = || self.first_id();
        run::run_steps(&self.loaded.manifest, &self.host, &accounts, &self.name, tree, command, first_id)
            .map_err(|findings| self.findings(findings))
    }

    /// What runs `command` in a jail that is running already, in `tree`, with `first` for its first id outside, and in these groups; and what
    /// the jail itself was started by.
    pub(super) fn join_steps(
        &self,
        tree: &HostPath,
        command: &JailPath,
        first: Option<u32>,
        groups: &[HostPath],
    ) -> Result<(Run, Vec<Step>)> {
        let unknown = || Finding::plain(format!("jail `{}` has no ids of its own by now", self.name));
        let (manifest, accounts) = (&self.loaded.manifest, self.accounts_in(tree)?);
        let first_id = || first.ok_or_else(unknown);
        let tree = Tree::on_disk(tree);
        let run = run::run_steps(manifest, &self.host, &accounts, &self.name, &tree, command, first_id)
            .map_err(|findings| self.findings(findings))?;
        let started = run.steps.clone();
        let joined = join::join_steps(run, &self.host, groups);
        Ok((joined.map_err(|finding| self.findings(vec![finding]))?, started))
    }

    /// The first of the host's ids that the jail gets: the one it has had, or else a new one, which is remembered where the state
    /// directory is open to be written to.
    fn first_id(&self) -> std::result::Result<u32, Finding> {
        let failed = |error: tree::Error| {
            Finding::plain(format!("cannot find out which ids jail `{}` has", self.name))
                .why(error.to_string())
        };
        let manifest = &self.loaded.manifest;
        // Nothing is remembered of a jail in memory: two at once are to have each its own.
        let unique = JailName::parse(&format!("{}-{}", self.name, std::process::id()));
        let name = unique.ok().filter(|_| self.is_in_memory()).unwrap_or_else(|| self.name.clone());
        let choose = |taken: &[u32], before| ids::choose(&self.host, manifest, &name, taken, before);
        if self.state.as_os_str().is_empty() {
            return choose(&[], None);
        }
        let found = match self.opened.get() {
            Some(_) => None,
            None => Store::find(&self.state).map_err(failed)?,
        };
        let Some(store) = self.opened.get().or(found.as_ref()) else { return choose(&[], None) };
        let before = store.ids(&self.name).map_err(failed)?;
        let asked = manifest.namespaces.first_id.as_ref().map(|given| given.value);
        let holds = |RecordedIds { first, since }: &RecordedIds| match asked {
            Some(asked) => asked == *first,
            None => self.is_quiet_since(*since),
        };
        if let Some(recorded) = before.filter(holds) {
            return Ok(recorded.first);
        }
        let before = before.map(|recorded| recorded.first);
        if self.opened.get().is_some() {
            store.remember_ids(&self.name, |taken| choose(taken, before)).map_err(failed)?
        } else {
            choose(&store.ids_of_others(&self.name).map_err(failed)?, before)
        }
    }

    /// Whether none of the files that say which ids are free has changed since: by rewriting or by being put in the place of
    /// another, as the time of the last change tells and that of the last write does not.
    fn is_quiet_since(&self, since: (i64, i64)) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        ids::SOURCES.iter().all(|path| {
            std::fs::metadata(self.host.root.join(path))
                .map_or(true, |found| (found.ctime(), found.ctime_nsec()) < since)
        })
    }

    /// Whether the tree is made in memory at each start, and there is nothing to build.
    pub(super) fn is_in_memory(&self) -> bool {
        self.loaded.manifest.root.is_in_memory()
    }

    /// The program's path, and what a tree in memory is made of; `None` if there is no such program, which has then been told.
    pub(super) fn program(&self, tree: &HostPath) -> Result<Option<(JailPath, Vec<Step>)>> {
        if !self.is_in_memory() {
            return Ok(self
                .command(tree)
                .map_err(|failure| failure.report())
                .ok()
                .map(|path| (path, Vec::new())));
        }
        let TreeSteps { steps, program, warnings, .. } = self.build_steps()?;
        let absent = || command::absent(&self.loaded.manifest, &self.host);
        let told = warnings.into_iter().chain(program.is_none().then(absent)).collect::<Vec<_>>();
        if !told.is_empty() {
            self.findings(told).report();
        }
        Ok(program.map(|path| (path, steps)))
    }

    /// The program's path in a tree that is built.
    pub(super) fn command(&self, tree: &HostPath) -> Result<JailPath> {
        command::in_tree(&self.loaded.manifest, &self.host, tree.as_path())
            .map_err(|finding| self.findings(vec![finding]))
    }

    /// A plan of these steps, in a legal order.
    pub(super) fn plan(&self, steps: Vec<Step>, layers: Vec<LayerState>) -> Result<Plan> {
        match order::check(&steps) {
            Ok(()) => Ok(Plan { jail: self.name.clone(), steps, layers }),
            Err(violation) => {
                let message = format!("the plan of jail `{}` is out of order: {violation}", self.name);
                let hint = "this is a mistake in stockade: please report it with the manifest";
                Err(Failure::new(Diagnostic::error(message).hint(hint), exit::FAILED))
            }
        }
    }

    /// Builds the tree anew. `keep` says how many older ones are kept from now on; `trial` is shown the new one before the switch.
    pub(super) fn build(
        &self,
        keep: Option<u32>,
        trial: &mut dyn FnMut(&Generation) -> bool,
    ) -> Result<(tree::Built, Vec<Finding>)> {
        let TreeSteps { steps, warnings, archive, .. } = self.build_steps()?;
        let plan = self.plan(steps, Vec::new())?;
        let store = self.store()?;
        // A path that cannot be made absolute is not asked for again.
        let path = std::path::absolute(&self.loaded.path).ok();
        let made_from = path.map(|path| MadeFrom { path: path.as_path().into(), sets: self.sets.clone() });
        let (root_user, writable) = (self.host.is_root(), self.writable);
        let wish = tree::Wish { digest: self.key, root_user, writable, made_from, keep, archive };
        let built = tree::build_as(store, &plan, &wish, &mut |_| ControlFlow::Continue(()), trial)
            .map_err(|error| self.tree_failure(&error))?;
        Ok((built, warnings))
    }

    /// The record of the current tree, if there is one that this version has written.
    pub(super) fn record(&self) -> Result<Option<Record>> {
        let failure = |error: tree::Error| self.tree_failure(&error);
        let Some(store) = Store::find(&self.state).map_err(failure)? else { return Ok(None) };
        let Some(generation) = store.latest(&self.name).map_err(failure)? else { return Ok(None) };
        match store.record(&generation) {
            Err(tree::Error::Unreadable { .. }) => Ok(None),
            record => record.map(Some).map_err(failure),
        }
    }

    /// The tree that the manifest asks for, built if it is not there; `report` is told of a build.
    pub(super) fn held(&self, report: impl Fn(&tree::Built, &[Finding])) -> Result<Held> {
        let store = self.store()?;
        let mut attempts = 1..ATTEMPTS;
        loop {
            let found = store.current(&self.name, &self.key).map_err(|error| self.tree_failure(&error))?;
            let generation: Generation = match found {
                Freshness::Current(generation) => generation,
                Freshness::Stale(_) | Freshness::Absent => {
                    let (built, warnings) = self.build(None, &mut |_| true)?;
                    report(&built, &warnings);
                    built.generation
                }
            };
            match store.hold(&generation) {
                Ok(lock) => return Ok(Held { tree: host_path(generation.tree())?, lock }),
                // Another build replaced it in between, or is about to remove it.
                Err(tree::Error::Gone { .. }) if attempts.next().is_some() => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error @ tree::Error::Gone { .. }) => {
                    return Err(self.tree_failure(&store.lost(&generation, error)));
                }
                Err(error) => return Err(self.tree_failure(&error)),
            }
        }
    }

    /// One generation of the tree, whatever it was built from; but none that may share files with others to a program that may
    /// write to them.
    pub(super) fn held_as(&self, number: u64) -> Result<Held> {
        let store = self.store()?;
        let is_shared =
            |generation: &Generation| store.record(generation).map_or(true, |record| !record.head.writable);
        if self.writable
            && store.numbered(&self.name, number).is_some_and(|generation| is_shared(&generation))
        {
            let message = format!("generation {number} of jail `{}` may share files with others", self.name);
            let shared = Diagnostic::error(message)
                .why("it was built for a program that may not write to its tree, as this one may")
                .hint("build it for this one: `stockade build` with the same manifest and `--set`");
            return Err(Failure::new(shared, exit::FAILED));
        }
        let found =
            store.numbered(&self.name, number).map(|generation| (store.hold(&generation), generation));
        match found {
            Some((Ok(lock), generation)) => Ok(Held { tree: host_path(generation.tree())?, lock }),
            Some((Err(error), _)) if !matches!(error, tree::Error::Gone { .. }) => {
                Err(self.tree_failure(&error))
            }
            _ => {
                let nothing = Diagnostic::error(format!("jail `{}` has no generation {number}", self.name));
                let hint = "without `--generation` the current one is taken, and built if it is not there";
                Err(Failure::new(nothing.hint(hint), exit::FAILED))
            }
        }
    }

    /// Lets go of a tree. What nobody needs any more goes with it: an older tree that was the last to run from, what a
    /// killed build has left. What resists is told by the next build.
    pub(super) fn release(&self, Held { lock, .. }: Held) {
        let is_alone = tree::is_alone(&lock);
        drop(lock);
        if !is_alone && let Ok(Some(store)) = Store::find(&self.state) {
            let _ = store.tidy(&self.name);
        }
    }

    /// How the program starts.
    pub(super) fn kind(&self) -> ProgramType {
        self.loaded.manifest.program.kind.as_ref().map_or(ProgramType::Simple, |kind| kind.value)
    }

    /// What others are to know of a run from this tree; `None` where there is no place for it, and nothing on disk it could harm.
    pub(super) fn notice(
        &self,
        tree: &HostPath,
        steps: &[Step],
        init: bool,
        is_needed: bool,
    ) -> Option<state::Draft> {
        let place = records(&self.state);
        let is_there = place.parent().is_some_and(Path::is_dir);
        if self.is_in_memory() && (self.state.as_os_str().is_empty() || !is_there) {
            return None;
        }
        let kind = self.loaded.manifest.program.kind.as_ref();
        let entry = state::Entry {
            jail: self.name.clone(),
            tree: tree.as_path().to_owned(),
            init,
            forking: kind.is_some_and(|kind| kind.value == ProgramType::Forking),
            cgroups: crate::jail::control_groups(steps),
            sources: self.loaded.sources.clone(),
            sets: self.sets.clone(),
        };
        Some(state::Draft { place, entry, is_needed })
    }

    /// Where the state directory is, or would be.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// The state directory.
    pub(super) fn store(&self) -> Result<&Store> {
        if let Some(store) = self.opened.get() {
            return Ok(store);
        }
        if self.is_in_memory() {
            let none = Diagnostic::error(format!("jail `{}` has no tree on disk", self.name))
                .why("`tree = \"memory\"` under [root]: it is made at each start, and nothing of it is kept");
            return Err(Failure::new(
                none.hint("there is nothing to build; `stockade run` starts it"),
                exit::FAILED,
            ));
        }
        let store = Store::open(&self.state).map_err(|error| self.tree_failure(&error))?;
        Ok(self.opened.get_or_init(|| store))
    }

    /// A failure of the tree's, as a message.
    pub(super) fn tree_failure(&self, error: &tree::Error) -> Failure {
        let mut diagnostic =
            Diagnostic::error(format!("cannot build jail `{}`", self.name)).why(error.to_string());
        diagnostic.origin = error.origin().cloned();
        diagnostic.hint = error.hint();
        Failure::new(diagnostic, exit::FAILED)
    }
}

/// Where this user's jails are kept.
pub(super) fn state_directory() -> Result<PathBuf> {
    let root = nix::unistd::geteuid().is_root();
    Store::default_path(root, |name| std::env::var_os(name)).ok_or_else(|| {
        let nowhere =
            Diagnostic::error("there is no place to keep jails: neither HOME nor XDG_STATE_HOME is set");
        Failure::new(nowhere.hint("set STOCKADE_STATE_DIR to a directory of your own"), exit::FAILED)
    })
}

/// Where records of this user's running jails are, beside trees that are kept in `state`.
pub(super) fn records(state: &Path) -> PathBuf {
    let root = nix::unistd::geteuid().is_root();
    state::default_path(root, state, |name| std::env::var_os(name))
}

/// A path the store made.
pub(super) fn host_path(path: PathBuf) -> Result<HostPath> {
    HostPath::parse(path).map_err(|why| {
        Failure::new(Diagnostic::error("the state directory cannot be used").why(why), exit::FAILED)
    })
}
