//! Counts requests and tokens, for metrics and budgets.
//!
//! Guarantee: each request that was sent is counted once, also if its run is dropped while it is open. The count of the
//! run is up to date at any time, because a cancel ends the run before its agent is dropped.

use std::time::Duration;

use quintet_agent::{TokenCount, Usage};

use crate::{
    api::{ModelError, ModelRequest},
    budget::Account,
    context::{request_tokens, tokens_of},
};

/// The meter of one request. Counts when it is dropped.
pub(crate) struct Meter<'a> {
    agent: &'a str,
    account: &'a Account,
    count: TokenCount,
    /// The tokens of the run before the request.
    before: Usage,
    /// An estimate of the tokens of the request.
    input_tokens: u64,
    /// The bytes that the model has generated.
    output_bytes: usize,
    /// The tokens, if the service has counted them.
    usage: Option<Usage>,
    outcome: &'static str,
    /// True if the service has not worked on the request.
    is_free: bool,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(
        agent: &'a str,
        account: &'a Account,
        count: TokenCount,
        request: &ModelRequest,
    ) -> Self {
        let before = count.get().unwrap_or_default();
        let meter = Self {
            agent,
            account,
            count,
            before,
            input_tokens: request_tokens(request),
            output_bytes: 0,
            usage: None,
            outcome: "cancelled",
            is_free: false,
        };
        meter.publish();
        meter
    }

    /// Records what the model has generated so far, and the tokens that its service has counted.
    pub(crate) fn advance(&mut self, output_bytes: usize, usage: Option<Usage>) {
        (self.output_bytes, self.usage) = (output_bytes, usage);
        self.publish();
    }

    /// Sets the count of the run, and that of its budgets.
    fn publish(&self) {
        let tokens = self.tokens();
        self.account.advance(tokens);
        self.count.set(sum(self.before, tokens));
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
        let estimated =
            Usage { input_tokens: self.input_tokens, output_tokens: tokens_of(self.output_bytes) };
        match self.usage {
            Some(usage) => Usage {
                input_tokens: if usage.input_tokens > 0 { usage.input_tokens } else { self.input_tokens },
                output_tokens: match usage.output_tokens {
                    counted if counted > 0 && self.outcome == "ok" => counted,
                    // The service counts some tokens at the end of a response, which has not come.
                    counted => counted.max(estimated.output_tokens),
                },
            },
            None if self.is_free => Usage::default(),
            None => estimated,
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
        self.count.set(sum(self.before, usage));
        self.account.charge(usage);
    }
}

/// Returns the sum of two counts.
fn sum(one: Usage, other: Usage) -> Usage {
    Usage {
        input_tokens: one.input_tokens.saturating_add(other.input_tokens),
        output_tokens: one.output_tokens.saturating_add(other.output_tokens),
    }
}
