//! The audit of a whole journal: all rows, chains, rules and indexes.

use std::path::{Path, PathBuf};

use quintet_journal::{
    chain::ChainHash,
    sqlite::{
        self, OpenError, epochs,
        erasures::ErasedLines,
        lock::{FolderLock, LockError},
        schema::{self, DATABASE_FILE, JournalIdentity},
    },
};
use quintet_kernel::ids::UserId;
use rusqlite::{Connection, Row, params};

use super::{
    erasures::{self, ErasureCheck},
    index::IndexCheck,
    log::{Before, LogCheck},
    report::{Findings, Report},
};

/// The options of an audit.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// The user to audit; `None` for all.
    pub user_id: Option<UserId>,
    /// Greatest number of violations that are listed; further ones are only counted.
    pub violations_max: usize,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { user_id: None, violations_max: 1000 }
    }
}

/// The reason for which an audit could not be made. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A service, or another audit, has the folder.
    #[error("{0}; audit a backup of it while it runs")]
    InUse(LockError),
    /// The folder has no journal.
    #[error("there is no journal in {}", .0.display())]
    NoJournal(PathBuf),
    /// The database cannot be opened, or is not a journal of a known schema.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal has no such user.
    #[error("the journal has no user {0:?}")]
    NoUser(UserId),
    /// The user has no such run, or its entries are trimmed.
    #[error("the journal has no run {0} of this user")]
    NoRun(String),
    /// SQLite cannot read the database.
    #[error("the journal cannot be read")]
    Storage(#[from] rusqlite::Error),
}

impl AuditError {
    /// Returns true if the requested journal, user or run does not exist.
    pub fn is_not_there(&self) -> bool {
        matches!(self, Self::NoJournal(_) | Self::NoUser(_) | Self::NoRun(_))
    }
}

/// Audits the journal in `folder` without changing it.
///
/// # Errors
///
/// Returns [`AuditError::InUse`] if a service runs on the journal; audit a backup instead. Returns another
/// [`AuditError`] if the journal cannot be opened or has no such user. Damage is a finding, not an error.
pub fn audit(folder: &Path, options: &AuditOptions) -> Result<Report, AuditError> {
    let OpenedJournal { connection, identity, log_damage, _lock } = open(folder)?;
    let mut findings = Findings::new(options.violations_max);
    if let Some(what) = log_damage {
        findings.violation("STORAGE", None, None, what);
    }
    findings.report.epoch = identity.epoch.to_string();
    findings.report.origin = identity.origin.to_string();
    match epochs::history(&connection) {
        Ok(history) => findings.report.epochs = history,
        Err(error) => {
            findings.violation("STORAGE", None, None, format!("the epochs cannot be read: {error}"));
        }
    }
    for what in epochs::damage(&connection).unwrap_or_else(|error| vec![error.to_string()]) {
        findings.violation("STORAGE", None, None, what);
    }
    integrity(&connection, &mut findings);
    let users = match users(&connection, options.user_id.as_ref()) {
        Ok(users) => users,
        Err(error) => {
            findings.violation("STORAGE", None, None, format!("the users cannot be read: {error}"));
            return Ok(findings.report);
        }
    };
    if let (Some(user_id), true) = (&options.user_id, users.is_empty()) {
        return Err(AuditError::NoUser(user_id.clone()));
    }
    for user in users {
        findings.of_user(Some(&user.user_id));
        // Unreadable damage becomes a finding of this user; the other users are still audited.
        if let Err(error) = audit_user(&connection, identity, &user, &mut findings) {
            findings.violation("STORAGE", None, None, format!("the rest cannot be read: {error}"));
        }
    }
    Ok(findings.report)
}

pub(super) struct OpenedJournal {
    pub connection: Connection,
    pub identity: JournalIdentity,
    log_damage: Option<String>,
    _lock: FolderLock,
}

/// Opens a journal for reading and locks its folder, so that no service starts on it.
pub(super) fn open(folder: &Path) -> Result<OpenedJournal, AuditError> {
    let path = folder.join(DATABASE_FILE);
    if !path.is_file() {
        return Err(AuditError::NoJournal(folder.to_owned()));
    }
    let lock = FolderLock::take(folder).map_err(|error| match error {
        LockError::InUse { .. } => AuditError::InUse(error),
        LockError::Io { .. } => AuditError::Open(error.into()),
    })?;
    let log_damage = sqlite::log_damage(&path)?;
    let connection = schema::open_to_read(&path)?;
    schema::require_ours(&connection, &path)?;
    let identity = schema::identity(&connection)?;
    Ok(OpenedJournal { connection, identity, log_damage, _lock: lock })
}

/// A row of the table `users`.
pub(super) struct AuditedUser {
    pub id: i64,
    pub user_id: String,
    pub head: u64,
    pub chain: ChainHash,
    pub trimmed: u64,
    pub trimmed_chain: ChainHash,
    pub runs: u64,
}

pub(super) fn users(connection: &Connection, only: Option<&UserId>) -> rusqlite::Result<Vec<AuditedUser>> {
    let mut query = connection.prepare(
        "SELECT id, user_id, head, chain, trimmed, trimmed_chain, runs FROM users
         WHERE ?1 IS NULL OR user_id = ?1 ORDER BY id",
    )?;
    let rows = query.query_map(params![only.map(UserId::as_str)], |row| {
        Ok(AuditedUser {
            id: row.get(0)?,
            user_id: row.get(1)?,
            head: row.get(2)?,
            chain: ChainHash(row.get(3)?),
            trimmed: row.get(4)?,
            trimmed_chain: ChainHash(row.get(5)?),
            runs: row.get(6)?,
        })
    })?;
    rows.collect()
}

/// Runs SQLite's own integrity check over its pages and indexes.
fn integrity(connection: &Connection, findings: &mut Findings) {
    let verdicts = connection.prepare("PRAGMA integrity_check(20)").and_then(|mut check| {
        let rows = check.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    match verdicts {
        Ok(verdicts) => {
            for verdict in verdicts.iter().filter(|verdict| *verdict != "ok") {
                findings.violation("STORAGE", None, None, verdict.as_str());
            }
        }
        Err(error) => findings.violation("STORAGE", None, None, error.to_string()),
    }
}

fn audit_user(
    connection: &Connection,
    identity: JournalIdentity,
    user: &AuditedUser,
    findings: &mut Findings,
) -> rusqlite::Result<()> {
    findings.report.users += 1;
    findings.report.trimmed += user.trimmed;
    let mut index = IndexCheck::new(connection, user.id)?;
    let before = Before::Runs(index.runs_across(user.trimmed, findings)?);
    let mut log = LogCheck::new(&user.user_id, before);
    log.erasures = Some(ErasureCheck::of_user(connection, user.id)?);
    let mut rows = Rows { head: user.trimmed, chain: user.trimmed_chain };
    // The start of the chain depends on the owner, so the log of another user does not verify here (ISO-2).
    let start = UserId::parse(&user.user_id).ok().map(|user_id| ChainHash::start(identity.origin, &user_id));
    if user.trimmed == 0 && start != Some(user.trimmed_chain) {
        findings.violation("CHAIN", None, None, "the chain does not start with this user");
    }
    // A journal of an earlier version has no erased lines.
    let erased = if erasures::are_known(connection)? { "erased" } else { "NULL" };
    let mut query = connection.prepare_cached(&format!(
        "SELECT first, last, last_at, chain, checksum, digests, lines, {erased} FROM batches
         WHERE user = ?1 ORDER BY last",
    ))?;
    let mut batches = query.query([user.id])?;
    while let Some(batch) = batches.next()? {
        rows.row(batch, &mut log, &mut index, findings)?;
    }
    if rows.head != user.head {
        let what = format!("the log ends at entry {}, and its head is {}", rows.head, user.head);
        findings.violation("DEL-2", None, None, what);
    }
    if rows.chain != user.chain {
        findings.violation("CHAIN", rows.head, None, "the chain after the last entry is not the user's");
    }
    let unfinished = log.end(findings);
    if let Some(erasures) = &log.erasures {
        erasures.end(&user.user_id, user.trimmed, user.head, findings);
    }
    if log.unreadable > 0 {
        return Ok(());
    }
    let is_erased = |offset| log.is_erased(offset);
    index.end(user.trimmed, user.runs, &unfinished, &log.threads, is_erased, findings)
}

/// The beginning of the line of an erased entry.
const ERASED: &[u8] = br#"{"type":"erased","#;

/// The check of one user's rows, as far as they have been read.
struct Rows {
    head: u64,
    chain: ChainHash,
}

impl Rows {
    fn row(
        &mut self,
        row: &Row<'_>,
        log: &mut LogCheck,
        index: &mut IndexCheck<'_>,
        findings: &mut Findings,
    ) -> rusqlite::Result<()> {
        let (first, last, last_at): (u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (chain, checksum) = (ChainHash(row.get(3)?), row.get::<_, i64>(4)?);
        let (digests, bytes) = (row.get_ref(5)?.as_blob()?, row.get_ref(6)?.as_blob()?);
        if first != self.head + 1 {
            let what = format!("entry {first} follows entry {}", self.head);
            findings.violation("DEL-2", first, None, what);
        }
        let lines: Vec<&[u8]> =
            bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n').collect();
        if lines.len() as u64 != (last + 1).saturating_sub(first) || !bytes.ends_with(b"\n") {
            let what = format!("the row of entries {first} to {last} holds {} lines", lines.len());
            findings.violation("STORAGE", first, None, what);
        }
        let mut damaged = None;
        let erased = ErasedLines::parse(row.get_ref(7)?.as_blob_or_null()?);
        if erased.as_ref().is_none_or(|erased| erased.last() >= Some(lines.len())) {
            let what = format!("the digests of the erased lines of entries {first} to {last} are torn");
            findings.violation("STORAGE", first, None, what);
        }
        let erased = erased.unwrap_or_default();
        for (i, line) in lines.iter().enumerate() {
            let (digest, fits) = erasures::digest(i, line, digests, &erased);
            if !fits && damaged.is_none() {
                damaged = Some(first + i as u64);
            }
            self.chain = self.chain.then(digest);
        }
        match damaged {
            Some(offset) => findings.violation("CHAIN", offset, None, "the entry is not as it was written"),
            None if sqlite::checksum(bytes) != checksum => {
                let what = format!("the checksum of entries {first} to {last} is not that of their bytes");
                findings.violation("STORAGE", first, None, what);
            }
            None => {}
        }
        if self.chain != chain {
            if damaged.is_none() {
                let what = format!("the chain breaks between entries {first} and {last}, or before them");
                findings.violation("CHAIN", first, None, what);
            }
            // Continue from the stored hash, so that a later break is a separate finding.
            self.chain = chain;
        }
        if let Some(erasures) = &log.erasures {
            erasures.chain(last, self.chain, findings);
        }
        for (i, line) in lines.iter().enumerate() {
            let offset = first + i as u64;
            // DEL-8: a line whose digest is kept in its place has nothing else.
            if erased.digest(i).is_some() && !line.starts_with(ERASED) {
                findings.violation(
                    "DEL-8",
                    offset,
                    None,
                    "the entry counts as erased, and its line is there",
                );
            }
            let milestone = log.entry(offset, line, findings);
            index.milestone(offset, &milestone, findings)?;
        }
        if log.unreadable == 0 && log.last_at() != last_at {
            findings.violation("INDEX", last, None, "the row's time is not that of its last entry");
        }
        self.head = last;
        Ok(())
    }
}
