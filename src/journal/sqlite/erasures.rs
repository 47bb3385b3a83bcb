//! The table of erasures, and the digests of erased lines (DEL-8).
//!
//! ```text
//!   append of the intent ──▶ row, in the same commit
//!   erase steps ───────────▶ `at` and `entries` grow, in the commit of the rows that they change
//!   nothing is left ───────▶ `completed_at`
//!   append of `thread_erased` or `log_erased` ──▶ `closed`
//! ```

use quintet_kernel::{
    entry::{Entry, LogErased, ThreadChange},
    ids::{Offset, ReceiptId, ThreadId, Timestamp, UserId},
    user::{EraseScope, Erasure},
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::{ReadFailure, WriteError};
use crate::{
    ErasureRecord,
    chain::{ChainHash, LineDigest},
};

/// The step of the schema that adds the table, and a column for the digests of erased lines.
pub(super) const SCHEMA: &str = "
    CREATE TABLE erasures (
        user         INTEGER NOT NULL,
        receipt      BLOB NOT NULL,
        thread_id    TEXT,              -- NULL: the whole log
        through      INTEGER NOT NULL,  -- the last entry that it covers
        chain        BLOB NOT NULL,     -- after entry `through`, when the intent was stored
        requested_at INTEGER NOT NULL,
        completed_at INTEGER,           -- NULL until nothing is left to erase
        entries      INTEGER NOT NULL,  -- erased so far
        at           INTEGER NOT NULL,  -- the last entry whose row was examined
        closed       INTEGER,           -- offset of its `thread_erased` or `log_erased`
        PRIMARY KEY (user, receipt)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX erasures_open ON erasures (user) WHERE closed IS NULL;

    -- Of each erased line in `lines`: its number in the row, two bytes, and its digest. NULL if there is none.
    ALTER TABLE batches ADD COLUMN erased BLOB;
    ";

/// Stores the intents of a batch. `chain` is the hash after the last entry of the batch.
pub(super) fn save(
    connection: &Connection,
    user: i64,
    chain: ChainHash,
    intents: &[Erasure],
) -> Result<(), WriteError> {
    let mut save = connection.prepare_cached(
        "INSERT INTO erasures (user, receipt, thread_id, through, chain, requested_at, entries, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0)",
    )?;
    // Nothing follows the intent yet, so the thread has no entry that is kept.
    let mut forget = connection.prepare_cached("DELETE FROM threads WHERE user = ?1 AND thread_id = ?2")?;
    for Erasure { scope, through, receipt, requested_at } in intents {
        let thread_id = match scope {
            EraseScope::Thread(thread_id) => Some(thread_id.as_str()),
            EraseScope::Log => None,
        };
        save.execute(params![user, receipt.0.as_bytes(), thread_id, through.0, chain.0, requested_at.0])?;
        if let Some(thread_id) = thread_id {
            forget.execute(params![user, thread_id])?;
        }
    }
    Ok(())
}

/// Records the entries of a batch that close an erasure.
pub(super) fn close(connection: &Connection, user: i64, entries: &[Entry]) -> Result<(), WriteError> {
    for entry in entries {
        let receipt = match entry {
            Entry::LogErased(LogErased { receipt, .. }) => receipt,
            Entry::Thread(thread) => match &thread.change {
                ThreadChange::Erased { receipt, .. } => receipt,
                ThreadChange::Updated { .. } => continue,
            },
            Entry::Run(_) | Entry::Erased(_) => continue,
        };
        connection
            .prepare_cached("UPDATE erasures SET closed = ?3 WHERE user = ?1 AND receipt = ?2")?
            .execute(params![user, receipt.0.as_bytes(), entry.offset().0])?;
    }
    Ok(())
}

/// Returns the erasures without an entry that closes them, in the order of their intents.
pub(super) fn open_of_user(connection: &Connection, user: i64) -> Result<Vec<Erasure>, ReadFailure> {
    let mut query = connection.prepare_cached(
        "SELECT receipt, thread_id, through, chain, requested_at, completed_at, entries, at
         FROM erasures WHERE user = ?1 AND closed IS NULL ORDER BY through, receipt",
    )?;
    let mut rows = query.query([user])?;
    let mut open = Vec::new();
    while let Some(row) = rows.next()? {
        let (ErasureRecord { receipt, scope, through, requested_at, .. }, _) = record(row)?;
        open.push(Erasure { scope, through, receipt, requested_at });
    }
    Ok(open)
}

/// Returns a user's erasure, and the last entry whose row was examined.
pub(super) fn of_user(
    connection: &Connection,
    user_id: &UserId,
    receipt: ReceiptId,
) -> Result<Option<(i64, ErasureRecord, Offset)>, ReadFailure> {
    let mut query = connection.prepare_cached(
        "SELECT receipt, thread_id, through, chain, requested_at, completed_at, entries, at, user
         FROM erasures WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND receipt = ?2",
    )?;
    let mut rows = query.query(params![user_id.as_str(), receipt.0.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (found, at) = record(row)?;
    Ok(Some((row.get(8)?, found, at)))
}

fn record(row: &Row<'_>) -> Result<(ErasureRecord, Offset), ReadFailure> {
    let thread_id: Option<String> = row.get(1)?;
    let scope = match thread_id.as_deref().map(ThreadId::parse) {
        None => EraseScope::Log,
        Some(Ok(thread_id)) => EraseScope::Thread(thread_id),
        Some(Err(error)) => return Err(ReadFailure::Damaged(format!("an erasure is unreadable: {error}"))),
    };
    let found = ErasureRecord {
        receipt: ReceiptId(uuid::Uuid::from_bytes(row.get(0)?)),
        scope,
        through: Offset(row.get(2)?),
        chain_head: ChainHash(row.get(3)?),
        requested_at: Timestamp(row.get(4)?),
        completed_at: row.get::<_, Option<u64>>(5)?.map(Timestamp),
        entries: row.get(6)?,
    };
    Ok((found, Offset(row.get(7)?)))
}

/// Returns the last entry that an unfinished erasure of the whole log covers; 0 if there is none.
pub(super) fn log_erased_through(connection: &Connection, user: i64) -> Result<Offset, WriteError> {
    let through: Option<Option<u64>> = connection
        .prepare_cached(
            "SELECT max(through) FROM erasures WHERE user = ?1 AND closed IS NULL AND thread_id IS NULL",
        )?
        .query_row([user], |row| row.get(0))
        .optional()?;
    Ok(Offset(through.flatten().unwrap_or(0)))
}

/// The digests of the erased lines of one row, as its column `erased` has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErasedLines(Vec<(u16, LineDigest)>);

impl ErasedLines {
    /// Decodes the column. Returns `None` if it is malformed.
    pub fn parse(column: Option<&[u8]>) -> Option<Self> {
        let (lines, rest) = column.unwrap_or_default().as_chunks::<LINE_BYTES>();
        let lines: Vec<_> = lines.iter().map(line_of).collect();
        let ordered = lines.is_sorted_by(|(earlier, _), (later, _)| earlier < later);
        (rest.is_empty() && ordered).then_some(Self(lines))
    }

    /// Returns the digest of the line number `line` of the row, from 0, as it was before its erasure; `None` if it is
    /// not erased.
    pub fn digest(&self, line: usize) -> Option<LineDigest> {
        let line = u16::try_from(line).ok()?;
        let at = self.0.binary_search_by_key(&line, |(number, _)| *number).ok()?;
        Some(self.0[at].1)
    }

    /// Returns the number of the last erased line; `None` if there is none.
    pub fn last(&self) -> Option<usize> {
        self.0.last().map(|(number, _)| usize::from(*number))
    }

    pub(super) fn insert(&mut self, line: u16, digest: LineDigest) {
        if let Err(at) = self.0.binary_search_by_key(&line, |(number, _)| *number) {
            self.0.insert(at, (line, digest));
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(line, digest)| line.to_be_bytes().into_iter().chain(digest.0)).collect()
    }
}

/// Bytes of the number of a line and its digest.
const LINE_BYTES: usize = 2 + 32;

fn line_of(bytes: &[u8; LINE_BYTES]) -> (u16, LineDigest) {
    let (number, digest) = bytes.split_at(2);
    let number = u16::from_be_bytes(number.try_into().expect("two bytes are split off"));
    (number, LineDigest(digest.try_into().expect("32 bytes remain")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erased_lines_parse_back_and_malformed_ones_are_refused() {
        let mut erased = ErasedLines::default();
        for number in [300, 2, 0, 2] {
            erased.insert(number, LineDigest([number as u8; 32]));
        }
        let bytes = erased.encode();
        assert_eq!(bytes.len(), 3 * LINE_BYTES);
        assert_eq!(ErasedLines::parse(Some(&bytes)), Some(erased.clone()));
        assert_eq!(erased.digest(300), Some(LineDigest([44; 32])));
        assert_eq!((erased.digest(1), erased.digest(usize::MAX), erased.last()), (None, None, Some(300)));
        assert_eq!(ErasedLines::parse(None), Some(ErasedLines::default()));
        assert_eq!(ErasedLines::parse(Some(&bytes[1..])), None, "torn");
        assert_eq!(ErasedLines::parse(Some(&[&bytes[..], &bytes[..LINE_BYTES]].concat())), None, "unordered");
    }
}
