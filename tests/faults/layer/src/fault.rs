//! The faults of calls, from the control file and drawn from the seed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::control::{
    ACTION, ALWAYS, Action, BITTEN, CHANCE, Call, ERRNO, FILES, NO_END, SEEN, SKIP, TIMES, word,
};

/// The current faults.
pub struct Faults {
    words: &'static [AtomicU32],
    drawn: AtomicU64,
    seed: u64,
}

/// The fault of one call.
#[derive(Clone, Copy)]
pub struct Fault {
    pub action: Action,
    pub errno: i32,
}

impl Faults {
    pub fn new(words: &'static [AtomicU32], seed: u64) -> Self {
        Self { words, drawn: AtomicU64::new(0), seed }
    }

    /// Returns the fault of this call, or `None` if it does not fail.
    pub fn next(&self, call: Call, file: u32) -> Option<Fault> {
        let field = |n| &self.words[word(call, n)];
        if field(FILES).load(Relaxed) & file == 0 {
            return None;
        }
        field(SEEN).fetch_add(1, Relaxed);
        let action = match field(ACTION).load(Relaxed) {
            1 => Action::Fail,
            2 => Action::Short,
            3 => Action::Torn,
            4 => Action::Flip,
            5 => Action::Full,
            _ => return None,
        };
        if count_down(field(SKIP)) {
            return None;
        }
        let chance = field(CHANCE).load(Relaxed);
        if chance < ALWAYS && self.draw() % u64::from(ALWAYS) >= u64::from(chance) {
            return None;
        }
        if field(TIMES).load(Relaxed) != NO_END && !count_down(field(TIMES)) {
            return None;
        }
        Some(Fault { action, errno: field(ERRNO).load(Relaxed) as i32 })
    }

    /// Counts a fault that was carried out.
    pub fn bitten(&self, call: Call) {
        self.words[word(call, BITTEN)].fetch_add(1, Relaxed);
    }

    /// The next number of the seed's sequence (splitmix64).
    pub fn draw(&self) -> u64 {
        let n = self.drawn.fetch_add(1, Relaxed).wrapping_add(1);
        let mut z = self.seed.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Decrements the count; returns `false` if it was zero.
fn count_down(count: &AtomicU32) -> bool {
    count.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok()
}
