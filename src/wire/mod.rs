//! Bytes on the wire and kernel values, each made of the other. Knows the kernel only.
//!
//! - [`entry`], [`shapes`]: an entry as the line that journal and connections share
//! - [`client`]: frames in; [`server`]: frames out, besides entries
//! - [`codes`]: error codes and close codes

pub mod client;
pub mod codes;
pub mod entry;
#[cfg(test)]
pub(crate) mod sample;
pub mod server;
pub mod shapes;
