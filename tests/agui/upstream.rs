//! An agent on a real socket that plays scripts, down to the single byte.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use quintet_runtime::tasks::Tasks;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};

/// A request that the agent has received.
#[derive(Clone, Debug)]
pub struct Request {
    /// The number of earlier requests.
    pub number: usize,
    /// The request line and the headers, in lower case.
    pub head: String,
    pub body: Value,
    /// The bytes of the body.
    pub bytes: Vec<u8>,
}

/// A part of a response.
#[derive(Clone, Debug)]
pub enum Part {
    Bytes(Vec<u8>),
    Pause(Duration),
    /// Silence until the client closes the connection.
    Silence,
    /// The end of the connection with a reset, instead of in order.
    Reset,
}

/// A running agent. Its connections end with the test.
pub struct Upstream {
    pub url: String,
    pub requests: mpsc::UnboundedReceiver<Request>,
    /// The number of connections that the client has closed during a silence.
    pub closed: watch::Receiver<usize>,
}

type Script = dyn Fn(&Request) -> Vec<Part> + Send + Sync;

impl Upstream {
    /// Starts an agent that answers each request with the parts of its script, then closes the connection.
    pub async fn start(script: impl Fn(&Request) -> Vec<Part> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/run?x=1", listener.local_addr().unwrap());
        let (to_requests, requests) = mpsc::unbounded_channel();
        let (to_closed, closed) = watch::channel(0);
        let (script, to_closed): (Arc<Script>, _) = (Arc::new(script), Arc::new(to_closed));
        let number = Arc::new(Mutex::new(0));
        let tasks = Tasks::default();
        tasks.clone().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (script, number) = (script.clone(), number.clone());
                let (to_requests, to_closed) = (to_requests.clone(), to_closed.clone());
                tasks.spawn(async move {
                    serve(socket, &*script, &number, &to_requests, &to_closed).await;
                });
            }
        });
        Self { url, requests, closed }
    }

    /// The next request.
    pub async fn request(&mut self) -> Request {
        timeout(Duration::from_secs(20), self.requests.recv()).await.expect("a request comes").unwrap()
    }
}

async fn serve(
    mut socket: TcpStream,
    script: &Script,
    number: &Mutex<usize>,
    requests: &mpsc::UnboundedSender<Request>,
    closed: &watch::Sender<usize>,
) {
    let Some((head, bytes)) = receive(&mut socket).await else { return };
    let number = {
        let mut number = number.lock().unwrap();
        *number += 1;
        *number - 1
    };
    let body = serde_json::from_slice(&bytes).unwrap();
    let request = Request { number, head, body, bytes };
    let parts = script(&request);
    // The test may have ended.
    let _ = requests.send(request);
    for part in parts {
        match part {
            Part::Bytes(bytes) => {
                if socket.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Part::Pause(pause) => tokio::time::sleep(pause).await,
            Part::Silence => {
                let end = socket.read(&mut [0; 64]).await;
                assert!(matches!(end, Ok(0) | Err(_)), "the client sends nothing more");
                closed.send_modify(|closed| *closed += 1);
                return;
            }
            Part::Reset => {
                socket.set_zero_linger().unwrap();
                return;
            }
        }
    }
    let _ = socket.shutdown().await;
}

/// Reads a request with its body.
async fn receive(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        let mut body = bytes.split_off(end + 4);
        while body.len() < length {
            if socket.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
        return Some((head, body));
    }
}

/// The head of a response whose body ends with the connection.
pub const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// A whole response with these events, ended in order.
pub fn stream(request: &Request, events: &[Value]) -> Vec<Part> {
    vec![Part::Bytes(HEAD.as_bytes().to_vec()), Part::Bytes(body(request, events).into_bytes())]
}

/// The body of a response: the events, each with the ids of its run.
pub fn body(request: &Request, events: &[Value]) -> String {
    let events = events.iter().map(|event| {
        let mut event = event.clone();
        if event["type"].as_str().is_some_and(|kind| matches!(kind, "RUN_STARTED" | "RUN_FINISHED")) {
            event["threadId"] = request.body["threadId"].clone();
            event["runId"] = request.body["runId"].clone();
        }
        format!("data: {event}\n\n")
    });
    events.collect()
}

/// A response with a status and no body.
pub fn status(line: &str) -> Vec<Part> {
    vec![Part::Bytes(
        format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes(),
    )]
}

pub fn started() -> Value {
    json!({"type": "RUN_STARTED"})
}

pub fn finished() -> Value {
    json!({"type": "RUN_FINISHED"})
}

/// A text message.
pub fn text(id: &str, pieces: &[&str]) -> Vec<Value> {
    let start = json!({"type": "TEXT_MESSAGE_START", "messageId": id, "role": "assistant"});
    let content =
        pieces.iter().map(|piece| json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": piece}));
    let end = json!({"type": "TEXT_MESSAGE_END", "messageId": id});
    [start].into_iter().chain(content).chain([end]).collect()
}

/// A call of a tool, without its result.
pub fn call(id: &str, tool: &str, arguments: &str) -> Vec<Value> {
    vec![
        json!({"type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": tool}),
        json!({"type": "TOOL_CALL_ARGS", "toolCallId": id, "delta": arguments}),
        json!({"type": "TOOL_CALL_END", "toolCallId": id}),
    ]
}

pub fn result(id: &str, content: &str) -> Value {
    json!({"type": "TOOL_CALL_RESULT", "messageId": format!("{id}-r"), "toolCallId": id, "content": content})
}
