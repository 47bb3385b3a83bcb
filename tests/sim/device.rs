//! One user at one device: a client that keeps to the contract, sends random operations, and comes back after
//! any end of its connections.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use rand::{RngExt, rngs::StdRng};
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    client::{Client, Ended, Pass, Resume, request, token},
    clock::SimClock,
    context::CampaignContext,
    ledger::{FrameSeen, Parting, SharedLedger},
    moves::{ReportedOnce, repeats},
    planned_message::PlannedMessage,
    trouble::Trouble,
};

/// The shared state of all devices.
pub struct World {
    pub clock: SimClock,
    pub context: CampaignContext,
    pub books: Vec<SharedLedger>,
    pub journal: Trouble,
    pub phase: watch::Sender<SimPhase>,
    pub short_tokens: bool,
    pub stats: RefCell<Stats>,
}

/// Counts of the faults and events of a simulation, so that an empty one does not pass.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub counts: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SimPhase {
    /// Send as much as may be open.
    Load,
    /// Send nothing new; bring everything to its end.
    Finish,
}

pub struct Device {
    pub world: Rc<World>,
    pub ledger: SharedLedger,
    pub name: String,
    pub rng: StdRng,
    phase: watch::Receiver<SimPhase>,
    /// Counts how often the device dropped its connections.
    resets: watch::Receiver<u64>,
    /// The calls and runs answered or cancelled on this connection.
    sent_replies: ReportedOnce,
    /// The time from which it may send a new message.
    sends_at_ms: u64,
}

/// The reason for the end of a session.
pub enum Over {
    Ended(Ended),
    /// The client left.
    Left,
}

impl From<Ended> for Over {
    fn from(ended: Ended) -> Self {
        Over::Ended(ended)
    }
}

/// The pace at which a device reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Ready,
    /// Slowly, and not at all for a while.
    Slow,
}

impl Stats {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    pub fn add(&mut self, other: &Stats) {
        for (what, count) in &other.counts {
            *self.counts.entry(what.clone()).or_default() += count;
        }
    }

    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }
}

impl World {
    pub fn count(&self, what: impl Into<String>) {
        self.stats.borrow_mut().count(what);
    }
}

impl Device {
    pub fn new(world: &Rc<World>, user: usize, number: usize, resets: watch::Receiver<u64>) -> Self {
        let rng = world.context.rng(1_000 + number as u64);
        let ledger = world.books[user].clone();
        let name = format!("{} at device {number}", ledger.borrow().user);
        let phase = world.phase.subscribe();
        Self {
            world: world.clone(),
            ledger,
            name,
            rng,
            phase,
            resets,
            sent_replies: ReportedOnce::default(),
            sends_at_ms: 0,
        }
    }

    /// Runs until everything that its user began has ended, and reads it all once more: a message that was
    /// refused on one transport may have been accepted on another, and only the log shows it.
    pub async fn live(mut self) {
        loop {
            self.attend().await;
            while let Err(ended) = self.reread().await {
                self.note(&ended);
                tokio::time::sleep(Duration::from_millis(BACKOFF_MS_MAX)).await;
            }
            if self.is_done() {
                return;
            }
        }
    }

    /// Connects, again and again, until nothing is open.
    async fn attend(&mut self) {
        while !self.is_done() {
            let mut resets = self.resets.clone();
            let over = tokio::select! {
                biased;
                _ = resets.changed() => {
                    self.resets.mark_unchanged();
                    self.world.count("reset");
                    Over::Left
                }
                over = self.session() => over,
            };
            if let Over::Ended(ended) = over {
                self.note(&ended);
            }
            // A client comes back after a short random delay.
            let pause = self.rng.random_range(1..BACKOFF_MS_MAX);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    pub fn is_finishing(&self) -> bool {
        *self.phase.borrow() == SimPhase::Finish
    }

    fn is_done(&self) -> bool {
        self.is_finishing() && self.ledger.borrow().open() == 0
    }

    /// Records the end of a connection; it must be allowed by the contract and have a known cause.
    pub fn note(&mut self, ended: &Ended) {
        self.world.clock.note(&self.name, format_args!("{ended:?}"));
        let failed = self.world.journal.failures() > 0;
        let explained = match ended {
            Ended::Closed { code: 1012, parting } => *parting != Parting::Untold,
            // Nothing came in time, or nothing was read in time.
            Ended::Closed { code: 4408, .. } => true,
            Ended::Closed { code: 1011, .. } => failed,
            Ended::Closed { code: 4401, .. } | Ended::Refused(401) => {
                self.world.short_tokens || self.world.clock.skew_ms() != 0
            }
            Ended::Refused(429 | 503) | Ended::Broken | Ended::Silent => true,
            _ => false,
        };
        if !explained {
            self.ledger.borrow().found(format_args!("a connection ended without a known cause: {ended:?}"));
        }
        self.world.count(match ended {
            Ended::Closed { code, .. } => format!("closed {code}"),
            Ended::Refused(status) => format!("refused {status}"),
            Ended::Broken => "broken".to_owned(),
            Ended::Silent => "silent".to_owned(),
        });
    }

    /// Makes a token that lives long, or now and then a short one.
    pub fn token(&mut self) -> String {
        let life_ms = if self.world.short_tokens && !self.is_finishing() && self.rng.random_bool(0.4) {
            self.rng.random_range(500..4_000)
        } else {
            TOKEN_LIFE_MS
        };
        token(&self.ledger.borrow().user, self.world.clock.unix_ms() + life_ms)
    }

    fn pass(&mut self) -> Pass {
        let token = self.token();
        if self.rng.random_bool(0.3) { Pass::Hello(token) } else { Pass::Header(token) }
    }

    /// A random cursor: mostly close to the head, sometimes anywhere.
    fn somewhere(&mut self) -> u64 {
        let head = self.ledger.borrow().head();
        let back = if self.rng.random_bool(0.1) { head } else { head.min(100) };
        head - self.rng.random_range(0..=back)
    }

    /// Opens a connection that resumes after `after`.
    pub async fn open(&mut self, after: u64) -> Result<Client, Ended> {
        let pass = self.pass();
        // The epoch is the client's to keep; a cursor without one is accepted as it is.
        let epoch = self.ledger.borrow().epoch().filter(|_| self.rng.random_bool(0.8)).map(str::to_owned);
        let resume = Resume { epoch, after };
        let client = Client::open(&self.world.clock, &self.name, &self.ledger, &pass, &resume).await?;
        self.world.count("opened");
        Ok(client)
    }

    async fn session(&mut self) -> Over {
        let kind = if self.is_finishing() { 0 } else { self.rng.random_range(0..20) };
        let session = match kind {
            0..=11 => self.converse(Pace::Ready).await,
            12 | 13 => self.converse(Pace::Slow).await,
            14 | 15 => self.glance().await,
            16 | 17 => self.garble().await,
            _ => self.race().await,
        };
        match session {
            Ok(()) => Over::Left,
            Err(over) => over,
        }
    }

    /// Sends and receives until the connection ends or the device is done.
    async fn converse(&mut self, pace: Pace) -> Result<(), Over> {
        let head = self.ledger.borrow().head();
        // Mostly at its head; sometimes a client has lost some entries.
        let after = if self.rng.random_bool(0.2) { self.somewhere() } else { head };
        let mut client = self.open(after).await?;
        client.until(FrameSeen::CaughtUp).await?;
        self.sent_replies.forget();
        self.resend(&mut client).await?;
        let mut phase = self.phase.clone();
        loop {
            self.act(&mut client).await?;
            if self.is_done() {
                client.leave().await;
                return Ok(());
            }
            if pace == Pace::Slow && !self.is_finishing() {
                let pause = if self.rng.random_bool(0.02) { 3_000 } else { 20 };
                tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..pause))).await;
            }
            let heard = tokio::select! {
                biased;
                heard = client.receive() => heard?,
                _ = phase.changed() => continue,
                // Another device may have received something to act on here.
                () = tokio::time::sleep(LOOK) => continue,
            };
            if let FrameSeen::Error { code } = &heard
                && AGAIN.contains(&code.as_str())
            {
                // A temporary refusal: its frame has to be sent once more.
                self.sent_replies.forget();
                self.world.count(format!("error {code}"));
                tokio::time::sleep(LOOK).await;
                self.resend(&mut client).await?;
            }
            if !self.is_finishing() && self.rng.random_bool(0.003) {
                if self.rng.random_bool(0.5) {
                    client.leave().await;
                }
                return Ok(());
            }
        }
    }

    /// Sends messages without a reply again (DEL-6).
    async fn resend(&mut self, client: &mut Client) -> Result<(), Ended> {
        let unanswered: Vec<String> = self.ledger.borrow().unanswered.iter().cloned().collect();
        for message_id in unanswered {
            let frame = self.ledger.borrow_mut().sends_again(&message_id);
            if let Some(frame) = frame {
                client.send(&frame).await?;
            }
        }
        Ok(())
    }

    async fn act(&mut self, client: &mut Client) -> Result<(), Ended> {
        let now_ms = self.world.clock.now_ms();
        if !self.is_finishing() && self.sends_at_ms <= now_ms && self.ledger.borrow().open() < OPEN_MAX {
            self.sends_at_ms = now_ms + self.rng.random_range(0..SEND_PAUSE_MS_MAX);
            let planned = self.planned();
            if self.rng.random_bool(0.05) {
                self.post(&planned).await?;
            } else {
                client.send(&planned.frame()).await?;
            }
        }
        for frame in self.replies() {
            client.send(&frame).await?;
        }
        Ok(())
    }

    /// Answers and cancels.
    fn replies(&mut self) -> Vec<Value> {
        let hurry = self.is_finishing();
        let mut ledger = self.ledger.borrow_mut();
        self.sent_replies.replies(&mut ledger, hurry, 0.01, &mut self.rng)
    }

    fn planned(&mut self) -> PlannedMessage {
        let mut ledger = self.ledger.borrow_mut();
        let mut planned = PlannedMessage::any(&ledger.user, ledger.messages.len(), &mut self.rng);
        // Long scripts cost time and show little more here.
        while planned.text.contains("\"repeat\":300") {
            planned = PlannedMessage::any(&ledger.user, ledger.messages.len(), &mut self.rng);
        }
        ledger.sends(planned.clone());
        planned
    }

    /// Sends a message by HTTP (DEL-5). Without a response it is sent again in the next session.
    async fn post(&mut self, planned: &PlannedMessage) -> Result<(), Ended> {
        let token = self.token();
        let posted = request("POST", "/v1/messages", &token, Some(&planned.frame())).await;
        let (status, body) = posted?;
        self.world.clock.note(&self.name, format_args!("{status} {body}"));
        match status {
            202 => self.ledger.borrow_mut().receive_accepted(&body),
            409 => self.ledger.borrow_mut().receive_busy(&planned.message_id),
            401 | 429 | 503 => return Err(Ended::Refused(status)),
            _ => self.ledger.borrow().found(format_args!("POST /v1/messages: {status} {body}")),
        }
        Ok(())
    }

    /// Reads a part of the log again, and repeats a message that was accepted earlier.
    async fn glance(&mut self) -> Result<(), Over> {
        let after = self.somewhere();
        let mut client = self.open(after).await?;
        client.until(FrameSeen::CaughtUp).await?;
        let again = repeats(&mut self.ledger.borrow_mut(), &mut self.rng);
        if let Some(frame) = again {
            client.send(&frame).await?;
            self.world.count("repeated");
        }
        let (more, while_ms) = (self.rng.random_range(0..60), self.rng.random_range(1..1_000));
        let listen = async {
            for _ in 0..more {
                client.receive().await?;
            }
            Ok::<_, Ended>(())
        };
        if let Ok(heard) = tokio::time::timeout(Duration::from_millis(while_ms), listen).await {
            heard?;
        }
        if self.rng.random_bool(0.5) {
            client.leave().await;
        }
        Ok(())
    }

    /// Reads the whole log, from its beginning to the current head.
    async fn reread(&mut self) -> Result<(), Ended> {
        let mut client = self.open(0).await?;
        client.until(FrameSeen::CaughtUp).await?;
        client.leave().await;
        Ok(())
    }
}

/// Temporary errors.
const AGAIN: [&str; 4] = ["unavailable", "draining", "rate_limited", "limit_reached"];

/// Unfinished messages of one user, at most.
const OPEN_MAX: usize = 4;

/// Longest pause of a device after a new message.
const SEND_PAUSE_MS_MAX: u64 = 250;

/// Longest wait before a client comes back.
const BACKOFF_MS_MAX: u64 = 150;

/// Lifetime of a token that outlives the simulation, for any clock.
pub const TOKEN_LIFE_MS: u64 = 48 * 3_600_000;

/// Interval at which a device checks the entries received by its user's other devices.
const LOOK: Duration = Duration::from_millis(100);
