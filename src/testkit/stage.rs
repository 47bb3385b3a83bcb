//! A process with agents, a user who sends messages to them, and a short notation for the log.

use std::sync::Arc;

use bytes::BytesMut;
use quintet::{
    agent::{AgentRegistry, Executor, rehearsal::Rehearsal},
    journal::{Batch, Journal, Lines, ReadLimit, lines::LinesBuilder, memory::MemoryJournal},
    kernel::{
        entry::{Body, Completion, Entry, Event, RunEntry, RunStatus},
        ids::{AgentName, MessageId, Offset, RunId, ThreadId, UserId},
        user::{NewMessage, OnBusy},
    },
    service::built_in,
    user::{cursor::Cursor, factory::Factory, handle::User, limits::UserLimits},
    wire,
};

pub const ALL: ReadLimit = ReadLimit { entries_max: 100_000, bytes_max: 64 * 1024 * 1024 };

/// One process over a journal.
pub struct Stage {
    pub factory: Factory,
}

/// A process with the built-in agents.
impl Default for Stage {
    fn default() -> Self {
        Self::with(built_in(Executor::shared()).with(Rehearsal).unwrap())
    }
}

impl Stage {
    /// A process with the built-in agents.
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(agents: AgentRegistry) -> Self {
        Self::over(MemoryJournal::default(), agents)
    }

    pub fn over(journal: MemoryJournal, agents: AgentRegistry) -> Self {
        Self::within(journal, agents, UserLimits::DEFAULT)
    }

    pub fn within(journal: MemoryJournal, agents: AgentRegistry, limits: UserLimits) -> Self {
        Self { factory: Factory::new(Arc::new(journal), Arc::new(agents), limits) }
    }

    /// A process over a journal with the entries that an earlier process left.
    pub async fn after_crash(left: &[RunEntry], agents: AgentRegistry) -> Self {
        let journal = MemoryJournal::default();
        if !left.is_empty() {
            let mut lines = LinesBuilder::new(left[0].offset);
            let entries: Vec<_> = left.iter().cloned().map(Entry::Run).collect();
            entries
                .iter()
                .for_each(|entry| lines.push(|out: &mut BytesMut| wire::entry::encode(&ann(), entry, out)));
            let batch = Batch::new(Offset(left[0].offset.0 - 1), entries, lines.finish());
            journal.log(&ann()).append(batch).await.unwrap();
        }
        let stage = Self::over(journal, agents);
        stage.factory.recover().await.unwrap();
        stage
    }

    pub fn ann(&self) -> Talk {
        self.user("ann")
    }

    pub fn user(&self, name: &str) -> Talk {
        let user = self.factory.attach(&UserId::parse(name).unwrap());
        Talk { user, sent: 0 }
    }
}

pub fn ann() -> UserId {
    UserId::parse("ann").unwrap()
}

/// A user who sends messages and reads the log.
pub struct Talk {
    pub user: User,
    sent: u32,
}

impl Talk {
    /// Sends a message to an agent.
    pub async fn send(&mut self, agent: &str, text: &str) -> Watch {
        self.send_as(agent, text, OnBusy::Enqueue, None).await
    }

    /// Sends a message under a policy, after a parent.
    pub async fn send_as(
        &mut self,
        agent: &str,
        text: &str,
        on_busy: OnBusy,
        parent: Option<Offset>,
    ) -> Watch {
        self.sent += 1;
        let message = NewMessage {
            message_id: MessageId::parse(&format!("m{}", self.sent)).unwrap(),
            thread_id: ThreadId::parse("t").unwrap(),
            text: text.to_owned(),
            agent_name: Some(AgentName::parse(agent).unwrap()),
            on_busy,
            parent,
        };
        let run_id = self.user.send(message).await.unwrap().receipt.run_id;
        self.watch(run_id).await
    }

    pub async fn watch(&self, run_id: RunId) -> Watch {
        Watch { cursor: self.user.cursor(Offset::ZERO).await.unwrap(), run_id, seen: Vec::new() }
    }

    /// The events of a run from a message to its end.
    pub async fn play(&mut self, agent: &str, text: &str) -> Vec<Event> {
        self.send(agent, text).await.finish().await
    }

    pub async fn log(&self) -> Vec<RunEntry> {
        decode(&self.user.entries(Offset::ZERO, ALL).await.unwrap())
    }
}

pub fn decode(lines: &Lines) -> Vec<RunEntry> {
    lines.iter().map(|(_, line)| wire::entry::decode(&line).unwrap().1.into_run().unwrap()).collect()
}

/// One run, read from its user's log.
pub struct Watch {
    cursor: Cursor,
    pub run_id: RunId,
    seen: Vec<Event>,
}

impl Watch {
    /// Waits until an event of the run matches; returns all events so far.
    pub async fn until(&mut self, reached: impl Fn(&Event) -> bool) -> &[Event] {
        while !self.seen.iter().any(&reached) {
            self.cursor.moved().await;
            let entries = decode(&self.cursor.read(Offset(u64::MAX), ALL).await.unwrap());
            for entry in entries.into_iter().filter(|entry| entry.run_id == self.run_id) {
                if let Body::Event { event, .. } = entry.body {
                    self.seen.push(event);
                }
            }
        }
        &self.seen
    }

    pub async fn finish(mut self) -> Vec<Event> {
        self.until(|event| matches!(event, Event::Completed(_))).await;
        self.seen
    }
}

/// Events in short notation: `reasoning:text`, `open:c1`, `ok:c1`, `succeeded`.
pub fn words(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            Event::Started { .. } => "started".into(),
            Event::Thinking(thought) => {
                let reset = if thought.reset { "reset-" } else { "" };
                format!("{reset}{:?}:{}", thought.kind, thought.delta).to_lowercase()
            }
            Event::ToolExecuting(call) => format!("open:{}", call.call_id),
            Event::ToolCompleted { call_id, result, .. } => {
                format!("{:?}:{call_id}", result.status).to_lowercase()
            }
            Event::Completed(completion) => format!("{:?}", completion.status).to_lowercase(),
        })
        .collect()
}

pub fn completion(events: &[Event]) -> &Completion {
    match events.last() {
        Some(Event::Completed(completion)) => completion,
        other => panic!("the run has not completed: {other:?}"),
    }
}

/// The status, the error code as the wire writes it, and the message of a run's end.
pub fn ending(events: &[Event]) -> (RunStatus, String, String) {
    let completion = completion(events);
    let error = completion.error.as_ref();
    let code = error.map(|error| serde_json::to_string(&error.code).unwrap().replace('"', ""));
    (
        completion.status,
        code.unwrap_or_default(),
        error.map(|error| error.message.clone()).unwrap_or_default(),
    )
}
