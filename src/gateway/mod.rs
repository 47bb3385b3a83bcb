//! The public and admin listeners: authentication, admission, and the HTTP, WebSocket and event-stream
//! endpoints.
//!
//! - [`state`]: state shared by all handlers; [`limits`]: the settings that bound the gateway
//! - [`auth`]: verifies a credential and returns an identity; [`token`], [`crate::tickets`]: the two kinds of
//!   credential; [`key`], `jwks`: the keys that verify tokens; [`checks`]: bounded signature verification
//! - [`origins`], [`admit`]: the origin allow-list; limits on connections, pages, requests and frames
//! - [`peers`], [`hosts`]: peer addresses with their limits; the allow-list of `Host` headers
//! - `page`: the chat page of `quintet dev`
//! - [`mod@router`]: the routes of the public listener; [`http`]: request-response endpoints; [`refusal`]: error
//!   codes; [`refusal_log`]: rate-limited log lines for refused requests
//! - [`ws`], [`sse`]: the streaming endpoints; `agui`: streams for front ends that speak AG-UI
//! - [`listen`]: accepts sockets; [`operations`]: the routes of the admin listener
//! - [`dev`]: the signing key of `quintet dev`

pub mod admit;
#[cfg(feature = "agui-server")]
pub mod agui;
pub mod auth;
pub mod checks;
pub mod dev;
pub mod hosts;
pub mod http;
#[cfg(feature = "jwks")]
pub mod jwks;
pub mod key;
pub mod limits;
pub mod listen;
pub mod operations;
pub mod origins;
#[cfg(feature = "page")]
pub mod page;
pub mod peers;
pub mod refusal;
pub mod refusal_log;
pub mod router;
pub mod sse;
pub mod state;
pub mod token;
pub mod ws;

pub use self::{router::router, state::Gateway};
