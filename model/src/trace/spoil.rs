//! Wrong records, planted into a right trace, to see each of them refused.

use quintet::kernel::{
    entry::RunStatus,
    ids::{Offset, RunId, UserId},
};
use quintet_monitor::record::{FrameKind, Outcome, Record, ReplyRecord, TraceLine, TracedCommand, What};
use uuid::Uuid;

/// A way to spoil a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    DroppedAppend,
    DroppedStep,
    DroppedFrame,
    DuplicatedAppend,
    DuplicatedFrame,
    ReorderedAppends,
    OtherRun,
    OtherUsersLog,
    OtherUsersEntries,
    /// The reply accepts a message that is not in the log (DEL-5).
    SuccessWithoutDelivery,
    /// A refused command is reported as done (DEL-7).
    SuccessWithoutOutcome,
    CompletionWithOpenCall,
    EarlySend,
    TicketTwice,
    DurableEntriesGone,
}

impl Spoil {
    pub const ALL: [Spoil; 15] = [
        Spoil::DroppedAppend,
        Spoil::DroppedStep,
        Spoil::DroppedFrame,
        Spoil::DuplicatedAppend,
        Spoil::DuplicatedFrame,
        Spoil::ReorderedAppends,
        Spoil::OtherRun,
        Spoil::OtherUsersLog,
        Spoil::OtherUsersEntries,
        Spoil::SuccessWithoutDelivery,
        Spoil::SuccessWithoutOutcome,
        Spoil::CompletionWithOpenCall,
        Spoil::EarlySend,
        Spoil::TicketTwice,
        Spoil::DurableEntriesGone,
    ];

    /// The trace with one wrong record in it, numbered as if nothing had happened; `None` if there is
    /// no place for it.
    pub fn plant(self, text: &str) -> Option<String> {
        let mut lines: Vec<TraceLine> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        self.spoil(&mut lines)?;
        let mut last = 0;
        let mut spoiled = String::new();
        for line in &mut lines {
            line.n = if matches!(line.record, Record::Start(_)) { 1 } else { last + 1 };
            last = line.n;
            spoiled.push_str(&serde_json::to_string(line).expect("a record is plain data"));
            spoiled.push('\n');
        }
        Some(spoiled)
    }

    fn spoil(self, lines: &mut Vec<TraceLine>) -> Option<()> {
        let find = |lines: &[TraceLine], is: &dyn Fn(&Record) -> bool| {
            lines.iter().position(|line| is(&line.record))
        };
        let appended =
            |record: &Record| matches!(record, Record::Append(a) if a.outcome == Outcome::Appended);
        let entries =
            |record: &Record| matches!(record, Record::Sent { frame: FrameKind::Entries { .. }, .. });
        match self {
            Spoil::DroppedAppend => {
                lines.remove(find(lines, &appended)?);
            }
            Spoil::DroppedStep => {
                lines.remove(find(lines, &|record| matches!(record, Record::Step { .. }))?);
            }
            Spoil::DroppedFrame => {
                lines.remove(find(lines, &entries)?);
            }
            Spoil::DuplicatedAppend => duplicate(lines, find(lines, &appended)?),
            Spoil::DuplicatedFrame => duplicate(lines, find(lines, &entries)?),
            Spoil::ReorderedAppends => {
                let first = find(lines, &appended)?;
                let Record::Append(one) = &lines[first].record else { return None };
                let same = |line: &TraceLine| {
                    matches!(&line.record, Record::Append(other)
                    if other.user == one.user && other.outcome == Outcome::Appended)
                };
                let second = first + 1 + lines[first + 1..].iter().position(same)?;
                lines.swap(first, second);
            }
            Spoil::OtherRun => {
                let event = |record: &Record| {
                    matches!(record, Record::Append(append)
                    if append.entries.iter().any(|entry| entry.what == What::AgentThinking))
                };
                let at = find(lines, &event)?;
                let Record::Append(append) = &mut lines[at].record else { return None };
                append.entries.iter_mut().find(|entry| entry.what == What::AgentThinking)?.run =
                    RunId(Uuid::from_u128(7));
            }
            Spoil::OtherUsersLog => {
                let at = find(lines, &appended)?;
                let Record::Append(append) = &mut lines[at].record else { return None };
                append.user = somebody_else();
            }
            Spoil::OtherUsersEntries => {
                let at = find(lines, &entries)?;
                let Record::Sent { frame: FrameKind::Entries { user, .. }, .. } = &mut lines[at].record
                else {
                    return None;
                };
                *user = somebody_else();
            }
            Spoil::SuccessWithoutDelivery => {
                let is = |record: &Record| {
                    matches!(record, Record::Sent { frame: FrameKind::Accepted { .. }, .. })
                };
                let at = find(lines, &is)?;
                let Record::Sent { frame: FrameKind::Accepted { offset, .. }, .. } = &mut lines[at].record
                else {
                    return None;
                };
                *offset = Offset(offset.0 + 1000);
            }
            Spoil::SuccessWithoutOutcome => {
                let refused = |answer: &ReplyRecord| {
                    matches!(answer, ReplyRecord::NotFound | ReplyRecord::RunEnded | ReplyRecord::ThreadBusy)
                };
                let is = |record: &Record| {
                    matches!(record, Record::Append(append)
                    if append.decided.iter().any(|decided| refused(&decided.answer)))
                };
                let at = find(lines, &is)?;
                let Record::Append(append) = &mut lines[at].record else { return None };
                append.decided.iter_mut().find(|decided| refused(&decided.answer))?.answer =
                    ReplyRecord::Done;
            }
            Spoil::CompletionWithOpenCall => {
                let closes = |record: &Record| {
                    matches!(record, Record::Append(append)
                    if append.outcome == Outcome::Appended
                        && matches!(&append.decided[..], [one] if matches!(one.command, TracedCommand::Close { .. }))
                        && append.entries.len() == 1)
                };
                let at = find(lines, &closes)?;
                let Record::Append(append) = &mut lines[at].record else { return None };
                let run = append.entries[0].run;
                append.decided[0].command = TracedCommand::Succeed { run };
                append.entries[0].what =
                    What::AgentCompleted { status: RunStatus::Succeeded, code: None, into: None };
            }
            Spoil::EarlySend => {
                // The first chunk of a connection that follows a live log, with the step that brought it,
                // goes before the append that made it durable.
                let sent = (0..lines.len()).find(|at| entries(&lines[*at].record) && *at > 0)?;
                let Record::Sent { connection, frame: FrameKind::Entries { to, user, .. } } =
                    lines[sent].record.clone()
                else {
                    return None;
                };
                let made = lines[..sent].iter().rposition(|line| match &line.record {
                    Record::Append(append) => {
                        let end =
                            append.expected.0 + append.entries.iter().map(|entry| entry.times).sum::<u64>();
                        append.user == user && append.outcome == Outcome::Appended && end >= to.0
                    }
                    Record::Head { user: of, head } => *of == user && *head >= to,
                    _ => false,
                })?;
                let of = |line: &TraceLine| matches!(&line.record, Record::Step { connection: of, .. } if *of == connection);
                let step = made + lines[made..sent].iter().rposition(of)?;
                let (frame, step) = (lines.remove(sent), lines.remove(step));
                lines.insert(made, frame);
                lines.insert(made, step);
            }
            Spoil::TicketTwice => {
                use quintet_monitor::record::TicketDid;
                let is = |record: &Record| {
                    matches!(record, Record::Ticket { what: TicketDid::Redeemed { .. }, .. })
                };
                duplicate(lines, find(lines, &is)?);
            }
            Spoil::DurableEntriesGone => {
                let is = |record: &Record| matches!(record, Record::Recovered(recovered) if recovered.head > Offset(1));
                let at = find(lines, &is)?;
                let Record::Recovered(recovered) = &mut lines[at].record else { return None };
                recovered.head = Offset(recovered.head.0 - 1);
            }
        }
        Some(())
    }
}

fn duplicate(lines: &mut Vec<TraceLine>, at: usize) {
    lines.insert(at, lines[at].clone());
}

fn somebody_else() -> UserId {
    UserId::parse("0123456789abcdef").expect("a short name is a user")
}
