//! Queries of entries, and the columns of every query.
//!
//! Every row is verified against its checksum when it is read: a flipped bit is an error, not an entry.

use bytes::{Bytes, BytesMut};
use quintet_journal::{
    Extent, Fence, Lines, Position, ReadLimit,
    engine::{TornRow, checksum},
    lines::LinesBuilder,
};
use quintet_kernel::ids::{Offset, UserId};
use quintet_runtime::clock;
use tokio_postgres::{
    Client, Row,
    types::{FromSql, Type},
};

use crate::{
    fault::Failure,
    options::{READ_BYTES_MAX, READ_ROWS_MAX},
};

pub(crate) type Reply<T> = Result<T, Failure>;

/// Greatest integer in the database.
pub(crate) const INTEGER_MAX: u64 = i64::MAX as u64;

pub(crate) fn name(user_id: &UserId) -> &[u8] {
    user_id.as_str().as_bytes()
}

pub(crate) fn int(number: u64) -> i64 {
    number.min(INTEGER_MAX) as i64
}

pub(crate) fn count(number: usize) -> i64 {
    int(number as u64)
}

pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Reply<T> {
    Ok(row.try_get(column)?)
}

/// Returns a number, which is never negative in a sound journal.
pub(crate) fn number(row: &Row, column: usize) -> Reply<u64> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| Failure::Damaged("a number is negative".into()))
}

pub(crate) fn offset(row: &Row, column: usize) -> Reply<Offset> {
    number(row, column).map(Offset)
}

pub(crate) fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::Damaged(format!("the index is unreadable: {error}"))
}

pub(crate) async fn unfinished(client: &Client) -> Reply<Vec<UserId>> {
    let rows = client
        .query_typed(
            "SELECT user_id FROM users WHERE id IN (
                 SELECT uid FROM runs WHERE completed IS NULL
                 UNION SELECT uid FROM erasures WHERE closed IS NULL)
             ORDER BY id",
            &[],
        )
        .await?;
    rows.iter().map(|row| user_id(get(row, 0)?)).collect()
}

/// Returns users with an open run whose executor has no lease, or with a message that has waited for a while although
/// nothing of its thread runs, in any order, so that several nodes rarely begin with the same user. The executors are
/// enumerated first, one step of the index each: there are few of them, and many runs.
pub(crate) async fn abandoned(client: &Client, limit: usize, waited_ms: u64) -> Reply<Vec<UserId>> {
    let before = int(clock::now().0.saturating_sub(waited_ms));
    let rows = client
        .query_typed(
            "WITH RECURSIVE e (executor) AS (
                 (SELECT executor FROM runs WHERE completed IS NULL AND executor IS NOT NULL
                  ORDER BY executor LIMIT 1)
                 UNION ALL
                 SELECT (SELECT r.executor FROM runs r WHERE r.completed IS NULL AND r.executor > e.executor
                         ORDER BY r.executor LIMIT 1)
                 FROM e WHERE e.executor IS NOT NULL),
             gone AS (
                 SELECT executor FROM e WHERE executor IS NOT NULL AND NOT EXISTS (
                     SELECT FROM nodes n WHERE n.incarnation = e.executor AND n.lease_until > now()))
             SELECT user_id FROM users WHERE id IN (
                 SELECT r.uid FROM gone JOIN runs r ON r.executor = gone.executor AND r.completed IS NULL
                 UNION
                 SELECT r.uid FROM runs r
                 WHERE r.executor IS NULL AND r.completed IS NULL AND r.started IS NULL AND r.accepted_at < $2
                     AND NOT EXISTS (SELECT FROM runs o WHERE o.uid = r.uid AND o.thread_id = r.thread_id
                                     AND o.completed IS NULL AND o.started IS NOT NULL))
             ORDER BY random() LIMIT $1",
            &[(&(limit as i64), Type::INT8), (&before, Type::INT8)],
        )
        .await?;
    rows.iter().map(|row| user_id(get(row, 0)?)).collect()
}

pub(crate) fn user_id(bytes: &[u8]) -> Reply<UserId> {
    let text = std::str::from_utf8(bytes).map_err(unreadable)?;
    UserId::parse(text).map_err(unreadable)
}

pub(crate) async fn probe(client: &Client) -> Reply<()> {
    client.query_typed_one("SELECT count(*) FROM meta", &[]).await?;
    Ok(())
}

pub(crate) async fn extent(client: &Client, user_id: &UserId) -> Reply<Extent> {
    let row = client
        .query_typed_opt(
            "SELECT trimmed, head FROM users WHERE user_id = $1",
            &[(&name(user_id), Type::BYTEA)],
        )
        .await?;
    match row {
        Some(row) => Ok(Extent { trimmed: offset(&row, 0)?, head: offset(&row, 1)? }),
        None => Ok(Extent::default()),
    }
}

pub(crate) async fn position(client: &Client, user_id: &UserId) -> Reply<Position> {
    let row = client
        .query_typed_opt("SELECT head, fence FROM users WHERE user_id = $1", &[(&name(user_id), Type::BYTEA)])
        .await?;
    match row {
        Some(row) => Ok(Position { head: offset(&row, 0)?, fence: Fence(number(&row, 1)?) }),
        None => Ok(Position::default()),
    }
}

/// Reads pages of rows until a limit is reached. A later page has its own snapshot: rows are only removed at the begin of
/// a log, and replaced by rows of the same offsets.
pub(crate) async fn read(client: &Client, user_id: &UserId, after: Offset, limit: ReadLimit) -> Reply<Lines> {
    let asked = Offset(after.0.min(INTEGER_MAX));
    let entries_max = limit.entries_max.max(1);
    let (mut bytes, mut start, mut end) = (BytesMut::new(), asked, asked);
    loop {
        let room = limit.bytes_max.saturating_sub(bytes.len()).min(READ_BYTES_MAX);
        let wanted = entries_max.saturating_sub((end.0 - start.0) as usize).min(READ_ROWS_MAX);
        let rows = client
            .query_typed(
                "SELECT u.trimmed, u.head, b.first, b.last, b.checksum, b.lines
                 FROM users u LEFT JOIN LATERAL (
                     SELECT *, sum(size) OVER (ORDER BY last) - size AS before FROM (
                         SELECT first, last, checksum, lines, octet_length(lines) AS size FROM batches
                         WHERE uid = u.id AND last > greatest($2, u.trimmed) ORDER BY last LIMIT $3) AS page
                 ) b ON b.before < $4 WHERE u.user_id = $1 ORDER BY b.last",
                &[
                    (&name(user_id), Type::BYTEA),
                    (&int(end.0), Type::INT8),
                    (&count(wanted), Type::INT8),
                    (&count(room.max(1)), Type::INT8),
                ],
            )
            .await?;
        let Some(any) = rows.first() else { return Ok(Lines::empty(asked.next())) };
        let (trimmed, head) = (offset(any, 0)?, offset(any, 1)?);
        if bytes.is_empty() {
            start = asked.max(trimmed);
            end = start;
        } else if trimmed > end {
            // Trimmed since the first page.
            break;
        }
        if end >= head {
            break;
        }
        let begin = end;
        for row in &rows {
            let Some((first, last, lines)) = stored(row, 2)? else { break };
            // Only the first row may begin before the requested entries.
            let follows = if bytes.is_empty() { first.0 <= end.0 + 1 } else { first == end.next() };
            if !follows || last <= end {
                return Err(TornRow { first, last }.into());
            }
            bytes.extend_from_slice(skip_lines(lines, (end.0 + 1).saturating_sub(first.0)));
            end = last;
        }
        if end == begin {
            return Err(Failure::Damaged(format!("entries after {begin} are missing or torn")));
        }
        if end.0 - start.0 >= entries_max as u64 || bytes.len() >= limit.bytes_max {
            break;
        }
    }
    let torn = || Failure::Damaged(format!("entries after {start} are missing or torn"));
    let lines = Lines::parse(start.next(), bytes.freeze()).ok().filter(|lines| lines.last() == end);
    let lines = lines.ok_or_else(torn)?;
    let wanted = lines.after(start, entries_max, limit.bytes_max);
    // Rows are read whole and may be much longer than the requested part, which a slow reader would keep in memory (DEL-4).
    let detaches = wanted.as_bytes().len() < lines.as_bytes().len() / 2;
    Ok(if detaches { wanted.detached() } else { wanted })
}

/// Returns the offsets and the lines of a row, from its column `first` on; `None` if the columns are null.
fn stored(row: &Row, column: usize) -> Reply<Option<(Offset, Offset, &[u8])>> {
    let Some(first) = get::<Option<i64>>(row, column)? else { return Ok(None) };
    let (first, last) = (Offset(first.unsigned_abs()), offset(row, column + 1)?);
    let lines: &[u8] = get(row, column + 3)?;
    if checksum(lines) != get::<i64>(row, column + 2)? {
        return Err(TornRow { first, last }.into());
    }
    Ok(Some((first, last, lines)))
}

fn skip_lines(lines: &[u8], count: u64) -> &[u8] {
    let mut ends = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    match count.checked_sub(1).and_then(|last| ends.nth(last as usize)) {
        Some(end) => &lines[end + 1..],
        None => lines,
    }
}

/// Reads rows from the one that has the last requested entry, backwards.
pub(crate) async fn read_before(
    client: &Client,
    user_id: &UserId,
    before: Offset,
    limit: ReadLimit,
) -> Reply<Lines> {
    let Extent { trimmed, head } = extent(client, user_id).await?;
    let end = Offset(before.0.saturating_sub(1)).min(head);
    if end <= trimmed {
        return Ok(Lines::empty(trimmed.next()));
    }
    let (entries_max, mut bytes_left) = (limit.entries_max.max(1) as u64, limit.bytes_max);
    let mut parts: Vec<Lines> = Vec::new();
    // Every entry after `start`, up to `end`, is in `parts`.
    let (mut start, mut trimmed) = (end, trimmed);
    'pages: while start > trimmed && end.0 - start.0 < entries_max {
        let rows = client
            .query_typed(
                "SELECT u.trimmed, u.head, b.first, b.last, b.checksum, b.lines
                 FROM users u LEFT JOIN LATERAL (
                     SELECT *, sum(size) OVER (ORDER BY last DESC) - size AS before FROM (
                         (SELECT first, last, checksum, lines, octet_length(lines) AS size FROM batches
                          WHERE uid = u.id AND last >= $2 ORDER BY last LIMIT 1)
                         UNION ALL
                         (SELECT first, last, checksum, lines, octet_length(lines) FROM batches
                          WHERE uid = u.id AND last < $2 ORDER BY last DESC LIMIT $3)) AS page
                 ) b ON b.before < $4 WHERE u.user_id = $1 ORDER BY b.last DESC",
                &[
                    (&name(user_id), Type::BYTEA),
                    (&int(start.0), Type::INT8),
                    (&int((entries_max - (end.0 - start.0)).min(READ_ROWS_MAX as u64)), Type::INT8),
                    (&count(bytes_left.clamp(1, READ_BYTES_MAX)), Type::INT8),
                ],
            )
            .await?;
        let Some(any) = rows.first() else { break };
        trimmed = offset(any, 0)?;
        if start <= trimmed {
            // Trimmed since the first page.
            break;
        }
        let begin = start;
        for row in &rows {
            let Some((first, last, lines)) = stored(row, 2)? else { break };
            // Only the row of `end` may end after the requested entries.
            let follows = if parts.is_empty() { last >= start } else { last == start };
            let torn = || Failure::from(TornRow { first, last });
            if !follows || first > start {
                return Err(torn());
            }
            let row = Lines::parse(first, Bytes::copy_from_slice(lines))
                .ok()
                .filter(|row| row.last() == last)
                .ok_or_else(torn)?;
            let room = (entries_max - (end.0 - start.0)).min(start.0 - trimmed.0);
            let wanted = row.before(start.next(), usize::try_from(room).unwrap_or(usize::MAX), bytes_left);
            // `before` returns at least one line, so the byte limit is enforced here.
            if !parts.is_empty() && wanted.as_bytes().len() > bytes_left {
                break 'pages;
            }
            bytes_left = bytes_left.saturating_sub(wanted.as_bytes().len());
            let whole = wanted.first() == first;
            start = Offset(wanted.first().0 - 1);
            parts.push(wanted);
            if !whole || start <= trimmed || end.0 - start.0 >= entries_max {
                break 'pages;
            }
        }
        if start == begin {
            return Err(Failure::Damaged(format!("entry {start} is missing")));
        }
    }
    let mut together = LinesBuilder::new(start.next());
    parts.iter().rev().for_each(|part| together.extend(part));
    Ok(together.finish())
}
