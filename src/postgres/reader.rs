//! The queries. Each is one statement, or a transaction with one snapshot, so that head, index and entries are consistent.
//!
//! Every row is verified against its checksum when it is read: a flipped bit is an error, not an entry.

use bytes::{Bytes, BytesMut};
use quintet_journal::{
    ErasureRecord, Extent, Incarnation, Lines, ReadLimit, Recovery, ResumeRecord, RunRecord,
    chain::ChainHash,
    engine::{TornRow, checksum, hashed, status_of},
    lines::LinesBuilder,
};
use quintet_kernel::{
    ids::{AgentName, Epoch, MessageId, Offset, ReceiptId, RunId, Seq, ThreadId, Timestamp, UserId},
    spending::Spending,
    user::{EraseScope, Erasure, Receipt, Resumes},
};
use tokio_postgres::{
    Client, GenericClient, IsolationLevel, Row,
    types::{FromSql, ToSql, Type},
};

use crate::{
    fault::Failure,
    options::{READ_BYTES_MAX, READ_ROWS_MAX},
};

pub(crate) type Reply<T> = Result<T, Failure>;

/// Greatest integer in the database.
pub(crate) const INTEGER_MAX: u64 = i64::MAX as u64;

/// The columns of a run record.
macro_rules! runs {
    ($rest:literal) => {
        concat!(
            "SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status,
                    parent FROM runs ",
            $rest
        )
    };
}

/// A parameter and its type.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

pub(crate) fn name(user_id: &UserId) -> &[u8] {
    user_id.as_str().as_bytes()
}

pub(crate) fn int(number: u64) -> i64 {
    number.min(INTEGER_MAX) as i64
}

fn count(number: usize) -> i64 {
    int(number as u64)
}

pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Reply<T> {
    Ok(row.try_get(column)?)
}

/// Returns a number, which is never negative in a sound journal.
pub(crate) fn number(row: &Row, column: usize) -> Reply<u64> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| Failure::Damaged("a number is negative".into()))
}

fn offset(row: &Row, column: usize) -> Reply<Offset> {
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
    let ends = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    match count.checked_sub(1).and_then(|last| ends.skip(last as usize).next()) {
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

pub(crate) async fn recovery(client: &mut Client, user_id: &UserId, recent_max: usize) -> Reply<Recovery> {
    let snapshot = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let user = snapshot
        .query_typed_opt(
            "SELECT id, head, spent_bytes, spent_at FROM users WHERE user_id = $1",
            &[(&name(user_id), Type::BYTEA)],
        )
        .await?;
    let Some(user) = user else { return Ok(Recovery::default()) };
    let uid: i64 = get(&user, 0)?;
    let spending = Spending { bytes: number(&user, 2)?, at: Timestamp(number(&user, 3)?) };
    let mut recent = runs(
        &snapshot,
        runs!("WHERE uid = $1 AND thread_id <> '' ORDER BY accepted DESC LIMIT $2"),
        &[(&uid, Type::INT8), (&count(recent_max), Type::INT8)],
    )
    .await?;
    recent.reverse();
    let unfinished = runs(
        &snapshot,
        runs!("WHERE uid = $1 AND completed IS NULL ORDER BY accepted"),
        &[(&uid, Type::INT8)],
    )
    .await?;
    let resumes = snapshot
        .query_typed(
            "SELECT run_id, without_step, total, seq, incarnation FROM resumes WHERE uid = $1 ORDER BY run_id",
            &[(&uid, Type::INT8)],
        )
        .await?;
    let erasures = snapshot
        .query_typed(
            "SELECT receipt, thread_id, through, chain, requested_at, completed_at, entries, at, uid FROM erasures
             WHERE uid = $1 AND closed IS NULL ORDER BY through, receipt",
            &[(&uid, Type::INT8)],
        )
        .await?;
    let recovery = Recovery {
        head: offset(&user, 1)?,
        recent: recent.iter().map(RunRecord::recent).collect(),
        unfinished,
        resumes: resumes.iter().map(resume).collect::<Reply<_>>()?,
        spending,
        erasures: erasures.iter().map(intent).collect::<Reply<_>>()?,
    };
    snapshot.commit().await?;
    Ok(recovery)
}

fn resume(row: &Row) -> Reply<ResumeRecord> {
    let small = |column| Ok::<_, Failure>(u32::try_from(number(row, column)?).unwrap_or(u32::MAX));
    Ok(ResumeRecord {
        run_id: RunId(get(row, 0)?),
        counted: Resumes { without_step: small(1)?, total: small(2)? },
        seq: Seq(number(row, 3)?),
        incarnation: get::<Option<uuid::Uuid>>(row, 4)?.map(Incarnation),
    })
}

fn intent(row: &Row) -> Reply<Erasure> {
    let (ErasureRecord { receipt, scope, through, requested_at, .. }, _) = erasure_record(row)?;
    Ok(Erasure { scope, through, receipt, requested_at })
}

/// Reads a row of `erasures`: the record, and the last entry whose row was examined.
pub(crate) fn erasure_record(row: &Row) -> Reply<(ErasureRecord, Offset)> {
    let scope = match get::<Option<&str>>(row, 1)? {
        None => EraseScope::Log,
        Some(thread_id) => EraseScope::Thread(ThreadId::parse(thread_id).map_err(unreadable)?),
    };
    let chain: &[u8] = get(row, 3)?;
    let record = ErasureRecord {
        receipt: ReceiptId(get(row, 0)?),
        scope,
        through: offset(row, 2)?,
        chain_head: ChainHash(chain.try_into().map_err(unreadable)?),
        requested_at: Timestamp(number(row, 4)?),
        completed_at: get::<Option<i64>>(row, 5)?.map(|at| Timestamp(at.unsigned_abs())),
        entries: number(row, 6)?,
    };
    Ok((record, offset(row, 7)?))
}

/// Returns a user's erasure: the row of the user, the record, and the last entry whose row was examined.
pub(crate) async fn erasure(
    client: &impl GenericClient,
    user_id: &UserId,
    receipt: ReceiptId,
) -> Reply<Option<(i64, ErasureRecord, Offset)>> {
    let row = client
        .query_typed_opt(
            "SELECT receipt, thread_id, through, chain, requested_at, completed_at, entries, at, uid FROM erasures
             WHERE uid = (SELECT id FROM users WHERE user_id = $1) AND receipt = $2",
            &[(&name(user_id), Type::BYTEA), (&receipt.0, Type::UUID)],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let (record, at) = erasure_record(&row)?;
    Ok(Some((get(&row, 8)?, record, at)))
}

pub(crate) async fn message(
    client: &Client,
    user_id: &UserId,
    message_id: &MessageId,
    origin: Epoch,
) -> Reply<Option<Receipt>> {
    // DEL-6: of an erased message the index has a hash of the id.
    let ids = [message_id.as_str().to_owned(), hashed(origin, user_id, message_id)];
    let row = client
        .query_typed_opt(
            "SELECT run_id, accepted FROM runs
             WHERE uid = (SELECT id FROM users WHERE user_id = $1) AND message_id = ANY($2)",
            &[(&name(user_id), Type::BYTEA), (&&ids[..], Type::TEXT_ARRAY)],
        )
        .await?;
    row.map(|row| Ok(Receipt { run_id: RunId(get(&row, 0)?), offset: offset(&row, 1)? })).transpose()
}

pub(crate) async fn run(client: &Client, user_id: &UserId, run_id: RunId) -> Reply<Option<RunRecord>> {
    let query =
        runs!("WHERE uid = (SELECT id FROM users WHERE user_id = $1) AND run_id = $2 AND thread_id <> ''");
    let params: &[Param<'_>] = &[(&name(user_id), Type::BYTEA), (&run_id.0, Type::UUID)];
    Ok(runs(client, query, params).await?.pop())
}

pub(crate) async fn thread_runs(
    client: &Client,
    user_id: &UserId,
    thread_id: &ThreadId,
    after: Offset,
    limit: usize,
) -> Reply<Vec<RunRecord>> {
    let query = runs!(
        "WHERE uid = (SELECT id FROM users WHERE user_id = $1) AND thread_id = $2
           AND (completed IS NULL OR completed > $3) ORDER BY accepted LIMIT $4"
    );
    let params: &[Param<'_>] = &[
        (&name(user_id), Type::BYTEA),
        (&thread_id.as_str(), Type::TEXT),
        (&int(after.0), Type::INT8),
        (&count(limit), Type::INT8),
    ];
    runs(client, query, params).await
}

pub(crate) async fn thread_runs_before(
    client: &Client,
    user_id: &UserId,
    thread_id: &ThreadId,
    before: Option<Offset>,
    limit: usize,
) -> Reply<Vec<RunRecord>> {
    let query = runs!(
        "WHERE uid = (SELECT id FROM users WHERE user_id = $1) AND thread_id = $2 AND accepted < $3
         ORDER BY accepted DESC LIMIT $4"
    );
    let params: &[Param<'_>] = &[
        (&name(user_id), Type::BYTEA),
        (&thread_id.as_str(), Type::TEXT),
        (&before.map_or(i64::MAX, |before| int(before.0)), Type::INT8),
        (&count(limit), Type::INT8),
    ];
    runs(client, query, params).await
}

pub(crate) async fn thread_runs_ending(
    client: &Client,
    user_id: &UserId,
    thread_id: &ThreadId,
    before: Offset,
    after: Offset,
    limit: usize,
) -> Reply<Vec<RunRecord>> {
    let query = "
        (SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status, parent
         FROM runs WHERE uid = (SELECT id FROM users WHERE user_id = $1) AND thread_id = $2 AND completed IS NULL
           AND accepted < $3 ORDER BY accepted DESC LIMIT $5)
        UNION ALL
        (SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status, parent
         FROM runs WHERE uid = (SELECT id FROM users WHERE user_id = $1) AND thread_id = $2 AND completed > $4
           AND accepted < $3 ORDER BY completed DESC LIMIT $5)
        ORDER BY completed DESC NULLS FIRST, accepted DESC LIMIT $5";
    let params: &[Param<'_>] = &[
        (&name(user_id), Type::BYTEA),
        (&thread_id.as_str(), Type::TEXT),
        (&int(before.0), Type::INT8),
        (&int(after.0), Type::INT8),
        (&count(limit), Type::INT8),
    ];
    runs(client, query, params).await
}

pub(crate) async fn thread_message(
    client: &Client,
    user_id: &UserId,
    thread_id: &ThreadId,
    at: Option<Offset>,
) -> Reply<Option<Offset>> {
    let (lowest, highest) = at.map_or((0, i64::MAX), |at| (int(at.0), int(at.0)));
    let row = client
        .query_typed_opt(
            "SELECT accepted FROM runs
             WHERE uid = (SELECT id FROM users WHERE user_id = $1) AND thread_id = $2
               AND accepted BETWEEN $3 AND $4 ORDER BY accepted DESC LIMIT 1",
            &[
                (&name(user_id), Type::BYTEA),
                (&thread_id.as_str(), Type::TEXT),
                (&lowest, Type::INT8),
                (&highest, Type::INT8),
            ],
        )
        .await?;
    row.map(|row| offset(&row, 0)).transpose()
}

/// Looks up each run of the path by its key, so that the cost does not depend on the length of the thread.
pub(crate) async fn path(
    client: &Client,
    user_id: &UserId,
    message: Offset,
    limit: usize,
) -> Reply<Vec<RunRecord>> {
    // A parent that is not earlier would make a circle: it ends the recursion and is reported.
    let query = "
        WITH RECURSIVE p AS (
            SELECT r.*, 1::int8 AS depth FROM runs r
            WHERE uid = (SELECT id FROM users WHERE user_id = $1) AND accepted = $2 AND thread_id <> ''
          UNION ALL
            SELECT r.*, p.depth + 1 FROM p JOIN runs r ON r.uid = p.uid AND r.accepted = p.parent
            WHERE r.thread_id <> '' AND p.parent < p.accepted AND p.depth < $3)
        SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status, parent
        FROM p ORDER BY depth";
    let params: &[Param<'_>] =
        &[(&name(user_id), Type::BYTEA), (&int(message.0), Type::INT8), (&count(limit), Type::INT8)];
    if limit == 0 {
        return Ok(Vec::new());
    }
    let path = runs(client, query, params).await?;
    match path.iter().find(|run| run.parent >= run.accepted) {
        Some(run) => Err(Failure::Damaged(format!("message {} follows a later one", run.accepted))),
        None => Ok(path),
    }
}

/// Runs a query that returns the columns of run records.
async fn runs(client: &impl GenericClient, query: &str, params: &[Param<'_>]) -> Reply<Vec<RunRecord>> {
    client.query_typed(query, params).await?.iter().map(record).collect()
}

fn record(row: &Row) -> Reply<RunRecord> {
    let optional =
        |column| Ok::<_, Failure>(get::<Option<i64>>(row, column)?.map(|at| Offset(at.unsigned_abs())));
    let completed = match optional(7)? {
        None => None,
        Some(offset) => {
            let status = get::<Option<&str>>(row, 8)?.and_then(status_of);
            Some((offset, status.ok_or_else(|| Failure::Damaged("a run's status is unreadable".into()))?))
        }
    };
    Ok(RunRecord {
        run_id: RunId(get(row, 0)?),
        thread_id: ThreadId::parse(get(row, 1)?).map_err(unreadable)?,
        message_id: MessageId::parse(get(row, 2)?).map_err(unreadable)?,
        agent_name: AgentName::parse(get(row, 3)?).map_err(unreadable)?,
        accepted: offset(row, 4)?,
        accepted_at: Timestamp(number(row, 5)?),
        parent: offset(row, 9)?,
        started: optional(6)?,
        completed,
    })
}
