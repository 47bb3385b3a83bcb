//! Evidence: one user's log, or one run of it, as a file that can be verified without the journal.
//!
//! ```text
//!   {"evidence":"quintet-evidence-v1","origin":…,"user_id":…,"run_id":…,"from":1,"to":9,"chain_before":…}
//!   {"type":"user_message",…}            a shown entry, byte for byte as stored
//!   {"hidden":"9f2c…"}                   the digest of an entry of another run
//!   {"erased":"77b0…","line":{…}}        an erased entry, with the digest of what it was (DEL-8)
//!   {"chain_after":"51ab…"}
//! ```
//!
//! Verification computes the hash chain over all shown and hidden lines from `chain_before` and compares it
//! with `chain_after`, so no line can be changed, moved, added or removed. If the evidence starts with entry 1,
//! `chain_before` must be the start of this user's chain in this journal. The reader has to compare
//! `chain_after` with a value noted elsewhere, such as that of an earlier audit.

use std::{
    io::{self, BufRead, Write},
    path::Path,
};

use quintet_journal::{
    chain::{ChainHash, LineDigest},
    sqlite::erasures::ErasedLines,
};
use quintet_kernel::ids::{Epoch, RunId, UserId};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    erasures,
    journal::{AuditError, AuditedUser, open, users},
    log::{Before, LogCheck},
    report::{BrokenRule, Findings},
};

const FORMAT: &str = "quintet-evidence-v1";

/// Longest line of evidence, in bytes.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The subject of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvidenceSubject {
    /// All stored entries of one user.
    User(UserId),
    /// One run; entries of other runs between its first and last are hidden.
    Run(UserId, RunId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceHeader {
    evidence: String,
    origin: String,
    user_id: String,
    run_id: Option<String>,
    from: u64,
    to: u64,
    chain_before: ChainHash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hidden {
    hidden: LineDigest,
}

/// An erased entry: its line, and the digest of the line in whose place it stands.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErasedEvidence {
    erased: LineDigest,
    line: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    chain_after: ChainHash,
}

/// The result of verified evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The epoch under which the journal was created.
    pub origin: String,
    /// The owner of the entries.
    pub user_id: String,
    /// The run, if the evidence is of one run.
    pub run_id: Option<String>,
    /// The offset of the first line.
    pub from: u64,
    /// The offset of the last line.
    pub to: u64,
    /// The number of entries that are shown.
    pub shown: u64,
    /// The number of entries that are hidden, of which the evidence has the digest only.
    pub hidden: u64,
    /// The number of entries that were erased before the export, of which the evidence has the digest only.
    #[serde(default)]
    pub erased: u64,
    /// The chain hash after the last line, in hexadecimal; to be compared with a value noted elsewhere.
    pub chain_after: String,
    /// The rules of the contract that the entries break, although they are authentic.
    pub violations: Vec<BrokenRule>,
}

/// The reason for which evidence cannot be exported, or does not verify.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The journal cannot be read, or has no such user or run.
    #[error(transparent)]
    Journal(#[from] AuditError),
    /// The evidence cannot be read or written.
    #[error("the evidence cannot be read or written")]
    Io(#[from] io::Error),
    /// A line is not of the format.
    #[error("line {line} of the evidence is invalid: {what}")]
    Form {
        /// The number of the line, from 1.
        line: u64,
        /// A description of the fault.
        what: String,
    },
    /// The first line is entry 1, and the chain does not start with this user in this journal (ISO-2).
    #[error("the evidence begins with entry 1, but not with the start of the chain of user {0:?}")]
    Start(String),
    /// The lines do not lead from the first chain hash to the last.
    #[error("the entries do not lead to the chain at the end: one was changed, moved, added or removed")]
    Broken,
}

impl From<rusqlite::Error> for EvidenceError {
    fn from(error: rusqlite::Error) -> Self {
        EvidenceError::Journal(error.into())
    }
}

/// Writes evidence from the journal in `folder` to `out`.
///
/// # Errors
///
/// Returns [`EvidenceError::Journal`] if the journal is in use or cannot be read, or has no such user or run, and
/// [`EvidenceError::Io`] if `out` cannot be written.
pub fn export(folder: &Path, subject: &EvidenceSubject, out: &mut impl Write) -> Result<(), EvidenceError> {
    let opened = open(folder)?;
    let connection = &opened.connection;
    let (EvidenceSubject::User(user_id) | EvidenceSubject::Run(user_id, _)) = subject;
    let user = users(connection, Some(user_id))?.pop().ok_or_else(|| AuditError::NoUser(user_id.clone()))?;
    let run_id = match subject {
        EvidenceSubject::User(_) => None,
        EvidenceSubject::Run(_, run_id) => Some(run_id.to_string()),
    };
    let (from, to) = match subject {
        EvidenceSubject::User(_) => (user.trimmed + 1, user.head),
        EvidenceSubject::Run(_, run_id) => {
            let found: Option<(u64, Option<u64>)> = connection
                .query_row(
                    "SELECT accepted, completed FROM runs WHERE user = ?1 AND run_id = ?2 AND thread_id <> ''",
                    params![user.id, run_id.0.as_bytes()],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let kept = found.filter(|(accepted, _)| *accepted > user.trimmed);
            let (accepted, completed) = kept.ok_or_else(|| AuditError::NoRun(run_id.to_string()))?;
            (accepted, completed.unwrap_or(user.head))
        }
    };

    // The row before the first requested one has the chain hash to start from.
    let (mut offset, mut chain) = row_before(connection, &user, from)?;
    let column = if erasures::are_known(connection)? { "erased" } else { "NULL" };
    let mut query = connection.prepare(&format!(
        "SELECT lines, {column} FROM batches WHERE user = ?1 AND last > ?2 AND first <= ?3 ORDER BY last"
    ))?;
    let mut rows = query.query(params![user.id, offset, to])?;
    let mut header = Some(|chain_before| EvidenceHeader {
        evidence: FORMAT.into(),
        origin: opened.identity.origin.to_string(),
        user_id: user.user_id.clone(),
        run_id: run_id.clone(),
        from,
        to,
        chain_before,
    });
    while let Some(row) = rows.next()? {
        let lines = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        let erased = ErasedLines::parse(row.get_ref(1)?.as_blob_or_null().map_err(rusqlite::Error::from)?);
        // Torn digests do not verify, as torn lines.
        let erased = erased.unwrap_or_default();
        for (number, line) in lines.split_inclusive(|b| *b == b'\n').enumerate() {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            offset += 1;
            if offset >= from
                && let Some(header) = header.take()
            {
                json_line(out, &header(chain))?;
            }
            if offset > to {
                break;
            }
            let digest = erased.digest(number).unwrap_or_else(|| LineDigest::of(line));
            chain = chain.then(digest);
            if offset < from {
                continue;
            }
            if erased.digest(number).is_some() && run_id.is_none() {
                let line = serde_json::from_slice(line).map_err(io::Error::from)?;
                json_line(out, &ErasedEvidence { erased: digest, line })?;
            } else if run_id.as_deref().is_none_or(|run_id| is_of_run(line, run_id)) {
                out.write_all(line)?;
                out.write_all(b"\n")?;
            } else {
                json_line(out, &Hidden { hidden: digest })?;
            }
        }
    }
    if let Some(header) = header.take() {
        json_line(out, &header(chain))?;
    }
    json_line(out, &Footer { chain_after: chain })?;
    out.flush()?;
    Ok(())
}

fn row_before(
    connection: &rusqlite::Connection,
    user: &AuditedUser,
    from: u64,
) -> Result<(u64, ChainHash), EvidenceError> {
    let found = connection
        .query_row(
            "SELECT last, chain FROM batches WHERE user = ?1 AND last < ?2 ORDER BY last DESC LIMIT 1",
            params![user.id, from],
            |row| Ok((row.get(0)?, ChainHash(row.get(1)?))),
        )
        .optional()?;
    Ok(found.unwrap_or((user.trimmed, user.trimmed_chain)))
}

fn is_of_run(line: &[u8], run_id: &str) -> bool {
    #[derive(Deserialize)]
    struct Named {
        run_id: String,
    }
    serde_json::from_slice::<Named>(line).is_ok_and(|line| line.run_id == run_id)
}

fn json_line(out: &mut impl Write, value: &impl Serialize) -> Result<(), EvidenceError> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Verifies evidence without a journal.
///
/// # Errors
///
/// Returns [`EvidenceError::Io`] if `input` cannot be read, [`EvidenceError::Form`] if it is malformed, and
/// [`EvidenceError::Start`] or [`EvidenceError::Broken`] if the chain does not match.
pub fn verify(input: &mut impl BufRead) -> Result<Verdict, EvidenceError> {
    let mut lines = LineReader { input, number: 0, line: Vec::new() };
    let Some(first) = lines.next()? else { return Err(lines.form("it is empty")) };
    let header: EvidenceHeader =
        serde_json::from_slice(first).map_err(|error| lines.form(&error.to_string()))?;
    if header.evidence != FORMAT {
        return Err(lines.form("it is of another format"));
    }
    if header.from == 0 {
        return Err(lines.form("entries count from 1"));
    }
    if header.from == 1 {
        let start = Epoch::parse(&header.origin)
            .ok()
            .zip(UserId::parse(&header.user_id).ok())
            .map(|(origin, user_id)| ChainHash::start(origin, &user_id));
        if start != Some(header.chain_before) {
            return Err(EvidenceError::Start(header.user_id));
        }
    }

    let mut chain = header.chain_before;
    let mut offset = header.from - 1;
    let (mut shown, mut hidden, mut erased) = (0, 0, 0);
    let mut findings = Findings::new(VIOLATIONS_MAX);
    findings.of_user(Some(&header.user_id));
    // The entries before the evidence are unknown.
    let mut log = LogCheck::new(&header.user_id, Before::Unknown);
    let chain_after = loop {
        let Some(line) = lines.next()? else { return Err(lines.form("the chain at its end is missing")) };
        if let Ok(Footer { chain_after }) = serde_json::from_slice(line) {
            break chain_after;
        }
        offset += 1;
        if let Ok(ErasedEvidence { erased: digest, line }) = serde_json::from_slice(line) {
            if !line.get().starts_with(r#"{"type":"erased","#) {
                return Err(lines.form("an erased entry has content"));
            }
            erased += 1;
            log.entry(offset, line.get().as_bytes(), &mut findings);
            chain = chain.then(digest);
            continue;
        }
        let digest = match serde_json::from_slice::<Hidden>(line) {
            Ok(Hidden { hidden: digest }) if header.run_id.is_some() => {
                hidden += 1;
                digest
            }
            _ => {
                shown += 1;
                log.entry(offset, line, &mut findings);
                LineDigest::of(line)
            }
        };
        chain = chain.then(digest);
    };
    if chain != chain_after || offset != header.to || lines.next()?.is_some() {
        return Err(EvidenceError::Broken);
    }
    log.end(&mut findings);
    let EvidenceHeader { origin, user_id, run_id, from, to, .. } = header;
    let (chain_after, violations) = (chain_after.to_string(), findings.report.violations().to_vec());
    Ok(Verdict { origin, user_id, run_id, from, to, shown, hidden, erased, chain_after, violations })
}

/// Greatest number of violations that a verdict lists.
const VIOLATIONS_MAX: usize = 100;

struct LineReader<'a, R> {
    input: &'a mut R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> LineReader<'_, R> {
    /// Returns the next line, without its line feed.
    fn next(&mut self) -> Result<Option<&[u8]>, EvidenceError> {
        self.line.clear();
        self.number += 1;
        let read = io::Read::take(&mut *self.input, LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
        match self.line.strip_suffix(b"\n") {
            _ if read == 0 => Ok(None),
            Some(line) => Ok(Some(line)),
            None => Err(EvidenceError::Form { line: self.number, what: "it is cut off or too long".into() }),
        }
    }

    fn form(&self, what: &str) -> EvidenceError {
        EvidenceError::Form { line: self.number, what: what.into() }
    }
}
