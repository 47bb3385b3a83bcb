//! The messages that a run had taken before it was resumed, in the order in which its agent gets them again (RUN-12).

use std::collections::VecDeque;

use quintet_kernel::ids::Offset;

use crate::host::TakenRecord;

/// The recorded messages that a resumed agent has not got again yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct TakenQueue {
    records: VecDeque<TakenRecord>,
    /// True once the agent has taken another course than the recorded one.
    deviates: bool,
}

impl TakenQueue {
    pub(super) fn new(records: Vec<TakenRecord>) -> Self {
        Self { records: records.into(), deviates: false }
    }

    /// Notes that the agent takes another course, so that no record has to wait for its position.
    pub(super) fn deviate(&mut self) {
        self.deviates = true;
    }

    /// Removes and returns the messages whose position the agent has reached.
    pub(super) fn due(&mut self, has_made: impl Fn(usize) -> bool) -> Vec<Offset> {
        let mut due = Vec::new();
        while let Some(next) = self.records.pop_front_if(|next| self.deviates || has_made(next.calls)) {
            due.push(next.offset);
        }
        due
    }

    /// Returns true if the agent may take further messages: it has all recorded ones, and no recorded call is ahead.
    pub(super) fn is_over(&self, has_made: impl Fn(usize) -> bool) -> bool {
        self.records.is_empty() && (self.deviates || has_made(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> TakenQueue {
        TakenQueue::new(vec![
            TakenRecord { offset: Offset(5), calls: 0 },
            TakenRecord { offset: Offset(9), calls: 2 },
            TakenRecord { offset: Offset(10), calls: 2 },
        ])
    }

    #[test]
    fn run_12_recorded_messages_are_due_when_the_calls_before_them_are_made() {
        let mut queue = queue();
        let made = |made: usize| move |calls: usize| calls <= made;
        assert_eq!(queue.due(made(1)), [Offset(5)]);
        assert_eq!(queue.due(made(1)), []);
        assert!(!queue.is_over(|_| true));
        assert_eq!(queue.due(made(2)), [Offset(9), Offset(10)]);
        assert!(!queue.is_over(made(2)), "a later call is ahead");
        assert!(queue.is_over(|_| true));
    }

    #[test]
    fn run_12_agent_that_takes_another_course_gets_all_recorded_messages() {
        let mut queue = queue();
        queue.deviate();
        assert_eq!(queue.due(|_| false), [Offset(5), Offset(9), Offset(10)]);
        assert!(queue.is_over(|_| false));
    }
}
