//! The secure bits of a process by their kernel names: what the kernel does for user id 0, see capabilities(7).

use std::fmt;

/// A set of secure bits, as `PR_SET_SECUREBITS` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SecureBits(pub u32);

/// Every bit, at its place.
const NAMES: [&str; 8] = [
    "SECBIT_NOROOT",
    "SECBIT_NOROOT_LOCKED",
    "SECBIT_NO_SETUID_FIXUP",
    "SECBIT_NO_SETUID_FIXUP_LOCKED",
    "SECBIT_KEEP_CAPS",
    "SECBIT_KEEP_CAPS_LOCKED",
    "SECBIT_NO_CAP_AMBIENT_RAISE",
    "SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED",
];

impl SecureBits {
    /// `SECBIT_NOROOT`, locked: no program gets capabilities for being started by user 0, or set-user-id to it.
    pub const NO_ROOT: Self = Self(0b11);
    /// `SECBIT_NO_SETUID_FIXUP_LOCKED`: leaving user 0 goes on emptying the sets, and nobody can change that.
    pub const FIXUP: Self = Self(0b1000);
    /// `SECBIT_KEEP_CAPS`: leaving user 0 leaves the permitted set; execve(2) clears the bit.
    pub const KEEP: Self = Self(0b1_0000);
    /// `SECBIT_KEEP_CAPS_LOCKED`, without the bit itself.
    pub const NO_KEEP: Self = Self(0b10_0000);
    /// `SECBIT_NO_CAP_AMBIENT_RAISE`, locked.
    pub const NO_AMBIENT: Self = Self(0b1100_0000);

    /// The bits of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all bits of another set are in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the bits that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(at, _)| self.0 & 1 << at != 0).map(|(_, name)| *name)
    }
}

impl fmt::Display for SecureBits {
    /// As strace(1) writes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0");
        }
        f.write_str(&super::display::join("|", self.names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_the_kernels_values() {
        // linux/securebits.h: bit n at 1 << n, its lock one above.
        let all =
            SecureBits::NO_ROOT.and(SecureBits::FIXUP).and(SecureBits::NO_KEEP).and(SecureBits::NO_AMBIENT);
        assert_eq!(all.0, 0xeb);
        assert_eq!(
            all.to_string(),
            "SECBIT_NOROOT|SECBIT_NOROOT_LOCKED|SECBIT_NO_SETUID_FIXUP_LOCKED|SECBIT_KEEP_CAPS_LOCKED\
             |SECBIT_NO_CAP_AMBIENT_RAISE|SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED"
        );
        assert!(all.has(SecureBits::NO_ROOT) && !all.has(SecureBits::KEEP));
        assert_eq!(SecureBits::default().to_string(), "0");
    }
}
