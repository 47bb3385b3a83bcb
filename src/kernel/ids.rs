//! The names and numbers of the system as types: none can be taken for another, and none exists
//! that breaks its rule. Parsing is the only way in from outside.

use std::{fmt, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// A text that is not a valid identifier; says which kind and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be {rule}")]
pub struct InvalidId {
    pub kind: &'static str,
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:expr, $pattern:expr, $max:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes `text` if it keeps the rule of this kind of id.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(InvalidId { kind: $kind, rule: $rule }) }
            }

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

/// Whether `text` is 1 to 128 visible ASCII characters (0x21 to 0x7E).
fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The one spelling of a UUID that the service writes and takes.
const UUID_PATTERN: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

const NAME_PATTERN: Option<&str> = Some("^[!-~]{1,128}$");

const NAME_RULE: &str = "1 to 128 visible ASCII characters";

text_id!(
    /// The owner of a log: the `sub` claim of a credential, opaque, 1–256 bytes.
    UserId, "user_id", "1 to 256 bytes of text", None, 256, |t| (1..=256).contains(&t.len())
);
text_id!(
    /// A conversation, named by the client; unique within its user only (ISO-2).
    ThreadId, "thread_id", NAME_RULE, NAME_PATTERN, 128, is_name
);
text_id!(
    /// A message, named by the client; the same id from the same user is the same message (DEL-6).
    MessageId, "message_id", NAME_RULE, NAME_PATTERN, 128, is_name
);
text_id!(
    /// One tool call; unique within its run (RUN-4).
    CallId, "call_id", NAME_RULE, NAME_PATTERN, 128, is_name
);
text_id!(
    /// An agent that a message may name.
    AgentName, "agent_name", NAME_RULE, NAME_PATTERN, 128, is_name
);
text_id!(
    /// A tool, as its agent calls it.
    ToolName, "tool_name", NAME_RULE, NAME_PATTERN, 128, is_name
);

/// One run of an agent: a UUIDv7 made by the service, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

/// The name of a journal; offsets of two epochs are not comparable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Epoch(pub Uuid);

/// One connection of one client, for logs and support; a UUIDv7 made by the service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ConnectionId(pub Uuid);

macro_rules! uuid_id {
    ($name:ident, $kind:literal) => {
        impl $name {
            /// Takes the hyphenated lower-case form, the one the service writes, and no other.
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
uuid_id!(ConnectionId, "connection_id");

/// A position in one user's log: entries count 1, 2, 3 …; 0 is "before the first".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Offset(pub u64);

impl Offset {
    /// Before the first entry.
    pub const ZERO: Offset = Offset(0);

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
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// A moment, in milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Milliseconds from `earlier` to here; 0 if the clock went back.
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
    fn numbers_say_what_they_are() {
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
