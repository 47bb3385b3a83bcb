//! Defects of the shell around the kernel: hub and journal, delivery, and the way from a connection to its
//! user. Each is a branch of the model around the shipped machine.

use super::{
    Hunted, suites,
    user::{NothingIsIllegal, RunsSideBySide},
};
use crate::{
    models::{delivery::Slip, fence::Flaw, isolation::Leak},
    mutants,
};

#[rustfmt::skip]
pub fn mutants() -> Vec<Hunted> {
    mutants![
        "no-fence" ["DEL-2"] None, "the journal appends whatever head is expected: two nodes write one log",
            "fence: DEL-2" => suites::fence(Flaw::AppendsAnyway);
        "promises-what-failed" ["DEL-7", "DEL-5"] Some("success reported without delivery"),
            "an append that was refused or failed is answered as if it had succeeded",
            "fence: DEL-7" => suites::fence(Flaw::PromisesAnyway);
        "promises-before-it-is-durable" ["DEL-5", "DEL-7"] Some("success reported without delivery"),
            "the sender is told before the append",
            "fence: DEL-5" => suites::fence(Flaw::PromisesEarly);
        "invokes-before-it-is-durable" ["RUN-9"] None, "a tool is invoked when its call is decided, not when it is durable",
            "fence: RUN-9" => suites::fence(Flaw::InvokesEarly);
        "invokes-again" ["RUN-9"] None, "a run that is taken up invokes its open calls again",
            "fence: RUN-9" => suites::fence(Flaw::InvokesAgain);
        "takes-nothing-up" ["RUN-9"] None, "nobody closes the calls that a crash left open",
            "fence: RUN-9" => suites::fence(Flaw::TakesNothingUp);
        "keeps-an-unconfirmed-view" ["FOLD"] None, "what an append did not confirm is believed",
            "fence: FOLD" => suites::fence(Flaw::KeepsView);
        "journal-is-not-asked" ["DEL-6"] None, "the journal is not asked for messages that memory has forgotten",
            "fence: DEL-6" => suites::fence(Flaw::ForgetsMessages);
        "no-deadline" ["RUN-6"] Some("retry that never runs"), "a run that waits for its deadline never meets it",
            "fence: RUN-6" => suites::fence(Flaw::NoDeadline);
        "two-nodes-let-everything-pass" ["RUN-3", "RUN-4", "RUN-5"] Some("guard that does not guard"),
            "what is illegal is decided, and the fold takes it for a thought",
            "fence: RUN-3" => suites::fence_of(&NothingIsIllegal);
        "two-nodes-run-side-by-side" ["RUN-8"] None, "a message to a busy thread runs at once, whichever node was asked",
            "fence: RUN-8" => suites::fence_of(&RunsSideBySide);

        "published-before-it-is-durable" ["DEL-1"] Some("success reported without delivery"),
            "entries are published when they are decided",
            "delivery: DEL-1" => suites::delivery(Slip::PublishesEarly);
        "accepted-before-it-is-durable" ["DEL-5"] Some("success reported without delivery"),
            "the client is told before the append",
            "delivery: DEL-5" => suites::delivery(Slip::AcceptsEarly);
        "resumes-at-the-head" ["DEL-3"] Some("loss on replay"), "what came while the client was away is lost",
            "delivery: DEL-3" => suites::delivery(Slip::ResumesAtHead);
        "resumes-at-the-start" ["DEL-3"] None, "what the client has comes again",
            "delivery: DEL-3" => suites::delivery(Slip::ResumesAtStart);
        "hides-the-gap" ["DEL-3"] None, "a cursor that retention passed goes on without a word",
            "delivery: DEL-3" => suites::delivery(Slip::HidesGap);
        "drops-entries-when-busy" ["DEL-2"] Some("priority inversion"),
            "a full socket drops entries, and takes the answers",
            "delivery: DEL-2" => suites::delivery(Slip::DropsWhenBusy);
        "ignores-backpressure" ["DEL-4"] None, "the whole backlog goes out at once, whatever the socket takes",
            "delivery: DEL-4" => suites::delivery(Slip::IgnoresBackpressure);
        "flush-is-never-followed" ["DEL-3"] Some("flush that never runs"),
            "the callback that goes on after a flush is never called",
            "delivery: DEL-3 an open cursor" => suites::delivery(Slip::NeverFlushes);
        "connection-is-never-registered" ["DEL-3"] Some("connection never registered"),
            "nobody reads for a new connection",
            "delivery: DEL-3 an open cursor" => suites::delivery(Slip::NeverReads);
        "drain-waits-for-ever" ["CONN-6"] Some("deadlock on close"), "the drain waits for a reader that does not read",
            "delivery: CONN-6 a drain ends" => suites::delivery(Slip::DrainWaits);
        "drain-ends-early" ["CONN-6"] None, "the drain is over while a run goes on",
            "delivery: CONN-6 when" => suites::delivery(Slip::DrainEndsEarly);
        "message-is-taken-again" ["DEL-6"] None, "a message that comes again over a new connection is taken for a new one",
            "delivery: DEL-6" => suites::delivery(Slip::TakesAgain);
        "flushed-twice" ["FIT"] None, "a flush is reported twice to the connection",
            "delivery: FIT" => suites::delivery(Slip::FlushesTwice);
        "hub-keeps-what-failed" ["RECOVERY"] None, "the hub goes on from what the journal did not take",
            "delivery: RECOVERY" => suites::delivery(Slip::KeepsView);

        "thread-id-for-user-id" ["ISO-1", "ISO-2"] Some("identifier confusion"),
            "where an event goes is looked up by its thread id",
            "isolation: ISO-1" => suites::isolation(Leak::RoutesByThread);
        "first-handler-wins" ["ISO-1"] Some("cross-user routing"), "the first handler that was registered gets everything",
            "isolation: ISO-1" => suites::isolation(Leak::FirstHandlerWins);
        "finds-foreign-runs" ["ISO-1", "ISO-3"] Some("guard that does not guard"),
            "a run is looked up among everybody's, and the user is checked in words only",
            "isolation: ISO-1" => suites::isolation(Leak::FindsForeignRuns);
        "tells-of-foreign-runs" ["ISO-3"] None, "a foreign run is refused in other words than one that does not exist",
            "isolation: ISO-3" => suites::isolation(Leak::TellsForeignRuns);
        "messages-in-one-place" ["ISO-2"] None, "messages of all users are remembered in one place",
            "isolation: ISO-2" => suites::isolation(Leak::SharesMessages);
        "machines-never-go" ["ISO-5"] Some("leaks"), "machines are never let go",
            "isolation: ISO-5 machines go" => suites::isolation(Leak::KeepsMachines);
        "machines-go-too-early" ["ISO-5"] None, "machines go with the last connection, whatever still runs",
            "isolation: ISO-5 machines live" => suites::isolation(Leak::EvictsEarly);
        "machines-of-a-connection" ["RECOVERY"] Some("orphaned storage"),
            "state is kept by connection: the next connection does not find it",
            "isolation: FOLD" => suites::isolation(Leak::MachinesPerConnection);
        "recovers-the-first-log" ["RECOVERY"] Some("identifier confusion"),
            "after a crash every user's machines are made of the log that lies first",
            "isolation: FOLD" => suites::isolation(Leak::RecoversTheFirst);
        "one-failure-is-everybodys" ["ISO-5"] None, "when one user's append fails, the machines of all are lost",
            "isolation: ISO-5 machines live" => suites::isolation(Leak::LosesEverybody);
    ]
}
