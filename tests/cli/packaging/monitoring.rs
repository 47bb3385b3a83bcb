//! The dashboard and the alerts name what the service exposes.

use std::collections::BTreeSet;

use quintet_testkit::upstream::Reply;
use serde_json::json;

use super::{
    exposed::{self, Exposed},
    files::{self, Query},
    promql, succeeds, tool,
};
use crate::{
    command::Service,
    killed::{
        Place,
        peers::{self, Release, model_table, remote_table, server_table},
    },
};

/// Starts a service with a model, a remote agent and a tool server, which all work, and a limit that is reached.
/// The peers live as long as the returned value.
pub async fn busy_service(place: &Place) -> (Service, impl Sized) {
    let release = Release::default();
    release.now();
    let model = peers::model(&release).await;
    let remote = peers::remote(
        &release,
        vec![
            json!({"type": "RUN_STARTED"}),
            json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"}),
            json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "Done."}),
            json!({"type": "TEXT_MESSAGE_END", "messageId": "m"}),
            json!({"type": "RUN_FINISHED"}),
        ],
        0,
    )
    .await;
    let config = format!(
        "monitor = true\ntrace_file = '{}'\nuser_tickets_max = 1\n{}\n{}\n{}",
        place.path("trace").display(),
        model_table(&model, ""),
        remote_table(&remote, ""),
        server_table(place, ""),
    );
    let service = place.start(&config);
    let token = service.login("ada").await;
    for (agent, text) in [("tiny", "notes_look"), ("far", "go"), ("tiny", "tell")] {
        let message = json!({"message_id": text, "thread_id": agent, "agent_name": agent, "text": text});
        let (status, accepted) = service.post("/v1/messages", &token, &message).await;
        assert_eq!(status, 202, "{accepted}");
        service.until_run(&token, accepted["run_id"].as_str().unwrap(), "completed").await;
    }
    for expected in [201, 429] {
        assert_eq!(service.post("/v1/tickets", &token, &json!({})).await.0, expected);
    }
    (service, (model, remote, Reply::stream("")))
}

/// Metrics that no service of these tests exposes; their labels are those of the source alone.
const NOT_PROVOKED: &[&str] = &[
    "quintet_agui_retries_total",
    "quintet_agui_tokens_total",
    "quintet_mcp_failures_total",
    "quintet_mcp_questions_total",
    "quintet_postgres_lease_age_seconds",
];

async fn exposed() -> Exposed {
    let place = Place::new();
    let (service, _peers) = busy_service(&place).await;
    let mut exposed = Exposed::default();
    exposed.add(&service.admin("/metrics").await.unwrap().1);
    service.drained();
    // What Prometheus adds.
    exposed.labels.entry("up".to_owned()).or_default();
    exposed.labels.insert("ALERTS".to_owned(), ["alertname", "alertstate"].map(str::to_owned).into());
    let recorded = exposed::recorded();
    let not_exposed: Vec<&str> =
        recorded.keys().map(String::as_str).filter(|name| !exposed.labels.contains_key(*name)).collect();
    assert_eq!(not_exposed, NOT_PROVOKED);
    for (name, labels) in recorded {
        if let Some(exposed) = exposed.labels.get(&name) {
            assert_eq!(&labels, exposed, "{name}: the labels in the source, and those exposed");
        } else {
            exposed.labels.insert(name, labels);
        }
    }
    for labels in exposed.labels.values_mut() {
        labels.extend(["job", "instance"].map(str::to_owned));
    }
    exposed
}

/// Returns what is wrong with a query.
fn wrong(query: &Query, exposed: &Exposed) -> Vec<String> {
    let names = promql::names(&query.text);
    let mut wrong = Vec::new();
    let mut carried: BTreeSet<String> = BTreeSet::new();
    for metric in &names.metrics {
        match exposed.labels.get(metric) {
            Some(labels) => carried.extend(labels.clone()),
            None => wrong.push(format!("the service exposes no metric {metric}")),
        }
    }
    if names.metrics.is_empty() {
        wrong.push("it names no metric".to_owned());
    }
    for (metric, label, value) in &names.matchers {
        if exposed.labels.get(metric).is_some_and(|labels| !labels.contains(label)) {
            wrong.push(format!("{metric} has no label {label}"));
        }
        let known = exposed.values.get(label);
        for value in value.split('|').filter(|_| !OPEN_LABELS.contains(&&**label)) {
            if !known.is_some_and(|known| known.contains(value)) {
                wrong.push(format!("{label} never has the value {value}"));
            }
        }
    }
    for label in names.grouped.iter().filter(|label| !carried.contains(*label)) {
        wrong.push(format!("no metric of it has the label {label}"));
    }
    let left = names.left.as_ref().unwrap_or(&carried);
    for label in query.shown.iter().filter(|label| !left.contains(*label) && *label != "alertname") {
        wrong.push(format!("the label {label} is shown, and the query has none"));
    }
    wrong.into_iter().map(|wrong| format!("{}: {wrong}: {}", query.place, query.text)).collect()
}

/// Labels whose values are not a closed set, or are not all provoked.
const OPEN_LABELS: &[&str] =
    &["job", "instance", "outcome", "alertstate", "route", "status", "scope", "agent", "server"];

#[tokio::test(flavor = "multi_thread")]
async fn queries_name_metrics_labels_and_values_that_the_service_exposes() {
    let exposed = exposed().await;
    let mut found: Vec<String> = Vec::new();
    for query in files::dashboard().iter().chain(&files::alerts()) {
        found.extend(wrong(query, &exposed));
    }
    for (metric, label) in files::variables() {
        if !exposed.labels.get(&metric).is_some_and(|labels| labels.contains(&label)) {
            found.push(format!("a variable of the dashboard: no metric {metric} with the label {label}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));

    // Each metric of the service is on the dashboard.
    let shown = files::dashboard();
    let shown: BTreeSet<String> = shown.iter().flat_map(|query| promql::names(&query.text).metrics).collect();
    let is_shown = |name: &str| {
        ["_bucket", "_count", "_sum"].iter().any(|end| {
            name.strip_suffix(end).is_some_and(|name| shown.iter().any(|shown| shown.starts_with(name)))
        })
    };
    let missing: Vec<&String> = exposed
        .labels
        .keys()
        .filter(|name| name.starts_with("quintet_") && !shown.contains(*name) && !is_shown(name))
        .collect();
    assert!(missing.is_empty(), "not on the dashboard: {missing:?}");

    let bad = |text: &str, shown: &[&str]| {
        let shown = shown.iter().map(ToString::to_string).collect();
        wrong(&Query { place: String::new(), text: text.to_owned(), shown }, &exposed)
    };
    for text in [
        "quintet_run_total > 0",
        "quintet_connections{code=\"1000\"} > 0",
        "sum by (user) (quintet_connections)",
        "quintet_append_failures_total{reason=\"disk\"} > 0",
        "quintet_run_seconds > 1",
    ] {
        assert_eq!(bad(text, &[]).len(), 1, "{text}");
    }
    assert_eq!(bad("sum by (job) (quintet_limit_reached)", &["limit"]).len(), 1);
    assert_eq!(bad("quintet_limit_reached == 1", &["limit"]).len(), 0);

    each_limit_has_its_alert(&exposed);
}

/// Runs the alerts on each limit of the service, in each scope: exactly one of them fires.
fn each_limit_has_its_alert(exposed: &Exposed) {
    let Some(promtool) = tool("PROMTOOL") else { return };
    let limits = &exposed.values["limit"];
    assert!(limits.len() > 20, "{limits:?}");
    let folder = tempfile::tempdir().unwrap();
    let each = || limits.iter().flat_map(|limit| ["service", "user", "peer"].map(|scope| (limit, scope)));
    let labels = |limit: &str, scope: &str| format!("{{limit=\"{limit}\",scope=\"{scope}\"}}");
    let series = each().map(|(limit, scope)| {
        json!({"series": format!("quintet_limit_reached{}", labels(limit, scope)), "values": "1x60"})
    });
    let samples = each().map(|(limit, scope)| json!({"labels": labels(limit, scope), "value": 1}));
    let test = json!({
        "interval": "1m",
        "input_series": series.collect::<Vec<_>>(),
        "promql_expr_test": [{
            "expr": "count by (limit, scope) (ALERTS{alertstate=\"firing\"})",
            "eval_time": "50m",
            "exp_samples": samples.collect::<Vec<_>>(),
        }],
    });
    let rules = files::path("prometheus/quintet.rules.yml");
    let text = json!({"rule_files": [rules], "evaluation_interval": "1m", "tests": [test]}).to_string();
    let tests = folder.path().join("limits.test.yml");
    std::fs::write(&tests, text).unwrap();
    succeeds(&promtool, &["test".as_ref(), "rules".as_ref(), tests.as_os_str()]).unwrap();
}

#[test]
fn promtool_accepts_the_rules_their_tests_and_the_queries_of_the_dashboard() {
    let Some(promtool) = tool("PROMTOOL") else { return };
    let rules = files::path("prometheus/quintet.rules.yml");
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packaging/alerts.test.yml");
    let check = |what: &[&std::ffi::OsStr]| succeeds(&promtool, what);
    check(&["check".as_ref(), "rules".as_ref(), rules.as_os_str()]).unwrap();
    check(&["check".as_ref(), "config".as_ref(), files::path("prometheus/prometheus.yml").as_os_str()])
        .unwrap();
    check(&["test".as_ref(), "rules".as_ref(), tests.as_os_str()]).unwrap();
    let tested = std::fs::read_to_string(&tests).unwrap();
    for alert in files::alerts() {
        let fires = format!("alertname=\"{}\"", alert.place);
        assert!(tested.contains(&fires), "{} has no unit test", alert.place);
    }

    // promtool reads no dashboards; its queries become rules.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dashboard.yml");
    let as_rules = |queries: &[String]| {
        let rules = queries.iter().enumerate();
        let rules: Vec<_> =
            rules.map(|(n, query)| json!({"record": format!("query:{n}"), "expr": query})).collect();
        std::fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string())
            .unwrap();
        check(&["check".as_ref(), "rules".as_ref(), file.as_os_str()])
    };
    let queries: Vec<String> = files::dashboard().into_iter().map(|query| query.text).collect();
    as_rules(&queries).unwrap();
    assert!(as_rules(&["sum by (job (up)".to_owned()]).is_err(), "an error of syntax is found");
}
