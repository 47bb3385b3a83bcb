//! The same entries as server-sent events.

use quintet::{
    gateway::{dev::TOKEN_SECONDS, limits::GatewayLimits},
    journal::{Journal, Retention},
    kernel::ids::{Timestamp, UserId},
    runtime::clock,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use crate::harness::{TestService, http_client, offsets, say, soon, succeed, think, until};

#[derive(Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub event: String,
    pub data: Value,
}

pub struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    pub async fn open(service: &TestService, query: &str, headers: &[(&str, &str)], user: &str) -> Self {
        let response = Self::request(service, query, headers, user).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    async fn request(
        service: &TestService,
        query: &str,
        headers: &[(&str, &str)],
        user: &str,
    ) -> reqwest::Response {
        let url = format!("http://{}/v1/stream{query}", service.running.listen);
        let mut request = http_client().get(url).bearer_auth(service.token(user));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        soon("a response", request.send()).await.unwrap()
    }

    /// The next block between empty lines; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let block = block.to_owned();
                self.buffer = rest.to_owned();
                return Some(block);
            }
            match soon("bytes", self.response.chunk()).await {
                Ok(Some(bytes)) => self.buffer.push_str(std::str::from_utf8(&bytes).unwrap()),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            // A block without an id is not an entry, and no gap between two of them.
            if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                let data = serde_json::from_str(&data).unwrap();
                return Some(Event { id, event: field("event: ").unwrap(), data });
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await.expect("the stream goes on"));
        }
        events
    }
}

/// A service with two messages of ada and their runs: ten entries.
async fn with_history() -> TestService {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    for message_id in ["m1", "m2"] {
        client.message(message_id, "x").await;
        service.answer("y").await;
        client.until("agent_completed").await;
    }
    service
}

#[tokio::test]
async fn del_2_stream_carries_the_same_entries_as_the_socket() {
    let mut service = with_history().await;
    let (mut client, _) = service.open("ada").await;
    let mut reader = service.known("ada").await;
    let ready = reader.hello(json!({})).await;
    let mut frames = reader.until("caught_up").await;
    frames.pop();
    let mut stream = Events::open(&service, "", &[], "ada").await;
    let epoch = ready["epoch"].as_str().unwrap().to_owned();
    for (event, frame) in stream.take(10).await.iter().zip(&frames) {
        assert_eq!(event.id, format!("{epoch}:{}", frame["offset"]));
        assert_eq!(event.event, frame["type"].as_str().unwrap());
        assert_eq!(&event.data, frame);
    }
    // And new entries, live.
    client.message("m3", "more").await;
    service.answer("there").await;
    let live: Vec<_> = stream.take(5).await.into_iter().map(|event| event.event).collect();
    assert_eq!(
        live,
        ["user_message", "agent_started", "agent_thinking", "agent_thinking", "agent_completed"]
    );

    let mut after = Events::open(&service, "?after=12", &[], "ada").await;
    assert_eq!(after.take(3).await[0].data["offset"], 13);
    let last_id = format!("{epoch}:13");
    let mut resumed = Events::open(&service, "?after=1", &[("last-event-id", last_id.as_str())], "ada").await;
    assert_eq!(resumed.next().await.unwrap().data["offset"], 14, "the id of the last event takes precedence");
}

/// Proxies must not cache or buffer events; the client comes back after the time that the operator set.
#[tokio::test]
async fn stream_is_not_cached_and_not_buffered() {
    let limits = GatewayLimits { reconnect_after_ms: 7_001, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let mut stream = Events::open(&service, "", &[], "ada").await;
    assert_eq!(stream.response.headers()["cache-control"], "no-store");
    assert_eq!(stream.response.headers()["x-accel-buffering"], "no");
    assert_eq!(stream.block().await.unwrap(), "retry: 7001");
}

#[tokio::test]
async fn del_3_cursor_with_missing_entries_gets_a_gap_event() {
    let service = with_history().await;
    let epoch = service.running.gateway().factory.epoch();
    for elsewhere in [format!("{}:7", Uuid::now_v7()), "an-epoch-of-another-service:7".to_owned()] {
        let mut stream = Events::open(&service, "", &[("last-event-id", elsewhere.as_str())], "ada").await;
        let gap = stream.next().await.unwrap();
        assert_eq!(
            (gap.event.as_str(), gap.id, gap.data),
            ("gap", format!("{epoch}:0"), json!({"from": 0, "to": 0}))
        );
        assert_eq!(stream.next().await.unwrap().data["offset"], 1);
    }

    let mut stream = Events::open(&service, "?after=99", &[], "ada").await;
    let gap = stream.next().await.unwrap();
    assert_eq!((gap.id, gap.data), (format!("{epoch}:10"), json!({"from": 11, "to": 99})));

    let retention = Retention { age_ms_max: None, user_entries_max: Some(5), ..Retention::default() };
    service.journal.trim(retention, Timestamp(0)).await.unwrap();
    let mut stream = Events::open(&service, "", &[], "ada").await;
    let gap = stream.next().await.unwrap();
    assert_eq!((gap.event.as_str(), &gap.data["from"]), ("gap", &json!(1)));
    let next = stream.next().await.unwrap();
    assert_eq!(next.data["offset"].as_u64().unwrap(), gap.data["to"].as_u64().unwrap() + 1);
}

#[tokio::test]
async fn malformed_cursor_is_refused() {
    let service = TestService::start().await;
    for (query, headers) in [
        ("?after=x", vec![]),
        ("?after=-1", vec![]),
        ("", vec![("last-event-id", "12")]),
        ("", vec![("last-event-id", "a b:12")]),
    ] {
        let response = Events::request(&service, query, &headers, "ada").await;
        assert_eq!(response.status(), 400, "{query} {headers:?}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], "invalid_field");
    }
    let url = format!("http://{}/v1/stream", service.running.listen);
    assert_eq!(http_client().get(url).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn iso_1_stream_carries_entries_of_its_own_user_only() {
    let mut service = with_history().await;
    let mut bens = Events::open(&service, "", &[], "ben").await;
    let (mut ben, _) = service.open("ben").await;
    ben.message("m1", "x").await;
    service.answer("y").await;
    for event in bens.take(5).await {
        assert_eq!(event.data["user_id"], "ben");
    }
}

#[tokio::test]
async fn quiet_stream_sends_keep_alives_and_ends_with_the_service() {
    let service =
        TestService::with(GatewayLimits { heartbeat_interval_ms: 20, ..GatewayLimits::DEFAULT }).await;
    let mut stream = Events::open(&service, "", &[], "ada").await;
    assert!(stream.block().await.unwrap().starts_with("retry: "));
    assert_eq!(stream.block().await.unwrap(), ": keep-alive");
    let drained = soon("the drain", service.running.drain()).await;
    assert!(drained.connections_closed);
    assert!(stream.next().await.is_none());
    assert_eq!(service.running.gateway().admit.connections_open(), 0);
}

/// AUTH-3: a stream carries entries until its credential expires, and ends then.
#[tokio::test]
async fn auth_3_stream_ends_with_its_credential() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    let url = format!("http://{}/v1/stream", service.running.listen);
    let issued = clock::now().0 - (TOKEN_SECONDS * 1000 - 2_000);
    let login = service.running.gateway().dev.clone().unwrap();
    let (token, identity) = login.login(UserId::parse("ada").unwrap(), Timestamp(issued)).unwrap();
    let response = http_client().get(url).bearer_auth(token).send().await.unwrap();
    let mut stream = Events { response, buffer: String::new() };
    client.message("m1", "x").await;
    service.answer("y").await;
    assert_eq!(stream.take(5).await[4].event, "agent_completed");
    assert!(stream.next().await.is_none());
    let late_ms = clock::now().0.checked_sub(identity.expires_at.0).expect("not before it expires");
    assert!(late_ms < 5_000, "{late_ms} ms after it expired");
    client.until("agent_completed").await;
}

/// DEL-4, ISO-5: a stream that is not read delays no other reader, and is closed in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn del_4_unread_stream_delays_no_other_and_is_closed() {
    let limits = GatewayLimits { stall_timeout_ms: 400, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let _stalled = Events::open(&service, "", &[], "ada").await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "flood").await;
    let run = service.launched().await;
    let flood = async {
        for _ in 0..300 {
            think(&run.handle, &"x".repeat(60 * 1024)).await;
        }
        succeed(&run.handle).await;
    };
    let ((), frames) = tokio::join!(flood, client.until("agent_completed"));
    assert_eq!(offsets(&frames).len(), 303);
    let gateway = service.running.gateway().clone();
    until(|| gateway.admit.connections_open() == 1).await;
    client.alive().await;
}

/// CONN-5, ISO-5: nothing reports a vanished peer. Its keep-alive lines go unacknowledged, and that ends the
/// stream, though there is always room for the next line.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conn_5_stream_of_a_vanished_peer_is_closed() {
    let limits = GatewayLimits {
        heartbeat_interval_ms: 20,
        pong_timeout_ms: 100,
        stall_timeout_ms: 200,
        ..GatewayLimits::DEFAULT
    };
    let service = TestService::with(limits).await;
    let mut socket = tokio::net::TcpStream::connect(service.running.listen).await.unwrap();
    let token = service.token("ada");
    let request =
        format!("GET /v1/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    soon("the status", socket.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    let gateway = service.running.gateway().clone();
    assert_eq!(gateway.admit.connections_open(), 1);
    // From here on no packet to it arrives and none is acknowledged: the one instruction of this filter drops
    // every packet.
    const DROP: socket2::SockFilter = socket2::SockFilter::new(0x06, 0, 0, 0);
    socket2::SockRef::from(&socket).attach_filter(&[DROP]).unwrap();
    until(|| (gateway.admit.connections_open(), gateway.factory.live_users()) == (0, 0)).await;
}

/// CONN-6: a drain notifies the readers of streams, which get new entries until the service closes, up to the
/// last one.
#[tokio::test]
async fn conn_6_stream_is_notified_of_the_drain_and_gets_the_last_entry() {
    let mut service = TestService::start().await;
    let mut stream = Events::open(&service, "", &[], "ada").await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "x").await;
    let run = service.launched().await;
    think(&run.handle, "hm").await;
    assert_eq!(stream.take(3).await[2].event, "agent_thinking");
    drop(client);
    let told = async {
        // An event without an id: the cursor of the client does not move.
        let block = loop {
            let block = stream.block().await.expect("the stream goes on");
            if block.starts_with("event: draining") {
                break block;
            }
        };
        assert_eq!(block, "event: draining\ndata: {\"reconnect_after_ms\":1000}");
        say(&run.handle, "there").await;
        succeed(&run.handle).await;
        let last: Vec<_> = stream.take(2).await.into_iter().map(|event| event.event).collect();
        assert_eq!(last, ["agent_thinking", "agent_completed"]);
        assert_eq!(stream.next().await, None);
    };
    let (drained, ()) = tokio::join!(service.running.drain(), told);
    assert!(drained.runs_quiesced && drained.connections_closed, "{drained:?}");
}

/// CONN-6: a reader that is behind when the service closes gets its time, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conn_6_stream_that_is_behind_gets_the_last_entries_before_it_ends() {
    let mut service = TestService::start().await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "x").await;
    let run = service.launched().await;
    for _ in 0..200 {
        think(&run.handle, &"x".repeat(10 * 1024)).await;
    }
    drop(client);
    let mut stream = Events::open(&service, "", &[], "ada").await;
    succeed(&run.handle).await;
    let read = async {
        let mut offsets = Vec::new();
        while let Some(event) = stream.next().await {
            offsets.extend(event.data["offset"].as_u64());
        }
        offsets
    };
    let (drained, read) = tokio::join!(service.running.drain(), read);
    assert!(drained.connections_closed, "{drained:?}");
    assert_eq!(read, (1..=203).collect::<Vec<_>>());
}
