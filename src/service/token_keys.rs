//! The keys and claims of the tokens that a production service accepts.

use std::path::PathBuf;

use crate::{
    gateway::key::{KeyError, VerifyingKey, secret::HmacSecret},
    ops::config::{ConfigError, LoadedSettings, Raw},
};

/// The tokens that a production service accepts: JWTs signed with these keys, with these claims. The user is
/// the `sub` claim.
///
/// The kind of a key is stated and never guessed (AUTH-5). A key set comes with the audience of its tokens,
/// since its issuer may issue tokens for other applications too.
///
/// # Examples
///
/// ```
/// use quintet::TokenKeys;
///
/// let keys = TokenKeys::hmac_secret("JqU7XbVt0pQ2nL4sR8wY1zA5cE9gK3mH6dF")?.issuer("https://id.example.org");
/// # let _ = keys;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenKeys {
    source: KeyOrigin,
    audience: Option<String>,
    issuer: Option<String>,
    any_audience: bool,
}

#[derive(Clone, Debug)]
enum KeyOrigin {
    Key(Box<VerifyingKey>),
    /// A setting that names a file or a URL.
    Setting(&'static str, String),
}

impl TokenKeys {
    /// Verifies tokens with this HMAC secret (HS256, HS384, HS512).
    ///
    /// # Errors
    /// When it is not one line of 32 to 256 printable ASCII characters, or looks like another kind of key.
    pub fn hmac_secret(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = HmacSecret::from_file(secret.as_ref())?;
        Ok(Self::of(KeyOrigin::Key(Box::new(VerifyingKey::from_secret(&secret)))))
    }

    /// Verifies tokens with this public key in PEM: RSA of at least 2,048 bits, P-256, P-384 or Ed25519.
    ///
    /// # Errors
    /// When it is not exactly one such key.
    pub fn public_key_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        Ok(Self::of(KeyOrigin::Key(Box::new(VerifyingKey::from_public_pem(pem.as_ref())?))))
    }

    /// Verifies tokens with the HMAC secret in this file, which is read by
    /// [`build`](super::ServiceBuilder::build).
    pub fn hmac_secret_file(path: impl Into<PathBuf>) -> Self {
        Self::of(KeyOrigin::Setting("jwt_secret", path.into().display().to_string()))
    }

    /// Verifies tokens with the public key in this file, which is read by
    /// [`build`](super::ServiceBuilder::build).
    pub fn public_key_file(path: impl Into<PathBuf>) -> Self {
        Self::of(KeyOrigin::Setting("jwt_public_key", path.into().display().to_string()))
    }

    /// Verifies tokens for `audience` with the key set (JWKS) at this `https` URL, which is fetched and kept
    /// fresh in the background.
    ///
    /// # Examples
    ///
    /// A key set may sign tokens for several applications, so its tokens are accepted for one of them (AUTH-5):
    ///
    /// ```
    /// use quintet::TokenKeys;
    ///
    /// let keys = TokenKeys::key_set("https://id.example.org/jwks.json", "chat");
    /// ```
    ///
    /// Without an audience this does not compile:
    ///
    /// ```compile_fail,E0061
    /// use quintet::TokenKeys;
    ///
    /// let keys = TokenKeys::key_set("https://id.example.org/jwks.json");
    /// ```
    #[cfg(feature = "jwks")]
    pub fn key_set(url: impl Into<String>, audience: impl Into<String>) -> Self {
        Self::of(KeyOrigin::Setting("jwks_url", url.into())).audience(audience)
    }

    /// Verifies tokens for any audience with the key set (JWKS) at this `https` URL: users of all applications
    /// of its issuer can connect.
    #[cfg(feature = "jwks")]
    pub fn key_set_for_any_audience(url: impl Into<String>) -> Self {
        Self { any_audience: true, ..Self::of(KeyOrigin::Setting("jwks_url", url.into())) }
    }

    /// Requires this audience (`aud`).
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        Self { audience: Some(audience.into()), any_audience: false, ..self }
    }

    /// Requires this issuer (`iss`).
    #[must_use]
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        Self { issuer: Some(issuer.into()), ..self }
    }

    fn of(source: KeyOrigin) -> Self {
        Self { source, audience: None, issuer: None, any_audience: false }
    }

    /// Adds these keys to the settings. Returns the settings, and the key if it is not in a file.
    ///
    /// # Errors
    /// When a value is invalid.
    pub(super) fn apply(
        self,
        mut loaded: LoadedSettings,
    ) -> Result<(LoadedSettings, Option<VerifyingKey>), ConfigError> {
        let mut values = Vec::new();
        let key = match self.source {
            KeyOrigin::Key(key) => Some(*key),
            KeyOrigin::Setting(name, value) => {
                values.push((name, value));
                None
            }
        };
        values.extend(self.audience.map(|audience| ("jwt_audience", audience)));
        values.extend(self.issuer.map(|issuer| ("jwt_issuer", issuer)));
        values.extend(self.any_audience.then(|| ("any_audience", "true".to_owned())));
        for (name, value) in values {
            loaded = loaded.with(name, Raw::Text(value))?;
        }
        Ok((loaded, key))
    }
}
