//! The trace file. Records are numbered and passed through a bounded queue to a thread that writes them.
//!
//! Guarantees: [`Trace::write`] never waits for the disk. Records are in the file in the order of the calls.
//! A record that is lost, because the thread does not keep up or the file fails, is counted, logged, and
//! marked in its place by a [`Record::Lost`]; the service is not affected.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use super::record::{Record, TraceLine};
use quintet_runtime::private;

/// An open trace. Dropping it waits up to a second for the queued records to be written.
#[derive(Debug)]
pub struct Trace {
    state: Mutex<Numbers>,
    /// `None` only during drop, which closes the queue first.
    to_writer: Option<SyncSender<TraceInput>>,
    /// Disconnected when the writer ends.
    writer: Mutex<Receiver<()>>,
}

#[derive(Debug)]
struct Numbers {
    next: u64,
    /// Records lost since the last one that was queued.
    lost: u64,
}

#[derive(Debug)]
enum TraceInput {
    Line(Box<TraceLine>),
    Flush(oneshot::Sender<()>),
}

/// Capacity of the queue, in records; further records are lost.
pub const TRACE_QUEUE_RECORDS_MAX: usize = 65_536;
/// Time for which the drop of a trace waits for its last records to be written.
const LAST_WRITE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes that are buffered for one write.
const GATHERED_BYTES_MAX: usize = 256 * 1024;

impl Trace {
    /// Opens a trace that appends to a file, with a queue of [`TRACE_QUEUE_RECORDS_MAX`] records. A missing file
    /// is created, readable by its owner only.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be opened, read or written, or the thread cannot be started.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let mut file = private::append_to(path)?;
        end_line(&mut file)?;
        Self::to(file, TRACE_QUEUE_RECORDS_MAX)
    }

    /// Opens a trace on any writer, with a queue of `queue_max` records.
    ///
    /// # Errors
    ///
    /// Returns an error if the thread cannot be started.
    pub fn to(out: impl Write + Send + 'static, queue_max: usize) -> io::Result<Self> {
        let (to_writer, records) = sync_channel(queue_max);
        let (alive, writer) = sync_channel(1);
        let mut work = TraceWriter { out, gathered: Vec::new(), lines: 0, lost: 0, last: 0 };
        let work = move || {
            work.run(&records);
            drop(alive);
        };
        thread::Builder::new().name("trace".to_owned()).spawn(work)?;
        let state = Mutex::new(Numbers { next: 1, lost: 0 });
        Ok(Self { state, to_writer: Some(to_writer), writer: Mutex::new(writer) })
    }

    /// Adds a record, or counts it as lost if the queue is full. Never waits for the file.
    pub fn write(&self, record: Record) {
        let mut numbers = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.lost > 0 {
            // The gap is marked before the next record.
            let mark = Record::Lost { records: numbers.lost };
            if !self.send(numbers.next, mark) {
                numbers.lost += 1;
                metrics::counter!("quintet_trace_lost_total").increment(1);
                return;
            }
            tracing::warn!(records = numbers.lost, "the trace resumes after a gap");
            *numbers = Numbers { next: numbers.next + 1, lost: 0 };
        }
        if self.send(numbers.next, record) {
            numbers.next += 1;
        } else {
            numbers.lost = 1;
            metrics::counter!("quintet_trace_lost_total").increment(1);
            tracing::error!("the trace has a gap: its writer does not keep up");
        }
    }

    fn send(&self, n: u64, record: Record) -> bool {
        let line = TraceInput::Line(Box::new(TraceLine { n, record }));
        self.to_writer.as_ref().is_some_and(|to_writer| to_writer.try_send(line).is_ok())
    }

    /// Requests a flush. The receiver resolves once all records so far are written; `None` if the queue is
    /// full.
    pub fn flushed(&self) -> Option<oneshot::Receiver<()>> {
        let (done, flushed) = oneshot::channel();
        self.to_writer.as_ref()?.try_send(TraceInput::Flush(done)).ok()?;
        Some(flushed)
    }
}

impl Drop for Trace {
    /// Waits for the queue to be written, up to a limit, so that the next process appends to a complete file.
    fn drop(&mut self) {
        self.to_writer = None;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(RecvTimeoutError::Timeout) = writer.recv_timeout(LAST_WRITE_WAIT_MAX) {
            tracing::error!("the end of the trace is not written yet");
        }
    }
}

/// Completes the last line, which a crash may have cut off.
fn end_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

struct TraceWriter<W> {
    out: W,
    gathered: Vec<u8>,
    /// Lines in `gathered`.
    lines: u64,
    /// Lines that the file did not accept.
    lost: u64,
    last: u64,
}

impl<W: Write> TraceWriter<W> {
    fn run(&mut self, records: &Receiver<TraceInput>) {
        while let Ok(message) = records.recv() {
            self.take(message);
            loop {
                match records.try_recv() {
                    Ok(message) => self.take(message),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
                if self.gathered.len() >= GATHERED_BYTES_MAX {
                    break;
                }
            }
            self.write();
        }
    }

    fn take(&mut self, message: TraceInput) {
        match message {
            TraceInput::Line(line) => {
                self.last = line.n;
                self.gather(&line);
                self.lines += 1;
            }
            TraceInput::Flush(done) => {
                self.write();
                // The receiver may be gone.
                let _ = done.send(());
            }
        }
    }

    fn gather(&mut self, line: &TraceLine) {
        serde_json::to_writer(&mut self.gathered, line).expect("a record is plain data, and memory takes it");
        self.gathered.push(b'\n');
    }

    fn write(&mut self) {
        if self.lines == 0 {
            return;
        }
        let mut bytes = std::mem::take(&mut self.gathered);
        if self.lost > 0 {
            // The file may have accepted part of a line; start a new one.
            self.gathered.push(b'\n');
            let first = self.last.saturating_sub(self.lines);
            self.gather(&TraceLine { n: first, record: Record::Lost { records: self.lost } });
            self.gathered.append(&mut bytes);
            bytes = std::mem::take(&mut self.gathered);
        }
        match self.out.write_all(&bytes).and_then(|()| self.out.flush()) {
            Ok(()) => {
                if self.lost > 0 {
                    tracing::warn!(records = self.lost, "the trace resumes after a gap");
                }
                metrics::counter!("quintet_trace_records_total").increment(self.lines);
                self.lost = 0;
            }
            Err(error) => {
                if self.lost == 0 {
                    tracing::error!(%error, "the trace has a gap: its file fails");
                }
                metrics::counter!("quintet_trace_lost_total").increment(self.lines);
                self.lost += self.lines;
            }
        }
        self.lines = 0;
        bytes.clear();
        self.gathered = bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Condvar,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    /// An in-memory file that can block and fail.
    #[derive(Clone, Default)]
    struct Paper(Arc<Sheet>);

    #[derive(Default)]
    struct Sheet {
        bytes: Mutex<Vec<u8>>,
        held: Mutex<bool>,
        changed: Condvar,
        full: AtomicBool,
    }

    impl Paper {
        fn hold(&self, held: bool) {
            *self.0.held.lock().unwrap() = held;
            self.0.changed.notify_all();
        }

        fn lines(&self) -> Vec<TraceLine> {
            let text = String::from_utf8(self.0.bytes.lock().unwrap().clone()).unwrap();
            let whole = text.lines().filter(|line| line.ends_with('}'));
            whole.map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.0.changed.wait_while(self.0.held.lock().unwrap(), |held| *held).unwrap());
            let mut paper = self.0.bytes.lock().unwrap();
            if self.0.full.load(Ordering::SeqCst) {
                // A short write, as on a full disk.
                paper.extend_from_slice(&bytes[..3]);
                return Err(io::Error::other("full"));
            }
            paper.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn flush(trace: &Trace) {
        while let Some(flushed) = trace.flushed() {
            if flushed.blocking_recv().is_ok() {
                return;
            }
        }
        panic!("the queue is full");
    }

    fn numbers(lines: &[TraceLine]) -> Vec<(u64, bool)> {
        lines.iter().map(|line| (line.n, matches!(line.record, Record::Lost { .. }))).collect()
    }

    #[test]
    fn records_are_in_order_one_per_line() {
        let paper = Paper::default();
        let trace = Trace::to(paper.clone(), 16).unwrap();
        trace.write(Record::Stop);
        trace.write(Record::Drain { stage: super::super::record::DrainStage::Rest });
        flush(&trace);
        assert_eq!(numbers(&paper.lines()), [(1, false), (2, false)]);
    }

    #[test]
    fn writer_never_blocks_and_dropped_records_are_marked() {
        let paper = Paper::default();
        paper.hold(true);
        let trace = Trace::to(paper.clone(), 4).unwrap();
        // The writer may already hold one record and a buffer of others.
        (0..100).for_each(|_| trace.write(Record::Stop));
        paper.hold(false);
        while trace.flushed().is_none_or(|flushed| flushed.blocking_recv().is_err()) {}
        trace.write(Record::Stop);
        flush(&trace);
        let lines = paper.lines();
        let marks: Vec<u64> = lines
            .iter()
            .filter_map(|line| if let Record::Lost { records } = line.record { Some(records) } else { None })
            .collect();
        let whole = lines.len() as u64 - marks.len() as u64;
        assert!(!marks.is_empty(), "{lines:?}");
        assert_eq!(marks.iter().sum::<u64>() + whole, 101);
        assert_eq!(lines.last().unwrap().record, Record::Stop);
    }

    #[test]
    fn failing_file_drops_records_and_is_reported() {
        let paper = Paper::default();
        let trace = Trace::to(paper.clone(), 16).unwrap();
        trace.write(Record::Stop);
        flush(&trace);
        paper.0.full.store(true, Ordering::SeqCst);
        trace.write(Record::Stop);
        flush(&trace);
        paper.0.full.store(false, Ordering::SeqCst);
        trace.write(Record::Stop);
        flush(&trace);
        assert_eq!(numbers(&paper.lines()), [(1, false), (2, true), (3, false)]);
    }

    #[test]
    fn queued_records_are_written_before_the_trace_is_dropped() {
        let paper = Paper::default();
        let trace = Trace::to(paper.clone(), 1000).unwrap();
        (0..1000).for_each(|_| trace.write(Record::Stop));
        drop(trace);
        assert_eq!(paper.lines().len(), 1000);
    }

    #[test]
    fn truncated_line_does_not_damage_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        std::fs::write(&path, "{\"n\":1,\"is\":\"st").unwrap();
        let trace = Trace::to_file(&path).unwrap();
        trace.write(Record::Stop);
        flush(&trace);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"n\":1,\"is\":\"st\n{\"n\":1,\"is\":\"stop\"}\n");
    }
}
