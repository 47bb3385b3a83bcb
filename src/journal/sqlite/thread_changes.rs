//! The index of the entries that belong to a thread and to no run: `thread_updated` and `thread_erased`.
//!
//! Guarantee: the table has a row for exactly the entries of these types that are stored. A row is written in the commit
//! of its entry, and removed in the commit that trims or erases the entry (DEL-8).

use quintet_kernel::ids::{Offset, ThreadId, UserId};
use rusqlite::{Connection, params};

use super::{
    fault::WriteError,
    reader::{INTEGER_MAX, ReadReply},
};
use crate::Side;

/// The step of the schema that adds the table. Each line is a JSON text without a line feed, so that the lines of a row
/// joined by commas are a JSON array.
pub(super) const SCHEMA: &str = r#"
    CREATE TABLE thread_changes (
        user      INTEGER NOT NULL,
        at        INTEGER NOT NULL,   -- offset of the entry
        thread_id TEXT NOT NULL,
        PRIMARY KEY (user, at)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX thread_changes_by_thread ON thread_changes (user, thread_id, at);

    INSERT INTO thread_changes (user, at, thread_id)
    SELECT user, json_extract(entry.value, '$.offset'), json_extract(entry.value, '$.thread_id')
    FROM batches, json_each('[' || rtrim(replace(CAST(lines AS TEXT), char(10), ','), ',') || ']') AS entry
    WHERE instr(CAST(lines AS TEXT), '"type":"thread_') > 0
      AND json_extract(entry.value, '$.type') IN ('thread_updated', 'thread_erased');
    "#;

/// Saves the entries of a batch.
pub(super) fn save(
    connection: &Connection,
    user: i64,
    entries: &[(Offset, &ThreadId)],
) -> Result<(), WriteError> {
    for (offset, thread_id) in entries {
        connection
            .prepare_cached("INSERT INTO thread_changes (user, at, thread_id) VALUES (?1, ?2, ?3)")?
            .execute(params![user, offset.0, thread_id.as_str()])?;
    }
    Ok(())
}

/// Removes an entry that is erased, if it has a row.
pub(super) fn forget(connection: &Connection, user: i64, offset: Offset) -> Result<(), WriteError> {
    connection
        .prepare_cached("DELETE FROM thread_changes WHERE user = ?1 AND at = ?2")?
        .execute(params![user, offset.0])?;
    Ok(())
}

/// Removes the entries up to `trimmed`.
pub(super) fn trim(connection: &Connection, user: i64, trimmed: u64) -> Result<(), WriteError> {
    connection
        .prepare_cached("DELETE FROM thread_changes WHERE user = ?1 AND at <= ?2")?
        .execute(params![user, trimmed])?;
    Ok(())
}

/// Returns the entries of a thread on one side of an offset, the nearest first.
pub(super) fn find(
    connection: &mut Connection,
    user_id: &UserId,
    thread_id: &ThreadId,
    side: Side,
    limit: usize,
) -> ReadReply<Vec<Offset>> {
    let (sql, from) = match side {
        Side::After(after) => (AFTER, after),
        Side::Before(before) => (BEFORE, before),
    };
    let mut query = connection.prepare_cached(sql)?;
    let parameters = params![
        user_id.as_str(),
        thread_id.as_str(),
        from.0.min(INTEGER_MAX),
        limit.min(INTEGER_MAX as usize)
    ];
    let offsets = query.query_map(parameters, |row| Ok(Offset(row.get(0)?)))?;
    Ok(offsets.collect::<Result<_, _>>()?)
}

const AFTER: &str = "SELECT at FROM thread_changes INDEXED BY thread_changes_by_thread
    WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND thread_id = ?2 AND at > ?3 ORDER BY at LIMIT ?4";
const BEFORE: &str = "SELECT at FROM thread_changes INDEXED BY thread_changes_by_thread
    WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND thread_id = ?2 AND at < ?3 ORDER BY at DESC LIMIT ?4";
