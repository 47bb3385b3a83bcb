//! `GET /v1/ws`: the shell around [`crate::kernel::connection`], which decides everything but the bytes.
//!
//! ```text
//!   upgrade ──▶ Link<Greeting> ── greet ──▶ Link<Authenticated> ── stream ──▶ farewell
//!                  hello, credential            entries, commands, drain
//! ```
//!
//! Guarantees: only a [`link::Link`] of an authenticated user has a cursor to stream from (CONN-1); no
//! event waits anywhere but in the log: one chunk is on its way to a socket, and the next is read when
//! the socket has taken it (DEL-4).
//!
//! - [`upgrade`]: the HTTP request, refused before anything else happens or made a socket
//! - [`link`]: one connection from `hello` to its close; [`core`]: what both of its phases share
//! - [`socket`]: WebSocket messages in and out, and the good-bye; [`frames`]: their frames; [`timers`]: what may run out
//! - [`reader`]: the next entries, also those of event streams; [`commands`]: what a client asks for

mod commands;
mod core;
mod frames;
mod link;
pub(super) mod reader;
pub mod socket;
mod timers;
pub mod upgrade;

pub use upgrade::upgrade;
