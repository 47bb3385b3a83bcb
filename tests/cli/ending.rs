//! Signals, drains, and the state that the next process finds.

use rustix::process::Signal;
use serde_json::json;

use crate::command::{Service, soon};

#[tokio::test]
async fn conn_6_signal_lets_runs_end_and_loses_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::dev(folder.path(), &[]);
        let token = service.login("ada").await;
        let steps = json!([{"think": "hm"}, {"wait_ms": 500}, {"answer": "done"}]);
        let run_id = service.rehearse(&token, "m1", steps).await;
        service.until_run(&token, &run_id, "active").await;
        service.signal(signal);
        let (status, rest, log) = service.ended();
        assert_eq!((status.code(), rest.as_str()), (Some(0), ""), "{log}");
        assert!(log.contains(r#""runs_quiesced":true"#), "{log}");

        let service = Service::dev(folder.path(), &[]);
        let token = service.login("ada").await;
        let (_, run) = service.get(&format!("/v1/runs/{run_id}"), &token).await;
        assert_eq!((&run["state"], &run["status"]), (&json!("completed"), &json!("succeeded")));
        service.drained();
    }
}

#[tokio::test]
async fn conn_6_first_signal_refuses_new_work_and_second_signal_stops_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    let token = service.login("ada").await;
    let hangs = service.rehearse(&token, "m1", json!([{"think": "hm"}, {"hang": true}])).await;
    service.until_run(&token, &hangs, "active").await;
    service.signal(Signal::TERM);
    soon(async { while service.admin("/readyz").await != Some((503, "draining\n".into())) {} }).await;
    assert_eq!(service.admin("/livez").await, Some((200, "ok\n".into())));
    let (_, metrics) = service.admin("/metrics").await.unwrap();
    assert!(metrics.contains("quintet_draining 1") && metrics.contains("quintet_active_runs 1"), "{metrics}");

    let message = json!({"message_id": "m2", "thread_id": "t2", "text": "hello"});
    let (status, problem) = service.post("/v1/messages", &token, &message).await;
    assert_eq!((status, &problem["code"]), (503, &json!("draining")));
    assert!(problem["retry_after_ms"].as_u64().is_some(), "{problem}");
    let (status, again) = service
        .post("/v1/messages", &token, &json!({"message_id": "m1", "thread_id": "m1", "text": "x"}))
        .await;
    assert_eq!(
        (status, &again["code"]),
        (409, &json!("message_id_reused")),
        "DEL-6: the id is known, also in a drain"
    );
    let (status, _) = service.get("/v1/entries", &token).await;
    assert_eq!(status, 200, "the log can be read");

    service.signal(Signal::TERM);
    let (status, rest, log) = service.ended();
    assert_eq!((status.code(), rest.as_str()), (Some(1), ""), "{log}");
}

#[tokio::test]
async fn conn_6_run_without_an_end_delays_a_drain_up_to_its_limit_only() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &["--set", "drain_timeout_ms=50"]);
    let token = service.login("ada").await;
    let run_id = service.rehearse(&token, "m1", json!([{"think": "hm"}, {"hang": true}])).await;
    service.until_run(&token, &run_id, "active").await;
    let log = service.drained();
    assert!(log.contains(r#""runs_quiesced":false"#), "{log}");

    // RUN-6: the next process resumes it, and the user can end it.
    let service = Service::dev(folder.path(), &[]);
    let token = service.login("ada").await;
    let (status, _) = service.post(&format!("/v1/runs/{run_id}/cancel"), &token, &json!({})).await;
    assert_eq!(status, 200);
    let run = service.until_run(&token, &run_id, "completed").await;
    assert_eq!(run["status"], "cancelled");
    service.drained();
}

#[tokio::test]
async fn token_of_a_dev_process_is_invalid_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    let token = service.login("ada").await;
    assert_eq!(service.get("/v1/entries", &token).await.0, 200);
    service.drained();
    let service = Service::dev(folder.path(), &[]);
    assert_eq!(service.get("/v1/entries", &token).await.0, 401);
    service.drained();
}
