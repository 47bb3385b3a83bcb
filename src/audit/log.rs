//! Checks the order of one user's entries.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{
    erasures::ErasureCheck,
    line::{ChangeLine, DecodedLine, Head, LineBody, LineEvent, MessageFields},
    parents::Parents,
    report::Findings,
    run::RunCheck,
};

/// The check of one user's log, as far as it has been read.
#[derive(Debug)]
pub(super) struct LogCheck {
    user_id: String,
    before: Before,
    /// The open runs: accepted and not completed.
    runs: HashMap<String, RunCheck>,
    pub threads: HashMap<String, ThreadCheck>,
    /// Run ids and message ids that were accepted: an id is used once.
    accepted: SeenIds,
    messages: SeenIds,
    parents: Parents,
    /// A run that started while its thread had an active one. Legal only for a queued run that is ended: the
    /// next entry must complete it.
    passing: Option<(String, u64)>,
    /// True if an entry was erased: an entry of any run may be missing before the one that is read (DEL-8).
    erased: bool,
    /// The erasures that the journal has; `None` if they are not known.
    pub erasures: Option<ErasureCheck>,
    last_at: u64,
    /// Number of entries that could not be decoded. If there are any, the state is incomplete.
    pub unreadable: u64,
}

/// The knowledge about trimmed entries.
#[derive(Debug)]
pub(super) enum Before {
    /// The runs, by id, that began in the trimmed entries and continue after them, with the offsets of their
    /// `user_message`s.
    Runs(HashMap<String, u64>),
    /// Nothing is known: a run without a `user_message` may have been accepted earlier.
    Unknown,
}

/// The state of one thread, as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct ThreadCheck {
    pub first: u64,
    pub last: u64,
    pub last_at: u64,
    pub messages: u64,
    /// The offset of the latest message; 0 if none was read.
    last_message: u64,
    active: Option<String>,
    /// Queued runs, in order of acceptance.
    waiting: VecDeque<String>,
}

/// An entry that the index has to reflect.
#[derive(Debug)]
pub(super) enum Milestone {
    Accepted {
        run_id: String,
        message_id: String,
        thread_id: String,
        agent_name: String,
        at: u64,
        /// `None` if the entry has no parent and the previous message of the thread is not known.
        parent: Option<u64>,
    },
    Completed {
        run_id: String,
        accepted: u64,
        started: Option<u64>,
        status: String,
    },
    /// A call closed, of the client or of the agent.
    Closed {
        run_id: String,
        by_client: bool,
        status: String,
    },
    /// An entry of a thread that belongs to no run.
    Changed {
        thread_id: String,
    },
    Other,
}

/// Digests of ids: all of them, or the latest `max`.
#[derive(Debug)]
struct SeenIds {
    digests: HashSet<u128>,
    /// In order of insertion; unused without a bound.
    order: VecDeque<u128>,
    max: usize,
}

impl SeenIds {
    fn new(max: usize) -> Self {
        Self { digests: HashSet::new(), order: VecDeque::new(), max }
    }

    /// Adds a digest. Returns false if it is already there.
    fn insert(&mut self, digest: u128) -> bool {
        let fresh = self.digests.insert(digest);
        if fresh && self.max < usize::MAX {
            self.order.push_back(digest);
            if self.order.len() > self.max {
                self.order.pop_front().map(|oldest| self.digests.remove(&oldest));
            }
        }
        fresh
    }

    fn contains(&self, digest: u128) -> bool {
        self.digests.contains(&digest)
    }
}

impl LogCheck {
    /// Creates the check of a finite log, which remembers all ids.
    pub(super) fn new(user_id: &str, before: Before) -> Self {
        Self::bounded(user_id, before, usize::MAX)
    }

    /// Creates the check of a growing log, which remembers the latest `ids_max` messages and runs.
    pub(super) fn bounded(user_id: &str, before: Before, ids_max: usize) -> Self {
        Self {
            user_id: user_id.to_owned(),
            before,
            runs: HashMap::new(),
            threads: HashMap::new(),
            accepted: SeenIds::new(ids_max),
            messages: SeenIds::new(ids_max),
            parents: Parents::new(ids_max),
            passing: None,
            erased: false,
            erasures: None,
            last_at: 0,
            unreadable: 0,
        }
    }

    /// Checks the entry that is stored at `offset`.
    pub(super) fn entry(&mut self, offset: u64, line: &[u8], findings: &mut Findings) -> Milestone {
        findings.report.entries += 1;
        let (head, body) = match DecodedLine::parse(line) {
            Ok(DecodedLine::Run(head, _)) if self.is_pending(offset, Some(&head.thread_id)) => {
                self.owner(offset, &head.user_id, None, findings);
                return self.unknown(offset, head.offset, head.timestamp, findings);
            }
            Ok(DecodedLine::Run(head, body)) => (head, body),
            Ok(DecodedLine::Change(change)) => return self.change(offset, &change, findings),
            Ok(DecodedLine::Erased { offset: found, timestamp }) => {
                if let Some(erasures) = &self.erasures {
                    erasures.erased(offset, line, timestamp, findings);
                }
                return self.unknown(offset, found, timestamp, findings);
            }
            Err(what) => {
                self.unreadable += 1;
                self.parents.unreadable(offset);
                findings.violation("ENTRY", offset, None, what);
                return Milestone::Other;
            }
        };
        self.parents.entry(offset);
        if let Some(erasures) = &self.erasures {
            erasures.kept(offset, Some(&head.thread_id), findings);
        }
        let run_id = head.run_id.to_string();
        self.owner(offset, &head.user_id, Some(&run_id), findings);
        if let Some((passing, _)) = self.passing.take_if(|(_, at)| *at < offset) {
            // RUN-8
            if passing != run_id || !matches!(body, LineBody::Event(_, LineEvent::End(_))) {
                findings.violation("RUN-8", offset - 1, Some(&passing), OVERLAPS);
            }
        }
        self.position(offset, head.offset, head.timestamp, findings);
        let thread = self.threads.entry(head.thread_id.to_string()).or_default();
        if thread.first == 0 {
            thread.first = offset;
        }
        (thread.last, thread.last_at) = (offset, head.timestamp);
        match body {
            LineBody::Message(message) => {
                thread.messages += 1;
                let previous = std::mem::replace(&mut thread.last_message, offset);
                let parent = message.parent.or(self.parents.has(previous).then_some(previous));
                self.accept(&head, &message, parent, findings)
            }
            LineBody::Event(seq, event) => self.event(offset, &head, seq, &event, findings),
        }
    }

    /// Returns true if an unfinished erasure covers the entry, so that entries of its run may be erased already.
    fn is_pending(&self, offset: u64, thread_id: Option<&str>) -> bool {
        self.erasures.as_ref().is_some_and(|erasures| erasures.is_pending(offset, thread_id))
    }

    /// Returns true if the entry at `offset` was erased, or is about to be.
    pub(super) fn is_erased(&self, offset: u64) -> bool {
        self.parents.is_erased(offset)
    }

    /// Notes an entry of which only the place is known (DEL-8).
    fn unknown(&mut self, offset: u64, found: u64, timestamp: u64, findings: &mut Findings) -> Milestone {
        self.parents.erased(offset);
        self.erased = true;
        // The end of the run may have stood here.
        self.passing = None;
        self.position(offset, found, timestamp, findings);
        Milestone::Other
    }

    /// Checks a change of a thread or of the log. It belongs to no run.
    fn change(&mut self, offset: u64, change: &ChangeLine<'_>, findings: &mut Findings) -> Milestone {
        self.parents.entry(offset);
        self.owner(offset, &change.user_id, None, findings);
        if let Some((passing, _)) = self.passing.take() {
            findings.violation("RUN-8", offset - 1, Some(&passing), OVERLAPS);
        }
        self.position(offset, change.offset, change.timestamp, findings);
        // DEL-8
        let pending = self.is_pending(offset, change.thread_id.as_deref());
        match &mut self.erasures {
            Some(erasures) if change.erased_through.is_some() => erasures.change(offset, change, findings),
            Some(erasures) if !pending => erasures.kept(offset, change.thread_id.as_deref(), findings),
            Some(_) | None => {}
        }
        if change.erased_through.is_some_and(|through| through >= offset) {
            let what = format!("the entry reports an erasure up to {:?}", change.erased_through);
            findings.violation("DEL-8", offset, None, what);
        }
        match &change.thread_id {
            Some(thread_id) => Milestone::Changed { thread_id: thread_id.to_string() },
            None => Milestone::Other,
        }
    }

    /// ISO-1: an entry of this log is sent on this user's connections.
    fn owner(&self, offset: u64, user_id: &str, run_id: Option<&str>, findings: &mut Findings) {
        if user_id != self.user_id {
            let what = format!("the entry belongs to user {user_id:?}");
            findings.violation("ISO-1", offset, run_id, what);
        }
    }

    /// Checks the offset in the entry that is stored at `offset`, and notes its time.
    fn position(&mut self, offset: u64, found: u64, timestamp: u64, findings: &mut Findings) {
        // DEL-2
        if found != offset {
            findings.violation("DEL-2", offset, None, format!("the entry has the offset {found}"));
        }
        if timestamp < self.last_at {
            findings.report.clock_steps_back += 1;
        }
        self.last_at = timestamp;
    }

    /// `parent`: of the entry, or the previous message of the thread if the entry has none.
    fn accept(
        &mut self,
        head: &Head<'_>,
        message: &MessageFields<'_>,
        parent: Option<u64>,
        findings: &mut Findings,
    ) -> Milestone {
        let message_id = &*message.message_id;
        let run_id = head.run_id.to_string();
        findings.report.runs += 1;
        // DEL-6
        if !self.messages.insert(digest(message_id)) {
            let what = format!("message {message_id:?} was accepted before");
            findings.violation("DEL-6", head.offset, Some(&run_id), what);
        }
        if !self.accepted.insert(digest(&run_id)) {
            findings.violation("DEL-6", head.offset, Some(&run_id), "the run id was used before");
        }
        if !self.parents.message(head.offset, digest(&head.thread_id), message.parent) {
            let what =
                format!("the parent {} is no earlier message of the thread", message.parent.unwrap_or(0));
            findings.violation("ENTRY", head.offset, Some(&run_id), what);
        }
        if let Some(thread) = self.threads.get_mut(&*head.thread_id) {
            thread.waiting.push_back(run_id.clone());
        }
        self.runs.insert(run_id.clone(), RunCheck::accepted(head, message_id, message.steer));
        Milestone::Accepted {
            run_id,
            message_id: message_id.to_owned(),
            thread_id: head.thread_id.to_string(),
            agent_name: head.agent_name.to_string(),
            at: head.timestamp,
            parent,
        }
    }

    fn event(
        &mut self,
        offset: u64,
        head: &Head<'_>,
        seq: u64,
        event: &LineEvent<'_>,
        findings: &mut Findings,
    ) -> Milestone {
        let run_id = head.run_id.to_string();
        if !self.runs.contains_key(&run_id) {
            match self.begun_before(head) {
                Some(run) => {
                    self.runs.insert(run_id.clone(), run);
                }
                None => {
                    // RUN-5: nothing follows agent_completed. RUN-1: nothing precedes the message.
                    let (rule, what) = if self.accepted.contains(digest(&run_id)) {
                        ("RUN-5", "an event after agent_completed")
                    } else {
                        ("RUN-1", "an event of a run that no message caused")
                    };
                    findings.violation(rule, offset, Some(&run_id), what);
                    return Milestone::Other;
                }
            }
        }
        let run = self.runs.get_mut(&run_id).expect("it was found or inserted above");
        let goes_on = run.started.is_none() && !matches!(event, LineEvent::Started { .. });
        run.event(head, seq, event, findings);
        let thread = self.threads.entry(run.thread_id.clone()).or_default();
        if goes_on && thread.active.is_none() {
            thread.active = Some(run_id.clone());
        }
        match event {
            LineEvent::Started { .. } => {
                let first_waiting = thread.waiting.front() == Some(&run_id);
                thread.waiting.retain(|waiting| *waiting != run_id);
                // A run whose first entries were trimmed may be active without a further entry so far.
                let unseen = self.erased
                    || match &self.before {
                        Before::Runs(runs) => !runs.is_empty(),
                        Before::Unknown => true,
                    };
                let jumps = !first_waiting && self.accepted.contains(digest(&run_id));
                // RUN-8
                if thread.active.is_some() || (jumps && unseen) {
                    self.passing = Some((run_id, offset));
                } else {
                    if jumps {
                        let what = "the run starts before one of its thread that was accepted earlier";
                        findings.violation("RUN-8", offset, Some(&run_id), what);
                    }
                    thread.active = Some(run_id);
                }
                Milestone::Other
            }
            LineEvent::End(end) => {
                // RUN-12: only the active run of the thread takes a message, and only one that steers.
                if let Some(into) = &end.merged_into {
                    let is_active = thread.active.as_deref() == Some(&**into);
                    let unseen = thread.active.is_none()
                        && (self.erased || !matches!(&self.before, Before::Runs(runs) if runs.is_empty()));
                    if !(is_active || unseen) || !run.may_be_merged() {
                        let what =
                            format!("the run is merged into {into}, which cannot have taken its message");
                        findings.violation("RUN-12", offset, Some(&run_id), what);
                    }
                }
                if thread.active.as_ref() == Some(&run_id) {
                    thread.active = None;
                }
                thread.waiting.retain(|waiting| *waiting != run_id);
                let (accepted, started) = (run.accepted, run.started);
                self.accepted.insert(digest(&run_id));
                self.runs.remove(&run_id);
                Milestone::Completed { run_id, accepted, started, status: end.status.to_string() }
            }
            LineEvent::Completed(done) => Milestone::Closed {
                by_client: run.is_by_client(&done.call_id).unwrap_or(false),
                run_id,
                status: done.status.to_string(),
            },
            LineEvent::Thinking(_) | LineEvent::Executing(_) => Milestone::Other,
        }
    }

    /// Declares all earlier runs as known: every further run begins with its `user_message`.
    pub(super) fn all_known(&mut self) {
        self.before = Before::Runs(HashMap::new());
    }

    /// Returns true if the run is accepted and not completed.
    pub(super) fn is_open(&self, run_id: &str) -> bool {
        self.runs.contains_key(run_id)
    }

    /// Drops the state of threads without open runs.
    pub(super) fn forget_idle_threads(&mut self) {
        self.threads.retain(|_, thread| thread.active.is_some() || !thread.waiting.is_empty());
    }

    /// Returns the numbers of open runs, busy threads, and remembered ids.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.runs.len(), self.threads.len(), self.accepted.order.len() + self.messages.order.len())
    }

    /// Returns the check of a run that was accepted in the trimmed or erased entries.
    fn begun_before(&mut self, head: &Head<'_>) -> Option<RunCheck> {
        let run_id = &*head.run_id;
        let accepted = match &mut self.before {
            Before::Runs(runs) => match runs.remove(run_id) {
                Some(accepted) => accepted,
                None if self.erased && !self.accepted.contains(digest(run_id)) => 0,
                None => return None,
            },
            Before::Unknown if self.accepted.contains(digest(run_id)) => return None,
            Before::Unknown => 0,
        };
        Some(RunCheck::cut(head, accepted))
    }

    /// Returns the timestamp of the last entry.
    pub(super) fn last_at(&self) -> u64 {
        self.last_at
    }

    /// Ends the log and returns the open runs.
    pub(super) fn end(&mut self, findings: &mut Findings) -> Vec<RunCheck> {
        if let Some((passing, offset)) = self.passing.take() {
            findings.violation("RUN-8", offset, Some(&passing), OVERLAPS);
        }
        let pending = self.erasures.as_ref().is_some_and(ErasureCheck::has_pending);
        if let (Before::Runs(runs), false) = (&self.before, pending) {
            for run_id in runs.keys() {
                // RUN-6
                let what = "the index has the run continue after the trimmed entries, but it does not";
                findings.violation("INDEX", None, Some(run_id), what);
            }
        }
        let mut runs: Vec<_> = self.runs.drain().map(|(_, run)| run).collect();
        runs.sort_by_key(|run| run.accepted);
        for run in &runs {
            findings.unfinished(run.unfinished(&self.user_id));
        }
        runs
    }
}

const OVERLAPS: &str = "the run starts while another run of its thread is active";

fn digest(id: &str) -> u128 {
    let hash = blake3::hash(id.as_bytes());
    u128::from_le_bytes(hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes"))
}
