//! `--monitor` on a service that breaks its rules: its journal returns false data, and the monitor of
//! live traffic has to count each violation, while the service continues.
//!
//! A process of its own, since violations are counted per process. Its traces are kept apart: `accept` has to
//! refuse them (`docs/model/traces.md`).

use std::sync::Arc;

use async_trait::async_trait;
use quintet::{
    gateway::limits::GatewayLimits,
    journal::{
        Journal, JournalError, JournalLayer, Lines, Log, LogLayer, ReadLimit, lines::LinesBuilder,
        memory::MemoryJournal,
    },
    kernel::ids::{Offset, UserId},
};
use quintet_testkit::gateway::{self as harness, TestService, violations};
use serde_json::json;

/// The defect of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    /// Replays of one user bear another's name (ISO-1).
    Misfiles,
    /// A replay leaves its second entry out (DEL-2).
    Skips,
}

struct Defective {
    journal: Arc<MemoryJournal>,
    defect: Defect,
}

struct DefectiveLog {
    log: Arc<dyn Log>,
    defect: Defect,
}

#[async_trait]
impl JournalLayer for Defective {
    fn inner(&self) -> &dyn Journal {
        &*self.journal
    }

    fn log(&self, user_id: &UserId) -> Arc<dyn Log> {
        Arc::new(DefectiveLog { log: self.journal.log(user_id), defect: self.defect })
    }
}

#[async_trait]
impl LogLayer for DefectiveLog {
    fn inner(&self) -> &dyn Log {
        &*self.log
    }

    async fn read(&self, after: Offset, limit: ReadLimit) -> Result<Lines, JournalError> {
        let lines = self.log.read(after, limit).await?;
        let mut changed = LinesBuilder::new(lines.first());
        for (offset, line) in lines.iter() {
            let text = String::from_utf8(line.to_vec()).expect("an entry is text");
            let text = match self.defect {
                Defect::Misfiles => text.replace("\"user_id\":\"ada\"", "\"user_id\":\"bob\""),
                Defect::Skips if offset.0 >= 2 => {
                    text.replace(&format!("\"offset\":{offset},"), &format!("\"offset\":{},", offset.0 + 1))
                }
                Defect::Skips => text,
            };
            changed.push(|out| out.extend_from_slice(text.as_bytes()));
        }
        Ok(changed.finish())
    }
}

async fn service(defect: Defect) -> TestService {
    let journal = Arc::new(MemoryJournal::default());
    let used = Arc::new(Defective { journal: journal.clone(), defect });
    TestService::on(used, journal, GatewayLimits::DEFAULT, harness::trace_file("refused")).await
}

fn count(rule: &str) -> u64 {
    violations().iter().find(|(found, _)| found == rule).map_or(0, |(_, count)| *count)
}

/// A service that has forgotten a whole run of ada's, so that it replays it from the journal.
async fn replayed(defect: Defect) -> TestService {
    let mut service = service(defect).await;
    let (mut client, _) = service.open("ada").await;
    client.message("m1", "hello").await;
    service.answer("there").await;
    client.until("agent_completed").await;
    drop(client);
    harness::until(|| service.running.gateway().factory.live_users() == 0).await;
    service
}

#[tokio::test]
async fn violations_of_a_journal_are_counted_by_rule_and_the_service_continues() {
    assert_eq!(violations(), [], "no violation is counted yet");

    let iso_1 = replayed(Defect::Misfiles).await;
    let mut client = iso_1.known("ada").await;
    client.hello(json!({"after": 0})).await;
    client.until("caught_up").await;
    assert_eq!(violations(), [("ISO-1".to_owned(), 5)], "each of five entries");
    client.alive().await;

    let del_2 = replayed(Defect::Skips).await;
    let mut client = del_2.known("ada").await;
    client.hello(json!({"after": 0})).await;
    client.until("caught_up").await;
    assert_eq!(count("DEL-2"), 1, "one hole: {:?}", violations());
    client.alive().await;
}
