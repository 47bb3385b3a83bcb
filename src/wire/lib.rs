//! The wire format: conversions between kernel values and the JSON that clients and the journal see.
//! Depends on the kernel only.
//!
//! - [`entry`], [`shapes`]: an entry as one line of JSON, the encoding that journal and connections share;
//!   [`event_id`]: the `id` of a server-sent event
//! - [`client`]: frames from clients; [`server`]: frames to clients, besides entries
//! - [`http`], [`problem`]: bodies and queries of the HTTP routes
//! - [`schema`], [`openapi`], [`asyncapi`]: the machine-readable contract
//! - [`codes`]: error codes and close codes

pub mod asyncapi;
pub mod client;
pub mod codes;
#[cfg(test)]
mod doc;
pub mod entry;
pub mod event_id;
pub mod http;
pub mod openapi;
pub mod problem;
#[cfg(test)]
pub(crate) mod sample;
pub mod schema;
pub mod server;
pub mod shapes;
