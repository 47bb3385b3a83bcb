//! The words of the models for client libraries: all that a client of a small instance can receive, and all logs
//! that it can fold, as JSON files that the tests of each client read.
//!
//! - [`deliveries`] is a deterministic automaton over what one client observes of the delivery model: it connects,
//!   frames arrive, the connection is lost. Its language is that of the model, whose other steps are erased by a
//!   [subset construction](https://en.wikipedia.org/wiki/Powerset_construction).
//! - [`logs`] is the tree of all logs of user models, each with the state that the contract gives its runs
//!   ([`crate::law`], and not the kernel).

use std::collections::{BTreeSet, HashMap};

use quintet::{
    kernel::{
        entry::{Entry, RunStatus},
        ids::UserId,
    },
    wire,
};
use serde_json::{Value, json};

use crate::{
    graph::{self, Graph},
    instances, law,
    models::{
        delivery::{DeliveryAction, DeliveryModel, DeliveryState, Frame},
        user::UserModel,
    },
};

/// An observation of the first client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Letter {
    /// The client connects with its cursor.
    Connect {
        after: u64,
    },
    Ready {
        after: u64,
        head: u64,
        gap: Option<(u64, u64)>,
    },
    /// The entries of one read.
    Entries {
        first: u64,
        last: u64,
    },
    CaughtUp {
        head: u64,
    },
    Accepted,
    Draining,
    /// The connection ends, with what is under way.
    Lost,
}

impl Letter {
    fn json(&self) -> Value {
        match self {
            Letter::Connect { after } => json!({ "connect": after }),
            Letter::Ready { after, head, gap } => json!({ "ready": after, "head": head, "gap": gap }),
            Letter::Entries { first, last } => json!({ "entries": [first, last] }),
            Letter::CaughtUp { head } => json!({ "caught_up": head }),
            Letter::Accepted => json!("accepted"),
            Letter::Draining => json!("draining"),
            Letter::Lost => json!("lost"),
        }
    }
}

/// Returns what the first client observes of a step; `None` if nothing.
fn observed(state: &DeliveryState, action: &DeliveryAction, next: &DeliveryState) -> Option<Letter> {
    match action {
        DeliveryAction::Connect(0) => Some(Letter::Connect { after: state.clients[0].after }),
        DeliveryAction::Receive(0) => {
            let frame = state.links[0].as_ref().and_then(|link| link.wire.first());
            Some(match *frame.expect("a frame was received") {
                Frame::Ready { after, head, gap } => Letter::Ready { after, head, gap },
                Frame::AtHead(head) => Letter::Ready { after: head, head, gap: None },
                Frame::Entries(first, last) => Letter::Entries { first, last },
                Frame::CaughtUp(head) => Letter::CaughtUp { head },
                Frame::Accepted => Letter::Accepted,
                Frame::Draining => Letter::Draining,
            })
        }
        _ => (state.links[0].is_some() && next.links[0].is_none()).then_some(Letter::Lost),
    }
}

/// Returns the automaton of the deliveries to one client of a service that crashes, drains and trims.
///
/// `letters` is the alphabet; `states[s]` lists the steps out of state `s` as pairs of a letter and a state, by index.
/// State 0 is the first, and every state accepts.
pub fn deliveries() -> Value {
    let model = DeliveryModel { drains: true, trims: true, ..instances::delivery(1) };
    let graph = graph::explore(&model);
    let steps: Vec<Vec<(Option<Letter>, u32)>> = (0..graph.states.len())
        .map(|at| {
            let state = &graph.states[at];
            let step = |(action, to): &(DeliveryAction, u32)| {
                (observed(state, action, &graph.states[*to as usize]), *to)
            };
            graph.steps[at].iter().map(step).collect()
        })
        .collect();
    let mut letters: Vec<&Letter> =
        steps.iter().flatten().filter_map(|(letter, _)| letter.as_ref()).collect();
    letters.sort_unstable();
    letters.dedup();

    let (transitions, start) = determinized(&steps, &letters);
    let states = minimized(&transitions, start);
    let letters: Vec<Value> = letters.into_iter().map(Letter::json).collect();
    json!({ "letters": letters, "states": states })
}

type Transitions = Vec<Vec<(usize, usize)>>;

/// The subset construction; returns the steps of each set of states, and the first set.
fn determinized(steps: &[Vec<(Option<Letter>, u32)>], letters: &[&Letter]) -> (Transitions, usize) {
    let closed = |from: BTreeSet<u32>| {
        let (mut closed, mut open) = (from.clone(), from.into_iter().collect::<Vec<_>>());
        while let Some(at) = open.pop() {
            for (_, to) in steps[at as usize].iter().filter(|(letter, _)| letter.is_none()) {
                if closed.insert(*to) {
                    open.push(*to);
                }
            }
        }
        closed
    };
    let number: HashMap<&Letter, usize> =
        letters.iter().enumerate().map(|(i, letter)| (*letter, i)).collect();
    let first = closed(BTreeSet::from([0]));
    let mut sets = vec![first.clone()];
    let mut known = HashMap::from([(first, 0)]);
    let mut transitions = Transitions::new();
    while transitions.len() < sets.len() {
        let mut targets: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); letters.len()];
        for at in &sets[transitions.len()] {
            for (letter, to) in &steps[*at as usize] {
                if let Some(letter) = letter {
                    targets[number[letter]].insert(*to);
                }
            }
        }
        let mut out = Vec::new();
        for (letter, target) in targets.into_iter().enumerate().filter(|(_, target)| !target.is_empty()) {
            let target = closed(target);
            let index = *known.entry(target.clone()).or_insert_with(|| {
                sets.push(target);
                sets.len() - 1
            });
            out.push((letter, index));
        }
        transitions.push(out);
    }
    (transitions, 0)
}

/// Merges states from which the same words go on, by refinement of a partition; numbers them breadth first.
fn minimized(transitions: &Transitions, start: usize) -> Transitions {
    let mut block = vec![0usize; transitions.len()];
    let mut blocks = 1;
    loop {
        let mut known = HashMap::new();
        let refined: Vec<usize> = (0..transitions.len())
            .map(|at| {
                let out: Vec<(usize, usize)> =
                    transitions[at].iter().map(|(l, to)| (*l, block[*to])).collect();
                let next = known.len();
                *known.entry((block[at], out)).or_insert(next)
            })
            .collect();
        if known.len() == blocks {
            break;
        }
        (blocks, block) = (known.len(), refined);
    }
    let mut representative = HashMap::new();
    for (at, block) in block.iter().enumerate() {
        representative.entry(*block).or_insert(at);
    }
    let mut order = vec![block[start]];
    let mut number = HashMap::from([(block[start], 0)]);
    let mut states = Transitions::new();
    while states.len() < order.len() {
        let out = transitions[representative[&order[states.len()]]]
            .iter()
            .map(|(letter, to)| {
                let index = *number.entry(block[*to]).or_insert_with(|| {
                    order.push(block[*to]);
                    order.len() - 1
                });
                (*letter, index)
            })
            .collect();
        states.push(out);
    }
    states
}

/// Returns the tree of the logs of small user models.
///
/// `entries` and `states` are tables; `nodes[n]` is `[parent, entry, state]`: the log of node `parent` (-1: the empty
/// log) and one more entry, whose offset is its depth, and the state of the runs after it. A state is a list of
/// `[run_id, status, open calls]` in order of acceptance, with the status `queued`, `active` or that of the end.
pub fn logs() -> Value {
    let mut tables = Tables::default();
    let mut nodes: Vec<(i64, usize, usize)> = Vec::new();
    for model in [instances::user(2, 1, 1, 2), instances::user(1, 1, 2, 4), instances::user(2, 2, 1, 1)] {
        insert_logs(&graph::explore(&model), &mut tables, &mut nodes);
    }
    json!({ "entries": tables.entries.values, "states": tables.states.values, "nodes": nodes })
}

#[derive(Default)]
struct Tables {
    entries: Table,
    states: Table,
    children: HashMap<(i64, usize), i64>,
}

#[derive(Default)]
struct Table {
    values: Vec<Value>,
    index: HashMap<String, usize>,
}

impl Table {
    fn insert(&mut self, value: Value) -> usize {
        *self.index.entry(value.to_string()).or_insert_with(|| {
            self.values.push(value);
            self.values.len() - 1
        })
    }
}

fn insert_logs<A>(
    graph: &Graph<<UserModel as stateright::Model>::State, A>,
    tables: &mut Tables,
    nodes: &mut Vec<(i64, usize, usize)>,
) {
    for account in &graph.states {
        let mut at = -1;
        for length in 1..=account.log.len() {
            let entry = tables.entries.insert(encoded(&account.log[length - 1]));
            let found = tables.children.get(&(at, entry)).copied();
            at = found.unwrap_or_else(|| {
                let state = tables.states.insert(told(&account.log[..length]));
                nodes.push((at, entry, state));
                let child = nodes.len() as i64 - 1;
                tables.children.insert((at, entry), child);
                child
            });
        }
    }
}

/// Returns the entry as clients receive it, without its offset.
fn encoded(entry: &Entry) -> Value {
    let user_id = UserId::parse("ann").expect("a short name is valid");
    let mut line = bytes::BytesMut::new();
    wire::entry::encode(&user_id, entry, &mut line);
    let mut value: Value = serde_json::from_slice(&line).expect("an entry is encoded as JSON");
    value.as_object_mut().expect("an entry is an object").remove("offset");
    value
}

/// Returns the state of the runs of a log, by the contract.
fn told(log: &[Entry]) -> Value {
    let runs = law::runs(log);
    let state = runs.iter().map(|run| {
        let status = match run.ended() {
            Some(status) => RunStatus::as_str(status),
            None if run.begun() => "active",
            None => "queued",
        };
        let open: Vec<&str> =
            run.open_calls(run.events.len()).into_iter().map(|(call_id, _)| call_id.as_str()).collect();
        json!([run.run_id, status, open])
    });
    Value::Array(state.collect())
}
