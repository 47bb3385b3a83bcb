//! Opening a database: its schema, its identity and its epoch.

use quintet_journal::JournalError;
use quintet_kernel::ids::Epoch;
use quintet_runtime::ids;
use tokio_postgres::{Client, GenericClient, types::Type};

use crate::{
    connect::Session,
    fault::{OpenError, fault, unavailable},
    schema::{MIGRATION_LOCK, MIGRATIONS, SCHEMA_VERSION},
};

/// The identity of a journal and of the cluster that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The current epoch, which clients see.
    pub(crate) epoch: Epoch,
    /// The epoch under which the journal was created, from which its hash chains start.
    pub(crate) origin: Epoch,
    /// The cluster and its timeline, which changes with each fail-over.
    place: String,
}

impl Identity {
    /// Checks that a new connection leads to the cluster and the timeline that the journal was opened on (DEL-3), and that
    /// what it commits is durable (DEL-1).
    pub(crate) async fn check(&self, session: &Session) -> Result<(), JournalError> {
        let off = switched_off(&session.client).await.map_err(|error| fault(&error))?;
        if let Some(setting) = off {
            return Err(unavailable(format!(
                "the server has {setting} = off, and would lose acknowledged entries"
            )));
        }
        let place = place(&session.client).await.map_err(|error| fault(&error))?;
        if place == self.place {
            return Ok(());
        }
        metrics::counter!("quintet_postgres_failovers_seen_total").increment(1);
        tracing::error!("the database has failed over or was replaced; the journal has to be opened anew");
        Err(unavailable("the database has failed over or was replaced: restart the service"))
    }
}

/// Returns the identifier of the cluster, and its timeline. The control file is not asked for the timeline: it has the
/// earlier one until the next checkpoint.
async fn place(client: &impl GenericClient) -> Result<String, tokio_postgres::Error> {
    let row = client
        .query_typed_one(
            "SELECT system_identifier::text || '/' ||
                    substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) FROM pg_control_system()",
            &[],
        )
        .await?;
    row.try_get(0)
}

/// Returns a setting of the connection with which a crash of the server could undo a commit (DEL-1). The other values of
/// `synchronous_commit` decide on replicas only.
async fn switched_off(client: &impl GenericClient) -> Result<Option<String>, tokio_postgres::Error> {
    let row = client
        .query_typed_opt(
            "SELECT name FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit') AND setting = 'off' LIMIT 1",
            &[],
        )
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Creates or migrates the tables, and returns the identity of the journal. A journal that is in another cluster or on
/// another timeline than before begins a new epoch: entries that clients have seen may be missing (DEL-3).
pub(crate) async fn prepare(client: &mut Client) -> Result<Identity, OpenError> {
    let version = client.query_typed_one("SHOW server_version_num", &[]).await?;
    let version: String = version.try_get(0)?;
    if version.parse::<u32>().is_ok_and(|number| number < 150_000) {
        return Err(OpenError::OldServer { found: version });
    }
    if let Some(setting) = switched_off(client).await? {
        return Err(OpenError::NotDurable { setting });
    }
    let transaction = client.transaction().await?;
    transaction.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&MIGRATION_LOCK, Type::INT8)]).await?;
    migrate(&transaction).await?;
    let place = place(&transaction).await?;
    let epoch = meta_epoch(&transaction, "epoch").await?;
    let origin = meta_epoch(&transaction, "origin").await?;
    let known = meta(&transaction, "place").await?;
    let epoch = match known {
        Some(known) if known != place => {
            let epoch = Epoch(ids::fresh());
            metrics::counter!("quintet_journal_rollbacks_total", "evidence" => "timeline").increment(1);
            tracing::warn!(
                "the database was restored, or has failed over: entries may be lost, and every client gets a gap"
            );
            set(&transaction, "epoch", &epoch.to_string()).await?;
            epoch
        }
        _ => epoch,
    };
    set(&transaction, "place", &place).await?;
    transaction.commit().await?;
    Ok(Identity { epoch, origin, place })
}

async fn migrate(client: &impl GenericClient) -> Result<(), OpenError> {
    let tables = client
        .query_typed_one(
            "SELECT to_regclass('meta') IS NOT NULL,
                    to_regclass('meta') IS NOT NULL OR to_regclass('users') IS NOT NULL
                    OR to_regclass('batches') IS NOT NULL OR to_regclass('runs') IS NOT NULL",
            &[],
        )
        .await?;
    let (has_meta, has_any): (bool, bool) = (tables.try_get(0)?, tables.try_get(1)?);
    let version = match (has_meta, has_any) {
        (true, _) => {
            // A table `meta` of another application may have other columns.
            let value = meta(client, "version").await.map_err(|_| OpenError::NotAJournal)?;
            value.and_then(|text| text.parse::<u32>().ok()).ok_or(OpenError::NotAJournal)?
        }
        (false, true) => return Err(OpenError::NotAJournal),
        (false, false) => 0,
    };
    if version > SCHEMA_VERSION {
        return Err(OpenError::NewerSchema { found: version, known: SCHEMA_VERSION });
    }
    for step in &MIGRATIONS[version as usize..] {
        client.batch_execute(step).await?;
    }
    if version == 0 {
        let epoch = Epoch(ids::fresh()).to_string();
        set(client, "epoch", &epoch).await?;
        set(client, "origin", &epoch).await?;
    }
    set(client, "version", &SCHEMA_VERSION.to_string()).await
}

async fn meta(client: &impl GenericClient, name: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let row =
        client.query_typed_opt("SELECT value FROM meta WHERE name = $1", &[(&name, Type::TEXT)]).await?;
    row.map(|row| row.try_get(0)).transpose()
}

async fn meta_epoch(client: &impl GenericClient, name: &str) -> Result<Epoch, OpenError> {
    let text = meta(client, name).await?;
    text.and_then(|text| Epoch::parse(&text).ok())
        .ok_or_else(|| OpenError::Damaged(format!("it has no {name}")))
}

async fn set(client: &impl GenericClient, name: &str, value: &str) -> Result<(), OpenError> {
    client
        .execute_typed(
            "INSERT INTO meta (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE meta.value <> excluded.value",
            &[(&name, Type::TEXT), (&value, Type::TEXT)],
        )
        .await?;
    Ok(())
}
