//! The parts of the statement of a group, one for each table.

use quintet_journal::engine::checksum;
use quintet_kernel::{
    ids::Title,
    user::{EraseScope, Erasure},
};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Group, ThreadRow};
use crate::statement::{Columns, Statement};

impl Group {
    /// Returns the statement, whose result has a row for each user whose row was locked: the user, and true if the batch
    /// was appended. Without a lease of this node (NODE-2) it appends nothing, and the result has one row without a user.
    pub(in crate::writer) fn statement(&self, session: Uuid) -> Statement {
        let mut s = Statement::default();
        let session = s.bind(session, Type::UUID);
        let users = self.user_columns(&mut s).unnest("t");
        let locked = if self.waits { "" } else { "SKIP LOCKED" };
        let mut sql = format!(
            "WITH w AS MATERIALIZED (
                 SELECT w.session FROM writers w JOIN nodes n ON n.incarnation = w.holder
                 WHERE w.session = {session} AND (n.exclusive OR n.lease_until > now()) FOR KEY SHARE OF w),
             k AS MATERIALIZED (
                 SELECT t.* FROM {users} JOIN users u ON u.id = t.uid
                 WHERE u.head = t.expected AND u.fence = t.fence AND u.chain = t.chain_before AND EXISTS (SELECT FROM w)
                 ORDER BY u.id FOR NO KEY UPDATE OF u {locked}),
             x AS MATERIALIZED ({}),
             l AS MATERIALIZED (SELECT k.* FROM k WHERE (uid IN (SELECT uid FROM x)) IS NOT TRUE)",
            self.misfits(&mut s)
        );
        sql.push_str(
            ", s AS (UPDATE users u SET head = l.last, fence = l.fence_after, chain = l.chain_after, runs = u.runs + l.more_runs,
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
        sql.push_str(
            " SELECT uid, uid IN (SELECT uid FROM l) FROM k
              UNION ALL SELECT NULL, NULL WHERE NOT EXISTS (SELECT FROM w)",
        );
        s.sql = sql;
        s
    }

    fn user_columns(&self, s: &mut Statement) -> Columns {
        let users = || self.users.iter();
        Columns::default()
            .add(s, "uid", Type::INT8_ARRAY, users().map(|user| user.before.id))
            .add(s, "expected", Type::INT8_ARRAY, users().map(|user| int(user.before.head.0)))
            .add(s, "fence", Type::INT8_ARRAY, users().map(|user| int(user.before.fence.0)))
            .add(s, "fence_after", Type::INT8_ARRAY, users().map(|user| int(user.after.fence.0)))
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
                .add(s, "uid", Type::INT8_ARRAY, self.changed.iter().map(|run| run.uid))
                .add(s, "run_id", Type::UUID_ARRAY, self.changed.iter().map(|run| run.run_id.0))
                .add(s, "taken", Type::BOOL_ARRAY, self.changed.iter().map(|run| run.taken))
                .unnest("n");
            parts.push(format!(
                "SELECT n.uid FROM {changed} LEFT JOIN runs r
                     ON r.uid = n.uid AND r.run_id = n.run_id AND r.completed IS NULL
                         AND (r.started IS NOT NULL OR NOT n.taken)
                 WHERE r.uid IS NULL"
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
                .add(s, "executor", Type::UUID_ARRAY, runs().map(|run| run.executor.map(|id| id.0)))
                .add(s, "parent", Type::INT8_ARRAY, runs().map(|run| run.parent.map(|at| int(at.0))));
            sql.push_str(&format!(
                ", r AS (INSERT INTO runs (uid, accepted, accepted_at, run_id, message_id, thread_id, agent_name,
                                           started, completed, status, executor, parent)
                         SELECT uid, accepted, accepted_at, run_id, message_id, thread_id, agent_name, started,
                                completed, status, executor,
                                coalesce(parent, (SELECT max(o.accepted) FROM runs o
                                                  WHERE o.uid = n.uid AND o.thread_id = n.thread_id), 0)
                         FROM {} WHERE {OF_WINNER})",
                columns.unnest("n")
            ));
        }
        if !self.changed.is_empty() {
            let runs = || self.changed.iter();
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, runs().map(|run| run.uid))
                .add(s, "run_id", Type::UUID_ARRAY, runs().map(|run| run.run_id.0))
                .add(s, "started", Type::INT8_ARRAY, runs().map(|run| run.started.map(|at| int(at.0))))
                .add(
                    s,
                    "completed",
                    Type::INT8_ARRAY,
                    runs().map(|run| run.completed.map(|(at, _)| int(at.0))),
                )
                .add(s, "taken", Type::BOOL_ARRAY, runs().map(|run| run.taken))
                .add(s, "executor", Type::UUID_ARRAY, runs().map(|run| run.executor.map(|id| id.0)))
                .add(
                    s,
                    "status",
                    Type::TEXT_ARRAY,
                    runs().map(|run| run.completed.map(|(_, status)| status)),
                );
            sql.push_str(&format!(
                ", c AS (UPDATE runs r SET executor = CASE WHEN n.taken OR r.started IS NULL THEN n.executor ELSE r.executor END,
                                           started = coalesce(r.started, n.started), completed = n.completed,
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
        if !self.changes.is_empty() {
            let changes = || self.changes.iter();
            let columns = Columns::default()
                .add(s, "uid", Type::INT8_ARRAY, changes().map(|(uid, ..)| *uid))
                .add(s, "at", Type::INT8_ARRAY, changes().map(|(_, at, _)| int(at.0)))
                .add(
                    s,
                    "thread_id",
                    Type::TEXT_ARRAY,
                    changes().map(|(.., thread_id)| thread_id.as_str().to_owned()),
                );
            sql.push_str(&format!(
                ", o AS (INSERT INTO thread_changes (uid, at, thread_id) SELECT n.* FROM {} WHERE {OF_WINNER})",
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

fn bytes_of(title: Title) -> Vec<u8> {
    title.as_str().as_bytes().to_vec()
}

/// Returns a number as the database stores it.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
