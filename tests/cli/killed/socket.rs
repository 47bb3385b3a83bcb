//! A WebSocket that reads a user's log.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::command::{Service, soon};

pub struct Socket {
    socket: WebSocketStream<TcpStream>,
    after: u64,
    entries: Vec<Value>,
}

impl Socket {
    /// Connects, and asks for the entries after an offset.
    pub async fn open(service: &Service, token: &str, after: u64) -> Self {
        let mut request = format!("ws://{}/v1/ws", service.listen()).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "quintet.v1".parse().unwrap());
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let socket = TcpStream::connect(service.listen()).await.unwrap();
        let (mut socket, _) = client_async(request, socket).await.unwrap();
        let hello = json!({"type": "hello", "after": after});
        socket.send(Message::text(hello.to_string())).await.unwrap();
        Self { socket, after, entries: Vec::new() }
    }

    /// Waits for the next frame. Pings, which come also while a run waits, do not extend the time.
    async fn frame(&mut self) -> Value {
        let frame = async {
            loop {
                match self.socket.next().await.expect("the connection is open").unwrap() {
                    Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Message::Close(frame) => panic!("closed: {frame:?}"),
                    _ => {}
                }
            }
        };
        soon(frame).await
    }

    /// Reads until the entries match. They come without a gap, each once (DEL-2).
    pub async fn until(mut self, reached: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        while !reached(&self.entries) {
            let frame = self.frame().await;
            let Some(offset) = frame["offset"].as_u64() else { continue };
            assert_eq!(offset, self.after + self.entries.len() as u64 + 1, "{frame}");
            self.entries.push(frame);
        }
        self.entries
    }

    /// Reads up to `caught_up`, without an entry, and returns its head.
    pub async fn caught_up(mut self) -> u64 {
        loop {
            let frame = self.frame().await;
            assert!(frame["offset"].is_null(), "an entry comes again: {frame}");
            if frame["type"] == "caught_up" {
                return frame["head"].as_u64().unwrap();
            }
        }
    }
}
