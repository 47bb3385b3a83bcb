//! The bytes on the disk, as opposed to those in the kernel's page cache.
//!
//! For each of the two files that matter, a copy holds the synced bytes. A sync copies the pages that were
//! written since the last one. A sync that fails copies none and forgets them: the kernel calls them clean
//! from then on, and only a new write makes them dirty again.

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    os::fd::RawFd,
};

use crate::{control::PAGE_BYTES, kernel};

/// One file, and its copy.
pub struct Disk {
    file: CString,
    copy: CString,
    /// The numbers of pages whose sync failed, eight bytes each: the next process must not treat them as
    /// dirty.
    lost: CString,
    /// Pages that are written and not synced.
    dirty: BTreeSet<u64>,
}

impl Disk {
    /// Continues from an earlier process: the kernel still holds what it wrote and did not sync.
    pub fn open(file: CString, copy: CString, lost: CString) -> Self {
        let mut disk = Self { file, copy, lost, dirty: BTreeSet::new() };
        let (file, copy) = (kernel::open(&disk.file, libc::O_RDONLY, 0), open_copy(&disk.copy));
        let mut lost = BTreeSet::new();
        each_page(&disk.lost, |page| {
            lost.extend(page.as_chunks().0.iter().map(|number| u64::from_ne_bytes(*number)));
        });
        for page in 0..pages(file) {
            if !lost.contains(&page) && page_of(file, page) != page_of(copy, page) {
                disk.dirty.insert(page);
            }
        }
        kernel::close(file);
        kernel::close(copy);
        disk
    }

    pub fn wrote(&mut self, at: u64, count: u64) {
        self.dirty.extend(at / PAGE_BYTES..(at + count).div_ceil(PAGE_BYTES));
    }

    /// Records a successful sync: the dirty pages are on the disk.
    pub fn synced(&mut self, file: RawFd) {
        let copy = open_copy(&self.copy);
        for page in std::mem::take(&mut self.dirty) {
            let bytes = page_of(file, page);
            write_all(copy, &bytes, page * PAGE_BYTES);
        }
        kernel::truncate(copy, kernel::end(file));
        kernel::close(copy);
    }

    /// Records a failed sync: the dirty pages are clean, and not on the disk.
    pub fn lost(&mut self) {
        let lost = open_copy(&self.lost);
        let mut at = kernel::end(lost) as u64;
        for page in std::mem::take(&mut self.dirty) {
            write_all(lost, &page.to_ne_bytes(), at);
            at += 8;
        }
        kernel::close(lost);
    }

    pub fn removed(&mut self) {
        self.dirty.clear();
        kernel::unlink(&self.copy);
        kernel::unlink(&self.lost);
    }
}

fn open_copy(path: &CStr) -> RawFd {
    kernel::open(path, libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC, 0o600)
}

fn pages(fd: RawFd) -> u64 {
    if fd < 0 { 0 } else { (kernel::end(fd) as u64).div_ceil(PAGE_BYTES) }
}

/// Reads a page, or the part of it that exists.
fn page_of(fd: RawFd, page: u64) -> Vec<u8> {
    let mut bytes = vec![0; PAGE_BYTES as usize];
    // SAFETY: the buffer has the given length.
    let read = unsafe {
        kernel::pread(fd, bytes.as_mut_ptr().cast(), bytes.len(), (page * PAGE_BYTES) as libc::off_t)
    };
    bytes.truncate(read.max(0) as usize);
    bytes
}

fn each_page(path: &CStr, mut see: impl FnMut(&[u8])) {
    let fd = kernel::open(path, libc::O_RDONLY, 0);
    (0..pages(fd)).for_each(|page| see(&page_of(fd, page)));
    kernel::close(fd);
}

fn write_all(fd: RawFd, bytes: &[u8], at: u64) {
    // SAFETY: the buffer has the given length.
    let written = unsafe { kernel::pwrite(fd, bytes.as_ptr().cast(), bytes.len(), at as libc::off_t) };
    if written != bytes.len() as isize {
        // A test that continues without its disk would prove nothing.
        std::process::abort();
    }
}
