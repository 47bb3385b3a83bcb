//! The queue between logging threads and the writer thread.
//!
//! Guarantees: adding a line takes a short lock and never waits for a write. The queue holds at most
//! `log_queue_lines_max` lines and `log_queue_bytes_max` bytes. Each line is either written or counted as
//! dropped.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tracing::Level;

use super::{LogLimits, Losses, line::LineFormatter, output::Output};

/// The queue. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<QueueInner>);

#[derive(Debug)]
struct QueueInner {
    lines_max: usize,
    bytes_max: usize,
    state: Mutex<QueueState>,
    /// Notified when an item is queued.
    filled: Condvar,
    /// Notified when all items are written.
    emptied: Condvar,
    dropped: AtomicU64,
    write_errors: AtomicU64,
}

#[derive(Debug, Default)]
struct QueueState {
    items: VecDeque<Item>,
    bytes: usize,
    /// Lines dropped since the last queued line.
    dropped: u64,
    /// Whether the writer is processing an item.
    writing: bool,
}

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// The number of lines dropped at this position.
    Dropped(u64),
}

impl Queue {
    /// Creates an empty queue, without a writer thread.
    pub(super) fn new(limits: &LogLimits) -> Self {
        Self(Arc::new(QueueInner {
            lines_max: limits.log_queue_lines_max,
            bytes_max: limits.log_queue_bytes_max,
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped: AtomicU64::new(0),
            write_errors: AtomicU64::new(0),
        }))
    }

    /// Queues a line, which must end with a line feed. Drops it if the queue is full.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut state = self.state();
        if state.items.len() >= self.0.lines_max || state.bytes + line.len() > self.0.bytes_max {
            state.dropped += 1;
            self.0.dropped.fetch_add(1, Relaxed);
            return;
        }
        let dropped = std::mem::take(&mut state.dropped);
        if dropped > 0 {
            state.items.push_back(Item::Dropped(dropped));
        }
        state.bytes += line.len();
        state.items.push_back(Item::Line(line));
        self.0.filled.notify_one();
    }

    /// Starts the writer thread, which runs until the process exits.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn write_to(&self, output: Output, lines: LineFormatter) -> io::Result<()> {
        let mut writer = QueueWriter { queue: self.clone(), output, lines, unreported: 0 };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run())?;
        Ok(())
    }

    /// Waits until all items are written, at most `timeout`. Returns whether they are.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let waited = self.0.emptied.wait_timeout_while(self.state(), timeout, |state| !state.is_done());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_done()
    }

    /// Returns the losses since the queue was created.
    pub(super) fn losses(&self) -> Losses {
        Losses { dropped: self.0.dropped.load(Relaxed), write_errors: self.0.write_errors.load(Relaxed) }
    }

    /// Blocks until there is an item and returns it.
    fn next(&self) -> Item {
        let mut state = self.state();
        state.writing = false;
        loop {
            // Lines dropped since the last queued line come after all queued lines.
            let item = state.items.pop_front().or_else(|| {
                let lines = std::mem::take(&mut state.dropped);
                (lines > 0).then_some(Item::Dropped(lines))
            });
            match item {
                Some(item) => {
                    if let Item::Line(line) = &item {
                        state.bytes -= line.len();
                    }
                    state.writing = true;
                    return item;
                }
                None => {
                    // Wakes `flush`: nothing is queued and nothing is being written.
                    self.0.emptied.notify_all();
                    state = self.0.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn is_done(&self) -> bool {
        self.items.is_empty() && self.dropped == 0 && !self.writing
    }
}

struct QueueWriter {
    queue: Queue,
    output: Output,
    lines: LineFormatter,
    /// Lost lines that have not been reported yet.
    unreported: u64,
}

impl QueueWriter {
    fn run(&mut self) {
        loop {
            match self.queue.next() {
                Item::Dropped(lines) => {
                    self.unreported += lines;
                    self.report();
                }
                Item::Line(line) => {
                    // After a failed write, the loss is reported first; until that succeeds, lines are
                    // dropped.
                    let written = self.report() && self.write(&line);
                    if !written {
                        self.unreported += 1;
                        self.queue.0.dropped.fetch_add(1, Relaxed);
                    }
                }
            }
        }
    }

    /// Writes the number of lost lines, if any. Returns whether all losses are reported.
    fn report(&mut self) -> bool {
        if self.unreported > 0 {
            let message = format!("{} log lines dropped", self.unreported);
            let line = self.lines.event(Level::WARN, &message, &[]);
            if self.write(&line) {
                self.unreported = 0;
            }
        }
        self.unreported == 0
    }

    fn write(&mut self, line: &[u8]) -> bool {
        let written = self.output.write_lines(line);
        if written.is_err() {
            self.queue.0.write_errors.fetch_add(1, Relaxed);
        }
        written.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(lines_max: usize, bytes_max: usize) -> Queue {
        let limits = LogLimits {
            log_queue_lines_max: lines_max,
            log_queue_bytes_max: bytes_max,
            ..LogLimits::DEFAULT
        };
        Queue::new(&limits)
    }

    fn drain(queue: &Queue) -> Vec<String> {
        let mut items = Vec::new();
        while !{
            let mut state = queue.state();
            state.writing = false;
            state.is_done()
        } {
            items.push(match queue.next() {
                Item::Line(line) => String::from_utf8(line).unwrap(),
                Item::Dropped(lines) => format!("dropped {lines}"),
            });
        }
        items
    }

    #[test]
    fn a_full_queue_drops_and_reports_where_lines_are_missing() {
        let queue = queue(2, 100);
        ["a", "b", "c", "d"].iter().for_each(|line| queue.push(line.as_bytes().to_vec()));
        assert!(matches!(queue.next(), Item::Line(line) if line == b"a"));
        queue.push(b"e".to_vec());
        assert_eq!(drain(&queue), ["b", "dropped 2", "e"]);
        assert_eq!(queue.losses(), Losses { dropped: 2, write_errors: 0 });
    }

    #[test]
    fn bytes_are_bounded_too_and_drops_are_reported_without_a_further_line() {
        let queue = queue(100, 10);
        ["12345678", "123", "12"].iter().for_each(|line| queue.push(line.as_bytes().to_vec()));
        assert_eq!(drain(&queue), ["12345678", "dropped 1", "12"]);
        ["1234567890", "1"].iter().for_each(|line| queue.push(line.as_bytes().to_vec()));
        assert_eq!(drain(&queue), ["1234567890", "dropped 1"]);
        queue.push(b"1234567890".to_vec());
        assert_eq!(drain(&queue), ["1234567890"], "the room is free again");
    }
}
