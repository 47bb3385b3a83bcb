//! The protocol of the predecessor's clients, translated to and from `quintet.v1`. Deprecated; see `docs/legacy.md`.
//!
//! Guarantees:
//!
//! - A decoded frame is a frame of today's protocol with the same rules, or has no effect at all. A type without an entry
//!   in [`ALIASES`] is an error, never an acknowledgement (CONN-4).
//! - A frame that names another user than that of its connection is refused, of any type (ISO-1, ISO-3).
//! - Each entry of a run is one frame, in the order of the log ([`entry`]). A frame has a field `offset` exactly if it is
//!   an entry of a run. An erasure is reported, since what it erased is not sent.
//!
//! - `aliases`: the types of its client frames; `frame`: their decoder
//! - `event`: entries; `reply`: all other frames to the client, and close codes; `envelope`: the form of both

mod aliases;
mod envelope;
mod event;
mod frame;
mod reply;
#[cfg(test)]
mod tests;

pub use self::{
    aliases::{ALIASES, Alias},
    event::entry,
    frame::{Ack, LegacyFrame, Sender, decode},
    reply::{GOLDEN_PATH_EVENTS, View, ack, close_number, frame},
};
