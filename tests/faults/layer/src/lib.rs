//! A disk that fails, under an unmodified process (`LD_PRELOAD`, Linux).
//!
//! ```text
//!   quintet ── open, read, write, fsync, ftruncate … ──▶ [this] ──▶ kernel
//!                                                          │ ▲
//!      disk folder: what a power cut would leave ◀─────────┘ └── control file: what fails now
//! ```
//!
//! Guarantee: only files below `FAULT_LAYER_FOLDER` are touched; all other calls pass through. The control
//! file ([`control`]) sets the faults, which are drawn from `FAULT_LAYER_SEED` ([`fault`]).
//! With `FAULT_LAYER_DISK` set, [`disk`] keeps a copy of the synced bytes of each file: a page whose sync
//! failed is *not* on the disk, is clean all the same, and no later sync writes it, as on Linux.
//!
//! All `unsafe` of the workspace is in [`hooks`], which replaces functions of the C library, and in
//! [`kernel`], which makes the system calls itself, so that nothing here meets its own hooks.

#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "the layer and the tests use their parts of it")]
#[path = "../../control.rs"]
mod control;
mod disk;
mod fault;
mod hooks;
mod kernel;
