//! Causes of failures as the operator sees them.
//!
//! Guarantee (AUTH-6): the log repeats no text of the user, even if an error does: parts that the user's text has
//! too are masked, and an error of a JSON parser, which quotes values, is logged as its kind and place.

use std::{collections::HashSet, error::Error, fmt};

use quintet_journal::ReadLimit;
use quintet_kernel::{entry::Body, ids::Offset, json::Json};
use serde_json::Value;

use crate::host::RunHandle;

/// The cause of a failure, which is logged and never shown.
pub(crate) struct ErrorCause(Box<dyn Error + Send + Sync>);

impl ErrorCause {
    pub(crate) fn new(error: Box<dyn Error + Send + Sync>) -> Self {
        Self(error)
    }
}

/// Shows no text of the cause, which may be the user's.
impl fmt::Debug for ErrorCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The texts of the user that an error may repeat: the message of the run and those that it took, and the parameters
/// of a call. Messages are read from the log when they are needed, since they may be large.
#[derive(Clone)]
pub(crate) struct UserTexts {
    handle: RunHandle,
    /// The offset of the message.
    accepted: Offset,
    parameters: Option<Json>,
}

impl UserTexts {
    pub(crate) fn new(handle: RunHandle, accepted: Offset) -> Self {
        Self { handle, accepted, parameters: None }
    }

    /// Adds the parameters of a call.
    pub(crate) fn and(&self, parameters: Json) -> Self {
        Self { parameters: Some(parameters), ..self.clone() }
    }

    /// Returns a cause as it may be logged.
    pub(crate) async fn redact(&self, cause: &ErrorCause) -> String {
        let Some(mut texts) = self.messages().await else {
            return "withheld: the user's messages, which it may repeat, cannot be read back".to_owned();
        };
        if let Some(parameters) = &self.parameters {
            texts.push(parameters.as_str().to_owned());
            strings(parameters.to_value(), &mut texts);
        }
        chain(cause, &texts)
    }

    async fn messages(&self) -> Option<Vec<String>> {
        let taken = self.handle.taken();
        if taken.len() > MESSAGES_MAX {
            return None;
        }
        let mut texts = Vec::new();
        for offset in std::iter::once(self.accepted).chain(taken) {
            texts.push(self.message(offset).await?);
        }
        Some(texts)
    }

    async fn message(&self, offset: Offset) -> Option<String> {
        let after = Offset(offset.0.checked_sub(1)?);
        let lines = self.handle.read(after, ReadLimit { entries_max: 1, bytes_max: 1 }).await.ok()?;
        let (_, line) = lines.iter().next()?;
        let (_, entry) = quintet_wire::entry::decode(&line).ok()?;
        let entry = entry.into_run()?;
        match entry.body {
            Body::UserMessage { text, .. } if entry.offset == offset => Some(text),
            Body::UserMessage { .. } | Body::Event { .. } => None,
        }
    }
}

impl fmt::Debug for UserTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserTexts").finish_non_exhaustive()
    }
}

/// Messages of a run that are compared with an error; the error of a run with more is withheld.
const MESSAGES_MAX: usize = 64;

/// Adds the strings in a value, which is of bounded depth.
fn strings(value: Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.into_iter().for_each(|value| strings(value, texts)),
        Value::Object(fields) => fields.into_iter().for_each(|(_, value)| strings(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns the messages of a cause and of its sources, outermost first, without what they repeat of `texts`.
pub(crate) fn chain(cause: &ErrorCause, texts: &[String]) -> String {
    let mut messages = String::new();
    let mut next: Option<&(dyn Error + 'static)> = Some(&*cause.0);
    for _ in 0..SOURCES_MAX {
        let Some(error) = next else { break };
        if !messages.is_empty() {
            messages += ": ";
        }
        messages += &match error.downcast_ref::<serde_json::Error>() {
            Some(json) => {
                format!("{:?} error in JSON, line {} column {}", json.classify(), json.line(), json.column())
            }
            None => error.to_string(),
        };
        if messages.len() > CHAIN_BYTES_MAX {
            messages.truncate(messages.floor_char_boundary(CHAIN_BYTES_MAX));
            messages.push('…');
            break;
        }
        next = error.source();
    }
    masked(&messages, texts)
}

/// Returns `message` without the parts that one of `texts` has too: runs of [`SHARED_CHARS`] or more characters,
/// and shorter texts as a whole. The cost is linear in the texts.
fn masked(message: &str, texts: &[String]) -> String {
    let chars: Vec<char> = message.chars().collect();
    let mut shared = vec![false; chars.len()];
    for text in texts {
        let text: Vec<char> = text.trim().chars().collect();
        let width = text.len().min(SHARED_CHARS);
        if width < SHORTEST_CHARS {
            continue;
        }
        let own: HashSet<&[char]> = chars.windows(width).collect();
        let common: HashSet<&[char]> = text.windows(width).filter(|part| own.contains(part)).collect();
        for (at, part) in chars.windows(width).enumerate() {
            if common.contains(part) {
                shared[at..at + width].fill(true);
            }
        }
    }
    let mut masked = String::new();
    for (at, char) in chars.into_iter().enumerate() {
        match shared[at] {
            false => masked.push(char),
            true if at == 0 || !shared[at - 1] => masked.push('…'),
            true => {}
        }
    }
    masked
}

/// Characters in a row that an error may not have in common with a text of the user.
const SHARED_CHARS: usize = 8;

/// Shortest text that is masked as a whole; a shorter one is part of most messages.
const SHORTEST_CHARS: usize = 3;

/// Greatest number of errors of a chain that are logged.
const SOURCES_MAX: usize = 16;

/// Greatest length of a logged chain, in bytes.
const CHAIN_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot load {what}")]
    struct Outer {
        what: &'static str,
        #[source]
        source: std::num::ParseIntError,
    }

    #[test]
    fn a_chain_has_every_source() {
        let source = "x".parse::<u8>().unwrap_err();
        let cause = ErrorCause::new(Outer { what: "the table", source }.into());
        assert_eq!(chain(&cause, &[]), "cannot load the table: invalid digit found in string");
        assert_eq!(format!("{cause:?}"), "…");
    }

    #[test]
    fn auth_6_what_the_user_wrote_is_masked() {
        let cause = |text: &str| ErrorCause::new(format!("no file {text} in the folder").into());
        let diary = "Dear diary, today I stole a bicycle.";
        assert_eq!(chain(&cause(diary), &[diary.into()]), "no file … in the folder");
        assert_eq!(chain(&cause("stole a bicycle"), &[diary.into()]), "no file… in the folder");
        assert_eq!(chain(&cause("hunter2"), &["x".into(), "hunter2".into()]), "no file … in the folder");
        assert_eq!(chain(&cause("x"), &["a".into(), String::new()]), "no file x in the folder");
    }

    #[test]
    fn auth_6_a_json_error_shows_no_value() {
        let quoting = serde_json::from_str::<u8>(r#""open \u0073esame""#).unwrap_err();
        assert!(quoting.to_string().contains("sesame"));
        assert_eq!(chain(&ErrorCause::new(quoting.into()), &[]), "Data error in JSON, line 1 column 18");
    }
}
