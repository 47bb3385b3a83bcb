//! Calls that the client has to approve before they are executed (RUN-11).

use quintet_agent::{Answer, Json};
use serde_json::{Value, json};

/// The name of the question.
pub(crate) const APPROVE: &str = "approve";

/// Returns the parameters of the question about a call, or `None` if they nest too deep.
pub(crate) fn question(tool_name: &str, parameters: &Json) -> Option<Json> {
    let name = Json::from(json!(tool_name));
    Json::parse(&format!(r#"{{"tool_name":{},"parameters":{}}}"#, name.as_str(), parameters.as_str())).ok()
}

/// Returns the tool and the parameters of a question.
pub(crate) fn asked(question: &Json) -> Option<(String, Json)> {
    let value = question.to_value();
    let tool_name = value.get("tool_name")?.as_str()?.to_owned();
    Some((tool_name, Json::from(value.get("parameters")?)))
}

/// Returns why a call is not approved, for the model, or `None` if it is. Only a given answer approves, and
/// not if it is itself a refusal (RUN-11).
pub(crate) fn refusal(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Given(results) => {
            let value = results.to_value();
            let approves = match value.get("approved").unwrap_or(&value) {
                Value::Bool(approves) => *approves,
                // A field of this name that is not true is not consent.
                _ => value.get("approved").is_none(),
            };
            (!approves).then(|| "The user declined this call. It was not executed.".to_owned())
        }
        Answer::Declined { reason: None } => {
            Some("The user declined this call. It was not executed.".to_owned())
        }
        Answer::Declined { reason: Some(reason) } => {
            Some(format!("The user declined this call. It was not executed. The reason: {reason}"))
        }
        Answer::Failed { .. } => {
            Some("The user could not be asked about this call. It was not executed.".to_owned())
        }
        Answer::Unanswered { .. } => {
            Some("The user did not answer whether to approve this call. It was not executed.".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_run_11_only_a_given_answer_that_is_not_no_is_consent() {
        let given = |value: Value| refusal(&Answer::Given(Json::from(value))).is_none();
        for yes in [json!({}), json!(null), json!(true), json!({"approved": true}), json!("ok")] {
            assert!(given(yes.clone()), "{yes}");
        }
        for no in
            [json!(false), json!({"approved": false}), json!({"approved": null}), json!({"approved": "no"})]
        {
            assert!(!given(no.clone()), "{no}");
        }
        for no in [
            Answer::Declined { reason: None },
            Answer::Declined { reason: Some("x".into()) },
            Answer::Failed { error: "true".into() },
            Answer::Unanswered { why: "late".into() },
        ] {
            assert!(refusal(&no).is_some(), "{no:?}");
        }
    }

    #[test]
    fn a_question_holds_its_call() {
        let parameters = Json::from(json!({"path": "a\"b"}));
        let question = question("files/write", &parameters).unwrap();
        let (tool_name, asked) = asked(&question).unwrap();
        assert_eq!((tool_name.as_str(), asked.to_value()), ("files/write", parameters.to_value()));
    }
}
