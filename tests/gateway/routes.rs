//! Each route with valid requests, and with requests for things of other users.

use quintet::{gateway::limits::GatewayLimits, kernel::entry::CallOwner};
use serde_json::{Value, json};

use crate::harness::{TestService, close_call, open_call, soon, succeed, think};

fn message(message_id: &str, thread_id: &str) -> Value {
    json!({"message_id": message_id, "thread_id": thread_id, "text": "hello"})
}

fn offsets(page: &Value) -> Vec<u64> {
    page["entries"].as_array().unwrap().iter().map(|entry| entry["offset"].as_u64().unwrap()).collect()
}

async fn send(service: &TestService, user: &str, message_id: &str, thread_id: &str) -> String {
    let accepted = service.post(user, "/v1/messages", &message(message_id, thread_id)).await.ok(202);
    accepted["run_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn ticket_states_its_lifetime_and_no_request_extends_it() {
    let service = TestService::start().await;
    let default = service.post("ada", "/v1/tickets", &json!({})).await.ok(201);
    assert_eq!(default["ticket"].as_str().unwrap().len(), 43, "256 bits: {default}");
    let lives = |ticket: &Value| ticket["expires_in_ms"].as_u64().unwrap();
    assert!((29_000..=30_000).contains(&lives(&default)), "{default}");
    let wished = service.post("ada", "/v1/tickets", &json!({"ttl_ms": 300_000})).await.ok(201);
    assert!((299_000..=300_000).contains(&lives(&wished)), "{wished}");
    for ttl_ms in [json!(0), json!(300_001), json!(-1), json!("30"), json!(1.5)] {
        let refused = service.post("ada", "/v1/tickets", &json!({"ttl_ms": ttl_ms})).await;
        refused.problem(400, "invalid_field");
    }
    // AUTH-2: the ticket does not outlive the token either.
    let token = service.token_until("ada", 5_000);
    let short = service.reply(service.ask("POST", "/v1/tickets").bearer_auth(token)).await.ok(201);
    assert!(lives(&short) <= 6_000, "{short}");
}

#[tokio::test]
async fn tickets_beyond_a_users_limit_are_refused_without_affecting_other_users() {
    let service = TestService::with(GatewayLimits { user_tickets_max: 2, ..GatewayLimits::DEFAULT }).await;
    for _ in 0..2 {
        service.post("ada", "/v1/tickets", &json!({})).await.ok(201);
    }
    let refused = service.post("ada", "/v1/tickets", &json!({})).await;
    let problem = refused.problem(429, "limit_reached");
    assert!(problem["retry_after_ms"].as_u64().unwrap() <= 30_000, "{problem}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() <= 30);
    service.post("bob", "/v1/tickets", &json!({})).await.ok(201);
}

#[tokio::test]
async fn del_6_message_sent_ten_times_at_once_is_one_message() {
    let mut service = TestService::start().await;
    let message = message("m", "t");
    let sent =
        futures_util::future::join_all((0..10).map(|_| service.post("ada", "/v1/messages", &message))).await;
    let answers: Vec<Value> = sent.iter().map(|answer| answer.ok(202)).collect();
    assert!(
        answers
            .iter()
            .all(|answer| answer["run_id"] == answers[0]["run_id"] && answer["message_offset"] == 1)
    );
    assert_eq!(answers.iter().filter(|answer| answer["duplicate"] == false).count(), 1);
    service.answer("hi").await;
    let mut other = message.clone();
    other["text"] = json!("another text");
    service.post("ada", "/v1/messages", &other).await.problem(409, "message_id_reused");
    // ISO-2: the same id of another user is another message.
    let other = service.post("bob", "/v1/messages", &message).await.ok(202);
    assert_eq!((&other["duplicate"], &other["message_offset"]), (&json!(false), &json!(1)));
    assert_ne!(other["run_id"], answers[0]["run_id"]);
}

#[tokio::test]
async fn busy_thread_follows_the_policy_of_the_message() {
    let mut service = TestService::start().await;
    send(&service, "ada", "m1", "t").await;
    let _active = service.launched().await;
    let mut reject = message("m2", "t");
    reject["on_busy"] = json!("reject");
    service.post("ada", "/v1/messages", &reject).await.problem(409, "thread_busy");
    let waiting = send(&service, "ada", "m3", "t").await;
    let run = service.get("ada", &format!("/v1/runs/{waiting}")).await.ok(200);
    assert_eq!((&run["state"], &run["started_offset"]), (&json!("waiting"), &Value::Null));
    let mut unknown = message("m4", "t2");
    unknown["agent_name"] = json!("nobody");
    service.post("ada", "/v1/messages", &unknown).await.problem(400, "unknown_agent");
}

#[tokio::test]
async fn pages_of_entries_together_are_the_log_exactly() {
    let mut service = TestService::start().await;
    for n in 0..3 {
        send(&service, "ada", &format!("m{n}"), "t").await;
        service.answer("hi").await;
    }
    // `agent_completed` of the last run is in the log once it is durable: the head shows it.
    let whole = service.get("ada", "/v1/entries").await.ok(200);
    let head = whole["head"].as_u64().unwrap();
    assert_eq!(offsets(&whole), (1..=head).collect::<Vec<_>>());
    assert_eq!((&whole["gap"], &whole["next_after"]), (&Value::Null, &Value::Null));
    for limit in [1, 2, 7, 1000] {
        let (mut after, mut seen) = (0, Vec::new());
        loop {
            let page = service.get("ada", &format!("/v1/entries?after={after}&limit={limit}")).await.ok(200);
            assert!(offsets(&page).len() <= limit);
            seen.extend(offsets(&page));
            match page["next_after"].as_u64() {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(seen, offsets(&whole), "limit {limit}");
    }
    let past_the_end = service.get("ada", &format!("/v1/entries?after={}", head + 5)).await.ok(200);
    assert_eq!((offsets(&past_the_end).len(), &past_the_end["head"]), (0, &json!(head)));
    for query in ["limit=0", "limit=1001", "limit=-1", "limit=x", "after=-1", "after=x", "after=1.5"] {
        service.get("ada", &format!("/v1/entries?{query}")).await.problem(400, "invalid_field");
    }
    // ISO-1: another user's log is another log.
    let other = service.get("bob", "/v1/entries").await.ok(200);
    assert_eq!((offsets(&other).len(), &other["head"]), (0, &json!(0)));
}

#[tokio::test]
async fn ids_of_visible_ascii_are_accepted_everywhere_and_percent_encoded_in_a_path() {
    let mut service = TestService::start().await;
    for (n, thread_id) in ["user:42/chat", "a.b?c#d", "call_abc|fc_123", "100%", r#""\"#].iter().enumerate() {
        let message_id = format!("msg_{n}.2/{thread_id}");
        send(&service, "ada", &message_id, thread_id).await;
        service.answer("hi").await;
        let encoded: String = thread_id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let page = service.get("ada", &format!("/v1/threads/{encoded}/entries")).await.ok(200);
        let first = &page["entries"][0];
        assert_eq!((&first["thread_id"], &first["message_id"]), (&json!(thread_id), &json!(message_id)));
    }
}

#[tokio::test]
async fn threads_are_listed_with_the_latest_first_and_each_has_its_own_entries() {
    let mut service = TestService::start().await;
    for (message_id, thread_id) in [("m1", "t1"), ("m2", "t2"), ("m3", "t3"), ("m4", "t1")] {
        send(&service, "ada", message_id, thread_id).await;
        service.answer("hi").await;
    }
    let names = |page: &Value| -> Vec<String> {
        let threads = page["threads"].as_array().unwrap();
        threads.iter().map(|thread| thread["thread_id"].as_str().unwrap().to_owned()).collect()
    };
    let all = service.get("ada", "/v1/threads").await.ok(200);
    assert_eq!(names(&all), ["t1", "t3", "t2"]);
    assert_eq!((&all["threads"][0]["messages"], &all["next_before"]), (&json!(2), &Value::Null));
    let (mut seen, mut query) = (Vec::new(), "limit=2".to_owned());
    loop {
        let page = service.get("ada", &format!("/v1/threads?{query}")).await.ok(200);
        seen.extend(names(&page));
        match page["next_before"].as_u64() {
            Some(before) => query = format!("limit=2&before={before}"),
            None => break,
        }
    }
    assert_eq!(seen, ["t1", "t3", "t2"]);
    for query in ["limit=0", "limit=201", "before=x"] {
        service.get("ada", &format!("/v1/threads?{query}")).await.problem(400, "invalid_field");
    }

    let thread = service.get("ada", "/v1/threads/t1/entries").await.ok(200);
    assert!(thread["entries"].as_array().unwrap().iter().all(|entry| entry["thread_id"] == "t1"));
    let (mut after, mut paged) = (0, Vec::new());
    loop {
        let page = service.get("ada", &format!("/v1/threads/t1/entries?after={after}&limit=3")).await.ok(200);
        paged.extend(offsets(&page));
        match page["next_after"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(paged, offsets(&thread));
    let empty = service.get("ada", "/v1/threads/t2/entries?after=1000").await.ok(200);
    assert_eq!(offsets(&empty).len(), 0, "past the end of an existing thread");
}

#[tokio::test]
async fn iso_3_foreign_runs_and_threads_look_exactly_like_missing_ones() {
    let mut service = TestService::start().await;
    let run_id = send(&service, "ada", "m1", "secret").await;
    let run = service.launched().await;
    think(&run.handle, "hm").await;
    open_call(&run.handle, "c1", CallOwner::Client).await;
    let nothing = "018f3c2e-7b1a-7c3d-8e4f-0123456789ab";
    let answer = json!({"status": "ok"});
    let gets = ["/v1/runs/{}", "/v1/threads/{}/entries"];
    for path in gets {
        let (theirs, none) =
            if path.contains("runs") { (run_id.as_str(), nothing) } else { ("secret", "nothing") };
        let foreign = service.get("bob", &path.replace("{}", theirs)).await;
        let missing = service.get("bob", &path.replace("{}", none)).await;
        foreign.problem(404, "not_found");
        assert_eq!(foreign.text, missing.text, "{path}");
        for impossible in ["x y", "%00", "%FF", "..%2f..", &"x".repeat(129)] {
            let wrong = service.get("bob", &path.replace("{}", impossible)).await;
            wrong.problem(404, "not_found");
            assert_eq!(wrong.text, missing.text, "{path} {impossible}");
        }
    }
    for path in ["/v1/runs/{}/cancel", "/v1/runs/{}/calls/c1"] {
        let foreign = service.post("bob", &path.replace("{}", &run_id), &answer).await;
        let missing = service.post("bob", &path.replace("{}", nothing), &answer).await;
        foreign.problem(404, "not_found");
        assert_eq!(foreign.text, missing.text, "{path}");
    }
    // The run is unchanged.
    let run = service.get("ada", &format!("/v1/runs/{run_id}")).await.ok(200);
    assert_eq!((&run["state"], &run["status"]), (&json!("active"), &Value::Null));
    service.post("ada", &format!("/v1/runs/{run_id}/calls/c1"), &answer).await.ok(200);
}

#[tokio::test]
async fn run_11_call_is_answered_once_and_by_its_owner_only() {
    let mut service = TestService::start().await;
    let run_id = send(&service, "ada", "m1", "t").await;
    let run = service.launched().await;
    think(&run.handle, "hm").await;
    open_call(&run.handle, "mine", CallOwner::Client).await;
    open_call(&run.handle, "theirs", CallOwner::Agent).await;
    let path = |call_id: &str| format!("/v1/runs/{run_id}/calls/{call_id}");
    let good = json!({"status": "ok", "results": {"approved": true}});
    service.post("ada", &path("theirs"), &good).await.problem(404, "not_found");
    service.post("ada", &path("none"), &good).await.problem(404, "not_found");
    for bad in
        [json!({}), json!({"status": "cancelled"}), json!({"status": 7}), json!({"status": "ok", "error": 7})]
    {
        service.post("ada", &path("mine"), &bad).await.problem(400, "invalid_field");
    }
    let first = service.post("ada", &path("mine"), &good).await.ok(200);
    assert_eq!((&first["run_id"], &first["call_id"]), (&json!(run_id), &json!("mine")));
    service.post("ada", &path("mine"), &json!({"status": "error"})).await.problem(409, "call_closed");
    close_call(&run.handle, "theirs").await;
    succeed(&run.handle).await;
    service.post("ada", &path("mine"), &good).await.problem(409, "call_closed");
    let log = service.get("ada", "/v1/entries").await.ok(200);
    let closes = log["entries"].as_array().unwrap().iter().filter(|entry| entry["call_id"] == "mine");
    let closes: Vec<_> = closes.filter(|entry| entry["type"] == "tool_completed").collect();
    assert_eq!(closes.len(), 1);
    assert_eq!(closes[0]["results"], json!({"approved": true}));
}

#[tokio::test]
async fn run_is_cancelled_once_and_shows_its_end() {
    let mut service = TestService::start().await;
    let run_id = send(&service, "ada", "m1", "t").await;
    let run = service.launched().await;
    let path = format!("/v1/runs/{run_id}/cancel");
    service.post("ada", &path, &json!({})).await.ok(200);
    soon("the end of the run", run.handle.ended()).await;
    service.post("ada", &path, &json!({})).await.problem(409, "run_ended");
    let shown = service.get("ada", &format!("/v1/runs/{run_id}")).await.ok(200);
    assert_eq!((&shown["state"], &shown["status"]), (&json!("completed"), &json!("cancelled")));
    assert_eq!((&shown["accepted_offset"], &shown["completed_offset"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn login_accepts_every_valid_user_id() {
    let service = TestService::start().await;
    let login = async |body: Value| service.reply(service.ask("POST", "/dev/login").json(&body)).await;
    let given = login(json!({"user_id": "größe / 名前"})).await.ok(200);
    let token = given["token"].as_str().unwrap();
    let log = service.reply(service.ask("GET", "/v1/entries").bearer_auth(token)).await.ok(200);
    assert_eq!((&given["user_id"], &log["head"]), (&json!("größe / 名前"), &json!(0)));
    for bad in [json!({}), json!({"user_id": ""}), json!({"user_id": "x".repeat(257)}), json!({"user_id": 7})]
    {
        login(bad).await.problem(400, "invalid_field");
    }
}
