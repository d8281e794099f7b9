//! Sizes, rates and durations as people read and write them.

use std::time::Duration;

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Shows a size: `512 B`, `1.5 KiB`, `64.0 MiB`.
pub(crate) fn human_size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (value, unit) = scaled(to_f64(bytes));
    format!("{value:.1} {unit}")
}

/// Counts objects: `1 object`, `2 objects`.
pub(crate) fn counted(objects: u64) -> String {
    if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") }
}

/// Shows a rate in MiB/s.
pub(crate) fn human_rate(bytes: u64, elapsed: Duration) -> String {
    format!("{:.1} MiB/s", mebibytes_per_second(bytes, elapsed))
}

/// The rate in MiB/s; nothing took at least a microsecond.
pub(crate) fn mebibytes_per_second(bytes: u64, elapsed: Duration) -> f64 {
    to_f64(bytes) / to_f64(1 << 20) / elapsed.as_secs_f64().max(1e-6)
}

fn scaled(bytes: f64) -> (f64, &'static str) {
    let mut value = bytes / 1024.0;
    let mut unit = 0;
    // Below the next unit also after rounding to one digit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    (value, UNITS[unit])
}

#[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

/// Reads a size: `1048576`, `64MiB`, `64 M`, `1.5GiB`. All units are powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; give one such as 64MiB");
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.trim_end_matches('b').trim_end_matches('i');
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let scale = 1_u64 << shift;
    let mut bytes = whole.checked_mul(scale).ok_or_else(wrong)?;
    if !fraction.is_empty() {
        // Nine digits are exact enough for any unit.
        let digits = &fraction[..fraction.len().min(9)];
        let value: u64 = digits.parse().map_err(|_| wrong())?;
        let ten = 10_u128.pow(u32::try_from(digits.len()).unwrap_or(9));
        let part = u128::from(value) * u128::from(scale) / ten;
        bytes = bytes.checked_add(u64::try_from(part).map_err(|_| wrong())?).ok_or_else(wrong)?;
    }
    Ok(bytes)
}

/// Reads a duration: `90s`, `15m`, `1h 30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is no duration; give one such as 90s or 15m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        assert_eq!(human_size(0), "0 B");
        assert_eq!(human_size(1023), "1023 B");
        assert_eq!(human_size(1024), "1.0 KiB");
        assert_eq!(human_size((1 << 20) - 1), "1.0 MiB");
        assert_eq!(human_size(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("15m"), Ok(Duration::from_mins(15)));
        assert!(parse_duration("15").is_err() && parse_duration("soon").is_err());
    }

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!(parse_size("1048576"), Ok(1 << 20));
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("64 m"), Ok(64 << 20));
        assert_eq!(parse_size("1.5GiB"), Ok(3 << 29));
        for wrong in ["", "MiB", "1 parsec", "-1", "99999999999T", "1.2.3", "1é"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
