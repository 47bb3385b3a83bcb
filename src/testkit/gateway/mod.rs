//! A service on a free port, and clients that know the wire and nothing else.

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
    agent::host::{Agents, Assignment, RunPort, Treatment},
    gateway::limits::GatewayLimits,
    journal::{Journal, memory::MemoryJournal},
    kernel::{
        entry::{By, Call, CallResult, Thought, ThoughtKind},
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

/// How long a test waits for what has to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not come in time"))
}

/// Looks again and again until it is so: for what nobody announces.
pub async fn until(so: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    soon("what a test looks for", async {
        while !so() {
            looks.tick().await;
        }
    })
    .await;
}

/// Hands every assignment to the test.
struct Puppets(mpsc::UnboundedSender<Assignment>);

impl Agents for Puppets {
    fn default_agent(&self) -> AgentName {
        AgentName::parse("puppet").unwrap()
    }

    fn find(&self, agent_name: &AgentName) -> Option<Treatment> {
        (agent_name.as_str() == "puppet").then_some(Treatment { resumable: true })
    }

    fn is_idempotent(&self, _: &AgentName, _: &ToolName) -> bool {
        false
    }

    fn launch(&self, assignment: Assignment) {
        // A test that is over has no stage any more.
        let _ = self.0.send(assignment);
    }
}

pub struct Service {
    pub running: Running,
    pub journal: Arc<MemoryJournal>,
    stage: mpsc::UnboundedReceiver<Assignment>,
}

impl Service {
    pub async fn start() -> Self {
        Self::with(GatewayLimits::DEFAULT).await
    }

    pub async fn with(gateway: GatewayLimits) -> Self {
        let journal = Arc::new(MemoryJournal::default());
        Self::on(journal.clone(), journal, gateway, trace_file("")).await
    }

    /// A service on `used`, which may be `journal` behind something else. It watches itself.
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

    /// A token for `user`, good for long.
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

    /// The handshake of a client, before it is sent.
    pub fn request(&self) -> Request<()> {
        format!("ws://{}/v1/ws", self.running.listen).into_client_request().unwrap()
    }

    pub async fn connect(&self, request: Request<()>) -> Client {
        self.try_connect(request).await.unwrap_or_else(|r| panic!("refused: {}", r.status()))
    }

    pub async fn try_connect(&self, request: Request<()>) -> Result<Client, Response<Option<Vec<u8>>>> {
        match soon("an answer to the handshake", tokio_tungstenite::connect_async(request)).await {
            Ok((ws, _)) => Ok(Client { ws }),
            Err(tungstenite::Error::Http(response)) => Err(*response),
            Err(error) => panic!("{error}"),
        }
    }

    /// A bare socket from this address of loopback, of which Linux has many.
    #[cfg(target_os = "linux")]
    pub async fn socket_from(&self, address: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address.parse::<std::net::Ipv4Addr>().unwrap(), 0).into()).unwrap();
        socket.connect(self.running.listen).await.unwrap()
    }

    /// An open connection of `user` from this address of loopback.
    #[cfg(target_os = "linux")]
    pub async fn open_from(&self, user: &str, address: &str) -> Client {
        let stream = MaybeTlsStream::Plain(self.socket_from(address).await);
        let request = with_bearer(self.request(), &self.token(user));
        let handshake = tokio_tungstenite::client_async(request, stream);
        let mut client = Client { ws: soon("a handshake", handshake).await.unwrap().0 };
        client.hello(json!({})).await;
        client.until("caught_up").await;
        client
    }

    /// A socket of `user` whose own system holds hardly anything for it.
    pub async fn narrow(&self, user: &str) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        let stream = socket.connect(self.running.listen).await.unwrap();
        let request = with_bearer(self.request(), &self.token(user));
        let handshake = tokio_tungstenite::client_async(request, MaybeTlsStream::Plain(stream));
        Client { ws: soon("a handshake", handshake).await.unwrap().0 }
    }

    /// A socket that nobody is known on.
    pub async fn stranger(&self) -> Client {
        self.connect(self.request()).await
    }

    /// A socket whose handshake was authenticated as `user`.
    pub async fn known(&self, user: &str) -> Client {
        self.connect(with_bearer(self.request(), &self.token(user))).await
    }

    /// An open connection of `user`, all caught up; and its `ready`.
    pub async fn open(&self, user: &str) -> (Client, Value) {
        let mut client = self.known(user).await;
        let ready = client.hello(json!({})).await;
        client.until("caught_up").await;
        (client, ready)
    }

    /// The next run that wants to be carried out.
    pub async fn launched(&mut self) -> Assignment {
        soon("a run", self.stage.recv()).await.expect("the service is there")
    }

    /// A run that wants to be carried out and has said so.
    pub fn launched_by_now(&mut self) -> Option<Assignment> {
        self.stage.try_recv().ok()
    }

    /// Carries the next run out: one thought, one answer, success.
    pub async fn answer(&mut self, text: &str) {
        let run = self.launched().await;
        think(&run.port, "hm").await;
        say(&run.port, text).await;
        succeed(&run.port).await;
    }
}

/// Ports of its own, and an eye on itself.
pub fn settings() -> Settings {
    let any_port = "127.0.0.1:0".parse().unwrap();
    Settings { listen: any_port, admin_listen: any_port, conformance: true, ..Settings::default() }
}

/// A development service of these parts, which records its metrics for Prometheus.
pub fn whole(settings: &Settings, parts: Parts) -> service::Service {
    let settings = CheckedSettings::dev(settings.clone()).unwrap();
    service::Service::new(settings, parts).with_prometheus().unwrap()
}

/// What a service on `journal` is made of, and where its runs come out.
pub fn parts(journal: Arc<dyn Journal>) -> (Parts, mpsc::UnboundedReceiver<Assignment>) {
    let (to_stage, stage) = mpsc::unbounded_channel();
    (Parts { journal, agents: Arc::new(Puppets(to_stage)), described: Vec::new() }, stage)
}

/// Where the next service writes its trace, if anybody asked for one: see `docs/model/traces.md`.
pub fn trace_file(under: &str) -> Option<PathBuf> {
    static SERVICES: AtomicUsize = AtomicUsize::new(0);
    let folder = PathBuf::from(std::env::var_os("TRACE_FOLDER")?).join(under);
    std::fs::create_dir_all(&folder).unwrap();
    let (process, service) = (std::process::id(), SERVICES.fetch_add(1, Ordering::Relaxed));
    Some(folder.join(format!("gateway-{process}-{service}.jsonl")))
}

/// How often live traffic was found to break a rule in this process: by rule, those that were.
pub fn violations() -> Vec<(String, u64)> {
    let rendered = metrics::recorder().unwrap().render();
    let found = rendered.lines().filter_map(|line| {
        let (rule, count) =
            line.strip_prefix("quintet_conformance_violations_total{rule=\"")?.split_once("\"} ")?;
        Some((rule.to_owned(), count.parse().unwrap()))
    });
    found.filter(|(_, count)| *count > 0).collect()
}

pub fn http_client() -> reqwest::Client {
    // It takes long to make and is shared by all tests, each with a runtime of its own: so no socket of
    // it lives longer than its request.
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        // Every client of reqwest wants one, though nothing here is encrypted; the first one stays.
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

pub async fn think(port: &RunPort, delta: &str) {
    let thought = Thought { kind: ThoughtKind::Reasoning, delta: delta.to_owned(), reset: false };
    port.post(AgentStep::Think(thought)).await.unwrap();
}

pub async fn say(port: &RunPort, delta: &str) {
    let thought = Thought { kind: ThoughtKind::Answer, delta: delta.to_owned(), reset: false };
    port.post(AgentStep::Think(thought)).await.unwrap();
}

pub async fn open_call(port: &RunPort, call_id: &str, by: By) {
    let (call_id, tool_name) = (CallId::parse(call_id).unwrap(), ToolName::parse("look").unwrap());
    let call = Call { call_id, tool_name, parameters: Json::empty_object(), by };
    port.take(AgentStep::Open(call)).await.unwrap();
}

pub async fn close_call(port: &RunPort, call_id: &str) {
    let call_id = CallId::parse(call_id).unwrap();
    port.take(AgentStep::Close { call_id, result: CallResult::ok(Json::null()) }).await.unwrap();
}

pub async fn succeed(port: &RunPort) {
    port.take(AgentStep::Complete(Ending::Succeeded { usage: None })).await.unwrap();
}

pub struct Client {
    pub ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What a client hears.
#[derive(Debug, PartialEq)]
pub enum Heard {
    Frame(Value),
    Closed(u16),
    /// The socket ended without a close frame.
    Broken,
}

impl Client {
    pub async fn say(&mut self, frame: Value) {
        self.say_text(&frame.to_string()).await;
    }

    pub async fn say_text(&mut self, text: &str) {
        self.say_message(Message::text(text)).await;
    }

    pub async fn say_message(&mut self, message: Message) {
        soon("room in the socket", self.ws.send(message)).await.unwrap();
    }

    pub async fn hear(&mut self) -> Heard {
        loop {
            match soon("a frame", self.ws.next()).await {
                Some(Ok(Message::Text(text))) => return Heard::Frame(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(close))) => {
                    // Answers the close, and waits for the service to let go.
                    while soon("the end", self.ws.next()).await.is_some() {}
                    return Heard::Closed(close.unwrap().code.into());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Broken,
            }
        }
    }

    /// The next frame, which has to be one.
    pub async fn frame(&mut self) -> Value {
        match self.hear().await {
            Heard::Frame(frame) => frame,
            other => panic!("{other:?} instead of a frame"),
        }
    }

    /// The next frame, which has to be of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.frame().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// The next frame, which has to be an `error` of this code that leaves the connection alive.
    pub async fn expect_error(&mut self, code: &str) -> Value {
        let error = self.expect("error").await;
        assert_eq!((&error["code"], &error["fatal"]), (&json!(code), &json!(false)), "{error}");
        error
    }

    /// The next ping of the service, which has to be next.
    pub async fn transport_ping(&mut self) {
        match soon("a ping", self.ws.next()).await {
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("{other:?} instead of a ping"),
        }
    }

    /// Frames up to and with the first of this type.
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

    /// The code that the connection closes with, whatever came before.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.hear().await {
                Heard::Frame(_) => {}
                Heard::Closed(code) => return code,
                Heard::Broken => panic!("the socket ended without a close frame"),
            }
        }
    }

    /// The code that the service answers a close with; none if the socket just ended.
    pub async fn ws_end(&mut self) -> Option<u16> {
        loop {
            match soon("the end", self.ws.next()).await {
                Some(Ok(Message::Close(close))) => return close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Code and reason of the close frame, which has to be next.
    pub async fn close_frame(&mut self) -> (u16, String) {
        match soon("the close", self.ws.next()).await {
            Some(Ok(Message::Close(Some(close)))) => (close.code.into(), close.reason.to_string()),
            other => panic!("{other:?} instead of a close"),
        }
    }

    /// Every frame that still comes, however the socket ends.
    pub async fn until_closed(&mut self) -> Vec<Value> {
        let mut frames = Vec::new();
        while let Heard::Frame(frame) = self.hear().await {
            frames.push(frame);
        }
        frames
    }

    /// Says `hello` and hears `ready`, the first frame (CONN-2).
    pub async fn hello(&mut self, fields: Value) -> Value {
        let mut hello = json!({"type": "hello"});
        hello.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.say(hello).await;
        self.expect("ready").await
    }

    /// Nothing but a pong is ahead: whatever was sent before has been dealt with.
    pub async fn alive(&mut self) {
        self.say(json!({"type": "ping", "nonce": "alive"})).await;
        let pong = self.expect("pong").await;
        assert_eq!(pong["nonce"], "alive");
    }

    pub async fn message(&mut self, message_id: &str, text: &str) {
        self.say(json!({"type": "send_message", "message_id": message_id, "thread_id": "t", "text": text}))
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
