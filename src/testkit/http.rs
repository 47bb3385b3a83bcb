//! HTTP with one request per connection, for campaigns.

use std::{io, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

/// Returns the status and the body; an error if the service was gone before it had answered.
pub async fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> io::Result<(u16, String)> {
    exchange(TcpStream::connect(to).await?, method, path, token, body).await
}

/// Does the same over a socket of any kind.
pub async fn exchange(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> io::Result<(u16, String)> {
    let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{bearer}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    let cut_off = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut off");
    let answer = String::from_utf8(answer).map_err(|_| cut_off())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut_off)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut_off)?;
    if head.lines().any(|line| line == "transfer-encoding: chunked") {
        return Ok((status, unchunked(body).ok_or_else(cut_off)?));
    }
    let said = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if said.is_some_and(|length| length.trim() != body.len().to_string()) {
        return Err(cut_off());
    }
    Ok((status, body.to_owned()))
}

/// Joins the chunks of a body; `None` if the last one is missing.
fn unchunked(mut rest: &str) -> Option<String> {
    let mut whole = Vec::new();
    loop {
        let (length, chunks) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        let (chunk, behind) = chunks.as_bytes().split_at_checked(length)?;
        if length == 0 {
            return String::from_utf8(whole).ok();
        }
        whole.extend_from_slice(chunk);
        rest = std::str::from_utf8(behind.strip_prefix(b"\r\n")?).ok()?;
    }
}

/// Requests a token for `user`.
pub async fn login(to: SocketAddr, user: &str) -> io::Result<String> {
    let body = serde_json::json!({"user_id": user});
    let (status, body) = request(to, "POST", "/dev/login", None, Some(&body)).await?;
    let body: Value = serde_json::from_str(&body)?;
    match body["token"].as_str() {
        Some(token) if status == 200 => Ok(token.to_owned()),
        _ => Err(io::Error::other(format!("login: {status}"))),
    }
}
