//! Calls of an MCP server that the user approves first, by a pattern of the configuration (RUN-11).

use serde_json::json;

use crate::killed::{
    Place, calls, end, is_open, lines,
    peers::{self, Release, model_table, server_table},
    send,
    socket::Socket,
};

#[tokio::test(flavor = "multi_thread")]
async fn run_11_a_call_that_matches_a_pattern_is_made_after_consent_alone() {
    for (tool, answer, made, status, said) in [
        ("notes_act", Some(json!({"status": "ok"})), 1, "ok", "seen"),
        ("notes_act", Some(json!({"status": "declined", "error": "not today"})), 0, "declined", "not today"),
        // The pattern is not for this tool.
        ("notes_look", None, 1, "ok", "seen"),
    ] {
        let place = Place::new();
        let model = peers::model(&Release::default()).await;
        let config = model_table(&model, "approve = ['notes/a*']") + &server_table(&place, "");
        let service = place.start(&config);
        let token = service.login("ada").await;
        let run_id = send(&service, &token, "tiny", tool).await;
        if let Some(answer) = &answer {
            let entries = Socket::open(&service, &token, 0).await.until(is_open("approve")).await;
            let asked = entries.iter().find(|entry| entry["tool_name"] == "approve").unwrap();
            assert_eq!(
                (&asked["by"], &asked["parameters"]["tool_name"]),
                (&json!("client"), &json!("notes/act"))
            );
            assert_eq!(lines(&place.path("calls")), 0, "nothing is done before the answer");
            let path = format!("/v1/runs/{run_id}/calls/{}", asked["call_id"].as_str().unwrap());
            assert_eq!(service.post(&path, &token, answer).await.0, 200);
        }
        let is_end =
            |entries: &[serde_json::Value]| entries.iter().any(|entry| entry["type"] == "agent_completed");
        let entries = Socket::open(&service, &token, 0).await.until(is_end).await;
        assert_eq!(lines(&place.path("calls")), made, "{tool} {answer:?}");
        let asked = calls(&entries).into_iter().filter(|call| call.tool == "approve").map(|call| call.status);
        assert_eq!(asked.collect::<Vec<_>>(), answer.iter().map(|_| status.to_owned()).collect::<Vec<_>>());
        let text = end(&entries)["final_response"].as_str().unwrap().to_owned();
        assert!(text.contains(said), "the model reads the result or the refusal: {text}");
        service.drained();
    }
}
