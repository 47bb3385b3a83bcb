//! What is above all hosts: the time, the clock that the service reads, ids, and the trace of what happened.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use quintet::{kernel::ids::Timestamp, runtime::simulation};

/// When simulations begin: 2026-01-01.
const BEGIN_MS: u64 = 1_767_225_600_000;

/// Time, and everything that was seen. One simulation has one; cloning shares it.
#[derive(Clone)]
pub struct Sky(Rc<Inner>);

struct Inner {
    seed: u64,
    now_ms: Cell<u64>,
    /// By how much the clock of the server is wrong.
    skew_ms: Cell<i64>,
    ids: Cell<u64>,
    trace: RefCell<blake3::Hasher>,
    /// Whether the trace is printed as well.
    aloud: bool,
}

impl Sky {
    pub fn new(seed: u64) -> Self {
        let aloud = std::env::var_os("QUINTET_SIM_TRACE").is_some();
        if aloud {
            // What the service itself says, beside what was seen of it; only the first time counts.
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

    /// Lets the service see this sky, as long as the answer lives.
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

    /// The true time: the clock of those who make tokens.
    pub fn unix_ms(&self) -> u64 {
        BEGIN_MS + self.now_ms()
    }

    /// Sets the server's clock wrong.
    pub fn set_clock(&self, skew_ms: i64) {
        self.0.skew_ms.set(skew_ms);
    }

    pub fn skew_ms(&self) -> i64 {
        self.0.skew_ms.get()
    }

    /// Something was seen. Everything that is told apart here is the same whenever the seed is: times,
    /// ids and texts. Of a ticket only its fate is told: its secret is the system's.
    pub fn note(&self, who: &str, what: impl std::fmt::Display) {
        let line = format!("{:>7} {who}: {what}\n", self.now_ms());
        if self.0.aloud {
            eprint!("{line}");
        }
        self.0.trace.borrow_mut().update(line.as_bytes());
    }

    /// What all that was seen amounts to.
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
