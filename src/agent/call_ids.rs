//! Ids of calls that are derived from those of other calls, so that they are the same after a restart.

use quintet_kernel::{
    entry::{Call, CallOwner},
    ids::CallId,
};

/// Derives an id from a call's id, cut to the length of an id.
pub(crate) fn derived(call_id: &CallId, suffix: &str) -> CallId {
    let kept = call_id.as_str().len().min(CALL_ID_BYTES_MAX - suffix.len());
    CallId::parse(&format!("{}{suffix}", &call_id.as_str()[..kept]))
        .expect("made of a call id's own alphabet")
}

const CALL_ID_BYTES_MAX: usize = 128;

/// Returns the id of the call whose tool asked this question; `None` for other calls.
pub(crate) fn asked_by(call: &Call) -> Option<&str> {
    let (parent, number) = call.call_id.as_str().rsplit_once(QUESTION)?;
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    (call.by == CallOwner::Client && is_number).then_some(parent)
}

/// Returns the id of a question of the tool of this call: its first one has the number 1.
pub(crate) fn question_id(call_id: &CallId, number: u32) -> CallId {
    derived(call_id, &format!("{QUESTION}{number}"))
}

/// Separates the id of a tool's call from the number of its question.
const QUESTION: &str = ".q";
