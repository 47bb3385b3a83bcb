//! What may not take longer: a step of a run, a run as a whole, a call that waits for the client.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::kernel::{
    entry::{By, CallStatus, RunError, RunErrorCode},
    ids::{CallId, RunId, Timestamp},
    run::{AnyRun, Cut},
    user::{Command, Progress, UserState},
};

crate::limits! {
    /// How long a run may take (RUN-6, RUN-7).
    pub struct DeadlineLimits {
        /// From one step of a run to the next; time in which a call waits for the client does not count.
        pub step_ms_max: u64 = 60_000, in 1..=604_800_000;
        /// From `agent_started` to the end; time in which a call waits for the client does not count.
        pub run_ms_max: u64 = 3_600_000, in 1..=2_592_000_000;
        /// Time that a call waits for the client (RUN-11).
        pub client_call_ms_max: u64 = 86_400_000, in 1..=31_536_000_000;
    }
}

/// When the open runs of one user were last heard of. Checked lazily: a step only notes the time.
#[derive(Debug)]
pub struct Deadlines {
    limits: DeadlineLimits,
    heard: BTreeMap<RunId, Heard>,
    /// No deadline lies before this moment.
    next: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    step: Instant,
    /// How long the run has waited for the client in all, and since when it does now.
    waited: Duration,
    waits_since: Option<Instant>,
}

impl Deadlines {
    pub fn new(limits: DeadlineLimits) -> Self {
        Self { limits, heard: BTreeMap::new(), next: None }
    }

    /// A run has begun, been taken up again, or moved; `waits`: a call of it waits for the client.
    pub fn heard(&mut self, run_id: RunId, waits: bool, now: Instant) {
        let fresh = Heard { step: now, waited: Duration::ZERO, waits_since: None };
        let heard = self.heard.entry(run_id).or_insert(fresh);
        heard.step = now;
        match (heard.waits_since, waits) {
            (Some(since), false) => {
                heard.waited += now - since;
                heard.waits_since = None;
            }
            (None, true) => heard.waits_since = Some(now),
            (Some(_), true) | (None, false) => {}
        }
        let shortest =
            self.limits.step_ms_max.min(self.limits.run_ms_max).min(self.limits.client_call_ms_max);
        let soonest = now + Duration::from_millis(shortest);
        self.next = Some(self.next.map_or(soonest, |next| next.min(soonest)));
    }

    pub fn forget(&mut self, run_id: RunId) {
        self.heard.remove(&run_id);
        if self.heard.is_empty() {
            self.next = None;
        }
    }

    /// No deadline passes before this moment.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// What has to be done about the deadlines that have passed; call it at [`Self::next`].
    pub fn passed(&mut self, state: &UserState, now: Instant, at: Timestamp) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut next: Option<Instant> = None;
        for (run_id, open) in state.open_runs() {
            let (Progress::Begun(run), Some(heard)) = (&open.progress, self.heard.get(run_id)) else {
                continue;
            };
            match due(&self.limits, heard, run, now, at) {
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
            // What is done about them moves the runs; look again soon in case it could not be done.
            let again = now + RETRY;
            next = Some(next.map_or(again, |next| next.min(again)));
        }
        self.next = next;
        commands
    }
}

enum Due {
    Cut(Cut),
    Close(Vec<CallId>),
    Later(Duration),
}

fn due(limits: &DeadlineLimits, heard: &Heard, run: &AnyRun, now: Instant, at: Timestamp) -> Due {
    let of_client = || run.open_calls().iter().filter(|(_, call)| call.by == By::Client);
    if heard.waits_since.is_some() {
        let left =
            |opened_at: Timestamp| limits.client_call_ms_max.saturating_sub(at.millis_since(opened_at));
        let late: Vec<CallId> =
            of_client().filter(|(_, call)| left(call.opened_at) == 0).map(|(id, _)| id.clone()).collect();
        if !late.is_empty() {
            return Due::Close(late);
        }
        let soonest = of_client().map(|(_, call)| left(call.opened_at)).min();
        return Due::Later(Duration::from_millis(soonest.unwrap_or(limits.step_ms_max)));
    }
    let step = Duration::from_millis(limits.step_ms_max).saturating_sub(now - heard.step);
    let running = Duration::from_millis(at.millis_since(run.started_at())).saturating_sub(heard.waited);
    let whole = Duration::from_millis(limits.run_ms_max).saturating_sub(running);
    let timed_out = |code, what: &str, ms: u64| {
        Due::Cut(Cut::TimedOut(RunError { code, message: format!("{what} took longer than {ms} ms") }))
    };
    if whole.is_zero() {
        timed_out(RunErrorCode::RunTimeout, "the run", limits.run_ms_max)
    } else if step.is_zero() {
        timed_out(RunErrorCode::StepTimeout, "a step of the run", limits.step_ms_max)
    } else {
        Due::Later(step.min(whole))
    }
}

/// How soon a deadline is looked at again that could not be acted on.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(all(test, not(any(quintet_loom, quintet_shuttle))))]
mod tests {
    use super::*;
    use crate::kernel::{
        entry::{Body, Call, Entry, Event, Thought, ThoughtKind},
        ids::{AgentName, MessageId, Offset, Seq, ThreadId, ToolName},
        json::Json,
        limits::Limits,
    };

    const LIMITS: DeadlineLimits =
        DeadlineLimits { step_ms_max: 100, run_ms_max: 250, client_call_ms_max: 1000 };

    fn run_id() -> RunId {
        RunId(uuid::Uuid::from_u128(1))
    }

    /// A user whose one run has had `events` after its start, all at time 0.
    fn state(events: Vec<Event>) -> UserState {
        let message_id = MessageId::parse("m").unwrap();
        let mut bodies = vec![Body::UserMessage { message_id: message_id.clone(), text: "hi".into() }];
        let all = std::iter::once(Event::Started { message_id }).chain(events);
        bodies.extend(all.zip(1..).map(|(event, seq)| Body::Event { seq: Seq(seq), event }));
        let mut state = UserState::default();
        for (body, offset) in bodies.into_iter().zip(1..) {
            let entry = Entry {
                offset: Offset(offset),
                thread_id: ThreadId::parse("t").unwrap(),
                run_id: run_id(),
                timestamp: Timestamp(0),
                agent_name: AgentName::parse("a").unwrap(),
                body,
            };
            state.evolve(&entry, &Limits::DEFAULT).unwrap();
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
            by: By::Client,
        })
    }

    fn after(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn code(commands: &[Command]) -> Option<RunErrorCode> {
        match commands {
            [Command::Cut { cut: Cut::TimedOut(error), .. }] => Some(error.code),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_run_that_makes_no_step_times_out_by_its_step_limit() {
        let (state, start) = (state(vec![thought()]), Instant::now());
        let mut deadlines = Deadlines::new(LIMITS);
        deadlines.heard(run_id(), false, start);
        assert_eq!(deadlines.next(), Some(start + after(100)));
        deadlines.heard(run_id(), false, start + after(60));
        assert!(deadlines.passed(&state, start + after(100), Timestamp(100)).is_empty(), "it moved at 60");
        assert_eq!(deadlines.next(), Some(start + after(160)));
        let passed = deadlines.passed(&state, start + after(160), Timestamp(160));
        assert_eq!(code(&passed), Some(RunErrorCode::StepTimeout));
    }

    #[tokio::test]
    async fn a_run_that_keeps_stepping_times_out_by_its_run_limit() {
        let (state, start) = (state(vec![thought()]), Instant::now());
        let mut deadlines = Deadlines::new(LIMITS);
        deadlines.heard(run_id(), false, start + after(200));
        assert!(deadlines.passed(&state, start + after(249), Timestamp(249)).is_empty());
        let passed = deadlines.passed(&state, start + after(250), Timestamp(250));
        assert_eq!(code(&passed), Some(RunErrorCode::RunTimeout));
    }

    #[tokio::test]
    async fn run_11_waiting_for_the_client_counts_against_its_own_limit_only() {
        let (waiting, start) = (state(vec![thought(), ask()]), Instant::now());
        let mut deadlines = Deadlines::new(LIMITS);
        deadlines.heard(run_id(), true, start);
        assert!(deadlines.passed(&waiting, start + after(999), Timestamp(999)).is_empty());
        let passed = deadlines.passed(&waiting, start + after(1000), Timestamp(1000));
        assert!(matches!(&passed[..], [Command::CloseCall { status: CallStatus::TimedOut, .. }]));

        deadlines.heard(run_id(), false, start + after(1000));
        let answered = state(vec![thought()]);
        let later = deadlines.passed(&answered, start + after(1050), Timestamp(1050));
        assert!(later.is_empty(), "the time it waited does not count against the run: {later:?}");
    }
}
