//! Replacements of functions of the C library.
//!
//! Each has the C library's name and signature, checks whether it concerns a file of the data folder, and
//! otherwise does what the C library would do.

use std::{
    ffi::{CStr, CString, OsStr, c_char, c_int, c_void},
    os::{fd::RawFd, unix::ffi::OsStrExt},
    path::Path,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use libc::{mode_t, off_t};

use crate::{
    control::{
        Action, CONTROL_VARIABLE, Call, DATABASE, DISK_VARIABLE, FOLDER_VARIABLE, LOG, OTHER, SEED_VARIABLE,
        WORDS,
    },
    disk::Disk,
    fault::{Fault, Faults},
    kernel,
};

struct Layer {
    folder: Vec<u8>,
    faults: Faults,
    /// Of the database and of its log, once they are opened.
    disks: Option<[Mutex<Option<Disk>>; 2]>,
    disk_folder: Vec<u8>,
}

static LAYER: OnceLock<Option<Layer>> = OnceLock::new();

/// The file of the data folder behind each descriptor, as a bit; 0 for all others.
static FILES: [AtomicU8; 1 << 16] = [const { AtomicU8::new(0) }; 1 << 16];

fn layer() -> Option<&'static Layer> {
    LAYER.get_or_init(Layer::from_environment).as_ref()
}

impl Layer {
    fn from_environment() -> Option<Self> {
        let mut folder = variable(FOLDER_VARIABLE)?;
        folder.push(b'/');
        let control = CString::new(variable(CONTROL_VARIABLE)?).ok()?;
        let seed = variable(SEED_VARIABLE).and_then(|seed| String::from_utf8(seed).ok()?.parse().ok());
        let Ok(words) = kernel::map(&control, WORDS) else {
            // A test that runs without its faults would prove nothing.
            std::process::abort();
        };
        let disk_folder = variable(DISK_VARIABLE);
        let disks = disk_folder.as_ref().map(|_| [Mutex::new(None), Mutex::new(None)]);
        let faults = Faults::new(words, seed.unwrap_or(0));
        Some(Self { folder, faults, disks, disk_folder: disk_folder.unwrap_or_default() })
    }

    /// Returns the file as a bit; 0 if it is not in the data folder.
    fn file(&self, path: &CStr) -> u32 {
        let Some(name) = path.to_bytes().strip_prefix(self.folder.as_slice()) else { return 0 };
        match name {
            b"quintet.db" => DATABASE,
            b"quintet.db-wal" => LOG,
            _ => OTHER,
        }
    }

    fn disk<T>(&self, file: u32, act: impl FnOnce(&mut Disk) -> T) -> Option<T> {
        let disks = self.disks.as_ref()?;
        let disk = match file {
            DATABASE => &disks[0],
            LOG => &disks[1],
            _ => return None,
        };
        let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.as_mut().map(act)
    }

    fn opened(&self, path: &CStr, file: u32) {
        let (Some(disks), DATABASE | LOG) = (&self.disks, file) else { return };
        let slot = &disks[usize::from(file == LOG)];
        let mut disk = slot.lock().unwrap_or_else(PoisonError::into_inner);
        disk.get_or_insert_with(|| {
            let name = Path::new(OsStr::from_bytes(path.to_bytes())).file_name().unwrap_or_default();
            let beside = |suffix: &str| {
                let mut path = self.disk_folder.clone();
                path.push(b'/');
                path.extend_from_slice(name.as_bytes());
                path.extend_from_slice(suffix.as_bytes());
                CString::new(path).unwrap_or_default()
            };
            Disk::open(path.to_owned(), beside(""), beside(".lost"))
        });
    }
}

fn variable(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(|value| value.as_bytes().to_vec())
}

/// Returns the layer and the file, if the descriptor is of the data folder.
fn tracked(fd: RawFd) -> Option<(&'static Layer, u32)> {
    let file = FILES.get(usize::try_from(fd).ok()?)?.load(Relaxed);
    if file == 0 { None } else { Some((layer()?, u32::from(file))) }
}

fn fail(layer: &Layer, call: Call, errno: c_int) -> c_int {
    layer.faults.bitten(call);
    kernel::set_errno(errno);
    -1
}

fn open_file(path: *const c_char, flags: c_int, mode: mode_t) -> RawFd {
    // SAFETY: callers of `open` guarantee a C string.
    let path = unsafe { CStr::from_ptr(path) };
    let Some(layer) = layer() else { return kernel::open(path, flags, mode) };
    let file = layer.file(path);
    if file == 0 {
        return kernel::open(path, flags, mode);
    }
    // A read-only file system can be read.
    if flags & libc::O_ACCMODE != libc::O_RDONLY
        && let Some(Fault { errno, .. }) = layer.faults.next(Call::Open, file)
    {
        return fail(layer, Call::Open, errno);
    }
    let fd = kernel::open(path, flags, mode);
    if let Some(slot) = usize::try_from(fd).ok().and_then(|fd| FILES.get(fd)) {
        layer.opened(path, file);
        slot.store(file as u8, Relaxed);
    }
    fd
}

/// Reads through `read` into the buffer, and may flip a bit.
fn read_file(fd: RawFd, buffer: *mut c_void, read: impl FnOnce() -> isize) -> isize {
    let Some((layer, file)) = tracked(fd) else { return read() };
    match layer.faults.next(Call::Read, file) {
        Some(Fault { action: Action::Flip, .. }) => {
            let count = read();
            if count > 0 {
                let bit = layer.faults.draw() % (count as u64 * 8);
                // SAFETY: the kernel has just written `count` bytes here.
                unsafe { *buffer.cast::<u8>().add((bit / 8) as usize) ^= 1 << (bit % 8) };
                layer.faults.bitten(Call::Read);
            }
            count
        }
        Some(Fault { action: Action::Fail, errno }) => fail(layer, Call::Read, errno) as isize,
        _ => read(),
    }
}

/// Writes through `write`, which takes the number of bytes to write.
fn write_file(
    fd: RawFd,
    count: usize,
    at: impl FnOnce() -> off_t,
    write: impl FnOnce(usize) -> isize,
) -> isize {
    let Some((layer, file)) = tracked(fd) else { return write(count) };
    let at = at();
    let keep = |written: isize| {
        if written > 0 {
            layer.disk(file, |disk| disk.wrote(at as u64, written as u64));
        }
        written
    };
    match layer.faults.next(Call::Write, file) {
        Some(Fault { action: Action::Fail, errno }) => fail(layer, Call::Write, errno) as isize,
        Some(Fault { action: Action::Full, errno }) if at + count as off_t > kernel::end(fd) => {
            fail(layer, Call::Write, errno) as isize
        }
        Some(Fault { action: Action::Short, .. }) if count > 1 => {
            layer.faults.bitten(Call::Write);
            keep(write(count / 2))
        }
        Some(Fault { action: Action::Torn, errno }) => {
            keep(write(count / 2));
            fail(layer, Call::Write, errno) as isize
        }
        _ => keep(write(count)),
    }
}

fn sync_file(fd: RawFd, data_only: bool) -> c_int {
    let Some((layer, file)) = tracked(fd) else { return kernel::sync(fd, data_only) };
    if let Some(Fault { errno, .. }) = layer.faults.next(Call::Sync, file) {
        layer.disk(file, Disk::lost);
        return fail(layer, Call::Sync, errno);
    }
    // The layer's own disk records the sync, so the machine's is not needed.
    match layer.disk(file, |disk| disk.synced(fd)) {
        Some(()) => 0,
        None => kernel::sync(fd, data_only),
    }
}

fn truncate_file(fd: RawFd, length: off_t) -> c_int {
    if let Some((layer, file)) = tracked(fd)
        && let Some(Fault { errno, .. }) = layer.faults.next(Call::Truncate, file)
    {
        return fail(layer, Call::Truncate, errno);
    }
    kernel::truncate(fd, length)
}

/// # Safety
/// As `open(2)`. The mode may be anything where the flags do not create.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_file(path, flags, mode)
}

/// # Safety
/// As `open(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_file(path, flags | libc::O_LARGEFILE, mode)
}

/// # Safety
/// As `close(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    if let Some(slot) = usize::try_from(fd).ok().and_then(|fd| FILES.get(fd)) {
        slot.store(0, Relaxed);
    }
    kernel::close(fd)
}

/// # Safety
/// As `unlink(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: callers guarantee a C string.
    let path = unsafe { CStr::from_ptr(path) };
    if let Some(layer) = layer() {
        layer.disk(layer.file(path), Disk::removed);
    }
    kernel::unlink(path)
}

/// # Safety
/// As `read(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: c_int, buffer: *mut c_void, count: usize) -> isize {
    // SAFETY: the caller upholds the contract.
    read_file(fd, buffer, || unsafe { kernel::read(fd, buffer, count) })
}

/// # Safety
/// As `pread(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread(fd: c_int, buffer: *mut c_void, count: usize, at: off_t) -> isize {
    // SAFETY: the caller upholds the contract.
    read_file(fd, buffer, || unsafe { kernel::pread(fd, buffer, count, at) })
}

/// # Safety
/// As `pread(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread64(fd: c_int, buffer: *mut c_void, count: usize, at: off_t) -> isize {
    // SAFETY: the caller upholds the contract.
    read_file(fd, buffer, || unsafe { kernel::pread(fd, buffer, count, at) })
}

/// # Safety
/// As `write(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, count: usize) -> isize {
    // SAFETY: the caller upholds the contract, for these bytes or fewer.
    write_file(fd, count, || kernel::position(fd), |count| unsafe { kernel::write(fd, buffer, count) })
}

/// # Safety
/// As `pwrite(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(fd: c_int, buffer: *const c_void, count: usize, at: off_t) -> isize {
    // SAFETY: the caller upholds the contract, for these bytes or fewer.
    write_file(fd, count, || at, |count| unsafe { kernel::pwrite(fd, buffer, count, at) })
}

/// # Safety
/// As `pwrite(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, buffer: *const c_void, count: usize, at: off_t) -> isize {
    // SAFETY: the caller upholds the contract, for these bytes or fewer.
    write_file(fd, count, || at, |count| unsafe { kernel::pwrite(fd, buffer, count, at) })
}

/// # Safety
/// As `fsync(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    sync_file(fd, false)
}

/// # Safety
/// As `fdatasync(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync_file(fd, true)
}

/// # Safety
/// As `ftruncate(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    truncate_file(fd, length)
}

/// # Safety
/// As `ftruncate(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    truncate_file(fd, length)
}
