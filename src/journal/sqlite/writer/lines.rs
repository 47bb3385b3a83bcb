//! The lines of a batch as rows of bounded size.

use quintet_kernel::ids::Offset;
use rusqlite::params;

use super::super::{
    checksum::checksum,
    fault::WriteError,
    options::{ROW_BYTES_MAX, ROW_ENTRIES_MAX},
};
use super::Writer;
use crate::{
    Batch,
    chain::{ChainHash, LineDigest},
};

impl Writer {
    /// Stores the lines in rows of bounded size and returns the chain hash after the last.
    pub(super) fn insert_lines(
        &self,
        user: i64,
        mut chain: ChainHash,
        batch: &Batch,
    ) -> Result<ChainHash, WriteError> {
        let mut insert = self.connection()?.prepare_cached(
            "INSERT INTO batches (user, last, first, last_at, chain, checksum, digests, lines)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let bytes = batch.lines.as_bytes();
        let (mut first, mut start, mut end) = (batch.lines.first(), 0, 0);
        let mut digests =
            Vec::with_capacity(batch.lines.len().min(ROW_ENTRIES_MAX) * LineDigest::SHORT_BYTES);
        for ((offset, line), entry) in batch.lines.iter().zip(&batch.entries) {
            let digest = LineDigest::of(&line);
            digests.extend_from_slice(&digest.short());
            chain = chain.then(digest);
            end += line.len() + 1;
            let full = end - start >= ROW_BYTES_MAX || offset.0 - first.0 + 1 >= ROW_ENTRIES_MAX as u64;
            if full || offset == batch.lines.last() {
                let lines = &bytes[start..end];
                insert.execute(params![
                    user,
                    offset.0,
                    first.0,
                    entry.timestamp().0,
                    chain.0,
                    checksum(lines),
                    digests,
                    lines
                ])?;
                digests.clear();
                (first, start) = (offset.next(), end);
            }
        }
        Ok(chain)
    }
}

/// Returns the reason for which a batch is inconsistent.
pub(super) fn unfit(batch: &Batch) -> Option<&'static str> {
    let expected = batch.expected.0 + 1..;
    if batch.lines.first() != batch.expected.next() && !batch.entries.is_empty() {
        return Some("the lines do not follow the expected head");
    }
    let last = Offset(batch.expected.0 + batch.entries.len() as u64);
    if batch.erasures.iter().any(|erasure| erasure.through != last) {
        return Some("an erasure does not reach through the end of its batch");
    }
    if batch.lines.len() != batch.entries.len() {
        return Some("a batch has as many lines as entries");
    }
    if !batch.entries.iter().zip(expected).all(|(entry, offset)| entry.offset().0 == offset) {
        return Some("the entries do not follow the expected head");
    }
    None
}
