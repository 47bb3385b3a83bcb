//! A language model.

use serde_json::{Value, json};

use super::{
    Place, cut, end, has_said, kill,
    peers::{self, Release, model_table},
    resets, said,
    socket::Socket,
};

#[tokio::test(flavor = "multi_thread")]
async fn run_6_a_kill_in_mid_stream_withdraws_the_text_and_the_run_succeeds_once() {
    let (place, release) = (Place::new(), Release::default());
    let model = peers::model(&release).await;
    let config = model_table(&model, "");
    let run =
        cut(&place, [&config, &config], ("tiny", "tell"), has_said("answer", "Once upon a time"), || {
            release.now()
        })
        .await;
    assert_eq!(said(&run.before, "reasoning"), "I think.");
    let end = end(&run.after);
    assert_eq!((&end["status"], &end["final_response"]), (&json!("succeeded"), &json!("Another story.")));
    // The text of the first process is withdrawn, once for each kind (and not doubled).
    assert_eq!((resets(&run.after, "answer"), resets(&run.after, "reasoning")), (1, 1), "{:#?}", run.after);
    assert_eq!(said(&run.after, "reasoning"), "");
    // What the first process has used is estimated, and added to the 10 and 5 tokens of the second one.
    let tokens = |direction: &str| end["usage"][direction].as_u64().unwrap();
    assert!(tokens("input_tokens") > 10 && tokens("output_tokens") > 5, "{end}");
}

/// The budgets of tokens hold over a kill: they are counted from the log.
#[tokio::test(flavor = "multi_thread")]
async fn budgets_of_a_user_and_of_a_thread_survive_a_kill() {
    for limit in ["user_tokens_per_day_max", "thread_tokens_max"] {
        let (place, release) = (Place::new(), Release::default());
        release.now();
        let model = peers::model(&release).await;
        // A run takes 15 tokens; the third request, of which the earlier runs are a part, is longer than what is left.
        let config = model_table(&model, &format!("{limit} = 60")).replace("tools = ['*']\n", "");
        let mut service = place.start(&config);
        for (run, expected) in [(1, "succeeded"), (2, "succeeded"), (3, "failed")] {
            let token = service.login("ada").await;
            let message = json!({"message_id": format!("m{run}"), "thread_id": "t1", "agent_name": "tiny", "text": "tell"});
            assert_eq!(service.post("/v1/messages", &token, &message).await.0, 202);
            let ended = |entries: &[Value]| ends(entries).len() == run;
            let entries = Socket::open(&service, &token, 0).await.until(ended).await;
            let end = ends(&entries)[run - 1].clone();
            assert_eq!(end["status"], expected, "{limit}, run {run}: {end}");
            if expected == "failed" {
                assert_eq!(end["error"]["code"], "limit_reached", "{limit}: {end}");
            }
            kill(service);
            service = place.start(&config);
        }
        service.drained();
    }
}

fn ends(entries: &[Value]) -> Vec<&Value> {
    entries.iter().filter(|entry| entry["type"] == "agent_completed").collect()
}
