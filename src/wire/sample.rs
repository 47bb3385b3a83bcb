//! Sample values and proptest strategies for the tests of the wire format.

use proptest::{collection, option, prelude::*};
use quintet_kernel::{
    connection::{self, ResumeCursor},
    entry::{
        Body, Call, CallOwner, CallResult, CallStatus, Completion, Entry, ErasedEntry, Event, LogErased,
        RunEntry, RunError, RunErrorCode, RunStatus, Thought, ThoughtKind, ThreadChange, ThreadEntry, Usage,
    },
    ids::{
        AgentName, CallId, ConnectionId, Epoch, MessageId, Offset, ReceiptId, RunId, Seq, ThreadId,
        Timestamp, Title, ToolName, UserId,
    },
    json::Json,
    limits::Limits,
    user::{NewMessage, OnBusy, ThreadUpdate},
};

use crate::{
    client::{
        CancelRun, ClientFrame, CompleteCall, Credential, EraseThread, Hello, Nonce, Ping, Renew,
        UpdateThread,
    },
    codes::ErrorCode,
    server::{self, ServerFrame},
};

pub(crate) fn ann() -> UserId {
    UserId::parse("ann").unwrap()
}

pub(crate) fn run_id_of(text: &str) -> RunId {
    RunId::parse(text).unwrap()
}

/// Returns one run and later changes that have an entry of each shape, as in the examples of the documentation.
pub(crate) fn one_of_each() -> Vec<Entry> {
    let call_id = CallId::parse("c1").unwrap();
    let tool_name = ToolName::parse("weather").unwrap();
    let message_id = MessageId::parse("m-1").unwrap();
    let answer = "Rain, 7 °C.";
    let events = [
        Event::Started { message_id: message_id.clone() },
        Event::Thinking(Thought {
            kind: ThoughtKind::Reasoning,
            delta: "I need the weather.".into(),
            reset: false,
        }),
        Event::ToolExecuting(Call {
            call_id: call_id.clone(),
            tool_name: tool_name.clone(),
            parameters: Json::parse(r#"{"city":"Oslo"}"#).unwrap(),
            by: CallOwner::Agent,
        }),
        Event::ToolCompleted {
            call_id,
            tool_name,
            result: CallResult::ok(Json::parse(r#"{"celsius":7,"sky":"rain"}"#).unwrap()),
            duration_ms: 12,
        },
        Event::Thinking(Thought { kind: ThoughtKind::Answer, delta: answer.into(), reset: true }),
        Event::Completed(Completion {
            status: RunStatus::Succeeded,
            final_response: Some(answer.into()),
            error: None,
            duration_ms: 20,
            usage: Some(Usage { input_tokens: 31, output_tokens: 8 }),
            merged_into: None,
        }),
    ];
    let message = Body::UserMessage {
        message_id,
        text: "What is the weather in Oslo?".into(),
        parent: Some(Offset::ZERO),
        steers: false,
    };
    let bodies = events.into_iter().zip(1..).map(|(event, seq)| Body::Event { seq: Seq(seq), event });
    let thread_id = ThreadId::parse("t-1").unwrap();
    let at = |offset| Timestamp(1_795_000_000_000 + offset);
    let run = std::iter::once(message).chain(bodies).zip(1..).map(|(body, offset)| {
        Entry::Run(RunEntry {
            offset: Offset(offset),
            thread_id: thread_id.clone(),
            run_id: run_id_of("01a1ee56-5e01-7c3d-8e4f-0123456789ab"),
            timestamp: at(offset),
            agent_name: AgentName::parse("assistant").unwrap(),
            body,
        })
    });
    let receipt = ReceiptId::parse("01a1ee56-6107-7d52-9a30-5b1c7e2f4d68").unwrap();
    let title = Some(Title::parse("The weather in Oslo").unwrap());
    let changes = [
        (8, ThreadChange::Updated { title, archived: false }),
        (9, ThreadChange::Erased { through: Offset(8), receipt }),
    ];
    let changes = changes.map(|(offset, change)| {
        let (offset, thread_id, timestamp) = (Offset(offset), thread_id.clone(), at(offset));
        Entry::Thread(ThreadEntry { offset, thread_id, timestamp, change })
    });
    let through = Offset(9);
    let log_erased = LogErased { offset: Offset(10), timestamp: at(10), through, receipt };
    // In the place of the message.
    let erased = ErasedEntry { offset: Offset(1), timestamp: at(1) };
    run.chain(changes).chain([Entry::LogErased(log_erased), Entry::Erased(erased)]).collect()
}

/// Generates text with the characters that JSON encoders get wrong.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let awkward = prop::sample::select(vec![
        "\u{2028}",
        "\u{2029}",
        "\u{0}",
        "\u{1f}",
        "\u{7f}",
        "\n",
        "\r\n",
        "\t",
        "\"",
        "\\",
        "/",
        "\u{feff}",
        "\u{fffd}",
        "😀",
        "e\u{301}",
        "\u{202e}",
        "</script>",
        "{\"type\":\"x\"}",
    ]);
    prop_oneof![
        ".*",
        collection::vec(prop_oneof![awkward.prop_map(str::to_owned), "\\PC{0,4}"], 0..8)
            .prop_map(|v| v.concat())
    ]
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    "[!-~]{1,128}"
}

pub(crate) fn user_id() -> impl Strategy<Value = UserId> {
    text().prop_filter_map("1 to 256 bytes", |text| UserId::parse(&text).ok())
}

pub(crate) fn run_id() -> impl Strategy<Value = RunId> {
    any::<u128>().prop_map(|bits| RunId(uuid::Uuid::from_u128(bits)))
}

pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), Just((1 << 53) + 1)]
}

/// Generates JSON texts, with white space between tokens and numbers in unusual notations.
pub(crate) fn json_text() -> impl Strategy<Value = String> {
    let quoted = || text().prop_map(|text| serde_json::to_string(&text).unwrap());
    let numbers = [
        "0",
        "-0",
        "1.50",
        "1E+2",
        "18446744073709551615",
        "-9223372036854775808",
        "1e-400",
        "12345678901234567890123",
    ];
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "\"\\u0041\\ud83d\\ude00\\/\""])
            .prop_map(str::to_owned),
        prop::sample::select(numbers.to_vec()).prop_map(str::to_owned),
        quoted(),
    ];
    leaf.prop_recursive(6, 24, 4, move |inner| {
        let space = || prop::sample::select(vec!["", " ", "\n", "\t\r\n"]);
        prop_oneof![
            (collection::vec(inner.clone(), 0..4), space())
                .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},")))),
            (collection::vec((quoted(), inner), 0..4), space()).prop_map(|(members, s)| {
                let members: Vec<_> =
                    members.into_iter().map(|(key, value)| format!("{key}{s}:{s}{value}")).collect();
                format!("{{{s}{}{s}}}", members.join(","))
            }),
        ]
    })
}

pub(crate) fn json() -> impl Strategy<Value = Json> {
    let deepest = format!("{}{}", "[".repeat(Json::DEPTH_MAX), "]".repeat(Json::DEPTH_MAX));
    prop_oneof![9 => json_text(), 1 => Just(deepest)].prop_map(|text| Json::parse(&text).unwrap())
}

fn object() -> impl Strategy<Value = Json> {
    let text = collection::vec((text(), json_text()), 0..4).prop_map(|members| {
        let members: Vec<_> = members
            .into_iter()
            .map(|(key, value)| format!("{}:{value}", serde_json::to_string(&key).unwrap()))
            .collect();
        format!("{{{}}}", members.join(","))
    });
    text.prop_map(|text| Json::parse(&text).unwrap())
}

fn id<T: std::fmt::Debug>(parse: impl Fn(&str) -> T) -> impl Strategy<Value = T> {
    name().prop_map(move |text| parse(&text))
}

pub(crate) fn message_id() -> impl Strategy<Value = MessageId> {
    id(|text| MessageId::parse(text).unwrap())
}

pub(crate) fn thread_id() -> impl Strategy<Value = ThreadId> {
    id(|text| ThreadId::parse(text).unwrap())
}

pub(crate) fn agent_name() -> impl Strategy<Value = AgentName> {
    id(|text| AgentName::parse(text).unwrap())
}

pub(crate) fn call_id() -> impl Strategy<Value = CallId> {
    id(|text| CallId::parse(text).unwrap())
}

fn tool_name() -> impl Strategy<Value = ToolName> {
    id(|text| ToolName::parse(text).unwrap())
}

fn result() -> impl Strategy<Value = CallResult> {
    use CallStatus as S;
    let status =
        prop::sample::select(vec![S::Ok, S::Error, S::Declined, S::TimedOut, S::Cancelled, S::Unknown]);
    (status, json(), option::of(text())).prop_map(|(status, results, error)| CallResult {
        status,
        results,
        error,
    })
}

fn completion() -> impl Strategy<Value = Completion> {
    use {RunErrorCode as C, RunStatus as S};
    let status =
        prop::sample::select(vec![S::Succeeded, S::Failed, S::Cancelled, S::TimedOut, S::Interrupted]);
    let codes = vec![
        C::Violation,
        C::AgentError,
        C::AgentPanic,
        C::StepTimeout,
        C::RunTimeout,
        C::InvalidScript,
        C::Upstream,
        C::LimitReached,
        C::ResumeLimit,
        C::NodeLost,
    ];
    let error = (prop::sample::select(codes), text()).prop_map(|(code, message)| RunError { code, message });
    let usage =
        (number(), number()).prop_map(|(input_tokens, output_tokens)| Usage { input_tokens, output_tokens });
    (status, option::of(text()), option::of(error), number(), option::of(usage), option::of(run_id()))
        .prop_map(|(status, final_response, error, duration_ms, usage, merged_into)| Completion {
            status,
            final_response,
            error,
            duration_ms,
            usage,
            merged_into,
        })
}

fn event() -> impl Strategy<Value = Event> {
    use ThoughtKind as K;
    let kind = prop::sample::select(vec![K::Reasoning, K::Answer, K::Progress]);
    let by = prop::sample::select(vec![CallOwner::Agent, CallOwner::Client]);
    prop_oneof![
        message_id().prop_map(|message_id| Event::Started { message_id }),
        (kind, text(), any::<bool>()).prop_map(|(kind, delta, reset)| Event::Thinking(Thought {
            kind,
            delta,
            reset
        })),
        (call_id(), tool_name(), object(), by).prop_map(|(call_id, tool_name, parameters, by)| {
            Event::ToolExecuting(Call { call_id, tool_name, parameters, by })
        }),
        (call_id(), tool_name(), result(), number()).prop_map(|(call_id, tool_name, result, duration_ms)| {
            Event::ToolCompleted { call_id, tool_name, result, duration_ms }
        }),
        completion().prop_map(Event::Completed),
    ]
}

/// Generates entries, legal in their runs or not; the encoding does not depend on it.
pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let body = prop_oneof![
        1 => (message_id(), text(), option::of(number()), any::<bool>()).prop_map(|(message_id, text, parent, steers)| {
            Body::UserMessage { message_id, text, parent: parent.map(Offset), steers }
        }),
        5 => (number(), event()).prop_map(|(seq, event)| Body::Event { seq: Seq(seq), event }),
    ];
    let of_run = (number(), thread_id(), run_id(), number(), agent_name(), body).prop_map(
        |(offset, thread_id, run_id, timestamp, agent_name, body)| {
            let (offset, timestamp) = (Offset(offset), Timestamp(timestamp));
            Entry::Run(RunEntry { offset, thread_id, run_id, timestamp, agent_name, body })
        },
    );
    let change = prop_oneof![
        (option::of(title()), any::<bool>())
            .prop_map(|(title, archived)| ThreadChange::Updated { title, archived }),
        (number(), receipt())
            .prop_map(|(through, receipt)| ThreadChange::Erased { through: Offset(through), receipt }),
    ];
    let of_thread =
        (number(), thread_id(), number(), change).prop_map(|(offset, thread_id, timestamp, change)| {
            let (offset, timestamp) = (Offset(offset), Timestamp(timestamp));
            Entry::Thread(ThreadEntry { offset, thread_id, timestamp, change })
        });
    let log_erased =
        (number(), number(), number(), receipt()).prop_map(|(offset, timestamp, through, receipt)| {
            let (offset, timestamp, through) = (Offset(offset), Timestamp(timestamp), Offset(through));
            Entry::LogErased(LogErased { offset, timestamp, through, receipt })
        });
    let erased = (number(), number()).prop_map(|(offset, timestamp)| {
        Entry::Erased(ErasedEntry { offset: Offset(offset), timestamp: Timestamp(timestamp) })
    });
    prop_oneof![6 => of_run, 2 => of_thread, 1 => log_erased, 1 => erased]
}

pub(crate) fn title() -> impl Strategy<Value = Title> {
    text().prop_filter_map("a title", |text| {
        let text: String = text.chars().filter(|c| !c.is_control()).take(Title::CHARS_MAX).collect();
        Title::parse(&text).ok()
    })
}

fn receipt() -> impl Strategy<Value = ReceiptId> {
    any::<u128>().prop_map(|bits| ReceiptId(uuid::Uuid::from_u128(bits)))
}

fn credential() -> impl Strategy<Value = Credential> {
    let secret = || text().prop_map(|text| format!("s{}", text.chars().take(40).collect::<String>()));
    prop_oneof![secret().prop_map(Credential::Ticket), secret().prop_map(Credential::Token)]
}

fn nonce() -> impl Strategy<Value = Nonce> {
    prop_oneof![
        "[a-z\\\\\"é]{0,20}".prop_map(|t| serde_json::to_string(&t).unwrap()),
        "-?[1-9][0-9]{0,20}(\\.[0-9]+)?"
    ]
    .prop_map(|text| Nonce::read(serde_json::from_str(&text).unwrap()).unwrap())
}

/// Generates well-formed client frames.
pub(crate) fn client_frame() -> impl Strategy<Value = ClientFrame> {
    use ClientFrame as F;
    let epoch = any::<u128>().prop_map(|bits| Epoch(uuid::Uuid::from_u128(bits)));
    let on_busy =
        prop::sample::select(vec![OnBusy::Enqueue, OnBusy::Reject, OnBusy::Interrupt, OnBusy::Steer]);
    let message_text = text().prop_map(|text| if text.is_empty() { "x".to_owned() } else { text });
    let answered = result().prop_map(|result| CallResult {
        status: match result.status {
            status @ (CallStatus::Ok | CallStatus::Declined) => status,
            _ => CallStatus::Error,
        },
        ..result
    });
    prop_oneof![
        (option::of(credential()), option::of(epoch), option::of(number())).prop_map(
            |(credential, epoch, after)| {
                let after = after.map(Offset);
                let cursor = after.map_or(ResumeCursor::Head, |after| ResumeCursor::After { epoch, after });
                F::Hello(Hello { credential, cursor })
            }
        ),
        (message_id(), thread_id(), message_text, option::of(agent_name()), on_busy, option::of(number()))
            .prop_map(|(message_id, thread_id, text, agent_name, on_busy, parent)| {
                let parent = parent.map(Offset);
                F::SendMessage(NewMessage { message_id, thread_id, text, agent_name, on_busy, parent })
            }),
        run_id().prop_map(|run_id| F::CancelRun(CancelRun { run_id })),
        (run_id(), call_id(), answered).prop_map(|(run_id, call_id, result)| F::CompleteCall(CompleteCall {
            run_id,
            call_id,
            result
        })),
        (thread_id(), option::of(option::of(title())), option::of(any::<bool>())).prop_map(
            |(thread_id, title, archived)| {
                let update = ThreadUpdate { title, archived };
                F::UpdateThread(UpdateThread { thread_id, update })
            }
        ),
        thread_id().prop_map(|thread_id| F::EraseThread(EraseThread { thread_id })),
        credential().prop_map(|credential| F::Renew(Renew { credential })),
        option::of(nonce()).prop_map(|nonce| F::Ping(Ping { nonce })),
    ]
}

/// Returns one of each client frame, as in the examples of the documentation.
pub(crate) fn client_frames() -> Vec<ClientFrame> {
    let run_id = run_id_of("01a1ee56-5e01-7c3d-8e4f-0123456789ab");
    vec![
        ClientFrame::Hello(Hello {
            credential: Some(Credential::Ticket("dGlja2V0LW9mLWFubg".into())),
            cursor: ResumeCursor::After {
                epoch: Some(Epoch::parse("01a1b2bb-9400-7a10-9b52-4f6d0c1e8a37").unwrap()),
                after: Offset(5),
            },
        }),
        ClientFrame::Hello(Hello { credential: None, cursor: ResumeCursor::Head }),
        ClientFrame::SendMessage(NewMessage {
            message_id: MessageId::parse("m-1").unwrap(),
            thread_id: ThreadId::parse("t-1").unwrap(),
            text: "What is the weather in Oslo?".into(),
            agent_name: Some(AgentName::parse("assistant").unwrap()),
            on_busy: OnBusy::Enqueue,
            parent: Some(Offset::ZERO),
        }),
        ClientFrame::CancelRun(CancelRun { run_id }),
        ClientFrame::CompleteCall(CompleteCall {
            run_id,
            call_id: CallId::parse("q1").unwrap(),
            result: CallResult::ok(Json::parse(r#"{"approved":true}"#).unwrap()),
        }),
        ClientFrame::UpdateThread(UpdateThread {
            thread_id: ThreadId::parse("t-1").unwrap(),
            update: ThreadUpdate {
                title: Some(Some(Title::parse("The weather in Oslo").unwrap())),
                archived: Some(false),
            },
        }),
        ClientFrame::EraseThread(EraseThread { thread_id: ThreadId::parse("t-1").unwrap() }),
        ClientFrame::Renew(Renew { credential: Credential::Token("eyJhbGciOiJIUzI1NiJ9.e30.c2ln".into()) }),
        ClientFrame::Ping(Ping { nonce: Some(Nonce::read(serde_json::from_str("17").unwrap()).unwrap()) }),
    ]
}

/// Returns one of each frame of the service, as in the examples of the documentation.
pub(crate) fn server_frames() -> Vec<ServerFrame> {
    let message_id = MessageId::parse("m-1").unwrap();
    let socket = server::SocketLimits {
        frame_bytes_max: 524_288,
        pong_timeout_ms: 10_000,
        user_connections_max: 64,
        user_frames_per_second_max: 500,
    };
    vec![
        ServerFrame::Ready(server::Ready {
            protocol: server::PROTOCOL,
            connection_id: ConnectionId::parse("01a1ee56-5c0c-7f08-a1d4-9c3b5e7f2081").unwrap(),
            user_id: ann(),
            epoch: Epoch::parse("01a1b2bb-9400-7a10-9b52-4f6d0c1e8a37").unwrap(),
            resumed_after: Offset(5),
            head: Offset(7),
            gap: None,
            heartbeat_ms: 25_000,
            limits: server::ClientLimits::new(
                &Limits::DEFAULT,
                &connection::ConnectionLimits::DEFAULT,
                socket,
            ),
        }),
        ServerFrame::CaughtUp(server::CaughtUp { head: Offset(7) }),
        ServerFrame::Accepted(server::Accepted {
            message_id: message_id.clone(),
            run_id: run_id_of("01a1ee56-5e01-7c3d-8e4f-0123456789ab"),
            message_offset: Offset(1),
            duplicate: false,
        }),
        ServerFrame::Error(server::Error {
            message_id: Some(message_id),
            retry_after_ms: Some(1_000),
            ..server::Error::new(ErrorCode::Draining, "the service is draining")
        }),
        ServerFrame::Renewed(server::Renewed { expires_at: Timestamp(1_795_000_900_000) }),
        ServerFrame::Pong(server::Pong {
            nonce: Some(Nonce::read(serde_json::from_str("17").unwrap()).unwrap()),
        }),
        ServerFrame::Draining(server::Draining { reconnect_after_ms: 1_000 }),
    ]
}
