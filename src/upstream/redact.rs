//! Credentials in texts of upstreams.
//!
//! Guarantee: no text that has passed a [`Redactor`] has one of its secrets, nor ends with the beginning of one of
//! [`SECRET_BYTES_MIN`] bytes and more, as a text that was cut may (AUTH-6).

use std::fmt;

use crate::secret::Secret;

/// Removes secrets from texts. `Debug` does not print them.
#[derive(Clone, Default)]
pub struct Redactor(Vec<String>);

impl Redactor {
    /// Creates a redactor of these texts; those shorter than [`SECRET_BYTES_MIN`] are words and are left.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut all: Vec<String> = secrets.into_iter().map(Into::into).collect();
        // As the secret is written within JSON.
        let escaped = all.iter().map(|secret| secret.replace('\\', "\\\\").replace('"', "\\\""));
        let escaped: Vec<_> = escaped.collect();
        all.extend(escaped);
        all.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        // A secret that is a part of another one comes after it.
        all.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        all.dedup();
        Self(all)
    }

    /// Creates a redactor of credentials.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        Self::new(secrets.into_iter().map(Secret::expose))
    }

    /// Returns a text without the secrets, each of which is replaced by `…`.
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(&**secret) {
                text = text.replace(&**secret, "…");
            }
        }
        let begun = |secret: &String| {
            let begins = (SECRET_BYTES_MIN..secret.len()).rev().filter(|end| secret.is_char_boundary(*end));
            begins.map(|end| &secret[..end]).find(|begin| text.ends_with(begin)).map(str::len)
        };
        if let Some(bytes) = self.0.iter().filter_map(begun).max() {
            text.truncate(text.len() - bytes);
            text.push('…');
        }
        text
    }

    /// Returns a text on one line, without the secrets, of at most `chars_max` characters.
    pub fn line(&self, text: &str, chars_max: usize) -> String {
        let text = self.hide(text);
        let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let line = words.collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(chars_max) {
            None => line,
            Some((end, _)) => format!("{}…", &line[..end]),
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redactor").field(&self.0.len()).finish()
    }
}

/// Length from which a text counts as a secret, in bytes; shorter ones are words.
pub const SECRET_BYTES_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_6_secrets_are_replaced_also_where_they_are_cut_or_escaped() {
        let redactor = Redactor::new(["sk-0123456789", "sk-0123456789-long", "word", "with\"quote\\s"]);
        assert_eq!(redactor.hide("a sk-0123456789-long, sk-0123456789 word"), "a …, … word");
        assert_eq!(redactor.hide("cut: sk-012345"), "cut: …");
        assert_eq!(redactor.hide("cut: sk-0123"), "cut: sk-0123");
        assert_eq!(redactor.hide(r#"{"a":"with\"quote\\s"}"#), r#"{"a":"…"}"#);
        assert_eq!(redactor.line(" bad\n\tkey  sk-0123456789\0!", 100), "bad key … !");
        assert_eq!(redactor.line("ééé", 2), "éé…");
        assert!(!format!("{redactor:?}").contains("0123"));
    }
}
