//! Consecutive encoded entries. The same bytes are stored by a batch and sent on a socket.

use bytes::{Bytes, BytesMut};
use quintet_kernel::ids::Offset;

/// Consecutive encoded entries, one JSON object each, each followed by a line feed. Clones share the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    first: Offset,
    bytes: Bytes,
    /// The end of each line, without its line feed.
    ends: Vec<u32>,
}

/// Stored lines that do not end in a line feed, or have 4 GiB or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored lines are not whole")]
pub struct Torn;

impl Lines {
    /// Creates an empty list before the entry `first`.
    pub fn empty(first: Offset) -> Self {
        Self { first, bytes: Bytes::new(), ends: Vec::new() }
    }

    /// Parses stored lines, the first of which is the entry `first`.
    ///
    /// # Errors
    ///
    /// Returns [`Torn`] if the last line is incomplete, or the bytes are 4 GiB or more.
    pub fn parse(first: Offset, bytes: Bytes) -> Result<Self, Torn> {
        if bytes.last().is_some_and(|last| *last != b'\n') || u32::try_from(bytes.len()).is_err() {
            return Err(Torn);
        }
        let ends = memchr::memchr_iter(b'\n', &bytes).map(|end| end as u32).collect();
        Ok(Self { first, bytes, ends })
    }

    /// Returns the offset of the first line.
    pub fn first(&self) -> Offset {
        self.first
    }

    /// Returns the offset of the last line, or the one before `first` if there is none.
    pub fn last(&self) -> Offset {
        Offset(self.first.0 + self.ends.len() as u64 - 1)
    }

    /// Returns the number of lines.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns true if there is no line.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns all lines with their line feeds, as they are stored.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Iterates over the lines with their offsets. Each line shares memory with `self` and has no line feed.
    pub fn iter(&self) -> impl Iterator<Item = (Offset, Bytes)> + '_ {
        (0..self.ends.len())
            .map(|i| (Offset(self.first.0 + i as u64), self.bytes.slice(self.start(i)..self.end(i))))
    }

    /// Returns the lines after `after`: at most `entries_max`, and at most `bytes_max` bytes unless the first
    /// line alone is longer. The result shares memory with `self`.
    pub fn after(&self, after: Offset, entries_max: usize, bytes_max: usize) -> Lines {
        let skip = (after.0 + 1).saturating_sub(self.first.0).min(self.ends.len() as u64) as usize;
        let start = self.start(skip);
        let room = |i: &usize| *i == skip || self.end(*i) + 1 - start <= bytes_max;
        let take = (skip..self.ends.len()).take(entries_max).take_while(room).count();
        let first = Offset(self.first.0 + skip as u64);
        if take == 0 {
            return Lines::empty(first);
        }
        let stop = self.end(skip + take - 1) + 1;
        let ends = self.ends[skip..skip + take].iter().map(|end| end - start as u32).collect();
        Lines { first, bytes: self.bytes.slice(start..stop), ends }
    }

    /// Returns the last lines before `before`: at most `entries_max`, and at most `bytes_max` bytes unless the last
    /// line alone is longer. The result shares memory with `self`.
    pub fn before(&self, before: Offset, entries_max: usize, bytes_max: usize) -> Lines {
        let stop = before.0.saturating_sub(self.first.0).min(self.ends.len() as u64) as usize;
        let room = |i: &usize| *i + 1 == stop || self.end(stop - 1) + 1 - self.start(*i) <= bytes_max;
        let take = (0..stop).rev().take(entries_max).take_while(room).count();
        let first = Offset(self.first.0 + (stop - take) as u64);
        self.after(Offset(first.0 - 1), take, usize::MAX)
    }

    /// Copies the lines into their own memory, so that the buffer they are a slice of can be freed.
    #[must_use]
    pub fn detached(self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), ..self }
    }

    fn start(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.end(i - 1) + 1 }
    }

    fn end(&self, i: usize) -> usize {
        self.ends[i] as usize
    }
}

/// Collects encoded entries into [`Lines`].
#[derive(Debug)]
pub struct LinesBuilder {
    first: Offset,
    bytes: BytesMut,
    ends: Vec<u32>,
}

impl LinesBuilder {
    /// Creates an empty builder; the first line pushed is the entry `first`.
    pub fn new(first: Offset) -> Self {
        Self { first, bytes: BytesMut::new(), ends: Vec::new() }
    }

    /// Adds one line. `encode` has to write JSON without a raw line feed.
    ///
    /// # Panics
    ///
    /// Panics if the lines exceed 4 GiB.
    pub fn push(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let start = self.bytes.len();
        encode(&mut self.bytes);
        debug_assert!(memchr::memchr(b'\n', &self.bytes[start..]).is_none(), "a line feed inside a line");
        self.ends.push(u32::try_from(self.bytes.len()).expect("a batch is bounded far below 4 GiB"));
        self.bytes.extend_from_slice(b"\n");
    }

    /// Adds the following lines.
    pub fn extend(&mut self, lines: &Lines) {
        let base = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&lines.bytes);
        self.ends.extend(lines.ends.iter().map(|end| end + base));
    }

    /// Returns the number of lines so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns true if no line was pushed.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the bytes of the lines so far, with their line feeds.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the lines.
    pub fn finish(self) -> Lines {
        Lines { first: self.first, bytes: self.bytes.freeze(), ends: self.ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Lines {
        let mut builder = LinesBuilder::new(Offset(5));
        texts.iter().for_each(|t| builder.push(|b| b.extend_from_slice(t.as_bytes())));
        builder.finish()
    }

    fn texts(lines: &Lines) -> Vec<(u64, String)> {
        lines.iter().map(|(o, b)| (o.0, String::from_utf8(b.to_vec()).unwrap())).collect()
    }

    #[test]
    fn stored_bytes_parse_back_to_the_same_lines() {
        let lines = lines(&["{}", "{\"a\":1}", "[]"]);
        assert_eq!(Lines::parse(Offset(5), lines.as_bytes().clone()), Ok(lines));
        assert_eq!(Lines::parse(Offset(5), Bytes::from_static(b"{}")), Err(Torn));
    }

    #[test]
    fn after_cuts_by_offset_count_and_bytes() {
        let all = lines(&["aaaa", "bbbb", "cccc", "dddd"]);
        assert_eq!(all.last(), Offset(8));
        assert_eq!(texts(&all.after(Offset(5), 2, 100)), [(6, "bbbb".into()), (7, "cccc".into())]);
        assert_eq!(texts(&all.after(Offset(0), 9, 10)), [(5, "aaaa".into()), (6, "bbbb".into())]);
        assert_eq!(texts(&all.after(Offset(6), 9, 1)), [(7, "cccc".into())], "one line whatever its size");
        assert!(all.after(Offset(8), 9, 100).is_empty());
        assert_eq!(all.after(Offset(8), 9, 100).first(), Offset(9));
    }

    #[test]
    fn before_cuts_by_offset_count_and_bytes() {
        let all = lines(&["aaaa", "bbbb", "cccc", "dddd"]);
        assert_eq!(texts(&all.before(Offset(8), 2, 100)), [(6, "bbbb".into()), (7, "cccc".into())]);
        assert_eq!(texts(&all.before(Offset(99), 9, 10)), [(7, "cccc".into()), (8, "dddd".into())]);
        assert_eq!(texts(&all.before(Offset(7), 9, 1)), [(6, "bbbb".into())], "one line of any size");
        assert_eq!(texts(&all.before(Offset(6), 9, 100)), [(5, "aaaa".into())]);
        for before in [0, 4, 5] {
            assert!(all.before(Offset(before), 9, 100).is_empty(), "{before}");
        }
    }
}
