//! Checks of the settings that each command requires before it starts.

use std::{net::SocketAddr, path::Path};

use super::{ConfigError, LoadedSettings, Raw, Settings, Source, table};
use crate::gateway::token::Audience;

/// Checks that all values are in their ranges and do not contradict each other, for any command.
///
/// # Errors
/// When a value of the program is out of its range, or a lower bound exceeds its upper bound.
pub fn consistent(loaded: &LoadedSettings) -> Result<(), ConfigError> {
    in_range(loaded)?;
    model(&loaded.settings)?;
    let gateway = &loaded.settings.gateway;
    let pairs = [
        (
            "ticket_ttl_ms_default",
            gateway.ticket_ttl_ms_default,
            "ticket_ttl_ms_max",
            gateway.ticket_ttl_ms_max,
        ),
        ("jwks_refresh_interval_ms", gateway.jwks_refresh_interval_ms, "jwks_ttl_ms", gateway.jwks_ttl_ms),
    ];
    for (low, low_value, high, high_value) in pairs {
        if low_value > high_value {
            let source_ =
                [low, high].map(|name| loaded.source(name)).into_iter().find(|s| *s != Source::Default);
            let why = format!("is {low_value}, over {high}, which is {high_value}");
            return Err(ConfigError::Invalid { name: low, source_: source_.unwrap_or_default(), why });
        }
    }
    Ok(())
}

/// Checks that the settings of a language model are complete and do not contradict each other.
fn model(settings: &Settings) -> Result<(), ConfigError> {
    let agents = &settings.agent_settings;
    let missing = |message: &str| Err(ConfigError::Missing(message.to_owned()));
    match (&agents.llm_url, &agents.llm_model) {
        (Some(_), None) => return missing("llm_url needs llm_model, the name of the model at that address"),
        (None, Some(_)) => return missing("llm_model needs llm_url, the address of the model"),
        (None, None) if agents.llm_api.is_some() || agents.llm_key_file.is_some() => {
            return missing("llm_api and llm_key_file need llm_url and llm_model");
        }
        _ => {}
    }
    if agents.llm_key.is_some() && agents.llm_key_file.is_some() {
        return missing("llm_key and llm_key_file exclude each other");
    }
    Ok(())
}

/// Checks the values that a program wrote into [`Settings`]: each is parsed again, as from a file.
fn in_range(loaded: &LoadedSettings) -> Result<(), ConfigError> {
    let mut parsed = loaded.settings.clone();
    for (setting, text) in loaded.unparsed(&table()) {
        let typed = format!("value = {text}").parse::<toml::Table>().ok();
        let raw = typed.as_ref().and_then(|table| table.get("value")).map(Raw::from_toml);
        (setting.write)(&mut parsed, raw.unwrap_or(Raw::Text(text))).map_err(|why| ConfigError::Invalid {
            name: setting.name,
            source_: Source::Program,
            why,
        })?;
    }
    Ok(())
}

/// Checks the settings of `quintet dev`: loopback addresses, and no configured keys.
///
/// # Errors
/// When an address is not on loopback, or a setting of keys or claims is present.
pub fn dev(loaded: &LoadedSettings) -> Result<(), ConfigError> {
    consistent(loaded)?;
    let settings = &loaded.settings;
    for (name, address) in [("listen", settings.listen), ("admin_listen", settings.admin_listen)] {
        loopback(name, address, loaded.source(name))?;
    }
    for name in ["jwt_secret", "jwt_public_key", "jwks_url", "jwt_audience", "any_audience", "jwt_issuer"] {
        let source_ = loaded.source(name);
        if source_ != Source::Default {
            let why = "`quintet dev` makes a key of its own; this setting is for `quintet serve`".to_owned();
            return Err(ConfigError::Invalid { name, source_, why });
        }
    }
    Ok(())
}

/// Checks that `quintet dev` listens on loopback only, since any client can log in as any user (AUTH-5).
///
/// # Errors
/// When the address is not a loopback address.
pub fn loopback(name: &'static str, address: SocketAddr, source_: Source) -> Result<(), ConfigError> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let why = format!(
        "is {address}; `quintet dev` logs in every caller as any user and so stays on loopback. Use 127.0.0.1, \
         or `quintet serve`"
    );
    Err(ConfigError::Invalid { name, source_, why })
}

/// The configured source of verification keys. Its kind is explicit, never guessed (AUTH-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource<'a> {
    /// A file with an HMAC secret.
    Secret(&'a Path),
    /// A file with a public key in PEM.
    PublicKey(&'a Path),
    /// The URL of a key set.
    Jwks(&'a str),
}

/// Returns the configured source of verification keys.
///
/// # Errors
/// When none or several are configured.
pub fn key_source(settings: &Settings) -> Result<KeySource<'_>, ConfigError> {
    match (&settings.jwt_secret, &settings.jwt_public_key, &settings.jwks_url) {
        (Some(path), None, None) => Ok(KeySource::Secret(path)),
        (None, Some(path), None) => Ok(KeySource::PublicKey(path)),
        (None, None, Some(url)) => Ok(KeySource::Jwks(url)),
        (None, None, None) => {
            Err(ConfigError::Missing(format!("`quintet serve` does not start without\n  - {KEY}")))
        }
        _ => Err(several_keys()),
    }
}

fn several_keys() -> ConfigError {
    ConfigError::Missing(
        "jwt_secret, jwt_public_key and jwks_url exclude each other: only one source of keys is allowed"
            .to_owned(),
    )
}

/// Returns the required audience of tokens.
///
/// # Errors
/// When a key set is used without an audience: its issuer may issue tokens for other applications too.
pub fn audience(settings: &Settings) -> Result<Audience, ConfigError> {
    match (&settings.jwt_audience, settings.any_audience) {
        (Some(audience), false) => Ok(Audience::Named(audience.clone())),
        (Some(_), true) => {
            Err(ConfigError::Missing("jwt_audience and any_audience exclude each other".to_owned()))
        }
        (None, false) if settings.jwks_url.is_some() => {
            Err(ConfigError::Missing(format!("`quintet serve` does not start without\n  - {AUDIENCE}")))
        }
        (None, _) => Ok(Audience::Any),
    }
}

/// Checks the settings of `quintet serve`: verification keys, an audience if a key set is used, and an origin
/// allow-list (AUTH-4, AUTH-5).
///
/// # Errors
/// Lists everything that is missing.
pub fn serve(loaded: &LoadedSettings) -> Result<(), ConfigError> {
    production(loaded, false)
}

/// Performs the checks of [`serve`]. With `has_key`, the program provides the key, and the settings must not.
///
/// # Errors
/// Lists everything that is missing.
pub fn production(loaded: &LoadedSettings, has_key: bool) -> Result<(), ConfigError> {
    consistent(loaded)?;
    let settings = &loaded.settings;
    let without_keys =
        settings.jwt_secret.is_none() && settings.jwt_public_key.is_none() && settings.jwks_url.is_none();
    if has_key && !without_keys {
        return Err(several_keys());
    }
    let without_keys = without_keys && !has_key;
    let without_audience =
        settings.jwks_url.is_some() && settings.jwt_audience.is_none() && !settings.any_audience;
    let needed =
        [(without_keys, KEY), (without_audience, AUDIENCE), (settings.allow_origin.is_empty(), ORIGINS)];
    let list: String =
        needed.iter().filter(|(missing, _)| *missing).map(|(_, what)| format!("\n  - {what}")).collect();
    if !list.is_empty() {
        return Err(ConfigError::Missing(format!("`quintet serve` does not start without{list}")));
    }
    if !has_key {
        key_source(settings)?;
    }
    audience(settings)?;
    Ok(())
}

const KEY: &str =
    "a key that verifies tokens: --jwt-secret FILE (HMAC), --jwt-public-key FILE (PEM) or --jwks-url URL";
const AUDIENCE: &str = "the audience of its tokens: --jwt-audience TEXT; or, if tokens for every application of the issuer are \
     to be accepted, --any-audience";
const ORIGINS: &str =
    "the browser origins that may connect: --allow-origin https://chat.example.org (repeatable)";
