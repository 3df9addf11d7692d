//! Who a process is: ids, groups, capability sets, limits, affinity. The raw calls change this thread alone, which is all the
//! jail's first processes have; glibc's wrappers would signal other threads (see setresuid(2), NOTES).
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc;

use super::check;

/// setgroups(2).
pub fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `len` ids from the slice.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// setresgid(2): all three to one.
pub fn set_gid(gid: u32) -> Result<(), Errno> {
    // SAFETY: three integers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// setresuid(2): all three to one.
pub fn set_uid(uid: u32) -> Result<(), Errno> {
    // SAFETY: three integers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Whether what belongs to this user is root's or the caller's own: of everybody else it may be a trap.
pub fn is_own_or_roots(owner: u32) -> bool {
    owner == 0 || owner == nix::unistd::geteuid().as_raw()
}

/// getresuid(2): real, effective, saved.
pub fn uids() -> Result<[u32; 3], Errno> {
    let mut ids = [0; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: the kernel writes three ids to three places.
    check(unsafe {
        libc::syscall(libc::SYS_getresuid, &raw mut *real, &raw mut *effective, &raw mut *saved)
    })?;
    Ok(ids)
}

/// getresgid(2): real, effective, saved.
pub fn gids() -> Result<[u32; 3], Errno> {
    let mut ids = [0; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: as in `uids`.
    check(unsafe {
        libc::syscall(libc::SYS_getresgid, &raw mut *real, &raw mut *effective, &raw mut *saved)
    })?;
    Ok(ids)
}

/// getgroups(2) compared with a list: the kernel gives them sorted, as setgroups(2) stored them.
pub fn groups_are(expected: &[u32]) -> Result<bool, Errno> {
    let mut groups = [0_u32; 64];
    // SAFETY: the kernel writes at most 64 ids; more groups than that make it fail with EINVAL, which is a difference too.
    let count = match check(unsafe { libc::syscall(libc::SYS_getgroups, groups.len(), groups.as_mut_ptr()) })
    {
        Err(Errno::EINVAL) => return Ok(false),
        other => other?,
    };
    Ok(groups[..count as usize] == *expected)
}

/// Most supplementary groups that [`groups_are`] can compare.
pub const MAX_GROUPS: usize = 64;

/// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two halves.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// The three sets of capset(2), 64 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What is in force.
    pub effective: u64,
    /// What may be put in force.
    pub permitted: u64,
    /// What may survive execve(2).
    pub inheritable: u64,
}

/// capset(2).
pub fn set_capabilities(sets: Capabilities) -> Result<(), Errno> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let half =
        |shift: u32| [sets.effective, sets.permitted, sets.inheritable].map(|set| (set >> shift) as u32);
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads two structures of three u32 each, which is the layout of `data`.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// capget(2).
pub fn capabilities() -> Result<Capabilities, Errno> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut data = [[0_u32; 3]; 2];
    // SAFETY: version 3 writes two structures of three u32 each.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let whole = |at: usize| u64::from(data[0][at]) | u64::from(data[1][at]) << 32;
    Ok(Capabilities { effective: whole(0), permitted: whole(1), inheritable: whole(2) })
}

/// prctl(2) with four integers after the option.
fn prctl(option: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> Result<i64, Errno> {
    // SAFETY: the options used here take integers.
    check(libc::c_long::from(unsafe { libc::prctl(option, first, second, 0, 0) }))
}

/// `PR_CAPBSET_READ`: whether the bounding set has a capability; EINVAL past the last one this kernel knows.
pub fn bounding_has(capability: u8) -> Result<bool, Errno> {
    prctl(libc::PR_CAPBSET_READ, capability.into(), 0).map(|has| has == 1)
}

/// `PR_CAPBSET_DROP`.
pub fn drop_bounding(capability: u8) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, capability.into(), 0).map(drop)
}

/// `PR_CAP_AMBIENT_CLEAR_ALL`.
pub fn clear_ambient() -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0).map(drop)
}

/// `PR_CAP_AMBIENT_RAISE`: needs it permitted and inheritable.
pub fn raise_ambient(capability: u8) -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, capability.into()).map(drop)
}

/// `PR_SET_SECUREBITS`: what user id 0 means, see capabilities(7).
pub fn set_secure_bits(bits: u32) -> Result<(), Errno> {
    prctl(libc::PR_SET_SECUREBITS, bits.into(), 0).map(drop)
}

/// `PR_GET_SECUREBITS`.
pub fn secure_bits() -> Result<u32, Errno> {
    prctl(libc::PR_GET_SECUREBITS, 0, 0).map(|bits| bits as u32)
}

/// The resources of setrlimit(2), each at its number.
pub const LIMITS: [&str; 16] = {
    let mut names = [""; 16];
    names[libc::RLIMIT_CPU as usize] = "RLIMIT_CPU";
    names[libc::RLIMIT_FSIZE as usize] = "RLIMIT_FSIZE";
    names[libc::RLIMIT_DATA as usize] = "RLIMIT_DATA";
    names[libc::RLIMIT_STACK as usize] = "RLIMIT_STACK";
    names[libc::RLIMIT_CORE as usize] = "RLIMIT_CORE";
    names[libc::RLIMIT_RSS as usize] = "RLIMIT_RSS";
    names[libc::RLIMIT_NPROC as usize] = "RLIMIT_NPROC";
    names[libc::RLIMIT_NOFILE as usize] = "RLIMIT_NOFILE";
    names[libc::RLIMIT_MEMLOCK as usize] = "RLIMIT_MEMLOCK";
    names[libc::RLIMIT_AS as usize] = "RLIMIT_AS";
    names[libc::RLIMIT_LOCKS as usize] = "RLIMIT_LOCKS";
    names[libc::RLIMIT_SIGPENDING as usize] = "RLIMIT_SIGPENDING";
    names[libc::RLIMIT_MSGQUEUE as usize] = "RLIMIT_MSGQUEUE";
    names[libc::RLIMIT_NICE as usize] = "RLIMIT_NICE";
    names[libc::RLIMIT_RTPRIO as usize] = "RLIMIT_RTPRIO";
    names[libc::RLIMIT_RTTIME as usize] = "RLIMIT_RTTIME";
    names
};

/// prlimit(2) of this process: soft and hard limit of every resource; `u64::MAX` is no limit.
pub fn limits() -> [[u64; 2]; LIMITS.len()] {
    let mut limits = [[u64::MAX; 2]; LIMITS.len()];
    for (resource, limit) in (0_u32..).zip(&mut limits) {
        let none = std::ptr::null::<u8>();
        // SAFETY: the kernel writes two u64 (struct rlimit64). It fails for a resource it does not know, and writes nothing.
        unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, none, limit.as_mut_ptr()) };
    }
    limits
}

/// One resource limit as prlimit(2) takes it; `u64::MAX` is no limit.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = [soft, hard];
    let none = std::ptr::null_mut::<u8>();
    // SAFETY: the kernel reads two u64 (struct rlimit64); it writes no old value to null.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), none) }).map(drop)
}

/// Commands of keyctl(2).
const KEYCTL_GET_KEYRING_ID: libc::c_int = 0;
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
/// The session keyring, for keyctl(2).
const KEY_SPEC_SESSION_KEYRING: libc::c_int = -3;

/// keyctl(2) with `KEYCTL_JOIN_SESSION_KEYRING`: a new one without a name.
pub fn join_session_keyring() -> Result<(), Errno> {
    let unnamed = std::ptr::null::<u8>();
    // SAFETY: null asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, unnamed) }).map(drop)
}

/// Whether keyctl(2) reaches keyrings: not on a kernel without them (ENOSYS), nor under a filter that refuses it (EPERM, as in
/// many containers), and then not for the jailed program either.
pub fn has_keyrings() -> bool {
    // SAFETY: three integers; no keyring is made.
    let found =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) };
    !matches!(check(found), Err(Errno::ENOSYS | Errno::EPERM))
}

/// sched_setaffinity(2) of this thread: a bit for each processor.
pub fn set_affinity(mask: &[u64]) -> Result<(), Errno> {
    // SAFETY: the kernel reads the bytes of the slice.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) })
        .map(drop)
}
