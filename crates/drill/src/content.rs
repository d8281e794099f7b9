//! What the workload writes: bytes that follow from a number, so that any range of any version can
//! be checked without keeping it.

use bytes::Bytes;

/// The eight bytes at a multiple of eight: a hash of the version's number and the place
/// (`splitmix64`, Steele, Lea and Flood 2014).
fn word(nonce: u64, index: u64) -> [u8; 8] {
    let mut z = nonce.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

/// The whole body of a version.
pub(crate) fn body(nonce: u64, size: u64) -> Bytes {
    slice(nonce, 0, size)
}

/// The bytes of a version from `offset` on.
pub(crate) fn slice(nonce: u64, offset: u64, length: u64) -> Bytes {
    let skipped = usize::try_from(offset % 8).unwrap_or_default();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(skipped + length + 8);
    let mut index = offset / 8;
    while bytes.len() < skipped + length {
        bytes.extend_from_slice(&word(nonce, index));
        index += 1;
    }
    bytes.truncate(skipped + length);
    Bytes::from(bytes).slice(skipped..)
}

/// Whether `bytes` are those of a version from `offset` on.
pub(crate) fn is_of(nonce: u64, offset: u64, bytes: &[u8]) -> bool {
    // Cheap to see for the many versions that it is not.
    let first = bytes.len().min(64);
    let same = |part: &[u8], at: u64| slice(nonce, at, part.len() as u64) == part;
    same(&bytes[..first], offset) && same(&bytes[first..], offset + first as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_a_part_of_the_whole() {
        let whole = body(7, 1_000);
        for (offset, length) in [(0, 0), (0, 1), (3, 20), (8, 8), (993, 7), (17, 900)] {
            let part = slice(7, offset, length);
            let range = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
            assert_eq!(part, whole.slice(range));
            assert!(is_of(7, offset, &part));
        }
    }

    #[test]
    fn one_wrong_bit_and_another_version_are_seen() {
        let mut bytes = body(7, 500).to_vec();
        assert!(!is_of(8, 0, &bytes) && !is_of(7, 8, &bytes));
        bytes[499] ^= 1;
        assert!(!is_of(7, 0, &bytes));
    }
}
