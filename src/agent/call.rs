//! A tool call of an agent as a sequence of types: opened, executed, closed.
//!
//! ```text
//!   run.open            ──▶ OpenCall  ── execute(work) ──▶ Executed ── run.close          ──▶ CallResult
//!   run.open_for_client ──▶ AskedCall ── answered()    ──▶ Answered ── run.close_answered ──▶ Answer
//! ```
//!
//! None of them can be constructed or copied, so a call is closed once, after it was opened, and its result
//! is available only when it is durable. Work whose result is already in the log is not repeated: its future
//! is dropped without being polled (RUN-9).

use std::{fmt, future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use quintet_journal::Log;
use quintet_kernel::{
    entry::{CallResult, CallStatus},
    ids::CallId,
    json::Json,
};
use tokio::time::Instant;

use crate::{
    clip::clipped,
    error::ToolError,
    host::{QueueTime, RunEnded, RunHandle},
    redact::UserTexts,
};

/// An open call whose tool has not been executed.
#[derive(Debug)]
#[must_use = "an open call keeps its run from completing"]
pub struct OpenCall {
    call_id: CallId,
    recorded: Option<CallResult>,
    results_bytes_max: usize,
    line: QueueTime,
    /// The texts that the log of the service must not repeat; `None` in tests.
    texts: Option<UserTexts>,
    lease: Lease,
}

/// The lease under which the tools of a run are invoked; `None` in tests.
pub(super) struct Lease(pub(super) Option<Arc<dyn Log>>);

impl Lease {
    fn is_held(&self) -> bool {
        self.0.as_ref().is_none_or(|log| log.holds_lease())
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.is_held()).finish()
    }
}

/// An open call that waits for the client (RUN-11).
#[must_use = "an open call keeps its run from completing"]
pub struct AskedCall {
    call_id: CallId,
    recorded: Option<CallResult>,
    handle: RunHandle,
}

/// A call that the client has completed. Closing it returns the [`Answer`](crate::Answer).
#[derive(Debug)]
#[must_use = "an open call keeps its run from completing"]
pub struct Answered {
    call_id: CallId,
    result: CallResult,
}

/// A call whose work is done. Closing it returns the result.
#[derive(Debug)]
#[must_use = "an open call keeps its run from completing"]
pub struct Executed {
    call_id: CallId,
    result: CallResult,
    /// True if the log already has the result.
    recorded: bool,
}

impl OpenCall {
    pub(super) fn new(
        call_id: CallId,
        recorded: Option<CallResult>,
        results_bytes_max: usize,
        line: QueueTime,
        texts: Option<UserTexts>,
        lease: Lease,
    ) -> Self {
        Self { call_id, recorded, results_bytes_max, line, texts, lease }
    }

    /// Returns the id of the call, unique in its run and equal after a restart.
    pub fn call_id(&self) -> &CallId {
        &self.call_id
    }

    /// Does the work of the call, for at most [`CALL_TIMEOUT_MS`].
    pub async fn execute<W>(self, work: W) -> Executed
    where
        W: Future<Output = Result<Json, ToolError>>,
    {
        self.execute_within(CALL_TIMEOUT_MS, work).await
    }

    /// Does the work of the call, unless the log has its result. An error, a panic and a timeout after
    /// `call_timeout_ms` milliseconds become the call's status; the run continues. Time in which the run waits for
    /// its user's other runs does not count. After a timeout the work ends at its next yield.
    ///
    /// The work does not begin on a node whose lease is not proven at that moment: another node may have taken the run
    /// over, and may do the work itself (RUN-13, NODE-3). The call is then `cancelled`, in vain if the run was taken over.
    pub async fn execute_within<W>(self, call_timeout_ms: u64, work: W) -> Executed
    where
        W: Future<Output = Result<Json, ToolError>>,
    {
        self.execute_asking(call_timeout_ms, &QueueTime::default(), work).await
    }

    /// As [`Self::execute_within`]; `asked` is the time that the call has waited for the client, which does not
    /// count.
    pub(super) async fn execute_asking<W>(self, call_timeout_ms: u64, asked: &QueueTime, work: W) -> Executed
    where
        W: Future<Output = Result<Json, ToolError>>,
    {
        let Self { call_id, recorded, results_bytes_max, line, texts, lease } = self;
        if let Some(result) = recorded {
            return Executed { call_id, result, recorded: true };
        }
        // RUN-13: between this check and the first step of the work there is no wait.
        if !lease.is_held() {
            metrics::counter!("quintet_calls_without_lease_total").increment(1);
            tracing::error!(%call_id, "a tool was not invoked: this node has lost its lease");
            let result =
                CallResult::cut_short(CallStatus::Cancelled, "not invoked: the node has lost its lease");
            return Executed { call_id, result, recorded: false };
        }
        let work = AssertUnwindSafe(work).catch_unwind();
        let result = match within(Duration::from_millis(call_timeout_ms), [&line, asked], work).await {
            Some(Ok(Ok(results))) => CallResult::ok(results),
            Some(Ok(Err(error))) => {
                if let (Some(cause), Some(texts)) = (error.cause(), &texts) {
                    let error = texts.redact(cause).await;
                    tracing::warn!(%call_id, error, "a tool failed");
                }
                CallResult::error(clipped(error.user_message().to_owned(), ERROR_BYTES_MAX))
            }
            Some(Err(_panic)) => CallResult::error("the tool panicked"),
            None => CallResult::cut_short(
                CallStatus::TimedOut,
                &format!("the tool took longer than {call_timeout_ms} ms"),
            ),
        };
        Executed { call_id, result: bounded(result, results_bytes_max), recorded: false }
    }

    /// Sets a result that was computed elsewhere, unless the log has one.
    pub fn executed(self, result: CallResult) -> Executed {
        let Self { call_id, recorded, results_bytes_max, .. } = self;
        match recorded {
            Some(result) => Executed { call_id, result, recorded: true },
            None => Executed { call_id, result: bounded(result, results_bytes_max), recorded: false },
        }
    }

    /// Returns true if the log has the result, so that the work is not repeated.
    pub fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }
}

impl AskedCall {
    pub(super) fn new(call_id: CallId, recorded: Option<CallResult>, handle: RunHandle) -> Self {
        Self { call_id, recorded, handle }
    }

    /// Returns the id of the call.
    pub fn call_id(&self) -> &CallId {
        &self.call_id
    }

    /// Waits for the client's answer (RUN-11), unless the log has it.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run ends first.
    pub async fn answered(self) -> Result<Answered, RunEnded> {
        let Self { call_id, recorded, handle } = self;
        let result = match recorded {
            Some(result) => result,
            None => handle.closed(&call_id).await?,
        };
        Ok(Answered { call_id, result })
    }
}

impl Answered {
    /// Returns the id of the call.
    pub fn call_id(&self) -> &CallId {
        &self.call_id
    }

    pub(super) fn into_parts(self) -> (CallId, CallResult) {
        (self.call_id, self.result)
    }
}

impl Executed {
    /// Returns the id of the call.
    pub fn call_id(&self) -> &CallId {
        &self.call_id
    }

    pub(super) fn into_parts(self) -> (CallId, CallResult, bool) {
        (self.call_id, self.result, self.recorded)
    }
}

/// Returns the output of `work`, or `None` if it takes longer than `limit`, not counting these waits.
async fn within<W: Future>(limit: Duration, waits: [&QueueTime; 2], work: W) -> Option<W::Output> {
    let begun = Instant::now();
    let waited = |now| waits.iter().map(|wait| wait.waited(now)).sum::<Duration>();
    let before = waited(begun);
    let mut work = pin!(work);
    let mut left = limit;
    while !left.is_zero() {
        if let Ok(done) = tokio::time::timeout(left, work.as_mut()).await {
            return Some(done);
        }
        let now = Instant::now();
        let waiting = waited(now).saturating_sub(before);
        left = limit.saturating_sub((now - begun).saturating_sub(waiting));
    }
    None
}

/// Replaces a result longer than `bytes_max`, which the log would refuse, by an error of the tool, so that
/// the run continues.
pub(super) fn bounded(result: CallResult, bytes_max: usize) -> CallResult {
    let error = result.error.map(|error| clipped(error, ERROR_BYTES_MAX));
    let bytes = |error: &String| result.results.as_str().len() + error.len();
    if error.as_ref().map_or(result.results.as_str().len(), bytes) <= bytes_max {
        return CallResult { error, ..result };
    }
    let (status, error) = match error {
        Some(error) if result.results == Json::null() => (result.status, error),
        _ => (CallStatus::Error, format!("the tool's result is longer than {bytes_max} bytes")),
    };
    let results = Json::null();
    let room = bytes_max.saturating_sub(results.as_str().len());
    let error = match room.checked_sub('…'.len_utf8()) {
        Some(kept) if error.len() > room => clipped(error, kept),
        Some(_) => error,
        None => String::new(),
    };
    CallResult { status, results, error: Some(error) }
}

/// Default timeout of a tool call, in milliseconds.
pub const CALL_TIMEOUT_MS: u64 = 30_000;

/// Longest error of a tool, in bytes; a longer one is cut.
const ERROR_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use quintet_journal::{Journal, memory::MemoryJournal};
    use quintet_kernel::ids::UserId;

    use super::*;

    const RESULTS_BYTES_MAX: usize = 256 * 1024;

    fn open() -> OpenCall {
        let call_id = CallId::parse("c1").unwrap();
        OpenCall::new(call_id, None, RESULTS_BYTES_MAX, QueueTime::default(), None, Lease(None))
    }

    async fn results_of(work: impl Future<Output = Result<Json, ToolError>>) -> CallResult {
        open().execute_within(1000, work).await.into_parts().1
    }

    #[tokio::test]
    async fn node_3_a_tool_is_not_invoked_without_a_lease() {
        let node = MemoryJournal::default().node();
        let log = node.log(&UserId::parse("ann").unwrap());
        let call = || OpenCall { lease: Lease(Some(log.clone())), ..open() };
        let invoked = AtomicUsize::new(0);
        let work = async || {
            invoked.fetch_add(1, Ordering::Relaxed);
            Ok(Json::null())
        };
        let held = call().execute(work()).await.into_parts().1;
        let late = call();
        node.fence(node.incarnation());
        let lost = late.execute(work()).await.into_parts().1;
        assert_eq!((held.status, lost.status), (CallStatus::Ok, CallStatus::Cancelled));
        assert_eq!(invoked.into_inner(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_a_panic_and_an_overrun_become_the_status_of_the_call() {
        assert_eq!(results_of(async { Ok(Json::null()) }).await, CallResult::ok(Json::null()));
        assert_eq!(results_of(async { Err(ToolError::user_facing("no")) }).await, CallResult::error("no"));
        assert_eq!(results_of(async { panic!("secret") }).await, CallResult::error("the tool panicked"));
        assert_eq!(results_of(std::future::pending()).await.status, CallStatus::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn iso_6_waiting_for_a_turn_does_not_count_as_call_time() {
        let call = open();
        let line = call.line.clone();
        let (waits, works) = (Duration::from_secs(60), Duration::from_millis(999));
        let slow = async move {
            let in_line = line.enter();
            tokio::time::sleep(waits).await;
            drop(in_line);
            tokio::time::sleep(works).await;
            Ok(Json::null())
        };
        assert_eq!(call.execute_within(1000, slow).await.into_parts().1.status, CallStatus::Ok);
        let alone = async move {
            tokio::time::sleep(works * 2).await;
            Ok(Json::null())
        };
        assert_eq!(results_of(alone).await.status, CallStatus::TimedOut);
    }

    #[tokio::test]
    async fn run_9_call_with_a_recorded_result_is_not_made_again() {
        let recorded = CallResult::ok(Json::parse("1").unwrap());
        let call = OpenCall { recorded: Some(recorded.clone()), ..open() };
        let done = call.execute(async { panic!("the tool ran again") }).await;
        assert_eq!(done.into_parts(), (CallId::parse("c1").unwrap(), recorded, true));
    }

    #[tokio::test]
    async fn a_result_over_the_limit_is_an_error_of_the_tool() {
        let long = Json::from(&serde_json::Value::from("x".repeat(RESULTS_BYTES_MAX)));
        assert_eq!(results_of(async { Ok(long) }).await.status, CallStatus::Error);
        let error = results_of(async { Err(ToolError::user_facing("é".repeat(ERROR_BYTES_MAX))) })
            .await
            .error
            .unwrap();
        assert!(error.len() <= ERROR_BYTES_MAX + '…'.len_utf8());
    }
}
