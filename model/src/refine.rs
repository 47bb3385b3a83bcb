//! The kernel's types as the specifications write them: what `Kernel.tla` calls a run, a user's
//! state, an entry.

use std::{collections::BTreeMap, sync::Arc};

use quintet::kernel::{
    entry::{Body, Entry, Event, RunStatus},
    limits::Limits,
    run::{AnyRun, Closer, PhaseName},
    user::{OpenRun, Progress, Receipt, UserState},
};
use tla_checker::ast::Value;

use crate::{
    ask::Ask,
    models::{
        run::{Letter, RunAction, RunModel, RunState},
        user::{Account, UserModel},
    },
    spec::Refines,
    vocabulary::{
        by_name, call, call_number, call_status_name, ending_name, message, message_number, run_number,
        run_status_name, thread_number,
    },
};

pub fn int(number: impl Into<u64>) -> Value {
    Value::Int(number.into() as i64)
}

pub fn text(text: &str) -> Value {
    Value::Str(text.into())
}

pub fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::record(fields.into_iter().map(|(name, value)| (Arc::from(name), value)).collect())
}

pub fn sequence(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Tuple(Arc::new(values.into_iter().collect()))
}

pub fn set(values: impl IntoIterator<Item = Value>) -> Value {
    Value::set(values.into_iter().collect())
}

pub fn function(pairs: impl IntoIterator<Item = (Value, Value)>) -> Value {
    Value::func(pairs.into_iter().collect::<BTreeMap<_, _>>())
}

/// The numbers 1 … `max`, as a constant.
pub fn up_to(max: u8) -> Value {
    set((1..=max).map(int))
}

/// The constants of `Kernel.tla`.
pub fn limits(limits: &Limits, calls: u8) -> Vec<(&'static str, Value)> {
    vec![
        ("Calls", up_to(calls)),
        ("EventsMax", int(limits.run_events_max)),
        ("OpenCallsMax", int(limits.open_calls_max as u64)),
        ("RunCallsMax", int(limits.run_calls_max as u64)),
        ("OpenRunsMax", int(limits.open_runs_max as u64)),
        ("QueuedMax", int(limits.queued_messages_max as u64)),
        ("RecentMax", int(limits.recent_messages_max as u64)),
    ]
}

pub fn run(run: &AnyRun, calls: u8) -> Value {
    let phase = match run.phase() {
        PhaseName::Started => "started",
        PhaseName::Thinking => "thinking",
        PhaseName::ExecutingTools => "executing",
        PhaseName::Completed => "completed",
    };
    record([
        ("phase", text(phase)),
        ("seq", int(run.seq().0)),
        ("opened", set((1..=calls).filter(|id| run.has_opened(&call(*id))).map(int))),
        (
            "open",
            function(
                run.open_calls().iter().map(|(id, open)| (int(call_number(id)), text(by_name(open.by)))),
            ),
        ),
    ])
}

fn waiting() -> Value {
    record([("phase", text("waiting")), ("seq", int(0u8)), ("opened", set([])), ("open", sequence([]))])
}

pub fn entry(entry: &Entry) -> Value {
    let (seq, kind, message, call, what) = match &entry.body {
        Body::UserMessage { message_id, .. } => (0, "user_message", message_number(message_id), 0, ""),
        Body::Event { seq, event } => match event {
            Event::Started { message_id } => (seq.0, "agent_started", message_number(message_id), 0, ""),
            Event::Thinking(_) => (seq.0, "agent_thinking", 0, 0, ""),
            Event::ToolExecuting(call) => {
                (seq.0, "tool_executing", 0, call_number(&call.call_id), by_name(call.by))
            }
            Event::ToolCompleted { call_id, result, .. } => {
                (seq.0, "tool_completed", 0, call_number(call_id), call_status_name(result.status))
            }
            Event::Completed(c) => (seq.0, "agent_completed", 0, 0, ending_name(c.status, c.error.as_ref())),
        },
    };
    record([
        ("run", int(run_number(entry.run_id))),
        ("seq", int(seq)),
        ("kind", text(kind)),
        ("thread", int(thread_number(&entry.thread_id))),
        ("message", int(message)),
        ("call", int(call)),
        ("what", text(what)),
    ])
}

pub fn log(entries: &[Entry]) -> Value {
    sequence(entries.iter().map(entry))
}

/// A user's state. `messages` are the ones that may be remembered: the state does not list them.
pub fn user(state: &UserState, calls: u8, messages: u8) -> Value {
    let open = |open: &OpenRun| {
        let progress = match &open.progress {
            Progress::Waiting => waiting(),
            Progress::Begun(begun) => run(begun, calls),
        };
        record([
            ("thread", int(thread_number(&open.thread_id))),
            ("message", int(message_number(&open.message_id))),
            ("accepted", int(open.accepted.0)),
            ("run", progress),
        ])
    };
    let remembered = |number| state.recent(&message(number)).map(|receipt| (number, receipt));
    let mut recent: Vec<(u8, Receipt)> = (1..=messages).filter_map(remembered).collect();
    recent.sort_by_key(|(_, receipt)| receipt.offset);
    let recent = recent.into_iter().map(|(number, receipt)| {
        record([
            ("message", int(number)),
            ("run", int(run_number(receipt.run_id))),
            ("offset", int(receipt.offset.0)),
        ])
    });
    record([
        ("head", int(state.head().0)),
        ("runs", function(state.open_runs().iter().map(|(id, run)| (int(run_number(*id)), open(run))))),
        ("recent", sequence(recent)),
    ])
}

impl RunModel {
    pub fn constants(&self) -> Vec<(&'static str, Value)> {
        let mut constants = limits(&Limits::DEFAULT, self.calls);
        constants.retain(|(name, _)| *name != "EventsMax");
        constants.push(("EventsMax", int(self.events_max as u64)));
        constants
    }
}

impl Refines<RunState, RunAction> for RunModel {
    fn state(&self, state: &RunState) -> Vec<(&'static str, Value)> {
        let letter = |letter: &Letter| {
            let (kind, call, what) = match letter {
                Letter::Started => ("agent_started", 0, ""),
                Letter::Thinking => ("agent_thinking", 0, ""),
                Letter::Executing(id, by) => ("tool_executing", *id, by_name(*by)),
                Letter::Returned(id) => ("tool_completed", *id, "ok"),
                Letter::Completed(RunStatus::Succeeded) => ("agent_completed", 0, "succeeded"),
                Letter::Completed(status) => ("agent_completed", 0, run_status_name(*status)),
            };
            record([("kind", text(kind)), ("call", int(call)), ("what", text(what))])
        };
        vec![("run", run(&state.run, self.calls)), ("word", sequence(state.word.iter().map(letter)))]
    }

    fn action(&self, action: &RunAction) -> &'static str {
        match action {
            RunAction::Think => "DoThink",
            RunAction::Open(..) => "DoOpen",
            RunAction::Close(_, Closer::Agent | Closer::Client | Closer::Service) => "DoClose",
            RunAction::Succeed => "DoSucceed",
            RunAction::Fail | RunAction::Cancel | RunAction::TimeOut | RunAction::Interrupt => "DoCut",
        }
    }
}

impl UserModel {
    pub fn constants(&self) -> Vec<(&'static str, Value)> {
        let mut constants = limits(&self.limits, self.calls);
        constants.extend([("Messages", up_to(self.messages)), ("Threads", up_to(self.threads))]);
        constants
    }
}

impl Refines<Account, Ask> for UserModel {
    fn state(&self, state: &Account) -> Vec<(&'static str, Value)> {
        vec![("user", user(&state.user, self.calls, self.messages)), ("log", log(&state.log))]
    }

    /// Every command of `User.tla` goes through its operator `Add`.
    fn action(&self, _: &Ask) -> &'static str {
        "Add"
    }
}
