//! The time, the clock that the service reads, ids, and the trace of a simulation.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use quintet::{kernel::ids::Timestamp, runtime::simulation};

/// The start of each simulation: 2026-01-01.
const BEGIN_MS: u64 = 1_767_225_600_000;

/// The time and the trace of one simulation; clones share it.
#[derive(Clone)]
pub struct SimClock(Rc<Inner>);

struct Inner {
    seed: u64,
    now_ms: Cell<u64>,
    /// The error of the server's clock.
    skew_ms: Cell<i64>,
    ids: Cell<u64>,
    trace: RefCell<blake3::Hasher>,
    /// Whether the trace is printed as well.
    aloud: bool,
}

impl SimClock {
    pub fn new(seed: u64) -> Self {
        let aloud = std::env::var_os("QUINTET_SIM_TRACE").is_some();
        if aloud {
            // Prints the service's own log beside the trace; only the first call counts.
            let _ = tracing_subscriber::fmt()
                .with_env_filter("quintet=debug")
                .with_writer(std::io::stderr)
                .without_time()
                .try_init();
        }
        Self(Rc::new(Inner {
            seed,
            now_ms: Cell::new(0),
            skew_ms: Cell::new(0),
            ids: Cell::new(0),
            trace: RefCell::default(),
            aloud,
        }))
    }

    /// Makes this the service's clock until the result is dropped.
    pub fn enter(&self) -> simulation::Entered {
        simulation::enter(self.0.clone())
    }

    /// Milliseconds since the simulation began.
    pub fn now_ms(&self) -> u64 {
        self.0.now_ms.get()
    }

    pub fn set_now_ms(&self, now_ms: u64) {
        self.0.now_ms.set(now_ms);
    }

    /// The true time, used by the issuers of tokens.
    pub fn unix_ms(&self) -> u64 {
        BEGIN_MS + self.now_ms()
    }

    /// Sets the error of the server's clock.
    pub fn set_clock(&self, skew_ms: i64) {
        self.0.skew_ms.set(skew_ms);
    }

    pub fn skew_ms(&self) -> i64 {
        self.0.skew_ms.get()
    }

    /// Adds to the trace. Everything in it is the same for the same seed: times, ids and texts. Of a ticket
    /// only its use is recorded: its secret is the system's.
    pub fn note(&self, who: &str, what: impl std::fmt::Display) {
        let line = format!("{:>7} {who}: {what}\n", self.now_ms());
        if self.0.aloud {
            eprint!("{line}");
        }
        self.0.trace.borrow_mut().update(line.as_bytes());
    }

    /// The hash of the trace.
    pub fn trace(&self) -> u64 {
        let hash = self.0.trace.borrow().finalize();
        u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes of a hash"))
    }
}

impl simulation::World for Inner {
    fn now(&self) -> Timestamp {
        Timestamp((BEGIN_MS + self.now_ms.get()).saturating_add_signed(self.skew_ms.get()))
    }

    fn random(&self) -> [u8; 10] {
        let number = self.ids.get();
        self.ids.set(number + 1);
        let hash = blake3::hash(&[self.seed.to_be_bytes(), number.to_be_bytes()].concat());
        hash.as_bytes()[..10].try_into().unwrap()
    }
}
