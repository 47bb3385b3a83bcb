//! Checks one user's log while it is written: each batch, once it is durable, against the rules of the audit.
//!
//! Guarantee: memory is bounded by the open runs and by [`IDS_MAX`], independent of the length of the log.
//! Every entry is checked once, in log order.

use quintet_journal::Lines;
use quintet_kernel::{
    entry::CallOwner,
    ids::{Offset, RunId, UserId},
};

use super::{
    log::{Before, LogCheck, Milestone},
    report::{BrokenRule, Findings},
};

/// The check of one user's log from some offset on.
#[derive(Debug)]
pub struct LiveCheck {
    log: LogCheck,
    head: Offset,
}

/// A request of an agent or a client to close a call of this run (RUN-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseAsked {
    /// The run of the call.
    pub run_id: RunId,
    /// The party that closes the call.
    pub by: CallOwner,
}

/// Message and run ids that are remembered per user, to detect a reuse.
pub const IDS_MAX: usize = 1024;

/// Greatest number of violations that are reported for one batch.
const BATCH_VIOLATIONS_MAX: usize = 16;

impl LiveCheck {
    /// Creates the check of a log that ends at `head`. Its open runs are then fed to [`Self::learn`].
    pub fn new(user_id: &UserId, head: Offset) -> Self {
        Self { log: LogCheck::bounded(user_id.as_str(), Before::Unknown, IDS_MAX), head }
    }

    /// Feeds entries that the log already holds, without reporting violations, which are the audit's task.
    pub fn learn(&mut self, lines: &Lines) {
        let mut findings = Findings::new(0);
        for (offset, line) in lines.iter() {
            self.log.entry(offset.0, &line, &mut findings);
        }
    }

    /// Marks all open runs as fed: from now on an event of any other run is a violation.
    pub fn learnt(&mut self) {
        self.log.all_known();
        self.log.forget_idle_threads();
    }

    /// Checks a batch that has become durable. `asked` are the requests to close calls that it answers.
    pub fn appended(&mut self, lines: &Lines, asked: &[CloseAsked]) -> Vec<BrokenRule> {
        let mut findings = Findings::new(BATCH_VIOLATIONS_MAX);
        // DEL-2
        if lines.first() != self.head.next() {
            let what = format!("the batch begins at {}, and the head is {}", lines.first(), self.head);
            findings.violation("DEL-2", lines.first().0, None, what);
        }
        self.head = lines.last();
        let mut unknown = Vec::new();
        for (offset, line) in lines.iter() {
            let milestone = self.log.entry(offset.0, &line, &mut findings);
            let Milestone::Closed { run_id, by_client, status } = milestone else { continue };
            match &*status {
                "ok" | "error" => {
                    let by = if by_client { CallOwner::Client } else { CallOwner::Agent };
                    let closer = |close: &CloseAsked| close.by == by && close.run_id.to_string() == run_id;
                    if !asked.iter().any(closer) {
                        let what = "a call is closed by a party that does not own it";
                        findings.violation("RUN-11", offset.0, Some(&run_id), what);
                    }
                }
                // A call of the client stays open while its run goes on.
                "unknown" if by_client => unknown.push((offset, run_id)),
                _ => {}
            }
        }
        for (offset, run_id) in unknown {
            if self.log.is_open(&run_id) {
                let what = "a call that waits for the client is given up while its run goes on";
                findings.violation("RUN-11", offset.0, Some(&run_id), what);
            }
        }
        self.log.forget_idle_threads();
        findings.report.take_violations()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use quintet_journal::lines::LinesBuilder;
    use quintet_kernel::{
        entry::{
            Body, Call, CallResult, CallStatus, Completion, Event, RunEntry, RunStatus, Thought, ThoughtKind,
        },
        ids::{AgentName, CallId, MessageId, Seq, ThreadId, Timestamp, ToolName},
        json::Json,
    };
    use quintet_wire as wire;
    use uuid::Uuid;

    use super::*;

    fn user() -> UserId {
        UserId::parse("ada").unwrap()
    }

    /// Returns a run id that has the form of a UUIDv7.
    fn run(n: u128) -> RunId {
        RunId(Uuid::from_u128(0x018f_3c2e_7b1a_7c3d_8e4f_0000_0000_0000 + n))
    }

    fn entry(run_id: RunId, thread: &str, body: Body) -> RunEntry {
        RunEntry {
            offset: Offset(0),
            thread_id: ThreadId::parse(thread).unwrap(),
            run_id,
            timestamp: Timestamp(1),
            agent_name: AgentName::parse("agent").unwrap(),
            body,
        }
    }

    fn message(n: u128, thread: &str) -> RunEntry {
        let message_id = MessageId::parse(&format!("m{n}")).unwrap();
        entry(run(n), thread, Body::UserMessage { message_id, text: "x".into(), parent: None, steers: false })
    }

    fn event(n: u128, thread: &str, seq: u64, event: Event) -> RunEntry {
        entry(run(n), thread, Body::Event { seq: Seq(seq), event })
    }

    fn started(n: u128) -> Event {
        Event::Started { message_id: MessageId::parse(&format!("m{n}")).unwrap() }
    }

    fn thinks() -> Event {
        Event::Thinking(Thought { kind: ThoughtKind::Reasoning, delta: "hm".into(), reset: false })
    }

    fn opens(call: &str, by: CallOwner) -> Event {
        let (call_id, tool_name) = (CallId::parse(call).unwrap(), ToolName::parse("look").unwrap());
        Event::ToolExecuting(Call { call_id, tool_name, parameters: Json::empty_object(), by })
    }

    fn closes(call: &str, status: CallStatus) -> Event {
        Event::ToolCompleted {
            call_id: CallId::parse(call).unwrap(),
            tool_name: ToolName::parse("look").unwrap(),
            result: CallResult { status, results: Json::null(), error: None },
            duration_ms: 0,
        }
    }

    fn ends(status: RunStatus) -> Event {
        let final_response = (status == RunStatus::Succeeded).then(String::new);
        Event::Completed(Completion {
            status,
            final_response,
            error: None,
            duration_ms: 0,
            usage: None,
            merged_into: None,
        })
    }

    /// Checks the entries as a batch that follows `head`, and returns the ids of the broken rules.
    fn judge(check: &mut LiveCheck, head: u64, entries: Vec<RunEntry>, asked: &[CloseAsked]) -> Vec<String> {
        let mut lines = LinesBuilder::new(Offset(head + 1));
        for (i, mut entry) in entries.into_iter().enumerate() {
            entry.offset = Offset(head + 1 + i as u64);
            let mut bytes = BytesMut::new();
            wire::entry::encode(&user(), &entry.into(), &mut bytes);
            lines.push(|out| out.extend_from_slice(&bytes));
        }
        let found = check.appended(&lines.finish(), asked);
        found.into_iter().map(|violation| violation.rule).collect()
    }

    fn fresh() -> LiveCheck {
        let mut check = LiveCheck::new(&user(), Offset(0));
        check.learnt();
        check
    }

    /// Returns the rules that one batch breaks after the start of run 1.
    fn planted(entries: Vec<RunEntry>) -> Vec<String> {
        let mut check = fresh();
        let begun = vec![message(1, "t"), event(1, "t", 1, started(1))];
        assert_eq!(judge(&mut check, 0, begun, &[]), Vec::<String>::new());
        judge(&mut check, 2, entries, &[])
    }

    fn of_run_1(events: Vec<Event>) -> Vec<RunEntry> {
        (2..).zip(events).map(|(seq, e)| event(1, "t", seq, e)).collect()
    }

    #[test]
    fn a_legal_log_is_accepted() {
        let asked = [CallOwner::Agent, CallOwner::Client].map(|by| CloseAsked { run_id: run(1), by });
        let mut check = fresh();
        let mut log = vec![message(1, "t"), event(1, "t", 1, started(1))];
        log.extend(of_run_1(vec![
            thinks(),
            opens("a", CallOwner::Agent),
            opens("b", CallOwner::Client),
            closes("b", CallStatus::Ok),
            closes("a", CallStatus::Error),
            ends(RunStatus::Succeeded),
        ]));
        assert_eq!(judge(&mut check, 0, log, &asked), Vec::<String>::new());
    }

    #[test]
    fn violation_of_each_rule_is_detected() {
        let succeeded = || ends(RunStatus::Succeeded);
        let two = |a: RunEntry, b: RunEntry| vec![a, b];
        let cases: Vec<(&str, Vec<RunEntry>)> = vec![
            ("RUN-1", vec![event(1, "t", 2, started(1))]),
            ("RUN-1", vec![event(9, "t", 1, started(9))]),
            ("RUN-2", vec![event(1, "t", 3, thinks())]),
            ("RUN-3", of_run_1(vec![opens("a", CallOwner::Agent)])),
            ("RUN-3", of_run_1(vec![succeeded()])),
            ("RUN-4", of_run_1(vec![thinks(), closes("a", CallStatus::TimedOut)])),
            ("RUN-4", of_run_1(vec![thinks(), opens("a", CallOwner::Agent), opens("a", CallOwner::Agent)])),
            ("RUN-5", of_run_1(vec![thinks(), succeeded(), thinks()])),
            ("RUN-5", of_run_1(vec![thinks(), opens("a", CallOwner::Agent), succeeded()])),
            ("RUN-7", of_run_1(vec![thinks(), opens("a", CallOwner::Agent), ends(RunStatus::Cancelled)])),
            ("RUN-8", vec![message(2, "t"), event(2, "t", 1, started(2)), event(2, "t", 2, thinks())]),
            ("RUN-11", of_run_1(vec![thinks(), opens("a", CallOwner::Client), closes("a", CallStatus::Ok)])),
            (
                "RUN-11",
                of_run_1(vec![thinks(), opens("a", CallOwner::Client), closes("a", CallStatus::Unknown)]),
            ),
            ("DEL-6", two(message(2, "u"), message(2, "u"))),
        ];
        for (rule, entries) in cases {
            let found = planted(entries.clone());
            assert!(found.iter().any(|found| found == rule), "{rule}: {found:?} in {entries:?}");
        }
    }

    #[test]
    fn run_11_agent_cannot_answer_for_the_client() {
        let asked = [CloseAsked { run_id: run(1), by: CallOwner::Agent }];
        let mut check = fresh();
        let mut log = vec![message(1, "t"), event(1, "t", 1, started(1))];
        log.extend(of_run_1(vec![thinks(), opens("a", CallOwner::Client), closes("a", CallStatus::Ok)]));
        assert_eq!(judge(&mut check, 0, log, &asked), ["RUN-11"]);
    }

    #[test]
    fn del_2_offsets_continue_without_a_gap() {
        let mut check = fresh();
        assert_eq!(judge(&mut check, 1, vec![message(1, "t")], &[]), ["DEL-2"]);
    }

    #[test]
    fn iso_1_entry_of_another_user_is_detected() {
        let mut lines = LinesBuilder::new(Offset(1));
        let other = UserId::parse("bob").unwrap();
        let mut first = message(1, "t");
        first.offset = Offset(1);
        lines.push(|out| wire::entry::encode(&other, &first.into(), out));
        let found = fresh().appended(&lines.finish(), &[]);
        assert_eq!(found.iter().map(|v| &*v.rule).collect::<Vec<_>>(), ["ISO-1"]);
    }

    #[test]
    fn memory_is_bounded_by_the_open_runs() {
        let mut check = fresh();
        for n in 1..=3000u64 {
            let id = u128::from(n);
            let thread = format!("t{n}");
            let whole = vec![
                message(id, &thread),
                event(id, &thread, 1, started(id)),
                event(id, &thread, 2, ends(RunStatus::Cancelled)),
            ];
            assert_eq!(judge(&mut check, 3 * (n - 1), whole, &[]), Vec::<String>::new());
        }
        assert_eq!(check.log.sizes(), (0, 0, 2 * IDS_MAX));
    }
}
