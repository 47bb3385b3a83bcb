//! Agents whose every step a test takes by hand, and a short notation for the rest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use quintet::{
    agent::host::{AgentCapabilities, AgentLauncher, Assignment, RunHandle},
    journal::{Journal, Lines, ReadLimit},
    kernel::{
        entry::{Body, Call, CallOwner, CallResult, Event, RunEntry, RunStatus, Thought, ThoughtKind},
        ids::{AgentName, CallId, MessageId, Offset, ThreadId, ToolName, UserId},
        json::Json,
        run::Ending,
        user::{AgentStep, NewMessage, OnBusy},
    },
    user::{factory::Factory, handle::User, limits::UserLimits},
    wire,
};
use tokio::{sync::mpsc, time::timeout};

/// An executor that hands every assignment to the test.
pub struct ManualAgents {
    stage: mpsc::UnboundedSender<Assignment>,
    resumable: bool,
    /// Number of coming launches that panic, in the hub that launches.
    panics: Arc<AtomicUsize>,
}

impl ManualAgents {
    pub fn new(stage: mpsc::UnboundedSender<Assignment>) -> Self {
        Self { stage, resumable: true, panics: Arc::default() }
    }
}

impl AgentLauncher for ManualAgents {
    fn default_agent(&self) -> AgentName {
        AgentName::parse("puppet").unwrap()
    }

    fn find(&self, agent_name: &AgentName) -> Option<AgentCapabilities> {
        (agent_name.as_str() == "puppet").then_some(AgentCapabilities { resumable: self.resumable })
    }

    fn is_idempotent(&self, _: &AgentName, tool_name: &ToolName) -> bool {
        tool_name.as_str() == "again"
    }

    fn launch(&self, assignment: Assignment) {
        let panics = self.panics.fetch_update(SeqCst, SeqCst, |panics| panics.checked_sub(1)).is_ok();
        assert!(!panics, "the test made a launch panic");
        self.stage.send(assignment).unwrap();
    }
}

/// A process: a factory over a journal, and the receiver of its agents' runs.
pub struct Node {
    pub factory: Factory,
    pub stage: mpsc::UnboundedReceiver<Assignment>,
    panics: Arc<AtomicUsize>,
}

impl Node {
    pub fn new(journal: &Arc<impl Journal>) -> Self {
        Self::with(journal, UserLimits::DEFAULT, true)
    }

    pub fn with(journal: &Arc<impl Journal>, limits: UserLimits, resumable: bool) -> Self {
        let (to_stage, stage) = mpsc::unbounded_channel();
        let panics = Arc::<AtomicUsize>::default();
        let agents = Arc::new(ManualAgents { stage: to_stage, resumable, panics: panics.clone() });
        Self { factory: Factory::new(journal.clone(), agents, limits), stage, panics }
    }

    /// Makes the hub panic at so many launches.
    pub fn fall(&self, times: usize) {
        self.panics.store(times, SeqCst);
    }

    pub async fn launched(&mut self) -> Assignment {
        let launched = timeout(LAUNCH_WAIT_MAX, self.stage.recv()).await;
        launched.expect("a launch in time").expect("an agent is launched")
    }

    pub fn user(&self, name: &str) -> User {
        self.factory.attach(&UserId::parse(name).unwrap())
    }
}

pub fn message(message_id: &str, thread_id: &str) -> NewMessage {
    NewMessage {
        message_id: MessageId::parse(message_id).unwrap(),
        thread_id: ThreadId::parse(thread_id).unwrap(),
        text: format!("text of {message_id}"),
        agent_name: None,
        on_busy: OnBusy::Enqueue,
        parent: None,
    }
}

pub fn thought(kind: ThoughtKind, delta: &str) -> AgentStep {
    AgentStep::Think(Thought { kind, delta: delta.to_owned(), reset: false })
}

pub fn open(call_id: &str, tool_name: &str, by: CallOwner) -> AgentStep {
    AgentStep::Open(Call {
        call_id: call(call_id),
        tool_name: ToolName::parse(tool_name).unwrap(),
        parameters: Json::empty_object(),
        by,
    })
}

pub fn close(call_id: &str) -> AgentStep {
    AgentStep::Close { call_id: call(call_id), result: CallResult::ok(Json::null()) }
}

pub fn succeed() -> AgentStep {
    AgentStep::Complete(Ending::Succeeded { usage: None })
}

pub fn call(call_id: &str) -> CallId {
    CallId::parse(call_id).unwrap()
}

/// Thinks, answers `text` and succeeds.
pub async fn answer(handle: &RunHandle, text: &str) {
    handle.post(thought(ThoughtKind::Answer, text)).await.unwrap();
    handle.take(succeed()).await.unwrap();
}

/// Returns all entries of a user's log, decoded; checks that each is this user's.
pub async fn log(user: &User) -> Vec<RunEntry> {
    decode(user, &user.entries(Offset::ZERO, ALL).await.unwrap())
}

pub fn decode(user: &User, lines: &Lines) -> Vec<RunEntry> {
    lines
        .iter()
        .map(|(offset, line)| {
            let (owner, entry) = wire::entry::decode(&line).unwrap();
            assert_eq!((owner.as_ref(), entry.offset()), (Some(user.user_id()), offset), "ISO-1");
            entry.into_run().unwrap()
        })
        .collect()
}

/// Reads the log from its beginning until the run of `message_id` has completed; returns the entries in
/// order.
pub async fn read_to_end(user: &User, message_id: &str) -> Vec<RunEntry> {
    let mut cursor = user.cursor(Offset::ZERO).await.unwrap();
    let mut entries = Vec::new();
    let mut run_id = None;
    loop {
        cursor.moved().await;
        let lines = cursor.read(Offset(u64::MAX), ALL).await.unwrap();
        for entry in decode(user, &lines) {
            match &entry.body {
                Body::UserMessage { message_id: id, .. } if id.as_str() == message_id => {
                    run_id = Some(entry.run_id)
                }
                _ => {}
            }
            let ends = completion(&entry).is_some() && Some(entry.run_id) == run_id;
            entries.push(entry);
            if ends {
                return entries;
            }
        }
    }
}

pub fn completion(entry: &RunEntry) -> Option<RunStatus> {
    match &entry.body {
        Body::Event { event: Event::Completed(completion), .. } => Some(completion.status),
        _ => None,
    }
}

/// A log in short notation: `m1 started thinking …`.
pub fn words(entries: &[RunEntry]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| match &entry.body {
            Body::UserMessage { message_id, .. } => message_id.to_string(),
            Body::Event { event: Event::Started { message_id }, .. } => format!("{message_id}:started"),
            Body::Event { event: Event::Thinking(thought), .. } => format!("thinking:{}", thought.delta),
            Body::Event { event: Event::ToolExecuting(call), .. } => format!("executing:{}", call.call_id),
            Body::Event { event: Event::ToolCompleted { call_id, result, .. }, .. } => {
                format!("completed:{call_id}:{:?}", result.status)
            }
            Body::Event { event: Event::Completed(completion), .. } => format!("{:?}", completion.status),
        })
        .collect()
}

pub const ALL: ReadLimit = ReadLimit { entries_max: 100_000, bytes_max: 64 * 1024 * 1024 };

/// Time limit for the launch of an agent: longer than any delay before one, most of it in paused time.
const LAUNCH_WAIT_MAX: Duration = Duration::from_secs(300);
