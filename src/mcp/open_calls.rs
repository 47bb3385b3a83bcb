//! The open calls of one connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quintet_agent::{Answer, host::Owner};
use quintet_kernel::json::Json;
use rmcp::model::{ElicitRequestParams, ProgressNotificationParam, ProgressToken, RequestId};
use rmcp::service::InboundStreamOrigin;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::{
    config::McpLimits,
    questions::{self, Question, QuestionRefused},
    results::clipped,
};

/// A question on its way to the client.
pub(crate) struct Ask {
    pub(crate) parameters: Json,
    /// Receives the answer; dropped if there is none.
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// The way from a call back to its run.
#[derive(Clone)]
pub(crate) struct CallLine {
    /// The name of the tool as agents see it.
    pub(crate) tool: Arc<str>,
    /// The user of the run.
    pub(crate) owner: Owner,
    pub(crate) asks: mpsc::Sender<Ask>,
    /// The latest progress that the run has not taken.
    pub(crate) progress: watch::Sender<Option<String>>,
}

/// The open calls.
#[derive(Debug)]
pub(crate) struct OpenCalls {
    inner: Mutex<Inner>,
    limits: McpLimits,
    /// Notified when no call is open and a question was refused because of an abandoned one.
    pub(crate) stale: Notify,
}

#[derive(Default)]
struct Inner {
    /// The owners of the open calls, of which some may wait between two requests.
    places: Vec<Owner>,
    /// The owners of ended calls whose cancellation the server has not taken.
    cancels: Vec<Owner>,
    calls: Vec<Entry>,
    /// The owners of calls that ended here and may go on at the server; two are as good as all.
    abandoned: Vec<Owner>,
    /// True if a question was refused because of them.
    is_stale: bool,
}

struct Entry {
    id: RequestId,
    token: ProgressToken,
    questions: usize,
    line: CallLine,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("calls", &self.calls.len()).finish_non_exhaustive()
    }
}

/// The place of a call, open or being cancelled, which is given back on drop.
pub(crate) struct CallPlace {
    calls: Arc<OpenCalls>,
    owner: Owner,
    is_open: bool,
}

/// A request of a call in [`OpenCalls`], which is removed on drop.
pub(crate) struct Registered {
    calls: Arc<OpenCalls>,
    id: RequestId,
}

impl OpenCalls {
    pub(crate) fn new(limits: McpLimits) -> Self {
        Self { inner: Mutex::default(), limits, stale: Notify::new() }
    }

    /// Returns true if no call is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().places.is_empty()
    }

    /// Takes a place for a call of this user, or returns the limit that it would exceed (ISO-6).
    pub(crate) fn begin(self: &Arc<Self>, owner: Owner) -> Result<CallPlace, usize> {
        let mut inner = self.lock();
        let own = inner.places.iter().filter(|other| **other == owner).count();
        let McpLimits { calls_max, user_calls_max, .. } = self.limits;
        if inner.places.len() >= calls_max {
            return Err(calls_max);
        }
        if own >= user_calls_max {
            return Err(user_calls_max);
        }
        inner.places.push(owner);
        Ok(CallPlace { calls: self.clone(), owner, is_open: true })
    }

    pub(crate) fn register(
        self: &Arc<Self>,
        id: RequestId,
        token: ProgressToken,
        line: CallLine,
    ) -> Registered {
        self.lock().calls.push(Entry { id: id.clone(), token, questions: 0, line });
        Registered { calls: self.clone(), id }
    }

    /// Passes progress on to its call. What belongs to no open call is dropped.
    pub(crate) fn progress(&self, notice: &ProgressNotificationParam) {
        let inner = self.lock();
        let Some(entry) = inner.calls.iter().find(|entry| entry.token == notice.progress_token) else {
            return;
        };
        let text = progress_text(notice, self.limits.progress_bytes_max);
        // Without a receiver the run has ended.
        let _ = entry.line.progress.send(Some(text));
    }

    /// Returns the question as its call asks it, and the way there.
    pub(crate) fn question(
        &self,
        origin: Option<&InboundStreamOrigin>,
        params: &ElicitRequestParams,
    ) -> Result<(Question, mpsc::Sender<Ask>), QuestionRefused> {
        let mut inner = self.lock();
        let Inner { calls, abandoned, is_stale, .. } = &mut *inner;
        let open: Vec<questions::OpenCall<'_>> = calls
            .iter()
            .map(|entry| questions::OpenCall { id: &entry.id, owner: entry.line.owner })
            .collect();
        let at = questions::attribute(origin, &open, abandoned).inspect_err(|why| {
            *is_stale |= *why == QuestionRefused::Ambiguous && !abandoned.is_empty();
        })?;
        drop(open);
        let entry = &mut calls[at];
        if entry.questions >= self.limits.questions_max {
            return Err(QuestionRefused::TooMany);
        }
        let question = Question::new(params, &entry.line.tool, &self.limits)?;
        entry.questions += 1;
        Ok((question, entry.line.asks.clone()))
    }

    /// Announces that no call is open, if a question was refused because of an abandoned one.
    fn ended(&self, inner: &Inner) {
        if inner.places.is_empty() && inner.is_stale {
            self.stale.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    /// Removes the call, of which it is not known whether the server still works on it.
    pub(crate) fn abandon(self) {
        let mut inner = self.calls.lock();
        let owner = inner.calls.iter().find(|entry| entry.id == self.id).map(|entry| entry.line.owner);
        if let Some(owner) = owner
            && inner.abandoned.len() < 2
            && !inner.abandoned.contains(&owner)
        {
            inner.abandoned.push(owner);
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.calls.lock().calls.retain(|entry| entry.id != self.id);
    }
}

impl CallPlace {
    /// Gives the place to another call, while the cancellation of this one is on its way. If as many are on their way as
    /// may be, the place is held until the server has taken this one: what it has not taken is in memory (ISO-6).
    pub(crate) fn cancelling(&mut self) {
        let mut inner = self.calls.lock();
        let own = inner.cancels.iter().filter(|other| **other == self.owner).count();
        let McpLimits { cancels_max, user_cancels_max, .. } = self.calls.limits;
        if self.is_open && inner.cancels.len() < cancels_max && own < user_cancels_max {
            inner.cancels.push(self.owner);
            self.is_open = false;
            remove(&mut inner.places, self.owner);
            self.calls.ended(&inner);
        }
    }
}

impl Drop for CallPlace {
    fn drop(&mut self) {
        let mut inner = self.calls.lock();
        match self.is_open {
            true => remove(&mut inner.places, self.owner),
            false => remove(&mut inner.cancels, self.owner),
        }
        self.calls.ended(&inner);
    }
}

fn remove(owners: &mut Vec<Owner>, owner: Owner) {
    if let Some(at) = owners.iter().position(|other| *other == owner) {
        owners.swap_remove(at);
    }
}

/// Returns the message of a notice, or else its numbers, as a line.
fn progress_text(notice: &ProgressNotificationParam, bytes_max: usize) -> String {
    let text = match (notice.message.as_deref().map(str::trim), notice.total) {
        (Some(message), _) if !message.is_empty() => clipped(message, bytes_max),
        (_, Some(total)) => format!("{}/{total}", notice.progress),
        (_, None) => notice.progress.to_string(),
    };
    format!("{text}\n")
}

#[cfg(test)]
mod tests {
    use rmcp::model::NumberOrString;

    use super::*;

    fn token(number: i64) -> ProgressToken {
        ProgressToken(NumberOrString::Number(number))
    }

    fn line(owner: u64) -> (CallLine, mpsc::Receiver<Ask>, watch::Receiver<Option<String>>) {
        let (asks, asked) = mpsc::channel(1);
        let (progress, seen) = watch::channel(None);
        (CallLine { tool: "s/t".into(), owner: Owner::new(owner), asks, progress }, asked, seen)
    }

    #[test]
    fn progress_reaches_its_call_alone() {
        let calls = Arc::new(OpenCalls::new(McpLimits { progress_bytes_max: 16, ..McpLimits::DEFAULT }));
        let ((first, _a, seen), (second, _b, unseen)) = (line(1), line(1));
        let _first = calls.register(RequestId::Number(1), token(7), first);
        let _second = calls.register(RequestId::Number(2), token(8), second);
        let notice = ProgressNotificationParam::new(token(7), 1.0).with_message("x".repeat(20));
        calls.progress(&notice);
        calls.progress(&ProgressNotificationParam::new(token(9), 1.0));
        assert_eq!(seen.borrow().as_deref(), Some("xxxxxxxxxxxxxxxx…\n"));
        assert_eq!(unseen.borrow().as_deref(), None);
        calls.progress(&ProgressNotificationParam::new(token(7), 0.5).with_total(2.0));
        assert_eq!(seen.borrow().as_deref(), Some("0.5/2\n"));
    }

    #[test]
    fn iso_2_questions_of_an_abandoned_call_reach_no_other_user() {
        let question: ElicitRequestParams = serde_json::from_value(serde_json::json!({
            "message": "m", "requestedSchema": {"type": "object", "properties": {}},
        }))
        .unwrap();
        let calls = Arc::new(OpenCalls::new(McpLimits { questions_max: 1, ..McpLimits::DEFAULT }));
        calls.register(RequestId::Number(1), token(1), line(1).0).abandon();
        let _own = calls.register(RequestId::Number(2), token(2), line(1).0);
        assert!(calls.question(None, &question).is_ok());
        assert_eq!(calls.question(None, &question).err(), Some(QuestionRefused::TooMany));
        let other = calls.register(RequestId::Number(3), token(3), line(2).0);
        assert_eq!(calls.question(None, &question).err(), Some(QuestionRefused::Ambiguous));
        drop(other);
    }

    #[test]
    fn iso_6_places_are_limited_by_user_and_given_back() {
        let calls =
            Arc::new(OpenCalls::new(McpLimits { calls_max: 3, user_calls_max: 2, ..McpLimits::DEFAULT }));
        let begin = |owner| calls.begin(Owner::new(owner));
        let held = [begin(1).unwrap(), begin(1).unwrap()];
        assert_eq!(begin(1).err(), Some(2));
        let other = begin(2).unwrap();
        assert_eq!(begin(3).err(), Some(3));
        drop(other);
        assert_eq!(begin(1).err(), Some(2));
        drop(held);
        assert!(calls.is_empty());
    }

    #[test]
    fn iso_6_cancellations_on_their_way_take_no_places_up_to_a_limit() {
        let limits = McpLimits {
            calls_max: 9,
            user_calls_max: 1,
            cancels_max: 3,
            user_cancels_max: 2,
            ..McpLimits::DEFAULT
        };
        let calls = Arc::new(OpenCalls::new(limits));
        let cancelled = |owner| {
            let mut place = calls.begin(Owner::new(owner))?;
            place.cancelling();
            Ok::<_, usize>(place)
        };
        let mut held = vec![cancelled(1).unwrap(), cancelled(1).unwrap()];
        assert!(calls.is_empty());
        // The third one keeps its place.
        held.push(cancelled(1).unwrap());
        assert_eq!(cancelled(1).err(), Some(1));
        held.push(cancelled(2).unwrap());
        held.push(cancelled(2).unwrap());
        assert_eq!(cancelled(2).err(), Some(1));
        held.clear();
        assert!(calls.is_empty() && calls.lock().cancels.is_empty());
        assert!(cancelled(1).is_ok());
    }
}
