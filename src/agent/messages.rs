//! Messages that a run takes while it executes (RUN-12).
//!
//! Guarantee: a message is taken once. A resumed run first gets the messages that it had taken before, in order, when
//! its agent has made the calls that preceded them again, or takes another course; only then further ones.

pub use crate::host::Message;
use crate::{host::RunEnded, phase::CanTake, run::Run};

impl<P: CanTake> Run<P> {
    /// Takes the messages that were sent to the thread with `on_busy: "steer"` and wait for this run, in order of
    /// acceptance. Their runs end as `merged` into this one. Returns at once, with no message if none waits.
    ///
    /// The messages are the run's own before the future completes: an agent that drops the future loses them.
    ///
    /// # Errors
    ///
    /// Returns [`RunEnded`] if the run has ended, or the messages could not be taken.
    pub async fn take_messages(&mut self) -> Result<Vec<Message>, RunEnded> {
        self.writer().take_messages().await
    }
}
