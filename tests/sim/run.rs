//! One simulation from its seed to its verdict: hosts and links, faults at their times, the repair, the end
//! of everything begun, the comparison.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use futures_util::FutureExt;
use quintet::{
    journal::{Journal, ReadLimit},
    kernel::ids::{Offset, UserId},
};
use rand::rngs::StdRng;
use tokio::sync::watch;
use turmoil::Sim;

use crate::{
    clock::SimClock,
    context::CampaignContext,
    device::{Device, SimPhase, Stats, World},
    ledger::Ledger,
    plan::{Fault, Plan, latency},
    server::{Place, SERVER},
    trouble::{JournalFaults, Trouble},
    verdict::{CampaignFaults, Tally, judge},
};

/// The result of a simulation.
pub struct Report {
    /// The hash of the trace.
    pub trace: u64,
    pub tally: Tally,
    pub stats: Stats,
    pub simulated: Duration,
}

/// An action at a given time.
enum Deed {
    Fault(Fault),
    Start,
    /// Repairs the link between a device and the server, both ways; held packets arrive.
    Mend {
        device: usize,
    },
    CalmJournal,
}

struct SimRun<'a> {
    sim: Sim<'a>,
    plan: Plan,
    world: Rc<World>,
    place: Place,
    rng: StdRng,
    resets: Vec<watch::Sender<u64>>,
    /// By time, and in the order in which they were decided.
    due: BTreeMap<(u64, usize), Deed>,
    decided: usize,
    /// The server is down until its start is due.
    down: bool,
    finishes_ms: Option<u64>,
}

/// Plays one seed; panics if anything is wrong.
pub fn play(seed: u64) -> Report {
    let again = format!("QUINTET_SIM_SEED={seed} QUINTET_SIM_SEEDS=1 cargo test --test sim seeds");
    let context = CampaignContext::of(seed, &again);
    let clock = SimClock::new(seed);
    let _entered = clock.enter();
    let mut rng = context.rng(0);
    let plan = Plan::draw(&mut rng);
    clock.note("plan", format_args!("{plan:?}"));
    SimRun::new(&context, &clock, plan, rng).run()
}

impl SimRun<'_> {
    fn new(context: &CampaignContext, clock: &SimClock, plan: Plan, rng: StdRng) -> Self {
        let journal = Trouble::new(context.seed);
        let place = Place::new(clock, &journal, plan.settings.clone());
        let pulse = Rc::new(watch::Sender::new(0));
        let books = (0..plan.users).map(|user| {
            let ledger = Ledger::new(&format!("user {user}"), context, &pulse);
            ledger.borrow_mut().explains = explains;
            ledger
        });
        let world = Rc::new(World {
            clock: clock.clone(),
            context: context.clone(),
            books: books.collect(),
            journal,
            phase: watch::Sender::new(SimPhase::Load),
            short_tokens: plan.short_tokens,
            stats: RefCell::default(),
        });
        let mut sim = turmoil::Builder::new()
            .rng_seed(context.seed)
            .simulation_duration(Duration::from_secs(1_000_000))
            .tick_duration(Duration::from_millis(plan.tick_ms))
            .tcp_capacity(SEGMENTS_MAX)
            // Latency belongs to a link and not to a message, and nothing else is drawn while the simulation
            // runs: so events on one link do not depend on the order of events on others. The service's
            // runtime draws by itself (`tokio::sync::watch` wakes waiting tasks in any order).
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(1))
            .build();
        let serving = place.clone();
        sim.host(SERVER, move || serving.clone().serve());
        let users =
            plan.devices.iter().enumerate().flat_map(|(user, devices)| (0..*devices).map(move |_| user));
        let mut resets = Vec::new();
        for (number, user) in users.enumerate() {
            let (to_device, reset) = watch::channel(0);
            let device = Device::new(&world, user, number, reset);
            sim.client(host(number), async move {
                device.live().await;
                Ok(())
            });
            resets.push(to_device);
        }
        let mut storm = Self {
            sim,
            plan,
            world,
            place,
            rng,
            resets,
            due: BTreeMap::new(),
            decided: 0,
            down: false,
            finishes_ms: None,
        };
        for device in 0..storm.plan.devices() {
            let latency_ms = latency(&mut storm.rng);
            storm.set_latency(device, latency_ms);
        }
        for (at_ms, fault) in std::mem::take(&mut storm.plan.faults) {
            storm.decide(at_ms, Deed::Fault(fault));
        }
        storm
    }

    fn run(mut self) -> Report {
        let (context, clock) = (self.world.context.clone(), self.world.clock.clone());
        loop {
            let now_ms = clock.now_ms();
            while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now_ms) {
                let deed = entry.remove();
                self.carry_out(deed);
            }
            if now_ms >= self.plan.load_ms && self.finishes_ms.is_none() {
                self.calm();
                self.finishes_ms = Some(now_ms);
                self.world.phase.send_replace(SimPhase::Finish);
            }
            if self.finishes_ms.is_some_and(|since_ms| now_ms > since_ms + FINISH_MS_MAX) {
                let open: Vec<_> =
                    self.world.books.iter().map(|ledger| ledger.borrow().open_shown()).collect();
                context.fail(&format!(
                    "not over {FINISH_MS_MAX} ms after everything was repaired:\n{}",
                    open.join("\n")
                ));
            }
            if self.step() {
                break;
            }
            context.look();
        }
        self.nobody_is_left();
        self.verdict()
    }

    /// Makes one step of the simulation; returns whether all devices are done.
    fn step(&mut self) -> bool {
        let done = match self.sim.step() {
            Ok(done) => done,
            Err(error) => self.world.context.fail(&format!("the simulation failed: {error}")),
        };
        self.world.clock.set_now_ms(self.sim.elapsed().as_millis() as u64);
        if !self.down && !self.sim.is_host_running(SERVER) {
            // It has drained, and its supervisor starts it again.
            self.start_in(self.plan.tick_ms);
        }
        done
    }

    fn decide(&mut self, at_ms: u64, deed: Deed) {
        self.decided += 1;
        self.due.insert((at_ms, self.decided), deed);
    }

    fn start_in(&mut self, wait_ms: u64) {
        self.down = true;
        self.place.forget();
        self.decide(self.world.clock.now_ms() + wait_ms, Deed::Start);
    }

    fn carry_out(&mut self, deed: Deed) {
        let now_ms = self.world.clock.now_ms();
        match deed {
            Deed::Fault(fault) => {
                self.world.clock.note("storm", format_args!("{fault:?}"));
                self.world.count(name(&fault));
                self.strike(fault, now_ms);
            }
            Deed::Start => {
                self.world.clock.note("storm", "the server starts");
                self.sim.bounce(SERVER);
                self.down = false;
            }
            Deed::Mend { device } => {
                self.sim.release(host(device), SERVER);
            }
            Deed::CalmJournal => self.world.journal.set_faults(JournalFaults::default()),
        }
    }

    fn strike(&mut self, fault: Fault, now_ms: u64) {
        match fault {
            Fault::Crash { down_ms } => self.crash(down_ms),
            Fault::PowerLoss { down_ms } => {
                for device in 0..self.plan.devices() {
                    self.sim.partition(host(device), SERVER);
                    self.decide(now_ms + down_ms, Deed::Mend { device });
                }
                self.crash(down_ms);
            }
            Fault::Drain => self.place.drain(),
            Fault::Partition { device, ms } => {
                self.sim.partition(host(device), SERVER);
                self.decide(now_ms + ms, Deed::Mend { device });
            }
            Fault::HalfOpen { device, to_server, ms } => {
                let device_host = host(device);
                let (from, to) =
                    if to_server { (device_host.as_str(), SERVER) } else { (SERVER, device_host.as_str()) };
                self.sim.partition_oneway(from, to);
                self.decide(now_ms + ms, Deed::Mend { device });
            }
            Fault::Hold { device, ms } => {
                self.sim.hold(host(device), SERVER);
                self.decide(now_ms + ms, Deed::Mend { device });
            }
            Fault::Loss { device } => {
                self.sim.partition(host(device), SERVER);
                self.decide(now_ms, Deed::Mend { device });
            }
            Fault::Latency { device, latency_ms } => self.set_latency(device, latency_ms),
            Fault::Reset { device } => self.resets[device].send_modify(|resets| *resets += 1),
            Fault::Clock { by_ms } => {
                let skew_ms = (self.world.clock.skew_ms() + by_ms).clamp(-SKEW_MS_MAX, SKEW_MS_MAX);
                self.world.clock.set_clock(skew_ms);
            }
            Fault::Journal { faults, ms } => {
                self.world.journal.set_faults(faults);
                self.decide(now_ms + ms, Deed::CalmJournal);
            }
        }
    }

    fn crash(&mut self, down_ms: u64) {
        if !self.down {
            self.place.forget();
            self.sim.crash(SERVER);
            self.start_in(down_ms);
        }
    }

    fn set_latency(&mut self, device: usize, latency_ms: u64) {
        self.sim.set_link_latency(host(device), SERVER, Duration::from_millis(latency_ms));
    }

    /// Repairs everything: from here on every accepted message has to end (RUN-6).
    fn calm(&mut self) {
        self.world.clock.note("storm", "everything is repaired");
        let starts = self.due.values().any(|deed| matches!(deed, Deed::Start));
        self.due.clear();
        if starts {
            self.decide(0, Deed::Start);
        }
        for device in 0..self.plan.devices() {
            self.carry_out(Deed::Mend { device });
            self.set_latency(device, 1 + device as u64);
        }
        self.world.journal.set_faults(JournalFaults::default());
    }

    /// Steps until no user has machines any more, no run is active and no connection is open (ISO-5).
    fn nobody_is_left(&mut self) {
        let until_ms = self.world.clock.now_ms() + QUIET_MS_MAX;
        loop {
            let Some(gateway) = self.place.gateway() else {
                self.world.context.fail("the server does not run at the end");
            };
            let left = (
                gateway.factory.live_users(),
                gateway.factory.active_runs(),
                gateway.admit.connections_open(),
            );
            if left == (0, 0, 0) {
                return;
            }
            if self.world.clock.now_ms() > until_ms {
                self.world
                    .context
                    .fail(&format!("users, runs and connections that are left (ISO-5): {left:?}"));
            }
            drop(gateway);
            self.step();
        }
    }

    fn verdict(self) -> Report {
        let World { context, journal, books, clock, stats, .. } = &*self.world;
        let faults = CampaignFaults { killed: true, hasty: true };
        let mut tally = Tally::default();
        for ledger in books {
            let ledger = ledger.borrow();
            self.same_as_journal(&ledger);
            tally.add(&judge(&ledger, faults));
        }
        let unfinished = journal.inner.unfinished().now_or_never();
        if !matches!(&unfinished, Some(Ok(users)) if users.is_empty()) {
            context.found(format!("the journal holds runs that are not over: {unfinished:?}"));
        }
        let limits = self.place.settings().gateway;
        let bound_ms =
            limits.drain_timeout_ms + limits.drain_flush_timeout_ms + limits.drain_close_timeout_ms + 1_000;
        for (drained, took) in self.place.drained() {
            if took > Duration::from_millis(bound_ms + 2) {
                context
                    .found(format!("a drain took {took:?}, longer than {bound_ms} ms (CONN-6): {drained:?}"));
            }
            self.world.count(if drained.runs_quiesced { "drained at rest" } else { "drained in time" });
        }
        context.look();
        let stats = stats.borrow().clone();
        clock.note("verdict", format_args!("{tally:?}"));
        Report { trace: clock.trace(), tally, stats, simulated: self.sim.elapsed() }
    }

    /// Checks that a user's clients received what the journal holds, all of it and nothing else (DEL-2,
    /// DEL-5).
    fn same_as_journal(&self, ledger: &Ledger) {
        let all = ReadLimit { entries_max: usize::MAX, bytes_max: usize::MAX };
        let log = self.world.journal.inner.log(&UserId::parse(&ledger.user).unwrap());
        let Some(Ok(lines)) = log.read(Offset(0), all).now_or_never() else {
            return ledger.found("the journal cannot be read");
        };
        if lines.len() as u64 != ledger.head() {
            ledger.found(format_args!("{} entries in the journal, {} received", lines.len(), ledger.head()));
        }
        for ((offset, line), heard) in lines.iter().zip(&ledger.log) {
            if *line != *heard.as_bytes() {
                let line = String::from_utf8_lossy(&line).into_owned();
                return ledger
                    .found(format_args!("the journal has {line} at {offset}, received was {heard}"));
            }
        }
    }
}

/// Errors that clients here cause, or the journal, or the clock.
fn explains(ledger: &Ledger, error: &serde_json::Value) -> bool {
    let known = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    match error["code"].as_str().unwrap_or_default() {
        "unavailable" | "unauthenticated" => true,
        "malformed_frame" | "unknown_type" | "invalid_field" => {
            !ledger.messages.contains_key(&known("message_id"))
        }
        // A run of another user, or a missing one (ISO-3).
        "not_found" => error["fatal"] == false && !ledger.runs.contains_key(&known("run_id")),
        _ => false,
    }
}

fn name(fault: &Fault) -> String {
    let shown = format!("{fault:?}");
    shown.split([' ', '{']).next().unwrap_or_default().to_owned()
}

pub fn host(device: usize) -> String {
    format!("device-{device}")
}

/// Segments of a stream in flight, at most: more than a stalled reader delays here. [`crate::half_open`] is
/// for those.
const SEGMENTS_MAX: usize = 2_048;

/// Time limit for everything that was accepted, once everything is repaired.
const FINISH_MS_MAX: u64 = 120_000;

/// Time limit for machines and connections, once every client has left.
const QUIET_MS_MAX: u64 = 30_000;

/// Greatest error of the server's clock: well within the life of the long-lived tokens.
const SKEW_MS_MAX: i64 = 3 * 3_600_000;
