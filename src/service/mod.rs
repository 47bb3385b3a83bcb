//! A whole service: built from agents, a journal and checked settings, then started or mounted, then drained.
//!
//! ```text
//!   ServiceBuilder ── dev(), production() ──▶ build ──▶ Service ─┬─ start ──▶ Running, on its own listener
//!     Settings ──▶ CheckedSettings ─────────────────────────────────────▶┘└─ mount ─▶ Router, Running
//!
//!   start: journal, agents ─▶ admin listener ─▶ open runs resumed ─▶ public listener
//!   drain: /readyz 503, no new message ─▶ runs at rest, or drain_timeout_ms
//!          ─▶ connections closed (1012), each within its own limits ─▶ journal released
//! ```
//!
//! Guarantees: a [`Service`] exists only for settings that passed the checks of its mode ([`CheckedSettings`]), so what
//! the command line refuses cannot be started by a program either (AUTH-4, AUTH-5). No client is served before
//! all runs left open by an earlier process are resumed (RUN-6). A drain takes bounded time and loses nothing
//! (CONN-6). A service installs nothing in its process: no log, no panic hook, no signal handler, and a metrics
//! recorder only on request.
//!
//! - [`builder`]: the builder; [`access`]: checked settings; [`token_keys`]: the keys of production;
//!   [`agents`]: the agents of a service; [`error`]: why there is none
//! - [`start`]: starts a service; [`running`]: a running one, and its drain

pub mod access;
pub mod agents;
pub mod builder;
pub(crate) mod configured;
pub mod error;
pub mod running;
pub mod start;
pub mod token_keys;

#[cfg(feature = "assistant")]
pub use self::agents::built_in;
pub use self::{
    access::{CheckedSettings, Mode},
    agents::AgentSet,
    builder::ServiceBuilder,
    error::ServiceError,
    running::{Drained, Running},
    start::{Parts, Service},
    token_keys::TokenKeys,
};
