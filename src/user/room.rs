//! The room on the disk, which decides what the users' machines accept (ISO-6).
//!
//! ```text
//!   free bytes      min              min / 2               0
//!   ── Enough ───────┼──── Low ─────────┼──── Reserved ────┤
//!                    no new message     a step of an agent ends its run
//! ```
//!
//! Guarantee: every accepted run reaches its end (RUN-6): the reserve is for the last events of runs.

/// The name of the setting with the minimum, which is also the name of the limit when it is reached.
pub const SETTING: &str = "disk_free_bytes_min";

/// The room that the disk has, by its free bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// At least the minimum, or an unknown number of bytes.
    #[default]
    Enough,
    /// Less than the minimum: no new message is accepted.
    Low,
    /// Less than half of the minimum: an agent's step ends its run.
    Reserved,
}

impl Room {
    /// Returns the room of a disk with `free_bytes`, given the minimum `free_bytes_min`.
    pub fn of(free_bytes: u64, free_bytes_min: u64) -> Self {
        if free_bytes >= free_bytes_min {
            Self::Enough
        } else if free_bytes >= free_bytes_min / 2 {
            Self::Low
        } else {
            Self::Reserved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_6_half_of_the_minimum_is_for_the_ends_of_runs() {
        let room = |free| Room::of(free, 100);
        assert_eq!([room(100), room(99), room(50), room(49), room(0)], {
            [Room::Enough, Room::Low, Room::Low, Room::Reserved, Room::Reserved]
        });
        assert_eq!(Room::of(0, 0), Room::Enough, "no minimum");
    }
}
