//! The drain latch: serving, draining, closing, in this order and never back.
//!
//! Guarantee: a stage once reached stays reached, and every waiter is woken, including those that start to
//! wait afterwards (CONN-6).

use crate::sync::watch;

/// The stages of a shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShutdownStage {
    /// Connections and messages are accepted.
    #[default]
    Serving,
    /// New messages are rejected; runs continue to a safe point.
    Draining,
    /// All connections close, with 1012.
    Closing,
}

/// The latch. Clones share the stage.
#[derive(Clone, Debug)]
pub struct Drain(watch::Sender<ShutdownStage>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::channel(ShutdownStage::default()).0)
    }
}

impl Drain {
    /// Returns the current stage.
    pub fn stage(&self) -> ShutdownStage {
        *self.0.borrow()
    }

    /// Advances to `stage`; does nothing if it is already reached.
    pub fn advance(&self, stage: ShutdownStage) {
        self.0.send_if_modified(|current| {
            let moves = stage > *current;
            *current = stage.max(*current);
            moves
        });
    }

    /// Resolves when `stage` is reached. Cancel safe.
    pub async fn reached(&self, stage: ShutdownStage) {
        let mut stages = self.0.subscribe();
        stages.wait_for(|current| *current >= stage).await.expect("self holds the sender");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stage_is_never_left_again_and_late_waiters_are_woken() {
        let drain = Drain::default();
        let waiter = tokio_test::task::spawn(async { drain.reached(ShutdownStage::Draining).await });
        let mut waiter = waiter;
        assert!(waiter.poll().is_pending());
        drain.advance(ShutdownStage::Closing);
        drain.advance(ShutdownStage::Draining);
        assert!(waiter.is_woken());
        assert!(waiter.poll().is_ready());
        assert_eq!(drain.stage(), ShutdownStage::Closing);
        drain.reached(ShutdownStage::Closing).await;
    }
}
