//! One user's machines as a whole, over a journal in memory with injected faults: the replies to clients and
//! agents, the entries that readers get, and the resources left at the end.

mod answers;
mod deadlines;
mod delivery;
mod disk;
mod erasing;
mod erasures_together;
mod faults;
mod isolation;
mod machine;
mod manual_agents;
mod panics;
mod resumes;
mod runs;
mod space;
mod steer;

use quintet_testkit::{cases, kernel::oracle};
