//! Defects of the connection machine: it orders what it should not, or does not what it should.

use quintet::kernel::{
    connection::{
        Cause, Connection, Effect, Effects, Fault, Input, Phase, Rejected, ServerFrame, Timer, VerifyError,
    },
    ids::Offset,
};

use super::{Hunted, suites};
use crate::{
    models::connection::{ConnectionMachine, credential},
    mutants,
};

/// A machine that acts as shipped, and then runs `$then`, with the connection before and after, the input,
/// the effects, and the reply.
macro_rules! defect {
    ($name:ident, |$before:ident, $connection:ident, $input:ident, $effects:ident, $answered:ident| $then:expr) => {
        #[derive(Debug)]
        struct $name;
        impl ConnectionMachine for $name {
            fn step(
                &self,
                $connection: &mut Connection,
                $input: &Input,
                $effects: &mut Effects,
            ) -> Result<(), Rejected> {
                let $before = $connection.clone();
                let $answered = $connection.step($input, $effects);
                $then
            }
        }
    };
}

fn is_open(connection: &Connection) -> bool {
    matches!(connection.phase(), Phase::Replaying | Phase::Live | Phase::Draining | Phase::Leaving)
}

fn closes(effects: &Effects, cause: Cause) -> bool {
    effects.contains(&Effect::Close(cause))
}

defect!(ActsBeforeHello, |before, _connection, input, effects, answered| {
    if before.phase() == Phase::Handshaking && *input == Input::Command(()) {
        effects.push(Effect::Execute(()));
    }
    answered
});

defect!(AcceptedIsReady, |before, _connection, input, effects, answered| {
    if before.phase() == Phase::Attaching && *input == Input::Command(()) && answered.is_err() {
        effects.push(Effect::Execute(()));
        return Ok(());
    }
    answered
});

defect!(AnswersBeforeReady, |before, _connection, input, effects, answered| {
    if !is_open(&before) && *input == Input::Ping(()) && answered.is_ok() {
        effects.push(Effect::Send(ServerFrame::Pong(())));
    }
    answered
});

defect!(SpeaksBetweenHelloAndReady, |before, _connection, input, effects, answered| {
    if before.phase() == Phase::Attaching && *input == Input::Unclear(()) && answered.is_err() {
        effects.push(Effect::Send(ServerFrame::Error { fault: Fault::Unclear(()), fatal: false }));
        return Ok(());
    }
    answered
});

defect!(ForgivesEverything, |before, connection, _input, effects, answered| {
    if closes(effects, Cause::TooManyUnclear) && is_open(&before) {
        *connection = before;
        *effects = vec![Effect::Send(ServerFrame::Error { fault: Fault::Unclear(()), fatal: false })];
    }
    answered
});

defect!(OversizedCloses, |before, connection, input, effects, answered| {
    if is_open(&before) && *input == Input::Oversized(()) && answered.is_ok() {
        *connection = before;
        effects.clear();
        return connection.step(&Input::Garbled, effects);
    }
    answered
});

defect!(ReadyTwice, |_before, _connection, _input, effects, answered| {
    let ready = effects.iter().position(|effect| matches!(effect, Effect::Send(ServerFrame::Ready { .. })));
    if let Some(at) = ready {
        effects.insert(at, effects[at].clone());
    }
    answered
});

defect!(SpeaksAfterTheClose, |before, _connection, input, effects, answered| {
    if matches!(before.phase(), Phase::Closed(_)) && *input == Input::Ping(()) {
        effects.push(Effect::Send(ServerFrame::Pong(())));
        return Ok(());
    }
    answered
});

defect!(ClosesWithoutAWord, |_before, _connection, _input, effects, answered| {
    effects.retain(|effect| !matches!(effect, Effect::Close(_)));
    answered
});

defect!(IgnoresWhatIsUnclear, |_before, _connection, input, effects, answered| {
    if *input == Input::Unclear(()) {
        effects.retain(|effect| !matches!(effect, Effect::Send(_)));
    }
    answered
});

defect!(AcknowledgesWhatIsUnclear, |_before, _connection, input, effects, answered| {
    if *input == Input::Unclear(())
        && let Some(error) = effects.iter_mut().find(|effect| matches!(effect, Effect::Send(_)))
    {
        *error = Effect::Send(ServerFrame::Answer(()));
    }
    answered
});

defect!(NeverHasEnough, |before, connection, _input, effects, answered| {
    if closes(effects, Cause::TooManyUnclear) {
        *connection = before;
        *effects = vec![Effect::Send(ServerFrame::Error { fault: Fault::Unclear(()), fatal: false })];
    }
    answered
});

defect!(RejectionsMove, |before, connection, input, effects, answered| {
    if answered.is_err() && is_open(&before) && *input == (Input::Drained { head: Offset(0) }) {
        let drained = connection.step(&Input::Drain { reconnect_after_ms: 1 }, effects);
        effects.clear();
        return Err(drained.err().unwrap_or(Rejected { phase: before.phase(), input: input.name() }));
    }
    answered
});

defect!(SkipsEntries, |before, connection, input, effects, answered| {
    if closes(effects, Cause::Discontinuous) && matches!(input, Input::Chunk { .. }) {
        *connection = before;
        *effects = vec![Effect::SendChunk(())];
    }
    answered
});

defect!(CaughtUpTwice, |_before, _connection, _input, effects, answered| {
    let caught_up =
        effects.iter().position(|effect| matches!(effect, Effect::Send(ServerFrame::CaughtUp { .. })));
    if let Some(at) = caught_up {
        effects.insert(at, effects[at].clone());
    }
    answered
});

defect!(ClearsTheBacklog, |_before, _connection, _input, effects, answered| {
    for effect in effects.iter_mut() {
        if let Effect::Send(ServerFrame::Ready { resumed_after, head, .. }) = effect {
            *resumed_after = *head;
        }
    }
    answered
});

defect!(SaysNoGap, |_before, _connection, _input, effects, answered| {
    for effect in effects.iter_mut() {
        if let Effect::Send(ServerFrame::Ready { gap, .. }) = effect {
            *gap = None;
        }
    }
    answered
});

defect!(TakesEveryCommand, |before, _connection, input, effects, answered| {
    if answered.is_err() && is_open(&before) && *input == Input::Command(()) {
        effects.push(Effect::Execute(()));
        return Ok(());
    }
    answered
});

defect!(AnyCredentialOpens, |before, connection, input, effects, answered| {
    if before.phase() == Phase::Verifying && *input == Input::Unverified(VerifyError::Unavailable) {
        *connection = before;
        effects.clear();
        return connection.step(&Input::Verified(credential(1)), effects);
    }
    answered
});

defect!(TheOtherCredentialWins, |before, connection, input, effects, answered| {
    if before.phase() == Phase::Verifying
        && *input == Input::Verified(credential(2))
        && closes(effects, Cause::Unauthenticated)
    {
        *connection = before;
        effects.clear();
        let verified = connection.step(&Input::Verified(credential(1)), effects);
        for effect in effects.iter_mut() {
            if let Effect::Attach { identity: whose, .. } = effect {
                *whose = credential(2);
            }
        }
        return verified;
    }
    answered
});

defect!(RenewsAsAnybody, |before, _connection, input, effects, answered| {
    if is_open(&before) && *input == Input::Verified(credential(2)) && answered.is_ok() {
        for effect in effects.iter_mut() {
            if let Effect::Send(frame @ ServerFrame::Error { .. }) = effect {
                *frame = ServerFrame::Renewed { expires_at: credential(2).expires_at };
            }
        }
    }
    answered
});

defect!(OutlivesItsCredential, |before, connection, input, effects, answered| {
    if *input == Input::Elapsed(Timer::Expiry) && answered.is_ok() {
        *connection = before;
        effects.clear();
    }
    answered
});

defect!(NeverArmed, |before, _connection, _input, effects, answered| {
    if before.phase() == Phase::Verifying {
        effects.retain(|effect| !matches!(effect, Effect::ExpireAt(_)));
    }
    answered
});

defect!(RenewalArmsNothing, |before, _connection, _input, effects, answered| {
    if is_open(&before) {
        effects.retain(|effect| !matches!(effect, Effect::ExpireAt(_)));
    }
    answered
});

defect!(WhatRunsOutIsNotExpected, |before, connection, input, effects, answered| {
    if is_open(&before) && *input == Input::Elapsed(Timer::Expiry) {
        *connection = before.clone();
        effects.clear();
        return Err(Rejected { phase: before.phase(), input: input.name() });
    }
    answered
});

defect!(WhatIsUnclearIsNotExpected, |before, connection, input, effects, answered| {
    if *input == Input::Unclear(()) && answered.is_ok() {
        *connection = before.clone();
        effects.clear();
        return Err(Rejected { phase: before.phase(), input: input.name() });
    }
    answered
});

#[rustfmt::skip]
pub fn mutants() -> Vec<Hunted> {
    mutants![
        "acts-before-hello" ["CONN-1"] Some("accepted taken for ready"), "a command before `hello` is carried out",
            "connection: CONN-1" => suites::connection(&ActsBeforeHello);
        "accepted-is-ready" ["CONN-1"] Some("accepted taken for ready"),
            "a command is carried out while the user's machines are still being looked for",
            "connection: CONN-1" => suites::connection(&AcceptedIsReady);
        "answers-before-ready" ["CONN-2"] None, "a ping is answered before `ready`",
            "connection: CONN-2" => suites::connection(&AnswersBeforeReady);
        "speaks-between-hello-and-ready" ["CONN-2"] None,
            "a frame that came after `hello` is answered before `ready`",
            "connection: CONN-2" => suites::connection(&SpeaksBetweenHelloAndReady);
        "forgives-everything" ["CONN-4"] Some("limits that do not limit"),
            "an open connection is never closed for frames that cannot be understood",
            "connection: CONN-4" => suites::connection(&ForgivesEverything);
        "oversized-closes" ["CONN-4"] None, "a frame with too large a field closes the connection",
            "connection: CONN-4" => suites::connection(&OversizedCloses);
        "ready-twice" ["CONN-2"] Some("duplicate lifecycle events"), "`ready` is sent by two layers",
            "connection: CONN-2" => suites::connection(&ReadyTwice);
        "speaks-after-the-close" ["CONN-3"] None, "a ping is answered after the close",
            "connection: CONN-3" => suites::connection(&SpeaksAfterTheClose);
        "closes-without-a-word" ["CONN-3"] None, "the connection is over, and no close frame says so",
            "connection: CONN-3" => suites::connection(&ClosesWithoutAWord);
        "ignores-what-is-unclear" ["CONN-4"] None, "what cannot be understood is dropped in silence",
            "connection: CONN-4" => suites::connection(&IgnoresWhatIsUnclear);
        "acknowledges-what-is-unclear" ["DEL-7"] Some("acknowledged but ignored"),
            "what cannot be understood is acknowledged",
            "connection: DEL-7" => suites::connection(&AcknowledgesWhatIsUnclear);
        "never-has-enough" ["CONN-4"] Some("limits that do not limit"), "frames that cannot be understood are not counted",
            "connection: CONN-4" => suites::connection(&NeverHasEnough);
        "rejections-move" ["UNCHANGED"] None, "an input that is refused has moved the machine on",
            "connection: UNCHANGED" => suites::connection(&RejectionsMove);
        "skips-entries" ["DEL-2"] None, "entries behind a hole are sent",
            "connection: DEL-2" => suites::connection(&SkipsEntries);
        "caught-up-twice" ["DEL-2"] Some("duplicate lifecycle events"), "`caught_up` is sent by two layers",
            "connection: DEL-2" => suites::connection(&CaughtUpTwice);
        "clears-the-backlog" ["DEL-3"] Some("loss on replay"), "the backlog is cleared before it is sent",
            "connection: DEL-3" => suites::connection(&ClearsTheBacklog);
        "says-no-gap" ["DEL-3"] None, "what is missing is not said",
            "connection: DEL-3" => suites::connection(&SaysNoGap);
        "takes-every-command" ["DEL-4"] Some("limits that do not limit"), "commands are taken without a bound",
            "connection: DEL-4" => suites::connection(&TakesEveryCommand);
        "unavailable-lets-in" ["AUTH-5", "ISO-1"] Some("identity fails open"),
            "who cannot be verified is let in as somebody",
            "connection: ISO-1" => suites::connection(&AnyCredentialOpens);
        "the-other-credential-wins" ["ISO-1", "AUTH-5"] Some("guard that does not guard"),
            "of two credentials of different users, one is believed",
            "connection: ISO-1" => suites::connection(&TheOtherCredentialWins);
        "renews-as-anybody" ["ISO-1"] None, "another user's credential renews the connection",
            "connection: ISO-1" => suites::connection(&RenewsAsAnybody);
        "outlives-its-credential" ["AUTH-3"] None, "the end of a credential ends nothing",
            "connection: AUTH-3" => suites::connection(&OutlivesItsCredential);
        "expiry-is-not-armed" ["AUTH-3"] None, "the end of the credential that opens a connection is not armed",
            "connection: AUTH-3" => suites::connection(&NeverArmed);
        "renewal-arms-nothing" ["AUTH-3"] None, "a renewal is confirmed, and the connection ends when it would have",
            "connection: AUTH-3" => suites::connection(&RenewalArmsNothing);
        "expiry-is-not-expected" ["AUTH-3"] Some("guard that does not guard"),
            "an open connection rejects the end of its credential as out of place, and lives on",
            "connection: AUTH-3" => suites::connection(&WhatRunsOutIsNotExpected);
        "unclear-is-not-expected" ["CONN-4"] Some("acknowledged but ignored"),
            "what cannot be understood is rejected as out of place, and not answered",
            "connection: CONN-4" => suites::connection(&WhatIsUnclearIsNotExpected);
    ]
}
