//! The rules of the contract, as cited by audits and violations.
//!
//! Guarantee: ids, sentences and order equal those of `docs/rules.md`; a test compares the two.

use std::fmt;

/// A rule of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// The id, such as `RUN-4`.
    pub id: &'static str,
    /// The sentence of the rule, in Markdown.
    pub text: &'static str,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

macro_rules! rules {
    ($($name:ident $id:literal $text:literal)*) => {
        impl Rule {
            $(
                #[doc = $text]
                pub const $name: Rule = Rule { id: $id, text: $text };
            )*

            /// All rules, in the order of the contract.
            pub const ALL: &[Rule] = &[$(Rule::$name),*];
        }
    };
}

rules! {
    RUN_1 "RUN-1"
        "The first event of a run is `agent_started`, with `seq` 1, and there is exactly one."
    RUN_2 "RUN-2"
        "`seq` counts 1, 2, 3 … within a run, without a gap."
    RUN_3 "RUN-3"
        "At least one `agent_thinking` comes before the first `tool_executing`, and before a completion with status `succeeded`."
    RUN_4 "RUN-4"
        "Every `tool_completed` names a `call_id` that an earlier `tool_executing` of the same run opened and nothing has closed; every `call_id` is opened once. Calls may be open side by side (parallel tools) and close in any order."
    RUN_5 "RUN-5"
        "`agent_completed` is the last event, exactly one, and no call is open when it comes."
    RUN_6 "RUN-6"
        "Every accepted message gets its run, and every run reaches `agent_completed`: on agent error, panic, hang, cancel, limit, shutdown, `kill -9` of the server, loss of the node. A run that is resumed `run_resumes_max` times (default 2) without a new durable step ends `failed`, code `resume_limit`: one run never takes a process down twice for good."
    RUN_7 "RUN-7"
        "An early end of a run first closes each open call with `tool_completed` (`cancelled`, `timed_out` or `unknown`)."
    RUN_8 "RUN-8"
        "A thread has at most one active run. A message to a busy thread follows its `on_busy` policy: `enqueue`, `reject`, `interrupt` or `steer`."
    RUN_9 "RUN-9"
        "`tool_executing` is durable before the tool is invoked. A call that a crash left open is never silently run again: it closes with status `unknown`, unless its tool is declared idempotent."
    RUN_10 "RUN-10"
        "An illegal step by an agent is refused, named (`violation`), counted, and ends the run as `failed`; it never reaches a client."
    RUN_11 "RUN-11"
        "A call opened with `by: \"client\"` (a question, an approval, a tool of the front end) is closed by the owner's first valid `complete_call`, or by cancel or deadline; a second or late answer is refused and changes nothing. Such a call outlives reconnects, drains and, in a resumable run, crashes. \"No\" is a status of its own, `declined`, in the wire, the log and the types that an agent sees; no agent can take it for consent."
    RUN_12 "RUN-12"
        "`steer`: the message waits as under `enqueue`; an active run whose agent takes waiting messages may take it at a step of its own. Then its run is `agent_started`, `agent_completed` with status `merged` and `merged_into`, in the append that hands the text over. Taken once, by one run, also across crashes; not taken, it runs in its turn."
    DEL_1 "DEL-1"
        "Durable before visible: no entry is sent to any client before the journal has it."
    DEL_2 "DEL-2"
        "On one connection, entries come in `offset` order, each once, without a gap."
    DEL_3 "DEL-3"
        "A resume from (`epoch`, `after`) continues at `after + 1`, or reports a `gap` and where it continues. Never a silent hole, never a silent repeat. Where acknowledged entries were lost below the service, the journal has a new epoch before anything is served or appended: offsets are never silently used again."
    DEL_4 "DEL-4"
        "A slow, stalled or vanished reader delays no one else and costs bounded memory for any backlog."
    DEL_5 "DEL-5"
        "`accepted` is a promise: the message and its run survive any crash after it."
    DEL_6 "DEL-6"
        "The same `message_id` from the same user is the same message: same run, same reply, for any number of sendings on any number of connections. The same id with other content is refused (`message_id_reused`), and changes nothing."
    DEL_7 "DEL-7"
        "An operation whose outcome is not known to have succeeded is never reported as success."
    DEL_8 "DEL-8"
        "What is erased is gone from everything the service serves and keeps (entries, indexes, tails, titles); its offsets stay, as `erased` entries, so that DEL-2 holds; the hash chain still verifies, and a receipt says what was erased, when, and under which chain head."
    ISO_1 "ISO-1"
        "Every entry on a connection belongs to the user that the connection authenticated as — live, replayed or fetched."
    ISO_2 "ISO-2"
        "Equal thread, message, run and call ids of two users never meet."
    ISO_3 "ISO-3"
        "Anything that belongs to another user is indistinguishable from something that does not exist."
    ISO_4 "ISO-4"
        "No call in the system takes a user id to name the destination of an event. A user's machines are built by the factory, and are the only way to that user's connections."
    ISO_5 "ISO-5"
        "When a user's last connection and last run are gone, the user's machines are gone: live counts return to zero, memory with them."
    ISO_6 "ISO-6"
        "One user's load, failure or backlog does not starve another user: not of connections, of agents' time, of the journal, of memory or of disk. Agents' time is shared by user, not by run."
    CONN_1 "CONN-1"
        "No client frame has an effect before authentication; accepted is not ready."
    CONN_2 "CONN-2"
        "`ready` comes once, before any entry, answer or `caught_up`. Only an `error` about a frame that came before `hello` may stand before it."
    CONN_3 "CONN-3"
        "Nothing is sent after the close frame; every close carries a documented code, and states retry or final."
    CONN_4 "CONN-4"
        "A frame that cannot be understood is answered with `error` and changes nothing; the connection lives until the documented limit of such frames."
    CONN_5 "CONN-5"
        "A peer that neither reads nor answers pings is closed within the documented time."
    CONN_6 "CONN-6"
        "A drain notifies every client (`draining`), lets runs reach a safe point, closes with 1012, and loses nothing."
    AUTH_1 "AUTH-1"
        "A ticket opens at most one connection, for any number of concurrent attempts, on any node."
    AUTH_2 "AUTH-2"
        "A ticket lives at most its TTL (default 30 s, limit 300 s), carries no more than its issuer's rights, and only its redemption consumes it."
    AUTH_3 "AUTH-3"
        "A connection does not outlive the credential that opened it, unless renewed with `renew`."
    AUTH_4 "AUTH-4"
        "A browser origin that is not on the allow-list is refused before the upgrade."
    AUTH_5 "AUTH-5"
        "Nothing fails open: no missing setting, store failure or unknown mode yields an identity; a key is never guessed to be of a kind that it was not declared to be; the library's entry points refuse what the command line refuses, by type."
    AUTH_6 "AUTH-6"
        "Data at rest and secrets are readable by the owner of the process alone: folders 0700, files 0600, under any umask; no credential and no message text in a log at any level."
}

impl Rule {
    /// Returns the rule with this id.
    pub fn find(id: &str) -> Option<Rule> {
        Rule::ALL.iter().find(|rule| rule.id == id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the rows `| RUN-1 | … |` of the document.
    fn documented() -> Vec<(&'static str, &'static str)> {
        let rows = include_str!("../../docs/rules.md").lines().filter_map(|line| {
            let (id, text) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
            id.contains('-').then_some((id, text))
        });
        rows.filter(|(id, _)| id.starts_with(|c: char| c.is_ascii_uppercase())).collect()
    }

    #[test]
    fn the_rules_are_those_of_the_document() {
        let ours: Vec<_> = Rule::ALL.iter().map(|rule| (rule.id, rule.text)).collect();
        assert_eq!(ours, documented());
        assert_eq!(ours.len(), 38);
    }

    #[test]
    fn a_rule_is_found_by_its_id() {
        assert_eq!(Rule::find("DEL-1"), Some(Rule::DEL_1));
        assert_eq!(Rule::find("DEL-0"), None);
        assert_eq!(Rule::RUN_10.to_string(), "RUN-10");
    }
}
