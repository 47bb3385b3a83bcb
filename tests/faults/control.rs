//! The control file, as the layer and the tests both read and write it: words of 32 bits in the
//! native byte order, mapped by the layer, so that a change counts from the next call on.
//!
//! ```text
//!   word 0 … 7                one word for the whole: unused
//!   word 8 × (1 + call) + n   field n of the fault of a kind of call
//! ```

/// Kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Call {
    Open = 0,
    Read = 1,
    Write = 2,
    Sync = 3,
    Truncate = 4,
}

/// The fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// None: the kernel executes the call.
    None = 0,
    /// Reports the error without doing anything.
    Fail = 1,
    /// Writes half and reports that; a kernel may do this at any time.
    Short = 2,
    /// Writes half, and then reports the error.
    Torn = 3,
    /// Flips one bit of the read data.
    Flip = 4,
    /// Reports the error for a write beyond the end of its file; existing bytes can be overwritten: a full
    /// disk.
    Full = 5,
}

/// Files of a data folder, as bits.
pub const DATABASE: u32 = 1;
pub const LOG: u32 = 2;
pub const OTHER: u32 = 4;

/// Fields of a kind of call.
pub const ACTION: usize = 0;
pub const ERRNO: usize = 1;
/// The affected files, as bits.
pub const FILES: usize = 2;
/// In [`ALWAYS`]ths.
pub const CHANCE: usize = 3;
/// Calls that pass before the first one fails; counted down.
pub const SKIP: usize = 4;
/// Calls that fail; counted down, unless it is [`NO_END`].
pub const TIMES: usize = 5;
/// Counts of all calls and of failed calls.
pub const SEEN: usize = 6;
pub const BITTEN: usize = 7;

pub const ALWAYS: u32 = 1 << 16;
pub const NO_END: u32 = u32::MAX;

pub const CALLS: usize = 5;
const FIELDS: usize = 8;
pub const WORDS: usize = FIELDS * (1 + CALLS);

/// The position of a field.
pub const fn word(call: Call, field: usize) -> usize {
    FIELDS * (1 + call as usize) + field
}

/// Names in the environment of a process under the layer. The first two have to be set.
pub const FOLDER_VARIABLE: &str = "FAULT_LAYER_FOLDER";
pub const CONTROL_VARIABLE: &str = "FAULT_LAYER_CONTROL";
pub const SEED_VARIABLE: &str = "FAULT_LAYER_SEED";
pub const DISK_VARIABLE: &str = "FAULT_LAYER_DISK";

/// Bytes of a page in the kernel's cache: the unit that is lost or kept.
pub const PAGE_BYTES: u64 = 4096;
