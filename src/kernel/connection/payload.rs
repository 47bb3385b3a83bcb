//! The content that inputs bring and effects carry on: frames, entries and replies.
//!
//! Guarantee: the machine reads no content. It moves the content of an input into the effect that the input
//! causes, so that an effect is complete in itself and its caller keeps nothing beside the machine. statig
//! passes an input to the states by reference, so an effect gets a clone of the content, which is cheap
//! ([`Content`]); a caller that drops the input before it performs the effects holds the only one.

use std::{fmt::Debug, hash::Hash};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A type of content. A clone must be cheap: share large content, for example by an `Arc`.
pub trait Content: Clone + Debug + Eq {}

impl<T: Clone + Debug + Eq> Content for T {}

/// The types of the content that one caller uses. `()` has no content; models and traces use it.
pub trait Payload: Content + Hash + 'static {
    /// The credential of `hello` or `renew`.
    type Credential: Content;
    /// A command to the user's log.
    type Command: Content;
    /// The value of `ping` that its `pong` returns.
    type Nonce: Content;
    /// The description of a frame that could not be decoded, or of a field above its size limit.
    type Malformed: Content;
    /// The ids of a frame, which an `error` about it repeats. The default has none.
    type Subject: Content + Default;
    /// Consecutive entries of the log.
    type Entries: Content;
    /// The reply to a command.
    type Answer: Content;

    /// Returns the ids of a command.
    fn subject(command: &Self::Command) -> Self::Subject;
}

impl Payload for () {
    type Credential = ();
    type Command = ();
    type Nonce = ();
    type Malformed = ();
    type Subject = ();
    type Entries = ();
    type Answer = ();

    fn subject((): &()) {}
}

/// A payload whose content has a default, which replaces the content when an input or effect is read from a
/// trace. No content is ever written to one.
pub trait Blank:
    Payload<
        Credential: Default,
        Command: Default,
        Nonce: Default,
        Malformed: Default,
        Entries: Default,
        Answer: Default,
    >
{
}

impl Blank for () {}

/// Serializes optional content as a boolean, without the content itself.
pub(super) mod presence {
    use super::*;

    pub(in super::super) fn serialize<T, S: Serializer>(
        content: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        content.is_some().serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, T: Default, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        Ok(bool::deserialize(deserializer)?.then(T::default))
    }
}
