//! The phases in which an agent may think are sealed.

use quintet_agent::CanThink;

struct Anytime;

impl CanThink for Anytime {
    type Next = Anytime;
}

fn main() {}
