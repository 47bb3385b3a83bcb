//! The steps of an erasure in the writer thread (DEL-8).
//!
//! Guarantee: each step is one transaction of bounded size, between which waiting appends are served (ISO-6). A step
//! that is repeated after a crash continues with the first row that was not examined, so an entry is counted once. The
//! index forgets first: no thread list, path or look-up leads to an entry whose line is about to go.
//!
//! What a row keeps of an erased line is its digest, from which the hash chain verifies, and its time.

use quintet_kernel::ids::{MessageId, Offset, ReceiptId, Timestamp, UserId};
use quintet_kernel::user::EraseScope;
use rusqlite::{OptionalExtension, params};

use super::super::{
    erasures::{self, ErasedLines},
    fault::{ReadFailure, WriteError},
    options::{ERASE_BYTES_MAX, ERASE_ENTRIES_MAX},
    thread_changes,
};
use super::Writer;
use crate::{
    ErasureRecord, JournalError,
    engine::{Erased, StoredRow, TornRow, checksum, hashed},
};

/// The state of an erasure after a step in the writer.
pub(in crate::sqlite) enum EraseTurn {
    /// Rows are left to examine.
    Working,
    /// Nothing of the scope is in the tables any more; the files may still contain it.
    TablesDone,
    /// Nothing of the scope is in the files any more.
    Done(ErasureRecord),
}

impl Writer {
    /// Erases at most about `limit` entries. To be run in a transaction.
    pub(in crate::sqlite) fn erase(
        &mut self,
        user_id: &UserId,
        receipt: ReceiptId,
        limit: usize,
    ) -> Result<EraseTurn, WriteError> {
        let found = erasures::of_user(self.connection()?, user_id, receipt).map_err(of_read)?;
        let Some((user, record, at)) = found else {
            return Err(damaged(format!("there is no intent of the erasure {receipt}")));
        };
        if record.completed_at.is_some() {
            return Ok(EraseTurn::Done(record));
        }
        let mut left = limit.clamp(1, ERASE_ENTRIES_MAX);
        left -= self.forget_threads(user, &record, left)?;
        if left > 0 {
            left -= self.forget_messages(user, user_id, &record, left)?;
        }
        match left {
            0 => Ok(EraseTurn::Working),
            left => self.erase_lines(user, &record, at, left),
        }
    }

    /// Removes threads of the scope without a later entry. Returns their number.
    fn forget_threads(&self, user: i64, record: &ErasureRecord, max: usize) -> Result<usize, WriteError> {
        // A thread that is erased alone was removed with the intent, and what it has by now is later.
        if record.scope != EraseScope::Log {
            return Ok(0);
        }
        let removed = self
            .connection()?
            .prepare_cached(
                "DELETE FROM threads WHERE user = ?1 AND thread_id IN (
                     SELECT thread_id FROM threads WHERE user = ?1 AND last <= ?2 LIMIT ?3)",
            )?
            .execute(params![user, record.through.0, max])?;
        Ok(removed)
    }

    /// Blanks run records of the scope: the run id and the offsets remain, and a hash of the message id (DEL-6).
    /// Returns their number.
    fn forget_messages(
        &self,
        user: i64,
        user_id: &UserId,
        record: &ErasureRecord,
        max: usize,
    ) -> Result<usize, WriteError> {
        // A blank thread id sorts first, so that the index leads to the records that are left.
        let (lowest, highest) = match &record.scope {
            EraseScope::Thread(thread_id) => (thread_id.as_str(), thread_id.as_str()),
            EraseScope::Log => ("!", "\u{7f}"),
        };
        let connection = self.connection()?;
        let found: Vec<(u64, String)> = connection
            .prepare_cached(
                "SELECT accepted, message_id FROM runs INDEXED BY runs_by_thread
                 WHERE user = ?1 AND thread_id BETWEEN ?2 AND ?3 AND accepted <= ?4 LIMIT ?5",
            )?
            .query_map(params![user, lowest, highest, record.through.0, max], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<_, _>>()?;
        let mut blank = connection.prepare_cached(
            "UPDATE runs SET message_id = ?3, thread_id = '', agent_name = '', parent = 0
             WHERE user = ?1 AND accepted = ?2",
        )?;
        for (accepted, message_id) in &found {
            let message_id = MessageId::parse(message_id)
                .map_err(|error| damaged(format!("the index is unreadable: {error}")))?;
            blank.execute(params![user, accepted, hashed(self.origin, user_id, &message_id)])?;
        }
        Ok(found.len())
    }

    /// Replaces the lines of the rows after `at`, until the limits of one step are reached.
    fn erase_lines(
        &self,
        user: i64,
        record: &ErasureRecord,
        at: Offset,
        max: usize,
    ) -> Result<EraseTurn, WriteError> {
        let begin = at;
        let (mut at, mut examined, mut bytes, mut entries) = (at, 0, 0, 0);
        let mut turn = EraseTurn::TablesDone;
        while let Some(row) = self.row_after(user, at, record.through)? {
            at = row.last;
            examined += (row.last.0 + 1 - row.first.0) as usize;
            bytes += row.lines.len();
            entries += self.erase_row(user, record, row)?;
            if examined >= max || bytes >= ERASE_BYTES_MAX {
                turn = EraseTurn::Working;
                break;
            }
        }
        // A step that only searches the files commits nothing, so that it does not sync.
        if at > begin {
            self.connection()?
                .prepare_cached(
                    "UPDATE erasures SET at = ?3, entries = entries + ?4 WHERE user = ?1 AND receipt = ?2",
                )?
                .execute(params![user, record.receipt.0.as_bytes(), at.0, entries])?;
        }
        Ok(turn)
    }

    fn row_after(&self, user: i64, at: Offset, through: Offset) -> Result<Option<StoredRow>, WriteError> {
        let found = self
            .connection()?
            .prepare_cached(
                "SELECT first, last, checksum, lines, digests, erased FROM batches
                 WHERE user = ?1 AND last > ?2 AND last <= ?3 ORDER BY last LIMIT 1",
            )?
            .query_row(params![user, at.0, through.0], |row| {
                let (first, last) = (Offset(row.get(0)?), Offset(row.get(1)?));
                let lines: Vec<u8> = row.get(3)?;
                let erased = ErasedLines::parse(row.get::<_, Option<Vec<u8>>>(5)?.as_deref());
                let sound = checksum(&lines) == row.get::<_, i64>(2)?;
                let row = StoredRow {
                    first,
                    last,
                    lines: lines.into(),
                    digests: row.get(4)?,
                    erased: erased.clone().unwrap_or_default(),
                };
                Ok((sound && erased.is_some() && first <= last, row))
            })
            .optional()?;
        match found {
            Some((false, row)) => Err(torn(row.torn())),
            Some((true, row)) => Ok(Some(row)),
            None => Ok(None),
        }
    }

    /// Replaces the lines of one row that the scope has. Returns their number.
    fn erase_row(&self, user: i64, record: &ErasureRecord, row: StoredRow) -> Result<usize, WriteError> {
        let Some(Erased { lines, erased, offsets }) = row.without(&record.scope).map_err(torn)? else {
            return Ok(0);
        };
        let connection = self.connection()?;
        connection
            .prepare_cached(
                "UPDATE batches SET lines = ?3, checksum = ?4, erased = ?5 WHERE user = ?1 AND last = ?2",
            )?
            .execute(params![user, row.last.0, lines, checksum(&lines), erased.encode()])?;
        for offset in &offsets {
            thread_changes::forget(connection, user, *offset)?;
        }
        // ISO-6: what is erased is not kept. (What was appended recently is not given back.)
        connection
            .prepare_cached("UPDATE users SET kept_bytes = max(kept_bytes - ?2 + ?3, 0) WHERE id = ?1")?
            .execute(params![user, row.lines.len(), lines.len()])?;
        Ok(offsets.len())
    }

    /// Records that nothing is left to erase. To be run in a transaction.
    pub(in crate::sqlite) fn complete_erasure(
        &mut self,
        user_id: &UserId,
        receipt: ReceiptId,
        now: Timestamp,
    ) -> Result<ErasureRecord, WriteError> {
        let connection = self.connection()?;
        connection
            .prepare_cached(
                "UPDATE erasures SET completed_at = ?3
                 WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND receipt = ?2 AND completed_at IS NULL",
            )?
            .execute(params![user_id.as_str(), receipt.0.as_bytes(), now.0])?;
        match erasures::of_user(connection, user_id, receipt).map_err(of_read)? {
            Some((_, record, _)) => Ok(record),
            None => Err(damaged(format!("the erasure {receipt} is gone"))),
        }
    }
}

fn torn(row: TornRow) -> WriteError {
    damaged(row.to_string())
}

fn damaged(what: String) -> WriteError {
    WriteError::Ground(JournalError::Damaged(what))
}

fn of_read(failure: ReadFailure) -> WriteError {
    match failure {
        ReadFailure::Sql(error) => error.into(),
        failure @ ReadFailure::Damaged(_) => WriteError::Ground(failure.into_error()),
    }
}
