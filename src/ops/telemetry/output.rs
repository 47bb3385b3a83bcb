//! A descriptor for text output: a pipe, terminal, file or device, blocking or not.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

/// A duplicate of stdout or stderr. It does not use the locks of [`std::io::stdout`] and [`std::io::stderr`],
/// so that a blocked write does not block other threads.
#[derive(Debug)]
pub struct Output {
    file: File,
    /// Whether the last line was only partially written.
    torn: bool,
}

impl Output {
    /// Duplicates stdout.
    ///
    /// # Errors
    /// When the process has no free descriptor.
    pub fn stdout() -> io::Result<Self> {
        Self::duplicate(io::stdout().as_fd())
    }

    /// Duplicates stderr.
    ///
    /// # Errors
    /// When the process has no free descriptor.
    pub fn stderr() -> io::Result<Self> {
        Self::duplicate(io::stderr().as_fd())
    }

    fn duplicate(of: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { file: of.try_clone_to_owned()?.into(), torn: false })
    }

    /// Writes one or more complete lines, blocking until the reader has accepted them. After an error within
    /// a line, the next call starts on a new line.
    ///
    /// # Errors
    /// When the write fails, for example because the reader is gone or the device is full.
    pub fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write(b"\n")?;
        }
        self.write(lines)
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    self.torn = !bytes.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.until_writable()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the descriptor is writable. It may be non-blocking, since that flag is shared with the
    /// process that opened it.
    fn until_writable(&self) -> io::Result<()> {
        match poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::fd::OwnedFd};

    use super::*;

    #[test]
    fn a_pipe_that_does_not_block_gets_whole_lines_once_its_reader_reads() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        socket2::SockRef::from(&writer).set_nonblocking(true).unwrap();
        let mut output = Output { file: OwnedFd::from(writer).into(), torn: false };
        let lines = "x".repeat(999) + "\n";
        let written = std::thread::spawn(move || {
            (0..500).for_each(|_| output.write_lines(lines.as_bytes()).unwrap());
        });
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        written.join().unwrap();
        assert!(text.len() == 500_000 && text.lines().all(|line| line.len() == 999));
    }

    #[test]
    fn a_line_after_a_torn_one_begins_on_its_own() {
        let mut file = tempfile::tempfile().unwrap();
        let mut output = Output { file: file.try_clone().unwrap(), torn: false };
        output.write(b"half a li").unwrap();
        // Simulates an error after a partial write, as on a full disk.
        output.torn = true;
        output.write_lines(b"whole\n").unwrap();
        let mut text = String::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "half a li\nwhole\n");
    }
}
