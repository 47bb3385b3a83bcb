//! The one place that makes ids.

use uuid::{Builder, Uuid};

use super::{clock, simulation};

/// A UUID of version 7 that was never made before.
pub fn fresh() -> Uuid {
    simulation::ask(|world| world.random()).map_or_else(Uuid::now_v7, |random| {
        Builder::from_unix_timestamp_millis(clock::now().0, &random).into_uuid()
    })
}
