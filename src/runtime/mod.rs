//! What the process lends to every part: the clock of the wall, and tasks that have an owner.

pub mod clock;
pub mod tasks;
