//! Resume records: the number of times that an open run was resumed (RUN-6). A record is stored beside the log
//! and is not an entry: it is not sent to clients and not covered by the hash chain.
//!
//! ```text
//!   resumed by another process ─▶ both counts + 1, durable before the agent is launched
//!   the agent has made a step since ─▶ `without_step` restarts at 0
//!   the process shut down cleanly ──▶ both counts - 1, by the engine as it closes
//!   the run completed ───────────▶ the record is removed
//! ```
//!
//! Guarantee: every process that dies after it launched the agent is counted, and no process is counted twice
//! for one run.

use quintet_kernel::{
    ids::{Incarnation, RunId, Seq},
    user::Resumes,
};

/// The resume record of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeRecord {
    /// The run.
    pub run_id: RunId,
    /// The counts, including the last resume, as if its process were to die.
    pub counted: Resumes,
    /// The number of the last event at the time of the last resume.
    pub seq: Seq,
    /// The process that last resumed the run; `None` once that process has shut down cleanly.
    pub incarnation: Option<Incarnation>,
}

impl ResumeRecord {
    /// Returns the resumes that count against the limits. `last_step` is the last event made by the agent.
    pub fn counting(record: Option<&Self>, last_step: Seq, now: Incarnation) -> Resumes {
        let Some(record) = record else { return Resumes::default() };
        // This process is alive, so its own resume does not count yet.
        let counted = if record.incarnation == Some(now) { less_one(record.counted) } else { record.counted };
        if last_step > record.seq { Resumes { without_step: 0, ..counted } } else { counted }
    }

    /// Returns the record after a resume by the process `now`, preceded by `counting` resumes.
    pub fn resumed(run_id: RunId, counting: Resumes, seq: Seq, now: Incarnation) -> Self {
        let counted = Resumes {
            without_step: counting.without_step.saturating_add(1),
            total: counting.total.saturating_add(1),
        };
        Self { run_id, counted, seq, incarnation: Some(now) }
    }

    /// Returns the record of a run that survived its last resume without a step, such as one that waits for its
    /// client.
    pub fn proven(self) -> Self {
        Self { counted: Resumes { without_step: 0, ..self.counted }, ..self }
    }

    /// Returns the record after a clean shutdown of the process `ended`.
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
    use uuid::Uuid;

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
    fn run_6_process_that_stops_in_order_does_not_count() {
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
