//! The epochs of a journal. Each opening starts a new one, so that a cursor identifies the history that it
//! belongs to (DEL-3).
//!
//! A data folder that is put back to an earlier state, a copy that is served beside its original, and a
//! snapshot of a volume each continue under their own epoch. So entries of another history with the same
//! offsets are never mistaken for entries of this one. A cursor is invalid if this journal never had its epoch,
//! or if it is past the head that the user's log had when that epoch ended *here*. Any other cursor resumes
//! exactly. A cursor of one user affects no other user.
//!
//! An epoch ends in a keyed hash of its first bytes. The key is stored in the database and copied with it, so
//! that an epoch of another copy can be distinguished from an invented one.

use std::collections::HashMap;

use quintet_kernel::ids::{Epoch, Offset, Timestamp, UserId};
use quintet_runtime::{clock, ids};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::fault::ReadFailure;
use crate::engine::checksum;

/// The tables of this module, as a migration step.
pub(super) const SCHEMA: &str = "
    CREATE TABLE epochs (
        number   INTEGER PRIMARY KEY,
        epoch    TEXT NOT NULL UNIQUE,
        began_at INTEGER NOT NULL,
        reason   TEXT NOT NULL,
        checksum INTEGER NOT NULL   -- of the other columns
    ) STRICT;

    -- The head of a user's log when its first entry under this epoch was appended.
    CREATE TABLE epoch_heads (
        user     INTEGER NOT NULL,
        number   INTEGER NOT NULL,
        head     INTEGER NOT NULL,
        checksum INTEGER NOT NULL,  -- of the other columns
        PRIMARY KEY (user, number)
    ) STRICT, WITHOUT ROWID;
";

/// Epochs that are kept. A cursor of a dropped one is treated as one of another journal.
const EPOCHS_KEPT_MAX: i64 = 1024;
/// Excess of epochs at which the oldest are dropped, so that this is not done at every start.
const EPOCHS_SLACK: i64 = 64;
const MAC_BYTES: usize = 5;

/// The reason for which an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The journal was opened; no entries are known to be missing.
    Opened,
    /// Entries that clients have seen may be missing, so cursors of earlier epochs are invalid.
    Cut(&'static str),
}

/// The epochs of this journal.
#[derive(Debug)]
pub(super) struct Epochs {
    pub current: Epoch,
    pub number: i64,
    known: HashMap<Epoch, i64>,
    oldest: Epoch,
    key: [u8; 32],
}

/// The relation of a client's epoch to this journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinship {
    /// An epoch of this journal, with its number.
    Own(i64),
    /// An epoch of another copy of this journal: one of the two was put back or is served twice.
    OtherCopy,
    /// An epoch of another journal, dropped long ago, or invented.
    Foreign,
}

impl Epochs {
    /// Begins the next epoch. The first opening of a new journal uses the epoch that it was created with.
    pub(super) fn begin(
        transaction: &Transaction<'_>,
        created: Epoch,
        reason: Reason,
    ) -> rusqlite::Result<Self> {
        let key = key(transaction)?;
        let now = clock::now();
        let last: Option<i64> =
            transaction.query_row("SELECT max(number) FROM epochs", [], |row| row.get(0))?;
        if let Reason::Cut(_) = reason {
            transaction.execute_batch("DELETE FROM epochs; DELETE FROM epoch_heads")?;
        }
        let is_new =
            !transaction.query_row("SELECT EXISTS (SELECT 1 FROM users)", [], |row| row.get::<_, bool>(0))?;
        if last.is_none() && !is_new && reason == Reason::Opened {
            // The epoch of versions that did not have this table.
            insert(transaction, 1, created, Timestamp::default(), "created")?;
        }
        let (number, current, reason) = match (last, reason) {
            (None, Reason::Opened) if is_new => (1, created, "created"),
            (None, Reason::Opened) => (2, draw(&key), "opened"),
            (Some(last), Reason::Opened) => (last + 1, draw(&key), "opened"),
            (last, Reason::Cut(why)) => (last.unwrap_or(0) + 1, draw(&key), why),
        };
        insert(transaction, number, current, now, reason)?;
        transaction.execute("UPDATE meta SET value = ?1 WHERE name = 'epoch'", [current.to_string()])?;
        compact(transaction)?;
        let mut query = transaction.prepare("SELECT epoch, number FROM epochs ORDER BY number")?;
        let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let mut known = HashMap::new();
        let mut oldest = None;
        for row in rows {
            let (text, number) = row?;
            let epoch = Epoch::parse(&text).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
            })?;
            oldest.get_or_insert(epoch);
            known.insert(epoch, number);
        }
        Ok(Self { current, number, known, oldest: oldest.unwrap_or(current), key })
    }

    pub(super) fn kinship(&self, epoch: Epoch) -> Kinship {
        match self.known.get(&epoch) {
            Some(number) => Kinship::Own(*number),
            // An epoch before the oldest one was dropped here, or belongs to a history that was cut off.
            None if epoch > self.oldest && is_drawn_with(&self.key, epoch) => Kinship::OtherCopy,
            None => Kinship::Foreign,
        }
    }
}

/// Records the head of a user's log before its first entry under an epoch.
pub(super) fn note_head(
    connection: &Connection,
    user: i64,
    number: i64,
    head: Offset,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO epoch_heads (user, number, head, checksum) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![user, number, head.0, head_checksum(user, number, head)])?;
    Ok(())
}

/// Returns the offset up to which a user's log equals the one that cursors of epoch `number` belong to.
/// `None` if nothing was appended since that epoch ended, or the user has no log.
pub(super) fn shared_through(
    connection: &mut Connection,
    user_id: &UserId,
    number: i64,
) -> Result<Option<Offset>, ReadFailure> {
    let found = connection
        .prepare_cached(
            "SELECT user, number, head, checksum FROM epoch_heads
             WHERE user = (SELECT id FROM users WHERE user_id = ?1) AND number > ?2 ORDER BY number LIMIT 1",
        )?
        .query_row(params![user_id.as_str(), number], head_row)
        .optional()?;
    match found {
        Some((_, _, None)) => Err(ReadFailure::Damaged("the head at the end of an epoch".into())),
        Some((_, _, head)) => Ok(head),
        None => Ok(None),
    }
}

/// One epoch of a journal, as an audit reports it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EpochRecord {
    /// The epoch, a UUID in lower case.
    pub epoch: String,
    /// The time of its start, in Unix milliseconds; 0 for an epoch from before they were recorded.
    pub began_at: u64,
    /// `created`, `opened`, or the reason for which earlier cursors are invalid: `restored`, `power loss`,
    /// `entries lost`.
    pub reason: String,
}

/// Returns the epochs of a journal, oldest first; none if its schema has no such table yet.
///
/// # Errors
///
/// Returns an error of SQLite if the table cannot be read.
pub fn history(connection: &Connection) -> rusqlite::Result<Vec<EpochRecord>> {
    let has_them: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'epochs')",
        [],
        |row| row.get(0),
    )?;
    if !has_them {
        return Ok(Vec::new());
    }
    let mut query = connection.prepare("SELECT epoch, began_at, reason FROM epochs ORDER BY number")?;
    let rows = query.query_map([], |row| {
        Ok(EpochRecord { epoch: row.get(0)?, began_at: row.get(1)?, reason: row.get(2)? })
    })?;
    rows.collect()
}

/// Returns descriptions of the damage in the record of epochs; none if it is sound.
///
/// # Errors
///
/// Returns an error of SQLite if the record cannot be read.
pub fn damage(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    if history(connection)?.is_empty() {
        return Ok(found);
    }
    let meta = |name: &str| {
        let query = connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0));
        query.optional().map(|value: Option<String>| value.unwrap_or_default())
    };
    if !is_key(&meta("epoch_key")?) {
        found.push("the key of the epochs is not as it was written".into());
    }
    let mut query =
        connection.prepare("SELECT number, epoch, began_at, reason, checksum FROM epochs ORDER BY number")?;
    let mut rows = query.query([])?;
    let mut last = String::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        last = row.get(1)?;
        if epoch_checksum(number, &last, row.get(2)?, &row.get::<_, String>(3)?) != row.get::<_, i64>(4)? {
            found.push(format!("epoch {number} is not as it was written"));
        }
    }
    if meta("epoch")? != last {
        found.push("the current epoch is not the last one of the record".into());
    }
    let mut query = connection.prepare("SELECT user, number, head, checksum FROM epoch_heads")?;
    for row in query.query_map([], head_row)? {
        if let (user, number, None) = row? {
            found.push(format!("the head of user row {user} before epoch {number} is not as it was written"));
        }
    }
    Ok(found)
}

/// Reads a row of `epoch_heads`; the head is `None` if its checksum does not match.
fn head_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, i64, Option<Offset>)> {
    let (user, number, head) = (row.get(0)?, row.get(1)?, Offset(row.get(2)?));
    let sound = head_checksum(user, number, head) == row.get::<_, i64>(3)?;
    Ok((user, number, sound.then_some(head)))
}

fn head_checksum(user: i64, number: i64, head: Offset) -> i64 {
    checksum(format!("{user} {number} {head}").as_bytes())
}

fn epoch_checksum(number: i64, epoch: &str, began_at: u64, reason: &str) -> i64 {
    checksum(format!("{number} {epoch} {began_at} {reason}").as_bytes())
}

/// Returns true if the key matches its checksum.
fn is_key(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(key, sum)| format!("{:x}", checksum(key.as_bytes())) == sum)
}

fn insert(
    transaction: &Transaction<'_>,
    number: i64,
    epoch: Epoch,
    at: Timestamp,
    reason: &str,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO epochs (number, epoch, began_at, reason, checksum) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                number,
                epoch.to_string(),
                at.0,
                reason,
                epoch_checksum(number, &epoch.to_string(), at.0, reason)
            ],
        )
        .map(drop)
}

/// Drops the oldest epochs and the heads that only their cursors need.
fn compact(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let count: i64 = transaction.query_row("SELECT count(*) FROM epochs", [], |row| row.get(0))?;
    if count <= EPOCHS_KEPT_MAX + EPOCHS_SLACK {
        return Ok(());
    }
    transaction.execute(
        "DELETE FROM epochs WHERE number NOT IN (SELECT number FROM epochs ORDER BY number DESC LIMIT ?1)",
        [EPOCHS_KEPT_MAX],
    )?;
    transaction.execute("DELETE FROM epoch_heads WHERE number <= (SELECT min(number) FROM epochs)", [])?;
    Ok(())
}

/// Returns the key of this journal, which all its copies share.
fn key(transaction: &Transaction<'_>) -> rusqlite::Result<[u8; 32]> {
    let found: Option<String> = transaction
        .query_row("SELECT value FROM meta WHERE name = 'epoch_key'", [], |row| row.get(0))
        .optional()?;
    let text = match found {
        Some(text) => text,
        None => {
            let key = format!("{}{}", ids::fresh().simple(), ids::fresh().simple());
            let text = format!("{key}.{:x}", checksum(key.as_bytes()));
            transaction.execute("INSERT INTO meta (name, value) VALUES ('epoch_key', ?1)", [&text])?;
            text
        }
    };
    Ok(blake3::derive_key("quintet epochs v1", text.as_bytes()))
}

/// Generates an epoch: a UUIDv7 (RFC 9562) whose last bytes authenticate the others.
fn draw(key: &[u8; 32]) -> Epoch {
    let mut bytes = *ids::fresh().as_bytes();
    let mac = mac(key, &bytes);
    bytes[16 - MAC_BYTES..].copy_from_slice(&mac);
    Epoch(Uuid::from_bytes(bytes))
}

fn is_drawn_with(key: &[u8; 32], epoch: Epoch) -> bool {
    let bytes = epoch.0.as_bytes();
    bytes[16 - MAC_BYTES..] == mac(key, bytes)
}

fn mac(key: &[u8; 32], bytes: &[u8; 16]) -> [u8; MAC_BYTES] {
    let hash = blake3::keyed_hash(key, &bytes[..16 - MAC_BYTES]);
    let mut mac = [0; MAC_BYTES];
    mac.copy_from_slice(&hash.as_bytes()[..MAC_BYTES]);
    mac
}
