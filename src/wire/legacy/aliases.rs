//! The types of the predecessor's client frames.

/// The meaning of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// A message of the user: `send_message`.
    Message,
    /// The end of a run: `cancel_run`.
    Cancel,
    /// Answered with `pong`.
    Ping,
    /// Answered with `heartbeat_ack`.
    Heartbeat,
    /// Answered with a `system_message`, status `connected`.
    Connect,
    /// Answered with a `system_message`, status `disconnect_acknowledged`. The connection stays open.
    Disconnect,
    /// Answered with a `system_message`, status `typing_acknowledged`.
    Typing,
    /// Not answered: the frame is itself a reply.
    Reply,
}

/// Every type that is understood. All others are errors, also those that the predecessor acknowledged without an effect.
pub const ALIASES: [(&str, Alias); 24] = [
    ("user_message", Alias::Message),
    ("user", Alias::Message),
    ("user_input", Alias::Message),
    ("chat_message", Alias::Message),
    ("message", Alias::Message),
    ("chat", Alias::Message),
    ("start_agent", Alias::Message),
    ("execute_agent", Alias::Message),
    ("EXECUTE_AGENT", Alias::Message),
    ("agent_request", Alias::Message),
    ("agent", Alias::Message),
    ("agent_task", Alias::Message),
    ("stop_agent", Alias::Cancel),
    ("ping", Alias::Ping),
    ("heartbeat", Alias::Heartbeat),
    ("connect", Alias::Connect),
    ("disconnect", Alias::Disconnect),
    ("typing", Alias::Typing),
    ("user_typing", Alias::Typing),
    ("typing_started", Alias::Typing),
    ("typing_stopped", Alias::Typing),
    ("pong", Alias::Reply),
    ("heartbeat_ack", Alias::Reply),
    ("event_confirmation", Alias::Reply),
];

impl Alias {
    /// Returns the meaning of a type, or `None` for a type that is not understood.
    pub fn of(kind: &str) -> Option<Self> {
        ALIASES.iter().find(|(name, _)| *name == kind).map(|(_, alias)| *alias)
    }
}
