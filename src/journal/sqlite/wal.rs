//! Detection of damage in the write-ahead log of a dead process, by the
//! [WAL format](https://www.sqlite.org/fileformat2.html#the_write_ahead_log).
//!
//! SQLite reads its log up to the first frame with a wrong checksum and silently drops the rest. This is right
//! for an incomplete transaction, but wrong if a bit flipped and acknowledged transactions follow. Each
//! transaction is synced before the next one starts. So a bad frame that is followed by a whole transaction and
//! a further frame of the same log was damaged.
//!
//! Damage to the last transaction cannot be distinguished from an incomplete transaction.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Describes the damage of the log of the database at `path`; `None` if there is no log or no damage.
pub(super) fn damage(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(log_of(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    WalChecksum::read(BufReader::with_capacity(READ_BYTES, file))
}

/// Syncs the content that the page cache has of the log. Every byte is rewritten first, so that no page is
/// marked clean after a failed sync. Must not run while another process or connection writes to the log.
///
/// A crash in between does no damage, because the bytes are unchanged.
pub(super) fn settle(path: &Path) -> io::Result<()> {
    let mut file = match File::options().read(true).write(true).open(log_of(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut buffer = vec![0; READ_BYTES];
    let mut at = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return file.sync_all();
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&buffer[..count])?;
        at += count as u64;
    }
}

pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("-wal");
    PathBuf::from(name)
}

const READ_BYTES: usize = 256 * 1024;
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The magic number without its last bit, which is the byte order of the checksums.
const MAGIC: u32 = 0x377f_0682;

struct WalChecksum {
    big_endian: bool,
    sum: (u32, u32),
}

impl WalChecksum {
    fn read(mut input: impl Read) -> io::Result<Option<String>> {
        let mut header = [0; HEADER_BYTES];
        if !fill(&mut input, &mut header)? {
            return Ok(None);
        }
        // The file was created but its header never reached the disk.
        if header == [0; HEADER_BYTES] {
            return Ok(None);
        }
        let magic = word(&header, 0);
        let mut log = WalChecksum { big_endian: magic & 1 == 1, sum: (0, 0) };
        log.add(&header[..24]);
        if magic & !1 != MAGIC || log.sum != (word(&header, 24), word(&header, 28)) {
            return Ok(Some("its write-ahead log has an invalid header".into()));
        }
        let page_bytes = word(&header, 8) as usize;
        if !(512..=65536).contains(&page_bytes) {
            return Ok(Some("its write-ahead log has an invalid page size".into()));
        }
        let salts = &header[16..24];

        let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
        let (mut number, mut broken, mut transaction_behind) = (0u64, None, false);
        while fill(&mut input, &mut frame)? {
            number += 1;
            let of_this_log = &frame[8..16] == salts;
            let commits = word(&frame, 4) != 0;
            if broken.is_none() {
                log.add(&frame[..8]);
                log.add(&frame[FRAME_HEADER_BYTES..]);
                if of_this_log && log.sum == (word(&frame, 16), word(&frame, 20)) {
                    continue;
                }
                broken = Some(number);
            }
            if of_this_log && transaction_behind {
                let first = broken.unwrap_or(number);
                return Ok(Some(format!(
                    "its write-ahead log is damaged at frame {first}, and whole transactions come after it"
                )));
            }
            transaction_behind |= of_this_log && commits;
        }
        Ok(None)
    }

    /// Adds bytes to the running checksum, two words at a time.
    fn add(&mut self, bytes: &[u8]) {
        let (mut a, mut b) = self.sum;
        for pair in bytes.chunks_exact(8) {
            let (left, right) = match self.big_endian {
                true => (word(pair, 0), word(pair, 4)),
                false => (word(pair, 0).swap_bytes(), word(pair, 4).swap_bytes()),
            };
            a = a.wrapping_add(left).wrapping_add(b);
            b = b.wrapping_add(right).wrapping_add(a);
        }
        self.sum = (a, b);
    }
}

/// Fills the buffer. Returns false if the input ends first.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}
