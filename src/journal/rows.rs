//! The lines of a batch as rows of bounded size, and the erasure of lines in a stored row.

use bytes::Bytes;
use quintet_kernel::{
    ids::{Offset, Timestamp},
    user::EraseScope,
};

use crate::{
    Batch, Lines,
    chain::{ChainHash, LineDigest},
    erased_lines::ErasedLines,
    erasing::erased,
};

/// Entries in one stored row, which bounds the cost of reading a single entry.
pub const ROW_ENTRIES_MAX: usize = 256;
/// Bytes at which a stored row is full; the entry that reaches the limit is its last.
pub const ROW_BYTES_MAX: usize = 64 * 1024;

/// Consecutive lines of a batch, to be stored as one row.
#[derive(Clone, Debug)]
pub struct NewRow {
    /// Offset of the first line.
    pub first: Offset,
    /// Offset of the last line.
    pub last: Offset,
    /// The time of the entry at `last`.
    pub last_at: Timestamp,
    /// The hash of the chain after `last`.
    pub chain: ChainHash,
    /// Of each line, the first bytes of its digest.
    pub digests: Vec<u8>,
    /// The lines, with their line feeds.
    pub lines: Bytes,
}

/// Splits the lines of a batch into rows of bounded size. `chain` is the hash before its first line.
pub fn rows(mut chain: ChainHash, batch: &Batch) -> Vec<NewRow> {
    let bytes = batch.lines.as_bytes();
    let (mut first, mut start, mut end) = (batch.lines.first(), 0, 0);
    let (mut rows, mut digests) = (Vec::new(), Vec::new());
    for ((offset, line), entry) in batch.lines.iter().zip(&batch.entries) {
        let digest = LineDigest::of(&line);
        digests.extend_from_slice(&digest.short());
        chain = chain.then(digest);
        end += line.len() + 1;
        let full = end - start >= ROW_BYTES_MAX || offset.0 - first.0 + 1 >= ROW_ENTRIES_MAX as u64;
        if full || offset == batch.lines.last() {
            rows.push(NewRow {
                first,
                last: offset,
                last_at: entry.timestamp(),
                chain,
                digests: std::mem::take(&mut digests),
                lines: bytes.slice(start..end),
            });
            (first, start) = (offset.next(), end);
        }
    }
    rows
}

/// Returns the reason for which a batch is inconsistent.
pub fn unfit(batch: &Batch) -> Option<&'static str> {
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

/// A stored row, as a step of an erasure examines it.
#[derive(Clone, Debug)]
pub struct StoredRow {
    /// Offset of the first line.
    pub first: Offset,
    /// Offset of the last line.
    pub last: Offset,
    /// The lines, with their line feeds.
    pub lines: Bytes,
    /// Of each line, the first bytes of its digest.
    pub digests: Vec<u8>,
    /// The digests of the lines that are erased already.
    pub erased: ErasedLines,
}

/// What takes the place of a row after an erasure.
#[derive(Clone, Debug)]
pub struct Erased {
    /// The lines, with their line feeds.
    pub lines: Vec<u8>,
    /// The digests of all erased lines.
    pub erased: ErasedLines,
    /// The offsets of the lines that were not erased before.
    pub offsets: Vec<Offset>,
}

/// A stored row that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the entries {first} to {last} are not as they were written")]
pub struct TornRow {
    /// Offset of its first line.
    pub first: Offset,
    /// Offset of its last line.
    pub last: Offset,
}

impl StoredRow {
    /// Returns the row without the lines of the scope; `None` if there is nothing to erase.
    ///
    /// # Errors
    ///
    /// Returns [`TornRow`] if a line is not the one that the hash chain covers, since the chain has to verify from what
    /// is kept.
    pub fn without(&self, scope: &EraseScope) -> Result<Option<Erased>, TornRow> {
        let stored = Lines::parse(self.first, self.lines.clone())
            .ok()
            .filter(|lines| lines.last() == self.last)
            .ok_or_else(|| self.torn())?;
        let (mut lines, mut erased_lines, mut offsets) = (Vec::new(), self.erased.clone(), Vec::new());
        let mut digests = self.digests.chunks(LineDigest::SHORT_BYTES);
        for (number, (offset, line)) in (0u16..).zip(stored.iter()) {
            let short = digests.next();
            match erased(scope, offset, &line).map_err(|_| self.torn())? {
                None => lines.extend_from_slice(&line),
                Some(blank) => {
                    let digest = LineDigest::of(&line);
                    if short != Some(&digest.short()[..]) {
                        return Err(self.torn());
                    }
                    erased_lines.insert(number, digest);
                    lines.extend_from_slice(&blank);
                    offsets.push(offset);
                }
            }
            lines.push(b'\n');
        }
        Ok((!offsets.is_empty()).then_some(Erased { lines, erased: erased_lines, offsets }))
    }

    /// Returns the error that names this row.
    pub fn torn(&self) -> TornRow {
        TornRow { first: self.first, last: self.last }
    }
}
