//! A small simulation that a test writes by hand: the service with its default limits, and one or two clients
//! under the test's control.

use std::{cell::Cell, future::Future, rc::Rc, time::Duration};

use quintet::{ops::config::Settings, runtime::simulation};
use serde_json::json;
use tokio::sync::watch;
use turmoil::Sim;

use crate::{
    client::{Client, Ended, Pass, Resume, token},
    clock::SimClock,
    context::CampaignContext,
    device::TOKEN_LIFE_MS,
    ledger::{FrameSeen, Ledger, SharedLedger},
    planned_message::{Expect, PlannedMessage},
    server::{Place, SERVER},
    trouble::Trouble,
    verdict::{CampaignFaults, Tally, judge},
};

pub struct Scenario<'a> {
    pub sim: Sim<'a>,
    pub clock: SimClock,
    pub context: CampaignContext,
    pub place: Place,
    pub tick_ms: u64,
    _entered: simulation::Entered,
}

/// One user's client under a test's control. Clones share it.
#[derive(Clone)]
pub struct Actor {
    pub clock: SimClock,
    pub ledger: SharedLedger,
    name: String,
    /// The mark that it has reached.
    pub reached: Rc<Cell<u32>>,
}

impl Scenario<'_> {
    /// Starts the service with these settings and an agent that plays scripts.
    pub fn new(settings: Settings, segments_max: usize) -> Self {
        let (seed, tick_ms) = (1, 10);
        let context = CampaignContext::of(seed, "a simulation without a seed: it plays the same every time");
        let clock = SimClock::new(seed);
        let entered = clock.enter();
        let settings = Settings {
            allow_origin: vec!["https://chat.example.org".to_owned()],
            extra_agents: vec!["rehearsal".to_owned()],
            ..settings
        };
        let place = Place::new(&clock, &Trouble::new(seed), settings);
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .simulation_duration(Duration::from_secs(1_000_000))
            .tick_duration(Duration::from_millis(tick_ms))
            .tcp_capacity(segments_max)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(1))
            .build();
        let serving = place.clone();
        sim.host(SERVER, move || serving.clone().serve());
        Self { sim, clock, context, place, tick_ms, _entered: entered }
    }

    /// Runs a client of `user` on its own host, as `act` describes.
    pub fn actor<F>(&mut self, user: &str, host: &str, act: impl FnOnce(Actor) -> F) -> Actor
    where
        F: Future<Output = ()> + 'static,
    {
        let pulse = Rc::new(watch::Sender::new(0));
        let ledger = Ledger::new(user, &self.context, &pulse);
        let name = format!("{user} at {host}");
        let actor = Actor { clock: self.clock.clone(), ledger, name, reached: Rc::default() };
        let acting = act(actor.clone());
        self.sim.client(host, async move {
            acting.await;
            Ok(())
        });
        actor
    }

    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub fn step(&mut self) {
        self.sim.step().expect("nothing fails here");
        self.clock.set_now_ms(self.sim.elapsed().as_millis() as u64);
        self.context.look();
    }

    pub fn go_on(&mut self, ms: u64) {
        let until_ms = self.now_ms() + ms;
        while self.now_ms() < until_ms {
            self.step();
        }
    }

    /// Steps until `so` holds and returns the time that it took. Panics if it takes longer than `ms_max`.
    #[track_caller]
    pub fn until(&mut self, what: &str, ms_max: u64, so: impl Fn(&Self) -> bool) -> u64 {
        let begun_ms = self.now_ms();
        while !so(self) {
            self.step();
            let took_ms = self.now_ms() - begun_ms;
            assert!(took_ms <= ms_max + self.tick_ms, "{what}: not within {ms_max} ms");
        }
        self.now_ms() - begun_ms
    }

    /// Steps until the actor has reached `mark`.
    #[track_caller]
    pub fn reach(&mut self, actor: &Actor, mark: u32, ms_max: u64) -> u64 {
        self.until(&format!("mark {mark}"), ms_max, |_| actor.reached.get() >= mark)
    }

    pub fn connections_open(&self) -> usize {
        self.place.gateway().map_or(0, |gateway| gateway.admit.connections_open())
    }

    pub fn live_users(&self) -> usize {
        self.place.gateway().map_or(0, |gateway| gateway.factory.live_users())
    }

    /// Ends the process at once and starts another.
    pub fn crash(&mut self) {
        self.place.forget();
        self.sim.crash(SERVER);
        self.sim.bounce(SERVER);
    }

    pub fn judge(&self, actor: &Actor) -> Tally {
        let tally = judge(&actor.ledger.borrow(), CampaignFaults { killed: true, hasty: false });
        self.context.look();
        tally
    }
}

impl Actor {
    pub fn mark(&self, mark: u32) {
        self.reached.set(mark);
    }

    pub fn token(&self, life_ms: u64) -> String {
        token(&self.ledger.borrow().user, self.clock.unix_ms() + life_ms)
    }

    pub async fn open_with(&self, pass: &Pass) -> Result<Client, Ended> {
        let resume = Resume { epoch: None, after: self.ledger.borrow().head() };
        let mut client = Client::open(&self.clock, &self.name, &self.ledger, pass, &resume).await?;
        client.until(FrameSeen::CaughtUp).await?;
        Ok(client)
    }

    /// Opens a connection that resumes at the end of the book.
    pub async fn open(&self) -> Result<Client, Ended> {
        self.open_with(&Pass::Header(self.token(TOKEN_LIFE_MS))).await
    }

    /// Sends a script that has to succeed.
    pub async fn rehearse(&self, client: &mut Client, message_id: &str, steps: serde_json::Value) {
        let expect = Expect { status: "succeeded", ..Expect::default() };
        let planned = PlannedMessage::script(message_id, &json!({ "steps": steps }), expect);
        self.ledger.borrow_mut().sends(planned.clone());
        client.send(&planned.frame()).await.expect("the connection is open");
    }

    /// Reads until everything that was sent has ended.
    pub async fn receive_out(&self, client: &mut Client) {
        while self.ledger.borrow().open() > 0 {
            client.receive().await.expect("the connection is open");
        }
    }
}
