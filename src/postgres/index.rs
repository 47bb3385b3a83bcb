//! Queries of the index: recovery, messages, runs and erasures. Each is one statement, or a transaction with one snapshot.

use quintet_journal::{
    ErasureRecord, Fence, Recovery, ResumeRecord, RunRecord,
    chain::ChainHash,
    engine::{hashed, status_of},
};
use quintet_kernel::{
    ids::{
        AgentName, Epoch, Incarnation, MessageId, Offset, ReceiptId, RunId, Seq, ThreadId, Timestamp, UserId,
    },
    spending::Spending,
    user::{EraseScope, Erasure, Receipt, Resumes},
};
use tokio_postgres::{
    Client, GenericClient, IsolationLevel, Row,
    types::{ToSql, Type},
};

use crate::{
    fault::Failure,
    reader::{Reply, count, get, int, name, number, offset, unreadable},
};

/// The columns of a run record.
macro_rules! runs {
    ($rest:literal) => {
        concat!(
            "SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status,
                    parent, executor FROM runs ",
            $rest
        )
    };
}

/// A parameter and its type.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

pub(crate) async fn recovery(client: &mut Client, user_id: &UserId, recent_max: usize) -> Reply<Recovery> {
    let snapshot = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let user = snapshot
        .query_typed_opt(
            "SELECT id, head, spent_bytes, spent_at, fence FROM users WHERE user_id = $1",
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
        fence: Fence(number(&user, 4)?),
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
        (SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status, parent,
                executor
         FROM runs WHERE uid = (SELECT id FROM users WHERE user_id = $1) AND thread_id = $2 AND completed IS NULL
           AND accepted < $3 ORDER BY accepted DESC LIMIT $5)
        UNION ALL
        (SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status, parent,
                executor
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
        SELECT run_id, thread_id, message_id, agent_name, accepted, accepted_at, started, completed, status, parent,
                executor
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
        executor: get::<Option<uuid::Uuid>>(row, 10)?.map(Incarnation),
        started: optional(6)?,
        completed,
    })
}
