//! The hash chain over a log: whoever changes, drops, adds or moves a stored entry breaks it from
//! there on.
//!
//! ```text
//!   h0 = BLAKE3-derive-key("quintet journal chain v1", origin epoch ‖ user id)
//!   hi = BLAKE3(hi-1 ‖ encoded line i, without its line feed)
//! ```
//!
//! The start binds the chain to its owner, so that equal entries of two users hash apart (ISO-2).

use std::fmt;

use crate::kernel::ids::{Epoch, UserId};

/// The hash after some line of a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// The hash before the first line. `origin` is the epoch under which the journal was created.
    pub fn start(origin: Epoch, user_id: &UserId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("quintet journal chain v1");
        hasher.update(origin.0.as_bytes()).update(user_id.as_str().as_bytes());
        Self(hasher.finalize().into())
    }

    /// The hash after `line` (without its line feed), which follows here.
    pub fn then(self, line: &[u8]) -> Self {
        Self(blake3::Hasher::new().update(&self.0).update(line).finalize().into())
    }

    /// The inverse of `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(hash.into()))
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        blake3::Hash::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_changes_the_hash() {
        let epoch = Epoch::parse("018f3c2e-7b1a-7c3d-8e4f-0123456789ab").unwrap();
        let other = Epoch::parse("018f3c2e-7b1a-7c3d-8e4f-0123456789ac").unwrap();
        let (a, b) = (UserId::parse("a").unwrap(), UserId::parse("b").unwrap());
        let start = ChainHash::start(epoch, &a);
        assert_ne!(start, ChainHash::start(epoch, &b), "the owner (ISO-2)");
        assert_ne!(start, ChainHash::start(other, &a), "the journal");
        assert_ne!(start.then(b"x").then(b"y"), start.then(b"y").then(b"x"), "the order");
        assert_ne!(start.then(b"x").then(b"y"), start.then(b"xy"), "where a line ends");
        assert_eq!(ChainHash::parse(&start.to_string()), Some(start));
    }
}
