//! Erasures (DEL-8): their records, and the parts that both engines share: which lines an erasure covers, what takes their place, and the hash
//! that takes the place of a message id.

use quintet_kernel::{
    ids::{Epoch, MessageId, Offset, ReceiptId, Timestamp, UserId},
    user::EraseScope,
};
use serde::Deserialize;

use crate::chain::ChainHash;

/// The state of an erasure after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EraseProgress {
    /// Entries are left to erase.
    Working,
    /// Every entry of the scope is erased, and nothing of them is kept.
    Done(ErasureRecord),
}

/// The record that the journal keeps of an erasure: what was erased, when, and under which chain head (DEL-8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureRecord {
    /// The id of the record.
    pub receipt: ReceiptId,
    /// The entries that the erasure covers.
    pub scope: EraseScope,
    /// The last offset of the erasure.
    pub through: Offset,
    /// The hash of the [chain](crate::chain) at `through`, as it was when the intent was stored.
    pub chain_head: ChainHash,
    /// The time at which the erasure was decided.
    pub requested_at: Timestamp,
    /// The time at which nothing was left to erase; `None` while it is under way.
    pub completed_at: Option<Timestamp>,
    /// Number of entries that were erased so far.
    pub entries: u64,
}

/// The fields of a stored line that decide whether an erasure covers it.
#[derive(Deserialize)]
struct LineHead<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    thread_id: Option<std::borrow::Cow<'a, str>>,
    timestamp: u64,
}

/// A stored line that is no entry, so that it cannot be decided whether an erasure covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoEntry;

/// Returns the line that takes the place of `line`, the entry at `offset`; `None` if the scope does not have the entry.
///
/// The records of erasures (`thread_erased`, `log_erased`) are never erased: they contain no content, and they are the
/// reason for the `erased` entries before them.
pub(crate) fn erased(scope: &EraseScope, offset: Offset, line: &[u8]) -> Result<Option<Vec<u8>>, NoEntry> {
    let head: LineHead<'_> = serde_json::from_slice(line).map_err(|_| NoEntry)?;
    if matches!(&*head.kind, "erased" | "thread_erased" | "log_erased") {
        return Ok(None);
    }
    let covered = match scope {
        EraseScope::Thread(thread_id) => head.thread_id.as_deref() == Some(thread_id.as_str()),
        EraseScope::Log => true,
    };
    Ok(covered.then(|| erased_line(offset, Timestamp(head.timestamp))))
}

/// Returns the line of an `erased` entry: its offset and its time, and nothing else.
fn erased_line(offset: Offset, timestamp: Timestamp) -> Vec<u8> {
    format!(r#"{{"type":"erased","offset":{offset},"timestamp":{}}}"#, timestamp.0).into_bytes()
}

/// Returns the text that takes the place of the id of an erased message, so that a retry of the message is still
/// recognized (DEL-6). No message id begins with a space.
pub fn hashed(origin: Epoch, user_id: &UserId, message_id: &MessageId) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("quintet erased message id v1");
    hasher.update(origin.0.as_bytes()).update(user_id.as_str().as_bytes());
    let key: [u8; blake3::KEY_LEN] = hasher.finalize().into();
    format!(" {}", blake3::keyed_hash(&key, message_id.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use quintet_kernel::ids::ThreadId;

    use super::*;

    fn of_thread(line: &str) -> Option<String> {
        let scope = EraseScope::Thread(ThreadId::parse(r#"t"\1"#).unwrap());
        let erased = erased(&scope, Offset(7), line.as_bytes()).unwrap()?;
        Some(String::from_utf8(erased).unwrap())
    }

    #[test]
    fn del_8_scope_decides_by_the_thread_id_as_it_is_meant_and_not_as_it_is_written() {
        let blank = Some(r#"{"type":"erased","offset":7,"timestamp":5}"#.to_owned());
        for spelling in [r#"t\"\\1"#, r#"\u0074\"\u005c1"#] {
            for kind in ["user_message", "agent_thinking", "thread_updated"] {
                let line =
                    format!(r#"{{"type":"{kind}","offset":7,"thread_id":"{spelling}","timestamp":5}}"#);
                assert_eq!(of_thread(&line), blank, "{line}");
            }
        }
        let other = r#"{"type":"user_message","thread_id":"t","text":"t\"\\1","timestamp":5}"#;
        assert_eq!(of_thread(other), None);
        assert!(erased(&EraseScope::Log, Offset(7), other.as_bytes()).unwrap().is_some());
    }

    #[test]
    fn del_8_records_of_erasures_are_kept() {
        for kind in ["thread_erased", "log_erased", "erased"] {
            let line = format!(r#"{{"type":"{kind}","offset":7,"thread_id":"t\"\\1","timestamp":5}}"#);
            assert_eq!(of_thread(&line), None);
            assert_eq!(erased(&EraseScope::Log, Offset(7), line.as_bytes()), Ok(None));
        }
        assert_eq!(erased(&EraseScope::Log, Offset(7), b"{"), Err(NoEntry));
    }

    #[test]
    fn iso_2_hash_of_a_message_id_differs_by_owner_and_journal_and_is_no_message_id() {
        let [a, b] = [1, 2].map(|number| Epoch(uuid::Uuid::from_u128(number)));
        let [ann, bob] = ["ann", "bob"].map(|name| UserId::parse(name).unwrap());
        let id = MessageId::parse("m1").unwrap();
        let hash = hashed(a, &ann, &id);
        assert_eq!(hash, hashed(a, &ann, &id));
        for other in [hashed(b, &ann, &id), hashed(a, &bob, &id)] {
            assert_ne!(hash, other);
        }
        assert!(MessageId::parse(&hash).is_err());
    }
}
