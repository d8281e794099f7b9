//! Byte ranges as `cat --range` takes them.

use object_store::GetRange;

/// Reads `A-B` (both included), `A-` or `-N`, as in an HTTP range.
pub(crate) fn parse_range(text: &str) -> Result<GetRange, String> {
    let wrong = || "give A-B (both included), A- or -N".to_owned();
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    match text.split_once('-') {
        Some(("", last)) => Ok(GetRange::Suffix(number(last)?)),
        Some((first, "")) => Ok(GetRange::Offset(number(first)?)),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            let end = last.checked_add(1).ok_or_else(wrong)?;
            if first < end { Ok(GetRange::Bounded(first..end)) } else { Err(wrong()) }
        }
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_their_last_byte() {
        assert_eq!(parse_range("0-9"), Ok(GetRange::Bounded(0..10)));
        assert_eq!(parse_range("5-"), Ok(GetRange::Offset(5)));
        assert_eq!(parse_range("-5"), Ok(GetRange::Suffix(5)));
        for wrong in ["", "5", "-", "9-5", "a-b", "0-18446744073709551615"] {
            assert!(parse_range(wrong).is_err(), "{wrong}");
        }
    }
}
