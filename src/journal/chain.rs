//! The hash chain over a log: a stored entry that is changed, removed, added or moved breaks the chain from
//! there on. Hashes are [BLAKE3](https://github.com/BLAKE3-team/BLAKE3-specs).
//!
//! ```text
//!   h0 = BLAKE3-derive-key("quintet journal chain v1", origin epoch ‖ user id)
//!   hi = BLAKE3(hi-1 ‖ BLAKE3(encoded line i, without its line feed))
//! ```
//!
//! The start binds the chain to its owner, so that equal entries of two users have different hashes (ISO-2).
//! Lines are hashed by their digests, so that a chain can be verified without the text of every line.

use std::fmt;

use quintet_kernel::ids::{Epoch, UserId};

/// The hash of one encoded line, without its line feed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineDigest(pub [u8; 32]);

/// The hash of a log up to and including some line.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl LineDigest {
    /// Bytes of a digest that are stored with a line: enough to identify a damaged line in its row.
    pub const SHORT_BYTES: usize = 8;

    /// Hashes a line.
    pub fn of(line: &[u8]) -> Self {
        Self(blake3::hash(line).into())
    }

    /// Returns the first bytes, which are stored with the line.
    pub fn short(&self) -> [u8; Self::SHORT_BYTES] {
        self.0[..Self::SHORT_BYTES].try_into().expect("a digest has 32 bytes")
    }
}

impl ChainHash {
    /// Returns the hash before the first line. `origin` is the epoch under which the journal was created.
    pub fn start(origin: Epoch, user_id: &UserId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("quintet journal chain v1");
        hasher.update(origin.0.as_bytes()).update(user_id.as_str().as_bytes());
        Self(hasher.finalize().into())
    }

    /// Returns the hash after one more line with this digest.
    pub fn then(self, line: LineDigest) -> Self {
        let mut both = [0; 64];
        both[..32].copy_from_slice(&self.0);
        both[32..].copy_from_slice(&line.0);
        Self(blake3::hash(&both).into())
    }
}

macro_rules! hex {
    ($name:ident) => {
        impl $name {
            /// Parses the output of `Display`.
            pub fn parse(text: &str) -> Option<Self> {
                blake3::Hash::from_hex(text).ok().map(|hash| Self(hash.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                blake3::Hash::from_bytes(self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a hash is 64 hexadecimal digits"))
            }
        }
    };
}

hex!(LineDigest);
hex!(ChainHash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_changes_the_hash() {
        let epoch = Epoch::parse("018f3c2e-7b1a-7c3d-8e4f-0123456789ab").unwrap();
        let other = Epoch::parse("018f3c2e-7b1a-7c3d-8e4f-0123456789ac").unwrap();
        let (a, b) = (UserId::parse("a").unwrap(), UserId::parse("b").unwrap());
        let start = ChainHash::start(epoch, &a);
        let then = |lines: &[&[u8]]| lines.iter().fold(start, |chain, line| chain.then(LineDigest::of(line)));
        assert_ne!(start, ChainHash::start(epoch, &b), "the owner (ISO-2)");
        assert_ne!(start, ChainHash::start(other, &a), "the journal");
        assert_ne!(then(&[b"x", b"y"]), then(&[b"y", b"x"]), "the order");
        assert_ne!(then(&[b"x", b"y"]), then(&[b"xy"]), "where a line ends");
        assert_eq!(ChainHash::parse(&start.to_string()), Some(start));
    }
}
