//! What has to happen in the end does, under the fairness that it is claimed for, and not with less.

use quintet_model::{fair::Verdict, graph::explore, instances, liveness, models::delivery::DeliveryModel};

fn hold(verdicts: &[Verdict]) -> bool {
    // A claim about nothing would hold too.
    assert!(verdicts.iter().all(|verdict| !matches!(verdict, Verdict::Holds { owed: 0 })), "{verdicts:?}");
    verdicts.iter().all(Verdict::holds)
}

#[test]
fn run_6_a_run_ends_if_its_guardians_do_not_rest() {
    let graph = explore(&instances::run(2, 6));
    assert!(hold(&[liveness::run_ends(&graph, true)]));
    assert!(!hold(&[liveness::run_ends(&graph, false)]));
}

#[test]
fn run_6_every_accepted_run_ends_if_deadlines_do_not_rest() {
    let graph = explore(&instances::user(2, 1, 1, 3));
    assert!(hold(&liveness::every_run_ends(&graph, 2, true)));
    assert!(!hold(&liveness::every_run_ends(&graph, 2, false)));
}

#[test]
fn run_6_every_run_ends_however_often_nodes_crash() {
    let graph = explore(&instances::fence(2, 1, 3));
    let verdicts: Vec<(&str, bool)> = liveness::named()
        .map(|(name, fairness)| (name, hold(&liveness::every_run_ends_somewhere(&graph, 1, fairness))))
        .into();
    assert_eq!(verdicts, [("none", false), ("weak", false), ("strong", true)]);
}

#[test]
fn del_3_an_open_cursor_catches_up_however_often_links_drop() {
    let graph = explore(&DeliveryModel { trims: true, ..instances::delivery(1) });
    let verdicts: Vec<(&str, bool)> = liveness::named()
        .map(|(name, fairness)| (name, hold(&[liveness::cursor_catches_up(&graph, fairness)])))
        .into();
    assert_eq!(verdicts, [("none", false), ("weak", false), ("strong", true)]);
}

#[test]
fn del_4_a_stalled_reader_holds_nobody_up() {
    let graph = explore(&instances::delivery(2));
    let [_, _, (_, strong)] = liveness::named();
    assert!(hold(&[liveness::cursor_catches_up(&graph, strong)]));
}

#[test]
fn conn_6_a_drain_ends_whoever_reads() {
    let graph = explore(&DeliveryModel { drains: true, ..instances::delivery(1) });
    let verdicts: Vec<(&str, bool)> = liveness::named()
        .map(|(name, fairness)| (name, hold(&[liveness::drain_ends(&graph, fairness)])))
        .into();
    assert_eq!(verdicts, [("none", false), ("weak", false), ("strong", true)]);
}

#[test]
fn iso_5_machines_go_when_nobody_needs_them() {
    let graph = explore(&instances::isolation(1, 3));
    assert!(hold(&[liveness::machines_go(&graph, true)]));
    assert!(!hold(&[liveness::machines_go(&graph, false)]));
}
