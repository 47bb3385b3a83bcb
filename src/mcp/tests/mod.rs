//! Servers against fake, hostile and real peers.

mod cuts;
mod fake;
mod hostile;
mod http;
mod lifecycle;
mod lines;
mod peers;
mod process;
mod questions;

pub(crate) use fake::DUPLEX_BYTES;
