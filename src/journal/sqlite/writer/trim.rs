//! Retention: trims the oldest batches of each user, in steps, so that an append waits for one step at most
//! (ISO-6).
//!
//! Guarantee: no entry of an open run is trimmed, nor any after it. A whole prefix of the log is trimmed and
//! the chain hash at its end is kept, so that the rest still verifies. Run records outlive their entries
//! (DEL-6): the latest `run_records_max` of each user are kept.

use std::collections::BTreeSet;

use quintet_kernel::ids::Timestamp;
use rusqlite::params;

use super::super::{
    fault::WriteError,
    options::{TRIM_ROWS_MAX, TRIM_USERS_MAX},
    thread_changes,
};
use super::Writer;
use crate::{Retention, Trimmed};

/// One step of trimming.
#[derive(Clone, Copy, Debug)]
pub(in crate::sqlite) struct TrimStep {
    pub retention: Retention,
    pub now: Timestamp,
    pub run_records_max: u64,
    /// The last user row that is finished.
    pub done: i64,
    /// The user row that an earlier step has counted.
    pub counted: i64,
}

/// The result of a step.
#[derive(Clone, Copy, Debug)]
pub(in crate::sqlite) struct TrimOutcome {
    pub trimmed: Trimmed,
    /// The next step; `None` when all users are finished.
    pub next: Option<TrimStep>,
}

struct Candidate {
    id: i64,
    head: u64,
    trimmed: u64,
    runs: u64,
    bytes: u64,
}

impl Writer {
    pub(in crate::sqlite) fn trim(&mut self, turn: &TrimStep) -> Result<TrimOutcome, WriteError> {
        let candidates: Vec<Candidate> = self
            .connection()?
            .prepare_cached(
                "SELECT id, head, trimmed, runs, kept_bytes FROM users WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?
            .query_map(params![turn.done, TRIM_USERS_MAX], |row| {
                Ok(Candidate {
                    id: row.get(0)?,
                    head: row.get(1)?,
                    trimmed: row.get(2)?,
                    runs: row.get(3)?,
                    bytes: row.get(4)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        let mut next = TrimStep { ..*turn };
        let mut trimmed = Trimmed::default();
        let mut rows_left = TRIM_ROWS_MAX;
        for user in &candidates {
            let (rows, entries) = self.trim_user(user, turn, rows_left)?;
            if entries > 0 && next.counted != user.id {
                trimmed.users += 1;
                next.counted = user.id;
            }
            trimmed.entries += entries;
            rows_left -= rows;
            if rows_left == 0 {
                return Ok(TrimOutcome { trimmed, next: Some(next) });
            }
            next.done = user.id;
        }
        let more = candidates.len() == TRIM_USERS_MAX;
        Ok(TrimOutcome { trimmed, next: more.then_some(next) })
    }

    /// Removes at most `rows_max` batches and run records of one user. Returns the numbers of removed rows and
    /// entries.
    fn trim_user(
        &self,
        user: &Candidate,
        turn: &TrimStep,
        rows_max: usize,
    ) -> Result<(usize, u64), WriteError> {
        let connection = self.connection()?;
        let open: Option<u64> = connection
            .prepare_cached("SELECT min(accepted) FROM runs WHERE user = ?1 AND completed IS NULL")?
            .query_row([user.id], |row| row.get(0))?;
        let bound = open.map_or(user.head, |accepted| accepted - 1);
        let old_before = turn.retention.age_ms_max.map_or(0, |age| turn.now.0.saturating_sub(age));
        let surplus_to = turn.retention.user_entries_max.map_or(0, |max| user.head.saturating_sub(max));

        let bytes_max = turn.retention.user_bytes_max.unwrap_or(u64::MAX);

        let mut goes: Option<(u64, [u8; 32])> = None;
        let mut bytes = user.bytes;
        let mut rows = 0;
        let mut oldest = connection.prepare_cached(
            "SELECT last, last_at, chain, length(lines) FROM batches WHERE user = ?1 AND last <= ?2 ORDER BY last LIMIT ?3",
        )?;
        let mut batches = oldest.query(params![user.id, bound, rows_max])?;
        while let Some(batch) = batches.next()? {
            let (last, last_at): (u64, u64) = (batch.get(0)?, batch.get(1)?);
            if last_at >= old_before && last > surplus_to && bytes <= bytes_max {
                break;
            }
            goes = Some((last, batch.get(2)?));
            bytes = bytes.saturating_sub(batch.get(3)?);
            rows += 1;
        }
        drop(batches);

        let mut trimmed = user.trimmed;
        if let Some((last, chain)) = goes {
            connection
                .prepare_cached("DELETE FROM batches WHERE user = ?1 AND last <= ?2")?
                .execute(params![user.id, last])?;
            connection
                .prepare_cached(
                    "UPDATE users SET trimmed = ?2, trimmed_chain = ?3, kept_bytes = ?4 WHERE id = ?1",
                )?
                .execute(params![user.id, last, chain, bytes])?;
            thread_changes::trim(connection, user.id, last)?;
            trimmed = last;
        }
        let records = user.runs.saturating_sub(turn.run_records_max).min((rows_max - rows) as u64);
        let forgotten = if records > 0 { self.forget_runs(user.id, trimmed, records)? } else { 0 };
        Ok((rows + forgotten, trimmed - user.trimmed))
    }

    fn forget_runs(&self, user: i64, trimmed: u64, records_max: u64) -> Result<usize, WriteError> {
        let connection = self.connection()?;
        let mut forgotten = connection.prepare_cached(
            "DELETE FROM runs WHERE user = ?1 AND accepted IN (
                 SELECT accepted FROM runs WHERE user = ?1 AND accepted <= ?2 AND completed <= ?2
                 ORDER BY accepted LIMIT ?3)
             RETURNING thread_id",
        )?;
        let threads = forgotten.query_map(params![user, trimmed, records_max], |row| row.get(0))?;
        let threads = threads.collect::<Result<Vec<String>, _>>()?;
        connection
            .prepare_cached("UPDATE users SET runs = runs - ?2 WHERE id = ?1")?
            .execute(params![user, threads.len()])?;
        // A thread is removed with its last run.
        let mut emptied = connection.prepare_cached(
            "DELETE FROM threads WHERE user = ?1 AND thread_id = ?2 AND last <= ?3 AND NOT EXISTS (
                 SELECT 1 FROM runs WHERE runs.user = ?1 AND runs.thread_id = ?2)",
        )?;
        for thread_id in threads.iter().collect::<BTreeSet<_>>() {
            emptied.execute(params![user, thread_id, trimmed])?;
        }
        Ok(threads.len())
    }
}
