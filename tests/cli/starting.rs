//! From the command to the ready line.

use std::net::TcpListener;

use serde_json::json;

use crate::command::{Service, on_free_ports, outcome, quintet};

#[tokio::test]
async fn ready_line_has_the_bound_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    for name in ["listen", "admin_listen"] {
        let address: std::net::SocketAddr = service.ready[name].as_str().unwrap().parse().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0, "{}", service.ready);
    }
    assert_eq!(service.admin("/livez").await, Some((200, "ok\n".into())));
    assert_eq!(service.admin("/readyz").await, Some((200, "ok\n".into())));
    let (status, page) = service.get("/", "").await;
    assert!(status == 200 && page.as_str().unwrap().contains("<!doctype html>"));
    let log = service.drained();
    assert!(log.contains("Open http://127.0.0.1:"), "{log}");
}

#[tokio::test]
async fn message_runs_from_login_to_the_last_event() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    let token = service.login("ada").await;
    let message = json!({"message_id": "m1", "thread_id": "t1", "text": "What is 2 + 3 * 4?"});
    let (status, accepted) = service.post("/v1/messages", &token, &message).await;
    assert_eq!((status, &accepted["message_offset"]), (202, &json!(1)));
    service.until_run(&token, accepted["run_id"].as_str().unwrap(), "completed").await;
    let (_, page) = service.get("/v1/entries", &token).await;
    let kinds: Vec<_> =
        page["entries"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    for kind in ["user_message", "agent_started", "agent_thinking", "tool_executing", "tool_completed"] {
        assert!(kinds.contains(&kind), "{kind} is not in {kinds:?}");
    }
    assert_eq!(kinds.last(), Some(&"agent_completed"));
    let (status, metrics) = service.admin("/metrics").await.unwrap();
    assert_eq!(status, 200);
    let appended = format!("quintet_entries_appended_total {}", kinds.len());
    assert!(metrics.contains(&appended), "{appended}: {metrics}");
    service.drained();
}

#[tokio::test]
async fn second_process_on_a_folder_is_refused_and_the_first_continues() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    let second = outcome(on_free_ports("dev", folder.path()));
    assert_eq!((second.code, second.stdout.as_str()), (1, ""), "{}", second.stderr);
    assert!(second.stderr.contains(folder.path().to_str().unwrap()), "{}", second.stderr);
    assert_eq!(service.admin("/readyz").await, Some((200, "ok\n".into())));
    service.drained();
    Service::dev(folder.path(), &[]).drained();
}

#[test]
fn address_in_use_is_an_error_that_names_the_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    for (taken, free, name) in
        [("--listen", "--admin-listen", "listen"), ("--admin-listen", "--listen", "admin_listen")]
    {
        let mut command = quintet(["dev", taken, &address, free, "127.0.0.1:0", "--data-dir"]);
        command.arg(folder.path());
        let refused = outcome(command);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("{name}: {address}")), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn log_is_json_without_texts_and_credentials_of_users() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &["--log", "debug"]);
    let token = service.login("ada").await;
    let message = json!({"message_id": "m1", "thread_id": "t1", "text": "my secret is xyzzy-42"});
    let (_, accepted) = service.post("/v1/messages", &token, &message).await;
    service.until_run(&token, accepted["run_id"].as_str().unwrap(), "completed").await;
    let (_, issued) = service.post("/v1/tickets", &token, &json!({})).await;
    let ticket = issued["ticket"].as_str().unwrap().to_owned();
    let refused = service.get(&format!("/v1/ws?ticket={ticket}"), "").await;
    assert_ne!(refused.0, 200);
    let (status, _) = service.get("/v1/entries", &format!("{token}x")).await;
    assert_eq!(status, 401);
    let log = service.drained();
    for secret in ["xyzzy-42", &ticket, token.rsplit('.').next().unwrap()] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
    let events = log.lines().filter(|line| line.starts_with('{'));
    let events: Vec<serde_json::Value> = events.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["message"] == "draining"), "{log}");
    assert!(events.iter().all(|event| event["level"].is_string() && event["timestamp"].is_string()));
}
