//! Services of the process that all layers of Quintet use: wall clock, id generation, tracked tasks, limit tables and
//! private files.
//!
//! # Guarantees
//!
//! - Time and ids enter through [`clock`] and [`ids`] only, so that a [`simulation`] can replace them on one thread.
//! - Every task has an owner that can wait for its end ([`tasks`]); a shutdown goes through its stages in order
//!   ([`drain`]).
//! - Every limit has a name with its unit, a default, a range and a description ([`limits!`]), and is visible to operators
//!   while it rejects work ([`saturation`]).
//! - The primitives of [`sync`] can be replaced by a schedule checker.
//! - Files and folders are accessible to the owner of the process only ([`private`], AUTH-6).
//!
//! # Examples
//!
//! A simulation fixes the clock:
//!
//! ```
//! use std::rc::Rc;
//!
//! use quintet_kernel::ids::Timestamp;
//! use quintet_runtime::{clock, simulation::{self, World}};
//!
//! struct Fixed;
//!
//! impl World for Fixed {
//!     fn now(&self) -> Timestamp {
//!         Timestamp(1_000)
//!     }
//!
//!     fn random(&self) -> [u8; 10] {
//!         [7; 10]
//!     }
//! }
//!
//! let simulation = simulation::enter(Rc::new(Fixed));
//! assert_eq!(clock::now(), Timestamp(1_000));
//! drop(simulation);
//! assert!(clock::now() > Timestamp(1_000));
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

pub mod clock;
pub mod drain;
pub mod ids;
pub mod limits;
pub mod private;
pub mod saturation;
pub mod simulation;
pub mod sync;
pub mod tasks;
