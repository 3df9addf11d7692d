//! Limits that need a control group: in which hierarchy each can be had, whether this user may make groups there, and what is to be
//! done first. Version 1 hands a group on by the mode of its directory; in version 2, see cgroups(7), it has to be delegated, and a
//! group that hands controllers on has no processes, so the supervisor makes place.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::context::{Context, Steps};
use super::rates;
use crate::manifest::schema::{DevicePolicy, Manifest};
use crate::plan::control::{PREFIX, Setting, Version};
use crate::plan::step::Action;
use crate::plan::{At, Control, ControlGroup, ControlLimit, HostPath, JailName, Origin, Phase};
use crate::sys::cgroup::{self, Hierarchy};
use crate::sys::host::Host;

/// What of the wanted limits can be had.
#[derive(Debug, Default)]
pub(super) struct Controls {
    /// The groups to be made.
    groups: Vec<ControlGroup>,
    /// Because of what.
    origin: Option<Origin>,
    /// Why a limit cannot be had, and which.
    missing: Vec<At<String>>,
    /// Whether one of them is that on memory, which has a poor relation among those of setrlimit(2).
    lacks_memory: bool,
}

/// Why a limit cannot be had, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// What helps.
    pub cure: String,
}

impl Missing {
    pub(super) fn new(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { what: what.into(), cure: cure.into() }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cure)
    }
}

/// Which version a controller can be had in, by this user in this process's place.
pub fn available(host: &Host, controller: &str) -> Result<Version, Missing> {
    Place::of(host, &cgroup::hierarchies(&host.root), controller).map(|place| place.version)
}

/// So many tasks has a jail that no limit on a user's processes holds.
const TASKS: u64 = 1024;

/// The limit on tasks of a jail whose program may have rights of the host's root, which is free of RLIMIT_NPROC (getrlimit(2)).
fn default_tasks(manifest: &Manifest) -> At<ControlLimit> {
    let mut given =
        manifest.limits.resources.iter().filter(|limit| limit.value.resource.name == "RLIMIT_NPROC");
    let (amount, origin) = if let Some(limit) = given.next() {
        (limit.value.soft, limit.origin.clone())
    } else {
        let why = "no limit on a user's processes holds the host's root, and a fork bomb is to stay inside";
        (Some(TASKS), Origin::Default(why))
    };
    At { value: ControlLimit { control: Control::Tasks, amount: amount.filter(|most| *most > 0) }, origin }
}

impl Controls {
    /// What a manifest's limits take; nothing is looked at on the host where there is none.
    pub(super) fn of(context: &Context<'_>) -> Self {
        let mut found = Self::default();
        let wanted = &context.manifest.limits.controls;
        let default = (context.has_no_limit_of_processes()
            && !wanted.iter().any(|limit| limit.value.control == Control::Tasks))
        .then(|| default_tasks(context.manifest));
        let limits = &context.manifest.limits;
        let closed = limits.device_policy.as_ref().filter(|policy| policy.value == DevicePolicy::Closed);
        if wanted.is_empty()
            && default.is_none()
            && closed.is_none()
            && limits.io_max.is_empty()
            && limits.allowed_cpus.is_none()
            && limits.cpu_time_max.is_none()
        {
            return found;
        }
        let hierarchies = cgroup::hierarchies(&context.host.root);
        for limit in wanted {
            if let Err(missing) = found.add(context, &hierarchies, limit) {
                found.lacks_memory |= limit.value.control == Control::Memory;
                found.missing.push(At { value: missing.to_string(), origin: limit.origin.clone() });
            }
        }
        for limit in &limits.io_max {
            // Version 1 has another name for it.
            let first = hierarchies.iter().any(|hierarchy| hierarchy.has("blkio"));
            let controller = if first { "blkio" } else { "io" };
            let settings = |place: &Place| rates::io(context.host, place.version, &limit.value);
            found.add_settings(context.host, &hierarchies, controller, &limit.origin, &settings);
        }
        if let Some(limit) = &limits.allowed_cpus {
            let settings = |place: &Place| {
                rates::cpus(context.host, place.version, place.parent.as_path(), &limit.value)
            };
            found.add_settings(context.host, &hierarchies, "cpuset", &limit.origin, &settings);
        }
        if let Some(policy) = closed {
            match Place::of_devices(context.host, &hierarchies) {
                Ok(place) => {
                    let group = found.group(&place, "devices");
                    match place.version {
                        Version::One => group.settings.extend(rates::devices()),
                        Version::Two => group.closed_devices = true,
                    }
                    found.origin.get_or_insert_with(|| policy.origin.clone());
                }
                Err(missing) => {
                    found.missing.push(At { value: missing.to_string(), origin: policy.origin.clone() });
                }
            }
        }
        if let Some(limit) = &limits.cpu_time_max {
            found.add_accounting(context.host, &hierarchies, &limit.origin);
        }
        // What nobody asked for is no reason to end.
        if let Some(limit) = default
            && found.add(context, &hierarchies, &limit).is_err()
        {}
        found.add_freezer(context.host, &hierarchies);
        found
    }

    /// What is to be written for a limit of another kind, or why it cannot be had.
    fn add_settings(
        &mut self,
        host: &Host,
        hierarchies: &[Hierarchy],
        controller: &'static str,
        origin: &Origin,
        settings: &dyn Fn(&Place) -> Result<Vec<Setting>, Missing>,
    ) {
        let found = Place::of(host, hierarchies, controller).and_then(|place| Ok((settings(&place)?, place)));
        match found {
            Ok((settings, place)) => {
                self.group(&place, controller).settings.extend(settings);
                self.origin.get_or_insert_with(|| origin.clone());
            }
            Err(missing) => self.missing.push(At { value: missing.to_string(), origin: origin.clone() }),
        }
    }

    /// One more limit; why not, if it cannot be had.
    fn add(
        &mut self,
        context: &Context<'_>,
        hierarchies: &[Hierarchy],
        limit: &At<ControlLimit>,
    ) -> Result<(), Missing> {
        let ControlLimit { control, .. } = limit.value;
        let place = Place::of(context.host, hierarchies, control.controller())?;
        let Some(file) = control.file(place.version) else {
            return Err(Missing::new(format!("cgroup v1 has no `{}`", control.key()), UNIFIED_ALONE));
        };
        let memory =
            context.manifest.limits.controls.iter().find(|given| given.value.control == Control::Memory);
        let memory = memory.and_then(|given| given.value.amount);
        if control == Control::Swap && place.version == Version::One && memory.is_none() {
            return Err(Missing::new("cgroup v1 limits swap together with memory", "write `memory` too"));
        }
        let setting = |limit: ControlLimit, name, optional| Setting {
            file: name,
            value: limit.value(place.version, memory),
            optional,
        };
        let mut settings = vec![setting(limit.value, file.name, false)];
        let swap_is_given =
            context.manifest.limits.controls.iter().any(|given| given.value.control == Control::Swap);
        if control == Control::Memory && memory.is_some() && !swap_is_given {
            let none = ControlLimit { control: Control::Swap, amount: Some(0) };
            settings.extend(none.control.file(place.version).map(|file| setting(none, file.name, true)));
        }
        self.group(&place, control.controller()).settings.extend(settings);
        self.origin.get_or_insert_with(|| limit.origin.clone());
        Ok(())
    }

    /// A group that counts time on processors. Where there can be none the supervisor adds up what /proc tells of each process.
    fn add_accounting(&mut self, host: &Host, hierarchies: &[Hierarchy], origin: &Origin) {
        const FIRST: &str = "cpuacct";
        let is_first = hierarchies.iter().any(|hierarchy| hierarchy.has(FIRST));
        let controller = if is_first { FIRST } else { "cpu" };
        if let Ok(place) = Place::of(host, hierarchies, controller) {
            self.group(&place, controller);
            self.origin.get_or_insert_with(|| origin.clone());
        }
    }

    /// In version 1 a jail with any group has one by which all its processes are stopped at once; in version 2 each group can.
    fn add_freezer(&mut self, host: &Host, hierarchies: &[Hierarchy]) {
        const FREEZER: &str = "freezer";
        if self.groups.iter().any(|group| group.version == Version::One)
            && let Ok(place) = Place::of(host, hierarchies, FREEZER)
        {
            self.group(&place, FREEZER);
        }
    }

    /// The group in a hierarchy.
    fn group(&mut self, place: &Place, controller: &'static str) -> &mut ControlGroup {
        let at = self.groups.iter().position(|group| group.parent == place.parent).unwrap_or_else(|| {
            self.groups.push(ControlGroup {
                version: place.version,
                parent: place.parent.clone(),
                leaf: place.leaf,
                enable: Vec::new(),
                settings: Vec::new(),
                closed_devices: false,
            });
            self.groups.len() - 1
        });
        let group = &mut self.groups[at];
        if place.is_handed_on == Some(false) && !group.enable.contains(&controller) {
            group.enable.push(controller);
        }
        group
    }

    /// Why limits cannot be had, and because of what they are wanted; none if they all can.
    pub(super) fn missing(&self) -> Option<(String, Origin)> {
        let first = self.missing.first()?;
        let mut reasons: Vec<&str> = self.missing.iter().map(|reason| reason.value.as_str()).collect();
        reasons.dedup();
        if self.lacks_memory {
            reasons.push("`address_space` (RLIMIT_AS) limits the memory of each process alone");
        }
        Some((reasons.join("; "), first.origin.clone()))
    }

    /// Whether the number of tasks is limited.
    pub(super) fn holds_tasks(&self) -> bool {
        let files = self.groups.iter().flat_map(|group| &group.settings).map(|setting| setting.file);
        files.into_iter().any(|file| file == "pids.max")
    }

    /// Whether there are groups.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// By the supervisor: the step that makes them.
    pub(super) fn make(&self, name: &JailName, steps: &mut Steps) {
        if let Some(origin) = &self.origin {
            let action =
                Action::MakeControlGroups { name: format!("{PREFIX}{name}"), groups: self.groups.clone() };
            steps.push(Phase::Parent, action, origin);
        }
    }

    /// By the jail's first process: the step that joins them.
    pub(super) fn enter(&self, namespace: bool, steps: &mut Steps) {
        if let Some(origin) = &self.origin {
            let action = Action::EnterControlGroups { groups: self.groups.len(), namespace };
            steps.push(Phase::Enter, action, origin);
        }
    }
}

/// Where a group can be made that has a controller.
struct Place {
    version: Version,
    parent: HostPath,
    leaf: bool,
    /// Whether the controller is handed on there already; none in version 1, which hands on all.
    is_handed_on: Option<bool>,
}

impl Place {
    /// Finds it; if there is none, what is missing, with the cure.
    fn of(host: &Host, hierarchies: &[Hierarchy], controller: &str) -> Result<Self, Missing> {
        let first = |hierarchy: &&Hierarchy| hierarchy.has(controller);
        if let Some(hierarchy) = hierarchies.iter().find(first) {
            return Self::first_version(host, hierarchy);
        }
        match hierarchies.iter().find(|hierarchy| hierarchy.controllers.is_none()) {
            // Where both are in use, version 2 has what version 1 leaves.
            Some(hierarchy) if is_mixed(hierarchies) => Self::second_version(host, hierarchy, controller)
                .map_err(|_| {
                    let what =
                        format!("version 1 of cgroups is in use here, and has no `{controller}` to offer");
                    Missing::new(what, UNIFIED_ALONE)
                }),
            Some(hierarchy) => Self::second_version(host, hierarchy, controller),
            None => Err(Missing::new(
                format!("no hierarchy with the controller `{controller}` is mounted"),
                "mount cgroup2 on /sys/fs/cgroup (cgroups(7))",
            )),
        }
    }

    /// Where devices can be closed: in version 2 by a program of bpf(2), for which no controller has to be handed on.
    fn of_devices(host: &Host, hierarchies: &[Hierarchy]) -> Result<Self, Missing> {
        const NAME: &str = "devices";
        match hierarchies.iter().find(|hierarchy| hierarchy.controllers.is_none()) {
            Some(hierarchy) if !hierarchies.iter().any(|hierarchy| hierarchy.has(NAME)) => {
                if !host.is_root() {
                    return Err(Missing::new(
                        "in version 2 of cgroups a program of bpf(2) decides on devices",
                        NO_DEVICES,
                    ));
                }
                let (group, leaf) = delegated(host, hierarchy)?;
                for file in ["", "cgroup.procs"] {
                    writable(host, &group.join(file))
                        .map_err(|why| Missing::new(unwritable(group, why), cure(host)))?;
                }
                Ok(Self { version: Version::Two, parent: parsed(group)?, leaf, is_handed_on: None })
            }
            _ => Self::of(host, hierarchies, NAME),
        }
    }

    fn first_version(host: &Host, hierarchy: &Hierarchy) -> Result<Self, Missing> {
        let group = &hierarchy.directory;
        writable(host, group).map_err(|why| {
            let cure = if host.is_root() { "mount it writable" } else { UNIFIED };
            Missing::new(unwritable(group, why), cure)
        })?;
        Ok(Self { version: Version::One, parent: parsed(group)?, leaf: false, is_handed_on: None })
    }

    fn second_version(host: &Host, hierarchy: &Hierarchy, controller: &str) -> Result<Self, Missing> {
        let (group, leaf) = delegated(host, hierarchy)?;
        let shown = group.display();
        let has = |file: &str| cgroup::words(&host.path(group), file).iter().any(|name| name == controller);
        if !has("cgroup.controllers") {
            return Err(Missing::new(
                format!("the group `{shown}` has no controller `{controller}`"),
                cure(host),
            ));
        }
        for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
            writable(host, &group.join(file))
                .map_err(|why| Missing::new(unwritable(group, why), cure(host)))?;
        }
        let is_handed_on = Some(has("cgroup.subtree_control"));
        Ok(Self { version: Version::Two, parent: parsed(group)?, leaf, is_handed_on })
    }
}

/// Version 1 is not handed on to users, and lacks some limits.
const UNIFIED: &str = "run as root, or boot with systemd.unified_cgroup_hierarchy=1 for cgroup v2";
const UNIFIED_ALONE: &str = "boot with systemd.unified_cgroup_hierarchy=1 for cgroup v2";

/// For whom no program of bpf(2) can be loaded.
const NO_DEVICES: &str = "run as root, or leave `device_policy` out: devices work below /dev alone";

/// Whether version 1 has controllers; systemd has a hierarchy of it without any.
fn is_mixed(hierarchies: &[Hierarchy]) -> bool {
    let mut names = hierarchies.iter().flat_map(|hierarchy| hierarchy.controllers.iter().flatten());
    names.any(|name| !name.starts_with("name="))
}

/// How a group of one's own is had.
fn cure(host: &Host) -> &'static str {
    if host.is_root() {
        "start it by `systemd-run --scope -p Delegate=yes stockade run …`, or say `Delegate=yes` in its unit"
    } else {
        "start it by `systemd-run --user --scope -p Delegate=yes stockade run …`"
    }
}

/// The group of version 2 that is ours to make others in, and whether we have to leave it for that.
fn delegated<'a>(host: &Host, hierarchy: &'a Hierarchy) -> Result<(&'a Path, bool), Missing> {
    let own = hierarchy.directory.as_path();
    // The one group that may have both processes and controllers handed on; it alone has no type.
    if !host.path(own).join("cgroup.type").exists() {
        return Ok((own, false));
    }
    let is_delegated = |group: &Path| cgroup::is_delegated(&host.path(group)).unwrap_or(false);
    if let Some(parent) = own.parent()
        && !hierarchy.is_top
        && !is_delegated(own)
        && is_delegated(parent)
        && others(host, parent).is_none()
    {
        // The leaf of an earlier start, or systemd's (DelegateSubgroup=).
        return Ok((parent, false));
    }
    // sd_booted(3). Without it nobody else manages groups.
    let is_managed = host.path(Path::new("/run/systemd/system")).is_dir();
    // The manager of a user marks nothing (systemd 252), but what is its own the user has.
    let is_users = !host.is_root()
        && std::fs::metadata(host.path(own)).is_ok_and(|found| MetadataExt::uid(&found) == host.uid);
    if is_managed && !is_users && !is_delegated(own) {
        let shown = own.display();
        let what = format!("systemd manages the group `{shown}` and has not delegated it");
        return Err(Missing::new(what, cure(host)));
    }
    match others(host, own) {
        None => Ok((own, true)),
        Some(process) => Err(Missing::new(
            format!(
                "process {process} is in the group `{}` as well, and one that hands controllers on can have none",
                own.display()
            ),
            cure(host),
        )),
    }
}

/// A process of a group other than this one.
fn others(host: &Host, group: &Path) -> Option<u32> {
    let processes = cgroup::words(&host.path(group), "cgroup.procs");
    processes.iter().filter_map(|pid| pid.parse().ok()).find(|pid| *pid != std::process::id())
}

/// Whether something may be written; why not.
fn writable(host: &Host, path: &Path) -> Result<(), &'static str> {
    access(&host.path(path), AccessFlags::W_OK).map_err(nix::errno::Errno::desc)
}

/// A group in which none can be made.
fn unwritable(group: &Path, why: &str) -> String {
    format!("no control group can be made in `{}` ({why})", group.display())
}

/// A group's directory as a path of a plan.
fn parsed(group: &Path) -> Result<HostPath, Missing> {
    HostPath::parse(group).map_err(|why| Missing::new(why, "mount the hierarchy elsewhere"))
}
