//! The request-response endpoints of the HTTP API.
//!
//! Guarantee: each request gets either its result or a problem with an error code of the protocol. An
//! unauthenticated request has no effect (AUTH-5), and no request reaches another user's log (ISO-1).
//!
//! - [`messages`], [`entries`], [`export`], [`threads`], [`runs`], [`calls`], [`tickets`], [`agents`]: one resource each
//! - [`erasure`]: the erasure of the log, and the answer to every erasure
//! - `pages`: pages of entries, shared by `entries` and `threads`; `folded`: pages of folded runs;
//!   `streamed`: the lists of both, sent piece by piece
//! - [`contract`]: OpenAPI, AsyncAPI and JSON Schema documents
//! - [`login`]: the login of `quintet dev`
//! - [`extract`], [`failure`]: extractors and error responses

pub mod agents;
pub mod calls;
pub mod contract;
pub mod entries;
pub mod erasure;
pub mod export;
pub mod extract;
pub mod failure;
mod folded;
pub mod login;
pub mod messages;
mod pages;
pub mod runs;
mod streamed;
pub mod threads;
pub mod tickets;

use axum::{
    Router,
    routing::{delete, get, patch, post},
};

use super::Gateway;

/// Returns the routes of this folder.
pub fn routes(gateway: &Gateway) -> Router<Gateway> {
    let routes = Router::new()
        .route("/v1/tickets", post(tickets::issue))
        .route("/v1/messages", post(messages::send))
        .route("/v1/entries", get(entries::page))
        .route("/v1/export", get(export::export))
        .route("/v1/threads", get(threads::list))
        .route("/v1/threads/{thread_id}/entries", get(threads::page))
        .route("/v1/threads/{thread_id}/runs", get(threads::runs))
        .route("/v1/threads/{thread_id}", patch(threads::update).delete(threads::erase))
        .route("/v1/log", delete(erasure::of_log))
        .route("/v1/calls", get(calls::list))
        .route("/v1/runs/{run_id}", get(runs::show))
        .route("/v1/runs/{run_id}/cancel", post(runs::cancel))
        .route("/v1/runs/{run_id}/calls/{call_id}", post(runs::complete_call))
        .route("/v1/agents", get(agents::list))
        .route("/openapi.json", get(contract::openapi))
        .route("/asyncapi.json", get(contract::asyncapi))
        .route("/schema/{file}", get(contract::frame));
    match gateway.dev {
        Some(_) => routes.route("/dev/login", post(login::login)),
        None => routes,
    }
}
