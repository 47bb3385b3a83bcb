//! The tokens that a run has used so far.
//!
//! Guarantee: every end of the run has the count in its `usage`, also an end that the agent does not make, such as a
//! cancel, a timeout or a failure. A process that dies takes the count with it; an agent that is resumed may estimate it
//! anew.

use std::{fmt, sync::Arc};

use quintet_kernel::entry::Usage;

use crate::host::RunSignal;

/// The count of one run. Clones share it.
#[derive(Clone)]
pub struct TokenCount(Arc<RunSignal>);

impl TokenCount {
    pub(crate) fn new(signal: Arc<RunSignal>) -> Self {
        Self(signal)
    }

    /// Returns the tokens so far; `None` if none were counted.
    pub fn get(&self) -> Option<Usage> {
        self.0.usage()
    }

    /// Adds tokens.
    pub fn add(&self, more: Usage) {
        let sum = self.get().unwrap_or_default();
        self.set(Usage {
            input_tokens: sum.input_tokens.saturating_add(more.input_tokens),
            output_tokens: sum.output_tokens.saturating_add(more.output_tokens),
        });
    }

    /// Replaces the count, as while a response is in progress.
    pub fn set(&self, usage: Usage) {
        self.0.count(usage);
    }
}

impl fmt::Debug for TokenCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenCount").field(&self.get()).finish()
    }
}
