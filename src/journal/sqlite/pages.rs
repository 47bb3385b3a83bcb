//! The unused space in the pages of a database file, by the
//! [format of b-tree pages](https://www.sqlite.org/fileformat2.html#b_tree_pages).
//!
//! ```text
//!   header │ cell pointers │ gap, unused │ cell content, with free blocks between cells
//! ```
//!
//! With [`PRAGMA secure_delete`](https://www.sqlite.org/pragma.html#pragma_secure_delete), SQLite overwrites a deleted
//! cell, a free block, and each page that becomes free. It does not overwrite the *gap*: when a balance of the tree
//! moves cells to another page, the page that they left is rebuilt in place (`rebuildPage`, and `copyNodeContent` for a
//! root) and the gap has the bytes of the cells that are stored elsewhere now. Deleting those cells later does not
//! reach the copy in the gap. So the gaps are overwritten here, in the file.
//!
//! A free page and the end of the last page of an overflow chain are zero already: a page is overwritten when it is
//! freed, and a page that is taken from the free list, or appended, starts from zeros.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

/// The pages of a database file.
pub(super) struct Pages {
    file: File,
}

/// A page that is neither of a known kind nor of a whole form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The result of a scan.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The numbers of pages with remains in their unused space, and of pages that were changing.
    pub dirty: Vec<u32>,
    /// The page that follows the scanned ones; `None` at the end of the file.
    pub next: Option<u32>,
}

/// The first page number that [`is_tree`] cannot distinguish from a kind of page: an overflow page begins with the
/// number of the next one, so up to here its first byte is 0 or 1.
const PAGES_END: u64 = 0x0200_0000;

impl Pages {
    /// Keeps a database file open. It must not be closed before the connections: closing it releases their locks on
    /// the file (<https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>).
    pub(super) fn new(file: File) -> Self {
        Self { file }
    }

    /// Returns the bytes of a page, and the number of pages.
    fn size(&self) -> io::Result<(usize, u32)> {
        let mut header = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut header, 0)?;
        // 1 stands for 65,536.
        let bytes = match number(&header, PAGE_SIZE_AT) {
            1 => 65_536,
            bytes => bytes,
        };
        if !bytes.is_power_of_two() || bytes < 512 || header[RESERVED_AT] != 0 {
            return Err(io::Error::other("the header of the database is not of the expected form"));
        }
        let pages = self.file.metadata()?.len() / bytes as u64;
        match u32::try_from(pages) {
            Ok(count) if pages < PAGES_END => Ok((bytes, count)),
            _ => Err(io::Error::other(
                "the database is too large to be searched for remains of erased entries",
            )),
        }
    }

    /// Searches at most `max` pages from the page `first` on, counted from 1, while the database may be in use.
    pub(super) fn scan(&self, first: u32, max: u32) -> io::Result<Scan> {
        let (page_bytes, count) = self.size()?;
        let end = first.saturating_add(max).min(count + 1);
        let mut found = Scan { dirty: Vec::new(), next: (end <= count).then_some(end) };
        let mut buffer = vec![0; page_bytes * READ_PAGES];
        let mut at = first;
        while at < end {
            let pages = (end - at).min(READ_PAGES as u32);
            let bytes = &mut buffer[..page_bytes * pages as usize];
            self.file.read_exact_at(bytes, u64::from(at - 1) * page_bytes as u64)?;
            for (page, number) in bytes.chunks_exact(page_bytes).zip(at..) {
                // A page that is written at this moment may be torn; the writer looks again.
                let dirty = match unused(page, number) {
                    Ok(gap) => page[gap].iter().any(|byte| *byte != 0),
                    Err(Malformed) => true,
                };
                if dirty {
                    found.dirty.push(number);
                }
            }
            at += pages;
        }
        Ok(found)
    }

    /// Overwrites the unused space of pages with zeros, durably. The file must be complete, without a write-ahead log,
    /// and nothing else may write to it. A crash in between does no damage, since only unused bytes are written; and
    /// whether a reader sees them before or after makes no difference to it.
    ///
    /// The caller has to drop its cached pages: from there the remains would be written again.
    pub(super) fn clean(&self, numbers: &[u32]) -> io::Result<()> {
        let (page_bytes, count) = self.size()?;
        let mut page = vec![0; page_bytes];
        let zeros = vec![0; page_bytes];
        for number in numbers.iter().filter(|number| **number <= count) {
            let start = u64::from(number - 1) * page_bytes as u64;
            self.file.read_exact_at(&mut page, start)?;
            let gap = unused(&page, *number)
                .map_err(|Malformed| io::Error::other(format!("page {number} is malformed")))?;
            self.file.write_all_at(&zeros[gap.clone()], start + gap.start as u64)?;
        }
        self.file.sync_data()
    }
}

/// Returns the unused bytes between the cell pointers and the cells; an empty range if the page is no b-tree page.
fn unused(page: &[u8], page_number: u32) -> Result<Range<usize>, Malformed> {
    let header = if page_number == 1 { HEADER_BYTES } else { 0 };
    let header_bytes = match page[header] {
        INTERIOR_INDEX | INTERIOR_TABLE => 12,
        LEAF_INDEX | LEAF_TABLE => 8,
        // An overflow page, a page of the free list, or the page of the lock bytes.
        _ => return Ok(0..0),
    };
    let start = header + header_bytes + 2 * number(page, header + CELLS_AT);
    let end = match number(page, header + CONTENT_AT) {
        // A page of 65,536 bytes without cells.
        0 => 65_536,
        end => end,
    };
    if start <= end && end <= page.len() { Ok(start..end) } else { Err(Malformed) }
}

fn number(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])
}

/// Bytes of the database header, before the header of page 1.
const HEADER_BYTES: usize = 100;
/// In the database header: bytes of a page, and bytes at its end that are reserved for extensions.
const PAGE_SIZE_AT: usize = 16;
const RESERVED_AT: usize = 20;
/// In a b-tree header: the number of cells, and the start of their content.
const CELLS_AT: usize = 3;
const CONTENT_AT: usize = 5;
/// The kinds of b-tree pages.
const INTERIOR_INDEX: u8 = 2;
const INTERIOR_TABLE: u8 = 5;
const LEAF_INDEX: u8 = 10;
const LEAF_TABLE: u8 = 13;
/// Pages that are read at once.
const READ_PAGES: usize = 64;
