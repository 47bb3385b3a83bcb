//! Users that connect, send, read, answer, cancel and leave, while agents work and the journal fails now and
//! then; and the conditions that hold under every schedule.
//!
//! Every await and every lock of the machines is a point at which shuttle may let another task run: their
//! packages are built over shuttle's tokio. The journal is the one for tests, with a pause before and after
//! each operation. Time does not pass: no deadline is reached, and a wait for the journal is over at once.

use std::sync::{
    Arc as Shared,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use quintet_agent::host::{AgentCapabilities, AgentLauncher, Assignment, RunEnded};
use quintet_journal::{
    AppendError, Batch, Extent, Journal, JournalError, JournalLayer, Lines, Log, LogLayer, ReadLimit,
    Recovery,
    memory::{AppendFault, MemoryJournal},
};
use quintet_kernel::{
    entry::{Body, Call, CallOwner, CallResult, Event, RunEntry, Thought, ThoughtKind},
    ids::{AgentName, CallId, MessageId, Offset, RunId, ThreadId, ToolName, UserId},
    json::Json,
    run::Ending,
    user::{AgentStep, NewMessage, OnBusy},
};
use quintet_user::{
    deadline::DeadlineLimits,
    factory::Factory,
    handle::{RequestError, User},
    limits::UserLimits,
};
use quintet_wire as wire;
use shuttle::{
    future,
    rand::Rng,
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler},
};

/// The clients and agents of a scene, and the number of its schedules.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub users: usize,
    pub clients: usize,
    pub visits: usize,
    pub faults: usize,
    /// The service drains during the scene (CONN-6).
    pub drains: bool,
    /// The agents that appear, in turns.
    pub agents: &'static [AgentAction],
    /// Schedules of each kind.
    pub schedules: usize,
}

/// The behaviour of an agent in a run.
#[derive(Clone, Copy)]
pub enum AgentAction {
    /// Asks its client, and waits for the answer.
    Asks,
    /// Leaves without completing: its run fails (RUN-6).
    GivesUp,
    Succeeds,
}

/// Many, with a journal that fails.
pub const CROWD: Scenario = Scenario {
    users: 2,
    clients: 2,
    visits: 2,
    faults: 1,
    drains: false,
    agents: &[AgentAction::Asks, AgentAction::GivesUp, AgentAction::Succeeds],
    schedules: 60,
};

/// Few, so that each interleaving is more likely.
pub const QUESTION: Scenario = Scenario {
    users: 1,
    clients: 1,
    visits: 1,
    faults: 0,
    drains: false,
    agents: &[AgentAction::Asks],
    schedules: 200,
};
pub const PAIR: Scenario = Scenario {
    users: 1,
    clients: 2,
    visits: 2,
    faults: 0,
    drains: false,
    agents: &[AgentAction::Succeeds],
    schedules: 150,
};

/// A drain in the middle of the scene.
pub const DRAIN: Scenario = Scenario {
    users: 1,
    clients: 2,
    visits: 2,
    faults: 0,
    drains: true,
    agents: &[AgentAction::Asks, AgentAction::Succeeds],
    schedules: 150,
};

/// Runs the scene under many schedules: random ones, and ones with few preemptions at random places (PCT).
/// `QUINTET_CAMPAIGN_SCHEDULES=N` runs N times as many. A failure prints its schedule; `QUINTET_SCHEDULE`
/// runs one again.
pub fn explore(scenario: Scenario) {
    let times = std::env::var("QUINTET_CAMPAIGN_SCHEDULES").ok().and_then(|text| text.parse().ok());
    let schedules = scenario.schedules * times.unwrap_or(1);
    if let Ok(schedule) = std::env::var("QUINTET_SCHEDULE") {
        play(scenario, ReplayScheduler::new_from_encoded(&schedule));
    } else {
        play(scenario, RandomScheduler::new(schedules));
        play(scenario, PctScheduler::new(2, schedules));
        play(scenario, PctScheduler::new(4, schedules));
    }
}

fn play(scenario: Scenario, scheduler: impl Scheduler + 'static) {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = shuttle::MaxSteps::FailAfter(100_000);
    let played = shuttle::Runner::new(scheduler, config).run(move || future::block_on(crowd(scenario)));
    println!("{played} schedules");
}

async fn crowd(scenario: Scenario) {
    let journal = MemoryJournal::default();
    let agents = Shared::new(ScenarioAgents { actions: scenario.agents, launched: AtomicU64::new(0) });
    let limits = UserLimits {
        deadlines: DeadlineLimits {
            step_timeout_ms: FOR_EVER_MS,
            run_timeout_ms: FOR_EVER_MS,
            client_call_timeout_ms: FOR_EVER_MS,
        },
        ..UserLimits::DEFAULT
    };
    let factory = Factory::new(Shared::new(Pausing(journal.clone())), agents, limits);
    let mut client_tasks = Vec::new();
    for user in 0..scenario.users {
        for client in 0..scenario.clients {
            client_tasks.push(future::spawn(run_client(factory.clone(), user, client, scenario)));
        }
    }
    for fault in 0..scenario.faults {
        future::yield_now().await;
        journal.fail_next_append([AppendFault::Applied, AppendFault::Lost][fault % 2]);
    }
    if scenario.drains {
        for _ in 0..shuttle::rand::thread_rng().gen_range(0..LATE) {
            future::yield_now().await;
        }
        factory.drain();
        factory.quiesced().await;
        assert_eq!(factory.active_runs(), 0);
        let heads = heads(&journal, scenario.users).await;
        for run_client in client_tasks {
            run_client.await.expect("a guest does not panic");
        }
        assert_eq!(
            self::heads(&journal, scenario.users).await,
            heads,
            "CONN-6: a run advanced after the quiesce"
        );
        return;
    }
    for run_client in client_tasks {
        run_client.await.expect("a guest does not panic");
    }
    // Every accepted message is done, and users without clients have left nothing (RUN-6, ISO-5).
    factory.idle().await;
    while factory.live_users() > 0 {
        future::yield_now().await;
    }
    for user in 0..scenario.users {
        complete(&journal, user).await;
    }
}

async fn heads(journal: &MemoryJournal, users: usize) -> Vec<u64> {
    let mut heads = Vec::new();
    for user in 0..users {
        heads.push(journal.log(&user_id(user)).extent().await.expect("the journal can be read").head.0);
    }
    heads
}

/// One client of a user, who connects again and again.
async fn run_client(factory: Factory, number: usize, client: usize, scenario: Scenario) {
    for visit in 0..scenario.visits {
        let user = factory.attach(&user_id(number));
        visited(&user, number, client, visit).await;
        assert!(factory.live_users() > 0, "ISO-5: what a lease holds can be found");
        drop(user);
        future::yield_now().await;
    }
}

/// One connection: sends, reads until its runs have ended, leaves.
async fn visited(user: &User, number: usize, client: usize, visit: usize) {
    let mut cursor = user.cursor(Offset::ZERO).await.expect("the journal can be read");
    // All clients of the user send the first message: it is one message (DEL-6).
    let name = if visit == 0 { "m-all".to_owned() } else { format!("m-{client}-{visit}") };
    let Some(run_id) = send(user, &name).await else { return };
    if client == 0 && visit == 1 {
        cancel(user, run_id).await;
    }
    let mut next = 1;
    loop {
        cursor.moved().await;
        let lines = cursor.read(Offset(u64::MAX), SOME).await.expect("the journal can be read");
        for (offset, line) in lines.iter() {
            assert_eq!(offset.0, next, "DEL-2");
            next += 1;
            let (owner, entry) = wire::entry::decode(&line).expect("an entry");
            assert_eq!(owner, Some(user_id(number)), "ISO-1");
            let entry = entry.run().expect("an entry of a run: nothing is renamed or erased");
            match &entry.body {
                Body::Event { event: Event::ToolExecuting(call), .. } if call.by == CallOwner::Client => {
                    let answered = answer(user, entry.run_id, &call.call_id).await;
                    if answered == Err(RequestError::Draining) {
                        return;
                    }
                }
                Body::Event { event: Event::Completed(_), .. } if entry.run_id == run_id => return,
                _ => {}
            }
        }
    }
}

/// Sends until there is a reply: repeating is safe (DEL-6, DEL-7). `None`: the service drains.
async fn send(user: &User, name: &str) -> Option<RunId> {
    loop {
        let message = NewMessage {
            message_id: MessageId::parse(name).expect("a valid id"),
            thread_id: ThreadId::parse("t").expect("a valid id"),
            text: "hello".to_owned(),
            agent_name: None,
            on_busy: OnBusy::Enqueue,
            parent: None,
        };
        match user.send(message).await {
            Ok(accepted) => return Some(accepted.receipt.run_id),
            Err(RequestError::Draining) => return None,
            Err(RequestError::Unavailable) => future::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
}

async fn cancel(user: &User, run_id: RunId) {
    // Cancelled, ended before, or unknown: the log will show it.
    let _ = user.cancel(run_id).await;
}

async fn answer(user: &User, run_id: RunId, call_id: &CallId) -> Result<(), RequestError> {
    loop {
        match user.answer(run_id, call_id.clone(), CallResult::ok(Json::null())).await {
            Err(RequestError::Unavailable) => future::yield_now().await,
            answered => return answered,
        }
    }
}

/// DEL-5, RUN-6: every message in the log has one run, started once, completed once.
async fn complete(journal: &MemoryJournal, number: usize) {
    let lines = journal.log(&user_id(number)).read(Offset::ZERO, ALL).await.expect("the journal can be read");
    let entries: Vec<RunEntry> = lines
        .iter()
        .filter_map(|(_, line)| wire::entry::decode(&line).expect("an entry").1.into_run())
        .collect();
    let count = |run_id, wanted: fn(&Body) -> bool| {
        entries.iter().filter(|entry| entry.run_id == run_id && wanted(&entry.body)).count()
    };
    for entry in &entries {
        if let Body::UserMessage { .. } = entry.body {
            let run_id = entry.run_id;
            assert_eq!(count(run_id, |body| matches!(body, Body::UserMessage { .. })), 1);
            let started =
                count(run_id, |body| matches!(body, Body::Event { event: Event::Started { .. }, .. }));
            let ended = count(run_id, |body| matches!(body, Body::Event { event: Event::Completed(_), .. }));
            assert_eq!((started, ended), (1, 1), "RUN-1, RUN-5");
        }
    }
}

/// The agents of a scene, one after another.
struct ScenarioAgents {
    actions: &'static [AgentAction],
    launched: AtomicU64,
}

impl AgentLauncher for ScenarioAgents {
    fn default_agent(&self) -> AgentName {
        AgentName::parse("actor").expect("a valid id")
    }

    fn find(&self, _: &AgentName) -> Option<AgentCapabilities> {
        Some(AgentCapabilities { resumable: true })
    }

    fn is_idempotent(&self, _: &AgentName, _: &ToolName) -> bool {
        false
    }

    fn launch(&self, assignment: Assignment) {
        // In order of launching, so that a schedule plays the same again.
        let number = self.launched.fetch_add(1, Ordering::Relaxed) as usize;
        let action = self.actions[number % self.actions.len()];
        future::spawn(async move {
            // After any error the run continues in another hub or has ended.
            let _ = carry_out(assignment, action).await;
        });
    }
}

async fn carry_out(assignment: Assignment, action: AgentAction) -> Result<(), RunEnded> {
    let handle = assignment.handle;
    handle
        .post(AgentStep::Think(Thought { kind: ThoughtKind::Answer, delta: "x".into(), reset: false }))
        .await?;
    match action {
        AgentAction::Asks => {
            // A unique name: an earlier process may have asked before.
            let name = format!("q{}", assignment.past.len());
            let call_id = CallId::parse(&name).expect("a valid id");
            let call = Call {
                call_id: call_id.clone(),
                tool_name: ToolName::parse("ask").expect("a valid id"),
                parameters: Json::empty_object(),
                by: CallOwner::Client,
            };
            handle.take(AgentStep::Open(call)).await?;
            handle.closed(&call_id).await?;
        }
        AgentAction::GivesUp => return Ok(()),
        AgentAction::Succeeds => {}
    }
    handle.take(AgentStep::Complete(Ending::Succeeded { usage: None })).await
}

/// A journal that lets other tasks run first.
struct Pausing(MemoryJournal);

struct PausingLog(Shared<dyn Log>);

#[async_trait]
impl JournalLayer for Pausing {
    fn inner(&self) -> &dyn Journal {
        &self.0
    }

    fn log(&self, user_id: &UserId) -> Shared<dyn Log> {
        Shared::new(PausingLog(self.0.log(user_id)))
    }
}

#[async_trait]
impl LogLayer for PausingLog {
    fn inner(&self) -> &dyn Log {
        &*self.0
    }

    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        future::yield_now().await;
        let appended = self.0.append(batch).await;
        future::yield_now().await;
        appended
    }

    async fn extent(&self) -> Result<Extent, JournalError> {
        let extent = self.0.extent().await;
        future::yield_now().await;
        extent
    }

    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        let lines = self.0.read(after, limit).await;
        future::yield_now().await;
        lines
    }

    async fn recovery(&self, recent_max: usize) -> Result<Recovery, JournalError> {
        let recovery = self.0.recovery(recent_max).await;
        future::yield_now().await;
        recovery
    }
}

fn user_id(number: usize) -> UserId {
    UserId::parse(&format!("user-{number}")).expect("a valid id")
}

const SOME: ReadLimit = ReadLimit { entries_max: 3, bytes_max: 1 << 20 };
const ALL: ReadLimit = ReadLimit { entries_max: usize::MAX, bytes_max: usize::MAX };
/// Latest start of a drain, in turns of other tasks.
const LATE: usize = 100;
/// Shuttle's clock treats more than a year as never.
const FOR_EVER_MS: u64 = 100 * 365 * 86_400_000;
