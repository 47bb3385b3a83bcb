//! Locks of the data folder: an operating system lock on `quintet.lock`, which no crash can leave behind, makes
//! one process its owner. A second lock, on `quintet.copy.lock`, shows the owner whether its database is being
//! copied.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use quintet_kernel::ids::Epoch;
use quintet_runtime::private;

use crate::JournalError;

/// The lock file. It contains the owner's process id, for error messages.
const LOCK_FILE: &str = "quintet.lock";

/// Ownership of a data folder, until dropped.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    path: PathBuf,
    /// True if an earlier owner had a journal open in this folder.
    had_journal: bool,
}

/// The reason for which a data folder was not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has the folder.
    #[error("the data folder {} is in use by {holder}; stop it first, or choose another folder", .folder.display())]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The holder, such as `process 4711`.
        holder: String,
    },
    /// The lock file cannot be opened, locked, read or written.
    #[error("the lock file {} cannot be used", .path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The error of the file system.
        #[source]
        source: std::io::Error,
    },
}

/// The lock file that all copying processes share.
const COPY_LOCK_FILE: &str = "quintet.copy.lock";

/// A shared or exclusive lock on copying the database, until dropped.
#[derive(Debug)]
pub(super) struct CopyLock {
    _file: File,
}

impl CopyLock {
    /// Takes the lock for a copy. Waits while the owner has exclusive access.
    pub(super) fn shared(database: &Path) -> Result<Self, JournalError> {
        let file = Self::file(database)?;
        file.lock_shared().map_err(|error| unusable(&error))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock for exclusive access of the owner. Returns an error, without waiting, if a copy is in
    /// progress.
    pub(super) fn alone(database: &Path) -> Result<Self, JournalError> {
        let file = Self::file(database)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::Error(error)) => Err(unusable(&error)),
            Err(TryLockError::WouldBlock) => Err(JournalError::Unavailable(
                "a backup is in progress, and recovery from the last fault needs exclusive access; writing \
                 resumes by itself once the backup has ended"
                    .into(),
            )),
        }
    }

    /// Takes the lock for exclusive access of the owner. Waits until no copy is in progress.
    pub(super) fn wait(database: &Path) -> Result<Self, JournalError> {
        let file = Self::file(database)?;
        file.lock().map_err(|error| unusable(&error))?;
        Ok(Self { _file: file })
    }

    fn file(database: &Path) -> Result<File, JournalError> {
        let path = database.with_file_name(COPY_LOCK_FILE);
        private::open_file(&path).map_err(|error| unusable(&error))
    }
}

fn unusable(error: &std::io::Error) -> JournalError {
    JournalError::Unavailable(format!("the lock file {COPY_LOCK_FILE} cannot be used: {error}"))
}

/// Prefix of the line in the lock file that names the journal in the folder.
const JOURNAL: &str = "journal ";
const NOTE_BYTES_MAX: u64 = 1024;

impl FolderLock {
    /// Returns true if an earlier owner had a journal open in this folder.
    pub(super) fn had_journal(&self) -> bool {
        self.had_journal
    }

    /// Records in the lock file that the folder has a journal, so that its absence is noticed.
    pub(super) fn note_journal(&mut self, origin: Epoch) -> Result<(), LockError> {
        if self.had_journal {
            return Ok(());
        }
        self.had_journal = true;
        writeln!(self.file, "{JOURNAL}{origin}")
            .map_err(|source| LockError::Io { path: self.path.clone(), source })
    }

    /// Takes the lock without waiting.
    ///
    /// # Errors
    ///
    /// Returns [`LockError::InUse`], with the holder, if another process has the lock, and [`LockError::Io`] if the
    /// lock file cannot be used.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(LOCK_FILE);
        let io = |source| LockError::Io { path: path.clone(), source };
        // AUTH-6: links are not followed, and nothing is truncated before the lock is held.
        let mut file = private::open_file(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(io(source)),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The holder's id is for the message only.
                let holder = match file.read_to_string(&mut pid) {
                    Ok(_) if !pid.trim().is_empty() => {
                        format!("process {}", pid.lines().next().unwrap_or_default().trim())
                    }
                    _ => "another process".to_owned(),
                };
                return Err(LockError::InUse { folder: folder.to_owned(), holder });
            }
        }
        let mut before = Vec::new();
        (&file).take(NOTE_BYTES_MAX).read_to_end(&mut before).map_err(io)?;
        let before = String::from_utf8_lossy(&before);
        let note = before.lines().find(|line| line.starts_with(JOURNAL));
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        if let Some(note) = note {
            writeln!(file, "{note}").map_err(io)?;
        }
        Ok(Self { had_journal: note.is_some(), file, path })
    }
}
