//! Checksums of stored rows.

/// Returns the checksum of the stored bytes of a row, which detects damage.
pub fn checksum(lines: &[u8]) -> i64 {
    let hash = blake3::hash(lines);
    i64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}
