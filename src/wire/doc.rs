//! Tests that compare `docs/protocol.md` with the code: examples are real encodings, and all codes, limits and
//! routes are listed.

pub(crate) mod threads;

use std::collections::BTreeSet;

use bytes::BytesMut;
use quintet_kernel::{
    entry::RunStatus,
    ids::{AgentName, CallId, Epoch, MessageId, Offset, ThreadId, Timestamp},
    limits::Limits,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    client::ClientFrame,
    codes::{CloseCode, ErrorCode, Retry},
    entry,
    http::{
        AgentInfo, AgentsList, CallCompleted, EntriesPage, EntriesPageBefore, EntriesPageBeforeEnd,
        EntriesPageEnd, ExportEnd, ExportGap, ExportHeader, LoggedIn, LoginRequest, MessageAccepted,
        RunCancelled, RunInfo, RunState, TicketIssued, TicketRequest,
    },
    problem::Problem,
    sample::{self, ann, run_id_of},
    schema,
};

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

/// Returns the lines of the document's JSON blocks.
fn examples() -> BTreeSet<&'static str> {
    let blocks = DOCUMENT.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).collect()
}

fn lines() -> Vec<String> {
    let line = |entry| {
        let mut line = BytesMut::new();
        entry::encode(&ann(), &entry, &mut line);
        String::from_utf8(line.to_vec()).unwrap()
    };
    sample::one_of_each().into_iter().map(line).collect()
}

fn encodings() -> BTreeSet<String> {
    let client = sample::client_frames().into_iter().map(|frame| frame.encode());
    let server = sample::server_frames().into_iter().map(|frame| frame.encode());
    lines().into_iter().chain(client).chain(server).chain(bodies()).chain(threads::bodies()).collect()
}

fn bodies() -> Vec<String> {
    let run_id = run_id_of("01a1ee56-5e01-7c3d-8e4f-0123456789ab");
    let thread_id = ThreadId::parse("t-1").unwrap();
    let message_id = MessageId::parse("m-1").unwrap();
    let agent_name = AgentName::parse("assistant").unwrap();
    let at = Timestamp(1_795_000_000_001);
    let page = EntriesPage {
        epoch: Epoch::parse("01a1b2bb-9400-7a10-9b52-4f6d0c1e8a37").unwrap(),
        after: Offset(5),
        head: Offset(7),
        gap: None,
    };
    let mut body = BytesMut::new();
    let end = EntriesPageEnd { next_after: None };
    page.encode(lines()[5..7].iter().map(|line| line.as_bytes()), end, &mut body);
    let before = EntriesPageBefore {
        epoch: Epoch::parse("01a1b2bb-9400-7a10-9b52-4f6d0c1e8a37").unwrap(),
        before: Offset(3),
        head: Offset(7),
        gap: None,
    };
    let mut body_before = BytesMut::new();
    let end = EntriesPageBeforeEnd { next_before: None };
    before.encode(lines()[..2].iter().map(|line| line.as_bytes()), end, &mut body_before);
    let answer = sample::client_frames().into_iter().find_map(|frame| match frame {
        ClientFrame::CompleteCall(call) => Some(call.result),
        _ => None,
    });
    let answered = super::client::form::AnswerForm {
        status: super::client::form::CallOutcome::Ok,
        results: answer.as_ref().map(|result| &result.results),
        error: None,
    };
    vec![
        String::from_utf8(body.to_vec()).unwrap(),
        String::from_utf8(body_before.to_vec()).unwrap(),
        json(&ExportHeader {
            epoch: before.epoch,
            user_id: ann(),
            trimmed: Offset::ZERO,
            head: Offset(7),
            exported_at: at,
        }),
        json(&ExportGap { from: Offset(1), to: Offset(2) }),
        json(&ExportEnd { entries: 7 }),
        json(&TicketRequest { ttl_ms: Some(30_000) }),
        json(&TicketIssued {
            ticket: "dGlja2V0LW9mLWFubg".into(),
            expires_at: Timestamp(1_795_000_030_000),
            expires_in_ms: 30_000,
        }),
        json(&MessageAccepted {
            run_id,
            message_id: message_id.clone(),
            message_offset: Offset(1),
            duplicate: false,
        }),
        json(&RunInfo {
            run_id,
            thread_id,
            message_id,
            agent_name: agent_name.clone(),
            parent: Offset::ZERO,
            state: RunState::Completed,
            status: Some(RunStatus::Succeeded),
            accepted_offset: Offset(1),
            started_offset: Some(Offset(2)),
            completed_offset: Some(Offset(7)),
            accepted_at: at,
            merged_into: None,
        }),
        json(&RunCancelled { run_id }),
        json(&answered),
        json(&CallCompleted { run_id, call_id: CallId::parse("q1").unwrap() }),
        json(&AgentsList {
            agents: vec![AgentInfo {
                agent_name,
                description: "Calculates, tells the time, searches your own messages.".into(),
                default: true,
            }],
        }),
        json(&LoginRequest { user_id: ann() }),
        json(&LoggedIn {
            token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".into(),
            user_id: ann(),
            expires_at: Timestamp(1_795_000_900_000),
        }),
        Problem::new(ErrorCode::NotFound, "there is no such thing here").encode(),
    ]
}

fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap()
}

/// Each example equals an encoding of the samples, and each encoding has an example.
#[test]
fn the_examples_of_the_document_are_real() {
    let (examples, encodings) = (examples(), encodings());
    for example in &examples {
        assert!(encodings.contains(*example), "not what the code writes:\n{example}");
    }
    for encoding in &encodings {
        assert!(examples.contains(encoding.as_str()), "has no example:\n{encoding}");
    }
    let types = examples.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone());
    let types: BTreeSet<_> = types.filter_map(|t| t.as_str().map(str::to_owned)).collect();
    for name in schema::CLIENT.iter().chain(&schema::SERVER).chain(&schema::ENTRY) {
        assert!(types.contains(*name), "no example of {name}");
    }
}

/// Returns the cells of each table row of the document.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").collect()).collect()
}

#[test]
fn every_error_code_has_its_row_with_its_status() {
    for code in ErrorCode::ALL {
        let name = format!("`{}`", code.as_str());
        let row = rows().into_iter().find(|row| row[0] == name && row.len() == 4);
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        assert_eq!(row[1], code.http_status().to_string(), "{name}");
    }
}

#[test]
fn conn_3_every_close_code_has_its_row_with_the_next_step() {
    for code in CloseCode::ALL {
        let number = code.number().to_string();
        let row = rows().into_iter().find(|row| row[0] == number);
        let row = row.unwrap_or_else(|| panic!("{number} has no row"));
        let advice = match code.retry() {
            Retry::None => "–",
            Retry::Retry => "retry",
            Retry::RetryLater => "retry later",
            Retry::NewCredential => "new credential",
            Retry::Final => "final",
        };
        assert_eq!((row[1], row[3]), (code.reason().split(';').next().unwrap(), advice), "{number}");
    }
}

#[test]
fn every_limit_of_ready_has_its_row() {
    let ready: Value = serde_json::from_str(&sample::server_frames()[0].encode()).unwrap();
    for (name, value) in ready["limits"].as_object().unwrap() {
        let row = rows().into_iter().find(|row| row[0] == format!("`{name}`"));
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        assert_eq!(row[1].replace(',', ""), value.to_string(), "{name}");
    }
    assert_eq!(Limits::DEFAULT.text_bytes_max, super::client::TEXT_BYTES_MAX);
}

#[test]
fn every_route_has_its_row() {
    for (path, methods) in super::openapi::document()["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let route = format!("`{} {path}`", method.to_uppercase());
            assert!(rows().iter().any(|row| row[0] == route), "{route} has no row");
        }
    }
}
