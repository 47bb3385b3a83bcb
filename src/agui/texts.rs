//! The text messages of a response, in one sequence for each kind of thought.
//!
//! Guarantee: the text of a kind is the text of its messages, in the order in which they were opened, each whole, with a
//! separator between two that are not empty. Messages that are open side by side are not mixed: the text of the later
//! one waits for the end of the earlier one, within a limit.

use quintet_agent::ThoughtKind;

use crate::{
    limits::RemoteLimits,
    violation::{MapError, Violation},
};

/// A piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The kind of thought.
    pub kind: ThoughtKind,
    /// The id of the message.
    pub message_id: String,
    /// The text, not empty, without a separator.
    pub delta: String,
    /// The text that separates it from an earlier message, or an empty one.
    pub separator: &'static str,
}

/// A sort of message. Ids of different sorts never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Message,
    Reasoning,
    /// Reasoning of 0.0.59, which has no ids on the wire.
    Thinking,
}

/// The id of a message within its sort.
pub(crate) type Key<'a> = (Family, &'a str);

/// The open messages of a response, and the text before them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    open: Vec<OpenMessage>,
    held_bytes: usize,
    /// The id of the last message with text, of each kind.
    last: [Option<String>; 3],
}

#[derive(Clone, Debug)]
struct OpenMessage {
    family: Family,
    id: String,
    /// `None` for messages that are not shown.
    kind: Option<ThoughtKind>,
    /// Text that waits for the end of an earlier message.
    held: String,
    ended: bool,
}

impl Texts {
    /// Opens a message.
    pub(crate) fn start(
        &mut self,
        limits: &RemoteLimits,
        event: &'static str,
        (family, id): Key<'_>,
        kind: Option<ThoughtKind>,
    ) -> Result<(), MapError> {
        if self.place((family, id)).is_some() {
            return Err(Violation::OpenedTwice(event).into());
        }
        if self.open.len() >= limits.open_messages_max {
            return Err(MapError::Limit("open_messages_max"));
        }
        self.open.push(OpenMessage { family, id: id.to_owned(), kind, held: String::new(), ended: false });
        Ok(())
    }

    /// Adds to an open message.
    pub(crate) fn write(
        &mut self,
        limits: &RemoteLimits,
        event: &'static str,
        key: Key<'_>,
        delta: &str,
    ) -> Result<Option<Text>, MapError> {
        let place = self.place(key).ok_or(Violation::NotOpen(event))?;
        let Some(kind) = self.open[place].kind else { return Ok(None) };
        if self.first(kind) == Some(place) {
            return Ok(self.text(kind, key.1, delta));
        }
        self.held_bytes += delta.len();
        if self.held_bytes > limits.held_text_bytes_max {
            return Err(MapError::Limit("held_text_bytes_max"));
        }
        self.open[place].held.push_str(delta);
        Ok(None)
    }

    /// Ends an open message. Returns text that has waited for it.
    pub(crate) fn end(&mut self, event: &'static str, key: Key<'_>) -> Result<Vec<Text>, MapError> {
        let place = self.place(key).ok_or(Violation::NotOpen(event))?;
        let Some(kind) = self.open[place].kind else {
            self.open.remove(place);
            return Ok(Vec::new());
        };
        self.open[place].ended = true;
        let mut texts = Vec::new();
        while let Some(first) = self.first(kind).filter(|first| self.open[*first].ended) {
            self.open.remove(first);
            if let Some(next) = self.first(kind) {
                let (id, held) = (self.open[next].id.clone(), std::mem::take(&mut self.open[next].held));
                self.held_bytes -= held.len();
                texts.extend(self.text(kind, &id, &held));
            }
        }
        Ok(texts)
    }

    /// Returns a line of progress, as a message of its own.
    pub(crate) fn progress(&mut self, line: &str) -> Option<Text> {
        let kind = ThoughtKind::Progress;
        let separator = if self.last[kind as usize].is_some() { separator(kind) } else { "" };
        self.last[kind as usize] = Some(String::new());
        let text = Text { kind, message_id: String::new(), delta: line.to_owned(), separator };
        Some(text).filter(|text| !text.delta.is_empty())
    }

    /// Returns true if this message is open.
    pub(crate) fn is_open(&self, key: Key<'_>) -> bool {
        self.place(key).is_some()
    }

    /// Returns true if a message is open.
    pub(crate) fn are_open(&self) -> bool {
        self.open.iter().any(|message| !message.ended)
    }

    fn text(&mut self, kind: ThoughtKind, id: &str, delta: &str) -> Option<Text> {
        if delta.is_empty() {
            return None;
        }
        let last = &mut self.last[kind as usize];
        let separator = match last {
            Some(last) if last != id => separator(kind),
            Some(_) | None => "",
        };
        *last = Some(id.to_owned());
        Some(Text { kind, message_id: id.to_owned(), delta: delta.to_owned(), separator })
    }

    fn place(&self, (family, id): Key<'_>) -> Option<usize> {
        self.open.iter().position(|message| message.family == family && message.id == id && !message.ended)
    }

    /// Returns the first message of a kind, whose text is not held back.
    fn first(&self, kind: ThoughtKind) -> Option<usize> {
        self.open.iter().position(|message| message.kind == Some(kind))
    }
}

/// Returns the text between two messages.
fn separator(kind: ThoughtKind) -> &'static str {
    match kind {
        ThoughtKind::Answer | ThoughtKind::Reasoning => "\n\n",
        ThoughtKind::Progress => "\n",
    }
}
