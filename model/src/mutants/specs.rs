//! Guards of the specifications, each taken out of the text: the graph of the code is then another one. The
//! comparison is as sharp in this direction as in the other.

use super::{
    Hunted,
    suites::{Edit, spec},
};
use crate::mutants;

macro_rules! loosened {
    ($spec:literal, $file:literal, $find:literal, $replace:literal) => {
        spec($spec, Edit { file: $file, find: $find, replace: $replace })
    };
}

#[rustfmt::skip]
pub fn mutants() -> Vec<Hunted> {
    mutants![
        "spec-opens-before-thought" ["RUN-3"] None, "specification: a call may open in any phase",
            "Run.tla" => loosened!("Run", "Kernel.tla", "r.phase \\in {\"thinking\", \"executing\"}                \\* RUN-3", "r.phase \\in {\"started\", \"thinking\", \"executing\"}");
        "spec-reopens-calls" ["RUN-4"] None, "specification: a call id may be opened again",
            "Run.tla" => loosened!("Run", "Kernel.tla", "/\\ c \\notin r.opened ", "/\\ TRUE ");
        "spec-anybody-closes" ["RUN-11"] None, "specification: anybody may close a call",
            "Run.tla" => loosened!("Run", "Kernel.tla", "/\\ MayClose(closer, r.open[c])", "/\\ TRUE");
        "spec-succeeds-first" ["RUN-3"] None, "specification: a run may succeed before it has thought",
            "Run.tla" => loosened!("Run", "Kernel.tla", "== r.phase = \"thinking\" ", "== r.phase \\in {\"started\", \"thinking\"} ");
        "spec-cuts-with-calls-open" ["RUN-5"] None, "specification: a run may be cut with a call open",
            "Run.tla" => loosened!("Run", "Kernel.tla", "== r.phase \\in {\"started\", \"thinking\"}  ", "== r.phase \\in {\"started\", \"thinking\", \"executing\"}  ");
        "spec-thinks-after-the-end" ["RUN-5"] None, "specification: a run thinks after its end",
            "Run.tla" => loosened!("Run", "Kernel.tla", "{\"started\", \"thinking\", \"executing\"}     \\* RUN-5", "{\"started\", \"thinking\", \"executing\", \"completed\"}");
        "spec-same-message-twice" ["DEL-6"] None, "specification: a message that was sent before is a new one",
            "User.tla" => loosened!("User", "Kernel.tla", "Remembered(u, message) # {} \\/ isInJournal THEN", "Remembered(u, message) # {} THEN");
        "spec-never-rejects" ["RUN-8"] None, "specification: `reject` is taken for `enqueue`",
            "User.tla" => loosened!("User", "Kernel.tla", "busy /\\ onBusy = \"reject\" THEN", "FALSE THEN");
        "spec-no-limit-of-events" ["LIMIT"] None, "specification: a run grows without a bound",
            "User.tla" => loosened!("User", "Kernel.tla", "== r.seq >= EventsMax", "== FALSE");
        "spec-no-limit-of-open-calls" ["LIMIT"] None, "specification: any number of calls is open side by side",
            "User.tla" => loosened!("User", "Kernel.tla", "Cardinality(DOMAIN r.open) >= OpenCallsMax", "FALSE");
        "spec-no-limit-of-calls" ["LIMIT"] None, "specification: a run opens any number of calls",
            "User.tla" => loosened!("User", "Kernel.tla", "Cardinality(r.opened) >= RunCallsMax", "FALSE");
        "spec-no-limit-of-a-line" ["LIMIT"] None, "specification: a line grows without a bound",
            "User.tla" => loosened!("User", "Kernel.tla", "Cardinality(line) > QueuedMax THEN", "FALSE THEN");
        "spec-no-limit-of-runs" ["LIMIT"] None, "specification: any number of runs is open",
            "User.tla" => loosened!("User", "Kernel.tla", "Cardinality(DOMAIN u.runs) >= OpenRunsMax THEN", "FALSE THEN");
        "spec-remembers-everything" ["DEL-6"] None, "specification: memory keeps every message",
            "User.tla" => loosened!("User", "Kernel.tla", "IF Len(s) > RecentMax THEN", "IF FALSE THEN");
        "spec-next-never-starts" ["RUN-6", "RUN-8"] None, "specification: nobody starts the next in line",
            "User.tla" => loosened!("User", "Kernel.tla", "IF rest = {} THEN <<>> ELSE", "IF TRUE THEN <<>> ELSE");
        "spec-orphans-stay-open" ["RUN-9"] None, "specification: calls that a crash orphaned stay open",
            "User.tla" => loosened!("User", "Kernel.tla", "r.open[c] = \"agent\" /\\ c \\notin keep", "r.open[c] = \"nobody\" /\\ c \\notin keep");
        "spec-illegal-steps-vanish" ["RUN-10"] None, "specification: an illegal step is dropped",
            "User.tla" => loosened!("User", "Kernel.tla", "THEN EndAndGoOn(u, id, \"violation\")", "THEN <<>>");
        "spec-answers-any-call" ["RUN-11"] None, "specification: a client closes any call",
            "User.tla" => loosened!("User", "Kernel.tla", "CanClose(u.runs[id].run, c, \"client\") THEN", "c \\in DOMAIN u.runs[id].run.open THEN");
        "spec-no-fence" ["DEL-2"] None, "specification: an append needs no head",
            "Fence.tla" => loosened!("Fence", "Fence.tla", "== node[n].user.head - Len(node[n].batch) = Len(log) ", "== TRUE ");
        "spec-never-invokes" ["RUN-9"] None, "specification: a durable call invokes no tool",
            "Fence.tla" => loosened!("Fence", "Fence.tla", "![n].armed = @ \\cup Opened(node[n].batch)]       \\* RUN-9", "![n].armed = @]");
        "spec-takes-nothing-up" ["RUN-9"] None, "specification: a node takes up nothing that a crash left",
            "Fence.tla" => loosened!("Fence", "Fence.tla", "{r \\in DOMAIN u.runs : IsBegun(u, r)}", "{}");
        "spec-cuts-who-waits" ["RUN-8"] None, "specification: a deadline ends a run that has not begun",
            "Fence.tla" => loosened!("Fence", "Fence.tla", "Idle(n) /\\ IsBegun(node[n].user, r) /\\ Decide", "Idle(n) /\\ Decide");
        "spec-node-forgets" ["DEL-6"] None, "specification: a node takes a message for new that its memory has forgotten",
            "Fence.tla" => loosened!("Fence", "Fence.tla", "\"enqueue\", m, InJournal(m))", "\"enqueue\", m, FALSE)");
        "spec-node-has-no-answer" ["DEL-6"] None, "specification: who sends a forgotten message again is not answered",
            "Fence.tla" => loosened!("Fence", "Fence.tla", "Remembered(node[n].user, m) # {} \\/ InJournal(m)", "Remembered(node[n].user, m) # {}");
        "spec-resumes-behind-retention" ["DEL-3"] None, "specification: a cursor that retention passed goes on without a word",
            "Delivery.tla" => loosened!("Delivery", "Delivery.tla", "resumed == IF after < trimmed THEN trimmed ELSE after ", "resumed == after ");
        "spec-never-outrun" ["DEL-3"] None, "specification: a reader that retention outran reads on",
            "Delivery.tla" => loosened!("Delivery", "Delivery.tla", "IF trimmed > link[c].sent THEN", "IF FALSE THEN");
        "spec-drains-over-open-runs" ["CONN-6"] None, "specification: a drain is over while a run is open",
            "Delivery.tla" => loosened!("Delivery", "Delivery.tla", "/\\ drain = \"draining\" /\\ ~OpenRun", "/\\ drain = \"draining\"");
        "spec-drained-at-once" ["CONN-6"] None, "specification: a drained service closes on whoever still reads",
            "Delivery.tla" => loosened!("Delivery", "Delivery.tla", "IF stays(c) THEN [link", "IF FALSE THEN [link");
        "spec-reads-beyond-the-log" ["DEL-1"] None, "specification: entries are read that are not durable",
            "Delivery.tla" => loosened!("Delivery", "Delivery.tla", "last <= Len(log)                        \\* DEL-1\n            /\\ ReadsSingly \\/ last = Least(Len(log), link[c].owes)", "TRUE");
        "spec-no-backpressure" ["DEL-4"] None, "specification: the next is read whatever the socket takes",
            "Delivery.tla" => loosened!("Delivery", "Delivery.tla", "link[c].flushing /\\ Len(link[c].wire) < SocketFrames", "link[c].flushing");
        "spec-ticket-spent-twice" ["AUTH-1"] None, "specification: a redeemed ticket is good",
            "Ticket.tla" => loosened!("Ticket", "Ticket.tla", "seat[s] = Free /\\ ticket[t].is = \"issued\"", "seat[s] = Free /\\ ticket[t].is \\in {\"issued\", \"redeemed\"}");
        "spec-ticket-never-expires" ["AUTH-2"] None, "specification: the clock is not looked at",
            "Ticket.tla" => loosened!("Ticket", "Ticket.tla", "IF now < GoodUntil(t) ", "IF TRUE ");
    ]
}
