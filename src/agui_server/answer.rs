//! Answers of a front end as results of calls of the client (RUN-11).
//!
//! | the front end sends | the result |
//! |---|---|
//! | `resume`, `resolved`, with a payload | `ok`, the payload |
//! | … with a payload whose `approved` is there and not `true` | `declined`, its `reason` |
//! | `resume`, `cancelled` | `declined` |
//! | a `tool` message | `ok`, its content as JSON, else as text; `declined` as above |
//! | … with the content `{"status":"cancelled"}`, which CopilotKit writes for a cancelled interrupt | `declined` |
//! | … with an `error` | `error` |

use quintet_kernel::{entry::CallResult, json::Json};
use serde_json::Value;

/// Returns the result for an entry of `resume`.
pub fn of_resume(is_resolved: bool, payload: Option<Json>) -> CallResult {
    if is_resolved { given(payload.unwrap_or_else(Json::null)) } else { CallResult::declined(None) }
}

/// Returns the result for a `tool` message.
pub fn of_tool_message(content: &str, error: Option<&str>) -> CallResult {
    if let Some(error) = error {
        return CallResult::error(error);
    }
    let results = Json::parse(content).unwrap_or_else(|_| Json::from(Value::from(content)));
    let is_cancelled = results.as_str().len() <= CANCELLED_BYTES_MAX
        && results.to_value() == serde_json::json!({ "status": "cancelled" });
    if is_cancelled { CallResult::declined(None) } else { given(results) }
}

/// Returns the result for a given answer, which may be a refusal.
fn given(results: Json) -> CallResult {
    if !results.as_str().starts_with('{') {
        return CallResult::ok(results);
    }
    let value = results.to_value();
    // A member of this name that is not true is not consent.
    match value.get("approved") {
        None | Some(Value::Bool(true)) => CallResult::ok(results),
        Some(_) => CallResult::declined(value.get("reason").and_then(Value::as_str).map(str::to_owned)),
    }
}

const CANCELLED_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use quintet_kernel::entry::CallStatus;
    use serde_json::json;

    use super::*;

    #[test]
    fn rule_run_11_no_is_never_consent() {
        let resolved = |payload: Value| of_resume(true, Some(Json::from(payload))).status;
        let tool = |content: &str| of_tool_message(content, None).status;
        for yes in [json!({"approved": true}), json!({}), json!("blue"), json!(null), json!({"answer": 1})] {
            assert_eq!(resolved(yes.clone()), CallStatus::Ok, "{yes}");
            assert_eq!(tool(&yes.to_string()), CallStatus::Ok, "{yes}");
        }
        for no in [json!({"approved": false}), json!({"approved": null}), json!({"approved": "true"})] {
            assert_eq!(resolved(no.clone()), CallStatus::Declined, "{no}");
            assert_eq!(tool(&no.to_string()), CallStatus::Declined, "{no}");
        }
        assert_eq!(
            of_resume(false, Some(Json::from(json!({"approved": true})))).status,
            CallStatus::Declined
        );
        assert_eq!(of_resume(true, None), CallResult::ok(Json::null()));
        assert_eq!(tool(r#"{"status": "cancelled"}"#), CallStatus::Declined);
        assert_eq!(tool(r#"{"status": "cancelled", "id": 1}"#), CallStatus::Ok);
        assert_eq!(tool("not JSON"), CallStatus::Ok);
        assert_eq!(of_tool_message("{}", Some("broken")), CallResult::error("broken"));
        let declined = of_resume(true, Some(Json::from(json!({"approved": false, "reason": "too late"}))));
        assert_eq!(declined, CallResult::declined(Some("too late".to_owned())));
    }
}
