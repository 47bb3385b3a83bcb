//! One user's machines as a whole, over a journal in memory that can be told to fail: what clients
//! and agents are told, what readers read, and what is left when everybody has gone.

mod delivery;
mod faults;
mod puppets;
mod runs;
