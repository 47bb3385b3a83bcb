//! A service in a process that has a metrics recorder, a log, a panic hook and signal handlers of its own.

use std::{
    panic,
    sync::atomic::{AtomicBool, Ordering},
};

use metrics_exporter_prometheus::PrometheusBuilder;
use quintet::{journal::memory::MemoryJournal, prelude::*};

use crate::Counter;

/// All of it in one test: these belong to the process, and tests share one.
#[tokio::test]
async fn a_service_leaves_the_process_to_its_host() {
    // The host's own recorder is there first.
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    static HOOKED: AtomicBool = AtomicBool::new(false);
    panic::set_hook(Box::new(|_| HOOKED.store(true, Ordering::Relaxed)));
    let umask = current_umask();
    let (signals, open_files) =
        (caught_signals(), rustix::process::getrlimit(rustix::process::Resource::Nofile));

    let folder = tempfile::tempdir().unwrap();
    let service = Service::builder().agent(Counter).sqlite(folder.path()).bind("127.0.0.1:0").dev().build();
    let running = service.unwrap().start().await.unwrap();
    assert_eq!(running.admin_listen, None, "no second port unless it is asked for");

    assert_eq!(current_umask(), umask);
    assert_eq!(caught_signals(), signals);
    assert_eq!(rustix::process::getrlimit(rustix::process::Resource::Nofile), open_files);
    // A subscriber can be set only once in a process.
    tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::new()).unwrap();
    assert!(panic::catch_unwind(|| panic!("of the host")).is_err());
    assert!(HOOKED.load(Ordering::Relaxed), "the hook of the host is still installed");
    drop(panic::take_hook());

    let rendered = recorder.render();
    assert!(rendered.contains("# HELP quintet_entries_appended_total "), "described to the host's recorder");
    assert!(rendered.contains("quintet_runs_completed_total{status=\"failed\"} 0"), "{rendered}");

    // The service has no recorder to render, and says so.
    let admin = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = admin.local_addr().unwrap();
    let routes = running.admin_router();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server =
        axum::serve(admin, routes).with_graceful_shutdown(async { stopped.await.unwrap_or_default() });
    let host = async {
        let client = quintet_testkit::gateway::http_client();
        let get = async |path: &str| {
            let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(
            get("/metrics").await,
            (404, "the process has a metrics recorder of its own\n".to_owned())
        );
        assert_eq!(get("/readyz").await, (200, "ok\n".to_owned()));
        assert_eq!(get("/livez").await, (200, "ok\n".to_owned()));
        drop(stop);
    };
    let (served, ()) = tokio::join!(server.into_future(), host);
    served.unwrap();

    // Only on request, and then it says what is wrong.
    let asked = Service::builder().agent(Counter).journal(MemoryJournal::default()).prometheus();
    let error = asked.dev().build().err().unwrap();
    assert!(matches!(error, ServiceError::Metrics(_)) && error.to_string().contains("recorder of its own"));

    let drained = running.run_until(async {}).await;
    assert!(drained.runs_quiesced && drained.connections_closed, "{drained:?}");
    // Closed: the next service has the folder, although the first one's agents may still end.
    let again = Service::builder().agent(Counter).sqlite(folder.path()).bind("127.0.0.1:0").dev().build();
    drop(again.unwrap());
}

fn current_umask() -> rustix::fs::Mode {
    let current = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(current);
    current
}

/// The signals that this process has handlers for.
fn caught_signals() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find(|line| line.starts_with("SigCgt:")).map(str::to_owned)
}
