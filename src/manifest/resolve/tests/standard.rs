//! What becomes of the caller's standard descriptors.

use super::super::testing::{FIRST_ID, Scene};
use crate::manifest::finding::Finding;
use crate::manifest::schema::Manifest;
use crate::plan::value::Size;
use crate::plan::{Action, At, Origin};
use crate::sys::descriptor::{Descriptor, Kind};

/// A descriptor of a file by its inode number, whose path nobody knows.
fn file(inode: u64, readable: bool, writable: bool, owner: u32) -> Descriptor {
    let kind = Kind::File { file_system: 0xef53, named: true };
    Descriptor { kind, readable, writable, owner, file: (0, inode) }
}

/// The steps that replace standard descriptors.
fn replaced(standard: [Descriptor; 3]) -> Result<Vec<Action>, Vec<Finding>> {
    replaced_by(standard, &Manifest::default())
}

/// The same by this manifest.
fn replaced_by(standard: [Descriptor; 3], manifest: &Manifest) -> Result<Vec<Action>, Vec<Finding>> {
    let mut scene = Scene::new("standard");
    scene.host.standard = standard;
    let run = scene.run(manifest)?;
    let actions = run.steps.into_iter().map(|step| step.action);
    Ok(actions
        .filter(|action| matches!(action, Action::ReopenDescriptor { .. } | Action::RelayOutput { .. }))
        .collect())
}

#[test]
fn descriptors_of_one_file_share_a_pipe() {
    let relay = |onto: &[i32]| Action::RelayOutput { onto: onto.to_vec(), stream: false };
    let (log, other, input) = (file(1, false, true, 0), file(2, true, true, 0), file(1, false, true, 0));
    assert_eq!(replaced([Descriptor::PIPE, log, log]), Ok(vec![relay(&[1, 2])]));
    assert_eq!(replaced([Descriptor::PIPE, log, other]), Ok(vec![relay(&[1]), relay(&[2])]));
    assert_eq!(replaced([input, other, log]), Ok(vec![relay(&[0, 2]), relay(&[1])]));
    assert_eq!(replaced([Descriptor::PIPE; 3]), Ok(Vec::new()));
}

#[test]
fn a_pipe_that_the_program_could_open_again_is_passed_on() {
    let end = |inode, readable, owner| Descriptor {
        kind: Kind::Pipe { named: false },
        readable,
        writable: !readable,
        file: (0, inode),
        owner,
    };
    let pipes = |owner| [end(1, true, owner), end(2, false, owner), end(2, false, owner)];
    let relays = |standard, init| {
        let mut scene = Scene::new("pipes");
        scene.host.standard = standard;
        let mut manifest = Manifest::default();
        manifest.program.init = Some(At { value: init, origin: Origin::Default("a test") });
        let actions = scene.run(&manifest).unwrap().steps.into_iter().map(|step| step.action);
        let relays = actions.filter_map(|action| match action {
            Action::ForkProgram { input, .. } => input.then(|| vec![0]),
            Action::RelayOutput { onto, stream: true } => Some(onto),
            _ => None,
        });
        relays.collect::<Vec<_>>()
    };
    let own = FIRST_ID + 65534;
    assert_eq!(relays(pipes(own), true), [vec![1, 2], vec![0]]);
    // What stands in for PID 1 is not there.
    assert_eq!(relays(pipes(own), false), [vec![1, 2]]);
    assert_eq!(relays(pipes(0), true), Vec::<Vec<i32>>::new());
    // A descriptor that is for both is given for both.
    let both = Descriptor { writable: true, ..end(1, true, own) };
    assert_eq!(relays([both, end(2, false, 0), end(2, false, 0)], true), Vec::<Vec<i32>>::new());
}

#[test]
fn where_output_is_limited_the_program_has_no_other_way() {
    let mut manifest = Manifest::default();
    manifest.limits.output_size = Some(At { value: Size(10), origin: Origin::Default("a test") });
    let relay = |onto: &[i32]| Action::RelayOutput { onto: onto.to_vec(), stream: true };
    let end = |inode, readable| Descriptor {
        kind: Kind::Pipe { named: false },
        readable,
        writable: !readable,
        file: (0, inode),
        owner: 0,
    };
    let socket =
        Descriptor { kind: Kind::Socket { family: 1, kind: 1, protocol: 0 }, writable: true, ..end(7, true) };
    let null = Descriptor { kind: Kind::Device { major: 1, minor: 3 }, writable: true, ..end(8, true) };
    for (standard, expected) in [
        ([end(1, true), end(2, false), end(3, false)], vec![relay(&[1]), relay(&[2])]),
        ([end(1, true), end(2, false), end(2, false)], vec![relay(&[1, 2])]),
        ([null; 3], vec![relay(&[1, 2])]),
        ([end(1, false), end(2, false), socket], vec![relay(&[0]), relay(&[1]), relay(&[2])]),
        (
            [end(1, true), file(2, false, true, 0), socket],
            vec![Action::RelayOutput { onto: vec![1], stream: false }, relay(&[2])],
        ),
    ] {
        assert_eq!(replaced_by(standard, &manifest), Ok(expected), "{standard:?}");
    }
    let findings = replaced_by([socket; 3], &manifest).unwrap_err();
    assert_eq!(findings[0].message, "the size of the output cannot be limited");
}

#[test]
fn a_file_that_cannot_be_shown_is_given_only_if_the_program_cannot_change_it() {
    // Its path does not lead to it, as when it was renamed or lies where this user may not look.
    assert_eq!(replaced([file(1, true, false, 12345), Descriptor::PIPE, Descriptor::PIPE]), Ok(Vec::new()));
    let nobodys = file(1, true, false, FIRST_ID + 65534);
    let findings = replaced([nobodys, Descriptor::PIPE, Descriptor::PIPE]).unwrap_err();
    assert_eq!(findings[0].message, "standard input cannot be given to a jail");
    // Deleted, it is nobody's any more.
    let deleted = Descriptor { kind: Kind::File { file_system: 0xef53, named: false }, ..nobodys };
    assert_eq!(replaced([deleted, Descriptor::PIPE, Descriptor::PIPE]), Ok(Vec::new()));
}
