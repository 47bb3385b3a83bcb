//! Every model, every property, to the last state: by the explorer of this crate, which keeps states
//! whole, and by stateright's checker, which must count the same.

use quintet_model::claims::INSTANCES;

fn verify(name: &str) {
    INSTANCES.iter().find(|instance| instance.name == name).expect("an instance of the table").verify();
}

macro_rules! explored {
    ($($test:ident $name:literal)+) => {
        $(#[test]
        fn $test() {
            verify($name);
        })+
        const EXPLORED: &[&str] = &[$($name),+];
    };
}

explored! {
    run "run"
    user_messages "user-messages"
    user_calls "user-calls"
    user_crowded "user-crowded"
    user_open_calls "user-open-calls"
    user_run_calls "user-run-calls"
    user_no_line "user-no-line"
    user_forgetful "user-forgetful"
    erasure "erasure"
    fence "fence"
    fence_messages "fence-messages"
    delivery "delivery"
    isolation "isolation"
    isolation_questions "isolation-questions"
    isolation_failures "isolation-failures"
    connection "connection"
    connection_known "connection-known"
    ticket "ticket"
}

#[test]
#[ignore = "minutes: part of the long campaign"]
fn at_large() {
    INSTANCES.iter().filter(|instance| instance.is_large).for_each(|instance| instance.verify());
}

#[test]
fn no_instance_is_left_out() {
    let small = INSTANCES.iter().filter(|instance| !instance.is_large).map(|instance| instance.name);
    assert_eq!(small.collect::<Vec<_>>(), EXPLORED);
}
