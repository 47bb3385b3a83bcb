//! Engines to test, and a writer of logs.

use std::{collections::HashMap, path::Path, sync::Arc};

use bytes::BytesMut;
use quintet::{
    journal::{
        Batch, EraseProgress, ErasureRecord, Fence, Journal, Lines, Log, ReadLimit, ThreadsQuery,
        lines::LinesBuilder,
        memory::MemoryJournal,
        sqlite::{SqliteJournal, SqliteOptions},
    },
    kernel::{
        entry::{
            Body, Call, CallOwner, CallResult, Completion, Entry, Event, LogErased, RunEntry, RunStatus,
            Thought, ThoughtKind, ThreadChange, ThreadEntry,
        },
        ids::{
            AgentName, CallId, MessageId, Offset, ReceiptId, RunId, Seq, ThreadId, Timestamp, Title,
            ToolName, UserId,
        },
        json::Json,
        user::{EraseScope, Erasure},
    },
    wire::entry::encode,
};
use tempfile::TempDir;

use crate::postgres;

/// An engine under test, with the folder that it lives in.
pub struct Engine {
    pub name: &'static str,
    pub journal: Arc<dyn Journal>,
    _folder: Option<TempDir>,
}

/// Returns an empty journal of each engine. PostgreSQL is among them if there is a server ([`postgres::schema`]).
pub async fn engines() -> Vec<Engine> {
    let folder = TempDir::new().unwrap();
    let sqlite = SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap();
    let mut engines = vec![
        Engine { name: "memory", journal: Arc::new(MemoryJournal::default()), _folder: None },
        Engine { name: "sqlite", journal: Arc::new(sqlite), _folder: Some(folder) },
    ];
    if let Some(journal) = postgres::journal().await {
        engines.push(Engine { name: "postgres", journal: Arc::new(journal), _folder: None });
    }
    engines
}

pub fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub fn thread(name: &str) -> ThreadId {
    ThreadId::parse(name).unwrap()
}

pub fn message(name: &str) -> MessageId {
    MessageId::parse(name).unwrap()
}

pub fn run(number: u64) -> RunId {
    RunId(uuid::Uuid::from_u128(0x018f_3c2e_7b1a_7c3d_8000_0000_0000_0000 + u128::from(number)))
}

/// A query for the threads with the latest entries.
pub fn latest(limit: usize) -> ThreadsQuery {
    ThreadsQuery { before: None, archived: None, limit }
}

pub const EVERYTHING: ReadLimit = ReadLimit { entries_max: usize::MAX, bytes_max: usize::MAX };

/// Writes one user's log: entries collect until [`LogWriter::batch`] takes them.
#[derive(Clone)]
pub struct LogWriter {
    pub user_id: UserId,
    pub head: Offset,
    pub fence: Fence,
    pub now: u64,
    seqs: HashMap<RunId, (ThreadId, Seq)>,
    /// Each entry with its line as it will be stored.
    entries: Vec<(Entry, String)>,
}

impl LogWriter {
    pub fn new(user_id: &str) -> Self {
        Self {
            user_id: user(user_id),
            head: Offset::ZERO,
            fence: Fence::default(),
            now: 1_800_000_000_000,
            seqs: HashMap::new(),
            entries: vec![],
        }
    }

    /// Adds a message as earlier versions wrote it, without a parent.
    pub fn message(&mut self, number: u64, thread_id: &str, message_id: &str) -> &mut Self {
        self.message_under(number, thread_id, message_id, None)
    }

    /// Adds a message that follows the message at `parent`.
    pub fn message_under(
        &mut self,
        number: u64,
        thread_id: &str,
        message_id: &str,
        parent: Option<u64>,
    ) -> &mut Self {
        let thread_id = thread(thread_id);
        self.seqs.insert(run(number), (thread_id.clone(), Seq(0)));
        let (message_id, text) = (message(message_id), format!("hello {number}"));
        let body = Body::UserMessage { message_id, text, parent: parent.map(Offset), steers: false };
        self.push(run(number), thread_id, body)
    }

    pub fn started(&mut self, number: u64, message_id: &str) -> &mut Self {
        self.event(number, Event::Started { message_id: message(message_id) })
    }

    pub fn think(&mut self, number: u64, delta: &str) -> &mut Self {
        let thought = Thought { kind: ThoughtKind::Answer, delta: delta.into(), reset: false };
        self.event(number, Event::Thinking(thought))
    }

    pub fn open(&mut self, number: u64, call_id: &str, by: CallOwner) -> &mut Self {
        let (call_id, tool_name) = (CallId::parse(call_id).unwrap(), ToolName::parse("tool").unwrap());
        self.event(
            number,
            Event::ToolExecuting(Call { call_id, tool_name, parameters: Json::empty_object(), by }),
        )
    }

    pub fn close(&mut self, number: u64, call_id: &str) -> &mut Self {
        let (call_id, tool_name) = (CallId::parse(call_id).unwrap(), ToolName::parse("tool").unwrap());
        let result = CallResult::ok(Json::null());
        self.event(number, Event::ToolCompleted { call_id, tool_name, result, duration_ms: 1 })
    }

    /// A run whose message the run `into` takes: its start and its end.
    pub fn merged(&mut self, number: u64, message_id: &str, into: u64) -> &mut Self {
        self.started(number, message_id).merge(number, into)
    }

    pub fn merge(&mut self, number: u64, into: u64) -> &mut Self {
        self.event(
            number,
            Event::Completed(Completion {
                status: RunStatus::Merged,
                final_response: None,
                error: None,
                duration_ms: 0,
                usage: None,
                merged_into: Some(run(into)),
            }),
        )
    }

    /// An end whose response is that of [`LogWriter::think`] with "a", if it succeeds.
    pub fn completed(&mut self, number: u64, status: RunStatus) -> &mut Self {
        let thought = self
            .entries
            .iter()
            .any(|(entry, _)| matches!(entry.body(), Some(Body::Event { event: Event::Thinking(_), .. })));
        let final_response =
            (status == RunStatus::Succeeded).then(|| if thought { "a".into() } else { String::new() });
        self.ended(number, status, final_response)
    }

    pub fn succeeded(&mut self, number: u64, final_response: &str) -> &mut Self {
        self.ended(number, RunStatus::Succeeded, Some(final_response.into()))
    }

    fn ended(&mut self, number: u64, status: RunStatus, final_response: Option<String>) -> &mut Self {
        let completion = Completion {
            status,
            final_response,
            error: None,
            duration_ms: 1,
            usage: None,
            merged_into: None,
        };
        self.event(number, Event::Completed(completion))
    }

    /// Adds a message and its whole run: five entries.
    pub fn whole_run(&mut self, number: u64, thread_id: &str) -> &mut Self {
        let message_id = format!("m{number}");
        self.message(number, thread_id, &message_id).started(number, &message_id);
        self.think(number, "a").think(number, "b").succeeded(number, "ab")
    }

    pub fn event(&mut self, number: u64, event: Event) -> &mut Self {
        let (thread_id, seq) = self.seqs.get_mut(&run(number)).unwrap();
        *seq = seq.next();
        let (thread_id, seq) = (thread_id.clone(), *seq);
        self.push(run(number), thread_id, Body::Event { seq, event })
    }

    fn push(&mut self, run_id: RunId, thread_id: ThreadId, body: Body) -> &mut Self {
        self.head = self.head.next();
        self.now += 1;
        self.write(Entry::Run(RunEntry {
            offset: self.head,
            thread_id,
            run_id,
            timestamp: Timestamp(self.now),
            agent_name: AgentName::parse("assistant").unwrap(),
            body,
        }))
    }

    /// Adds a change of a thread.
    pub fn updated(&mut self, thread_id: &str, title: Option<&str>, archived: bool) -> &mut Self {
        self.head = self.head.next();
        self.now += 1;
        let title = title.map(|title| Title::parse(title).unwrap());
        self.write(Entry::Thread(ThreadEntry {
            offset: self.head,
            thread_id: thread(thread_id),
            timestamp: Timestamp(self.now),
            change: ThreadChange::Updated { title, archived },
        }))
    }

    /// Adds an entry unchanged.
    pub fn write(&mut self, entry: Entry) -> &mut Self {
        self.head = entry.offset();
        let line = line(&self.user_id, &entry);
        self.entries.push((entry, line));
        self
    }

    /// Changes the stored line of the last entry, but not its index data.
    pub fn edit(&mut self, change: impl FnOnce(&mut serde_json::Value)) -> &mut Self {
        let (_, line) = self.entries.last_mut().unwrap();
        let mut value = serde_json::from_str(line).unwrap();
        change(&mut value);
        *line = value.to_string();
        self
    }

    /// Returns the collected entries as a batch to append.
    pub fn batch(&mut self) -> Batch {
        let written = std::mem::take(&mut self.entries);
        let expected = Offset(self.head.0 - written.len() as u64);
        let mut lines = LinesBuilder::new(expected.next());
        for (_, line) in &written {
            lines.push(|bytes| bytes.extend_from_slice(line.as_bytes()));
        }
        let entries = written.into_iter().map(|(entry, _)| entry).collect();
        Batch { fence: self.fence, ..Batch::new(expected, entries, lines.finish()) }
    }

    pub async fn append_to(&mut self, journal: &dyn Journal) {
        self.append(&journal.log(&self.user_id)).await;
    }

    pub async fn append(&mut self, log: &Arc<dyn Log>) {
        let batch = self.batch();
        log.append(batch).await.unwrap();
    }
}

pub fn line(user_id: &UserId, entry: &Entry) -> String {
    let mut bytes = BytesMut::new();
    encode(user_id, entry, &mut bytes);
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn texts(lines: &Lines) -> Vec<(u64, String)> {
    lines.iter().map(|(offset, line)| (offset.0, String::from_utf8(line.to_vec()).unwrap())).collect()
}

pub fn offsets(lines: &Lines) -> Vec<u64> {
    lines.iter().map(|(offset, _)| offset.0).collect()
}

impl LogWriter {
    pub fn think_long(&mut self, number: u64) -> &mut Self {
        // After its end: the journal does not judge runs.
        self.think(number, &"x".repeat(300))
    }
}

impl LogWriter {
    pub fn started_after_end(&mut self, ends: u64, starts: u64) -> &mut Self {
        self.completed(ends, RunStatus::Failed).started(starts, &format!("m{starts}"))
    }
}

/// Erasures (DEL-8), as a hub makes them.
impl LogWriter {
    /// Appends what was added, with the intent to erase the scope.
    pub async fn intend(&mut self, log: &Arc<dyn Log>, scope: EraseScope, number: u64) -> Erasure {
        let receipt = ReceiptId(run(1 << 32 | number).0);
        let erasure = Erasure { scope, through: self.head, receipt, requested_at: Timestamp(self.now) };
        let batch = Batch { erasures: vec![erasure.clone()], ..self.batch() };
        self.fence = batch.fence_after();
        log.append(batch).await.unwrap();
        erasure
    }

    /// Adds the entry that reports an erasure.
    pub fn report(&mut self, erasure: &Erasure) -> &mut Self {
        let Erasure { scope, through, receipt, .. } = erasure.clone();
        self.now += 1;
        let (offset, timestamp) = (self.head.next(), Timestamp(self.now));
        self.write(match scope {
            EraseScope::Log => Entry::LogErased(LogErased { offset, timestamp, through, receipt }),
            EraseScope::Thread(thread_id) => {
                let change = ThreadChange::Erased { through, receipt };
                Entry::Thread(ThreadEntry { offset, thread_id, timestamp, change })
            }
        })
    }

    /// Erases the scope, and reports it.
    pub async fn erase(&mut self, log: &Arc<dyn Log>, scope: EraseScope, number: u64) -> ErasureRecord {
        let erasure = self.intend(log, scope, number).await;
        let record = erased(log, erasure.receipt).await;
        self.report(&erasure).append(log).await;
        record
    }
}

/// Makes all steps of an erasure.
pub async fn erased(log: &Arc<dyn Log>, receipt: ReceiptId) -> ErasureRecord {
    loop {
        if let EraseProgress::Done(record) = log.erase_step(receipt, 3).await.unwrap() {
            return record;
        }
    }
}

/// Returns the names of the files of a folder that contain the text.
pub fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = vec![];
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}
