//! The commit of a group, and the verdict on each of its appends.

use std::{collections::HashMap, time::Duration};

use quintet_journal::{AppendError, Batch, Fence, JournalError, Position, chain::ChainHash, engine::unfit};
use quintet_kernel::ids::{Offset, UserId};
use tokio::time::timeout;
use tokio_postgres::types::Type;

use super::{
    AppendJob, Writer,
    group::{Group, UserRow},
};
use crate::{
    fault::{Failure, describe, fault, is_misfit, is_refusal, unavailable, without_lease},
    options::{CONTENDED_TRIES_MAX, USERS_AT_HAND_MAX},
};

/// The reason for which the statement of a group failed.
enum CommitFailure {
    /// The server rolled it back.
    Refused(tokio_postgres::Error),
    /// The node has no lease, so that nothing was appended.
    WithoutLease,
    /// It may be committed, now or later (DEL-7).
    Unknown(JournalError),
}

impl Writer {
    /// Appends a group, and replies to each of its appends.
    pub(super) async fn commit(&mut self, group: Vec<AppendJob>) {
        let mut waiting = group;
        for attempt in 0..CONTENDED_TRIES_MAX {
            // A row that another transaction holds is waited for alone, so that the others do not wait with it.
            let parts: Vec<Vec<AppendJob>> =
                if attempt == 0 { vec![waiting] } else { waiting.into_iter().map(|one| vec![one]).collect() };
            waiting = Vec::new();
            for part in parts {
                let contended = Box::pin(self.commit_part(part, attempt > 0)).await;
                waiting.extend(contended);
            }
            if waiting.is_empty() {
                return;
            }
            metrics::counter!("quintet_postgres_contended_appends_total").increment(waiting.len() as u64);
        }
        for append in waiting {
            // Nothing of it is in the log, and a later attempt may succeed.
            let _ = append.reply.send(Err(AppendError::Contended));
        }
    }

    /// Returns the appends whose rows were locked.
    async fn commit_part(&mut self, part: Vec<AppendJob>, waits: bool) -> Vec<AppendJob> {
        let known = match self.look_up(&part).await {
            Ok(known) => known,
            Err(error) => return fail(part, &error),
        };
        let mut group = Group::new(self.origin(), waits);
        let mut jobs = Vec::new();
        for append in part {
            let AppendJob { user_id, batch, .. } = &append;
            let row = known.get(user_id).copied();
            let position = row.map(|row| row.position()).unwrap_or_default();
            let head = position.head;
            // The log is the lock: only a writer that knows the head may append.
            if position != expected(batch) {
                let _ = append.reply.send(Err(AppendError::Conflict { head }));
            } else if let Some(what) = unfit(batch) {
                let _ = append.reply.send(Err(AppendError::Journal(JournalError::Damaged(what.into()))));
            } else if batch.is_empty() {
                let _ = append.reply.send(Ok(()));
            } else if let Some(row) = row {
                let after = group.add(user_id, row, batch);
                jobs.push((append, row, after));
            } else {
                let _ = append.reply.send(Err(unavailable("the row of a user was not created").into()));
            }
        }
        if jobs.is_empty() {
            return Vec::new();
        }
        match self.execute(&group).await {
            Ok(verdicts) => self.reply(jobs, &verdicts),
            Err(CommitFailure::Refused(error)) if error.code().is_some_and(is_misfit) => {
                if jobs.len() == 1 {
                    let what = format!("a batch does not fit the index: {}", describe(&error));
                    return fail(jobs.into_iter().map(|(append, ..)| append), &JournalError::Damaged(what));
                }
                // One of them contradicts the index: commit each separately.
                let mut contended = Vec::new();
                for (append, ..) in jobs {
                    contended.extend(Box::pin(self.commit_part(vec![append], waits)).await);
                }
                contended
            }
            Err(CommitFailure::Refused(error)) => {
                let error = fault(&error);
                tracing::error!(%error, batches = jobs.len(), "commit failed");
                fail(jobs.into_iter().map(|(append, ..)| append), &error)
            }
            Err(CommitFailure::WithoutLease) => {
                self.context.node.refused();
                self.give_up();
                fail(jobs.into_iter().map(|(append, ..)| append), &without_lease())
            }
            Err(CommitFailure::Unknown(error)) => {
                metrics::counter!("quintet_postgres_unknown_appends_total").increment(jobs.len() as u64);
                tracing::error!(%error, batches = jobs.len(), "the outcome of a commit is not known");
                // Before the replies: a log that is read back waits until the outcome is final.
                self.give_up();
                fail(jobs.into_iter().map(|(append, ..)| append), &error)
            }
        }
    }

    /// Returns the rows of the users whose heads may be as expected, from memory or from the database. Creates the row of
    /// a user whose first batch this is.
    async fn look_up(&mut self, part: &[AppendJob]) -> Result<HashMap<UserId, UserRow>, JournalError> {
        if self.users.len() > USERS_AT_HAND_MAX {
            self.users.clear();
        }
        self.open().await?;
        // A head that another process moved is behind the expected one here.
        let asked: Vec<&AppendJob> = part
            .iter()
            .filter(|append| {
                self.users.get(&append.user_id).is_none_or(|row| row.position() != expected(&append.batch))
            })
            .collect();
        if !asked.is_empty() {
            let ids: Vec<Vec<u8>> = asked.iter().map(|append| append.user_id.as_str().into()).collect();
            let fresh: Vec<&&AppendJob> = asked
                .iter()
                .filter(|append| {
                    expected(&append.batch) == Position::default()
                        && !self.users.contains_key(&append.user_id)
                })
                .collect();
            let origin = self.origin();
            let new: Vec<Vec<u8>> = fresh.iter().map(|append| append.user_id.as_str().into()).collect();
            let chains: Vec<Vec<u8>> =
                fresh.iter().map(|append| ChainHash::start(origin, &append.user_id).0.to_vec()).collect();
            let limit = Duration::from_millis(self.context.limits.postgres_read_timeout_ms);
            let client = &self.open().await?.session.client;
            let query = async {
                if !new.is_empty() {
                    // In one order, so that two processes do not wait for each other.
                    client
                        .execute_typed(
                            "INSERT INTO users (user_id, head, chain, trimmed_chain)
                             SELECT name, 0, start, start FROM unnest($1, $2) AS new (name, start) ORDER BY name
                             ON CONFLICT (user_id) DO NOTHING",
                            &[(&new, Type::BYTEA_ARRAY), (&chains, Type::BYTEA_ARRAY)],
                        )
                        .await?;
                }
                client
                    .query_typed(
                        "SELECT user_id, id, head, chain, fence FROM users WHERE user_id = ANY($1)",
                        &[(&ids, Type::BYTEA_ARRAY)],
                    )
                    .await
            };
            let rows = match timeout(limit, query).await {
                Ok(Ok(rows)) => rows,
                Ok(Err(error)) => {
                    self.give_up();
                    return Err(fault(&error));
                }
                Err(_) => {
                    self.give_up();
                    return Err(Failure::TimedOut.into_error());
                }
            };
            for row in rows {
                let (user_id, row) = user_row(&row)?;
                self.users.insert(user_id, row);
            }
        }
        let found = part
            .iter()
            .filter_map(|append| self.users.get(&append.user_id).map(|row| (append.user_id.clone(), *row)));
        Ok(found.collect())
    }

    /// Executes the statement of a group. Returns of each user whose row was locked whether the batch was appended.
    async fn execute(&mut self, group: &Group) -> Result<HashMap<i64, bool>, CommitFailure> {
        let limit = Duration::from_millis(self.context.limits.postgres_append_timeout_ms);
        let open = self.open().await.map_err(CommitFailure::Unknown)?;
        let statement = group.statement(open.id);
        let warned = open.session.warnings();
        // NODE-5: after the time limit the connection is given up, and no request to cancel is sent.
        let rows = match timeout(limit, statement.query(&open.session.client)).await {
            Err(_) => return Err(CommitFailure::Unknown(Failure::TimedOut.into_error())),
            Ok(Err(error)) if is_refusal(&error) && open.session.warnings() == warned => {
                return Err(CommitFailure::Refused(error));
            }
            Ok(Err(error)) => return Err(CommitFailure::Unknown(fault(&error))),
            Ok(Ok(_)) if open.session.warnings() != warned => {
                return Err(CommitFailure::Unknown(unavailable(
                    "the database sent a warning with a commit, so that it may not be replicated",
                )));
            }
            Ok(Ok(rows)) => rows,
        };
        let verdict = |row: &tokio_postgres::Row| -> Result<Option<(i64, bool)>, tokio_postgres::Error> {
            let Some(user) = row.try_get(0)? else { return Ok(None) };
            Ok(Some((user, row.try_get(1)?)))
        };
        let verdicts: Result<Option<HashMap<i64, bool>>, _> = rows.iter().map(verdict).collect();
        let verdicts = verdicts.map_err(|error| CommitFailure::Unknown(fault(&error)))?;
        verdicts.ok_or(CommitFailure::WithoutLease)
    }

    /// Returns the appends whose rows were locked, or whose heads have moved.
    fn reply(
        &mut self,
        jobs: Vec<(AppendJob, UserRow, UserRow)>,
        verdicts: &HashMap<i64, bool>,
    ) -> Vec<AppendJob> {
        let mut contended = Vec::new();
        for (append, before, after) in jobs {
            let appended = verdicts.get(&before.id);
            if appended == Some(&true) {
                if let Some(last) = append.batch.resumes.last() {
                    self.incarnation = last.incarnation.or(self.incarnation);
                }
                // NODE-4: after the commit, and apart from it.
                if let Some(wakes) = &self.context.wakes {
                    wakes.moved(&append.user_id, after.position());
                }
                self.users.insert(append.user_id, after);
                // A caller that is gone finds the outcome in the log.
                let _ = append.reply.send(Ok(()));
            } else if appended.is_some() {
                let what =
                    "a batch does not fit the index: a run or message id is used twice, or a run is not open";
                let _ = append.reply.send(Err(AppendError::Journal(JournalError::Damaged(what.into()))));
            } else {
                // The next attempt asks for its head, and replies with a conflict.
                self.users.remove(&append.user_id);
                contended.push(append);
            }
        }
        contended
    }
}

impl UserRow {
    fn position(&self) -> Position {
        Position { head: self.head, fence: self.fence }
    }
}

fn expected(batch: &Batch) -> Position {
    Position { head: batch.expected, fence: batch.fence }
}

fn fail(appends: impl IntoIterator<Item = AppendJob>, error: &JournalError) -> Vec<AppendJob> {
    for append in appends {
        // A caller that is gone finds the outcome in the log.
        let _ = append.reply.send(Err(AppendError::Journal(error.clone())));
    }
    Vec::new()
}

fn user_row(row: &tokio_postgres::Row) -> Result<(UserId, UserRow), JournalError> {
    let damaged = |what: &str| JournalError::Damaged(format!("the row of a user is unreadable: {what}"));
    let sql = |error: tokio_postgres::Error| damaged(&describe(&error));
    let user_id: Vec<u8> = row.try_get(0).map_err(sql)?;
    let user_id = String::from_utf8(user_id).ok().and_then(|text| UserId::parse(&text).ok());
    let chain: Vec<u8> = row.try_get(3).map_err(sql)?;
    let found = UserRow {
        id: row.try_get(1).map_err(sql)?,
        head: Offset(row.try_get::<_, i64>(2).map_err(sql)?.unsigned_abs()),
        fence: Fence(row.try_get::<_, i64>(4).map_err(sql)?.unsigned_abs()),
        chain: ChainHash(chain.try_into().map_err(|_| damaged("its chain"))?),
    };
    Ok((user_id.ok_or_else(|| damaged("its name"))?, found))
}
