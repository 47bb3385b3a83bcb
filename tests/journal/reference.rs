//! Random appends, reads and trims against a reference of a few lines.

use proptest::prelude::*;
use quintet::{
    journal::{AppendError, Extent, ReadLimit, Retention},
    kernel::ids::{Offset, Timestamp},
};

use crate::{
    cases::cases,
    support::{EVERYTHING, LogWriter, engines, texts},
};

#[derive(Clone, Debug)]
enum Action {
    Append { user: usize, runs: u64 },
    AppendLate { user: usize, behind: u64 },
    Read { user: usize, after: u64, entries_max: usize, bytes_max: usize },
    ReadBefore { user: usize, before: u64, entries_max: usize, bytes_max: usize },
    Trim { user_entries_max: u64 },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..3usize, 1..4u64).prop_map(|(user, runs)| Action::Append { user, runs }),
        1 => (0..3usize, 1..9u64).prop_map(|(user, behind)| Action::AppendLate { user, behind }),
        4 => (0..3usize, 0..80u64, 1..30usize, 1..4000usize)
            .prop_map(|(user, after, entries_max, bytes_max)| Action::Read { user, after, entries_max, bytes_max }),
        4 => (0..3usize, 0..80u64, 1..30usize, 1..4000usize).prop_map(|(user, before, entries_max, bytes_max)| {
            Action::ReadBefore { user, before, entries_max, bytes_max }
        }),
        1 => (0..40u64).prop_map(|user_entries_max| Action::Trim { user_entries_max }),
    ]
}

/// The reference: every line ever appended, the ends of the batches, and the trimmed offset.
#[derive(Default)]
struct Reference {
    lines: Vec<String>,
    ends: Vec<u64>,
    trimmed: u64,
}

impl Reference {
    fn read(&self, after: u64, limit: ReadLimit) -> Vec<(u64, String)> {
        let from = after.max(self.trimmed);
        let mut bytes = 0;
        let rest = self.lines.iter().enumerate().skip(from as usize).take(limit.entries_max);
        rest.take_while(|(i, line)| {
            bytes += line.len() + 1;
            *i as u64 == from || bytes <= limit.bytes_max
        })
        .map(|(i, line)| (i as u64 + 1, line.clone()))
        .collect()
    }

    fn read_before(&self, before: u64, limit: ReadLimit) -> Vec<(u64, String)> {
        let end = (before.saturating_sub(1)).min(self.lines.len() as u64);
        let mut bytes = 0;
        let kept = (self.trimmed..end).rev().take(limit.entries_max);
        let mut found: Vec<_> = kept
            .map(|i| (i + 1, self.lines[i as usize].clone()))
            .take_while(|(offset, line)| {
                bytes += line.len() + 1;
                *offset == end || bytes <= limit.bytes_max
            })
            .collect();
        found.reverse();
        found
    }

    fn trim(&mut self, user_entries_max: u64) {
        let to = (self.lines.len() as u64).saturating_sub(user_entries_max);
        self.trimmed = self.ends.iter().copied().filter(|end| *end <= to).fold(self.trimmed, u64::max);
    }
}

proptest! {
    #![proptest_config(cases(48))]
    #[test]
    fn every_engine_behaves_as_the_reference(actions in prop::collection::vec(action(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for engine in engines().await {
                let mut next_run = 0;
                let mut scribes = ["ann", "bob", "cay"].map(LogWriter::new);
                let mut references = [(); 3].map(|()| Reference::default());
                let logs = scribes.each_ref().map(|log_writer| engine.journal.log(&log_writer.user_id));
                for action in &actions {
                    match *action {
                        Action::Append { user, runs } => {
                            for _ in 0..runs {
                                next_run += 1;
                                scribes[user].whole_run(next_run, "t");
                            }
                            let batch = scribes[user].batch();
                            references[user].lines.extend(texts(&batch.lines).into_iter().map(|(_, text)| text));
                            references[user].ends.push(scribes[user].head.0);
                            logs[user].append(batch).await.unwrap();
                        }
                        Action::AppendLate { user, behind } => {
                            let head = scribes[user].head;
                            let mut late = LogWriter::new(scribes[user].user_id.as_str());
                            late.head = Offset(head.0.saturating_sub(behind));
                            next_run += 1;
                            let refused = logs[user].append(late.whole_run(next_run, "t").batch()).await;
                            if head != Offset::ZERO {
                                let conflict = matches!(refused, Err(AppendError::Conflict { head: now }) if now == head);
                                prop_assert!(conflict, "{}", engine.name);
                            } else {
                                // Nothing can conflict with an empty log.
                                refused.unwrap();
                                let lines = logs[user].read(Offset::ZERO, EVERYTHING).await.unwrap();
                                references[user].lines.extend(texts(&lines).into_iter().map(|(_, text)| text));
                                references[user].ends.push(late.head.0);
                                scribes[user].head = late.head;
                            }
                        }
                        Action::Read { user, after, entries_max, bytes_max } => {
                            let limit = ReadLimit { entries_max, bytes_max };
                            let found = texts(&logs[user].read(Offset(after), limit).await.unwrap());
                            prop_assert_eq!(found, references[user].read(after, limit), "{}", engine.name);
                        }
                        Action::ReadBefore { user, before, entries_max, bytes_max } => {
                            let limit = ReadLimit { entries_max, bytes_max };
                            let lines = logs[user].read_before(Offset(before), limit).await.unwrap();
                            let expected = references[user].read_before(before, limit);
                            prop_assert_eq!(texts(&lines), expected, "{}", engine.name);
                        }
                        Action::Trim { user_entries_max } => {
                            let retention = Retention { age_ms_max: None, user_entries_max: Some(user_entries_max), ..Retention::default() };
                            engine.journal.trim(retention, Timestamp(0)).await.unwrap();
                            references.iter_mut().for_each(|reference| reference.trim(user_entries_max));
                        }
                    }
                    for (log, reference) in logs.iter().zip(&references) {
                        let extent = Extent {
                            trimmed: Offset(reference.trimmed),
                            head: Offset(reference.lines.len() as u64),
                        };
                        prop_assert_eq!(log.extent().await.unwrap(), extent, "{}", engine.name);
                    }
                }
            }
            Ok(())
        })?;
    }
}
