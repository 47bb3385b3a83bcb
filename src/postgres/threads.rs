//! Queries of the index of threads.

use quintet_journal::{Side, ThreadRecord, ThreadsQuery};
use quintet_kernel::ids::{AgentName, Offset, RunId, ThreadId, Timestamp, Title, UserId};
use tokio_postgres::{Client, Row, types::Type};

use crate::reader::{Reply, get, int, name, number, unreadable};

/// The columns of a record, from `users` and `threads`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT t.thread_id, t.first, t.last, t.last_at, t.messages, t.title, t.archived, t.updated,
                (SELECT min(accepted) FROM runs r
                 WHERE r.uid = u.id AND r.thread_id = t.thread_id AND r.accepted > u.trimmed),
                (SELECT agent_name FROM runs r
                 WHERE r.uid = u.id AND r.thread_id = t.thread_id ORDER BY r.accepted DESC LIMIT 1),
                (SELECT count(*) FROM runs r
                 WHERE r.uid = u.id AND r.thread_id = t.thread_id AND r.completed IS NULL),
                (SELECT run_id FROM runs r
                 WHERE r.uid = u.id AND r.thread_id = t.thread_id AND r.completed IS NULL
                 ORDER BY r.accepted LIMIT 1)
             FROM users u JOIN threads t ON t.uid = u.id WHERE u.user_id = $1 ",
            $rest
        )
    };
}

pub(crate) async fn one(
    client: &Client,
    user_id: &UserId,
    thread_id: &ThreadId,
) -> Reply<Option<ThreadRecord>> {
    let row = client
        .query_typed_opt(
            select!("AND t.thread_id = $2"),
            &[(&name(user_id), Type::BYTEA), (&thread_id.as_str(), Type::TEXT)],
        )
        .await?;
    row.as_ref().map(record).transpose()
}

pub(crate) async fn find(client: &Client, user_id: &UserId, query: ThreadsQuery) -> Reply<Vec<ThreadRecord>> {
    let ThreadsQuery { before, archived, limit } = query;
    let before = before.map_or(i64::MAX, |before| int(before.0));
    let limit = int(limit as u64);
    let user = (&name(user_id) as &(dyn tokio_postgres::types::ToSql + Sync), Type::BYTEA);
    let rows = match archived {
        None => {
            client
                .query_typed(
                    select!("AND t.last < $2 ORDER BY t.last DESC LIMIT $3"),
                    &[user, (&before, Type::INT8), (&limit, Type::INT8)],
                )
                .await?
        }
        Some(archived) => {
            client
                .query_typed(
                    select!("AND t.archived = $4 AND t.last < $2 ORDER BY t.last DESC LIMIT $3"),
                    &[user, (&before, Type::INT8), (&limit, Type::INT8), (&archived, Type::BOOL)],
                )
                .await?
        }
    };
    rows.iter().map(record).collect()
}

/// Returns the entries of a thread that belong to no run, on one side of an offset, the nearest first.
pub(crate) async fn changes(
    client: &Client,
    user_id: &UserId,
    thread_id: &ThreadId,
    side: Side,
    limit: usize,
) -> Reply<Vec<Offset>> {
    let (query, from) = match side {
        Side::After(after) => (
            "SELECT at FROM thread_changes WHERE uid = (SELECT id FROM users WHERE user_id = $1)
                AND thread_id = $2 AND at > $3 ORDER BY at LIMIT $4",
            after,
        ),
        Side::Before(before) => (
            "SELECT at FROM thread_changes WHERE uid = (SELECT id FROM users WHERE user_id = $1)
                AND thread_id = $2 AND at < $3 ORDER BY at DESC LIMIT $4",
            before,
        ),
    };
    let rows = client
        .query_typed(
            query,
            &[
                (&name(user_id), Type::BYTEA),
                (&thread_id.as_str(), Type::TEXT),
                (&int(from.0), Type::INT8),
                (&int(limit as u64), Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(|row| number(row, 0).map(Offset)).collect()
}

fn record(row: &Row) -> Reply<ThreadRecord> {
    let title = get::<Option<&[u8]>>(row, 5)?.map(std::str::from_utf8).transpose().map_err(unreadable)?;
    Ok(ThreadRecord {
        thread_id: ThreadId::parse(get(row, 0)?).map_err(unreadable)?,
        first: Offset(number(row, 1)?),
        last: Offset(number(row, 2)?),
        last_at: Timestamp(number(row, 3)?),
        messages: number(row, 4)?,
        title: title.map(Title::parse).transpose().map_err(unreadable)?,
        archived: get(row, 6)?,
        updated: Offset(number(row, 7)?),
        first_message: Offset(get::<Option<i64>>(row, 8)?.unwrap_or_default().unsigned_abs()),
        agent_name: get::<Option<&str>>(row, 9)?.map(AgentName::parse).transpose().map_err(unreadable)?,
        open_runs: number(row, 10)?,
        open_run: get::<Option<uuid::Uuid>>(row, 11)?.map(RunId),
    })
}
