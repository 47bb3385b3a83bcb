//! The table of erasures (DEL-8).
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
pub use crate::engine::ErasedLines;
use crate::{ErasureRecord, chain::ChainHash};

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
