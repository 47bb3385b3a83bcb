//! A PostgreSQL server for tests, which `tests/postgres/run.sh` starts.

use quintet_postgres::{PostgresJournal, PostgresOptions};
use tokio_postgres::NoTls;

/// The variable with the address of the server, as a superuser, in the key-value form of libpq.
pub const ADDRESS: &str = "POSTGRES_ADDRESS";

/// Returns the address of the server. Without one, returns `None`, and fails under CI.
pub fn address() -> Option<String> {
    let address = std::env::var(ADDRESS).ok();
    if address.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{ADDRESS} is not set: use tests/postgres/run.sh");
        eprintln!("skipped for PostgreSQL: {ADDRESS} is not set, see tests/postgres/run.sh");
    }
    address
}

/// Creates an empty schema and returns the address that leads to it.
pub async fn schema() -> Option<String> {
    let address = address()?;
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    execute(&address, &format!("CREATE SCHEMA {name}")).await;
    Some(format!("{address} options='-csearch_path={name}'"))
}

/// Opens a journal in a schema of its own.
pub async fn journal() -> Option<PostgresJournal> {
    Some(open(&schema().await?).await)
}

/// Opens the journal at an address.
pub async fn open(address: &str) -> PostgresJournal {
    PostgresJournal::open(PostgresOptions::new(address)).await.unwrap()
}

/// Executes statements on a connection of their own.
pub async fn execute(address: &str, statements: &str) {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
    let tasks = quintet_runtime::tasks::Tasks::default();
    tasks.spawn(connection);
    client.batch_execute(statements).await.unwrap();
    drop(client);
    tasks.finished().await;
}
