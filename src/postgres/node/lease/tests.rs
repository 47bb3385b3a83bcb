//! Each input in each state, and a simulation of nodes, a database and their clocks.

use proptest::prelude::*;

use super::*;

const TERMS: Terms = Terms {
    lease: Duration::from_millis(10_000),
    margin: Duration::from_millis(1_000),
    interval: Duration::from_millis(2_500),
    retry: Duration::from_millis(500),
    lapse: Lapse::Final,
};
/// Time of a step of the simulation, in milliseconds.
const STEP_MS: u64 = 5;
const ALONE: Terms = Terms { lapse: Lapse::Recoverable, ..TERMS };

fn at(ms: u64) -> Moment {
    Moment(Duration::from_millis(ms))
}

fn held(until: u64, renewal: Renewal) -> LeaseState {
    LeaseState::Held { until: at(until), renewal }
}

#[test]
fn node_2_lease_is_counted_from_before_the_renewal_was_sent() {
    let lease = LeaseState::taken(&TERMS, at(0));
    assert_eq!(lease, held(9_000, Renewal::Due(at(2_500))));
    assert_eq!(lease.next(), Some(at(2_500)));
    assert_eq!(lease.handle(&TERMS, at(2_499), LeaseInput::Tick), (lease, None), "too early");
    let (lease, order) = lease.handle(&TERMS, at(2_600), LeaseInput::Tick);
    assert_eq!(order, Some(LeaseOrder::Renew));
    assert_eq!(lease.next(), Some(at(9_000)), "the answer is waited for until the end");
    assert_eq!(lease.handle(&TERMS, at(4_000), LeaseInput::Tick), (lease, None), "one renewal at a time");
    let (lease, order) = lease.handle(&TERMS, at(4_000), LeaseInput::Confirmed { sent: at(2_600) });
    assert_eq!((lease, order), (held(11_600, Renewal::Due(at(5_100))), None));
    assert!(lease.is_proven(at(11_599)));
    assert!(!lease.is_proven(at(11_600)));
}

#[test]
fn node_2_lost_answers_prove_nothing_and_late_ones_no_more_than_their_renewal() {
    let (lease, _) = LeaseState::taken(&TERMS, at(0)).handle(&TERMS, at(2_500), LeaseInput::Tick);
    let (lease, order) = lease.handle(&TERMS, at(5_000), LeaseInput::Unanswered);
    assert_eq!((lease, order), (held(9_000, Renewal::Due(at(5_500))), None));
    assert_eq!(lease.handle(&TERMS, at(5_100), LeaseInput::Unanswered), (lease, None), "nothing was sent");
    let (lease, _) = lease.handle(&TERMS, at(5_500), LeaseInput::Tick);
    let (lease, _) = lease.handle(&TERMS, at(5_600), LeaseInput::Confirmed { sent: at(5_500) });
    assert_eq!(lease, held(14_500, Renewal::Due(at(8_000))));
    let (lease, _) = lease.handle(&TERMS, at(5_700), LeaseInput::Confirmed { sent: at(2_500) });
    assert_eq!(lease, held(14_500, Renewal::Due(at(8_000))), "the earlier answer comes last");
    let (lease, _) = lease.handle(&TERMS, at(5_800), LeaseInput::Confirmed { sent: at(99_000) });
    assert_eq!(lease, held(14_800, Renewal::Due(at(8_000))), "no renewal was sent in the future");
}

#[test]
fn node_2_answer_after_the_end_does_not_undo_it() {
    let (lease, _) = LeaseState::taken(&TERMS, at(0)).handle(&TERMS, at(2_500), LeaseInput::Tick);
    let late = LeaseInput::Confirmed { sent: at(2_500) };
    let (ended, order) = lease.handle(&TERMS, at(9_000), late);
    assert_eq!(ended, LeaseState::Ended(LeaseEnd::Unproven));
    assert_eq!(order, Some(LeaseOrder::Fence(LeaseEnd::Unproven)));
    for input in [LeaseInput::Tick, late, LeaseInput::Unanswered, LeaseInput::Refused] {
        assert_eq!(ended.handle(&TERMS, at(9_001), input), (ended, None), "{input:?}");
    }
    assert_eq!(ended.next(), None);
    let (ended, order) = lease.handle(&TERMS, at(3_000), LeaseInput::Refused);
    assert_eq!(ended, LeaseState::Ended(LeaseEnd::Refused));
    assert_eq!(order, Some(LeaseOrder::Fence(LeaseEnd::Refused)));
}

#[test]
fn lease_of_a_process_that_is_alone_lapses_and_is_proven_again() {
    let (lease, _) = LeaseState::taken(&ALONE, at(0)).handle(&ALONE, at(2_500), LeaseInput::Tick);
    let (lapsed, order) = lease.handle(&ALONE, at(9_000), LeaseInput::Unanswered);
    assert_eq!((lapsed, order), (LeaseState::Lapsed { renewal: Renewal::Due(at(9_500)) }, None));
    assert!(!lapsed.is_proven(at(9_000)));
    let (lapsed, order) = lapsed.handle(&ALONE, at(9_500), LeaseInput::Tick);
    assert_eq!((order, lapsed.next()), (Some(LeaseOrder::Renew), None));
    let (late, _) = lapsed.handle(&ALONE, at(40_000), LeaseInput::Confirmed { sent: at(9_500) });
    assert_eq!(late, LeaseState::Lapsed { renewal: Renewal::Due(at(12_000)) }, "it has lapsed again");
    let (again, _) = lapsed.handle(&ALONE, at(9_600), LeaseInput::Confirmed { sent: at(9_500) });
    assert_eq!(again, held(18_500, Renewal::Due(at(12_000))));
    let (ended, _) = lapsed.handle(&ALONE, at(9_600), LeaseInput::Refused);
    assert_eq!(ended, LeaseState::Ended(LeaseEnd::Refused));
}

/// A renewal on its way: sent and answered, by the clock of the world.
#[derive(Clone, Copy, Debug)]
struct Flight {
    sent: Moment,
    arrives: u64,
    answered: Option<u64>,
    given_up: u64,
    executed: Option<bool>,
}

/// One node, the row that the database has of it, and another node that watches the row. Times are in milliseconds.
#[derive(Debug)]
struct World {
    terms: Terms,
    now: u64,
    /// Parts per thousand by which the clocks of the node and of the database are fast.
    fast: (i64, i64),
    /// The clock of the database is ahead by this: a fail-over to a host whose clock differs, within the margin.
    ahead: u64,
    lease: LeaseState,
    row_until: u64,
    /// The row is gone, and stays so: another node has seen it expired (RUN-13).
    gone: bool,
    flight: Option<Flight>,
    /// The moments at which renewals arrive whose answers are not waited for any more.
    abandoned: Vec<u64>,
    /// The process is stopped until then, and its clock goes on.
    stopped_until: u64,
    renewals: usize,
}

impl World {
    fn new(terms: Terms, fast: (i64, i64)) -> Self {
        let lease = LeaseState::taken(&terms, at(0));
        let row_until = terms.lease.as_millis() as u64;
        Self {
            terms,
            now: 0,
            fast,
            ahead: 0,
            lease,
            row_until,
            gone: false,
            flight: None,
            abandoned: Vec::new(),
            stopped_until: 0,
            renewals: 0,
        }
    }

    fn own(&self, now: u64) -> Moment {
        at((now as i64 + now as i64 * self.fast.0 / 1_000) as u64)
    }

    fn database(&self) -> u64 {
        (self.now as i64 + self.now as i64 * self.fast.1 / 1_000) as u64 + self.ahead
    }

    fn take(&mut self, input: LeaseInput) -> bool {
        let (lease, order) = self.lease.handle(&self.terms, self.own(self.now), input);
        self.lease = lease;
        order == Some(LeaseOrder::Renew)
    }

    /// Executes the statement of a renewal.
    fn renew(&mut self) -> bool {
        let lives = !self.gone && self.row_until > self.database();
        if lives {
            self.row_until = self.row_until.max(self.database() + self.terms.lease.as_millis() as u64);
        }
        lives
    }

    /// Lets [`STEP_MS`] pass. `path` is the course of a renewal that is sent now: the time to the database, the time
    /// back, and which of the two messages is lost.
    fn step(&mut self, path: (u64, u64, Loss)) -> Result<(), TestCaseError> {
        self.now += STEP_MS;
        if let Some(flight) = self.flight
            && flight.executed.is_none()
            && flight.arrives <= self.now
        {
            let executed = Some(self.renew());
            self.flight = Some(Flight { executed, ..flight });
        }
        let arrived = self.abandoned.len();
        self.abandoned.retain(|arrives| *arrives > self.now);
        for _ in self.abandoned.len()..arrived {
            self.renew();
        }
        if self.stopped_until <= self.now {
            if let Some(flight) = self.flight {
                if let Some(lives) = flight.executed
                    && flight.answered.is_some_and(|answered| answered <= self.now)
                {
                    self.flight = None;
                    self.take(if lives {
                        LeaseInput::Confirmed { sent: flight.sent }
                    } else {
                        LeaseInput::Refused
                    });
                } else if flight.given_up <= self.now {
                    self.abandoned.extend(flight.executed.is_none().then_some(flight.arrives));
                    self.flight = None;
                    self.take(LeaseInput::Unanswered);
                }
            }
            let sent = self.own(self.now);
            if self.take(LeaseInput::Tick) {
                let (there, back, loss) = path;
                let arrives = if loss == Loss::Request { u64::MAX } else { self.now + there };
                let answered = (loss == Loss::None).then(|| self.now + there + back);
                let given_up = self.now + self.terms.interval.as_millis() as u64;
                self.flight = Some(Flight { sent, arrives, answered, given_up, executed: None });
                self.renewals += 1;
            }
        }
        // Another node looks at every moment.
        self.gone |= self.row_until <= self.database();
        let proven = self.lease.is_proven(self.own(self.now));
        prop_assert!(!(self.gone && proven), "the lease is proven here and expired there: {self:?}");
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    None,
    Request,
    Answer,
}

/// A stretch of time with one kind of network.
#[derive(Clone, Debug)]
enum Weather {
    Fair,
    Slow(u64, u64),
    Cut(Loss),
    Stopped(u64),
    Jump,
}

fn weather() -> impl Strategy<Value = Weather> {
    prop_oneof![
        3 => Just(Weather::Fair),
        2 => (0..4_000_u64, 0..4_000_u64).prop_map(|(there, back)| Weather::Slow(there, back)),
        2 => prop_oneof![Just(Loss::Request), Just(Loss::Answer)].prop_map(Weather::Cut),
        1 => (0..20_000_u64).prop_map(Weather::Stopped),
        1 => Just(Weather::Jump),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// Whatever the network loses or delays, whenever the process is stopped, and however the clocks differ within the
    /// margin: the lease is given up before another node can see it as expired.
    #[test]
    fn node_2_lease_is_given_up_before_it_can_expire_elsewhere(
        stretches in prop::collection::vec((weather(), 100..6_000_u64), 1..12),
        fast in (-20..=20_i64, -20..=20_i64),
        alone in any::<bool>(),
    ) {
        let mut world = World::new(if alone { ALONE } else { TERMS }, fast);
        // The clocks differ by 4 % at most of the lease; the rest of the margin is that of one jump.
        let jump = 500;
        for (weather, time) in stretches {
            if let Weather::Stopped(time) = weather {
                world.stopped_until = world.now + time;
            }
            if matches!(weather, Weather::Jump) {
                world.ahead = jump;
            }
            let path = match weather {
                Weather::Slow(there, back) => (there, back, Loss::None),
                Weather::Cut(loss) => (5, 5, loss),
                Weather::Fair | Weather::Stopped(_) | Weather::Jump => (5, 5, Loss::None),
            };
            for _ in 0..time / STEP_MS {
                world.step(path)?;
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A lease is kept as long as every other renewal is answered.
    #[test]
    fn lease_is_kept_while_answers_come(delays in prop::collection::vec((0..400_u64, 0..400_u64), 1..20)) {
        let mut world = World::new(TERMS, (0, 0));
        for (number, (there, back)) in delays.into_iter().cycle().take(40).enumerate() {
            let loss = if number % 2 == 0 { Loss::None } else { Loss::Answer };
            let aim = world.renewals + 1;
            while world.renewals < aim {
                world.step((there, back, loss))?;
                prop_assert!(world.lease.is_proven(world.own(world.now)), "{world:?}");
            }
        }
    }
}
