//! What becomes of the caller's standard descriptors.

use super::super::testing::{FIRST_ID, Scene};
use crate::manifest::finding::Finding;
use crate::manifest::schema::Manifest;
use crate::plan::Action;
use crate::sys::descriptor::{Descriptor, Kind};

/// A descriptor of a file by its inode number, whose path nobody knows.
fn file(inode: u64, readable: bool, writable: bool, owner: u32) -> Descriptor {
    let kind = Kind::File { file_system: 0xef53, named: true };
    Descriptor { kind, readable, writable, owner, file: (0, inode) }
}

/// The steps that replace standard descriptors.
fn replaced(standard: [Descriptor; 3]) -> Result<Vec<Action>, Vec<Finding>> {
    let mut scene = Scene::new("standard");
    scene.host.standard = standard;
    let manifest = Manifest::default();
    let run = scene.run(&manifest)?;
    let actions = run.steps.into_iter().map(|step| step.action);
    Ok(actions
        .filter(|action| matches!(action, Action::ReopenDescriptor { .. } | Action::RelayOutput { .. }))
        .collect())
}

#[test]
fn descriptors_of_one_file_share_a_pipe() {
    let relay = |onto: &[i32]| Action::RelayOutput { onto: onto.to_vec() };
    let (log, other, input) = (file(1, false, true, 0), file(2, true, true, 0), file(1, false, true, 0));
    assert_eq!(replaced([Descriptor::PIPE, log, log]), Ok(vec![relay(&[1, 2])]));
    assert_eq!(replaced([Descriptor::PIPE, log, other]), Ok(vec![relay(&[1]), relay(&[2])]));
    assert_eq!(replaced([input, other, log]), Ok(vec![relay(&[0, 2]), relay(&[1])]));
    assert_eq!(replaced([Descriptor::PIPE; 3]), Ok(Vec::new()));
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
