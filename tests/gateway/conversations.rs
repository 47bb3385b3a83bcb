//! Conversations over HTTP: the list of threads while they move, folded runs, waiting calls, and the cost of a page.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use quintet::{
    gateway::limits::GatewayLimits,
    journal::{
        Journal, JournalError, JournalLayer, Lines, Log, LogLayer, ReadLimit, RunRecord, ThreadRecord,
        ThreadsQuery, memory::MemoryJournal,
    },
    kernel::{
        entry::CallOwner,
        ids::{Offset, ThreadId, UserId},
    },
};
use quintet_testkit::journal::LogWriter;
use serde_json::{Value, json};

use crate::{
    harness::{TestService, close_call, http_client, open_call, say, succeed, think},
    http::HttpReply,
};

/// A journal that counts what is read: entries, bytes of entries, and rows of the index.
struct CountedJournal {
    journal: Arc<MemoryJournal>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    entries: AtomicUsize,
    bytes: AtomicUsize,
    rows: AtomicUsize,
}

impl Counts {
    fn take(&self) -> (usize, usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::Relaxed);
        (take(&self.entries), take(&self.bytes), take(&self.rows))
    }
}

struct CountedLog {
    log: Arc<dyn Log>,
    counts: Arc<Counts>,
}

#[async_trait]
impl JournalLayer for CountedJournal {
    fn inner(&self) -> &dyn Journal {
        &*self.journal
    }

    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        Arc::new(CountedLog { log: self.journal.log(user_id), counts: self.counts.clone() })
    }
}

#[async_trait]
impl LogLayer for CountedLog {
    fn inner(&self) -> &dyn Log {
        &*self.log
    }

    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        let lines = self.log.read(after, limit).await?;
        self.counts.entries.fetch_add(lines.len(), Ordering::Relaxed);
        self.counts.bytes.fetch_add(lines.as_bytes().len(), Ordering::Relaxed);
        Ok(lines)
    }

    async fn thread_runs(
        &self,
        thread_id: &ThreadId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        let runs = self.log.thread_runs(thread_id, after, limit).await?;
        self.counts.rows.fetch_add(runs.len(), Ordering::Relaxed);
        Ok(runs)
    }

    async fn thread_runs_before(
        &self,
        thread_id: &ThreadId,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<RunRecord>, JournalError> {
        let runs = self.log.thread_runs_before(thread_id, before, limit).await?;
        self.counts.rows.fetch_add(runs.len(), Ordering::Relaxed);
        Ok(runs)
    }

    async fn threads(&self, query: ThreadsQuery) -> Result<Vec<ThreadRecord>, JournalError> {
        let threads = self.log.threads(query).await?;
        self.counts.rows.fetch_add(threads.len(), Ordering::Relaxed);
        Ok(threads)
    }
}

async fn counted(limits: GatewayLimits) -> (TestService, Arc<Counts>) {
    let (journal, counts) = (Arc::new(MemoryJournal::default()), Arc::new(Counts::default()));
    let used = CountedJournal { journal: journal.clone(), counts: counts.clone() };
    (TestService::on(Arc::new(used), journal, limits, None).await, counts)
}

pub async fn patch(service: &TestService, user: &str, path: &str, body: Value) -> HttpReply {
    let request = http_client().patch(service.url(path)).bearer_auth(service.token(user));
    service.reply(request.json(&body)).await
}

pub async fn delete(service: &TestService, user: &str, path: &str) -> HttpReply {
    service.reply(http_client().delete(service.url(path)).bearer_auth(service.token(user))).await
}

/// Sends a message and plays its run to the end.
pub async fn run(service: &mut TestService, thread: &str, id: &str, text: &str) {
    let message = json!({"message_id": id, "thread_id": thread, "text": text});
    service.post("ada", "/v1/messages", &message).await.ok(202);
    service.answer("yes").await;
}

fn ids(page: &Value) -> Vec<&str> {
    page["threads"].as_array().unwrap().iter().map(|thread| thread["thread_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn threads_have_title_first_text_agent_and_open_run() {
    let mut service = TestService::start().await;
    run(&mut service, "t", "m1", &"é".repeat(300)).await;
    run(&mut service, "t", "m2", "later").await;
    run(&mut service, "u", "m3", "short").await;
    let page = service.get("ada", "/v1/threads").await.ok(200);
    assert_eq!((ids(&page), &page["next_before"]), (vec!["u", "t"], &Value::Null));
    let [_, t] = &page["threads"].as_array().unwrap()[..] else { panic!("{page}") };
    assert_eq!(t["first_text"], "é".repeat(200));
    assert_eq!(
        (&t["title"], &t["archived"], &t["agent_name"]),
        (&json!(null), &json!(false), &json!("puppet"))
    );
    assert_eq!((&t["messages"], &t["open_run"], &t["open_runs"]), (&json!(2), &json!(null), &json!(0)));
    let last = t["last_offset"].clone();

    let named = patch(&service, "ada", "/v1/threads/t", json!({"title": "Déjà vu"})).await.ok(200);
    assert_eq!(
        (&named["title"], &named["archived"], &named["last_offset"]),
        (&json!("Déjà vu"), &json!(false), &last)
    );
    let put_aside = patch(&service, "ada", "/v1/threads/t", json!({"archived": true})).await.ok(200);
    assert_eq!((&put_aside["title"], &put_aside["archived"]), (&json!("Déjà vu"), &json!(true)));
    for (archived, found) in [("true", vec!["t"]), ("false", vec!["u"])] {
        let page = service.get("ada", &format!("/v1/threads?archived={archived}")).await.ok(200);
        assert_eq!(ids(&page), found, "{archived}");
    }
    let all = service.get("ada", "/v1/threads").await.ok(200);
    assert_eq!(ids(&all), ["u", "t"], "an update does not move a thread");
    let unnamed = patch(&service, "ada", "/v1/threads/t", json!({"title": null})).await.ok(200);
    assert_eq!((&unnamed["title"], &unnamed["archived"]), (&Value::Null, &json!(true)));

    let sent = json!({"message_id": "m4", "thread_id": "t", "text": "again"});
    let open = service.post("ada", "/v1/messages", &sent).await.ok(202);
    let page = service.get("ada", "/v1/threads?limit=1").await.ok(200);
    assert_eq!(
        (&page["threads"][0]["open_run"], &page["threads"][0]["open_runs"]),
        (&open["run_id"], &json!(1))
    );
}

/// A client that pages while threads move misses none: those that it does not find have an entry after the `head` of the
/// first page.
#[tokio::test]
async fn paging_while_threads_move_skips_none() {
    let mut service = TestService::start().await;
    for number in 0..12 {
        run(&mut service, &format!("t{number}"), &format!("m{number}"), "hi").await;
    }
    let (mut seen, mut head, mut before, mut round) = (BTreeSet::new(), None, String::new(), 0);
    loop {
        let page = service.get("ada", &format!("/v1/threads?limit=3{before}")).await.ok(200);
        head.get_or_insert(page["head"].as_u64().unwrap());
        let offsets: Vec<_> =
            page["threads"].as_array().unwrap().iter().map(|t| t["last_offset"].as_u64().unwrap()).collect();
        assert!(offsets.is_sorted_by(|a, b| a > b), "{offsets:?}");
        for id in ids(&page) {
            assert!(seen.insert(id.to_owned()), "{id} is on two pages, and had not moved");
        }
        // Of the threads that are left, the last one moves to the front.
        run(&mut service, &format!("t{round}"), &format!("again{round}"), "hi").await;
        round += 1;
        match page["next_before"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert!(seen.len() < 12, "some were missed behind the cursor");
    let front = service.get("ada", "/v1/threads").await.ok(200);
    let moved = front["threads"].as_array().unwrap().iter().take_while(|t| t["last_offset"].as_u64() > head);
    seen.extend(moved.map(|t| t["thread_id"].as_str().unwrap().to_owned()));
    assert_eq!(seen.len(), 12);
}

#[tokio::test]
async fn folded_runs_have_calls_answer_and_status_and_are_as_of_the_head() {
    let mut service = TestService::start().await;
    let message = json!({"message_id": "m1", "thread_id": "t", "text": "hello"});
    let accepted = service.post("ada", "/v1/messages", &message).await.ok(202);
    let agent = service.launched().await;
    think(&agent.handle, "hm").await;
    open_call(&agent.handle, "c1", CallOwner::Agent).await;
    open_call(&agent.handle, "q1", CallOwner::Client).await;
    close_call(&agent.handle, "c1").await;
    say(&agent.handle, "so ").await;
    let wait = "/v1/calls?open=true";
    let waiting = service.get("ada", wait).await.ok(200);
    let page = service.get("ada", "/v1/threads/t/runs").await.ok(200);
    let open = &page["runs"][0];
    assert_eq!(
        (&open["state"], &open["answer"], &open["status"]),
        (&json!("active"), &json!("so "), &Value::Null)
    );
    assert_eq!((&open["calls"][0]["status"], &open["calls"][1]["status"]), (&json!("ok"), &Value::Null));
    assert_eq!(open["calls"][1]["by"], "client");
    let [call] = &waiting["calls"].as_array().unwrap()[..] else { panic!("{waiting}") };
    assert_eq!(
        (&call["run_id"], &call["thread_id"], &call["call_id"]),
        (&accepted["run_id"], &json!("t"), &json!("q1"))
    );
    assert_eq!(
        (&call["parameters"], &call["opened_offset"]),
        (&json!({}), &open["calls"][1]["opened_offset"])
    );
    // RUN-11: the deadline is that of the default limits, a day, by the monotonic clock.
    let wait_ms = call["deadline"].as_u64().unwrap() - call["opened_at"].as_u64().unwrap();
    assert!((86_390_000..=86_410_000).contains(&wait_ms), "{wait_ms}");
    assert_eq!(service.get("bob", wait).await.ok(200)["calls"], json!([]), "ISO-1");

    let answer = json!({"status": "declined", "error": "no"});
    let path = format!("/v1/runs/{}/calls/q1", accepted["run_id"].as_str().unwrap());
    service.post("ada", &path, &answer).await.ok(200);
    assert_eq!(service.get("ada", wait).await.ok(200)["calls"], json!([]));
    say(&agent.handle, "be it").await;
    succeed(&agent.handle).await;
    let page = service.get("ada", "/v1/threads/t/runs").await.ok(200);
    let run = &page["runs"][0];
    assert_eq!(
        (&run["state"], &run["status"], &run["answer"]),
        (&json!("completed"), &json!("succeeded"), &json!("so be it"))
    );
    assert_eq!(
        (&run["text"], &run["message_id"], &run["parent"]),
        (&json!("hello"), &json!("m1"), &json!(0))
    );
    assert_eq!((&run["calls"][1]["status"], &run["calls"][1]["error"]), (&json!("declined"), &json!("no")));
    assert_eq!((&run["completed_offset"], &run["truncated"]), (&page["head"], &json!(false)));
}

#[tokio::test]
async fn calls_are_paged_by_their_offsets() {
    let mut service = TestService::start().await;
    for number in 0..5 {
        let message =
            json!({"message_id": format!("m{number}"), "thread_id": format!("t{number}"), "text": "x"});
        service.post("ada", "/v1/messages", &message).await.ok(202);
        let agent = service.launched().await;
        think(&agent.handle, "hm").await;
        open_call(&agent.handle, "q", CallOwner::Client).await;
        // Its agent waits, as far as the service knows.
        std::mem::forget(agent.handle.clone());
    }
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = service.get("ada", &format!("/v1/calls?open=true&limit=2&after={after}")).await.ok(200);
        found.extend(page["calls"].as_array().unwrap().iter().map(|call| call["thread_id"].clone()));
        match page["next_after"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(found, ["t0", "t1", "t2", "t3", "t4"]);
}

/// ISO-6: the last page of a conversation of 10,000 runs costs what that of 20 costs, in entries, bytes and rows read; so
/// does the list of threads.
#[tokio::test]
async fn iso_6_last_page_of_10_000_runs_costs_what_that_of_20_costs() {
    let (service, counts) = counted(GatewayLimits::DEFAULT).await;
    let mut costs = Vec::new();
    for (user, runs) in [("few", 20), ("many", 10_000)] {
        let mut writer = LogWriter::new(user);
        let log = service.journal.log(&writer.user_id);
        // Runs of equal length, so that the costs are comparable.
        for number in 1..=runs {
            writer.whole_run(10_000 + number, "t");
            if number % 500 == 0 {
                writer.append(&log).await;
            }
        }
        writer.append(&log).await;
        counts.take();
        let page = service.get(user, "/v1/threads/t/runs?limit=10").await.ok(200);
        assert_eq!(page["runs"].as_array().unwrap().len(), 10);
        assert_eq!(page["head"], runs * 5);
        let of_page = counts.take();
        service.get(user, "/v1/threads").await.ok(200);
        costs.push([of_page, counts.take()]);
    }
    let [[few, few_threads], [many, many_threads]] = costs[..] else { panic!("{costs:?}") };
    assert_eq!(
        (few.0, few.2, few_threads.0, few_threads.2),
        (many.0, many.2, many_threads.0, many_threads.2)
    );
    // Longer offsets are longer text.
    assert!(many.1 < few.1 + 10 * 40 && many_threads.1 < few_threads.1 + 40, "{costs:?}");
    assert_eq!(
        (few.0, few.2),
        (50, 11),
        "five entries and one row a run, and a row more to know whether there is a next page"
    );
}

/// ISO-6, DEL-4: a page ends where the bytes are spent, and a run that alone is larger is cut.
#[tokio::test]
async fn iso_6_page_of_large_runs_is_bounded_in_bytes() {
    let limits = GatewayLimits { page_bytes_max: 65_536, ..GatewayLimits::DEFAULT };
    let (service, counts) = counted(limits).await;
    let mut writer = LogWriter::new("ada");
    let log = service.journal.log(&writer.user_id);
    for number in 1..=6 {
        let id = format!("m{number}");
        writer.message(number, "t", &id).started(number, &id);
        for _ in 0..if number == 3 { 300 } else { 30 } {
            writer.think(number, &"x".repeat(1000));
        }
        writer.open(number, "c", CallOwner::Agent).close(number, "c").succeeded(number, "fine");
    }
    writer.append(&log).await;
    let (mut found, mut before) = (Vec::new(), String::new());
    loop {
        counts.take();
        let page = service.get("ada", &format!("/v1/threads/t/runs?limit=200{before}")).await.ok(200);
        // A read is charged when it is done, and a run that does not fit was read in part.
        let (_, bytes, _) = counts.take();
        assert!(bytes <= 2 * limits.page_bytes_max, "{bytes} bytes were read for a page");
        let runs = page["runs"].as_array().unwrap();
        assert!(!runs.is_empty());
        found.extend(runs.iter().map(|run| {
            let calls = run["calls"].as_array().unwrap().len();
            (
                run["message_id"].as_str().unwrap().to_owned(),
                run["answer"].clone(),
                run["truncated"].clone(),
                calls,
            )
        }));
        match page["next_before"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = (1..=6)
        .rev()
        .map(|number| (format!("m{number}"), json!("fine"), json!(number == 3), usize::from(number != 3)))
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn iso_3_threads_of_another_user_look_like_missing_ones() {
    let mut service = TestService::start().await;
    run(&mut service, "t", "m1", "mine").await;
    let missing = service.get("bob", "/v1/threads/none/runs").await;
    missing.problem(404, "not_found");
    let theirs = [
        service.get("bob", "/v1/threads/t/runs").await,
        patch(&service, "bob", "/v1/threads/t", json!({"title": "x"})).await,
        patch(&service, "bob", "/v1/threads/none", json!({"title": "x"})).await,
        patch(&service, "ada", "/v1/threads/none", json!({"archived": true})).await,
        delete(&service, "bob", "/v1/threads/t").await,
        delete(&service, "bob", "/v1/threads/none").await,
        service.get("bob", "/v1/threads/%20/runs").await,
        delete(&service, "bob", "/v1/threads/%20").await,
    ];
    for reply in theirs {
        reply.problem(404, "not_found");
        assert_eq!(reply.text, missing.text);
    }
    assert_eq!(service.get("bob", "/v1/threads").await.ok(200)["threads"], json!([]), "ISO-1");
    let kept = service.get("ada", "/v1/threads").await.ok(200);
    assert_eq!((&kept["threads"][0]["title"], kept["threads"].as_array().unwrap().len()), (&Value::Null, 1));
}

#[tokio::test]
async fn fields_out_of_range_are_refused() {
    let mut service = TestService::start().await;
    run(&mut service, "t", "m1", "mine").await;
    for path in [
        "/v1/threads?limit=0",
        "/v1/threads?limit=201",
        "/v1/threads?archived=perhaps",
        "/v1/threads?before=-1",
        "/v1/threads/t/runs?limit=0",
        "/v1/threads/t/runs?limit=201",
        "/v1/threads/t/runs?before=x",
        "/v1/calls",
        "/v1/calls?open=false",
        "/v1/calls?open=true&limit=0",
        "/v1/calls?open=true&limit=201",
        "/v1/calls?open=true&after=-1",
    ] {
        service.get("ada", path).await.problem(400, "invalid_field");
    }
    for path in [
        "/v1/threads?limit=1",
        "/v1/threads?limit=200",
        "/v1/threads/t/runs?limit=200",
        "/v1/calls?open=true&limit=200",
    ] {
        service.get("ada", path).await.ok(200);
    }
    for before in [0, 1, u64::MAX] {
        let page = service.get("ada", &format!("/v1/threads/t/runs?before={before}")).await.ok(200);
        assert_eq!(page["runs"].as_array().unwrap().len(), usize::from(before > 1), "{before}");
    }
    for title in [json!(""), json!("x".repeat(201)), json!("a\nb"), json!(1)] {
        let reply = patch(&service, "ada", "/v1/threads/t", json!({"title": title})).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
    }
    patch(&service, "ada", "/v1/threads/t", json!([])).await.problem(400, "malformed_frame");
    patch(&service, "ada", "/v1/threads/t", json!({"title": "x".repeat(200)})).await.ok(200);
}

/// ISO-6: pages of runs, lists of threads and of calls count as pages in transit.
#[tokio::test]
async fn iso_6_pages_of_runs_count_as_pages_in_transit() {
    let mut service = TestService::with(GatewayLimits { user_pages_max: 1, ..GatewayLimits::DEFAULT }).await;
    run(&mut service, "t", "m1", "hi").await;
    let place = service.running.gateway().admit.page(&UserId::parse("ada").unwrap()).unwrap();
    for path in ["/v1/threads/t/runs", "/v1/threads", "/v1/calls?open=true"] {
        service.get("ada", path).await.problem(429, "limit_reached");
    }
    drop(place);
    for path in ["/v1/threads/t/runs", "/v1/threads", "/v1/calls?open=true"] {
        service.get("ada", path).await.ok(200);
    }
}
