//! Pages of a thread have its changes (`thread_updated`, `thread_erased`) wherever they are: between runs, before the
//! first kept entry of a run, and after the last one.

use serde_json::{Value, json};

use crate::{
    backwards::back,
    conversations::{delete, patch, run},
    harness::TestService,
    pages::{keeping, offsets, scan},
};
use quintet::{journal::Journal, kernel::ids::Timestamp};

const ENTRIES: &str = "/v1/threads/t/entries";

/// Compares the pages of the thread `t`, forwards and backwards and of each size, with the entries of the whole log.
async fn pages_are_the_log(service: &TestService) -> Vec<u64> {
    let whole = service.get("ada", "/v1/entries?limit=1000").await.ok(200);
    assert_eq!(whole["next_after"], Value::Null);
    let of_thread = whole["entries"].as_array().unwrap().iter().filter(|entry| entry["thread_id"] == "t");
    let expected: Vec<Value> = of_thread.cloned().collect();
    let flat = |pages: Vec<Value>| -> Vec<Value> {
        pages.iter().flat_map(|page| page["entries"].as_array().unwrap().clone()).collect()
    };
    let forwards = scan(service, "ada", ENTRIES, 0).await.into_iter().map(|(_, page)| page).collect();
    assert_eq!(flat(forwards), expected, "DEL-2, forwards");
    for limit in [1, 2, 3, 5, 1000] {
        let mut after = 0;
        let mut found = Vec::new();
        loop {
            let page = service.get("ada", &format!("{ENTRIES}?after={after}&limit={limit}")).await.ok(200);
            found.extend(page["entries"].as_array().unwrap().clone());
            let Some(next) = page["next_after"].as_u64() else { break };
            assert!(next > after, "{page}");
            after = next;
        }
        assert_eq!(found, expected, "DEL-2, forwards by {limit}");
        let mut pages = back(service, "ada", ENTRIES, u64::MAX, limit).await;
        pages.reverse();
        assert_eq!(flat(pages), expected, "DEL-2, backwards by {limit}");
    }
    expected.iter().map(|entry| entry["offset"].as_u64().unwrap()).collect()
}

async fn titled(service: &TestService, thread: &str, title: &str) {
    patch(service, "ada", &format!("/v1/threads/{thread}"), json!({"title": title})).await.ok(200);
}

#[tokio::test]
async fn del_2_pages_of_a_thread_have_its_changes_between_the_runs() {
    let mut service = TestService::start().await;
    run(&mut service, "t", "m1", "one").await;
    titled(&service, "t", "first").await;
    run(&mut service, "u", "m2", "another thread").await;
    titled(&service, "u", "not of this thread").await;
    titled(&service, "t", "second").await;
    patch(&service, "ada", "/v1/threads/t", json!({"archived": true})).await.ok(200);
    run(&mut service, "t", "m3", "two").await;
    run(&mut service, "u", "m4", "another thread").await;
    titled(&service, "t", "third").await;
    let found = pages_are_the_log(&service).await;
    assert_eq!(found.len(), 2 * 5 + 4, "two runs and four changes: {found:?}");
    let last = service.get("ada", &format!("{ENTRIES}?before={}&limit=1", u64::MAX)).await.ok(200);
    assert_eq!(last["entries"][0]["title"], "third");
}

#[tokio::test]
async fn del_2_more_changes_than_a_page_has_entries_are_paged() {
    let mut service = TestService::start().await;
    run(&mut service, "t", "m1", "one").await;
    for number in 0..12 {
        titled(&service, "t", &format!("title {number}")).await;
        if number % 5 == 0 {
            run(&mut service, "u", &format!("u{number}"), "another thread").await;
        }
    }
    run(&mut service, "t", "m2", "two").await;
    assert_eq!(pages_are_the_log(&service).await.len(), 2 * 5 + 12);
}

/// DEL-8: the title of an erased thread is in no page; the record of the erasure is in the pages of a thread of the same id
/// that began anew.
#[tokio::test]
async fn del_8_pages_of_a_thread_that_began_anew_have_the_record_and_no_earlier_title() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    run(&mut service, "t", "m1", "one").await;
    titled(&service, "t", "the secret").await;
    delete(&service, "ada", "/v1/threads/t").await.ok(202);
    client.until("thread_erased").await;
    // Nothing is left of the thread, although its id is in the record (ISO-3).
    for query in ["after=0", "before=99"] {
        service.get("ada", &format!("{ENTRIES}?{query}")).await.problem(404, "not_found");
    }
    run(&mut service, "u", "m2", "another thread").await;
    run(&mut service, "t", "m3", "anew").await;
    titled(&service, "t", "a new title").await;
    assert_eq!(pages_are_the_log(&service).await.len(), 1 + 5 + 1, "the record, a run, a title");
    let page = service.get("ada", ENTRIES).await.ok(200);
    assert!(!page.to_string().contains("secret"), "{page}");
}

/// DEL-3: changes that retention has trimmed are in the gap.
#[tokio::test]
async fn del_3_trimmed_changes_are_in_the_gap_of_the_page() {
    let mut service = TestService::start().await;
    run(&mut service, "t", "m1", "one").await;
    titled(&service, "t", "first").await;
    run(&mut service, "u", "m2", "another thread").await;
    titled(&service, "t", "second").await;
    run(&mut service, "t", "m3", "two").await;
    for (kept, expected) in [(6, 6), (5, 5)] {
        service.journal.trim(keeping(kept), Timestamp(0)).await.unwrap();
        assert_eq!(pages_are_the_log(&service).await.len(), expected, "{kept} entries are kept");
    }
    let page = service.get("ada", ENTRIES).await.ok(200);
    assert_eq!((offsets(&page).first(), &page["gap"]), (Some(&13), &json!({"from": 1, "to": 12})));
}
