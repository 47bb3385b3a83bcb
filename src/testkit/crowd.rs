//! Many users at once, each with a client that keeps to the contract and sends random operations: messages,
//! resends without a reply, answers, cancels; it leaves and comes back.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use futures_util::future::join_all;
use rand::{RngExt, rngs::StdRng, seq::IteratorRandom};
use serde_json::Value;
use tokio::sync::watch;

use crate::{
    client::{Client, Ended},
    context::CampaignContext,
    http,
    ledger::{FrameSeen, Ledger, Parting, SharedLedger},
    moves::{ReportedOnce, repeats},
    planned_message::PlannedMessage,
    process::Addresses,
    stream::Stream,
};

/// The users of a campaign and their shared state.
pub struct Crowd {
    pub context: CampaignContext,
    pub books: Vec<SharedLedger>,
    /// The addresses of the service, while it runs.
    pub place: watch::Sender<Option<Addresses>>,
    pub phase: watch::Sender<CampaignPhase>,
    /// Entries received, in all.
    pub pulse: Rc<watch::Sender<u64>>,
    /// How connections ended.
    pub ends: Rc<RefCell<Vec<Ended>>>,
    /// Entries received on event streams.
    pub streamed: Rc<Cell<u64>>,
    planned_messages: fn(&str, usize, &mut StdRng) -> PlannedMessage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CampaignPhase {
    /// Send as much as may be open.
    Load,
    /// Send nothing new; bring everything to its end.
    Finish,
}

/// Unfinished messages of one user, at most: the load continues, and can end.
const OPEN_MAX: usize = 6;

/// Longest wait before a client returns to a service that did not break off.
const BACKOFF_MS_MAX: u64 = 40;

impl Crowd {
    pub fn new(
        context: &CampaignContext,
        users: usize,
        planned_messages: fn(&str, usize, &mut StdRng) -> PlannedMessage,
    ) -> Self {
        let pulse = Rc::new(watch::Sender::new(0));
        let books = (0..users).map(|n| Ledger::new(&format!("user {n}"), context, &pulse)).collect();
        Self {
            context: context.clone(),
            books,
            place: watch::Sender::new(None),
            phase: watch::Sender::new(CampaignPhase::Load),
            pulse,
            ends: Rc::default(),
            streamed: Rc::default(),
            planned_messages,
        }
    }

    /// Plays all users until everything that any of them began has ended.
    pub async fn play(&self) {
        let players = self.books.iter().zip(1..).map(|(ledger, part)| async move {
            let (done, over) = watch::channel(false);
            let first = Player::new(self, ledger, self.context.rng(3 * part));
            let second = Player::new(self, ledger, self.context.rng(3 * part + 1));
            let third = Player::new(self, ledger, self.context.rng(3 * part + 2));
            tokio::join!(first.play(done), second.look_on(over.clone()), third.listen(over));
        });
        join_all(players).await;
    }

    /// Resolves when all users have received `more` further entries.
    pub async fn receives(&self, more: u64) {
        let mut pulse = self.pulse.subscribe();
        let until = *pulse.borrow() + more;
        pulse.wait_for(|heard| *heard >= until).await.unwrap();
    }

    /// Lists what is unfinished.
    pub fn open_shown(&self) -> String {
        let open = self.books.iter().filter(|ledger| ledger.borrow().open() > 0);
        open.map(|ledger| ledger.borrow().open_shown()).collect::<Vec<_>>().join("\n")
    }
}

/// One user at one device.
struct Player<'a> {
    crowd: &'a Crowd,
    ledger: SharedLedger,
    rng: StdRng,
    place: watch::Receiver<Option<Addresses>>,
    phase: watch::Receiver<CampaignPhase>,
    /// The calls and runs answered or cancelled on this connection.
    sent_replies: ReportedOnce,
}

/// The reason why a player's connection is over.
enum Over {
    Ended(Ended),
    /// The client left.
    Left,
    /// All is finished.
    Done,
}

impl From<Ended> for Over {
    fn from(ended: Ended) -> Self {
        Over::Ended(ended)
    }
}

impl<'a> Player<'a> {
    fn new(crowd: &'a Crowd, ledger: &SharedLedger, rng: StdRng) -> Self {
        let (place, phase) = (crowd.place.subscribe(), crowd.phase.subscribe());
        Self { crowd, ledger: ledger.clone(), rng, place, phase, sent_replies: ReportedOnce::default() }
    }

    fn is_finishing(&self) -> bool {
        *self.phase.borrow() == CampaignPhase::Finish
    }

    fn is_done(&self) -> bool {
        self.is_finishing() && self.ledger.borrow().open() == 0
    }

    /// Plays the sending device.
    async fn play(mut self, done: watch::Sender<bool>) {
        while !self.is_done() {
            let Some(to) = self.somewhere().await else { break };
            match self.session(to).await {
                Ok(()) | Err(Over::Done) => break,
                Err(Over::Left) => {}
                Err(Over::Ended(ended)) => self.note(ended).await,
            }
        }
        done.send_replace(true);
    }

    /// Plays a second device, which reads from anywhere and repeats messages.
    async fn look_on(mut self, mut over: watch::Receiver<bool>) {
        let rounds = async {
            loop {
                let Some(to) = self.somewhere().await else { break };
                if let Err(Over::Ended(ended)) = self.glance(to).await {
                    self.note(ended).await;
                }
            }
        };
        tokio::select! {
            () = rounds => {}
            _ = over.wait_for(|over| *over) => {}
        }
    }

    /// Plays a third device, which follows an event stream.
    async fn listen(mut self, mut over: watch::Receiver<bool>) {
        let rounds = async {
            loop {
                let Some(to) = self.somewhere().await else { break };
                if let Err(Over::Ended(ended)) = self.listen_once(to).await {
                    self.note(ended).await;
                }
            }
        };
        tokio::select! {
            () = rounds => {}
            _ = over.wait_for(|over| *over) => {}
        }
    }

    /// Resumes at the user's head or earlier; stays until the stream ends, or leaves.
    async fn listen_once(&mut self, to: Addresses) -> Result<(), Over> {
        let head = self.ledger.borrow().head();
        let after = head - self.rng.random_range(0..=head.min(200));
        let mut stream = Stream::open(&self.crowd.context, &self.ledger, to, after).await?;
        loop {
            if stream.receive().await? == FrameSeen::Entry {
                self.crowd.streamed.update(|streamed| streamed + 1);
            }
            if self.rng.random_bool(0.002) {
                return Err(Over::Left);
            }
        }
    }

    /// Waits for the service to have addresses.
    async fn somewhere(&mut self) -> Option<Addresses> {
        self.place.wait_for(Option::is_some).await.ok().and_then(|place| *place)
    }

    async fn note(&mut self, ended: Ended) {
        match &ended {
            Ended::Closed { code: 1012, parting: Parting::Untold } => {
                self.ledger.borrow().found("closed with 1012 without a draining frame (CONN-6)");
            }
            Ended::Over { parting: Parting::Untold } if !self.crowd.context.faulty => {
                self.ledger.borrow().found("a stream ended without a draining event (CONN-6)");
            }
            Ended::Closed { code: 1012, .. }
            | Ended::Over { .. }
            | Ended::Broken { .. }
            | Ended::Refused(503) => {}
            Ended::Closed { code: 1011, .. } if self.crowd.context.faulty => {}
            other => self
                .ledger
                .borrow()
                .found(format_args!("a connection ended without a known cause: {other:?}")),
        }
        self.crowd.ends.borrow_mut().push(ended);
        // A client returns after a short random delay, or at once to a new service.
        self.place.mark_unchanged();
        let pause = Duration::from_millis(self.rng.random_range(1..BACKOFF_MS_MAX));
        let _ = tokio::time::timeout(pause, self.place.changed()).await;
    }

    async fn session(&mut self, to: Addresses) -> Result<(), Over> {
        let head = self.ledger.borrow().head();
        // Mostly at its head; sometimes a client has lost some entries.
        let after = if self.rng.random_bool(0.2) { self.rng.random_range(0..=head) } else { head };
        let mut client = Client::open(&self.crowd.context, &self.ledger, to, after, &mut self.rng).await?;
        client.until(FrameSeen::CaughtUp).await?;
        self.sent_replies.forget();
        self.resend(&mut client).await?;
        loop {
            self.act(&mut client, to).await?;
            if self.is_done() {
                client.leave().await;
                return Err(Over::Done);
            }
            let heard = tokio::select! {
                heard = client.receive() => heard?,
                _ = self.phase.changed() => {
                    // This connection knows nothing of refused or unanswered POST requests.
                    self.resend(&mut client).await?;
                    continue;
                }
            };
            let not_now = ["rate_limited", "limit_reached", "unavailable"];
            if matches!(&heard, FrameSeen::Error { code } if not_now.contains(&code.as_str())) {
                // A temporary refusal: its frame has to be sent once more.
                self.sent_replies.forget();
                let unanswered = self.ledger.borrow().unanswered.iter().choose(&mut self.rng).cloned();
                let frame = unanswered.and_then(|id| self.ledger.borrow_mut().sends_again(&id));
                if let Some(frame) = frame {
                    client.send(&frame).await?;
                }
            }
            if !self.is_finishing() && self.rng.random_bool(0.002) {
                if self.rng.random_bool(0.5) {
                    client.leave().await;
                }
                return Err(Over::Left);
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

    async fn act(&mut self, client: &mut Client, to: Addresses) -> Result<(), Ended> {
        while !self.is_finishing() && self.ledger.borrow().open() < OPEN_MAX {
            let planned = self.planned();
            if self.rng.random_bool(0.05) {
                self.post(&planned, to).await;
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
        self.sent_replies.replies(&mut ledger, hurry, 0.1, &mut self.rng)
    }

    fn planned(&mut self) -> PlannedMessage {
        let mut ledger = self.ledger.borrow_mut();
        let planned = (self.crowd.planned_messages)(&ledger.user, ledger.messages.len(), &mut self.rng);
        ledger.sends(planned.clone());
        planned
    }

    /// Sends a message by HTTP (DEL-5).
    async fn post(&mut self, planned: &PlannedMessage, to: Addresses) {
        let user = self.ledger.borrow().user.clone();
        let posted = async {
            let token = http::login(to.listen, &user).await?;
            http::request(to.listen, "POST", "/v1/messages", Some(&token), Some(&planned.frame())).await
        };
        // Without a response it is sent again later.
        let Ok((status, body)) = self.crowd.context.soon("the response to a POST", posted).await else {
            return;
        };
        match status {
            202 => match serde_json::from_str(&body) {
                Ok(accepted) => self.ledger.borrow_mut().receive_accepted(&accepted),
                Err(error) => self.ledger.borrow().found(format_args!("{error}: {body}")),
            },
            409 => self.ledger.borrow_mut().receive_busy(&planned.message_id),
            429 | 503 => {}
            _ => self.ledger.borrow().found(format_args!("POST /v1/messages: {status} {body}")),
        }
    }

    /// Reads a part of the log again, and repeats a message that was accepted earlier.
    async fn glance(&mut self, to: Addresses) -> Result<(), Over> {
        let head = self.ledger.borrow().head();
        let back = if self.rng.random_bool(0.1) { head } else { head.min(200) };
        let after = head - self.rng.random_range(0..=back);
        let mut client = Client::open(&self.crowd.context, &self.ledger, to, after, &mut self.rng).await?;
        client.until(FrameSeen::CaughtUp).await?;
        let again = repeats(&mut self.ledger.borrow_mut(), &mut self.rng);
        if let Some(frame) = again {
            client.send(&frame).await?;
            client.until(FrameSeen::Accepted).await?;
        }
        let more = self.rng.random_range(0..400);
        for _ in 0..more {
            client.receive().await?;
        }
        if self.rng.random_bool(0.5) {
            client.leave().await;
        }
        Err(Over::Left)
    }
}
