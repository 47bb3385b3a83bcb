//! Credentials.

use std::{env, fmt, fs, io, path::Path};

use http::HeaderValue;

/// A credential, such as the key of a model provider. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The reason for which there is no secret. Operator fault; never contains the secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret in {path} cannot be read: {source}")]
    File {
        /// The file.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The variable is not set, or not UTF-8.
    #[error("the variable {0} is not set")]
    Variable(String),
    /// The secret is not one line of 1 to 8,192 visible ASCII characters.
    #[error("{0} is not one line of 1 to 8192 visible ASCII characters")]
    Malformed(String),
}

impl Secret {
    /// Creates a secret; `origin` names it in an error.
    ///
    /// # Errors
    ///
    /// Returns [`SecretError::Malformed`] unless it is one line of 1 to 8,192 visible ASCII characters.
    pub fn new(secret: impl Into<String>, origin: &str) -> Result<Self, SecretError> {
        let secret = secret.into();
        let line = secret.trim_end_matches(['\r', '\n']);
        let is_valid =
            (1..=SECRET_BYTES_MAX).contains(&line.len()) && line.bytes().all(|b| b.is_ascii_graphic());
        if is_valid { Ok(Self(line.to_owned())) } else { Err(SecretError::Malformed(origin.to_owned())) }
    }

    /// Reads a secret from a file of one line.
    ///
    /// # Errors
    ///
    /// Returns [`SecretError`] if the file cannot be read, or is not a secret.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let shown = path.display().to_string();
        let text =
            fs::read_to_string(path).map_err(|source| SecretError::File { path: shown.clone(), source })?;
        Self::new(text, &shown)
    }

    /// Reads a secret from an environment variable.
    ///
    /// # Errors
    ///
    /// Returns [`SecretError`] if the variable is not set, or is not a secret.
    pub fn from_variable(name: &str) -> Result<Self, SecretError> {
        let text = env::var(name).map_err(|_| SecretError::Variable(name.to_owned()))?;
        Self::new(text, name)
    }

    /// Returns the secret.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the value of a header: `prefix`, then the secret. It is marked as sensitive.
    pub fn header(&self, prefix: &str) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("{prefix}{}", self.0)).expect("visible ASCII");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Longest secret, in bytes.
const SECRET_BYTES_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_visible_line_and_is_not_printed() {
        let secret = Secret::new("sk-1234\n", "key").unwrap();
        assert_eq!(secret.expose(), "sk-1234");
        assert!(!format!("{secret:?} {:?}", secret.header("Bearer ")).contains("1234"));
        for bad in ["", "\n", "a b", "a\nb", "é", "a\0"] {
            let error = Secret::new(bad, "key").unwrap_err().to_string();
            assert_eq!(error, "key is not one line of 1 to 8192 visible ASCII characters");
        }
        assert!(Secret::new("x".repeat(SECRET_BYTES_MAX + 1), "key").is_err());
    }
}
