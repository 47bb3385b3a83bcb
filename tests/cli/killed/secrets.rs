//! The credentials of all kinds of agents, searched for in everything that the service writes and shows (AUTH-6).

use std::path::Path;

use quintet_testkit::upstream::{Seen, Upstream};
use serde_json::{Value, json};

use super::{
    Place, calls, end, kill,
    peers::{self, Release, model_table, remote_table, server_table},
    send,
    socket::Socket,
};
use crate::command::Service;

const MODEL_KEY: &str = "sk-model-7d1f0c55e2";
const REMOTE_KEY: &str = "remote-bearer-90b1c6aa";
const SIGNING_KEY: &str = "signing-key-4ce2f8d7b3";
const SERVER_KEY: &str = "mcp-secret-c81e728d9d";
const ALL: [&str; 4] = [MODEL_KEY, REMOTE_KEY, SIGNING_KEY, SERVER_KEY];

/// Returns the processes that descend from a process.
fn descendants(pid: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end meanwhile.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        parents.push((child, parent.unwrap().parse::<u32>().unwrap()));
    }
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() {
        let of = found[at];
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(child, _)| *child));
        at += 1;
    }
    found.split_off(1)
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// The files below a folder that hold a credential.
fn files_with_secrets(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with_secrets(&path));
        } else if ALL.iter().any(|secret| has(&std::fs::read(&path).unwrap(), secret)) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Checks the process, its children, and its metrics.
async fn check(service: &Service) {
    let children = descendants(service.pid());
    assert!(children.len() >= 2, "the MCP server and its watcher: {children:?}");
    for pid in children.iter().chain([&service.pid()]) {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!ALL.iter().any(|secret| has(&command, secret)), "{}", String::from_utf8_lossy(&command));
    }
    // One child has the credential of its own, and none another.
    let environs = children.iter().map(|pid| std::fs::read(format!("/proc/{pid}/environ")).unwrap());
    let (mut own, others) = (0, [MODEL_KEY, REMOTE_KEY, SIGNING_KEY]);
    for environ in environs {
        own += usize::from(has(&environ, SERVER_KEY));
        let text = String::from_utf8_lossy(&environ);
        assert!(!others.iter().any(|secret| text.contains(secret)) && !text.contains("QUINTET_"), "{text}");
    }
    assert!(own > 0, "the MCP server has its credential");
    let metrics = service.admin("/metrics").await.unwrap().1;
    assert!(
        metrics.contains("quintet_model_requests_total") && metrics.contains("quintet_mcp_"),
        "{metrics}"
    );
    assert!(!ALL.iter().any(|secret| metrics.contains(secret)), "{metrics}");
}

async fn heads(upstream: &mut Upstream, count: usize) -> Vec<String> {
    let mut heads = Vec::new();
    while heads.len() < count {
        heads.push(upstream.request().await.0);
    }
    while let Ok(seen) = upstream.seen.try_recv() {
        if let Seen::Request(head, _) = seen {
            heads.push(head);
        }
    }
    heads
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_6_no_credential_of_an_agent_appears_anywhere_before_and_after_a_kill() {
    let place = Place::new();
    let mut model = peers::model(&Release::default()).await;
    let released = Release::default();
    released.now();
    let refused = json!({"type": "RUN_ERROR", "message": format!("no access with {REMOTE_KEY}")});
    let mut remote = peers::remote(&released, vec![json!({"type": "RUN_STARTED"}), refused], 0).await;
    let key = |name: &str, text: &str| place.write(name, &format!("{text}\n"));
    let model_key = key("model.key", MODEL_KEY);
    let (remote_key, signing_key) = (key("remote.key", REMOTE_KEY), key("signing.key", SIGNING_KEY));
    let server_key = key("server.key", SERVER_KEY);
    let config = model_table(&model, &format!("key_file = '{model_key}'"))
        + &remote_table(&remote, &format!("key_file = '{remote_key}'\nsigning_key_file = '{signing_key}'"))
        + &server_table(&place, &format!("env_files = {{ NOTES_KEY = '{server_key}' }}"));

    std::fs::write(place.path("hold"), "").unwrap();
    let service = place.start(&config);
    let token = service.login("ada").await;
    send(&service, &token, "tiny", "notes_act").await;
    let before = Socket::open(&service, &token, 0).await.until(|entries| calls(entries).len() == 2).await;
    check(&service).await;
    let mut logs = vec![kill(service)];
    std::fs::remove_file(place.path("hold")).unwrap();

    let service = place.start(&config);
    let token = service.login("ada").await;
    let is_end = |entries: &[Value]| entries.iter().any(|entry| entry["type"] == "agent_completed");
    let entries = Socket::open(&service, &token, 0).await.until(is_end).await;
    assert_eq!(end(&entries)["status"], "succeeded");
    // A remote agent that repeats its key in an error is not shown with it.
    let message = json!({"message_id": "m2", "thread_id": "t2", "agent_name": "far", "text": "go"});
    assert_eq!(service.post("/v1/messages", &token, &message).await.0, 202);
    // Nor is an MCP server that has its key in a result, and on its standard error.
    let message = json!({"message_id": "m3", "thread_id": "t3", "agent_name": "tiny", "text": "notes_look"});
    assert_eq!(service.post("/v1/messages", &token, &message).await.0, 202);
    let ended =
        |entries: &[Value]| entries.iter().filter(|entry| entry["type"] == "agent_completed").count() == 3;
    let entries = Socket::open(&service, &token, 0).await.until(ended).await;
    assert_eq!(calls(&entries).last().unwrap().results, "seen …");
    check(&service).await;
    logs.push(service.drained());

    // What the server writes to its standard error is in the log of the service, without its key.
    assert!(logs.iter().any(|log| log.contains("the key is …")), "{logs:#?}");
    let shown = [&before[..], &entries[..]].concat().iter().map(Value::to_string).collect::<String>();
    for text in logs.iter().chain([&shown]) {
        for secret in ALL {
            assert!(!text.contains(secret), "{secret} is shown: {text}");
        }
    }
    assert_eq!(files_with_secrets(&place.data()), Vec::<String>::new());
    // All of them were in use.
    for head in heads(&mut model, 3).await {
        assert!(head.contains(&format!("authorization: bearer {MODEL_KEY}")), "{head}");
    }
    for head in heads(&mut remote, 1).await {
        assert!(head.contains(&format!("authorization: bearer {REMOTE_KEY}")), "{head}");
        assert!(head.contains("quintet-signature: v1=") && !head.contains(SIGNING_KEY), "{head}");
    }
}
