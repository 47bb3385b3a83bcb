//! Questions of a server (elicitation) and the calls they belong to.
//!
//! # Whose question it is (ISO-2, RUN-11)
//!
//! One server works for many users, and a question must reach only the user whose call caused it. In revision
//! 2026-07-28 a question is part of the result of its call. In earlier revisions it is a request of its own: over HTTP
//! it arrives on the stream of its call; over stdio nothing connects the two. There it is asked only if every call that
//! it may belong to, open or abandoned since the server was started, is one user's; otherwise it is refused, and if an
//! abandoned call is the reason, the server is restarted when no call is open. A server with questions over stdio that
//! many users share can be limited to one call at a time by `calls_max = 1`.

use jsonschema::Validator;
use quintet_agent::{Answer, host::Owner};
use quintet_kernel::json::Json;
use rmcp::{
    model::{ElicitRequestParams, ElicitResult, ElicitationAction, RequestId},
    service::InboundStreamOrigin,
};
use serde_json::{Value, json};

use crate::{config::McpLimits, results::clipped};

/// The name of the client's call, after the name of the server and a slash. Its parameters are `message`, `tool`, and
/// `requested_schema`: a flat JSON Schema of the results; `problem` if an earlier answer did not fit it.
pub(crate) const ELICIT: &str = "elicit";

/// The reason for which a question is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuestionRefused {
    /// No call is open.
    #[error("a question is possible only during a call")]
    NoCall,
    /// The question may belong to calls of several users.
    #[error("the question cannot be attributed to one of the open calls")]
    Ambiguous,
    /// The client is to open an address.
    #[error("only questions of the mode `form` are supported")]
    Mode,
    /// The question is too long, or its schema is nested too deeply.
    #[error("the question is too long")]
    TooLong,
    /// The schema of the answer is not one that an answer can be checked by.
    #[error("the schema of the question cannot be used")]
    Schema,
    /// The call has asked too many questions.
    #[error("the call has asked too many questions")]
    TooMany,
}

/// An open call, as far as questions concern it.
pub(crate) struct OpenCall<'a> {
    pub(crate) id: &'a RequestId,
    pub(crate) owner: Owner,
}

/// Returns the position of the call that a question belongs to. `abandoned` are the owners of calls that ended here
/// and may go on at the server.
pub(crate) fn attribute(
    origin: Option<&InboundStreamOrigin>,
    open: &[OpenCall<'_>],
    abandoned: &[Owner],
) -> Result<usize, QuestionRefused> {
    match origin {
        Some(InboundStreamOrigin::OutboundRequest(id)) => {
            open.iter().position(|call| call.id == id).ok_or(QuestionRefused::NoCall)
        }
        Some(InboundStreamOrigin::Unassociated) => Err(QuestionRefused::Ambiguous),
        None => {
            let (last, others) = open.split_last().ok_or(QuestionRefused::NoCall)?;
            let mut owners = others.iter().map(|call| call.owner).chain(abandoned.iter().copied());
            if owners.all(|owner| owner == last.owner) {
                Ok(open.len() - 1)
            } else {
                Err(QuestionRefused::Ambiguous)
            }
        }
    }
}

/// A question that can be asked.
pub(crate) struct Question {
    parameters: Json,
    schema: Validator,
}

impl Question {
    /// Checks a question.
    pub(crate) fn new(
        params: &ElicitRequestParams,
        tool: &str,
        limits: &McpLimits,
    ) -> Result<Self, QuestionRefused> {
        let ElicitRequestParams::FormElicitationParams { message, requested_schema, .. } = params else {
            return Err(QuestionRefused::Mode);
        };
        let mut schema = serde_json::to_value(requested_schema).map_err(|_| QuestionRefused::Schema)?;
        let text = json!({"message": message, "requested_schema": schema, "tool": tool}).to_string();
        if text.len() > limits.question_bytes_max {
            return Err(QuestionRefused::TooLong);
        }
        let parameters = Json::parse(&text).map_err(|_| QuestionRefused::TooLong)?;
        // The protocol library has parsed it: flat, of few keywords, without references and patterns. All dialects have
        // these.
        schema.as_object_mut().map(|schema| schema.remove("$schema"));
        let schema = jsonschema::options().should_validate_formats(true).build(&schema);
        Ok(Self { parameters, schema: schema.map_err(|_| QuestionRefused::Schema)? })
    }

    /// Returns the parameters of the client's call, with the mistake of an earlier answer.
    pub(crate) fn parameters(&self, problem: Option<&str>) -> Json {
        let Some(problem) = problem else { return self.parameters.clone() };
        let mut parameters = self.parameters.to_value();
        parameters["problem"] = json!(problem);
        Json::from(parameters)
    }

    /// Returns the mistake of an answer that does not fit the schema, without its values.
    pub(crate) fn mistake(&self, answer: &Answer) -> Option<String> {
        let Answer::Given(results) = answer else { return None };
        let results = results.to_value();
        if !results.is_object() {
            return Some("The results are not an object.".to_owned());
        }
        let error = self.schema.validate(&results).err()?;
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "the results".to_owned() } else { place };
        Some(clipped(&format!("{place}: {}", error.masked()), PROBLEM_BYTES_MAX))
    }
}

/// Returns the answer for the server. Only results that are an object are consent (RUN-11).
pub(crate) fn answered(answer: Answer) -> ElicitResult {
    match answer {
        Answer::Given(results) => match results.to_value() {
            content @ Value::Object(_) => ElicitResult::new(ElicitationAction::Accept).with_content(content),
            _ => ElicitResult::new(ElicitationAction::Cancel),
        },
        Answer::Declined { .. } => ElicitResult::new(ElicitationAction::Decline),
        Answer::Failed { .. } | Answer::Unanswered { .. } => ElicitResult::new(ElicitationAction::Cancel),
    }
}

/// Longest mistake of an answer, in bytes.
const PROBLEM_BYTES_MAX: usize = 400;

/// Returns the label of an answer in metrics.
pub(crate) fn outcome(result: &ElicitResult) -> &'static str {
    match result.action {
        ElicitationAction::Accept => "accepted",
        ElicitationAction::Decline => "declined",
        _ => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(params: Value) -> ElicitRequestParams {
        serde_json::from_value(params).unwrap()
    }

    #[test]
    fn a_question_has_its_message_schema_and_tool() {
        let schema =
            json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        let params = request(json!({"mode": "form", "message": "Where?", "requestedSchema": schema}));
        let question = Question::new(&params, "maps/route", &McpLimits::DEFAULT).unwrap();
        let parameters = question.parameters(None).to_value();
        assert_eq!(parameters["message"], "Where?");
        assert_eq!(parameters["tool"], "maps/route");
        assert_eq!(parameters["requested_schema"]["required"], json!(["city"]));
        assert!(parameters.get("problem").is_none());
        assert_eq!(question.parameters(Some("no")).to_value()["problem"], "no");
    }

    #[test]
    fn an_answer_fits_its_schema_or_has_a_mistake_without_its_values() {
        let schema = json!({
            "$schema": "https://example.org/unknown", "type": "object",
            "properties": {
                "city": {"type": "string", "minLength": 2, "maxLength": 9},
                "mail": {"type": "string", "format": "email"},
                "day": {"type": "string", "format": "date"},
                "seats": {"type": "integer", "minimum": 1, "maximum": 9},
                "price": {"type": "number"},
                "sure": {"type": "boolean"},
                "class": {"type": "string", "enum": ["first", "second"]},
                "meals": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "maxItems": 1},
            },
            "required": ["city"],
        });
        let params = request(json!({"mode": "form", "message": "m", "requestedSchema": schema}));
        let question = Question::new(&params, "t", &McpLimits::DEFAULT).unwrap();
        let mistake = |results: Value| question.mistake(&Answer::Given(Json::from(results)));
        for fits in [
            json!({"city": "Rome"}),
            json!({"city": "Rome", "mail": "a@example.org", "day": "2026-11-28", "seats": 9, "price": 1.5}),
            json!({"city": "Rome", "sure": false, "class": "first", "meals": ["b"], "more": 1}),
        ] {
            assert_eq!(mistake(fits.clone()), None, "{fits}");
        }
        for (wrong, place) in [
            (json!({}), "the results"),
            (json!({"city": 77_441}), "/city"),
            (json!({"city": "secret-city"}), "/city"),
            (json!({"city": "Rome", "mail": "secret"}), "/mail"),
            (json!({"city": "Rome", "day": "secret"}), "/day"),
            (json!({"city": "Rome", "seats": 77_441}), "/seats"),
            (json!({"city": "Rome", "seats": 1.5}), "/seats"),
            (json!({"city": "Rome", "sure": "secret"}), "/sure"),
            (json!({"city": "Rome", "class": "secret"}), "/class"),
            (json!({"city": "Rome", "meals": ["a", "b"]}), "/meals"),
            (json!("secret"), "The results are not an object."),
        ] {
            let mistake = mistake(wrong.clone()).unwrap_or_else(|| panic!("{wrong}"));
            assert!(mistake.starts_with(place), "{wrong}: {mistake}");
            assert!(!mistake.contains("secret") && !mistake.contains("77441"), "{mistake}");
        }
        assert_eq!(question.mistake(&Answer::Declined { reason: None }), None);
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let url = request(json!({"mode": "url", "message": "m", "url": "https://x", "elicitationId": "1"}));
        let refused = |params| Question::new(params, "t", &McpLimits::DEFAULT).err();
        assert_eq!(refused(&url), Some(QuestionRefused::Mode));
        let message = "x".repeat(McpLimits::DEFAULT.question_bytes_max);
        let schema = json!({"type": "object", "properties": {}});
        let long = request(json!({"message": message, "requestedSchema": schema}));
        assert_eq!(refused(&long), Some(QuestionRefused::TooLong));
    }

    #[test]
    fn run_11_only_given_results_are_consent() {
        let action = |answer| answered(answer).action;
        let given = |json: &str| Answer::Given(Json::parse(json).unwrap());
        assert_eq!(action(given(r#"{"city": "Rome"}"#)), ElicitationAction::Accept);
        assert_eq!(answered(given("{}")).content, Some(json!({})));
        assert_eq!(action(given("true")), ElicitationAction::Cancel);
        assert_eq!(action(Answer::Declined { reason: None }), ElicitationAction::Decline);
        assert_eq!(action(Answer::Failed { error: String::new() }), ElicitationAction::Cancel);
        assert_eq!(action(Answer::Unanswered { why: String::new() }), ElicitationAction::Cancel);
    }

    proptest! {
        #[test]
        fn iso_2_a_question_over_stdio_reaches_a_user_only_if_it_can_be_no_other_users(
            open in prop::collection::vec(0..3_u64, 0..4),
            abandoned in prop::collection::vec(0..3_u64, 0..3),
        ) {
            let ids: Vec<RequestId> = (0..4).map(RequestId::Number).collect();
            let calls: Vec<OpenCall<'_>> = open
                .iter()
                .zip(&ids)
                .map(|(owner, id)| OpenCall { id, owner: Owner::new(*owner) })
                .collect();
            let left: Vec<Owner> = abandoned.iter().copied().map(Owner::new).collect();
            let all: Vec<u64> = open.iter().chain(&abandoned).copied().collect();
            let is_one_users = all.windows(2).all(|pair| pair[0] == pair[1]);
            let attributed = attribute(None, &calls, &left);
            prop_assert_eq!(attributed.is_ok(), !open.is_empty() && is_one_users);
        }

        #[test]
        fn iso_2_a_question_over_http_reaches_its_own_call(open in 0..4_i64, asked in 0..6_i64) {
            let ids: Vec<RequestId> = (0..open).map(RequestId::Number).collect();
            let calls: Vec<OpenCall<'_>> =
                ids.iter().enumerate().map(|(n, id)| OpenCall { id, owner: Owner::new(n as u64) }).collect();
            let origin = InboundStreamOrigin::OutboundRequest(RequestId::Number(asked));
            let expected = if asked < open { Ok(asked as usize) } else { Err(QuestionRefused::NoCall) };
            prop_assert_eq!(attribute(Some(&origin), &calls, &[]), expected);
            let nowhere = Some(&InboundStreamOrigin::Unassociated);
            prop_assert_eq!(attribute(nowhere, &calls, &[]), Err(QuestionRefused::Ambiguous));
        }
    }
}
