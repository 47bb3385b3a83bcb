//! A service of a model that fails as a test wants it: each connection gets the next reply, byte by byte if
//! the test wants it, and reports what it was asked and when it was closed.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use quintet_runtime::tasks::Tasks;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    time::timeout,
};

/// The reply to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The pieces of the whole response, each sent on its own.
    pub pieces: Vec<Vec<u8>>,
    pub then: Then,
}

/// What follows the last piece.
#[derive(Clone, Debug)]
pub enum Then {
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing, until the client closes the connection.
    Silence,
    /// After a notice, the rest, then the connection is closed.
    Wait(Arc<Notify>, Vec<u8>),
}

/// What the service observed of a connection.
#[derive(Debug)]
pub enum Seen {
    /// A request: the lines of its head and its body.
    Request(String, Value),
    /// The client closed the connection after a reply that was not finished.
    Closed,
}

/// The service.
pub struct Upstream {
    pub address: SocketAddr,
    pub seen: mpsc::UnboundedReceiver<Seen>,
    _tasks: Tasks,
}

impl Reply {
    /// A stream of events, all at once.
    pub fn stream(body: &str) -> Self {
        Self {
            pieces: vec![head("200 OK", "text/event-stream"), body.as_bytes().to_vec()],
            then: Then::Close,
        }
    }

    /// A stream of events with an encoding in which a cut differs from an end.
    pub fn chunked(body: &[u8], cut: bool) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut bytes = head.as_bytes().to_vec();
        if !body.is_empty() {
            bytes.extend(format!("{:x}\r\n", body.len()).bytes());
            bytes.extend(body);
            bytes.extend(b"\r\n");
        }
        if !cut {
            bytes.extend(b"0\r\n\r\n");
        }
        Self { pieces: vec![bytes], then: Then::Close }
    }

    /// A refusal.
    pub fn refusal(status: &str, headers: &str, body: &str) -> Self {
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { pieces: vec![head.into_bytes()], then: Then::Close }
    }

    /// This reply, then something else than the close of the connection.
    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }
}

pub fn head(status: &str, content_type: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n").into_bytes()
}

impl Upstream {
    /// Starts a service that gives these replies, one for each request, and refuses further ones.
    pub async fn start(replies: Vec<Reply>) -> Self {
        let replies = Mutex::new(replies.into_iter());
        Self::start_with(move |_| {
            let reply = replies.lock().expect("no test panicked").next();
            reply.unwrap_or_else(|| Reply::refusal("418 Over", "", "no more replies"))
        })
        .await
    }

    /// Starts a service that derives each reply from the body of its request.
    pub async fn start_with(reply: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = mpsc::unbounded_channel();
        let tasks = Tasks::default();
        let connections = tasks.clone();
        let reply = Arc::new(reply);
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reply, sender) = (reply.clone(), sender.clone());
                connections.spawn(async move {
                    if let Some((stream, head, body)) = read_request(stream).await {
                        let reply = reply(&body);
                        let _gone = sender.send(Seen::Request(head, body));
                        give(stream, reply, &sender).await;
                    }
                });
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    /// Waits for the next observation.
    async fn next(&mut self) -> Seen {
        timeout(TEST_TIMEOUT, self.seen.recv()).await.expect("a request or its close in time").unwrap()
    }

    /// Waits for the next request, and returns its head and its body.
    pub async fn request(&mut self) -> (String, Value) {
        loop {
            if let Seen::Request(head, body) = self.next().await {
                return (head, body);
            }
        }
    }

    /// Waits until a connection is closed.
    pub async fn closed(&mut self) {
        while !matches!(self.next().await, Seen::Closed) {}
    }
}

/// Greatest time for which a test waits.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

async fn read_request(mut stream: TcpStream) -> Option<(TcpStream, String, Value)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    while bytes.len() - end < length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = serde_json::from_slice(&bytes[end..]).unwrap();
    Some((stream, head, body))
}

async fn give(mut stream: TcpStream, reply: Reply, seen: &mpsc::UnboundedSender<Seen>) {
    for piece in &reply.pieces {
        if stream.write_all(piece).await.is_err() || stream.flush().await.is_err() {
            let _gone = seen.send(Seen::Closed);
            return;
        }
        tokio::task::yield_now().await;
    }
    match reply.then {
        Then::Close => {
            let _gone = stream.shutdown().await;
        }
        Then::Reset => {
            let _gone = stream.set_zero_linger();
        }
        Then::Silence => {
            let mut rest = Vec::new();
            let _gone = stream.read_to_end(&mut rest).await;
            let _gone = seen.send(Seen::Closed);
        }
        Then::Wait(notice, rest) => {
            notice.notified().await;
            let _gone = stream.write_all(&rest).await;
            let _gone = stream.shutdown().await;
        }
    }
}
