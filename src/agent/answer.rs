//! The client's answer to a question.

use quintet_kernel::{
    entry::{CallResult, CallStatus},
    json::Json,
};

/// The outcome of a question to the client ([`Run::ask`](crate::Run::ask)). A refusal is a variant of its own, so
/// that an agent cannot take it for consent (RUN-11).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the user may have declined"]
pub enum Answer {
    /// The client completed the call with these results.
    Given(Json),
    /// The user declined.
    Declined {
        /// The user's reason, if there is one.
        reason: Option<String>,
    },
    /// The client failed to execute the call.
    Failed {
        /// The client's message.
        error: String,
    },
    /// The question was closed without an answer: its timeout has passed, or it was open when a run was
    /// interrupted.
    Unanswered {
        /// The reason.
        why: String,
    },
}

impl Answer {
    /// Returns the results, if the client gave some.
    pub fn given(self) -> Option<Json> {
        match self {
            Answer::Given(results) => Some(results),
            Answer::Declined { .. } | Answer::Failed { .. } | Answer::Unanswered { .. } => None,
        }
    }
}

impl From<CallResult> for Answer {
    fn from(result: CallResult) -> Self {
        let CallResult { status, results, error } = result;
        match status {
            CallStatus::Ok => Answer::Given(results),
            CallStatus::Declined => Answer::Declined { reason: error },
            CallStatus::Error => Answer::Failed { error: error.unwrap_or_default() },
            CallStatus::TimedOut | CallStatus::Cancelled | CallStatus::Unknown => {
                Answer::Unanswered { why: error.unwrap_or_default() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_run_11_only_ok_is_an_answer() {
        let answer = |status, error: Option<&str>| {
            Answer::from(CallResult {
                status,
                results: Json::empty_object(),
                error: error.map(str::to_owned),
            })
        };
        assert_eq!(answer(CallStatus::Ok, None), Answer::Given(Json::empty_object()));
        let reason = Some("not today".to_owned());
        assert_eq!(answer(CallStatus::Declined, Some("not today")), Answer::Declined { reason });
        assert_eq!(answer(CallStatus::Declined, None), Answer::Declined { reason: None });
        for status in [CallStatus::Error, CallStatus::TimedOut, CallStatus::Cancelled, CallStatus::Unknown] {
            assert_eq!(answer(status, Some("x")).given(), None, "{status:?}");
        }
    }
}
