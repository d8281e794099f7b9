//! Sizes as the data file writes them: a whole number and a unit, such as `"5 MiB"`. Nothing else
//! is parsed here.

/// Units and their sizes in bytes, decimal and binary.
const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads `"<whole number> <unit>"` as bytes; `None` where it is anything else or does not fit.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_once(' ')?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn decimal_and_binary_units_differ() {
        assert_eq!(parse_size("5 GB"), Some(5_000_000_000));
        assert_eq!(parse_size("5 GiB"), Some(5_368_709_120));
        assert_eq!(parse_size("1 B"), Some(1));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["5", "5MiB", "5 mib", "-1 B", "1.5 MiB", " 5 MiB", "99999999999 TiB", ""] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }
}
