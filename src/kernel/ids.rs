//! Newtypes for ids, names and counters. Each value of an id or name that is text satisfies the rule of its kind,
//! since it is created by parsing only.
//!
//! Ids that the service generates are UUIDs of version 7 ([RFC 9562]).
//!
//! # Examples
//!
//! ```
//! use quintet_kernel::ids::{InvalidId, RunId, ThreadId};
//!
//! assert_eq!(ThreadId::parse("t-1")?.as_str(), "t-1");
//! assert!(ThreadId::parse("two words").is_err());
//!
//! // A UUID has one spelling.
//! assert!(RunId::parse("018f3c2e-7b1a-7c3d-8e4f-0123456789ab").is_ok());
//! assert!(RunId::parse("018F3C2E-7B1A-7C3D-8E4F-0123456789AB").is_err());
//! # Ok::<(), InvalidId>(())
//! ```
//!
//! [RFC 9562]: https://www.rfc-editor.org/rfc/rfc9562

use std::{fmt, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// A text that is not a valid id, with the kind of id and its rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be {rule}")]
pub struct InvalidId {
    /// The kind of id, by its field name in the protocol, such as `thread_id`.
    pub kind: &'static str,
    /// The rule that the text breaks, such as "1 to 128 visible ASCII characters".
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:expr, $pattern:expr, $max:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses an id.
            ///
            /// # Errors
            ///
            /// Returns [`InvalidId`] if `text` breaks the rule of this kind of id.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(InvalidId { kind: $kind, rule: $rule }) }
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let pattern: Option<&str> = $pattern;
                match pattern {
                    Some(pattern) => json_schema!({"type": "string", "minLength": 1, "maxLength": $max, "pattern": pattern}),
                    None => json_schema!({"type": "string", "minLength": 1, "maxLength": $max}),
                }
            }
        }
    };
}

/// Returns true if `text` is 1 to 128 visible ASCII characters (0x21 to 0x7E).
fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The only accepted spelling of a UUID: hyphenated and lower case.
const UUID_PATTERN: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

const NAME_PATTERN: Option<&str> = Some("^[!-~]{1,128}$");

const NAME_RULE: &str = "1 to 128 visible ASCII characters";

text_id!(
    /// The owner of a log: the opaque `sub` claim of a credential ([RFC 7519]), 1 to 256 bytes.
    ///
    /// [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519#section-4.1.2
    UserId, "user_id", "1 to 256 bytes of text", None, 256, |t| (1..=256).contains(&t.len())
);
text_id!(
    /// The id of a conversation, chosen by the client; unique within its user only (ISO-2).
    ThreadId, "thread_id", NAME_RULE, NAME_PATTERN, 128, is_name
);
text_id!(
    /// The id of a message, chosen by the client, and its idempotency key (DEL-6).
    MessageId, "message_id", NAME_RULE, NAME_PATTERN, 128, is_name
);
text_id!(
    /// The id of a tool call, unique within its run (RUN-4).
    CallId, "call_id", NAME_RULE, NAME_PATTERN, 128, is_name
);
text_id!(
    /// The name of an agent.
    AgentName, "agent_name", NAME_RULE, NAME_PATTERN, 128, is_name
);
text_id!(
    /// The name of a tool.
    ToolName, "tool_name", NAME_RULE, NAME_PATTERN, 128, is_name
);
text_id!(
    /// The title of a conversation, chosen by the user: 1 to 200 characters, none of them a control character.
    Title, "title", "1 to 200 characters without control characters", Some(TITLE_PATTERN), 200, is_title
);

/// Returns true if `text` is 1 to 200 characters, none of them a control character.
fn is_title(text: &str) -> bool {
    // A character has at most four bytes, so the length bounds the count that follows.
    (1..=4 * Title::CHARS_MAX).contains(&text.len())
        && text.chars().count() <= Title::CHARS_MAX
        && !text.chars().any(char::is_control)
}

const TITLE_PATTERN: &str = r"^[^\x00-\x1F\x7F-\x9F]{1,200}$";

impl Title {
    /// Greatest number of characters.
    pub const CHARS_MAX: usize = 200;
}

/// The id of a run: a UUIDv7 generated by the service, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

/// The id of a journal. Offsets of different epochs are not comparable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Epoch(pub Uuid);

/// The id of the record of an erasure (DEL-8): a UUIDv7 generated by the service, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ReceiptId(pub Uuid);

/// The id of a node from one start to its end: the executor of the runs whose agents it has (RUN-13). A node that starts
/// again has another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Incarnation(pub Uuid);

/// The id of a connection, for logs and support: a UUIDv7 generated by the service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ConnectionId(pub Uuid);

macro_rules! uuid_id {
    ($name:ident, $kind:literal) => {
        impl $name {
            /// Parses the hyphenated lower-case form and no other, so that an id has one spelling.
            ///
            /// # Errors
            ///
            /// Returns [`InvalidId`] for any other text.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let invalid = InvalidId { kind: $kind, rule: "a UUID in lower case with hyphens" };
                let uuid = Uuid::try_parse(text).map_err(|_| invalid.clone())?;
                let mut buffer = Uuid::encode_buffer();
                if uuid.hyphenated().encode_lower(&mut buffer) == text { Ok(Self(uuid)) } else { Err(invalid) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": "uuid", "pattern": UUID_PATTERN})
            }
        }
    };
}

uuid_id!(RunId, "run_id");
uuid_id!(Epoch, "epoch");
uuid_id!(ReceiptId, "receipt");
uuid_id!(Incarnation, "incarnation");

impl Epoch {
    /// An epoch that no journal has. Every epoch of a client that is not spelled as the service spells its own is
    /// read as this one.
    pub const FOREIGN: Epoch = Epoch(Uuid::nil());

    /// Parses the epoch of a client's cursor. To clients an epoch is opaque, so any text of 1 to 64 visible ASCII
    /// characters is accepted; one that no journal can have is [`Epoch::FOREIGN`] (DEL-3).
    ///
    /// # Errors
    ///
    /// Returns [`InvalidId`] for any other text.
    pub fn of_cursor(text: &str) -> Result<Self, InvalidId> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > 64 || !visible {
            return Err(InvalidId { kind: "epoch", rule: CURSOR_EPOCH_RULE });
        }
        Ok(Self::parse(text).unwrap_or(Self::FOREIGN))
    }
}

/// The rule of [`Epoch::of_cursor`].
const CURSOR_EPOCH_RULE: &str = "1 to 64 visible ASCII characters";

/// The rule of [`Epoch::of_cursor`] as a regular expression of JSON Schema.
pub const CURSOR_EPOCH_PATTERN: &str = "^[!-~]{1,64}$";
uuid_id!(ConnectionId, "connection_id");

/// A position in one user's log: entries count 1, 2, 3 …; 0 is the position before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Offset(pub u64);

impl Offset {
    /// The position before the first entry.
    pub const ZERO: Offset = Offset(0);

    /// Returns the offset of the following entry.
    pub fn next(self) -> Offset {
        Offset(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an event within its run: 1, 2, 3 … (RUN-2).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Seq(pub u64);

impl Seq {
    /// Returns the number of the following event.
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// A time, in milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the milliseconds since `earlier`, or 0 if the clock was set back.
    pub fn millis_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_alphabet_and_length() {
        for good in ["a", "A-z_09", "user:42/chat", "call_abc|fc_123", "!~\"\\", &"x".repeat(128)] {
            assert!(ThreadId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "ä", "a\u{7f}", "a\0", "a\n", &"x".repeat(129)] {
            assert!(MessageId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn user_ids_are_opaque_but_bounded() {
        assert!(UserId::parse("größe / 名前").is_ok());
        assert!(UserId::parse("").is_err());
        assert!(UserId::parse(&"é".repeat(129)).is_err());
    }

    #[test]
    fn titles_are_short_and_without_control_characters() {
        for good in ["a", " two words ", "größe 名前 😀", &"😀".repeat(200)] {
            assert!(Title::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a\n", "\0", "\u{85}", &"x".repeat(201), &"😀".repeat(201), &"x".repeat(1_000_000)]
        {
            assert!(Title::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn number_newtypes_format_and_subtract() {
        assert_eq!(Offset(17).to_string(), "17");
        assert_eq!(Timestamp(1_500).millis_since(Timestamp(1_000)), 500);
        assert_eq!(Timestamp(1_000).millis_since(Timestamp(1_500)), 0, "the clock went back");
    }

    #[test]
    fn run_ids_have_one_spelling() {
        let text = "018f3c2e-7b1a-7c3d-8e4f-0123456789ab";
        assert_eq!(RunId::parse(text).unwrap().to_string(), text);
        assert!(RunId::parse(&text.to_uppercase()).is_err());
        assert!(RunId::parse(&text.replace('-', "")).is_err());
    }
}
