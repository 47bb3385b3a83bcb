//! The conversation that a model reads, trimmed to a budget of tokens.
//!
//! ```text
//!   instructions, tools      always
//!   earlier runs             tool results shortened first, then the oldest runs left out
//!   the message              always
//!   steps of this run        tool results shortened, then the oldest steps left out, but never the last
//! ```
//!
//! Guarantee: each call has its result and each result its call, since both are kept or left out together.
//! Tokens are *estimated*, as one for every [`BYTES_PER_TOKEN`] bytes: models count differently, and the
//! estimate is high for English and low for scripts of many bytes a word. Pure.

use std::collections::VecDeque;

use quintet_agent::{CallResult, CallStatus, Message, PastRun, Usage};
use quintet_kernel::entry::{CallOwner, RunStatus};

use crate::{
    api::{ModelRequest, Response, ToolCall, ToolResult, ToolSpec, Turn},
    toolbox::Toolbox,
};

/// The conversation of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// The system prompt.
    pub(crate) instructions: Option<String>,
    /// The earlier runs of the thread, oldest first.
    pub(crate) past: Vec<Part>,
    /// The message of the run.
    pub(crate) message: String,
    /// The steps of the run so far.
    pub(crate) steps: Vec<Part>,
}

/// Turns that are kept or left out together.
pub(crate) type Part = Vec<Turn>;

/// The message, the instructions and the tools alone exceed the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContextFull;

impl Context {
    /// Returns the request of the next response, within `tokens_max` estimated tokens.
    ///
    /// # Errors
    ///
    /// Returns [`ContextFull`] if the parts that cannot be left out are longer.
    pub(crate) fn request(&self, tools: Vec<ToolSpec>, tokens_max: u64) -> Result<ModelRequest, ContextFull> {
        let fixed = self.instructions.as_deref().map_or(0, estimate)
            + tools.iter().map(tool_tokens).sum::<u64>()
            + turn_tokens(&Turn::User(self.message.clone()));
        let mut budget = Budget { used: fixed, max: tokens_max };
        let mut past: VecDeque<Part> = self.past.iter().cloned().collect();
        let mut steps: VecDeque<Part> = self.steps.iter().cloned().collect();
        budget.used += past.iter().chain(&steps).map(|part| part_tokens(part)).sum::<u64>();
        let mut last = None;
        while let Some(part) = steps.pop_back() {
            let is_last_round = is_round(&part);
            last = Some([part, last.unwrap_or_default()].concat());
            if is_last_round {
                break;
            }
        }
        for part in past.iter_mut().chain(&mut steps) {
            budget.shorten(part, RESULT_BYTES_MIN);
        }
        while budget.is_exceeded() && budget.leave_out(&mut past) {}
        let last = last.map(|mut part| {
            // What is left is shared by the results of the last step.
            let results = part.iter().filter_map(results_of).flatten();
            let (count, bytes) =
                results.fold((0, 0), |(count, bytes), result| (count + 1, bytes + result.content.len()));
            let excess = usize::try_from(budget.used.saturating_sub(budget.max)).unwrap_or(usize::MAX);
            let room = bytes.saturating_sub(excess.saturating_mul(BYTES_PER_TOKEN)) / usize::max(count, 1);
            budget.shorten(&mut part, room.saturating_sub(MARK_BYTES_MAX).max(RESULT_BYTES_MIN));
            budget.shorten(&mut part, RESULT_BYTES_MIN);
            part
        });
        while budget.is_exceeded() && budget.leave_out(&mut steps) {}
        if budget.is_exceeded() {
            return Err(ContextFull);
        }
        let message = vec![Turn::User(self.message.clone())];
        let turns = joined(past.into_iter().chain([message]).chain(steps).chain(last).flatten());
        Ok(ModelRequest { instructions: self.instructions.clone(), turns, tools, output_tokens_max: None })
    }
}

impl Context {
    /// Returns an estimate of the tokens that a run has used before it was resumed: a request for each of its recorded
    /// rounds, the request that the crash cut, and `text_bytes` of text. Returns `None` for a run without a record.
    pub(crate) fn earlier_tokens(
        &self,
        tools: Vec<ToolSpec>,
        tokens_max: u64,
        text_bytes: u64,
    ) -> Option<Usage> {
        if self.steps.is_empty() && text_bytes == 0 {
            return None;
        }
        let mut so_far = Self { steps: Vec::new(), ..self.clone() };
        let mut usage = Usage {
            input_tokens: 0,
            output_tokens: tokens_of(usize::try_from(text_bytes).unwrap_or(usize::MAX)),
        };
        let mut steps = self.steps.iter();
        loop {
            let request = so_far.request(tools.clone(), tokens_max);
            usage.input_tokens += request.map_or(tokens_max, |request| request_tokens(&request));
            let Some(step) = steps.next() else { return Some(usage) };
            let calls = step.iter().filter(|turn| matches!(turn, Turn::Assistant(_))).map(turn_tokens);
            usage.output_tokens += calls.sum::<u64>();
            so_far.steps.push(step.clone());
        }
    }
}

/// Joins messages of the user that follow each other, because some models demand that the turns alternate.
fn joined(turns: impl Iterator<Item = Turn>) -> Vec<Turn> {
    let mut joined: Vec<Turn> = Vec::new();
    for turn in turns {
        match (joined.last_mut(), turn) {
            (Some(Turn::User(before)), Turn::User(text)) => {
                before.push_str("\n\n");
                before.push_str(&text);
            }
            (_, turn) => joined.push(turn),
        }
    }
    joined
}

struct Budget {
    used: u64,
    max: u64,
}

impl Budget {
    fn is_exceeded(&self) -> bool {
        self.used > self.max
    }

    /// Shortens the results of a part if the budget is exceeded.
    fn shorten(&mut self, part: &mut Part, bytes_max: usize) {
        if !self.is_exceeded() {
            return;
        }
        let before = part_tokens(part);
        for turn in part.iter_mut() {
            if let Turn::Results(results) = turn {
                results.iter_mut().for_each(|result| shorten(&mut result.content, bytes_max));
            }
        }
        self.used -= before - part_tokens(part);
    }

    /// Removes the oldest part, if there is one.
    fn leave_out(&mut self, parts: &mut VecDeque<Part>) -> bool {
        let Some(part) = parts.pop_front() else { return false };
        self.used -= part_tokens(&part);
        true
    }
}

fn results_of(turn: &Turn) -> Option<&Vec<ToolResult>> {
    match turn {
        Turn::Results(results) => Some(results),
        Turn::User(_) | Turn::Assistant(_) => None,
    }
}

/// Cuts a text to about `bytes_max` bytes, unless the mark would make it longer.
fn shorten(text: &mut String, bytes_max: usize) {
    let mark = format!("… [shortened from {} bytes]", text.len());
    if text.len() > bytes_max + mark.len() {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push_str(&mark);
    }
}

/// Returns an estimate of the tokens of a request.
pub(crate) fn request_tokens(request: &ModelRequest) -> u64 {
    request.instructions.as_deref().map_or(0, estimate)
        + request.tools.iter().map(tool_tokens).sum::<u64>()
        + request.turns.iter().map(turn_tokens).sum::<u64>()
}

/// Returns an estimate of the tokens of a text.
pub(crate) fn estimate(text: &str) -> u64 {
    tokens_of(text.len())
}

/// Returns an estimate of the tokens of a text of this length.
pub(crate) fn tokens_of(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN) as u64
}

fn part_tokens(part: &[Turn]) -> u64 {
    part.iter().map(turn_tokens).sum()
}

fn turn_tokens(turn: &Turn) -> u64 {
    match turn {
        Turn::User(text) => TURN_TOKENS + estimate(text),
        Turn::Assistant(response) => {
            let calls = |call: &ToolCall| TURN_TOKENS + estimate(&call.name) + estimate(&call.arguments);
            let plain = estimate(&response.text)
                + estimate(&response.reasoning)
                + response.calls.iter().map(calls).sum::<u64>();
            let carried = response.carried.iter().map(|item| tokens_of(item.to_string().len())).sum();
            TURN_TOKENS + plain.max(carried)
        }
        Turn::Results(results) => results.iter().map(|result| TURN_TOKENS + estimate(&result.content)).sum(),
    }
}

fn tool_tokens(tool: &ToolSpec) -> u64 {
    let bytes = tool.name.len() + tool.description.len() + tool.parameters.to_string().len();
    TURN_TOKENS + tokens_of(bytes)
}

/// Returns the earlier runs of a thread as parts of a conversation. Calls follow each other, and only to a
/// model that has tools; questions to the client are left out.
pub(crate) fn past_parts(runs: Vec<PastRun>, toolbox: &Toolbox, ids: &mut CallIds) -> Vec<Part> {
    let has_tools = !toolbox.is_empty();
    let part = |run: PastRun| {
        let mut part = vec![Turn::User(run.message)];
        for (call, result) in run.calls {
            if has_tools && call.by == CallOwner::Agent {
                let name = toolbox.model_name(call.tool_name.as_str());
                let arguments = call.parameters.as_str().to_owned();
                part.extend(step(vec![(ToolCall { id: ids.next(), name, arguments }, told(&result))]));
            }
        }
        // Some models demand that the turns of user and model alternate.
        let text =
            run.answer.filter(|answer| !answer.trim().is_empty()).unwrap_or_else(|| match run.status {
                RunStatus::Succeeded => "(No answer.)".to_owned(),
                status => format!("(No answer: the run ended as {}.)", status.as_str()),
            });
        part.push(Turn::Assistant(Response { text, ..Response::default() }));
        part
    };
    runs.into_iter().map(part).collect()
}

/// Returns the messages that a run has taken, as parts of its conversation (RUN-12).
pub(crate) fn parts_of(messages: Vec<Message>) -> Vec<Part> {
    messages.into_iter().map(|message| vec![Turn::User(message.text)]).collect()
}

/// Returns true for a step with a response of the model.
pub(crate) fn is_round(part: &Part) -> bool {
    part.iter().any(|turn| matches!(turn, Turn::Assistant(_)))
}

/// Returns a step of calls with their results, and nothing else.
pub(crate) fn step(calls: Vec<(ToolCall, (String, bool))>) -> Part {
    let (calls, results) = calls
        .into_iter()
        .map(|(call, (content, is_error))| {
            let result = ToolResult { id: call.id.clone(), content, is_error };
            (call, result)
        })
        .unzip();
    vec![Turn::Assistant(Response { calls, ..Response::default() }), Turn::Results(results)]
}

/// Returns what a model reads of a result, and whether it is an error.
pub(crate) fn told(result: &CallResult) -> (String, bool) {
    let error = result.error.as_deref().unwrap_or("no details");
    let text = match result.status {
        CallStatus::Ok => return (result.results.as_str().to_owned(), false),
        CallStatus::Error => format!("The call failed: {error}"),
        CallStatus::Declined => format!("The user declined: {error}"),
        CallStatus::TimedOut => format!("The call took too long: {error}"),
        CallStatus::Cancelled => format!("The call was cancelled: {error}"),
        CallStatus::Unknown => {
            format!("The outcome is not known, the call may or may not have had its effect: {error}")
        }
    };
    (text, true)
}

/// The ids of calls for which the model's own are not known: 9 letters and digits, which every API accepts.
#[derive(Debug, Default)]
pub(crate) struct CallIds(u32);

impl CallIds {
    /// Returns the next id.
    pub(crate) fn next(&mut self) -> String {
        self.0 += 1;
        format!("q{:08}", self.0)
    }
}

/// Bytes that are counted as one token.
pub(crate) const BYTES_PER_TOKEN: usize = 3;

/// Length to which results are shortened, in bytes.
const RESULT_BYTES_MIN: usize = 600;

/// Length of the mark of a shortened result, in bytes, with what its tokens are rounded up by.
const MARK_BYTES_MAX: usize = 64;

/// Tokens of a turn apart from its texts.
const TURN_TOKENS: u64 = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn a_part(user: Option<String>, results: Vec<String>) -> Part {
        let calls = results.into_iter().enumerate().map(|(at, content)| {
            (ToolCall { id: format!("c{at}"), name: "t".into(), arguments: "{}".into() }, (content, false))
        });
        user.map(Turn::User).into_iter().chain(step(calls.collect())).collect()
    }

    prop_compose! {
        fn texts()(lengths in prop::collection::vec(0..4_000_usize, 0..4)) -> Vec<String> {
            lengths.into_iter().map(|length| "é".repeat(length / 2)).collect()
        }
    }

    proptest! {
        #[test]
        fn a_request_fits_its_budget_and_no_call_or_result_is_alone(
            past in prop::collection::vec(("[a-z]{0,500}", texts()), 0..6),
            steps in prop::collection::vec(texts(), 0..6),
            message in "[a-z]{0,300}",
            tokens_max in 256..6_000_u64,
        ) {
            let context = Context {
                instructions: Some("Be short.".into()),
                past: past.into_iter().map(|(user, results)| a_part(Some(user), results)).collect(),
                message: message.clone(),
                steps: steps.into_iter().map(|results| a_part(None, results)).collect(),
            };
            let Ok(request) = context.request(vec![], tokens_max) else {
                let last = context.steps.last().map_or(0, |last| {
                    let results = last.iter().filter_map(results_of).flatten().count() as u64;
                    results * tokens_of(RESULT_BYTES_MIN + 100) + TURN_TOKENS * 8
                });
                let fixed = request_tokens(&ModelRequest {
                    turns: vec![Turn::User(message)], ..ModelRequest::default()
                });
                prop_assert!(fixed + last + 20 > tokens_max, "the context is full too early");
                return Ok(());
            };
            prop_assert!(request_tokens(&request) <= tokens_max);
            prop_assert!(request.turns.contains(&Turn::User(message)), "the message is there");
            let mut open: Vec<String> = vec![];
            for turn in &request.turns {
                match turn {
                    Turn::Assistant(response) => {
                        prop_assert!(open.is_empty());
                        open = response.calls.iter().map(|call| call.id.clone()).collect();
                    }
                    Turn::Results(results) => {
                        let ids: Vec<_> = results.iter().map(|result| result.id.clone()).collect();
                        prop_assert_eq!(&ids, &open);
                        open.clear();
                    }
                    Turn::User(_) => prop_assert!(open.is_empty()),
                }
            }
            prop_assert!(open.is_empty());
            if let Some(last) = context.steps.last() {
                let calls = last.iter().filter_map(results_of).flatten().count();
                let kept = request.turns.last().and_then(results_of).map_or(0, Vec::len);
                prop_assert_eq!(kept, calls, "the last step is there");
            }
        }
    }

    #[test]
    fn messages_that_follow_each_other_are_one_turn() {
        let context = Context {
            message: "first".into(),
            steps: vec![
                vec![Turn::User("second".into())],
                a_part(None, vec!["result".into()]),
                vec![Turn::User("third".into())],
                vec![Turn::User("fourth".into())],
            ],
            ..Context::default()
        };
        let turns = context.request(vec![], 1_000).unwrap().turns;
        assert_eq!(turns[0], Turn::User("first\n\nsecond".into()));
        assert_eq!((turns.len(), &turns[3]), (4, &Turn::User("third\n\nfourth".into())));
        // What follows the last response is kept with it.
        assert_eq!(context.request(vec![], 80).unwrap().turns.len(), 4);
        assert_eq!(context.request(vec![], 30), Err(ContextFull));
    }

    #[test]
    fn results_are_shortened_before_runs_are_left_out() {
        let old = a_part(Some("first".into()), vec!["x".repeat(3_000)]);
        let context = Context {
            past: vec![old, a_part(Some("second".into()), vec![])],
            message: "now".into(),
            ..Context::default()
        };
        let request = context.request(vec![], 400).unwrap();
        assert_eq!(request.turns[0], Turn::User("first".into()));
        let results = request.turns.iter().find_map(results_of).unwrap();
        assert!(results[0].content.ends_with("… [shortened from 3000 bytes]"), "{results:?}");
        let request = context.request(vec![], 100).unwrap();
        assert_eq!(request.turns[0], Turn::User("second".into()));
        assert_eq!(context.request(vec![], 1), Err(ContextFull));
    }
}
