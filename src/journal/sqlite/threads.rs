//! The index of threads: a row each, with what cannot be derived from the runs.
//!
//! The first message, the agent and the open runs of a thread are looked up in the index of runs when the thread is read,
//! so that nothing of a trimmed or erased message remains in the row. The row of a thread is removed as a whole (DEL-8).

use std::collections::HashMap;

use quintet_kernel::ids::{AgentName, Offset, RunId, ThreadId, Timestamp, Title, UserId};
use rusqlite::{Connection, Row, params};

use super::{
    erasures,
    fault::WriteError,
    reader::{INTEGER_MAX, ReadReply, text, unreadable},
};
use crate::{ThreadRecord, ThreadsQuery, engine::Changes};

/// The step of the schema that adds titles and archived threads.
pub(super) const SCHEMA: &str = "
    ALTER TABLE threads ADD COLUMN title    TEXT;                         -- NULL if it has none
    ALTER TABLE threads ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;   -- 1 if the user has put it aside
    ALTER TABLE threads ADD COLUMN updated  INTEGER NOT NULL DEFAULT 0;   -- offset of its latest `thread_updated`
    CREATE INDEX threads_by_archived ON threads (user, archived, last);
    CREATE INDEX IF NOT EXISTS runs_by_end ON runs (user, thread_id, completed);
    ";

/// Saves the changes of a batch.
pub(super) fn save(connection: &Connection, user: i64, changes: &Changes<'_>) -> Result<(), WriteError> {
    let mut save = connection.prepare_cached(
        "INSERT INTO threads (user, thread_id, first, last, last_at, messages) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (user, thread_id) DO UPDATE SET
             last = excluded.last, last_at = excluded.last_at, messages = messages + excluded.messages",
    )?;
    let erased = erasures::log_erased_through(connection, user)?;
    for thread in &changes.threads {
        if erased > Offset::ZERO {
            forget(connection, user, thread.thread_id, erased)?;
        }
        save.execute(params![
            user,
            thread.thread_id.as_str(),
            thread.first.0,
            thread.last.0,
            thread.last_at.0,
            thread.messages
        ])?;
    }
    for thread in &changes.titles {
        // A thread that was erased has no row to change.
        connection
            .prepare_cached(
                "UPDATE threads SET title = ?3, archived = ?4, updated = ?5 WHERE user = ?1 AND thread_id = ?2",
            )?
            .execute(params![
                user,
                thread.thread_id.as_str(),
                thread.title.map(Title::as_str),
                thread.archived,
                thread.updated.0
            ])?;
    }
    Ok(())
}

/// Removes what an unfinished erasure of the whole log has not yet removed of a thread that has a new entry (DEL-8).
fn forget(
    connection: &Connection,
    user: i64,
    thread_id: &ThreadId,
    through: Offset,
) -> Result<(), WriteError> {
    connection
        .prepare_cached("DELETE FROM threads WHERE user = ?1 AND thread_id = ?2 AND last <= ?3")?
        .execute(params![user, thread_id.as_str(), through.0])?;
    Ok(())
}

/// The columns of a record, from `users` and `threads`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT threads.thread_id, first, last, last_at, messages, title, archived, updated,
                (SELECT min(accepted) FROM runs INDEXED BY runs_by_thread
                 WHERE runs.user = users.id AND runs.thread_id = threads.thread_id AND accepted > trimmed),
                (SELECT agent_name FROM runs INDEXED BY runs_by_thread
                 WHERE runs.user = users.id AND runs.thread_id = threads.thread_id ORDER BY accepted DESC LIMIT 1)
             FROM users CROSS JOIN threads ON threads.user = users.id
             WHERE users.user_id = ?1 ",
            $rest
        )
    };
}

pub(super) fn one(
    connection: &mut Connection,
    user_id: &UserId,
    thread_id: &ThreadId,
) -> ReadReply<Option<ThreadRecord>> {
    let snapshot = connection.transaction()?;
    let mut query = snapshot.prepare_cached(select!("AND threads.thread_id = ?2"))?;
    let mut rows = query.query(params![user_id.as_str(), thread_id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut record = record(row)?;
    OpenRuns::read(&snapshot, user_id)?.add_to(&mut record);
    Ok(Some(record))
}

pub(super) fn find(
    connection: &mut Connection,
    user_id: &UserId,
    query: ThreadsQuery,
) -> ReadReply<Vec<ThreadRecord>> {
    let ThreadsQuery { before, archived, limit } = query;
    let before = before.map_or(INTEGER_MAX, |before| before.0.min(INTEGER_MAX));
    let limit = limit.min(INTEGER_MAX as usize);
    let snapshot = connection.transaction()?;
    let mut threads = Vec::new();
    let mut read = |mut rows: rusqlite::Rows<'_>| -> ReadReply<()> {
        while let Some(row) = rows.next()? {
            threads.push(record(row)?);
        }
        Ok(())
    };
    match archived {
        None => {
            let mut query = snapshot.prepare_cached(select!("AND last < ?2 ORDER BY last DESC LIMIT ?3"))?;
            read(query.query(params![user_id.as_str(), before, limit])?)?;
        }
        Some(archived) => {
            let mut query = snapshot
                .prepare_cached(select!("AND archived = ?4 AND last < ?2 ORDER BY last DESC LIMIT ?3"))?;
            read(query.query(params![user_id.as_str(), before, limit, archived])?)?;
        }
    }
    if !threads.is_empty() {
        let open = OpenRuns::read(&snapshot, user_id)?;
        threads.iter_mut().for_each(|thread| open.add_to(thread));
    }
    Ok(threads)
}

fn record(row: &Row<'_>) -> ReadReply<ThreadRecord> {
    Ok(ThreadRecord {
        thread_id: ThreadId::parse(text(row, 0)?).map_err(unreadable)?,
        first: Offset(row.get(1)?),
        last: Offset(row.get(2)?),
        last_at: Timestamp(row.get(3)?),
        messages: row.get(4)?,
        title: row
            .get::<_, Option<String>>(5)?
            .as_deref()
            .map(Title::parse)
            .transpose()
            .map_err(unreadable)?,
        archived: row.get(6)?,
        updated: Offset(row.get(7)?),
        first_message: Offset(row.get::<_, Option<u64>>(8)?.unwrap_or_default()),
        agent_name: row
            .get::<_, Option<String>>(9)?
            .as_deref()
            .map(AgentName::parse)
            .transpose()
            .map_err(unreadable)?,
        open_runs: 0,
        open_run: None,
    })
}

/// The open runs of a user, of which the kernel allows few: the number by thread, and the first one.
struct OpenRuns(HashMap<String, (u64, RunId)>);

impl OpenRuns {
    fn read(connection: &Connection, user_id: &UserId) -> ReadReply<Self> {
        let mut query = connection.prepare_cached(
            "SELECT thread_id, run_id FROM runs
             WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND completed IS NULL ORDER BY accepted",
        )?;
        let mut rows = query.query([user_id.as_str()])?;
        let mut runs = HashMap::new();
        while let Some(row) = rows.next()? {
            let run_id = RunId(uuid::Uuid::from_bytes(row.get(1)?));
            runs.entry(row.get(0)?).or_insert((0, run_id)).0 += 1;
        }
        Ok(Self(runs))
    }

    fn add_to(&self, thread: &mut ThreadRecord) {
        if let Some((count, first)) = self.0.get(thread.thread_id.as_str()) {
            (thread.open_runs, thread.open_run) = (*count, Some(*first));
        }
    }
}
