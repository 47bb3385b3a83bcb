//! Pages that are read backwards: together they are the pages read forwards, each is bounded, and no change of the log
//! meanwhile leaves a hole.

use quintet::{gateway::limits::GatewayLimits, journal::Journal, kernel::ids::Timestamp};
use serde_json::{Value, json};

use crate::{
    harness::{TestService, think},
    pages::{Mishap, keeping, offsets, run, scan, watched},
};

/// Reads everything before `before`, page by page; returns the pages from the newest to the oldest.
pub(crate) async fn back(
    service: &TestService,
    user: &str,
    path: &str,
    before: u64,
    limit: u32,
) -> Vec<Value> {
    let (mut pages, mut before) = (Vec::new(), before);
    loop {
        let page = service.get(user, &format!("{path}?before={before}&limit={limit}")).await.ok(200);
        assert_eq!(page["before"], before);
        assert!(offsets(&page).is_sorted_by(|a, b| a < b), "ascending: {page}");
        assert!(offsets(&page).iter().all(|offset| *offset < before), "DEL-2: {page}");
        assert!(offsets(&page).len() <= limit as usize);
        let next = page["next_before"].as_u64();
        assert!(next.is_none() || page["gap"].is_null(), "the gap is on the last page");
        pages.push(page);
        match next {
            Some(next) => {
                assert!(next < before, "a page without progress: {next} before {before}");
                before = next;
            }
            None => return pages,
        }
    }
}

fn entries(pages: &[Value]) -> Vec<&Value> {
    pages.iter().rev().flat_map(|page| page["entries"].as_array().unwrap()).collect()
}

/// Plays runs of two threads at the same time, with a queue and a cancelled message.
async fn interleaved(service: &mut TestService) {
    let message = |id: &str, thread: &str| json!({"message_id": id, "thread_id": thread, "text": "hello"});
    service.post("ada", "/v1/messages", &message("s1", "sparse")).await.ok(202);
    let sparse = service.launched().await;
    let queued = service.post("ada", "/v1/messages", &message("s2", "sparse")).await.ok(202);
    for i in 0..8 {
        run(service, "ada", &format!("d{i}"), "dense", 20, 400).await;
        think(&sparse.handle, "hm").await;
        if i == 3 {
            let path = format!("/v1/runs/{}/cancel", queued["run_id"].as_str().unwrap());
            service.post("ada", &path, &json!({})).await.ok(200);
        }
    }
    service.post("ada", "/v1/messages", &message("s3", "sparse")).await.ok(202);
}

/// DEL-2: the pages read backwards are the pages read forwards, byte for byte, for any size of page and chunk.
#[tokio::test]
async fn del_2_backward_pages_are_the_forward_pages() {
    let limits = GatewayLimits {
        chunk_entries_max: 7,
        chunk_bytes_max: 4 * 1024,
        page_bytes_max: 64 * 1024,
        ..GatewayLimits::DEFAULT
    };
    let (mut service, reads) = watched(limits).await;
    interleaved(&mut service).await;
    for path in ["/v1/entries", "/v1/threads/dense/entries", "/v1/threads/sparse/entries"] {
        let forward = scan(&service, "ada", path, 0).await;
        let forward: Vec<&Value> =
            forward.iter().flat_map(|(_, page)| page["entries"].as_array().unwrap()).collect();
        for limit in [1, 2, 3, 10, 1000] {
            if limit == 1 && path != "/v1/threads/sparse/entries" {
                continue;
            }
            let pages = back(&service, "ada", path, u64::MAX, limit).await;
            assert_eq!(entries(&pages), forward, "{path} {limit}");
        }
        reads.forget();
        service.get("ada", &format!("{path}?before={}&limit=1000", u64::MAX)).await.ok(200);
        assert!(reads.largest() <= limits.chunk_bytes_max, "DEL-4: {} bytes at once", reads.largest());
        assert!(reads.bytes() <= limits.page_bytes_max + limits.chunk_bytes_max, "ISO-6: {}", reads.bytes());
        // From the middle of the log.
        let middle = forward[forward.len() / 2]["offset"].as_u64().unwrap();
        let pages = back(&service, "ada", path, middle, 5).await;
        assert_eq!(entries(&pages), forward[..forward.len() / 2], "{path}");
    }
}

/// The last page of a long log reads what it returns and no more.
#[tokio::test]
async fn iso_6_page_before_an_offset_reads_only_what_it_needs() {
    let (mut service, reads) = watched(GatewayLimits::DEFAULT).await;
    run(&mut service, "ada", "m1", "t", 1_000, 500).await;
    for path in ["/v1/entries", "/v1/threads/t/entries"] {
        reads.forget();
        let page = service.get("ada", &format!("{path}?before=900&limit=10")).await.ok(200);
        assert_eq!(offsets(&page), (890..900).collect::<Vec<_>>());
        assert!(reads.bytes() <= GatewayLimits::DEFAULT.chunk_bytes_max, "{path}: {} bytes", reads.bytes());
    }
    reads.forget();
    service.get("ada", "/v1/entries?before=900&limit=10").await.ok(200);
    assert!(reads.bytes() < 10 * 1_000, "{} bytes", reads.bytes());
}

/// DEL-3: entries that are trimmed or appended while one reads backwards are in a gap, or change nothing.
#[tokio::test]
async fn del_3_trims_and_appends_during_backward_pages_leave_no_silent_hole() {
    for path in ["/v1/entries", "/v1/threads/t1/entries"] {
        for nth in 1..=6 {
            for keep in [0, 1, 12, 40] {
                let limits = GatewayLimits { chunk_entries_max: 8, ..GatewayLimits::DEFAULT };
                let (mut service, reads) = watched(limits).await;
                for (message_id, thread) in [("m1", "t1"), ("m2", "t2"), ("m3", "t1"), ("m4", "t2")] {
                    run(&mut service, "ada", message_id, thread, 12, 10).await;
                }
                let whole = back(&service, "ada", path, u64::MAX, 1000).await;
                let wanted: Vec<u64> =
                    entries(&whole).iter().map(|e| e["offset"].as_u64().unwrap()).collect();
                reads.at_read(nth, Mishap::Trim(keep));
                let first = service.get("ada", &format!("{path}?before={}&limit=9", u64::MAX)).await.ok(200);
                run(&mut service, "ada", "m5", "t1", 3, 10).await;
                let mut pages = vec![first];
                if let Some(next) = pages[0]["next_before"].as_u64() {
                    pages.extend(back(&service, "ada", path, next, 9).await);
                }
                let seen: Vec<u64> = pages.iter().rev().flat_map(offsets).collect();
                assert!(seen.is_sorted_by(|a, b| a < b), "DEL-2: {seen:?}");
                let gap = &pages.last().unwrap()["gap"];
                for offset in wanted {
                    let trimmed = gap["to"].as_u64().is_some_and(|to| offset <= to);
                    assert!(
                        trimmed != seen.contains(&offset),
                        "{path} {nth} {keep}: {offset} of {seen:?}, {gap}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn trimmed_beginning_is_a_gap_of_the_page_that_reaches_it() {
    let (mut service, _) = watched(GatewayLimits::DEFAULT).await;
    for i in 0..4 {
        run(&mut service, "ada", &format!("m{i}"), "t", 1, 10).await;
    }
    service.journal.trim(keeping(10), Timestamp(0)).await.unwrap();
    let gap = json!({"from": 1, "to": 10});
    for path in ["/v1/entries", "/v1/threads/t/entries"] {
        let page = async |query: &str| service.get("ada", &format!("{path}?{query}")).await.ok(200);
        let newest = page("before=21&limit=4").await;
        assert_eq!((offsets(&newest), &newest["gap"]), ((17..=20).collect(), &Value::Null));
        assert_eq!(newest["next_before"], 17);
        // The page ends exactly at the oldest entry.
        let oldest = page("before=17&limit=6").await;
        assert_eq!((offsets(&oldest), &oldest["gap"]), ((11..=16).collect(), &gap));
        assert_eq!(oldest["next_before"], Value::Null);
        let beyond = page("before=8").await;
        assert_eq!((offsets(&beyond), &beyond["gap"]), (vec![], &json!({"from": 1, "to": 7})));
        for before in ["before=0", "before=1"] {
            let nothing = page(before).await;
            assert_eq!((offsets(&nothing), &nothing["gap"]), (vec![], &Value::Null));
            assert_eq!(nothing["next_before"], Value::Null);
        }
        for before in [u64::MAX, u64::MAX - 1, i64::MAX as u64, i64::MAX as u64 + 1, 21] {
            assert_eq!(offsets(&page(&format!("before={before}&limit=2")).await), [19, 20], "{before}");
        }
    }
}

/// ISO-1, ISO-3: pages hold the caller's entries alone, and another user's thread is an unknown one.
#[tokio::test]
async fn iso_1_backward_pages_are_the_users_own() {
    let (mut service, _) = watched(GatewayLimits::DEFAULT).await;
    run(&mut service, "ada", "m1", "ada's", 3, 10).await;
    run(&mut service, "bob", "m1", "t", 1, 10).await;
    let pages = back(&service, "bob", "/v1/entries", u64::MAX, 2).await;
    assert_eq!(entries(&pages).len(), 5);
    assert!(entries(&pages).iter().all(|entry| entry["user_id"] == "bob"));
    let unknown = service.get("bob", "/v1/threads/never/entries?before=9").await;
    let foreign = service.get("bob", "/v1/threads/ada's/entries?before=9").await;
    assert_eq!(unknown.problem(404, "not_found"), foreign.problem(404, "not_found"));
}

#[tokio::test]
async fn invalid_positions_are_refused() {
    let (mut service, _) = watched(GatewayLimits::DEFAULT).await;
    run(&mut service, "ada", "m1", "t", 1, 10).await;
    for path in ["/v1/entries", "/v1/threads/t/entries"] {
        for query in [
            "before=",
            "before=-1",
            "before=x",
            "before=1.0",
            "before=1e3",
            "before=18446744073709551616",
            "before=3&before=3",
            "before=3&after=1",
            "after=0&before=0",
            "before=3&limit=0",
            "before=3&limit=1001",
            "before=3&limit=-1",
            "before=3&limit=",
            "before=3&limit=2&limit=2",
        ] {
            service.get("ada", &format!("{path}?{query}")).await.problem(400, "invalid_field");
        }
    }
}

/// DEL-7: a page that cannot be read is an error or ends early, with the position to continue at.
#[tokio::test]
async fn del_7_failed_read_of_a_backward_page_is_an_error() {
    let limits = GatewayLimits { chunk_entries_max: 8, ..GatewayLimits::DEFAULT };
    let (mut service, reads) = watched(limits).await;
    run(&mut service, "ada", "m1", "t", 60, 10).await;
    for path in ["/v1/entries", "/v1/threads/t/entries"] {
        for nth in 1..=3 {
            reads.at_read(nth, Mishap::Fail);
            service.get("ada", &format!("{path}?before=60&limit=50")).await.problem(503, "unavailable");
        }
    }
}
