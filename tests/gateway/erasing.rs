//! Erasure over HTTP and over the socket, and what every reader is served afterwards (DEL-8).

use serde_json::{Value, json};

use crate::{
    conversations::{delete, patch, run},
    harness::{TestService, think},
};

/// Every entry of the log up to its head.
async fn log(service: &TestService, user: &str) -> Vec<Value> {
    let page = service.get(user, "/v1/entries?limit=1000").await.ok(200);
    assert_eq!(page["next_after"], Value::Null);
    page["entries"].as_array().unwrap().clone()
}

fn is_erased(entry: &Value) -> bool {
    let fields: Vec<&str> = entry.as_object().unwrap().keys().map(String::as_str).collect();
    let erased = entry["type"] == "erased";
    assert!(!erased || fields == ["offset", "timestamp", "type"], "nothing else: {entry}");
    erased
}

#[tokio::test]
async fn del_8_a_thread_that_is_erased_is_served_to_no_reader() {
    let mut service = TestService::start().await;
    // Keeps the user's machines, so that the recent entries are in memory.
    let (mut client, _) = service.open("ada").await;
    run(&mut service, "t", "m1", "the secret").await;
    run(&mut service, "u", "m2", "kept").await;
    patch(&service, "ada", "/v1/threads/t", json!({"title": "secret title"})).await.ok(200);
    let accepted = json!({"message_id": "m1", "thread_id": "t", "text": "the secret"});
    let first = service.post("ada", "/v1/messages", &accepted).await.ok(202);
    let head = log(&service, "ada").await.len();

    let receipt = delete(&service, "ada", "/v1/threads/t").await.ok(202);
    assert_eq!((&receipt["thread_id"], &receipt["erased_through"]), (&json!("t"), &json!(head)));
    assert_eq!(receipt["chain_head"].as_str().map(str::len), Some(64));
    let frames = client.until("thread_erased").await;
    let end = frames.last().unwrap();
    assert_eq!((&end["receipt"], &end["erased_through"]), (&receipt["receipt"], &receipt["erased_through"]));
    assert_eq!(end.get("run_id"), None);

    let entries = log(&service, "ada").await;
    let offsets: Vec<u64> = entries.iter().map(|entry| entry["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (1..=offsets.len() as u64).collect::<Vec<_>>(), "DEL-2");
    let (erased, kept): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| is_erased(entry));
    assert_eq!(erased.len(), 6, "a message, four events and a title");
    assert!(kept.iter().all(|entry| entry["thread_id"] == "u" || entry["type"] == "thread_erased"));

    // A replay, the list, the conversation, the run, the export.
    let mut late = service.known("ada").await;
    late.hello(json!({"after": 0})).await;
    let replayed = late.until("caught_up").await;
    let threads = service.get("ada", "/v1/threads").await.ok(200);
    let export = service.get("ada", "/v1/export").await;
    assert_eq!(threads["threads"].as_array().unwrap().len(), 1);
    for text in [json!(replayed).to_string(), threads.to_string(), export.text] {
        assert!(!text.contains("secret"), "{text}");
    }
    service.get("ada", "/v1/threads/t/runs").await.problem(404, "not_found");

    // DEL-6: the id stays that of its first run, for any text sent under it.
    let again = json!({"message_id": "m1", "thread_id": "t", "text": "something else"});
    let again = service.post("ada", "/v1/messages", &again).await.ok(202);
    assert_eq!((&again["run_id"], &again["duplicate"]), (&first["run_id"], &json!(true)));
    assert!(service.launched_by_now().is_none());
}

#[tokio::test]
async fn del_8_erasing_over_the_socket_cancels_the_active_run_first() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "the secret").await;
    let active = service.launched().await;
    think(&active.handle, "hm").await;
    client.send_frame(json!({"type": "update_thread", "thread_id": "t", "title": "a title"})).await;
    let updated = client.until("thread_updated").await.pop().unwrap();
    assert_eq!((&updated["title"], &updated["archived"]), (&json!("a title"), &json!(false)));

    client.send_frame(json!({"type": "erase_thread", "thread_id": "t"})).await;
    let frames = client.until("thread_erased").await;
    // The end may have been erased before this connection read it.
    let (end, erased) = (&frames[0], frames.last().unwrap());
    assert!(end["status"] == "cancelled" || is_erased(end), "{end}");
    assert_eq!(end["offset"], erased["erased_through"]);
    assert_eq!(log(&service, "ada").await.iter().filter(|entry| !is_erased(entry)).count(), 1);

    // The thread begins anew.
    client.message("m2", "fresh").await;
    service.answer("yes").await;
    client.until("agent_completed").await;
    let threads = service.get("ada", "/v1/threads").await.ok(200);
    assert_eq!(threads["threads"][0]["title"], Value::Null);
    for (frame, code) in [
        (json!({"type": "erase_thread"}), "invalid_field"),
        (json!({"type": "erase_thread", "thread_id": ""}), "invalid_field"),
        (json!({"type": "update_thread", "thread_id": "t", "title": ""}), "invalid_field"),
        (json!({"type": "update_thread", "thread_id": "t", "title": "x".repeat(201)}), "invalid_field"),
        (json!({"type": "update_thread", "thread_id": "none", "title": "x"}), "not_found"),
    ] {
        client.send_frame(frame).await;
        client.expect_error(code).await;
    }
}

#[tokio::test]
async fn del_8_the_whole_log_of_one_user_is_erased_and_no_other() {
    let mut service = TestService::start().await;
    run(&mut service, "t", "m1", "one").await;
    run(&mut service, "u", "m2", "two").await;
    service
        .post("bob", "/v1/messages", &json!({"message_id": "m1", "thread_id": "t", "text": "of bob"}))
        .await
        .ok(202);
    service.answer("yes").await;
    let before = log(&service, "bob").await;
    let (mut client, _) = service.open("ada").await;
    let receipt = delete(&service, "ada", "/v1/log").await.ok(202);
    assert_eq!((&receipt["thread_id"], &receipt["erased_through"]), (&Value::Null, &json!(10)));
    let end = client.until("log_erased").await.pop().unwrap();
    assert_eq!((&end["receipt"], &end["offset"]), (&receipt["receipt"], &json!(11)));
    let entries = log(&service, "ada").await;
    assert_eq!(entries.iter().filter(|entry| is_erased(entry)).count(), 10);
    assert_eq!(service.get("ada", "/v1/threads").await.ok(200)["threads"], json!([]));
    assert_eq!(log(&service, "bob").await, before, "ISO-1");
}
