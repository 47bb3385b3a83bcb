//! Retention: trims the oldest batches of each user, one transaction a user, so that an append waits for a bounded number
//! of rows at most (ISO-6).
//!
//! Guarantee: no entry of an open run is trimmed, nor any after it: the row of the user is locked before the bound is
//! computed. A whole prefix of the log is trimmed and the chain hash at its end is kept, so that the rest still verifies.
//! Run records outlive their entries (DEL-6): the latest of each user are kept.

use quintet_journal::Retention;
use quintet_kernel::ids::Timestamp;
use tokio_postgres::{Client, Row, Transaction, types::Type};

use crate::{
    options::{TRIM_ROWS_MAX, TRIM_USERS_MAX},
    reader::{Reply, get, int},
};

/// What to trim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrimOrder {
    pub(crate) retention: Retention,
    pub(crate) now: Timestamp,
    pub(crate) run_records_max: u64,
}

/// The row of a user.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: i64,
    head: i64,
    trimmed: i64,
    runs: i64,
    bytes: i64,
    /// The last entry that may be trimmed.
    bound: i64,
}

/// The columns of a [`Candidate`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, head, trimmed, runs, kept_bytes,
                    coalesce((SELECT min(accepted) - 1 FROM runs r WHERE r.uid = u.id AND r.completed IS NULL), head)
             FROM users u ",
            $rest
        )
    };
}

/// Returns the users after `done` that may have something to trim, and the last user that was examined; `None` if all are.
pub(crate) async fn candidates(
    client: &Client,
    order: &TrimOrder,
    done: i64,
) -> Reply<(Vec<i64>, Option<i64>)> {
    let rows = client
        .query_typed(
            select!("WHERE id > $1 ORDER BY id LIMIT $2"),
            &[(&done, Type::INT8), (&TRIM_USERS_MAX, Type::INT8)],
        )
        .await?;
    let mut found = Vec::new();
    let mut last = done;
    for row in &rows {
        let user = candidate(row)?;
        last = user.id;
        if user.trimmed < user.bound || user.runs > int(order.run_records_max) {
            found.push(user.id);
        }
    }
    Ok((found, (rows.len() as i64 == TRIM_USERS_MAX).then_some(last)))
}

/// Removes at most [`TRIM_ROWS_MAX`] batches and run records of one user. Returns the number of trimmed entries, and true
/// if more may be left.
pub(crate) async fn trim_user(client: &mut Client, order: &TrimOrder, id: i64) -> Reply<(u64, bool)> {
    let transaction = client.transaction().await?;
    // The lock first: the bound is of a later snapshot.
    transaction
        .query_typed("SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE", &[(&id, Type::INT8)])
        .await?;
    let row = transaction.query_typed_one(select!("WHERE id = $1"), &[(&id, Type::INT8)]).await?;
    let user = candidate(&row)?;
    let (rows, last) = trim_batches(&transaction, order, user).await?;
    let surplus = user.runs.saturating_sub(int(order.run_records_max)).clamp(0, TRIM_ROWS_MAX - rows);
    let forgotten = if surplus > 0 { forget_runs(&transaction, id, last, surplus).await? } else { 0 };
    transaction.commit().await?;
    Ok(((last - user.trimmed).unsigned_abs(), rows + forgotten >= TRIM_ROWS_MAX))
}

/// Returns the number of removed rows, and the last trimmed offset.
async fn trim_batches(
    transaction: &Transaction<'_>,
    order: &TrimOrder,
    user: Candidate,
) -> Reply<(i64, i64)> {
    let TrimOrder { retention, now, .. } = order;
    let old_before = retention.age_ms_max.map_or(0, |age| int(now.0.saturating_sub(age)));
    let surplus_to = retention.user_entries_max.map_or(0, |max| (user.head - int(max)).max(0));
    let bytes_max = retention.user_bytes_max.map_or(i64::MAX, int);
    let oldest = transaction
        .query_typed(
            "SELECT last, last_at, chain, octet_length(lines)::int8 FROM batches
             WHERE uid = $1 AND last <= $2 ORDER BY last LIMIT $3",
            &[(&user.id, Type::INT8), (&user.bound, Type::INT8), (&TRIM_ROWS_MAX, Type::INT8)],
        )
        .await?;
    let (mut goes, mut bytes, mut rows) = (None, user.bytes, 0);
    for batch in &oldest {
        let (last, last_at): (i64, i64) = (get(batch, 0)?, get(batch, 1)?);
        if last_at >= old_before && last > surplus_to && bytes <= bytes_max {
            break;
        }
        goes = Some((last, get::<&[u8]>(batch, 2)?));
        bytes = (bytes - get::<i64>(batch, 3)?).max(0);
        rows += 1;
    }
    let Some((last, chain)) = goes else { return Ok((0, user.trimmed)) };
    transaction
        .execute_typed(
            "DELETE FROM batches WHERE uid = $1 AND last <= $2",
            &[(&user.id, Type::INT8), (&last, Type::INT8)],
        )
        .await?;
    transaction
        .execute_typed(
            "DELETE FROM thread_changes WHERE uid = $1 AND at <= $2",
            &[(&user.id, Type::INT8), (&last, Type::INT8)],
        )
        .await?;
    transaction
        .execute_typed(
            "UPDATE users SET trimmed = $2, trimmed_chain = $3, kept_bytes = $4 WHERE id = $1",
            &[(&user.id, Type::INT8), (&last, Type::INT8), (&chain, Type::BYTEA), (&bytes, Type::INT8)],
        )
        .await?;
    Ok((rows, last))
}

/// Removes the oldest run records whose entries are trimmed, and each thread with its last one.
async fn forget_runs(transaction: &Transaction<'_>, id: i64, trimmed: i64, max: i64) -> Reply<i64> {
    let rows = transaction
        .query_typed(
            "DELETE FROM runs WHERE uid = $1 AND accepted IN (
                 SELECT accepted FROM runs WHERE uid = $1 AND accepted <= $2 AND completed <= $2
                 ORDER BY accepted LIMIT $3)
             RETURNING thread_id",
            &[(&id, Type::INT8), (&trimmed, Type::INT8), (&max, Type::INT8)],
        )
        .await?;
    let threads = rows.iter().map(|row| get::<&str>(row, 0)).collect::<Reply<Vec<_>>>()?;
    let forgotten = rows.len() as i64;
    transaction
        .execute_typed(
            "UPDATE users SET runs = runs - $2 WHERE id = $1",
            &[(&id, Type::INT8), (&forgotten, Type::INT8)],
        )
        .await?;
    transaction
        .execute_typed(
            "DELETE FROM threads t WHERE t.uid = $1 AND t.thread_id = ANY($2) AND t.last <= $3 AND NOT EXISTS (
                 SELECT FROM runs r WHERE r.uid = t.uid AND r.thread_id = t.thread_id)",
            &[(&id, Type::INT8), (&threads, Type::TEXT_ARRAY), (&trimmed, Type::INT8)],
        )
        .await?;
    Ok(forgotten)
}

fn candidate(row: &Row) -> Reply<Candidate> {
    Ok(Candidate {
        id: get(row, 0)?,
        head: get(row, 1)?,
        trimmed: get(row, 2)?,
        runs: get(row, 3)?,
        bytes: get(row, 4)?,
        bound: get(row, 5)?,
    })
}
