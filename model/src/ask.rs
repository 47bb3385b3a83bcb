//! All commands to a user's log, small enough to enumerate, and the data that the shell adds for the kernel:
//! a fresh run id, and the journal's knowledge of the past.

use quintet::kernel::{
    entry::{CallOwner, CallStatus, Entry},
    ids::{Offset, RunId},
    limits::Limits,
    run::{EarlyEnd, Ending},
    user::{AgentStep, Command, NewMessage, OnBusy, PastCall, RecentParent, Resumes, SendCommand, UserState},
};

use crate::{
    law,
    vocabulary::{a_call, agent, call, failed, interrupted, message, ok, run, thought, thread, timed_out},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    Send {
        message: u8,
        thread: u8,
        on_busy: OnBusy,
        after: After,
    },
    Cancel {
        run: u8,
    },
    Answer {
        run: u8,
        call: u8,
    },
    Step {
        run: u8,
        deed: Deed,
    },
    /// The agent takes the messages that wait for its run (RUN-12).
    Take {
        run: u8,
    },
    Cut {
        run: u8,
        cut: CutBy,
    },
    CloseCall {
        run: u8,
        call: u8,
    },
    Resume {
        run: u8,
        keep: Option<u8>,
    },
    /// A resume of a run that was resumed as often as is allowed (RUN-6).
    Exhaust {
        run: u8,
    },
}

/// The parent that a message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum After {
    /// None: it follows the latest message of the thread.
    Latest,
    /// The root of the thread.
    Root,
    /// This message, of the thread or of another one, accepted or not.
    Message(u8),
}

/// An attempt of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    Think,
    Open(u8, CallOwner),
    Close(u8),
    Succeed,
    Fail,
}

/// The cause of an early end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CutBy {
    Agent,
    Deadline,
    LostNode,
}

impl CutBy {
    pub fn cut(self) -> EarlyEnd {
        match self {
            CutBy::Agent => failed(),
            CutBy::Deadline => timed_out(),
            CutBy::LostNode => interrupted(),
        }
    }
}

impl Deed {
    pub fn step(self) -> AgentStep {
        match self {
            Deed::Think => AgentStep::Think(thought()),
            Deed::Open(id, by) => AgentStep::Open(a_call(id, by)),
            Deed::Close(id) => AgentStep::Close { call_id: call(id), result: ok() },
            Deed::Succeed => AgentStep::Complete(Ending::Succeeded { usage: None }),
            Deed::Fail => AgentStep::Complete(Ending::Cut(failed())),
        }
    }

    pub fn all(calls: u8) -> Vec<Deed> {
        let mut deeds = vec![Deed::Think, Deed::Succeed, Deed::Fail];
        for id in 1..=calls {
            deeds.extend([
                Deed::Open(id, CallOwner::Agent),
                Deed::Open(id, CallOwner::Client),
                Deed::Close(id),
            ]);
        }
        deeds
    }
}

impl Ask {
    /// Every command of clients, own ids and foreign ones alike: run `runs + 1` does not exist.
    pub fn of_clients(messages: u8, threads: u8, runs: u8, calls: u8) -> Vec<Ask> {
        let mut asks = Vec::new();
        for message in 1..=messages {
            for thread in 1..=threads {
                for on_busy in [OnBusy::Enqueue, OnBusy::Reject, OnBusy::Interrupt, OnBusy::Steer] {
                    asks.push(Ask::Send { message, thread, on_busy, after: After::Latest });
                }
                let named = std::iter::once(After::Root).chain((1..=messages).map(After::Message));
                let branch = |after| Ask::Send { message, thread, on_busy: OnBusy::Enqueue, after };
                asks.extend(named.map(branch));
            }
        }
        for run in 1..=runs + 1 {
            asks.push(Ask::Cancel { run });
            asks.extend((1..=calls).map(|call| Ask::Answer { run, call }));
        }
        asks
    }

    /// Every command of agents and of the service, for runs that exist and one that does not.
    pub fn of_the_house(runs: u8, calls: u8) -> Vec<Ask> {
        let mut asks = Vec::new();
        for run in 1..=runs + 1 {
            asks.extend(Deed::all(calls).into_iter().map(|deed| Ask::Step { run, deed }));
            asks.push(Ask::Take { run });
            asks.extend([CutBy::Agent, CutBy::Deadline, CutBy::LostNode].map(|cut| Ask::Cut { run, cut }));
            asks.extend((1..=calls).map(|call| Ask::CloseCall { run, call }));
            asks.push(Ask::Exhaust { run });
            asks.push(Ask::Resume { run, keep: None });
            asks.extend((1..=calls).map(|call| Ask::Resume { run, keep: Some(call) }));
        }
        asks
    }

    /// The command as the shell hands it to the kernel. `journal` is what is durable.
    pub fn command(self, journal: &[Entry], view: &UserState, fresh: RunId) -> Command {
        let told = law::runs(journal);
        let of = |number: u8| told.iter().find(|told| told.run_id == run(number));
        match self {
            Ask::Send { message: number, thread: line, on_busy, after } => {
                let message_id = message(number);
                let recent = view.recent(&message_id).is_some();
                let in_journal =
                    told.iter().find(|told| *told.message_id == message_id).map(|told| told.receipt());
                let parent = match after {
                    After::Latest => None,
                    After::Root => Some(Offset::ZERO),
                    After::Message(named) => {
                        let named = told.iter().find(|told| *told.message_id == message(named));
                        Some(named.map_or(Offset(u64::MAX), |told| told.accepted))
                    }
                };
                let message = NewMessage {
                    message_id,
                    thread_id: thread(line),
                    text: "x".into(),
                    agent_name: None,
                    on_busy,
                    parent,
                };
                let is_older = view.recent_parent(&message.thread_id, message.parent) == RecentParent::Older;
                let of_thread = told.iter().rev().filter(|told| *told.thread_id == message.thread_id);
                let mut offsets = of_thread.map(|told| told.accepted);
                let older_parent = offsets.find(|offset| parent.is_none_or(|parent| parent == *offset));
                Command::Send(SendCommand {
                    earlier: in_journal.filter(|_| !recent),
                    agent_name: agent(),
                    run_id: fresh,
                    differs: false,
                    older_parent: older_parent.filter(|_| is_older),
                    message,
                })
            }
            Ask::Cancel { run: id } => {
                Command::Cancel { run_id: run(id), ended: of(id).is_some_and(|told| told.ended().is_some()) }
            }
            Ask::Answer { run: id, call: call_number } => {
                let by = of(id).and_then(|told| told.opened(&call(call_number)));
                let past = Some(if by == Some(CallOwner::Client) {
                    PastCall::OfClient
                } else {
                    PastCall::NotOfClient
                });
                Command::Answer { run_id: run(id), call_id: call(call_number), result: ok(), past }
            }
            Ask::Step { run: id, deed } => Command::Step { run_id: run(id), step: deed.step() },
            Ask::Take { run: id } => Command::TakeMessages { run_id: run(id) },
            Ask::Cut { run: id, cut } => Command::Cut { run_id: run(id), cut: cut.cut() },
            Ask::CloseCall { run: id, call: call_number } => Command::CloseCall {
                run_id: run(id),
                call_id: call(call_number),
                status: CallStatus::TimedOut,
            },
            Ask::Resume { run: id, keep } => {
                let keep = keep.into_iter().map(call).collect();
                Command::Resume { run_id: run(id), keep, resumes: Resumes::default() }
            }
            // What is idempotent is closed all the same.
            Ask::Exhaust { run: id } => Command::Resume {
                run_id: run(id),
                keep: vec![call(1)],
                resumes: Resumes { without_step: Limits::DEFAULT.run_resumes_max, total: 0 },
            },
        }
    }
}
