//! A writer of one user's log, and a search through the files of a journal.

use std::{path::Path, sync::Arc};

use quintet_journal::{
    Batch, EraseProgress, ErasureRecord, Fence, Journal, Lines, Log, ReadLimit,
    lines::LinesBuilder,
    memory::MemoryJournal,
    sqlite::{SqliteJournal, SqliteOptions},
};
use quintet_kernel::{
    entry::{
        Body, Completion, Entry, ErasedEntry, Event, LogErased, RunEntry, RunStatus, Thought, ThoughtKind,
        ThreadChange, ThreadEntry,
    },
    ids::{AgentName, MessageId, Offset, ReceiptId, RunId, Seq, ThreadId, Timestamp, Title, UserId},
    user::{EraseScope, Erasure},
};
use serde_json::{Value, json};
use uuid::Uuid;

pub const EVERYTHING: ReadLimit = ReadLimit { entries_max: usize::MAX, bytes_max: usize::MAX };

pub fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub fn thread(name: &str) -> ThreadId {
    ThreadId::parse(name).unwrap()
}

pub fn message(name: &str) -> MessageId {
    MessageId::parse(name).unwrap()
}

pub fn open(folder: &Path) -> SqliteJournal {
    // Power loss is not of interest here, and syncs are slow.
    let options = SqliteOptions { survives_power_loss: false, ..SqliteOptions::default() };
    SqliteJournal::open(folder, options).unwrap()
}

/// A journal of each engine, and the folder of the second one.
pub async fn engines() -> Vec<(&'static str, Arc<dyn Journal>, Option<tempfile::TempDir>)> {
    let folder = tempfile::TempDir::new().unwrap();
    let sqlite = Arc::new(open(folder.path()));
    let mut engines: Vec<(_, Arc<dyn Journal>, _)> =
        vec![("memory", Arc::new(MemoryJournal::default()), None), ("sqlite", sqlite, Some(folder))];
    if let Some(journal) = quintet_testkit::postgres::journal().await {
        engines.push(("postgres", Arc::new(journal), None));
    }
    engines
}

/// Writes one user's log.
pub struct Scribe {
    pub user_id: UserId,
    pub head: u64,
    pub runs: u64,
    /// Each line as it has to be read.
    pub lines: Vec<String>,
    pending: Vec<Entry>,
    fence: Fence,
}

impl Scribe {
    pub fn new(name: &str) -> Self {
        Self {
            user_id: user(name),
            head: 0,
            runs: 0,
            lines: vec![],
            pending: vec![],
            fence: Fence::default(),
        }
    }

    fn push(&mut self, entry: Entry) {
        self.head += 1;
        self.lines.push(self.line(&entry).to_string());
        self.pending.push(entry);
    }

    fn line(&self, entry: &Entry) -> Value {
        let mut line = json!({"offset": entry.offset().0, "timestamp": entry.timestamp().0});
        let own = match entry {
            Entry::Run(run) => {
                let content = match &run.body {
                    Body::UserMessage { message_id, text, .. } => {
                        json!({"type": "user_message", "message_id": message_id.as_str(), "text": text})
                    }
                    Body::Event { event: Event::Thinking(thought), .. } => {
                        json!({"type": "agent_thinking", "delta": thought.delta})
                    }
                    Body::Event { event: Event::Completed(end), .. } => {
                        json!({"type": "agent_completed", "final_response": end.final_response})
                    }
                    Body::Event { .. } => json!({"type": "agent_started"}),
                };
                let mut own = json!({"user_id": self.user_id.as_str(), "thread_id": run.thread_id.as_str()});
                own.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
                own
            }
            Entry::Thread(ThreadEntry { thread_id, change: ThreadChange::Updated { title, .. }, .. }) => {
                json!({"type": "thread_updated", "thread_id": thread_id.as_str(), "title": title.as_ref().map(Title::as_str)})
            }
            Entry::Thread(ThreadEntry { thread_id, .. }) => {
                json!({"type": "thread_erased", "thread_id": thread_id.as_str()})
            }
            Entry::LogErased(_) => json!({"type": "log_erased"}),
            Entry::Erased(ErasedEntry { .. }) => unreachable!("the journal alone makes these"),
        };
        line.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        line
    }

    fn run_entry(&mut self, thread_id: &str, body: Body) {
        let entry = RunEntry {
            offset: Offset(self.head + 1),
            thread_id: thread(thread_id),
            run_id: run(self.runs),
            timestamp: Timestamp(1000 + self.head),
            agent_name: AgentName::parse("assistant").unwrap(),
            body,
        };
        self.push(entry.into());
    }

    fn event(&mut self, thread_id: &str, seq: u64, event: Event) {
        self.run_entry(thread_id, Body::Event { seq: Seq(seq), event });
    }

    /// Adds a message with the text, and the begin of its run.
    pub fn ask(&mut self, thread_id: &str, message_id: &str, text: &str) -> &mut Self {
        self.runs += 1;
        let (message_id, text) = (message(message_id), text.to_owned());
        let body = Body::UserMessage { message_id: message_id.clone(), text, parent: None, steers: false };
        self.run_entry(thread_id, body);
        self.event(thread_id, 1, Event::Started { message_id });
        self
    }

    /// Adds a message with the text, and a whole run that answers the same text.
    pub fn say(&mut self, thread_id: &str, message_id: &str, text: &str) -> &mut Self {
        self.ask(thread_id, message_id, text);
        let thought = Thought { kind: ThoughtKind::Answer, delta: text.to_owned(), reset: false };
        self.event(thread_id, 2, Event::Thinking(thought));
        self.end(thread_id, text)
    }

    pub fn end(&mut self, thread_id: &str, text: &str) -> &mut Self {
        let end = Completion {
            status: RunStatus::Succeeded,
            final_response: Some(text.to_owned()),
            error: None,
            duration_ms: 1,
            usage: None,
            merged_into: None,
        };
        self.event(thread_id, 3, Event::Completed(end));
        self
    }

    pub fn title(&mut self, thread_id: &str, title: &str) -> &mut Self {
        let change = ThreadChange::Updated { title: Some(Title::parse(title).unwrap()), archived: false };
        let (offset, timestamp) = (Offset(self.head + 1), Timestamp(1000 + self.head));
        self.push(Entry::Thread(ThreadEntry { offset, thread_id: thread(thread_id), timestamp, change }));
        self
    }

    /// Adds the entry that closes an erasure.
    pub fn closing(&mut self, erasure: &Erasure) -> &mut Self {
        let Erasure { through, receipt, .. } = *erasure;
        let (offset, timestamp) = (Offset(self.head + 1), Timestamp(1000 + self.head));
        self.push(match erasure.scope.clone() {
            EraseScope::Log => Entry::LogErased(LogErased { offset, timestamp, through, receipt }),
            EraseScope::Thread(thread_id) => {
                let change = ThreadChange::Erased { through, receipt };
                Entry::Thread(ThreadEntry { offset, thread_id, timestamp, change })
            }
        });
        self
    }

    /// Returns the intent to erase what is written so far.
    pub fn intent(&self, scope: EraseScope, receipt: u128) -> Erasure {
        let receipt = ReceiptId(Uuid::from_u128(0x018f_3c2e_7b1a_7c3d_9000_0000_0000_0000 + receipt));
        Erasure { scope, through: Offset(self.head), receipt, requested_at: Timestamp(7) }
    }

    pub fn batch(&mut self, erasures: Vec<Erasure>) -> Batch {
        let entries = std::mem::take(&mut self.pending);
        let expected = Offset(self.head - entries.len() as u64);
        let mut lines = LinesBuilder::new(expected.next());
        for line in &self.lines[expected.0 as usize..] {
            lines.push(|bytes| bytes.extend_from_slice(line.as_bytes()));
        }
        let batch = Batch { fence: self.fence, erasures, ..Batch::new(expected, entries, lines.finish()) };
        self.fence = batch.fence_after();
        batch
    }

    pub async fn append(&mut self, log: &Arc<dyn Log>) {
        log.append(self.batch(vec![])).await.unwrap();
    }

    /// Appends what was added, with the intent to erase the scope.
    pub async fn intend(&mut self, log: &Arc<dyn Log>, scope: EraseScope, receipt: u128) -> Erasure {
        let erasure = self.intent(scope, receipt);
        log.append(self.batch(vec![erasure.clone()])).await.unwrap();
        erasure
    }

    /// Replaces the expected lines of an erasure.
    pub fn erased(&mut self, erasure: &Erasure) {
        for (line, offset) in self.lines.iter_mut().zip(1..=erasure.through.0) {
            let value: Value = serde_json::from_str(line).unwrap();
            let covered = match &erasure.scope {
                EraseScope::Log => true,
                EraseScope::Thread(thread_id) => value["thread_id"] == thread_id.as_str(),
            };
            let record = ["thread_erased", "log_erased", "erased"].contains(&value["type"].as_str().unwrap());
            if covered && !record {
                let timestamp = &value["timestamp"];
                *line = format!(r#"{{"type":"erased","offset":{offset},"timestamp":{timestamp}}}"#);
            }
        }
    }
}

pub fn run(number: u64) -> RunId {
    RunId(Uuid::from_u128(0x018f_3c2e_7b1a_7c3d_8000_0000_0000_0000 + u128::from(number)))
}

pub fn texts(lines: &Lines) -> Vec<String> {
    lines.iter().map(|(_, line)| String::from_utf8(line.to_vec()).unwrap()).collect()
}

/// Makes all steps of an erasure.
pub async fn erase(log: &Arc<dyn Log>, receipt: ReceiptId, limit: usize) -> ErasureRecord {
    for _ in 0..100_000 {
        if let EraseProgress::Done(record) = log.erase_step(receipt, limit).await.unwrap() {
            return record;
        }
    }
    panic!("the erasure does not end");
}

/// Returns the names of the files of a folder that contain the text.
pub fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = vec![];
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if memchr::memmem::find(&bytes, text.as_bytes()).is_some() {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}
