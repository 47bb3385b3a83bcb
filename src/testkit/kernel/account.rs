//! One user's machine beside its log, under attempts that a test or a fuzzer generates.

use quintet_kernel::{
    entry::{CallOwner, CallResult, CallStatus, Entry, RunEntry},
    ids::{MessageId, Offset, ReceiptId, RunId, ThreadId, Title},
    json::Json,
    limits::Limits,
    run::EarlyEnd,
    user::{
        AgentStep, Command, EraseScope, NewMessage, OnBusy, OpenRun, Progress, Receipt, RecentMessage,
        Refusal, Reply, Resumes, SendCommand, TakenMessage, ThreadUpdate, UpdateThread, UserState,
    },
};

use super::{
    erasures::{self, Erasures},
    make::{AT, agent_name, call_id, failed, message_id, run_id, thread_id},
    oracle::{self, LoggedRun},
};

/// Small limits, so that each of them is reached.
pub const LIMITS: Limits = Limits {
    text_bytes_max: 8,
    delta_bytes_max: 4,
    answer_bytes_max: 6,
    open_calls_max: 2,
    run_calls_max: 3,
    run_events_max: 9,
    open_runs_max: 4,
    queued_messages_max: 2,
    recent_messages_max: 2,
    run_resumes_max: 2,
    run_resumes_total_max: 3,
    erasures_open_max: 3,
    ..Limits::DEFAULT
};

/// A command. Its run, if it names one, is chosen later from those that exist then.
#[derive(Clone, Debug)]
pub enum Attempt {
    Send {
        message: u8,
        thread: u8,
        on_busy: OnBusy,
        text: &'static str,
        /// The parent: an entry of the log, the root, or an offset that does not exist.
        parent: Option<u8>,
    },
    Cancel(u8),
    Answer(u8, u8),
    Step(u8, AgentStep),
    Cut(u8, EarlyEnd),
    Take(u8),
    CloseCall(u8, u8),
    Resume(u8, Vec<u8>, Resumes),
    /// The properties of a thread: a title, none, or unchanged; archived or unchanged.
    Update(u8, Option<Option<&'static str>>, Option<bool>),
    /// Erases a thread, or the whole log.
    Erase(Option<u8>),
    /// The journal has erased everything of an erasure: one that is under way, or one that does not exist.
    Erased(u8),
    /// The machines are lost and recovered from the log.
    Crash,
}

/// The machine beside its log.
#[derive(Default)]
pub struct Account {
    pub state: UserState,
    pub log: Vec<Entry>,
    pub erasures: Erasures,
}

impl Account {
    fn told(&self, run_id: RunId) -> Option<LoggedRun> {
        oracle::runs(&self.log).into_iter().find(|run| run.run_id == run_id)
    }

    /// Picks a run of the log, or one that does not exist.
    fn pick(&self, index: u8) -> RunId {
        let mut ids: Vec<RunId> = oracle::runs(&self.log).iter().map(|run| run.run_id).collect();
        ids.push(run_id(999));
        ids[usize::from(index) % ids.len()]
    }

    /// The journal's answer for a message that is no longer in memory.
    fn earlier(&self, message_id: &MessageId) -> Option<Receipt> {
        let told = oracle::runs(&self.log).into_iter().find(|run| run.message_id == *message_id)?;
        self.state.recent(message_id).is_none().then_some(told.receipt)
    }

    fn parent(&self, index: Option<u8>) -> Option<Offset> {
        index.map(|index| Offset(u64::from(index) % (self.log.len() as u64 + 2)))
    }

    /// The journal's answer for a parent: the message at `parent`, or the latest of the thread.
    fn older_parent(&self, thread_id: &ThreadId, parent: Option<Offset>) -> Option<Offset> {
        let offsets: Vec<Offset> = oracle::runs(&self.log)
            .iter()
            .filter(|run| run.thread_id == *thread_id && !self.erasures.is_gone(&self.log, run))
            .map(|run| run.receipt.offset)
            .collect();
        match parent {
            Some(parent) => offsets.contains(&parent).then_some(parent),
            None => offsets.last().copied(),
        }
    }

    pub fn command(&self, attempt: &Attempt) -> Option<Command> {
        let ended = |run_id| self.told(run_id).is_some_and(|run| run.ended());
        let result = || CallResult::ok(Json::null());
        Some(match attempt {
            Attempt::Send { message, thread, on_busy, text, parent } => Command::Send(SendCommand {
                older_parent: self.older_parent(&thread_id(*thread), self.parent(*parent)),
                message: NewMessage {
                    message_id: message_id(*message),
                    thread_id: thread_id(*thread),
                    text: (*text).into(),
                    agent_name: None,
                    on_busy: *on_busy,
                    parent: self.parent(*parent),
                },
                agent_name: agent_name(),
                run_id: run_id(self.log.len()),
                earlier: self.earlier(&message_id(*message)),
                differs: false,
            }),
            Attempt::Cancel(run) => {
                Command::Cancel { run_id: self.pick(*run), ended: ended(self.pick(*run)) }
            }
            Attempt::Answer(run, id) => Command::Answer {
                run_id: self.pick(*run),
                call_id: call_id(*id),
                result: result(),
                past: None,
            },
            Attempt::Step(run, step) => Command::Step { run_id: self.pick(*run), step: step.clone() },
            Attempt::Take(run) => Command::TakeMessages { run_id: self.pick(*run) },
            Attempt::Cut(run, cut) => Command::Cut { run_id: self.pick(*run), cut: cut.clone() },
            Attempt::CloseCall(run, id) => Command::CloseCall {
                run_id: self.pick(*run),
                call_id: call_id(*id),
                status: CallStatus::TimedOut,
            },
            Attempt::Resume(run, keep, resumes) => Command::Resume {
                run_id: self.pick(*run),
                keep: keep.iter().map(|id| call_id(*id)).collect(),
                resumes: *resumes,
            },
            Attempt::Update(thread, title, archived) => Command::UpdateThread(UpdateThread {
                thread_id: thread_id(*thread),
                update: ThreadUpdate {
                    title: title.map(|title| title.map(|title| Title::parse(title).unwrap())),
                    archived: *archived,
                },
                current: self.erasures.properties(&self.log, &thread_id(*thread)),
            }),
            Attempt::Erase(thread) => Command::Erase {
                scope: thread.map_or(EraseScope::Log, |thread| EraseScope::Thread(thread_id(thread))),
                receipt: receipt(self.erasures.0.len()),
            },
            Attempt::Erased(index) => {
                let mut open: Vec<ReceiptId> =
                    self.erasures.open(&self.log).iter().map(|erasure| erasure.receipt).collect();
                open.push(receipt(999));
                Command::Erased { receipt: open[usize::from(*index) % open.len()] }
            }
            Attempt::Crash => return None,
        })
    }

    pub fn take(&mut self, command: Command) -> Result<Reply, Refusal> {
        let before = self.state.clone();
        let expected = self.expected(&command);
        let decided = self.state.decide(command.clone(), &LIMITS, AT);
        assert_eq!(self.state, before, "deciding changes nothing");
        if let Some(expected) = expected {
            assert_eq!(decided.as_ref().map(|d| &d.reply), expected.as_ref(), "{command:?}");
        }
        let decision = decided?;
        for entry in decision.entries {
            self.state.evolve(&entry, &LIMITS).expect("the kernel can apply what it decides");
            self.log.push(entry);
        }
        if let Some(erasure) = decision.erasure {
            assert_eq!(erasure.through, self.state.head(), "the erasure reaches through its batch");
            self.state.begin_erasure(erasure.clone());
            self.erasures.0.push(erasure);
        }
        Ok(decision.reply)
    }

    /// The reply that the contract requires for a user's own commands, derived from the log alone.
    fn expected(&self, command: &Command) -> Option<Result<Reply, Refusal>> {
        let runs = oracle::runs(&self.log);
        let open = |run: &&LoggedRun| !run.ended();
        Some(match command {
            Command::Send(send) => {
                if let Some(run) = runs.iter().find(|run| run.message_id == send.message.message_id) {
                    return Some(Ok(Reply::Accepted { receipt: run.receipt, duplicate: true }));
                }
                let line: Vec<_> =
                    runs.iter().filter(open).filter(|r| r.thread_id == send.message.thread_id).collect();
                let interrupts = send.message.on_busy == OnBusy::Interrupt && !line.is_empty();
                let parent = send.message.parent.filter(|parent| *parent != Offset::ZERO);
                let found = self.older_parent(&send.message.thread_id, parent);
                // DEL-8: a message that is being erased is no parent any more.
                let found = found.filter(|found| !self.erasures.covers(&send.message.thread_id, *found));
                if send.message.text.len() > LIMITS.text_bytes_max {
                    Err(Refusal::TooLarge { what: "text", bytes_max: LIMITS.text_bytes_max })
                } else if parent.is_some() && found.is_none() {
                    Err(Refusal::NotFound)
                } else if send.message.on_busy == OnBusy::Reject && !line.is_empty() {
                    Err(Refusal::ThreadBusy)
                } else if !interrupts && line.len() > LIMITS.queued_messages_max {
                    Err(Refusal::LimitReached("queued_messages_max"))
                } else if !interrupts && runs.iter().filter(open).count() >= LIMITS.open_runs_max {
                    Err(Refusal::LimitReached("open_runs_max"))
                } else {
                    return None;
                }
            }
            Command::Cancel { run_id, .. } => match runs.iter().find(|run| run.run_id == *run_id) {
                None => Err(Refusal::NotFound),
                Some(run) if run.ended() => Err(Refusal::RunEnded),
                Some(_) => Ok(Reply::Done),
            },
            Command::Cut { run_id, .. } => match runs.iter().find(|run| run.run_id == *run_id) {
                Some(run) if !run.ended() => Ok(Reply::Done),
                _ => Err(Refusal::RunEnded),
            },
            Command::TakeMessages { run_id } => {
                let Some(taker) =
                    runs.iter().find(|run| run.run_id == *run_id && run.begun() && !run.ended())
                else {
                    return Some(Err(Refusal::RunEnded));
                };
                let waits = |run: &&LoggedRun| run.thread_id == taker.thread_id && !run.begun() && run.steers;
                // RUN-12: each of them, in order of acceptance.
                let taken = runs.iter().filter(waits).map(|run| TakenMessage {
                    message_id: run.message_id.clone(),
                    offset: run.receipt.offset,
                });
                Ok(Reply::Taken(taken.collect()))
            }
            Command::Resume { run_id, resumes, .. } => {
                let begun = runs.iter().any(|run| run.run_id == *run_id && run.begun() && !run.ended());
                match (begun, resumes) {
                    (false, _) => Err(Refusal::RunEnded),
                    // RUN-6
                    (true, Resumes { without_step: 2.., .. }) => Ok(Reply::ResumeLimit("run_resumes_max")),
                    (true, Resumes { total: 3.., .. }) => Ok(Reply::ResumeLimit("run_resumes_total_max")),
                    (true, _) => Ok(Reply::Done),
                }
            }
            Command::UpdateThread(update) => {
                let is_erasing = self.state.erases(&update.thread_id, Offset::ZERO);
                match if is_erasing {
                    self.state.has_recent(&update.thread_id)
                } else {
                    update.current.is_some()
                } {
                    true => Ok(Reply::Done),
                    false => Err(Refusal::NotFound),
                }
            }
            Command::Erase { .. } if self.erasures.open(&self.log).len() < LIMITS.erasures_open_max => {
                Ok(Reply::Done)
            }
            Command::Erase { .. } => Err(Refusal::LimitReached("erasures_open_max")),
            Command::Erased { receipt } => {
                match self.erasures.open(&self.log).iter().any(|open| open.receipt == *receipt) {
                    true => Ok(Reply::Done),
                    false => Err(Refusal::NotFound),
                }
            }
            Command::Answer { .. } | Command::Step { .. } | Command::CloseCall { .. } => return None,
        })
    }

    /// Recovery from the head, the messages and the entries of unfinished runs (RUN-6).
    pub fn recovered(&self) -> UserState {
        let runs = oracle::runs(&self.log);
        let unfinished =
            |entry: &&RunEntry| runs.iter().any(|run| run.run_id == entry.run_id && !run.ended());
        let kept = runs.iter().filter(|run| !self.erasures.is_gone(&self.log, run));
        let recent = kept.map(|run| RecentMessage {
            message_id: run.message_id.clone(),
            thread_id: run.thread_id.clone(),
            receipt: run.receipt,
        });
        let head = Offset(self.log.len() as u64);
        UserState::recover(
            head,
            recent,
            self.log.iter().filter_map(Entry::run).filter(unfinished),
            self.erasures.open(&self.log),
            &LIMITS,
        )
        .expect("recovery fits")
    }

    pub fn check(&self) {
        oracle::check(&self.log);
        self.erasures.check(&self.log, &self.state);
        let (fold, recovered) = (erasures::fold(&self.log, &self.erasures, &LIMITS), self.recovered());
        if self.erasures.0.is_empty() {
            assert_eq!(fold, self.state, "the fold of the log is the live state");
            assert_eq!(recovered, self.state, "recovery is the live state");
        }
        for other in [fold, recovered] {
            assert!(erasures::same(&other, &self.state), "{other:?} is not like {:?}", self.state);
        }
        let open: Vec<RunId> = self.state.open_runs().keys().copied().collect();
        let mut told: Vec<RunId> =
            oracle::runs(&self.log).iter().filter(|run| !run.ended()).map(|run| run.run_id).collect();
        told.sort();
        assert_eq!(open, told, "RUN-6: open in memory is open in the log");
    }

    /// Ends every run: answers the client's questions and cuts the rest. Ends every erasure.
    pub fn wind_up(&mut self) {
        while let Some(erasure) = self.state.erasures().first() {
            assert_eq!(self.take(Command::Erased { receipt: erasure.receipt }), Ok(Reply::Done));
            self.check();
        }
        while let Some((run_id, open)) = self.state.open_runs().iter().next() {
            let (run_id, open): (RunId, OpenRun) = (*run_id, open.clone());
            let question = match &open.progress {
                Progress::Begun(run) => {
                    run.open_calls().iter().find(|(_, call)| call.by == CallOwner::Client)
                }
                Progress::Waiting => None,
            };
            let command = match question {
                Some((call_id, _)) => Command::Answer {
                    run_id,
                    call_id: call_id.clone(),
                    result: CallResult::ok(Json::null()),
                    past: None,
                },
                None => Command::Cut { run_id, cut: failed() },
            };
            assert_eq!(self.take(command), Ok(Reply::Done));
            self.check();
        }
    }
}

fn receipt(number: usize) -> ReceiptId {
    ReceiptId(uuid::Uuid::from_u128(1 << 64 | number as u128))
}
