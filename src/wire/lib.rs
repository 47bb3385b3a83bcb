//! The wire protocol `quintet.v1`: conversions between kernel values and the JSON that clients and the journal see.
//! Depends on [`quintet_kernel`] only, and performs no I/O.
//!
//! # Guarantees
//!
//! - A decoded [`ClientFrame`](client::ClientFrame) satisfies every rule of the contract that does not depend on its
//!   sender. All other input is a [`FrameError`](client::FrameError), which repeats no text of the client (CONN-4).
//! - [`entry::decode`] is the inverse of [`entry::encode`]. The journal stores the bytes that connections send.
//! - Each close code determines whether and how a client reconnects (CONN-3).
//! - The machine-readable contract is derived from the types that encode and decode.
//!
//! # What it contains
//!
//! | | |
//! |---|---|
//! | entries | [`entry`]: one entry as one line of JSON; [`event_id`]: the `id` of a server-sent event |
//! | frames from clients | [`client`]: the frames, and their decoder |
//! | frames to clients | [`server`]: all frames besides entries |
//! | HTTP | [`http`], [`threads`]: bodies and queries; [`problem`]: error responses ([RFC 9457]) |
//! | older clients | [`legacy`]: the protocol of the predecessor |
//! | codes | [`codes`]: error codes, and the close codes of WebSockets ([RFC 6455]) |
//! | contract | [`schema`]: [JSON Schema]; [`openapi`]: [OpenAPI]; [`asyncapi`]: [AsyncAPI] |
//!
//! JSON is that of [RFC 8259]. The private modules: `shapes` has the fields of an entry, `fields` decodes the fields of
//! a client's frame, `form` describes them for the schema.
//!
//! # Examples
//!
//! A server decodes a frame:
//!
//! ```
//! use quintet_wire::{client::ClientFrame, codes::ErrorCode};
//!
//! let text = r#"{"type": "send_message", "message_id": "m1", "thread_id": "t1", "text": "hello"}"#;
//! let ClientFrame::SendMessage(message) = ClientFrame::decode(text)? else { panic!("it is a message") };
//! assert_eq!((message.thread_id.as_str(), message.text.as_str()), ("t1", "hello"));
//!
//! let error = ClientFrame::decode(r#"{"type": "send_message", "message_id": "m1"}"#).unwrap_err();
//! assert_eq!((error.code, error.field), (ErrorCode::InvalidField, Some("thread_id")));
//! assert_eq!(error.message_id.unwrap().as_str(), "m1");
//! # Ok::<(), quintet_wire::client::FrameError>(())
//! ```
//!
//! A client decodes an entry of its log:
//!
//! ```
//! use quintet_kernel::entry::{Body, Entry};
//!
//! let line = br#"{"type":"user_message","offset":1,"user_id":"ann","thread_id":"t1",
//!     "run_id":"018f3c2e-7b1a-7c3d-8e4f-0123456789ab","timestamp":1795000000001,
//!     "message_id":"m1","text":"hello","agent_name":"assistant"}"#;
//! let (user_id, entry) = quintet_wire::entry::decode(line)?;
//! assert_eq!(user_id.as_ref().map(|user_id| user_id.as_str()), Some("ann"));
//! let Entry::Run(entry) = entry else { panic!("a message is an entry of a run") };
//! assert_eq!(entry.offset.0, 1);
//! assert!(matches!(entry.body, Body::UserMessage { text, .. } if text == "hello"));
//! # Ok::<(), quintet_wire::entry::DecodeError>(())
//! ```
//!
//! [RFC 6455]: https://www.rfc-editor.org/rfc/rfc6455
//! [RFC 8259]: https://www.rfc-editor.org/rfc/rfc8259
//! [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
//! [JSON Schema]: https://json-schema.org/draft/2020-12
//! [OpenAPI]: https://spec.openapis.org/oas/v3.1.0
//! [AsyncAPI]: https://www.asyncapi.com/docs/reference/specification/v3.0.0

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

pub mod asyncapi;
pub mod client;
pub mod codes;
#[cfg(test)]
mod doc;
pub mod entry;
pub mod event_id;
pub mod http;
pub mod legacy;
pub mod openapi;
pub mod problem;
#[cfg(test)]
pub(crate) mod sample;
pub mod schema;
pub mod server;
mod shapes;
pub mod threads;
