//! The shared primitives of `quintet`, the same source files, for exploration by loom:
//! `RUSTFLAGS="--cfg quintet_loom" cargo test -p quintet-schedules --target-dir target/loom`.

#[path = "../../../src/user/registry.rs"]
pub mod registry;
#[path = "../../../src/user/sync.rs"]
pub mod sync;
#[path = "../../../src/gateway/tickets.rs"]
pub mod tickets;

/// As much of the kernel as the primitives speak of.
#[path = "../../../src/kernel"]
pub mod kernel {
    pub mod ids;
    pub mod ticket;
}
