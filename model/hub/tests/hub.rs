//! A user's machines as they ship, under random schedules.

#![cfg(quintet_shuttle)]

mod scenario;

#[test]
fn users_come_and_go() {
    scenario::explore(scenario::CROWD);
}

#[test]
fn run_11_a_question_is_answered_under_every_schedule() {
    scenario::explore(scenario::QUESTION);
}

#[test]
fn del_6_two_clients_that_send_the_same_message_get_one_run() {
    scenario::explore(scenario::PAIR);
}

#[test]
fn conn_6_drain_quiesces_every_run_and_none_advances_afterwards() {
    scenario::explore(scenario::DRAIN);
}
