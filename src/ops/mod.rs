//! Running the service: what it is told, how it starts, what it reports, how it ends.
//!
//! - [`config`]: flags, variables, file and defaults made into one [`config::Settings`]

pub mod config;
