//! Liveness properties, and the fairness that they need. Each claim is checked with that fairness, and shown
//! to fail with less: otherwise it would be vacuous.

use quintet::kernel::run::PhaseName;

use crate::{
    ask::{Ask, CutBy},
    fair::{Class, Verdict, leads_to, strong, weak},
    graph::Graph,
    law,
    models::{
        delivery::{DeliveryAction, DeliveryState, Drain, Frame},
        fence::{FenceAction, FenceState},
        isolation::{World, WorldAction},
        run::{RunAction, RunState},
        user::Account,
    },
    vocabulary::run,
};

type Make<S, A> = fn(&'static str, fn(&S, &A) -> bool) -> Class<S, A>;

/// The assumed fairness of the actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fairness {
    None,
    /// An action that stays possible is taken in the end.
    Weak,
    /// An action that is possible again and again is taken in the end.
    Strong,
}

impl Fairness {
    pub const ALL: [Fairness; 3] = [Fairness::None, Fairness::Weak, Fairness::Strong];

    pub fn name(self) -> &'static str {
        match self {
            Fairness::None => "none",
            Fairness::Weak => "weak",
            Fairness::Strong => "strong",
        }
    }

    /// The classes of actions that are fair, none of them if nothing is assumed.
    fn classes<S, A, const N: usize>(
        self,
        classes: impl Fn(Make<S, A>) -> [Class<S, A>; N],
    ) -> Vec<Class<S, A>> {
        match self {
            Fairness::None => vec![],
            Fairness::Weak => classes(weak).into(),
            Fairness::Strong => classes(strong).into(),
        }
    }
}

fn ended(log: &[quintet::kernel::entry::Entry], number: u8) -> bool {
    law::runs(log).iter().any(|told| told.run_id == run(number) && told.ended().is_some())
}

fn accepted(log: &[quintet::kernel::entry::Entry], number: u8) -> bool {
    law::runs(log).iter().any(|told| told.run_id == run(number))
}

/// RUN-6, one run: it completes under the fairness of the actions that close calls and cut runs.
pub fn run_ends(graph: &Graph<RunState, RunAction>, fairness: Fairness) -> Vec<Verdict> {
    use RunAction as A;
    let classes = fairness.classes(|make| {
        [
            make("close", |_: &RunState, a: &A| matches!(a, A::Close(..))),
            make("cut", |_: &RunState, a: &A| matches!(a, A::Fail | A::Cancel | A::TimeOut | A::Interrupt)),
        ]
    });
    let completed = |s: &RunState| s.run.phase() == PhaseName::Completed;
    vec![leads_to(graph, |_| true, completed, &classes)]
}

/// RUN-6, one user: every accepted run completes, if deadlines do not rest.
pub fn every_run_ends(graph: &Graph<Account, Ask>, fairness: Fairness) -> Vec<Verdict> {
    let deadline = |_: &Account, a: &Ask| matches!(a, Ask::Cut { cut: CutBy::Deadline, .. });
    let classes = fairness.classes(|make| [make("deadline", deadline)]);
    let runs = (1..=MESSAGES_MAX).filter(|n| graph.states.iter().any(|s| accepted(&s.log, *n)));
    runs.map(|n| leads_to(graph, |s| accepted(&s.log, n), |s| ended(&s.log, n), &classes)).collect()
}

/// RUN-6 with nodes that crash and appends that fail, again and again.
pub fn every_run_ends_somewhere(graph: &Graph<FenceState, FenceAction>, fairness: Fairness) -> Vec<Verdict> {
    use FenceAction as A;
    fn of(a: &A) -> u8 {
        match a {
            A::Start(n) | A::Know(n) | A::Write(n) | A::Decide(n, _) => *n,
            _ => u8::MAX,
        }
    }
    let classes = fairness.classes(|make| {
        [
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
    let runs = (1..=MESSAGES_MAX).filter(|n| graph.states.iter().any(|s| accepted(&s.log, *n)));
    runs.map(|n| leads_to(graph, |s| accepted(&s.log, n), |s| ended(&s.log, n), &classes)).collect()
}

/// The fairness of a service and of its first client; the others are unconstrained (DEL-4).
fn delivery_classes(fairness: Fairness) -> Vec<Class<DeliveryState, DeliveryAction>> {
    use DeliveryAction as A;
    fn wire(s: &DeliveryState) -> &[Frame] {
        s.links[0].as_ref().map_or(&[], |link| &link.wire)
    }
    fairness.classes(|make| {
        [
            make("restart", |_, a| *a == A::Restart),
            make("deadline", |_, a| *a == A::Deadline),
            make("write", |_, a| *a == A::Write),
            make("drain ends", |_, a| *a == A::DrainEnds),
            make("leave 1", |_, a| *a == A::Leave(0)),
            make("leave 2", |_, a| *a == A::Leave(1)),
            make("connect", |_, a| *a == A::Connect(0)),
            make("ready at the head", |_, a| *a == A::ReadyAtHead(0)),
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
    })
}

/// DEL-3, DEL-4: once the run has ended, the first client has all of the log in the end, for any number of
/// link drops and hub crashes, and any behaviour of other clients.
pub fn cursor_catches_up(graph: &Graph<DeliveryState, DeliveryAction>, fairness: Fairness) -> Vec<Verdict> {
    let over = |s: &DeliveryState| ended(&s.log, 1);
    let has_all = |s: &DeliveryState| s.clients[0].after == s.log.len() as u64;
    vec![leads_to(graph, over, has_all, &delivery_classes(fairness))]
}

/// CONN-6: a drain ends with every connection closed, with and without readers.
pub fn drain_ends(graph: &Graph<DeliveryState, DeliveryAction>, fairness: Fairness) -> Vec<Verdict> {
    use DeliveryAction as A;
    // Fairness of the service alone: no client is constrained.
    let classes = fairness.classes(|make| {
        [
            make("deadline", |_: &DeliveryState, a: &A| *a == A::Deadline),
            make("write", |_, a| *a == A::Write),
            make("drain ends", |_, a| *a == A::DrainEnds),
            make("leave 1", |_, a| *a == A::Leave(0)),
            make("leave 2", |_, a| *a == A::Leave(1)),
        ]
    });
    let closed = |s: &DeliveryState| s.links.iter().all(Option::is_none);
    vec![leads_to(graph, |s| s.drain == Drain::Draining, closed, &classes)]
}

/// ISO-5: when a user's last connection and last run are gone, the machines go.
pub fn machines_go(graph: &Graph<World, WorldAction>, fairness: Fairness) -> Vec<Verdict> {
    let classes = fairness.classes(|make| {
        [
            make("let go of user 1", |_: &World, a: &WorldAction| *a == WorldAction::LetGo(0)),
            make("let go of user 2", |_: &World, a: &WorldAction| *a == WorldAction::LetGo(1)),
        ]
    });
    // A needed service counts as gone: the next connection resumes its runs.
    let unneeded = |w: &World| {
        let first = w.connections.len() / 2;
        w.connections[..first].iter().all(Option::is_none)
            && w.users[0].machines.as_ref().is_some_and(|machines| machines.open_runs().is_empty())
    };
    let settled = |w: &World| {
        let first = w.connections.len() / 2;
        w.users[0].machines.is_none() || w.connections[..first].iter().any(Option::is_some)
    };
    vec![leads_to(graph, unneeded, settled, &classes)]
}

/// More messages than any instance has.
const MESSAGES_MAX: u8 = 4;
