//! The scripts of rehearsals, `{"steps":[…]}`, parsed strictly.
//!
//! Guarantee: a parsed script is bounded in steps, events, calls and time, and every run that plays it is legal
//! unless it contains `illegal`.

use std::collections::BTreeSet;

use quintet_kernel::{
    entry::{CallResult, CallStatus, ThoughtKind},
    ids::{CallId, ToolName},
    json::Json,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The steps in order, at most [`STEPS_MAX`].
    pub steps: Vec<ScriptStep>,
}

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptStep {
    /// Emits a thought, repeatedly.
    Think {
        /// The kind of the thought.
        kind: ThoughtKind,
        /// The text of each repetition.
        delta: String,
        /// The number of times it is emitted, 1 to [`REPEAT_MAX`].
        repeat: u32,
        /// The wait between two repetitions in milliseconds, at most [`WAIT_MS_MAX`].
        interval_ms: u64,
    },
    /// Emits this piece of the answer.
    Answer(String),
    /// Parallel calls: one for `tool`, several for `tools`.
    Tools(Vec<ScriptedCall>),
    /// Asks the client a question and waits for its answer (RUN-11).
    Ask {
        /// The id of the call, unique in the script.
        call_id: CallId,
        /// The kind of question, for the client.
        tool_name: ToolName,
        /// The parameters, an object.
        parameters: Json,
    },
    /// Takes the messages that wait for the run (RUN-12), and emits the text of each as a line of the answer.
    Take,
    /// Waits without a step of the run.
    Wait {
        /// The wait in milliseconds, at most [`WAIT_MS_MAX`].
        wait_ms: u64,
    },
    /// Ends the run as `failed`, code `agent_error`, with this message.
    Fail(String),
    /// Panics with this message: code `agent_panic`.
    Panic(String),
    /// Never returns, until a cancel or a timeout ends the run.
    Hang,
    /// Takes an illegal step (RUN-10).
    Illegal(Illegal),
}

/// A tool call and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptedCall {
    /// The id of the call, unique in the script.
    pub call_id: CallId,
    /// The name of the tool.
    pub tool_name: ToolName,
    /// The parameters, an object.
    pub parameters: Json,
    /// The duration of the call in milliseconds, at most [`WAIT_MS_MAX`].
    pub takes_ms: u64,
    /// The result, with status `ok` or `error`.
    pub result: CallResult,
}

/// An illegal step (RUN-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Illegal {
    /// Closes a call that is not open (RUN-4).
    CompleteUnopenedCall,
    /// Completes the run while a call is open (RUN-5).
    CompleteWithOpenCall,
    /// Opens two calls with the same id (RUN-4).
    ReopenCall,
    /// Opens a call before the first thought (RUN-3).
    ToolBeforeThinking,
}

/// The reason for which a text is not a script, and its position. The author of the message is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScript {
    /// The text is not an object with a list `steps`; contains the message of the JSON parser.
    #[error("not a script: {0}")]
    Outline(String),
    /// The script has more than [`STEPS_MAX`] steps.
    #[error("steps: {steps} are more than {STEPS_MAX}")]
    Steps {
        /// The number of steps.
        steps: usize,
    },
    /// A step is malformed, or exceeds a limit together with the steps before it.
    #[error("steps[{at}]: {why}")]
    Step {
        /// The position of the step, from 0.
        at: usize,
        /// The reason.
        why: String,
    },
}

impl Script {
    /// Parses a script.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidScript`] if the text is not JSON of this form, has an unknown field, or exceeds a limit.
    pub fn parse(text: &str) -> Result<Self, InvalidScript> {
        let Outline { steps } =
            serde_json::from_str(text).map_err(|error| InvalidScript::Outline(error.to_string()))?;
        if steps.len() > STEPS_MAX {
            return Err(InvalidScript::Steps { steps: steps.len() });
        }
        let mut bounds = Bounds::default();
        let steps = steps.into_iter().enumerate().map(|(at, raw)| {
            let step = step(raw).and_then(|step| bounds.admit(step));
            step.map_err(|why| InvalidScript::Step { at, why })
        });
        Ok(Self { steps: steps.collect::<Result<_, _>>()? })
    }
}

/// The totals of the steps so far.
#[derive(Default)]
struct Bounds {
    call_ids: BTreeSet<CallId>,
    events: u64,
    /// True after a step that includes or causes a thought.
    thought: bool,
}

impl Bounds {
    fn admit(&mut self, step: ScriptStep) -> Result<ScriptStep, String> {
        self.events += match &step {
            ScriptStep::Think { repeat, .. } => u64::from(*repeat),
            _ => 1,
        };
        if self.events > EVENTS_MAX {
            return Err(format!("the script's thoughts are more than {EVENTS_MAX}"));
        }
        let (calls, asked) = match &step {
            ScriptStep::Tools(calls) => (calls.as_slice(), None),
            ScriptStep::Ask { call_id, .. } => (&[][..], Some(call_id)),
            _ => (&[][..], None),
        };
        for call_id in calls.iter().map(|call| &call.call_id).chain(asked) {
            if !self.call_ids.insert(call_id.clone()) {
                return Err(format!(
                    "call_id {call_id:?} is used twice; \"illegal\":\"reopen_call\" rehearses that"
                ));
            }
        }
        if self.call_ids.len() > CALLS_MAX {
            return Err(format!("the script's calls are more than {CALLS_MAX}"));
        }
        match &step {
            ScriptStep::Illegal(Illegal::ToolBeforeThinking) if self.thought => {
                return Err(
                    "a tool is legal here: tool_before_thinking has to come before every thought and call"
                        .into(),
                );
            }
            ScriptStep::Wait { .. } | ScriptStep::Hang => {}
            _ => self.thought = true,
        }
        Ok(step)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outline<'a> {
    #[serde(borrow)]
    steps: Vec<&'a RawValue>,
}

/// A step in JSON: exactly one of the fields that name a step is set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    think: Option<String>,
    kind: Option<ThoughtKind>,
    repeat: Option<u64>,
    interval_ms: Option<u64>,
    answer: Option<String>,
    tool: Option<RawCall>,
    tools: Option<Vec<RawCall>>,
    ask: Option<RawAsk>,
    take: Option<bool>,
    wait_ms: Option<u64>,
    fail: Option<String>,
    panic: Option<String>,
    hang: Option<bool>,
    illegal: Option<Illegal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCall {
    call_id: CallId,
    tool_name: ToolName,
    #[serde(default = "Json::empty_object")]
    parameters: Json,
    #[serde(default)]
    takes_ms: u64,
    #[serde(default = "Json::null")]
    results: Json,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsk {
    call_id: CallId,
    tool_name: ToolName,
    #[serde(default = "Json::empty_object")]
    parameters: Json,
}

fn step(raw: &RawValue) -> Result<ScriptStep, String> {
    if !raw.get().starts_with('{') {
        return Err("a step is an object".into());
    }
    let raw: RawStep = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let of_think = [
        ("kind", raw.kind.is_some()),
        ("repeat", raw.repeat.is_some()),
        ("interval_ms", raw.interval_ms.is_some()),
    ];
    if let Some((field, _)) = of_think.iter().find(|(_, given)| *given && raw.think.is_none()) {
        return Err(format!("{field} belongs to think"));
    }
    let mut steps = Vec::new();
    if let Some(delta) = raw.think {
        let repeat = within("repeat", raw.repeat.unwrap_or(1), 1, REPEAT_MAX)?;
        steps.push(ScriptStep::Think {
            kind: raw.kind.unwrap_or(ThoughtKind::Reasoning),
            delta,
            repeat: u32::try_from(repeat).expect("repeat is within its limit"),
            interval_ms: within("interval_ms", raw.interval_ms.unwrap_or(0), 0, WAIT_MS_MAX)?,
        });
    }
    if let Some(call) = raw.tool {
        steps.push(ScriptStep::Tools(vec![scripted("tool", call)?]));
    }
    if let Some(calls) = raw.tools {
        within("the length of tools", calls.len() as u64, 1, PARALLEL_MAX)?;
        let calls = calls.into_iter().enumerate().map(|(at, call)| scripted(&format!("tools[{at}]"), call));
        steps.push(ScriptStep::Tools(calls.collect::<Result<_, _>>()?));
    }
    if let Some(RawAsk { call_id, tool_name, parameters }) = raw.ask {
        let parameters = object("ask", parameters)?;
        steps.push(ScriptStep::Ask { call_id, tool_name, parameters });
    }
    if let Some(take) = raw.take {
        if !take {
            return Err("take has to be true".into());
        }
        steps.push(ScriptStep::Take);
    }
    if let Some(wait_ms) = raw.wait_ms {
        steps.push(ScriptStep::Wait { wait_ms: within("wait_ms", wait_ms, 0, WAIT_MS_MAX)? });
    }
    if let Some(hang) = raw.hang {
        if !hang {
            return Err("hang has to be true".into());
        }
        steps.push(ScriptStep::Hang);
    }
    steps.extend(raw.answer.map(ScriptStep::Answer));
    steps.extend(raw.fail.map(ScriptStep::Fail));
    steps.extend(raw.panic.map(ScriptStep::Panic));
    steps.extend(raw.illegal.map(ScriptStep::Illegal));
    let named = steps.len();
    match (steps.pop(), named) {
        (Some(step), 1) => Ok(step),
        (None, _) => Err(format!("no step is named: one of {STEP_NAMES}")),
        (Some(_), _) => Err(format!("{named} steps in one object: put each in its own")),
    }
}

fn scripted(place: &str, raw: RawCall) -> Result<ScriptedCall, String> {
    let takes_ms = within(&format!("{place}.takes_ms"), raw.takes_ms, 0, WAIT_MS_MAX)?;
    let status = if raw.error.is_some() { CallStatus::Error } else { CallStatus::Ok };
    Ok(ScriptedCall {
        call_id: raw.call_id,
        tool_name: raw.tool_name,
        parameters: object(place, raw.parameters)?,
        takes_ms,
        result: CallResult { status, results: raw.results, error: raw.error },
    })
}

fn object(place: &str, parameters: Json) -> Result<Json, String> {
    parameters.object().map_err(|error| format!("{place}.parameters: {error}"))
}

fn within(what: &str, value: u64, min: u64, max: u64) -> Result<u64, String> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{what} has to be {min} to {max}, not {value}"))
    }
}

const STEP_NAMES: &str = "think, answer, tool, tools, ask, take, wait_ms, fail, panic, hang, illegal";

/// Greatest number of steps of one script.
pub const STEPS_MAX: usize = 10_000;

/// Greatest number of repetitions of one thought.
pub const REPEAT_MAX: u64 = 1_000_000;

/// Greatest number of thoughts of one script, counting repetitions.
pub const EVENTS_MAX: u64 = 5_000_000;

/// Greatest number of calls of one script.
pub const CALLS_MAX: usize = 4_000;

/// Greatest number of calls of one `tools` step.
pub const PARALLEL_MAX: u64 = 64;

/// Longest wait, in milliseconds.
pub const WAIT_MS_MAX: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        Script::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_step_of_the_contract_parses() {
        let text = r#"{"steps":[
            {"think":"text","kind":"reasoning","repeat":1,"interval_ms":0},
            {"answer":"text"},
            {"tool":{"call_id":"c1","tool_name":"x","parameters":{},"takes_ms":10,"results":{},"error":null}},
            {"ask":{"call_id":"q1","tool_name":"approve","parameters":{}}},
            {"tools":[{"call_id":"c2","tool_name":"y"},{"call_id":"c3","tool_name":"y","error":"no"}]},
            {"wait_ms":10}, {"fail":"message"}, {"panic":"message"}, {"hang":true},
            {"illegal":"complete_unopened_call"}, {"illegal":"complete_with_open_call"}, {"illegal":"reopen_call"}
        ]}"#;
        let script = Script::parse(text).unwrap();
        assert_eq!(script.steps.len(), 12);
        let ScriptStep::Tools(calls) = &script.steps[4] else { panic!("{:?}", script.steps[4]) };
        assert_eq!(calls[0].result, CallResult::ok(Json::null()));
        assert_eq!(calls[1].result, CallResult::error("no"));
        let first = r#"{"steps":[{"wait_ms":1},{"illegal":"tool_before_thinking"}]}"#;
        assert_eq!(Script::parse(first).unwrap().steps[1], ScriptStep::Illegal(Illegal::ToolBeforeThinking));
    }

    #[test]
    fn script_error_has_its_position_and_cause() {
        let cases = [
            ("hello", "not a script: expected value at line 1 column 1"),
            ("[]", "not a script"),
            (r#"{"steps":[],"more":1}"#, "unknown field `more`"),
            (r#"{}"#, "missing field `steps`"),
            (r#"{"steps":[{"think":"a"},{"thnik":"b"}]}"#, "steps[1]: unknown field `thnik`"),
            (r#"{"steps":[{"think":"a","think":"b"}]}"#, "steps[0]: duplicate field `think`"),
            (r#"{"steps":[{"think":"a","answer":"b"}]}"#, "steps[0]: 2 steps in one object"),
            (r#"{"steps":[{}]}"#, "steps[0]: no step is named"),
            (r#"{"steps":[["a"]]}"#, "steps[0]: a step is an object"),
            (r#"{"steps":[{"answer":"a","repeat":2}]}"#, "steps[0]: repeat belongs to think"),
            (r#"{"steps":[{"think":"a","repeat":0}]}"#, "repeat has to be 1 to 1000000, not 0"),
            (r#"{"steps":[{"think":"a","repeat":1000001}]}"#, "repeat has to be"),
            (r#"{"steps":[{"think":"a","repeat":-1}]}"#, "steps[0]: invalid value"),
            (r#"{"steps":[{"wait_ms":3600001}]}"#, "wait_ms has to be 0 to 3600000"),
            (r#"{"steps":[{"hang":false}]}"#, "hang has to be true"),
            (r#"{"steps":[{"take":false}]}"#, "take has to be true"),
            (r#"{"steps":[{"tools":[]}]}"#, "the length of tools has to be 1 to 64"),
            (
                r#"{"steps":[{"tool":{"call_id":"a b","tool_name":"x"}}]}"#,
                "call_id must be 1 to 128 visible ASCII characters",
            ),
            (
                r#"{"steps":[{"tool":{"call_id":"a","tool_name":"x","parameters":[]}}]}"#,
                "tool.parameters: not a JSON object",
            ),
            (r#"{"steps":[{"illegal":"nonsense"}]}"#, "unknown variant `nonsense`"),
            (
                r#"{"steps":[{"think":"a"},{"illegal":"tool_before_thinking"}]}"#,
                "steps[1]: a tool is legal here",
            ),
            (
                r#"{"steps":[{"tool":{"call_id":"a","tool_name":"x"}},{"ask":{"call_id":"a","tool_name":"x"}}]}"#,
                "steps[1]: call_id \"a\" is used twice",
            ),
        ];
        for (text, expected) in cases {
            assert!(why(text).contains(expected), "{text}: {}", why(text));
        }
    }

    #[test]
    fn the_size_of_a_script_is_bounded() {
        let repeated = r#"{"think":"x","repeat":1000000},"#.repeat(6);
        assert!(why(&format!(r#"{{"steps":[{}]}}"#, repeated.trim_end_matches(','))).contains("steps[5]"));
        let many = "{},".repeat(STEPS_MAX + 1);
        assert!(why(&format!(r#"{{"steps":[{}]}}"#, many.trim_end_matches(','))).contains("more than"));
        let deep = format!(r#"{{"steps":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(Script::parse(&deep).is_err());
    }

    #[test]
    fn the_scripts_of_the_documentation_parse() {
        let page = include_str!("../../../docs/agents.md");
        let scripts: Vec<_> =
            page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(scripts.len() >= 3);
        for script in scripts {
            assert!(Script::parse(script).is_ok(), "{script}: {:?}", Script::parse(script));
        }
    }
}
