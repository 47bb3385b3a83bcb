//! Limits of what a server sends, below the protocol library.
//!
//! Guarantees: no line of a child is longer than `frame_bytes_max`; no more than `requests_max` requests of a server
//! wait for an answer, or for their answer to be read. Beyond either, the connection ends. Its end is announced at
//! once, before the library has dealt with it.

use std::{
    collections::HashMap,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use rmcp::{
    RoleClient,
    model::{JsonRpcMessage, RequestId, ServerNotification},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::CancellationToken;

/// A transport with limits.
pub(crate) struct GuardedTransport<T> {
    inner: T,
    unanswered: Unanswered,
    requests_max: usize,
    /// Cancelled when the connection has ended.
    lost: CancellationToken,
}

/// The requests of the server whose answers are not sent.
type Unanswered = Arc<Mutex<HashMap<RequestId, Progress>>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Handled,
    AnswerBeingSent,
}

impl<T> GuardedTransport<T> {
    pub(crate) fn new(inner: T, requests_max: usize, lost: CancellationToken) -> Self {
        Self { inner, unanswered: Unanswered::default(), requests_max, lost }
    }

    /// Returns false if a message breaks a limit.
    fn admit(&self, message: &RxJsonRpcMessage<RoleClient>) -> bool {
        let mut unanswered = lock(&self.unanswered);
        match message {
            JsonRpcMessage::Request(request) => {
                unanswered.len() < self.requests_max
                    && unanswered.insert(request.id.clone(), Progress::Handled).is_none()
            }
            JsonRpcMessage::Notification(notification) => {
                // The library answers no request that the server has cancelled.
                if let ServerNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                    && unanswered.get(id) == Some(&Progress::Handled)
                {
                    unanswered.remove(id);
                }
                true
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => true,
        }
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for GuardedTransport<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let answered = match &item {
            JsonRpcMessage::Response(response) => Some(response.id.clone()),
            JsonRpcMessage::Error(error) => error.id.clone(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let unanswered = self.unanswered.clone();
        if let Some(id) = &answered
            && let Some(progress) = lock(&unanswered).get_mut(id)
        {
            *progress = Progress::AnswerBeingSent;
        }
        let send = self.inner.send(item);
        async move {
            let sent = send.await;
            if let Some(id) = answered {
                lock(&unanswered).remove(&id);
            }
            sent
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let received = if self.lost.is_cancelled() { None } else { self.inner.receive().await };
        let message = received.filter(|message| self.admit(message));
        if message.is_none() {
            self.lost.cancel();
        }
        message
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.lost.cancel();
        self.inner.close().await
    }
}

impl<T> Drop for GuardedTransport<T> {
    fn drop(&mut self) {
        self.lost.cancel();
    }
}

fn lock(unanswered: &Unanswered) -> std::sync::MutexGuard<'_, HashMap<RequestId, Progress>> {
    unanswered.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A reader that fails at a line longer than a limit.
pub(crate) struct LineLimit<R> {
    inner: R,
    line_bytes: usize,
    line_bytes_max: usize,
}

impl<R> LineLimit<R> {
    pub(crate) fn new(inner: R, line_bytes_max: usize) -> Self {
        Self { inner, line_bytes: 0, line_bytes_max }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for LineLimit<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
        for part in buffer.filled()[before..].split_inclusive(|byte| *byte == b'\n') {
            this.line_bytes += part.len();
            if this.line_bytes > this.line_bytes_max {
                buffer.set_filled(before);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long")));
            }
            if part.ends_with(b"\n") {
                this.line_bytes = 0;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_line_over_the_limit_ends_the_stream() {
        let mut text = String::new();
        LineLimit::new(&b"1234567\n12345678"[..], 8).read_to_string(&mut text).await.unwrap();
        assert_eq!(text.len(), 16);
        let failed = LineLimit::new(&b"1234567\n123456789"[..], 8).read_to_string(&mut text).await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
