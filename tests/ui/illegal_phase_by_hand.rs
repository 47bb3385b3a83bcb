//! The phases in which an agent may think are sealed.

use quintet::agent::CanThink;

struct Anytime;

impl CanThink for Anytime {
    type Next = Anytime;
}

fn main() {}
