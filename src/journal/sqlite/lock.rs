//! One process at a time owns a data folder: an operating system lock on `quintet.lock`, which no
//! crash can leave behind.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

/// The file that carries the lock; it holds the owner's process id for the message to others.
pub const LOCK_FILE: &str = "quintet.lock";

/// Ownership of a data folder, until dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("the data folder {} is in use by {holder}; stop it first, or choose another folder", .folder.display())]
    InUse { folder: PathBuf, holder: String },
    #[error("the lock file {} cannot be used", .path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl FolderLock {
    /// Takes the lock or says who has it. Never waits.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(LOCK_FILE);
        let io = |source| LockError::Io { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(io(source)),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The id is a courtesy: without it the refusal stands all the same.
                let holder = match file.read_to_string(&mut pid) {
                    Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
                    _ => "another process".to_owned(),
                };
                return Err(LockError::InUse { folder: folder.to_owned(), holder });
            }
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}
