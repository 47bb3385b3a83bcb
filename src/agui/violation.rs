//! Mistakes of a remote agent in the order of its events.

/// An event that is illegal where it came (RUN-10). Fault of the remote agent. The message has no text of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The first event of a response is neither `RUN_STARTED` nor `RUN_ERROR`.
    #[error("{0} came before RUN_STARTED")]
    NotStarted(&'static str),
    /// `RUN_STARTED` came during a run.
    #[error("RUN_STARTED came in a run that had started")]
    StartedTwice,
    /// An event followed the end of the run.
    #[error("{0} came after the end of the run")]
    AfterEnd(&'static str),
    /// The event belongs to another thread or run (ISO-2).
    #[error("{0} has the id of another thread or run")]
    ForeignRun(&'static str),
    /// The message, call or step of the event is not open.
    #[error("{0} refers to something that is not open")]
    NotOpen(&'static str),
    /// The message, call or step of the event is open already, or the call was made before (RUN-4).
    #[error("{0} repeats an id")]
    OpenedTwice(&'static str),
    /// A call of a tool of the front end is repeated with other arguments than those that the client has answered.
    #[error("{0} repeats a call with other arguments")]
    OtherArguments(&'static str),
    /// The first chunk of a message or call lacks its id or the name of its tool.
    #[error("{0} begins without an id or a name")]
    NoId(&'static str),
    /// A call has a second result (RUN-4).
    #[error("TOOL_CALL_RESULT came twice for a call")]
    ResultTwice,
    /// A call of a tool of the front end has a result, which only the client may give (RUN-11).
    #[error("TOOL_CALL_RESULT came for a call of a tool of the front end")]
    ResultOfClient,
    /// The run finished with something open (RUN-5).
    #[error("RUN_FINISHED came while a {0} was open")]
    StillOpen(&'static str),
    /// The list of calls without results is not that of the stream.
    #[error("RUN_FINISHED lists a call that does not wait for a result")]
    NotPending,
    /// An interrupt outcome has no question, two of one id, or one about an unknown call.
    #[error("RUN_FINISHED has an interrupt that cannot be answered")]
    Interrupt,
    /// The name of a tool is not 1 to 128 visible ASCII characters.
    #[error("{0} has an invalid name of a tool")]
    ToolName(&'static str),
}

/// The reason for which an event was not mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The event is illegal here.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The limit of this name is reached.
    #[error("{0} is reached")]
    Limit(&'static str),
}
