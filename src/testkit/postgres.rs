//! A PostgreSQL server for tests, which `tests/postgres/run.sh` starts.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use quintet_postgres::{PostgresJournal, PostgresOptions};
use tokio_postgres::NoTls;

/// The variable with the address of the server, as a superuser, as a URL.
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
    Some(format!("{address}?options=-csearch_path%3D{name}"))
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

/// A server of one test, which may kill it.
pub struct Server {
    folder: PathBuf,
    bin: PathBuf,
}

impl Server {
    /// Creates a cluster and starts its server. Without PostgreSQL, returns `None`, and fails under CI.
    pub fn start() -> Option<Self> {
        address()?;
        let bin = PathBuf::from(std::env::var_os("POSTGRES_BIN").expect("tests/postgres/run.sh sets it"));
        let name = format!("quintet-postgres-{}", uuid::Uuid::now_v7().simple());
        let folder = std::env::temp_dir().join(name);
        let server = Self { folder, bin };
        let data = server.data();
        server.run(
            "initdb",
            &["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "-D", &data],
        );
        let socket = server.folder.to_str().unwrap();
        let settings = format!("listen_addresses = ''\nunix_socket_directories = '{socket}'\n");
        let configuration = server.folder.join("data/postgresql.conf");
        let existing = fs::read_to_string(&configuration).unwrap();
        fs::write(configuration, existing + &settings).unwrap();
        server.again();
        Some(server)
    }

    /// Returns the address of the server, as a superuser.
    pub fn address(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.folder.to_str().unwrap().replace('/', "%2F"))
    }

    /// Kills the server without notice, with all its processes.
    pub fn kill(&self) {
        let pids = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let main = pids.lines().next().unwrap().to_owned();
        let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap_or_default();
        for pid in std::iter::once(main.as_str()).chain(children.split_whitespace()) {
            // A process that has ended meanwhile is fine.
            let _ = Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
        }
    }

    /// Starts the server after a kill. Its processes may still be ending, which makes an attempt fail.
    pub fn again(&self) {
        let data = self.data();
        let log = self.folder.join("log").to_str().unwrap().to_owned();
        let started = (0..50).any(|_| {
            let arguments = ["--silent", "--wait", "--log", &log, "-D", &data, "start"];
            self.command("pg_ctl", &arguments).status().unwrap().success()
        });
        assert!(started, "{}", fs::read_to_string(log).unwrap_or_default());
    }

    fn data(&self) -> String {
        self.folder.join("data").to_str().unwrap().to_owned()
    }

    /// Returns a command of PostgreSQL, which refuses to run as root.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let path = self.bin.join(name);
        let mut command =
            match fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)) {
                Ok(0) => {
                    let mut command = Command::new("runuser");
                    command.args(["-u", "postgres", "--"]).arg(path);
                    command
                }
                _ => Command::new(path),
            };
        command.args(arguments).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self, name: &str, arguments: &[&str]) {
        assert!(self.command(name, arguments).status().unwrap().success(), "{name} failed");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
