//! Key files, read within bounds.
//!
//! Guarantee: a read ends and is bounded, whatever the path names: only regular files are read, so that a
//! device, a pipe or a folder is an error.

use std::{
    fs::OpenOptions,
    io::Read,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::fs::OFlags;

/// The contents of a key file, and who else may use it.
#[derive(Debug)]
pub struct KeyFile {
    pub contents: Vec<u8>,
    /// Users outside the file's group may read it.
    pub is_readable_by_others: bool,
    /// Users beside the owner may change it.
    pub is_writable_by_others: bool,
}

/// Why a key file is not read. The operator's to change.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
    #[error("it cannot be read: it is not a regular file, but a folder, a device or a pipe")]
    NotAFile,
    #[error("it is longer than {KEY_FILE_BYTES_MAX} bytes, and so no key")]
    TooLarge,
}

/// Bytes of a key file.
pub const KEY_FILE_BYTES_MAX: usize = 64 * 1024;

impl KeyFile {
    /// Reads a key file. Links are followed: orchestrators mount secrets as links.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        // A pipe without a writer would block the open.
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(KeyFileError::NotAFile);
        }
        let mut contents = Vec::new();
        file.take(KEY_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut contents)?;
        if contents.len() > KEY_FILE_BYTES_MAX {
            return Err(KeyFileError::TooLarge);
        }
        let mode = metadata.permissions().mode();
        Ok(Self {
            contents,
            is_readable_by_others: mode & 0o004 != 0,
            is_writable_by_others: mode & 0o022 != 0,
        })
    }
}
