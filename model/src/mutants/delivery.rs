//! Defects of what stands between log and client: one step of the environment goes otherwise.

use quintet::kernel::{connection::Input, user::OnBusy};
use stateright::Model;

use super::{Hunted, suites};
use crate::{
    ask::{After, Ask},
    models::delivery::{
        DeliveryAction as A, DeliveryModel, DeliveryState, Frame, Link, Message, SOCKET_FRAMES,
    },
    mutants,
    vocabulary::run,
};

type Next = Option<DeliveryState>;

fn head(s: &DeliveryState) -> u64 {
    s.log.len() as u64
}

fn link(s: &mut DeliveryState, c: usize) -> Option<&mut Link> {
    s.links[c].as_mut()
}

/// Entries are published when they are decided.
fn publishes_early(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    let shown = s.hub.as_ref().map_or(head(s), |hub| hub.view.head().0);
    let mut next = s.clone();
    match action {
        A::Connect(c) => m.connect(&mut next, c, s.clients[c].after, shown)?,
        A::Read(c, all) => m.read(&mut next, c, all, shown)?,
        _ => return m.next_state(s, action),
    }
    Some(next)
}

/// The client is answered before the append.
fn accepts_early(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    let mut next = m.next_state(s, action)?;
    if let (A::Take(_), Some(hub)) = (action, &mut next.hub)
        && let Some(c) = hub.promise.take()
    {
        m.answer(&mut next, c);
    }
    Some(next)
}

fn connects_after(m: &DeliveryModel, s: &DeliveryState, action: A, after: u64) -> Next {
    let A::Connect(c) = action else { return m.next_state(s, action) };
    let mut next = s.clone();
    m.connect(&mut next, c, after, head(s))?;
    Some(next)
}

/// A resume goes on at the head.
fn resumes_at_head(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    connects_after(m, s, action, head(s))
}

/// `ready` names the head that was looked up, and the entries go on behind the head of now.
fn head_start_skips(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    let A::ReadyAtHead(c) = action else { return m.next_state(s, action) };
    let looked_up = s.links[c].as_ref()?.looked_up?;
    let mut next = s.clone();
    m.attached(&mut next, c, head(s));
    for frame in &mut link(&mut next, c)?.wire {
        match frame {
            Frame::AtHead(head) | Frame::CaughtUp(head) => *head = looked_up,
            _ => {}
        }
    }
    Some(next)
}

/// A resume starts over.
fn resumes_at_start(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    connects_after(m, s, action, 0)
}

/// A trimmed cursor goes on without a gap.
fn hides_gap(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    let mut next = m.next_state(s, action)?;
    if let A::Connect(c) = action {
        for frame in &mut link(&mut next, c)?.wire {
            if let Frame::Ready { gap, .. } = frame {
                *gap = None;
            }
        }
    }
    Some(next)
}

/// Entries that could not be sent at once are dropped.
fn drops_when_busy(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    let mut next = m.next_state(s, action)?;
    if let A::Read(c, _) = action
        && let (Some(before), Some(link)) = (&s.links[c], &mut next.links[c])
        && (SOCKET_FRAMES..link.wire.len()).contains(&before.wire.len())
    {
        link.wire.remove(before.wire.len());
    }
    Some(next)
}

/// The callback that goes on after a flush is never called.
fn never_flushes(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    if matches!(action, A::Flushed(_)) { None } else { m.next_state(s, action) }
}

/// The hub does not learn of a new connection, which is never read for.
fn never_reads(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    if matches!(action, A::Read(..)) { None } else { m.next_state(s, action) }
}

/// The whole backlog goes out at once.
fn ignores_backpressure(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    let A::Flushed(c) = action else { return m.next_state(s, action) };
    let mut next = s.clone();
    m.flushed(&mut next, c)?;
    Some(next)
}

/// The drain waits for a reader that does not read.
fn drain_waits(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    if matches!(action, A::Leave(_)) { None } else { m.next_state(s, action) }
}

/// The drain is over while a run is open.
fn drain_ends_early(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    if action != A::DrainEnds {
        return m.next_state(s, action);
    }
    let mut next = s.clone();
    m.drained(&mut next)?;
    Some(next)
}

/// A message that comes again over a new connection is a new message, of another run.
fn takes_again(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    let A::Take(c) = action else { return m.next_state(s, action) };
    if s.log.is_empty() {
        return m.next_state(s, action);
    }
    s.links[c].as_ref().filter(|link| link.message == Message::Sent)?;
    let mut next = s.clone();
    let knows_nothing = m.machine.remembering(vec![], &s.log, &m.limits)?;
    let send = Ask::Send { message: 1, thread: 1, on_busy: OnBusy::Enqueue, after: After::Latest };
    let command = send.command(&[], &knows_nothing, run(2));
    let decision = m.machine.decide(&knows_nothing, command, &m.limits).ok()?;
    m.conclude(&mut next, decision, Some(c))?;
    Some(next)
}

/// A flush is reported twice to the connection.
fn flushes_twice(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    let mut next = m.next_state(s, action)?;
    if let A::Flushed(c) = action {
        m.input(&mut next, c, &Input::Flushed);
    }
    Some(next)
}

/// The view that an append did not confirm is kept.
fn keeps_view(m: &DeliveryModel, s: &DeliveryState, action: A) -> Next {
    let mut next = m.next_state(s, action)?;
    if action == A::WriteFails {
        next.hub.as_mut()?.view.clone_from(&s.hub.as_ref()?.view);
    }
    Some(next)
}

#[rustfmt::skip]
pub fn mutants() -> Vec<Hunted> {
    mutants![
        "published-before-it-is-durable" ["DEL-1"] Some("success reported without delivery"),
            "entries are published when they are decided",
            "delivery: DEL-1" => suites::delivery(publishes_early);
        "accepted-before-it-is-durable" ["DEL-5"] Some("success reported without delivery"),
            "the client is told before the append",
            "delivery: DEL-5" => suites::delivery(accepts_early);
        "resumes-at-the-head" ["DEL-3"] Some("loss on replay"), "what came while the client was away is lost",
            "delivery: DEL-3" => suites::delivery(resumes_at_head);
        "head-start-skips" ["DEL-2"] Some("loss on replay"),
            "what is appended between the look-up of the head and `ready` is in neither part",
            "delivery: DEL-2" => suites::delivery(head_start_skips);
        "resumes-at-the-start" ["DEL-3"] None, "what the client has comes again",
            "delivery: DEL-3" => suites::delivery(resumes_at_start);
        "hides-the-gap" ["DEL-3"] None, "a cursor that retention passed goes on without a word",
            "delivery: DEL-3" => suites::delivery(hides_gap);
        "drops-entries-when-busy" ["DEL-2"] Some("priority inversion"),
            "a full socket drops entries, and takes the answers",
            "delivery: DEL-2" => suites::delivery(drops_when_busy);
        "ignores-backpressure" ["DEL-4"] None, "the whole backlog goes out at once, whatever the socket takes",
            "delivery: DEL-4" => suites::delivery(ignores_backpressure);
        "flush-is-never-followed" ["DEL-3"] Some("flush that never runs"),
            "the callback that goes on after a flush is never called",
            "delivery: DEL-3 an open cursor" => suites::delivery(never_flushes);
        "connection-is-never-registered" ["DEL-3"] Some("connection never registered"),
            "nobody reads for a new connection",
            "delivery: DEL-3 an open cursor" => suites::delivery(never_reads);
        "drain-waits-for-ever" ["CONN-6"] Some("deadlock on close"), "the drain waits for a reader that does not read",
            "delivery: CONN-6 a drain ends" => suites::delivery(drain_waits);
        "drain-ends-early" ["CONN-6"] None, "the drain is over while a run goes on",
            "delivery: CONN-6 when" => suites::delivery(drain_ends_early);
        "message-is-taken-again" ["DEL-6"] None, "a message that comes again over a new connection is taken for a new one",
            "delivery: DEL-6" => suites::delivery(takes_again);
        "flushed-twice" ["FIT"] None, "a flush is reported twice to the connection",
            "delivery: FIT" => suites::delivery(flushes_twice);
        "hub-keeps-what-failed" ["RECOVERY"] None, "the hub goes on from what the journal did not take",
            "delivery: RECOVERY" => suites::delivery(keeps_view);
    ]
}
