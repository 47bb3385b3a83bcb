//! The access of a connection to its user: the handle of the user's machines, the next entries of the log, and
//! the connection slot.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{payload::WsPayload, reader::EntryReader};
use crate::{
    gateway::{
        Gateway,
        admit::{Admission, AdmissionError},
    },
    journal::Extent,
    kernel::{
        connection::{AttachError, Input, ResumeCursor},
        ids::{Epoch, Offset},
        ticket::Identity,
    },
    user::{cursor::ReadError, handle::User},
};

/// The access of an attached connection.
pub struct UserAccess {
    pub user: User,
    pub reader: EntryReader,
    /// Resolves to the log's head once all runs have reached a safe point (CONN-6).
    safe_point: Option<Pin<Box<dyn Future<Output = Offset> + Send>>>,
    /// The connection slot, freed on drop.
    _admission: Admission,
}

/// The result of [`attach`].
pub struct Attachment {
    pub access: UserAccess,
    /// The epoch to compare the cursor with.
    pub epoch: Epoch,
    pub extent: Extent,
}

/// Attaches a connection to its user's machines and opens the log at the cursor.
///
/// # Errors
/// When a limit of connections is reached or the journal is unavailable.
pub async fn attach(
    gateway: Gateway,
    identity: Identity,
    cursor: ResumeCursor,
) -> Result<Attachment, AttachError> {
    let admission = gateway.admit.connection(&identity.user_id).map_err(|turned| match turned {
        AdmissionError::ConnectionsMax => AttachError::ServiceFull,
        AdmissionError::UserConnectionsMax
        | AdmissionError::UserPagesMax { .. }
        | AdmissionError::UserExportsMax { .. }
        | AdmissionError::RateLimited { .. }
        | AdmissionError::RateUsersMax { .. } => AttachError::UserFull,
    })?;
    let user = gateway.factory.attach(&identity.user_id);
    let opened = match user.cursor(cursor.after().unwrap_or_default()).await {
        Ok(opened) => user.epoch_for(cursor).await.map(|epoch| (opened, epoch)),
        Err(error) => Err(error),
    };
    let (opened, epoch) = opened.map_err(|error| {
        tracing::error!(%error, "user log cannot be opened");
        AttachError::Unavailable
    })?;
    let extent = opened.extent();
    let reader = EntryReader::new(opened, &gateway.limits);
    let access = UserAccess { user, reader, safe_point: None, _admission: admission };
    Ok(Attachment { access, epoch, extent })
}

impl UserAccess {
    /// Looks up the head of the log, now that all runs have reached a safe point. [`Input::Drained`] follows.
    pub fn all_quiesced(&mut self) {
        let user = self.user.clone();
        self.safe_point = Some(Box::pin(async move {
            // If the log cannot be read, the shutdown does not wait for it.
            user.cursor(Offset(u64::MAX)).await.map_or(Offset::ZERO, |cursor| cursor.head())
        }));
    }

    /// Polls for the next entries and the safe point of a drain.
    pub fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Input<WsPayload>> {
        if let Poll::Ready(fetched) = self.reader.poll_fetched(cx) {
            return Poll::Ready(match fetched {
                Ok(lines) => {
                    let (first, last) = (lines.first(), lines.last());
                    Input::Chunk { first, last, entries: lines.into() }
                }
                Err(ReadError::Gap(_)) => Input::Outrun,
                Err(ReadError::Journal(error)) => {
                    tracing::error!(%error, "user log cannot be read");
                    Input::Unreadable
                }
            });
        }
        if let Some(safe_point) = &mut self.safe_point
            && let Poll::Ready(head) = safe_point.as_mut().poll(cx)
        {
            self.safe_point = None;
            return Poll::Ready(Input::Drained { head });
        }
        Poll::Pending
    }
}
