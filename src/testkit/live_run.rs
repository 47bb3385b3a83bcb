//! A run of a model agent without a service: this side plays the hub, checks each step with the kernel's
//! machine, and answers the questions of the run.

use std::{sync::Arc, time::Duration};

use quintet_agent::{
    Agent, AgentRegistry, CallResult, Executor, ThoughtKind, Usage,
    host::{
        AgentCommand, AgentLauncher, Assignment, EmittedText, HubSenders, Owner, QueueTime, RunEnded,
        RunHandle, RunHandleParts, RunSignal,
    },
};
use quintet_journal::{Journal, memory::MemoryJournal};
use quintet_kernel::{
    entry::{Body, Call, CallOwner, Event, RunEntry, RunErrorCode, RunStatus},
    ids::{AgentName, CallId, MessageId, Offset, RunId, Seq, ThreadId, UserId},
    limits::Limits,
    run::{AnyRun, Closer, EarlyEnd, Ending, Run, Step},
    user::AgentStep,
};
use quintet_runtime::clock;
use tokio::sync::mpsc;

/// A run in progress.
pub struct Live {
    signal: Arc<RunSignal>,
    commands: mpsc::Receiver<AgentCommand>,
    abandoned: mpsc::Receiver<RunId>,
    machine: Option<AnyRun>,
    pub events: Vec<Event>,
    /// Answers the questions of the run.
    pub answer: Box<dyn FnMut(&Call) -> CallResult + Send>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub status: RunStatus,
    pub code: Option<RunErrorCode>,
    pub message: String,
    pub answer: Option<String>,
    pub usage: Option<Usage>,
}

/// Registers an agent on the runtime of the test.
pub fn registry(agent: impl Agent) -> AgentRegistry {
    AgentRegistry::new(agent, Executor::shared()).unwrap()
}

/// Launches an agent on a message.
pub fn launch(agents: &AgentRegistry, text: &str) -> Live {
    launch_from(agents, text, Vec::new())
}

/// Launches an agent on a run of which the log holds these events.
pub fn launch_from(agents: &AgentRegistry, text: &str, past: Vec<Event>) -> Live {
    let run_id = RunId(quintet_runtime::ids::fresh());
    let name = |name: &str| AgentName::parse(name).unwrap();
    let (thread_id, message_id) = (ThreadId::parse("t").unwrap(), MessageId::parse("m1").unwrap());
    let (agent_commands, commands) = mpsc::channel(1024);
    let (abandoned_sender, abandoned) = mpsc::channel(1);
    let signal = Arc::new(RunSignal::default());
    let handle = RunHandle::new(RunHandleParts {
        run_id,
        hub: HubSenders { agent_commands, abandoned: abandoned_sender },
        signal: signal.clone(),
        line: QueueTime::default(),
        log: MemoryJournal::default().log(&UserId::parse("ann").unwrap()),
        limits: Limits::DEFAULT,
        resumed: !past.is_empty(),
    });
    let (machine, started) = Run::start(message_id.clone(), clock::now());
    let (mut machine, mut events) = (Some(AnyRun::Started(machine)), vec![started]);
    let mut entries = Vec::new();
    for (at, event) in (2..).zip(past) {
        let step = match event.clone() {
            Event::Thinking(thought) => Step::Think(thought),
            Event::ToolExecuting(call) => {
                if call.by == CallOwner::Client {
                    signal.opened(call.call_id.clone());
                }
                Step::Open(call)
            }
            Event::ToolCompleted { call_id, result, .. } => {
                signal.note_close(&call_id, &result);
                Step::Close { call_id, result, closer: Closer::Service }
            }
            Event::Started { .. } | Event::Completed(_) => continue,
        };
        machine = machine.map(|machine| machine.step(step, clock::now()).unwrap().0);
        entries.push(RunEntry {
            offset: Offset(at),
            thread_id: thread_id.clone(),
            run_id,
            timestamp: clock::now(),
            agent_name: name("model"),
            body: Body::Event { seq: Seq(at), event: event.clone() },
        });
        events.push(event);
    }
    agents.launch(Assignment {
        owner: Owner::new(1),
        user_id: UserId::parse("ann").unwrap(),
        run_id,
        thread_id,
        message_id,
        agent_name: name("model"),
        text: text.to_owned(),
        accepted: Offset(1),
        past: entries,
        emitted: EmittedText::default(),
        taken: Vec::new(),
        handle,
    });
    let answer = Box::new(|call: &Call| panic!("no answer to {call:?}"));
    Live { signal, commands, abandoned, machine, events, answer }
}

/// Runs an agent on a message to its end.
pub async fn play(agents: &AgentRegistry, text: &str) -> (Vec<Event>, End) {
    launch(agents, text).finish().await
}

impl Live {
    /// Takes the agent's next step. Returns false after the end.
    pub async fn next(&mut self) -> bool {
        if matches!(self.machine, Some(AnyRun::Completed(_))) {
            return false;
        }
        let command = tokio::select! {
            biased;
            Some(command) = self.commands.recv() => command,
            () = tokio::time::sleep(STEP_TIMEOUT) => panic!("the agent takes no step: {:?}", self.events),
            abandoned = self.abandoned.recv() => panic!("the agent left its run: {abandoned:?}"),
        };
        match command {
            AgentCommand::Step { step, reply, .. } => {
                let step = match step {
                    AgentStep::Think(thought) => Step::Think(thought),
                    AgentStep::Open(call) => Step::Open(call),
                    AgentStep::Close { call_id, result } => {
                        Step::Close { call_id, result, closer: Closer::Agent }
                    }
                    AgentStep::Complete(ending) => Step::Complete(ending),
                };
                let question = match &step {
                    Step::Open(call) if call.by == CallOwner::Client => Some(call.clone()),
                    _ => None,
                };
                if let Some(question) = &question {
                    self.signal.opened(question.call_id.clone());
                }
                self.step(step);
                if let Some(reply) = reply {
                    let _gone = reply.send(Ok(()));
                }
                if let Some(question) = question {
                    let result = (self.answer)(&question);
                    self.close(&question.call_id, result);
                }
            }
            AgentCommand::Cut { cut, reply, .. } => {
                let open: Vec<CallId> = match &self.machine {
                    Some(AnyRun::ExecutingTools(run)) => run.open_calls().keys().cloned().collect(),
                    _ => Vec::new(),
                };
                for call_id in open {
                    self.step(Step::Close {
                        call_id,
                        result: CallResult::error("cut"),
                        closer: Closer::Service,
                    });
                }
                self.end(cut);
                let _gone = reply.send(());
            }
            AgentCommand::TakeMessages { reply, .. } => {
                let _gone = reply.send(Ok(Vec::new()));
            }
            AgentCommand::Parked { .. } => {}
        }
        true
    }

    fn close(&mut self, call_id: &CallId, result: CallResult) {
        self.step(Step::Close { call_id: call_id.clone(), result: result.clone(), closer: Closer::Client });
        self.signal.note_close(call_id, &result);
    }

    /// Ends the run as a hub does, with the tokens that the agent has counted.
    fn end(&mut self, cut: EarlyEnd) {
        self.step(Step::Complete(Ending::Cut(cut)));
        if let Some(Event::Completed(completion)) = self.events.last_mut() {
            completion.usage = self.signal.usage();
        }
    }

    fn step(&mut self, step: Step) {
        let machine = self.machine.take().expect("the run goes on");
        let (machine, event) =
            machine.step(step, clock::now()).unwrap_or_else(|violation| panic!("{violation:?}"));
        self.machine = Some(machine);
        self.events.push(event);
    }

    /// Waits until an event matches.
    pub async fn until(&mut self, reached: impl Fn(&Event) -> bool) {
        while !self.events.iter().any(&reached) {
            assert!(self.next().await, "the run has ended: {:?}", self.events);
        }
    }

    /// Ends the run as a cancel does.
    pub fn cancel(&mut self) {
        self.end(EarlyEnd::Cancelled);
        self.signal.stop(RunEnded::Ended);
    }

    /// Runs to the end.
    pub async fn finish(mut self) -> (Vec<Event>, End) {
        while self.next().await {}
        let Some(Event::Completed(completion)) = self.events.last().cloned() else {
            panic!("{:?}", self.events)
        };
        let end = End {
            status: completion.status,
            code: completion.error.as_ref().map(|error| error.code),
            message: completion.error.map(|error| error.message).unwrap_or_default(),
            answer: completion.final_response,
            usage: completion.usage,
        };
        (self.events, end)
    }
}

/// Greatest time for which a test waits for a step.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// The text of one kind.
pub fn text(events: &[Event], kind: ThoughtKind) -> String {
    let mut text = String::new();
    for event in events {
        match event {
            Event::Thinking(thought) if thought.kind == kind => {
                if thought.reset {
                    text.clear();
                }
                text.push_str(&thought.delta);
            }
            _ => {}
        }
    }
    text
}

/// The calls with their results, in the order of their beginning.
pub fn calls(events: &[Event]) -> Vec<(Call, Option<CallResult>)> {
    let opened = events.iter().filter_map(|event| match event {
        Event::ToolExecuting(call) => Some(call.clone()),
        _ => None,
    });
    let result = |call: &Call| {
        events.iter().find_map(|event| match event {
            Event::ToolCompleted { call_id, result, .. } if *call_id == call.call_id => Some(result.clone()),
            _ => None,
        })
    };
    opened.map(|call| (call.clone(), result(&call))).collect()
}
