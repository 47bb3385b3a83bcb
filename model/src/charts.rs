//! The machines as they ship, drawn and tabulated from the code.
//!
//! Guarantee: every state of a machine that its small alphabet reaches was offered every input of that
//! alphabet, and every outcome stands in the table. Where one cell has several outcomes, it depends on
//! what the state holds beside its name (open calls, frames outstanding), and all of them occur.

mod superstates;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    fmt::Write,
    hash::Hash,
};

use quintet::kernel::{
    connection::{AttachError, ConnectionLimits, Input, InputName, Phase, ResumeCursor, Timer, VerifyError},
    entry::{CallOwner, Entry},
    ids::{Epoch, Offset, RunId, Timestamp, UserId},
    limits::Limits,
    run::{AnyRun, Closer, Ending, PhaseName, Run, Step, StepName},
    ticket::{AnyTicket, Identity, Lifetime, Ticket, TicketInput},
    user::{Command, OnBusy, Progress, Reply, UserState},
};
use uuid::Uuid;

use crate::{
    ask::{After, Ask, CutBy, Deed},
    law,
    vocabulary::{AT, a_call, call, failed, message, ok, run, thought, thread},
};

/// The outcome of an input in a state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The machine is in this state then, perhaps the same.
    To(String),
    /// The input is refused by this name, and the machine is as it was.
    Refused(String),
}

/// A machine as a table: state × input.
#[derive(Debug, Default)]
pub struct Chart {
    states: Vec<String>,
    inputs: Vec<String>,
    cells: BTreeMap<(String, String), BTreeSet<Outcome>>,
}

impl Chart {
    fn new(
        states: impl IntoIterator<Item = impl ToString>,
        inputs: impl IntoIterator<Item = impl ToString>,
    ) -> Self {
        Self {
            states: states.into_iter().map(|state| state.to_string()).collect(),
            inputs: inputs.into_iter().map(|input| input.to_string()).collect(),
            cells: BTreeMap::new(),
        }
    }

    fn note(&mut self, state: &str, input: &str, outcome: Outcome) {
        if !self.states.iter().any(|known| known == state) {
            self.states.push(state.to_owned());
        }
        if !self.inputs.iter().any(|known| known == input) {
            self.inputs.push(input.to_owned());
        }
        self.cells.entry((state.to_owned(), input.to_owned())).or_default().insert(outcome);
    }

    /// A row an input, a column a state.
    fn table(&self) -> String {
        let mut text =
            format!("| | {} |\n|---|{}\n", self.states.join(" | "), "---|".repeat(self.states.len()));
        for input in &self.inputs {
            let cells: Vec<String> = self.states.iter().map(|state| self.cell(state, input)).collect();
            writeln!(text, "| **{input}** | {} |", cells.join(" | ")).expect("a string takes everything");
        }
        text
    }

    fn cell(&self, state: &str, input: &str) -> String {
        let Some(outcomes) = self.cells.get(&(state.to_owned(), input.to_owned())) else { return " ".into() };
        let words = outcomes.iter().map(|outcome| match outcome {
            Outcome::To(next) if next == state => "stays".to_owned(),
            Outcome::To(next) => format!("→ {next}"),
            Outcome::Refused(why) if why.is_empty() => "✗".to_owned(),
            Outcome::Refused(why) => format!("✗ {why}"),
        });
        words.collect::<Vec<_>>().join("<br>")
    }

    /// The moves from one state to another, with the inputs that cause them.
    fn diagram(&self, start: &str) -> String {
        let mut moves: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
        let place = |state: &str| self.states.iter().position(|known| known == state);
        for input in &self.inputs {
            for state in &self.states {
                for outcome in self.cells.get(&(state.clone(), input.clone())).into_iter().flatten() {
                    let Outcome::To(next) = outcome else { continue };
                    if let (true, Some(from), Some(to)) = (next != state, place(state), place(next)) {
                        moves.entry((from, to)).or_default().push(input);
                    }
                }
            }
        }
        let mut text = format!("```mermaid\nstateDiagram-v2\n    [*] --> {}\n", name(start));
        for ((from, to), inputs) in moves {
            let (from, to) = (name(&self.states[from]), name(&self.states[to]));
            writeln!(text, "    {from} --> {to}: {}", inputs.join(", ")).expect("a string");
        }
        text.push_str("```\n");
        text
    }
}

/// A state's name as Mermaid takes it.
fn name(state: &str) -> String {
    state.replace([' ', '(', ')', ',', '-'], "_")
}

/// Everything that can be reached from `start`, in order; `next` gives what each state leads to.
fn reach<S: Clone + Eq + Hash>(start: Vec<S>, mut next: impl FnMut(&S) -> Vec<S>) {
    let mut seen: HashSet<S> = start.iter().cloned().collect();
    let mut open: VecDeque<S> = start.into();
    while let Some(state) = open.pop_front() {
        for after in next(&state) {
            if seen.insert(after.clone()) {
                open.push_back(after);
            }
        }
    }
}

/// One run: the table behind the typestate, with two calls and at most seven events.
pub fn run_machine() -> Chart {
    const SEQ_MAX: u64 = 7;
    use PhaseName as P;
    let phases = [P::Started, P::Thinking, P::ExecutingTools, P::Completed];
    let steps =
        [StepName::Think, StepName::Open, StepName::Close, StepName::Succeed, StepName::End, StepName::Merge];
    let mut chart = Chart::new(phases.map(|phase| format!("{phase:?}")), steps.map(step_title));
    let mut tried = vec![
        Step::Think(thought()),
        Step::Complete(Ending::Succeeded { usage: None }),
        Step::Complete(Ending::Cut(failed())),
        Step::Merge { into: run(2) },
    ];
    for (number, by) in [(1, CallOwner::Agent), (2, CallOwner::Client)] {
        tried.push(Step::Open(a_call(number, by)));
        for closer in [Closer::Agent, Closer::Client, Closer::Service] {
            tried.push(Step::Close { call_id: call(number), result: ok(), closer });
        }
    }
    let (started, _) = Run::start(message(1), AT);
    reach(vec![AnyRun::Started(started)], |run| {
        let state = format!("{:?}", run.phase());
        let mut after = Vec::new();
        for step in &tried {
            let input = step_title(step.name());
            match run.clone().step(step.clone(), AT) {
                Ok((next, _)) => {
                    chart.note(&state, &input, Outcome::To(format!("{:?}", next.phase())));
                    if next.seq().0 <= SEQ_MAX {
                        after.push(next);
                    }
                }
                Err(violation) => {
                    chart.note(&state, &input, Outcome::Refused(format!("`{:?}`", violation.breach)));
                }
            }
        }
        after
    });
    chart
}

fn step_title(step: StepName) -> String {
    match step {
        StepName::Start => "start",
        StepName::Think => "think",
        StepName::Open => "open a call",
        StepName::Close => "close a call",
        StepName::Succeed => "succeed",
        StepName::End => "end early",
        StepName::Merge => "merge",
    }
    .to_owned()
}

/// Of the connection that is drawn: two malformed frames, one command outstanding.
const LIMITS: ConnectionLimits = ConnectionLimits {
    invalid_frames_max: 2,
    invalid_frames_forgiven: 1,
    throttled_frames_max: 2,
    commands_max: 1,
    waiting_replies_max: 2,
};

/// One ticket, requested in time and too late.
pub fn ticket_machine() -> Chart {
    const IN_TIME: Timestamp = Timestamp(8);
    const TOO_LATE: Timestamp = Timestamp(9);
    let inputs = [
        ("redeem, in time", TicketInput::Redeem, IN_TIME),
        ("redeem, too late", TicketInput::Redeem, TOO_LATE),
        ("look at the clock, in time", TicketInput::Lapse, IN_TIME),
        ("look at the clock, too late", TicketInput::Lapse, TOO_LATE),
    ];
    let mut chart = Chart::new(["Issued", "Redeemed", "Expired"], inputs.map(|(title, ..)| title));
    let lifetime = Lifetime { ttl_ms_default: 100, ttl_ms_max: 100 };
    let issued = Ticket::issue(identity("ann"), None, lifetime, Timestamp(1));
    let issued = issued.expect("the credential of the issuer is good until 9");
    reach(vec![AnyTicket::Issued(issued)], |ticket| {
        let mut after = Vec::new();
        for (title, input, at) in inputs {
            let (next, answer) = ticket.clone().step(input, at);
            let outcome = match answer {
                Err(why) if next == *ticket => Outcome::Refused(format!("`{why:?}`")),
                _ => Outcome::To(ticket_title(&next).to_owned()),
            };
            chart.note(ticket_title(ticket), title, outcome);
            after.push(next);
        }
        after
    });
    chart
}

fn ticket_title(ticket: &AnyTicket) -> &'static str {
    match ticket {
        AnyTicket::Issued(_) => "Issued",
        AnyTicket::Redeemed(_) => "Redeemed",
        AnyTicket::Expired(_) => "Expired",
    }
}

fn identity(user_id: &str) -> Identity {
    Identity { user_id: UserId::parse(user_id).expect("a short name is valid"), expires_at: Timestamp(9) }
}

fn connection_inputs() -> Vec<Input> {
    const HERE: Epoch = Epoch(Uuid::from_u128(1));
    let hello = |after, credential: bool| Input::Hello {
        cursor: ResumeCursor::After { epoch: None, after: Offset(after) },
        credential: credential.then_some(()),
    };
    let attached = |head| Input::Attached { epoch: HERE, trimmed: Offset(0), head: Offset(head) };
    let chunk = |first, last| Input::Chunk { first: Offset(first), last: Offset(last), entries: () };
    let drained = |head| Input::Drained { head: Offset(head) };
    let mut inputs = vec![
        hello(0, false),
        hello(0, true),
        Input::Verified(identity("ann")),
        Input::Verified(identity("ben")),
        Input::Unverified(VerifyError::Refused),
        Input::Unverified(VerifyError::Unavailable),
        attached(0),
        attached(1),
        attached(2),
        Input::Unattached(AttachError::Unavailable),
        Input::Unattached(AttachError::UserFull),
        Input::Command(()),
        Input::Renew(()),
        Input::Ping(()),
        Input::Answered { reply: Some(()) },
        Input::Answered { reply: None },
        chunk(1, 1),
        chunk(1, 2),
        chunk(2, 2),
        Input::Outrun,
        Input::Unreadable,
        Input::Flushed,
        Input::Unclear(()),
        Input::Oversized(()),
        Input::Throttled { retry_after_ms: 1, subject: () },
        Input::Pinged,
        Input::Pong,
        Input::Drain { reconnect_after_ms: 1 },
        drained(0),
        drained(2),
    ];
    inputs.extend(Timer::ALL.map(Input::Elapsed));
    inputs.extend([
        Input::Binary,
        Input::NotUtf8,
        Input::TooLong,
        Input::Garbled,
        Input::MessageLate,
        Input::UnfinishedMax,
        Input::Displaced,
        Input::PeerClosed,
        Input::Gone,
    ]);
    inputs
}

fn phase_title(phase: Phase) -> String {
    match phase {
        Phase::Closed(_) => "Closed".to_owned(),
        open => format!("{open:?}"),
    }
}

fn input_title(input: InputName) -> String {
    match input {
        InputName::Elapsed(timer) => format!("{timer:?} elapsed"),
        other => format!("{other:?}"),
    }
}

/// One run of a thread with two messages, under all commands of clients, its agent and the service.
pub fn user_machine() -> (Chart, Chart) {
    let states = ["unknown", "waiting", "started", "thinking", "executing", "ended"];
    let mut about = Chart::new(states, Vec::<String>::new());
    let mut sends = Chart::new(["idle thread", "busy thread"], Vec::<String>::new());
    let limits = Limits::DEFAULT;
    let asks: Vec<Ask> =
        [Ask::of_clients(2, 1, 2, 1), Ask::of_the_house(2, 1)].into_iter().flatten().collect();
    let empty = (Vec::<Entry>::new(), UserState::default());
    reach(vec![empty], |(log, state)| {
        let mut after = Vec::new();
        for ask in &asks {
            let fresh = run(u8::try_from(law::runs(log).len()).expect("two messages") + 1);
            let command = ask.command(log, state, fresh);
            let (concerned, input) = (concerned(&command), ask_title(ask));
            let before = standing(log, state, concerned);
            let busy = if is_busy(state) { "busy thread" } else { "idle thread" };
            let outcome = match state.decide(command, &limits, AT) {
                Err(refusal) => Outcome::Refused(format!("`{refusal:?}`")),
                Ok(decision) => {
                    let (mut log, mut state) = (log.clone(), state.clone());
                    for entry in &decision.entries {
                        state.evolve(entry, &limits).expect("the kernel decides what it accepts");
                        log.push(entry.clone());
                    }
                    let told = match &decision.reply {
                        Reply::Violated(_) => " (violation)",
                        Reply::Accepted { duplicate: true, .. } => " (the same answer again)",
                        _ => "",
                    };
                    let standing = match &decision.reply {
                        Reply::Accepted { receipt, duplicate: false } => {
                            standing(&log, &state, receipt.run_id)
                        }
                        Reply::Accepted { .. } => "nothing new".to_owned(),
                        _ => standing(&log, &state, concerned),
                    };
                    if log.len() <= LOG_MAX {
                        after.push((log, state));
                    }
                    Outcome::To(format!("{standing}{told}"))
                }
            };
            match ask {
                Ask::Send { .. } => sends.note(busy, &input, outcome),
                _ => about.note(&before, &input, outcome),
            }
        }
        after
    });
    (about, sends)
}

/// Entries of a log that is drawn no further.
const LOG_MAX: usize = 9;

fn concerned(command: &Command) -> RunId {
    match command {
        Command::Send(send) => send.run_id,
        Command::Cancel { run_id, .. }
        | Command::Answer { run_id, .. }
        | Command::Step { run_id, .. }
        | Command::TakeMessages { run_id }
        | Command::Cut { run_id, .. }
        | Command::CloseCall { run_id, .. }
        | Command::Resume { run_id, .. } => *run_id,
        Command::UpdateThread(_) | Command::Erase { .. } | Command::Erased { .. } => run(1),
    }
}

fn is_busy(state: &UserState) -> bool {
    state.open_runs().values().any(|open| open.thread_id == thread(1))
}

/// The state of a run according to the log.
fn standing(log: &[Entry], state: &UserState, run_id: RunId) -> String {
    match state.open_runs().get(&run_id).map(|open| &open.progress) {
        Some(Progress::Waiting) => "waiting",
        Some(Progress::Begun(run)) => match run.phase() {
            PhaseName::Started => "started",
            PhaseName::Thinking => "thinking",
            PhaseName::ExecutingTools => "executing",
            PhaseName::Completed => "ended",
        },
        None if law::runs(log).iter().any(|told| told.run_id == run_id) => "ended",
        None => "unknown",
    }
    .to_owned()
}

fn ask_title(ask: &Ask) -> String {
    match ask {
        Ask::Send { after: After::Root, .. } => "send, as a root".into(),
        Ask::Send { after: After::Message(_), .. } => "send, after a message".into(),
        Ask::Send { on_busy, .. } => format!(
            "send, {}",
            match on_busy {
                OnBusy::Enqueue => "enqueue",
                OnBusy::Reject => "reject",
                OnBusy::Interrupt => "interrupt",
                OnBusy::Steer => "steer",
            }
        ),
        Ask::Cancel { .. } => "client: cancel".into(),
        Ask::Answer { .. } => "client: answer a call".into(),
        Ask::Step { deed, .. } => match deed {
            Deed::Think => "agent: think".into(),
            Deed::Open(_, CallOwner::Agent) => "agent: open a call".into(),
            Deed::Open(_, CallOwner::Client) => "agent: ask the client".into(),
            Deed::Close(_) => "agent: close a call".into(),
            Deed::Succeed => "agent: succeed".into(),
            Deed::Fail => "agent: fail".into(),
        },
        Ask::Take { .. } => "agent: take messages".into(),
        Ask::Cut { cut: CutBy::Agent, .. } => "service: the agent is gone".into(),
        Ask::Cut { cut: CutBy::Deadline, .. } => "service: deadline of the run".into(),
        Ask::Cut { cut: CutBy::LostNode, .. } => "service: the node is lost".into(),
        Ask::CloseCall { .. } => "service: deadline of a call".into(),
        Ask::Resume { .. } => "service: resume".into(),
        Ask::Exhaust { .. } => "service: resume once too often".into(),
    }
}

/// The document.
pub fn render() -> String {
    let (about, sends) = user_machine();
    let run = run_machine();
    let ticket = ticket_machine();
    let mut text = String::from(HEAD);
    text.push_str(RUN);
    text.push_str(&run.diagram("Started"));
    text.push('\n');
    text.push_str(&run.table());
    text.push_str(USER);
    text.push_str(&about.table());
    text.push_str(SENDS);
    text.push_str(&sends.table());
    text.push_str(CONNECTION);
    text.push_str(&superstates::render());
    text.push_str(TICKET);
    text.push_str(&ticket.diagram("Issued"));
    text.push('\n');
    text.push_str(&ticket.table());
    text
}

const HEAD: &str = "# The machines, drawn from the code

Generated by `UPDATE_DOCS=1 cargo test -p quintet-model --test charts`, and compared with the code by the same
test without `UPDATE_DOCS`: every state that a small alphabet reaches was offered every input of it, up to eight
events of a run and nine entries of a log, behind which no further state begins. `stays`: the input is taken and
the state keeps its name. `✗`: refused, and nothing has changed. Several lines in a cell:
it depends on what the state holds beside its name, and each of them occurs.

";
const RUN: &str = "## One run

The table behind `Run<Started>`, `Run<Thinking>`, `Run<ExecutingTools>` (`src/kernel/run`), as agents behind a
protocol drive it. A refused step is a violation and ends the run as `failed` (RUN-10).

";
const USER: &str = "\n## One run in its user's log

What may be asked about a run, by its owner's clients, its agent and the service (`src/kernel/user`), and
where the run stands then. A thread with two messages, one call.

";
const SENDS: &str = "\nA message to a thread, and where its run stands then:

";
const CONNECTION: &str = "\n## One connection

`src/kernel/connection`, by superstate: *connected* is *setting up* or *open*. There is one row for each guard: an input
with several rows in a state depends on what the state holds beside its name (room, credentials, frames under way). An
input without a row for a state is rejected there, and `Closed` rejects every input. A client's frame that comes when
the machine does not listen stays in the socket. Flushes are left out of the orders: they follow every frame.

";
const TICKET: &str = "\n## One ticket

`src/kernel/ticket.rs`: `Ticket<Issued>`, `Ticket<Redeemed>`, `Ticket<Expired>`. The one redemption that is in time
and first yields the issuer's identity (AUTH-1); one that is too late is refused, and ends it.

";
