//! The calls of one response: which are executed, which are asked about, and what the model reads of each.

use std::sync::Arc;

use quintet_agent::{Answer, Json, Run, RunEnded, Thinking, Tool, ToolPattern};
use quintet_kernel::limits::Limits;

use crate::{
    api::ToolCall,
    approval::{APPROVE, question, refusal},
    context::told,
    limits::ModelLimits,
    toolbox::Toolbox,
};

/// A call of the model, checked.
pub(crate) enum Checked {
    /// The call can be executed.
    Valid(ValidCall),
    /// The call cannot be executed; the model reads this.
    Refused(String),
}

/// A call that can be executed.
#[derive(Clone)]
pub(crate) struct ValidCall {
    pub(crate) tool: Arc<dyn Tool>,
    pub(crate) parameters: Json,
    /// The parameters of the question, if the client has to approve the call.
    question: Option<Json>,
}

/// Checks a call.
pub(crate) fn check(call: &ToolCall, toolbox: &Toolbox, approve: &[ToolPattern]) -> Checked {
    let Some(tool) = toolbox.by_model_name(&call.name) else {
        return Checked::Refused("There is no tool of this name.".to_owned());
    };
    let parameters = match parameters(&call.arguments) {
        Ok(parameters) => parameters,
        Err(error) => return Checked::Refused(error),
    };
    let question = if approve.iter().any(|pattern| pattern.matches(tool.name())) {
        match question(tool.name(), &parameters) {
            Some(question) => Some(question),
            None => return Checked::Refused("The arguments are nested too deep.".to_owned()),
        }
    } else {
        None
    };
    Checked::Valid(ValidCall { tool: tool.clone(), parameters, question })
}

/// Parses the arguments of a call; none at all are an empty object.
fn parameters(arguments: &str) -> Result<Json, String> {
    if arguments.trim().is_empty() {
        return Ok(Json::empty_object());
    }
    if arguments.len() > ARGUMENTS_BYTES_MAX {
        return Err(format!("The arguments are longer than {ARGUMENTS_BYTES_MAX} bytes."));
    }
    let json = Json::parse(arguments).and_then(Json::object);
    json.map_err(|error| format!("The arguments are invalid: {error}. They have to be one JSON object."))
}

/// Executes calls, in groups of at most `parallel_calls_max`, after the client has approved those that need it
/// (RUN-11). Returns what the model reads of each, in their order.
///
/// # Errors
///
/// Returns [`RunEnded`] if the run ends first.
pub(crate) async fn execute(
    run: Run<Thinking>,
    calls: Vec<Checked>,
    limits: &ModelLimits,
) -> Result<(Run<Thinking>, Vec<(String, bool)>), RunEnded> {
    let mut told: Vec<Option<(String, bool)>> = Vec::new();
    let mut valid = Vec::new();
    for (place, call) in calls.into_iter().enumerate() {
        told.push(match call {
            Checked::Refused(why) => Some((why, true)),
            Checked::Valid(_) if valid.len() >= limits.round_calls_max => {
                Some(("Too many calls at once. This one was not executed.".to_owned(), true))
            }
            Checked::Valid(call) => {
                valid.push((place, call));
                None
            }
        });
    }
    let questions: Vec<_> =
        valid.iter().filter_map(|(place, call)| Some((*place, call.question.clone()?))).collect();
    let (mut run, answers) =
        ask(run, questions.iter().map(|(_, question)| question.clone()).collect()).await?;
    for ((place, _), answer) in questions.iter().zip(answers) {
        told[*place] = refusal(&answer).map(|why| (why, true));
    }
    valid.retain(|(place, _)| told[*place].is_none());
    for group in valid.chunks(limits.parallel_calls_max.max(1)) {
        let calls = group.iter().map(|(_, call)| (&*call.tool, call.parameters.clone()));
        let (next, results) = run.call_all(calls).await?;
        run = next;
        for ((place, _), result) in group.iter().zip(results) {
            told[*place] = Some(self::told(&result));
        }
    }
    Ok((run, told.into_iter().flatten().collect()))
}

/// Asks the client about calls, as many at once as a run may have open.
async fn ask(mut run: Run<Thinking>, questions: Vec<Json>) -> Result<(Run<Thinking>, Vec<Answer>), RunEnded> {
    let mut answers = Vec::new();
    for group in questions.chunks(QUESTIONS_MAX) {
        let names = std::iter::repeat_n(APPROVE, group.len());
        let (next, given) = run.ask_all(names.zip(group.to_vec())).await?;
        run = next;
        answers.extend(given);
    }
    Ok((run, answers))
}

/// Longest arguments of a call, in bytes: what fits into the parameters of a call and of the question about it.
pub(crate) const ARGUMENTS_BYTES_MAX: usize = Limits::DEFAULT.parameters_bytes_max - 1024;

/// Questions that are open at the same time.
const QUESTIONS_MAX: usize = 32;
