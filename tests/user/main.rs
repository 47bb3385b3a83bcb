//! One user's machines as a whole, over a journal in memory that can be told to fail: what clients
//! and agents are told, what readers read, and what is left when everybody has gone.

mod answers;
#[path = "../cases/mod.rs"]
mod cases;
mod deadlines;
mod delivery;
mod disk;
mod falls;
mod faults;
mod isolation;
mod machine;
#[path = "../kernel/oracle.rs"]
#[allow(dead_code, reason = "the kernel's tests use the rest")]
mod oracle;
mod puppets;
mod resumes;
mod runs;
