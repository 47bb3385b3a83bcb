//! Pseudonyms: a stable, one-way name for each id in every trace of one journal.
//!
//! Ids of users, threads, messages, calls and tickets are chosen by others and may carry information. A trace
//! has 64 bits of their hash instead, keyed by the journal's epoch and, for ids that are unique within a user
//! only, by the user. A reader who has a list of user ids can match them with a trace.

use quintet_kernel::ids::{CallId, Epoch, MessageId, ThreadId, UserId};

/// The pseudonyms of one journal.
#[derive(Clone, Debug)]
pub(crate) struct Names([u8; 32]);

impl Names {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self(blake3::derive_key("quintet trace names v1", epoch.0.as_bytes()))
    }

    pub(crate) fn user(&self, user_id: &UserId) -> UserId {
        self.user_text(user_id.as_str())
    }

    /// Returns the pseudonym of a user, even if `user_id` is not a valid id.
    pub(crate) fn user_text(&self, user_id: &str) -> UserId {
        UserId::parse(&self.hash("user", &[user_id.as_bytes()])).expect(HEX_IS_A_NAME)
    }

    pub(crate) fn thread(&self, user_id: &UserId, thread_id: &ThreadId) -> ThreadId {
        ThreadId::parse(&self.of_user("thread", user_id, thread_id.as_str())).expect(HEX_IS_A_NAME)
    }

    pub(crate) fn message(&self, user_id: &UserId, message_id: &MessageId) -> MessageId {
        MessageId::parse(&self.of_user("message", user_id, message_id.as_str())).expect(HEX_IS_A_NAME)
    }

    pub(crate) fn call(&self, user_id: &UserId, call_id: &CallId) -> CallId {
        CallId::parse(&self.of_user("call", user_id, call_id.as_str())).expect(HEX_IS_A_NAME)
    }

    pub(crate) fn ticket(&self, ticket: &str) -> String {
        self.hash("ticket", &[ticket.as_bytes()])
    }

    fn of_user(&self, kind: &str, user_id: &UserId, text: &str) -> String {
        self.hash(kind, &[user_id.as_str().as_bytes(), text.as_bytes()])
    }

    fn hash(&self, kind: &str, parts: &[&[u8]]) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(kind.as_bytes());
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize().to_hex()[..NAME_CHARS].to_owned()
    }
}

/// Characters of a pseudonym, four bits each.
const NAME_CHARS: usize = 16;
const HEX_IS_A_NAME: &str = "sixteen hexadecimal digits are a name of every kind";

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_name_is_the_same_within_a_journal_and_a_user_and_nowhere_else() {
        let names = [1, 2].map(|n| Names::new(Epoch(Uuid::from_u128(n))));
        let [ada, bob] = ["ada", "bob"].map(|id| UserId::parse(id).unwrap());
        let thread = ThreadId::parse("ada").unwrap();
        assert_eq!(names[0].user(&ada), names[0].clone().user(&ada));
        assert_ne!(names[0].user(&ada), names[1].user(&ada));
        assert_ne!(names[0].thread(&ada, &thread), names[0].thread(&bob, &thread));
        assert_ne!(names[0].user(&ada).as_str(), names[0].thread(&ada, &thread).as_str());
        assert!(!names[0].user(&ada).as_str().contains("ada"));
    }
}
