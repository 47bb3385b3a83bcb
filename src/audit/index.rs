//! Compares the index of one user with the entries.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    erasures,
    log::{Milestone, ThreadCheck},
    report::Findings,
    run::RunCheck,
};

/// The check of one user's index.
pub(super) struct IndexCheck<'c> {
    connection: &'c Connection,
    user: i64,
    accepted: u64,
    /// The entries of threads that belong to no run; `None` if the journal is of an earlier version without their index.
    changes: Option<u64>,
}

/// The index columns of an accepted run: run, message, thread, agent, time, parent.
type Beginning = (String, String, String, String, u64, u64);
/// The index columns of its progress: start, end, status.
type RunColumns = (Option<u64>, Option<u64>, Option<String>);

impl<'c> IndexCheck<'c> {
    pub(super) fn new(connection: &'c Connection, user: i64) -> rusqlite::Result<Self> {
        let indexed: bool = connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'thread_changes')",
            [],
            |row| row.get(0),
        )?;
        Ok(Self { connection, user, accepted: 0, changes: indexed.then_some(0) })
    }

    /// Returns the runs that began in the trimmed entries and continue after them, with the offset of their
    /// acceptance.
    pub(super) fn runs_across(
        &self,
        trimmed: u64,
        findings: &mut Findings,
    ) -> rusqlite::Result<HashMap<String, u64>> {
        let mut query = self.connection.prepare_cached(
            "SELECT run_id, accepted, completed FROM runs
             WHERE user = ?1 AND accepted <= ?2 AND (completed IS NULL OR completed > ?2) AND thread_id <> ''",
        )?;
        let mut rows = query.query(params![self.user, trimmed])?;
        let mut runs = HashMap::new();
        while let Some(row) = rows.next()? {
            let (run_id, accepted) = (uuid::Uuid::from_bytes(row.get(0)?).to_string(), row.get(1)?);
            if row.get::<_, Option<u64>>(2)?.is_none() {
                // RUN-6: the entries of an open run are needed to resume or end it, and are never trimmed.
                findings.violation("RUN-6", accepted, Some(&run_id), "an open run has lost its beginning");
            }
            runs.insert(run_id, accepted);
        }
        Ok(runs)
    }

    /// Compares the index with an entry that it has to reflect.
    pub(super) fn milestone(
        &mut self,
        offset: u64,
        milestone: &Milestone,
        findings: &mut Findings,
    ) -> rusqlite::Result<()> {
        match milestone {
            Milestone::Accepted { run_id, message_id, thread_id, agent_name, at, parent } => {
                self.accepted += 1;
                let found: Option<Beginning> = self
                    .connection
                    .prepare_cached(
                        "SELECT run_id, message_id, thread_id, agent_name, accepted_at, parent FROM runs
                         WHERE user = ?1 AND accepted = ?2",
                    )?
                    .query_row(params![self.user, offset], |row| {
                        let run_id = uuid::Uuid::from_bytes(row.get(0)?).to_string();
                        let own = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
                        Ok((run_id, own.0, own.1, own.2, own.3, row.get(5)?))
                    })
                    .optional()?;
                // Without a parent in the entry and a previous message, the index alone has it.
                let parent = parent.or(found.as_ref().map(|found| found.5)).unwrap_or(0);
                let said =
                    (run_id.clone(), message_id.clone(), thread_id.clone(), agent_name.clone(), *at, parent);
                if found.as_ref() != Some(&said) {
                    let what = match found {
                        None => "the index does not know this message".to_owned(),
                        Some((run, message, ..)) => {
                            format!(
                                "the index has message {message:?} and run {run} here, or other particulars"
                            )
                        }
                    };
                    findings.violation("INDEX", offset, Some(run_id), what);
                }
            }
            Milestone::Completed { run_id, accepted, started, status } if *accepted > 0 => {
                let (found_start, end, found_status) = self.course(*accepted)?;
                let starts_agree = started.is_none() || *started == found_start;
                if !starts_agree || end != Some(offset) || found_status.as_deref() != Some(status) {
                    let what = format!(
                        "the index has the run start at {found_start:?} and end at {end:?}, {found_status:?}"
                    );
                    findings.violation("INDEX", offset, Some(run_id), what);
                }
            }
            Milestone::Changed { thread_id } => self.changed(offset, thread_id, findings)?,
            Milestone::Completed { .. } | Milestone::Closed { .. } | Milestone::Other => {}
        }
        Ok(())
    }

    fn changed(&mut self, offset: u64, thread_id: &str, findings: &mut Findings) -> rusqlite::Result<()> {
        let Some(changes) = &mut self.changes else { return Ok(()) };
        *changes += 1;
        let found: Option<String> = self
            .connection
            .prepare_cached("SELECT thread_id FROM thread_changes WHERE user = ?1 AND at = ?2")?
            .query_row(params![self.user, offset], |row| row.get(0))
            .optional()?;
        if found.as_deref() != Some(thread_id) {
            let what = format!("the index has {found:?} as the thread of this change");
            findings.violation("INDEX", offset, None, what);
        }
        Ok(())
    }

    fn course(&self, accepted: u64) -> rusqlite::Result<RunColumns> {
        let found = self
            .connection
            .prepare_cached("SELECT started, completed, status FROM runs WHERE user = ?1 AND accepted = ?2")?
            .query_row(params![self.user, accepted], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Compares the open runs, the counts and the threads at the end of the log.
    pub(super) fn end(
        &self,
        trimmed: u64,
        runs_counted: u64,
        unfinished: &[RunCheck],
        threads: &HashMap<String, ThreadCheck>,
        is_erased: impl Fn(u64) -> bool + Copy,
        findings: &mut Findings,
    ) -> rusqlite::Result<()> {
        for run in unfinished.iter().filter(|run| run.accepted > 0) {
            let (started, completed, _) = self.course(run.accepted)?;
            if completed.is_some() || (run.started.is_some() && started != run.started) {
                let what = format!(
                    "the index has the run start at {started:?} and end at {completed:?}; it is open"
                );
                findings.violation("INDEX", run.accepted, Some(&run.run_id), what);
            }
        }
        let count = |sql, trimmed: u64| -> rusqlite::Result<u64> {
            self.connection.prepare_cached(sql)?.query_row(params![self.user, trimmed], |row| row.get(0))
        };
        let kept = erasures::runs_kept(self.connection, self.user, trimmed)?;
        if kept != self.accepted {
            let what = format!(
                "the index has {kept} runs of the entries that are kept, which have {}",
                self.accepted
            );
            findings.violation("INDEX", None, None, what);
        }
        let all = count("SELECT count(*) FROM runs WHERE user = ?1 AND accepted > ?2", 0)?;
        if all != runs_counted {
            let what = format!("the index counts {runs_counted} run records, and there are {all}");
            findings.violation("INDEX", None, None, what);
        }
        if let Some(changes) = self.changes {
            let all = count("SELECT count(*) FROM thread_changes WHERE user = ?1 AND at > ?2", 0)?;
            if all != changes {
                let what = format!("the index has {all} changes of threads, and the entries have {changes}");
                findings.violation("INDEX", None, None, what);
            }
        }
        erasures::index(self.connection, self.user, trimmed, is_erased, findings)?;
        self.threads(trimmed, threads, is_erased, findings)
    }

    fn threads(
        &self,
        trimmed: u64,
        threads: &HashMap<String, ThreadCheck>,
        is_erased: impl Fn(u64) -> bool,
        findings: &mut Findings,
    ) -> rusqlite::Result<()> {
        let mut query = self.connection.prepare_cached(
            "SELECT thread_id, first, last, last_at, messages FROM threads WHERE user = ?1",
        )?;
        let mut rows = query.query([self.user])?;
        let mut known = 0;
        while let Some(row) = rows.next()? {
            let thread_id: String = row.get(0)?;
            let (first, last, last_at, messages): (u64, u64, u64, u64) =
                (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            let agrees = match threads.get(&thread_id) {
                // An unfinished erasure of the log has not come to it yet.
                None => last <= trimmed || is_erased(last),
                Some(seen) => {
                    known += 1;
                    let begins = if first > trimmed { first == seen.first } else { trimmed > 0 };
                    let counts =
                        if first > trimmed { messages == seen.messages } else { messages >= seen.messages };
                    begins && counts && (last, last_at) == (seen.last, seen.last_at)
                }
            };
            if !agrees {
                let what = format!(
                    "the index has thread {thread_id:?} from {first} to {last} with {messages} messages; the entries do not"
                );
                findings.violation("INDEX", None, None, what);
            }
        }
        if known != threads.len() {
            let what = format!("the index lacks {} threads that the entries have", threads.len() - known);
            findings.violation("INDEX", None, None, what);
        }
        Ok(())
    }
}
