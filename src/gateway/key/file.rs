//! Bounded reads of key files.
//!
//! Guarantee: a read terminates and its size is bounded for any path. Only regular files are read; a device,
//! a pipe or a directory is an error.

use std::{
    fs::OpenOptions,
    io::Read,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::fs::OFlags;

/// The contents of a key file and the access that other users have to it.
#[derive(Debug)]
pub struct KeyFile {
    /// The bytes of the file, at most [`KEY_FILE_BYTES_MAX`].
    pub contents: Vec<u8>,
    /// Users outside the file's group can read it.
    pub is_readable_by_others: bool,
    /// Users other than the owner can write it.
    pub is_writable_by_others: bool,
}

/// The reason for which a key file was not read. Operator fault.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file could not be opened or read.
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
    /// The path is that of a folder, a device or a pipe.
    #[error("it cannot be read: it is not a regular file, but a folder, a device or a pipe")]
    NotAFile,
    /// The file is longer than [`KEY_FILE_BYTES_MAX`].
    #[error("it is longer than {KEY_FILE_BYTES_MAX} bytes, which no key is")]
    TooLarge,
}

/// Maximum length of a key file, in bytes.
pub const KEY_FILE_BYTES_MAX: usize = 64 * 1024;

impl KeyFile {
    /// Reads a key file. Symbolic links are followed, since orchestrators mount secrets as links.
    ///
    /// # Errors
    /// When the file cannot be read, is not a regular file, or is too long.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        // Non-blocking, because opening a pipe without a writer would block.
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
