//! Servers over HTTP that fail and break the protocol.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use super::fake::{Run, config, http, run, text, tools};
use crate::{McpServer, ServerState};

/// A request: its head in lower case, and its body.
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: Value,
}

/// Serves each request by a function that writes the response. The threads end with the process.
pub(super) fn serve(respond: impl Fn(Request, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let respond = Arc::new(respond);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let respond = respond.clone();
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                if let Some(request) = read(&stream) {
                    respond(request, &mut stream);
                }
            });
        }
    });
    format!("http://{address}/mcp")
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Request { head, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// Writes a response; the client may be gone. The connection could be used again, and yet `serve` closes it.
fn write(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
    let _ = stream.write_all((head + body).as_bytes());
}

fn result(stream: &mut TcpStream, request: &Request, result: Value) {
    let body = json!({"jsonrpc": "2.0", "id": request.body["id"], "result": result});
    write(stream, "200 OK", "content-type: application/json\r\n", &body.to_string());
}

/// Answers as a server of revision 2025-11-25 does, except calls.
fn usual(stream: &mut TcpStream, request: &Request) {
    match request.body["method"].as_str() {
        Some("initialize") => result(
            stream,
            request,
            json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"},
            }),
        ),
        Some("tools/list") => result(stream, request, json!({"tools": tools(&["good", "bad", "long"])})),
        Some(_) => write(stream, "202 Accepted", "", ""),
        None => write(stream, "405 Method Not Allowed", "", ""),
    }
}

fn start(url: String, mut keys: Value) -> McpServer {
    keys["url"] = json!(url);
    keys["protocol"] = json!("2025-11-25");
    keys["restart_pause_ms"] = json!(600_000);
    keys["restart_pause_max_ms"] = json!(600_000);
    McpServer::start(config(keys), http()).unwrap()
}

#[test]
fn auth_6_the_key_is_sent_to_the_configured_address_alone() {
    run(async {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let location = format!("location: http://{}/mcp\r\n", elsewhere.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (seen, folder) = (asked.clone(), std::env::temp_dir());
        let url = serve(move |request, stream| {
            assert!(request.head.contains("\r\nauthorization: bearer k3y\r\n"), "{}", request.head);
            seen.fetch_add(1, Ordering::Relaxed);
            write(stream, "307 Temporary Redirect", &location, "");
        });
        let key = folder.join(format!("quintet-mcp-key-{:x}", rand::random::<u64>()));
        std::fs::write(&key, "k3y\n").unwrap();
        let server = start(url, json!({"key_file": key}));
        assert_eq!(server.tried().await, ServerState::BackingOff);
        assert!(asked.load(Ordering::Relaxed) > 0);
        assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        std::fs::remove_file(key).unwrap();
    });
}

#[test]
fn servers_that_refuse_or_are_silent_are_failed_starts() {
    run(async {
        let refusing = serve(|_, stream| {
            write(stream, "401 Unauthorized", "www-authenticate: Bearer realm=\"x\"\r\n", "");
        });
        let html = serve(|_, stream| write(stream, "200 OK", "content-type: text/html\r\n", "<p>hello"));
        let empty = serve(|_, stream| write(stream, "200 OK", "", ""));
        let closing = serve(|_, _| {});
        let silent = serve(|_, stream| drop(stream.read_to_end(&mut Vec::new())));
        for url in [refusing, html, empty, closing, silent] {
            let server = start(url, json!({"start_timeout_ms": 1_000}));
            assert_eq!(server.tried().await, ServerState::BackingOff);
            server.stop().await;
        }
    });
}

#[test]
fn a_response_without_end_is_cut_at_the_limit() {
    run(async {
        for kind in ["application/json", "text/event-stream"] {
            let written = Arc::new(AtomicUsize::new(0));
            let count = written.clone();
            let url = serve(move |_, stream| {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\ndata: \"");
                let mut sent = stream.write_all(head.as_bytes());
                while sent.is_ok() {
                    count.fetch_add(4_096, Ordering::Relaxed);
                    sent = stream.write_all(&[b'x'; 4_096]);
                }
            });
            let server = start(url, json!({"frame_bytes_max": 100_000}));
            assert_eq!(server.tried().await, ServerState::BackingOff);
            // The rest was in the buffers of the sockets.
            assert!(written.load(Ordering::Relaxed) < 32 * 1024 * 1024, "{kind}");
        }
    });
}

#[test]
fn iso_6_a_request_that_fails_does_not_end_the_connection() {
    run(async {
        let url = serve(|request, stream| {
            match (request.body["method"].as_str(), request.body["params"]["name"].as_str()) {
                (Some("tools/call"), Some("good")) => result(stream, &request, text("done")),
                (Some("tools/call"), Some("long")) => {
                    result(stream, &request, text(&"x".repeat(200_000)));
                }
                (Some("tools/call"), _) => write(stream, "500 Internal Server Error", "", "oh"),
                _ => usual(stream, &request),
            }
        });
        let server = start(url, json!({"frame_bytes_max": 100_000}));
        assert_eq!(server.tried().await, ServerState::Ready);
        let (caller, _seen) = Run::of(1);
        for _ in 0..3 {
            for tool in ["bad", "long"] {
                let failed = caller.call(&server, tool).await.unwrap_err();
                assert!(failed.starts_with("the call of the MCP server failed"), "{tool}: {failed}");
            }
            assert_eq!(caller.call(&server, "good").await, Ok(json!("done")));
        }
        assert_eq!(server.state(), ServerState::Ready);
    });
}

/// A server that is about to close a connection fails the next request on it, after which no client can know whether it was
/// executed (RFC 9112, section 9.6).
#[test]
fn run_9_a_connection_carries_one_request() {
    run(async {
        let reused = Arc::new(AtomicUsize::new(0));
        let (count, executed) = (reused.clone(), Arc::new(AtomicUsize::new(0)));
        let calls = executed.clone();
        let url = serve(move |request, stream| {
            if request.body["method"] == "tools/call" {
                calls.fetch_add(1, Ordering::Relaxed);
                result(stream, &request, text("done"));
            } else {
                usual(stream, &request);
            }
            // Closed without an answer if it comes.
            if read(stream).is_some() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let server = start(url, json!({}));
        assert_eq!(server.tried().await, ServerState::Ready);
        let (caller, _seen) = Run::of(1);
        for _ in 0..20 {
            assert_eq!(caller.call(&server, "good").await, Ok(json!("done")));
        }
        assert_eq!((executed.load(Ordering::Relaxed), reused.load(Ordering::Relaxed)), (20, 0));
        server.stop().await;
    });
}
