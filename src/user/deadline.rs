//! The timeouts of runs: of a step, of a whole run, and of a call that waits for the client.
//!
//! Guarantee: time within one process is measured by a monotonic clock, so setting the wall clock ends no run.
//! The wall clock determines only how old a run or a call was when this process resumed it, and how long it
//! had waited for its client by then.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    agent::host::QueueTime,
    kernel::{
        entry::{CallOwner, CallStatus, Event, RunError, RunErrorCode},
        ids::{CallId, RunId, Timestamp},
        run::{AnyRun, EarlyEnd},
        user::{Command, Progress, UserState},
    },
};

quintet_runtime::limits! {
    /// The timeouts of runs (RUN-6, RUN-7).
    pub struct DeadlineLimits {
        /// Time from one step of a run to the next, without the time in which a call waits for the client or
        /// the run waits for its user's other runs.
        pub step_timeout_ms: u64 = 60_000, in 1..=604_800_000;
        /// Time from `agent_started` to the end, without the time in which a call waits for the client.
        pub run_timeout_ms: u64 = 3_600_000, in 1..=2_592_000_000;
        /// Time that a call waits for the client (RUN-11).
        pub client_call_timeout_ms: u64 = 86_400_000, in 1..=31_536_000_000;
    }
}

/// The timers of one user's open runs. Checked lazily: a step only records the time.
#[derive(Debug)]
pub struct Deadlines {
    limits: DeadlineLimits,
    timers: BTreeMap<RunId, RunTimer>,
    /// A lower bound of the next deadline.
    next: Option<Instant>,
}

#[derive(Clone, Debug)]
struct RunTimer {
    step: Instant,
    /// True while the run waits for its agent: its age counts, but not its step timer.
    queued: bool,
    /// The time that the run has waited in line, and its value at the latest step.
    line: QueueTime,
    waited_in_queue: Duration,
    run: Age,
    /// Calls that wait for the client.
    asked: BTreeMap<CallId, Age>,
    /// The total time that the run has waited for the client, and the start of the current wait.
    waited: Duration,
    waits_since: Option<Instant>,
}

/// The age of a run or call.
#[derive(Clone, Copy, Debug)]
struct Age {
    /// The time at which this process first saw it, and its age then by the wall clock.
    since: Instant,
    before: Duration,
}

impl Age {
    fn new(born_at: Timestamp, now: Instant, at: Timestamp) -> Self {
        Self { since: now, before: Duration::from_millis(at.millis_since(born_at)) }
    }

    fn at(self, now: Instant) -> Duration {
        self.before + (now - self.since)
    }
}

impl Deadlines {
    /// Creates an empty set of timers.
    pub fn new(limits: DeadlineLimits) -> Self {
        Self { limits, timers: BTreeMap::new(), next: None }
    }

    /// Starts the timers of a run that was started or resumed. `waited` is the time that it waited before this
    /// process first saw it, and is ignored if the process has seen it before.
    pub fn resumed(
        &mut self,
        run_id: RunId,
        run: &AnyRun,
        waited: &Waited,
        line: QueueTime,
        now: Instant,
        at: Timestamp,
    ) {
        let timer = self.timers.entry(run_id).or_insert_with(|| RunTimer {
            step: now,
            queued: false,
            line: line.clone(),
            waited_in_queue: Duration::ZERO,
            run: Age::new(run.started_at(), now, at),
            asked: BTreeMap::new(),
            waited: waited.until(at),
            waits_since: None,
        });
        timer.line = line;
        timer.queued = false;
        self.moved(run_id, run, now, at);
    }

    /// Starts the timers of an open run that this process resumes later. Its age is measured from here by the
    /// monotonic clock; its step timer starts with [`Self::resumed`].
    pub fn queued(&mut self, run_id: RunId, run: &AnyRun, waited: &Waited, now: Instant, at: Timestamp) {
        self.resumed(run_id, run, waited, QueueTime::default(), now, at);
        if let Some(timer) = self.timers.get_mut(&run_id) {
            timer.queued = true;
        }
    }

    /// Restarts the step timer after a step.
    pub fn moved(&mut self, run_id: RunId, run: &AnyRun, now: Instant, at: Timestamp) {
        let Some(timer) = self.timers.get_mut(&run_id) else { return };
        timer.step = now;
        timer.waited_in_queue = timer.line.waited(now);
        timer.asked.retain(|call_id, _| run.open_calls().contains_key(call_id));
        for (call_id, call) in run.open_calls().iter().filter(|(_, call)| call.by == CallOwner::Client) {
            timer.asked.entry(call_id.clone()).or_insert_with(|| Age::new(call.opened_at, now, at));
        }
        match (timer.waits_since, !timer.asked.is_empty()) {
            (Some(since), false) => {
                timer.waited += now - since;
                timer.waits_since = None;
            }
            (None, true) => timer.waits_since = Some(now),
            (Some(_), true) | (None, false) => {}
        }
        let soonest = match due(&self.limits, timer, now) {
            Due::Later(wait) => now + wait,
            Due::Cut(_) | Due::Close(_) => now,
        };
        self.next = Some(self.next.map_or(soonest, |next| next.min(soonest)));
    }

    /// Drops the timers of a run that has ended. Unknown ids are ignored.
    pub fn forget(&mut self, run_id: RunId) {
        self.timers.remove(&run_id);
        if self.timers.is_empty() {
            self.next = None;
        }
    }

    /// Returns the time at which a call of the client times out (RUN-11); `None` if the call has no timer. `at` is the
    /// wall clock's reading of `now`.
    pub fn of_call(&self, run_id: RunId, call_id: &CallId, now: Instant, at: Timestamp) -> Option<Timestamp> {
        let age = self.timers.get(&run_id)?.asked.get(call_id)?.at(now);
        let wait = Duration::from_millis(self.limits.client_call_timeout_ms).saturating_sub(age);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Some(Timestamp(at.0.saturating_add(wait_ms)))
    }

    /// Suspends all deadlines while the log is not known, until runs are resumed. Elapsed times are kept.
    pub fn suspend(&mut self) {
        self.next = None;
    }

    /// Drops the timers of runs that are no longer open.
    pub fn keep_open(&mut self, state: &UserState) {
        self.timers.retain(|run_id, _| state.open_runs().contains_key(run_id));
    }

    /// Returns a lower bound of the next deadline.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Returns the commands for deadlines that have passed. To be called at [`Self::next`].
    pub fn passed(&mut self, state: &UserState, now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut next: Option<Instant> = None;
        for (run_id, open) in state.open_runs() {
            let (Progress::Begun(_), Some(timer)) = (&open.progress, self.timers.get(run_id)) else {
                continue;
            };
            match due(&self.limits, timer, now) {
                Due::Cut(cut) => commands.push(Command::Cut { run_id: *run_id, cut }),
                Due::Close(calls) => commands.extend(calls.into_iter().map(|call_id| Command::CloseCall {
                    run_id: *run_id,
                    call_id,
                    status: CallStatus::TimedOut,
                })),
                Due::Later(wait) => {
                    let then = now + wait;
                    next = Some(next.map_or(then, |next| next.min(then)));
                }
            }
        }
        if !commands.is_empty() {
            // The commands advance the runs; check again soon in case they could not be executed.
            let again = now + RETRY;
            next = Some(next.map_or(again, |next| next.min(again)));
        }
        self.next = next;
        commands
    }
}

/// The time that a run has waited for its client by its log: while at least one call of the client was open
/// (RUN-11).
#[derive(Clone, Debug, Default)]
pub struct Waited {
    open: BTreeSet<CallId>,
    since: Timestamp,
    before_ms: u64,
}

impl Waited {
    /// Adds the next event of the run.
    pub fn take(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::ToolExecuting(call) if call.by == CallOwner::Client => {
                if self.open.is_empty() {
                    self.since = at;
                }
                self.open.insert(call.call_id.clone());
            }
            Event::ToolCompleted { call_id, .. } if self.open.remove(call_id) && self.open.is_empty() => {
                self.before_ms += at.millis_since(self.since);
            }
            _ => {}
        }
    }

    /// Returns true if this call is open and waits for the client.
    pub fn waits_for(&self, call_id: &CallId) -> bool {
        self.open.contains(call_id)
    }

    /// Returns the total wait, counting open calls up to `at`.
    fn until(&self, at: Timestamp) -> Duration {
        let now_ms = if self.open.is_empty() { 0 } else { at.millis_since(self.since) };
        Duration::from_millis(self.before_ms + now_ms)
    }
}

enum Due {
    Cut(EarlyEnd),
    Close(Vec<CallId>),
    Later(Duration),
}

fn due(limits: &DeadlineLimits, timer: &RunTimer, now: Instant) -> Due {
    let left = |age: &Age| Duration::from_millis(limits.client_call_timeout_ms).saturating_sub(age.at(now));
    if let Some(soonest) = timer.asked.values().map(left).min() {
        if !soonest.is_zero() {
            return Due::Later(soonest);
        }
        let late = timer.asked.iter().filter(|(_, age)| left(age).is_zero());
        return Due::Close(late.map(|(call_id, _)| call_id.clone()).collect());
    }
    // Time taken by the user's other runs does not count as a step (ISO-6); `run_timeout_ms` bounds it anyway.
    let in_line = timer.line.waited(now).saturating_sub(timer.waited_in_queue);
    let stepping = (now - timer.step).saturating_sub(in_line);
    let step = Duration::from_millis(limits.step_timeout_ms).saturating_sub(stepping);
    let running = timer.run.at(now).saturating_sub(timer.waited);
    let whole = Duration::from_millis(limits.run_timeout_ms).saturating_sub(running);
    let timed_out = |code, what: &str, ms: u64| {
        Due::Cut(EarlyEnd::TimedOut(RunError { code, message: format!("{what} took longer than {ms} ms") }))
    };
    if whole.is_zero() {
        timed_out(RunErrorCode::RunTimeout, "the run", limits.run_timeout_ms)
    } else if timer.queued {
        Due::Later(whole)
    } else if step.is_zero() {
        timed_out(RunErrorCode::StepTimeout, "a step of the run", limits.step_timeout_ms)
    } else {
        Due::Later(step.min(whole))
    }
}

/// Delay until a deadline is checked again whose command may have failed.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        entry::{Body, Call, Event, RunEntry, Thought, ThoughtKind},
        ids::{AgentName, MessageId, Offset, Seq, ThreadId, ToolName},
        json::Json,
        limits::Limits,
    };

    const LIMITS: DeadlineLimits =
        DeadlineLimits { step_timeout_ms: 100, run_timeout_ms: 250, client_call_timeout_ms: 1000 };

    fn run_id() -> RunId {
        RunId(uuid::Uuid::from_u128(1))
    }

    /// Returns the state of a user with one run that has had `events` after its start, all at time 0.
    fn state(events: Vec<Event>) -> UserState {
        let message_id = MessageId::parse("m").unwrap();
        let mut bodies = vec![Body::UserMessage {
            message_id: message_id.clone(),
            text: "hi".into(),
            parent: None,
            steers: false,
        }];
        let all = std::iter::once(Event::Started { message_id }).chain(events);
        bodies.extend(all.zip(1..).map(|(event, seq)| Body::Event { seq: Seq(seq), event }));
        let mut state = UserState::default();
        for (body, offset) in bodies.into_iter().zip(1..) {
            let entry = RunEntry {
                offset: Offset(offset),
                thread_id: ThreadId::parse("t").unwrap(),
                run_id: run_id(),
                timestamp: Timestamp(0),
                agent_name: AgentName::parse("a").unwrap(),
                body,
            };
            state.evolve(&entry.into(), &Limits::DEFAULT).unwrap();
        }
        state
    }

    fn thought() -> Event {
        Event::Thinking(Thought { kind: ThoughtKind::Progress, delta: ".".into(), reset: false })
    }

    fn ask() -> Event {
        Event::ToolExecuting(Call {
            call_id: CallId::parse("q").unwrap(),
            tool_name: ToolName::parse("approve").unwrap(),
            parameters: Json::empty_object(),
            by: CallOwner::Client,
        })
    }

    fn after(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn code(commands: &[Command]) -> Option<RunErrorCode> {
        match commands {
            [Command::Cut { cut: EarlyEnd::TimedOut(error), .. }] => Some(error.code),
            _ => None,
        }
    }

    fn hear(deadlines: &mut Deadlines, state: &UserState, now: Instant, at: u64) {
        let Some(Progress::Begun(run)) = state.open_runs().get(&run_id()).map(|open| &open.progress) else {
            panic!("the run has begun");
        };
        deadlines.resumed(run_id(), run, &Waited::default(), QueueTime::default(), now, Timestamp(at));
    }

    #[tokio::test]
    async fn a_run_that_makes_no_step_times_out_by_its_step_limit() {
        let (state, start) = (state(vec![thought()]), Instant::now());
        let mut deadlines = Deadlines::new(LIMITS);
        hear(&mut deadlines, &state, start, 0);
        assert_eq!(deadlines.next(), Some(start + after(100)));
        hear(&mut deadlines, &state, start + after(60), 60);
        assert!(deadlines.passed(&state, start + after(100)).is_empty(), "it moved at 60");
        assert_eq!(deadlines.next(), Some(start + after(160)));
        let passed = deadlines.passed(&state, start + after(160));
        assert_eq!(code(&passed), Some(RunErrorCode::StepTimeout));
    }

    #[tokio::test]
    async fn a_run_that_keeps_stepping_times_out_by_its_run_limit() {
        let (state, start) = (state(vec![thought()]), Instant::now());
        let mut deadlines = Deadlines::new(LIMITS);
        hear(&mut deadlines, &state, start, 0);
        hear(&mut deadlines, &state, start + after(200), 200);
        assert!(deadlines.passed(&state, start + after(249)).is_empty());
        let passed = deadlines.passed(&state, start + after(250));
        assert_eq!(code(&passed), Some(RunErrorCode::RunTimeout));
    }

    #[tokio::test]
    async fn resumed_run_has_its_age_by_the_wall_clock() {
        let (state, start) = (state(vec![thought()]), Instant::now());
        let mut deadlines = Deadlines::new(LIMITS);
        hear(&mut deadlines, &state, start, 200);
        assert!(deadlines.passed(&state, start + after(49)).is_empty());
        assert_eq!(code(&deadlines.passed(&state, start + after(50))), Some(RunErrorCode::RunTimeout));
    }

    #[tokio::test]
    async fn setting_the_wall_clock_ends_no_run_and_no_question() {
        let (running, start) = (state(vec![thought()]), Instant::now());
        let mut deadlines = Deadlines::new(LIMITS);
        hear(&mut deadlines, &running, start, 0);
        hear(&mut deadlines, &running, start + after(90), 1_000_000);
        assert!(deadlines.passed(&running, start + after(180)).is_empty());

        let waiting = state(vec![thought(), ask()]);
        let mut deadlines = Deadlines::new(LIMITS);
        hear(&mut deadlines, &waiting, start, 0);
        hear(&mut deadlines, &waiting, start + after(90), 1_000_000);
        assert!(deadlines.passed(&waiting, start + after(999)).is_empty());
    }

    #[tokio::test]
    async fn a_run_queued_for_its_resume_ages_by_the_monotonic_clock_and_has_no_step_timer() {
        let (state, start) = (state(vec![thought()]), Instant::now());
        let Some(Progress::Begun(run)) = state.open_runs().get(&run_id()).map(|open| &open.progress) else {
            panic!("the run has begun");
        };
        let mut deadlines = Deadlines::new(LIMITS);
        deadlines.queued(run_id(), run, &Waited::default(), start, Timestamp(0));
        assert!(deadlines.passed(&state, start + after(150)).is_empty(), "longer than a step");
        hear(&mut deadlines, &state, start + after(150), 1_000_000);
        assert!(deadlines.passed(&state, start + after(200)).is_empty(), "the wall clock was set meanwhile");
        assert_eq!(code(&deadlines.passed(&state, start + after(250))), Some(RunErrorCode::RunTimeout));

        let mut deadlines = Deadlines::new(LIMITS);
        deadlines.queued(run_id(), run, &Waited::default(), start, Timestamp(0));
        assert_eq!(
            code(&deadlines.passed(&state, start + after(250))),
            Some(RunErrorCode::RunTimeout),
            "RUN-6"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn iso_6_waiting_for_a_turn_counts_against_the_run_and_not_against_the_step() {
        let (state, line, start) = (state(vec![thought()]), QueueTime::default(), Instant::now());
        let Some(Progress::Begun(run)) = state.open_runs().get(&run_id()).map(|open| &open.progress) else {
            panic!("the run has begun");
        };
        let mut deadlines = Deadlines::new(LIMITS);
        deadlines.resumed(run_id(), run, &Waited::default(), line.clone(), start, Timestamp(0));
        let in_line = line.enter();
        tokio::time::advance(after(110)).await;
        assert!(deadlines.passed(&state, Instant::now()).is_empty());
        drop(in_line);
        tokio::time::advance(after(100)).await;
        assert_eq!(code(&deadlines.passed(&state, Instant::now())), Some(RunErrorCode::StepTimeout));
        deadlines.moved(run_id(), run, Instant::now(), Timestamp(210));
        let _in_line = line.enter();
        tokio::time::advance(after(40)).await;
        assert_eq!(code(&deadlines.passed(&state, Instant::now())), Some(RunErrorCode::RunTimeout));
    }

    #[tokio::test]
    async fn run_11_waiting_for_the_client_counts_against_its_own_limit_only() {
        let (waiting, start) = (state(vec![thought(), ask()]), Instant::now());
        let mut deadlines = Deadlines::new(LIMITS);
        hear(&mut deadlines, &waiting, start, 0);
        assert!(deadlines.passed(&waiting, start + after(999)).is_empty());
        let passed = deadlines.passed(&waiting, start + after(1000));
        assert!(matches!(&passed[..], [Command::CloseCall { status: CallStatus::TimedOut, .. }]));

        let answered = state(vec![thought()]);
        hear(&mut deadlines, &answered, start + after(1000), 1000);
        let later = deadlines.passed(&answered, start + after(1050));
        assert!(later.is_empty(), "the time it waited does not count against the run: {later:?}");
    }
}
