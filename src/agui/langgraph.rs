//! Interrupts as agents of LangGraph report them by default: `CUSTOM` events named `on_interrupt`, before a `RUN_FINISHED`
//! without an outcome. The answer goes back as `forwardedProps.command.resume`.
//!
//! This form has no refusal: an agent takes any value as the answer. So a question that is declined or not answered ends
//! the run, unless the configuration has `declined_resume`, the value that the agent knows as a refusal (RUN-11).

use quintet_agent::{AgentError, Answer};
use serde_json::{Map, Value, json};

use crate::{event::Interrupt, question};

/// The name of the event.
const ON_INTERRUPT: &str = "on_interrupt";

/// The reason of an interrupt that states none.
const REASON: &str = "langgraph:interrupt";

/// Returns the interrupt that a `CUSTOM` event reports, if it reports one. `number` counts those before.
pub(crate) fn interrupt(
    name: Option<&Value>,
    value: Option<&Value>,
    raw: Option<&Value>,
    number: usize,
) -> Option<Interrupt> {
    if name.and_then(Value::as_str) != Some(ON_INTERRUPT) {
        return None;
    }
    // Objects come as their JSON.
    let text = value.and_then(Value::as_str);
    let parsed = text.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    let fields = parsed.or_else(|| value.and_then(Value::as_object).cloned());
    let field = |names: [&str; 2]| names.iter().find_map(|name| fields.as_ref()?.get(*name)).cloned();
    let words = |names: [&str; 2]| field(names).and_then(|value| value.as_str().map(str::to_owned));
    let message = match &fields {
        Some(_) => words(["message", "question"]),
        None => text.map(str::to_owned),
    };
    let id = raw.and_then(|raw| raw.get("id")).and_then(Value::as_str);
    Some(Interrupt {
        id: id.map_or_else(|| format!("{UNNAMED}{number}"), str::to_owned),
        reason: words(["reason", "reason"]).unwrap_or_else(|| REASON.to_owned()),
        message,
        tool_call_id: None,
        response_schema: field(["responseSchema", "response_schema"]).and_then(|schema| match schema {
            Value::Object(schema) => Some(schema),
            _ => None,
        }),
        expires_at: words(["expiresAt", "expires_at"]),
        metadata: Some(Map::from_iter([("value".to_owned(), value.cloned().unwrap_or_default())])),
    })
}

/// Returns `forwardedProps` with the answers to all interrupts of a response.
///
/// # Errors
///
/// Returns an error if an answer is a refusal that the agent could take for consent, or if several answers cannot be
/// told apart by ids of the agent.
pub(crate) fn resumed(
    forwarded_props: &Value,
    answers: &[(Interrupt, Answer)],
    declined: Option<&Value>,
) -> Result<Value, AgentError> {
    let payload = |(interrupt, answer): &(Interrupt, Answer)| match (answer, declined) {
        (Answer::Given(_), _) => Ok(question::resume(interrupt, answer).payload.unwrap_or_default()),
        (_, Some(declined)) => Ok(declined.clone()),
        (_, None) => Err(AgentError::user_facing(
            "The question was not answered, and the remote agent has no form for a refusal.",
        )),
    };
    let resume = match answers {
        [only] => payload(only)?,
        all => {
            if all.iter().any(|(interrupt, _)| interrupt.id.starts_with(UNNAMED)) {
                return Err(AgentError::upstream("The remote agent asked several questions without ids."));
            }
            let answers = all.iter().map(|answer| Ok((answer.0.id.clone(), payload(answer)?)));
            Value::Object(answers.collect::<Result<_, AgentError>>()?)
        }
    };
    let mut props = forwarded_props.clone();
    if !props.is_object() {
        props = json!({});
    }
    if !props["command"].is_object() {
        props["command"] = json!({});
    }
    props["command"]["resume"] = resume;
    Ok(props)
}

/// The beginning of the ids of interrupts for which the agent gives none.
const UNNAMED: &str = "quintet-unnamed-";

#[cfg(test)]
mod tests {
    use quintet_agent::Json;

    use super::*;

    fn reported(value: Value, raw: Value) -> Option<Interrupt> {
        interrupt(Some(&json!("on_interrupt")), Some(&value), Some(&raw), 0)
    }

    fn given(value: Value) -> Answer {
        Answer::Given(Json::from(value))
    }

    #[test]
    fn an_interrupt_is_read_as_text_and_as_json() {
        let plain = reported(json!("Which city?"), json!({"id": "i1"})).unwrap();
        assert_eq!(
            (&*plain.id, &*plain.reason, plain.message.as_deref()),
            ("i1", REASON, Some("Which city?"))
        );
        let value =
            json!({"reason": "confirmation", "message": "Book?", "response_schema": {"type": "boolean"}});
        for value in [value.clone(), json!(value.to_string())] {
            let read = reported(value, json!(null)).unwrap();
            assert_eq!((&*read.reason, read.message.as_deref()), ("confirmation", Some("Book?")));
            assert_eq!(read.response_schema.unwrap()["type"], "boolean");
        }
        let odd = reported(json!([1]), json!([])).unwrap();
        assert_eq!((odd.message, &odd.metadata.unwrap()["value"]), (None, &json!([1])));
        assert_eq!(interrupt(Some(&json!("other")), None, None, 0), None);
        assert_eq!(interrupt(Some(&json!(7)), None, None, 0), None);
        assert_eq!(interrupt(None, None, None, 0), None);
    }

    #[test]
    fn the_answer_is_part_of_the_forwarded_data() {
        let asked = |id: Value| reported(json!("q"), json!({ "id": id })).unwrap();
        let one = [(asked(json!("a")), given(json!({"city": "Rome"})))];
        let props = json!({"x": 1, "command": {"y": 2}});
        let expected = json!({"x": 1, "command": {"y": 2, "resume": {"city": "Rome"}}});
        assert_eq!(resumed(&props, &one, None).unwrap(), expected);
        let two = [(asked(json!("a")), given(json!(1))), (asked(json!("b")), given(json!(2)))];
        assert_eq!(
            resumed(&json!({}), &two, None).unwrap(),
            json!({"command": {"resume": {"a": 1, "b": 2}}})
        );
        let unnamed = [(asked(json!(null)), given(json!(1))), (asked(json!("b")), given(json!(2)))];
        assert!(resumed(&json!({}), &unnamed, None).is_err());
    }

    /// RUN-11: without a value that the agent knows as a refusal, none is sent.
    #[test]
    fn run_11_no_refusal_is_sent_as_an_answer() {
        let asked = reported(json!("q"), json!({"id": "a"})).unwrap();
        for answer in [
            Answer::Declined { reason: None },
            Answer::Failed { error: "x".into() },
            Answer::Unanswered { why: "x".into() },
        ] {
            let answers = [(asked.clone(), answer)];
            assert!(resumed(&json!({}), &answers, None).is_err());
            let props = resumed(&json!({}), &answers, Some(&json!("no"))).unwrap();
            assert_eq!(props, json!({"command": {"resume": "no"}}));
        }
    }
}
