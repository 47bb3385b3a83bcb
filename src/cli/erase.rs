//! `quintet erase`: erases a user's log, or one thread of it, in a journal that no service uses (DEL-8).

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;

use super::{args::EraseFlags, results::print};
use crate::{
    agent::host::{AgentCapabilities, AgentLauncher, Assignment},
    journal::{
        Journal, ReadLimit,
        sqlite::{OpenError, SqliteJournal, lock::LockError, schema::DATABASE_FILE},
    },
    kernel::{
        entry::{Entry, LogErased, ThreadChange},
        ids::{AgentName, ReceiptId, ToolName, UserId},
        user::EraseScope,
    },
    ops::config::Settings,
    user::{factory::Factory, limits::UserLimits},
    wire::{self, threads::ErasureInfo},
};

/// Erases, waits until nothing is left, and prints the receipt.
pub fn erase(folder: &Path, settings: &Settings, flags: &EraseFlags) -> anyhow::Result<ExitCode> {
    if !folder.join(DATABASE_FILE).is_file() {
        return Err(OpenError::NoJournal { folder: folder.to_owned() }.into());
    }
    let journal = match SqliteJournal::open(folder, settings.sqlite) {
        Err(error @ OpenError::Lock(LockError::InUse { .. })) => {
            let route = match flags.thread {
                Some(_) => "DELETE /v1/threads/{id}",
                None => "DELETE /v1/log",
            };
            return Err(error).context(format!("a service uses the journal: the user erases with {route}"));
        }
        opened => opened?,
    };
    let scope = flags.thread.clone().map_or(EraseScope::Log, EraseScope::Thread);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let erased = runtime.block_on(async {
        let receipt = receipt(&journal, &flags.user, scope, settings.user_limits()).await?;
        journal.close().await?;
        anyhow::Ok(receipt)
    });
    runtime.shutdown_timeout(SHUTDOWN_WAIT_MAX);
    let receipt = serde_json::to_string(&erased?).context("the receipt cannot be written as JSON")?;
    print(&(receipt + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Erases through the machines of the user, as a client's request does.
async fn receipt(
    journal: &SqliteJournal,
    user_id: &UserId,
    scope: EraseScope,
    limits: UserLimits,
) -> anyhow::Result<ErasureInfo> {
    let journal: Arc<dyn Journal> = Arc::new(journal.clone());
    let factory = Factory::new(journal, Arc::new(NoAgents::default()), limits);
    let user = factory.attach(user_id);
    let erasure = user.erase(scope).await?;
    let mut cursor = user.cursor(erasure.through).await?;
    loop {
        cursor.moved().await;
        let lines = cursor.read(cursor.head(), READ).await?;
        for (_, line) in lines.iter() {
            let (_, entry) = wire::entry::decode(&line)?;
            if closes(&entry) == Some(erasure.receipt) {
                let receipt = user.receipt(erasure.receipt).await?;
                return receipt.context("the journal has no record of the erasure");
            }
        }
    }
}

/// Returns the receipt of an entry that reports an erasure.
fn closes(entry: &Entry) -> Option<ReceiptId> {
    match entry {
        Entry::LogErased(LogErased { receipt, .. }) => Some(*receipt),
        Entry::Thread(thread) => match &thread.change {
            ThreadChange::Erased { receipt, .. } => Some(*receipt),
            ThreadChange::Updated { .. } => None,
        },
        Entry::Run(_) | Entry::Erased(_) => None,
    }
}

/// Leaves the open runs of other threads as they are, for the service to resume: an assignment that is held neither
/// steps nor ends its run.
#[derive(Default)]
struct NoAgents(Mutex<Vec<Assignment>>);

#[async_trait]
impl AgentLauncher for NoAgents {
    fn default_agent(&self) -> AgentName {
        AgentName::parse("none").expect("it is a name")
    }

    fn find(&self, _: &AgentName) -> Option<AgentCapabilities> {
        Some(AgentCapabilities { resumable: true })
    }

    /// An open call stays open.
    fn is_idempotent(&self, _: &AgentName, _: &ToolName) -> bool {
        true
    }

    fn launch(&self, assignment: Assignment) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(assignment);
    }
}

const READ: ReadLimit = ReadLimit { entries_max: 256, bytes_max: 1024 * 1024 };
/// Time for the machines of the user to end.
const SHUTDOWN_WAIT_MAX: Duration = Duration::from_secs(1);
