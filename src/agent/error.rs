//! The errors of agents and tools.
//!
//! Both types separate what the user sees from what the operator sees. An error that `?` converts is hidden: it
//! is logged with its sources, and the user sees a neutral message. A message for the user is explicit
//! ([`AgentError::user_facing`], [`ToolError::user_facing`]).
//!
//! Neither type implements [`std::error::Error`], because the conversion from every such error would then
//! overlap with the one from itself.

use std::{error::Error, fmt};

use quintet_kernel::entry::{RunError, RunErrorCode};

use crate::{clip::clipped, host::RunEnded, redact::ErrorCause};

/// The reason for which an agent returns without completing its run. Open calls are closed, and the run ends as
/// `failed`, code `agent_error`.
///
/// # Examples
///
/// ```
/// use quintet_agent::AgentError;
///
/// fn handle(text: &str) -> Result<u16, AgentError> {
///     if text.is_empty() {
///         return Err(AgentError::user_facing("The handle is missing."));
///     }
///     Ok(text.parse()?)
/// }
///
/// assert_eq!(handle("").unwrap_err().user_message(), "The handle is missing.");
/// assert_eq!(handle("x").unwrap_err().user_message(), "The agent failed.");
/// ```
pub struct AgentError(AgentErrorKind);

pub(crate) enum AgentErrorKind {
    /// The run has ended for its agent.
    Stopped(RunEnded),
    /// A failure with a message for the user.
    UserFacing(RunError),
    /// A failure whose cause only the operator sees.
    Internal(ErrorCause),
}

impl AgentError {
    /// Creates a failure whose message the user sees.
    pub fn user_facing(message: impl Into<String>) -> Self {
        Self::failed(RunErrorCode::AgentError, message)
    }

    /// Creates a failure whose cause the user does not see: it is logged with its sources. `?` does the same;
    /// this takes a text as well.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(AgentErrorKind::Internal(ErrorCause::new(cause.into())))
    }

    /// Creates a failure of a service that the agent depends on, code `upstream`. The user sees the message.
    pub fn upstream(message: impl Into<String>) -> Self {
        Self::failed(RunErrorCode::Upstream, message)
    }

    /// Creates a failure because a limit is reached, code `limit_reached`. The user sees the message.
    pub fn limit_reached(message: impl Into<String>) -> Self {
        Self::failed(RunErrorCode::LimitReached, message)
    }

    /// Creates a failure because a remote agent broke the order of steps, code `violation` (RUN-10). The user sees
    /// the message.
    pub fn violation(message: impl Into<String>) -> Self {
        Self::failed(RunErrorCode::Violation, message)
    }

    /// Creates a failure of this code, whose message the user sees.
    pub(crate) fn failed(code: RunErrorCode, message: impl Into<String>) -> Self {
        Self(AgentErrorKind::UserFacing(RunError { code, message: message.into() }))
    }

    /// Returns what the user sees of this error.
    pub fn user_message(&self) -> &str {
        match &self.0 {
            AgentErrorKind::Stopped(_) => "The run has ended.",
            AgentErrorKind::UserFacing(error) => &error.message,
            AgentErrorKind::Internal(_) => AGENT_FAILED,
        }
    }

    /// Returns true if the run has ended for the agent, for example by a cancel, so that this is no failure.
    pub fn is_stopped(&self) -> bool {
        matches!(self.0, AgentErrorKind::Stopped(_))
    }

    pub(crate) fn into_kind(self) -> AgentErrorKind {
        self.0
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for AgentError {
    fn from(error: E) -> Self {
        let error: Box<dyn Error + Send + Sync> = Box::new(error);
        match error.downcast::<RunEnded>() {
            // The run is not over for the service, which has yet to end it.
            Ok(stopped) if matches!(*stopped, RunEnded::InvalidName(_)) => Self::internal(stopped),
            Ok(stopped) => Self(AgentErrorKind::Stopped(*stopped)),
            Err(error) => Self::internal(error),
        }
    }
}

impl fmt::Debug for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            AgentErrorKind::Stopped(stopped) => f.debug_tuple("Stopped").field(stopped).finish(),
            AgentErrorKind::UserFacing(error) => f.debug_tuple("UserFacing").field(error).finish(),
            AgentErrorKind::Internal(cause) => f.debug_tuple("Internal").field(cause).finish(),
        }
    }
}

/// Returns the error of a run that its agent ends as failed; the message is cut.
pub(crate) fn agent_error(message: impl Into<String>) -> RunError {
    let message = clipped(message.into(), MESSAGE_BYTES_MAX);
    RunError { code: RunErrorCode::AgentError, message }
}

/// Longest message of a failed run, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4096;

/// The reason for which a tool has no result. The call closes as `error`, and the run continues.
///
/// # Examples
///
/// ```
/// use quintet_agent::ToolError;
///
/// fn half(text: &str) -> Result<u32, ToolError> {
///     let number: u32 = text.parse()?;
///     if number % 2 == 1 {
///         return Err(ToolError::user_facing("the number is odd"));
///     }
///     Ok(number / 2)
/// }
///
/// assert_eq!(half("3").unwrap_err().user_message(), "the number is odd");
/// assert_eq!(half("x").unwrap_err().user_message(), "the tool failed");
/// ```
#[derive(Debug)]
pub struct ToolError(ToolErrorKind);

#[derive(Debug)]
enum ToolErrorKind {
    UserFacing(String),
    Internal(ErrorCause),
}

impl ToolError {
    /// Creates an error whose message is the `error` of the call: the agent and the user see it.
    pub fn user_facing(message: impl Into<String>) -> Self {
        Self(ToolErrorKind::UserFacing(message.into()))
    }

    /// Creates an error whose cause neither the agent nor the user sees: it is logged with its sources. `?` does
    /// the same; this takes a text as well.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(ToolErrorKind::Internal(ErrorCause::new(cause.into())))
    }

    /// Returns what the agent and the user see of this error.
    pub fn user_message(&self) -> &str {
        match &self.0 {
            ToolErrorKind::UserFacing(message) => message,
            ToolErrorKind::Internal(_) => TOOL_FAILED,
        }
    }

    /// Returns the cause, if it is hidden.
    pub(crate) fn cause(&self) -> Option<&ErrorCause> {
        match &self.0 {
            ToolErrorKind::UserFacing(_) => None,
            ToolErrorKind::Internal(cause) => Some(cause),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self::internal(error)
    }
}

/// What the user sees of an agent's internal error.
const AGENT_FAILED: &str = "The agent failed.";

/// What the user sees of a tool's internal error.
const TOOL_FAILED: &str = "the tool failed";
