//! The rows of a group of batches, and the statement that stores them.
//!
//! ```text
//!   w  the row of this connection, locked; without it nothing is appended
//!   k  the users whose head and chain are as expected, locked; a row that is locked elsewhere is skipped
//!   x  the users whose batch does not fit the index
//!   l  those of k that are not in x: their rows are written, each table by a part of its own
//! ```
//!
//! All parts see the state before the statement, and a row is written by one part at most.

use quintet_journal::{
    Batch, ResumeRecord,
    chain::ChainHash,
    engine::{Changes, NewRow, checksum, hashed, rows, status_text},
};
use quintet_kernel::{
    entry::{Entry, LogErased, ThreadChange},
    ids::{AgentName, Epoch, MessageId, Offset, ReceiptId, RunId, ThreadId, Timestamp, Title, UserId},
    spending::Spending,
    user::{EraseScope, Erasure},
};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::outcome::UserRow;
use crate::statement::{Columns, Statement};

/// Batches of different users.
pub(super) struct Group {
    origin: Epoch,
    /// True to wait for a row that is locked elsewhere.
    waits: bool,
    users: Vec<UserChange>,
    rows: Vec<(i64, NewRow)>,
    accepted: Vec<AcceptedRow>,
    changed: Vec<(i64, RunId, Option<Offset>, Option<(Offset, &'static str)>)>,
    completed: Vec<(i64, RunId)>,
    resumes: Vec<(i64, ResumeRecord)>,
    threads: Vec<ThreadRow>,
    titles: Vec<(i64, ThreadId, TitleChange)>,
    forgotten: Vec<(i64, ThreadId)>,
    erasures: Vec<(i64, Erasure, ChainHash)>,
    closings: Vec<(i64, ReceiptId, Offset)>,
}

struct UserChange {
    before: UserRow,
    after: UserRow,
    runs: usize,
    bytes: usize,
    /// `None` if the batch has no entry.
    spending: Option<Spending>,
}

struct AcceptedRow {
    uid: i64,
    accepted: Offset,
    accepted_at: Timestamp,
    run_id: RunId,
    message_id: MessageId,
    /// The text that would take the place of the message id after an erasure.
    hash: String,
    thread_id: ThreadId,
    agent_name: AgentName,
    started: Option<Offset>,
    completed: Option<(Offset, &'static str)>,
    parent: Option<Offset>,
}

struct ThreadRow {
    uid: i64,
    thread_id: ThreadId,
    first: Offset,
    last: Offset,
    last_at: Timestamp,
    messages: u64,
    title: Option<TitleChange>,
}

#[derive(Clone)]
struct TitleChange {
    updated: Offset,
    title: Option<Title>,
    archived: bool,
}

impl Group {
    pub(super) fn new(origin: Epoch, waits: bool) -> Self {
        Self {
            origin,
            waits,
            users: Vec::new(),
            rows: Vec::new(),
            accepted: Vec::new(),
            changed: Vec::new(),
            completed: Vec::new(),
            resumes: Vec::new(),
            threads: Vec::new(),
            titles: Vec::new(),
            forgotten: Vec::new(),
            erasures: Vec::new(),
            closings: Vec::new(),
        }
    }

    /// Adds the batch of a user. Returns the row of the user after it.
    pub(super) fn add(&mut self, user_id: &UserId, before: UserRow, batch: &Batch) -> UserRow {
        let uid = before.id;
        let new = rows(before.chain, batch);
        let chain = new.last().map_or(before.chain, |row| row.chain);
        let head = if batch.entries.is_empty() { before.head } else { batch.lines.last() };
        let after = UserRow { head, chain, ..before };
        let changes = Changes::of(&batch.entries);
        let ended = self.completed.len();
        let runs = self.add_runs(user_id, uid, &changes);
        for record in &batch.resumes {
            // The record of a run that completes is removed.
            if !self.completed[ended..].iter().any(|(_, run_id)| *run_id == record.run_id) {
                self.resumes.push((uid, *record));
            }
        }
        self.add_threads(uid, &changes, &batch.erasures);
        for entry in &batch.entries {
            if let Some(receipt) = closes(entry) {
                self.closings.push((uid, receipt, entry.offset()));
            }
        }
        self.erasures.extend(batch.erasures.iter().map(|erasure| (uid, erasure.clone(), chain)));
        self.rows.extend(new.into_iter().map(|row| (uid, row)));
        self.users.push(UserChange {
            before,
            after,
            runs,
            bytes: batch.lines.as_bytes().len(),
            spending: (!batch.entries.is_empty()).then_some(batch.spending),
        });
        after
    }

    /// Adds the changes of runs. Returns the number of accepted ones.
    fn add_runs(&mut self, user_id: &UserId, uid: i64, changes: &Changes<'_>) -> usize {
        let begin = self.accepted.len();
        for run in &changes.runs {
            let completed = run.completed.map(|(offset, status)| (offset, status_text(status)));
            if completed.is_some() {
                self.completed.push((uid, run.run_id));
            }
            let Some(message) = run.accepted else {
                self.changed.push((uid, run.run_id, run.started, completed));
                continue;
            };
            // Without a parent, a message follows the latest one of its thread, which may be in this batch.
            let earlier = self.accepted[begin..].iter().rev();
            let latest = || {
                let of_thread = |earlier: &&AcceptedRow| earlier.thread_id == message.entry.thread_id;
                earlier.clone().find(of_thread).map(|earlier| earlier.accepted)
            };
            let parent = message.parent.or_else(latest);
            self.accepted.push(AcceptedRow {
                uid,
                accepted: message.entry.offset,
                accepted_at: message.entry.timestamp,
                run_id: run.run_id,
                message_id: message.message_id.clone(),
                hash: hashed(self.origin, user_id, message.message_id),
                thread_id: message.entry.thread_id.clone(),
                agent_name: message.entry.agent_name.clone(),
                started: run.started,
                completed,
                parent,
            });
        }
        self.accepted.len() - begin
    }

    /// Adds the changes of threads. A thread whose erasure is in the batch has no entry that is kept.
    fn add_threads(&mut self, uid: i64, changes: &Changes<'_>, erasures: &[Erasure]) {
        let scope = |erasure: &Erasure| match &erasure.scope {
            EraseScope::Thread(thread_id) => Some(thread_id.clone()),
            EraseScope::Log => None,
        };
        let gone: Vec<ThreadId> = erasures.iter().filter_map(scope).collect();
        let mut titles: Vec<(ThreadId, TitleChange)> = changes
            .titles
            .iter()
            .filter(|change| !gone.contains(change.thread_id))
            .map(|change| {
                let (updated, title, archived) = (change.updated, change.title.cloned(), change.archived);
                (change.thread_id.clone(), TitleChange { updated, title, archived })
            })
            .collect();
        for thread in changes.threads.iter().filter(|thread| !gone.contains(thread.thread_id)) {
            let own = titles.iter().position(|(thread_id, _)| thread_id == thread.thread_id);
            self.threads.push(ThreadRow {
                uid,
                thread_id: thread.thread_id.clone(),
                first: thread.first,
                last: thread.last,
                last_at: thread.last_at,
                messages: thread.messages,
                title: own.map(|at| titles.swap_remove(at).1),
            });
        }
        self.titles.extend(titles.into_iter().map(|(thread_id, change)| (uid, thread_id, change)));
        self.forgotten.extend(gone.into_iter().map(|thread_id| (uid, thread_id)));
    }

    /// Returns the statement, whose result has a row for each user whose row was locked: the user, and true if the batch
    /// was appended.
    pub(super) fn statement(&self, session: Uuid) -> Statement {
        let mut s = Statement::default();
        let session = s.bind(session, Type::UUID);
        let users = self.user_columns(&mut s).unnest("t");
        let locked = if self.waits { "" } else { "SKIP LOCKED" };
        let mut sql = format!(
            "WITH w AS MATERIALIZED (SELECT session FROM writers WHERE session = {session} FOR KEY SHARE),
             k AS MATERIALIZED (
                 SELECT t.* FROM {users} JOIN users u ON u.id = t.uid
                 WHERE u.head = t.expected AND u.chain = t.chain_before AND EXISTS (SELECT FROM w)
                 ORDER BY u.id FOR NO KEY UPDATE OF u {locked}),
             x AS MATERIALIZED ({}),
             l AS MATERIALIZED (SELECT k.* FROM k WHERE (uid IN (SELECT uid FROM x)) IS NOT TRUE)",
            self.misfits(&mut s)
        );
        sql.push_str(
            ", s AS (UPDATE users u SET head = l.last, chain = l.chain_after, runs = u.runs + l.more_runs,
                            kept_bytes = u.kept_bytes + l.more_bytes,
                            spent_bytes = coalesce(l.spent_bytes, u.spent_bytes),
                            spent_at = coalesce(l.spent_at, u.spent_at)
                     FROM l WHERE u.id = l.uid)",
        );
        self.write_rows(&mut s, &mut sql);
        self.write_runs(&mut s, &mut sql);
        self.write_resumes(&mut s, &mut sql);
        self.write_threads(&mut s, &mut sql);
        self.write_erasures(&mut s, &mut sql);
        sql.push_str(" SELECT uid, uid IN (SELECT uid FROM l) FROM k");
        s.sql = sql;
        s
    }

    fn user_columns(&self, s: &mut Statement) -> Columns {
        let users = || self.users.iter();
        Columns::default()
            .add(s, "uid", Type::INT8_ARRAY, users().map(|user| user.before.id))
            .add(s, "expected", Type::INT8_ARRAY, users().map(|user| int(user.before.head.0)))
            .add(s, "chain_before", Type::BYTEA_ARRAY, users().map(|user| user.before.chain.0.to_vec()))
            .add(s, "last", Type::INT8_ARRAY, users().map(|user| int(user.after.head.0)))
            .add(s, "chain_after", Type::BYTEA_ARRAY, users().map(|user| user.after.chain.0.to_vec()))
            .add(s, "more_runs", Type::INT8_ARRAY, users().map(|user| int(user.runs as u64)))
            .add(s, "more_bytes", Type::INT8_ARRAY, users().map(|user| int(user.bytes as u64)))
            .add(
                s,
                "spent_bytes",
                Type::INT8_ARRAY,
                users().map(|user| user.spending.map(|now| int(now.bytes))),
            )
            .add(s, "spent_at", Type::INT8_ARRAY, users().map(|user| user.spending.map(|now| int(now.at.0))))
    }

    /// Returns the query for the users whose batch uses an id twice, or changes a run that is not open. An id that is
    /// erased is in use (DEL-6).
    fn misfits(&self, s: &mut Statement) -> String {
        let mut parts = Vec::new();
        if !self.accepted.is_empty() {
            let new = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, self.accepted.iter().map(|run| run.uid))
                .add(s, "run_id", Type::UUID_ARRAY, self.accepted.iter().map(|run| run.run_id.0))
                .add(
                    s,
                    "message_id",
                    Type::TEXT_ARRAY,
                    self.accepted.iter().map(|run| run.message_id.as_str().to_owned()),
                )
                .add(s, "hash", Type::TEXT_ARRAY, self.accepted.iter().map(|run| run.hash.clone()))
                .unnest("n");
            for condition in ["r.run_id = n.run_id", "r.message_id = n.message_id", "r.message_id = n.hash"] {
                parts.push(format!("SELECT n.uid FROM {new} JOIN runs r ON r.uid = n.uid AND {condition}"));
            }
        }
        if !self.changed.is_empty() {
            let changed = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, self.changed.iter().map(|change| change.0))
                .add(s, "run_id", Type::UUID_ARRAY, self.changed.iter().map(|change| change.1.0))
                .unnest("n");
            parts.push(format!(
                "SELECT n.uid FROM {changed} LEFT JOIN runs r
                     ON r.uid = n.uid AND r.run_id = n.run_id AND r.completed IS NULL WHERE r.uid IS NULL"
            ));
        }
        if parts.is_empty() { "SELECT 0::int8 AS uid WHERE false".into() } else { parts.join(" UNION ALL ") }
    }

    fn write_rows(&self, s: &mut Statement, sql: &mut String) {
        if self.rows.is_empty() {
            return;
        }
        let rows = || self.rows.iter();
        let columns = Columns::default()
            .add(s, "uid", Type::INT8_ARRAY, rows().map(|(uid, _)| *uid))
            .add(s, "last", Type::INT8_ARRAY, rows().map(|(_, row)| int(row.last.0)))
            .add(s, "first", Type::INT8_ARRAY, rows().map(|(_, row)| int(row.first.0)))
            .add(s, "last_at", Type::INT8_ARRAY, rows().map(|(_, row)| int(row.last_at.0)))
            .add(s, "chain", Type::BYTEA_ARRAY, rows().map(|(_, row)| row.chain.0.to_vec()))
            .add(s, "checksum", Type::INT8_ARRAY, rows().map(|(_, row)| checksum(&row.lines)))
            .add(s, "digests", Type::BYTEA_ARRAY, rows().map(|(_, row)| row.digests.clone()))
            .add(s, "lines", Type::BYTEA_ARRAY, rows().map(|(_, row)| row.lines.to_vec()));
        sql.push_str(&format!(
            ", b AS (INSERT INTO batches (uid, last, first, last_at, chain, checksum, digests, lines)
                     SELECT n.* FROM {} WHERE {OF_WINNER})",
            columns.unnest("n")
        ));
    }

    fn write_runs(&self, s: &mut Statement, sql: &mut String) {
        if !self.accepted.is_empty() {
            let runs = || self.accepted.iter();
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, runs().map(|run| run.uid))
                .add(s, "accepted", Type::INT8_ARRAY, runs().map(|run| int(run.accepted.0)))
                .add(s, "accepted_at", Type::INT8_ARRAY, runs().map(|run| int(run.accepted_at.0)))
                .add(s, "run_id", Type::UUID_ARRAY, runs().map(|run| run.run_id.0))
                .add(s, "message_id", Type::TEXT_ARRAY, runs().map(|run| run.message_id.as_str().to_owned()))
                .add(s, "thread_id", Type::TEXT_ARRAY, runs().map(|run| run.thread_id.as_str().to_owned()))
                .add(s, "agent_name", Type::TEXT_ARRAY, runs().map(|run| run.agent_name.as_str().to_owned()))
                .add(s, "started", Type::INT8_ARRAY, runs().map(|run| run.started.map(|at| int(at.0))))
                .add(
                    s,
                    "completed",
                    Type::INT8_ARRAY,
                    runs().map(|run| run.completed.map(|(at, _)| int(at.0))),
                )
                .add(s, "status", Type::TEXT_ARRAY, runs().map(|run| run.completed.map(|(_, status)| status)))
                .add(s, "parent", Type::INT8_ARRAY, runs().map(|run| run.parent.map(|at| int(at.0))));
            sql.push_str(&format!(
                ", r AS (INSERT INTO runs (uid, accepted, accepted_at, run_id, message_id, thread_id, agent_name,
                                           started, completed, status, parent)
                         SELECT uid, accepted, accepted_at, run_id, message_id, thread_id, agent_name, started,
                                completed, status,
                                coalesce(parent, (SELECT max(o.accepted) FROM runs o
                                                  WHERE o.uid = n.uid AND o.thread_id = n.thread_id), 0)
                         FROM {} WHERE {OF_WINNER})",
                columns.unnest("n")
            ));
        }
        if !self.changed.is_empty() {
            let runs = || self.changed.iter();
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, runs().map(|run| run.0))
                .add(s, "run_id", Type::UUID_ARRAY, runs().map(|run| run.1.0))
                .add(s, "started", Type::INT8_ARRAY, runs().map(|run| run.2.map(|at| int(at.0))))
                .add(s, "completed", Type::INT8_ARRAY, runs().map(|run| run.3.map(|(at, _)| int(at.0))))
                .add(s, "status", Type::TEXT_ARRAY, runs().map(|run| run.3.map(|(_, status)| status)));
            sql.push_str(&format!(
                ", c AS (UPDATE runs r SET started = coalesce(r.started, n.started), completed = n.completed,
                                           status = n.status
                         FROM {} WHERE r.uid = n.uid AND r.run_id = n.run_id AND {OF_WINNER})",
                columns.unnest("n")
            ));
        }
    }

    fn write_resumes(&self, s: &mut Statement, sql: &mut String) {
        if !self.resumes.is_empty() {
            let resumes = || self.resumes.iter();
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, resumes().map(|(uid, _)| *uid))
                .add(s, "run_id", Type::UUID_ARRAY, resumes().map(|(_, record)| record.run_id.0))
                .add(
                    s,
                    "without_step",
                    Type::INT8_ARRAY,
                    resumes().map(|(_, record)| i64::from(record.counted.without_step)),
                )
                .add(
                    s,
                    "total",
                    Type::INT8_ARRAY,
                    resumes().map(|(_, record)| i64::from(record.counted.total)),
                )
                .add(s, "seq", Type::INT8_ARRAY, resumes().map(|(_, record)| int(record.seq.0)))
                .add(
                    s,
                    "incarnation",
                    Type::UUID_ARRAY,
                    resumes().map(|(_, record)| record.incarnation.map(|id| id.0)),
                );
            sql.push_str(&format!(
                ", m AS (INSERT INTO resumes (uid, run_id, without_step, total, seq, incarnation)
                         SELECT n.* FROM {} WHERE {OF_WINNER}
                         ON CONFLICT (uid, run_id) DO UPDATE SET
                             without_step = excluded.without_step, total = excluded.total, seq = excluded.seq,
                             incarnation = excluded.incarnation)",
                columns.unnest("n")
            ));
        }
        if !self.completed.is_empty() {
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, self.completed.iter().map(|(uid, _)| *uid))
                .add(s, "run_id", Type::UUID_ARRAY, self.completed.iter().map(|(_, run_id)| run_id.0));
            sql.push_str(&format!(
                ", d AS (DELETE FROM resumes m USING {}
                         WHERE m.uid = n.uid AND m.run_id = n.run_id AND {OF_WINNER})",
                columns.unnest("n")
            ));
        }
    }

    fn write_threads(&self, s: &mut Statement, sql: &mut String) {
        if !self.threads.is_empty() {
            let threads = || self.threads.iter();
            let title = |thread: &ThreadRow| thread.title.as_ref().and_then(|change| change.title.clone());
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, threads().map(|thread| thread.uid))
                .add(
                    s,
                    "thread_id",
                    Type::TEXT_ARRAY,
                    threads().map(|thread| thread.thread_id.as_str().to_owned()),
                )
                .add(s, "first", Type::INT8_ARRAY, threads().map(|thread| int(thread.first.0)))
                .add(s, "last", Type::INT8_ARRAY, threads().map(|thread| int(thread.last.0)))
                .add(s, "last_at", Type::INT8_ARRAY, threads().map(|thread| int(thread.last_at.0)))
                .add(s, "messages", Type::INT8_ARRAY, threads().map(|thread| int(thread.messages)))
                .add(s, "title", Type::BYTEA_ARRAY, threads().map(|thread| title(thread).map(bytes_of)))
                .add(
                    s,
                    "archived",
                    Type::BOOL_ARRAY,
                    threads().map(|thread| thread.title.as_ref().is_some_and(|change| change.archived)),
                )
                .add(
                    s,
                    "updated",
                    Type::INT8_ARRAY,
                    threads().map(|thread| int(thread.title.as_ref().map_or(0, |change| change.updated.0))),
                );
            // A thread that an unfinished erasure of the whole log has not yet removed begins anew (DEL-8).
            let gone = "(t.last <= (SELECT max(e.through) FROM erasures e
                                    WHERE e.uid = t.uid AND e.closed IS NULL AND e.thread_id IS NULL)) IS TRUE";
            let column = |name: &str, new: &str, none: &str| {
                format!(
                    "{name} = CASE WHEN excluded.updated > 0 THEN excluded.{name}
                                   WHEN {gone} THEN {none} ELSE {new} END"
                )
            };
            sql.push_str(&format!(
                ", a AS (INSERT INTO threads AS t (uid, thread_id, first, last, last_at, messages, title, archived,
                                                   updated)
                         SELECT n.* FROM {} WHERE {OF_WINNER}
                         ON CONFLICT (uid, thread_id) DO UPDATE SET
                             first = CASE WHEN {gone} THEN excluded.first ELSE t.first END,
                             messages = excluded.messages + CASE WHEN {gone} THEN 0 ELSE t.messages END,
                             last = excluded.last, last_at = excluded.last_at, {}, {}, {})",
                columns.unnest("n"),
                column("title", "t.title", "NULL"),
                column("archived", "t.archived", "false"),
                column("updated", "t.updated", "0"),
            ));
        }
        if !self.titles.is_empty() {
            let titles = || self.titles.iter();
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, titles().map(|(uid, ..)| *uid))
                .add(
                    s,
                    "thread_id",
                    Type::TEXT_ARRAY,
                    titles().map(|(_, thread_id, _)| thread_id.as_str().to_owned()),
                )
                .add(
                    s,
                    "title",
                    Type::BYTEA_ARRAY,
                    titles().map(|(.., change)| change.title.clone().map(bytes_of)),
                )
                .add(s, "archived", Type::BOOL_ARRAY, titles().map(|(.., change)| change.archived))
                .add(s, "updated", Type::INT8_ARRAY, titles().map(|(.., change)| int(change.updated.0)));
            // A thread that was erased has no row to change.
            sql.push_str(&format!(
                ", h AS (UPDATE threads t SET title = n.title, archived = n.archived, updated = n.updated
                         FROM {} WHERE t.uid = n.uid AND t.thread_id = n.thread_id AND {OF_WINNER})",
                columns.unnest("n")
            ));
        }
        if !self.forgotten.is_empty() {
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, self.forgotten.iter().map(|(uid, _)| *uid))
                .add(
                    s,
                    "thread_id",
                    Type::TEXT_ARRAY,
                    self.forgotten.iter().map(|(_, thread_id)| thread_id.as_str().to_owned()),
                );
            sql.push_str(&format!(
                ", f AS (DELETE FROM threads t USING {}
                         WHERE t.uid = n.uid AND t.thread_id = n.thread_id AND {OF_WINNER})",
                columns.unnest("n")
            ));
        }
    }

    fn write_erasures(&self, s: &mut Statement, sql: &mut String) {
        if !self.erasures.is_empty() {
            let erasures = || self.erasures.iter();
            let scope = |erasure: &Erasure| match &erasure.scope {
                EraseScope::Thread(thread_id) => Some(thread_id.as_str().to_owned()),
                EraseScope::Log => None,
            };
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, erasures().map(|(uid, ..)| *uid))
                .add(s, "receipt", Type::UUID_ARRAY, erasures().map(|(_, erasure, _)| erasure.receipt.0))
                .add(s, "thread_id", Type::TEXT_ARRAY, erasures().map(|(_, erasure, _)| scope(erasure)))
                .add(s, "through", Type::INT8_ARRAY, erasures().map(|(_, erasure, _)| int(erasure.through.0)))
                .add(s, "chain", Type::BYTEA_ARRAY, erasures().map(|(.., chain)| chain.0.to_vec()))
                .add(
                    s,
                    "requested_at",
                    Type::INT8_ARRAY,
                    erasures().map(|(_, erasure, _)| int(erasure.requested_at.0)),
                );
            sql.push_str(&format!(
                ", e AS (INSERT INTO erasures (uid, receipt, thread_id, through, chain, requested_at)
                         SELECT n.* FROM {} WHERE {OF_WINNER})",
                columns.unnest("n")
            ));
        }
        if !self.closings.is_empty() {
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, self.closings.iter().map(|(uid, ..)| *uid))
                .add(s, "receipt", Type::UUID_ARRAY, self.closings.iter().map(|(_, receipt, _)| receipt.0))
                .add(s, "closed", Type::INT8_ARRAY, self.closings.iter().map(|(.., offset)| int(offset.0)));
            sql.push_str(&format!(
                ", g AS (UPDATE erasures e SET closed = n.closed
                         FROM {} WHERE e.uid = n.uid AND e.receipt = n.receipt AND {OF_WINNER})",
                columns.unnest("n")
            ));
        }
    }
}

/// The condition that a row belongs to a batch that is appended. The form keeps the planner from joining every pair.
const OF_WINNER: &str = "(n.uid IN (SELECT uid FROM l)) IS TRUE";

fn closes(entry: &Entry) -> Option<ReceiptId> {
    match entry {
        Entry::LogErased(LogErased { receipt, .. }) => Some(*receipt),
        Entry::Thread(thread) => match &thread.change {
            ThreadChange::Erased { receipt, .. } => Some(*receipt),
            ThreadChange::Updated { .. } => None,
        },
        Entry::Run(_) | Entry::Erased(_) => None,
    }
}

fn bytes_of(title: Title) -> Vec<u8> {
    title.as_str().as_bytes().to_vec()
}

/// Returns a number as the database stores it.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
