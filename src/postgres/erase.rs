//! The steps of an erasure (DEL-8).
//!
//! Guarantee: each step is one transaction of bounded size that holds the row of its user alone (ISO-6). A step that is
//! repeated continues with the first row that was not examined, so an entry is counted once. The index forgets first: no
//! thread list, path or look-up leads to an entry whose line is about to go. What a row keeps of an erased line is its
//! digest, from which the hash chain verifies, and its time.
//!
//! At the end nothing of the scope is in a row of any table. PostgreSQL keeps earlier versions of rows until they are
//! vacuumed and their pages are used again, in the write-ahead log until it is recycled, and in replicas and backups: see
//! the README of this package.

use quintet_journal::{
    EraseProgress, ErasureRecord,
    engine::{Erased, ErasedLines, StoredRow, checksum, hashed},
};
use quintet_kernel::{
    ids::{Epoch, MessageId, Offset, ReceiptId, UserId},
    user::EraseScope,
};
use quintet_runtime::clock;
use tokio_postgres::{Client, Transaction, types::Type};

use crate::{
    fault::Failure,
    index,
    options::{ERASE_BYTES_MAX, ERASE_ENTRIES_MAX},
    reader::{Reply, get, int, name, number, unreadable},
};

/// Erases at most about `limit` entries.
pub(crate) async fn step(
    client: &mut Client,
    user_id: &UserId,
    origin: Epoch,
    receipt: ReceiptId,
    limit: usize,
) -> Reply<EraseProgress> {
    let transaction = client.transaction().await?;
    // Appends of the user skip the row and wait for this step.
    transaction
        .query_typed(
            "SELECT id FROM users WHERE user_id = $1 FOR NO KEY UPDATE",
            &[(&name(user_id), Type::BYTEA)],
        )
        .await?;
    let found = index::erasure(&transaction, user_id, receipt).await?;
    let Some((uid, record, at)) = found else {
        return Err(Failure::Damaged(format!("there is no intent of the erasure {receipt}")));
    };
    if record.completed_at.is_some() {
        return Ok(EraseProgress::Done(record));
    }
    let step = Step { transaction, uid, record };
    let mut left = limit.clamp(1, ERASE_ENTRIES_MAX);
    left -= step.forget_threads(left).await?;
    if left > 0 {
        left -= step.forget_messages(user_id, origin, left).await?;
    }
    let done = left > 0 && step.erase_lines(at, left).await?;
    if done {
        step.complete().await?;
    }
    let Step { transaction, .. } = step;
    let record = index::erasure(&transaction, user_id, receipt).await?;
    transaction.commit().await?;
    match record {
        Some((_, record, _)) if done => Ok(EraseProgress::Done(record)),
        _ => Ok(EraseProgress::Working),
    }
}

/// A step in its transaction.
struct Step<'a> {
    transaction: Transaction<'a>,
    uid: i64,
    record: ErasureRecord,
}

impl Step<'_> {
    /// Removes threads of the scope without a later entry. Returns their number.
    async fn forget_threads(&self, max: usize) -> Reply<usize> {
        // A thread that is erased alone was removed with the intent, and what it has by now is later.
        if self.record.scope != EraseScope::Log {
            return Ok(0);
        }
        let removed = self
            .transaction
            .execute_typed(
                "DELETE FROM threads WHERE uid = $1 AND thread_id IN (
                     SELECT thread_id FROM threads WHERE uid = $1 AND last <= $2 LIMIT $3)",
                &[
                    (&self.uid, Type::INT8),
                    (&int(self.record.through.0), Type::INT8),
                    (&(max as i64), Type::INT8),
                ],
            )
            .await?;
        Ok(removed as usize)
    }

    /// Blanks run records of the scope: the run id and the offsets remain, and a hash of the message id (DEL-6). Returns
    /// their number.
    async fn forget_messages(&self, user_id: &UserId, origin: Epoch, max: usize) -> Reply<usize> {
        // A blank thread id sorts first, so that the index leads to the records that are left.
        let (lowest, highest) = match &self.record.scope {
            EraseScope::Thread(thread_id) => (thread_id.as_str(), thread_id.as_str()),
            EraseScope::Log => ("!", "\u{7f}"),
        };
        let rows = self
            .transaction
            .query_typed(
                "SELECT accepted, message_id FROM runs
                 WHERE uid = $1 AND thread_id BETWEEN $2 AND $3 AND accepted <= $4 LIMIT $5",
                &[
                    (&self.uid, Type::INT8),
                    (&lowest, Type::TEXT),
                    (&highest, Type::TEXT),
                    (&int(self.record.through.0), Type::INT8),
                    (&(max as i64), Type::INT8),
                ],
            )
            .await?;
        let mut accepted = Vec::new();
        let mut hashes = Vec::new();
        for row in &rows {
            accepted.push(get::<i64>(row, 0)?);
            let message_id = MessageId::parse(get(row, 1)?).map_err(unreadable)?;
            hashes.push(hashed(origin, user_id, &message_id));
        }
        if !rows.is_empty() {
            self.transaction
                .execute_typed(
                    "UPDATE runs SET message_id = n.hash, thread_id = '', agent_name = '', parent = 0
                     FROM unnest($2, $3) AS n (accepted, hash) WHERE uid = $1 AND runs.accepted = n.accepted",
                    &[(&self.uid, Type::INT8), (&accepted, Type::INT8_ARRAY), (&hashes, Type::TEXT_ARRAY)],
                )
                .await?;
        }
        Ok(rows.len())
    }

    /// Replaces the lines of the rows after `at`, until the limits of one step are reached. Returns true if no row is left.
    async fn erase_lines(&self, at: Offset, max: usize) -> Reply<bool> {
        let begin = at;
        let (mut at, mut examined, mut bytes, mut entries) = (at, 0, 0, 0);
        let mut done = true;
        while let Some(row) = self.row_after(at).await? {
            at = row.last;
            examined += (row.last.0 + 1 - row.first.0) as usize;
            bytes += row.lines.len();
            entries += self.erase_row(&row).await?;
            if examined >= max || bytes >= ERASE_BYTES_MAX {
                done = false;
                break;
            }
        }
        if at > begin {
            self.transaction
                .execute_typed(
                    "UPDATE erasures SET at = $3, entries = entries + $4 WHERE uid = $1 AND receipt = $2",
                    &[
                        (&self.uid, Type::INT8),
                        (&self.record.receipt.0, Type::UUID),
                        (&int(at.0), Type::INT8),
                        (&(entries as i64), Type::INT8),
                    ],
                )
                .await?;
        }
        Ok(done)
    }

    async fn row_after(&self, at: Offset) -> Reply<Option<StoredRow>> {
        let row = self
            .transaction
            .query_typed_opt(
                "SELECT first, last, checksum, lines, digests, erased FROM batches
                 WHERE uid = $1 AND last > $2 AND last <= $3 ORDER BY last LIMIT 1",
                &[
                    (&self.uid, Type::INT8),
                    (&int(at.0), Type::INT8),
                    (&int(self.record.through.0), Type::INT8),
                ],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let lines: &[u8] = get(&row, 3)?;
        let erased = ErasedLines::parse(get(&row, 5)?);
        let sound = checksum(lines) == get::<i64>(&row, 2)? && erased.is_some();
        let stored = StoredRow {
            first: Offset(number(&row, 0)?),
            last: Offset(number(&row, 1)?),
            lines: bytes::Bytes::copy_from_slice(lines),
            digests: get(&row, 4)?,
            erased: erased.unwrap_or_default(),
        };
        if sound && stored.first <= stored.last { Ok(Some(stored)) } else { Err(stored.torn().into()) }
    }

    /// Replaces the lines of one row that the scope has. Returns their number.
    async fn erase_row(&self, row: &StoredRow) -> Reply<usize> {
        let Some(Erased { lines, erased, offsets }) = row.without(&self.record.scope)? else { return Ok(0) };
        let less = row.lines.len() as i64 - lines.len() as i64;
        self.transaction
            .execute_typed(
                "UPDATE batches SET lines = $3, checksum = $4, erased = $5 WHERE uid = $1 AND last = $2",
                &[
                    (&self.uid, Type::INT8),
                    (&int(row.last.0), Type::INT8),
                    (&lines, Type::BYTEA),
                    (&checksum(&lines), Type::INT8),
                    (&erased.encode(), Type::BYTEA),
                ],
            )
            .await?;
        // ISO-6: what is erased is not kept. (What was appended recently is not given back.)
        self.transaction
            .execute_typed(
                "UPDATE users SET kept_bytes = greatest(kept_bytes - $2, 0) WHERE id = $1",
                &[(&self.uid, Type::INT8), (&less, Type::INT8)],
            )
            .await?;
        let gone: Vec<i64> = offsets.iter().map(|offset| int(offset.0)).collect();
        self.transaction
            .execute_typed(
                "DELETE FROM thread_changes WHERE uid = $1 AND at = ANY($2)",
                &[(&self.uid, Type::INT8), (&gone, Type::INT8_ARRAY)],
            )
            .await?;
        Ok(offsets.len())
    }

    /// Records that nothing is left to erase.
    async fn complete(&self) -> Reply<()> {
        self.transaction
            .execute_typed(
                "UPDATE erasures SET completed_at = $3 WHERE uid = $1 AND receipt = $2 AND completed_at IS NULL",
                &[
                    (&self.uid, Type::INT8),
                    (&self.record.receipt.0, Type::UUID),
                    (&int(clock::now().0), Type::INT8),
                ],
            )
            .await?;
        Ok(())
    }
}
