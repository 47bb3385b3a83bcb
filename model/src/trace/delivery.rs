//! Slices for `Delivery.tla`: one user's log and connections, from the empty log to the end of the small
//! part.
//!
//! A slice is a user whose log was recorded from its first entry and is one message and one run of thoughts
//! alone (the specification knows no other log), with few connections. Visible: the log grows, a connection
//! opens after its cursor, has sent up to an offset, sends a message, gets the reply that it is accepted,
//! closes. Hidden, and searched: the hub's decisions and their times, flushes, the frames that a client
//! receives. Hidden steps that no trace needs (a crash, a trim, a failing append) are left out of the search,
//! which can only make it refuse more.

use std::collections::HashMap;

use quintet::kernel::{
    connection::{Input, ResumeCursor},
    entry::RunStatus,
    ids::{ConnectionId, Offset, RunId, UserId},
};
use quintet_monitor::record::{FrameKind, TracedEntry, What};

use super::{
    narrow::{Slice, Slices, sequence, set, without_limits},
    replay,
};

/// Entries, connections and steps of one slice.
const ENTRIES_MAX: usize = 6;
const CLIENTS_MAX: usize = 3;
const STEPS_MAX: usize = 30;

/// The recorded steps of every user's connections and log, in order.
#[derive(Debug, Default)]
pub struct Deliveries {
    users: HashMap<UserId, Seen>,
    /// Whose connection it is, once it asks for a place in a log; and where.
    asked: HashMap<ConnectionId, ResumeCursor>,
    owners: HashMap<ConnectionId, UserId>,
}

#[derive(Debug, Default)]
struct Seen {
    steps: Vec<(usize, Step)>,
    log: Vec<TracedEntry>,
    /// It ends here: a restart, a hole, or more than a slice may have.
    over: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Log(u64),
    Open { connection: ConnectionId, after: Offset, resumed: bool, head: Offset },
    Sent { connection: ConnectionId, to: Offset },
    Ask(ConnectionId),
    Told(ConnectionId),
    Close(ConnectionId),
}

impl Deliveries {
    /// A process ends, or records are lost: what was seen so far is all.
    pub fn cut(&mut self) {
        self.users.values_mut().for_each(|seen| seen.over = true);
        self.asked.clear();
        self.owners.clear();
    }

    fn see(&mut self, user: &UserId, line: usize, step: Step) {
        let seen = self.users.entry(user.clone()).or_default();
        if !seen.over {
            seen.steps.push((line, step));
        }
    }

    /// A log that was there before is none that a slice can begin with.
    pub fn recovered(&mut self, user: &UserId, head: Offset) {
        let seen = self.users.entry(user.clone()).or_default();
        if head.0 > seen.log.len() as u64 {
            seen.over = true;
            seen.steps.clear();
        }
    }

    /// The journal reaches beyond the recorded entries.
    pub fn head(&mut self, line: usize, user: &UserId, head: Offset) {
        self.see(user, line, Step::Log(head.0));
    }

    /// An append that did not go well: hubs that fail are not in the slices.
    pub fn spoilt(&mut self, user: &UserId) {
        self.users.entry(user.clone()).or_default().over = true;
    }

    pub fn appended(&mut self, line: usize, user: &UserId, entries: &[TracedEntry]) {
        let seen = self.users.entry(user.clone()).or_default();
        if seen.over {
            return;
        }
        seen.log.extend(replay::spread(entries));
        let length = seen.log.len() as u64;
        self.see(user, line, Step::Log(length));
    }

    pub fn stepped(&mut self, line: usize, connection: ConnectionId, input: &Input, user: Option<&UserId>) {
        if let Input::Hello { cursor, .. } = input {
            self.asked.entry(connection).or_insert(*cursor);
        }
        let Some(user) = user else { return };
        match input {
            Input::Attached { head, trimmed, .. } => {
                self.owners.insert(connection, user.clone());
                let asked = self.asked.get(&connection).copied().unwrap_or_default();
                // A start at the head is one of the steps that no slice has.
                let (after, resumed) = match asked {
                    ResumeCursor::After { epoch, after } => {
                        (after, epoch.is_none() && *trimmed == Offset::ZERO && after <= *head)
                    }
                    ResumeCursor::Head => (*head, false),
                };
                self.see(user, line, Step::Open { connection, after, resumed, head: *head });
            }
            Input::Command(()) => self.see(user, line, Step::Ask(connection)),
            _ => {}
        }
    }

    pub fn sent(&mut self, line: usize, connection: ConnectionId, frame: &FrameKind) {
        let Some(user) = self.owners.get(&connection).cloned() else { return };
        match frame {
            FrameKind::Entries { to, .. } => self.see(&user, line, Step::Sent { connection, to: *to }),
            FrameKind::Accepted { .. } => self.see(&user, line, Step::Told(connection)),
            FrameKind::Other(_) => {}
        }
    }

    pub fn closed(&mut self, line: usize, connection: ConnectionId) {
        if let Some(user) = self.owners.remove(&connection) {
            self.see(&user, line, Step::Close(connection));
        }
    }

    pub fn slices(&self) -> Slices {
        let mut slices = Slices::new("Delivery");
        let mut sorted: Vec<_> = self.users.iter().collect();
        sorted.sort_by_key(|(user, _)| user.as_str());
        for (_, seen) in sorted {
            slices.add(seen.slice());
        }
        slices
    }
}

/// The connections of a slice as clients: one that comes back is the same client.
#[derive(Debug, Default)]
struct Clients {
    number: HashMap<ConnectionId, usize>,
    /// Of each client: how far it was sent, and whether it is connected.
    state: Vec<(Offset, bool)>,
}

impl Clients {
    fn open(&mut self, connection: ConnectionId, after: Offset) -> Option<usize> {
        let back = self.state.iter().position(|(sent, up)| !up && after > Offset::ZERO && *sent >= after);
        let number = match back {
            Some(client) => client + 1,
            None if after == Offset::ZERO => {
                self.state.push((Offset::ZERO, false));
                self.state.len()
            }
            None => return None,
        };
        self.number.insert(connection, number);
        self.state[number - 1].1 = true;
        Some(number)
    }
}

impl Seen {
    fn slice(&self) -> Option<Slice> {
        if self.log.is_empty() || self.log.len() > ENTRIES_MAX || self.steps.len() > STEPS_MAX {
            return None;
        }
        let all = entries(&self.log)?;
        let sender =
            self.steps.iter().find_map(|(_, step)| if let Step::Ask(c) = step { Some(*c) } else { None })?;
        let asks = self.steps.iter().filter(|(_, step)| matches!(step, Step::Ask(_))).count();
        let opened =
            |step: &Step| if let Step::Open { connection, .. } = step { Some(*connection) } else { None };
        let first = self.steps.iter().find_map(|(_, step)| opened(step));
        // The specification's senders are the first of its clients, and each asks once.
        if asks != 1 || first != Some(sender) {
            return None;
        }
        let mut clients = Clients::default();
        let (mut seen, mut lines, mut returns) = (Vec::new(), Vec::new(), false);
        // For each step: the possible lengths of the log, the possible and required connections, the possible
        // progress of each client, and whether the message may have been sent.
        let (mut log, mut asked) = (0, false);
        let mut bounds = Vec::new();
        for (line, step) in &self.steps {
            let before: Vec<usize> =
                clients.state.iter().enumerate().filter(|(_, (_, up))| *up).map(|(i, _)| i + 1).collect();
            let of = |connection: &ConnectionId| clients.number.get(connection).copied();
            let (is, client, at, head) = match step {
                Step::Log(length) => {
                    if *length <= log {
                        continue;
                    }
                    log = *length;
                    ("log", 0, *length, 0)
                }
                Step::Open { connection, after, resumed, head } => {
                    if !resumed || clients.number.contains_key(connection) {
                        return None;
                    }
                    returns |= *after > Offset::ZERO;
                    let c = clients.open(*connection, *after)?;
                    clients.state[c - 1].0 = *after;
                    ("opened", c, after.0, head.0)
                }
                Step::Sent { connection, to } => {
                    let c = of(connection)?;
                    clients.state[c - 1].0 = *to;
                    ("sent", c, to.0, 0)
                }
                Step::Ask(connection) => {
                    asked = true;
                    ("asked", of(connection)?, 0, 0)
                }
                Step::Told(connection) => ("answered", of(connection)?, 0, 0),
                Step::Close(connection) => {
                    let c = of(connection)?;
                    clients.state[c - 1].1 = false;
                    ("closed", c, 0, 0)
                }
            };
            let after: Vec<usize> =
                clients.state.iter().enumerate().filter(|(_, (_, up))| *up).map(|(i, _)| i + 1).collect();
            let may: Vec<usize> =
                (1..=clients.state.len()).filter(|c| before.contains(c) || after.contains(c)).collect();
            let must: Vec<usize> = before.iter().copied().filter(|c| after.contains(c)).collect();
            let sent: Vec<Offset> = clients.state.iter().map(|(sent, _)| *sent).collect();
            bounds.push((log, may, must, sent, asked));
            seen.push(format!("[is |-> \"{is}\", client |-> {client}, at |-> {at}, head |-> {head}]"));
            lines.push(*line);
        }
        if clients.state.len() > CLIENTS_MAX {
            return None;
        }
        let truth = |holds: bool| if holds { "TRUE" } else { "FALSE" };
        let sent = |sent: &[Offset]| {
            sequence((0..clients.state.len()).map(|c| sent.get(c).copied().unwrap_or_default()))
        };
        let values = [
            ("All", sequence(all)),
            ("Steps", sequence(seen)),
            ("LogMax", sequence(bounds.iter().map(|(log, ..)| log))),
            ("May", sequence(bounds.iter().map(|(_, may, ..)| set(may.iter().copied())))),
            ("Must", sequence(bounds.iter().map(|(_, _, must, ..)| set(must.iter().copied())))),
            ("SentMax", sequence(bounds.iter().map(|(.., offsets, _)| sent(offsets)))),
            ("MayAsk", sequence(bounds.iter().map(|(.., asked)| truth(*asked)))),
        ];
        let mut constants = without_limits(1);
        constants.extend([
            ("Clients", format!("= {}", set(1..=clients.state.len()))),
            ("Returns", format!("= {}", truth(returns))),
        ]);
        let fixed = [
            ("Senders", "= {1}"),
            ("SocketFrames", "= 99"),
            ("WireMax", "= 999"),
            ("Forever", "= 999"),
            ("Drains", "= FALSE"),
            ("Trims", "= FALSE"),
            ("ReadsSingly", "= TRUE"),
            ("HeadStarts", "= FALSE"),
        ];
        constants.extend(fixed.map(|(name, value)| (name, value.to_owned())));
        Some(Slice::new("Delivery", &values, &constants, lines))
    }
}

/// A log of one message and one run of thoughts, as `Kernel.tla` writes it.
fn entries(log: &[TracedEntry]) -> Option<Vec<String>> {
    let run: RunId = log.first()?.run;
    let mut all = Vec::new();
    for (seq, entry) in log.iter().enumerate() {
        let (kind, message, what) = match &entry.what {
            _ if entry.run != run => return None,
            What::UserMessage { .. } => ("user_message", 1, ""),
            What::AgentStarted { .. } => ("agent_started", 1, ""),
            What::AgentThinking => ("agent_thinking", 0, ""),
            What::AgentCompleted { status: RunStatus::Succeeded, .. } => ("agent_completed", 0, "succeeded"),
            What::AgentCompleted { status: RunStatus::TimedOut, .. } => ("agent_completed", 0, "timed_out"),
            _ => return None,
        };
        all.push(format!(
            "[run |-> 1, seq |-> {seq}, kind |-> \"{kind}\", thread |-> 1, message |-> {message}, call |-> 0, what |-> \"{what}\", parent |-> 0, into |-> 0]"
        ));
    }
    Some(all)
}
