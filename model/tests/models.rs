//! Every model, every property, to the last state: by the explorer of this crate, which keeps states
//! whole, and by stateright's checker, which must count the same.

use std::{fmt::Debug, hash::Hash};

use quintet::kernel::limits::Limits;
use quintet_model::{
    graph::{Until, examine},
    machine::Shipped,
    models::{run::RunModel, user::UserModel},
};
use stateright::{Checker, Model};

fn holds<M>(model: M, states: usize, edges: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Eq + Hash + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    examine(&model, Until::Exhausted).assert_all(states, edges);
    let checker = model.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert_eq!(checker.unique_state_count(), states, "stateright counts the same states");
}

fn user(messages: u8, threads: u8, calls: u8, run_events_max: u64) -> UserModel {
    let limits = Limits { run_events_max, ..UserModel::small_limits() };
    UserModel { machine: &Shipped, messages, threads, calls, limits }
}

#[test]
fn run() {
    holds(RunModel { machine: &Shipped, calls: 2, events_max: 6 }, 2003, 2418);
}

#[test]
fn user_with_two_messages() {
    holds(user(2, 1, 1, 3), 42985, 63034);
}
