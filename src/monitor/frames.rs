//! Checks the frames of one connection by their bytes and the contract, independently of the machine that
//! sends them.

use std::borrow::Cow;

use serde::Deserialize;

use quintet_kernel::{
    connection::{Gap, ResumeCursor},
    ids::{Epoch, Offset, RunId, UserId},
};

/// The check of one connection's frames, as far as they have been sent.
#[derive(Debug)]
pub(super) struct FrameCheck {
    user_id: Option<UserId>,
    asked: ResumeCursor,
    /// The epoch with which the cursor was compared, if it is not that of `ready`.
    held_against: Option<Epoch>,
    progress: StreamProgress,
}

/// The progress of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamProgress {
    Nothing,
    /// `ready` was sent. Holds the last offset that was sent or skipped by a gap.
    Ready(Offset),
    Closed,
}

/// The position at which a stream of entries resumes, as reported to the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResumePosition {
    epoch: Option<Epoch>,
    after: Offset,
    head: Offset,
    gap: Option<Gap>,
}

/// A broken rule, the offset concerned, and a description.
pub(super) type Finding = (&'static str, Option<Offset>, &'static str);

#[derive(Deserialize)]
struct FrameFields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    offset: Option<Offset>,
    message_offset: Option<Offset>,
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    epoch: Option<Cow<'a, str>>,
    resumed_after: Option<Offset>,
    head: Option<Offset>,
    gap: Option<Gap>,
    run_id: Option<RunId>,
}

impl ResumePosition {
    pub(super) fn new(epoch: Epoch, after: Offset, head: Offset, gap: Option<Gap>) -> Self {
        Self { epoch: Some(epoch), after, head, gap }
    }
}

impl FrameCheck {
    pub(super) fn new() -> Self {
        Self {
            user_id: None,
            asked: ResumeCursor::default(),
            held_against: None,
            progress: StreamProgress::Nothing,
        }
    }

    /// Sets the user of the connection.
    pub(super) fn authenticated(&mut self, user_id: &UserId) {
        self.user_id.get_or_insert_with(|| user_id.clone());
    }

    /// Sets the cursor of the client.
    pub(super) fn asked(&mut self, asked: ResumeCursor) {
        if self.progress == StreamProgress::Nothing {
            self.asked = asked;
        }
    }

    /// Sets the epoch with which the cursor was compared.
    pub(super) fn attached(&mut self, epoch: Epoch) {
        self.held_against = Some(epoch);
    }

    /// Checks a frame that is about to be sent. `durable` is the offset up to which the user's log is known to
    /// be durable.
    pub(super) fn frame(&mut self, text: &str, durable: Offset, breach: &mut impl FnMut(Finding)) -> Sent {
        // CONN-3
        if self.progress == StreamProgress::Closed {
            breach(("CONN-3", None, "a frame follows the close"));
        }
        let Ok(frame) = serde_json::from_str::<FrameFields<'_>>(text) else {
            breach(("ENTRY", None, "a malformed frame is sent"));
            return Sent::Other;
        };
        let offset = frame.offset;
        match (&*frame.kind, self.progress) {
            ("ready", StreamProgress::Nothing) => {
                let told = match (&frame.epoch, frame.resumed_after, frame.head) {
                    (Some(epoch), Some(after), Some(head)) => {
                        ResumePosition { epoch: Epoch::parse(epoch).ok(), after, head, gap: frame.gap }
                    }
                    _ => {
                        breach(("CONN-2", None, "ready has no position in the log"));
                        return Sent::Other;
                    }
                };
                self.owned(frame.user_id.as_deref(), None, breach);
                self.resumed(told, durable, breach);
            }
            ("ready", _) => breach(("CONN-2", None, "ready is sent twice")),
            // Before `ready` only errors may be sent.
            ("error", _) => {}
            (_, StreamProgress::Nothing) => breach(("CONN-2", offset, "a frame precedes ready")),
            ("accepted", _) => {
                // DEL-5
                let accepted = frame.message_offset;
                if accepted.is_none_or(|accepted| accepted > durable) {
                    breach(("DEL-5", accepted, "a message is accepted that is not durable"));
                }
                return match (frame.run_id, accepted) {
                    (Some(run_id), Some(offset)) => Sent::Accepted { run_id, offset },
                    _ => Sent::Other,
                };
            }
            // DEL-3
            ("caught_up", StreamProgress::Ready(sent)) if frame.head != Some(sent) => {
                breach(("DEL-3", frame.head, "caught_up has another offset than the last entry sent"));
            }
            ("caught_up" | "renewed" | "pong" | "draining", _) => {}
            (kind, _) => {
                // The line of an erased entry has no owner, and no content (DEL-8).
                let own = self.user_id.as_ref().map(|user_id| Cow::Owned(user_id.as_str().to_owned()));
                let user_id = match (kind, frame.user_id) {
                    ("erased", None) => own,
                    (_, user_id) => user_id,
                };
                self.entry(offset, user_id.as_deref(), durable, breach);
                let user_id = user_id.unwrap_or_default().into_owned();
                return Sent::Entry { offset: offset.unwrap_or_default(), user_id };
            }
        }
        Sent::Other
    }

    /// Checks the position at which the client's entries resume.
    pub(super) fn resumed(
        &mut self,
        told: ResumePosition,
        durable: Offset,
        breach: &mut impl FnMut(Finding),
    ) {
        let ResumePosition { epoch, after, head, gap } = told;
        let epoch = self.held_against.or(epoch);
        // DEL-3
        let whole = match self.asked {
            ResumeCursor::Head => after == head && gap.is_none(),
            ResumeCursor::After { epoch: theirs, after: asked } => {
                let same_journal = theirs.is_none_or(|theirs| epoch == Some(theirs));
                match gap {
                    None => same_journal && after == asked,
                    Some(Gap { from, to }) if same_journal => {
                        after != asked && from == asked.min(head).next() && to == after.max(asked)
                    }
                    Some(Gap { from, to }) => from == after.min(Offset(1)) && to == after,
                }
            }
        };
        if !whole || after > head {
            breach(("DEL-3", Some(after), "the entries resume at another position than requested"));
        }
        // DEL-1
        if head > durable {
            breach(("DEL-1", Some(head), "the reported head is not durable"));
        }
        self.progress = StreamProgress::Ready(after);
    }

    /// Checks a gap that is reported to the client.
    pub(super) fn passed_over(&mut self, from: Offset, to: Offset, breach: &mut impl FnMut(Finding)) {
        // DEL-3
        if self.progress != StreamProgress::Ready(Offset(from.0.saturating_sub(1))) || to < from {
            breach(("DEL-3", Some(from), "a gap does not begin after the last entry sent"));
        }
        self.progress = StreamProgress::Ready(to);
    }

    fn entry(
        &mut self,
        offset: Option<Offset>,
        user_id: Option<&str>,
        durable: Offset,
        breach: &mut impl FnMut(Finding),
    ) {
        self.owned(user_id, offset, breach);
        let Some(offset) = offset else {
            breach(("ENTRY", None, "an entry without an offset"));
            return;
        };
        // DEL-1
        if offset > durable {
            breach(("DEL-1", Some(offset), "an entry is sent that is not durable"));
        }
        // DEL-2
        if let StreamProgress::Ready(sent) = self.progress {
            if offset != sent.next() {
                breach(("DEL-2", Some(offset), "an entry does not follow the one before"));
            }
            self.progress = StreamProgress::Ready(offset);
        }
    }

    fn owned(&self, user_id: Option<&str>, offset: Option<Offset>, breach: &mut impl FnMut(Finding)) {
        // ISO-1
        if user_id.is_none() || user_id != self.user_id.as_ref().map(UserId::as_str) {
            breach(("ISO-1", offset, "a frame of another user is sent"));
        }
    }

    /// Checks a close frame that is about to be sent.
    pub(super) fn closes(&mut self, code: u16, breach: &mut impl FnMut(Finding)) {
        // CONN-3
        if self.progress == StreamProgress::Closed {
            breach(("CONN-3", None, "the connection closes twice"));
        }
        if !CLOSE_CODES.contains(&code) {
            breach(("CONN-3", None, "the close code is not documented"));
        }
        self.progress = StreamProgress::Closed;
    }
}

/// The content of a frame, decoded from its bytes.
#[derive(Debug)]
pub(super) enum Sent {
    Entry { offset: Offset, user_id: String },
    Accepted { run_id: RunId, offset: Offset },
    Other,
}

/// The close codes of the contract's table.
const CLOSE_CODES: [u16; 12] = [1000, 1002, 1007, 1009, 1011, 1012, 1013, 4400, 4401, 4403, 4408, 4429];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EPOCH: &str = "018f3c2e-7b1a-7c3d-8e4f-000000000001";
    const ELSEWHERE: &str = "018f3c2e-7b1a-7c3d-8e4f-000000000002";

    fn ready(after: u64, head: u64, gap: Value) -> Value {
        json!({"type": "ready", "user_id": "ada", "epoch": EPOCH, "resumed_after": after, "head": head, "gap": gap})
    }

    fn entry(user: &str, offset: u64) -> Value {
        json!({"type": "agent_thinking", "offset": offset, "user_id": user, "delta": "{\"type\":\"ready\"}"})
    }

    fn frame(kind: &str) -> Value {
        json!({"type": kind, "head": 3, "message_offset": 3})
    }

    /// Returns the rules that ada's frames break, on a log that is durable up to 5.
    fn judge(asked: ResumeCursor, frames: &[Value]) -> Vec<&'static str> {
        let mut check = FrameCheck::new();
        check.authenticated(&UserId::parse("ada").unwrap());
        check.asked(asked);
        let mut found = Vec::new();
        for frame in frames {
            match frame["type"].as_str() {
                Some("close") => {
                    check.closes(frame["code"].as_u64().unwrap() as u16, &mut |(rule, ..)| found.push(rule))
                }
                _ => {
                    check.frame(&frame.to_string(), Offset(5), &mut |(rule, ..)| found.push(rule));
                }
            }
        }
        found
    }

    fn after(after: u64) -> ResumeCursor {
        ResumeCursor::After { epoch: Some(Epoch::parse(EPOCH).unwrap()), after: Offset(after) }
    }

    #[test]
    fn frames_of_the_contract_are_accepted() {
        let close = json!({"type": "close", "code": 1012});
        let live = [ready(2, 3, Value::Null), entry("ada", 3), frame("caught_up"), frame("accepted"), close];
        assert_eq!(judge(after(2), &live), [""; 0]);
        let at_head = [ready(3, 3, Value::Null), frame("caught_up"), entry("ada", 4)];
        assert_eq!(judge(ResumeCursor::Head, &at_head), [""; 0]);
        let refused = [json!({"type": "error"}), json!({"type": "close", "code": 4401})];
        assert_eq!(judge(after(0), &refused), [""; 0]);
    }

    #[test]
    fn every_gap_of_the_kernel_is_accepted() {
        use quintet_kernel::connection::Resumption;
        for epoch in [None, Some(EPOCH), Some(ELSEWHERE)] {
            for (asked, trimmed) in (0..9).flat_map(|asked| (0..=5).map(move |trimmed| (asked, trimmed))) {
                let epoch = epoch.map(|epoch| Epoch::parse(epoch).unwrap());
                let asked = ResumeCursor::After { epoch, after: Offset(asked) };
                let here = Epoch::parse(EPOCH).unwrap();
                let Resumption { resumed_after, gap } =
                    Resumption::of(asked, here, Offset(trimmed), Offset(5));
                let gap = gap.map_or(Value::Null, |gap| json!({"from": gap.from.0, "to": gap.to.0}));
                let told = ready(resumed_after.0, 5, gap);
                assert_eq!(judge(asked, std::slice::from_ref(&told)), [""; 0], "{asked:?} {trimmed} {told}");
            }
        }
    }

    #[test]
    fn violation_of_each_rule_is_detected() {
        let open = || ready(2, 3, Value::Null);
        let close = |code: u64| json!({"type": "close", "code": code});
        let elsewhere =
            ResumeCursor::After { epoch: Some(Epoch::parse(ELSEWHERE).unwrap()), after: Offset(2) };
        let cases = [
            ("DEL-3", ResumeCursor::Head, vec![ready(2, 3, Value::Null)]),
            ("DEL-3", ResumeCursor::Head, vec![ready(3, 3, json!({"from": 1, "to": 3}))]),
            ("DEL-2", ResumeCursor::Head, vec![ready(3, 3, Value::Null), entry("ada", 5)]),
            ("CONN-2", after(2), vec![entry("ada", 3)]),
            ("CONN-2", after(2), vec![frame("accepted")]),
            ("CONN-2", after(2), vec![open(), open()]),
            ("CONN-3", after(2), vec![open(), close(1012), entry("ada", 3)]),
            ("CONN-3", after(2), vec![open(), close(1012), close(1012)]),
            ("CONN-3", after(2), vec![open(), close(1006)]),
            (
                "DEL-1",
                after(2),
                vec![open(), entry("ada", 3), entry("ada", 4), entry("ada", 5), entry("ada", 6)],
            ),
            ("DEL-1", after(2), vec![ready(2, 6, Value::Null)]),
            ("DEL-2", after(2), vec![open(), entry("ada", 4)]),
            ("DEL-2", after(2), vec![open(), entry("ada", 3), entry("ada", 3)]),
            ("DEL-3", after(1), vec![open()]),
            ("DEL-3", after(2), vec![ready(2, 3, json!({"from": 1, "to": 2}))]),
            ("DEL-3", after(0), vec![ready(2, 3, json!({"from": 2, "to": 2}))]),
            ("DEL-3", elsewhere, vec![open()]),
            ("DEL-3", after(2), vec![open(), json!({"type": "caught_up", "head": 3})]),
            ("DEL-5", after(2), vec![open(), json!({"type": "accepted", "message_offset": 6})]),
            ("ISO-1", after(2), vec![open(), entry("bob", 3)]),
            (
                "ISO-1",
                after(2),
                vec![
                    json!({"type": "ready", "user_id": "bob", "epoch": EPOCH, "resumed_after": 2, "head": 3}),
                ],
            ),
            ("ENTRY", after(2), vec![json!([])]),
        ];
        for (rule, asked, frames) in cases {
            assert_eq!(judge(asked, &frames), [rule], "{frames:?}");
        }
    }
}
