//! The table of settings: name, description, range and accessors.

#[cfg(feature = "postgres")]
use quintet_postgres::PostgresLimits;

use super::{
    LogFormat, Raw, Settings,
    setting::Setting,
    value::{quoted, quoted_list, without_secrets},
};
use crate::{
    agent::AgentLimits,
    gateway::{
        hosts::Hosts,
        limits::GatewayLimits,
        origins::Origins,
        peers::{TrustedProxies, forwarded::ForwardedHeader},
    },
    journal::sqlite::SqliteOptions,
    kernel::limits::Limits,
    ops::limits::{DiskLimits, LogLimits, RetentionLimits},
    runtime::limits::Limit,
    user::{deadline::DeadlineLimits, limits::HubLimits, tail::TailLimits},
};

/// Returns all settings.
pub fn table() -> Vec<Setting> {
    let mut rows = places();
    rows.extend(credentials());
    rows.extend(peers());
    rows.extend(agents());
    rows.extend(super::agents::rows());
    rows.extend(logs());
    rows.extend(limits(LogLimits::TABLE, |s| &s.log_limits, |s| &mut s.log_limits));
    rows.push(legacy_clients());
    rows.extend(monitors());
    rows.extend(limits(GatewayLimits::TABLE, |s| &s.gateway, |s| &mut s.gateway));
    rows.extend(limits(AgentLimits::TABLE, |s| &s.agents, |s| &mut s.agents));
    rows.extend(limits(DeadlineLimits::TABLE, |s| &s.deadlines, |s| &mut s.deadlines));
    rows.extend(limits(HubLimits::TABLE, |s| &s.hub, |s| &mut s.hub));
    rows.extend(limits(TailLimits::TABLE, |s| &s.tail, |s| &mut s.tail));
    rows.extend(limits(RetentionLimits::TABLE, |s| &s.retention, |s| &mut s.retention));
    rows.extend(limits(DiskLimits::TABLE, |s| &s.disk, |s| &mut s.disk));
    rows.push(durability());
    rows.extend(limits(SQLITE, |s| &s.sqlite, |s| &mut s.sqlite));
    #[cfg(feature = "postgres")]
    {
        rows.push(postgres_ca_file());
        rows.extend(limits(PostgresLimits::TABLE, |s| &s.postgres, |s| &mut s.postgres));
    }
    rows.extend(limits(KERNEL, |s| &s.kernel, |s| &mut s.kernel));
    rows
}

fn places() -> Vec<Setting> {
    vec![
        Setting {
            name: "listen",
            doc: "Address of the public listener; port 0 picks a free one.",
            range: "an IP address and a port".to_owned(),
            read: Box::new(|s| Some(quoted(s.listen.to_string()))),
            write: Box::new(|s, raw| raw.parse(ADDRESS).map(|address| s.listen = address)),
        },
        Setting {
            name: "admin_listen",
            doc: "Address of the admin listener: `/livez`, `/readyz`, `/metrics`.",
            range: "an IP address and a port".to_owned(),
            read: Box::new(|s| Some(quoted(s.admin_listen.to_string()))),
            write: Box::new(|s, raw| raw.parse(ADDRESS).map(|address| s.admin_listen = address)),
        },
        Setting {
            name: "data_dir",
            doc: "Folder of the embedded journal; created if missing. Only one process at a time can use it.",
            range: "a path".to_owned(),
            read: Box::new(|s| Some(quoted(s.data_dir.display().to_string()))),
            write: Box::new(|s, raw| raw.text().map(|path| s.data_dir = path.into())),
        },
        Setting {
            name: "journal",
            doc: "URL of the journal: `sqlite:FOLDER`, or `postgres://USER@HOST/DATABASE`, for one process at a time. It may contain a password: set it by the variable or the file. Default: embedded, in the data folder.",
            range: "a URL".to_owned(),
            read: Box::new(|s| s.journal.as_deref().map(|url| quoted(without_secrets(url)))),
            write: Box::new(|s, raw| raw.text().map(|url| s.journal = Some(url))),
        },
    ]
}

#[cfg(feature = "postgres")]
fn postgres_ca_file() -> Setting {
    Setting {
        name: "postgres_ca_file",
        doc: "File with the authorities that certify the PostgreSQL server, in PEM. Default: those of the system.",
        range: "a path".to_owned(),
        read: Box::new(|s| s.postgres_ca_file.as_ref().map(|path| quoted(path.display().to_string()))),
        write: Box::new(|s, raw| raw.text().map(|path| s.postgres_ca_file = Some(path.into()))),
    }
}

fn credentials() -> Vec<Setting> {
    vec![
        Setting {
            name: "jwt_secret",
            doc: "File with the HMAC secret that verifies tokens: one line of 32 to 256 printable ASCII characters.",
            range: "a path".to_owned(),
            read: Box::new(|s| s.jwt_secret.as_ref().map(|path| quoted(path.display().to_string()))),
            write: Box::new(|s, raw| raw.text().map(|path| s.jwt_secret = Some(path.into()))),
        },
        Setting {
            name: "jwt_public_key",
            doc: "File with the public key that verifies tokens, in PEM: RSA of at least 2,048 bits, P-256, P-384 or Ed25519.",
            range: "a path".to_owned(),
            read: Box::new(|s| s.jwt_public_key.as_ref().map(|path| quoted(path.display().to_string()))),
            write: Box::new(|s, raw| raw.text().map(|path| s.jwt_public_key = Some(path.into()))),
        },
        Setting {
            name: "jwks_url",
            doc: "URL of the key set (JWKS) that verifies tokens.",
            range: "an https URL; http for loopback".to_owned(),
            read: Box::new(|s| s.jwks_url.as_deref().map(|url| quoted(without_secrets(url)))),
            write: Box::new(|s, raw| jwks_url(raw).map(|url| s.jwks_url = Some(url))),
        },
        Setting {
            name: "jwt_audience",
            doc: "Required audience (`aud`) of tokens. Needed with `jwks_url`, unless `any_audience` is set.",
            range: "text".to_owned(),
            read: Box::new(|s| s.jwt_audience.clone().map(quoted)),
            write: Box::new(|s, raw| raw.text().map(|audience| s.jwt_audience = Some(audience))),
        },
        Setting {
            name: "any_audience",
            doc: "Accepts tokens for any audience: users of all applications of the issuer can connect.",
            range: "`true` or `false`".to_owned(),
            read: Box::new(|s| Some(s.any_audience.to_string())),
            write: Box::new(|s, raw| raw.parse("true or false").map(|any| s.any_audience = any)),
        },
        Setting {
            name: "jwt_issuer",
            doc: "Required issuer (`iss`) of tokens.",
            range: "text".to_owned(),
            read: Box::new(|s| s.jwt_issuer.clone().map(quoted)),
            write: Box::new(|s, raw| raw.text().map(|issuer| s.jwt_issuer = Some(issuer))),
        },
        Setting {
            name: "allow_origin",
            doc: "Browser origins that may connect (AUTH-4). As a variable: comma-separated.",
            range: "a list of origins, as `https://chat.example.org` or `capacitor://localhost`".to_owned(),
            read: Box::new(|s| (!s.allow_origin.is_empty()).then(|| quoted_list(&s.allow_origin))),
            write: Box::new(|s, raw| {
                let origins = raw.list()?;
                Origins::parse(origins.iter().map(String::as_str)).map_err(|e| e.to_string())?;
                s.allow_origin = origins;
                Ok(())
            }),
        },
    ]
}

fn peers() -> Vec<Setting> {
    vec![
        Setting {
            name: "hosts",
            doc: "Allowed host names of the public listener; other names are refused with 403. `localhost` and IP addresses are always allowed. Default: any name under `serve`, no other name under `dev`. As a variable: comma-separated.",
            range: "a list of host names, as `chat.example.org`".to_owned(),
            read: Box::new(|s| (!s.hosts.is_empty()).then(|| quoted_list(&s.hosts))),
            write: Box::new(|s, raw| names(raw).map(|names| s.hosts = names)),
        },
        Setting {
            name: "admin_hosts",
            doc: "Allowed host names of the admin listener, like `hosts`. Default: no other name. As a variable: comma-separated.",
            range: "a list of host names, as `quintet.internal`".to_owned(),
            read: Box::new(|s| (!s.admin_hosts.is_empty()).then(|| quoted_list(&s.admin_hosts))),
            write: Box::new(|s, raw| names(raw).map(|names| s.admin_hosts = names)),
        },
        Setting {
            name: "trusted_proxies",
            doc: "Addresses and networks of your own reverse proxies. A request from one of them counts against the client address in its `forwarded_header`: the right-most address that is not a trusted proxy. From other peers the header is ignored. As a variable: comma-separated.",
            range: "a list of IP addresses or networks, as `10.0.0.0/8`".to_owned(),
            read: Box::new(|s| (!s.trusted_proxies.is_empty()).then(|| quoted_list(&s.trusted_proxies))),
            write: Box::new(|s, raw| {
                let networks = raw.list()?;
                TrustedProxies::parse(networks.iter().map(String::as_str), s.forwarded_header)
                    .map_err(|e| e.to_string())?;
                s.trusted_proxies = networks;
                Ok(())
            }),
        },
        Setting {
            name: "forwarded_header",
            doc: "The header that the trusted proxies set. The other one can be set by clients and is ignored.",
            range: "`x-forwarded-for` or `forwarded`".to_owned(),
            read: Box::new(|s| {
                Some(quoted(match s.forwarded_header {
                    ForwardedHeader::XForwardedFor => "x-forwarded-for",
                    ForwardedHeader::Forwarded => "forwarded",
                }))
            }),
            write: Box::new(|s, raw| {
                s.forwarded_header = match raw.text()?.to_ascii_lowercase().as_str() {
                    "x-forwarded-for" => ForwardedHeader::XForwardedFor,
                    "forwarded" => ForwardedHeader::Forwarded,
                    other => return Err(format!("is {other:?}; x-forwarded-for or forwarded is needed")),
                };
                Ok(())
            }),
        },
    ]
}

/// Parses a list of host names.
fn names(raw: Raw) -> Result<Vec<String>, String> {
    let names = raw.list()?;
    Hosts::listed(names.iter().map(String::as_str)).map_err(|e| e.to_string())?;
    Ok(names)
}

fn agents() -> Vec<Setting> {
    vec![Setting {
        name: "extra_agents",
        doc: "Built-in agents to enable in addition to the default ones; `quintet dev` enables all. As a variable: comma-separated.",
        range: "a list of: `rehearsal`".to_owned(),
        read: Box::new(|s| (!s.extra_agents.is_empty()).then(|| quoted_list(&s.extra_agents))),
        write: Box::new(|s, raw| {
            let names = raw.list()?;
            if let Some(unknown) = names.iter().find(|name| *name != REHEARSAL) {
                return Err(format!("names {unknown:?}; there is only {REHEARSAL:?}"));
            }
            s.extra_agents = names;
            Ok(())
        }),
    }]
}

/// Name of the agent that plays scripts.
pub const REHEARSAL: &str = "rehearsal";

fn logs() -> Vec<Setting> {
    vec![
        Setting {
            name: "log",
            doc: "Log filter: a level, or levels by module as in `info,quintet::gateway=debug`.",
            range: "a filter of tracing-subscriber".to_owned(),
            read: Box::new(|s| Some(quoted(s.log.clone()))),
            write: Box::new(|s, raw| {
                let filter = raw.text()?;
                #[cfg(feature = "cli")]
                tracing_subscriber::EnvFilter::try_new(&filter).map_err(|e| e.to_string())?;
                s.log = filter;
                Ok(())
            }),
        },
        Setting {
            name: "log_format",
            doc: "Format of the log on stderr; `auto` is text on a terminal and JSON otherwise.",
            range: "`auto`, `text` or `json`".to_owned(),
            read: Box::new(|s| {
                Some(quoted(match s.log_format {
                    LogFormat::Auto => "auto",
                    LogFormat::Text => "text",
                    LogFormat::Json => "json",
                }))
            }),
            write: Box::new(|s, raw| {
                s.log_format = match raw.text()?.as_str() {
                    "auto" => LogFormat::Auto,
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    other => return Err(format!("is {other:?}; auto, text or json is needed")),
                };
                Ok(())
            }),
        },
    ]
}

fn legacy_clients() -> Setting {
    Setting {
        name: "legacy_clients",
        doc: "Serves the predecessor's clients on `/ws`, under the same checks as all others (`docs/legacy.md`). Deprecated: `quintet_legacy_connections_total` shows whether it is still needed.",
        range: "`true` or `false`".to_owned(),
        read: Box::new(|s| Some(s.legacy_clients.to_string())),
        write: Box::new(|s, raw| raw.parse("true or false").map(|served| s.legacy_clients = served)),
    }
}

fn monitors() -> Vec<Setting> {
    vec![
        Setting {
            name: "monitor",
            doc: "Checks live traffic against the rules with independent code. Violations are counted in `quintet_monitor_violations_total` and logged; the service continues.",
            range: "`true` or `false`".to_owned(),
            read: Box::new(|s| Some(s.monitor.to_string())),
            write: Box::new(|s, raw| raw.parse("true or false").map(|watched| s.monitor = watched)),
        },
        Setting {
            name: "trace_file",
            doc: "File to which a record of each transition is appended, without message texts and with pseudonyms. See `docs/model/traces.md`.",
            range: "a path".to_owned(),
            read: Box::new(|s| s.trace_file.as_ref().map(|path| quoted(path.display().to_string()))),
            write: Box::new(|s, raw| raw.text().map(|path| s.trace_file = Some(path.into()))),
        },
    ]
}

fn durability() -> Setting {
    Setting {
        name: "survives_power_loss",
        doc: "Accepted messages survive loss of power. `false` is faster; they still survive a crash of the process, but the last ones before a power loss may be lost.",
        range: "`true` or `false`".to_owned(),
        read: Box::new(|s| Some(s.sqlite.survives_power_loss.to_string())),
        write: Box::new(|s, raw| {
            raw.parse("true or false").map(|survives| s.sqlite.survives_power_loss = survives)
        }),
    }
}

fn limits<T>(
    table: &'static [Limit<T>],
    of: fn(&Settings) -> &T,
    of_mut: fn(&mut Settings) -> &mut T,
) -> impl Iterator<Item = Setting> {
    table.iter().map(move |limit| Setting {
        name: limit.name,
        doc: limit.doc,
        range: format!("{} to {}", limit.min, limit.max),
        read: Box::new(move |s| Some((limit.read)(of(s)).to_string())),
        write: Box::new(move |s, raw| {
            raw.number(limit.min, limit.max).map(|value| (limit.write)(of_mut(s), value))
        }),
    })
}

/// Validates the URL of a key set. Plain http is refused, since the network could replace the keys (AUTH-5).
fn jwks_url(raw: Raw) -> Result<String, String> {
    let text = raw.text()?;
    let url = url::Url::parse(&text).map_err(|e| format!("is not a URL: {e}"))?;
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(text),
        "http" if loopback => Ok(text),
        "http" => {
            Err("is plain http; the network between could replace the keys, so https is needed".to_owned())
        }
        other => Err(format!("has the scheme {other:?}; https is needed")),
    }
}

macro_rules! limit {
    ($of:ty, $field:ident: $type:ty, $min:literal..=$max:literal, $doc:literal) => {
        Limit {
            name: stringify!($field),
            doc: $doc,
            min: $min,
            max: $max,
            read: |limits: &$of| limits.$field as u64,
            write: |limits: &mut $of, value| limits.$field = value as $type,
        }
    };
}
/// Settings of the embedded engine.
const SQLITE: &[Limit<SqliteOptions>] = &[
    limit!(SqliteOptions, reader_threads: usize, 1..=64, "Reader threads of the journal."),
    limit!(SqliteOptions, waiting_appends_max: usize, 1..=1_000_000, "Appends queued for the journal's writer; further ones wait until there is room."),
    limit!(SqliteOptions, waiting_reads_max: usize, 1..=1_000_000, "Reads queued for the journal's readers; further ones wait until there is room."),
    limit!(SqliteOptions, commit_batches_max: usize, 1..=100_000, "Batches of all users in one commit."),
    limit!(SqliteOptions, commit_bytes_max: usize, 65_536..=268_435_456, "Bytes of entries in one commit."),
    limit!(SqliteOptions, run_records_max: u64, 1..=1_000_000_000, "Run records kept per user after their entries are trimmed. They detect a repeated `message_id` (DEL-6)."),
    limit!(SqliteOptions, check_bytes_max: u64, 0..=1_000_000_000_000, "Size up to which the whole database is checked when it is opened; a larger one is checked as it is read."),
];

/// The kernel's limits. They are plain data in the kernel; a test checks that this list is complete.
const KERNEL: &[Limit<Limits>] = &[
    limit!(Limits, text_bytes_max: usize, 1..=65_536, "Length of a message's `text`, in bytes."),
    limit!(Limits, delta_bytes_max: usize, 4..=16_777_216, "Length of a thought's `delta`, in bytes."),
    limit!(Limits, parameters_bytes_max: usize, 2..=16_777_216, "Length of a call's `parameters`, in bytes."),
    limit!(Limits, results_bytes_max: usize, 4..=67_108_864, "Length of a call's `results` and `error` together, in bytes."),
    limit!(Limits, answer_bytes_max: usize, 1..=67_108_864, "Length of all `answer` deltas of a run since its last reset, in bytes."),
    limit!(Limits, open_calls_max: usize, 1..=10_000, "Open calls of one run."),
    limit!(Limits, run_calls_max: usize, 1..=1_000_000, "Calls of one run in total."),
    limit!(Limits, run_events_max: u64, 1..=1_000_000_000, "Events of one run, not counting those that end it."),
    limit!(Limits, open_runs_max: usize, 1..=100_000, "Accepted runs of one user that are not completed."),
    limit!(Limits, queued_messages_max: usize, 0..=100_000, "Messages queued behind the active run of a thread."),
    limit!(Limits, recent_messages_max: usize, 1..=100_000, "Recent messages of a user kept in memory for deduplication; older ones are looked up in the journal."),
    limit!(Limits, run_resumes_max: u32, 1..=1_000_000, "Times that a run is resumed without a new durable step of its agent, each by a process that then dies, before the run ends as `failed` with `resume_limit` (RUN-6). Resumes by a process that stops in order do not count."),
    limit!(Limits, run_resumes_total_max: u32, 1..=1_000_000, "Times that a run is resumed in total, each by a process that then dies, before the run ends as `failed` with `resume_limit`."),
    limit!(Limits, erasures_open_max: usize, 1..=1_000, "Erasures of one user that are not complete; a further one is refused (DEL-8)."),
];

const ADDRESS: &str = "an IP address and a port, as 127.0.0.1:8080,";
