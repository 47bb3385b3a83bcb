//! The sans-IO core of Quintet: the state machines that decide which entries a user's log may contain.
//!
//! Quintet delivers the five events of an agent run to the user who owns it: in legal order, durably, once. This
//! crate holds the rules of that order as pure code. It has no runtime, clock, randomness, lock or logging: time,
//! ids and journal look-ups are part of the input, and decisions are returned as values. The same code runs in
//! the service, in its model checker and in its fuzzers.
//!
//! # Guarantees
//!
//! - An illegal input is a value, not a panic: it returns an error that names the rule, and the machine is as it was.
//! - The events of a run satisfy the rules RUN-1 … RUN-5; [`rules::Rule`] has the text of every rule.
//! - Memory is bounded by [`limits::Limits`]; at a limit a command is refused, or the run fails, and the limit is named.
//! - No user id reaches a run or an entry: a machine of one user handles no entries of another user (ISO-4).
//!
//! # The machines
//!
//! | machine | typestate | stored form | errors |
//! |---|---|---|---|
//! | one agent run | [`run::Run<P>`](run::Run) | [`run::AnyRun`] | [`run::Violation`] |
//! | one user's log | | [`user::UserState`] | [`user::Refusal`], [`user::InvalidEntry`] |
//! | one connection | | [`connection::Connection`] | [`connection::Rejected`] |
//! | one ticket | [`ticket::Ticket<P>`](ticket::Ticket) | [`ticket::AnyTicket`] | [`ticket::Unredeemable`] |
//!
//! The run and the ticket are types with one parameter, their phase; a method exists only in the phases in which
//! it is legal. `AnyRun` and `AnyTicket` are enums over the phases, with one `match` as the transition table.
//!
//! The log is event-sourced. [`UserState::decide`](user::UserState::decide) takes a command and returns the entries
//! to append; [`UserState::evolve`](user::UserState::evolve) applies one durable entry. Recovery is a fold of `evolve`.
//!
//! The connection takes one input at a time and appends its effects to a list, which the caller carries out in order.
//!
//! # The vocabulary
//!
//! - [`entry`]: the entries of a log: the user's messages, and the five events of a run
//! - [`fold`]: a run folded from its entries, without the deltas
//! - [`ids`]: ids, names, offsets and times as newtypes; [`json`]: JSON as checked text
//! - [`limits`]: the resource limits; [`spending`]: the bytes that one user appends a day
//! - [`rules`]: the rules that the docs of this crate cite by id, such as RUN-5
//!
//! # Examples
//!
//! ```
//! use quintet_kernel::{
//!     entry::{Event, Thought, ThoughtKind},
//!     ids::{MessageId, Timestamp},
//!     run::{Ending, Run},
//! };
//!
//! let (run, _started) = Run::start(MessageId::parse("m1")?, Timestamp(0));
//! let answer = Thought { kind: ThoughtKind::Answer, delta: "42".to_owned(), reset: false };
//! let (run, _thinking) = run.think(answer);
//! let (_run, completed) = run.complete(Ending::Succeeded { usage: None }, Timestamp(5));
//!
//! let Event::Completed(completion) = completed else { panic!("a run ends with agent_completed") };
//! assert_eq!(completion.final_response.as_deref(), Some("42"));
//! assert_eq!(completion.duration_ms, 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`run`] and [`user`] have longer ones.

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

pub mod connection;
pub mod entry;
pub mod fold;
pub mod ids;
pub mod json;
pub mod limits;
pub mod rules;
pub mod run;
pub mod spending;
pub mod ticket;
pub mod user;
