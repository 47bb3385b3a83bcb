//! The service's face: who may come in, and what can be asked over HTTP, WebSocket and event streams.
//!
//! - [`state`]: what every handler shares; [`limits`]: every bound that is kept here
//! - [`auth`]: a credential in, an identity out; [`token`], [`tickets`]: the two kinds; [`key`], [`jwks`]: the
//!   keys that verify tokens; [`checks`]: signatures, verified in bounded numbers
//! - [`origins`], [`admit`]: who is refused before anything else happens
//! - [`peers`], [`hosts`]: where a request comes from, and what it calls the service
//! - [`page`]: the chat page of `quintet dev`
//! - [`router`]: the public listener's routes; [`http`]: those that answer once; [`refusal`]: why not
//! - [`ws`], [`sse`]: those that go on
//! - [`listen`]: sockets; [`operations`]: the routes of the admin listener
//! - [`drain`]: the latch that ends it all in order

pub mod admit;
pub mod auth;
pub mod checks;
pub mod dev;
pub mod drain;
pub mod hosts;
pub mod http;
pub mod jwks;
pub mod key;
pub mod limits;
pub mod listen;
pub mod operations;
pub mod origins;
pub mod page;
pub mod peers;
pub mod refusal;
pub mod refusal_log;
pub mod router;
pub mod sse;
pub mod state;
mod sync;
pub mod tickets;
pub mod token;
pub mod ws;

pub use self::{router::router, state::Gateway};
