//! A small generator of pseudo-random numbers whose sequence never changes: a seed written into a test stays worth
//! something when dependencies are updated. Not for secrets.

use std::ops::Range;

/// `SplitMix64` (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for a part of the test, so that drawing more in one part changes nothing in another.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "an endless generator is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range; its start where the range is empty. The bias is below 2^-32 for ranges that tests use.
    pub fn in_range(&mut self, range: Range<u64>) -> u64 {
        let drawn = self.next();
        match range.end.checked_sub(range.start) {
            None | Some(0) => range.start,
            Some(width) => range.start + drawn % width,
        }
    }

    /// A position in something of this length; 0 where it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.in_range(0..length as u64)).unwrap_or_default()
    }

    /// True in this many cases of a thousand.
    pub fn permille(&mut self, cases: u32) -> bool {
        self.in_range(0..1000) < u64::from(cases)
    }

    /// One of several; `None` of none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = self.index(from.len());
        from.get(index)
    }
}
