//! The service's numbers, named and described in one place, rendered for Prometheus on the admin
//! listener.
//!
//! Every metric that any part records has a row here; a test looks for those that have none.

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric: its name, with the unit in it, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub doc: &'static str,
}

const fn counter(name: &'static str, doc: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, doc }
}

const fn gauge(name: &'static str, doc: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, doc }
}

const fn histogram(name: &'static str, doc: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, doc }
}

/// Every metric there is.
pub const METRICS: &[Metric] = &[
    gauge("quintet_connections", "Authenticated connections that are open: WebSockets and event streams."),
    gauge("quintet_live_users", "Users who have machines in memory (ISO-5)."),
    gauge(
        "quintet_moving_runs",
        "Runs that are carried out right now, those not counted that wait for their client.",
    ),
    gauge("quintet_tickets_outstanding", "Tickets issued and neither redeemed nor expired."),
    gauge("quintet_draining", "1 from the moment a drain begins."),
    counter("quintet_tickets_issued_total", "Tickets issued."),
    counter("quintet_tickets_redeemed_total", "Tickets that opened a connection (AUTH-1)."),
    counter("quintet_auth_failures_total", "Credentials refused, by `reason`."),
    counter("quintet_jwks_failures_total", "Fetches of the key set that failed (AUTH-5)."),
    counter("quintet_origins_refused_total", "Requests refused because of their browser origin (AUTH-4)."),
    counter(
        "quintet_rejected_total",
        "Connections, requests and frames rejected, by the `limit` that was reached.",
    ),
    gauge(
        "quintet_limit_reached",
        "1 while a limit rejects work, 0 afterwards, by `limit` and its `scope`: `service`, `user` or `peer`.",
    ),
    counter("quintet_entries_appended_total", "Entries appended to the journal."),
    counter(
        "quintet_damaged_users_total",
        "Users whose open runs were not taken up, because their log is damaged.",
    ),
    counter("quintet_batches_appended_total", "Batches appended to the journal."),
    counter("quintet_appended_bytes_total", "Bytes of the entries appended to the journal."),
    counter(
        "quintet_append_failures_total",
        "Appends that were refused or failed, by `reason`: `conflict`, another author was first; `journal`.",
    ),
    histogram("quintet_append_seconds", "Time from a batch's way to the journal to its being durable."),
    counter(
        "quintet_hub_panics_total",
        "Panics while a user's log was worked on: a fault of ours. The log is read back and its runs are taken up again.",
    ),
    counter(
        "quintet_journal_rollbacks_total",
        "Signs that the journal was put back to an earlier state or that a copy of it is served elsewhere, by `evidence`: `epoch`, a cursor of an epoch that another copy made; `offset`, a cursor past the end of its epoch, which a client can also make up; `no_log`, a database that was in use and came without its write-ahead log.",
    ),
    counter("quintet_violations_total", "Illegal steps of agents, refused (RUN-10)."),
    counter(
        "quintet_conformance_violations_total",
        "Rules that live traffic did not keep, by `rule`; only with `conformance`. Anything but 0 is a fault of ours.",
    ),
    counter("quintet_trace_records_total", "Records written to the trace; only with `trace_file`."),
    counter("quintet_trace_lost_total", "Records that the trace has lost; only with `trace_file`."),
    counter("quintet_agent_failures_total", "Runs that their agent did not complete, by `reason`."),
    counter("quintet_entries_sent_total", "Entries handed to connections."),
    counter("quintet_sent_bytes_total", "Bytes of the entries handed to connections."),
    counter("quintet_connection_closes_total", "Connections closed, by the close `code`."),
    counter(
        "quintet_connection_rejections_total",
        "Inputs that a connection's machine did not expect: a fault of ours.",
    ),
    counter("quintet_trimmed_entries_total", "Entries trimmed because the retention no longer keeps them."),
    counter("quintet_refusals_total", "Requests answered with an error, by its `code`."),
    histogram(
        "quintet_request_seconds",
        "Time from a request's head to its answer, by `route`, `method` and `status`.",
    ),
];

/// The way to the recorder of this process, made at the first call.
pub fn recorder() -> Result<&'static PrometheusHandle, RecorderError> {
    static HANDLE: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    HANDLE.get_or_init(|| install().map_err(|e| e.to_string())).as_ref().map_err(|e| RecorderError(e.clone()))
}

/// There can be no metrics in this process. The fault is ours: somebody installed another recorder.
#[derive(Clone, Debug, thiserror::Error)]
#[error("metrics cannot be recorded: {0}")]
pub struct RecorderError(String);

fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES)?
        .install_recorder()?;
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.doc),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.doc),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.doc),
        }
    }
    Ok(handle)
}

/// How often what histograms collected is worked in.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
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

    /// The metrics that the sources record, found by their names' prefix.
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
    fn every_metric_that_is_recorded_is_described_and_the_other_way_round() {
        let described: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(described.len(), METRICS.len(), "a metric is described twice");
        assert_eq!(recorded(), described);
    }

    #[test]
    fn names_say_what_is_counted() {
        for metric in METRICS {
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            if metric.kind == Kind::Histogram {
                assert!(
                    metric.name.ends_with("_seconds") || metric.name.ends_with("_bytes"),
                    "{}",
                    metric.name
                );
            }
        }
    }
}
