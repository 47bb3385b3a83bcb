//! The kernel's types as the specifications write them: what `Kernel.tla` calls a run, a user's
//! state, an entry.

use std::{collections::BTreeMap, sync::Arc};

use quintet::kernel::{
    connection::Phase,
    entry::{Body, Entry, Event, RunEntry, RunStatus},
    ids::Offset,
    limits::Limits,
    run::{AnyRun, Closer, PhaseName},
    ticket::AnyTicket,
    user::{EraseScope, Erasure, OnBusy, OpenRun, Progress, UserState},
};
use tla_checker::ast::Value;

use crate::{
    ask::{After, Ask, Deed},
    models::{
        delivery::{self, DeliveryAction, DeliveryModel, DeliveryState, Drain, Frame, Link},
        erasure::{self, ErasureAction, ErasureModel, ErasureState},
        fence::{FenceAction, FenceModel, FenceState, Node},
        run::{Letter, RunAction, RunModel, RunState},
        ticket::{self, Seat, TicketAction, TicketModel, TicketState},
        user::{Account, UserModel},
    },
    spec::Refines,
    vocabulary::{
        by_name, call, call_number, call_status_name, ending_name, message_number, run_number,
        run_status_name, thread_number,
    },
};

pub fn int(number: impl Into<u64>) -> Value {
    Value::Int(number.into() as i64)
}

pub fn text(text: &str) -> Value {
    Value::Str(text.into())
}

pub fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::record(fields.into_iter().map(|(name, value)| (Arc::from(name), value)).collect())
}

pub fn sequence(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Tuple(Arc::new(values.into_iter().collect()))
}

pub fn set(values: impl IntoIterator<Item = Value>) -> Value {
    Value::set(values.into_iter().collect())
}

pub fn function(pairs: impl IntoIterator<Item = (Value, Value)>) -> Value {
    Value::func(pairs.into_iter().collect::<BTreeMap<_, _>>())
}

/// The numbers 1 … `max`, as a constant.
pub fn up_to(max: u8) -> Value {
    set((1..=max).map(int))
}

/// The constants of `Kernel.tla`.
pub fn limits(limits: &Limits, calls: u8) -> Vec<(&'static str, Value)> {
    vec![
        ("Calls", up_to(calls)),
        ("EventsMax", int(limits.run_events_max)),
        ("OpenCallsMax", int(limits.open_calls_max as u64)),
        ("RunCallsMax", int(limits.run_calls_max as u64)),
        ("OpenRunsMax", int(limits.open_runs_max as u64)),
        ("QueuedMax", int(limits.queued_messages_max as u64)),
        ("RecentMax", int(limits.recent_messages_max as u64)),
    ]
}

pub fn run(run: &AnyRun, calls: u8) -> Value {
    let phase = match run.phase() {
        PhaseName::Started => "started",
        PhaseName::Thinking => "thinking",
        PhaseName::ExecutingTools => "executing",
        PhaseName::Completed => "completed",
    };
    record([
        ("phase", text(phase)),
        ("seq", int(run.seq().0)),
        ("opened", set((1..=calls).filter(|id| run.has_opened(&call(*id))).map(int))),
        (
            "open",
            function(
                run.open_calls().iter().map(|(id, open)| (int(call_number(id)), text(by_name(open.by)))),
            ),
        ),
    ])
}

fn waiting() -> Value {
    record([("phase", text("waiting")), ("seq", int(0u8)), ("opened", set([])), ("open", sequence([]))])
}

pub fn entry(entry: &RunEntry) -> Value {
    let (parent, into) = match &entry.body {
        Body::UserMessage { parent, .. } => (parent.unwrap_or_default(), None),
        Body::Event { event: Event::Completed(completion), .. } => (Offset::ZERO, completion.merged_into),
        Body::Event { .. } => (Offset::ZERO, None),
    };
    let (seq, kind, message, call, what) = match &entry.body {
        Body::UserMessage { message_id, steers, .. } => {
            (0, "user_message", message_number(message_id), 0, if *steers { "steers" } else { "" })
        }
        Body::Event { seq, event } => match event {
            Event::Started { message_id } => (seq.0, "agent_started", message_number(message_id), 0, ""),
            Event::Thinking(_) => (seq.0, "agent_thinking", 0, 0, ""),
            Event::ToolExecuting(call) => {
                (seq.0, "tool_executing", 0, call_number(&call.call_id), by_name(call.by))
            }
            Event::ToolCompleted { call_id, result, .. } => {
                (seq.0, "tool_completed", 0, call_number(call_id), call_status_name(result.status))
            }
            Event::Completed(c) => (seq.0, "agent_completed", 0, 0, ending_name(c.status, c.error.as_ref())),
        },
    };
    record([
        ("run", int(run_number(entry.run_id))),
        ("seq", int(seq)),
        ("kind", text(kind)),
        ("thread", int(thread_number(&entry.thread_id))),
        ("message", int(message)),
        ("call", int(call)),
        ("what", text(what)),
        ("parent", int(parent.0)),
        ("into", int(into.map_or(0, run_number))),
    ])
}

pub fn log(entries: &[Entry]) -> Value {
    sequence(entries.iter().filter_map(Entry::run).map(entry))
}

/// A user's state.
pub fn user(state: &UserState, calls: u8) -> Value {
    let open = |open: &OpenRun| {
        let progress = match &open.progress {
            Progress::Waiting => waiting(),
            Progress::Begun(begun) => run(begun, calls),
        };
        record([
            ("thread", int(thread_number(&open.thread_id))),
            ("message", int(message_number(&open.message_id))),
            ("accepted", int(open.accepted.0)),
            ("steers", Value::Bool(open.steers)),
            ("run", progress),
        ])
    };
    let recent = state.recent_messages().map(|recent| {
        record([
            ("message", int(message_number(&recent.message_id))),
            ("run", int(run_number(recent.receipt.run_id))),
            ("offset", int(recent.receipt.offset.0)),
            ("thread", int(thread_number(&recent.thread_id))),
        ])
    });
    record([
        ("head", int(state.head().0)),
        ("runs", function(state.open_runs().iter().map(|(id, run)| (int(run_number(*id)), open(run))))),
        ("recent", sequence(recent)),
    ])
}

impl RunModel {
    pub fn constants(&self) -> Vec<(&'static str, Value)> {
        let mut constants = limits(&Limits::DEFAULT, self.calls);
        constants.retain(|(name, _)| *name != "EventsMax");
        constants.push(("EventsMax", int(self.events_max as u64)));
        constants
    }
}

impl Refines<RunState, RunAction> for RunModel {
    fn state(&self, state: &RunState) -> Vec<(&'static str, Value)> {
        let letter = |letter: &Letter| {
            let (kind, call, what) = match letter {
                Letter::Started => ("agent_started", 0, ""),
                Letter::Thinking => ("agent_thinking", 0, ""),
                Letter::Executing(id, by) => ("tool_executing", *id, by_name(*by)),
                Letter::Returned(id) => ("tool_completed", *id, "ok"),
                Letter::Completed(RunStatus::Succeeded) => ("agent_completed", 0, "succeeded"),
                Letter::Completed(status) => ("agent_completed", 0, run_status_name(*status)),
            };
            record([("kind", text(kind)), ("call", int(call)), ("what", text(what))])
        };
        vec![("run", run(&state.run, self.calls)), ("word", sequence(state.word.iter().map(letter)))]
    }

    fn action(&self, action: &RunAction, _: &RunState) -> &'static str {
        match action {
            RunAction::Think => "DoThink",
            RunAction::Open(..) => "DoOpen",
            RunAction::Close(_, Closer::Agent) => "AgentCloses",
            RunAction::Close(_, Closer::Client) => "ClientCloses",
            RunAction::Close(_, Closer::Service) => "ServiceCloses",
            RunAction::Succeed => "DoSucceed",
            RunAction::Merge => "DoMerge",
            RunAction::Fail | RunAction::Cancel | RunAction::TimeOut | RunAction::Interrupt => "DoCut",
        }
    }
}

impl UserModel {
    pub fn constants(&self) -> Vec<(&'static str, Value)> {
        let mut constants = limits(&self.limits, self.calls);
        constants.extend([("Messages", up_to(self.messages)), ("Threads", up_to(self.threads))]);
        constants
    }
}

impl Refines<Account, Ask> for UserModel {
    fn state(&self, state: &Account) -> Vec<(&'static str, Value)> {
        vec![("user", user(&state.user, self.calls)), ("log", log(&state.log))]
    }

    fn action(&self, ask: &Ask, _: &Account) -> &'static str {
        match ask {
            Ask::Send { after: After::Root, .. } => "SendAsRoot",
            Ask::Send { after: After::Message(_), .. } => "SendAsBranch",
            Ask::Send { on_busy: OnBusy::Enqueue, .. } => "SendOrWait",
            Ask::Send { on_busy: OnBusy::Reject, .. } => "SendOrReject",
            Ask::Send { on_busy: OnBusy::Interrupt, .. } => "SendOrInterrupt",
            Ask::Send { on_busy: OnBusy::Steer, .. } => "SendOrSteer",
            ask => operator(*ask),
        }
    }
}

/// The operator of the specifications that takes a command.
fn operator(ask: Ask) -> &'static str {
    match ask {
        Ask::Send { .. } => "DoSend",
        Ask::Cancel { .. } => "DoCancel",
        Ask::Answer { .. } => "DoAnswer",
        Ask::Step { deed: Deed::Think, .. } => "DoThink",
        Ask::Step { deed: Deed::Open(..), .. } => "DoOpen",
        Ask::Step { deed: Deed::Close(..), .. } => "DoClose",
        Ask::Step { deed: Deed::Succeed, .. } => "DoSucceed",
        Ask::Step { deed: Deed::Fail, .. } => "DoFail",
        Ask::Take { .. } => "DoTake",
        Ask::Cut { .. } => "DoCut",
        Ask::CloseCall { .. } => "DoCloseCall",
        Ask::Resume { .. } => "DoResume",
        Ask::Exhaust { .. } => "DoExhaust",
    }
}

impl FenceModel {
    pub fn constants(&self) -> Vec<(&'static str, Value)> {
        let mut constants = limits(&self.limits, 1);
        constants.extend([("Nodes", up_to(self.nodes)), ("Messages", up_to(self.messages))]);
        constants
    }
}

impl Refines<FenceState, FenceAction> for FenceModel {
    fn state(&self, state: &FenceState) -> Vec<(&'static str, Value)> {
        let node = |node: &Node| {
            let none = UserState::default();
            let (is, view, batch, promise, armed) = match node {
                Node::Down => ("down", &none, &[][..], 0, &[][..]),
                Node::Lost { armed } => ("lost", &none, &[][..], 0, &armed[..]),
                Node::Knows { view, batch, promise, armed } => {
                    ("knows", view, &batch[..], promise.unwrap_or(0), &armed[..])
                }
            };
            record([
                ("is", text(is)),
                ("user", user(view, 1)),
                ("batch", log(batch)),
                ("promise", int(promise)),
                ("armed", set(armed.iter().map(|run| int(*run)))),
            ])
        };
        let times = |run: u8| {
            state.invoked.iter().find(|(invoked, _)| *invoked == run).map_or(0, |(_, times)| *times)
        };
        vec![
            ("log", log(&state.log)),
            ("node", sequence(state.nodes.iter().map(node))),
            ("told", set(state.told.iter().map(|(message, run)| sequence([int(*message), int(*run)])))),
            ("invoked", sequence((1..=self.messages).map(|run| int(times(run))))),
        ]
    }

    fn action(&self, action: &FenceAction, to: &FenceState) -> &'static str {
        let decided =
            |n: u8| !matches!(&to.nodes[usize::from(n)], Node::Knows { batch, .. } if batch.is_empty());
        match action {
            FenceAction::Start(_) => "Start",
            FenceAction::Know(_) => "Know",
            FenceAction::Decide(n, Ask::Send { .. }) if !decided(*n) => "Again",
            FenceAction::Decide(_, ask) => operator(*ask),
            FenceAction::Write(_) => "Write",
            FenceAction::WriteUnheard(_) => "WriteUnheard",
            FenceAction::WriteFails(_) | FenceAction::Refused(_) => "WriteFails",
            FenceAction::Invoke(..) => "Invoke",
            FenceAction::Crash(_) => "Crash",
        }
    }
}

impl TicketModel {
    pub fn constants(&self) -> Vec<(&'static str, Value)> {
        let ends = (1..=self.tickets).map(|t| int(ticket::CREDENTIAL_ENDS[ticket::owner(t)]));
        vec![
            ("Tickets", up_to(self.tickets)),
            ("Seats", up_to(2)),
            ("TtlMax", int(ticket::TTL_MAX)),
            ("TimeMax", int(self.time_max)),
            ("CredentialEnds", sequence(ends)),
        ]
    }
}

impl Refines<TicketState, TicketAction> for TicketModel {
    fn state(&self, state: &TicketState) -> Vec<(&'static str, Value)> {
        let ticket = |slot: &Option<ticket::Slot>| {
            let (is, issued, ttl, opened) = match slot {
                None => ("none", 0, 0, 0),
                Some(slot) => {
                    let is = match slot.ticket {
                        AnyTicket::Issued(_) => "issued",
                        AnyTicket::Redeemed(_) => "redeemed",
                        AnyTicket::Expired(_) => "expired",
                    };
                    (is, slot.issued, slot.ttl, slot.opened)
                }
            };
            record([("is", text(is)), ("issued", int(issued)), ("ttl", int(ttl)), ("opened", int(opened))])
        };
        let seat = |seat: &Seat| {
            let (ticket, at) = match seat {
                Seat::Free => (0, 0),
                Seat::Open { ticket, at, .. } => (*ticket, *at),
            };
            record([("ticket", int(ticket)), ("at", int(at))])
        };
        vec![
            ("now", int(state.now)),
            ("ticket", sequence(state.tickets.iter().map(ticket))),
            ("seat", sequence(state.seats.iter().map(seat))),
        ]
    }

    fn action(&self, action: &TicketAction, _: &TicketState) -> &'static str {
        match action {
            TicketAction::Tick => "Tick",
            TicketAction::Issue { .. } => "Issue",
            TicketAction::Redeem { .. } => "Redeem",
            TicketAction::Lapse { .. } => "Lapse",
            TicketAction::Close { .. } => "Close",
        }
    }
}

impl ErasureModel {
    pub fn constants(&self) -> Vec<(&'static str, Value)> {
        let mut constants = limits(&self.limits, 1);
        constants.extend([
            ("Messages", up_to(self.messages)),
            ("Threads", up_to(self.threads)),
            ("IntentsMax", int(self.intents_max as u64)),
            ("ErasuresMax", int(self.limits.erasures_open_max as u64)),
        ]);
        constants
    }
}

impl Refines<ErasureState, ErasureAction> for ErasureModel {
    fn state(&self, state: &ErasureState) -> Vec<(&'static str, Value)> {
        let number =
            |id| state.intents.iter().position(|intent| intent.receipt == id).map_or(0, |at| at as u64 + 1);
        let scope = |intent: &Erasure| match &intent.scope {
            EraseScope::Thread(thread_id) => int(thread_number(thread_id)),
            EraseScope::Log => int(0u8),
        };
        let of_log = |logged: &Entry| match logged {
            Entry::Run(logged) => entry(logged),
            Entry::Thread(_) | Entry::LogErased(_) | Entry::Erased(_) => {
                let ended = erasure::ends(logged);
                let intent = state.intents.iter().find(|intent| Some(intent.receipt) == ended);
                let (of, through) =
                    intent.map_or((int(0u8), Offset::ZERO), |intent| (scope(intent), intent.through));
                record([
                    ("run", int(0u8)),
                    ("seq", int(ended.map_or(0, number))),
                    ("kind", text("erased")),
                    ("thread", of),
                    ("message", int(0u8)),
                    ("call", int(0u8)),
                    ("what", text("")),
                    ("parent", int(through.0)),
                    ("into", int(0u8)),
                ])
            }
        };
        let nobody = UserState::default();
        let known = state.user.as_ref().unwrap_or(&nobody);
        let erasing = known.erasures().iter().map(|erasure| int(number(erasure.receipt)));
        let intents = state
            .intents
            .iter()
            .map(|intent| record([("scope", scope(intent)), ("through", int(intent.through.0))]));
        // With room without end there may be older messages only if some were dropped.
        let thinned = known.has_older(&Limits { recent_messages_max: usize::MAX, ..self.limits });
        vec![
            ("alive", Value::Bool(state.user.is_some())),
            ("user", user(known, 1)),
            ("thinned", Value::Bool(thinned)),
            ("erasing", sequence(erasing)),
            ("log", sequence(state.log.iter().map(of_log))),
            ("gone", set(state.gone.iter().map(|offset| int(offset.0)))),
            ("intents", sequence(intents)),
        ]
    }

    fn action(&self, action: &ErasureAction, _: &ErasureState) -> &'static str {
        match action {
            ErasureAction::Send { .. } => "DoSend",
            ErasureAction::Cancel { .. } => "DoCancel",
            ErasureAction::Erase { .. } => "DoErase",
            ErasureAction::Step => "Step",
            ErasureAction::End => "DoEnd",
            ErasureAction::Crash => "Crash",
            ErasureAction::Recover => "Recover",
        }
    }
}

impl DeliveryModel {
    pub fn constants(&self) -> Vec<(&'static str, Value)> {
        let clients = self.clients as u8;
        let mut constants = limits(&self.limits, 1);
        constants.extend([
            ("Clients", up_to(clients)),
            ("Senders", up_to(self.senders as u8)),
            ("SocketFrames", int(delivery::SOCKET_FRAMES as u64)),
            ("WireMax", int(delivery::WIRE_FRAMES_MAX as u64)),
            ("Forever", int(delivery::FOREVER)),
            ("Drains", Value::Bool(self.drains)),
            ("Trims", Value::Bool(self.trims)),
            ("ReadsSingly", Value::Bool(self.reads_singly)),
            ("HeadStarts", Value::Bool(self.head_starts)),
        ]);
        constants
    }
}

fn frame(frame: &Frame) -> Value {
    let (kind, from, to) = match frame {
        Frame::Ready { after, gap: None, .. } => ("ready", *after, *after),
        Frame::Ready { gap: Some((from, to)), .. } => ("gap", *from, *to),
        Frame::AtHead(head) => ("head", *head, *head),
        Frame::CaughtUp(offset) => ("caught_up", *offset, *offset),
        Frame::Entries(first, last) => ("entries", *first, *last),
        Frame::Accepted => ("accepted", 0, 0),
        Frame::Draining => ("draining", 0, 0),
    };
    record([("kind", text(kind)), ("from", int(from)), ("to", int(to))])
}

impl Refines<DeliveryState, DeliveryAction> for DeliveryModel {
    fn state(&self, state: &DeliveryState) -> Vec<(&'static str, Value)> {
        let link = |link: &Option<Link>| {
            let phase = link.as_ref().map_or("none", |link| match link.machine.phase() {
                Phase::Replaying => "replaying",
                Phase::Live => "live",
                Phase::Draining => "draining",
                Phase::Leaving => "leaving",
                Phase::Attaching => "attaching",
                Phase::Handshaking | Phase::Verifying | Phase::Closed(_) => "elsewhere",
            });
            let of = |field: fn(&Link) -> u64| int(link.as_ref().map_or(0, field));
            let message = link.as_ref().map_or("unsent", |link| match link.message {
                delivery::Message::Unsent => "unsent",
                delivery::Message::Sent => "sent",
                delivery::Message::Answered => "answered",
            });
            record([
                ("phase", text(phase)),
                ("sent", of(|link| link.sent)),
                ("owes", of(|link| link.owes.unwrap_or(delivery::FOREVER))),
                ("fetching", Value::Bool(link.as_ref().is_some_and(|link| link.fetch.is_some()))),
                ("flushing", Value::Bool(link.as_ref().is_some_and(|link| link.flushing))),
                ("replies", of(|link| link.replies.into())),
                ("message", text(message)),
                ("leaving", of(|link| link.leaving.unwrap_or(0))),
                ("wire", sequence(link.iter().flat_map(|link| &link.wire).map(frame))),
            ])
        };
        let none = UserState::default();
        let (is, view, batch, promise) = match &state.hub {
            None => ("down", &none, &[][..], 0),
            Some(hub) => ("up", &hub.view, &hub.batch[..], hub.promise.map_or(0, |c| c as u64 + 1)),
        };
        let hub = record([
            ("is", text(is)),
            ("user", user(view, 1)),
            ("batch", log(batch)),
            ("promise", int(promise)),
        ]);
        let drain = match state.drain {
            Drain::No => "no",
            Drain::Draining => "draining",
            Drain::Drained => "drained",
        };
        let client = |client: &delivery::Client| {
            record([("after", int(client.after)), ("accepted", Value::Bool(client.accepted))])
        };
        vec![
            ("log", log(&state.log)),
            ("trimmed", int(state.trimmed)),
            ("hub", hub),
            ("drain", text(drain)),
            ("link", sequence(state.links.iter().map(link))),
            ("client", sequence(state.clients.iter().map(client))),
        ]
    }

    fn action(&self, action: &DeliveryAction, _: &DeliveryState) -> &'static str {
        match action {
            DeliveryAction::Connect(_) => "Connect",
            DeliveryAction::LookUpHead(_) => "LookUpHead",
            DeliveryAction::ReadyAtHead(_) => "ReadyAtHead",
            DeliveryAction::Ask(_) => "Ask",
            DeliveryAction::Take(_) => "Take",
            DeliveryAction::Step(deed) => operator(Ask::Step { run: 1, deed: *deed }),
            DeliveryAction::Deadline => "Deadline",
            DeliveryAction::Write => "Write",
            DeliveryAction::WriteFails => "WriteFails",
            DeliveryAction::Crash => "Crash",
            DeliveryAction::Restart => "Restart",
            DeliveryAction::Read(..) => "Read",
            DeliveryAction::Flushed(_) => "Flushed",
            DeliveryAction::Receive(_) => "Receive",
            DeliveryAction::Drop(_) => "Drop",
            DeliveryAction::Trim => "Trim",
            DeliveryAction::DrainBegins => "DrainBegins",
            DeliveryAction::DrainEnds => "DrainEnds",
            DeliveryAction::Leave(_) => "Leave",
        }
    }
}
