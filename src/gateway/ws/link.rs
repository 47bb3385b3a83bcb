//! A WebSocket connection from upgrade to close, as a typestate: only [`Link<Authenticated>`] has a user, a
//! cursor and a method that streams (CONN-1).

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{StreamExt, stream::FuturesOrdered};
use hyper::upgrade::Upgraded;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    commands::execute,
    core::{Core, Happened, Origin},
    reader::Reader,
};
use crate::{
    gateway::{
        Gateway,
        admit::{Admission, Turned},
        drain::Stage,
    },
    journal::{Extent, Lines},
    kernel::{
        connection::{Asked, Cause, Effect, Gap, Input, ServerFrame, Unattached, Unverified},
        ids::{ConnectionId, Epoch, Offset},
        ticket::Identity,
    },
    user::{cursor::ReadError, handle::User},
    wire::{
        client::ClientFrame,
        server::{self, ClientLimits, PROTOCOL, Ready},
    },
};

/// A connection in the phase `P`.
pub struct Link<P> {
    core: Core,
    phase: P,
}

/// Before `ready`: the connection waits for `hello`, even if the upgrade request was authenticated.
pub struct Greeting {
    /// The operation in progress, ordered by the machine.
    arriving: Option<Arriving>,
}

/// After `ready`: the connection belongs to one user.
pub struct Authenticated {
    user: User,
    reader: Reader,
    commands: FuturesOrdered<Answering>,
    /// Resolves to the log's head once all runs have reached a safe point (CONN-6).
    safe_point: Option<Pin<Box<dyn Future<Output = Offset> + Send>>>,
    /// The payload of the machine's next effect.
    at_hand: AtHand,
    /// The connection slot, freed on drop.
    _admission: Admission,
}

type Arriving = Pin<Box<dyn Future<Output = Arrival> + Send>>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

enum Arrival {
    Verified(Result<Identity, Unverified>),
    Attached(Box<Attachment>),
    Unattached(Unattached),
}

/// The user's handle, a positioned reader and an admission slot.
struct Attachment {
    user: User,
    reader: Reader,
    epoch: Epoch,
    extent: Extent,
    admission: Admission,
}

enum Answer {
    Command(Option<server::ServerFrame>),
    Renewal(Result<Identity, Unverified>),
}

enum AtHand {
    Nothing,
    Chunk(Lines),
    Answer(server::ServerFrame),
}

impl Link<Greeting> {
    /// Starts a connection on an upgraded socket.
    pub async fn new(
        gateway: Gateway,
        connection_id: ConnectionId,
        upgraded: Upgraded,
        origin: Origin,
        known: Option<Identity>,
    ) -> Self {
        let core = Core::new(gateway, connection_id, upgraded, origin, known).await;
        Self { core, phase: Greeting { arriving: None } }
    }

    /// Waits for `hello` and authenticates the connection. Returns `None` if it was closed instead.
    pub async fn greet(mut self) -> Option<Link<Authenticated>> {
        let mut asked = Asked::default();
        loop {
            for effect in self.core.take_effects() {
                let Err(effect) = self.core.perform(effect) else { continue };
                match effect {
                    Effect::Verify => {
                        let verified = self.core.verify();
                        self.phase.arriving = Some(Box::pin(async { Arrival::Verified(verified.await) }));
                    }
                    Effect::Attach(identity) => {
                        let attachment = attach(self.core.gateway.clone(), identity, asked);
                        self.phase.arriving = Some(Box::pin(attachment));
                    }
                    Effect::Close(cause) => {
                        self.core.close(cause).await;
                        return None;
                    }
                    other => {
                        tracing::error!(order = ?other, "connection effect not allowed before authentication")
                    }
                }
            }
            let arriving = &mut self.phase.arriving;
            let core = &mut self.core;
            let happened = poll_fn(|cx| {
                if let Some(arrival) = arriving
                    && let Poll::Ready(arrival) = arrival.as_mut().poll(cx)
                {
                    *arriving = None;
                    return Poll::Ready(Err(arrival));
                }
                core.poll_happened(cx, |_| Poll::Pending).map(Ok)
            })
            .await;
            match happened {
                Ok(Happened::Input(input)) => {
                    if let Input::Hello { cursor, .. } = &input {
                        asked = *cursor;
                    }
                    self.core.step(&input);
                }
                Ok(Happened::Stage(_)) => {
                    let reconnect_after_ms = self.core.gateway.limits.reconnect_after_ms;
                    self.core.step(&Input::Drain { reconnect_after_ms });
                }
                Err(Arrival::Verified(Ok(identity))) => self.core.step(&Input::Verified(identity)),
                Err(Arrival::Verified(Err(why))) => self.core.step(&Input::Unverified(why)),
                Err(Arrival::Unattached(why)) => self.core.step(&Input::Unattached(why)),
                Err(Arrival::Attached(attachment)) => return Some(self.open(*attachment)),
            }
        }
    }

    fn open(mut self, attachment: Attachment) -> Link<Authenticated> {
        let Attachment { user, reader, epoch, extent, admission } = attachment;
        self.core.belongs_to(user.user_id().clone());
        self.core.observer.attached(user.observer());
        self.core.step(&Input::Attached { epoch, trimmed: extent.trimmed, head: extent.head });
        let phase = Authenticated {
            user,
            reader,
            commands: FuturesOrdered::new(),
            safe_point: None,
            at_hand: AtHand::Nothing,
            _admission: admission,
        };
        Link { core: self.core, phase }
    }
}

async fn attach(gateway: Gateway, identity: Identity, asked: Asked) -> Arrival {
    let admission = match gateway.admit.connection(&identity.user_id) {
        Ok(admission) => admission,
        Err(Turned::ConnectionsMax) => return Arrival::Unattached(Unattached::ServiceFull),
        Err(
            Turned::UserConnectionsMax
            | Turned::UserPagesMax { .. }
            | Turned::RateLimited { .. }
            | Turned::RateUsersMax { .. },
        ) => return Arrival::Unattached(Unattached::UserFull),
    };
    let user = gateway.factory.attach(&identity.user_id);
    let opened = match user.cursor(asked.after).await {
        Ok(cursor) => user.epoch_for(asked).await.map(|epoch| (cursor, epoch)),
        Err(error) => Err(error),
    };
    match opened {
        Ok((cursor, epoch)) => {
            let extent = cursor.extent();
            let reader = Reader::new(cursor, &gateway.limits);
            Arrival::Attached(Box::new(Attachment { user, reader, epoch, extent, admission }))
        }
        Err(error) => {
            tracing::error!(%error, "user log cannot be opened");
            Arrival::Unattached(Unattached::Unavailable)
        }
    }
}

impl Link<Authenticated> {
    /// Sends current and future entries of the log and executes the client's commands until the connection
    /// closes.
    pub async fn stream(mut self) {
        loop {
            let mut effects = self.core.take_effects();
            for effect in effects.drain(..) {
                let Err(effect) = self.core.perform(effect) else { continue };
                if let Err(cause) = self.perform(effect) {
                    // Release the user's machines before the closing handshake, which may take a while
                    // (ISO-5).
                    drop(self.phase);
                    return self.core.close(cause).await;
                }
            }
            self.core.recycle(effects);
            let Self { core, phase } = &mut self;
            match poll_fn(|cx| core.poll_happened(cx, |cx| phase.poll(cx))).await {
                Happened::Input(input) => self.core.step(&input),
                Happened::Stage(Stage::Serving | Stage::Draining) => {
                    let reconnect_after_ms = self.core.gateway.limits.reconnect_after_ms;
                    self.core.step(&Input::Drain { reconnect_after_ms });
                }
                Happened::Stage(Stage::Closing) => {
                    self.phase.safe_point = Some(Box::pin(head(self.phase.user.clone())));
                }
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Result<(), Cause> {
        match effect {
            Effect::SendChunk => self.send_chunk()?,
            Effect::ReadOn { after, through } => self.phase.reader.read_on(after, through),
            Effect::Send(ServerFrame::Ready { resumed_after, head, gap }) => {
                let ready = self.ready(resumed_after, head, gap);
                self.core.send(&server::ServerFrame::Ready(ready));
            }
            Effect::Send(ServerFrame::Answer) => {
                if let AtHand::Answer(frame) = self.phase.take() {
                    self.core.send(&frame);
                }
            }
            Effect::Execute => {
                if let Some(frame) = self.core.take_frame() {
                    self.phase.execute(frame, self.core.gateway.limits.reconnect_after_ms);
                }
            }
            Effect::Verify => {
                let verified = self.core.verify();
                self.phase.commands.push_back(Box::pin(async { Answer::Renewal(verified.await) }));
            }
            Effect::Close(cause) => return Err(cause),
            other => tracing::error!(order = ?other, "connection effect was already performed"),
        }
        Ok(())
    }

    /// Sends stored entries unchanged, one frame each. The frames share the chunk's memory until the socket
    /// has accepted them.
    fn send_chunk(&mut self) -> Result<(), Cause> {
        let AtHand::Chunk(lines) = self.phase.take() else { return Ok(()) };
        metrics::counter!("quintet_entries_sent_total").increment(lines.len() as u64);
        metrics::counter!("quintet_sent_bytes_total").increment(lines.as_bytes().len() as u64);
        for (_, line) in lines.iter() {
            // Stored entries are UTF-8. If one is not, it is damaged, and skipping it would leave a gap in
            // the stream (DEL-2).
            let text = Utf8Bytes::try_from(line).map_err(|error| {
                tracing::error!(%error, "an entry is not UTF-8");
                Cause::Discontinuous
            })?;
            self.core.send_text(text);
        }
        self.core.observer.chunk_sent();
        Ok(())
    }

    fn ready(&self, resumed_after: Offset, head: Offset, gap: Option<Gap>) -> Ready {
        let gateway = &self.core.gateway;
        let limits = &gateway.limits;
        Ready {
            protocol: PROTOCOL,
            connection_id: self.core.connection_id,
            user_id: self.phase.user.user_id().clone(),
            epoch: gateway.factory.epoch(),
            resumed_after,
            head,
            gap,
            heartbeat_ms: limits.heartbeat_ms,
            limits: ClientLimits::new(
                &gateway.factory.limits().kernel,
                &limits.connection(),
                limits.socket(),
            ),
        }
    }
}

impl Authenticated {
    fn take(&mut self) -> AtHand {
        std::mem::replace(&mut self.at_hand, AtHand::Nothing)
    }

    fn execute(&mut self, frame: ClientFrame, retry_after_ms: u64) {
        let answer = execute(self.user.clone(), frame, retry_after_ms);
        self.commands.push_back(Box::pin(async { Answer::Command(answer.await) }));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        if let Poll::Ready(Some(answer)) = self.commands.poll_next_unpin(cx) {
            return Poll::Ready(match answer {
                Answer::Command(None) => Input::Answered { reply: false },
                Answer::Command(Some(frame)) => {
                    self.at_hand = AtHand::Answer(frame);
                    Input::Answered { reply: true }
                }
                Answer::Renewal(Ok(identity)) => Input::Verified(identity),
                Answer::Renewal(Err(why)) => Input::Unverified(why),
            });
        }
        if let Poll::Ready(fetched) = self.reader.poll_fetched(cx) {
            return Poll::Ready(match fetched {
                Ok(lines) => {
                    let input = Input::Chunk { first: lines.first(), last: lines.last() };
                    self.at_hand = AtHand::Chunk(lines);
                    input
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

/// Returns the head of a log, or 0 if it cannot be read, so that the shutdown does not wait for it.
async fn head(user: User) -> Offset {
    user.cursor(Offset(u64::MAX)).await.map_or(Offset::ZERO, |cursor| cursor.head())
}
