//! Bytes on the wire and kernel values, each made of the other. Knows the kernel only.
//!
//! - [`entry`], [`shapes`]: an entry as the line that journal and connections share; [`event_id`]: its
//!   place, as an event stream names it
//! - [`client`], `fields`, [`form`]: frames in; [`server`]: frames out, besides entries
//! - [`http`], [`problem`]: bodies of the HTTP routes
//! - [`schema`], [`openapi`], [`asyncapi`]: all of it, machine-readable
//! - [`codes`]: error codes and close codes

pub mod asyncapi;
pub mod client;
pub mod codes;
#[cfg(test)]
mod doc;
pub mod entry;
pub mod event_id;
pub(crate) mod fields;
pub mod form;
pub mod http;
pub mod openapi;
pub mod problem;
#[cfg(test)]
pub(crate) mod sample;
pub mod schema;
pub mod server;
pub mod shapes;
