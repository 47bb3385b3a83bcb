//! Formats the fields of an event or span as text: `name=value`, with escaped values.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

use super::line::Escaped;

/// Formats fields like tracing-subscriber's text format, but escapes control characters.
pub(super) struct EscapedFields;

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { writer, separator: "", outcome: Ok(()) };
        fields.record(&mut visitor);
        visitor.outcome
    }
}

struct Visitor<'w> {
    writer: Writer<'w>,
    separator: &'static str,
    outcome: fmt::Result,
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // `log.*` fields duplicate the metadata of events from the `log` crate.
        if self.outcome.is_err() || field.name().starts_with("log.") {
            return;
        }
        let separator = std::mem::replace(&mut self.separator, " ");
        self.outcome = match field.name() {
            MESSAGE => write!(Escaped(&mut self.writer), "{separator}{value:?}"),
            name => write!(Escaped(&mut self.writer), "{separator}{name}={value:?}"),
        };
    }
}

const MESSAGE: &str = "message";
