//! A language model.

use serde_json::json;

use super::{
    Place, cut, end, has_said,
    peers::{self, Release, model_table},
    resets, said,
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
}
