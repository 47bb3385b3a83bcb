//! Settings that have passed the checks of their mode: the only ones that a service starts with.
//!
//! Guarantee: only the functions of [`CheckedSettings`] construct one, so no caller can start a development service on
//! a public address, or a production service without a key or an origin allow-list (AUTH-4, AUTH-5).

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::error::ServiceError;
use crate::{
    gateway::{
        auth::Keys,
        dev::DevLogin,
        key::{KeyDescription, KeyError, VerifyingKey, file::KeyFile, secret::HmacSecret},
        origins::Origins,
        token::{Audience, ClaimsPolicy},
    },
    ops::config::{
        LoadedSettings, Settings,
        check::{self, KeySource},
    },
};

/// The mode of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Development on one machine: any client can log in as any user, on loopback only.
    Dev,
    /// Production.
    Serve,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dev => "dev",
            Self::Serve => "serve",
        })
    }
}

/// Settings that have passed every check of one [`Mode`], with the keys that were read for them.
///
/// A [`Service`](super::Service) takes no other settings. [`ServiceBuilder`](super::ServiceBuilder) makes one
/// of its own.
pub struct CheckedSettings {
    loaded: LoadedSettings,
    access: AccessMode,
}

impl std::fmt::Debug for CheckedSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // AUTH-6: neither keys nor URLs, which may contain a secret.
        f.debug_struct("CheckedSettings")
            .field("mode", &self.mode())
            .field("keys", &self.key_source())
            .finish()
    }
}

enum AccessMode {
    Dev,
    Production(Box<Verification>),
}

/// The verification of tokens by a production service.
struct Verification {
    keys: VerifiedBy,
    audience: Audience,
}

/// The keys of a production service.
enum VerifiedBy {
    /// A key that the program provides.
    Given(VerifyingKey),
    /// A key that was read from a file.
    File(KeyOfFile),
    /// The key set at this URL.
    #[cfg(feature = "jwks")]
    Set(url::Url),
}

/// A key with the setting and the file that it comes from.
struct KeyOfFile {
    setting: &'static str,
    path: PathBuf,
    key: VerifyingKey,
    file: KeyFile,
}

/// The parts with which the gateway authenticates clients.
pub(super) struct AccessParts {
    pub(super) keys: Keys,
    pub(super) policy: ClaimsPolicy,
    pub(super) origins: Origins,
    /// Issues tokens for any user; `Some` in development only.
    pub(super) dev: Option<Arc<DevLogin>>,
}

impl CheckedSettings {
    /// Checks settings for development: any client can log in as any user, so both addresses must be on
    /// loopback, and no key may be configured (AUTH-5).
    ///
    /// # Errors
    /// When an address is not on loopback, a key is configured, or a value is out of its range.
    pub fn dev(settings: impl Into<LoadedSettings>) -> Result<Self, ServiceError> {
        let loaded = settings.into();
        check::dev(&loaded)?;
        Ok(Self { loaded, access: AccessMode::Dev })
    }

    /// Checks settings for production and reads the configured key file: exactly one source of keys, an
    /// audience if it is a key set, and at least one allowed origin (AUTH-4, AUTH-5).
    ///
    /// # Errors
    /// When a setting is missing, a value is out of its range, or the key file holds no valid key.
    pub fn production(settings: impl Into<LoadedSettings>) -> Result<Self, ServiceError> {
        Self::with_keys(settings.into(), None)
    }

    /// Checks settings for production with a key of the program, which replaces the configured source of keys.
    pub(super) fn with_keys(
        loaded: LoadedSettings,
        given: Option<VerifyingKey>,
    ) -> Result<Self, ServiceError> {
        check::production(&loaded, given.is_some())?;
        let audience = check::audience(&loaded.settings)?;
        let keys = match given {
            Some(key) => VerifiedBy::Given(key),
            None => VerifiedBy::configured(&loaded.settings)?,
        };
        Ok(Self { loaded, access: AccessMode::Production(Box::new(Verification { keys, audience })) })
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.loaded.settings
    }

    /// Returns the mode that the settings were checked for.
    pub fn mode(&self) -> Mode {
        match self.access {
            AccessMode::Dev => Mode::Dev,
            AccessMode::Production(_) => Mode::Serve,
        }
    }

    /// Returns the source of the keys that verify tokens, for the log.
    pub fn key_source(&self) -> &'static str {
        match &self.access {
            AccessMode::Dev => "throw-away",
            AccessMode::Production(verification) => match &verification.keys {
                VerifiedBy::Given(_) => "program",
                VerifiedBy::File(file) => file.setting,
                #[cfg(feature = "jwks")]
                VerifiedBy::Set(_) => "jwks_url",
            },
        }
    }

    /// Logs warnings about ignored settings, and about a configuration file with secrets that other users can
    /// read (AUTH-6).
    pub(super) fn log_warnings(&self) {
        if !self.loaded.service_links.is_empty() {
            let variables = self.loaded.service_links.join(", ");
            tracing::warn!(variables, "variables of Kubernetes service links are ignored");
        }
        if let Some(path) = self.loaded.exposed_file() {
            tracing::warn!(path = %path.display(), "every user of this machine can read a secret in the configuration: chmod o-rwx");
        }
    }

    /// Returns the keys, claims and origins that the gateway accepts on `listen`.
    ///
    /// # Errors
    /// When a development service would listen on an address that is not on loopback (AUTH-5), or its key
    /// cannot be made.
    pub(super) fn admission(&self, listen: SocketAddr) -> Result<AccessParts, ServiceError> {
        let settings = self.settings();
        let limits = settings.gateway;
        let listed = Origins::parse(settings.allow_origin.iter().map(String::as_str))?;
        let (keys, audience, origins, dev) = match &self.access {
            AccessMode::Production(verification) => {
                let Verification { keys, audience } = &**verification;
                (keys.start(settings)?, audience.clone(), listed, None)
            }
            AccessMode::Dev => {
                // The bound address, which may differ from the configured one.
                check::loopback("listen", listen, self.loaded.source("listen"))?;
                let login = DevLogin::throw_away()?;
                let keys = Keys::Fixed(Arc::new(login.verifying_key()));
                (keys, Audience::Any, listed.and(Origins::of_loopback()), Some(Arc::new(login)))
            }
        };
        let policy = ClaimsPolicy {
            audience,
            issuer: settings.jwt_issuer.clone(),
            clock_skew_ms_max: limits.clock_skew_ms_max,
            lifetime_ms_max: limits.token_lifetime_ms_max,
        };
        Ok(AccessParts { keys, policy, origins, dev })
    }
}

impl VerifiedBy {
    /// Reads the configured key file, or parses the configured URL (AUTH-5).
    fn configured(settings: &Settings) -> Result<Self, ServiceError> {
        let (setting, path) = match check::key_source(settings)? {
            KeySource::Secret(path) => ("jwt_secret", path),
            KeySource::PublicKey(path) => ("jwt_public_key", path),
            KeySource::Jwks(url) => return Self::set(url),
        };
        Ok(Self::File(KeyOfFile::read(setting, path.to_owned())?))
    }

    #[cfg(feature = "jwks")]
    fn set(url: &str) -> Result<Self, ServiceError> {
        url::Url::parse(url).map(Self::Set).map_err(|error| ServiceError::Jwks(error.to_string()))
    }

    #[cfg(not(feature = "jwks"))]
    fn set(_: &str) -> Result<Self, ServiceError> {
        Err(ServiceError::Jwks("this program is built without the feature `jwks`".to_owned()))
    }

    /// Returns the keys for the gateway; begins to fetch a key set.
    fn start(&self, settings: &Settings) -> Result<Keys, ServiceError> {
        match self {
            Self::Given(key) => {
                tracing::info!(key = %key.description(), "verification key set by the program");
                warn_of_audience(settings, key);
                Ok(Keys::Fixed(Arc::new(key.clone())))
            }
            Self::File(KeyOfFile { setting, path, key, file }) => {
                tracing::info!(setting, path = %path.display(), key = %key.description(), "verification key read");
                warn_of_access(setting, path, key, file);
                warn_of_audience(settings, key);
                Ok(Keys::Fixed(Arc::new(key.clone())))
            }
            #[cfg(feature = "jwks")]
            Self::Set(url) => {
                if settings.any_audience {
                    tracing::warn!(
                        "any_audience is set: tokens of this issuer for other applications are accepted too"
                    );
                }
                let jwks = crate::gateway::jwks::Jwks::start(url.clone(), settings.gateway);
                Ok(Keys::Set(jwks.map_err(|error| ServiceError::Jwks(error.without_url().to_string()))?))
            }
        }
    }
}

impl KeyOfFile {
    fn read(setting: &'static str, path: PathBuf) -> Result<Self, ServiceError> {
        let file = match KeyFile::read(&path) {
            Ok(file) => file,
            Err(source) => return Err(ServiceError::KeyFile { name: setting, path, source }),
        };
        let key = match setting {
            "jwt_secret" => HmacSecret::from_file(&file.contents)
                .map_err(KeyError::from)
                .map(|secret| VerifyingKey::from_secret(&secret)),
            _ => VerifyingKey::from_public_pem(&file.contents),
        };
        match key {
            Ok(key) => Ok(Self { setting, path, key, file }),
            Err(source) => Err(ServiceError::Key { name: setting, path, source }),
        }
    }
}

/// Returns the setting and description of the configured key file, for `check-config`; `None` without one.
///
/// # Errors
/// When a production service would refuse the file.
pub fn described_key(settings: &Settings) -> Result<Option<(&'static str, KeyDescription)>, ServiceError> {
    if check::key_source(settings).is_err() {
        return Ok(None);
    }
    match VerifiedBy::configured(settings)? {
        VerifiedBy::File(file) => Ok(Some((file.setting, file.key.description().clone()))),
        _ => Ok(None),
    }
}

fn warn_of_audience(settings: &Settings, key: &VerifyingKey) {
    if settings.jwt_audience.is_none() && key.is_costly() {
        tracing::warn!(
            "jwt_audience is not set: tokens of this issuer for other applications are accepted too"
        );
    }
}

/// Warns about a secret that other users can read, and a key that they can replace (AUTH-6).
fn warn_of_access(setting: &str, path: &Path, key: &VerifyingKey, file: &KeyFile) {
    let is_secret = !key.is_costly();
    if is_secret && file.is_readable_by_others {
        tracing::warn!(setting, path = %path.display(), "every user of this machine can read the secret: chmod o-rwx");
    }
    if file.is_writable_by_others {
        tracing::warn!(setting, path = %path.display(), "users other than its owner can change the key: chmod go-w");
    }
}
