//! Exports: everything that is kept of the user and nothing else, recognisably whole, in bounded memory.

use quintet::{gateway::limits::GatewayLimits, journal::Journal, kernel::ids::Timestamp};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::{
    harness::{TestService, http_client, soon, until},
    pages::{Mishap, keeping, run, watched},
};

/// The lines of an export, which has to be whole.
async fn export(service: &TestService, user: &str) -> Vec<Value> {
    let reply = service.reply(service.ask("GET", "/v1/export").bearer_auth(service.token(user))).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    let disposition = reply.header("content-disposition");
    assert!(disposition.starts_with("attachment; filename=\"quintet-export-"), "{disposition}");
    assert!(reply.text.ends_with('\n'));
    let lines: Vec<Value> = reply.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let entries = lines.iter().filter(|line| line.get("offset").is_some()).count();
    assert_eq!(lines.first().unwrap()["type"], "export");
    assert_eq!(lines.last().unwrap(), &serde_json::json!({"type": "export_end", "entries": entries}));
    lines
}

/// ISO-1, DEL-2: an export has the entries of its user in order, as every connection has them.
#[tokio::test]
async fn export_is_the_whole_log_of_its_user() {
    let limits = GatewayLimits { chunk_entries_max: 8, chunk_bytes_max: 2 * 1024, ..GatewayLimits::DEFAULT };
    let (mut service, reads) = watched(limits).await;
    assert_eq!(export(&service, "ada").await.len(), 2, "an empty log");
    run(&mut service, "bob", "m1", "t", 3, 10).await;
    run(&mut service, "ada", "m1", "t", 60, 300).await;
    let (mut client, ready) = service.open("ada").await;
    client.alive().await;
    let mut reader = service.known("ada").await;
    reader.hello(serde_json::json!({})).await;
    let mut frames = reader.until("caught_up").await;
    frames.pop();
    reads.forget();
    let lines = export(&service, "ada").await;
    assert!(reads.largest() <= limits.chunk_bytes_max, "DEL-4: {} bytes at once", reads.largest());
    assert_eq!(lines[1..lines.len() - 1], frames);
    let header = &lines[0];
    assert_eq!((&header["user_id"], &header["head"]), (&Value::from("ada"), &ready["head"]));
    assert_eq!((&header["epoch"], &header["trimmed"]), (&ready["epoch"], &Value::from(0)));
    service.journal.trim(keeping(9), Timestamp(0)).await.unwrap();
    let lines = export(&service, "ada").await;
    assert_eq!(
        lines[0]["trimmed"].as_u64().unwrap() + 1,
        lines
            .get(1)
            .map_or(0, |line| { line["offset"].as_u64().unwrap_or(lines[0]["head"].as_u64().unwrap() + 1) })
    );
}

/// DEL-3: entries that are trimmed while the export runs are a line of their own.
#[tokio::test]
async fn del_3_trim_during_an_export_is_a_line() {
    let limits = GatewayLimits { chunk_entries_max: 4, ..GatewayLimits::DEFAULT };
    for nth in 1..=5 {
        for keep in [0, 7, 20] {
            let (mut service, reads) = watched(limits).await;
            for i in 0..5 {
                run(&mut service, "ada", &format!("m{i}"), "t", 2, 10).await;
            }
            reads.at_read(nth, Mishap::Trim(keep));
            let lines = export(&service, "ada").await;
            let mut next = lines[0]["trimmed"].as_u64().unwrap() + 1;
            for line in &lines[1..lines.len() - 1] {
                let (from, to) = match line["offset"].as_u64() {
                    Some(offset) => (offset, offset),
                    None => (line["from"].as_u64().unwrap(), line["to"].as_u64().unwrap()),
                };
                assert!(from == next && to >= from, "{nth} {keep}: {line} at {next}");
                next = to + 1;
            }
            assert_eq!(next, lines[0]["head"].as_u64().unwrap() + 1);
        }
    }
}

/// DEL-7: an export that is cut off has no last line, and its connection is reset.
#[tokio::test]
async fn del_7_export_that_is_cut_off_is_recognisable() {
    let limits = GatewayLimits { chunk_entries_max: 4, ..GatewayLimits::DEFAULT };
    let (mut service, reads) = watched(limits).await;
    run(&mut service, "ada", "m1", "t", 40, 10).await;
    reads.at_read(1, Mishap::Fail);
    service.get("ada", "/v1/export").await.problem(503, "unavailable");
    for nth in 2..=4 {
        reads.at_read(nth, Mishap::Fail);
        let request = http_client().get(service.url("/v1/export")).bearer_auth(service.token("ada"));
        let mut text = Vec::new();
        // The connection may also be reset before the response head is written.
        let end = match soon("a response", request.send()).await {
            Err(error) => Err(error),
            Ok(mut response) => loop {
                assert_eq!(response.status(), 200);
                match soon("bytes", response.chunk()).await {
                    Ok(Some(bytes)) => text.extend_from_slice(&bytes),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            },
        };
        assert!(end.is_err(), "a clean end of an export without its last line");
        assert!(!String::from_utf8(text).unwrap().contains("export_end"));
    }
    export(&service, "ada").await;
}

/// ISO-6, DEL-4: a user has one export at once; one that is not read costs a chunk, and other users nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iso_6_one_export_per_user_at_once() {
    let (mut service, reads) = watched(GatewayLimits::DEFAULT).await;
    for user in ["ada", "bob"] {
        run(&mut service, user, "m1", "t", 120, 60 * 1024).await;
    }
    reads.forget();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stalled = soon("a socket", socket.connect(service.running.listen)).await.unwrap();
    let token = service.token("ada");
    let request =
        format!("GET /v1/export HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    stalled.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    soon("the status", stalled.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    let refused = service.get("ada", "/v1/export").await;
    let problem = refused.problem(429, "limit_reached");
    assert!(problem["retry_after_ms"].as_u64().unwrap() > 0);
    assert!(reads.bytes() < 3 * 1024 * 1024, "{} bytes were read ahead", reads.bytes());
    // Pages are counted separately, and so are other users.
    service.get("ada", "/v1/entries?limit=1").await.ok(200);
    export(&service, "bob").await;
    drop(stalled);
    let gateway = service.running.gateway().clone();
    until(|| gateway.admit.exports_in_progress() == 0).await;
    export(&service, "ada").await;
}
