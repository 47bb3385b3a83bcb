//! Counts requests and tokens, for metrics and budgets.
//!
//! Guarantee: each request that was sent is counted once, also if its run is dropped while it is open.

use std::time::Duration;

use quintet_agent::Usage;

use crate::{
    api::{ModelError, ModelRequest},
    budget::Account,
    context::{request_tokens, tokens_of},
};

/// The meter of one request. Counts when it is dropped.
pub(crate) struct Meter<'a> {
    agent: &'a str,
    account: &'a Account,
    /// An estimate of the tokens of the request.
    input_tokens: u64,
    /// The bytes that the model has generated.
    pub(crate) output_bytes: usize,
    /// The tokens, if the service has counted them.
    pub(crate) usage: Option<Usage>,
    outcome: &'static str,
    /// True if the service has not worked on the request.
    is_free: bool,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(agent: &'a str, account: &'a Account, request: &ModelRequest) -> Self {
        Self {
            agent,
            account,
            input_tokens: request_tokens(request),
            output_bytes: 0,
            usage: None,
            outcome: "cancelled",
            is_free: false,
        }
    }

    /// Records the first generated token, this long after the request.
    pub(crate) fn first_token(&self, after: Duration) {
        metrics::histogram!("quintet_model_first_token_seconds", "agent" => self.agent.to_owned())
            .record(after.as_secs_f64());
    }

    /// Sets the outcome.
    pub(crate) fn end(&mut self, outcome: Result<(), &ModelError>) {
        match outcome {
            Ok(()) => self.outcome = "ok",
            Err(error) => {
                self.outcome = error.outcome();
                self.is_free = matches!(error, ModelError::Unreachable(_) | ModelError::Refused { .. });
            }
        }
    }

    /// Returns the tokens: those that the service has counted, or an estimate.
    fn tokens(&self) -> Usage {
        match self.usage {
            Some(usage) => usage,
            None if self.is_free => Usage::default(),
            None => Usage { input_tokens: self.input_tokens, output_tokens: tokens_of(self.output_bytes) },
        }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        let agent = || self.agent.to_owned();
        metrics::counter!("quintet_model_requests_total", "agent" => agent(), "outcome" => self.outcome)
            .increment(1);
        let usage = self.tokens();
        for (direction, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
            metrics::counter!("quintet_model_tokens_total", "agent" => agent(), "direction" => direction)
                .increment(tokens);
        }
        self.account.charge(usage);
    }
}
