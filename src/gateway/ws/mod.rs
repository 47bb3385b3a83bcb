//! `GET /v1/ws`: the I/O shell around the state machine [`crate::kernel::connection`].
//!
//! ```text
//!   upgrade ──▶ Link<Greeting> ── greet ──▶ Link<Authenticated> ── stream ──▶ farewell
//!                  hello, credential            entries, commands, drain
//! ```
//!
//! Guarantees: only a [`link::Link`] of an authenticated user has a cursor to stream from (CONN-1). Entries
//! are not queued per connection: the next chunk is read once the socket has accepted the previous one
//! (DEL-4).
//!
//! - [`upgrade`]: validates the HTTP request and upgrades it
//! - [`link`]: one connection from `hello` to close; [`core`]: the parts shared by both of its phases
//! - [`socket`]: WebSocket messages and the closing handshake; [`frames`]: frame headers; [`timers`]: hello,
//!   set-up, ping, stall, drain and expiry timeouts
//! - [`reader`]: reads the next entries, for event streams too; [`commands`]: executes client commands

mod commands;
mod core;
mod frames;
mod link;
pub(super) mod reader;
pub mod socket;
mod timers;
pub mod upgrade;

pub use upgrade::upgrade;
