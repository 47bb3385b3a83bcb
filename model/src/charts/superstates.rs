//! One connection by superstate: a row for each guard, with the states in which it decides and what is ordered.
//!
//! Guarantee: every outcome that the exploration finds has a row, and an input that has no row for a state is
//! rejected there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use quintet::kernel::connection::{Connection, Effect, Effects, Fault, ServerFrame, Timer};

use super::{LIMITS, connection_inputs, identity, input_title, phase_title, reach};

/// The states, and the superstate of each: `src/kernel/connection/mod.rs` has the same tree.
const SETTING_UP: [&str; 3] = ["Handshaking", "Verifying", "Attaching"];
const OPEN: [&str; 4] = ["Replaying", "Live", "Draining", "Leaving"];

/// What an input leads to.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Guard {
    /// The place of the input in the alphabet.
    input: usize,
    orders: String,
    to: String,
}

/// Every guard, with the states in which it decides.
fn guards() -> (Vec<String>, BTreeMap<Guard, BTreeSet<String>>) {
    let inputs = connection_inputs();
    let mut titles: Vec<String> = Vec::new();
    let mut guards: BTreeMap<Guard, BTreeSet<String>> = BTreeMap::new();
    let accepted = |known| Connection::accept(known, LIMITS, &mut Effects::new());
    reach(vec![accepted(None), accepted(Some(identity("ann")))], |connection| {
        let from = phase_title(connection.phase());
        let mut after = Vec::new();
        for input in &inputs {
            let title = input_title(input.name());
            let at = titles.iter().position(|known| *known == title).unwrap_or_else(|| {
                titles.push(title);
                titles.len() - 1
            });
            let (mut next, mut effects) = (connection.clone(), Effects::new());
            if next.step(input, &mut effects).is_err() {
                continue;
            }
            let mut orders: Vec<String> = effects.iter().filter_map(order).collect();
            orders.dedup();
            let to = match phase_title(next.phase()) {
                to if to == from => String::new(),
                to => to,
            };
            let guard = Guard { input: at, orders: orders.join(", "), to };
            guards.entry(guard).or_default().insert(from.clone());
            after.push(next);
        }
        after
    });
    (titles, guards)
}

/// An order, as the table names it. Flushes and their timer are left out: they follow every frame.
fn order(effect: &Effect) -> Option<String> {
    let named = match effect {
        Effect::Flush | Effect::Arm(Timer::Stall) | Effect::Disarm(Timer::Stall) => return None,
        Effect::Verify { .. } => "verify".to_owned(),
        Effect::Attach { .. } => "attach".to_owned(),
        Effect::Send(frame) => format!("send `{}`", frame_title(frame)),
        Effect::SendChunk { .. } => "send the entries".to_owned(),
        Effect::Execute { .. } => "execute".to_owned(),
        Effect::ReadOn { .. } => "read on".to_owned(),
        Effect::PingPeer => "ping".to_owned(),
        Effect::Arm(timer) => format!("arm {timer:?}"),
        Effect::Disarm(timer) => format!("disarm {timer:?}"),
        Effect::ExpireAt(_) => "arm Expiry".to_owned(),
        Effect::Close(cause) => format!("close: {cause:?}"),
    };
    Some(named)
}

fn frame_title(frame: &ServerFrame) -> String {
    match frame {
        ServerFrame::Ready { gap: None, .. } => "ready".to_owned(),
        ServerFrame::Ready { gap: Some(_), .. } => "ready with a gap".to_owned(),
        ServerFrame::CaughtUp { .. } => "caught_up".to_owned(),
        ServerFrame::Answer { .. } => "the reply".to_owned(),
        ServerFrame::Renewed { .. } => "renewed".to_owned(),
        ServerFrame::Pong { .. } => "pong".to_owned(),
        ServerFrame::Draining { .. } => "draining".to_owned(),
        ServerFrame::Error { fault, fatal } => {
            let fault = match fault {
                Fault::Unclear { .. } => "malformed",
                Fault::Oversized { .. } => "oversized",
                Fault::BeforeHello { .. } => "before hello",
                Fault::SecondHello => "second hello",
                Fault::Unauthenticated => "unauthenticated",
                Fault::Unavailable => "unavailable",
                Fault::RateLimited { .. } => "rate limited",
            };
            format!("error: {fault}{}", if *fatal { ", fatal" } else { "" })
        }
    }
}

/// The states as the tree has them: superstates where all of their states are there.
fn scope(states: &BTreeSet<String>) -> (usize, String) {
    let has = |all: &[&str]| all.iter().all(|state| states.contains(*state));
    if has(&SETTING_UP) && has(&OPEN) {
        return (0, "*connected*".to_owned());
    }
    let mut names = Vec::new();
    for (superstate, all) in [("*setting up*", &SETTING_UP[..]), ("*open*", &OPEN[..])] {
        if has(all) {
            names.push(superstate);
        } else {
            names.extend(all.iter().filter(|state| states.contains(**state)));
        }
    }
    let first = names.first().copied().unwrap_or_default();
    let order = SETTING_UP.iter().chain(&OPEN).position(|state| *state == first);
    let rank = match first {
        "*setting up*" => 1,
        "*open*" => 6,
        _ => order.map_or(99, |at| if at < SETTING_UP.len() { at + 2 } else { at + 4 }),
    };
    (rank, names.join(", "))
}

/// The diagram and the table.
pub(super) fn render() -> String {
    let (titles, guards) = guards();
    let mut moves: BTreeMap<(String, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut rows = Vec::new();
    for (guard, states) in &guards {
        let title = titles[guard.input].as_str();
        for state in states.iter().filter(|_| !guard.to.is_empty() && guard.to != "Closed") {
            moves.entry((state.clone(), &guard.to)).or_default().insert(title);
        }
        let (rank, scope) = scope(states);
        let to = if guard.to.is_empty() { "stays".to_owned() } else { format!("→ {}", guard.to) };
        rows.push((rank, scope, guard.input, format!("| {title} | {} | {to} |", guard.orders)));
    }
    rows.sort();
    let place = |state: &str| SETTING_UP.iter().chain(&OPEN).position(|known| *known == state);
    let mut lines: Vec<_> =
        moves.iter().map(|((from, to), inputs)| (place(from), place(to), from, to, inputs)).collect();
    lines.sort();
    let drawn = |from: &[&str], within: bool| {
        let own = lines
            .iter()
            .filter(|(_, _, of, to, _)| from.contains(&of.as_str()) && from.contains(*to) == within);
        own.fold(String::new(), |mut text, (_, _, of, to, inputs)| {
            let inputs: Vec<&str> = inputs.iter().copied().collect();
            writeln!(text, "        {of} --> {to}: {}", inputs.join(", ")).expect("a string");
            text
        })
    };
    let mut text = format!(
        "```mermaid\nstateDiagram-v2\n    [*] --> Handshaking\n    state connected {{\n    state setting_up {{\n{}    }}\n    \
         state open {{\n{}    }}\n{}    }}\n    connected --> Closed\n```\n\n| in | input | orders | then |\n|---|---|---|---|\n",
        drawn(&SETTING_UP, true),
        drawn(&OPEN, true),
        drawn(&SETTING_UP, false),
    );
    for (_, scope, _, row) in rows {
        writeln!(text, "| {scope} {row}").expect("a string takes everything");
    }
    text
}
