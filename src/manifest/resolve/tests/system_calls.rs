//! The filter of system calls: from a manifest and the host to a step, and what becomes of the layer.

use super::super::run::Run;
use super::super::testing::Scene;
use crate::manifest::schema::{Manifest, RESOURCES, ResourceLimit, SystemCalls};
use crate::plan::step::Action;
use crate::plan::system_calls::profiles::Profile;
use crate::plan::system_calls::{Architecture, Decision, Entry, Filter, Refusal};
use crate::plan::{Enforcement, Layer, Phase, order};

/// The filter of a run with the phase of its step, and what became of the layer.
fn filter(run: &Run) -> (Option<(Phase, Filter)>, Enforcement) {
    assert_eq!(order::check(&run.steps), Ok(()));
    let step = run.steps.iter().find_map(|step| match &step.action {
        Action::FilterSystemCalls { filter, .. } => Some((step.phase, filter.clone())),
        _ => None,
    });
    let layer = run.layers.iter().find(|state| state.layer == Layer::Seccomp).unwrap();
    (step, layer.enforcement.clone())
}

/// Whether PID 1 filters itself.
fn init_is_filtered(run: &Run) -> bool {
    run.steps.iter().any(|step| {
        matches!(step.action, Action::ForkProgram { filtered: true, forking: false, passed: 0, .. })
    })
}

#[test]
fn there_is_a_filter_unless_the_manifest_says_no() {
    let scene = Scene::new("system-calls");
    let run = scene.run(&Manifest::default()).unwrap();
    let (step, enforcement) = filter(&run);
    let (phase, found) = step.unwrap();
    assert_eq!((phase, found.words.as_str(), found.refusal), (Phase::Exec, "default", Refusal::Errno));
    assert!(enforcement == Enforcement::Enforced && init_is_filtered(&run));

    let mut manifest = Manifest::default();
    let entries = ["default", "-mlock"].map(|word| (word.to_owned(), Entry::parse(word).unwrap()));
    manifest.privileges.system_calls = Some(scene.at(1, SystemCalls::List(entries.into())));
    manifest.privileges.system_calls_action = Some(scene.at(2, Refusal::Log));
    let (step, enforcement) = filter(&scene.run(&manifest).unwrap());
    assert_eq!(step.unwrap().1.words, "default -mlock");
    assert!(matches!(enforcement, Enforcement::Off(_)), "{enforcement:?}");

    manifest.privileges.system_calls = Some(scene.at(1, SystemCalls::Profile(Profile::All)));
    let run = scene.run(&manifest).unwrap();
    let (step, enforcement) = filter(&run);
    assert!(step.is_none() && matches!(enforcement, Enforcement::Off(_)));
    assert!(init_is_filtered(&run));
}

#[test]
fn a_host_without_filters_is_an_error_unless_the_manifest_says_otherwise() {
    let mut scene = Scene::new("system-calls-missing");
    scene.host.seccomp = false;
    let mut manifest = Manifest::default();
    let findings = scene.run(&manifest).unwrap_err();
    assert!(findings[0].message.contains("layer `seccomp`"), "{findings:?}");
    manifest.privileges.best_effort.push(scene.at(1, Layer::Seccomp));
    let run = scene.run(&manifest).unwrap();
    let (step, enforcement) = filter(&run);
    assert!(step.is_none() && matches!(enforcement, Enforcement::Degraded(_)));
    assert!(!init_is_filtered(&run));
}

#[test]
fn without_no_new_privs_it_comes_before_the_rights_are_dropped() {
    let scene = Scene::new("system-calls-privileged");
    let mut manifest = Manifest::default();
    manifest.privileges.no_new_privileges = Some(scene.at(1, false));
    let run = scene.run(&manifest).unwrap();
    assert_eq!(filter(&run).0.unwrap().0, Phase::Confine);
    assert!(!init_is_filtered(&run));
    manifest.privileges.system_calls = Some(scene.at(1, SystemCalls::Profile(Profile::Compute)));
    let findings = scene.run(&manifest).unwrap_err();
    assert!(findings[0].message.contains("without no_new_privs"), "{findings:?}");
}

#[test]
fn processors_are_those_named_or_the_programs() {
    if Architecture::NATIVE != Some(Architecture::X86_64) {
        return;
    }
    let scene = Scene::new("system-calls-narrow");
    let found = |manifest: &Manifest| scene.run(manifest).map(|run| filter(&run).0.unwrap().1.architectures);
    let (wide, both) = (vec![Architecture::X86_64], vec![Architecture::X86_64, Architecture::X86_32]);
    let mut manifest = Manifest::default();
    scene.program("program", 0o755);
    assert_eq!(found(&manifest).unwrap(), wide);
    manifest.privileges.architectures =
        Some([Architecture::X86_32, Architecture::X86_64].map(|named| scene.at(1, named)).into());
    assert_eq!(found(&manifest).unwrap(), both);
    manifest.privileges.architectures = Some(vec![scene.at(1, Architecture::Aarch64)]);
    assert!(found(&manifest).unwrap_err()[0].message.contains("runs no programs for arm64"));

    // ELFCLASS32, little-endian, EM_386; then a script whose interpreter that is.
    let mut narrow = [0; 20];
    narrow[..6].copy_from_slice(b"\x7fELF\x01\x01");
    narrow[18] = 3;
    for (name, content) in
        [("program", &narrow[..]), ("interpreter", &narrow), ("program", b"#!/interpreter x\n")]
    {
        scene.file_with(name, content, 0o755);
        manifest.privileges.architectures = None;
        if name == "program" {
            assert_eq!(found(&manifest).unwrap(), both);
            manifest.privileges.architectures = Some(Vec::new());
            assert!(found(&manifest).unwrap_err()[0].message.contains("is a 32-bit program"));
        }
    }
}

#[test]
fn the_limit_on_core_files_is_kept_where_it_keeps_programs_of_the_hosts_out() {
    let scene = Scene::new("core-limit");
    let mut manifest = Manifest::default();
    for (bound, opens) in [(None, false), (Some(1), false), (Some(0), true), (Some(1 << 20), true)] {
        manifest.limits.resources = bound
            .map(|bound| {
                let resource = RESOURCES.into_iter().find(|each| each.name == "RLIMIT_CORE").unwrap();
                scene.at(1, ResourceLimit { resource, soft: Some(bound), hard: Some(bound) })
            })
            .into_iter()
            .collect();
        let (step, _) = filter(&scene.run(&manifest).unwrap());
        assert_eq!(step.unwrap().1.policy.opens(Decision::CoreLimit), opens, "{bound:?}");
    }
}
