//! How to copy: the bounds and the one concession that a caller chooses.

/// One mebibyte.
pub(crate) const MIB: u64 = 1 << 20;

/// How to copy.
///
/// ```
/// use lifeboat_transfer::CopyOptions;
/// let small_machine = CopyOptions { memory: 16 << 20, ..CopyOptions::default() };
/// assert_eq!(small_machine.objects_in_flight, 16);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// Most bytes of object data held in memory at once, over all objects in flight.
    ///
    /// Counted in whole MiB, at least one per object. Where a single part must be larger than this,
    /// that part alone is held.
    pub memory: u64,
    /// Most objects of a tree that are copied at once.
    pub objects_in_flight: usize,
    /// Most parts of one object that are held at once, the one being read included.
    pub parts_in_flight: usize,
    /// Objects up to this size go over in one request; larger ones in parts of this size, or of the
    /// smallest larger size that the target's limits allow.
    pub part_size: u64,
    /// Copies without attributes where the target cannot keep them, instead of failing.
    pub drop_attributes: bool,
}

impl CopyOptions {
    /// 64 MiB: eight parts of the usual size, enough to fill a 1 Gbit/s line at 500 ms per part.
    pub const MEMORY: u64 = 64 * MIB;
    /// 16 objects: trees of small objects are bound by round trips, and no provider's published
    /// request limit is near that.
    pub const OBJECTS_IN_FLIGHT: usize = 16;
    /// Four parts: one being read, three being written.
    pub const PARTS_IN_FLIGHT: usize = 4;
    /// 8 MiB: above the 5 MiB that S3 asks of every part, and what Amazon's own tools use.
    pub const PART_SIZE: u64 = 8 * MIB;
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            memory: Self::MEMORY,
            objects_in_flight: Self::OBJECTS_IN_FLIGHT,
            parts_in_flight: Self::PARTS_IN_FLIGHT,
            part_size: Self::PART_SIZE,
            drop_attributes: false,
        }
    }
}
