//! One event stream of one user; everything received on it is checked.

use std::collections::VecDeque;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::Ended,
    context::{CampaignContext, PATIENCE},
    http,
    ledger::{FrameSeen, SharedLedger, Tape},
    process::Addresses,
};

/// An event stream whose reader takes chunks of any size that begin and end anywhere.
pub struct Stream {
    socket: TcpStream,
    tape: Tape,
    /// Bytes of the response that have not become chunks yet.
    raw: Vec<u8>,
    /// Bytes of the body that have not become events yet.
    body: Vec<u8>,
    events: VecDeque<String>,
    /// The last chunk has come: the service ended the stream in order.
    whole: bool,
}

impl Stream {
    /// Opens the stream after `after`, with the header of a browser or with a query.
    pub async fn open(
        context: &CampaignContext,
        ledger: &SharedLedger,
        to: Addresses,
        after: u64,
    ) -> Result<Self, Ended> {
        let (user, epoch) = (ledger.borrow().user.clone(), ledger.borrow().epoch().map(str::to_owned));
        let tape = Tape::of_stream(ledger, after);
        let opened = tokio::time::timeout(PATIENCE, async {
            let token = http::login(to.listen, &user).await.map_err(|_| Ended::NEVER_WAS)?;
            let cursor = match epoch {
                Some(epoch) => format!("/v1/stream HTTP/1.1\r\nlast-event-id: {epoch}:{after}"),
                None => format!("/v1/stream?after={after} HTTP/1.1"),
            };
            let request = format!(
                "GET {cursor}\r\nhost: localhost\r\naccept: text/event-stream\r\nauthorization: Bearer {token}\r\n\r\n"
            );
            let mut socket = TcpStream::connect(to.listen).await.map_err(|_| Ended::NEVER_WAS)?;
            socket.write_all(request.as_bytes()).await.map_err(|_| Ended::NEVER_WAS)?;
            let mut raw = Vec::new();
            let head = loop {
                if let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
                    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
                    raw.drain(..end + 4);
                    break head;
                }
                if socket.read_buf(&mut raw).await.unwrap_or(0) == 0 {
                    return Err(Ended::NEVER_WAS);
                }
            };
            match head.split(' ').nth(1).and_then(|status| status.parse().ok()) {
                Some(200) => Ok((socket, raw)),
                Some(status) => Err(Ended::Refused(status)),
                None => Err(Ended::NEVER_WAS),
            }
        });
        match opened.await {
            Ok(opened) => {
                let (socket, raw) = opened?;
                let (body, events) = (Vec::new(), VecDeque::new());
                Ok(Self { socket, tape, raw, body, events, whole: false })
            }
            Err(_) => context.fail("an event stream was neither opened nor refused"),
        }
    }

    /// The next event.
    pub async fn receive(&mut self) -> Result<FrameSeen, Ended> {
        loop {
            while let Some(event) = self.events.pop_front() {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                // Comments keep it alive, and `retry` is for the browser.
                if let (Some(kind), Some(data)) = (field("event: "), field("data: ")) {
                    return Ok(self.tape.receive_event(field("id: "), kind, data));
                }
            }
            if self.whole {
                return Err(Ended::Over { parting: self.tape.parting() });
            }
            if self.socket.read_buf(&mut self.raw).await.unwrap_or(0) == 0 {
                return Err(Ended::Broken { parting: self.tape.parting() });
            }
            self.take_chunks();
            while let Some(end) = self.body.windows(2).position(|two| two == b"\n\n") {
                let event = self.body.drain(..end + 2).collect::<Vec<_>>();
                self.events.push_back(String::from_utf8(event).unwrap());
            }
        }
    }

    /// Takes the complete chunks out of the received bytes.
    fn take_chunks(&mut self) {
        while let Some(end) = self.raw.windows(2).position(|two| two == b"\r\n") {
            let length = std::str::from_utf8(&self.raw[..end]).ok();
            let length = length.and_then(|text| usize::from_str_radix(text, 16).ok()).unwrap();
            if self.raw.len() < end + 2 + length + 2 {
                return;
            }
            self.body.extend_from_slice(&self.raw[end + 2..end + 2 + length]);
            self.raw.drain(..end + 2 + length + 2);
            self.whole |= length == 0;
        }
    }
}
