//! `GET /v1/ws`, and `GET /ws` of the predecessor: the I/O shell around the state machine [`crate::kernel::connection`].
//!
//! - [`mod@upgrade`]: validates the HTTP request and upgrades it; `legacy_offer`: the predecessor's subprotocols
//! - `session`: the driver of one connection: reads a frame, gives its input to the machine, performs the
//!   effects
//! - [`socket`]: WebSocket messages and the closing handshake; `frames`: frame headers
//! - `codec`: today's protocol or the predecessor's
//! - `frame_reader`: decodes and counts incoming messages; `payload`: the content of inputs and effects
//! - `timers`: hello, set-up, ping, stall, drain and expiry timeouts
//! - `access`: attaches to the user; `commands`: verifies credentials, executes commands
//! - `reader`: reads the next entries, for event streams too

mod access;
mod codec;
mod commands;
mod frame_reader;
mod frames;
mod legacy_offer;
mod payload;
pub(super) mod reader;
mod session;
pub mod socket;
mod timers;
pub mod upgrade;

pub use upgrade::{upgrade, upgrade_legacy};
