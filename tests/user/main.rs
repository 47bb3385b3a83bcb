//! One user's machines as a whole, over a journal in memory that can be told to fail: what clients
//! and agents are told, what readers read, and what is left when everybody has gone.

mod answers;
mod deadlines;
mod delivery;
mod disk;
mod falls;
mod faults;
mod isolation;
mod machine;
mod puppets;
mod resumes;
mod runs;
mod space;

use quintet_testkit::{cases, kernel::oracle};
