//! One WebSocket of one user on the simulated network; everything received on it is checked.

use std::{future::Future, time::Duration};

use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};
use turmoil::net::TcpStream;

use crate::{
    clock::SimClock,
    http,
    ledger::{FrameSeen, Parting, SharedLedger, Tape},
    server::{PORT, SECRET, SERVER},
};

/// The credential of a client, and its place.
#[derive(Clone, Debug)]
pub enum Pass {
    /// A token in the head of the handshake.
    Header(String),
    /// A token in `hello`.
    Hello(String),
    /// A ticket in the address.
    Query(String),
    /// A ticket in `hello`.
    HelloTicket(String),
}

/// The cursor that a client resumes from.
#[derive(Clone, Debug)]
pub struct Resume {
    pub epoch: Option<String>,
    pub after: u64,
}

pub struct Client {
    socket: WebSocketStream<TcpStream>,
    tape: Tape,
    clock: SimClock,
    name: String,
    /// The time of the last frame, or of the last ping.
    quiet_since: Instant,
    /// A ping was sent, and nothing has come since.
    asked: bool,
}

/// The reason why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The service closed it with a code.
    Closed { code: u16, parting: Parting },
    /// It broke: the service, or the link to it, is gone.
    Broken,
    /// The service refused it with this status.
    Refused(u16),
    /// Nothing arrives any more, not even the reply to a ping.
    Silent,
}

impl Client {
    pub async fn open(
        clock: &SimClock,
        name: &str,
        ledger: &SharedLedger,
        pass: &Pass,
        resume: &Resume,
    ) -> Result<Self, Ended> {
        let mut client = Self::upgrade(clock, name, ledger, pass, resume).await?;
        let mut hello = json!({"type": "hello", "after": resume.after, "epoch": resume.epoch});
        match pass {
            Pass::Hello(token) => hello["token"] = json!(token),
            Pass::HelloTicket(ticket) => hello["ticket"] = json!(ticket),
            Pass::Header(_) | Pass::Query(_) => {}
        }
        client.send(&hello).await?;
        Ok(client)
    }

    /// Opens a connection without sending `hello`.
    pub async fn upgrade(
        clock: &SimClock,
        name: &str,
        ledger: &SharedLedger,
        pass: &Pass,
        resume: &Resume,
    ) -> Result<Self, Ended> {
        let tape = Tape::new(ledger, resume.after);
        let socket = patiently(connect(pass)).await??;
        let (clock, name) = (clock.clone(), name.to_owned());
        Ok(Self { socket, tape, clock, name, quiet_since: Instant::now(), asked: false })
    }

    pub async fn send(&mut self, frame: &Value) -> Result<(), Ended> {
        self.send_message(Message::text(frame.to_string())).await
    }

    pub async fn send_message(&mut self, message: Message) -> Result<(), Ended> {
        match timeout(PATIENCE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            // The caller reads the remaining frames of the service.
            Ok(Err(_)) | Err(_) => loop {
                self.receive().await?;
            },
        }
    }

    /// Returns the next frame of the contract. After a silence it pings, and then gives up. Cancel safe.
    pub async fn receive(&mut self) -> Result<FrameSeen, Ended> {
        loop {
            let Ok(heard) = timeout_at(self.quiet_since + PATIENCE, self.socket.next()).await else {
                if std::mem::replace(&mut self.asked, true) {
                    return Err(Ended::Silent);
                }
                self.quiet_since = Instant::now();
                let ping = Message::text(json!({"type": "ping"}).to_string());
                let _ = timeout(PATIENCE, self.socket.send(ping)).await;
                continue;
            };
            (self.quiet_since, self.asked) = (Instant::now(), false);
            match heard {
                Some(Ok(Message::Text(text))) => {
                    self.clock.note(&self.name, &text);
                    match self.tape.receive(&text) {
                        FrameSeen::Other => {}
                        heard => return Ok(heard),
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    return Err(Ended::Closed { code, parting: self.tape.parting() });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Ended::Broken),
            }
        }
    }

    /// Returns the next frame without a time limit, for a peer that only listens.
    pub async fn receive_patiently(&mut self) -> Result<FrameSeen, Ended> {
        loop {
            self.quiet_since = Instant::now() + Duration::from_secs(1_000);
            match self.receive().await {
                Err(Ended::Silent) => {}
                heard => return heard,
            }
        }
    }

    /// Reads until `wanted` comes.
    pub async fn until(&mut self, wanted: FrameSeen) -> Result<(), Ended> {
        while self.receive().await? != wanted {}
        Ok(())
    }

    /// Closes the connection with a closing handshake.
    pub async fn leave(mut self) {
        let _ = timeout(PATIENCE, self.socket.close(None)).await;
    }
}

async fn connect(pass: &Pass) -> Result<WebSocketStream<TcpStream>, Ended> {
    let query = match pass {
        Pass::Query(ticket) => format!("?ticket={ticket}"),
        _ => String::new(),
    };
    let mut request = format!("ws://{SERVER}/v1/ws{query}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("quintet.v1"));
    if let Pass::Header(token) = pass {
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        request.headers_mut().insert("authorization", bearer);
    }
    let socket = TcpStream::connect((SERVER, PORT)).await.map_err(|_| Ended::Broken)?;
    match client_async(request, socket).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(Ended::Refused(response.status().as_u16())),
        Err(_) => Err(Ended::Broken),
    }
}

/// One HTTP request.
pub async fn request(
    method: &str,
    path: &str,
    token: &str,
    body: Option<&Value>,
) -> Result<(u16, Value), Ended> {
    let exchange = async {
        let socket = TcpStream::connect((SERVER, PORT)).await?;
        http::exchange(socket, method, path, Some(token), body).await
    };
    let (status, body) = patiently(exchange).await?.map_err(|_| Ended::Broken)?;
    Ok((status, serde_json::from_str(&body).unwrap_or_default()))
}

async fn patiently<T>(future: impl Future<Output = T>) -> Result<T, Ended> {
    timeout(PATIENCE, future).await.map_err(|_| Ended::Silent)
}

/// A token of `user`, valid until the time `until_ms`.
pub fn token(user: &str, until_ms: u64) -> String {
    let claims = json!({"sub": user, "exp": until_ms as f64 / 1000.0});
    let key = EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

/// Time limit for everything that a client waits for.
pub const PATIENCE: Duration = Duration::from_secs(3);
