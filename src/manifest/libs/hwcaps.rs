//! The glibc-hwcaps directories this processor may use, best first; see ld.so(8), "Hardware capabilities".

use super::machine::{Class, Machine};

/// The directories a loader for `machine` searches on this host before the plain one.
/// Only x86-64 is decided by looking at the processor; elsewhere the baseline libraries, which always serve, are taken.
pub(super) fn levels(machine: Machine) -> &'static [&'static str] {
    if (machine.number, machine.class) != (62, Class::Bits64) {
        return &[];
    }
    match x86_64_level() {
        4 => &["x86-64-v4", "x86-64-v3", "x86-64-v2"],
        3 => &["x86-64-v3", "x86-64-v2"],
        2 => &["x86-64-v2"],
        _ => &[],
    }
}

/// The level of the x86-64 psABI, with the tests of glibc's `sysdeps/x86/get-isa-level.h`.
/// LAHF/SAHF is not asked for: every processor with the rest of v2 has it in 64-bit mode.
#[cfg(target_arch = "x86_64")]
fn x86_64_level() -> u8 {
    use std::is_x86_feature_detected as has;
    let v2 = has!("cmpxchg16b")
        && has!("popcnt")
        && has!("sse3")
        && has!("ssse3")
        && has!("sse4.1")
        && has!("sse4.2");
    let v3 = v2
        && (has!("avx") && has!("avx2") && has!("bmi1") && has!("bmi2"))
        && (has!("f16c") && has!("fma") && has!("lzcnt") && has!("movbe"));
    let v4 = v3
        && (has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl"));
    1 + u8::from(v2) + u8::from(v3) + u8::from(v4)
}

#[cfg(not(target_arch = "x86_64"))]
fn x86_64_level() -> u8 {
    1
}
