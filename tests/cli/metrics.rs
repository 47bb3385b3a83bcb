//! The metrics of a real process: the series at the start, and the values after known work.

use std::collections::BTreeMap;

use serde_json::json;

use crate::command::Service;

/// Every series that is exposed, with its value.
async fn series(service: &Service) -> BTreeMap<String, f64> {
    let (status, text) = service.admin("/metrics").await.unwrap();
    assert_eq!(status, 200);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

#[tokio::test]
async fn every_counter_is_exposed_as_0_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    let series = series(&service).await;
    for name in [
        "quintet_hub_panics_total",
        "quintet_violations_total",
        "quintet_damaged_users_total",
        "quintet_append_failures_total{reason=\"conflict\"}",
        "quintet_append_failures_total{reason=\"journal\"}",
        "quintet_agent_failures_total{reason=\"panic\"}",
        "quintet_auth_failures_total{reason=\"token_expired\"}",
        "quintet_refusals_total{code=\"rate_limited\"}",
        "quintet_connection_closes_total{code=\"4429\"}",
        "quintet_rejected_total{limit=\"connections_max\"}",
        "quintet_runs_completed_total{status=\"succeeded\"}",
        "quintet_runs_completed_total{status=\"failed\"}",
        "quintet_runs_completed_total{status=\"timed_out\"}",
        "quintet_log_dropped_total",
        "quintet_log_write_errors_total",
        "quintet_entries_appended_total",
        "quintet_queued_messages",
    ] {
        assert_eq!(series.get(name), Some(&0.0), "{name}");
    }
    // No work has been done yet: all counters are at 0.
    for (name, value) in series.iter().filter(|(name, _)| name.starts_with("quintet_")) {
        assert!(!name.contains("_total") || *value == 0.0, "{name} {value}");
    }
    let build = format!("quintet_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(series.get(&build), Some(&1.0));
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
        assert!(series[name] > 0.0, "{name}");
    }
    assert!(series.contains_key("process_cpu_seconds_total"));
    service.drained();
}

#[tokio::test]
async fn values_count_the_work_done() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    let token = service.login("ada").await;
    let steps = json!([{"think": "hm"}, {"wait_ms": 60}, {"answer": "done"}]);
    let done = service.rehearse(&token, "m1", steps).await;
    service.until_run(&token, &done, "completed").await;
    let failed = service.rehearse(&token, "m2", json!([{"think": "hm"}, {"panic": "no"}])).await;
    service.until_run(&token, &failed, "completed").await;

    let hangs = service.rehearse(&token, "m3", json!([{"think": "hm"}, {"hang": true}])).await;
    service.until_run(&token, &hangs, "active").await;
    let message = json!({"message_id": "m4", "thread_id": "m3", "text": "behind it"});
    let (status, behind) = service.post("/v1/messages", &token, &message).await;
    assert_eq!(status, 202, "{behind}");
    assert_eq!(service.get("/v1/entries", "no token").await.0, 401);
    let waits = series(&service).await;
    for (name, value) in [
        ("quintet_runs_completed_total{status=\"succeeded\"}", 1.0),
        ("quintet_runs_completed_total{status=\"failed\"}", 1.0),
        ("quintet_runs_completed_total{status=\"cancelled\"}", 0.0),
        ("quintet_run_seconds_count", 2.0),
        ("quintet_run_seconds_bucket{le=\"0.05\"}", 1.0),
        ("quintet_run_seconds_bucket{le=\"14400\"}", 2.0),
        ("quintet_agent_failures_total{reason=\"panic\"}", 1.0),
        ("quintet_queued_messages", 1.0),
        ("quintet_active_runs", 1.0),
        ("quintet_auth_failures_total{reason=\"token_claims\"}", 1.0),
        ("quintet_refusals_total{code=\"unauthenticated\"}", 1.0),
        ("quintet_request_seconds_count{route=\"/v1/entries\",method=\"GET\",status=\"401\"}", 1.0),
    ] {
        assert_eq!(waits.get(name), Some(&value), "{name}");
    }
    assert!(waits["quintet_run_seconds_sum"] >= 0.06 && waits["quintet_run_seconds_sum"] < 30.0);
    let appended = service.get("/v1/entries", &token).await.1["head"].as_f64().unwrap();
    assert_eq!(waits["quintet_entries_appended_total"], appended);
    let (status, _) = service.post(&format!("/v1/runs/{hangs}/cancel"), &token, &json!({})).await;
    assert_eq!(status, 200);
    service.until_run(&token, behind["run_id"].as_str().unwrap(), "completed").await;
    let after = series(&service).await;
    assert_eq!(after["quintet_runs_completed_total{status=\"cancelled\"}"], 1.0);
    assert_eq!(after["quintet_queued_messages"], 0.0);
    service.drained();
    let size = std::fs::metadata(folder.path().join("quintet.db")).unwrap().len() as f64;
    assert!(waits["quintet_journal_bytes"] > 0.0 && waits["quintet_journal_bytes"] <= size);
}

#[tokio::test]
async fn gauges_follow_open_connections_and_active_runs() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    let token = service.login("ada").await;
    let run_id = service.rehearse(&token, "m1", json!([{"think": "hm"}, {"answer": "done"}])).await;
    service.until_run(&token, &run_id, "completed").await;
    for _ in 0..2 {
        assert_eq!(service.post("/v1/tickets", &token, &json!({})).await.0, 201);
    }
    // The wait for the run has read a stream.
    let before = series(&service).await["quintet_entries_sent_total"];
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let stream = client.get(service.url("/v1/stream")).bearer_auth(&token).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let entries = service.get("/v1/entries", &token).await.1["head"].as_f64().unwrap();
    let expected = [
        ("quintet_connections", 3.0),
        ("quintet_sockets{state=\"authenticated\"}", 3.0),
        ("quintet_live_users", 1.0),
        ("quintet_tickets_outstanding", 2.0),
        ("quintet_tickets_issued_total", 2.0),
        ("quintet_tickets_redeemed_total", 0.0),
        ("quintet_entries_sent_total", before + 3.0 * entries),
        ("quintet_draining", 0.0),
    ];
    values_become(&service, &expected).await;
    streams.truncate(1);
    values_become(&service, &[("quintet_connections", 1.0), ("quintet_live_users", 1.0)]).await;
    drop(streams);
    let gone = [
        ("quintet_connections", 0.0),
        ("quintet_sockets{state=\"authenticated\"}", 0.0),
        ("quintet_live_users", 0.0),
    ];
    values_become(&service, &gone).await;
    service.drained();
}

/// Requests the metrics until these series have these values.
async fn values_become(service: &Service, expected: &[(&str, f64)]) {
    let mut found = BTreeMap::new();
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
    for _ in 0..500 {
        looks.tick().await;
        found = series(service).await;
        if expected.iter().all(|(name, value)| found.get(*name) == Some(value)) {
            return;
        }
    }
    for (name, value) in expected {
        assert_eq!(found.get(*name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn refused_requests_are_logged_with_reason_and_peer_at_a_bounded_rate() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &["--set", "refusal_lines_per_minute_max=3"]);
    let token = service.login("ada").await;
    for _ in 0..20 {
        assert_eq!(service.get("/v1/entries", &format!("{token}x")).await.0, 401);
    }
    assert_eq!(service.get("/v1/ws", &token).await.0, 426);
    for _ in 0..2 {
        let request = reqwest::Client::new().get(service.url("/v1/entries"));
        let refused = request.header("origin", "https://evil.example").send().await.unwrap();
        assert_eq!(refused.status(), 403);
    }
    let large = json!({ "message_id": "m", "thread_id": "t", "text": "x".repeat(1_000_000) });
    assert_eq!(service.post("/v1/messages", &token, &large).await.0, 413);
    let log = service.drained();
    let refusals: Vec<serde_json::Value> = log
        .lines()
        .filter(|line| line.contains("request refused"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |reason: &str| refusals.iter().filter(|line| line["reason"] == reason).collect::<Vec<_>>();
    assert_eq!(of("token_signature").len(), 3, "{log}");
    assert_eq!((of("origin").len(), of("malformed_frame").len(), of("too_large").len()), (1, 1, 1), "{log}");
    assert_eq!(of("origin")[0]["origin"], "https://evil.example", "once");
    assert_eq!(of("origin")[0]["allowed_by"], "--allow-origin https://evil.example");
    for refusal in &refusals {
        assert_eq!((&refusal["peer"], &refusal["level"]), (&json!("127.0.0.1"), &json!("INFO")), "{refusal}");
    }
}
