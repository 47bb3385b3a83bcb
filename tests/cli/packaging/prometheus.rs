//! A real Prometheus that scrapes a real service with the configuration and the rules of `packaging/`.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use quintet_testkit::ports::spare_port;
use serde_json::Value;

use super::{files, monitoring::busy_service, tool};
use crate::{command::PATIENCE, killed::Place};

/// A running Prometheus. Killed when it is dropped.
struct Prometheus {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts it with the files of `packaging/`; only the target and the intervals are others.
    async fn start(program: &str, place: &Place, target: &str) -> Self {
        let config = files::read("prometheus/prometheus.yml");
        let with_target = config.replace("127.0.0.1:9090", target).replace("15s", "1s");
        assert_ne!(config, with_target);
        std::fs::write(place.path("prometheus.yml"), with_target).unwrap();
        std::fs::write(place.path("quintet.rules.yml"), files::read("prometheus/quintet.rules.yml")).unwrap();
        let port = spare_port();
        let argument = |name: &str, value: &str| format!("--{name}={value}");
        let child = Command::new(program)
            .arg(argument("config.file", place.path("prometheus.yml").to_str().unwrap()))
            .arg(argument("storage.tsdb.path", place.path("metrics").to_str().unwrap()))
            .arg(argument("web.listen-address", &format!("127.0.0.1:{port}")))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { child, url: format!("http://127.0.0.1:{port}/api/v1"), client }
    }

    /// The result of a query; `None` while Prometheus does not answer.
    async fn query(&self, query: &str) -> Option<Value> {
        let url = url::Url::parse_with_params(&format!("{}/query", self.url), [("query", query)]).unwrap();
        let answer: Value = self.client.get(url).send().await.ok()?.json().await.ok()?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        Some(answer["data"]["result"].clone())
    }

    /// Waits until a query has a result.
    async fn until(&self, query: &str) -> Value {
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        let waits = async {
            loop {
                looks.tick().await;
                match self.query(query).await {
                    Some(result) if !result.as_array().unwrap().is_empty() => return result,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(2 * PATIENCE, waits).await.unwrap_or_else(|_| panic!("no result: {query}"))
    }
}

/// Panels without data in a service that has just started, has no database, and has seen no trouble.
const WITHOUT_DATA: &[&str] = &[
    "\"Age of the lease\"",
    "\"Calls of MCP tools\"",
    "\"Days until the disk is full\"",
    "\"Errors\"",
    "\"MCP servers\"",
    "\"Refused credentials and origins\"",
    "\"Rejected\"",
    "\"Responses of remote agents\"",
    "\"Tokens a minute\"",
    "\"Alerts\"",
    "\"Starts\"",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_the_service_and_its_alerts_fire() {
    let Some(program) = tool("PROMETHEUS") else { return };
    let place = Place::new();
    let (service, _peers) = busy_service(&place).await;
    let prometheus =
        Prometheus::start(&program, &place, service.ready["admin_listen"].as_str().unwrap()).await;
    prometheus.until("up{job=\"quintet\"} == 1").await;
    // Two samples are needed for a rate.
    prometheus.until("rate(quintet_entries_appended_total[1m])").await;
    for query in files::dashboard() {
        let result = prometheus.query(&query.text).await.unwrap();
        let is_empty = result.as_array().unwrap().is_empty();
        assert!(
            !is_empty || WITHOUT_DATA.contains(&&*query.place),
            "{} has no data: {}",
            query.place,
            query.text
        );
    }
    prometheus.until("ALERTS{alertname=\"QuintetUserLimitReached\",limit=\"user_tickets_max\"}").await;
    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}").await.unwrap();
    assert_eq!(firing, serde_json::json!([]), "a service without trouble has no alert");
    service.drained();
    prometheus.until("ALERTS{alertname=\"QuintetDown\"}").await;
}
