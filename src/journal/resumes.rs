//! The record of how often an open run was resumed (RUN-6). It stands beside the log and is no entry of
//! it: clients do not see it, and the hash chain does not cover it.
//!
//! ```text
//!   resumed by another process ─▶ both counts + 1, durable before the agent is launched
//!   the agent made a step since ─▶ `without_step` starts again at 0
//!   the process stopped in order ─▶ both counts - 1, by the engine as it closes
//!   the run completed ───────────▶ the record is removed
//! ```
//!
//! Guarantee: a process that dies at any moment after a launch has been counted, and no process is
//! counted twice for one run.

use uuid::Uuid;

use crate::kernel::{
    ids::{RunId, Seq},
    user::Resumes,
};

/// One process that works on a journal, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation(pub Uuid);

/// How often a run was resumed, the last time included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeRecord {
    pub run_id: RunId,
    /// Counts the last resume too, as if its process were to die.
    pub counted: Resumes,
    /// The last event of the run when it was last resumed.
    pub seq: Seq,
    /// The process that resumed it last; `None` once that process has stopped in order.
    pub incarnation: Option<Incarnation>,
}

impl ResumeRecord {
    /// The resumes that count against the run now. `last_step` is the last event that its agent made.
    pub fn counting(record: Option<&Self>, last_step: Seq, now: Incarnation) -> Resumes {
        let Some(record) = record else { return Resumes::default() };
        // This process is alive: its own resume counts for nothing yet.
        let counted = if record.incarnation == Some(now) { less_one(record.counted) } else { record.counted };
        if last_step > record.seq { Resumes { without_step: 0, ..counted } } else { counted }
    }

    /// The record after a resume by `now`, which `counting` resumes came before.
    pub fn resumed(run_id: RunId, counting: Resumes, seq: Seq, now: Incarnation) -> Self {
        let counted = Resumes {
            without_step: counting.without_step.saturating_add(1),
            total: counting.total.saturating_add(1),
        };
        Self { run_id, counted, seq, incarnation: Some(now) }
    }

    /// The record of a run that has outlived its last resume without a step, as one that waits for its
    /// client.
    pub fn proven(self) -> Self {
        Self { counted: Resumes { without_step: 0, ..self.counted }, ..self }
    }

    /// The record after its process `ended` in order.
    pub fn released(self, ended: Incarnation) -> Self {
        if self.incarnation == Some(ended) {
            Self { counted: less_one(self.counted), incarnation: None, ..self }
        } else {
            self
        }
    }
}

fn less_one(counted: Resumes) -> Resumes {
    Resumes { without_step: counted.without_step.saturating_sub(1), total: counted.total.saturating_sub(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId(Uuid::from_u128(1));

    fn process(number: u128) -> Incarnation {
        Incarnation(Uuid::from_u128(number))
    }

    fn resumes(without_step: u32, total: u32) -> Resumes {
        Resumes { without_step, total }
    }

    #[test]
    fn run_6_each_process_that_dies_counts_once() {
        let mut record = None;
        for number in 0..5 {
            for _again in 0..3 {
                let counting = ResumeRecord::counting(record.as_ref(), Seq(4), process(number.into()));
                assert_eq!(counting, resumes(number, number));
                record = Some(ResumeRecord::resumed(RUN, counting, Seq(4), process(number.into())));
            }
        }
    }

    #[test]
    fn run_6_a_step_of_the_agent_resets_the_first_count_and_not_the_second() {
        let first = ResumeRecord::resumed(RUN, resumes(0, 0), Seq(4), process(1));
        assert_eq!(ResumeRecord::counting(Some(&first), Seq(5), process(2)), resumes(0, 1));
        assert_eq!(ResumeRecord::counting(Some(&first), Seq(4), process(2)), resumes(1, 1));
    }

    #[test]
    fn run_6_a_process_that_stops_in_order_does_not_count() {
        let first = ResumeRecord::resumed(RUN, resumes(1, 7), Seq(4), process(1));
        let released = first.released(process(1));
        assert_eq!(ResumeRecord::counting(Some(&released), Seq(4), process(2)), resumes(1, 7));
        assert_eq!(released.released(process(1)), released, "once");
        assert_eq!(first.released(process(2)), first, "the resume of another process stays counted");
    }

    #[test]
    fn run_11_a_run_that_waits_for_its_client_counts_towards_the_total_alone() {
        let record = ResumeRecord::resumed(RUN, resumes(1, 7), Seq(4), process(1)).proven();
        assert_eq!(ResumeRecord::counting(Some(&record), Seq(4), process(2)), resumes(0, 8));
        let released = record.released(process(1));
        assert_eq!(ResumeRecord::counting(Some(&released), Seq(4), process(2)), resumes(0, 7));
    }
}
