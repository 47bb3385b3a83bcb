//! The part of a run that is in the log already.

use quintet_agui_server::{Encoder, fold::RunFold, message::Message};

use crate::{
    journal::{JournalError, Lines, ReadLimit, RunRecord},
    kernel::{
        entry::{Body, Entry, LogErased, RunEntry, ThreadChange, ThreadEntry},
        ids::{AgentName, Offset, RunId, ThreadId, UserId},
    },
    user::{
        cursor::{Cursor, ReadError},
        handle::User,
    },
    wire,
};

/// Adds the entries of the encoder's run up to the head to its prefix. The cursor is at the head afterwards.
///
/// # Errors
/// When the journal cannot be read.
pub async fn absorb(
    user: &User,
    cursor: &mut Cursor,
    encoder: &mut Encoder,
    limit: ReadLimit,
) -> Result<(), JournalError> {
    let (filter, head) = (RunFilter::new(user.user_id(), encoder.run_id()), cursor.head());
    while cursor.after() < head {
        match cursor.read(head, limit).await {
            Ok(lines) => filter.each(&lines, |agent_name, body| encoder.absorb(agent_name, body))?,
            // Entries that retention has trimmed are not part of a snapshot.
            Err(ReadError::Gap(gap)) => cursor.seek(gap.to),
            Err(ReadError::Journal(error)) => return Err(error),
        }
    }
    Ok(())
}

/// The limits of the earlier runs in a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimit {
    /// Most runs, of the latest ones.
    pub runs_max: usize,
    /// Bytes of the log that are read for them.
    pub bytes_max: usize,
    /// The limits of one read.
    pub chunk: ReadLimit,
}

/// Returns the messages of completed runs, given newest first, in the order of the conversation. Runs beyond a limit
/// are left out, the oldest ones.
///
/// # Errors
/// When the journal cannot be read.
pub async fn history(
    user: &User,
    runs: &[RunRecord],
    limit: HistoryLimit,
) -> Result<Vec<Message>, JournalError> {
    let (mut folds, mut bytes_left) = (Vec::new(), limit.bytes_max);
    for run in runs.iter().take(limit.runs_max) {
        match past_run(user, run, limit.chunk, &mut bytes_left).await? {
            Some(fold) => folds.push(fold),
            None => break,
        }
    }
    Ok(folds.iter().rev().flat_map(RunFold::messages).collect())
}

/// Returns the messages of a run; `None` if they need more than `bytes_left`.
async fn past_run(
    user: &User,
    run: &RunRecord,
    limit: ReadLimit,
    bytes_left: &mut usize,
) -> Result<Option<RunFold>, JournalError> {
    let (filter, mut fold) = (RunFilter::new(user.user_id(), run.run_id), RunFold::new(run.run_id));
    let through = run.completed.map_or(Offset(u64::MAX), |(completed, _)| completed);
    let mut after = Offset(run.accepted.0 - 1);
    while after < through {
        let room = usize::try_from(through.0 - after.0).unwrap_or(usize::MAX);
        let limit = ReadLimit { entries_max: limit.entries_max.min(room), ..limit };
        let lines = user.entries(after, limit).await?;
        if lines.is_empty() || lines.first() > through {
            break;
        }
        match bytes_left.checked_sub(lines.as_bytes().len()) {
            Some(left) => *bytes_left = left,
            None => return Ok(None),
        }
        filter.each(&lines, |agent_name, body| fold.take(agent_name, body))?;
        after = lines.last();
    }
    Ok(Some(fold))
}

/// Finds the entries of one run among a user's entries, without decoding the others.
pub struct RunFilter {
    user_id: UserId,
    run_id: RunId,
    finder: memchr::memmem::Finder<'static>,
}

impl RunFilter {
    /// Creates a filter for a run of a user.
    pub fn new(user_id: &UserId, run_id: RunId) -> Self {
        let finder = memchr::memmem::Finder::new(run_id.to_string().as_bytes()).into_owned();
        Self { user_id: user_id.clone(), run_id, finder }
    }

    /// Returns the entry of a line if it belongs to the run.
    ///
    /// # Errors
    /// When the line is not an entry of this user (ISO-1).
    pub fn entry(&self, line: &[u8]) -> Result<Option<RunEntry>, JournalError> {
        if self.finder.find(line).is_none() {
            return Ok(None);
        }
        match self.decode(line)? {
            Entry::Run(entry) if entry.run_id == self.run_id => Ok(Some(entry)),
            Entry::Run(_) | Entry::Thread(_) | Entry::LogErased(_) | Entry::Erased(_) => Ok(None),
        }
    }

    /// Returns whether a line reports that the message at `accepted` of a thread was erased (DEL-8).
    ///
    /// # Errors
    /// When the line is not an entry of this user (ISO-1).
    pub fn erases(&self, line: &[u8], thread_id: &ThreadId, accepted: Offset) -> Result<bool, JournalError> {
        if !ERASURES.iter().any(|kind| line.starts_with(kind)) {
            return Ok(false);
        }
        Ok(match self.decode(line)? {
            Entry::Thread(ThreadEntry {
                thread_id: of,
                change: ThreadChange::Erased { through, .. },
                ..
            }) => of == *thread_id && accepted <= through,
            Entry::LogErased(LogErased { through, .. }) => accepted <= through,
            Entry::Run(_) | Entry::Thread(_) | Entry::Erased(_) => false,
        })
    }

    fn decode(&self, line: &[u8]) -> Result<Entry, JournalError> {
        match wire::entry::decode(line) {
            Ok((Some(user_id), entry)) if user_id == self.user_id => Ok(entry),
            // The line of an erased entry names no user.
            Ok((None, entry)) => Ok(entry),
            Ok((Some(_), _)) => Err(JournalError::Damaged("an entry of another user".to_owned())),
            Err(error) => Err(JournalError::Damaged(error.to_string())),
        }
    }

    fn each(&self, lines: &Lines, mut take: impl FnMut(&AgentName, &Body)) -> Result<(), JournalError> {
        for (_, line) in lines.iter() {
            if let Some(entry) = self.entry(&line)? {
                take(&entry.agent_name, &entry.body);
            }
        }
        Ok(())
    }
}

/// The beginnings of the lines of erasures.
const ERASURES: [&[u8]; 2] = [b"{\"type\":\"thread_erased\"", b"{\"type\":\"log_erased\""];

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use uuid::Uuid;

    use super::*;
    use crate::kernel::ids::{ReceiptId, Timestamp};

    fn line(user_id: &UserId, entry: &Entry) -> BytesMut {
        let mut line = BytesMut::new();
        wire::entry::encode(user_id, entry, &mut line);
        line
    }

    #[test]
    fn del_8_an_erasure_concerns_the_messages_of_its_scope_up_to_its_end() {
        let (ann, ben) = (UserId::parse("ann").unwrap(), UserId::parse("ben").unwrap());
        let (thread, other) = (ThreadId::parse("t").unwrap(), ThreadId::parse("other").unwrap());
        let (offset, timestamp, receipt) = (Offset(9), Timestamp(1), ReceiptId(Uuid::now_v7()));
        let filter = RunFilter::new(&ann, RunId(Uuid::from_u128(1)));
        let change = ThreadChange::Erased { through: Offset(5), receipt };
        let of_thread = Entry::Thread(ThreadEntry { offset, thread_id: thread.clone(), timestamp, change });
        let of_log = Entry::LogErased(LogErased { offset, timestamp, through: Offset(5), receipt });
        for (entry, other_too) in [(&of_thread, false), (&of_log, true)] {
            let line = line(&ann, entry);
            assert!(filter.erases(&line, &thread, Offset(5)).unwrap());
            assert!(!filter.erases(&line, &thread, Offset(6)).unwrap(), "sent after the erasure began");
            assert_eq!(filter.erases(&line, &other, Offset(5)).unwrap(), other_too);
        }
        // ISO-1.
        assert!(filter.erases(&line(&ben, &of_thread), &thread, Offset(5)).is_err());
        let changed = ThreadChange::Updated { title: None, archived: true };
        let updated = ThreadEntry { offset, thread_id: thread.clone(), timestamp, change: changed };
        assert!(!filter.erases(&line(&ann, &Entry::Thread(updated)), &thread, Offset(5)).unwrap());
    }
}
