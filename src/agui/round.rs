//! From one response of a run to the next request: the questions, the answers, and the ids.

use std::collections::BTreeSet;

use quintet_agent::{AgentError, Answer, Task};
use sha2::{Digest, Sha256};

use crate::{
    event::Interrupt,
    input::ResumeEntry,
    mapper::{End, EventMapper, Finish},
    question::{self, Question},
    session::Session,
    signature::hex,
    transcript::Transcript,
};

/// The state of a run between two responses.
#[derive(Clone)]
pub(crate) struct Progress {
    pub(crate) mapper: EventMapper,
    pub(crate) transcript: Transcript,
    /// The answers to interrupts that `CUSTOM` events have reported, for the next request.
    pub(crate) custom_answers: Vec<(Interrupt, Answer)>,
}

/// The questions to the client after a response, and the calls that are given up.
pub(crate) struct Questions {
    pub(crate) questions: Vec<Question>,
    pub(crate) dropped: Vec<String>,
}

/// Returns the questions of a complete response. `asked` has the calls that the client has consented to before.
pub(crate) fn questions(
    session: &Session,
    finish: &Finish,
    asked: &mut BTreeSet<String>,
) -> Result<Questions, AgentError> {
    let call = |id: &String| session.made(id).cloned();
    let (mut questions, mut dropped) = (Vec::new(), Vec::new());
    match &finish.end {
        End::Cancelled => return Err(AgentError::upstream("The remote agent cancelled the run.")),
        End::Unknown => {
            return Err(AgentError::upstream("The remote agent ended with an outcome that is not known."));
        }
        End::Success => {
            for id in &finish.waiting {
                if asked.contains(id) {
                    dropped.push(id.clone());
                } else {
                    questions.extend(call(id).map(Question::Call));
                }
            }
        }
        // They are about no call: what waits is the agent's own.
        End::CustomInterrupt(interrupts) => {
            questions.extend(interrupts.iter().map(|interrupt| Question::Custom(interrupt.clone())));
            let clients = finish.waiting.iter().filter_map(call).filter(|call| call.by_client);
            questions.extend(clients.map(Question::Call));
        }
        End::Interrupt(interrupts) => {
            for interrupt in interrupts {
                let about = interrupt.tool_call_id.as_ref();
                asked.extend(about.cloned());
                questions.push(Question::Interrupt(interrupt.clone(), about.and_then(call)));
            }
            // Other calls of the agent wait for its next response.
            let is_about =
                |id: &String| interrupts.iter().any(|interrupt| interrupt.tool_call_id.as_ref() == Some(id));
            let others = finish.waiting.iter().filter(|id| !is_about(id)).filter_map(call);
            questions.extend(others.filter(|call| call.by_client).map(Question::Call));
        }
    }
    Ok(Questions { questions, dropped })
}

/// Takes the client's answer to a question: it closes the call, if the agent will not, and goes into the next request.
pub(crate) async fn take(
    session: Session,
    progress: &mut Progress,
    resume: &mut Vec<ResumeEntry>,
    question: &Question,
    answer: &Answer,
) -> Result<Session, AgentError> {
    match question {
        Question::Call(call) => {
            let result = question::result_of(answer);
            progress.transcript.answer(&call.id, &result);
            progress.mapper.answer(&call.id);
            Ok(session.close(&call.id, result).await?)
        }
        Question::Custom(interrupt) => {
            progress.custom_answers.push((interrupt.clone(), answer.clone()));
            Ok(session)
        }
        Question::Interrupt(interrupt, _) => {
            resume.push(question::resume(interrupt, answer));
            match (&interrupt.tool_call_id, answer) {
                (
                    Some(call_id),
                    Answer::Declined { .. } | Answer::Failed { .. } | Answer::Unanswered { .. },
                ) => {
                    progress.mapper.answer(call_id);
                    Ok(session.close(call_id, question::result_of(answer)).await?)
                }
                (Some(_), Answer::Given(_)) | (None, _) => Ok(session),
            }
        }
    }
}

/// Returns the id of a thread at the remote agent. Threads of two users have the same id with negligible probability
/// (ISO-2), and the id does not show the user's.
pub(crate) fn thread_id(task: &Task) -> String {
    let (user, thread) = (task.user_id.as_str(), task.thread_id.as_str());
    let text = format!("quintet thread {} {user} {thread}", user.len());
    hex(&Sha256::digest(text)[..16])
}
