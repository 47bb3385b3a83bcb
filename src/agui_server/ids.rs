//! Ids on the AG-UI side. They depend on the log only, so every stream of a run uses the same ones.
//!
//! A call id of ours is unique within its run, and one of AG-UI within the conversation, so it begins with the run.

use std::fmt;

use quintet_kernel::ids::{CallId, RunId, Seq};

/// A call of a run, as AG-UI names it: `run_id:call_id`. Also the id of the interrupt about the call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallRef {
    /// The run of the call.
    pub run_id: RunId,
    /// The call.
    pub call_id: CallId,
}

impl CallRef {
    /// Parses an id as displayed; `None` for any other text, such as the id of a call that the client invented.
    pub fn parse(text: &str) -> Option<Self> {
        let (run_id, call_id) = text.split_once(':')?;
        Some(Self { run_id: RunId::parse(run_id).ok()?, call_id: CallId::parse(call_id).ok()? })
    }

    /// Returns the id of the `tool` message with the result.
    pub(crate) fn result(&self) -> String {
        format!("{self}:result")
    }
}

impl fmt::Display for CallRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.run_id, self.call_id)
    }
}

/// Returns the id of the message that begins with the event `seq` of a run.
pub(crate) fn message_id(run_id: RunId, kind: &str, seq: Seq) -> String {
    format!("{run_id}:{kind}:{}", seq.0)
}
