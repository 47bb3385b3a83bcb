//! The decoders against recorded streams and dialects. The streams in `recorded/` are answers of
//! `@copilotkit/aimock` 1.43.0.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use proptest::prelude::*;
use quintet_agent::Usage;
use quintet_upstream::{
    Redactor,
    sse::{SseError, SseLimits, events_of},
};
use serde_json::json;
use tokio::task::unconstrained;

use super::{
    Decoder, EndReason, ModelError, ModelEvent, Protocol, Response, ToolCall, anthropic::Anthropic,
    http::Reader, openai_chat::OpenAiChat, openai_responses::OpenAiResponses,
};
use crate::{
    context::CallIds,
    gathering::{Gathered, Gathering},
    limits::ModelLimits,
};

const ALL: [(&dyn Protocol, &str, &str); 3] = [
    (&OpenAiChat, include_str!("../recorded/chat-calls.sse"), include_str!("../recorded/chat-answer.sse")),
    (
        &OpenAiResponses,
        include_str!("../recorded/responses-calls.sse"),
        include_str!("../recorded/responses-answer.sse"),
    ),
    (
        &Anthropic,
        include_str!("../recorded/anthropic-calls.sse"),
        include_str!("../recorded/anthropic-answer.sse"),
    ),
];

mod encoding;

/// Reads a body in these chunks, then `last`, if there is one.
fn read(
    decoder: Box<dyn Decoder>,
    chunks: Vec<Vec<u8>>,
    last: Option<SseError>,
) -> Vec<Result<ModelEvent, ModelError>> {
    let body = chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))).chain(last.map(Err));
    let events = events_of(stream::iter(body.collect::<Vec<_>>()), SseLimits::DEFAULT);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let reader = Reader::new(events, decoder, Redactor::default(), ModelLimits::DEFAULT);
    runtime.block_on(reader.events().collect())
}

fn decode(protocol: &dyn Protocol, text: &str) -> Vec<Result<ModelEvent, ModelError>> {
    read(protocol.decoder(), vec![text.as_bytes().to_vec()], None)
}

/// What a response adds up to.
#[derive(Debug, Default, PartialEq)]
struct Sum {
    response: Response,
    usage: Option<Usage>,
    end: Option<EndReason>,
}

fn sum(events: &[Result<ModelEvent, ModelError>]) -> Sum {
    let (mut gathering, mut end) = (Gathering::default(), None);
    for event in events.iter().flatten() {
        if let Gathered::End(reason) = gathering.take(event.clone()) {
            assert_eq!(end.replace(reason), None, "one end");
        }
    }
    let usage = gathering.usage();
    Sum { response: gathering.finish(&mut CallIds::default()), usage, end }
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "calculate".into(), arguments: arguments.into() }
}

/// Decodes chunks of chat completions.
fn chat(chunks: &[serde_json::Value]) -> Sum {
    let text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    sum(&decode(&OpenAiChat, &text))
}

fn delta(delta: serde_json::Value) -> serde_json::Value {
    json!({"choices": [{"index": 0, "delta": delta}]})
}

fn finish(reason: &str) -> serde_json::Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

#[test]
fn the_recorded_streams_of_all_protocols_mean_the_same() {
    for (protocol, calls, answer) in ALL {
        let Sum { response, usage, end } = sum(&decode(protocol, calls));
        assert_eq!(response.reasoning, "Two sums are wanted, so two calls.");
        assert_eq!(response.text, "I will calculate both: 2+3 and 4*5.");
        assert_eq!(
            response.calls,
            [call("call_1", r#"{"expression":"2+3"}"#), call("call_2", r#"{"expression":"4*5 — “é”"}"#)]
        );
        assert_eq!(usage, Some(Usage { input_tokens: 20, output_tokens: 12 }));
        assert_eq!(end, Some(EndReason::ToolCalls));
        let Sum { response, usage, end } = sum(&decode(protocol, answer));
        assert_eq!((response.text.as_str(), response.calls.len()), ("The sums are 5 and 20.", 0));
        assert_eq!(usage, Some(Usage { input_tokens: 40, output_tokens: 7 }));
        assert_eq!(end, Some(EndReason::Stop));
    }
}

/// DEL-7: a stream that is cut at any position, by a clean end or by a broken connection, has one last item,
/// which is its end only if the response is complete, and its events are the first of those of the whole
/// stream.
#[test]
fn a_stream_that_is_cut_at_any_byte_has_one_end_and_loses_or_doubles_nothing() {
    for (protocol, calls, answer) in ALL {
        for text in [calls, answer] {
            let whole = decode(protocol, text);
            let complete = sum(&whole);
            for cut in 0..text.len() {
                for last in [None, Some(SseError::Broken("reset".into()))] {
                    let events = read(protocol.decoder(), vec![text.as_bytes()[..cut].to_vec()], last);
                    let (end, before) = events.split_last().expect("a stream is not without a last item");
                    for (event, expected) in before.iter().zip(&whole) {
                        assert_eq!(event, expected);
                    }
                    match end {
                        Ok(ModelEvent::End(_)) => {
                            let Sum { response, end, .. } = sum(&events);
                            assert_eq!((&response, end), (&complete.response, complete.end), "cut at {cut}");
                        }
                        Ok(other) => panic!("the last item is {other:?}"),
                        Err(error) => assert!(error.is_temporary(), "{error}"),
                    }
                }
            }
        }
    }
}

/// Reads a stream that is cut after these bytes.
async fn cut(decoder: Box<dyn Decoder>, bytes: &[u8]) -> Vec<Result<ModelEvent, ModelError>> {
    let events = events_of(stream::iter([Ok(Bytes::copy_from_slice(bytes))]), SseLimits::DEFAULT);
    Reader::new(events, decoder, Redactor::default(), ModelLimits::DEFAULT).events().collect().await
}

/// A stream whose bytes come one by one, each after the reader has taken what there was: it is the whole stream, and
/// nothing that is complete is held back.
#[test]
fn a_stream_that_is_split_and_delayed_at_each_byte_is_whole_and_holds_nothing_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        for (protocol, calls, answer) in ALL {
            for text in [calls, answer] {
                let (bytes, received) = tokio::sync::mpsc::unbounded_channel();
                let body =
                    stream::unfold(received, async |mut received| Some((received.recv().await?, received)));
                let events = events_of(body, SseLimits::DEFAULT);
                let reader =
                    Reader::new(events, protocol.decoder(), Redactor::default(), ModelLimits::DEFAULT);
                let (mut events, mut read) = (reader.events().fuse(), Vec::new());
                for (at, byte) in text.bytes().enumerate() {
                    // A reader that has read the end is gone.
                    let _ = bytes.send(Ok(Bytes::from(vec![byte])));
                    // The budget of a task ends reads that could go on.
                    while let Some(Some(event)) = unconstrained(events.next()).now_or_never() {
                        read.push(event);
                    }
                    if at % 16 == 0 {
                        // As of a stream that is cut here, without its last item: the error, or the end, which usage
                        // may precede.
                        let cut = cut(protocol.decoder(), &text.as_bytes()[..=at]).await;
                        assert!(read == cut || read == cut[..cut.len() - 1], "{at}: {read:?}");
                    }
                }
                drop(bytes);
                while let Some(event) = events.next().await {
                    read.push(event);
                }
                assert_eq!(read, cut(protocol.decoder(), text.as_bytes()).await);
            }
        }
    });
}

proptest! {
    #[test]
    fn events_do_not_depend_on_how_a_stream_is_cut_into_chunks(
        which in 0..6_usize,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let (protocol, calls, answer) = ALL[which / 2];
        let text = if which % 2 == 0 { calls } else { answer };
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        places.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for place in places.into_iter().chain([text.len()]) {
            chunks.push(text.as_bytes()[from..place].to_vec());
            from = place;
        }
        prop_assert_eq!(read(protocol.decoder(), chunks, None), decode(protocol, text));
    }

    /// A hostile service: any bytes, and recorded streams with any change. The reader does not panic, and
    /// reports one last item.
    #[test]
    fn any_bytes_end_a_stream_once(
        which in 0..3_usize,
        noise in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        replaced in 0..40_usize,
    ) {
        let (protocol, calls, _) = ALL[which];
        let mut bytes = calls.as_bytes().to_vec();
        let at = at.index(bytes.len());
        let to = (at + replaced).min(bytes.len());
        bytes.splice(at..to, noise);
        let events = read(protocol.decoder(), vec![bytes], None);
        let ends = |event: &Result<ModelEvent, ModelError>| matches!(event, Err(_) | Ok(ModelEvent::End(_)));
        prop_assert_eq!(events.iter().filter(|event| ends(event)).count(), 1);
        prop_assert!(ends(events.last().unwrap()));
    }

    /// Values of wrong types at any place of a chunk.
    #[test]
    fn wrong_types_do_not_panic(which in 0..3_usize, event in 0..100_usize, place in 0..30_usize, value in 0..8_usize) {
        let (protocol, calls, _) = ALL[which];
        let values = [json!(null), json!(-1), json!(1e308), json!("x"), json!([]), json!({}), json!(true), json!(18446744073709551615_u64)];
        let mut text = String::new();
        for (number, line) in calls.lines().enumerate() {
            let data = line.strip_prefix("data: ").and_then(|data| serde_json::from_str(data).ok());
            match data {
                Some(mut data) if number % 100 == event => {
                    let mut left = place;
                    replace(&mut data, &mut left, &values[value]);
                    text.push_str(&format!("data: {data}\n"));
                }
                _ => text.push_str(&format!("{line}\n")),
            }
        }
        let events = decode(protocol, &text);
        prop_assert!(matches!(events.last(), Some(Err(_) | Ok(ModelEvent::End(_)))));
    }
}

/// Replaces the value at the place of this number.
fn replace(value: &mut serde_json::Value, left: &mut usize, with: &serde_json::Value) {
    if *left == 0 {
        *value = with.clone();
    }
    *left = left.wrapping_sub(1);
    match value {
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| replace(item, left, with)),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, left, with)),
        _ => {}
    }
}

#[test]
fn chat_dialects_of_calls() {
    // Without index and id, each call whole, arguments as an object.
    let Sum { response, .. } = chat(&[
        delta(json!({"tool_calls": [{"function": {"name": "calculate", "arguments": {"a": 1}}}]})),
        delta(json!({"tool_calls": [{"function": {"name": "calculate", "arguments": "{}"}}]})),
        finish("tool_calls"),
    ]);
    assert_eq!(response.calls, [call("q00000001", r#"{"a":1}"#), call("q00000002", "{}")]);
    // Several calls under one index, distinguished by their ids.
    let Sum { response, .. } = chat(&[
        delta(
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "calculate", "arguments": "{"}}]}),
        ),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]})),
        delta(
            json!({"tool_calls": [{"index": 0, "id": "b", "function": {"name": "calculate", "arguments": "{\"b\":"}}]}),
        ),
        delta(
            json!({"tool_calls": [{"index": 0, "id": "b", "function": {"name": "calculate", "arguments": "2}"}}]}),
        ),
        finish("stop"),
    ]);
    assert_eq!(response.calls, [call("a", "{}"), call("b", r#"{"b":2}"#)]);
    // Without index, pieces that follow by id or by nothing; interleaved indices.
    let Sum { response, .. } = chat(&[
        delta(json!({"tool_calls": [{"id": "a", "function": {"name": "calculate", "arguments": "{"}}]})),
        delta(json!({"tool_calls": [{"id": "a", "function": {"arguments": "\"x\""}}]})),
        delta(json!({"tool_calls": [{"function": {"arguments": ":1}"}}]})),
        finish("tool_calls"),
    ]);
    assert_eq!(response.calls, [call("a", r#"{"x":1}"#)]);
    let Sum { response, .. } = chat(&[
        delta(json!({"tool_calls": [
            {"index": 0, "id": "a", "function": {"name": "calculate", "arguments": "{"}},
            {"index": 1, "id": "b", "function": {"name": "calculate", "arguments": "{"}},
        ]})),
        delta(
            json!({"tool_calls": [{"index": 1, "function": {"arguments": "}"}}, {"index": 0, "function": {"arguments": "}"}}]}),
        ),
        finish("tool_calls"),
    ]);
    assert_eq!(response.calls, [call("a", "{}"), call("b", "{}")]);
    // The same id twice.
    let Sum { response, .. } = chat(&[
        delta(
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "calculate", "arguments": "{}"}}]}),
        ),
        delta(
            json!({"tool_calls": [{"index": 1, "id": "a", "function": {"name": "calculate", "arguments": "{}"}}]}),
        ),
        finish("tool_calls"),
    ]);
    assert_eq!(response.calls, [call("a", "{}"), call("q00000001", "{}")]);
}

#[test]
fn chat_dialects_of_text_usage_and_end() {
    for name in ["reasoning_content", "reasoning", "thinking"] {
        let Sum { response, end, usage } = chat(&[
            delta(json!({name: "hm", "content": null})),
            delta(json!({"content": "a"})),
            finish("stop"),
        ]);
        assert_eq!((response.reasoning.as_str(), response.text.as_str()), ("hm", "a"));
        assert_eq!((end, usage), (Some(EndReason::Stop), None), "neither [DONE] nor usage is needed");
    }
    // Without a finish reason, [DONE] is no end of an answer.
    let events =
        decode(&OpenAiChat, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n");
    assert_eq!(events.last(), Some(&Err(ModelError::Truncated)));
    assert!(decode(&OpenAiChat, &format!("data: {}\n\n", finish("surprise"))).last().unwrap().is_err());
    for (reason, end) in [("length", EndReason::Length), ("content_filter", EndReason::Filtered)] {
        assert_eq!(chat(&[finish(reason)]).end, Some(end));
    }
    // A whole message, instead of deltas or after them.
    let whole = json!({"choices": [{"index": 0, "message": {"content": "whole"}, "finish_reason": "stop"}]});
    assert_eq!(chat(std::slice::from_ref(&whole)).response.text, "whole");
    assert_eq!(
        chat(&[delta(json!({"content": "who"})), delta(json!({"content": "le"})), whole]).response.text,
        "whole"
    );
    // A second choice is another answer.
    let other = json!({"choices": [{"index": 1, "delta": {"content": "other"}}]});
    assert_eq!(chat(&[delta(json!({"content": "a"})), other, finish("stop")]).response.text, "a");
}

#[test]
fn errors_inside_a_stream_are_reported() {
    let reported = |protocol: &dyn Protocol, text: &str| match decode(protocol, text).pop() {
        Some(Err(ModelError::Reported { message, is_temporary })) => (message, is_temporary),
        other => panic!("{other:?}"),
    };
    let begun = delta(json!({"content": "a"}));
    for (data, expected) in [
        (json!({"error": {"message": "out of memory", "type": "server_error"}}), ("out of memory", true)),
        (json!({"error": {"message": "bad", "code": 400}}), ("bad", false)),
        (json!({"error": {"message": "later", "code": 429}}), ("later", true)),
        (json!({"error": "plain"}), ("plain", false)),
    ] {
        let text = format!("data: {begun}\n\ndata: {data}\n\n");
        assert_eq!(reported(&OpenAiChat, &text), (expected.0.to_owned(), expected.1));
    }
    let overloaded = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let text = format!("event: error\ndata: {overloaded}\n\n");
    assert_eq!(reported(&Anthropic, &text), ("Overloaded".to_owned(), true));
    let failed = json!({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "sorry"}}});
    assert_eq!(reported(&OpenAiResponses, &format!("data: {failed}\n\n")), ("sorry".to_owned(), true));
    let error = json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow down"});
    assert_eq!(reported(&OpenAiResponses, &format!("data: {error}\n\n")), ("slow down".to_owned(), true));
}

#[test]
fn an_incomplete_response_is_not_a_whole_one() {
    let text = |reason: &str| {
        let data =
            json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": reason}}});
        format!("data: {data}\n\n")
    };
    assert_eq!(sum(&decode(&OpenAiResponses, &text("max_output_tokens"))).end, Some(EndReason::Length));
    assert_eq!(sum(&decode(&OpenAiResponses, &text("content_filter"))).end, Some(EndReason::Filtered));
    let stop = |reason: &str| {
        let delta = json!({"type": "message_delta", "delta": {"stop_reason": reason}});
        format!("data: {delta}\n\ndata: {{\"type\":\"message_stop\"}}\n\n")
    };
    assert_eq!(sum(&decode(&Anthropic, &stop("max_tokens"))).end, Some(EndReason::Length));
    assert_eq!(sum(&decode(&Anthropic, &stop("refusal"))).end, Some(EndReason::Filtered));
    assert!(decode(&Anthropic, &stop("pause_turn")).last().unwrap().is_err());
    assert!(decode(&Anthropic, "data: {\"type\":\"message_stop\"}\n\n").last().unwrap().is_err());
}

#[test]
fn calls_that_come_whole_are_taken() {
    let text = [
        json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "tool_use", "id": "a", "name": "calculate", "input": {"b": 1}}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ];
    let text: String = text.iter().map(|data| format!("data: {data}\n\n")).collect();
    assert_eq!(sum(&decode(&Anthropic, &text)).response.calls, [call("a", r#"{"b":1}"#)]);
    let item =
        json!({"type": "function_call", "call_id": "a", "name": "calculate", "arguments": "{\"b\":1}"});
    let text = [
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {}}),
    ];
    let text: String = text.iter().map(|data| format!("data: {data}\n\n")).collect();
    assert_eq!(sum(&decode(&OpenAiResponses, &text)).response.calls, [call("a", r#"{"b":1}"#)]);
}

#[test]
fn a_silent_or_endless_service_is_bounded() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let limits = ModelLimits { response_bytes_max: 10_000, ..ModelLimits::DEFAULT };
    let chunk = Bytes::from(format!("data: {}\n\n", delta(json!({"content": "x"}))));
    let endless = stream::repeat(chunk).map(Ok);
    let reader = Reader::new(
        events_of(endless, SseLimits::DEFAULT),
        OpenAiChat.decoder(),
        Redactor::default(),
        limits,
    );
    let events: Vec<_> = runtime.block_on(reader.events().collect());
    assert_eq!(events.last(), Some(&Err(ModelError::TooLarge("response_bytes_max"))));
    // Events without data are counted too.
    let empty = Bytes::from("event: x\ndata: \n\n".repeat(100));
    for protocol in [&OpenAiChat as &dyn Protocol, &Anthropic] {
        let events = events_of(stream::repeat(empty.clone()).map(Ok), SseLimits::DEFAULT);
        let reader = Reader::new(events, protocol.decoder(), Redactor::default(), limits);
        let events: Vec<_> = runtime.block_on(reader.events().take(1_000).collect());
        assert!(matches!(events[..], [Err(_)]), "{events:?}");
    }
    // A connection that stays open after the finish reason does not delay the end.
    let first = stream::iter([Ok(Bytes::from(format!("data: {}\n\n", finish("stop"))))]);
    let open = events_of(first.chain(stream::pending()), SseLimits::DEFAULT);
    let reader = Reader::new(open, OpenAiChat.decoder(), Redactor::default(), ModelLimits::DEFAULT);
    let events: Vec<_> = runtime.block_on(reader.events().collect());
    assert_eq!(events, [Ok(ModelEvent::End(EndReason::Stop))]);
}

/// A response of very many calls would take long to tell them apart, and a request of its own for their results.
#[test]
fn a_response_of_too_many_calls_is_refused() {
    let piece = |at: usize| json!({"index": at, "id": format!("c{at}"), "function": {"name": "calculate", "arguments": "{}"}});
    let text = |calls: usize| {
        let calls: Vec<_> = (0..calls).map(piece).collect();
        format!("data: {}\n\ndata: {}\n\n", delta(json!({"tool_calls": calls})), finish("tool_calls"))
    };
    assert_eq!(sum(&decode(&OpenAiChat, &text(128))).response.calls.len(), 128);
    let events = decode(&OpenAiChat, &text(129));
    assert_eq!(events, [Err(ModelError::TooLarge("response_calls_max"))]);
    let blocks = (0..10_001).map(|at| {
        let start = json!({"type": "content_block_start", "index": at, "content_block": {"type": "x"}});
        format!("data: {start}\n\n")
    });
    let events = decode(&Anthropic, &blocks.collect::<String>());
    assert_eq!(events, [Err(ModelError::TooLarge("10,000 content blocks"))]);
}

/// A count that no model can have used up would use up the budgets of its user, and overflow the metrics.
#[test]
fn impossible_counts_of_tokens_are_missing() {
    for (input, output, expected) in [
        (json!(u64::MAX), json!(7), Some(Usage { input_tokens: 0, output_tokens: 7 })),
        (json!(1e300), json!(-1), None),
        (json!("5"), json!(1_000_000_001_u64), None),
    ] {
        let usage = json!({"choices": [], "usage": {"prompt_tokens": input, "completion_tokens": output}});
        let text = format!("data: {}\n\ndata: {usage}\n\ndata: [DONE]\n\n", finish("stop"));
        assert_eq!(sum(&decode(&OpenAiChat, &text)).usage, expected, "{usage}");
    }
}
