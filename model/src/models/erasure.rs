//! The erasure of a thread or of a whole log (DEL-8): the kernel, a journal that erases entry by entry, and a process
//! that may die between any two steps. Its specification is `Erasure.tla`.

use std::{collections::BTreeSet, sync::Arc};

use quintet::kernel::{
    entry::{Entry, ThreadChange},
    ids::{Offset, ReceiptId, ThreadId},
    limits::Limits,
    user::{
        Command, EraseScope, Erasure, NewMessage, OnBusy, Receipt, RecentMessage, RecentParent, SendCommand,
        UserState,
    },
};
use stateright::{Model, Property};

use crate::{
    checks,
    checks::{Check, Checked},
    law,
    machine::Machine,
    vocabulary::{agent, brief, message, run, thread, without_words},
};

#[derive(Clone, Debug)]
pub struct ErasureModel {
    pub machine: &'static dyn Machine,
    pub messages: u8,
    pub threads: u8,
    /// Erasures in all.
    pub intents_max: usize,
    pub limits: Limits,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ErasureState {
    /// `None` while the process is down.
    pub user: Option<UserState>,
    pub log: Arc<Vec<Entry>>,
    /// The offsets that the journal has erased.
    pub gone: BTreeSet<Offset>,
    /// The intents that the journal has stored, in order.
    pub intents: Vec<Erasure>,
    /// True if the fold refuses an entry that the kernel decided.
    pub broken: bool,
}

impl std::fmt::Debug for ErasureState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log: Vec<String> = self.log.iter().map(brief).collect();
        let ends: Vec<_> = self.intents.iter().map(|intent| (&intent.scope, intent.through)).collect();
        write!(f, "log {log:?}, erased {:?}, intents {ends:?}", self.gone)?;
        if self.user.is_none() { write!(f, ", down") } else { Ok(()) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErasureAction {
    Send {
        message: u8,
        thread: u8,
    },
    Cancel {
        run: u8,
    },
    /// Of this thread, or of the whole log.
    Erase {
        thread: Option<u8>,
    },
    /// The journal erases one more entry of the first erasure.
    Step,
    /// The journal has nothing left of the first erasure.
    End,
    Crash,
    Recover,
}

pub fn receipt(number: usize) -> ReceiptId {
    ReceiptId(uuid::Uuid::from_u128(1 << 64 | number as u128))
}

fn covers(intent: &Erasure, thread_id: &ThreadId, offset: Offset) -> bool {
    intent.scope.has(thread_id) && offset <= intent.through
}

/// The receipt of the erasure that an entry ends.
pub fn ends(entry: &Entry) -> Option<ReceiptId> {
    match entry {
        Entry::Thread(entry) => match entry.change {
            ThreadChange::Erased { receipt, .. } => Some(receipt),
            ThreadChange::Updated { .. } => None,
        },
        Entry::LogErased(entry) => Some(entry.receipt),
        Entry::Run(_) | Entry::Erased(_) => None,
    }
}

impl ErasureState {
    fn has_end(&self, intent: &Erasure) -> bool {
        self.log.iter().any(|entry| ends(entry) == Some(intent.receipt))
    }

    fn open_intents(&self) -> impl Iterator<Item = &Erasure> {
        self.intents.iter().filter(|intent| !self.has_end(intent))
    }

    /// The first entry of the scope that is not erased.
    fn left(&self, intent: &Erasure) -> Option<Offset> {
        let of_runs = self.log.iter().filter_map(Entry::run);
        let covered = of_runs.filter(|entry| covers(intent, &entry.thread_id, entry.offset));
        covered.map(|entry| entry.offset).find(|offset| !self.gone.contains(offset))
    }

    /// The messages that the journal still has, with their runs.
    fn kept(&self) -> Vec<RecentMessage> {
        let told = law::runs(&self.log);
        told.iter().filter(|told| !self.gone.contains(&told.accepted)).map(law::Told::recent).collect()
    }
}

impl ErasureModel {
    fn send(&self, state: &ErasureState, user: &UserState, number: u8, of: u8) -> Command {
        let (message_id, thread_id) = (message(number), thread(of));
        let told = law::runs(&state.log);
        let earlier = told.iter().find(|told| *told.message_id == message_id);
        let is_older = user.recent_parent(&thread_id, None) == RecentParent::Older;
        let latest = state.kept().into_iter().rev().find(|kept| kept.thread_id == thread_id);
        let older_parent = latest.map(|kept| kept.receipt.offset);
        Command::Send(SendCommand {
            earlier: earlier.map(|told| Receipt { run_id: told.run_id, offset: told.accepted }),
            agent_name: agent(),
            run_id: run(number),
            differs: false,
            older_parent: older_parent.filter(|_| is_older && user.has_older(&self.limits)),
            message: NewMessage {
                message_id,
                thread_id,
                text: "x".into(),
                agent_name: None,
                on_busy: OnBusy::Enqueue,
                parent: None,
            },
        })
    }

    /// Decides a command, and appends what it decides.
    fn decide(&self, state: &mut ErasureState, command: Command) -> Option<()> {
        let user = state.user.as_mut()?;
        let decision = self.machine.decide(user, command, &self.limits).ok()?;
        for entry in decision.entries {
            let entry = without_words(entry);
            state.broken |= self.machine.evolve(user, &entry, &self.limits).is_err();
            Arc::make_mut(&mut state.log).push(entry);
        }
        if let Some(erasure) = decision.erasure {
            self.machine.begin_erasure(user, erasure.clone());
            state.intents.push(erasure);
        }
        Some(())
    }

    /// The state after a restart, from what the journal has.
    pub fn recovered(&self, state: &ErasureState) -> Option<UserState> {
        let mut recent = state.kept();
        recent.drain(..recent.len().saturating_sub(self.limits.recent_messages_max));
        let open = state.open_intents().cloned().collect();
        self.machine.recovered_with(recent, open, &state.log, &self.limits)
    }
}

impl Model for ErasureModel {
    type State = ErasureState;
    type Action = ErasureAction;

    fn init_states(&self) -> Vec<ErasureState> {
        vec![ErasureState {
            user: Some(UserState::default()),
            log: Arc::default(),
            gone: BTreeSet::new(),
            intents: vec![],
            broken: false,
        }]
    }

    fn actions(&self, _: &ErasureState, actions: &mut Vec<ErasureAction>) {
        use ErasureAction as A;
        for thread in 1..=self.threads {
            actions.extend((1..=self.messages).map(|message| A::Send { message, thread }));
            actions.push(A::Erase { thread: Some(thread) });
        }
        actions.extend((1..=self.messages).map(|run| A::Cancel { run }));
        actions.extend([A::Erase { thread: None }, A::Step, A::End, A::Crash, A::Recover]);
    }

    fn next_state(&self, state: &ErasureState, action: ErasureAction) -> Option<ErasureState> {
        use ErasureAction as A;
        let mut next = state.clone();
        match action {
            A::Send { message, thread } => {
                let command = self.send(state, state.user.as_ref()?, message, thread);
                self.decide(&mut next, command)?;
            }
            A::Cancel { run: number } => {
                self.decide(&mut next, Command::Cancel { run_id: run(number), ended: false })?;
            }
            A::Erase { thread: of } => {
                if state.intents.len() >= self.intents_max {
                    return None;
                }
                let scope = of.map_or(EraseScope::Log, |of| EraseScope::Thread(thread(of)));
                let receipt = receipt(state.intents.len() + 1);
                self.decide(&mut next, Command::Erase { scope, receipt })?;
            }
            A::Step => {
                let first = state.user.as_ref()?.erasures().first()?;
                next.gone.insert(state.left(first)?);
            }
            A::End => {
                let first = state.user.as_ref()?.erasures().first()?;
                if state.left(first).is_some() {
                    return None;
                }
                self.decide(&mut next, Command::Erased { receipt: first.receipt })?;
            }
            A::Crash => drop(next.user.take()?),
            A::Recover if state.user.is_none() => next.user = Some(self.recovered(state)?),
            A::Recover => return None,
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::stateright_properties()
    }
}

impl Checked for ErasureModel {
    const NAME: &str = "erasure";

    fn checks() -> Vec<Check<Self>> {
        fn is_covered(s: &ErasureState, thread_id: &ThreadId, offset: Offset) -> bool {
            s.intents.iter().any(|intent| covers(intent, thread_id, offset))
        }
        checks![ErasureModel;
            always ["DEL-8"] "an erasure ends once, when nothing of its scope is left"
                case "an erasure has ended, and a message was accepted since its intent" => |_, s| {
                s.intents.iter().all(|intent| {
                    let end = |entry: &&Entry| ends(entry) == Some(intent.receipt);
                    match s.log.iter().filter(end).count() {
                        0 => true,
                        1 => s.left(intent).is_none(),
                        _ => false,
                    }
                })
            };
            always ["DEL-8"] "nothing but the scope up to the intent is erased"
                case "an erasure has ended, and a message was accepted since its intent" => |_, s| {
                s.gone.iter().all(|offset| {
                    let entry = &s.log[offset.0 as usize - 1];
                    entry.thread_id().is_some_and(|thread_id| is_covered(s, thread_id, *offset))
                })
            };
            always ["DEL-8"] "no run is open whose entries are being erased"
                case "a run is open in a thread that is being erased" => |_, s| {
                let open = |user: &UserState| {
                    user.open_runs().values().all(|open| !is_covered(s, &open.thread_id, open.accepted))
                };
                s.user.as_ref().is_none_or(open)
            };
            always ["DEL-8"] "memory has no message that is being erased"
                case "a run is open in a thread that is being erased" => |_, s| {
                let forgets = |user: &UserState| {
                    user.recent_messages()
                        .all(|recent| !is_covered(s, &recent.thread_id, recent.receipt.offset))
                };
                s.user.as_ref().is_none_or(forgets)
            };
            always ["DEL-8"] "a message follows none that was being erased when it was accepted"
                case "a run is open in a thread that is being erased" => |_, s| {
                law::runs(&s.log).iter().all(|told| {
                    s.intents.iter().all(|intent| {
                        told.accepted <= intent.through
                            || told.parent == Offset::ZERO
                            || !covers(intent, told.thread_id, told.parent)
                    })
                })
            };
            always ["DEL-6"] "the same message is the same run, erased or not"
                case "an erasure has ended, and a message was accepted since its intent" =>
                |_, s| law::del_6(&s.log);
            always ["RECOVERY"] "recovery has the live head, runs and erasures"
                case "the process is down, and an erasure is half done" => |m, s| match &s.user {
                None => m.recovered(s).is_some(),
                Some(user) => {
                    user.erasures().iter().eq(s.open_intents())
                        && m.recovered(s).is_some_and(|other| {
                            (other.head(), other.open_runs(), other.erasures())
                                == (user.head(), user.open_runs(), user.erasures())
                        })
                }
            };
            always ["FOLD"] "the fold takes what is decided"
                case "an erasure has ended, and a message was accepted since its intent" => |_, s| !s.broken;
            sometimes ["DEL-6", "DEL-8", "FOLD"] "an erasure has ended, and a message was accepted since its intent" => |_, s| {
                s.intents.iter().any(|intent| {
                    let later = law::runs(&s.log).into_iter().any(|told| told.accepted > intent.through);
                    s.has_end(intent) && later && !s.gone.is_empty()
                })
            };
            sometimes ["DEL-8"] "a run is open in a thread that is being erased" => |_, s| {
                s.user.as_ref().is_some_and(|user| {
                    user.open_runs().values().any(|open| user.erases(&open.thread_id, Offset::ZERO))
                })
            };
            sometimes ["DEL-8", "RECOVERY"] "the process is down, and an erasure is half done" => |_, s| {
                s.user.is_none() && !s.gone.is_empty() && s.open_intents().any(|intent| s.left(intent).is_some())
            };
        ]
    }
}
