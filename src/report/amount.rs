//! Amounts for a person: bytes and times, with as many digits as one reads.

/// Bytes: `9.1 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match UNITS.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

/// How long something has lasted, in the two largest units that it has: `3d 4h`, `12s`.
pub fn duration(seconds: u64) -> String {
    let parts =
        [(seconds / 86400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = parts[first..].iter().take(2).enumerate();
    let shown = shown.filter(|(at, (count, _))| *at == 0 || *count > 0);
    shown.map(|(_, (count, unit))| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_for_a_person() {
        for (amount, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (9_600_000, "9.1 MiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(bytes(amount), text);
        }
    }

    #[test]
    fn times_are_written_for_a_person() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m 59s"),
            (3600, "1h"),
            (90_000, "1d 1h"),
            (86_461, "1d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
