//! The metrics of the service: names and descriptions in one table.
//!
//! Metrics go to the recorder that the process has installed; [`register`] describes them there. With the
//! feature `prometheus`, `recorder` installs one that the admin listener renders. Nothing else installs a
//! recorder, so a host keeps its own.
//!
//! Each recorded metric has a row; a test compares the table with the source.

#[cfg(feature = "prometheus")]
use std::sync::OnceLock;
use std::time::Duration;

#[cfg(feature = "prometheus")]
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{
    kernel::entry::RunStatus,
    wire::codes::{CloseCode, ErrorCode},
};

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows while the process lives; the name ends with `_total`.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// A distribution of samples; the name ends with `_seconds` or `_bytes`.
    Histogram,
}

/// One metric. Its name contains the unit.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name, with the prefix `quintet_`.
    pub name: &'static str,
    /// The type.
    pub kind: MetricKind,
    /// The description, as a recorder publishes it.
    pub doc: &'static str,
    /// The series that exist from startup.
    pub series: Series,
}

/// The series of a counter that are registered at startup with the value 0. Without it, the first increment
/// of a series is invisible to `rate()` and `increase()`.
#[derive(Clone, Copy, Debug)]
pub enum Series {
    /// One series without labels.
    One,
    /// One series for each value of a label.
    Each(&'static str, fn() -> Vec<String>),
    /// Registered where they are recorded, because the label values depend on settings or are not a closed
    /// set.
    Open,
}

const fn counter(name: &'static str, doc: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, doc, series: Series::One }
}

/// Declares a counter with a series for each value of a label.
const fn counters(
    name: &'static str,
    label: &'static str,
    values: fn() -> Vec<String>,
    doc: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Counter, doc, series: Series::Each(label, values) }
}

/// Declares a counter whose series depend on the settings.
const fn counter_of_settings(name: &'static str, doc: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, doc, series: Series::Open }
}

const fn gauge(name: &'static str, doc: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, doc, series: Series::Open }
}

const fn histogram(name: &'static str, doc: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, doc, series: Series::Open }
}

/// The table of all metrics.
pub const METRICS: &[Metric] = &[
    gauge("quintet_connections", "Open authenticated connections: WebSockets and event streams."),
    gauge(
        "quintet_sockets",
        "Open sockets of the public listener by `state`: `authenticated` while they carry an authenticated connection or request, otherwise `unauthenticated`.",
    ),
    counter(
        "quintet_sockets_displaced_total",
        "Unauthenticated sockets closed to make room for new ones (ISO-6).",
    ),
    counter(
        "quintet_forwarded_malformed_total",
        "Requests from a trusted proxy with a malformed client address; the proxy's own was used.",
    ),
    gauge("quintet_live_users", "Users with state machines in memory (ISO-5)."),
    gauge("quintet_active_runs", "Runs that are executing, without those that wait for their client."),
    counter_of_settings(
        "quintet_model_requests_total",
        "Requests to language models, by `agent` and `outcome`.",
    ),
    counter_of_settings(
        "quintet_model_tokens_total",
        "Tokens of language models, by `agent` and `direction`: `input` or `output`. Estimated where the model's service counts none.",
    ),
    histogram(
        "quintet_model_first_token_seconds",
        "Time from a request to the first generated token, by `agent`.",
    ),
    gauge("quintet_mcp_server_state", "1 for the `state` that the MCP `server` is in, 0 for the others."),
    counter_of_settings(
        "quintet_mcp_calls_total",
        "Calls of tools of MCP servers, by `server` and `outcome`.",
    ),
    counter_of_settings(
        "quintet_mcp_failures_total",
        "Connections to an MCP `server` that ended, and starts that failed.",
    ),
    counter_of_settings(
        "quintet_mcp_questions_total",
        "Questions of an MCP `server` to clients, by `outcome`.",
    ),
    counter_of_settings(
        "quintet_agui_responses_total",
        "Responses of remote agents, by `agent` and `outcome`.",
    ),
    counter_of_settings(
        "quintet_agui_tokens_total",
        "Tokens that remote agents have reported, by `agent` and `direction`: `input` or `output`.",
    ),
    counter_of_settings("quintet_agui_retries_total", "Requests that were sent again to a remote `agent`."),
    counters(
        "quintet_agui_streams_total",
        "end",
        || texts(AGUI_ENDS),
        "Responses to AG-UI front ends that ended, by `end`: `finished` after the terminal event, `aborted` without it.",
    ),
    gauge("quintet_tickets_outstanding", "Tickets that are neither redeemed nor expired."),
    gauge("quintet_draining", "1 once a drain has begun, otherwise 0."),
    counter("quintet_tickets_issued_total", "Tickets issued."),
    counter("quintet_tickets_redeemed_total", "Tickets that opened a connection (AUTH-1)."),
    counters(
        "quintet_auth_failures_total",
        "reason",
        || texts(AUTH_FAILURES),
        "Credentials refused, by `reason`.",
    ),
    counter("quintet_jwks_failures_total", "Fetches of the key set that failed (AUTH-5)."),
    counter("quintet_origins_refused_total", "Requests refused because of their browser origin (AUTH-4)."),
    counters(
        "quintet_rejected_total",
        "limit",
        || texts(LIMITS),
        "Connections, requests and frames rejected, by the `limit` that was reached.",
    ),
    gauge(
        "quintet_limit_reached",
        "1 while a limit rejects work, 0 afterwards, by `limit` and its `scope`: `service`, `user` or `peer`.",
    ),
    counter("quintet_entries_appended_total", "Entries appended to the journal."),
    counter(
        "quintet_damaged_users_total",
        "Users whose open runs were not resumed because their log is damaged.",
    ),
    counter("quintet_batches_appended_total", "Batches appended to the journal."),
    counter("quintet_appended_bytes_total", "Bytes of the entries appended to the journal."),
    counters(
        "quintet_append_failures_total",
        "reason",
        || texts(&["conflict", "journal"]),
        "Rejected or failed appends by `reason`: `conflict` (another writer was first) or `journal`.",
    ),
    histogram("quintet_append_seconds", "Time from submitting a batch to the journal until it is durable."),
    counter(
        "quintet_hub_panics_total",
        "Panics while processing a user's log, which are bugs of the service. The log is read back and its runs are resumed.",
    ),
    counters(
        "quintet_journal_rollbacks_total",
        "evidence",
        || texts(&["epoch", "offset", "no_log", "timeline"]),
        "Signs that the journal was put back to an earlier state or that a copy of it is served elsewhere, by `evidence`: `epoch`, a cursor of an epoch that another copy made; `offset`, a cursor past the end of its epoch, which a client can also make up; `no_log`, a database that was in use and came without its write-ahead log; `timeline`, a PostgreSQL database that was restored or has failed over.",
    ),
    counters(
        "quintet_resume_limits_total",
        "limit",
        || texts(&["run_resumes_max", "run_resumes_total_max"]),
        "Runs that ended with `resume_limit`, by `limit`: the process died each time after it resumed them (RUN-6).",
    ),
    counter("quintet_violations_total", "Illegal steps of agents that were rejected (RUN-10)."),
    Metric {
        name: "quintet_monitor_violations_total",
        kind: MetricKind::Counter,
        doc: "Violations of rules by live traffic, by `rule`; only with `monitor`. Any value above 0 is a bug of the service.",
        series: Series::Open,
    },
    counter("quintet_trace_records_total", "Records written to the trace; only with `trace_file`."),
    counter("quintet_trace_lost_total", "Records lost from the trace; only with `trace_file`."),
    counters("quintet_runs_completed_total", "status", run_statuses, "Completed runs by `status` (RUN-6)."),
    histogram("quintet_run_seconds", "Time from the start of a run to its end."),
    gauge("quintet_queued_messages", "Accepted messages whose runs have not started."),
    gauge("quintet_journal_bytes", "Size of the embedded journal's database file."),
    gauge("quintet_journal_wal_bytes", "Size of the embedded journal's write-ahead log."),
    counter(
        "quintet_postgres_contended_appends_total",
        "Appends to PostgreSQL whose log was in use by another transaction; each is tried again.",
    ),
    counter(
        "quintet_postgres_unknown_appends_total",
        "Appends to PostgreSQL whose outcome was unknown: no answer in time, a broken connection, or a warning of the server (NODE-5). Their logs are read back.",
    ),
    counter(
        "quintet_postgres_writer_connections_total",
        "Connections to PostgreSQL that were opened for appends.",
    ),
    counter(
        "quintet_postgres_failovers_seen_total",
        "Connections that led to another cluster or timeline of PostgreSQL than the journal was opened on. The service has to be restarted.",
    ),
    gauge(
        "quintet_postgres_lease_age_seconds",
        "Time since the lease of this node in PostgreSQL was last extended; at its end nothing is appended any more (NODE-2).",
    ),
    counter(
        "quintet_postgres_leases_lost_total",
        "Leases of this node in PostgreSQL that have ended: it does nothing more as a node (NODE-2).",
    ),
    counter(
        "quintet_postgres_wakes_lost_total",
        "Wake-ups that could not be sent to the other nodes, which find the logs by polling (NODE-4).",
    ),
    counter(
        "quintet_calls_without_lease_total",
        "Tools that were not invoked because this node had lost its lease (NODE-3).",
    ),
    gauge("quintet_disk_free_bytes", "Bytes that the file system of the journal has left for the service."),
    gauge("quintet_build_info", "1, with the `version` of the service."),
    counters(
        "quintet_agent_failures_total",
        "reason",
        || texts(&["error", "panic"]),
        "Runs that failed in their agent, by `reason`.",
    ),
    counter("quintet_erasures_completed_total", "Erasures that are complete, also on the disk (DEL-8)."),
    counter("quintet_erase_failures_total", "Steps of erasures that failed; each is tried again."),
    counter("quintet_entries_sent_total", "Entries handed to connections."),
    counter("quintet_sent_bytes_total", "Bytes of the entries handed to connections."),
    counters(
        "quintet_connection_closes_total",
        "code",
        close_codes,
        "Connections closed, by the close `code`.",
    ),
    counter(
        "quintet_stalled_readers_total",
        "Connections closed because their reader took nothing for too long, or fell behind what retention keeps (DEL-4).",
    ),
    counter(
        "quintet_legacy_connections_total",
        "Connections of the predecessor's clients; `legacy_clients` can be switched off once this stands still.",
    ),
    counter(
        "quintet_legacy_entries_skipped_total",
        "Entries that were not sent to the predecessor's clients, because their protocol has none such.",
    ),
    counter(
        "quintet_connection_rejections_total",
        "Inputs rejected by a connection's state machine, which are bugs of the service.",
    ),
    counter("quintet_trimmed_entries_total", "Entries trimmed by retention."),
    counter("quintet_log_dropped_total", "Log lines dropped because the queue was full or a write failed."),
    counter("quintet_log_write_errors_total", "Failed writes of the log to stderr."),
    counters(
        "quintet_refusals_total",
        "code",
        error_codes,
        "Requests answered with an error, by its `code`.",
    ),
    histogram(
        "quintet_request_seconds",
        "Time from a request's head to its answer, by `route`, `method` and `status`.",
    ),
];

/// Values of the label `end` of responses to AG-UI front ends.
const AGUI_ENDS: &[&str] = &["finished", "aborted"];

/// Values of the label `reason` of refused credentials.
const AUTH_FAILURES: &[&str] = &[
    "missing",
    "token_expired",
    "token_signature",
    "token_algorithm",
    "token_key",
    "token_audience",
    "token_type",
    "token_lifetime",
    "token_claims",
    "ticket_unknown",
    "ticket_expired",
    "unavailable",
    "busy",
];

/// Values of the label `limit`: settings that reject work.
const LIMITS: &[&str] = &[
    "answer_bytes_max",
    "connections_max",
    "delta_bytes_max",
    "disk_free_bytes_min",
    "hub_requests_max",
    "open_calls_max",
    "open_runs_max",
    "parameters_bytes_max",
    "peer_auth_failures_per_minute_max",
    "peer_frames_per_second_max",
    "peer_sockets_max",
    "queued_messages_max",
    "rate",
    "rate_users_max",
    "results_bytes_max",
    "run_calls_max",
    "run_events_max",
    "sockets_max",
    "tickets_max",
    "unauthenticated_sockets_max",
    "unready_frames_max",
    "user_bytes_per_day_max",
    "user_connections_max",
    "user_exports_max",
    "user_pages_max",
    "user_tickets_max",
    "user_incomplete_bytes_max",
    "waiting_signature_checks_max",
];

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn run_statuses() -> Vec<String> {
    RunStatus::ALL.iter().map(|status| status.as_str().to_owned()).collect()
}

fn error_codes() -> Vec<String> {
    ErrorCode::ALL.iter().map(|code| code.as_str().to_owned()).collect()
}

fn close_codes() -> Vec<String> {
    CloseCode::ALL.iter().map(|code| code.number().to_string()).collect()
}

/// Returns the metrics recorder of this process, which is installed at the first call.
///
/// # Errors
/// When the process has another recorder.
#[cfg(feature = "prometheus")]
pub fn recorder() -> Result<&'static PrometheusHandle, RecorderError> {
    static HANDLE: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    HANDLE.get_or_init(|| install().map_err(|e| e.to_string())).as_ref().map_err(|e| RecorderError(e.clone()))
}

/// The metrics recorder could not be installed, usually because the process has another one.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the recorder for Prometheus cannot be installed: {0}; a program with a recorder of its own needs no other"
)]
pub struct RecorderError(String);

#[cfg(feature = "prometheus")]
fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Full("quintet_run_seconds".to_owned()), RUN_SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES)?
        .install_recorder()?;
    register();
    process().describe();
    Ok(handle)
}

/// Describes all metrics to the recorder of the process and creates the series of counters at 0. Without a
/// recorder, it has no effect.
pub fn register() {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.doc),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.doc),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.doc),
        }
        match (metric.kind, metric.series) {
            (MetricKind::Counter, Series::One) => metrics::counter!(metric.name).increment(0),
            (MetricKind::Counter, Series::Each(label, values)) => {
                for value in values() {
                    metrics::counter!(metric.name, label => value).increment(0);
                }
            }
            (MetricKind::Counter, Series::Open) | (MetricKind::Gauge | MetricKind::Histogram, _) => {}
        }
    }
}

/// Returns the collector of process metrics: memory, CPU time, file descriptors, threads, start time.
#[cfg(feature = "prometheus")]
pub fn process() -> &'static metrics_process::Collector {
    static PROCESS: OnceLock<metrics_process::Collector> = OnceLock::new();
    PROCESS.get_or_init(metrics_process::Collector::default)
}

/// Interval at which histogram samples are aggregated.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(feature = "prometheus")]
const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
#[cfg(feature = "prometheus")]
const RUN_SECONDS: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0];
#[cfg(feature = "prometheus")]
const BYTES: &[f64] = &[256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    use super::*;

    fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }

    /// Returns the names of the metrics that the sources record, found by the macros that record them.
    fn recorded() -> BTreeSet<String> {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let this = Path::new(file!()).file_name().unwrap();
        let mut names = BTreeSet::new();
        for file in files.iter().filter(|file| !(file.ends_with(Path::new("ops").join(this)))) {
            let text = fs::read_to_string(file).unwrap();
            for start in ["counter!(", "gauge!(", "histogram!("] {
                for (at, _) in text.match_indices(start) {
                    let name = text[at + start.len()..].trim_start().trim_start_matches('"');
                    let name: String =
                        name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                    assert!(name.starts_with("quintet_"), "{}: {name}", file.display());
                    names.insert(name);
                }
            }
        }
        names
    }

    #[test]
    fn recorded_and_described_metrics_are_the_same() {
        let described: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(described.len(), METRICS.len(), "a metric is described twice");
        assert_eq!(recorded(), described);
    }

    /// Returns the text of all source files except this one.
    fn product() -> String {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let product = files.iter().filter(|file| !file.ends_with("ops/metrics.rs"));
        product.map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    /// Returns the quoted strings directly before `end`.
    fn quoted_before(text: &str, end: &str) -> BTreeSet<String> {
        let end = format!("\"{end}");
        let quoted = text.match_indices(&end).filter_map(|(at, _)| text[..at].rsplit('"').next());
        quoted
            .filter(|text| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            .map(str::to_owned)
            .collect()
    }

    /// The label values occur as literals where they are recorded, and all have a series from startup.
    #[test]
    fn labels_of_closed_sets_are_registered_whole() {
        let product = product();
        let registered: BTreeSet<String> = LIMITS.iter().map(ToString::to_string).collect();
        let named = quoted_before(&product, ", Scope::");
        assert!(named.len() > 5 && named.is_subset(&registered), "{:?}", named.difference(&registered));
        for limit in LIMITS {
            assert!(product.contains(&format!("\"{limit}\"")), "{limit} is not named in the source");
        }
        let auth =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gateway/auth.rs")).unwrap();
        let reasons = &auth[auth.find("fn reason(").unwrap()..];
        let reasons = &reasons[..reasons.find("\n    }\n").unwrap()];
        let reasons: BTreeSet<&str> = reasons.split('"').skip(1).step_by(2).collect();
        assert_eq!(reasons, AUTH_FAILURES.iter().copied().collect());
        for status in RunStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }

    #[test]
    fn metric_names_end_with_their_unit() {
        for metric in METRICS {
            assert_eq!(
                metric.kind == MetricKind::Counter,
                metric.name.ends_with("_total"),
                "{}",
                metric.name
            );
            if metric.kind == MetricKind::Histogram {
                assert!(
                    metric.name.ends_with("_seconds") || metric.name.ends_with("_bytes"),
                    "{}",
                    metric.name
                );
            }
        }
    }
}
