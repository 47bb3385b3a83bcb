//! Checks the erasures of one user (DEL-8): each erased entry is covered by an erasure, nothing of a finished erasure is
//! left, and each erasure is closed by its entry.

use quintet_journal::{
    chain::{ChainHash, LineDigest},
    sqlite::erasures::ErasedLines,
};
use rusqlite::{Connection, params};

use super::{
    line::ChangeLine,
    report::{Findings, Receipt},
};

/// The erasures of one user.
#[derive(Debug, Default)]
pub(super) struct ErasureCheck {
    erasures: Vec<StoredErasure>,
}

/// A row of the table `erasures`, with what was read of it in the entries.
#[derive(Debug)]
struct StoredErasure {
    receipt: String,
    /// `None`: the whole log.
    thread_id: Option<String>,
    through: u64,
    chain: ChainHash,
    requested_at: u64,
    completed_at: Option<u64>,
    entries: u64,
    closed: Option<u64>,
    /// True once its `thread_erased` or `log_erased` was read.
    reported: bool,
}

impl StoredErasure {
    fn covers(&self, offset: u64, thread_id: Option<&str>) -> bool {
        offset <= self.through && (self.thread_id.is_none() || self.thread_id.as_deref() == thread_id)
    }
}

/// Returns true if the journal has the table; one of an earlier version has no erasures.
pub(super) fn are_known(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'erasures')",
        [],
        |row| row.get(0),
    )
}

impl ErasureCheck {
    /// Reads the erasures of a user.
    pub(super) fn of_user(connection: &Connection, user: i64) -> rusqlite::Result<Self> {
        if !are_known(connection)? {
            return Ok(Self::default());
        }
        let mut query = connection.prepare_cached(
            "SELECT receipt, thread_id, through, chain, requested_at, completed_at, entries, closed
             FROM erasures WHERE user = ?1 ORDER BY through, receipt",
        )?;
        let rows = query.query_map([user], |row| {
            Ok(StoredErasure {
                receipt: uuid::Uuid::from_bytes(row.get(0)?).to_string(),
                thread_id: row.get(1)?,
                through: row.get(2)?,
                chain: ChainHash(row.get(3)?),
                requested_at: row.get(4)?,
                completed_at: row.get(5)?,
                entries: row.get(6)?,
                closed: row.get(7)?,
                reported: false,
            })
        })?;
        Ok(Self { erasures: rows.collect::<Result<_, _>>()? })
    }

    /// Returns true if an unfinished erasure covers the entry. It may be erased or not, so nothing follows from it.
    pub(super) fn is_pending(&self, offset: u64, thread_id: Option<&str>) -> bool {
        let pending = |erasure: &StoredErasure| erasure.completed_at.is_none();
        self.erasures.iter().any(|erasure| pending(erasure) && erasure.covers(offset, thread_id))
    }

    pub(super) fn has_pending(&self) -> bool {
        self.erasures.iter().any(|erasure| erasure.completed_at.is_none())
    }

    /// Checks an entry that is not erased.
    pub(super) fn kept(&self, offset: u64, thread_id: Option<&str>, findings: &mut Findings) {
        let done = |erasure: &&StoredErasure| erasure.completed_at.is_some();
        if let Some(left) =
            self.erasures.iter().filter(done).find(|erasure| erasure.covers(offset, thread_id))
        {
            let what = format!("the entry is left, though the erasure {} is complete", left.receipt);
            findings.violation("DEL-8", offset, None, what);
        }
    }

    /// Checks the line of an erased entry, of which the row keeps the digest.
    pub(super) fn erased(&self, offset: u64, line: &[u8], timestamp: u64, findings: &mut Findings) {
        findings.report.erased += 1;
        if line != format!(r#"{{"type":"erased","offset":{offset},"timestamp":{timestamp}}}"#).as_bytes() {
            findings.violation("DEL-8", offset, None, "the erased entry is not of the form of one");
        }
        // The thread of the entry is not known any more.
        if !self.erasures.iter().any(|erasure| offset <= erasure.through) {
            findings.violation("DEL-8", offset, None, "no erasure covers the erased entry");
        }
    }

    /// Notes the entry that closes an erasure.
    pub(super) fn change(&mut self, offset: u64, change: &ChangeLine<'_>, findings: &mut Findings) {
        let (Some(through), Some(receipt)) = (change.erased_through, &change.receipt) else { return };
        let of_receipt = |erasure: &&mut StoredErasure| erasure.receipt == **receipt;
        let Some(erasure) = self.erasures.iter_mut().find(of_receipt) else {
            let what = format!("the entry reports the erasure {receipt}, which the journal does not have");
            findings.violation("DEL-8", offset, None, what);
            return;
        };
        let agrees = erasure.through == through
            && erasure.thread_id.as_deref() == change.thread_id.as_deref()
            && erasure.completed_at.is_some();
        if !agrees || erasure.closed != Some(offset) || erasure.reported {
            let what = format!("the entry and the record of the erasure {receipt} do not agree");
            findings.violation("DEL-8", offset, None, what);
        }
        erasure.reported = true;
    }

    /// Compares the chain after the last entry of a row with the records of the erasures that reach to it.
    pub(super) fn chain(&self, offset: u64, chain: ChainHash, findings: &mut Findings) {
        for erasure in self.erasures.iter().filter(|erasure| erasure.through == offset) {
            if erasure.chain != chain {
                let what = format!("the erasure {} has another chain hash for this entry", erasure.receipt);
                findings.violation("DEL-8", offset, None, what);
            }
        }
    }

    /// Checks that each closed erasure was reported by an entry, and lists the receipts.
    pub(super) fn end(&self, user_id: &str, trimmed: u64, head: u64, findings: &mut Findings) {
        for erasure in &self.erasures {
            let receipt = &erasure.receipt;
            if erasure.closed.is_some_and(|closed| closed > trimmed) && !erasure.reported {
                let what = format!("no entry reports the erasure {receipt}");
                findings.violation("DEL-8", erasure.closed, None, what);
            }
            if erasure.through > head || (erasure.closed.is_some() && erasure.completed_at.is_none()) {
                let what = format!("the record of the erasure {receipt} contradicts itself");
                findings.violation("DEL-8", None, None, what);
            }
            findings.receipt(Receipt {
                user_id: user_id.to_owned(),
                receipt: receipt.clone(),
                thread_id: erasure.thread_id.clone(),
                through: erasure.through,
                chain_head: erasure.chain.to_string(),
                requested_at: erasure.requested_at,
                completed_at: erasure.completed_at,
                entries: erasure.entries,
                closed: erasure.closed,
            });
        }
    }
}

/// Returns the digest from which the chain of a line verifies: that of the line, or that which the row keeps of an
/// erased one. The flag is false if the stored digests do not fit.
pub(super) fn digest(number: usize, line: &[u8], shorts: &[u8], erased: &ErasedLines) -> (LineDigest, bool) {
    let digest = erased.digest(number).unwrap_or_else(|| LineDigest::of(line));
    let short = shorts.chunks(LineDigest::SHORT_BYTES).nth(number);
    (digest, short == Some(&digest.short()[..]))
}

/// Counts the run records of kept entries, except those that are erased or that an unfinished erasure covers.
pub(super) fn runs_kept(connection: &Connection, user: i64, trimmed: u64) -> rusqlite::Result<u64> {
    let pending = match are_known(connection)? {
        true => {
            "AND NOT EXISTS (
                 SELECT 1 FROM erasures WHERE erasures.user = runs.user AND completed_at IS NULL
                   AND accepted <= through AND coalesce(erasures.thread_id, runs.thread_id) = runs.thread_id)"
        }
        false => "",
    };
    let query =
        format!("SELECT count(*) FROM runs WHERE user = ?1 AND accepted > ?2 AND thread_id <> '' {pending}");
    connection.prepare_cached(&query)?.query_row(params![user, trimmed], |row| row.get(0))
}

/// Checks that the records of erased messages have no particulars, and belong to erased entries.
pub(super) fn index(
    connection: &Connection,
    user: i64,
    trimmed: u64,
    is_erased: impl Fn(u64) -> bool,
    findings: &mut Findings,
) -> rusqlite::Result<()> {
    let mut query = connection.prepare_cached(
        "SELECT accepted, message_id LIKE ' %' AND agent_name = '' AND parent = 0 FROM runs
         WHERE user = ?1 AND thread_id = ''",
    )?;
    let mut rows = query.query(params![user])?;
    while let Some(row) = rows.next()? {
        let (accepted, is_blank): (u64, bool) = (row.get(0)?, row.get(1)?);
        if !is_blank {
            findings.violation("INDEX", accepted, None, "the index keeps particulars of an erased message");
        }
        if accepted > trimmed && !is_erased(accepted) {
            findings.violation("INDEX", accepted, None, "the index has the message as erased, and it is not");
        }
    }
    Ok(())
}
