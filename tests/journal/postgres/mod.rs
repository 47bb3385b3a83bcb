//! What only the journal in PostgreSQL has: several processes, a server that dies, and commits of unknown outcome.

mod claim;
mod kills;
mod nodes;
mod shared;
mod unknown;
mod wakes;

use quintet_postgres::{PostgresJournal, PostgresOptions};
use quintet_testkit::postgres::{Server, execute, open, schema};

/// Opens a journal that shares its database with others.
async fn open_shared(address: &str) -> PostgresJournal {
    let options = PostgresOptions { exclusive: false, ..PostgresOptions::new(address) };
    PostgresJournal::open(options).await.unwrap()
}

/// Settings whose waits end soon.
fn hasty(address: &str) -> PostgresOptions {
    let mut options = PostgresOptions::new(address);
    options.limits.postgres_lease_ms = 1_000;
    options.limits.postgres_renewal_interval_ms = 250;
    options.limits.postgres_lease_margin_ms = 100;
    options.limits.postgres_append_timeout_ms = 500;
    options.limits.postgres_settle_timeout_ms = 300;
    options.limits.postgres_reconnect_interval_ms_max = 50;
    options
}

/// Connects to the database without the journal.
async fn client(address: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await.unwrap();
    quintet::runtime::tasks::Tasks::default().spawn(connection);
    client
}

/// A lock that another transaction holds.
struct Lock(tokio_postgres::Client);

impl Lock {
    async fn take(address: &str, statement: &str) -> Self {
        let client = client(address).await;
        client.batch_execute(&format!("BEGIN; {statement}")).await.unwrap();
        Self(client)
    }

    async fn keep(self) {
        self.0.batch_execute("COMMIT").await.unwrap();
    }

    async fn undo(self) {
        self.0.batch_execute("ROLLBACK").await.unwrap();
    }
}
