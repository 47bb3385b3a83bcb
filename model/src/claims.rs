//! Every claim with its asserted numbers: the explored models, the specification with the graph of each
//! model, the liveness properties. The tests run these tables, and the documents are generated from them, so
//! that the two agree. The specifications' own claims are in [`crate::specified`].

use std::{fmt::Debug, hash::Hash};

use stateright::{Checker, Expectation, Model};
use tla_checker::ast::Value;

use crate::{
    checks::Checked,
    fair::Verdict,
    graph::{examine, explore},
    instances,
    liveness::{self, Fairness},
    models::{delivery::DeliveryModel, isolation::IsolationModel},
    spec::{Comparison, Refines, Spec, compare},
};

/// An instance of a model, explored to its last state.
pub struct Instance {
    pub name: &'static str,
    pub model: &'static str,
    pub says: &'static str,
    pub states: usize,
    pub edges: usize,
    /// Cases that cannot arise in an instance as small as this one; another one has them.
    pub unwitnessed: &'static [&'static str],
    /// Minutes: explored in the long campaign only.
    pub is_large: bool,
    explore: fn(&Instance),
    serve: fn(&str),
}

fn holds<M>(model: M, instance: &Instance)
where
    M: Checked + Send + Sync + 'static,
    M::State: Clone + Debug + Eq + Hash + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    assert_eq!(M::NAME, instance.model);
    examine(&model).assert_all(instance.states, instance.edges, instance.unwitnessed);
    let checker = model.checker().threads(2).spawn_bfs().join();
    assert_eq!(checker.unique_state_count(), instance.states, "stateright counts the same states");
    for name in checker.discoveries().keys() {
        let witness = checker.model().property(name).expectation == Expectation::Sometimes;
        assert!(witness, "stateright finds that {name} fails");
    }
}

impl Instance {
    /// # Panics
    /// If a property fails, a witness is missing, or the numbers are others.
    pub fn verify(&self) {
        (self.explore)(self);
    }

    /// Serves stateright's explorer of it on this address, until the process is stopped.
    pub fn serve(&self, address: &str) {
        (self.serve)(address);
    }
}

macro_rules! instances {
    ($($name:literal $model:literal $says:literal $states:literal $edges:literal
        [$($unwitnessed:literal),*] $is_large:literal $make:expr;)+) => {
        &[$(Instance {
            name: $name, model: $model, says: $says, states: $states, edges: $edges,
            unwitnessed: &[$($unwitnessed),*], is_large: $is_large,
            explore: |instance| holds($make, instance),
            serve: |address| {
                $make.checker().serve(address);
            },
        }),+]
    };
}

#[rustfmt::skip]
pub const INSTANCES: &[Instance] = instances![
    "run" "run" "2 calls, 6 events" 2004 2419 [] false instances::run(2, 6);
    "user-messages" "user" "2 messages on 1 thread, 1 call, 2 events a run" 3943 5798
        ["RUN-7 a call closes as cancelled", "RUN-4 RUN-11 a client answers",
            "RUN-9 a call closes as unknown", "LIMIT open_calls_max decides", "LIMIT run_calls_max decides",
            "LIMIT RUN-8 queued_messages_max decides", "LIMIT RUN-8 open_runs_max decides"] false
        instances::user(2, 1, 1, 2);
    "user-calls" "user" "1 message, 2 calls, 4 events" 1557 2889
        ["TREE a branch", "RUN-8 a message waits", "RUN-6 RUN-8 one that waited runs",
            "RUN-12 a message is taken", "RUN-12 a message that steers runs in its turn",
            "LIMIT open_calls_max decides", "LIMIT run_calls_max decides",
            "LIMIT RUN-8 queued_messages_max decides", "LIMIT RUN-8 open_runs_max decides",
            "DEL-5 DEL-6 RECOVERY a message is remembered by the journal alone",
            "FOLD UNCHANGED ISO-3 one run is open while another is over"] false instances::user(1, 1, 2, 4);
    "user-crowded" "user" "2 messages on 2 threads, room for 1 run" 2753 4428
        ["RUN-7 a call closes as cancelled", "RUN-8 a message waits", "RUN-6 RUN-8 one that waited runs",
            "RUN-12 a message is taken", "RUN-12 a message that steers runs in its turn",
            "RUN-4 RUN-11 a client answers", "RUN-9 a call closes as unknown", "LIMIT open_calls_max decides",
            "LIMIT run_calls_max decides", "LIMIT RUN-8 queued_messages_max decides"] false instances::crowded();
    "user-open-calls" "user" "2 calls, of which 1 may be open" 375 679
        ["TREE a branch", "RUN-8 a message waits", "RUN-6 RUN-8 one that waited runs",
            "RUN-12 a message is taken", "RUN-12 a message that steers runs in its turn",
            "LIMIT run_calls_max decides", "LIMIT RUN-8 queued_messages_max decides",
            "LIMIT RUN-8 open_runs_max decides",
            "DEL-5 DEL-6 RECOVERY a message is remembered by the journal alone",
            "FOLD UNCHANGED ISO-3 one run is open while another is over"] false
        instances::two_calls(1, 2);
    "user-run-calls" "user" "2 calls, of which 1 may be opened" 375 679
        ["TREE a branch", "RUN-8 a message waits", "RUN-6 RUN-8 one that waited runs",
            "RUN-12 a message is taken", "RUN-12 a message that steers runs in its turn",
            "LIMIT open_calls_max decides", "LIMIT RUN-8 queued_messages_max decides",
            "LIMIT RUN-8 open_runs_max decides",
            "DEL-5 DEL-6 RECOVERY a message is remembered by the journal alone",
            "FOLD UNCHANGED ISO-3 one run is open while another is over"] false
        instances::two_calls(2, 1);
    "user-no-line" "user" "2 messages on 1 thread, none may wait, room for 2 runs" 929 1458
        ["RUN-7 a call closes as cancelled", "RUN-8 a message waits", "RUN-6 RUN-8 one that waited runs",
            "RUN-12 a message is taken", "RUN-12 a message that steers runs in its turn",
            "RUN-4 RUN-11 a client answers", "RUN-9 a call closes as unknown", "LIMIT open_calls_max decides",
            "LIMIT run_calls_max decides", "LIMIT RUN-8 open_runs_max decides"] false
        instances::no_line();
    "user-forgetful" "user" "2 messages on 2 threads, memory keeps none" 2257 2820
        ["RUN-1 RUN-2 RUN-3 RUN-5 DEL-2 a run succeeds", "RUN-7 a call closes as cancelled",
            "RUN-6 RUN-8 one that waited runs", "RUN-12 a message that steers runs in its turn",
            "RUN-4 RUN-11 a client answers", "RUN-9 a call closes as unknown", "LIMIT open_calls_max decides",
            "LIMIT run_calls_max decides", "LIMIT RUN-8 queued_messages_max decides",
            "LIMIT RUN-8 open_runs_max decides"] false instances::forgetful();
    "erasure" "erasure" "2 messages on 2 threads, 1 erasure, crashes" 5098 8128 [] false instances::erasure(2, 2, 1);
    "fence" "fence" "2 nodes, 1 message, 3 events" 19940 120826 ["RUN-8 one that waited runs"] false
        instances::fence(2, 1, 3);
    "fence-messages" "fence" "1 node, 2 messages, 1 event" 1533 3932
        ["RUN-9 RUN-4 a call closes as unknown", "RUN-9 a tool acts for a node that has lost the log",
            "RUN-1 RUN-2 RUN-3 RUN-5 a run succeeds"] false instances::fence(1, 2, 1);
    "delivery" "delivery" "1 client, with a drain and with retention" 22474 121155 [] false
        DeliveryModel { drains: true, trims: true, head_starts: true, ..instances::delivery(1) };
    "isolation" "isolation" "2 users with 2 connections each, runs of 1 event" 9801 76032
        ["ISO-5 the service is down while both users have a run",
            "ISO-1 ISO-5 one user's append fails while another reads",
            "ISO-3 a client has answered its own question"] false instances::isolation(2, 1);
    "isolation-questions" "isolation" "2 users with 1 connection each, with questions" 20736 103968
        ["ISO-5 the service is down while both users have a run",
            "ISO-1 ISO-5 one user's append fails while another reads"] false instances::isolation(1, 3);
    "isolation-failures" "isolation" "2 users with 1 connection each, crashes, appends that fail" 7120 47608
        ["ISO-3 a client has answered its own question"] false
        IsolationModel { fails: true, ..instances::isolation(1, 2) };
    "connection" "connection" "a stranger, a log of up to 1 entry" 109044 837124 [] false
        instances::connection(false, 1);
    "connection-known" "connection" "authenticated by its request, a log of up to 1 entry" 108584 837124 [] false
        instances::connection(true, 1);
    "ticket" "ticket" "2 tickets, 2 seats, 4 moments" 3129 7634 [] false instances::ticket(2, 4);

    "run-large" "run" "3 calls, 8 events" 174450 221831 [] true instances::run(3, 8);
    "user-large" "user" "2 messages on 1 thread, 1 call, 3 events a run" 152865 217854
        ["LIMIT open_calls_max decides", "LIMIT run_calls_max decides",
            "LIMIT RUN-8 queued_messages_max decides", "LIMIT RUN-8 open_runs_max decides"] true
        instances::user(2, 1, 1, 3);
    "user-threads-large" "user" "2 messages, 2 threads, 2 events a run" 13489 19836
        ["RUN-7 a call closes as cancelled", "RUN-4 RUN-11 a client answers",
            "RUN-9 a call closes as unknown", "LIMIT open_calls_max decides", "LIMIT run_calls_max decides",
            "LIMIT RUN-8 queued_messages_max decides", "LIMIT RUN-8 open_runs_max decides"] true
        instances::user(2, 2, 1, 2);
    "fence-large" "fence" "1 node, 2 messages, 3 events" 404269 1245536 [] true instances::fence(1, 2, 3);
    "fence-nodes-large" "fence" "2 nodes, 2 messages, 2 events" 409141 2494796
        ["RUN-9 RUN-4 a call closes as unknown", "RUN-9 a tool acts for a node that has lost the log"] true
        instances::fence(2, 2, 2);
    "delivery-large" "delivery" "1 client, drain, retention, entries one at a time" 40039 225375
        ["DEL-3 a client starts at a head that has moved on"] true
        DeliveryModel { drains: true, trims: true, reads_singly: true, ..instances::delivery(1) };
    "delivery-two-large" "delivery" "2 clients, 1 of them sends" 217347 1507857
        ["DEL-3 a client starts at a head that has moved on", "DEL-3 a client is told of a gap",
            "CONN-6 a drained service still serves a reader"] true instances::delivery(2);
    "delivery-two-drain-large" "delivery" "2 clients, 1 of them sends, with a drain" 245177 1806552
        ["DEL-2 FIT a client has everything", "DEL-4 a reader is behind while the log grows",
            "DEL-3 a client starts at a head that has moved on", "DEL-3 a client is told of a gap"] true
        instances::drained_pair();
    "isolation-large" "isolation" "2 users with 2 connections each, crashes, appends that fail" 169808 1693384
        ["ISO-3 a client has answered its own question"] true
        IsolationModel { fails: true, ..instances::isolation(2, 2) };
    "connection-large" "connection" "a stranger, a log of up to 2 entries" 308446 2976266 [] true
        instances::connection(false, 2);
    "connection-known-large" "connection" "authenticated by its request, a log of up to 2 entries" 307894 2976266 []
        true instances::connection(true, 2);
    "ticket-large" "ticket" "3 tickets, 2 seats, 6 moments" 113177 357212 [] true instances::ticket(3, 6);
];

/// A specification that has the graph of the code: every state, and every edge with its action.
pub struct Equality {
    pub name: &'static str,
    pub spec: &'static str,
    pub says: &'static str,
    pub states: usize,
    pub edges: usize,
    pub is_large: bool,
    compare: fn() -> Result<Comparison, String>,
}

/// Explores a model and its specification, and compares the two.
pub fn compared<M>(name: &str, constants: &[(&str, Value)], model: &M) -> Result<Comparison, String>
where
    M: Model + Refines<M::State, M::Action>,
    M::State: Clone + Eq + Hash,
    M::Action: Clone,
{
    let spec = Spec::load(name, name, constants)?;
    Ok(compare(&explore(model), &spec.explore()?, model))
}

impl Equality {
    /// # Panics
    /// If the two graphs differ, or are not of the size that is claimed.
    pub fn verify(&self) {
        let found = (self.compare)().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(found, Comparison::Equal { states: self.states, edges: self.edges }, "{found}");
    }
}

macro_rules! equalities {
    ($($name:literal $spec:literal $says:literal $states:literal $edges:literal $is_large:literal $make:expr;)+) => {
        &[$(Equality {
            name: $name, spec: $spec, says: $says, states: $states, edges: $edges, is_large: $is_large,
            compare: || {
                let model = $make;
                compared($spec, &model.constants(), &model)
            },
        }),+]
    };
}

#[rustfmt::skip]
pub const EQUALITIES: &[Equality] = equalities![
    "run" "Run" "2 calls, 6 events" 2004 2419 false instances::run(2, 6);
    "user-messages" "User" "2 messages, 2 events a run" 3943 5296 false instances::user(2, 1, 1, 2);
    "user-threads" "User" "1 message, 2 threads, 4 events" 403 538 false instances::user(1, 2, 1, 4);
    "user-calls" "User" "1 message, 2 calls, 4 events" 1557 2167 false instances::user(1, 1, 2, 4);
    "user-crowded" "User" "2 messages on 2 threads, room for 1 run" 2753 4084 false instances::crowded();
    "user-open-calls" "User" "2 calls, of which 1 may be open" 375 543 false instances::two_calls(1, 2);
    "user-run-calls" "User" "2 calls, of which 1 may be opened" 375 543 false instances::two_calls(2, 1);
    "user-no-line" "User" "2 messages on 1 thread, none may wait, room for 2 runs" 929 1342 false instances::no_line();
    "user-forgetful" "User" "2 messages on 2 threads, memory keeps none" 2257 2820 false instances::forgetful();
    "erasure" "Erasure" "2 messages on 1 thread, 1 erasure, crashes" 858 1396 false instances::erasure(2, 1, 1);
    "fence-messages" "Fence" "1 node, 2 messages, 1 event" 1533 3932 false instances::fence(1, 2, 1);
    "fence-node" "Fence" "1 node, 1 message, 3 events" 480 1262 false instances::fence(1, 1, 3);
    "fence-nodes" "Fence" "2 nodes, 1 message, 2 events" 1698 8358 false instances::fence(2, 1, 2);
    "delivery-drain" "Delivery" "1 client, with a drain" 13666 71238 false
        DeliveryModel { drains: true, head_starts: true, ..instances::delivery(1) };
    "delivery-retention" "Delivery" "1 client, with retention" 5875 27694 false
        DeliveryModel { trims: true, head_starts: true, ..instances::delivery(1) };
    "ticket" "Ticket" "2 tickets, 4 moments" 3129 7155 false instances::ticket(2, 4);

    "user-two-threads-large" "User" "2 messages, 2 threads, 2 events" 13489 18112 true
        instances::user(2, 2, 1, 2);
    "user-calls-large" "User" "1 message, 2 calls, 5 events" 6099 8410 true instances::user(1, 1, 2, 5);
    "user-messages-large" "User" "2 messages, 3 events a run" 152865 200670 true instances::user(2, 1, 1, 3);
    "fence-large" "Fence" "2 nodes, 1 message, 3 events" 19940 106351 true instances::fence(2, 1, 3);
    "delivery-singly-large" "Delivery" "1 client, entries one at a time" 6281 30659 true
        DeliveryModel { reads_singly: true, ..instances::delivery(1) };
    "delivery-large" "Delivery" "1 client, with a drain and with retention" 20574 110953 true
        DeliveryModel { drains: true, trims: true, ..instances::delivery(1) };
    "ticket-large" "Ticket" "3 tickets, 4 moments" 56601 163355 true instances::ticket(3, 4);
];

/// A liveness property of the code itself, checked by [`crate::fair`].
pub struct Ending {
    pub name: &'static str,
    pub rules: &'static [&'static str],
    pub model: &'static str,
    pub says: &'static str,
    /// The required fairness; with the next weaker one it fails.
    pub needs: Fairness,
    pub states: usize,
    judge: fn() -> (usize, [Vec<Verdict>; 3]),
}

impl Ending {
    /// The name of the property in tables.
    pub fn property(&self) -> String {
        format!("{} {}", self.rules.join(" "), self.says)
    }

    /// # Panics
    /// If it fails under the fairness that it needs, is owed nowhere, or holds with less.
    pub fn verify(&self) {
        let (states, verdicts) = (self.judge)();
        assert_eq!(states, self.states, "{}", self.name);
        for (fairness, verdicts) in Fairness::ALL.into_iter().zip(verdicts) {
            // A claim about nothing would hold too.
            let vacuous = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Holds { owed: 0 }));
            assert!(!vacuous && !verdicts.is_empty(), "{}: {verdicts:?}", self.name);
            let holds = verdicts.iter().all(Verdict::holds);
            assert_eq!(holds, fairness >= self.needs, "{} under {fairness:?}: {verdicts:?}", self.name);
        }
    }
}

macro_rules! endings {
    ($($name:literal [$($rule:literal),+] $model:literal $says:literal $needs:ident $states:literal $make:expr, $judge:expr;)+) => {
        &[$(Ending {
            name: $name, rules: &[$($rule),+], model: $model, says: $says, needs: Fairness::$needs,
            states: $states,
            judge: || {
                let graph = explore(&$make);
                (graph.states.len(), Fairness::ALL.map(|fairness| $judge(&graph, fairness)))
            },
        }),+]
    };
}

#[rustfmt::skip]
pub const ENDINGS: &[Ending] = endings![
    "run-ends" ["RUN-6"] "run" "a run ends, if those who close calls and cut runs do not rest" Weak 2004
        instances::run(2, 6), liveness::run_ends;
    "every-run-ends" ["RUN-6"] "user" "every accepted run ends, if deadlines do not rest" Weak 3943
        instances::user(2, 1, 1, 2), liveness::every_run_ends;
    "every-run-ends-somewhere" ["RUN-6"] "fence" "every accepted run ends, however often nodes crash" Strong 19940
        instances::fence(2, 1, 3), liveness::every_run_ends_somewhere;
    "cursor-catches-up" ["DEL-3"] "delivery" "an open cursor catches up, however often links drop" Strong 5875
        DeliveryModel { trims: true, head_starts: true, ..instances::delivery(1) }, liveness::cursor_catches_up;
    "stalled-reader-holds-nobody-up" ["DEL-4"] "delivery" "an open cursor catches up, whatever another reader does" Strong 217347
        instances::delivery(2), liveness::cursor_catches_up;
    "drain-ends" ["CONN-6"] "delivery" "a drain ends with every connection closed, whoever reads" Strong 12494
        DeliveryModel { drains: true, ..instances::delivery(1) }, liveness::drain_ends;
    "machines-go" ["ISO-5"] "isolation" "machines go when nobody needs them" Weak 20736
        instances::isolation(1, 3), liveness::machines_go;
];
