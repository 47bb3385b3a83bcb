//! Journals read back: any bytes as stored lines, damaged rows of the database, changed evidence, and whole
//! logs of odd content.
//!
//! Nothing panics. A read entry is the one that was written at its offset, or there is an error; changed
//! evidence never verifies.

use std::{
    io::BufReader,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures::executor::block_on;
use quintet::{
    audit,
    journal::{
        Batch, Journal, JournalError, Lines, Log, ReadLimit, Retention,
        lines::LinesBuilder,
        memory::MemoryJournal,
        sqlite::{SqliteJournal, SqliteOptions, schema::DATABASE_FILE},
    },
    kernel::{
        entry::{
            Body, Call, CallOwner, CallResult, CallStatus, Completion, Entry, Event, RunEntry, RunError,
            RunErrorCode, RunStatus, Thought, ThoughtKind, Usage,
        },
        ids::{AgentName, CallId, MessageId, Offset, RunId, Seq, ThreadId, Timestamp, ToolName, UserId},
        json::Json,
    },
    wire,
};
use rusqlite::{Connection, types::Value};
use tempfile::TempDir;
use uuid::Uuid;

use super::program::Program;

pub fn run(bytes: &[u8]) {
    let mut program = Program::new(bytes);
    match program.below(4) {
        0 => any_lines(&mut program),
        1 => damaged_rows(&mut program),
        2 => changed_evidence(&mut program),
        _ => whole_logs(&mut program),
    }
}

const EVERYTHING: ReadLimit = ReadLimit { entries_max: usize::MAX, bytes_max: usize::MAX };

/// Stored bytes as lines: all of them, in order, or none.
fn any_lines(program: &mut Program<'_>) {
    let first = Offset(1 + program.number() / 2);
    let after = Offset(first.0.saturating_add(u64::from(program.byte())).saturating_sub(4));
    let (entries_max, bytes_max) = (1 + program.below(8), usize::from(program.byte()));
    let bytes = Bytes::copy_from_slice(program.rest());
    let Ok(lines) = Lines::parse(first, bytes.clone()) else {
        assert!(!bytes.ends_with(b"\n") && !bytes.is_empty());
        return;
    };
    let plain: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), plain.len());
    for (((offset, line), plain), place) in lines.iter().zip(&plain).zip(first.0..) {
        assert_eq!((offset.0, &line[..]), (place, &plain[..plain.len() - 1]));
        // Any content is either an entry or refused.
        let _ = wire::entry::decode(&line);
    }
    let some = lines.after(after, entries_max, bytes_max);
    let skipped = (after.0 + 1).saturating_sub(first.0).min(plain.len() as u64) as usize;
    assert_eq!(some.first().0, first.0 + skipped as u64);
    assert_eq!(&some.as_bytes()[..], plain[skipped..skipped + some.len()].concat());
    assert!(some.len() <= entries_max && (some.len() <= 1 || some.as_bytes().len() <= bytes_max));
}

/// A journal whose rows are damaged by hand and repaired again; it has no other writer.
struct DamagedJournal {
    journal: SqliteJournal,
    by_hand: Connection,
    written: Vec<Bytes>,
    rows: Vec<Vec<Value>>,
    evidence: Vec<u8>,
    _folder: TempDir,
}

const COLUMNS: [&str; 8] = ["user", "last", "first", "last_at", "chain", "checksum", "digests", "lines"];

static STAGE: LazyLock<Mutex<DamagedJournal>> = LazyLock::new(|| Mutex::new(DamagedJournal::new()));

impl DamagedJournal {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let open = || SqliteJournal::open(folder.path(), options()).expect("a new journal");
        let journal = open();
        let mut scribe = RowWriter::new("ada");
        for run in 1..=4 {
            let text = format!("message {run}");
            scribe.run(run, &text, &["a", "b"][..(run as usize % 3).min(2)]);
            let batch = scribe.batch();
            block_on(journal.log(&scribe.user_id).append(batch)).expect("it follows");
        }
        drop(journal);
        let mut evidence = Vec::new();
        let subject = audit::EvidenceSubject::User(scribe.user_id.clone());
        audit::export(folder.path(), &subject, &mut evidence).expect("evidence");
        let journal = open();
        let by_hand = Connection::open(folder.path().join(DATABASE_FILE)).expect("the database");
        let rows = rows(&by_hand);
        assert_eq!(rows.len(), 4);
        Self { journal, by_hand, written: scribe.written, rows, evidence, _folder: folder }
    }

    /// Replaces all rows by these; changes nothing if two have one key.
    fn store(&mut self, rows: &[Vec<Value>]) -> bool {
        let transaction = self.by_hand.transaction().expect("there is no other writer");
        transaction.execute("DELETE FROM batches", []).expect("rows");
        for row in rows {
            let insert = format!(
                "INSERT INTO batches ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                COLUMNS.join(", ")
            );
            if transaction.execute(&insert, rusqlite::params_from_iter(row)).is_err() {
                return false;
            }
        }
        transaction.commit().expect("a commit");
        true
    }
}

fn rows(connection: &Connection) -> Vec<Vec<Value>> {
    let query = format!("SELECT {} FROM batches ORDER BY user, last", COLUMNS.join(", "));
    let mut statement = connection.prepare(&query).expect("a query");
    let row = |row: &rusqlite::Row<'_>| (0..COLUMNS.len()).map(|at| row.get(at)).collect();
    statement.query_map([], row).expect("rows").collect::<Result<_, _>>().expect("rows")
}

fn options() -> SqliteOptions {
    SqliteOptions { survives_power_loss: false, reader_threads: 1, ..SqliteOptions::default() }
}

/// DEL-2, DEL-3: for any damage to a row, no reader gets an entry that was not written there.
fn damaged_rows(program: &mut Program<'_>) {
    let mut stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = stage.rows.clone();
    let mut after = before.clone();
    for _ in 0..1 + program.below(3) {
        let row = program.below(after.len());
        match program.below(4) {
            0 => {
                after.remove(row);
                if after.is_empty() {
                    break;
                }
            }
            // The owner and the last offset are the key; moving rows is damage, too.
            _ => {
                let column = 1 + program.below(COLUMNS.len() - 1);
                after[row][column] = damaged(after[row][column].clone(), program);
            }
        }
    }
    if stage.store(&after) {
        read_everywhere(&stage);
    }
    assert!(stage.store(&before), "the rows as they were");
}

fn read_everywhere(stage: &DamagedJournal) {
    let log = stage.journal.log(&UserId::parse("ada").expect("a valid id"));
    for after in 0..=stage.written.len() as u64 {
        for limit in [EVERYTHING, ReadLimit { entries_max: 1, bytes_max: 1 }] {
            match block_on(log.read(Offset(after), limit)) {
                Ok(lines) => {
                    assert!(lines.is_empty() || lines.first().0 == after + 1, "nothing was trimmed");
                    for (offset, line) in lines.iter() {
                        let written = stage.written.get(offset.0 as usize - 1);
                        assert_eq!(Some(&line), written, "another entry at {offset}");
                    }
                }
                Err(JournalError::Damaged(_) | JournalError::Unavailable(_)) => {}
            }
        }
    }
}

/// Returns a different value of the same kind.
fn damaged(value: Value, program: &mut Program<'_>) -> Value {
    match value {
        Value::Integer(number) => match program.below(3) {
            0 => Value::Integer(number ^ (1 << program.below(63))),
            1 => Value::Integer(number.wrapping_add(i64::from(program.byte() as i8))),
            _ => Value::Integer(program.number() as i64),
        },
        Value::Blob(mut blob) => {
            let at = usize::from(program.byte()) * 7 % blob.len().max(1);
            match program.below(4) {
                0 => blob.truncate(at),
                1 if !blob.is_empty() => blob[at] ^= 1 << program.below(8),
                2 => blob.extend_from_slice(b"{}\n"),
                _ => {
                    let bytes = program.bytes(16);
                    let end = (at + bytes.len()).min(blob.len());
                    blob[at..end].copy_from_slice(&bytes[..end - at]);
                }
            }
            Value::Blob(blob)
        }
        other => other,
    }
}

/// Changed evidence does not verify; unchanged evidence verifies with its original content.
fn changed_evidence(program: &mut Program<'_>) {
    let evidence = STAGE.lock().unwrap_or_else(PoisonError::into_inner).evidence.clone();
    let verify = |bytes: &[u8]| audit::verify(&mut BufReader::new(bytes));
    let was = verify(&evidence).expect("it was not changed");
    assert!(was.violations.is_empty(), "{:?}", was.violations);
    if program.is_odd() {
        // Unrelated bytes.
        let _ = verify(program.rest());
        return;
    }
    let mut changed = evidence.clone();
    for _ in 0..1 + program.below(3) {
        if changed.is_empty() {
            break;
        }
        let at = (usize::from(program.byte()) << 8 | usize::from(program.byte())) % changed.len();
        match program.below(5) {
            0 => changed[at] ^= 1 << program.below(8),
            1 => changed.truncate(at.max(1)),
            2 => changed.insert(at, program.byte()),
            3 => drop(changed.remove(at)),
            // Swaps two lines.
            _ => {
                let mut lines: Vec<&[u8]> = changed.split_inclusive(|byte| *byte == b'\n').collect();
                let (one, other) = (program.below(lines.len()), program.below(lines.len()));
                lines.swap(one, other);
                changed = lines.concat();
            }
        }
    }
    let Ok(verdict) = verify(&changed) else { return };
    // White space around the frames of the file is not evidence; every entry is as it was.
    let entries = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{\"type\""));
        lines.map(<[u8]>::to_vec).collect()
    };
    assert_eq!(entries(&changed), entries(&evidence), "changed evidence verifies");
    assert_eq!((verdict.from, verdict.to, verdict.shown), (was.from, was.to, was.shown));
    assert_eq!(verdict.chain_after, was.chain_after);
    // The start of the chain binds the user's name and the journal's.
    assert_eq!((verdict.user_id, verdict.origin), (was.user_id, was.origin));
}

/// Both engines read what was written, for any content and any split into chunks.
fn whole_logs(program: &mut Program<'_>) {
    static SQLITE: LazyLock<(SqliteJournal, TempDir)> = LazyLock::new(|| {
        let folder = TempDir::new().expect("a folder");
        (SqliteJournal::open(folder.path(), options()).expect("a new journal"), folder)
    });
    // One log for all programs, which each go on where the last one stopped.
    static HEADS: Mutex<u64> = Mutex::new(0);
    let mut head = HEADS.lock().unwrap_or_else(PoisonError::into_inner);
    let user = if program.is_odd() { "größe / 名前" } else { "ada" };
    let memory = MemoryJournal::default();
    let mut scribe = RowWriter::new(user);
    let sqlite = SQLITE.0.log(&UserId::parse(&format!("{user}{}", *head / 64)).expect("a valid id"));
    *head += 1;
    let engines: [Arc<dyn Log>; 2] = [memory.log(&scribe.user_id), sqlite];
    let base = block_on(engines[1].extent()).expect("the journal is there").head.0;
    let mut batches = Vec::new();
    for _ in 0..1 + program.below(3) {
        for _ in 0..1 + program.below(2) {
            scribe.odd_run(*head, program);
        }
        batches.push(scribe.batch());
    }
    for (engine, base) in engines.iter().zip([0, base]) {
        for batch in &batches {
            let batch = moved(batch, base);
            block_on(engine.append(batch.clone())).expect("it follows");
            // DEL-6: the same batch is refused the second time.
            assert!(block_on(engine.append(batch)).is_err());
        }
        let limit = ReadLimit { entries_max: 1 + program.below(9), bytes_max: 1 + 40 * program.below(64) };
        let mut after = Offset(base);
        let mut read = Vec::new();
        loop {
            let lines = block_on(engine.read(after, limit)).expect("it is whole");
            assert_eq!(lines.first(), after.next());
            if lines.is_empty() {
                break;
            }
            assert!(lines.len() <= limit.entries_max);
            for (offset, line) in lines.iter() {
                let (owner, entry) = wire::entry::decode(&line).expect("an entry");
                assert_eq!(owner.as_ref(), Some(&scribe.user_id), "ISO-1");
                assert_eq!(entry.offset(), Offset(offset.0 - base));
                read.push(line);
            }
            after = lines.last();
        }
        assert_eq!(read, scribe.written, "the log is read as it was written");
    }
    if head.is_multiple_of(64) {
        let retention = Retention { user_entries_max: Some(0), age_ms_max: None, ..Retention::default() };
        block_on(SQLITE.0.trim(retention, Timestamp(0))).expect("it trims");
    }
}

/// The same batch behind `base` existing entries; its lines keep their own offsets.
fn moved(batch: &Batch, base: u64) -> Batch {
    let lines = Lines::parse(Offset(batch.lines.first().0 + base), batch.lines.as_bytes().clone());
    let there = |entry: &Entry| entry.clone().at(Offset(entry.offset().0 + base));
    let entries = batch.entries.iter().map(there).collect();
    Batch::new(Offset(batch.expected.0 + base), entries, lines.expect("whole lines"))
}

/// Writes a log.
struct RowWriter {
    user_id: UserId,
    written: Vec<Bytes>,
    entries: Vec<Entry>,
    runs: u64,
}

impl RowWriter {
    fn new(user_id: &str) -> Self {
        let user_id = UserId::parse(user_id).expect("a valid id");
        Self { user_id, written: Vec::new(), entries: Vec::new(), runs: 0 }
    }

    fn run(&mut self, number: u64, text: &str, thoughts: &[&str]) {
        let run_id = RunId(Uuid::from_u128(0x018f_3c2e_7b1a_7c3d_8000_0000_0000_0000 + u128::from(number)));
        let message_id = MessageId::parse(&format!("m{number}")).expect("a valid id");
        self.push(
            run_id,
            Body::UserMessage {
                message_id: message_id.clone(),
                text: text.to_owned(),
                parent: None,
                steers: false,
            },
        );
        let mut events = vec![Event::Started { message_id }];
        events.extend(thoughts.iter().map(|delta| {
            Event::Thinking(Thought { kind: ThoughtKind::Answer, delta: (*delta).to_owned(), reset: false })
        }));
        let succeeded = !thoughts.is_empty();
        events.push(Event::Completed(Completion {
            status: if succeeded { RunStatus::Succeeded } else { RunStatus::Cancelled },
            final_response: succeeded.then(|| thoughts.concat()),
            error: None,
            duration_ms: 1,
            usage: None,
            merged_into: None,
        }));
        self.events(run_id, events);
    }

    /// A run whose texts, numbers and choices come from the program.
    fn odd_run(&mut self, program_number: u64, program: &mut Program<'_>) {
        self.runs += 1;
        let number = (u128::from(program_number) << 16) + u128::from(self.runs);
        let run_id = RunId(Uuid::from_u128(0x018f_3c2e_7b1a_7c3d_8000_0000_0000_0000 + number));
        let message_id = MessageId::parse(&format!("m{number}")).expect("a valid id");
        let text = |program: &mut Program<'_>| {
            let count = usize::from(program.byte() % 48);
            String::from_utf8_lossy(program.bytes(count)).into_owned()
        };
        let json = |program: &mut Program<'_>| Json::parse(&text(program)).unwrap_or_else(|_| Json::null());
        self.push(
            run_id,
            Body::UserMessage {
                message_id: message_id.clone(),
                text: text(program),
                parent: None,
                steers: false,
            },
        );
        let mut events = vec![Event::Started { message_id }];
        for id in 0..program.below(4) {
            let kind = [ThoughtKind::Reasoning, ThoughtKind::Answer, ThoughtKind::Progress][program.below(3)];
            events.push(Event::Thinking(Thought { kind, delta: text(program), reset: program.is_odd() }));
            let call_id = CallId::parse(&format!("c{id}")).expect("a valid id");
            let tool_name = ToolName::parse("tool").expect("a valid id");
            let parameters = json(program).object().unwrap_or_else(|_| Json::empty_object());
            let by = [CallOwner::Agent, CallOwner::Client][program.below(2)];
            events.push(Event::ToolExecuting(Call {
                call_id: call_id.clone(),
                tool_name: tool_name.clone(),
                parameters,
                by,
            }));
            use CallStatus as S;
            let status =
                [S::Ok, S::Error, S::Declined, S::TimedOut, S::Cancelled, S::Unknown][program.below(6)];
            let error = program.is_odd().then(|| text(program));
            let result = CallResult { status, results: json(program), error };
            events.push(Event::ToolCompleted { call_id, tool_name, result, duration_ms: program.number() });
        }
        use RunStatus as R;
        let status = [R::Succeeded, R::Failed, R::Cancelled, R::TimedOut, R::Interrupted][program.below(5)];
        let error =
            program.is_odd().then(|| RunError { code: RunErrorCode::Upstream, message: text(program) });
        let usage = program
            .is_odd()
            .then(|| Usage { input_tokens: program.number(), output_tokens: program.number() });
        let final_response = program.is_odd().then(|| text(program));
        let duration_ms = program.number();
        events.push(Event::Completed(Completion {
            status,
            final_response,
            error,
            duration_ms,
            usage,
            merged_into: None,
        }));
        self.events(run_id, events);
    }

    fn events(&mut self, run_id: RunId, events: Vec<Event>) {
        for (event, seq) in events.into_iter().zip(1..) {
            self.push(run_id, Body::Event { seq: Seq(seq), event });
        }
    }

    fn push(&mut self, run_id: RunId, body: Body) {
        let offset = Offset(self.written.len() as u64 + 1);
        let entry = Entry::Run(RunEntry {
            offset,
            thread_id: ThreadId::parse("t").expect("a valid id"),
            run_id,
            timestamp: Timestamp(1_800_000_000_000 + offset.0),
            agent_name: AgentName::parse("a").expect("a valid id"),
            body,
        });
        let mut line = BytesMut::new();
        wire::entry::encode(&self.user_id, &entry, &mut line);
        assert_eq!(
            wire::entry::decode(&line).expect("an entry"),
            (Some(self.user_id.clone()), entry.clone())
        );
        self.written.push(line.freeze());
        self.entries.push(entry);
    }

    /// Returns the entries pushed since the last batch.
    fn batch(&mut self) -> Batch {
        let entries = std::mem::take(&mut self.entries);
        let first = entries[0].offset();
        let mut lines = LinesBuilder::new(first);
        for line in &self.written[first.0 as usize - 1..] {
            lines.push(|out| out.extend_from_slice(line));
        }
        Batch::new(Offset(first.0 - 1), entries, lines.finish())
    }
}
