//! The examples of conversations: threads, folded runs, waiting calls and erasures.

use bytes::BytesMut;
use quintet_kernel::{
    entry::Entry,
    fold::FoldedRun,
    ids::{AgentName, CallId, Epoch, Offset, ReceiptId, ThreadId, Timestamp, Title, ToolName},
    json::Json,
};
use serde::Serialize;

use crate::{
    client::form::ThreadUpdateForm,
    sample::{self, run_id_of},
    threads::{
        CallsPage, ErasureInfo, RunsPage, RunsPageEnd, ThreadInfo, ThreadRun, ThreadsPage, WaitingCallInfo,
    },
};

pub(super) fn bodies() -> Vec<String> {
    let run_id = run_id_of("01a1ee56-5e01-7c3d-8e4f-0123456789ab");
    let thread_id = ThreadId::parse("t-1").unwrap();
    let agent_name = AgentName::parse("assistant").unwrap();
    let title = Title::parse("Weather in Oslo").unwrap();
    let thread = ThreadInfo {
        thread_id: thread_id.clone(),
        title: Some(title.clone()),
        first_text: Some("What is the weather in Oslo?".into()),
        archived: false,
        agent_name: Some(agent_name.clone()),
        first_offset: Offset(1),
        last_offset: Offset(7),
        last_at: Timestamp(1_795_000_000_007),
        messages: 1,
        open_run: None,
        open_runs: 0,
    };
    vec![
        json(&ThreadsPage { head: Offset(7), threads: vec![thread.clone()], next_before: None }),
        json(&ThreadUpdateForm { title: Some(Some(&title)), archived: None }),
        json(&thread),
        runs(),
        json(&CallsPage {
            calls: vec![WaitingCallInfo {
                thread_id: thread_id.clone(),
                run_id,
                agent_name,
                call_id: CallId::parse("q1").unwrap(),
                tool_name: ToolName::parse("approve").unwrap(),
                parameters: Json::parse(r#"{"question":"Shall I book it?"}"#).unwrap(),
                opened_offset: Offset(12),
                opened_at: Timestamp(1_795_000_000_012),
                deadline: Some(Timestamp(1_795_086_400_012)),
            }],
            next_after: None,
        }),
        json(&ErasureInfo {
            receipt: ReceiptId::parse("01a1ee56-6000-7c3d-8e4f-0123456789ab").unwrap(),
            thread_id: Some(thread_id),
            erased_through: Offset(12),
            chain_head: "9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a".into(),
            requested_at: Timestamp(1_795_000_000_020),
            completed_at: None,
            entries: 0,
        }),
    ]
}

/// The folded run of the sample entries.
pub(crate) fn runs() -> String {
    let mut entries = sample::one_of_each().into_iter().filter_map(Entry::into_run);
    let mut run = FoldedRun::begin(entries.next().unwrap(), Offset::ZERO).unwrap();
    entries.for_each(|entry| run.take(entry));
    let mut body = BytesMut::new();
    let epoch = Epoch::parse("01a1b2bb-9400-7a10-9b52-4f6d0c1e8a37").unwrap();
    RunsPage { epoch, head: Offset(7) }.begin(&mut body);
    ThreadRun::from(run).encode(&mut body);
    RunsPageEnd { next_before: None }.end(&mut body);
    String::from_utf8(body.to_vec()).unwrap()
}

fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap()
}
