//! `GET /v1/agents`: lists the agents that a message may name.

use axum::{Json, extract::State, response::IntoResponse};

use super::extract::{Caller, HttpResult};
use crate::{gateway::Gateway, wire::http::AgentsList};

/// Returns 200 with the agents.
///
/// # Errors
/// None. The extractor [`Caller`] refuses a request without a valid token.
pub async fn list(State(gateway): State<Gateway>, _caller: Caller) -> HttpResult {
    Ok(Json(AgentsList { agents: gateway.agents.to_vec() }).into_response())
}
