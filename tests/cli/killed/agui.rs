//! A remote agent over AG-UI.

use quintet_testkit::upstream::{Seen, Upstream};
use serde_json::{Value, json};

use super::{
    Place, calls, cut, end, has_said, is_open,
    peers::{self, Release, remote_table},
    resets, said, statuses,
};

fn events() -> Vec<Value> {
    let text = |id: &str, delta: &str| {
        [
            json!({"type": "TEXT_MESSAGE_START", "messageId": id, "role": "assistant"}),
            json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": delta}),
            json!({"type": "TEXT_MESSAGE_END", "messageId": id}),
        ]
    };
    let call = |id: &str| {
        [
            json!({"type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": "book"}),
            json!({"type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": "{\"seat\":1}"}),
            json!({"type": "TOOL_CALL_END", "toolCallId": id}),
        ]
    };
    let result = |id: &str| json!({"type": "TOOL_CALL_RESULT", "messageId": format!("r{id}"), "toolCallId": id, "content": "12A"});
    let mut events = vec![json!({"type": "RUN_STARTED"})];
    events.extend(text("m1", "First."));
    events.extend(call("c1"));
    events.push(result("c1"));
    events.extend(text("m2", "Then the second"));
    events.extend(call("c2"));
    events.push(result("c2"));
    events.extend(text("m3", "Done."));
    events.push(json!({"type": "RUN_FINISHED"}));
    events
}

/// The position after the event of this type for this id.
fn after(events: &[Value], kind: &str, id: &str) -> usize {
    let is_it =
        |event: &Value| event["type"] == kind && (event["messageId"] == id || event["toolCallId"] == id);
    events.iter().position(is_it).unwrap() + 1
}

/// The ids of the runs that were requested.
fn requested(remote: &mut Upstream) -> Vec<String> {
    let mut runs = Vec::new();
    while let Ok(seen) = remote.seen.try_recv() {
        if let Seen::Request(_, body) = seen {
            runs.push(body["runId"].as_str().unwrap().to_owned());
        }
    }
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn run_6_a_kill_ends_a_run_of_an_agent_that_is_not_resumable_as_interrupted() {
    let events = events();
    for (held, is_in_tool) in
        [(after(&events, "TEXT_MESSAGE_CONTENT", "m2"), false), (after(&events, "TOOL_CALL_END", "c2"), true)]
    {
        let (place, release) = (Place::new(), Release::default());
        let mut remote = peers::remote(&release, events.clone(), held).await;
        let config = remote_table(&remote, "");
        let reached = |entries: &[Value]| match is_in_tool {
            false => has_said("answer", "the second")(entries),
            true => calls(entries).len() == 2,
        };
        let run = cut(&place, [&config, &config], ("far", "go"), reached, || release.now()).await;
        let end = end(&run.after);
        assert_eq!((&end["status"], &end["final_response"]), (&json!("interrupted"), &Value::Null), "{end}");
        let mut expected = vec![("book".to_owned(), "ok".to_owned())];
        expected.extend(is_in_tool.then(|| ("book".to_owned(), "unknown".to_owned())));
        assert_eq!(statuses(&run.after), expected);
        assert_eq!(requested(&mut remote).len(), 1, "the agent is not asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_9_a_kill_in_a_run_of_a_resumable_agent_doubles_no_text_and_no_call() {
    let events = events();
    for (held, is_in_tool) in
        [(after(&events, "TEXT_MESSAGE_CONTENT", "m2"), false), (after(&events, "TOOL_CALL_END", "c2"), true)]
    {
        let (place, release) = (Place::new(), Release::default());
        let mut remote = peers::remote(&release, events.clone(), held).await;
        let config = remote_table(&remote, "resumable = true");
        let reached = |entries: &[Value]| match is_in_tool {
            false => has_said("answer", "the second")(entries),
            true => calls(entries).len() == 2 && is_open("book")(entries),
        };
        let run = cut(&place, [&config, &config], ("far", "go"), reached, || release.now()).await;
        let end = end(&run.after);
        let answer = "First.\n\nThen the second\n\nDone.";
        assert_eq!((&end["status"], &end["final_response"]), (&json!("succeeded"), &json!(answer)), "{end}");
        let all: String = run
            .after
            .iter()
            .filter(|entry| entry["kind"] == "answer")
            .map(|entry| entry["delta"].as_str().unwrap())
            .collect();
        assert_eq!((all.as_str(), resets(&run.after, "answer")), (answer, 0), "no delta comes twice");
        assert_eq!(said(&run.before, "answer"), answer[..said(&run.before, "answer").len()]);
        let expected = [("book", "ok"), ("book", "ok")];
        assert_eq!(statuses(&run.after), expected.map(|(tool, status)| (tool.into(), status.into())));
        let runs = requested(&mut remote);
        assert_eq!((runs.len(), &runs[0]), (2, &runs[1]), "the same run is asked for");
    }
}
