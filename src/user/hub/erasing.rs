//! The erasures of one user's log, carried out in the background (DEL-8).
//!
//! Guarantees: one erasure at a time, in steps of bounded work, beside the batches of the hub and never within one
//! (ISO-6). A step that fails is repeated. An erasure that the process does not complete is completed by the next one,
//! because the journal keeps its intent.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{RETRY_FIRST, RETRY_LAST};
use crate::{
    journal::{EraseProgress, ErasureRecord, Log},
    kernel::{ids::ReceiptId, user::Erasure},
    limits::HubLimits,
};

/// The erasure that the journal carries out, if any.
#[derive(Default)]
pub(super) struct Erasing(Option<BoxFuture<'static, ErasureRecord>>);

impl Erasing {
    /// Starts the first of `erasures`, unless one is under way.
    pub(super) fn start(&mut self, log: &Arc<dyn Log>, erasures: &[Erasure], limits: &HubLimits) {
        if self.0.is_none()
            && let Some(first) = erasures.first()
        {
            self.0 = Some(Box::pin(erase(log.clone(), first.receipt, limits.erase_step_entries_max)));
        }
    }

    /// Waits until the erasure is complete; never returns if none is under way.
    pub(super) async fn completed(&mut self) -> ReceiptId {
        match &mut self.0 {
            Some(erasure) => {
                let record = erasure.await;
                self.0 = None;
                let (receipt, entries) = (record.receipt, record.entries);
                metrics::counter!("quintet_erasures_completed_total").increment(1);
                tracing::info!(%receipt, entries, "an erasure is complete");
                receipt
            }
            None => std::future::pending().await,
        }
    }
}

/// Carries out an erasure to its end.
async fn erase(log: Arc<dyn Log>, receipt: ReceiptId, step_entries_max: usize) -> ErasureRecord {
    let mut wait: Option<Duration> = None;
    loop {
        match log.erase_step(receipt, step_entries_max).await {
            Ok(EraseProgress::Done(record)) => return record,
            Ok(EraseProgress::Working) => wait = None,
            Err(error) => {
                let next = wait.map_or(RETRY_FIRST, |last| (last * 2).min(RETRY_LAST));
                metrics::counter!("quintet_erase_failures_total").increment(1);
                tracing::error!(%receipt, %error, "a step of an erasure failed and will be repeated");
                sleep(next).await;
                wait = Some(next);
            }
        }
    }
}
