//! Files and folders accessible to their owner only: folders 0700, files 0600, for any umask (AUTH-6).
//!
//! Guarantees: a new file or folder is private from its creation. An existing file with a looser mode is
//! tightened. Symbolic links are not followed, so that a link cannot redirect a write to another file.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::fs::OFlags;

/// Mode of folders.
const FOLDER_MODE: u32 = 0o700;
/// Mode of files.
const FILE_MODE: u32 = 0o600;

/// Creates a folder and its parents, accessible to the owner only. An existing folder is tightened if it is
/// empty or contains `own`; otherwise it is shared with other data, and only a warning is logged.
///
/// # Errors
///
/// Returns an error if the folder cannot be created or read.
pub fn make_folder(folder: &Path, own: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    let mode = fs::metadata(folder)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let is_ours = folder.join(own).symlink_metadata().is_ok() || fs::read_dir(folder)?.next().is_none();
    if is_ours {
        tighten(folder, Permissions::from_mode(FOLDER_MODE));
    } else {
        tracing::warn!(
            folder = %folder.display(),
            mode = %format_args!("{:04o}", mode & 0o7777),
            "other users of this machine can access the folder, which contains other files too: chmod go-rwx"
        );
    }
    Ok(())
}

/// Opens a file for reading and writing, and creates it if missing. Never truncates it.
///
/// # Errors
///
/// Returns an error if the file cannot be opened, is a symbolic link, or is not a regular file.
pub fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    open_with(&mut options, path)
}

/// Creates a new file for writing.
///
/// # Errors
///
/// Returns an error if the file cannot be created, or the path exists, including as a symbolic link.
pub fn create_file(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().write(true).create_new(true), path)
}

/// Opens a file for appending and reading, and creates it if missing. Links and devices are allowed, because
/// the operator has chosen the path.
///
/// # Errors
///
/// Returns an error if the file cannot be opened.
pub fn append_to(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(FILE_MODE).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        tighten_if_loose(path, metadata.permissions().mode());
    }
    Ok(file)
}

/// Sets the mode of a file that another library has created in a private folder. A missing file is ignored.
///
/// # Errors
///
/// Returns an error if the mode cannot be set.
pub fn keep_file(path: &Path) -> io::Result<()> {
    match fs::set_permissions(path, Permissions::from_mode(FILE_MODE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file =
        options.mode(FILE_MODE).custom_flags(flags).open(path).map_err(|error| link_error(path, error))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    tighten_if_loose(path, metadata.permissions().mode());
    Ok(file)
}

/// Tightens the mode of an existing file. A missing file is ignored.
///
/// # Errors
///
/// Returns an error if the path is a symbolic link or cannot be inspected.
pub fn tighten_file(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_symlink() => Err(is_link()),
        Ok(metadata) => {
            tighten_if_loose(path, metadata.permissions().mode());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn tighten_if_loose(path: &Path, mode: u32) {
    if mode & 0o177 != 0 {
        tighten(path, Permissions::from_mode(FILE_MODE));
    }
}

/// Sets the mode and logs a warning. A failure is logged but not returned: a volume may belong to another
/// user or not support modes.
fn tighten(path: &Path, permissions: Permissions) {
    let mode = permissions.mode();
    match fs::set_permissions(path, permissions) {
        Ok(()) => tracing::warn!(
            path = %path.display(),
            mode = %format_args!("{mode:04o}"),
            "other users of this machine had access; the mode was changed"
        ),
        Err(error) => tracing::warn!(
            path = %path.display(),
            %error,
            "other users of this machine have access, and the mode cannot be changed"
        ),
    }
}

fn link_error(path: &Path, error: io::Error) -> io::Error {
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) { is_link() } else { error }
}

fn is_link() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link, which is not followed")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn auth_6_folders_and_files_are_the_owners_alone() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        make_folder(&folder, "quintet.db").unwrap();
        assert_eq!((mode(&folder), mode(&place.path().join("a"))), (0o700, 0o700));
        let path = folder.join("file");
        append_to(&folder.join("trace")).unwrap();
        assert_eq!(mode(&folder.join("trace")), 0o600);
        create_file(&folder.join("new")).unwrap();
        assert_eq!(mode(&folder.join("new")), 0o600);
        assert!(create_file(&folder.join("new")).is_err(), "it exists");
        open_file(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        open_file(&path).unwrap();
        assert_eq!(mode(&path), 0o600, "a looser one is tightened");
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        make_folder(&folder, "quintet.db").unwrap();
        assert_eq!(mode(&folder), 0o755, "a folder of others is left");
        make_folder(&folder, "file").unwrap();
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn auth_6_a_symbolic_link_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let (victim, link) = (place.path().join("victim"), place.path().join("link"));
        fs::write(&victim, "precious").unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o644)).unwrap();
        symlink(&victim, &link).unwrap();
        assert!(open_file(&link).is_err() && tighten_file(&link).is_err());
        assert_eq!((fs::read_to_string(&victim).unwrap().as_str(), mode(&victim)), ("precious", 0o644));
        let dangling = place.path().join("dangling");
        symlink(place.path().join("nowhere"), &dangling).unwrap();
        assert!(open_file(&dangling).is_err() && !place.path().join("nowhere").exists());
    }
}
