//! The admin listener: liveness, readiness, metrics.

use std::sync::Arc;

use quintet::{
    gateway::limits::GatewayLimits,
    journal::memory::MemoryJournal,
    kernel::entry::CallOwner,
    ops::{
        config::Settings,
        limits::{DiskLimits, RetentionLimits},
        metrics,
    },
    user::HubLimits,
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    harness::{TestService, http_client, open_call, parts, settings, soon, think, trace_file, until, whole},
    http::HttpReply,
};

async fn admin(service: &TestService, path: &str) -> HttpReply {
    let url = format!("http://{}{path}", service.running.admin_listen.unwrap());
    service.reply(http_client().get(url)).await
}

#[tokio::test]
async fn service_is_ready_while_its_journal_is_available() {
    let service = TestService::start().await;
    let says = async |path: &str| {
        let answer = admin(&service, path).await;
        (answer.status, answer.text)
    };
    assert_eq!(says("/livez").await, (200, "ok\n".into()));
    assert_eq!(says("/readyz").await, (200, "ok\n".into()));
    service.journal.set_down(true);
    assert_eq!(says("/readyz").await, (503, "the journal is not available\n".into()));
    assert_eq!(says("/livez").await.0, 200, "a restart would not repair the journal");
    service.journal.set_down(false);
    assert_eq!(says("/readyz").await, (200, "ok\n".into()));
}

/// The process is live during a resume of open runs of any length.
#[tokio::test]
async fn run_6_service_that_resumes_open_runs_is_live_and_not_ready() {
    let mut before = TestService::start().await;
    let (mut client, _) = before.open("ada").await;
    client.message("m", "hello").await;
    let run = before.launched().await;
    think(&run.handle, "hm").await;
    open_call(&run.handle, "c", CallOwner::Agent).await;
    let journal = before.journal.clone();
    // As in a process that dies, its agent makes no further step.
    std::mem::forget(run);
    drop(before);

    journal.pause_appends();
    let any_port = || TcpListener::bind("127.0.0.1:0");
    let (listener, admin) = (any_port().await.unwrap(), any_port().await.unwrap());
    let admin_address = admin.local_addr().unwrap();
    let (parts, mut stage) = parts(journal.clone());
    let settings = Settings::default();
    let starts = whole(&settings, parts).start_on(listener, admin);
    let says = async |path: &str| {
        let answer = http_client().get(format!("http://{admin_address}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let meanwhile = async {
        journal.appends_held(1).await;
        assert_eq!(says("/livez").await, (200, "ok\n".into()));
        assert_eq!(says("/readyz").await, (503, "resuming open runs\n".into()));
        journal.release_appends();
    };
    let (running, ()) = soon("the start", async { tokio::join!(starts, meanwhile) }).await;
    let _running = running.unwrap();
    assert_eq!(says("/readyz").await, (200, "ok\n".into()));
    let taken_up = soon("the run", stage.recv()).await.unwrap();
    assert_eq!(taken_up.text, "hello");
}

#[tokio::test]
async fn del_3_retention_trims_while_the_service_runs() {
    let retention = RetentionLimits {
        retention_user_entries_max: 5,
        retention_interval_ms: 100,
        ..RetentionLimits::DEFAULT
    };
    let settings = Settings { retention, trace_file: trace_file(""), ..settings() };
    let journal = Arc::new(MemoryJournal::default());
    let mut service = TestService::as_set(&settings, journal.clone(), journal).await;
    let (mut client, _) = service.open("ada").await;
    for message in ["m1", "m2"] {
        client.message(message, "hello").await;
        service.answer("there").await;
        client.until("agent_completed").await;
    }
    let trimmed = "quintet_trimmed_entries_total 5";
    until(|| metrics::recorder().unwrap().render().contains(trimmed)).await;
    let page = service.get("ada", "/v1/entries").await.ok(200);
    assert_eq!(page["entries"][0]["offset"], 6, "{page}");
    let mut late = service.known("ada").await;
    let ready = late.hello(json!({"after": 0})).await;
    assert_eq!((&ready["gap"]["from"], &ready["gap"]["to"]), (&json!(1), &json!(5)), "{ready}");
    // The live connection has all of it, and continues.
    client.alive().await;
}

/// Before the disk is full, new messages are refused; open runs end, and the service recovers by itself.
#[tokio::test]
async fn iso_6_nearly_full_disk_is_reported_before_it_is_full() {
    let disk = DiskLimits { disk_free_bytes_min: 1_000, disk_check_interval_ms: 10 };
    let settings = Settings { disk, trace_file: trace_file(""), ..settings() };
    let journal = Arc::new(MemoryJournal::default());
    journal.set_free_bytes(Some(1_000));
    let mut service = TestService::as_set(&settings, journal.clone(), journal.clone()).await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "hello").await;
    assert_eq!(admin(&service, "/readyz").await.status, 200);

    journal.set_free_bytes(Some(999));
    let ready = async |status| {
        soon("readiness", async { while admin(&service, "/readyz").await.status != status {} }).await;
        admin(&service, "/readyz").await.text
    };
    let why = ready(503).await;
    assert_eq!(why, "the disk is nearly full\nlimit reached: disk_free_bytes_min (service)\n");
    assert!(admin(&service, "/metrics").await.text.contains("quintet_disk_free_bytes 999"));
    client
        .send_frame(json!({"type": "send_message", "message_id": "m2", "thread_id": "u", "text": "more"}))
        .await;
    let error = client.until("error").await.pop().unwrap();
    assert_eq!((&error["code"], &error["retry_after_ms"]), (&json!("unavailable"), &json!(5_000)), "{error}");
    let again = json!({"message_id": "m2", "thread_id": "u", "text": "more"});
    let url = format!("http://{}/v1/messages", service.running.listen);
    let asked = http_client().post(url).bearer_auth(service.token("ada")).json(&again);
    assert_eq!(service.reply(asked).await.status, 503);

    journal.set_free_bytes(Some(2_000));
    assert_eq!(ready(200).await, "ok\n");
    service.answer("there").await;
    client.until("agent_completed").await;
    client.message("m2", "more").await;
}

#[tokio::test]
async fn iso_6_service_at_its_connection_limit_is_not_ready() {
    let service = TestService::with(GatewayLimits { connections_max: 1, ..GatewayLimits::DEFAULT }).await;
    let (_only, _) = service.open("ada").await;
    assert_eq!(admin(&service, "/readyz").await.text, "ok\n");
    let mut turned = service.known("bob").await;
    turned.send_frame(json!({"type": "hello"})).await;
    assert_eq!(turned.closed().await, 1013);
    let ready = admin(&service, "/readyz").await;
    let text = "full: connections_max is reached\nlimit reached: connections_max (service)\n";
    assert_eq!((ready.status, ready.text.as_str()), (503, text));
}

/// A user who has spent the day's bytes gets the time of the next room, on both transports.
#[tokio::test]
async fn iso_6_message_over_the_bytes_per_day_is_refused_with_a_retry_time() {
    let hub = HubLimits { user_bytes_per_day_max: 10_000, ..HubLimits::DEFAULT };
    let settings = Settings { hub, trace_file: trace_file(""), ..settings() };
    let journal = Arc::new(MemoryJournal::default());
    let mut service = TestService::as_set(&settings, journal.clone(), journal).await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", &"x".repeat(9_000)).await;
    service.answer("there").await;
    client.until("agent_completed").await;
    client
        .send_frame(json!({"type": "send_message", "message_id": "m2", "thread_id": "u", "text": "more"}))
        .await;
    let error = client.expect_error("limit_reached").await;
    assert!(error["retry_after_ms"].as_u64().unwrap() > 1_000_000, "{error}");
    let ready = admin(&service, "/readyz").await;
    assert_eq!(ready.text, "ok\nlimit reached: user_bytes_per_day_max (user)\n", "no other user is affected");
    let url = format!("http://{}/v1/messages", service.running.listen);
    let again = json!({"message_id": "m2", "thread_id": "u", "text": "more"});
    let asked = http_client().post(url).bearer_auth(service.token("ada")).json(&again);
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let seconds: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(seconds > 1_000, "{seconds}");
}

#[tokio::test]
async fn conn_6_draining_service_is_not_ready_and_ends_in_time() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    client.message("m", "hello").await;
    client.until("accepted").await;
    let run = service.launched().await;
    let drain = service.running.drain();
    let ends = async {
        client.until("draining").await;
        let ready = admin(&service, "/readyz").await;
        assert_eq!((ready.status, ready.text.as_str()), (503, "draining\n"));
        assert_eq!(admin(&service, "/livez").await.status, 200);
        crate::harness::think(&run.handle, "hm").await;
        crate::harness::succeed(&run.handle).await;
        client.until("agent_completed").await;
        assert_eq!(client.closed().await, 1012);
        client.ws_end().await;
    };
    let (drained, ()) = soon("the drain", async { tokio::join!(drain, ends) }).await;
    assert!(drained.runs_quiesced && drained.connections_closed, "{drained:?}");
    let refused = tokio::net::TcpStream::connect(service.running.listen).await;
    assert!(refused.is_err(), "the listener is closed");
}

#[tokio::test]
async fn metrics_are_rendered_for_prometheus() {
    let service = TestService::start().await;
    let counted = async |series: &str| -> f64 {
        let text = admin(&service, "/metrics").await.text;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or(0.0)
    };
    // Other tests count in the same process at the same time: these values are lower bounds. `tests/cli/metrics.rs`
    // has exact ones.
    let grow = [
        "quintet_request_seconds_count{route=\"/v1/entries\",method=\"GET\",status=\"200\"}",
        "quintet_request_seconds_count{route=\"/v1/entries\",method=\"GET\",status=\"401\"}",
        "quintet_refusals_total{code=\"unauthenticated\"}",
        "quintet_auth_failures_total{reason=\"missing\"}",
    ];
    let mut before = Vec::new();
    for series in grow {
        before.push(counted(series).await);
    }
    service.get("ada", "/v1/entries").await.ok(200);
    service.reply(service.ask("GET", "/v1/entries")).await.problem(401, "unauthenticated");
    let answer = admin(&service, "/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    for line in [
        "# TYPE quintet_request_seconds histogram",
        "quintet_request_seconds_bucket{route=\"/v1/entries\",method=\"GET\",status=\"200\",le=\"",
        "quintet_refusals_total{code=\"unauthenticated\"}",
        "quintet_auth_failures_total{reason=\"missing\"}",
        "# HELP quintet_live_users ",
    ] {
        assert!(answer.text.contains(line), "{line} is not in {}", answer.text);
    }
    for (series, before) in grow.into_iter().zip(before) {
        let after = counted(series).await;
        assert!(after >= before + 1.0, "{series}: {before}, then {after}");
    }
}

#[tokio::test]
async fn public_routes_are_not_on_the_admin_listener() {
    let service = TestService::start().await;
    for path in ["/", "/v1/entries", "/v1/ws", "/dev/login"] {
        assert_eq!(admin(&service, path).await.status, 404, "{path}");
    }
}
