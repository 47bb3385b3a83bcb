//! Servers against fake, hostile and real peers.

mod fake;
mod hostile;
mod http;
mod lifecycle;
mod peers;
mod process;
mod questions;

pub(crate) use fake::DUPLEX_BYTES;
