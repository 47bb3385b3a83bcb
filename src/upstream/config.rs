//! Parts of the configuration of an upstream, which models, tool servers and remote agents share.

use quintet_runtime::limits::Limit;
use serde_json::{Map, Value};
use url::Url;

/// A limit that is not a number in its range. Operator fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not a number from {min} to {max}")]
pub struct OutOfRange {
    /// The limit.
    pub name: &'static str,
    /// The smallest value.
    pub min: u64,
    /// The largest value.
    pub max: u64,
}

/// Removes the limits of `table` from the keys of a configuration, and writes them to `limits`.
///
/// # Errors
///
/// Returns [`OutOfRange`] for the first limit that is not a number in its range.
///
/// # Examples
///
/// ```
/// use quintet_upstream::{config::take_limits, retry::RetryLimits};
///
/// let mut keys = serde_json::from_str(r#"{"name": "a", "retries_max": 2}"#)?;
/// let mut limits = RetryLimits::DEFAULT;
/// take_limits(RetryLimits::TABLE, &mut keys, &mut limits)?;
/// assert_eq!((limits.retries_max, keys.len()), (2, 1));
///
/// keys.insert("retries_max".into(), (-1).into());
/// let error = take_limits(RetryLimits::TABLE, &mut keys, &mut limits).unwrap_err();
/// assert_eq!(error.to_string(), "retries_max is not a number from 0 to 100");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn take_limits<T>(
    table: &[Limit<T>],
    keys: &mut Map<String, Value>,
    limits: &mut T,
) -> Result<(), OutOfRange> {
    for Limit { name, min, max, write, .. } in table {
        let Some(value) = keys.remove(*name) else { continue };
        let value = value.as_u64().filter(|value| (min..=max).contains(&value));
        write(limits, value.ok_or(OutOfRange { name, min: *min, max: *max })?);
    }
    Ok(())
}

/// Checks the address of an upstream: `http` or `https` with a host, without a user name, password or fragment.
///
/// # Errors
///
/// Returns the mistake. It does not contain the address, which may hold a password.
pub fn check_address(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user name or password belongs into key_file");
    }
    if url.fragment().is_some() {
        return Err("a fragment has no meaning");
    }
    Ok(())
}
