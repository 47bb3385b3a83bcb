//! Reads the next entries of a user's log, one chunk at a time.

use std::{
    mem,
    task::{Context, Poll, ready},
};

use tokio_util::sync::ReusableBoxFuture;

use crate::{
    gateway::limits::GatewayLimits,
    journal::{Lines, ReadLimit},
    kernel::ids::Offset,
    user::cursor::{Cursor, ReadError},
};

/// A cursor and the read in progress. A read is not cancelled when other events occur.
pub struct EntryReader {
    limit: ReadLimit,
    at: ReaderState,
    /// The read in progress; its allocation is reused.
    fetch: ReusableBoxFuture<'static, Fetched>,
}

enum ReaderState {
    Idle(Cursor),
    Fetching,
}

type Fetched = (Cursor, Result<Lines, ReadError>);

impl EntryReader {
    /// Creates a reader at the position of `cursor`.
    pub fn new(cursor: Cursor, limits: &GatewayLimits) -> Self {
        Self::of(cursor, limits.chunk())
    }

    /// Creates a reader at the position of `cursor` with this limit on one read.
    pub fn of(cursor: Cursor, limit: ReadLimit) -> Self {
        Self { limit, at: ReaderState::Idle(cursor), fetch: ReusableBoxFuture::new(std::future::pending()) }
    }

    /// Starts a read of the entries after `after`, up to `through`, which waits until there are some. Does
    /// nothing while a read is in progress.
    pub fn read_on(&mut self, after: Offset, through: Offset) {
        if let ReaderState::Idle(mut cursor) = mem::replace(&mut self.at, ReaderState::Fetching) {
            if cursor.after() != after {
                cursor.seek(after);
            }
            self.fetch.set(fetch(cursor, through, self.limit));
        }
    }

    /// Resolves to the entries read, at least one. Pending while no read is in progress.
    pub fn poll_fetched(&mut self, cx: &mut Context<'_>) -> Poll<Result<Lines, ReadError>> {
        if let ReaderState::Idle(_) = self.at {
            return Poll::Pending;
        }
        let (cursor, fetched) = ready!(self.fetch.poll(cx));
        self.at = ReaderState::Idle(cursor);
        Poll::Ready(fetched)
    }
}

async fn fetch(mut cursor: Cursor, through: Offset, limit: ReadLimit) -> Fetched {
    loop {
        match cursor.read(through, limit).await {
            Ok(lines) if lines.is_empty() => cursor.moved().await,
            fetched => return (cursor, fetched),
        }
    }
}
