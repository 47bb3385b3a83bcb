//! Clients that break the contract: malformed frames, other users' runs, one ticket for several connections.

use std::time::Duration;

use futures_util::future::join_all;
use rand::{RngExt, seq::IteratorRandom};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::{Client, Ended, Pass, Resume, request, token},
    device::{Device, Over, TOKEN_LIFE_MS},
    ledger::FrameSeen,
};

impl Device {
    /// Sends malformed frames and requests for foreign runs: each is answered with an error and changes
    /// nothing (CONN-4, ISO-3), and the connection lives until there are too many of them.
    pub async fn garble(&mut self) -> Result<(), Over> {
        let head = self.ledger.borrow().head();
        let mut client = self.open(head).await?;
        client.until(FrameSeen::CaughtUp).await?;
        let binary = self.rng.random_bool(0.1);
        for sent in 0..self.rng.random_range(1..24) {
            let frame = self.nonsense();
            client.send_message(Message::text(frame)).await?;
            self.world.count("nonsense");
            let answer = loop {
                match client.receive().await {
                    Ok(FrameSeen::Error { code }) => break code,
                    Ok(_) => {}
                    // The limit of malformed frames; some of those that were sent were well-formed.
                    Err(Ended::Closed { code: 4400, .. }) if sent + 1 >= INVALID_FRAMES_MAX => {
                        self.world.count("closed 4400");
                        return Ok(());
                    }
                    Err(ended) => return Err(ended.into()),
                }
            };
            self.world.clock.note(&self.name, format_args!("answered with {answer}"));
        }
        if binary {
            client.send_message(Message::binary(vec![0xff; 8])).await?;
            loop {
                match client.receive().await {
                    Ok(_) => {}
                    Err(Ended::Closed { code: 4400, .. }) => return Ok(()),
                    Err(ended) => return Err(ended.into()),
                }
            }
        }
        client.leave().await;
        Ok(())
    }

    fn nonsense(&mut self) -> String {
        let nobody = "01a1ee56-5e01-7c3d-8e4f-0123456789ab".to_owned();
        let books = &self.world.books;
        let others = books.iter().filter(|ledger| !std::rc::Rc::ptr_eq(ledger, &self.ledger));
        let runs: Vec<String> =
            others.flat_map(|ledger| ledger.borrow().runs.keys().cloned().collect::<Vec<_>>()).collect();
        let run_id = runs.iter().choose(&mut self.rng).cloned().unwrap_or(nobody);
        match self.rng.random_range(0..8) {
            0 => "no JSON at all".to_owned(),
            1 => json!({"type": "no_such_type"}).to_string(),
            2 => json!([1, 2, 3]).to_string(),
            3 => json!({"type": "send_message", "message_id": "nobody's", "text": 7}).to_string(),
            4 => json!({"type": "hello"}).to_string(),
            5 | 6 => json!({"type": "cancel_run", "run_id": run_id}).to_string(),
            _ => json!({"type": "complete_call", "run_id": run_id, "call_id": "q0", "status": "ok"})
                .to_string(),
        }
    }

    /// Takes one ticket and opens as many connections with it as it can: at most one succeeds (AUTH-1), and
    /// none after its expiry (AUTH-2).
    pub async fn race(&mut self) -> Result<(), Over> {
        let user = self.ledger.borrow().user.clone();
        let bearer = token(&user, self.world.clock.unix_ms() + TOKEN_LIFE_MS);
        let ttl_ms = self.rng.random_range(200..4_000);
        let (status, issued) =
            request("POST", "/v1/tickets", &bearer, Some(&json!({"ttl_ms": ttl_ms}))).await?;
        let Some(ticket) = issued["ticket"].as_str().filter(|_| status == 201) else {
            if !matches!(status, 401 | 429 | 503) {
                self.ledger.borrow().found(format_args!("no ticket: {status} {issued}"));
            }
            return Ok(());
        };
        let over_ms = self.world.clock.now_ms() + ttl_ms;
        if self.rng.random_bool(0.3) {
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..2 * ttl_ms))).await;
        }
        let late = self.world.clock.now_ms() > over_ms;
        let after = self.ledger.borrow().head();
        let racers: Vec<_> = (0..self.rng.random_range(2..4))
            .map(|_| {
                let pass = match self.rng.random_bool(0.5) {
                    true => Pass::Query(ticket.to_owned()),
                    false => Pass::HelloTicket(ticket.to_owned()),
                };
                self.run(pass, after)
            })
            .collect();
        let winners = join_all(racers).await.into_iter().flatten().count();
        self.world.count("races");
        self.world.clock.note(&self.name, format_args!("{winners} of a ticket's racers won, late: {late}"));
        if winners > 1 {
            self.ledger.borrow().found(format_args!("one ticket opened {winners} connections (AUTH-1)"));
        }
        if late && winners > 0 {
            self.ledger.borrow().found("a ticket was redeemed after its expiry (AUTH-2)");
        }
        for _ in 0..winners {
            self.world.count("races won");
        }
        Ok(())
    }

    /// One racer: a winner receives `ready`.
    fn run(&self, pass: Pass, after: u64) -> impl Future<Output = Option<()>> + use<> {
        let (clock, name, ledger) = (self.world.clock.clone(), self.name.clone(), self.ledger.clone());
        async move {
            let resume = Resume { epoch: None, after };
            let mut client = Client::open(&clock, &name, &ledger, &pass, &resume).await.ok()?;
            client.until(FrameSeen::Ready).await.ok()?;
            client.leave().await;
            Some(())
        }
    }
}

/// The default of the setting, which simulations keep.
const INVALID_FRAMES_MAX: u32 = 16;
