//! A run that is resumed after a crash: the calls that its log holds are made again, which returns their
//! recorded results without executing a completed call twice (RUN-9), and become the steps that the model
//! reads.
//!
//! Messages that the run had taken come again between the calls between which they were taken (RUN-12).
//!
//! The model's text between the calls is not in these steps; what it generates anew takes the place of the
//! recorded text. A call that the client had approved and that was not begun is executed now.

use std::sync::Arc;

use quintet_agent::{Json, RecordedCall, Run, RunEnded, Thinking, Tool};
use quintet_kernel::entry::CallOwner;

use crate::{
    api::ToolCall,
    approval::{APPROVE, asked, refusal},
    context::{CallIds, Part, parts_of, step, told},
    toolbox::{GoneTool, Toolbox},
};

/// Makes the recorded calls again. Returns the steps of the conversation.
///
/// # Errors
///
/// Returns [`RunEnded`] if the run ends first.
pub(crate) async fn repeat(
    mut run: Run<Thinking>,
    recorded: Vec<RecordedCall>,
    toolbox: &Toolbox,
    ids: &mut CallIds,
) -> Result<(Run<Thinking>, Vec<Part>), RunEnded> {
    let mut steps = parts_of(run.take_messages().await?);
    let mut approved: Vec<(String, Json)> = Vec::new();
    let mut rest = recorded.into_iter().peekable();
    while let Some(first) = rest.next() {
        let (round, by) = (first.round, first.call.by);
        let mut group = vec![first];
        while let Some(next) = rest.next_if(|next| next.round == round && next.call.by == by) {
            group.push(next);
        }
        let mut calls = Vec::new();
        match by {
            CallOwner::Client => {
                let mut questions = Vec::new();
                for past in &group {
                    questions.push((past.call.tool_name.as_str(), past.call.parameters.clone()));
                }
                let (next, answers) = run.ask_all(questions).await?;
                run = next;
                for (past, answer) in group.iter().zip(answers) {
                    let call =
                        (past.call.tool_name.as_str() == APPROVE).then(|| asked(&past.call.parameters));
                    match (call.flatten(), refusal(&answer)) {
                        (None, _) => {}
                        (Some(call), None) => approved.push(call),
                        (Some((tool_name, parameters)), Some(why)) => {
                            calls.push((tool_call(&tool_name, &parameters, toolbox, ids), (why, true)));
                        }
                    }
                }
            }
            CallOwner::Agent => {
                let begun: Vec<_> = group
                    .iter()
                    .map(|past| (past.call.tool_name.as_str().to_owned(), past.call.parameters.clone()))
                    .collect();
                for call in &begun {
                    if let Some(at) = approved.iter().position(|known| is_same(known, call)) {
                        approved.remove(at);
                    }
                }
                let (next, told) = call_all(run, &begun, toolbox).await?;
                run = next;
                for ((tool_name, parameters), told) in begun.iter().zip(told) {
                    calls.push((tool_call(tool_name, parameters, toolbox, ids), told));
                }
            }
        }
        steps.extend(Some(calls).filter(|calls| !calls.is_empty()).map(step));
        steps.extend(parts_of(run.take_messages().await?));
    }
    if !approved.is_empty() {
        let (next, told) = call_all(run, &approved, toolbox).await?;
        run = next;
        let calls = approved.iter().zip(told);
        let calls = calls
            .map(|((tool_name, parameters), told)| (tool_call(tool_name, parameters, toolbox, ids), told));
        steps.push(step(calls.collect()));
    }
    Ok((run, steps))
}

/// Makes calls. A tool that is no longer there has its recorded result, or an error.
async fn call_all(
    run: Run<Thinking>,
    calls: &[(String, Json)],
    toolbox: &Toolbox,
) -> Result<(Run<Thinking>, Vec<(String, bool)>), RunEnded> {
    let tools: Vec<Arc<dyn Tool>> = calls
        .iter()
        .map(|(name, _)| toolbox.by_name(name).cloned().unwrap_or_else(|| Arc::new(GoneTool(name.clone()))))
        .collect();
    let wanted = tools.iter().zip(calls).map(|(tool, (_, parameters))| (&**tool, parameters.clone()));
    let (run, results) = run.call_all(wanted).await?;
    Ok((run, results.iter().map(told).collect()))
}

fn tool_call(tool_name: &str, parameters: &Json, toolbox: &Toolbox, ids: &mut CallIds) -> ToolCall {
    ToolCall {
        id: ids.next(),
        name: toolbox.model_name(tool_name),
        arguments: parameters.as_str().to_owned(),
    }
}

fn is_same(one: &(String, Json), other: &(String, Json)) -> bool {
    one.0 == other.0 && one.1.to_value() == other.1.to_value()
}
