//! A thread as a tree: the parents of messages, over a socket and over HTTP.

use serde_json::{Value, json};

use crate::harness::{TestService, http_client, soon};

fn message(id: &str, thread: &str, parent: Value) -> Value {
    json!({"type": "send_message", "message_id": id, "thread_id": thread, "text": "hi", "parent": parent})
}

#[tokio::test]
async fn message_is_sent_under_an_earlier_one_of_its_thread() {
    let service = TestService::start().await;
    let (mut client, _) = service.open("ann").await;
    let mut offsets = Vec::new();
    for (id, thread, parent) in [("m1", "t", 0), ("m2", "u", 0)] {
        client.send_frame(message(id, thread, json!(parent))).await;
        let entries = client.until("agent_started").await;
        let sent = entries.iter().find(|frame| frame["type"] == "user_message").unwrap();
        assert_eq!(sent["parent"], 0);
        offsets.push(sent["offset"].clone());
    }
    // Edited: the same parent as the first message, while that runs. A branch: under the first one.
    for (id, parent, expected) in [
        ("m3", Value::Null, &offsets[0]),
        ("m4", json!(0), &json!(0)),
        ("m5", offsets[0].clone(), &offsets[0]),
    ] {
        client.send_frame(message(id, "t", parent)).await;
        let entries = client.until("user_message").await;
        assert_eq!(&entries.last().unwrap()["parent"], expected, "{id}");
    }
    client.send_frame(message("m6", "t", offsets[1].clone())).await;
    let error = client.expect_error("not_found").await;
    assert_eq!(error["message_id"], "m6");
    let (mut other, _) = service.open("ben").await;
    other.send_frame(message("m1", "t", offsets[0].clone())).await;
    other.expect_error("not_found").await;
}

#[tokio::test]
async fn parent_is_taken_and_shown_over_http() {
    let service = TestService::start().await;
    let token = service.token("ann");
    let url = |path: &str| format!("http://{}{path}", service.running.listen);
    let post = async |body: Value| {
        let request = http_client().post(url("/v1/messages")).bearer_auth(&token).json(&body);
        let response = soon("a response", request.send()).await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (status, first) = post(json!({"message_id": "m1", "thread_id": "t", "text": "hi"})).await;
    assert_eq!(status, 202);
    let under =
        |id: &str, parent: u64| json!({"message_id": id, "thread_id": "t", "text": "hi", "parent": parent});
    let parent = first["message_offset"].as_u64().unwrap();
    let (_, second) = post(under("m2", parent)).await;
    let run = url(&format!("/v1/runs/{}", second["run_id"].as_str().unwrap()));
    let shown = soon("a run", http_client().get(run).bearer_auth(&token).send()).await.unwrap();
    assert_eq!(shown.json::<Value>().await.unwrap()["parent"], parent);
    let (status, problem) = post(under("m3", 99)).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn run_12_active_run_takes_a_message_that_steers() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ann").await;
    let sent = |id: &str, on_busy: &str| json!({"type": "send_message", "message_id": id, "thread_id": "t", "text": "hi", "on_busy": on_busy});
    client.send_frame(sent("m1", "steer")).await;
    let entries = client.until("agent_started").await;
    assert!(entries.iter().all(|frame| frame["steer"].is_null()), "the thread was free: {entries:?}");
    let run = service.launched().await;
    client.send_frame(sent("m2", "steer")).await;
    let message = client.until("user_message").await.pop().unwrap();
    assert_eq!((&message["steer"], &message["message_id"]), (&json!(true), &json!("m2")));
    let taken = soon("the messages", run.handle.take_messages()).await.unwrap();
    assert_eq!(taken.iter().map(|message| message.message_id.as_str()).collect::<Vec<_>>(), ["m2"]);
    let merged = client.until("agent_completed").await.pop().unwrap();
    assert_eq!((&merged["status"], &merged["run_id"]), (&json!("merged"), &message["run_id"]));
    assert_eq!(merged["merged_into"], json!(run.run_id.to_string()));
    let url = format!("http://{}/v1/runs/{}", service.running.listen, message["run_id"].as_str().unwrap());
    let shown = soon("a run", http_client().get(url).bearer_auth(service.token("ann")).send()).await.unwrap();
    assert_eq!(shown.json::<Value>().await.unwrap()["status"], "merged");
    client.send_frame(json!({"type": "cancel_run", "run_id": message["run_id"]})).await;
    client.expect_error("run_ended").await;
}
