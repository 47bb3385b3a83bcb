//! Signals other than those that request a drain.

use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::command::{Service, on_free_ports};

#[tokio::test]
async fn unused_signals_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    for signal in [Signal::USR1, Signal::USR2, Signal::PIPE, Signal::XFSZ, Signal::USR1] {
        service.signal(signal);
        assert_eq!(service.admin("/livez").await, Some((200, "ok\n".into())), "{signal:?}");
    }
    service.drained();
}

#[tokio::test]
async fn conn_6_closed_terminal_drains_after_any_number_of_hang_ups() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    service.signal(Signal::HUP);
    service.signal(Signal::HUP);
    let (status, _, log) = service.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(r#""message":"drained""#), "{log}");
}

#[tokio::test]
async fn hang_up_ignored_by_the_parent_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let dev = on_free_ports("dev", folder.path());
    let mut command = Command::new("nohup");
    command.arg(dev.get_program()).args(dev.get_args()).stderr(Stdio::piped());
    let service = Service::spawn(command);
    service.signal(Signal::HUP);
    assert_eq!(service.admin("/readyz").await, Some((200, "ok\n".into())));
    service.drained();
}
