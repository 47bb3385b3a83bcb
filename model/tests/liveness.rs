//! The liveness properties hold under their claimed fairness, and fail with less.

use quintet_model::claims::ENDINGS;

fn verify(name: &str) {
    ENDINGS.iter().find(|ending| ending.name == name).expect("an ending of the table").verify();
}

#[test]
fn run_6_a_run_ends_if_its_guardians_do_not_rest() {
    verify("run-ends");
}

#[test]
fn run_6_every_accepted_run_ends_if_deadlines_do_not_rest() {
    verify("every-run-ends");
}

#[test]
fn run_6_every_run_ends_however_often_nodes_crash() {
    verify("every-run-ends-somewhere");
}

#[test]
fn del_3_an_open_cursor_catches_up_however_often_links_drop() {
    verify("cursor-catches-up");
}

#[test]
#[ignore = "a large model: part of the long campaign"]
fn del_4_a_stalled_reader_holds_nobody_up() {
    verify("stalled-reader-holds-nobody-up");
}

#[test]
fn conn_6_a_drain_ends_whoever_reads() {
    verify("drain-ends");
}

#[test]
fn iso_5_machines_go_when_nobody_needs_them() {
    verify("machines-go");
}

#[test]
fn no_ending_is_left_out() {
    let tested = include_str!("liveness.rs").matches("    verify(\"").count();
    assert_eq!(ENDINGS.len(), tested, "every ending has its test");
}
