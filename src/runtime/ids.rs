//! Id generation.

use uuid::{Builder, Uuid};

use super::{clock, simulation};

/// Returns a new, unique UUID of version 7.
pub fn fresh() -> Uuid {
    simulation::ask(|world| world.random()).map_or_else(Uuid::now_v7, |random| {
        Builder::from_unix_timestamp_millis(clock::now().0, &random).into_uuid()
    })
}
