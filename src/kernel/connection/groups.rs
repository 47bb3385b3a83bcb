//! Patterns for groups of inputs, so that each state names every input. They expand to variants of `Input`, which has to
//! be in scope.

/// The client frames other than `hello`.
macro_rules! frame {
    () => {
        Input::Renew(_)
            | Input::Ping(_)
            | Input::Command(_)
            | Input::Unclear(_)
            | Input::Oversized(_)
            | Input::Throttled { .. }
            | Input::Pinged
    };
}

/// The events of the socket that need no reply.
macro_rules! socket {
    () => {
        Input::Pong
            | Input::Binary
            | Input::NotUtf8
            | Input::TooLong
            | Input::Garbled
            | Input::MessageLate
            | Input::UnfinishedMax
            | Input::PeerClosed
            | Input::Gone
    };
}

/// The results of `Attach`, and the loss of the slot while the peer is unknown.
macro_rules! setup {
    () => {
        Input::Attached { .. } | Input::Unattached(_) | Input::Displaced
    };
}

/// The result of `Verify`.
macro_rules! verdict {
    () => {
        Input::Verified(_) | Input::Unverified(_)
    };
}

/// The results of `ReadOn`.
macro_rules! fetched {
    () => {
        Input::Chunk { .. } | Input::Outrun | Input::Unreadable
    };
}

/// The events that occur in any state, and those of the user's runs.
macro_rules! rest {
    () => {
        Input::Answered { .. }
            | Input::Flushed
            | Input::Elapsed(_)
            | Input::Drain { .. }
            | Input::Drained { .. }
    };
}

pub(super) use {fetched, frame, rest, setup, socket, verdict};
