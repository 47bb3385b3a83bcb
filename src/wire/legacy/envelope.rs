//! The form that most frames of the predecessor's protocol share.

use quintet_kernel::ids::Timestamp;
use serde_json::{Value, json};

/// Returns a frame of type `kind` with the time `at`.
pub(super) fn envelope(kind: &str, data: Value, at: Timestamp) -> Value {
    json!({"type": kind, "data": data, "timestamp": seconds(at.0), "server_id": null, "correlation_id": null})
}

/// Returns a `system_message` with the time `at`.
pub(super) fn system_message(data: Value, at: Timestamp) -> Value {
    envelope("system_message", data, at)
}

/// Converts milliseconds to seconds.
pub(super) fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
