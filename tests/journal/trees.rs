//! Threads as trees on each engine, over random histories: the path to the root and the latest message, while threads are
//! erased and entries are trimmed.

use proptest::{prelude::*, sample::Index};
use quintet::{
    journal::Retention,
    kernel::{
        entry::RunStatus,
        ids::{Offset, Timestamp},
        user::EraseScope,
    },
};

use crate::{
    cases::cases,
    support::{LogWriter, engines, thread},
};

const THREADS: [&str; 2] = ["t", "u"];

#[derive(Clone, Debug)]
enum Action {
    /// A message that follows an earlier one of its thread, the root (the default), or the latest one (`None`).
    Send {
        thread: usize,
        parent: Option<Index>,
        root: bool,
    },
    Erase(usize),
    Trim(u64),
}

fn action() -> impl Strategy<Value = Action> {
    let thread = 0..THREADS.len();
    prop_oneof![
        12 => (thread.clone(), prop::option::of(any::<Index>()), prop::bool::weighted(0.2))
            .prop_map(|(thread, parent, root)| Action::Send { thread, parent, root }),
        1 => thread.prop_map(Action::Erase),
        1 => (0..30u64).prop_map(Action::Trim),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Message {
    offset: u64,
    thread: usize,
    parent: u64,
}

/// The offsets from a message to the root. An erased message is not among them.
fn way(messages: &[Message], offset: u64) -> Vec<(u64, u64)> {
    let mut way = Vec::new();
    let mut at = offset;
    while let Some(message) = messages.iter().find(|message| message.offset == at) {
        way.push((at, message.parent));
        at = message.parent;
    }
    way
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn paths_are_the_ways_to_the_root(actions in prop::collection::vec(action(), 1..40), limit in 1..9usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for engine in engines().await {
                let mut log_writer = LogWriter::new("ann");
                let log = engine.journal.log(&log_writer.user_id);
                let mut messages: Vec<Message> = Vec::new();
                let mut sent = 0;
                for action in &actions {
                    match action {
                        Action::Send { thread: number, parent, root } => {
                            let earlier: Vec<u64> = messages
                                .iter()
                                .filter(|message| message.thread == *number)
                                .map(|message| message.offset)
                                .collect();
                            let named = match parent {
                                _ if *root || earlier.is_empty() => Some(0),
                                Some(index) => Some(*index.get(&earlier)),
                                None => None,
                            };
                            sent += 1;
                            let message_id = format!("m{sent}");
                            log_writer.message_under(sent, THREADS[*number], &message_id, named);
                            let parent = named.or(earlier.last().copied()).unwrap_or(0);
                            messages.push(Message { offset: log_writer.head.0, thread: *number, parent });
                            log_writer.started(sent, &message_id).completed(sent, RunStatus::Failed);
                            log_writer.append(&log).await;
                        }
                        Action::Erase(number) => {
                            sent += 1;
                            log_writer.erase(&log, EraseScope::Thread(thread(THREADS[*number])), sent).await;
                            messages.retain(|message| message.thread != *number);
                        }
                        // The records of runs outlive their entries (DEL-6).
                        Action::Trim(user_entries_max) => {
                            let keep = Retention { user_entries_max: Some(*user_entries_max), ..Retention::default() };
                            engine.journal.trim(keep, Timestamp(0)).await.unwrap();
                        }
                    }
                    for (number, name) in THREADS.iter().enumerate() {
                        let latest = messages.iter().rfind(|message| message.thread == number);
                        let found = log.thread_message(&thread(name), None).await.unwrap();
                        prop_assert_eq!(found, latest.map(|message| Offset(message.offset)), "{}", engine.name);
                    }
                }
                for offset in 0..=log_writer.head.0 {
                    let path = log.path(Offset(offset), limit).await.unwrap();
                    let found: Vec<_> = path.iter().map(|run| (run.accepted.0, run.parent.0)).collect();
                    let mut expected = way(&messages, offset);
                    expected.truncate(limit);
                    prop_assert_eq!(found, expected, "{}: from {}", engine.name, offset);
                    for (number, name) in THREADS.iter().enumerate() {
                        let is_here = messages.iter().any(|m| m.thread == number && m.offset == offset);
                        let found = log.thread_message(&thread(name), Some(Offset(offset))).await.unwrap();
                        prop_assert_eq!(found, is_here.then_some(Offset(offset)), "{}: at {}", engine.name, offset);
                    }
                }
            }
            Ok(())
        })?;
    }
}
