//! Is the write-ahead log that a dead process left whole?
//!
//! SQLite reads its log up to the first frame that does not check and silently drops the rest: right
//! for a transaction that was cut off, wrong if a bit flipped in the middle and acknowledged
//! transactions follow. Each transaction is on the disk before the next one is begun, so a frame that
//! does not check, with a whole transaction and then more of the same log behind it, was damaged.
//!
//! What cannot be told from a transaction that was cut off is damage to the very last one.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// What is wrong with the log beside the database at `path`, if it was left behind and is damaged.
pub fn damage(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(log_of(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Log::read(BufReader::with_capacity(READ_BYTES, file))
}

/// Brings to the disk what the kernel shows of the log: each byte is written again, so that no page of
/// it is clean because its last sync failed, and then synced. Nobody else may write to it meanwhile.
///
/// What is torn by a crash in between is torn where it stood: the bytes are the same.
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
/// The last bit of the magic number tells the byte order of the checksums.
const MAGIC: u32 = 0x377f_0682;

struct Log {
    big_endian: bool,
    sum: (u32, u32),
}

impl Log {
    fn read(mut input: impl Read) -> io::Result<Option<String>> {
        let mut header = [0; HEADER_BYTES];
        if !fill(&mut input, &mut header)? {
            return Ok(None);
        }
        // A file that was made, and never written to the disk.
        if header == [0; HEADER_BYTES] {
            return Ok(None);
        }
        let magic = word(&header, 0);
        let mut log = Log { big_endian: magic & 1 == 1, sum: (0, 0) };
        log.add(&header[..24]);
        if magic & !1 != MAGIC || log.sum != (word(&header, 24), word(&header, 28)) {
            return Ok(Some("its write-ahead log does not begin as one".into()));
        }
        let page_bytes = word(&header, 8) as usize;
        if !(512..=65536).contains(&page_bytes) {
            return Ok(Some("its write-ahead log has pages of no valid size".into()));
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

/// Fills the buffer, or says that the input ended first.
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
