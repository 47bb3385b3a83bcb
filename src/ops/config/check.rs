//! What a command needs of the settings before it starts.

use super::{ConfigError, Loaded, Source};

/// What fits together and what does not, whatever the command.
pub fn consistent(loaded: &Loaded) -> Result<(), ConfigError> {
    let gateway = &loaded.settings.gateway;
    let pairs = [
        (
            "ticket_ttl_ms_default",
            gateway.ticket_ttl_ms_default,
            "ticket_ttl_ms_max",
            gateway.ticket_ttl_ms_max,
        ),
        ("jwks_fresh_ms_max", gateway.jwks_fresh_ms_max, "jwks_stale_ms_max", gateway.jwks_stale_ms_max),
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

/// `quintet dev`: loopback only, and a key of its own.
pub fn dev(loaded: &Loaded) -> Result<(), ConfigError> {
    consistent(loaded)?;
    let settings = &loaded.settings;
    for (name, address) in [("listen", settings.listen), ("admin_listen", settings.admin_listen)] {
        if !address.ip().is_loopback() {
            let why = format!(
                "is {address}; `quintet dev` lets anybody log in as anyone and so stays on loopback. \
                 Use 127.0.0.1, or `quintet serve`"
            );
            return Err(ConfigError::Invalid { name, source_: loaded.source(name), why });
        }
    }
    for name in ["jwt_key", "jwks_url", "jwt_audience", "jwt_issuer"] {
        let source_ = loaded.source(name);
        if source_ != Source::Default {
            let why = "`quintet dev` makes a key of its own; this setting is for `quintet serve`".to_owned();
            return Err(ConfigError::Invalid { name, source_, why });
        }
    }
    Ok(())
}

/// `quintet serve`: a way to verify tokens and a list of origins, or no service (AUTH-4, AUTH-5).
pub fn serve(loaded: &Loaded) -> Result<(), ConfigError> {
    consistent(loaded)?;
    let settings = &loaded.settings;
    let mut missing = Vec::new();
    match (&settings.jwt_key, &settings.jwks_url) {
        (None, None) => missing.push(
            "a key that verifies tokens: --jwt-key FILE (HMAC secret or public key in PEM) or --jwks-url URL",
        ),
        (Some(_), Some(_)) => {
            let why = "is set beside jwt_key; only one of the two can say which keys count".to_owned();
            return Err(ConfigError::Invalid { name: "jwks_url", source_: loaded.source("jwks_url"), why });
        }
        _ => {}
    }
    if settings.allow_origin.is_empty() {
        missing.push(
            "the browser origins that may connect: --allow-origin https://chat.example.org (repeatable)",
        );
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list: String = missing.iter().map(|what| format!("\n  - {what}")).collect();
    Err(ConfigError::Missing(format!("`quintet serve` does not start without{list}")))
}
