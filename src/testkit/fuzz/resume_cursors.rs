//! A cursor in every form in which a client writes one (`hello`, `Last-Event-ID`, a query) against a log with
//! a trimmed beginning, read while it grows and is trimmed further.
//!
//! The reader receives exactly what the log keeps after the cursor, in order, each entry once; missing
//! entries are reported as a gap, and nothing else is (DEL-2, DEL-3). The reference is the log as a list.

use std::sync::Arc;

use axum::extract::Query;
use bytes::{Bytes, BytesMut};
use futures::executor::block_on;
use quintet::{
    agent::host::{AgentCapabilities, AgentLauncher, Assignment},
    journal::{Batch, Journal, Lines, Log, ReadLimit, Retention, lines::LinesBuilder, memory::MemoryJournal},
    kernel::{
        connection::{
            Cause, Connection, ConnectionLimits, Effect, Effects, Input, Payload, ResumeCursor, Resumption,
            ServerFrame,
        },
        entry::{Body, Completion, Entry, Event, RunEntry, RunStatus, Thought, ThoughtKind},
        ids::{AgentName, Epoch, MessageId, Offset, RunId, Seq, ThreadId, Timestamp, ToolName, UserId},
        ticket::Identity,
    },
    user::{cursor::ReadError, factory::Factory, handle::User, limits::UserLimits, scan::ScanLimit},
    wire::{self, client::ClientFrame, event_id::EventId, http::EntriesQuery},
};
use uuid::Uuid;

use super::program::Program;

/// The payload of a connection that reads stored entries and executes no commands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stored;

impl Payload for Stored {
    type Credential = ();
    type Command = ();
    type Nonce = ();
    type Malformed = ();
    type Subject = ();
    type Entries = Lines;
    type Answer = ();

    fn subject((): &()) {}
}

/// The log under the cursor, and the list that it has to agree with.
struct Shelf {
    user: User,
    log: Arc<dyn Log>,
    journal: Arc<MemoryJournal>,
    written: Vec<Bytes>,
    trimmed: u64,
    runs: u128,
}

/// The entries and gaps that a reader received.
#[derive(Default)]
struct ReadResult {
    entries: Vec<(u64, Bytes)>,
    gaps: Vec<(u64, u64)>,
    /// The log was trimmed past the reader, who has to resume.
    overtaken: bool,
}

pub fn run(bytes: &[u8]) {
    let mut program = Program::new(bytes);
    let mut shelf = Shelf::new();
    for _ in 0..program.below(6) {
        shelf.grow(&mut program);
    }
    shelf.trim(&mut program);
    let form = program.below(6);
    let here = program.below(3);
    let asked_after = program.number();
    let (entries_max, bytes_max) = (1 + program.below(5), 1 + 64 * program.below(16));
    let limit = ReadLimit { entries_max, bytes_max };
    let epoch = [shelf.journal.epoch(), Epoch(Uuid::nil())][usize::from(here == 2)];
    let raw = |program: &mut Program<'_>| String::from_utf8_lossy(program.rest()).into_owned();
    match form {
        0 | 1 => {
            let text = if form == 1 {
                raw(&mut program)
            } else if asked_after % 7 == 6 {
                r#"{"type":"hello","start":"head"}"#.to_owned()
            } else if here == 0 {
                format!(r#"{{"type":"hello","after":{asked_after}}}"#)
            } else {
                format!(r#"{{"type":"hello","after":{asked_after},"epoch":"{epoch}"}}"#)
            };
            let Ok(ClientFrame::Hello(hello)) = ClientFrame::decode(&text) else { return };
            let asked = hello.cursor;
            let head = Offset(shelf.head());
            let read = shelf.socket(asked, limit, &mut program);
            // A start at the head is a resume after the head of that time.
            let after = asked.after().unwrap_or(head);
            let epoch = if let ResumeCursor::After { epoch, .. } = asked { epoch } else { None };
            shelf.judge(epoch, after, read);
        }
        2 | 3 => {
            let text = if form == 3 { raw(&mut program) } else { format!("{epoch}:{asked_after}") };
            let Some(id) = EventId::parse(&text) else { return };
            assert_eq!(EventId::parse(&id.to_string()), Some(id));
            let (before, after) = text.trim().split_once(':').expect("a form with two parts");
            assert_eq!(before, id.epoch.to_string());
            assert_eq!(after.trim_start_matches('0'), id.offset.to_string().trim_start_matches('0'));
            let asked = ResumeCursor::After { epoch: Some(id.epoch), after: id.offset };
            let read = shelf.stream(asked, limit, &mut program);
            shelf.judge(Some(id.epoch), id.offset, read);
        }
        _ => {
            let text = if form == 5 {
                raw(&mut program)
            } else {
                let position = if here == 2 { "before" } else { "after" };
                format!("{position}={asked_after}&limit={entries_max}")
            };
            let Ok(uri) = format!("/v1/entries?{text}").parse::<axum::http::Uri>() else { return };
            let Ok(Query(query)) = Query::<EntriesQuery>::try_from_uri(&uri) else { return };
            if query.limit == 0 {
                return;
            }
            if let Some(before) = query.before {
                shelf.pages_before(before, query.limit as usize, limit, &mut program);
                return;
            }
            let after = query.after.unwrap_or_default();
            if after.0 >= shelf.head() {
                // The log is empty: nothing can be missing.
                let read = shelf.pages(query, limit, &mut Program::new(&[]));
                assert_eq!((read.entries, read.gaps), Default::default());
                return;
            }
            let read = shelf.pages(query, limit, &mut program);
            shelf.judge(None, after, read);
        }
    }
}

impl Shelf {
    fn new() -> Self {
        let journal = Arc::new(MemoryJournal::default());
        let factory = Factory::new(journal.clone(), Arc::new(Nobody), UserLimits::DEFAULT);
        let user = factory.attach(&ada());
        Self { user, log: journal.log(&ada()), journal, written: Vec::new(), trimmed: 0, runs: 0 }
    }

    fn head(&self) -> u64 {
        self.written.len() as u64
    }

    /// One batch: a run from its message to its end.
    fn grow(&mut self, program: &mut Program<'_>) {
        self.runs += 1;
        let thoughts = program.below(5);
        let message_id = MessageId::parse(&format!("m{}", self.runs)).expect("a valid id");
        let mut bodies = vec![Body::UserMessage {
            message_id: message_id.clone(),
            text: "hello".into(),
            parent: None,
            steers: false,
        }];
        let mut events = vec![Event::Started { message_id }];
        for _ in 0..thoughts {
            let delta = "x".repeat(usize::from(program.byte()));
            events.push(Event::Thinking(Thought { kind: ThoughtKind::Answer, delta, reset: false }));
        }
        events.push(Event::Completed(Completion {
            status: RunStatus::Cancelled,
            final_response: None,
            error: None,
            duration_ms: 0,
            usage: None,
            merged_into: None,
        }));
        bodies.extend(events.into_iter().zip(1..).map(|(event, seq)| Body::Event { seq: Seq(seq), event }));
        let expected = Offset(self.head());
        let mut lines = LinesBuilder::new(expected.next());
        let mut entries = Vec::new();
        for (body, offset) in bodies.into_iter().zip(expected.0 + 1..) {
            let entry = Entry::Run(RunEntry {
                offset: Offset(offset),
                thread_id: ThreadId::parse("t").expect("a valid id"),
                run_id: RunId(Uuid::from_u128(self.runs)),
                timestamp: Timestamp(1),
                agent_name: AgentName::parse("a").expect("a valid id"),
                body,
            });
            let mut line = BytesMut::new();
            wire::entry::encode(&ada(), &entry, &mut line);
            lines.push(|out| out.extend_from_slice(&line));
            self.written.push(line.freeze());
            entries.push(entry);
        }
        block_on(self.log.append(Batch::new(expected, entries, lines.finish()))).expect("it follows");
        // A new cursor loads the new head, for all cursors of the user.
        drop(block_on(self.user.cursor(Offset::ZERO)).expect("the journal is there"));
    }

    fn trim(&mut self, program: &mut Program<'_>) {
        let keep = u64::from(program.byte()) % (self.head() + 2);
        let kept = self.head() - self.trimmed;
        let retention = Retention { user_entries_max: Some(keep), age_ms_max: None, ..Retention::default() };
        block_on(self.journal.trim(retention, Timestamp(1))).expect("the journal is there");
        self.trimmed = block_on(self.log.extent()).expect("the journal is there").trimmed.0;
        assert!(self.head() - self.trimmed >= keep.min(kept), "retention keeps what its settings require");
    }

    /// Reads as a WebSocket does: the machine orders, the cursor reads.
    fn socket(&mut self, asked: ResumeCursor, limit: ReadLimit, program: &mut Program<'_>) -> ReadResult {
        let mut effects = Effects::<Stored>::new();
        let identity = Identity { user_id: ada(), expires_at: Timestamp(u64::MAX) };
        let mut machine = Connection::accept(Some(identity), ConnectionLimits::DEFAULT, &mut effects);
        let mut cursor =
            block_on(self.user.cursor(asked.after().unwrap_or_default())).expect("the journal is there");
        let extent = cursor.extent();
        let mut read = ReadResult::default();
        let mut inputs = vec![
            Input::Hello { cursor: asked, credential: None },
            Input::Attached { epoch: self.journal.epoch(), trimmed: extent.trimmed, head: extent.head },
        ];
        inputs.reverse();
        while let Some(input) = inputs.pop() {
            effects.clear();
            machine.step(&input, &mut effects).expect("the machine ordered it");
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Send(ServerFrame::Ready { gap, .. }) => {
                        read.gaps.extend(gap.map(|gap| (gap.from.0, gap.to.0)));
                    }
                    Effect::SendChunk(lines) => read.entries.extend(collect(&lines)),
                    Effect::Flush => inputs.push(Input::Flushed),
                    Effect::ReadOn { after, through } => {
                        cursor.seek(after);
                        self.live(program);
                        if cursor.head() > after {
                            match block_on(cursor.read(through, limit)) {
                                Ok(lines) => {
                                    let (first, last) = (lines.first(), lines.last());
                                    inputs.insert(0, Input::Chunk { first, last, entries: lines });
                                }
                                Err(ReadError::Gap(_)) => inputs.insert(0, Input::Outrun),
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                    Effect::Close(cause) => {
                        assert_eq!(cause, Cause::Outrun);
                        read.overtaken = true;
                        return read;
                    }
                    _ => {}
                }
            }
        }
        read
    }

    /// Reads as an event stream does: it reports a gap on the way and continues behind it.
    fn stream(&mut self, asked: ResumeCursor, limit: ReadLimit, program: &mut Program<'_>) -> ReadResult {
        let mut cursor =
            block_on(self.user.cursor(asked.after().unwrap_or_default())).expect("the journal is there");
        let extent = cursor.extent();
        let Resumption { resumed_after, gap } =
            Resumption::of(asked, self.journal.epoch(), extent.trimmed, extent.head);
        let mut read = ReadResult::default();
        read.gaps.extend(gap.map(|gap| (gap.from.0, gap.to.0)));
        cursor.seek(resumed_after);
        loop {
            self.live(program);
            if cursor.head() <= cursor.after() {
                return read;
            }
            match block_on(cursor.read(Offset(u64::MAX), limit)) {
                Ok(lines) => read.entries.extend(collect(&lines)),
                Err(ReadError::Gap(gap)) => {
                    read.gaps.push((gap.from.0, gap.to.0));
                    cursor.seek(gap.to);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads as `GET /v1/entries` does, page after page, each a chunk at a time.
    fn pages(&mut self, query: EntriesQuery, chunk: ReadLimit, program: &mut Program<'_>) -> ReadResult {
        let mut read = ReadResult::default();
        let mut after = query.after.unwrap_or_default();
        let page = ReadLimit { entries_max: query.limit as usize, bytes_max: 4 * chunk.bytes_max };
        loop {
            let scan = block_on(self.user.scan(None, after, ScanLimit { page, chunk }));
            let mut scan = scan.expect("the journal is there").expect("a log is always there");
            assert_eq!(scan.head().0, self.head());
            self.live(program);
            let mut entries = block_on(scan.next()).expect("the journal is there");
            read.gaps.extend(scan.gap().map(|gap| (gap.from.0, gap.to.0)));
            loop {
                assert!(!entries.is_empty() || scan.is_over(), "a walk that stands still");
                for line in entries {
                    let (_, entry) = wire::entry::decode(&line).expect("an entry");
                    read.entries.push((entry.offset().0, line));
                }
                if scan.is_over() {
                    break;
                }
                self.live(program);
                entries = block_on(scan.next()).expect("the journal is there");
            }
            match scan.next_after() {
                Some(next) => after = next,
                // Entries appended while the last page was made are on the next page.
                None if scan.head().0 < self.head() => after = after.max(scan.head()),
                None => return read,
            }
        }
    }

    /// Reads as `GET /v1/entries?before=` does, page before page, and checks against the reference: every entry
    /// before the position is on a page, or in the gap of the last one.
    fn pages_before(&mut self, before: Offset, limit: usize, chunk: ReadLimit, program: &mut Program<'_>) {
        let page = ReadLimit { entries_max: limit, bytes_max: 4 * chunk.bytes_max };
        let (mut before, mut next) = (before, before.0.saturating_sub(1).min(self.head()));
        loop {
            let read = block_on(self.user.scan_before(None, before, ScanLimit { page, chunk }));
            let read = read.expect("the journal is there").expect("a log is always there");
            assert_eq!(read.head.0, self.head());
            assert!(read.entries.len() <= limit);
            for line in read.entries.into_iter().rev() {
                let (_, entry) = wire::entry::decode(&line).expect("an entry");
                assert_eq!(entry.offset().0, next, "DEL-2: neither a hole nor a repeat");
                assert_eq!(line, self.written[next as usize - 1], "DEL-3: as it was written");
                next -= 1;
            }
            match (read.next_before, read.gap) {
                (Some(further), None) => {
                    assert!(further < before && further.0 == next + 1, "{further} before {before}");
                    before = further;
                }
                (None, Some(gap)) => {
                    assert_eq!((gap.from.0, gap.to.0), (1, next), "DEL-3: the gap is what is left");
                    assert!(next <= self.trimmed, "DEL-3: a gap over what is kept");
                    return;
                }
                (None, None) => return assert_eq!(next, 0, "DEL-3: everything arrives"),
                (Some(_), Some(gap)) => panic!("a gap {gap:?} before the last page"),
            }
            self.live(program);
        }
    }

    /// Grows or trims the log during a read.
    fn live(&mut self, program: &mut Program<'_>) {
        if self.head() < 100 {
            match program.byte() {
                1..=64 => self.grow(program),
                65..=80 => self.trim(program),
                _ => {}
            }
        }
    }

    /// Checks against the reference: everything after the cursor is a received entry or lies in a reported
    /// gap.
    fn judge(&self, epoch: Option<Epoch>, after: Offset, read: ReadResult) {
        let same = epoch.is_none_or(|epoch| epoch == self.journal.epoch());
        let mut next = if same { after.0.saturating_add(1) } else { 1 };
        let mut gaps = read.gaps.into_iter().peekable();
        if !same {
            let (from, to) = gaps.next().expect("DEL-3: another epoch is a gap");
            assert!(from <= 1 && from <= to && to <= self.trimmed);
            next = to + 1;
        } else if let Some((from, to)) = gaps.next_if(|(_, to)| *to == after.0) {
            // The client is ahead of this log: it resumes at the head of that time.
            assert!(from <= to && from <= self.head() + 1);
            next = from;
        }
        for (offset, line) in read.entries {
            while let Some((from, to)) = gaps.next_if(|(from, _)| *from == next) {
                assert!(to >= from && to <= self.trimmed, "DEL-3: a gap over what is kept");
                next = to + 1;
            }
            assert_eq!(offset, next, "DEL-2: neither a hole nor a repeat");
            assert_eq!(line, self.written[offset as usize - 1], "DEL-3: as it was written");
            next += 1;
        }
        for (from, to) in gaps {
            assert!(from == next && to >= from && to <= self.trimmed, "DEL-3: {from}..={to} at {next}");
            next = to + 1;
        }
        if read.overtaken {
            assert!(next <= self.trimmed, "outrun by retention");
        } else {
            assert_eq!(next, self.head() + 1, "DEL-3: everything arrives");
        }
    }
}

fn collect(lines: &Lines) -> Vec<(u64, Bytes)> {
    lines.iter().map(|(offset, line)| (offset.0, line)).collect()
}

fn ada() -> UserId {
    UserId::parse("ada").expect("a valid id")
}

/// An executor without runs.
struct Nobody;

impl AgentLauncher for Nobody {
    fn default_agent(&self) -> AgentName {
        AgentName::parse("nobody").expect("a valid id")
    }
    fn find(&self, _: &AgentName) -> Option<AgentCapabilities> {
        None
    }
    fn is_idempotent(&self, _: &AgentName, _: &ToolName) -> bool {
        false
    }
    fn launch(&self, _: Assignment) {}
}
