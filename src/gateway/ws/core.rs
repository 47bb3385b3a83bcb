//! The parts shared by both phases of a connection: the socket, the state machine and the timers, and the
//! translation between them.
//!
//! - [`heard`]: incoming messages, counted and bounded

mod heard;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::upgrade::Upgraded;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    commands::{Subject, verify},
    socket::{Gone, Socket},
    timers::Timers,
};
use crate::{
    gateway::{
        Gateway,
        admit::Unfinished,
        drain::Stage,
        peers::{PeerAddr, Place},
    },
    kernel::{
        connection::{
            Cause, Connection, Effect, Effects, Fault, Input, Phase, ServerFrame, Timer, Unverified,
        },
        ids::{ConnectionId, UserId},
        ticket::Identity,
    },
    observer::ConnectionObserver,
    wire::{
        client::{ClientFrame, Credential, FrameError, Nonce},
        codes::{CloseCode, ErrorCode},
        server,
    },
};

/// The peer and socket of a connection.
pub struct Origin {
    pub peer: PeerAddr,
    /// The registration of its socket.
    pub place: Place,
}

/// The state shared by both phases of a connection.
pub struct Core {
    pub gateway: Gateway,
    pub connection_id: ConnectionId,
    machine: Connection,
    effects: Effects,
    pub observer: Box<dyn ConnectionObserver>,
    socket: Socket,
    flushing: bool,
    timers: Timers,
    /// Value of [`Socket::written`] when the stall timer was armed.
    written_before: u64,
    stage: Stage,
    next_stage: StageReached,
    origin: Origin,
    payer: Payer,
    /// Maximum length of a message in the current phase.
    message_bytes_max: u64,
    /// Counts the bytes of this connection's incomplete message; `Some` once authenticated.
    unfinished: Option<Unfinished>,
    /// Whether a ping of the service is unanswered.
    pinged: Pinged,
    /// Timeout for the incomplete message.
    message_timeout: Pin<Box<Sleep>>,
    /// The last frame; effects of the machine refer to it.
    frame: Frame,
    turn: Turn,
}

type StageReached = Pin<Box<dyn Future<Output = Stage> + Send>>;

/// The budget that the client's frames count against (ISO-6).
enum Payer {
    /// The peer address, and the number of frames on this connection before `ready`.
    Peer {
        frames: u32,
    },
    User(UserId),
}

/// State of the last ping sent by the service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pinged {
    Answered,
    Waiting,
}

/// The last frame of the client.
pub enum Frame {
    None,
    Well(ClientFrame),
    Ill(FrameError),
}

/// The direction that is polled first. It alternates, so that neither direction starves the other.
#[derive(Clone, Copy)]
enum Turn {
    In,
    Out,
}

/// A result of [`Core::poll_happened`].
pub enum Happened {
    Input(Input),
    /// The shutdown has reached this stage (CONN-6).
    Stage(Stage),
}

impl Core {
    /// Starts the state machine on an upgraded connection. `known` is the identity from the upgrade request.
    pub async fn new(
        gateway: Gateway,
        connection_id: ConnectionId,
        upgraded: Upgraded,
        origin: Origin,
        known: Option<Identity>,
    ) -> Self {
        let mut effects = Effects::new();
        let payer = match &known {
            Some(identity) => Payer::User(identity.user_id.clone()),
            None => Payer::Peer { frames: 0 },
        };
        // From here on, a displaced connection is closed with a close code instead of a reset.
        origin.place.announces();
        let mut observer = gateway.factory.observer().connection(connection_id);
        let machine = Connection::accept(known.clone(), gateway.limits.connection(), &mut effects);
        observer.accepted(known.as_ref(), &effects);
        Self {
            connection_id,
            machine,
            effects,
            observer,
            socket: Socket::new(upgraded, &gateway.limits).await,
            flushing: false,
            timers: Timers::new(gateway.limits),
            written_before: 0,
            stage: Stage::Serving,
            next_stage: reached(&gateway, Stage::Draining),
            origin,
            payer,
            message_bytes_max: gateway.limits.unready_message_bytes_max as u64,
            unfinished: None,
            pinged: Pinged::Answered,
            message_timeout: Box::pin(sleep_until(Instant::now())),
            frame: Frame::None,
            turn: Turn::In,
            gateway,
        }
    }

    /// Returns and clears the effects of the last inputs.
    pub fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// Returns the buffer so that its allocation is reused.
    pub fn recycle(&mut self, mut effects: Effects) {
        effects.clear();
        if self.effects.is_empty() {
            self.effects = effects;
        }
    }

    /// Feeds an input to the state machine. Its effects are collected until [`Core::take_effects`].
    pub fn step(&mut self, input: &Input) {
        let (from, before) = (self.machine.phase(), self.effects.len());
        let stepped = self.machine.step(input, &mut self.effects);
        self.observer.stepped(input, &self.effects[before..], stepped.is_err());
        match stepped {
            Ok(()) => {
                let to = self.machine.phase();
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

    /// Assigns the connection to a user: frames count against the user's rate, the limits of authenticated
    /// connections apply, and the socket can no longer be displaced (ISO-6).
    pub fn belongs_to(&mut self, user_id: UserId) {
        tracing::Span::current().record("user_id", user_id.as_str());
        self.origin.place.is_member();
        self.message_bytes_max = self.gateway.limits.frame_bytes_max as u64;
        self.unfinished = Some(self.gateway.admit.unfinished(&user_id));
        self.payer = Payer::User(user_id);
    }

    /// Verifies the credential of the last frame.
    pub fn verify(&mut self) -> impl Future<Output = Result<Identity, Unverified>> + Send + use<> {
        let Gateway { auth, peers, .. } = &self.gateway;
        verify(auth.clone(), peers.clone(), self.origin.peer, self.take_credential())
    }

    /// Takes the last frame, if it was valid.
    pub fn take_frame(&mut self) -> Option<ClientFrame> {
        match std::mem::replace(&mut self.frame, Frame::None) {
            Frame::Well(frame) => Some(frame),
            Frame::Ill(_) | Frame::None => None,
        }
    }

    /// Takes the credential of the last frame.
    pub fn take_credential(&mut self) -> Option<Credential> {
        match self.take_frame()? {
            ClientFrame::Hello(hello) => hello.credential,
            ClientFrame::Renew(renew) => Some(renew.credential),
            _ => None,
        }
    }

    /// Polls socket, timers and shutdown for the next event. `more` is polled after the outgoing direction.
    pub fn poll_happened(
        &mut self,
        cx: &mut Context<'_>,
        mut more: impl FnMut(&mut Context<'_>) -> Poll<Input>,
    ) -> Poll<Happened> {
        let first = self.turn;
        self.turn = match first {
            Turn::In => Turn::Out,
            Turn::Out => Turn::In,
        };
        for turn in [first, self.turn] {
            let polled = match turn {
                Turn::In => self.poll_in(cx),
                Turn::Out => match self.poll_out(cx) {
                    Poll::Ready(input) => Poll::Ready(input),
                    Poll::Pending => more(cx),
                },
            };
            if let Poll::Ready(input) = polled {
                return Poll::Ready(Happened::Input(input));
            }
        }
        if self.stage < Stage::Closing
            && let Poll::Ready(stage) = self.next_stage.as_mut().poll(cx)
        {
            self.stage = stage;
            self.next_stage = reached(&self.gateway, Stage::Closing);
            return Poll::Ready(Happened::Stage(stage));
        }
        Poll::Pending
    }

    fn poll_in(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        if self.machine.phase() == Phase::Handshaking && self.origin.place.poll_displaced(cx).is_ready() {
            return Poll::Ready(Input::Displaced);
        }
        while let Poll::Ready(timer) = self.timers.poll_elapsed(cx) {
            if let Some(input) = self.elapsed(timer, cx) {
                return Poll::Ready(input);
            }
        }
        self.poll_heard(cx)
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        if !self.flushing {
            return Poll::Pending;
        }
        self.socket.poll_flushed(cx).map(|flushed| {
            self.flushing = false;
            match flushed {
                Ok(()) => Input::Flushed,
                Err(Gone) => Input::Gone,
            }
        })
    }

    /// Handles an elapsed timer. If this task was polled late, the peer is not at fault: data that has
    /// already arrived or can be written now takes precedence over the timeout.
    fn elapsed(&mut self, timer: Timer, cx: &mut Context<'_>) -> Option<Input> {
        match timer {
            Timer::Hello | Timer::Pong => {
                if let Poll::Ready(input) = self.poll_heard(cx) {
                    self.timers.run_out(timer);
                    return Some(input);
                }
                // The ping may still be queued behind data that a slow peer has not read yet. A peer that
                // accepts data is alive and gets more time (CONN-5).
                let stall = Duration::from_millis(self.gateway.limits.stall_wait_ms_max);
                if timer == Timer::Pong && self.socket.made_room_within(stall) {
                    self.arm(timer);
                    return None;
                }
            }
            Timer::Stall => {
                if let Poll::Ready(input) = self.poll_out(cx) {
                    return Some(input);
                }
                // A peer that accepted data since the timer was armed is slow, not stalled (CONN-5).
                if self.socket.written() > self.written_before {
                    self.arm(timer);
                    return None;
                }
            }
            Timer::SetUp | Timer::Heartbeat | Timer::Leave | Timer::Expiry => {}
        }
        Some(Input::Elapsed(timer))
    }

    /// Arms a timer of the connection.
    pub fn arm(&mut self, timer: Timer) {
        if timer == Timer::Stall {
            self.written_before = self.socket.written();
        }
        self.timers.arm(timer);
    }

    /// Performs effects that need neither the user nor the log. Returns other effects to the caller.
    pub fn perform(&mut self, effect: Effect) -> Result<(), Effect> {
        match effect {
            Effect::Send(ServerFrame::Error { fault, fatal }) => {
                let error = self.error(fault);
                self.send(&server::ServerFrame::Error(server::Error { fatal, ..error }));
            }
            Effect::Send(ServerFrame::CaughtUp { offset }) => {
                self.send(&server::ServerFrame::CaughtUp(server::CaughtUp { head: offset }));
            }
            Effect::Send(ServerFrame::Renewed { expires_at }) => {
                self.send(&server::ServerFrame::Renewed(server::Renewed { expires_at }));
            }
            Effect::Send(ServerFrame::Pong) => {
                let nonce = self.nonce();
                self.send(&server::ServerFrame::Pong(server::Pong { nonce }));
            }
            Effect::Send(ServerFrame::Draining { reconnect_after_ms }) => {
                self.send(&server::ServerFrame::Draining(server::Draining { reconnect_after_ms }));
            }
            Effect::Flush => self.flushing = true,
            Effect::PingPeer => {
                self.pinged = Pinged::Waiting;
                self.sent(Socket::ping);
            }
            Effect::Arm(timer) => self.arm(timer),
            Effect::Disarm(timer) => self.timers.disarm(timer),
            Effect::ExpireAt(expires_at) => self.timers.expire_at(expires_at),
            other => return Err(other),
        }
        Ok(())
    }

    /// Queues a frame.
    pub fn send(&mut self, frame: &server::ServerFrame) {
        self.send_text(frame.encode().into());
    }

    /// Queues an encoded frame.
    pub fn send_text(&mut self, text: Utf8Bytes) {
        self.observer.sending(&text);
        self.sent(|socket| socket.send(text));
    }

    /// A failed send is ignored: flushing the broken socket fails too and reports it.
    fn sent(&mut self, send: impl FnOnce(&mut Socket) -> Result<(), Gone>) {
        if let Err(Gone) = send(&mut self.socket) {
            self.flushing = true;
        }
    }

    fn nonce(&mut self) -> Option<Nonce> {
        match self.take_frame() {
            Some(ClientFrame::Ping(ping)) => ping.nonce,
            _ => None,
        }
    }

    fn error(&mut self, fault: Fault) -> server::Error {
        let frame = std::mem::replace(&mut self.frame, Frame::None);
        let subject = match &frame {
            Frame::Well(frame) => Subject::of(frame),
            Frame::Ill(error) => Subject { message_id: error.message_id.clone(), run_id: error.run_id },
            Frame::None => Subject::default(),
        };
        let code = ErrorCode::from(fault);
        match fault {
            Fault::Unclear | Fault::Oversized => match frame {
                Frame::Ill(error) => error.into(),
                Frame::Well(_) | Frame::None => subject.error(code, "the frame is invalid"),
            },
            Fault::BeforeHello => subject.error(code, "hello must be the first frame"),
            Fault::SecondHello => subject.error(code, "hello must be sent only once"),
            Fault::Unauthenticated => subject.error(code, "no valid credential for this user"),
            Fault::Unavailable => {
                let retry_after_ms = Some(self.gateway.limits.reconnect_after_ms);
                let error = subject.error(code, "credentials cannot be checked at the moment");
                server::Error { retry_after_ms, ..error }
            }
            Fault::RateLimited { retry_after_ms } => {
                let error = subject.error(code, "the frame rate limit is exceeded");
                server::Error { retry_after_ms: Some(retry_after_ms), ..error }
            }
        }
    }

    /// Closes the connection: sends the close frame, waits for the closing handshake, and drops the socket.
    pub async fn close(mut self, cause: Cause) {
        let code = CloseCode::from(cause);
        let stranger = matches!(self.payer, Payer::Peer { .. });
        // Counted as a failure of the peer: protocol violations before authentication (ISO-6).
        if stranger
            && matches!(cause, Cause::Flooding | Cause::TooManyUnclear | Cause::NoHello | Cause::TooLong)
        {
            self.gateway.peers.failed(self.origin.peer);
        }
        self.observer.closing(code.number());
        metrics::counter!("quintet_connection_closes_total", "code" => code.number().to_string())
            .increment(1);
        tracing::info!(?cause, code = code.number(), "connection closed");
        if cause != Cause::Gone {
            // No wait for a displaced connection: its slot is already taken by another socket.
            let wait = if cause == Cause::Displaced { 0 } else { self.gateway.limits.farewell_wait_ms_max };
            self.socket.close(code, Duration::from_millis(wait)).await;
        }
    }
}

fn reached(gateway: &Gateway, stage: Stage) -> StageReached {
    let drain = gateway.drain.clone();
    Box::pin(async move {
        drain.reached(stage).await;
        stage
    })
}
