//! The agents that the `quintet` binary offers.

use crate::{
    agent::{Directory, Floor},
    assistant::Assistant,
};

/// Creates a directory whose default agent is the assistant.
pub fn built_in(floor: Floor) -> Directory {
    Directory::new(Assistant::within(floor.limits()), floor)
}
