//! One WebSocket of one user; everything received on it is checked.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    context::{CampaignContext, PATIENCE},
    http,
    ledger::{FrameSeen, Parting, SharedLedger, Tape},
    process::Addresses,
};

pub struct Client {
    socket: WebSocketStream<TcpStream>,
    tape: Tape,
}

/// The reason why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The service closed it with a code.
    Closed { code: u16, parting: Parting },
    /// An event stream ended.
    Over { parting: Parting },
    /// It broke: the service is gone.
    Broken { parting: Parting },
    /// The service refused it with this status.
    Refused(u16),
}

impl Ended {
    pub const NEVER_WAS: Ended = Ended::Broken { parting: Parting::Stranger };
}

impl Client {
    /// Connects as the book's user and resumes after `after`.
    pub async fn open(
        context: &CampaignContext,
        ledger: &SharedLedger,
        to: Addresses,
        after: u64,
        rng: &mut StdRng,
    ) -> Result<Self, Ended> {
        // The epoch is the client's to keep; a cursor without one is accepted as it is.
        let epoch = ledger.borrow().epoch().filter(|_| rng.random_bool(0.8)).map(str::to_owned);
        let in_hello = rng.random_bool(0.3);
        let tape = Tape::new(ledger, after);
        let opened = tokio::time::timeout(PATIENCE, async {
            let user = ledger.borrow().user.clone();
            let token = http::login(to.listen, &user).await.map_err(|_| Ended::NEVER_WAS)?;
            let mut socket = connect(to, (!in_hello).then_some(&token)).await?;
            let mut hello = json!({"type": "hello", "after": after, "epoch": epoch});
            if in_hello {
                hello["token"] = json!(token);
            }
            socket.send(Message::text(hello.to_string())).await.map_err(|_| Ended::NEVER_WAS)?;
            Ok(socket)
        });
        match opened.await {
            Ok(socket) => Ok(Self { socket: socket?, tape }),
            Err(_) => context.fail("a connection was neither made nor refused"),
        }
    }

    pub async fn send(&mut self, frame: &Value) -> Result<(), Ended> {
        let send = self.socket.send(Message::text(frame.to_string()));
        match tokio::time::timeout(PATIENCE, send).await {
            Ok(Ok(())) => Ok(()),
            // The caller reads the remaining frames of the service.
            Ok(Err(_)) | Err(_) => loop {
                self.receive().await?;
            },
        }
    }

    /// Returns the next frame of the contract.
    pub async fn receive(&mut self) -> Result<FrameSeen, Ended> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(self.tape.receive(&text)),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    return Err(Ended::Closed { code, parting: self.tape.parting() });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Ended::Broken { parting: self.tape.parting() }),
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
        let _ = tokio::time::timeout(Duration::from_secs(5), self.socket.close(None)).await;
    }
}

async fn connect(to: Addresses, token: Option<&String>) -> Result<WebSocketStream<TcpStream>, Ended> {
    let mut request = format!("ws://{}/v1/ws", to.listen).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("quintet.v1"));
    if let Some(token) = token {
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        request.headers_mut().insert("authorization", bearer);
    }
    let socket = TcpStream::connect(to.listen).await.map_err(|_| Ended::NEVER_WAS)?;
    match client_async(request, socket).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(Ended::Refused(response.status().as_u16())),
        Err(_) => Err(Ended::NEVER_WAS),
    }
}
