//! What the process lends to every part: the clock of the wall, tasks that have an owner, and the
//! form in which limits are written down.

pub mod clock;
pub mod limits;
pub mod tasks;
