//! Reading back what the child has become: ids, groups, capability sets, secure bits, no_new_privs and whether the working
//! directory is inside are compared with the plan before the program is executed, so that a call that did nothing is noticed while there is nobody yet to make use of it.

use nix::errno::Errno;

use crate::sys::{self, creds};

/// What the child expects of itself before it becomes the program.
#[derive(Debug)]
pub(super) struct Verify {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Option<Vec<u32>>,
    pub(super) capabilities: u64,
    pub(super) bounding: u64,
    pub(super) secure_bits: u32,
    pub(super) no_new_privileges: bool,
}

impl Verify {
    /// Reads back what the process is and compares; `Ok(Some(what))` names a difference.
    pub(super) fn difference(&self) -> Result<Option<&'static str>, sys::Error> {
        if creds::uids().map_err(sys::Error::of("getresuid"))? != [self.uid; 3] {
            return Ok(Some("user ids"));
        }
        if creds::gids().map_err(sys::Error::of("getresgid"))? != [self.gid; 3] {
            return Ok(Some("group ids"));
        }
        if let Some(groups) = &self.groups
            && !creds::groups_are(groups).map_err(sys::Error::of("getgroups"))?
        {
            return Ok(Some("supplementary groups"));
        }
        let sets = creds::capabilities().map_err(sys::Error::of("capget"))?;
        if [sets.effective, sets.permitted, sets.inheritable] != [self.capabilities; 3] {
            return Ok(Some("capability sets"));
        }
        for capability in 0..64 {
            match creds::bounding_has(capability) {
                Ok(has) if has && self.bounding & (1 << capability) == 0 => return Ok(Some("bounding set")),
                Ok(_) => {}
                // Past the last capability of this kernel.
                Err(Errno::EINVAL) => break,
                Err(errno) => return Err(sys::Error { call: "prctl", errno }),
            }
        }
        // Where none is set, which takes a capability, the caller's stay, such as those of a jail around this one: what is kept by them is
        // among the sets above.
        let secure_bits = creds::secure_bits().map_err(sys::Error::of("prctl"))?;
        if self.secure_bits != 0 && secure_bits != self.secure_bits {
            return Ok(Some("secure bits"));
        }
        if !sys::process::is_directory_reachable().map_err(sys::Error::of("getcwd"))? {
            return Ok(Some("working directory"));
        }
        let no_new_privileges = sys::process::no_new_privileges().map_err(sys::Error::of("prctl"))?;
        Ok((no_new_privileges != self.no_new_privileges).then_some("no_new_privs"))
    }
}
