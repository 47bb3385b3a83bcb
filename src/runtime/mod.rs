//! What the process lends to every part: the clock of the wall, new ids, tasks that have an owner, and
//! the form in which limits are written down; files that are the owner's alone; and what a simulation puts in their place.

pub mod clock;
pub mod ids;
pub mod limits;
pub mod private;
pub mod saturation;
pub mod simulation;
pub mod tasks;
