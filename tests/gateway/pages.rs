//! Pages of a log and of its threads: the cost of one, and no missing entry between two of them, for any
//! change of the log meanwhile.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use quintet::{
    gateway::limits::GatewayLimits,
    journal::{
        Extent, Journal, JournalError, JournalLayer, Lines, Log, LogLayer, ReadLimit, Retention,
        memory::MemoryJournal,
    },
    kernel::ids::{Offset, Timestamp, UserId},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::harness::{TestService, say, soon, succeed, think};

/// A fault that happens at the n-th read of the log from now on.
pub(crate) enum Mishap {
    /// Retention runs, and leaves this many entries.
    Trim(u64),
    /// The storage fails, once.
    Fail,
}

/// A journal that records its reads, and changes at a given read.
pub(crate) struct CountedJournal {
    journal: Arc<MemoryJournal>,
    reads: Arc<Reads>,
}

#[derive(Default)]
pub(crate) struct Reads {
    /// Calls of any method that reads.
    calls: AtomicUsize,
    bytes: AtomicUsize,
    largest: AtomicUsize,
    mishap: Mutex<Option<(usize, Mishap)>>,
}

impl Reads {
    pub(crate) fn forget(&self) {
        self.calls.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.largest.store(0, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    pub(crate) fn at_read(&self, nth: usize, mishap: Mishap) {
        *self.mishap.lock().unwrap() = Some((nth, mishap));
    }

    fn due(&self) -> Option<Mishap> {
        let mut mishap = self.mishap.lock().unwrap();
        let (left, _) = mishap.as_mut()?;
        *left -= 1;
        if *left > 0 { None } else { mishap.take().map(|(_, mishap)| mishap) }
    }
}

struct CountedLog {
    log: Arc<dyn Log>,
    journal: Arc<MemoryJournal>,
    reads: Arc<Reads>,
}

#[async_trait]
impl JournalLayer for CountedJournal {
    fn inner(&self) -> &dyn Journal {
        &*self.journal
    }

    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        let (log, journal) = (self.journal.log(user_id), self.journal.clone());
        Arc::new(CountedLog { log, journal, reads: self.reads.clone() })
    }
}

#[async_trait]
impl LogLayer for CountedLog {
    fn inner(&self) -> &dyn Log {
        &*self.log
    }

    async fn extent(&self) -> Result<Extent, JournalError> {
        self.reads.calls.fetch_add(1, Ordering::Relaxed);
        self.log.extent().await
    }

    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.mishap().await?;
        self.counted(self.log.read(after, limit).await?)
    }

    async fn read_before(&self, before: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        self.mishap().await?;
        self.counted(self.log.read_before(before, limit).await?)
    }
}

impl CountedLog {
    async fn mishap(&self) -> Result<(), JournalError> {
        match self.reads.due() {
            Some(Mishap::Fail) => Err(JournalError::Unavailable("as the test wants it".to_owned())),
            Some(Mishap::Trim(keep)) => self.journal.trim(keeping(keep), Timestamp(0)).await.map(drop),
            None => Ok(()),
        }
    }

    fn counted(&self, lines: Lines) -> Result<Lines, JournalError> {
        self.reads.calls.fetch_add(1, Ordering::Relaxed);
        self.reads.bytes.fetch_add(lines.as_bytes().len(), Ordering::Relaxed);
        self.reads.largest.fetch_max(lines.as_bytes().len(), Ordering::Relaxed);
        Ok(lines)
    }
}

pub(crate) fn keeping(entries: u64) -> Retention {
    Retention { age_ms_max: None, user_entries_max: Some(entries), ..Retention::default() }
}

pub(crate) async fn watched(limits: GatewayLimits) -> (TestService, Arc<Reads>) {
    let (journal, reads) = (Arc::new(MemoryJournal::default()), Arc::new(Reads::default()));
    let used = CountedJournal { journal: journal.clone(), reads: reads.clone() };
    (TestService::on(Arc::new(used), journal, limits, None).await, reads)
}

/// Plays a run of `user` in `thread` that thinks so many times of so many bytes, and succeeds.
pub(crate) async fn run(
    service: &mut TestService,
    user: &str,
    message_id: &str,
    thread: &str,
    thoughts: usize,
    bytes: usize,
) {
    let message = json!({"message_id": message_id, "thread_id": thread, "text": "hello"});
    service.post(user, "/v1/messages", &message).await.ok(202);
    let run = service.launched().await;
    for _ in 0..thoughts {
        think(&run.handle, &"x".repeat(bytes)).await;
    }
    say(&run.handle, "done").await;
    succeed(&run.handle).await;
}

pub(crate) fn offsets(page: &Value) -> Vec<u64> {
    page["entries"].as_array().unwrap().iter().map(|entry| entry["offset"].as_u64().unwrap()).collect()
}

/// Reads everything after `after`, page by page; returns the cursor and the body of each page.
pub(crate) async fn scan(service: &TestService, user: &str, path: &str, mut after: u64) -> Vec<(u64, Value)> {
    let mut pages = Vec::new();
    loop {
        let page = service.get(user, &format!("{path}?after={after}&limit=1000")).await.ok(200);
        let next = page["next_after"].as_u64();
        pages.push((after, page));
        match next {
            Some(next) => {
                assert!(next > after, "a page without progress: {next} after {after}");
                after = next;
            }
            None => return pages,
        }
    }
}

/// DEL-3: every offset of `wanted` is on a page or in a gap that a page reported.
fn nothing_is_missing(pages: &[(u64, Value)], wanted: impl IntoIterator<Item = u64>) {
    let seen: Vec<u64> = pages.iter().flat_map(|(_, page)| offsets(page)).collect();
    assert!(seen.is_sorted_by(|a, b| a < b), "DEL-2: {seen:?}");
    for offset in wanted {
        let told = pages.iter().any(|(_, page)| {
            let gap = &page["gap"];
            gap["from"].as_u64().is_some_and(|from| from <= offset)
                && gap["to"].as_u64().is_some_and(|to| offset <= to)
        });
        assert!(told != seen.contains(&offset), "entry {offset}: on a page, or else in a gap; {seen:?}");
    }
}

#[tokio::test]
async fn del_4_page_is_read_in_chunks_and_equals_the_log_to_the_last_byte() {
    let limits =
        GatewayLimits { chunk_bytes_max: 8 * 1024, page_bytes_max: 256 * 1024, ..GatewayLimits::DEFAULT };
    let (mut service, reads) = watched(limits).await;
    run(&mut service, "ada", "m1", "t", 300, 2_000).await;
    let (mut client, ready) = service.open("ada").await;
    client.alive().await;
    let head = ready["head"].as_u64().unwrap();
    for path in ["/v1/entries", "/v1/threads/t/entries"] {
        reads.forget();
        let pages = scan(&service, "ada", path, 0).await;
        assert!(reads.largest() <= limits.chunk_bytes_max, "{path}: {} bytes at once", reads.largest());
        assert!((3..=4).contains(&pages.len()), "{path}: {} pages of 600 KB", pages.len());
        nothing_is_missing(&pages, 1..=head);
    }
    let mut reader = service.known("ada").await;
    reader.hello(json!({})).await;
    let mut frames = reader.until("caught_up").await;
    frames.pop();
    let entries = scan(&service, "ada", "/v1/entries", 0).await;
    let entries: Vec<_> = entries.iter().flat_map(|(_, page)| page["entries"].as_array().unwrap()).collect();
    assert_eq!(entries, frames.iter().collect::<Vec<_>>());
}

/// A socket with a small receive buffer that requests a page.
async fn ask_and_read_no_further_than_the_head(service: &TestService, user: &str, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = soon("a socket", socket.connect(service.running.listen)).await.unwrap();
    let token = service.token(user);
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    soon("the status", stream.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    stream
}

/// DEL-4, ISO-6: a reader that requests pages and does not read them uses its own limit only, and costs other
/// users nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iso_6_unread_pages_are_limited_per_user() {
    let limits = GatewayLimits { user_pages_max: 3, ..GatewayLimits::DEFAULT };
    let (mut service, reads) = watched(limits).await;
    for user in ["ada", "bob"] {
        run(&mut service, user, "m1", "t", 120, 60 * 1024).await;
    }
    reads.forget();
    let mut stalled = Vec::new();
    for path in ["/v1/entries?limit=1000", "/v1/threads/t/entries?limit=1000", "/v1/entries?limit=1000"] {
        stalled.push(ask_and_read_no_further_than_the_head(&service, "ada", path).await);
    }
    for path in ["/v1/entries", "/v1/threads/t/entries"] {
        let refused = service.get("ada", path).await;
        let problem = refused.problem(429, "limit_reached");
        assert!(problem["retry_after_ms"].as_u64().unwrap() > 0 && !refused.header("retry-after").is_empty());
    }
    // Three pages of 4 MiB were requested, and hardly anything was read.
    assert!(reads.bytes() < 3 * 1024 * 1024, "{} bytes were read ahead", reads.bytes());
    // Other routes of the user work, and all routes of other users.
    service.get("ada", "/v1/agents").await.ok(200);
    service.get("bob", "/v1/entries?limit=1000").await.ok(200);
    // A slot is free again when its reader has gone, and when its page was read.
    drop(stalled.pop());
    let gateway = service.running.gateway().clone();
    crate::harness::until(|| gateway.admit.pages_in_progress() == 2).await;
    for _ in 0..5 {
        service.get("ada", "/v1/entries?limit=1000").await.ok(200);
    }
    drop(stalled);
    crate::harness::until(|| gateway.admit.pages_in_progress() == 0).await;
}

/// ISO-6, DEL-4: a page of a sparse thread among many entries of another reads a bounded part of the log.
#[tokio::test]
async fn iso_6_page_of_a_sparse_thread_reads_a_bounded_part_of_the_log() {
    let limits =
        GatewayLimits { chunk_bytes_max: 8 * 1024, page_bytes_max: 64 * 1024, ..GatewayLimits::DEFAULT };
    let (mut service, reads) = watched(limits).await;
    let message = |id: &str, thread: &str| json!({"message_id": id, "thread_id": thread, "text": "hello"});
    service.post("ada", "/v1/messages", &message("m1", "sparse")).await.ok(202);
    let sparse = service.launched().await;
    service.post("ada", "/v1/messages", &message("m2", "dense")).await.ok(202);
    let dense = service.launched().await;
    for _ in 0..8 {
        think(&sparse.handle, "hm").await;
        for _ in 0..60 {
            think(&dense.handle, &"x".repeat(1_000)).await;
        }
    }
    let whole = scan(&service, "ada", "/v1/entries", 0).await;
    let of_sparse: Vec<u64> = whole
        .iter()
        .flat_map(|(_, page)| page["entries"].as_array().unwrap())
        .filter(|entry| entry["thread_id"] == "sparse")
        .map(|entry| entry["offset"].as_u64().unwrap())
        .collect();
    assert_eq!(of_sparse.len(), 10);
    let (mut after, mut found) = (0, Vec::new());
    loop {
        reads.forget();
        let page = service.get("ada", &format!("/v1/threads/sparse/entries?after={after}")).await.ok(200);
        let most = limits.page_bytes_max + limits.chunk_bytes_max;
        assert!(reads.bytes() <= most, "{} bytes were read for one page", reads.bytes());
        found.extend(offsets(&page));
        match page["next_after"].as_u64() {
            Some(next) => {
                assert!(next > after, "{page}");
                after = next;
            }
            None => break,
        }
    }
    assert_eq!(found, of_sparse, "DEL-2");
}

#[tokio::test]
async fn page_after_the_largest_possible_offset_is_empty() {
    let (mut service, _) = watched(GatewayLimits::DEFAULT).await;
    run(&mut service, "ada", "m1", "t", 3, 10).await;
    // An open run, so that the thread grows.
    service.post("ada", "/v1/messages", &json!({"message_id": "m2", "thread_id": "t", "text": "x"})).await;
    let _open = service.launched().await;
    for after in [u64::MAX, u64::MAX - 1, i64::MAX as u64, i64::MAX as u64 - 1] {
        for path in ["/v1/entries", "/v1/threads/t/entries"] {
            let page = service.get("ada", &format!("{path}?after={after}")).await.ok(200);
            assert_eq!(offsets(&page), [0; 0], "{path} {after}");
            assert_eq!((&page["gap"], &page["next_after"]), (&Value::Null, &Value::Null), "{path} {after}");
        }
    }
}

/// DEL-3: entries that retention trims while a page is being made are reported as a gap, on this page or the
/// next.
#[tokio::test]
async fn del_3_trim_during_a_page_leaves_no_silent_hole() {
    for path in ["/v1/entries", "/v1/threads/t1/entries"] {
        for nth in 1..=6 {
            for keep in [0, 1, 12, 40, 70] {
                let limits = GatewayLimits {
                    chunk_entries_max: 8,
                    page_bytes_max: 64 * 1024,
                    ..GatewayLimits::DEFAULT
                };
                let (mut service, reads) = watched(limits).await;
                for (message_id, thread) in
                    [("m1", "t1"), ("m2", "t2"), ("m3", "t1"), ("m4", "t2"), ("m5", "t1")]
                {
                    run(&mut service, "ada", message_id, thread, 12, 10).await;
                }
                let whole = scan(&service, "ada", path, 0).await;
                let wanted: Vec<u64> = whole.iter().flat_map(|(_, page)| offsets(page)).collect();
                reads.at_read(nth, Mishap::Trim(keep));
                let pages = scan(&service, "ada", path, 0).await;
                nothing_is_missing(&pages, wanted);
            }
        }
    }
}

/// DEL-2, DEL-7: storage that fails in the middle of a page ends the page early, with the cursor to continue
/// at.
#[tokio::test]
async fn del_2_page_cut_by_a_failed_read_has_the_cursor_to_continue() {
    let limits = GatewayLimits { chunk_entries_max: 8, ..GatewayLimits::DEFAULT };
    let (mut service, reads) = watched(limits).await;
    run(&mut service, "ada", "m1", "t", 60, 10).await;
    for path in ["/v1/entries", "/v1/threads/t/entries"] {
        reads.at_read(1, Mishap::Fail);
        service.get("ada", path).await.problem(503, "unavailable");
        for nth in 2..=8 {
            reads.at_read(nth, Mishap::Fail);
            let pages = scan(&service, "ada", path, 0).await;
            assert_eq!(pages.len(), 2, "{path}: the {nth}. read fails");
            nothing_is_missing(&pages, 1..=64);
        }
    }
}

/// DEL-3: a thread whose first runs are trimmed is listed, from where it is kept.
#[tokio::test]
async fn del_3_partly_trimmed_thread_starts_where_it_is_kept() {
    let (mut service, _) = watched(GatewayLimits::DEFAULT).await;
    for i in 0..12 {
        run(&mut service, "ada", &format!("m{i}"), "t", 1, 10).await;
    }
    let last = scan(&service, "ada", "/v1/threads/t/entries", 0).await.len();
    assert_eq!(last, 1);
    service.journal.trim(keeping(5), Timestamp(0)).await.unwrap();
    // Records of runs stay, and there are more of them than fit on the page.
    let page = service.get("ada", "/v1/threads/t/entries?limit=3").await.ok(200);
    assert_eq!((offsets(&page), &page["gap"]), (vec![56, 57, 58], &json!({"from": 1, "to": 55})));
    let page = service.get("ada", "/v1/threads/t/entries?after=58&limit=3").await.ok(200);
    assert_eq!((offsets(&page), &page["next_after"]), (vec![59, 60], &Value::Null));
}
