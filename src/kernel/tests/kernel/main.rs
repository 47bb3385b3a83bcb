//! The kernel against the contract: an oracle written from the rules alone judges what the kernel emits and
//! what it refuses.
//!
//! - [`oracle`]: the rules as predicates over a word of events, and over a log
//! - [`words`]: the run machine: legal words, the two faces, the table, early ends
//! - [`account`], [`sequences`]: the user machine under arbitrary commands
//! - [`policies`]: the user machine rule by rule, in readable examples
//! - [`threads`]: the properties of threads, and erasures
//! - [`limits`]: every limit, reached and exceeded

mod limits;
mod policies;
mod sequences;
mod threads;
mod words;

use quintet_testkit::{
    cases,
    kernel::{account, make, oracle},
};
