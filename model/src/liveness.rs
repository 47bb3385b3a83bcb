//! What has to happen in the end, and the fairness that it needs. Each claim is checked with that
//! fairness, and shown to fail with less: a claim that held without would say nothing.

use quintet::kernel::run::PhaseName;

use crate::{
    ask::{Ask, CutBy},
    fair::{Class, Verdict, leads_to, strong, weak},
    graph::Graph,
    law,
    models::{
        delivery::{DeliveryAction, DeliveryState, Drain, Frame},
        fence::{FenceAction, FenceState},
        isolation::{World, WorldAction, run_of},
        run::{RunAction, RunState},
        user::Account,
    },
    vocabulary::{run, run_number},
};

type Make<S, A> = fn(&'static str, fn(&S, &A) -> bool) -> Class<S, A>;

fn ended(log: &[quintet::kernel::entry::Entry], number: u8) -> bool {
    law::runs(log).iter().any(|told| told.run_id == run(number) && told.ended().is_some())
}

fn accepted(log: &[quintet::kernel::entry::Entry], number: u8) -> bool {
    law::runs(log).iter().any(|told| told.run_id == run(number))
}

/// RUN-6, one run: it completes, if whoever closes calls and cuts runs does not rest.
pub fn run_ends(graph: &Graph<RunState, RunAction>, fair: bool) -> Verdict {
    use RunAction as A;
    let classes = [
        weak("close", |_: &RunState, a: &A| matches!(a, A::Close(..))),
        weak("cut", |_: &RunState, a: &A| matches!(a, A::Fail | A::Cancel | A::TimeOut | A::Interrupt)),
    ];
    let completed = |s: &RunState| s.run.phase() == PhaseName::Completed;
    leads_to(graph, |_| true, completed, if fair { &classes } else { &[] })
}

/// RUN-6, one user: every accepted run completes, if deadlines do not rest.
pub fn every_run_ends(graph: &Graph<Account, Ask>, messages: u8, fair: bool) -> Vec<Verdict> {
    let deadline = |_: &Account, a: &Ask| matches!(a, Ask::Cut { cut: CutBy::Deadline, .. });
    let classes = [weak("deadline", deadline)];
    let classes = if fair { &classes[..] } else { &[] };
    (1..=messages).map(|n| leads_to(graph, |s| accepted(&s.log, n), |s| ended(&s.log, n), classes)).collect()
}

/// RUN-6 with nodes that crash and appends that fail, again and again.
pub fn every_run_ends_somewhere(
    graph: &Graph<FenceState, FenceAction>,
    messages: u8,
    fairness: Option<Make<FenceState, FenceAction>>,
) -> Vec<Verdict> {
    use FenceAction as A;
    fn of(a: &A) -> u8 {
        match a {
            A::Start(n) | A::Know(n) | A::Write(n) | A::Decide(n, _) => *n,
            _ => u8::MAX,
        }
    }
    let classes = fairness.map_or(vec![], |make| {
        vec![
            make("start 1", |_, a| matches!(a, A::Start(_)) && of(a) == 0),
            make("start 2", |_, a| matches!(a, A::Start(_)) && of(a) == 1),
            make("know 1", |_, a| matches!(a, A::Know(_)) && of(a) == 0),
            make("know 2", |_, a| matches!(a, A::Know(_)) && of(a) == 1),
            make("write 1", |_, a| matches!(a, A::Write(_)) && of(a) == 0),
            make("write 2", |_, a| matches!(a, A::Write(_)) && of(a) == 1),
            make("deadline 1", |_, a| matches!(a, A::Decide(0, Ask::Cut { .. }))),
            make("deadline 2", |_, a| matches!(a, A::Decide(1, Ask::Cut { .. }))),
        ]
    });
    (1..=messages).map(|n| leads_to(graph, |s| accepted(&s.log, n), |s| ended(&s.log, n), &classes)).collect()
}

/// The fairness of a service and of its first client; nothing is asked of the others (DEL-4).
fn delivery_classes(make: Make<DeliveryState, DeliveryAction>) -> Vec<Class<DeliveryState, DeliveryAction>> {
    use DeliveryAction as A;
    fn wire(s: &DeliveryState) -> &[Frame] {
        s.links[0].as_ref().map_or(&[], |link| &link.wire)
    }
    vec![
        make("restart", |_, a| *a == A::Restart),
        make("deadline", |_, a| *a == A::Deadline),
        make("write", |_, a| *a == A::Write),
        make("drain ends", |_, a| *a == A::DrainEnds),
        make("leave 1", |_, a| *a == A::Leave(0)),
        make("leave 2", |_, a| *a == A::Leave(1)),
        make("connect", |_, a| *a == A::Connect(0)),
        make("flushed", |_, a| *a == A::Flushed(0)),
        make("read afresh", |s, a| matches!(a, A::Read(0, _)) && wire(s).is_empty()),
        make("receive entries", |s, a| {
            *a == A::Receive(0) && matches!(wire(s).first(), Some(Frame::Entries(..)))
        }),
        make("receive the 1st of 1", |s, a| *a == A::Receive(0) && wire(s).len() == 1),
        make("receive the 1st of 2", |s, a| *a == A::Receive(0) && wire(s).len() == 2),
        make("receive the 1st of 3", |s, a| *a == A::Receive(0) && wire(s).len() == 3),
        make("receive the 1st of 4", |s, a| *a == A::Receive(0) && wire(s).len() == 4),
        make("receive the 1st of more", |s, a| *a == A::Receive(0) && wire(s).len() > 4),
    ]
}

/// DEL-3, DEL-4: once the run is over, the first client has all of the log in the end, however often
/// links drop and hubs crash, and whatever other clients do.
pub fn cursor_catches_up(
    graph: &Graph<DeliveryState, DeliveryAction>,
    fairness: Option<Make<DeliveryState, DeliveryAction>>,
) -> Verdict {
    let classes = fairness.map_or(vec![], delivery_classes);
    // A drain closes for good what it closes: catching up is another instance's business then.
    let over = |s: &DeliveryState| ended(&s.log, 1);
    leads_to(graph, over, |s| s.clients[0].after == s.log.len() as u64, &classes)
}

/// CONN-6: a drain ends with every connection closed, whoever reads or does not.
pub fn drain_ends(
    graph: &Graph<DeliveryState, DeliveryAction>,
    fairness: Option<Make<DeliveryState, DeliveryAction>>,
) -> Verdict {
    let classes = fairness.map_or(vec![], delivery_classes);
    let closed = |s: &DeliveryState| s.links.iter().all(Option::is_none);
    leads_to(graph, |s| s.drain == Drain::Draining, closed, &classes)
}

/// ISO-5: when a user's last connection and last run are gone, the machines go.
pub fn machines_go(graph: &Graph<World, WorldAction>, fair: bool) -> Verdict {
    let classes = [
        weak("let go of user 1", |_: &World, a: &WorldAction| *a == WorldAction::LetGo(0)),
        weak("let go of user 2", |_: &World, a: &WorldAction| *a == WorldAction::LetGo(1)),
    ];
    // Needed again is as good as gone: whoever connects takes them over.
    let unneeded = |w: &World| {
        let first = w.connections.len() / 2;
        w.connections[..first].iter().all(Option::is_none)
            && w.users[0].log.iter().all(|entry| run_number(entry.run_id) == run_of(0))
            && w.users[0].machines.as_ref().is_some_and(|machines| machines.open_runs().is_empty())
    };
    let settled = |w: &World| {
        let first = w.connections.len() / 2;
        w.users[0].machines.is_none() || w.connections[..first].iter().any(Option::is_some)
    };
    leads_to(graph, unneeded, settled, if fair { &classes } else { &[] })
}

/// Weak or strong, for a table.
pub fn named<S, A>() -> [(&'static str, Option<Make<S, A>>); 3] {
    [("none", None), ("weak", Some(weak)), ("strong", Some(strong))]
}
