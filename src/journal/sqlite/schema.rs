//! Tables, schema versions, and migrations of the [SQLite database](https://www.sqlite.org/fileformat2.html).
//!
//! `PRAGMA user_version` is the number of applied migration steps. A released step is never changed;
//! changes are further steps. `PRAGMA application_id` distinguishes a journal from other databases.

use std::{path::Path, time::Duration};

use quintet_kernel::ids::{Epoch, Timestamp};
use quintet_runtime::clock;
use rusqlite::{Connection, OpenFlags, OptionalExtension, config::DbConfig, params};

use super::{
    epochs::{self, Epochs, Reason},
    fault::{OpenError, open_fault},
    options::{LOG_KEPT_BYTES_MAX, PAGE_BYTES, READER_CACHE_KIB, STATEMENTS_MAX, WRITER_CACHE_KIB},
};

/// Name of the database file in the data folder.
pub const DATABASE_FILE: &str = "quintet.db";

/// "QNTT" in ASCII.
const APPLICATION_ID: u32 = 0x514e_5454;

/// The newest schema that this version reads and writes.
pub const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

const MIGRATIONS: &[&str] = &[
    // 1: a row per appended batch, and the index of the entries.
    "
    CREATE TABLE meta (
        name  TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE users (
        id            INTEGER PRIMARY KEY,
        user_id       TEXT NOT NULL UNIQUE,
        head          INTEGER NOT NULL,
        chain         BLOB NOT NULL,    -- after entry `head`
        trimmed       INTEGER NOT NULL,
        trimmed_chain BLOB NOT NULL,    -- after entry `trimmed`
        runs          INTEGER NOT NULL  -- rows in `runs`
    ) STRICT;

    CREATE TABLE batches (
        user     INTEGER NOT NULL,
        last     INTEGER NOT NULL,
        first    INTEGER NOT NULL,
        last_at  INTEGER NOT NULL,      -- timestamp of entry `last`
        chain    BLOB NOT NULL,         -- after entry `last`
        checksum INTEGER NOT NULL,      -- of `lines`, all of them
        digests  BLOB NOT NULL,         -- of each line, its first 8 bytes: which one is damaged
        lines    BLOB NOT NULL,         -- one JSON text an entry, each with a line feed
        PRIMARY KEY (user, last)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE runs (
        user        INTEGER NOT NULL,
        accepted    INTEGER NOT NULL,
        accepted_at INTEGER NOT NULL,
        run_id      BLOB NOT NULL,
        message_id  TEXT NOT NULL,
        thread_id   TEXT NOT NULL,
        agent_name  TEXT NOT NULL,
        started     INTEGER,
        completed   INTEGER,
        status      TEXT,
        PRIMARY KEY (user, accepted)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX runs_by_id ON runs (user, run_id);
    CREATE UNIQUE INDEX runs_by_message ON runs (user, message_id);
    CREATE INDEX runs_by_thread ON runs (user, thread_id, accepted);
    CREATE INDEX runs_open ON runs (user, accepted) WHERE completed IS NULL;

    CREATE TABLE threads (
        user      INTEGER NOT NULL,
        thread_id TEXT NOT NULL,
        first     INTEGER NOT NULL,
        last      INTEGER NOT NULL,
        last_at   INTEGER NOT NULL,
        messages  INTEGER NOT NULL,
        PRIMARY KEY (user, thread_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX threads_by_last ON threads (user, last);
    ",
    // 2: resume records.
    super::resumes::TABLE,
    // 3: the epochs of the journal.
    epochs::SCHEMA,
    // 4: the bytes that each user appended recently, and the bytes that are kept (ISO-6).
    super::space::SCHEMA,
    // 5: the parents of messages; in an older journal each message follows the previous one of its thread.
    "
    ALTER TABLE runs ADD COLUMN parent INTEGER NOT NULL DEFAULT 0;
    UPDATE runs SET parent = coalesce((
        SELECT max(earlier.accepted) FROM runs AS earlier
        WHERE earlier.user = runs.user AND earlier.thread_id = runs.thread_id AND earlier.accepted < runs.accepted
    ), 0);
    ",
    // 6: the titles of threads, and the archived ones.
    super::threads::SCHEMA,
    // 7: erasures, and the digests of erased lines (DEL-8). An earlier journal is rewritten first.
    super::erasures::SCHEMA,
    // 8: the entries of threads that belong to no run.
    super::thread_changes::SCHEMA,
    // 9: the executors of runs, and the fences of logs (RUN-13). A run of an earlier journal has none.
    "
    ALTER TABLE runs ADD COLUMN executor BLOB;
    ALTER TABLE users ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
    ",
];

/// The identity of a journal, stored in its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalIdentity {
    /// The current epoch, which clients see.
    pub epoch: Epoch,
    /// The epoch under which the journal was created, from which its hash chains start. It never changes, while
    /// each opening and each restored backup has a new epoch.
    pub origin: Epoch,
}

/// Opens a database for writing, creating or migrating it as necessary. Commits survive a power loss unless
/// [`set_durability`] changes that.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, OpenError> {
    let fault = |source| open_fault(path.to_owned(), source);
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(fault)?;
    require_ours(&connection, path)?;
    configure_writer(&connection).map_err(fault)?;
    migrate(&mut connection).map_err(fault)?;
    Ok(connection)
}

/// Reopens an existing database of the newest schema for the writer, after a fault.
pub(super) fn reopen_to_write(path: &Path, survives_power_loss: bool) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    configure_writer(&connection)?;
    set_durability(&connection, survives_power_loss)?;
    Ok(connection)
}

/// Sets whether a commit is synced to the disk before it returns.
pub(super) fn set_durability(connection: &Connection, survives_power_loss: bool) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", if survives_power_loss { "FULL" } else { "NORMAL" })
}

/// Opens an existing database for queries only.
///
/// # Errors
///
/// Returns an error of SQLite if the database is missing or cannot be opened.
pub fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    harden(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -i64::from(READER_CACHE_KIB))?;
    Ok(connection)
}

/// Checks that a database is a journal of a schema that this version reads.
///
/// # Errors
///
/// Returns [`OpenError::NotAJournal`] or [`OpenError::NewerSchema`] if it is not, and [`OpenError::Storage`] if it
/// cannot be read.
pub fn require_ours(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let fault = |source| open_fault(path.to_owned(), source);
    let number =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map_err(fault);
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fault)?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
        return Err(OpenError::NotAJournal { path: path.to_owned() });
    }
    if version > SCHEMA_VERSION {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found: version, known: SCHEMA_VERSION });
    }
    Ok(())
}

/// Begins an epoch (DEL-3). Cursors of earlier ones become invalid if the journal may lack entries that clients
/// have seen: it was restored from a backup, a process without `synchronous=FULL` did not close it, or entries
/// were `lost`.
pub(super) fn claim_identity(
    connection: &mut Connection,
    survives_power_loss: bool,
    lost: bool,
) -> rusqlite::Result<(JournalIdentity, Epochs)> {
    let transaction = connection.transaction()?;
    let reason = if lost {
        Reason::Cut("entries lost")
    } else if meta(&transaction, BACKUP)?.is_some() {
        Reason::Cut("restored")
    } else if meta(&transaction, LOSSY)?.is_some() {
        Reason::Cut("power loss")
    } else {
        Reason::Opened
    };
    let created = identity(&transaction)?.epoch;
    let epochs = Epochs::begin(&transaction, created, reason)?;
    transaction.execute("DELETE FROM meta WHERE name IN (?1, ?2)", [BACKUP, LOSSY])?;
    if !survives_power_loss {
        transaction.execute("INSERT INTO meta (name, value) VALUES (?1, 'open')", [LOSSY])?;
    }
    transaction.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, '1')", [IN_USE])?;
    let identity = identity(&transaction)?;
    transaction.commit()?;
    // The mark must be in the main file, since its purpose is to detect that the log is missing.
    let mark = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = mark {
        tracing::warn!(%error, "the journal cannot be marked as in use in its main file");
    }
    Ok((identity, epochs))
}

/// Returns true if the database was in use when it was last written, so that it needs its write-ahead log.
pub(super) fn is_in_use(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(meta(connection, IN_USE)?.is_some())
}

/// Clears the in-use mark on a clean shutdown.
pub(super) fn clear_in_use(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM meta WHERE name = ?1", [IN_USE]).map(drop)
}

/// Records that nothing was lost. All commits are synced on return.
pub(super) fn close_lossy(connection: &Connection) -> rusqlite::Result<()> {
    set_durability(connection, true)?;
    connection.execute("DELETE FROM meta WHERE name = ?1", [LOSSY])?;
    Ok(())
}

/// Returns true if a process without `synchronous=FULL` has the database open or did not close it.
///
/// # Errors
///
/// Returns an error of SQLite if the database cannot be read.
pub(super) fn is_lossy(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(meta(connection, LOSSY)?.is_some())
}

/// Marks a database as a backup.
pub(super) fn mark_as_backup(connection: &Connection, at: Timestamp) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM meta WHERE name IN (?1, ?2)", [LOSSY, IN_USE])?;
    connection
        .execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", [BACKUP, &at.0.to_string()])?;
    Ok(())
}

/// Writes a value, to check that the database is writable.
pub(super) fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO meta (name, value) VALUES ('probe', ?1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute([clock::now().0.to_string()])?;
    Ok(())
}

const BACKUP: &str = "backup";
const LOSSY: &str = "lossy";
const IN_USE: &str = "in_use";

/// Returns the identity of the journal.
///
/// # Errors
///
/// Returns an error of SQLite if the database cannot be read or has no identity.
pub fn identity(connection: &Connection) -> rusqlite::Result<JournalIdentity> {
    let epoch = |name: &str| {
        let text = meta(connection, name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Epoch::parse(&text).map_err(|e| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e))
        })
    };
    Ok(JournalIdentity { epoch: epoch("epoch")?, origin: epoch("origin")? })
}

fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    for step in &MIGRATIONS[version as usize..] {
        transaction.execute_batch(step)?;
    }
    if version == 0 {
        let epoch = new_epoch().to_string();
        transaction
            .execute("INSERT INTO meta (name, value) VALUES ('epoch', ?1), ('origin', ?1)", params![epoch])?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

fn new_epoch() -> Epoch {
    let now = clock::now().0;
    let at = uuid::Timestamp::from_unix(uuid::NoContext, now / 1000, (now % 1000) as u32 * 1_000_000);
    Epoch(uuid::Uuid::new_v7(at))
}

pub(super) fn configure_writer(connection: &Connection) -> rusqlite::Result<()> {
    harden(connection)?;
    // Only has an effect before the first table is created.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::InvalidParameterName(format!(
            "the file system does not allow a write-ahead log (mode {mode})"
        )));
    }
    set_durability(connection, true)?;
    // DEL-8: what is deleted or replaced is overwritten, also what is trimmed.
    let secure: i64 = connection.pragma_update_and_check(None, "secure_delete", true, |row| row.get(0))?;
    if secure != 1 {
        return Err(rusqlite::Error::InvalidParameterName(
            "this SQLite does not overwrite deleted rows".into(),
        ));
    }
    // The writer starts checkpoints itself, so that it notices their failures.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES_MAX)?;
    connection.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE_KIB))
}

fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.busy_timeout(BUSY_WAIT_MAX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // A connection that is dropped after a fault must not write to the database.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Time for which a connection waits for another one of this process, such as during recovery of the log.
pub(super) const BUSY_WAIT_MAX: Duration = Duration::from_secs(10);
