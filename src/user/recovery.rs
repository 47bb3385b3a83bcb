//! Recovery: loads the state of a log by a fold over its open runs. The cost does not depend on the length of
//! the rest of the log (RUN-6).

use std::collections::BTreeMap;

use super::{client_calls::ClientCalls, deadline::Waited};
use crate::{
    agent::host::{EmittedText, TakenRecord},
    journal::{Fence, JournalError, Lines, Log, ReadLimit, ResumeRecord, RunRecord},
    kernel::{
        entry::{Body, CallOwner, Entry, Event, RunEntry},
        ids::{CallId, Offset, RunId, Seq, Timestamp, UserId},
        limits::Limits,
        spending::Spending,
        user::{PastCall, Recovering, UserState},
    },
    wire,
};

/// The state of a log, and the past of every open run.
pub(crate) struct LoadedLog {
    pub state: UserState,
    pub fence: Fence,
    /// The timestamp of the last entry. Later entries get no earlier one, even if the clock was set back.
    pub last_at: Timestamp,
    pub pasts: BTreeMap<RunId, Past>,
    pub client_calls: ClientCalls,
    pub resumes: BTreeMap<RunId, ResumeRecord>,
    pub spending: Spending,
}

/// The past of an open run. Its size does not depend on the amount of text that the run has emitted.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub text: String,
    /// The events of the run, without its thoughts.
    pub events: Vec<RunEntry>,
    pub emitted: EmittedText,
    /// The messages that the run has taken, in order (RUN-12).
    pub taken: Vec<TakenRecord>,
    pub waited: Waited,
    /// The last event made by its agent, without closes by the client or the service (RUN-6).
    pub last_step: Seq,
}

impl Past {
    /// Adds the next entry of the run.
    pub(super) fn take(&mut self, entry: RunEntry) {
        if let Body::Event { seq, event } = &entry.body {
            let of_client =
                matches!(event, Event::ToolCompleted { call_id, .. } if self.waited.waits_for(call_id));
            if !of_client {
                self.last_step = *seq;
            }
        }
        match &entry.body {
            Body::UserMessage { text, .. } => self.text.clone_from(text),
            Body::Event { event: Event::Thinking(thought), .. } => self.emitted.take(entry.offset, thought),
            Body::Event { event, .. } => {
                self.waited.take(event, entry.timestamp);
                self.events.push(entry);
            }
        }
    }
}

/// The messages of completed runs that waited to be taken, by run, up to the end of their runs. A run takes only
/// messages that were accepted after its own, so that all of them are in the entries that recovery reads (RUN-12).
#[derive(Default)]
struct SteeringMessages(BTreeMap<RunId, Offset>);

impl SteeringMessages {
    /// Adds the next entry of a completed run.
    fn take(&mut self, entry: &RunEntry, pasts: &mut BTreeMap<RunId, Past>) {
        match &entry.body {
            Body::UserMessage { steers: true, .. } => drop(self.0.insert(entry.run_id, entry.offset)),
            Body::Event { event: Event::Completed(completion), .. } => {
                let offset = self.0.remove(&entry.run_id);
                let taker = completion.merged_into.and_then(|into| pasts.get_mut(&into));
                if let (Some(offset), Some(past)) = (offset, taker) {
                    let opened = |entry: &&RunEntry| {
                        matches!(&entry.body, Body::Event { event: Event::ToolExecuting(_), .. })
                    };
                    let calls = past.events.iter().filter(opened).count();
                    past.taken.push(TakenRecord { offset, calls });
                }
            }
            Body::UserMessage { .. } | Body::Event { .. } => {}
        }
    }
}

/// The limits of one read.
const PAGE: ReadLimit = ReadLimit { entries_max: 1024, bytes_max: 1024 * 1024 };

/// The limits of a read of a single entry.
const ONE: ReadLimit = ReadLimit { entries_max: 1, bytes_max: 1 };

pub(crate) async fn load(
    log: &dyn Log,
    user_id: &UserId,
    limits: &Limits,
) -> Result<LoadedLog, JournalError> {
    let recovery = log.recovery(limits.recent_messages_max).await?;
    let mut pasts: BTreeMap<RunId, Past> =
        recovery.unfinished.iter().map(|run| (run.run_id, Past::default())).collect();
    let (mut recovering, mut client_calls) = (Recovering::default(), ClientCalls::default());
    if let Some(first) = recovery.unfinished.iter().map(|run| run.accepted).min() {
        let mut pages = Pages::new(log, Offset(first.0 - 1), recovery.head);
        let mut waiting = SteeringMessages::default();
        while let Some(lines) = pages.next().await? {
            for (_, line) in lines.iter() {
                let Some(entry) = decode(&line, user_id)?.into_run() else { continue };
                let Some(past) = pasts.get_mut(&entry.run_id) else {
                    waiting.take(&entry, &mut pasts);
                    continue;
                };
                recovering.take(&entry).map_err(|misfit| JournalError::Damaged(misfit.to_string()))?;
                client_calls.take(&entry);
                past.take(entry);
            }
        }
    }
    let state = recovering.finish(recovery.head, recovery.recent, recovery.erasures, limits);
    let last_at = last_at(log, user_id, recovery.head).await?;
    let spending = recovery.spending;
    let resumes = recovery.resumes.into_iter().map(|record| (record.run_id, record)).collect();
    let fence = recovery.fence;
    Ok(LoadedLog { state, fence, last_at, pasts, client_calls, resumes, spending })
}

/// Returns the timestamp of the entry at `head`, or 0 if it was trimmed.
async fn last_at(log: &dyn Log, user_id: &UserId, head: Offset) -> Result<Timestamp, JournalError> {
    if head == Offset::ZERO {
        return Ok(Timestamp::default());
    }
    let lines = log.read(Offset(head.0 - 1), ONE).await?;
    let Some((_, line)) = lines.iter().next() else { return Ok(Timestamp::default()) };
    Ok(decode(&line, user_id)?.timestamp())
}

/// Returns the text of the message at the offset `accepted`.
pub(crate) async fn text(log: &dyn Log, user_id: &UserId, accepted: Offset) -> Result<String, JournalError> {
    match entry(log, user_id, accepted).await?.and_then(Entry::into_run).map(|entry| entry.body) {
        Some(Body::UserMessage { text, .. }) => Ok(text),
        Some(Body::Event { .. }) | None => Err(missing(accepted)),
    }
}

/// Reads the entry at `offset`; `None` if it was trimmed or does not exist yet.
pub(crate) async fn entry(
    log: &dyn Log,
    user_id: &UserId,
    offset: Offset,
) -> Result<Option<Entry>, JournalError> {
    let lines = log.read(Offset(offset.0 - 1), ONE).await?;
    match lines.iter().next() {
        Some((found, line)) if found == offset => decode(&line, user_id).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// Looks a call of a completed run up in the log (RUN-11). Reads the whole run.
pub(crate) async fn past_call(
    log: &dyn Log,
    user_id: &UserId,
    run_id: RunId,
    call_id: &CallId,
) -> Result<PastCall, JournalError> {
    let Some(RunRecord { accepted, completed: Some((completed, _)), .. }) = log.run(run_id).await? else {
        return Ok(PastCall::NotOfClient);
    };
    let mut pages = Pages::new(log, Offset(accepted.0 - 1), completed);
    while let Some(lines) = pages.next().await? {
        for (_, line) in lines.iter() {
            let Some(entry) = decode(&line, user_id)?.into_run() else { continue };
            if let (true, Body::Event { event: Event::ToolExecuting(call), .. }) =
                (entry.run_id == run_id, &entry.body)
                && call.call_id == *call_id
            {
                return Ok(if call.by == CallOwner::Client {
                    PastCall::OfClient
                } else {
                    PastCall::NotOfClient
                });
            }
        }
    }
    Ok(PastCall::NotOfClient)
}

/// Reads a range of a log page by page.
pub(crate) struct Pages<'a> {
    log: &'a dyn Log,
    after: Offset,
    through: Offset,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(log: &'a dyn Log, after: Offset, through: Offset) -> Self {
        Self { log, after, through }
    }

    /// Returns the next page; `None` past the end. Trimmed entries are skipped.
    pub(crate) async fn next(&mut self) -> Result<Option<Lines>, JournalError> {
        if self.after >= self.through {
            return Ok(None);
        }
        let room = usize::try_from(self.through.0 - self.after.0).unwrap_or(usize::MAX);
        let limit = ReadLimit { entries_max: PAGE.entries_max.min(room), ..PAGE };
        let lines = self.log.read(self.after, limit).await?;
        if lines.is_empty() || lines.first() > self.through {
            return Ok(None);
        }
        self.after = lines.last();
        Ok(Some(lines))
    }
}

/// Decodes an entry of this user's log. The line of an erased entry has no owner, and no content.
///
/// # Errors
///
/// Returns [`JournalError::Damaged`] if the line is not an entry or belongs to another user (ISO-1).
pub(crate) fn decode(line: &[u8], user_id: &UserId) -> Result<Entry, JournalError> {
    let (owner, entry) =
        wire::entry::decode(line).map_err(|error| JournalError::Damaged(error.to_string()))?;
    let is_of_user = match &entry {
        Entry::Run(_) | Entry::Thread(_) | Entry::LogErased(_) => owner.as_ref() == Some(user_id),
        Entry::Erased(_) => true,
    };
    if is_of_user { Ok(entry) } else { Err(JournalError::Damaged("an entry of another user".to_owned())) }
}

fn missing(offset: Offset) -> JournalError {
    JournalError::Damaged(format!("no user_message at offset {offset}"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::kernel::ids::{AgentName, MessageId, ThreadId, Timestamp};

    #[test]
    fn iso_1_an_entry_of_another_user_is_damage_and_never_an_entry() {
        let (ann, ben) = (UserId::parse("ann").unwrap(), UserId::parse("ben").unwrap());
        let entry = Entry::Run(RunEntry {
            offset: Offset(1),
            thread_id: ThreadId::parse("t").unwrap(),
            run_id: RunId(Uuid::from_u128(1)),
            timestamp: Timestamp(1),
            agent_name: AgentName::parse("assistant").unwrap(),
            body: Body::UserMessage {
                message_id: MessageId::parse("m").unwrap(),
                text: "of ben alone".to_owned(),
                parent: Some(Offset::ZERO),
                steers: false,
            },
        });
        let mut line = bytes::BytesMut::new();
        wire::entry::encode(&ben, &entry, &mut line);
        assert_eq!(decode(&line, &ben).unwrap(), entry);
        assert!(matches!(decode(&line, &ann), Err(JournalError::Damaged(_))));
    }
}
