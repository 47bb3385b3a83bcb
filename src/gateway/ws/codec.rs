//! The protocol that a connection speaks, chosen by its upgrade request: today's, or that of the predecessor's clients.
//!
//! Guarantee: a codec translates and nothing else. Both protocols go through the same machine, limits and checks
//! (`session`); the codec has no access to a user, a log or a socket.

use tokio_tungstenite::tungstenite::{Bytes, Utf8Bytes};

use super::payload::{Reply, WsPayload};
use crate::{
    kernel::{
        connection::{Input, ResumeCursor},
        ids::{ConnectionId, MessageId, ThreadId, Timestamp, UserId},
    },
    runtime::clock,
    wire::{
        client::FrameError,
        codes::CloseCode,
        entry::DecodeError,
        legacy::{self, Ack, LegacyFrame, Sender, View},
        server::{Pong, ServerFrame},
    },
};

/// The protocol of one connection.
pub enum Codec {
    /// `quintet.v1`.
    Current,
    /// The predecessor's protocol.
    Legacy(LegacyClient),
}

impl Codec {
    /// Returns the input that opens the connection, for a client that sends no `hello`.
    pub fn opening(&self) -> Option<Input<WsPayload>> {
        match self {
            Codec::Current => None,
            Codec::Legacy(client) => {
                let cursor = client.cursor.unwrap_or(ResumeCursor::Head);
                Some(Input::Hello { cursor, credential: None })
            }
        }
    }

    /// Encodes a frame that is not an entry.
    pub fn frame(&self, frame: &ServerFrame) -> Encoded {
        let observed = Utf8Bytes::from(frame.encode());
        match self {
            Codec::Current => Encoded::same(observed),
            Codec::Legacy(client) => Encoded { observed, sent: client.frame(frame, clock::now()) },
        }
    }

    /// Encodes the reply to a frame that had no effect.
    pub fn reply(&self, reply: Option<Reply>) -> Encoded {
        let (nonce, ack) = match reply {
            Some(Reply::Nonce(nonce)) => (Some(nonce), Ack::Pong),
            Some(Reply::Ack(ack)) => (None, ack),
            None => (None, Ack::Pong),
        };
        let observed = Utf8Bytes::from(ServerFrame::Pong(Pong { nonce }).encode());
        match self {
            Codec::Current => Encoded::same(observed),
            Codec::Legacy(client) => Encoded { observed, sent: client.ack(ack, clock::now()) },
        }
    }

    /// Encodes a stored entry, unchanged in today's protocol.
    ///
    /// # Errors
    /// When the line is not an entry.
    pub fn entry(&self, line: Bytes) -> Result<Encoded, DamagedEntry> {
        let observed = Utf8Bytes::try_from(line)?;
        match self {
            Codec::Current => Ok(Encoded::same(observed)),
            Codec::Legacy(_) => {
                let sent = legacy::entry(observed.as_bytes())?.map(Utf8Bytes::from);
                if sent.is_none() {
                    metrics::counter!("quintet_legacy_entries_skipped_total").increment(1);
                }
                Ok(Encoded { observed, sent })
            }
        }
    }

    /// Returns the number of a close code in this protocol.
    pub fn close_number(&self, code: CloseCode) -> u16 {
        match self {
            Codec::Current => code.number(),
            Codec::Legacy(_) => legacy::close_number(code),
        }
    }
}

/// One frame to the client.
pub struct Encoded {
    /// The frame in today's protocol, for observers.
    pub observed: Utf8Bytes,
    /// The frame in the protocol of the connection; `None` if it has no counterpart there.
    pub sent: Option<Utf8Bytes>,
}

impl Encoded {
    fn same(text: Utf8Bytes) -> Self {
        Self { sent: Some(text.clone()), observed: text }
    }
}

/// A stored line that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum DamagedEntry {
    /// The line is not UTF-8.
    #[error("an entry is not UTF-8")]
    Encoding(#[from] std::str::Utf8Error),
    /// The line is not an entry.
    #[error(transparent)]
    Decoding(#[from] DecodeError),
}

/// One connection of a legacy client. Its upgrade request was authenticated.
pub struct LegacyClient {
    user_id: UserId,
    connection_id: ConnectionId,
    /// The cursor of the upgrade request. Without one, the connection starts at the head of the log.
    cursor: Option<ResumeCursor>,
    /// Messages without an id so far.
    unnamed: u64,
}

impl LegacyClient {
    /// Creates the codec of one connection.
    pub fn new(user_id: UserId, connection_id: ConnectionId, cursor: Option<ResumeCursor>) -> Self {
        Self { user_id, connection_id, cursor, unnamed: 0 }
    }

    /// Decodes the text of one message. Messages without a thread go to the connection's own.
    ///
    /// # Errors
    /// When the frame is malformed, of an unknown type, or names another user.
    pub fn decode(&mut self, text: &str) -> Result<LegacyFrame, FrameError> {
        let own = format!("legacy-{}", self.connection_id);
        let thread_id = ThreadId::parse(&own).expect("a UUID is visible ASCII");
        let message_id = MessageId::parse(&format!("{own}-{}", self.unnamed + 1)).expect("as before");
        let decoded = legacy::decode(
            text,
            &Sender { user_id: &self.user_id, thread_id, message_id: message_id.clone() },
        );
        if let Ok(LegacyFrame::Message(message)) = &decoded
            && message.message_id == message_id
        {
            self.unnamed += 1;
        }
        decoded
    }

    fn frame(&self, frame: &ServerFrame, now: Timestamp) -> Option<Utf8Bytes> {
        legacy::frame(frame, self.view(now)).map(Utf8Bytes::from)
    }

    fn ack(&self, ack: Ack, now: Timestamp) -> Option<Utf8Bytes> {
        legacy::ack(ack, self.view(now)).map(Utf8Bytes::from)
    }

    fn view(&self, now: Timestamp) -> View<'_> {
        View { user_id: &self.user_id, now, resumes: self.cursor.is_some() }
    }
}
