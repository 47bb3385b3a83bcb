//! Messages of a user, and the result that each must have.

use std::collections::BTreeMap;

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

/// A message to send, and the expected end of its one run.
#[derive(Clone, Debug)]
pub struct PlannedMessage {
    pub message_id: String,
    pub thread_id: String,
    pub agent_name: &'static str,
    pub text: String,
    pub on_busy: &'static str,
    pub expect: Expect,
    /// The user ends the run at some time.
    pub cancels: bool,
}

/// The expected end of a run that was not cut short. Absent fields are not checked.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    pub status: &'static str,
    pub code: Option<&'static str>,
    pub reasoning: Option<String>,
    pub answer: Option<String>,
    /// The answer contains this.
    pub says: Option<&'static str>,
    /// Exactly these calls.
    pub calls: Option<BTreeMap<String, ExpectedCall>>,
    /// No call of it is ever `unknown`: its tools are idempotent.
    pub knows_its_calls: bool,
    /// The agent does not resume a run that a crash broke off: it may end as `interrupted` (RUN-6).
    pub breaks: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedCall {
    pub by: &'static str,
    pub tool_name: String,
    /// For the agent's own calls: their status at the end unless they are cut off.
    pub status: &'static str,
    pub results: Option<Value>,
}

impl PlannedMessage {
    /// The frame that sends it.
    pub fn frame(&self) -> Value {
        let Self { message_id, thread_id, agent_name, text, on_busy, .. } = self;
        json!({"type": "send_message", "message_id": message_id, "thread_id": thread_id,
            "agent_name": agent_name, "text": text, "on_busy": on_busy})
    }

    /// Any message that the built-in agents handle within some milliseconds.
    pub fn any(user: &str, number: usize, rng: &mut StdRng) -> Self {
        let (thread_id, on_busy) = place(rng);
        let message_id = format!("m-{number}");
        let (agent_name, text, expect, hangs) = match rng.random_range(0..10) {
            0 | 1 => assistant(user, rng),
            2 => ("rehearsal", format!("{user}: no script"), Expect::failed("invalid_script"), false),
            _ => rehearsal(user, &message_id, rng),
        };
        let cancels = hangs || rng.random_bool(0.06);
        Self { message_id, thread_id, agent_name, text, on_busy, expect, cancels }
    }

    /// Returns whether its run continues until it is cancelled or times out.
    pub fn hangs(&self) -> bool {
        self.text.contains("\"hang\"")
    }

    /// The same, but without scripts that last until they are cancelled.
    pub fn brief(user: &str, number: usize, rng: &mut StdRng) -> Self {
        loop {
            let planned = Self::any(user, number, rng);
            if !planned.hangs() {
                return planned;
            }
        }
    }

    /// A script of this many thoughts of this many bytes, in a thread of its own.
    pub fn long(message_id: &str, thoughts: u64, bytes: usize) -> Self {
        let thought = "x".repeat(bytes);
        let script = json!({"steps": [{"think": thought, "repeat": thoughts}, {"answer": "done"}]});
        let expect = Expect { status: "succeeded", answer: Some("done".into()), ..Expect::default() };
        Self::script(message_id, &script, expect)
    }

    /// A rehearsal of exactly this, in a thread of its own.
    pub fn script(message_id: &str, script: &Value, expect: Expect) -> Self {
        Self {
            message_id: message_id.to_owned(),
            thread_id: message_id.to_owned(),
            agent_name: "rehearsal",
            text: script.to_string(),
            on_busy: "enqueue",
            expect,
            cancels: false,
        }
    }
}

impl Expect {
    fn failed(code: &'static str) -> Self {
        Self { status: "failed", code: Some(code), ..Self::default() }
    }
}

/// A random thread with its `on_busy` policy; each user has the same threads.
pub fn place(rng: &mut StdRng) -> (String, &'static str) {
    match rng.random_range(0..8) {
        0 => ("t-interrupt".to_owned(), "interrupt"),
        1 => ("t-interrupt".to_owned(), "enqueue"),
        2 => ("t-reject".to_owned(), "reject"),
        other => (format!("t-{}", other % 3), "enqueue"),
    }
}

fn assistant(user: &str, rng: &mut StdRng) -> (&'static str, String, Expect, bool) {
    let (text, says) = *[
        ("What is 17 * 23?", Some("391")),
        ("What is (2 + 3) * (4 + 5)? And what time is it in Oslo?", Some("45")),
        ("What time is it in Asia/Tokyo?", Some("Tokyo")),
        ("hello", Some("Hello")),
        ("search my messages for calculator", None),
    ]
    .choose(rng)
    .unwrap();
    let expect = Expect { status: "succeeded", says, knows_its_calls: true, ..Expect::default() };
    let _ = user;
    ("assistant", text.to_owned(), expect, false)
}

fn rehearsal(user: &str, message_id: &str, rng: &mut StdRng) -> (&'static str, String, Expect, bool) {
    let mut script = ScriptBuilder::default();
    for number in 0..rng.random_range(1..7) {
        script.step(&format!("{user}/{message_id}/{number} "), rng);
    }
    let mut hangs = false;
    let (status, code) = match rng.random_range(0..20) {
        0 | 1 => script.end(json!({"fail": "as rehearsed"}), "agent_error"),
        2 => script.end(json!({"panic": "as rehearsed"}), "agent_panic"),
        3 => {
            let illegal = ["complete_unopened_call", "complete_with_open_call", "reopen_call"];
            // The player decides its calls.
            script.opens_more = true;
            script.end(json!({"illegal": illegal.choose(rng).unwrap()}), "violation")
        }
        4 => {
            script.steps.push(json!({"hang": true}));
            hangs = true;
            ("cancelled", None)
        }
        _ => ("succeeded", None),
    };
    let ScriptBuilder { steps, reasoning, answer, calls, opens_more } = script;
    let expect = Expect {
        status,
        code,
        reasoning: Some(reasoning),
        answer: Some(answer),
        calls: (!opens_more).then_some(calls),
        ..Expect::default()
    };
    ("rehearsal", json!({"steps": steps}).to_string(), expect, hangs)
}

/// A script being built, and the expected end of its run.
#[derive(Default)]
struct ScriptBuilder {
    steps: Vec<Value>,
    reasoning: String,
    answer: String,
    calls: BTreeMap<String, ExpectedCall>,
    opens_more: bool,
}

impl ScriptBuilder {
    fn step(&mut self, mark: &str, rng: &mut StdRng) {
        let step = match rng.random_range(0..12) {
            0..=2 => {
                // Sometimes a burst, sometimes a trickle.
                let (repeat, interval_ms) = *[(1, 0), (3, 0), (8, 2), (60, 0), (300, 0)].choose(rng).unwrap();
                (0..repeat).for_each(|_| self.reasoning.push_str(mark));
                json!({"think": mark, "repeat": repeat, "interval_ms": interval_ms})
            }
            3 | 4 => {
                self.answer.push_str(mark);
                json!({"answer": mark})
            }
            5 => json!({"wait_ms": rng.random_range(0..25)}),
            6..=8 => json!({"tool": self.call(mark, rng)}),
            9 => {
                let calls: Vec<_> = (0..rng.random_range(2..6)).map(|_| self.call(mark, rng)).collect();
                json!({"tools": calls})
            }
            _ => {
                let call_id = format!("q{}", self.calls.len());
                let expected =
                    ExpectedCall { by: "client", tool_name: "approve".into(), status: "", results: None };
                self.calls.insert(call_id.clone(), expected);
                json!({"ask": {"call_id": call_id, "tool_name": "approve", "parameters": {"mark": mark}}})
            }
        };
        self.steps.push(step);
    }

    fn call(&mut self, mark: &str, rng: &mut StdRng) -> Value {
        let call_id = format!("c{}", self.calls.len());
        let error = rng.random_bool(0.2).then_some("as rehearsed");
        let results = json!({"mark": mark, "n": rng.random_range(0..1000)});
        let expected = ExpectedCall {
            by: "agent",
            tool_name: "rehearsed".into(),
            status: if error.is_some() { "error" } else { "ok" },
            results: Some(results.clone()),
        };
        self.calls.insert(call_id.clone(), expected);
        json!({"call_id": call_id, "tool_name": "rehearsed", "parameters": {"mark": mark},
            "takes_ms": rng.random_range(0..20), "results": results, "error": error})
    }

    fn end(&mut self, step: Value, code: &'static str) -> (&'static str, Option<&'static str>) {
        self.steps.push(step);
        ("failed", Some(code))
    }
}
