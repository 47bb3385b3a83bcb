//! Room on the disk, as the users' machines go by it (ISO-6).
//!
//! ```text
//!   free bytes      min              min / 2               0
//!   ── Enough ───────┼──── Low ─────────┼──── Reserved ────┤
//!                    no new message     no step of an agent but its end
//! ```
//!
//! Guarantee: what is accepted still ends (RUN-6): the reserve is for the ends of runs.

/// The setting that names the minimum, as limits that are reached name it.
pub const SETTING: &str = "disk_free_bytes_min";

/// How much room the disk has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// As much as is wanted, or as much as is not known.
    #[default]
    Enough,
    /// Less than the minimum: no new message is accepted.
    Low,
    /// Less than half of the minimum: an agent's step ends its run.
    Reserved,
}

impl Room {
    /// Returns the room that `free_bytes` are where there should be `free_bytes_min`.
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
