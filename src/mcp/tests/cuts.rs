//! Responses over HTTP that are cut, reset, split and delayed at each byte: a call has its result or an error, never another
//! result, and is made once (RUN-9, DEL-7); a start is whole, or another one follows.

use std::{
    collections::HashMap,
    io::Write,
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use quintet_agent::tool::ToolSource;
use serde_json::{Value, json};

use super::{
    fake::{Run, config, http, run, text, tools},
    http::{Request, serve},
};
use crate::{McpServer, ServerState};

/// The form of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Event,
    /// An event after one whose id allows the client to ask for the rest of the stream.
    ResumableEvent,
}

/// How the end of a response is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    Close,
    Chunks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The connection ends.
    Cut,
    /// The connection is reset.
    Reset,
    /// The rest comes in another packet, later.
    Delay,
}

const FRAMINGS: [Framing; 3] = [Framing::Length, Framing::Close, Framing::Chunks];

/// A response and the positions in it at which a cut may, and must, leave it whole.
struct Response {
    bytes: Vec<u8>,
    enough: usize,
    complete: usize,
    /// The position after which the rest of the stream can be asked for.
    resumable: usize,
}

impl Response {
    /// The response to a request. Its length does not depend on the number of the request.
    fn new(form: Form, framing: Framing, request: &Request, result: &Value) -> Self {
        let id = request.body["id"].to_string();
        let pad = " ".repeat(8 - id.len());
        let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{pad}\"result\":{result}}}");
        let name = request.body["params"]["name"].as_str().unwrap_or_default();
        let (kind, before, after) = match form {
            Form::Json => ("application/json", String::new(), ""),
            Form::Event => ("text/event-stream", "data: ".to_owned(), "\n\n"),
            // The event id has what the server needs to know to send the rest.
            Form::ResumableEvent => {
                ("text/event-stream", format!("id: {name}/{id}{pad}\ndata:\n\ndata: "), "\n\n")
            }
        };
        let end = match framing {
            Framing::Length => {
                format!("content-length: {}", before.len() + answer.len() + after.len())
            }
            Framing::Close => "connection: close".to_owned(),
            Framing::Chunks => "transfer-encoding: chunked".to_owned(),
        };
        let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{end}\r\n\r\n").into_bytes();
        let mut add = |part: &str| {
            let is_chunk = framing == Framing::Chunks && !part.is_empty();
            let (first, last) = match is_chunk {
                true => (format!("{:x}\r\n", part.len()), "\r\n"),
                false => (String::new(), ""),
            };
            bytes.extend([first.as_bytes(), part.as_bytes(), last.as_bytes()].concat());
            bytes.len() - last.len()
        };
        let resumable = add(&before) - before.len().min("data: ".len());
        let whole = add(&answer);
        let ended = add(after);
        if framing == Framing::Chunks {
            bytes.extend(b"0\r\n\r\n");
        }
        // JSON is read to its end; an event is known as soon as it ends.
        let (enough, complete) = match (form, framing) {
            (Form::Json, Framing::Chunks) => (bytes.len() - 5, bytes.len()),
            (Form::Json, _) => (bytes.len(), bytes.len()),
            (Form::Event | Form::ResumableEvent, _) => (whole, ended),
        };
        Self { bytes, enough, complete, resumable }
    }

    /// Sends the response with a fault at a position. The client may be gone.
    fn send(&self, stream: &mut TcpStream, fault: Fault, at: usize) {
        let (first, second) = self.bytes.split_at(at.min(self.bytes.len()));
        let _ = stream.set_nodelay(true);
        let _ = stream.write_all(first);
        match fault {
            Fault::Cut => {}
            Fault::Reset => reset(stream),
            Fault::Delay => {
                thread::sleep(Duration::from_millis(2));
                let _ = stream.write_all(second);
            }
        }
    }
}

/// Lets the end of a connection be a reset.
fn reset(stream: &TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let _entered = runtime.enter();
    let same = stream.try_clone().unwrap();
    same.set_nonblocking(true).unwrap();
    tokio::net::TcpStream::from_std(same).unwrap().set_zero_linger().unwrap();
}

/// The result of a method in one of both revisions.
fn usual(method: &str) -> Value {
    let info = json!({"name": "fake", "version": "1"});
    let cache = json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private"});
    let mut result = match method {
        "initialize" => {
            json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info})
        }
        "server/discover" => {
            json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": info})
        }
        "tools/list" => json!({"tools": tools(&["a", "b"]), "_meta": {"note": "ü"}}),
        "tools/call" => text("dön€"),
        other => panic!("{other}"),
    };
    if method != "initialize" {
        result.as_object_mut().unwrap().extend(cache.as_object().unwrap().clone());
    }
    result
}

/// The response to a notification, and to a request for a stream of events.
const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
const NO_STREAM: &[u8] = b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n";

fn short(bytes: &[u8]) -> Response {
    Response { bytes: bytes.to_vec(), enough: bytes.len(), complete: bytes.len(), resumable: bytes.len() }
}

fn start(url: &str, protocol: &str) -> McpServer {
    let keys = json!({"url": url, "protocol": protocol, "user_calls_max": 64, "calls_max": 64});
    McpServer::start(config(keys), http()).unwrap()
}

/// Serves calls whose tool names the form, the framing, the fault and the position; counts them by this name.
fn serve_calls(calls: &Arc<Mutex<HashMap<String, usize>>>) -> String {
    let calls = calls.clone();
    serve(move |request, stream| {
        let method = request.body["method"].as_str();
        match method {
            Some("tools/call") => {
                let name = request.body["params"]["name"].as_str().unwrap();
                *calls.lock().unwrap().entry(name.to_owned()).or_default() += 1;
                let (form, framing, fault, at) = parse(name);
                Response::new(form, framing, &request, &usual("tools/call")).send(stream, fault, at);
            }
            Some("initialize" | "server/discover" | "tools/list") => {
                let response = Response::new(Form::Json, Framing::Length, &request, &usual(method.unwrap()));
                response.send(stream, Fault::Cut, usize::MAX);
            }
            Some(_) => short(ACCEPTED).send(stream, Fault::Cut, usize::MAX),
            // The rest of a stream of events, whose id has the number of its request.
            None => {
                let id = request.head.lines().find_map(|line| line.strip_prefix("last-event-id: "));
                let id = id.unwrap_or_else(|| panic!("{}", request.head)).rsplit('/').next().unwrap();
                let body = json!({"id": id.trim().parse::<u64>().unwrap(), "params": {"name": ""}});
                let asked = Request { head: String::new(), body };
                Response::new(Form::Event, Framing::Close, &asked, &usual("tools/call")).send(
                    stream,
                    Fault::Cut,
                    usize::MAX,
                );
            }
        }
    })
}

fn named(form: Form, framing: Framing, fault: Fault, at: usize) -> String {
    format!("{form:?}-{framing:?}-{fault:?}-{at:04}")
}

fn parse(name: &str) -> (Form, Framing, Fault, usize) {
    let [form, framing, fault, at] = name.split('-').collect::<Vec<_>>()[..] else { panic!("{name}") };
    let form = [Form::Json, Form::Event, Form::ResumableEvent].into_iter().find(|f| format!("{f:?}") == form);
    let framing = FRAMINGS.into_iter().find(|f| format!("{f:?}") == framing);
    let fault = [Fault::Cut, Fault::Reset, Fault::Delay].into_iter().find(|f| format!("{f:?}") == fault);
    (form.unwrap(), framing.unwrap(), fault.unwrap(), at.parse().unwrap())
}

/// Makes a call for each position of its response.
fn at_each_byte(protocol: &str, forms: &[Form], fault: Fault) {
    run(async {
        let calls = Arc::new(Mutex::new(HashMap::new()));
        let server = start(&serve_calls(&calls), protocol);
        assert_eq!(server.tried().await, ServerState::Ready);
        let (caller, _seen) = Run::of(1);
        let (caller, server) = (&caller, &server);
        let mut made = 0;
        for (form, framing) in forms.iter().flat_map(|form| FRAMINGS.map(|framing| (*form, framing))) {
            let name = named(form, framing, fault, 0);
            let request = Request { head: String::new(), body: json!({"id": 1, "params": {"name": name}}) };
            let Response { bytes, enough, complete, resumable } =
                Response::new(form, framing, &request, &usual("tools/call"));
            let is_resumed = |at: usize| form == Form::ResumableEvent && at >= resumable;
            let mut results = stream::iter(0..=bytes.len())
                .map(|at| async move { (at, caller.call(server, &named(form, framing, fault, at)).await) })
                .buffer_unordered(16);
            while let Some((at, result)) = results.next().await {
                let place = format!("{form:?} {framing:?} {fault:?} at byte {at} of {}", bytes.len());
                match result {
                    Ok(result) => {
                        assert_eq!(result, json!("dön€"), "{place}");
                        assert!(fault == Fault::Delay || at >= enough || is_resumed(at), "{place}");
                    }
                    // A reset may overtake bytes that were sent before it.
                    Err(error) => {
                        let may_fail = match fault {
                            Fault::Cut => at < complete && !is_resumed(at),
                            Fault::Reset => true,
                            Fault::Delay => false,
                        };
                        assert!(may_fail && error.contains("MCP server"), "{place}: {error}");
                    }
                }
                made += 1;
            }
        }
        assert_eq!(server.state(), ServerState::Ready, "a response that fails ends its call alone");
        let calls = calls.lock().unwrap();
        assert_eq!(calls.len(), made, "no call is lost");
        assert!(calls.values().all(|count| *count == 1), "RUN-9: no call is made twice: {calls:?}");
    });
}

#[test]
fn run_9_a_response_is_cut_at_each_byte() {
    at_each_byte("2025-11-25", &[Form::Json, Form::Event], Fault::Cut);
    at_each_byte("2026-07-28", &[Form::Json, Form::Event], Fault::Cut);
}

#[test]
fn run_9_a_response_is_reset_at_each_byte() {
    at_each_byte("2025-11-25", &[Form::Json, Form::Event], Fault::Reset);
}

#[test]
fn a_response_is_split_and_delayed_at_each_byte() {
    at_each_byte("2025-11-25", &[Form::Json, Form::Event, Form::ResumableEvent], Fault::Delay);
}

/// The rest of a stream is asked for by a request of its own, which makes no call.
#[test]
fn run_9_a_stream_that_can_be_resumed_is_cut_at_each_byte() {
    at_each_byte("2025-11-25", &[Form::ResumableEvent], Fault::Cut);
}

/// Cuts one response of each start, a byte later each time, until a start succeeds.
fn starts(protocol: &'static str, method: &'static str, form: Form, framing: Framing) {
    run(async {
        let starts = Arc::new(AtomicUsize::new(0));
        let count = starts.clone();
        let response = move |asked: &'static str, request: &Request| match asked {
            "notifications/initialized" => short(ACCEPTED),
            _ if asked == method => Response::new(form, framing, request, &usual(asked)),
            _ => Response::new(Form::Json, Framing::Length, request, &usual(asked)),
        };
        let url = serve(move |request, stream| {
            let asked = METHODS.into_iter().find(|method| request.body["method"] == *method);
            let Some(asked) = asked else { return short(NO_STREAM).send(stream, Fault::Cut, usize::MAX) };
            let at = if asked == method { count.fetch_add(1, Ordering::Relaxed) } else { usize::MAX };
            response(asked, &request).send(stream, Fault::Cut, at);
        });
        let server = start(&url, protocol);
        server.reached(|state| state == ServerState::Ready).await;
        let whole = response(method, &Request { head: String::new(), body: json!({"id": 1}) });
        let at = starts.load(Ordering::Relaxed) - 1;
        let place = format!("{method} {form:?} {framing:?}: byte {at} of {}", whole.bytes.len());
        assert!((whole.enough..=whole.complete).contains(&at), "{place}");
        let names: Vec<_> = server.tools().iter().map(|tool| tool.name().to_owned()).collect();
        assert_eq!(names, ["s/a", "s/b"], "{place}");
        server.stop().await;
    });
}

const METHODS: [&str; 4] = ["initialize", "notifications/initialized", "server/discover", "tools/list"];

#[test]
fn a_start_is_cut_at_each_byte() {
    for form in [Form::Json, Form::Event] {
        for framing in [Framing::Length, Framing::Chunks] {
            for method in ["initialize", "tools/list"] {
                starts("2025-11-25", method, form, framing);
            }
            starts("2026-07-28", "server/discover", form, framing);
        }
    }
    starts("2025-11-25", "notifications/initialized", Form::Json, Framing::Length);
}

/// Every response comes in packets of one byte.
#[test]
fn a_server_that_sends_single_bytes_is_understood() {
    run(async {
        for protocol in ["2025-11-25", "2026-07-28"] {
            for (form, framing) in
                [Form::Json, Form::Event].into_iter().flat_map(|form| FRAMINGS.map(|framing| (form, framing)))
            {
                let url = serve(move |request, stream| {
                    let bytes = match request.body["method"].as_str() {
                        None => NO_STREAM.to_vec(),
                        Some("notifications/initialized") => ACCEPTED.to_vec(),
                        Some(method) => Response::new(form, framing, &request, &usual(method)).bytes,
                    };
                    let _ = stream.set_nodelay(true);
                    for byte in bytes {
                        let _ = stream.write_all(&[byte]);
                        thread::yield_now();
                    }
                });
                let server = start(&url, protocol);
                let place = format!("{protocol} {form:?} {framing:?}");
                assert_eq!(server.tried().await, ServerState::Ready, "{place}");
                let (caller, _seen) = Run::of(1);
                assert_eq!(caller.call(&server, "a").await, Ok(json!("dön€")), "{place}");
                server.stop().await;
            }
        }
    });
}
