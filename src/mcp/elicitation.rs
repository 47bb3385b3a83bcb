//! Asks a question of a server until it has an answer that fits its schema.
//!
//! The client's call is closed by its first answer (RUN-11), before the schema is known to be met. So an answer that
//! does not fit is not passed on: the question is asked again, as a further call of the client whose parameter `problem`
//! names the mistake, at most [`ANSWERS_MAX`] times. After that the server reads that the question was cancelled.

use quintet_agent::Answer;
use quintet_kernel::json::Json;
use rmcp::model::{ElicitResult, ElicitationAction};
use tokio::sync::{mpsc, oneshot};

use crate::{
    open_calls::Ask,
    questions::{self, Question},
};

/// Asks a question, and returns the answer for the server. Only an answer that fits the schema is accepted.
pub(crate) async fn ask(asks: &mpsc::Sender<Ask>, question: Question) -> ElicitResult {
    let mut problem = None;
    for _ in 0..ANSWERS_MAX {
        let answer = asked(asks, question.parameters(problem.as_deref())).await;
        match question.mistake(&answer) {
            None => return questions::answered(answer),
            Some(mistake) => problem = Some(mistake),
        }
    }
    ElicitResult::new(ElicitationAction::Cancel)
}

/// Asks the client; a run that has ended does not answer.
async fn asked(asks: &mpsc::Sender<Ask>, parameters: Json) -> Answer {
    let (reply, answer) = oneshot::channel();
    let unanswered = || Answer::Unanswered { why: "the run has ended".to_owned() };
    match asks.send(Ask { parameters, reply }).await {
        Ok(()) => answer.await.unwrap_or_else(|_| unanswered()),
        Err(_) => unanswered(),
    }
}

/// Answers that one question may have.
const ANSWERS_MAX: usize = 3;
