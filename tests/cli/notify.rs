//! Reports to a service manager, which the test takes the place of: its socket receives them.

use std::{os::unix::net::UnixDatagram, process::Stdio, time::Duration};

use rustix::process::Signal;
use serde_json::json;

use crate::command::{PATIENCE, Service, on_free_ports};

/// Receives one report; `None` if there is none for the timeout of the socket.
fn report(socket: &UnixDatagram) -> Option<String> {
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).ok()?;
    Some(String::from_utf8(bytes[..length].to_vec()).unwrap().trim_end().to_owned())
}

/// Receives reports until one that is none of the watchdog.
fn next(socket: &UnixDatagram) -> String {
    loop {
        match report(socket).expect("a report").as_str() {
            "WATCHDOG=1" => {}
            report => return report.to_owned(),
        }
    }
}

/// CONN-6: the manager learns when clients are served, that the process lives, also during a drain, and that it ends.
#[tokio::test(flavor = "multi_thread")]
async fn conn_6_a_service_manager_learns_of_readiness_life_and_drain() {
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = on_free_ports("dev", &folder.path().join("data"));
    command.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "300000");
    command.stderr(Stdio::piped());
    let service = Service::spawn(command);
    assert_eq!(next(&socket), "READY=1");
    assert_eq!(service.admin("/readyz").await, Some((200, "ok\n".into())));
    for _ in 0..3 {
        assert_eq!(report(&socket).as_deref(), Some("WATCHDOG=1"));
    }

    // A process that does not run reports nothing.
    service.signal(Signal::STOP);
    socket.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    while report(&socket).is_some() {}
    service.signal(Signal::CONT);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(report(&socket).as_deref(), Some("WATCHDOG=1"));

    let token = service.login("ada").await;
    let hangs = service.rehearse(&token, "m1", json!([{"think": "hm"}, {"hang": true}])).await;
    service.until_run(&token, &hangs, "active").await;
    service.signal(Signal::TERM);
    assert_eq!(next(&socket), "STOPPING=1");
    for _ in 0..3 {
        assert_eq!(report(&socket).as_deref(), Some("WATCHDOG=1"));
    }
    // The run would hold the drain up.
    service.signal(Signal::TERM);
    assert_eq!(service.ended().0.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_that_is_gone_is_logged_and_hinders_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = on_free_ports("dev", &folder.path().join("data"));
    command.env("NOTIFY_SOCKET", folder.path().join("nobody")).stderr(Stdio::piped());
    let service = Service::spawn(command);
    assert_eq!(service.admin("/readyz").await, Some((200, "ok\n".into())));
    let log = service.drained();
    assert!(log.contains("a report to the service manager was not sent"), "{log}");
}
