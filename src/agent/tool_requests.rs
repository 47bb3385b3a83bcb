//! What tools ask of their run while they execute: reports of progress, and questions to the client.
//!
//! Guarantee: the run opens the call of a question, so the question is durable before it is delivered (RUN-9), and is
//! closed before the run completes (RUN-5). The id of a question is derived from the call of its tool, so it is the
//! same if the tool executes again after a crash.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use quintet_kernel::{
    entry::{Call, CallOwner},
    ids::{CallId, ToolName},
    json::Json,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    answer::Answer,
    call_ids::question_id,
    error::ToolError,
    host::{QueueTime, RunEnded},
};

/// A request of a tool to its run.
pub(crate) enum ToolRequest {
    /// A piece of progress.
    Progress(String),
    /// A question to the client.
    Ask {
        /// The call of the client.
        call: Call,
        /// Receives the answer.
        reply: oneshot::Sender<Answer>,
    },
}

/// The side of one call of a tool.
#[derive(Clone)]
pub(crate) struct ToolRequests {
    run: mpsc::Sender<ToolRequest>,
    questions: Arc<AtomicU32>,
    /// The time that the call has waited for the client.
    asked: QueueTime,
}

impl ToolRequests {
    /// Creates the two sides of the calls that a run executes in parallel.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<ToolRequest>) {
        let (run, requests) = mpsc::channel(REQUESTS_MAX);
        (Self { run, questions: Arc::default(), asked: QueueTime::default() }, requests)
    }

    /// Returns the side of another call.
    pub(crate) fn of_another_call(&self) -> Self {
        Self { run: self.run.clone(), questions: Arc::default(), asked: QueueTime::default() }
    }

    /// Returns the time that the call has waited for the client.
    pub(crate) fn asked(&self) -> &QueueTime {
        &self.asked
    }

    pub(crate) async fn progress(&self, text: String) {
        if self.run.send(ToolRequest::Progress(text)).await.is_err() {
            tracing::debug!("a tool reported progress after its run had ended");
        }
    }

    pub(crate) async fn ask(
        &self,
        call_id: &CallId,
        tool_name: &str,
        parameters: Json,
    ) -> Result<Answer, ToolError> {
        let tool_name = ToolName::parse(tool_name)?;
        let number = self.questions.fetch_add(1, Ordering::Relaxed) + 1;
        let call_id = question_id(call_id, number);
        let call = Call { call_id, tool_name, parameters, by: CallOwner::Client };
        let (reply, answer) = oneshot::channel();
        let _wait = self.asked.enter();
        self.run.send(ToolRequest::Ask { call, reply }).await.map_err(|_| RunEnded::Ended)?;
        Ok(answer.await.map_err(|_| RunEnded::Ended)?)
    }
}

/// Requests of the tools of one run that wait for the run to take them up.
const REQUESTS_MAX: usize = 16;
