//! The table of resume records (RUN-6), beside the users' logs.

use quintet_kernel::{
    ids::{Incarnation, RunId, Seq},
    user::Resumes,
};
use rusqlite::{Connection, Row, params};

use super::fault::{ReadFailure, WriteError};
use crate::ResumeRecord;

/// The migration that creates the table. It has a row per open run that was resumed, so it is small.
pub(super) const TABLE: &str = "
    CREATE TABLE resumes (
        user         INTEGER NOT NULL,
        run_id       BLOB NOT NULL,
        without_step INTEGER NOT NULL,  -- since the last step of its agent, the last resume included
        total        INTEGER NOT NULL,  -- since the run began, the last resume included
        seq          INTEGER NOT NULL,  -- of the run's last event when it was last resumed
        incarnation  BLOB,              -- the process that resumed it last; NULL once that stopped in order
        PRIMARY KEY (user, run_id)
    ) STRICT, WITHOUT ROWID;
    ";

pub(super) fn save(connection: &Connection, user: i64, records: &[ResumeRecord]) -> Result<(), WriteError> {
    let mut save = connection.prepare_cached(
        "INSERT INTO resumes (user, run_id, without_step, total, seq, incarnation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (user, run_id) DO UPDATE SET
             without_step = excluded.without_step, total = excluded.total, seq = excluded.seq,
             incarnation = excluded.incarnation",
    )?;
    for ResumeRecord { run_id, counted, seq, incarnation } in records {
        let incarnation = incarnation.map(|Incarnation(id)| id.into_bytes());
        let (without_step, total) = (counted.without_step, counted.total);
        save.execute(params![user, run_id.0.as_bytes(), without_step, total, seq.0, incarnation])?;
    }
    Ok(())
}

/// Removes the record of a run that has completed.
pub(super) fn remove(connection: &Connection, user: i64, run_id: RunId) -> Result<(), WriteError> {
    connection
        .prepare_cached("DELETE FROM resumes WHERE user = ?1 AND run_id = ?2")?
        .execute(params![user, run_id.0.as_bytes()])?;
    Ok(())
}

pub(super) fn of_user(connection: &Connection, user: i64) -> Result<Vec<ResumeRecord>, ReadFailure> {
    let mut query = connection.prepare_cached(
        "SELECT run_id, without_step, total, seq, incarnation FROM resumes WHERE user = ?1 ORDER BY run_id",
    )?;
    Ok(query.query_map([user], record)?.collect::<Result<_, _>>()?)
}

fn record(row: &Row<'_>) -> rusqlite::Result<ResumeRecord> {
    Ok(ResumeRecord {
        run_id: RunId(uuid::Uuid::from_bytes(row.get(0)?)),
        counted: Resumes { without_step: row.get(1)?, total: row.get(2)? },
        seq: Seq(row.get(3)?),
        incarnation: row.get::<_, Option<[u8; 16]>>(4)?.map(|id| Incarnation(uuid::Uuid::from_bytes(id))),
    })
}

/// Uncounts the resumes of the process `ended`, which shuts down cleanly ([`ResumeRecord::released`]).
pub(super) fn release(connection: &Connection, ended: Incarnation) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE resumes SET without_step = max(without_step - 1, 0), total = max(total - 1, 0), incarnation = NULL
         WHERE incarnation = ?1",
        params![ended.0.as_bytes()],
    )?;
    Ok(())
}

/// Uncounts, in a copy, the resumes of the process that still runs on the original.
pub(super) fn release_all(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE resumes SET without_step = max(without_step - 1, 0), total = max(total - 1, 0), incarnation = NULL
         WHERE incarnation IS NOT NULL",
        [],
    )?;
    Ok(())
}
