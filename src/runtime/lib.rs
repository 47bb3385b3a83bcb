//! Services of the process that all layers use: wall clock, id generation, tracked tasks, limit tables and
//! private files.
//!
//! - [`clock`], [`ids`]: time and ids, which [`simulation`] replaces in tests
//! - [`tasks`]: tasks that can be awaited; [`limits`]: tables of settings; [`saturation`]: limits in effect
//! - [`sync`]: synchronisation primitives that a schedule checker can replace
//! - [`private`]: files and folders accessible to their owner only

pub mod clock;
pub mod ids;
pub mod limits;
pub mod private;
pub mod saturation;
pub mod simulation;
pub mod sync;
pub mod tasks;
