//! One user's log: every command of clients, agents and the service, with ids of runs that are open,
//! over, or never were, offered in every state. What may happen is bounded by the kernel's own
//! limits, not by the model. Its specification is `User.tla`.

use std::sync::Arc;

use quintet::kernel::{
    entry::{Body, By, CallStatus, Entry, Event, RunStatus},
    ids::Offset,
    limits::Limits,
    user::UserState,
};
use stateright::{Model, Property};

use crate::{
    ask::Ask,
    law,
    machine::Machine,
    verdict,
    vocabulary::{brief, run, without_words},
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
    /// Limits so small that the model reaches each of them.
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

    fn fold(&self, log: &[Entry]) -> Option<UserState> {
        let mut state = UserState::default();
        log.iter().try_for_each(|entry| self.machine.evolve(&mut state, entry, &self.limits)).ok()?;
        Some(state)
    }

    /// What a restart makes of the journal: the head, the latest messages, the unfinished runs.
    pub fn recovered(&self, log: &[Entry]) -> Option<UserState> {
        let told = law::runs(log);
        let is_open = |entry: &&Entry| told.iter().any(|t| t.run_id == entry.run_id && t.ended().is_none());
        let unfinished: Vec<&Entry> = log.iter().filter(is_open).collect();
        let recent = told.iter().map(|told| (told.message_id.clone(), told.receipt())).collect();
        self.machine.recover(Offset(log.len() as u64), recent, &unfinished, &self.limits).ok()
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
        type P = Property<UserModel>;
        fn kept(s: &Account, rule: &str) -> bool {
            s.broken != Some(rule)
        }
        fn ended(s: &Account, status: RunStatus) -> bool {
            law::runs(&s.log).iter().any(|run| run.ended() == Some(status))
        }
        fn any(s: &Account, find: impl Fn(&Event) -> bool) -> bool {
            s.log.iter().any(|entry| matches!(&entry.body, Body::Event { event, .. } if find(event)))
        }
        vec![
            P::always("RUN-1 agent_started comes first and once", |_, s| law::run_1(&s.log)),
            P::always("RUN-2 seq counts", |_, s| law::run_2(&s.log)),
            P::always("RUN-3 a thought before the first call and before success", |_, s| law::run_3(&s.log)),
            P::always("RUN-4 each call opened once, closed once", |_, s| {
                law::run_4(&s.log) && kept(s, "RUN-4")
            }),
            P::always("RUN-5 agent_completed last, no call open", |_, s| {
                law::run_5(&s.log) && kept(s, "RUN-5")
            }),
            P::always("RUN-6 the first in line has begun, and whoever is ended has an end", |_, s| {
                law::run_6(&s.log) && kept(s, "RUN-6")
            }),
            P::always("RUN-7 an early end closes what is open, as it should", |_, s| kept(s, "RUN-7")),
            P::always("RUN-8 one active run a thread, in order; on_busy is followed", |_, s| {
                law::run_8(&s.log) && kept(s, "RUN-8")
            }),
            P::always("RUN-9 a resumed run's orphaned calls close as unknown", |_, s| kept(s, "RUN-9")),
            P::always("RUN-10 an illegal step fails its run and shows nobody", |_, s| kept(s, "RUN-10")),
            P::always("RUN-11 the first answer of the owner counts, and no other", |_, s| kept(s, "RUN-11")),
            P::always("DEL-2 offsets count", |_, s| law::del_2(&s.log)),
            P::always("DEL-5 an acceptance names what the log has", |_, s| kept(s, "DEL-5")),
            P::always("DEL-6 the same message is the same run and answer", |_, s| {
                law::del_6(&s.log) && kept(s, "DEL-6")
            }),
            P::always("ISO-3 what does not exist is not found", |_, s| kept(s, "ISO-3")),
            P::always("LIMIT what is over a limit is refused, what is not is not", |_, s| kept(s, "LIMIT")),
            P::always("FOLD the fold of the log is the live state", |m, s| {
                kept(s, "FOLD") && m.fold(&s.log).as_ref() == Some(&s.user)
            }),
            P::always("RECOVERY recovery is the live state", |m, s| {
                m.recovered(&s.log).as_ref() == Some(&s.user)
            }),
            P::sometimes("a run succeeds", |_, s| ended(s, RunStatus::Succeeded)),
            P::sometimes("a run fails", |_, s| ended(s, RunStatus::Failed)),
            P::sometimes("a run is cancelled", |_, s| ended(s, RunStatus::Cancelled)),
            P::sometimes("a run times out", |_, s| ended(s, RunStatus::TimedOut)),
            P::sometimes("a run is interrupted", |_, s| ended(s, RunStatus::Interrupted)),
            P::sometimes("a message waits", |_, s| law::runs(&s.log).iter().any(|run| !run.begun())),
            P::sometimes("one that waited runs", |_, s| {
                law::runs(&s.log)
                    .iter()
                    .any(|run| run.events.len() > 2 && run.events[0].0.0 > run.accepted.0 + 1)
            }),
            P::sometimes("a client answers", |_, s| {
                law::runs(&s.log).iter().any(|told| {
                    told.events.iter().any(|(.., event)| {
                        matches!(event, Event::ToolCompleted { call_id, result, .. }
                            if result.status == CallStatus::Ok && told.opened(call_id) == Some(By::Client))
                    })
                })
            }),
            P::sometimes("a call closes as unknown", |_, s| {
                any(
                    s,
                    |e| matches!(e, Event::ToolCompleted { result, .. } if result.status == CallStatus::Unknown),
                )
            }),
            P::sometimes("a message is remembered by the journal alone", |_, s| {
                law::runs(&s.log).iter().any(|told| s.user.recent(told.message_id).is_none())
            }),
        ]
    }
}
