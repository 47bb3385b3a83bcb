//! Tests: effects carry the content of their inputs, and traces have none.

use uuid::Uuid;

use super::*;
use crate::{
    ids::{Epoch, Offset, Timestamp, UserId},
    ticket::Identity,
};

const EPOCH: Epoch = Epoch(Uuid::from_u128(7));

/// A payload in which each content has a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Numbered;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Number(u32);

impl Payload for Numbered {
    type Credential = Number;
    type Command = Number;
    type Nonce = Number;
    type Malformed = Number;
    type Subject = Number;
    type Entries = Number;
    type Answer = Number;

    fn subject(Number(command): &Number) -> Number {
        Number(command + 100)
    }
}

/// DEL-7, CONN-4: an effect carries the content of the input that caused it, in every state; none is dropped
/// and none is replaced by that of an earlier input.
#[test]
fn effects_carry_the_content_of_their_input() {
    type Send = ServerFrame<Numbered>;

    let mut effects = Effects::new();
    let mut connection = Connection::<Numbered>::accept(None, ConnectionLimits::DEFAULT, &mut effects);
    let mut step = |input: Input<Numbered>| {
        effects.clear();
        connection.step(&input, &mut effects).unwrap();
        effects.clone()
    };
    let error = |fault| Effect::Send(Send::Error { fault, fatal: false });
    assert_eq!(step(Input::Command(Number(1)))[0], error(Fault::BeforeHello(Number(101))));
    assert_eq!(step(Input::Unclear(Number(2)))[0], error(Fault::Unclear(Number(2))));
    assert_eq!(step(Input::Oversized(Number(3)))[0], error(Fault::Oversized(Number(3))));
    let cursor = ResumeCursor::After { epoch: None, after: Offset(2) };
    assert!(step(Input::Hello { cursor, credential: Some(Number(4)) }).contains(&Effect::Verify(Number(4))));
    let user_id = UserId::parse("anna").unwrap();
    let anna = Identity { user_id, expires_at: Timestamp(1000) };
    assert!(step(Input::Verified(anna.clone())).contains(&Effect::Attach { identity: anna, cursor }));
    step(Input::Attached { epoch: EPOCH, trimmed: Offset(0), head: Offset(3) });
    step(Input::Flushed);
    let chunk =
        |number| Input::Chunk { first: Offset(number), last: Offset(number), entries: Number(number as u32) };
    assert_eq!(step(chunk(3))[0], Effect::SendChunk(Number(3)));
    step(Input::Flushed);
    assert_eq!(step(chunk(4))[0], Effect::SendChunk(Number(4)));
    assert_eq!(step(Input::Command(Number(5))), [Effect::Execute(Number(5))]);
    assert_eq!(step(Input::Command(Number(6))), [Effect::Execute(Number(6))]);
    assert_eq!(step(Input::Ping(Number(7))), [Effect::Send(Send::Pong(Number(7)))]);
    assert_eq!(step(Input::Renew(Number(8))), [Effect::Verify(Number(8))]);
    let answered = |reply| Input::Answered { reply };
    assert_eq!(step(answered(Some(Number(9)))), [Effect::Send(Send::Answer(Number(9)))]);
    assert_eq!(step(answered(None)), []);
    assert_eq!(step(Input::Unclear(Number(10))), [error(Fault::Unclear(Number(10)))]);
    assert_eq!(step(Input::Oversized(Number(11))), [error(Fault::Oversized(Number(11)))]);
    let fault = Fault::RateLimited { retry_after_ms: 10, subject: Number(12) };
    assert_eq!(step(Input::Throttled { retry_after_ms: 10, subject: Number(12) }), [error(fault)]);
}

/// A trace contains no content: inputs and effects serialize without it, and are read back with the default.
#[test]
fn no_content_is_serialized() {
    let inputs = [
        Input::<Numbered>::Command(Number(1)),
        Input::Renew(Number(1)),
        Input::Throttled { retry_after_ms: 10, subject: Number(1) },
        Input::Hello { cursor: ResumeCursor::default(), credential: Some(Number(1)) },
        Input::Answered { reply: Some(Number(1)) },
        Input::Answered { reply: None },
        Input::Chunk { first: Offset(3), last: Offset(4), entries: Number(1) },
    ];
    let written = [
        r#""command""#,
        r#""renew""#,
        r#"{"throttled":{"retry_after_ms":10}}"#,
        r#"{"hello":{"cursor":{"after":{"epoch":null,"after":0}},"credential":true}}"#,
        r#"{"answered":{"reply":true}}"#,
        r#"{"answered":{"reply":false}}"#,
        r#"{"chunk":{"first":3,"last":4}}"#,
    ];
    for (input, expected) in inputs.iter().zip(written) {
        let json = serde_json::to_string(input).unwrap();
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<Input>(&json).unwrap(), input.outline());
    }
    let fault = Fault::RateLimited { retry_after_ms: 10, subject: Number(1) };
    let effects = [
        Effect::<Numbered>::Execute(Number(1)),
        Effect::Send(ServerFrame::Answer(Number(1))),
        Effect::Send(ServerFrame::Error { fault, fatal: true }),
    ];
    let written = [
        r#""execute""#,
        r#"{"send":"answer"}"#,
        r#"{"send":{"error":{"fault":{"rate_limited":{"retry_after_ms":10}},"fatal":true}}}"#,
    ];
    for (effect, expected) in effects.iter().zip(written) {
        let json = serde_json::to_string(effect).unwrap();
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<Effect>(&json).unwrap(), effect.outline());
    }
}
