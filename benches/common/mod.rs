//! A service in a process of its own, and the requests that benchmarks make to it.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// A server in a process of its own, which ends when this is dropped.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts `quintet dev` over `folder`, from `BENCH_BINARY` if that is set.
    pub fn quintet(folder: &Path, flags: &[&str], settings: &[(&str, &str)]) -> Result<Self> {
        let binary = std::env::var_os("BENCH_BINARY");
        let mut command = Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_quintet").into()));
        command
            .args(["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder)
            .args(flags)
            .env("QUINTET_LOG", "warn")
            .envs(settings.iter().copied());
        let (child, line) = start(command)?;
        let ready: Value = serde_json::from_str(&line)?;
        let address = ready["listen"].as_str().context("the ready line names no address")?.parse()?;
        Ok(Self { child, address })
    }

    pub fn resident_kib(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    pub fn resident_kib_peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(field)).context("no such field")?;
        Ok(line.split_whitespace().nth(1).context("no figure")?.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn start(mut command: Command) -> Result<(Child, String)> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
    Ok((child, line))
}

/// A user's WebSocket connection, which has caught up.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub async fn enter(address: SocketAddr, user_id: &str) -> Result<Self> {
        let token = login(address, user_id).await?;
        let mut request = format!("ws://{address}/v1/ws").into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
        request.headers_mut().insert("sec-websocket-protocol", "quintet.v1".parse()?);
        let (socket, _) = connect_async(request).await?;
        let mut socket = Self(socket);
        socket.send(&json!({"type": "hello"})).await?;
        socket.until(|frame| frame["type"] == "caught_up", Duration::from_secs(60)).await?;
        Ok(socket)
    }

    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        Ok(self.0.send(Message::text(frame.to_string())).await?)
    }

    /// The text of the next frame.
    pub async fn next(&mut self) -> Result<String> {
        loop {
            let message = self.0.next().await.context("the socket was closed")??;
            if let Message::Text(text) = message {
                return Ok(text.as_str().to_owned());
            }
        }
    }

    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool, timeout: Duration) -> Result<Value> {
        let found = async {
            loop {
                let frame: Value = serde_json::from_str(&self.next().await?)?;
                if wanted(&frame) {
                    return anyhow::Ok(frame);
                }
            }
        };
        tokio::time::timeout(timeout, found).await.context("no answer in time")?
    }
}

pub async fn login(address: SocketAddr, user_id: &str) -> Result<String> {
    let answer = http(address, "POST", "/dev/login", None, Some(&json!({ "user_id": user_id }))).await?;
    Ok(answer["token"].as_str().with_context(|| format!("no token: {answer}"))?.to_owned())
}

pub async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Result<Value> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{bearer}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    let text = String::from_utf8(answer)?;
    let (_, body) = text.split_once("\r\n\r\n").context("no body")?;
    Ok(serde_json::from_str(body)?)
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
