//! Drives one WebSocket from upgrade to close.
//!
//! ```text
//!   socket ──▶ FrameReader ──▶ Input ──▶ Connection ──▶ Effect ──▶ WsSession::perform ──▶ socket, timers
//!                                ▲                                        │
//!                                └── work, entries, timers, drain ◀───────┘
//! ```
//!
//! Guarantees: one input, then all of its effects in order, then the next input. Only an attached connection has
//! a user, and a reader to send entries from (CONN-1). Entries are not queued per connection: the next chunk is
//! read once the socket has accepted the previous one (DEL-4).

use std::{
    future::{Future, poll_fn},
    mem,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesOrdered};
use hyper::upgrade::Upgraded;

use super::{
    access::{Attachment, UserAccess, attach},
    codec::{Codec, Encoded},
    commands::{execute, verify},
    frame_reader::FrameReader,
    payload::{WsPayload, error, ready},
    socket::{Gone, Socket},
    timers::Timers,
};
use crate::{
    gateway::{
        Gateway,
        peers::{PeerAddr, SocketSlot},
    },
    journal::Lines,
    kernel::{
        connection::{Cause, Connection, Effect, Effects, Input, Phase, ServerFrame, Timer},
        ids::ConnectionId,
        ticket::Identity,
    },
    observer::ConnectionObserver,
    runtime::drain::ShutdownStage,
    wire::{codes::CloseCode, server},
};

/// The peer and socket of a connection.
pub struct Origin {
    pub peer: PeerAddr,
    /// The registration of its socket.
    pub slot: SocketSlot,
}

/// One WebSocket connection: the state machine, and the parts that perform its effects.
pub struct WsSession {
    gateway: Gateway,
    connection_id: ConnectionId,
    origin: Origin,
    connection: Connection<WsPayload>,
    /// The effects of the last input.
    effects: Effects<WsPayload>,
    observer: Box<dyn ConnectionObserver>,
    /// The effects without content, for the monitor. A buffer.
    outlines: Effects,
    socket: Socket,
    codec: Codec,
    frames: FrameReader,
    timers: Timers,
    flushing: bool,
    /// Value of [`Socket::written`] when the stall timer was armed.
    written_before: u64,
    /// Verifications, attachments and commands in progress, completed in order.
    work: FuturesOrdered<Work>,
    access: Access,
    stage: ShutdownStage,
    next_stage: Pin<Box<dyn Future<Output = ShutdownStage> + Send>>,
    first_polled: Direction,
}

/// The access of a connection.
enum Access {
    /// Before [`Input::Attached`], even if the upgrade request was authenticated.
    None,
    /// One user's machines.
    User(UserAccess),
}

type Work = Pin<Box<dyn Future<Output = SessionEvent> + Send>>;

/// An event that the driver handles.
enum SessionEvent {
    Input(Input<WsPayload>),
    /// The connection gets access to its user, and the machine the input `Attached`.
    Attached(Box<Attachment>),
    /// The shutdown has reached this stage (CONN-6).
    Stage(ShutdownStage),
}

/// A direction of the socket. The first one polled alternates, so that neither starves the other.
#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

impl WsSession {
    /// Creates the session of an upgraded connection. `known` is the identity of the upgrade request.
    pub async fn new(
        gateway: Gateway,
        connection_id: ConnectionId,
        upgraded: Upgraded,
        origin: Origin,
        known: Option<Identity>,
        codec: Codec,
    ) -> Self {
        // From here on, a displaced connection is closed with a close code instead of a reset.
        origin.slot.announces();
        let frames = FrameReader::new(origin.peer, known.as_ref());
        let mut effects = Effects::new();
        let connection = Connection::accept(known.clone(), gateway.limits.connection(), &mut effects);
        let mut observer = gateway.factory.observer().connection(connection_id);
        let outlines: Effects = effects.iter().map(Effect::outline).collect();
        observer.accepted(known.as_ref(), &outlines);
        Self {
            connection_id,
            origin,
            connection,
            effects,
            observer,
            outlines,
            socket: Socket::new(upgraded, &gateway.limits).await,
            codec,
            frames,
            timers: Timers::new(gateway.limits),
            flushing: false,
            written_before: 0,
            work: FuturesOrdered::new(),
            access: Access::None,
            stage: ShutdownStage::Serving,
            next_stage: reached(&gateway, ShutdownStage::Draining),
            first_polled: Direction::In,
            gateway,
        }
    }

    /// Runs the connection until it is closed.
    pub async fn run(mut self) {
        if let Some(opening) = self.codec.opening() {
            self.step(opening);
        }
        loop {
            let mut effects = mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                if let ControlFlow::Break(cause) = self.perform(effect) {
                    return self.close(cause).await;
                }
            }
            // The buffer is used again.
            self.effects = effects;
            let event = poll_fn(|cx| self.poll_event(cx)).await;
            self.handle(event);
        }
    }

    fn handle(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Input(input) => self.step(input),
            SessionEvent::Attached(attachment) => self.attached(*attachment),
            SessionEvent::Stage(stage) => match (stage, &mut self.access) {
                (ShutdownStage::Closing, Access::User(access)) => access.all_quiesced(),
                (ShutdownStage::Serving | ShutdownStage::Draining, _)
                | (ShutdownStage::Closing, Access::None) => {
                    let reconnect_after_ms = self.gateway.limits.reconnect_after_ms;
                    self.step(Input::Drain { reconnect_after_ms });
                }
            },
        }
    }

    /// Gives an input to the state machine and collects its effects.
    fn step(&mut self, input: Input<WsPayload>) {
        let from = self.connection.phase();
        // Effects of earlier steps may not be performed yet.
        let earlier = self.effects.len();
        let stepped = self.connection.step(&input, &mut self.effects);
        if self.observer.is_enabled() {
            self.outlines.clear();
            self.outlines.extend(self.effects.iter().skip(earlier).map(Effect::outline));
            self.observer.stepped(&input.outline(), &self.outlines, stepped.is_err());
        }
        match stepped {
            Ok(()) => {
                let to = self.connection.phase();
                if from != to {
                    tracing::debug!(?from, ?to, input = ?input.name(), "connection moved");
                }
            }
            Err(rejected) => {
                // A rejected input leaves the machine unchanged; sending it is a bug in the shell.
                metrics::counter!("quintet_connection_rejections_total").increment(1);
                tracing::warn!(%rejected, "connection machine rejected an input");
            }
        }
    }

    /// Assigns the connection to its user: its frames count against the user's rate, the limits of authenticated
    /// connections apply, and the socket can no longer be displaced (ISO-6).
    fn attached(&mut self, attachment: Attachment) {
        let Attachment { access, epoch, extent } = attachment;
        tracing::Span::current().record("user_id", access.user.user_id().as_str());
        self.origin.slot.is_member();
        self.frames.belongs_to(access.user.user_id().clone(), &self.gateway);
        self.observer.attached(access.user.observer());
        self.access = Access::User(access);
        self.step(Input::Attached { epoch, trimmed: extent.trimmed, head: extent.head });
    }

    /// Performs one effect. Breaks with the cause if the connection has to close.
    fn perform(&mut self, effect: Effect<WsPayload>) -> ControlFlow<Cause> {
        match (effect, &mut self.access) {
            (Effect::Verify(credential), _) => {
                let Gateway { auth, peers, .. } = &self.gateway;
                let verified = verify(auth.clone(), peers.clone(), self.origin.peer, credential);
                self.work.push_back(Box::pin(async {
                    SessionEvent::Input(verified.await.map_or_else(Input::Unverified, Input::Verified))
                }));
            }
            (Effect::Attach { identity, cursor }, _) => {
                let attached = attach(self.gateway.clone(), identity, cursor);
                self.work.push_back(Box::pin(async {
                    match attached.await {
                        Ok(attachment) => SessionEvent::Attached(Box::new(attachment)),
                        Err(why) => SessionEvent::Input(Input::Unattached(why)),
                    }
                }));
            }
            (Effect::Execute(command), Access::User(access)) => {
                let reply = execute(access.user.clone(), command, self.gateway.limits.reconnect_after_ms);
                self.work.push_back(Box::pin(async {
                    SessionEvent::Input(Input::Answered { reply: reply.await })
                }));
            }
            (Effect::ReadOn { after, through }, Access::User(access)) => {
                access.reader.read_on(after, through);
            }
            (Effect::Send(ServerFrame::Ready { resumed_after, head, gap }), Access::User(access)) => {
                let user_id = access.user.user_id().clone();
                let ready = ready(&self.gateway, self.connection_id, user_id, resumed_after, head, gap);
                self.send(&server::ServerFrame::Ready(ready));
            }
            // The machine orders these only after `Attached` (CONN-1).
            (
                Effect::Execute(_) | Effect::ReadOn { .. } | Effect::Send(ServerFrame::Ready { .. }),
                Access::None,
            ) => {
                tracing::error!("connection effect is not allowed before authentication");
                return ControlFlow::Break(Cause::Unavailable);
            }
            (Effect::SendChunk(lines), _) => return self.send_chunk(&lines),
            (Effect::Send(ServerFrame::Answer(answer)), _) => self.send(&answer),
            (Effect::Send(ServerFrame::Error { fault, fatal }), _) => {
                let error = error(fault, self.gateway.limits.reconnect_after_ms);
                self.send(&server::ServerFrame::Error(server::Error { fatal, ..error }));
            }
            (Effect::Send(ServerFrame::CaughtUp { offset }), _) => {
                self.send(&server::ServerFrame::CaughtUp(server::CaughtUp { head: offset }));
            }
            (Effect::Send(ServerFrame::Renewed { expires_at }), _) => {
                self.send(&server::ServerFrame::Renewed(server::Renewed { expires_at }));
            }
            (Effect::Send(ServerFrame::Pong(reply)), _) => {
                let encoded = self.codec.reply(reply);
                self.send_encoded(encoded);
            }
            (Effect::Send(ServerFrame::Draining { reconnect_after_ms }), _) => {
                self.send(&server::ServerFrame::Draining(server::Draining { reconnect_after_ms }));
            }
            (Effect::Flush, _) => self.flushing = true,
            (Effect::PingPeer, _) => {
                self.frames.ping_sent();
                let sent = self.socket.ping();
                self.sent(sent);
            }
            (Effect::Arm(timer), _) => self.arm(timer),
            (Effect::Disarm(timer), _) => self.timers.disarm(timer),
            (Effect::ExpireAt(expires_at), _) => self.timers.expire_at(expires_at),
            (Effect::Close(cause), _) => return ControlFlow::Break(cause),
        }
        ControlFlow::Continue(())
    }

    /// Sends stored entries, one frame each, unchanged in today's protocol. The frames share the chunk's memory until
    /// the socket has accepted them.
    fn send_chunk(&mut self, lines: &Lines) -> ControlFlow<Cause> {
        metrics::counter!("quintet_entries_sent_total").increment(lines.len() as u64);
        metrics::counter!("quintet_sent_bytes_total").increment(lines.as_bytes().len() as u64);
        for (_, line) in lines.iter() {
            match self.codec.entry(line) {
                Ok(encoded) => self.send_encoded(encoded),
                // Skipping a damaged entry would leave a gap in the stream (DEL-2).
                Err(error) => {
                    tracing::error!(%error, "an entry is damaged");
                    return ControlFlow::Break(Cause::Discontinuous);
                }
            }
        }
        self.observer.chunk_sent();
        ControlFlow::Continue(())
    }

    /// Queues a frame.
    fn send(&mut self, frame: &server::ServerFrame) {
        let encoded = self.codec.frame(frame);
        self.send_encoded(encoded);
    }

    /// Queues an encoded frame, if the protocol of the connection has one. Observers know today's protocol only.
    fn send_encoded(&mut self, encoded: Encoded) {
        self.observer.sending(&encoded.observed);
        if let Some(text) = encoded.sent {
            let sent = self.socket.send(text);
            self.sent(sent);
        }
    }

    /// A failed send is ignored: flushing the broken socket fails too and reports it.
    fn sent(&mut self, sent: Result<(), Gone>) {
        if let Err(Gone) = sent {
            self.flushing = true;
        }
    }

    fn arm(&mut self, timer: Timer) {
        if timer == Timer::Stall {
            self.written_before = self.socket.written();
        }
        self.timers.arm(timer);
    }

    /// Polls socket, timers, work, entries and shutdown for the next event.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SessionEvent> {
        let first = self.first_polled;
        self.first_polled = match first {
            Direction::In => Direction::Out,
            Direction::Out => Direction::In,
        };
        for direction in [first, self.first_polled] {
            let polled = match direction {
                Direction::In => self.poll_in(cx),
                Direction::Out => self.poll_out(cx),
            };
            if polled.is_ready() {
                return polled;
            }
        }
        if self.stage < ShutdownStage::Closing
            && let Poll::Ready(stage) = self.next_stage.as_mut().poll(cx)
        {
            self.stage = stage;
            self.next_stage = reached(&self.gateway, ShutdownStage::Closing);
            return Poll::Ready(SessionEvent::Stage(stage));
        }
        Poll::Pending
    }

    fn poll_in(&mut self, cx: &mut Context<'_>) -> Poll<SessionEvent> {
        if self.connection.phase() == Phase::Handshaking && self.origin.slot.poll_displaced(cx).is_ready() {
            return Poll::Ready(SessionEvent::Input(Input::Displaced));
        }
        while let Poll::Ready(timer) = self.timers.poll_elapsed(cx) {
            if let Some(event) = self.elapsed(timer, cx) {
                return Poll::Ready(event);
            }
        }
        self.poll_frame(cx)
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<SessionEvent> {
        if let Poll::Ready(event) = self.poll_flushed(cx) {
            return Poll::Ready(event);
        }
        if let Poll::Ready(event) = self.poll_work(cx) {
            return Poll::Ready(event);
        }
        match &mut self.access {
            Access::None => Poll::Pending,
            Access::User(access) => access.poll_input(cx).map(SessionEvent::Input),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<SessionEvent> {
        if !self.connection.reads_frames() {
            return Poll::Pending;
        }
        self.frames.poll_input(&mut self.socket, &mut self.codec, &self.gateway, cx).map(SessionEvent::Input)
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<SessionEvent> {
        if !self.flushing {
            return Poll::Pending;
        }
        self.socket.poll_flushed(cx).map(|flushed| {
            self.flushing = false;
            match flushed {
                Ok(()) => SessionEvent::Input(Input::Flushed),
                Err(Gone) => SessionEvent::Input(Input::Gone),
            }
        })
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<SessionEvent> {
        match self.work.poll_next_unpin(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Handles an elapsed timer. If this task was polled late, neither the peer nor the work is at fault: what
    /// has already arrived or completed, or can be written now, takes precedence over the timeout.
    fn elapsed(&mut self, timer: Timer, cx: &mut Context<'_>) -> Option<SessionEvent> {
        match timer {
            Timer::Hello | Timer::Pong => {
                if let Poll::Ready(event) = self.poll_frame(cx) {
                    self.timers.run_out(timer);
                    return Some(event);
                }
                // The ping may still be queued behind data that a slow peer has not read yet. A peer that
                // accepts data is alive and gets more time (CONN-5).
                let stall = Duration::from_millis(self.gateway.limits.stall_timeout_ms);
                if timer == Timer::Pong && self.socket.made_room_within(stall) {
                    self.arm(timer);
                    return None;
                }
            }
            Timer::SetUp => {
                if let Poll::Ready(event) = self.poll_work(cx) {
                    self.timers.run_out(timer);
                    return Some(event);
                }
            }
            Timer::Stall => {
                if let Poll::Ready(event) = self.poll_flushed(cx) {
                    return Some(event);
                }
                // A peer that accepted data since the timer was armed is slow, not stalled (CONN-5).
                if self.socket.written() > self.written_before {
                    self.arm(timer);
                    return None;
                }
            }
            Timer::Heartbeat | Timer::Leave | Timer::Expiry => {}
        }
        Some(SessionEvent::Input(Input::Elapsed(timer)))
    }

    /// Closes the connection: sends the close frame, waits for the closing handshake, and drops the socket.
    async fn close(self, cause: Cause) {
        let Self { gateway, origin, frames, mut observer, socket, codec, work, access, .. } = self;
        // Release the user's machines before the closing handshake, which may take a while (ISO-5).
        drop((work, access));
        let code = CloseCode::from(cause);
        // Counted as a failure of the peer: protocol violations before authentication (ISO-6).
        if frames.is_unauthenticated()
            && matches!(cause, Cause::Flooding | Cause::TooManyUnclear | Cause::NoHello | Cause::TooLong)
        {
            gateway.peers.failed(origin.peer);
        }
        observer.closing(code.number());
        metrics::counter!("quintet_connection_closes_total", "code" => code.number().to_string())
            .increment(1);
        if matches!(cause, Cause::Stalled | Cause::Outrun) {
            metrics::counter!("quintet_stalled_readers_total").increment(1);
        }
        tracing::info!(?cause, code = code.number(), "connection closed");
        if cause != Cause::Gone {
            // No wait for a displaced connection: its slot is already taken by another socket.
            let wait = if cause == Cause::Displaced { 0 } else { gateway.limits.ws_close_timeout_ms };
            socket.close(code, Duration::from_millis(wait), codec.close_number(code)).await;
        }
    }
}

/// Resolves to `stage` once the shutdown has reached it.
fn reached(gateway: &Gateway, stage: ShutdownStage) -> Pin<Box<dyn Future<Output = ShutdownStage> + Send>> {
    let drain = gateway.drain.clone();
    Box::pin(async move {
        drain.reached(stage).await;
        stage
    })
}
