//! Checks everything that one user's clients receive, on all connections.
//!
//! Written from the contract, over JSON as received, without using the service's own code. It judges what can
//! be judged at once: one connection (CONN-2, DEL-2, DEL-3), and that an entry never changes between
//! deliveries. [`crate::verdict`] judges the whole log at the end.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use serde_json::Value;
use tokio::sync::watch;

use crate::{context::CampaignContext, planned_message::PlannedMessage};

pub type SharedLedger = Rc<RefCell<Ledger>>;

/// Everything that one user's clients have received.
pub struct Ledger {
    pub user: String,
    context: CampaignContext,
    /// Entries received by all users; wakes tasks that wait for progress.
    pulse: Rc<watch::Sender<u64>>,
    epoch: Option<String>,
    /// Entries as received; the index is the offset minus one. Consecutive, since no cursor starts beyond the
    /// end.
    pub log: Vec<Box<str>>,
    pub messages: BTreeMap<String, SentMessage>,
    pub runs: BTreeMap<String, ObservedRun>,
    /// Calls that wait or have waited for this user's client (RUN-11), with the answers sent; the first to
    /// arrive counts.
    pub asks: BTreeMap<(String, String), Vec<Value>>,
    /// Those of `asks` that are open.
    pub waiting: BTreeSet<(String, String)>,
    /// Messages without a reply, which have to be sent again.
    pub unanswered: BTreeSet<String>,
    /// Runs that were accepted and are not in the log yet.
    promised: BTreeSet<String>,
    /// Runs that are in the log and have not ended.
    pub running: BTreeSet<String>,
    /// Whether the faults of this campaign explain an error, beyond the errors that any load may cause.
    pub explains: fn(&Self, error: &Value) -> bool,
}

/// A message, from its first sending.
pub struct SentMessage {
    pub planned: PlannedMessage,
    /// Connections on which it was sent, resends included.
    pub sendings: usize,
    pub fate: Fate,
    /// Times that the id was sent with other content after it was accepted.
    pub reuses: usize,
    /// Replies with `duplicate: false`: at most one (DEL-6).
    pub firsts: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// There is no reply yet: it has to be sent again.
    Unknown,
    Accepted {
        run_id: String,
        offset: u64,
    },
    /// It was sent with a policy against waiting, and would have had to wait.
    Refused,
}

#[derive(Default)]
pub struct ObservedRun {
    pub message_id: String,
    pub started: bool,
    pub cancelled_by_us: bool,
}

/// One connection.
pub struct Tape {
    ledger: SharedLedger,
    after: u64,
    begun: bool,
    head: u64,
    last: u64,
    caught_up: bool,
    draining: bool,
}

/// The frames a connection had received before it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// None yet: the first frame is `ready` (CONN-2).
    Stranger,
    /// It was open, and had received no `draining`.
    Untold,
    Told,
}

/// The kind of a received frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameSeen {
    Ready,
    CaughtUp,
    Entry,
    Accepted,
    Error { code: String },
    Draining,
    Other,
}

impl Ledger {
    pub fn new(user: &str, context: &CampaignContext, pulse: &Rc<watch::Sender<u64>>) -> SharedLedger {
        Rc::new(RefCell::new(Self {
            user: user.to_owned(),
            context: context.clone(),
            pulse: pulse.clone(),
            epoch: None,
            log: Vec::new(),
            messages: BTreeMap::new(),
            runs: BTreeMap::new(),
            asks: BTreeMap::new(),
            waiting: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            promised: BTreeSet::new(),
            running: BTreeSet::new(),
            explains: |_, _| false,
        }))
    }

    pub fn head(&self) -> u64 {
        self.log.len() as u64
    }

    pub fn epoch(&self) -> Option<&str> {
        self.epoch.as_deref()
    }

    pub fn found(&self, what: impl std::fmt::Display) {
        self.context.found(format!("{}: {what}", self.user));
    }

    /// Records the first sending of a message.
    pub fn sends(&mut self, planned: PlannedMessage) {
        let message_id = planned.message_id.clone();
        let message = SentMessage { planned, sendings: 1, fate: Fate::Unknown, reuses: 0, firsts: 0 };
        self.unanswered.insert(message_id.clone());
        self.messages.insert(message_id, message);
    }

    /// Records another sending of a message and returns its frame.
    pub fn sends_again(&mut self, message_id: &str) -> Option<Value> {
        let message = self.messages.get_mut(message_id)?;
        message.sendings += 1;
        Some(message.planned.frame())
    }

    /// Counts what is unfinished: messages without a reply and runs without an end.
    pub fn open(&self) -> usize {
        self.unanswered.len() + self.promised.len() + self.running.len()
    }

    /// Lists what is unfinished, for a failure report.
    pub fn open_shown(&self) -> String {
        let running = self.running.iter().map(|run_id| {
            let run = &self.runs[run_id];
            let text = self.messages.get(&run.message_id).map(|message| &message.planned.text);
            format!("run {run_id} of {}, started: {}: {text:?}", run.message_id, run.started)
        });
        let Self { user, unanswered, promised, waiting, .. } = self;
        let running = running.collect::<Vec<_>>().join("; ");
        format!("{user}: unanswered {unanswered:?}, promised {promised:?}, waiting {waiting:?}, {running}")
    }

    /// Records an entry from any connection: new at the end of the log, or equal to the stored one.
    fn receive_entry(&mut self, offset: u64, text: &str, entry: &Value) {
        self.pulse.send_modify(|heard| *heard += 1);
        match self.log.get(offset as usize - 1) {
            Some(known) if **known == *text => {}
            Some(known) => self.found(format_args!("entry {offset} has changed from {known} to {text}")),
            None if offset == self.head() + 1 => {
                self.log.push(text.into());
                self.learn(entry);
            }
            None => self.found(format_args!("entry {offset} came before entry {}", self.head() + 1)),
        }
    }

    fn learn(&mut self, entry: &Value) {
        let Some(run_id) = entry["run_id"].as_str().map(str::to_owned) else { return };
        let call = || (run_id.clone(), entry["call_id"].as_str().unwrap_or_default().to_owned());
        match entry["type"].as_str() {
            Some("user_message") => {
                let message_id = entry["message_id"].as_str().unwrap_or_default().to_owned();
                self.promised.remove(&run_id);
                self.running.insert(run_id.clone());
                self.runs.insert(run_id, ObservedRun { message_id, ..ObservedRun::default() });
            }
            Some("agent_started") => {
                self.runs.entry(run_id).or_default().started = true;
            }
            Some("tool_executing") if entry["by"] == "client" => {
                self.waiting.insert(call());
                self.asks.entry(call()).or_default();
            }
            Some("tool_completed") => {
                self.waiting.remove(&call());
            }
            Some("agent_completed") => {
                self.running.remove(&run_id);
            }
            _ => {}
        }
    }

    /// Records `accepted`, from any connection or from HTTP: the same run each time (DEL-5, DEL-6).
    pub fn receive_accepted(&mut self, accepted: &Value) {
        let (Some(message_id), Some(run_id), Some(offset), Some(duplicate)) = (
            accepted["message_id"].as_str(),
            accepted["run_id"].as_str(),
            accepted["message_offset"].as_u64(),
            accepted["duplicate"].as_bool(),
        ) else {
            return self.found(format_args!("no acceptance: {accepted}"));
        };
        let Some(message) = self.messages.get_mut(message_id) else {
            return self.found(format_args!("accepted a message that was never sent: {accepted}"));
        };
        message.firsts += usize::from(!duplicate);
        let firsts = message.firsts;
        let fate = Fate::Accepted { run_id: run_id.to_owned(), offset };
        let before = std::mem::replace(&mut message.fate, fate.clone());
        self.unanswered.remove(message_id);
        if !self.runs.contains_key(run_id) {
            self.promised.insert(run_id.to_owned());
        }
        if firsts > 1 {
            self.found(format_args!("{message_id} was accepted as new {firsts} times (DEL-6)"));
        }
        if matches!(before, Fate::Accepted { .. }) && before != fate {
            self.found(format_args!("{message_id} was accepted as {before:?} and then as {fate:?} (DEL-6)"));
        }
    }

    /// Records `thread_busy`: a message with a policy against waiting is not accepted.
    pub fn receive_busy(&mut self, message_id: &str) {
        match self.messages.get_mut(message_id) {
            // Of two sendings one may be refused; the other one decides.
            Some(message) if message.sendings > 1 && message.fate != Fate::Unknown => {}
            Some(message) if message.planned.on_busy == "reject" && message.fate == Fate::Unknown => {
                message.fate = Fate::Refused;
                self.unanswered.remove(message_id);
            }
            _ => self.found(format_args!("{message_id} was refused, and nothing here explains it")),
        }
    }

    /// Records `message_id_reused`: the id was sent with other content (DEL-6).
    fn receive_reused(&mut self, error: &Value) {
        let message = error["message_id"].as_str().and_then(|id| self.messages.get(id));
        if message.is_none_or(|message| message.reuses == 0) {
            self.found(format_args!("no id was sent with other content: {error}"));
        }
    }

    fn receive_error(&mut self, error: &Value) -> String {
        let code = error["code"].as_str().unwrap_or_default().to_owned();
        if (self.explains)(self, error) {
            return code;
        }
        if error["fatal"] == true {
            self.found(format_args!("a fatal error: {error}"));
        }
        match code.as_str() {
            // Temporary errors about a message: it is sent again.
            "draining" | "rate_limited" | "limit_reached" => {}
            "unavailable" if self.context.faulty => {}
            "thread_busy" => self.receive_busy(error["message_id"].as_str().unwrap_or_default()),
            "message_id_reused" => self.receive_reused(error),
            // A cancel or an answer that came late or was sent twice.
            "run_ended" | "call_closed" => {}
            _ => self.found(format_args!("an error that nothing here explains: {error}")),
        }
        code
    }
}

impl Tape {
    /// Starts a connection whose `hello` asks for the entries after `after`.
    pub fn new(ledger: &SharedLedger, after: u64) -> Self {
        Self {
            ledger: ledger.clone(),
            after,
            begun: false,
            // Everything received before this connection began was durable then (DEL-1).
            head: ledger.borrow().head(),
            last: after,
            caught_up: false,
            draining: false,
        }
    }

    /// Starts an event stream after `after`: it has no `ready` and no `caught_up`; the rest is the same.
    pub fn of_stream(ledger: &SharedLedger, after: u64) -> Self {
        Self { begun: true, caught_up: true, ..Self::new(ledger, after) }
    }

    /// Records an event of a stream: an entry under its own id and type, or a message about the stream.
    pub fn receive_event(&mut self, id: Option<&str>, kind: &str, data: &str) -> FrameSeen {
        let entry: Value = match serde_json::from_str(data) {
            Ok(entry) => entry,
            Err(error) => {
                self.found(format_args!("an event is not JSON, {error}: {data}"));
                return FrameSeen::Other;
            }
        };
        match (id, kind) {
            (None, "draining") => {
                if std::mem::replace(&mut self.draining, true) {
                    self.found("draining was sent twice");
                }
                return FrameSeen::Draining;
            }
            (Some(id), _) if entry["type"] == kind => {
                let mut ledger = self.ledger.borrow_mut();
                let offset = &entry["offset"];
                match id.strip_suffix(&format!(":{offset}")) {
                    Some(epoch) => ledger.epoch = Some(epoch.to_owned()),
                    None => ledger.found(format_args!("entry {offset} has the id {id}")),
                }
            }
            _ => {
                self.found(format_args!("an event that nothing here explains: {id:?} {kind} {data}"));
                return FrameSeen::Other;
            }
        }
        self.entry(data, &entry)
    }

    pub fn parting(&self) -> Parting {
        match (self.begun, self.draining) {
            (false, _) => Parting::Stranger,
            (true, false) => Parting::Untold,
            (true, true) => Parting::Told,
        }
    }

    pub fn receive(&mut self, text: &str) -> FrameSeen {
        let frame: Value = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => {
                self.found(format_args!("a frame is not JSON, {error}: {text}"));
                return FrameSeen::Other;
            }
        };
        let kind = frame["type"].as_str().unwrap_or_default();
        // A connection without a valid user receives the reason for its end.
        let good_bye = kind == "error" && frame["fatal"] == true;
        if !self.begun && kind != "ready" && !good_bye {
            self.found(format_args!("the first frame is no ready (CONN-2): {text}"));
        }
        match kind {
            "ready" => self.ready(&frame),
            "caught_up" => self.caught_up(&frame),
            "accepted" => {
                self.ledger.borrow_mut().receive_accepted(&frame);
                FrameSeen::Accepted
            }
            "error" => FrameSeen::Error { code: self.ledger.borrow_mut().receive_error(&frame) },
            "draining" => {
                if std::mem::replace(&mut self.draining, true) {
                    self.found("draining was sent twice");
                }
                FrameSeen::Draining
            }
            "pong" => FrameSeen::Other,
            _ => self.entry(text, &frame),
        }
    }

    fn ready(&mut self, ready: &Value) -> FrameSeen {
        if std::mem::replace(&mut self.begun, true) {
            self.found("a second ready");
        }
        let (after, head) = (ready["resumed_after"].as_u64(), ready["head"].as_u64());
        let mut ledger = self.ledger.borrow_mut();
        if ready["user_id"] != *ledger.user {
            ledger.found(format_args!("ready for another user (ISO-1): {ready}"));
        }
        // Each process has its own epoch and continues the cursors of earlier ones.
        match ready["epoch"].as_str() {
            Some(epoch) => ledger.epoch = Some(epoch.to_owned()),
            None => ledger.found(format_args!("ready without an epoch: {ready}")),
        }
        if !ready["gap"].is_null() || after != Some(self.after) {
            ledger.found(format_args!("entries after {} are lost (DEL-3): {ready}", self.after));
        }
        if head < Some(self.head) {
            ledger.found(format_args!("{} was received and is not durable (DEL-1): {ready}", self.head));
        }
        self.head = head.unwrap_or_default();
        FrameSeen::Ready
    }

    fn caught_up(&mut self, frame: &Value) -> FrameSeen {
        if std::mem::replace(&mut self.caught_up, true) {
            self.found("caught_up was sent twice");
        }
        if frame["head"] != self.head || self.last != self.head.max(self.after) {
            let (head, last) = (self.head, self.last);
            self.found(format_args!("caught up with {head} at {last}: {frame}"));
        }
        FrameSeen::CaughtUp
    }

    fn entry(&mut self, text: &str, entry: &Value) -> FrameSeen {
        let mut ledger = self.ledger.borrow_mut();
        let Some(offset) = entry["offset"].as_u64() else {
            ledger.found(format_args!("not a frame of the contract: {text}"));
            return FrameSeen::Other;
        };
        let is_owned = entry["user_id"] == *ledger.user;
        // An erased entry has no owner and no content.
        if !is_owned
            && (entry["type"] != "erased" || entry.as_object().is_none_or(|fields| fields.len() != 3))
        {
            ledger.found(format_args!("an entry of another user (ISO-1): {text}"));
        }
        if offset != self.last + 1 {
            ledger.found(format_args!("entry {offset} follows entry {} (DEL-2)", self.last));
        }
        if !self.caught_up && offset > self.head {
            ledger.found(format_args!("entry {offset} is live, before caught_up at {}", self.head));
        }
        self.last = offset;
        ledger.receive_entry(offset, text, entry);
        FrameSeen::Entry
    }

    fn found(&self, what: impl std::fmt::Display) {
        self.ledger.borrow().found(what);
    }
}
