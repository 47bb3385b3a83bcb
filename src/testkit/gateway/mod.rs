//! A service on a free port, and clients that use only the wire protocol.

pub mod requests;

use std::{
    future::Future,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response};
use quintet::{
    agent::host::{AgentCapabilities, AgentLauncher, Assignment, RunHandle},
    gateway::limits::GatewayLimits,
    journal::{Journal, memory::MemoryJournal},
    kernel::{
        entry::{Call, CallOwner, CallResult, Thought, ThoughtKind},
        ids::{AgentName, CallId, Timestamp, ToolName, UserId},
        json::Json,
        run::Ending,
        user::AgentStep,
    },
    ops::{config::Settings, metrics},
    runtime::clock,
    service::{self, CheckedSettings, Parts, Running},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest},
};

/// Time limit for everything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not come in time"))
}

/// Polls until `so` holds, for conditions without a notification.
pub async fn until(so: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    soon("the awaited condition", async {
        while !so() {
            looks.tick().await;
        }
    })
    .await;
}

/// An executor that hands every assignment to the test.
struct ManualAgents(mpsc::UnboundedSender<Assignment>);

impl AgentLauncher for ManualAgents {
    fn default_agent(&self) -> AgentName {
        AgentName::parse("puppet").unwrap()
    }

    fn find(&self, agent_name: &AgentName) -> Option<AgentCapabilities> {
        (agent_name.as_str() == "puppet").then_some(AgentCapabilities { resumable: true })
    }

    fn is_idempotent(&self, _: &AgentName, _: &ToolName) -> bool {
        false
    }

    fn launch(&self, assignment: Assignment) {
        // After the test has ended the receiver is gone.
        let _ = self.0.send(assignment);
    }
}

pub struct TestService {
    pub running: Running,
    pub journal: Arc<MemoryJournal>,
    stage: mpsc::UnboundedReceiver<Assignment>,
}

impl TestService {
    pub async fn start() -> Self {
        Self::with(GatewayLimits::DEFAULT).await
    }

    pub async fn with(gateway: GatewayLimits) -> Self {
        let journal = Arc::new(MemoryJournal::default());
        Self::on(journal.clone(), journal, gateway, trace_file("")).await
    }

    /// Starts a service on `used`, which may wrap `journal` in another layer. Its monitor is on.
    pub async fn on(
        used: Arc<dyn Journal>,
        journal: Arc<MemoryJournal>,
        gateway: GatewayLimits,
        trace_file: Option<PathBuf>,
    ) -> Self {
        let settings = Settings { gateway, trace_file, ..settings() };
        Self::as_set(&settings, used, journal).await
    }

    pub async fn as_set(settings: &Settings, used: Arc<dyn Journal>, journal: Arc<MemoryJournal>) -> Self {
        let (parts, stage) = parts(used);
        let running = whole(settings, parts).start().await.unwrap();
        Self { running, journal, stage }
    }

    /// A token for `user` that outlives the test.
    pub fn token(&self, user: &str) -> String {
        self.token_until(user, u64::MAX)
    }

    /// A token for `user` that expires `in_ms` from now, rounded up to the second of its claim.
    pub fn token_until(&self, user: &str, in_ms: u64) -> String {
        let login = self.running.gateway().dev.clone().unwrap();
        let life_ms = quintet::gateway::dev::TOKEN_SECONDS * 1000;
        let issued = clock::now().0 - life_ms.saturating_sub(in_ms.min(life_ms - 999) + 999);
        login.login(UserId::parse(user).unwrap(), Timestamp(issued)).unwrap().0
    }

    pub async fn ticket(&self, user: &str) -> String {
        let response = soon("a ticket", self.http("POST", "/v1/tickets", user)).await;
        let body: Value = response.json().await.unwrap();
        body["ticket"].as_str().unwrap().to_owned()
    }

    pub async fn http(&self, method: &str, path: &str, user: &str) -> reqwest::Response {
        let url = format!("http://{}{path}", self.running.listen);
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = http_client().request(method, url).bearer_auth(self.token(user));
        request.send().await.unwrap()
    }

    /// The handshake request of a client, not sent yet.
    pub fn request(&self) -> Request<()> {
        format!("ws://{}/v1/ws", self.running.listen).into_client_request().unwrap()
    }

    pub async fn connect(&self, request: Request<()>) -> TestClient {
        self.try_connect(request).await.unwrap_or_else(|r| panic!("refused: {}", r.status()))
    }

    pub async fn try_connect(&self, request: Request<()>) -> Result<TestClient, Response<Option<Vec<u8>>>> {
        match soon("an answer to the handshake", tokio_tungstenite::connect_async(request)).await {
            Ok((ws, _)) => Ok(TestClient { ws }),
            Err(tungstenite::Error::Http(response)) => Err(*response),
            Err(error) => panic!("{error}"),
        }
    }

    /// A plain TCP socket from this loopback address; Linux has many.
    #[cfg(target_os = "linux")]
    pub async fn socket_from(&self, address: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address.parse::<std::net::Ipv4Addr>().unwrap(), 0).into()).unwrap();
        socket.connect(self.running.listen).await.unwrap()
    }

    /// An open connection of `user` from this address of loopback.
    #[cfg(target_os = "linux")]
    pub async fn open_from(&self, user: &str, address: &str) -> TestClient {
        let stream = MaybeTlsStream::Plain(self.socket_from(address).await);
        let request = with_bearer(self.request(), &self.token(user));
        let handshake = tokio_tungstenite::client_async(request, stream);
        let mut client = TestClient { ws: soon("a handshake", handshake).await.unwrap().0 };
        client.hello(json!({})).await;
        client.until("caught_up").await;
        client
    }

    /// A socket of `user` with the smallest receive buffer of the system.
    pub async fn narrow(&self, user: &str) -> TestClient {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        let stream = socket.connect(self.running.listen).await.unwrap();
        let request = with_bearer(self.request(), &self.token(user));
        let handshake = tokio_tungstenite::client_async(request, MaybeTlsStream::Plain(stream));
        TestClient { ws: soon("a handshake", handshake).await.unwrap().0 }
    }

    /// A socket without credentials.
    pub async fn unauthenticated(&self) -> TestClient {
        self.connect(self.request()).await
    }

    /// A socket whose handshake was authenticated as `user`.
    pub async fn known(&self, user: &str) -> TestClient {
        self.connect(with_bearer(self.request(), &self.token(user))).await
    }

    /// An open connection of `user` that has caught up, and its `ready`.
    pub async fn open(&self, user: &str) -> (TestClient, Value) {
        let mut client = self.known(user).await;
        let ready = client.hello(json!({})).await;
        client.until("caught_up").await;
        (client, ready)
    }

    /// Waits for the next run that is handed to the executor.
    pub async fn launched(&mut self) -> Assignment {
        soon("a run", self.stage.recv()).await.expect("the service runs")
    }

    /// The next run if it has been handed to the executor already.
    pub fn launched_by_now(&mut self) -> Option<Assignment> {
        self.stage.try_recv().ok()
    }

    /// Plays the next run: one thought, one answer, success.
    pub async fn answer(&mut self, text: &str) {
        let run = self.launched().await;
        think(&run.handle, "hm").await;
        say(&run.handle, text).await;
        succeed(&run.handle).await;
    }
}

/// Settings with free ports and the monitor on.
pub fn settings() -> Settings {
    let any_port = "127.0.0.1:0".parse().unwrap();
    Settings { listen: any_port, admin_listen: any_port, monitor: true, ..Settings::default() }
}

/// A development service of these parts, which records its metrics for Prometheus.
pub fn whole(settings: &Settings, parts: Parts) -> service::Service {
    let settings = CheckedSettings::dev(settings.clone()).unwrap();
    service::Service::new(settings, parts).with_prometheus().unwrap()
}

/// The parts of a service on `journal`, and the receiver of its runs.
pub fn parts(journal: Arc<dyn Journal>) -> (Parts, mpsc::UnboundedReceiver<Assignment>) {
    let (to_stage, stage) = mpsc::unbounded_channel();
    (Parts { journal, agents: Arc::new(ManualAgents(to_stage)), described: Vec::new() }, stage)
}

/// The trace file of the next service, if the environment requests traces: see `docs/model/traces.md`.
pub fn trace_file(under: &str) -> Option<PathBuf> {
    static SERVICES: AtomicUsize = AtomicUsize::new(0);
    let folder = PathBuf::from(std::env::var_os("TRACE_FOLDER")?).join(under);
    std::fs::create_dir_all(&folder).unwrap();
    let (process, service) = (std::process::id(), SERVICES.fetch_add(1, Ordering::Relaxed));
    Some(folder.join(format!("gateway-{process}-{service}.jsonl")))
}

/// Returns the rules that the monitor found broken in this process, with counts.
pub fn violations() -> Vec<(String, u64)> {
    let rendered = metrics::recorder().unwrap().render();
    let found = rendered.lines().filter_map(|line| {
        let (rule, count) =
            line.strip_prefix("quintet_monitor_violations_total{rule=\"")?.split_once("\"} ")?;
        Some((rule.to_owned(), count.parse().unwrap()))
    });
    found.filter(|(_, count)| *count > 0).collect()
}

pub fn http_client() -> reqwest::Client {
    // It takes long to make and is shared by all tests, each with its own runtime: so none of its sockets
    // outlives its request.
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        // Each client of reqwest needs one, though nothing here is encrypted; the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap()
    });
    CLIENT.clone()
}

pub fn with_bearer(mut request: Request<()>, token: &str) -> Request<()> {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    request.headers_mut().insert("authorization", value);
    request
}

pub async fn think(port: &RunHandle, delta: &str) {
    let thought = Thought { kind: ThoughtKind::Reasoning, delta: delta.to_owned(), reset: false };
    port.post(AgentStep::Think(thought)).await.unwrap();
}

pub async fn say(port: &RunHandle, delta: &str) {
    let thought = Thought { kind: ThoughtKind::Answer, delta: delta.to_owned(), reset: false };
    port.post(AgentStep::Think(thought)).await.unwrap();
}

pub async fn open_call(port: &RunHandle, call_id: &str, by: CallOwner) {
    let (call_id, tool_name) = (CallId::parse(call_id).unwrap(), ToolName::parse("look").unwrap());
    let call = Call { call_id, tool_name, parameters: Json::empty_object(), by };
    port.take(AgentStep::Open(call)).await.unwrap();
}

pub async fn close_call(port: &RunHandle, call_id: &str) {
    let call_id = CallId::parse(call_id).unwrap();
    port.take(AgentStep::Close { call_id, result: CallResult::ok(Json::null()) }).await.unwrap();
}

pub async fn succeed(port: &RunHandle) {
    port.take(AgentStep::Complete(Ending::Succeeded { usage: None })).await.unwrap();
}

pub struct TestClient {
    pub ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// One thing received on a connection.
#[derive(Debug, PartialEq)]
pub enum Received {
    Frame(Value),
    Closed(u16),
    /// The socket ended without a close frame.
    Broken,
}

impl TestClient {
    pub async fn send_frame(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send_ws_message(Message::text(text)).await;
    }

    pub async fn send_ws_message(&mut self, message: Message) {
        soon("room in the socket", self.ws.send(message)).await.unwrap();
    }

    pub async fn receive(&mut self) -> Received {
        loop {
            match soon("a frame", self.ws.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Received::Frame(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(close))) => {
                    // Answers the close, and waits until the service closes the socket.
                    while soon("the end", self.ws.next()).await.is_some() {}
                    return Received::Closed(close.unwrap().code.into());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Received::Broken,
            }
        }
    }

    /// Returns the next frame; panics if something else comes.
    pub async fn frame(&mut self) -> Value {
        match self.receive().await {
            Received::Frame(frame) => frame,
            other => panic!("{other:?} instead of a frame"),
        }
    }

    /// Returns the next frame; panics unless it has this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.frame().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// Returns the next frame; panics unless it is an `error` of this code that keeps the connection open.
    pub async fn expect_error(&mut self, code: &str) -> Value {
        let error = self.expect("error").await;
        assert_eq!((&error["code"], &error["fatal"]), (&json!(code), &json!(false)), "{error}");
        error
    }

    /// Receives a ping of the service; panics if something else comes first.
    pub async fn transport_ping(&mut self) {
        match soon("a ping", self.ws.next()).await {
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("{other:?} instead of a ping"),
        }
    }

    /// Returns the frames up to and including the first of this type.
    pub async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await;
            let last = frame["type"] == kind;
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    /// Returns the code of the close, skipping everything before it.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.receive().await {
                Received::Frame(_) => {}
                Received::Closed(code) => return code,
                Received::Broken => panic!("the socket ended without a close frame"),
            }
        }
    }

    /// Returns the code that the service answers a close with; `None` if the socket just ended.
    pub async fn ws_end(&mut self) -> Option<u16> {
        loop {
            match soon("the end", self.ws.next()).await {
                Some(Ok(Message::Close(close))) => return close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Returns code and reason of the close frame; panics if something else comes first.
    pub async fn close_frame(&mut self) -> (u16, String) {
        match soon("the close", self.ws.next()).await {
            Some(Ok(Message::Close(Some(close)))) => (close.code.into(), close.reason.to_string()),
            other => panic!("{other:?} instead of a close"),
        }
    }

    /// Returns all frames until the socket ends in any way.
    pub async fn until_closed(&mut self) -> Vec<Value> {
        let mut frames = Vec::new();
        while let Received::Frame(frame) = self.receive().await {
            frames.push(frame);
        }
        frames
    }

    /// Sends `hello` and returns `ready`, the first frame (CONN-2).
    pub async fn hello(&mut self, fields: Value) -> Value {
        let mut hello = json!({"type": "hello"});
        hello.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.send_frame(hello).await;
        self.expect("ready").await
    }

    /// Pings and panics if anything but the pong comes: all that was sent before has been processed.
    pub async fn alive(&mut self) {
        self.send_frame(json!({"type": "ping", "nonce": "alive"})).await;
        let pong = self.expect("pong").await;
        assert_eq!(pong["nonce"], "alive");
    }

    pub async fn message(&mut self, message_id: &str, text: &str) {
        self.send_frame(
            json!({"type": "send_message", "message_id": message_id, "thread_id": "t", "text": text}),
        )
        .await;
    }
}

pub fn offsets(frames: &[Value]) -> Vec<u64> {
    frames
        .iter()
        .filter_map(|frame| {
            frame["run_id"].as_str().and(frame["timestamp"].as_u64()).and(frame["offset"].as_u64())
        })
        .collect()
}

pub fn types(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect()
}
