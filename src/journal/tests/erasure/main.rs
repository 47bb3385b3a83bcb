//! Erasure (DEL-8) at the level of stored lines: what is read, what is found in the files, what survives a crash.

mod histories;
mod scribe;
mod several;
mod steps;
