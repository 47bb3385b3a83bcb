//! The digests of the erased lines of a stored row (DEL-8).

use crate::chain::LineDigest;

/// The digests of the erased lines of one row, as its column `erased` has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErasedLines(Vec<(u16, LineDigest)>);

impl ErasedLines {
    /// Decodes the column. Returns `None` if it is malformed.
    pub fn parse(column: Option<&[u8]>) -> Option<Self> {
        let (lines, rest) = column.unwrap_or_default().as_chunks::<LINE_BYTES>();
        let lines: Vec<_> = lines.iter().map(line_of).collect();
        let ordered = lines.is_sorted_by(|(earlier, _), (later, _)| earlier < later);
        (rest.is_empty() && ordered).then_some(Self(lines))
    }

    /// Returns the digest of the line number `line` of the row, from 0, as it was before its erasure; `None` if it is
    /// not erased.
    pub fn digest(&self, line: usize) -> Option<LineDigest> {
        let line = u16::try_from(line).ok()?;
        let at = self.0.binary_search_by_key(&line, |(number, _)| *number).ok()?;
        Some(self.0[at].1)
    }

    /// Returns the number of the last erased line; `None` if there is none.
    pub fn last(&self) -> Option<usize> {
        self.0.last().map(|(number, _)| usize::from(*number))
    }

    /// Adds the digest of a line.
    pub fn insert(&mut self, line: u16, digest: LineDigest) {
        if let Err(at) = self.0.binary_search_by_key(&line, |(number, _)| *number) {
            self.0.insert(at, (line, digest));
        }
    }

    /// Encodes the column.
    pub fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(line, digest)| line.to_be_bytes().into_iter().chain(digest.0)).collect()
    }
}

/// Bytes of the number of a line and its digest.
const LINE_BYTES: usize = 2 + 32;

fn line_of(bytes: &[u8; LINE_BYTES]) -> (u16, LineDigest) {
    let (number, digest) = bytes.split_at(2);
    let number = u16::from_be_bytes(number.try_into().expect("two bytes are split off"));
    (number, LineDigest(digest.try_into().expect("32 bytes remain")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erased_lines_parse_back_and_malformed_ones_are_refused() {
        let mut erased = ErasedLines::default();
        for number in [300, 2, 0, 2] {
            erased.insert(number, LineDigest([number as u8; 32]));
        }
        let bytes = erased.encode();
        assert_eq!(bytes.len(), 3 * LINE_BYTES);
        assert_eq!(ErasedLines::parse(Some(&bytes)), Some(erased.clone()));
        assert_eq!(erased.digest(300), Some(LineDigest([44; 32])));
        assert_eq!((erased.digest(1), erased.digest(usize::MAX), erased.last()), (None, None, Some(300)));
        assert_eq!(ErasedLines::parse(None), Some(ErasedLines::default()));
        assert_eq!(ErasedLines::parse(Some(&bytes[1..])), None, "torn");
        assert_eq!(ErasedLines::parse(Some(&[&bytes[..], &bytes[..LINE_BYTES]].concat())), None, "unordered");
    }
}
