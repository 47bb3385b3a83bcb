//! The table of the mapper by words, and its properties for any sequence of events.

mod oracle;
mod properties;
mod words;

use serde_json::json;

use self::words::{events, mapper, outcome};
use super::*;

#[test]
fn a_response_becomes_the_steps_of_a_run() {
    for (response, expected) in [
        ("run end", "finish"),
        ("run T+a T.a=Hello T.a=,_world T-a end", "answer:Hello answer:,_world finish"),
        // Two messages are separated, empty ones are not; a message that begins again goes on.
        ("run T+a T.a=1 T-a T+b T-b T+c T.c=2 T-c end", "answer:1 answer:|2 finish"),
        ("run T+a T.a=1 T-a T+a T.a=2 T-a end", "answer:1 answer:2 finish"),
        // Of two messages side by side the second waits for the first.
        ("run T+a T.a=1 T+b T.b=3 T.a=2 T-a T.b=4 T-b end", "answer:1 answer:2 answer:|3 answer:4 finish"),
        ("run T+a T.a=1 T+b T.b=3 T-b T.a=2 T-a end", "answer:1 answer:2 answer:|3 finish"),
        ("run Tc.a=1 Tc=2 Tc.b=3 end", "answer:1 answer:2 answer:|3 finish"),
        ("run U+a U.a=echo T-a end", "finish"),
        ("run B+a B.a=part T-a end", "progress:part finish"),
        // Both generations of reasoning.
        ("run R+a R.a=hm R-a T+b T.b=1 T-b end", "reasoning:hm answer:1 finish"),
        ("run K+ K=hm K- K+ K=so K- end", "reasoning:hm reasoning:|so finish"),
        ("run Rc.a=hm Rc=m T+b T.b=1 T-b end", "reasoning:hm reasoning:m answer:1 finish"),
        // A call is opened when its arguments are complete, and closed by its result.
        ("run C+c C.c={\"a\": C.c=1} C-c C=c end", "open:c({\"a\":1}) close:c finish"),
        ("run C+c C+d C.d=2 C.c=1 C-d C-c C=c C=d end", "open:d(2) open:c(1) close:c close:d finish"),
        ("run Cc.c=1 Cc=2 Cc.d=3 C=d end", "open:c(12) open:d(3) close:d finish(c)"),
        ("run Tc.a=1 Cc.c=2 raw Cc=3 Tc.a=4 end", "answer:1 open:c(23) answer:4 finish(c)"),
        ("run C+c C-c C+f C-f end", "open:c() client:f() finish(c,f)"),
        ("run C+c C-c end:interrupt(c)", "open:c() finish?i-c(c)"),
        // A question that a custom event reports counts at the end, unless the outcome has its own.
        ("run asks T+a T.a=1 T-a asks end", "answer:1 finish?q"),
        ("run C+c C-c asks end:interrupt(c)", "open:c() finish?i-c(c)"),
        ("run end:cancelled", "cancelled"),
        ("run end:later", "unknown"),
        // Steps and subagents are progress; the rest has no counterpart.
        ("run S+s T+a T.a=1 S-s T-a S+u S-u end", "progress:s answer:1 progress:|u finish"),
        ("run raw state custom new T+a new T.a=1 state T-a end", "answer:1 finish"),
        ("err", "fail"),
        ("run T+a T.a=1 err", "answer:1 fail"),
        ("new run new end", "finish"),
    ] {
        assert_eq!(outcome(&mut mapper(), response), expected, "{response}");
    }
}

/// RUN-10: each row ends with the event that is refused.
#[test]
fn run_10_a_broken_order_is_a_violation() {
    for (response, expected) in [
        ("end", "!RUN_FINISHED came before RUN_STARTED"),
        ("T+a", "!TEXT_MESSAGE_START came before RUN_STARTED"),
        ("state", "!STATE_SNAPSHOT came before RUN_STARTED"),
        ("run run", "!RUN_STARTED came in a run that had started"),
        ("run:other", "!RUN_STARTED has the id of another thread or run"),
        ("run end:other", "!RUN_FINISHED has the id of another thread or run"),
        ("run end end", "finish !RUN_FINISHED came after the end of the run"),
        ("run end T+a", "finish !TEXT_MESSAGE_START came after the end of the run"),
        ("err run", "fail !RUN_STARTED came after the end of the run"),
        ("run T.a=1", "!TEXT_MESSAGE_CONTENT refers to something that is not open"),
        ("run T-a", "!TEXT_MESSAGE_END refers to something that is not open"),
        ("run T+a T-a T.a=1", "!TEXT_MESSAGE_CONTENT refers to something that is not open"),
        ("run T+a T+a", "!TEXT_MESSAGE_START repeats an id"),
        ("run T+a end", "!RUN_FINISHED came while a message was open"),
        ("run Tc=1", "!TEXT_MESSAGE_CHUNK begins without an id or a name"),
        ("run R.a=1", "!REASONING_MESSAGE_CONTENT refers to something that is not open"),
        ("run T+a R.a=1", "!REASONING_MESSAGE_CONTENT refers to something that is not open"),
        ("run R+a end", "!RUN_FINISHED came while a message was open"),
        ("run K=1", "!THINKING_TEXT_MESSAGE_CONTENT refers to something that is not open"),
        ("run K+ K+", "!THINKING_TEXT_MESSAGE_START repeats an id"),
        ("run C.c=1", "!TOOL_CALL_ARGS refers to something that is not open"),
        ("run C+c C+c", "!TOOL_CALL_START repeats an id"),
        ("run C+c C-c C+c", "open:c() !TOOL_CALL_START repeats an id"),
        ("run C+c C-c C-c", "open:c() !TOOL_CALL_END refers to something that is not open"),
        ("run C+c C-c C.c=1", "open:c() !TOOL_CALL_ARGS refers to something that is not open"),
        ("run C+c end", "!RUN_FINISHED came while a call was open"),
        ("run C=c", "!TOOL_CALL_RESULT refers to something that is not open"),
        ("run C+c C=c", "!TOOL_CALL_RESULT refers to something that is not open"),
        ("run C+c C-c C=c C=c", "open:c() close:c !TOOL_CALL_RESULT came twice for a call"),
        ("run C+f C-f C=f", "client:f() !TOOL_CALL_RESULT came for a call of a tool of the front end"),
        ("run Cc=1", "!TOOL_CALL_CHUNK begins without an id or a name"),
        ("run C+bad", "!TOOL_CALL_START has an invalid name of a tool"),
        ("run S+s S+s", "progress:s !STEP_STARTED repeats an id"),
        ("run S-s", "!STEP_FINISHED refers to something that is not open"),
        ("run S+s end", "progress:s !RUN_FINISHED came while a step was open"),
        ("run end:pending(c)", "!RUN_FINISHED lists a call that does not wait for a result"),
        ("run end:interrupt(c)", "!RUN_FINISHED has an interrupt that cannot be answered"),
        ("run end:interrupts()", "!RUN_FINISHED has an interrupt that cannot be answered"),
        ("run end:interrupts(i,i)", "!RUN_FINISHED has an interrupt that cannot be answered"),
    ] {
        assert_eq!(outcome(&mut mapper(), response), expected, "{response}");
    }
}

#[test]
fn a_further_response_continues_the_run() {
    let mut mapper = mapper();
    assert_eq!(
        outcome(&mut mapper, "run T+a T.a=1 T-a C+c C-c C+d C-d C=d end:interrupt(c)"),
        "answer:1 open:c() open:d() close:d finish?i-c(c)"
    );
    mapper.next_response("r");
    // A result of an earlier response may be repeated once.
    assert_eq!(outcome(&mut mapper.clone(), "run C=d C=c T+b T.b=2 T-b end"), "close:c answer:|2 finish");
    let twice = "close:c !TOOL_CALL_RESULT came twice for a call";
    assert_eq!(outcome(&mut mapper.clone(), "run C=d C=c C=d"), twice);
    assert_eq!(outcome(&mut mapper.clone(), "T+b"), "!TEXT_MESSAGE_START came before RUN_STARTED");
    mapper.answer("c");
    assert_eq!(outcome(&mut mapper.clone(), "run end"), "finish");
}

/// LangGraph announces the calls of an interrupted step again.
#[test]
fn a_further_response_may_repeat_calls_once() {
    let mut mapper = mapper();
    let first = "run C+c C.c={\"a\": C.c=1} C-c C+d C-d C=d C+f C-f end";
    assert_eq!(outcome(&mut mapper, first), "open:c({\"a\":1}) open:d() close:d client:f() finish(c,f)");
    mapper.answer("f");
    mapper.next_response("r");
    for (response, expected) in [
        // In any format of the same arguments, waiting and answered calls.
        ("run C+c C.c={\"a\":1.0} C-c C=c end", "progress:c_was_called_with_{\"a\":1.0} close:c finish"),
        ("run C+c C.c={\"a\":1} C-c C=c C+d C-d C=d end", "close:c finish"),
        ("run Cc.c={\"a\":1} C=c end", "close:c finish"),
        ("run C+f C-f end", "finish(c)"),
        // After the client's answer, the agent may make the call with other arguments, but not that of the client.
        ("run C+c C.c={\"a\":2} C-c C=c end", "progress:c_was_called_with_{\"a\":2} close:c finish"),
        ("run C+f C.f=1 C-f", "!TOOL_CALL_END repeats a call with other arguments"),
        // Once, and to its end.
        ("run C+c C+c", "!TOOL_CALL_START repeats an id"),
        ("run C+c C.c={\"a\":1} C-c C+c", "!TOOL_CALL_START repeats an id"),
        ("run C+c C=c", "!TOOL_CALL_RESULT refers to something that is not open"),
        ("run C+c end", "!RUN_FINISHED came while a call was open"),
        ("run C.c=1", "!TOOL_CALL_ARGS refers to something that is not open"),
        ("run C-c", "!TOOL_CALL_END refers to something that is not open"),
        ("run C+d C-d C=d C=d", "!TOOL_CALL_RESULT came twice for a call"),
    ] {
        let outcome =
            outcome(&mut mapper.clone(), response).replace("c was called with ", "c_was_called_with_");
        assert_eq!(outcome.replace('\n', ""), expected, "{response}");
    }
    // A repetition may follow in each response.
    assert_eq!(outcome(&mut mapper, "run C+c C.c={\"a\":1} C-c end"), "finish(c)");
    mapper.next_response("r");
    assert_eq!(outcome(&mut mapper, "run C+c C.c={\"a\":1} C-c C=c end"), "close:c finish");
}

#[test]
fn every_limit_is_enforced() {
    let many = |word: &dyn Fn(usize) -> String, count| {
        let words: Vec<_> = (0..count).map(word).collect();
        format!("run {}", words.join(" "))
    };
    for (response, limit) in [
        (many(&|n| format!("T+{n}"), 65), "open_messages_max"),
        (many(&|n| format!("S+{n}"), 65), "open_messages_max"),
        (many(&|n| format!("C+{n}"), 65), "open_calls_max"),
        (many(&|n| format!("C+{n} C-{n} C={n}"), 1_025), "run_calls_max"),
        (format!("run T+{}", "x".repeat(1_025)), "id_bytes_max"),
        (format!("run C+c C.c={}", "x".repeat(65_537)), "arguments_bytes_max"),
        (format!("run T+a T+b T.b={}", "x".repeat(1_048_577)), "held_text_bytes_max"),
        (format!("run end:interrupts({})", many(&|n| n.to_string(), 33).replace(' ', ",")), "interrupts_max"),
    ] {
        let outcome = outcome(&mut mapper(), &response);
        let last = outcome.rsplit(' ').next().unwrap_or_default();
        assert!(outcome.ends_with(&format!("{limit} is reached")), "{limit}: {last}");
    }
}

#[test]
fn usage_is_the_sum_over_the_models() {
    for (usage, expected) in [
        (json!([{"inputTokens": 7}, {"inputTokens": 1, "outputTokens": 2}]), Some((8, 2))),
        // No model can have used as many; they would overflow the metrics.
        (json!([{"inputTokens": u64::MAX}, {"inputTokens": 1, "outputTokens": 2}]), Some((1, 2))),
        // A mistake costs the figures, not the run.
        (json!([{"inputTokens": -1, "outputTokens": 3}, 7]), Some((0, 3))),
        (json!([{"model": "x"}]), None),
        (json!("many"), None),
    ] {
        let (thread_id, run_id) = ("t".into(), "r".into());
        let finished = Event::RunFinished { thread_id, run_id, outcome: None, usage: Some(usage) };
        let mut mapper = mapper();
        assert_eq!(mapper.apply(events("run").remove(0)), Ok(vec![]));
        let steps = mapper.apply(finished).unwrap();
        let [Step::Finish(Finish { usage, .. })] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(usage.map(|usage| (usage.input_tokens, usage.output_tokens)), expected);
    }
}

#[test]
fn kinds_of_text_are_kept_apart() {
    let steps = outcome(&mut mapper(), "run T+a R+a T.a=1 R.a=2 T-a R-a end");
    assert_eq!(steps, "answer:1 reasoning:2 finish");
}
