//! The command-line interface.

use std::path::PathBuf;

use crate::{
    kernel::ids::{RunId, ThreadId, UserId},
    ops::config::Raw,
};
use clap::{Args, Parser, Subcommand};

/// Chat clients on one side, AI agents on the other: every run's events to the user who owns it, in
/// order, durably, exactly once.
#[derive(Parser)]
#[command(version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "\
Getting started:
  quintet dev                     then open http://127.0.0.1:8080/ and send a message
  quintet serve --help            requirements of production

Each setting is a flag, a variable (QUINTET_LISTEN for --listen) or a key of the TOML file given
with --config, in this order of precedence. `quintet check-config` lists them all.

Exit codes: 0 success, 1 failure, 2 usage or configuration.")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: CliCommand,
}

#[derive(Subcommand)]
pub enum CliCommand {
    /// Run everything on this machine with nothing to configure
    #[command(long_about = "\
Runs everything on this machine with nothing to configure: a throw-away signing key, the journal in
./quintet-data, agents with real tools, a chat page on /. Any client can log in as any
user, so it accepts loopback addresses only.")]
    #[command(after_help = "\
Examples:
  quintet dev
  quintet dev --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0    free ports; see the ready line
  quintet dev --llm-url http://127.0.0.1:11434/v1 --llm-model qwen3       a model in Ollama

It prints one JSON line to stdout once it is ready. Ctrl-C drains it: runs end or reach a safe
point, clients are asked to reconnect. A second Ctrl-C stops it immediately.")]
    Dev(DevFlags),

    /// Run the service in production
    #[command(long_about = "\
Runs the service in production. It does not start without a key that verifies tokens and a list of
the browser origins that may connect. The user is the `sub` claim of the token.")]
    #[command(after_help = "\
Examples:
  quintet serve --jwks-url https://id.example.org/jwks.json --jwt-audience quintet \\
    --allow-origin https://chat.example.org
  quintet serve --jwt-public-key public.pem --allow-origin https://chat.example.org
  quintet serve --jwt-secret secret.txt --allow-origin https://chat.example.org
  quintet serve --config /etc/quintet.toml

SIGTERM drains: /readyz turns 503, runs end or reach a safe point, clients are asked to reconnect,
exit 0. A second signal stops it immediately, exit 1; accepted messages are not lost. SIGHUP
drains too.")]
    Serve(ServeFlags),

    /// Print the effective settings with their sources
    #[command(long_about = "\
Prints the effective settings as a TOML file with their sources; secrets are hidden. An unknown or
out-of-range setting is an error (exit code 2). Settings that `quintet serve` still requires are
listed on stderr.")]
    #[command(after_help = "\
Examples:
  quintet check-config
  quintet check-config --config /etc/quintet.toml")]
    CheckConfig(ServeFlags),

    /// Check a journal against every rule that a journal can show
    #[command(long_about = "\
Reads a journal, changes nothing, and checks it: every stored row, every user's hash chain, every
rule of the protocol that a journal can show, every index. Prints the findings; exit code 1 if any
rule is violated. The journal must not be in use; audit a backup instead.

With --export it writes one user's log, or one run of it, as a file that can be verified anywhere
with --verify, without the journal.")]
    #[command(after_help = "\
Examples:
  quintet audit
  quintet audit --data-dir /backup/monday --user ada --json
  quintet audit --user ada --run 018f3c2e-7b1a-7c3d-8e4f-0123456789ab --export evidence.jsonl
  quintet audit --verify evidence.jsonl")]
    Audit(AuditFlags),

    /// Copy the journal, also while a service uses it
    #[command(long_about = "\
Copies the current state of the journal to another folder, also while a service uses it. The copy
is a data folder: audit it, or serve it in place of the original. Clients then get a new epoch and
read the log again.")]
    #[command(after_help = "\
Example:
  quintet backup --data-dir /var/lib/quintet --to /backup/monday")]
    Backup(BackupFlags),

    /// Erase a user's log, or one thread of it
    #[command(long_about = "\
Erases a user's log, or one thread of it, in a journal that no service uses: its text is gone from
every file of the data folder, its offsets stay. Prints the receipt as JSON on stdout. While a
service runs, the user erases with DELETE /v1/log or DELETE /v1/threads/{id} instead. Backups are not
changed.")]
    #[command(after_help = "\
Examples:
  quintet erase --user ada
  quintet erase --data-dir /var/lib/quintet --user ada --thread t1")]
    Erase(EraseFlags),
}

/// Selects a journal.
#[derive(Args)]
pub struct JournalFlags {
    /// Folder of the embedded journal [default: ./quintet-data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// URL of the journal [default: embedded, in the data folder]
    #[arg(long, value_name = "URL")]
    journal: Option<String>,
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
pub struct AuditFlags {
    #[command(flatten)]
    pub journal: JournalFlags,
    /// Only this user
    #[arg(long, value_name = "USER_ID")]
    pub user: Option<UserId>,
    /// Only this run; with --export
    #[arg(long, value_name = "RUN_ID", requires = "user", requires = "export")]
    pub run: Option<RunId>,
    /// Write the user's log, or the run, to this file as evidence
    #[arg(long, value_name = "FILE", requires = "user")]
    pub export: Option<PathBuf>,
    /// Verify this evidence file; needs no journal
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "run", "export", "data_dir", "journal", "config"])]
    pub verify: Option<PathBuf>,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct BackupFlags {
    #[command(flatten)]
    pub journal: JournalFlags,
    /// Folder for the copy; created if missing, must not contain a journal
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
}

#[derive(Args)]
pub struct EraseFlags {
    #[command(flatten)]
    pub journal: JournalFlags,
    /// The user
    #[arg(long, value_name = "USER_ID")]
    pub user: UserId,
    /// Only this thread
    #[arg(long, value_name = "THREAD_ID")]
    pub thread: Option<ThreadId>,
}

#[derive(Args)]
pub struct DevFlags {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    origins: OriginFlags,
}

#[derive(Args)]
pub struct ServeFlags {
    #[command(flatten)]
    common: CommonArgs,
    /// HMAC secret that verifies tokens: one line of at least 32 printable characters
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jwt_public_key", "jwks_url"])]
    jwt_secret: Option<String>,
    /// Public key in PEM that verifies tokens: RSA, P-256, P-384 or Ed25519
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_url")]
    jwt_public_key: Option<String>,
    /// Rejected: the kind of a key is not guessed
    #[arg(long, value_name = "FILE", hide = true)]
    jwt_key: Option<String>,
    /// Key set that verifies tokens
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// Required audience (`aud`) of tokens; needed with --jwks-url
    #[arg(long, value_name = "TEXT", conflicts_with = "any_audience")]
    jwt_audience: Option<String>,
    /// Accept tokens for any audience: all applications of the issuer
    #[arg(long)]
    any_audience: bool,
    /// Required issuer (`iss`) of tokens
    #[arg(long, value_name = "TEXT")]
    jwt_issuer: Option<String>,
    #[command(flatten)]
    origins: OriginFlags,
}

#[derive(Args)]
struct OriginFlags {
    /// Browser origin that may connect, as https://chat.example.org or capacitor://localhost; repeatable
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
}

#[derive(Args)]
struct CommonArgs {
    /// Address for clients [default: 127.0.0.1:8080]; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address for operators: /livez, /readyz, /metrics [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// Folder of the embedded journal [default: ./quintet-data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// URL of the journal [default: embedded, in the data folder]
    #[arg(long, value_name = "URL")]
    journal: Option<String>,
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Language model in place of the built-in assistant, as http://127.0.0.1:11434/v1
    #[arg(long, value_name = "URL")]
    llm_url: Option<String>,
    /// Name of the model at --llm-url
    #[arg(long, value_name = "NAME")]
    llm_model: Option<String>,
    /// Interface of the model: openai-chat, openai-responses or anthropic [default: openai-chat]
    #[arg(long, value_name = "API")]
    llm_api: Option<String>,
    /// File with the key of the model; or the variable QUINTET_LLM_KEY
    #[arg(long, value_name = "FILE")]
    llm_key_file: Option<String>,
    /// Log filter, such as `info` or `warn,quintet::gateway=debug` [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Check live traffic against the rules; violations appear in the metrics and the log
    #[arg(long)]
    monitor: bool,
    /// Append a record of each transition to this file, for the trace checker
    #[arg(long, value_name = "FILE")]
    trace: Option<String>,
    /// Any other setting by its name, as `user_connections_max=10`; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Flags in the form that the settings take: the flag as typed, the name of the setting, the value.
pub type Flags = Vec<(String, String, Raw)>;

impl DevFlags {
    pub fn config(&self) -> Option<&PathBuf> {
        self.common.config.as_ref()
    }

    pub fn flags(&self) -> Flags {
        self.common.flags().into_iter().chain(self.origins.flags()).collect()
    }
}

impl ServeFlags {
    pub fn config(&self) -> Option<&PathBuf> {
        self.common.config.as_ref()
    }

    pub fn flags(&self) -> Flags {
        let credentials = [
            ("jwt_secret", &self.jwt_secret),
            ("jwt_public_key", &self.jwt_public_key),
            ("jwt_key", &self.jwt_key),
            ("jwks_url", &self.jwks_url),
            ("jwt_audience", &self.jwt_audience),
            ("jwt_issuer", &self.jwt_issuer),
        ];
        let any_audience = self
            .any_audience
            .then(|| ("--any-audience".to_owned(), "any_audience".to_owned(), Raw::Text("true".to_owned())));
        let common = self.common.flags().into_iter();
        common.chain(given(&credentials)).chain(any_audience).chain(self.origins.flags()).collect()
    }
}

impl JournalFlags {
    pub fn config(&self) -> Option<&PathBuf> {
        self.config.as_ref()
    }

    pub fn flags(&self) -> Flags {
        given(&[("data_dir", &self.data_dir), ("journal", &self.journal)]).collect()
    }
}

impl OriginFlags {
    fn flags(&self) -> Option<(String, String, Raw)> {
        let origins = (!self.allow_origin.is_empty()).then(|| Raw::List(self.allow_origin.clone()))?;
        Some(("--allow-origin".to_owned(), "allow_origin".to_owned(), origins))
    }
}

impl CommonArgs {
    fn flags(&self) -> Flags {
        let named = [
            ("listen", &self.listen),
            ("admin_listen", &self.admin_listen),
            ("data_dir", &self.data_dir),
            ("journal", &self.journal),
            ("llm_url", &self.llm_url),
            ("llm_model", &self.llm_model),
            ("llm_api", &self.llm_api),
            ("llm_key_file", &self.llm_key_file),
            ("log", &self.log),
        ];
        let set = self
            .set
            .iter()
            .map(|(name, value)| (format!("--set {name}"), name.clone(), Raw::Text(value.clone())));
        let monitor = self
            .monitor
            .then(|| ("--monitor".to_owned(), "monitor".to_owned(), Raw::Text("true".to_owned())));
        let trace = self
            .trace
            .iter()
            .map(|file| ("--trace".to_owned(), "trace_file".to_owned(), Raw::Text(file.clone())));
        set.chain(given(&named)).chain(monitor).chain(trace).collect()
    }
}

fn given<'a>(flags: &'a [(&str, &Option<String>)]) -> impl Iterator<Item = (String, String, Raw)> + 'a {
    flags.iter().filter_map(|(name, value)| {
        let value = Option::clone(value)?;
        Some((format!("--{}", name.replace('_', "-")), (*name).to_owned(), Raw::Text(value)))
    })
}
