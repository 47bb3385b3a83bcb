//! The table on legal runs: its events are legal AG-UI in both generations, from every entry on.
//!
//! - `words`: legal runs
//! - `oracle`: the rules of AG-UI's verifiers, and those that this service adds
//! - `reducer`: what a front end does with the events
//! - `properties`: the guarantees; `requests`: bodies of front ends

mod oracle;
mod properties;
mod reducer;
mod requests;
mod words;
