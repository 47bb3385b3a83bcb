//! Checksums of stored rows.

/// Returns the checksum of the lines of a stored row: the first 8 bytes of their BLAKE3 hash, in little-endian order.
pub fn checksum(lines: &[u8]) -> i64 {
    let hash = blake3::hash(lines);
    i64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}
