//! The system calls, made directly: these functions are never hooked.

use std::{
    ffi::{CStr, c_int, c_long, c_void},
    io,
    os::fd::RawFd,
    sync::atomic::AtomicU32,
};

use libc::off_t;

/// Opens by path. The mode counts only where the flags create.
pub fn open(path: &CStr, flags: c_int, mode: libc::mode_t) -> RawFd {
    // SAFETY: the path is a C string that lives through the call.
    narrow(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, mode) })
}

pub fn close(fd: RawFd) -> c_int {
    // SAFETY: closing touches no memory of this process.
    narrow(unsafe { libc::syscall(libc::SYS_close, fd) })
}

pub fn unlink(path: &CStr) -> c_int {
    // SAFETY: the path is a C string that lives through the call.
    narrow(unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path.as_ptr(), 0) })
}

/// # Safety
/// `buffer` is valid for writes of `count` bytes.
pub unsafe fn read(fd: RawFd, buffer: *mut c_void, count: usize) -> isize {
    // SAFETY: the caller upholds the contract.
    wide(unsafe { libc::syscall(libc::SYS_read, fd, buffer, count) })
}

/// # Safety
/// `buffer` is valid for writes of `count` bytes.
pub unsafe fn pread(fd: RawFd, buffer: *mut c_void, count: usize, at: off_t) -> isize {
    // SAFETY: the caller upholds the contract.
    wide(unsafe { libc::syscall(libc::SYS_pread64, fd, buffer, count, at) })
}

/// # Safety
/// `buffer` is valid for reads of `count` bytes.
pub unsafe fn write(fd: RawFd, buffer: *const c_void, count: usize) -> isize {
    // SAFETY: the caller upholds the contract.
    wide(unsafe { libc::syscall(libc::SYS_write, fd, buffer, count) })
}

/// # Safety
/// `buffer` is valid for reads of `count` bytes.
pub unsafe fn pwrite(fd: RawFd, buffer: *const c_void, count: usize, at: off_t) -> isize {
    // SAFETY: the caller upholds the contract.
    wide(unsafe { libc::syscall(libc::SYS_pwrite64, fd, buffer, count, at) })
}

pub fn position(fd: RawFd) -> off_t {
    // SAFETY: seeking touches no memory of this process.
    unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) }
}

pub fn end(fd: RawFd) -> off_t {
    // SAFETY: `fstat` fills the one structure passed to it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        if libc::fstat(fd, &mut stat) == 0 { stat.st_size } else { 0 }
    }
}

pub fn sync(fd: RawFd, data_only: bool) -> c_int {
    let call = if data_only { libc::SYS_fdatasync } else { libc::SYS_fsync };
    // SAFETY: syncing touches no memory of this process.
    narrow(unsafe { libc::syscall(call, fd) })
}

pub fn truncate(fd: RawFd, length: off_t) -> c_int {
    // SAFETY: truncating touches no memory of this process.
    narrow(unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) })
}

/// Sets `errno` for a failed call.
pub fn set_errno(errno: c_int) {
    // SAFETY: the C library gives every thread its own location.
    unsafe { *libc::__errno_location() = errno }
}

/// Maps a file of words, for as long as the process lives.
pub fn map(path: &CStr, words: usize) -> io::Result<&'static [AtomicU32]> {
    let fd = open(path, libc::O_RDWR, 0);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let bytes = words * size_of::<AtomicU32>();
    // SAFETY: a new shared mapping at a place of the kernel's choice; it is checked below.
    let at = unsafe {
        libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0)
    };
    close(fd);
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is aligned to pages, as long as this, never unmapped, and any bits are a number.
    Ok(unsafe { std::slice::from_raw_parts(at.cast(), words) })
}

fn narrow(result: c_long) -> c_int {
    result as c_int
}

fn wide(result: c_long) -> isize {
    result as isize
}
