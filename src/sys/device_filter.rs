//! Which devices a control group of version 2 lets its processes open: there is no file for that, but the kernel asks a program of bpf(2)
//! at each open(2) of a device and each mknod(2), see "Device Controller" in the kernel's admin-guide/cgroup-v2.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use super::{Error, check};

/// A character device by its numbers; none stands for all minor ones.
pub type Numbers = (u32, Option<u32>);

/// `struct bpf_insn` of linux/bpf.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// The register that is written in the lower four bits, that which is read in the upper ones.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// What the kernel tells of the access: `struct bpf_cgroup_dev_ctx`, in registers 2 to 4.
const ACCESS: u8 = 2;
const MAJOR: u8 = 3;
const MINOR: u8 = 4;
/// For reckoning with.
const SCRATCH: u8 = 5;
/// `BPF_DEVCG_DEV_CHAR`, in the lower half of the access.
const CHARACTER: i32 = 2;
/// `BPF_DEVCG_ACC_MKNOD`, in the upper half.
const MKNOD: i32 = 1;

/// The codes of instructions: `BPF_LDX|BPF_MEM|BPF_W`; `BPF_ALU64` with `BPF_MOV`, of a register and of a number, and `BPF_AND`; `BPF_JMP` with
/// `BPF_JNE`, `BPF_JSET` and `BPF_EXIT`.
const LOAD: u8 = 0x61;
const COPY: u8 = 0xbf;
const SET: u8 = 0xb7;
const AND: u8 = 0x57;
const UNLESS: u8 = 0x55;
const IF_ANY: u8 = 0x45;
const EXIT: u8 = 0x95;

const fn one(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

/// Ends with an answer: 1 lets it, 0 refuses it.
const fn answer(answer: i32) -> [Instruction; 2] {
    [one(SET, 0, 0, answer), one(EXIT, 0, 0, 0)]
}

/// The program that lets these be opened, for reading and writing, and no other, and none be made. A jump counts from behind itself.
fn program(devices: &[Numbers]) -> Vec<Instruction> {
    const CONTEXT: u8 = 1 << 4;
    let mut known = Vec::new();
    for &(major, minor) in devices {
        known.push(one(UNLESS, MAJOR, if minor.is_some() { 3 } else { 2 }, major.cast_signed()));
        known.extend(minor.map(|minor| one(UNLESS, MINOR, 2, minor.cast_signed())));
        known.extend(answer(1));
    }
    let refuse = i16::try_from(known.len()).unwrap_or(i16::MAX);
    let mut program = vec![
        one(LOAD, ACCESS | CONTEXT, 0, 0),
        one(LOAD, MAJOR | CONTEXT, 4, 0),
        one(LOAD, MINOR | CONTEXT, 8, 0),
        one(COPY, SCRATCH | (ACCESS << 4), 0, 0),
        one(AND, SCRATCH, 0, 0xffff),
        one(UNLESS, SCRATCH, refuse.saturating_add(1), CHARACTER),
        one(IF_ANY, ACCESS, refuse, MKNOD << 16),
    ];
    program.extend(known);
    program.extend(answer(0));
    program
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Those of groups above are asked as well, and groups below may have their own.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// What of `union bpf_attr` loading takes; the kernel takes the rest as zeros.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    version: u32,
    flags: u32,
}

/// What of it attaching takes.
#[repr(C)]
struct Attach {
    group: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// bpf(2) with `BPF_PROG_LOAD`. Takes CAP_BPF of the host's.
fn load(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let license = c"";
    let wanted = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        instructions: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        version: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads the attributes, the instructions and the text, all of which outlive the call, and keeps copies.
    let descriptor =
        check(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const wanted, size_of::<Load>()) })?;
    let descriptor = i32::try_from(descriptor).map_err(|_| Errno::EBADF)?;
    // SAFETY: a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Lets the processes of a control group open these devices and no others. It stays with the group.
pub fn attach(group: BorrowedFd<'_>, devices: &[Numbers]) -> Result<(), Error> {
    let program = load(&program(devices)).map_err(Error::of("bpf"))?;
    let number = |descriptor: i32| descriptor.cast_unsigned();
    let wanted = Attach {
        group: number(group.as_raw_fd()),
        program: number(program.as_raw_fd()),
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the kernel reads the attributes.
    check(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const wanted, size_of::<Attach>()) })
        .map(drop)
        .map_err(Error::of("bpf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers to an access.
    fn ask(program: &[Instruction], access: u32, major: u32, minor: u32) -> u64 {
        let context = [access, major, minor];
        let mut registers = [0_u64; 11];
        let mut at = 0;
        for _ in 0..program.len() {
            let Instruction { code, registers: named, offset, immediate } = program[at];
            let (to, from) = (usize::from(named & 15), usize::from(named >> 4));
            at += 1;
            let jumps = match code {
                LOAD => {
                    assert_eq!(from, 1);
                    registers[to] = u64::from(context[usize::try_from(offset).unwrap() / 4]);
                    false
                }
                COPY => {
                    registers[to] = registers[from];
                    false
                }
                SET => {
                    registers[to] = u64::try_from(immediate).unwrap();
                    false
                }
                AND => {
                    registers[to] &= u64::try_from(immediate).unwrap();
                    false
                }
                UNLESS => registers[to] != u64::try_from(immediate).unwrap(),
                IF_ANY => registers[to] & u64::try_from(immediate).unwrap() != 0,
                EXIT => return registers[0],
                _ => panic!("{code:#x}"),
            };
            if jumps {
                at += usize::try_from(offset).unwrap();
            }
        }
        panic!("no end")
    }

    #[test]
    fn what_is_named_can_be_opened_and_nothing_else() {
        let program = program(&[(1, Some(3)), (136, None), (5, Some(2))]);
        let (character, block) = (2, 1);
        let (make, read, write) = (1 << 16, 2 << 16, 4 << 16);
        for (access, major, minor, expected) in [
            (character | read, 1, 3, 1),
            (character | read | write, 1, 3, 1),
            (character | write, 136, 77, 1),
            (character | read | write, 5, 2, 1),
            (character | make, 1, 3, 0),
            (character | make | read, 1, 3, 0),
            (character | read, 1, 4, 0),
            (character | read, 5, 3, 0),
            (character | read, 10, 229, 0),
            (block | read, 1, 3, 0),
            (block | make, 136, 0, 0),
        ] {
            assert_eq!(ask(&program, access, major, minor), expected, "{access:#x} {major}:{minor}");
        }
    }

    #[test]
    fn the_kernel_takes_the_program() {
        match load(&program(&[(1, Some(3)), (136, None)])) {
            Ok(_) => {}
            Err(errno @ (Errno::EPERM | Errno::ENOSYS | Errno::EINVAL)) => println!("SKIP: bpf(2): {errno}"),
            Err(errno) => panic!("{errno}"),
        }
    }
}
