//! One user's log: every command of clients, agents and the service, with ids of runs that are open,
//! over, or never were, offered in every state. What may happen is bounded by the kernel's own
//! limits, not by the model. Its specification is `User.tla`.

use std::sync::Arc;

use quintet::kernel::{
    entry::{Body, CallOwner, CallStatus, Entry, Event, RunEntry, RunErrorCode, RunStatus},
    ids::{Offset, Seq},
    limits::Limits,
    user::{Decision, Refusal, Reply, UserState},
};
use stateright::{Model, Property};

use crate::{
    ask::Ask,
    checks,
    checks::{Check, Checked},
    law,
    machine::Machine,
    verdict,
    vocabulary::{brief, run, thought, without_words},
};

#[derive(Clone, Debug)]
pub struct UserModel {
    pub machine: &'static dyn Machine,
    pub messages: u8,
    pub threads: u8,
    pub calls: u8,
    pub limits: Limits,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Account {
    pub user: UserState,
    pub log: Arc<Vec<Entry>>,
    /// A rule that a single command broke.
    pub broken: Option<&'static str>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log: Vec<String> = self.log.iter().map(brief).collect();
        write!(f, "log {log:?}")?;
        self.broken.map_or(Ok(()), |rule| write!(f, ", {rule} broken"))
    }
}

impl UserModel {
    /// Limits so small that a model meets them. Which of them decides in which instance is witnessed
    /// by name: every limit decides alone in some instance of [`crate::claims`].
    pub fn small_limits() -> Limits {
        Limits {
            run_events_max: 4,
            open_calls_max: 1,
            run_calls_max: 2,
            open_runs_max: 2,
            queued_messages_max: 1,
            recent_messages_max: 1,
            ..Limits::DEFAULT
        }
    }

    /// Entries that do not belong behind this log: of another place, of no run, of the same run again, out
    /// of number, of a run that is over.
    fn misfits(&self, state: &Account) -> Vec<Entry> {
        let Some(last) = state.log.iter().filter_map(Entry::run).next_back() else { return vec![] };
        let next = RunEntry { offset: state.user.head().next(), ..last.clone() };
        let event = |run_id, seq| RunEntry {
            run_id,
            body: Body::Event { seq, event: Event::Thinking(thought()) },
            ..next.clone()
        };
        let mut misfits = vec![last.clone(), event(run(0), Seq(1)), event(last.run_id, Seq(99))];
        let told = law::runs(&state.log);
        if let Some(over) = told.iter().find(|told| told.ended().is_some()) {
            misfits.push(event(over.run_id, Seq(over.events.len() as u64 + 1)));
        }
        if let Some(open) = told.iter().find(|told| told.ended().is_none()) {
            let body = Body::UserMessage {
                message_id: open.message_id.clone(),
                text: "x".into(),
                parent: None,
                steers: false,
            };
            misfits.push(RunEntry { run_id: open.run_id, body, ..next.clone() });
            let started = Event::Started { message_id: open.message_id.clone() };
            let again = Body::Event { seq: Seq(open.events.len() as u64 + 1), event: started };
            misfits.extend(open.begun().then_some(RunEntry { run_id: open.run_id, body: again, ..next }));
        }
        misfits.into_iter().map(Entry::Run).collect()
    }

    /// Returns whether this limit alone decides: a refused command succeeds once the limit is lifted.
    fn decides(&self, state: &Account, limit: &str, lift: fn(&mut Limits)) -> bool {
        let stopped_by = |ask: Ask, limits: &Limits| {
            let command = ask.command(&state.log, &state.user, run(9));
            match self.machine.decide(&state.user, command, limits) {
                Ok(Decision { reply: Reply::LimitReached(limit), .. })
                | Err(Refusal::LimitReached(limit)) => Some(limit),
                _ => None,
            }
        };
        let mut lifted = self.limits;
        lift(&mut lifted);
        let mut asks = Ask::of_clients(self.messages, self.threads, 0, 0);
        asks.extend(Ask::of_the_house(self.messages, self.calls));
        asks.into_iter()
            .any(|ask| stopped_by(ask, &self.limits) == Some(limit) && stopped_by(ask, &lifted).is_none())
    }

    fn fold(&self, log: &[Entry]) -> Option<UserState> {
        let mut state = UserState::default();
        log.iter().try_for_each(|entry| self.machine.evolve(&mut state, entry, &self.limits)).ok()?;
        Some(state)
    }

    /// The state that a restart recovers from the journal: the head, the latest messages, the unfinished
    /// runs.
    pub fn recovered(&self, log: &[Entry]) -> Option<UserState> {
        self.machine.recovered(log, &self.limits)
    }
}

impl Model for UserModel {
    type State = Account;
    type Action = Ask;

    fn init_states(&self) -> Vec<Account> {
        vec![Account { user: UserState::default(), log: Arc::default(), broken: None }]
    }

    fn actions(&self, _: &Account, actions: &mut Vec<Ask>) {
        actions.extend(Ask::of_clients(self.messages, self.threads, self.messages, self.calls));
        actions.extend(Ask::of_the_house(self.messages, self.calls));
    }

    fn next_state(&self, state: &Account, ask: Ask) -> Option<Account> {
        if state.broken.is_some() {
            return None;
        }
        let fresh = match ask {
            Ask::Send { message, .. } => run(message),
            _ => run(0),
        };
        let command = ask.command(&state.log, &state.user, fresh);
        let decided = self.machine.decide(&state.user, command, &self.limits);
        let mut next = state.clone();
        next.broken = verdict::judge(&state.log, ask, &decided, &self.limits);
        for entry in decided.map(|decision| decision.entries).unwrap_or_default() {
            let entry = without_words(entry);
            if self.machine.evolve(&mut next.user, &entry, &self.limits).is_err() {
                next.broken = next.broken.or(Some("FOLD"));
            }
            Arc::make_mut(&mut next.log).push(entry);
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::stateright_properties()
    }
}

impl Checked for UserModel {
    const NAME: &str = "user";

    fn checks() -> Vec<Check<Self>> {
        fn kept(s: &Account, rule: &str) -> bool {
            s.broken != Some(rule)
        }
        fn ended(s: &Account, status: RunStatus) -> bool {
            law::runs(&s.log).iter().any(|run| run.ended() == Some(status))
        }
        fn any(s: &Account, find: impl Fn(&Event) -> bool) -> bool {
            s.log.iter().any(|entry| matches!(entry.body(), Some(Body::Event { event, .. }) if find(event)))
        }
        fn closes(s: &Account, status: CallStatus) -> bool {
            any(s, |e| matches!(e, Event::ToolCompleted { result, .. } if result.status == status))
        }
        fn fails_for(s: &Account, code: RunErrorCode) -> bool {
            any(s, |e| matches!(e, Event::Completed(c) if c.error.as_ref().is_some_and(|e| e.code == code)))
        }
        checks![UserModel;
            always ["RUN-1"] "agent_started comes first and once"
                case "a run succeeds" => |_, s| law::run_1(&s.log);
            always ["RUN-2"] "seq counts"
                case "a run succeeds" => |_, s| law::run_2(&s.log);
            always ["RUN-3"] "a thought before the first call and before success"
                case "a run succeeds" => |_, s| law::run_3(&s.log);
            always ["RUN-4"] "each call opened once, closed once"
                case "a client answers" => |_, s| {
                law::run_4(&s.log) && kept(s, "RUN-4")
            };
            always ["RUN-5"] "agent_completed last, no call open"
                case "a call closes as cancelled" => |_, s| {
                law::run_5(&s.log) && kept(s, "RUN-5")
            };
            always ["RUN-6"] "the first in line has begun, and whoever is ended has an end"
                case "one that waited runs" => |_, s| {
                law::run_6(&s.log) && kept(s, "RUN-6")
            };
            always ["RUN-7"] "an early end closes what is open, as it should"
                case "a call closes as cancelled" => |_, s| kept(s, "RUN-7");
            always ["RUN-8"] "one active run a thread, in order; on_busy is followed"
                case "a message waits" => |_, s| {
                law::run_8(&s.log) && kept(s, "RUN-8")
            };
            always ["RUN-9"] "a resumed run's orphaned calls close as unknown"
                case "a call closes as unknown" => |_, s| kept(s, "RUN-9");
            always ["RUN-10"] "an illegal step fails its run and shows nobody"
                case "a run fails for a violation" => |_, s| kept(s, "RUN-10");
            always ["RUN-11"] "the first answer of the owner counts, and no other"
                case "a client answers" => |_, s| kept(s, "RUN-11");
            always ["RUN-12"] "a message that steers is taken once, by the active run"
                case "a message is taken" => |_, s| law::run_12(&s.log) && kept(s, "RUN-12");
            always ["DEL-2"] "offsets count"
                case "a run succeeds" => |_, s| law::del_2(&s.log);
            always ["DEL-5"] "an acceptance names what the log has"
                case "a message is remembered by the journal alone" => |_, s| kept(s, "DEL-5");
            always ["DEL-6"] "the same message is the same run and answer"
                case "a message is remembered by the journal alone" => |_, s| {
                law::del_6(&s.log) && kept(s, "DEL-6")
            };
            always ["ISO-3"] "what does not exist is not found"
                case "a run that never was is asked for, beside one that is" => |_, s| kept(s, "ISO-3");
            always ["LIMIT"] "what is over a limit is refused, what is not is not"
                case "a run fails for a limit" => |_, s| kept(s, "LIMIT");
            always ["FOLD"] "the fold of the log is the live state"
                case "one run is open while another is over" => |m, s| {
                kept(s, "FOLD") && m.fold(&s.log).as_ref() == Some(&s.user)
            };
            always ["RECOVERY"] "recovery is the live state"
                case "one run is open while another is over" => |m, s| {
                m.recovered(&s.log).as_ref() == Some(&s.user)
            };
            always ["UNCHANGED"] "an entry that does not fit is refused, and changes nothing"
                case "one run is open while another is over" => |m, s| {
                m.misfits(s).iter().all(|entry| {
                    let mut after = s.user.clone();
                    m.machine.evolve(&mut after, entry, &m.limits).is_err() && after == s.user
                })
            };
            always ["TREE"] "a message follows the one of its thread that it names, or the latest"
                case "a branch" => |_, s| law::tree(&s.log) && kept(s, "TREE");
            sometimes ["TREE"] "a branch" => |_, s| {
                let told = law::runs(&s.log);
                told.iter().skip(1).any(|t| t.parent == Offset::ZERO && t.thread_id == told[0].thread_id)
            };
            sometimes ["RUN-1", "RUN-2", "RUN-3", "RUN-5", "DEL-2"] "a run succeeds" =>
                |_, s| ended(s, RunStatus::Succeeded);
            sometimes ["RUN-5"] "a run fails" => |_, s| ended(s, RunStatus::Failed);
            sometimes ["RUN-6"] "a run is cancelled" => |_, s| ended(s, RunStatus::Cancelled);
            sometimes ["RUN-6"] "a run times out" => |_, s| ended(s, RunStatus::TimedOut);
            sometimes ["RUN-6"] "a run is interrupted" => |_, s| ended(s, RunStatus::Interrupted);
            sometimes ["RUN-7"] "a call closes as cancelled" => |_, s| closes(s, CallStatus::Cancelled);
            sometimes ["RUN-8"] "a message waits" => |_, s| law::runs(&s.log).iter().any(|run| !run.begun());
            sometimes ["RUN-6", "RUN-8"] "one that waited runs" => |_, s| {
                law::runs(&s.log)
                    .iter()
                    .any(|run| run.events.len() > 2 && run.events[0].0.0 > run.accepted.0 + 1)
            };
            sometimes ["RUN-12"] "a message is taken" => |_, s| ended(s, RunStatus::Merged);
            sometimes ["RUN-12"] "a message that steers runs in its turn" => |_, s| {
                law::runs(&s.log).iter().any(|told| told.steers && told.events.len() > 2)
            };
            sometimes ["RUN-4", "RUN-11"] "a client answers" => |_, s| {
                law::runs(&s.log).iter().any(|told| {
                    told.events.iter().any(|(.., event)| {
                        matches!(event, Event::ToolCompleted { call_id, result, .. }
                            if result.status == CallStatus::Ok && told.opened(call_id) == Some(CallOwner::Client))
                    })
                })
            };
            sometimes ["RUN-6"] "a run fails for its resumes" => |_, s| fails_for(s, RunErrorCode::ResumeLimit);
            sometimes ["RUN-9"] "a call closes as unknown" => |_, s| closes(s, CallStatus::Unknown);
            sometimes ["RUN-10"] "a run fails for a violation" => |_, s| fails_for(s, RunErrorCode::Violation);
            sometimes ["LIMIT"] "a run fails for a limit" => |_, s| fails_for(s, RunErrorCode::LimitReached);
            sometimes ["LIMIT"] "run_events_max decides" => |m, s| {
                m.decides(s, "run_events_max", |limits| limits.run_events_max = u64::MAX)
            };
            sometimes ["LIMIT"] "open_calls_max decides" => |m, s| {
                m.decides(s, "open_calls_max", |limits| limits.open_calls_max = usize::MAX)
            };
            sometimes ["LIMIT"] "run_calls_max decides" => |m, s| {
                m.decides(s, "run_calls_max", |limits| limits.run_calls_max = usize::MAX)
            };
            sometimes ["LIMIT", "RUN-8"] "queued_messages_max decides" => |m, s| {
                m.decides(s, "queued_messages_max", |limits| limits.queued_messages_max = usize::MAX)
            };
            sometimes ["LIMIT", "RUN-8"] "open_runs_max decides" => |m, s| {
                m.decides(s, "open_runs_max", |limits| limits.open_runs_max = usize::MAX)
            };
            sometimes ["DEL-5", "DEL-6", "RECOVERY"] "a message is remembered by the journal alone" => |_, s| {
                law::runs(&s.log).iter().any(|told| s.user.recent(told.message_id).is_none())
            };
            sometimes ["ISO-3"] "a run that never was is asked for, beside one that is" => |m, s| {
                let command = Ask::Cancel { run: m.messages + 1 }.command(&s.log, &s.user, run(0));
                !s.log.is_empty() && m.machine.decide(&s.user, command, &m.limits) == Err(Refusal::NotFound)
            };
            sometimes ["FOLD", "UNCHANGED", "ISO-3"] "one run is open while another is over" => |_, s| {
                let told = law::runs(&s.log);
                told.iter().any(|t| t.ended().is_some()) && told.iter().any(|t| t.ended().is_none())
            };
        ]
    }
}
