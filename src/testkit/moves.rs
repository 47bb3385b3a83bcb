//! The next frames of a client that sends random operations, chosen from what its user has received.

use std::collections::BTreeSet;

use rand::{RngExt, rngs::StdRng, seq::IteratorRandom};
use serde_json::{Value, json};

use super::ledger::{Fate, Ledger};

/// The calls and runs that a connection has answered or cancelled, each once.
#[derive(Debug, Default)]
pub struct ReportedOnce(BTreeSet<String>);

impl ReportedOnce {
    /// Forgets all, for a new connection or after a temporary refusal.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Returns answers to the questions that wait, and cancels with `cancel_chance` each.
    pub fn replies(
        &mut self,
        ledger: &mut Ledger,
        all: bool,
        cancel_chance: f64,
        rng: &mut StdRng,
    ) -> Vec<Value> {
        let mut frames = self.answers(ledger, all, rng);
        frames.extend(self.cancels(ledger, all, cancel_chance, rng));
        frames
    }

    /// Answers some of the calls that wait for the client, or `all`; now and then twice, with different
    /// results (RUN-11).
    pub fn answers(&mut self, ledger: &mut Ledger, all: bool, rng: &mut StdRng) -> Vec<Value> {
        let mut frames = Vec::new();
        let Ledger { waiting, asks, .. } = ledger;
        for (run_id, call_id) in waiting.iter() {
            let told = format!("{run_id} {call_id}");
            if self.0.contains(&told) || !(all || rng.random_bool(0.4)) {
                continue;
            }
            self.0.insert(told);
            let answers = asks.entry((run_id.clone(), call_id.clone())).or_default();
            for _ in 0..rng.random_range(1..=2) {
                let mut frame = answer(rng);
                answers.push(frame.clone());
                frame["type"] = json!("complete_call");
                frame["run_id"] = json!(run_id);
                frame["call_id"] = json!(call_id);
                frames.push(frame);
            }
        }
        frames
    }

    /// Cancels each run whose message asks for it with this `chance`, or `all` of them.
    pub fn cancels(&mut self, ledger: &mut Ledger, all: bool, chance: f64, rng: &mut StdRng) -> Vec<Value> {
        let Ledger { running, runs, messages, .. } = ledger;
        let mut frames = Vec::new();
        for run_id in running.iter() {
            let Some(run) = runs.get_mut(run_id) else { continue };
            let wants = messages.get(&run.message_id).is_some_and(|message| message.planned.cancels);
            if wants && !self.0.contains(run_id) && (all || rng.random_bool(chance)) {
                self.0.insert(run_id.clone());
                run.cancelled_by_us = true;
                frames.push(json!({"type": "cancel_run", "run_id": run_id}));
            }
        }
        frames
    }
}

/// Returns a message that was accepted earlier, if there is one: unchanged, or its id with another text
/// (DEL-6).
pub fn repeats(ledger: &mut Ledger, rng: &mut StdRng) -> Option<Value> {
    let accepted = ledger.messages.values_mut();
    let accepted = accepted.filter(|message| matches!(message.fate, Fate::Accepted { .. }));
    let message = accepted.choose(rng)?;
    message.sendings += 1;
    let mut frame = message.planned.frame();
    if rng.random_bool(0.5) {
        message.reuses += 1;
        frame["text"] = json!("another text under a used id");
    }
    Some(frame)
}

/// A random valid result of a question.
fn answer(rng: &mut StdRng) -> Value {
    if rng.random_bool(0.8) {
        json!({"status": "ok", "results": {"n": rng.random_range(0..1000)}, "error": null})
    } else {
        json!({"status": "error", "results": null, "error": "no"})
    }
}
