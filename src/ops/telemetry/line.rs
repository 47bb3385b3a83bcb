//! Formats a log line: no control characters except the final line feed, no bidirectional formatting
//! characters, at most `log_line_bytes_max` bytes.

use std::fmt::{self, Write};

use serde_json::Value;
use tracing::Level;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime},
};

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFormat {
    Text,
    Json,
}

/// Formats lines in one format.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineFormatter {
    pub form: LineFormat,
    pub bytes_max: usize,
}

impl LineFormatter {
    /// Escapes and truncates a line from the formatting layer.
    pub fn finish(&self, formatted: &[u8]) -> Vec<u8> {
        // The layer writes UTF-8; invalid bytes would be replaced.
        let text = String::from_utf8_lossy(formatted);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = String::with_capacity(text.len() + 1);
        match self.form {
            // Field values are already escaped; the remaining control characters are terminal colours.
            LineFormat::Text => line.push_str(text),
            // Outside strings, JSON is ASCII, so escaping preserves it. Writing to a string cannot fail.
            LineFormat::Json => _ = Escaped(&mut line).write_str(text),
        }
        if line.len() > self.bytes_max {
            return self.cut(&line);
        }
        line.push('\n');
        line.into_bytes()
    }

    /// Formats an event that bypasses the subscriber.
    pub fn event(&self, level: Level, message: &str, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut line = String::new();
        let time = timestamp();
        // Writing to a string cannot fail.
        let _ = match self.form {
            LineFormat::Text => write!(line, "{time} {level:>5} {message}"),
            LineFormat::Json => {
                write!(line, r#"{{"timestamp":"{time}","level":"{level}","message":{}"#, json(message))
            }
        };
        for (name, value) in fields {
            let _ = match self.form {
                LineFormat::Text => write!(Escaped(&mut line), " {name}={value}"),
                LineFormat::Json => write!(Escaped(&mut line), r#","{name}":{}"#, json(value)),
            };
        }
        if self.form == LineFormat::Json {
            line.push('}');
        }
        line.push('\n');
        line.into_bytes()
    }

    /// Truncates a line. Truncated JSON would not parse, so its beginning becomes a field of a new event.
    fn cut(&self, line: &str) -> Vec<u8> {
        let bytes = line.len().to_string();
        match self.form {
            LineFormat::Text => {
                format!("{}… ({bytes} bytes)\n", beginning(line, self.bytes_max)).into_bytes()
            }
            LineFormat::Json => {
                // Escaping the quotes again can double the length.
                let line = beginning(line, self.bytes_max / 4);
                self.event(Level::WARN, "log line too long", &[("bytes", &bytes), ("line", line)])
            }
        }
    }
}

fn beginning(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

fn json(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn timestamp() -> String {
    let mut time = String::new();
    // On failure the event has no timestamp.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    time
}

/// Escapes control and invisible formatting characters in the form `\u009b`.
pub(super) struct Escaped<'a, W>(pub &'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| is_hidden(*c)) {
            self.0.write_str(&text[plain..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(self.0, "\\u{unit:04x}")?;
            }
            plain = at + c.len_utf8();
        }
        self.0.write_str(&text[plain..])
    }
}

/// Returns whether a character is escaped: C0, DEL and C1 controls, bidirectional formatting, line
/// separators, and zero-width characters. Terminals interpret some of them; others alter how the text is
/// displayed.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_bidirectional_marks_are_escaped_and_json_stays_the_same_value() {
        let name = "a\u{9b}31mb\u{202e}c\u{2066}\u{7f}\u{85}\u{200f}\u{e0041}é中";
        let event = serde_json::json!({ "user_id": name });
        let lines = LineFormatter { form: LineFormat::Json, bytes_max: 1_000 };
        let line = String::from_utf8(lines.finish(format!("{event}\n").as_bytes())).unwrap();
        assert!(line.contains(r"a\u009b31mb\u202ec\u2066\u007f\u0085\u200f\udb40\udc41é中"), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), event);
        for c in (0..=char::MAX as u32).filter_map(char::from_u32) {
            let mut escaped = String::new();
            write!(Escaped(&mut escaped), "{c}").unwrap();
            assert_eq!(escaped.starts_with("\\u"), is_hidden(c), "{c:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_and_json_still_parses() {
        let long = serde_json::json!({ "error": "\"é".repeat(5_000) }).to_string();
        for form in [LineFormat::Text, LineFormat::Json] {
            let lines = LineFormatter { form, bytes_max: 1_024 };
            let line = String::from_utf8(lines.finish(long.as_bytes())).unwrap();
            assert!(line.len() < 1_100 && line.ends_with('\n'), "{}", line.len());
            assert!(line.contains(&long.len().to_string()), "{line}");
            if form == LineFormat::Json {
                let event: Value = serde_json::from_str(&line).unwrap();
                assert!(long.starts_with(event["line"].as_str().unwrap()));
            }
        }
    }

    #[test]
    fn internal_event_is_one_line_in_both_forms() {
        let fields = [("place", "a\nb\u{9b}")];
        let text =
            LineFormatter { form: LineFormat::Text, bytes_max: 100 }.event(Level::ERROR, "panic", &fields);
        let text = String::from_utf8(text).unwrap();
        assert!(text.ends_with("ERROR panic place=a\\u000ab\\u009b\n"), "{text}");
        let json =
            LineFormatter { form: LineFormat::Json, bytes_max: 100 }.event(Level::ERROR, "panic", &fields);
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((&json["message"], &json["place"]), (&"panic".into(), &"a\nb\u{9b}".into()));
    }
}
