//! The processor a file was built for, in numbers and in words.

use std::fmt;

/// Width of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `ELFCLASS32`
    Bits32,
    /// `ELFCLASS64`
    Bits64,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Bits32 { "32-bit" } else { "64-bit" })
    }
}

/// What `e_machine`, the class and the byte order of an ELF file say together; a loader takes libraries of exactly its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// `e_machine`, see elf(5) and <elf.h>.
    pub number: u16,
    /// Tells x32 from x86-64 and riscv32 from riscv64, which share a number.
    pub class: Class,
    /// Tells ppc64le from ppc64.
    pub little: bool,
}

impl Machine {
    /// 32-bit x86, which a 64-bit kernel runs as well.
    pub const X86_32: Self = Self { number: 3, class: Class::Bits32, little: true };

    /// What this binary was built for, if we know its name.
    pub fn ours() -> Option<Self> {
        let number = match std::env::consts::ARCH {
            "x86" => 3,
            "mips" | "mips64" => 8,
            "powerpc" => 20,
            "powerpc64" => 21,
            "s390x" => 22,
            "arm" => 40,
            "x86_64" => 62,
            "aarch64" => 183,
            "riscv32" | "riscv64" => 243,
            "loongarch64" => 258,
            _ => return None,
        };
        let class = if cfg!(target_pointer_width = "64") { Class::Bits64 } else { Class::Bits32 };
        Some(Self { number, class, little: cfg!(target_endian = "little") })
    }

    /// The word uname(2) uses for it, also what `$PLATFORM` in search paths stands for.
    pub(super) fn platform(self) -> Option<&'static str> {
        Some(match (self.number, self.class, self.little) {
            (3, _, _) => "i686",
            (62, _, _) => "x86_64",
            (183, _, true) => "aarch64",
            (40, _, true) => "v7l",
            _ => return None,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.number, self.class, self.little) {
            (2 | 18, ..) => "sparc",
            (43, ..) => "sparc64",
            (3, ..) => "i386",
            (4, ..) => "m68k",
            (8, Class::Bits32, true) => "mipsel",
            (8, Class::Bits32, false) => "mips",
            (8, Class::Bits64, true) => "mips64el",
            (8, Class::Bits64, false) => "mips64",
            (15, ..) => "parisc",
            (20, ..) => "powerpc",
            (21, _, true) => "ppc64le",
            (21, _, false) => "ppc64",
            (22, Class::Bits32, _) => "s390",
            (22, Class::Bits64, _) => "s390x",
            (40, ..) => "arm",
            (42, ..) => "sh",
            (50, ..) => "ia64",
            (62, Class::Bits32, _) => "x32",
            (62, Class::Bits64, _) => "x86-64",
            (183, ..) => "aarch64",
            (243, Class::Bits32, _) => "riscv32",
            (243, Class::Bits64, _) => "riscv64",
            (247, ..) => "bpf",
            (258, ..) => "loongarch",
            (0x9026, ..) => "alpha",
            _ => return write!(f, "machine number {}", self.number),
        })
    }
}
