//! The queries. Each runs in one snapshot, so that head, index and entries are consistent.
//!
//! Every row is verified against its checksum when it is read: a flipped bit is an error, not an entry.

use bytes::{Bytes, BytesMut};
use quintet_kernel::{
    ids::{
        AgentName, Epoch, Incarnation, InvalidId, MessageId, Offset, ReceiptId, RunId, ThreadId, Timestamp,
        UserId,
    },
    spending::Spending,
    user::Receipt,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, params};

use super::{erasures, fault::ReadFailure, resumes};
use crate::{
    ErasureRecord, Extent, Fence, Lines, Position, ReadLimit, Recovery, RunRecord,
    engine::{checksum, hashed, status_of},
    lines::LinesBuilder,
};

pub(super) type ReadReply<T> = Result<T, ReadFailure>;

/// Greatest integer in the database.
pub(super) const INTEGER_MAX: u64 = i64::MAX as u64;

pub(super) fn unfinished(connection: &mut Connection) -> ReadReply<Vec<UserId>> {
    let mut query = connection.prepare_cached(
        "SELECT user_id FROM users WHERE id IN (
             SELECT user FROM runs WHERE completed IS NULL
             UNION SELECT user FROM erasures WHERE closed IS NULL)
         ORDER BY id",
    )?;
    let users = query.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    users.iter().map(|text| UserId::parse(text).map_err(unreadable)).collect()
}

/// Reads a table that always exists; on a new connection, from the disk.
pub(super) fn probe(connection: &mut Connection) -> ReadReply<()> {
    Ok(connection.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?)
}

pub(super) fn extent(connection: &mut Connection, user_id: &UserId) -> ReadReply<Extent> {
    Ok(user(connection, user_id)?.map_or(Extent::default(), |user| user.extent))
}

pub(super) fn position(connection: &mut Connection, user_id: &UserId) -> ReadReply<Position> {
    let snapshot = connection.transaction()?;
    match user(&snapshot, user_id)? {
        Some(StoredUser { id, extent }) => Ok(Position { head: extent.head, fence: fence(&snapshot, id)? }),
        None => Ok(Position::default()),
    }
}

fn fence(connection: &Connection, user: i64) -> rusqlite::Result<Fence> {
    let mut query = connection.prepare_cached("SELECT fence FROM users WHERE id = ?1")?;
    query.query_row([user], |row| row.get(0).map(Fence))
}

pub(super) fn read(
    connection: &mut Connection,
    user_id: &UserId,
    after: Offset,
    limit: ReadLimit,
) -> ReadReply<Lines> {
    let after = Offset(after.0.min(INTEGER_MAX));
    let snapshot = connection.transaction()?;
    let Some(StoredUser { id, extent }) = user(&snapshot, user_id)? else {
        return Ok(Lines::empty(after.next()));
    };
    let after = after.max(extent.trimmed);
    if after >= extent.head {
        return Ok(Lines::empty(after.next()));
    }
    let entries_max = limit.entries_max.max(1);
    let mut query = snapshot.prepare_cached(
        "SELECT first, last, checksum, lines FROM batches WHERE user = ?1 AND last > ?2 ORDER BY last",
    )?;
    let mut rows = query.query(params![id, after.0])?;
    let (mut bytes, mut end) = (BytesMut::new(), after);
    while let Some(row) = rows.next()? {
        let (first, last): (u64, u64) = (row.get(0)?, row.get(1)?);
        let lines = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        // Only the first row may begin before the requested entries.
        let follows = if bytes.is_empty() { first <= end.0 + 1 } else { first == end.0 + 1 };
        if !follows || last <= end.0 || checksum(lines) != row.get::<_, i64>(2)? {
            return Err(ReadFailure::Damaged(format!(
                "the entries {first} to {last} are not as they were written"
            )));
        }
        bytes.extend_from_slice(skip_lines(lines, (end.0 + 1).saturating_sub(first)));
        end = Offset(last);
        if end.0 - after.0 >= entries_max as u64 || bytes.len() >= limit.bytes_max {
            break;
        }
    }
    let whole =
        Lines::parse(after.next(), bytes.freeze()).ok().filter(|lines| lines.last() == end && end > after);
    let Some(lines) = whole else {
        return Err(ReadFailure::Damaged(format!("entries after {after} are missing or torn")));
    };
    let wanted = lines.after(after, entries_max, limit.bytes_max);
    // Rows are read whole and may be much longer than the requested part, which a slow reader would keep in
    // memory (DEL-4).
    let detaches = wanted.as_bytes().len() < lines.as_bytes().len() / 2;
    Ok(if detaches { wanted.detached() } else { wanted })
}

/// Reads rows from the one that has the last requested entry, backwards.
pub(super) fn read_before(
    connection: &mut Connection,
    user_id: &UserId,
    before: Offset,
    limit: ReadLimit,
) -> ReadReply<Lines> {
    let snapshot = connection.transaction()?;
    let Some(StoredUser { id, extent }) = user(&snapshot, user_id)? else {
        return Ok(Lines::empty(Offset(1)));
    };
    let end = Offset(before.0.saturating_sub(1)).min(extent.head);
    if end <= extent.trimmed {
        return Ok(Lines::empty(extent.trimmed.next()));
    }
    let mut query = snapshot.prepare_cached(
        "SELECT first, last, checksum, lines FROM batches
         WHERE user = ?1 AND last <= (SELECT min(last) FROM batches WHERE user = ?1 AND last >= ?2)
         ORDER BY last DESC",
    )?;
    let mut rows = query.query(params![id, end.0])?;
    let (entries_max, mut bytes_left) = (limit.entries_max.max(1) as u64, limit.bytes_max);
    let mut parts: Vec<Lines> = Vec::new();
    // Every entry after `start`, up to `end`, is in `parts`.
    let mut start = end;
    while start > extent.trimmed && end.0 - start.0 < entries_max {
        let Some(row) = rows.next()? else {
            return Err(ReadFailure::Damaged(format!("entry {start} is missing")));
        };
        let (first, last): (u64, u64) = (row.get(0)?, row.get(1)?);
        let lines = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        // Only the row of `end` may end after the requested entries.
        let follows = if parts.is_empty() { last >= start.0 } else { last == start.0 };
        let torn =
            || ReadFailure::Damaged(format!("the entries {first} to {last} are not as they were written"));
        if !follows || first > start.0 || checksum(lines) != row.get::<_, i64>(2)? {
            return Err(torn());
        }
        let row = Lines::parse(Offset(first), Bytes::copy_from_slice(lines))
            .ok()
            .filter(|row| row.last().0 == last)
            .ok_or_else(torn)?;
        let room = (entries_max - (end.0 - start.0)).min(start.0 - extent.trimmed.0);
        let wanted = row.before(start.next(), usize::try_from(room).unwrap_or(usize::MAX), bytes_left);
        // `before` returns at least one line, so the byte limit is enforced here.
        if !parts.is_empty() && wanted.as_bytes().len() > bytes_left {
            break;
        }
        bytes_left = bytes_left.saturating_sub(wanted.as_bytes().len());
        let whole = wanted.first().0 == first;
        start = Offset(wanted.first().0 - 1);
        parts.push(wanted);
        if !whole {
            break;
        }
    }
    let mut together = LinesBuilder::new(start.next());
    parts.iter().rev().for_each(|part| together.extend(part));
    Ok(together.finish())
}

fn skip_lines(lines: &[u8], count: u64) -> &[u8] {
    match count.checked_sub(1).and_then(|last| memchr::memchr_iter(b'\n', lines).nth(last as usize)) {
        Some(end) => &lines[end + 1..],
        None => lines,
    }
}

pub(super) fn recovery(
    connection: &mut Connection,
    user_id: &UserId,
    recent_max: usize,
) -> ReadReply<Recovery> {
    let snapshot = connection.transaction()?;
    let Some(StoredUser { id, extent }) = user(&snapshot, user_id)? else { return Ok(Recovery::default()) };
    let mut recent = runs(
        snapshot.prepare_cached(
            "SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status,
                parent, executor
             FROM runs WHERE user = ?1 AND thread_id <> '' ORDER BY accepted DESC LIMIT ?2",
        )?,
        params![id, recent_max],
    )?;
    recent.reverse();
    let unfinished = runs(
        snapshot.prepare_cached(
            "SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status,
                parent, executor
             FROM runs WHERE user = ?1 AND completed IS NULL ORDER BY accepted",
        )?,
        params![id],
    )?;
    let recent = recent.iter().map(RunRecord::recent).collect();
    let spending = snapshot
        .prepare_cached("SELECT spent_bytes, spent_at FROM users WHERE id = ?1")?
        .query_row([id], |row| Ok(Spending { bytes: row.get(0)?, at: Timestamp(row.get(1)?) }))?;
    let resumes = resumes::of_user(&snapshot, id)?;
    let erasures = erasures::open_of_user(&snapshot, id)?;
    let fence = fence(&snapshot, id)?;
    Ok(Recovery { head: extent.head, fence, recent, unfinished, resumes, spending, erasures })
}

pub(super) fn message(
    connection: &mut Connection,
    user_id: &UserId,
    message_id: &MessageId,
    origin: Epoch,
) -> ReadReply<Option<Receipt>> {
    // DEL-6: of an erased message the index has a hash of the id.
    let erased = hashed(origin, user_id, message_id);
    let found = connection
        .prepare_cached(
            "SELECT run_id, accepted FROM runs
             WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND message_id IN (?2, ?3)",
        )?
        .query_row([user_id.as_str(), message_id.as_str(), &erased], |row| {
            Ok((row.get(0)?, Offset(row.get(1)?)))
        })
        .optional()?;
    Ok(found.map(|(run_id, offset)| Receipt { run_id: RunId(uuid::Uuid::from_bytes(run_id)), offset }))
}

pub(super) fn run(
    connection: &mut Connection,
    user_id: &UserId,
    run_id: RunId,
) -> ReadReply<Option<RunRecord>> {
    let query = connection.prepare_cached(
        "SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status,
                parent, executor
         FROM runs WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND run_id = ?2 AND thread_id <> ''",
    )?;
    Ok(runs(query, params![user_id.as_str(), run_id.0.as_bytes()])?.pop())
}

pub(super) fn thread_runs(
    connection: &mut Connection,
    user_id: &UserId,
    thread_id: &ThreadId,
    after: Offset,
    limit: usize,
) -> ReadReply<Vec<RunRecord>> {
    let query = connection.prepare_cached(
        "SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status,
                parent, executor
         FROM runs INDEXED BY runs_by_thread
         WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND thread_id = ?2
           AND (completed IS NULL OR completed > ?3)
         ORDER BY accepted LIMIT ?4",
    )?;
    let after = after.0.min(INTEGER_MAX);
    runs(query, params![user_id.as_str(), thread_id.as_str(), after, limit.min(INTEGER_MAX as usize)])
}

pub(super) fn thread_runs_before(
    connection: &mut Connection,
    user_id: &UserId,
    thread_id: &ThreadId,
    before: Option<Offset>,
    limit: usize,
) -> ReadReply<Vec<RunRecord>> {
    let query = connection.prepare_cached(
        "SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status,
                parent, executor
         FROM runs INDEXED BY runs_by_thread
         WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND thread_id = ?2 AND accepted < ?3
         ORDER BY accepted DESC LIMIT ?4",
    )?;
    let before = before.map_or(INTEGER_MAX, |before| before.0.min(INTEGER_MAX));
    runs(query, params![user_id.as_str(), thread_id.as_str(), before, limit.min(INTEGER_MAX as usize)])
}

pub(super) fn thread_runs_ending(
    connection: &mut Connection,
    user_id: &UserId,
    thread_id: &ThreadId,
    before: Offset,
    after: Offset,
    limit: usize,
) -> ReadReply<Vec<RunRecord>> {
    let snapshot = connection.transaction()?;
    let (before, after) = (before.0.min(INTEGER_MAX), after.0.min(INTEGER_MAX));
    let limit = limit.min(INTEGER_MAX as usize);
    let open = snapshot.prepare_cached(
        "SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status,
                parent, executor
         FROM runs INDEXED BY runs_by_end
         WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND thread_id = ?2 AND completed IS NULL
           AND accepted < ?3
         ORDER BY accepted DESC LIMIT ?4",
    )?;
    let mut found = runs(open, params![user_id.as_str(), thread_id.as_str(), before, limit])?;
    let ended = snapshot.prepare_cached(
        "SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status,
                parent, executor
         FROM runs INDEXED BY runs_by_end
         WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND thread_id = ?2 AND completed > ?3
           AND accepted < ?4
         ORDER BY completed DESC LIMIT ?5",
    )?;
    let room = limit - found.len();
    found.extend(runs(ended, params![user_id.as_str(), thread_id.as_str(), after, before, room])?);
    Ok(found)
}

pub(super) fn thread_message(
    connection: &mut Connection,
    user_id: &UserId,
    thread_id: &ThreadId,
    at: Option<Offset>,
) -> ReadReply<Option<Offset>> {
    let (lowest, highest) = at.map_or((0, INTEGER_MAX), |at| (at.0.min(INTEGER_MAX), at.0.min(INTEGER_MAX)));
    let found = connection
        .prepare_cached(
            "SELECT accepted FROM runs INDEXED BY runs_by_thread
             WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND thread_id = ?2
               AND accepted BETWEEN ?3 AND ?4
             ORDER BY accepted DESC LIMIT 1",
        )?
        .query_row(params![user_id.as_str(), thread_id.as_str(), lowest, highest], |row| row.get(0))
        .optional()?;
    Ok(found.map(Offset))
}

/// Looks up each run of the path by its key, so that the cost does not depend on the length of the thread.
pub(super) fn path(
    connection: &mut Connection,
    user_id: &UserId,
    message: Offset,
    limit: usize,
) -> ReadReply<Vec<RunRecord>> {
    let snapshot = connection.transaction()?;
    let Some(StoredUser { id, .. }) = user(&snapshot, user_id)? else { return Ok(Vec::new()) };
    let mut path: Vec<RunRecord> = Vec::new();
    let mut next = message;
    while path.len() < limit && next > Offset::ZERO {
        let query = snapshot.prepare_cached(
            "SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status,
                    parent, executor
             FROM runs WHERE user = ?1 AND accepted = ?2 AND thread_id <> ''",
        )?;
        let Some(run) = runs(query, params![id, next.0.min(INTEGER_MAX)])?.pop() else { break };
        if run.parent >= run.accepted {
            return Err(ReadFailure::Damaged(format!("message {next} follows a later one")));
        }
        next = run.parent;
        path.push(run);
    }
    Ok(path)
}

pub(super) fn erasure(
    connection: &mut Connection,
    user_id: &UserId,
    receipt: ReceiptId,
) -> ReadReply<Option<ErasureRecord>> {
    Ok(erasures::of_user(connection, user_id, receipt)?.map(|(_, record, _)| record))
}

struct StoredUser {
    id: i64,
    extent: Extent,
}

fn user(connection: &Connection, user_id: &UserId) -> rusqlite::Result<Option<StoredUser>> {
    connection
        .prepare_cached("SELECT id, trimmed, head FROM users WHERE user_id = ?1")?
        .query_row([user_id.as_str()], |row| {
            Ok(StoredUser {
                id: row.get(0)?,
                extent: Extent { trimmed: Offset(row.get(1)?), head: Offset(row.get(2)?) },
            })
        })
        .optional()
}

/// Runs a query that returns the columns of run records.
fn runs(mut query: CachedStatement<'_>, params: impl Params) -> ReadReply<Vec<RunRecord>> {
    let mut rows = query.query(params)?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        let completed = match row.get::<_, Option<u64>>(7)? {
            None => None,
            Some(offset) => {
                let status = status_of(text(row, 8)?)
                    .ok_or_else(|| ReadFailure::Damaged("a run's status is unreadable".into()))?;
                Some((Offset(offset), status))
            }
        };
        runs.push(RunRecord {
            run_id: RunId(uuid::Uuid::from_bytes(row.get(0)?)),
            thread_id: ThreadId::parse(text(row, 1)?).map_err(unreadable)?,
            message_id: MessageId::parse(text(row, 2)?).map_err(unreadable)?,
            agent_name: AgentName::parse(text(row, 3)?).map_err(unreadable)?,
            accepted: Offset(row.get(4)?),
            accepted_at: Timestamp(row.get(5)?),
            started: row.get::<_, Option<u64>>(6)?.map(Offset),
            completed,
            parent: Offset(row.get(9)?),
            executor: row.get::<_, Option<[u8; 16]>>(10)?.map(|id| Incarnation(uuid::Uuid::from_bytes(id))),
        });
    }
    Ok(runs)
}

pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> ReadReply<&'r str> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

pub(super) fn unreadable(error: InvalidId) -> ReadFailure {
    ReadFailure::Damaged(format!("the index is unreadable: {error}"))
}
