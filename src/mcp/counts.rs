//! Metrics of the servers.

use ::metrics::{counter, gauge};

use crate::state::ServerState;

/// Sets the state of a server: 1 for the one that it is in, 0 for the others.
pub(crate) fn state(server: &str, current: ServerState) {
    for state in ServerState::ALL {
        let is_current = f64::from(u8::from(state == current));
        gauge!("quintet_mcp_server_state", "server" => server.to_owned(), "state" => state.name())
            .set(is_current);
    }
}

/// Counts the end of a call.
pub(crate) fn call(server: &str, outcome: &'static str) {
    counter!("quintet_mcp_calls_total", "server" => server.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a connection that ended, or a start that failed.
pub(crate) fn failure(server: &str) {
    counter!("quintet_mcp_failures_total", "server" => server.to_owned()).increment(1);
}

/// Counts a question that a server asked.
pub(crate) fn question(server: &str, outcome: &'static str) {
    counter!("quintet_mcp_questions_total", "server" => server.to_owned(), "outcome" => outcome).increment(1);
}
