//! The restore drill: a backup of a running service, a lost disk, a restore, an audit, and the service again.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::files;
use crate::command::{Outcome, Service, outcome};

/// Runs a script of `packaging/backup` with the program under test.
fn script(name: &str, arguments: &[&Path]) -> Outcome {
    let mut command = Command::new(files::path("backup").join(name));
    let program = Path::new(env!("CARGO_BIN_EXE_quintet")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    command.args(arguments).env("PATH", path).stdin(Stdio::null());
    outcome(command)
}

async fn run(service: &Service, token: &str, message_id: &str) -> String {
    let run_id = service.rehearse(token, message_id, json!([{"think": "hm"}, {"answer": "plover"}])).await;
    service.until_run(token, &run_id, "completed").await;
    run_id
}

async fn entries(service: &Service, token: &str) -> Value {
    service.get("/v1/entries", token).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn del_3_a_restored_backup_serves_what_it_holds_and_clients_read_it_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    let service = Service::dev(&data, &[]);
    let token = service.login("ada").await;
    run(&service, &token, "m1").await;
    let before = entries(&service, &token).await;

    let backup = |copies: &str| script("quintet-backup", &[&data, &backups, Path::new(copies)]);
    assert_eq!(backup("0").code, 2);
    let made = backup("3");
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(made.stderr.contains("violations: 0"), "{}", made.stderr);
    let copy = std::path::PathBuf::from(made.stdout.trim());
    assert!(copy.starts_with(&backups), "{}", made.stdout);

    // After the backup: it is lost.
    let lost = run(&service, &token, "m2").await;
    let restore = |from: &Path| script("quintet-restore", &[from, &data]);
    let refused = restore(&copy);
    assert!(refused.code == 1 && refused.stderr.contains("stop it first"), "{}", refused.stderr);
    service.signal(Signal::KILL);
    service.ended();
    std::fs::write(data.join("quintet.db"), "not a database").unwrap();

    let restored = restore(&copy);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let kept = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let kept: Vec<_> = kept.filter(|name| name.to_str().unwrap().starts_with("data.before-")).collect();
    assert_eq!(kept.len(), 1, "the damaged folder is kept");

    let service = Service::dev(&data, &[]);
    let token = service.login("ada").await;
    let after = entries(&service, &token).await;
    assert_eq!(after["entries"], before["entries"]);
    assert_ne!(after["epoch"], before["epoch"], "a cursor beyond the backup gets a gap");
    assert_eq!(service.get(&format!("/v1/runs/{lost}"), &token).await.0, 404);
    run(&service, &token, "m2").await;
    service.drained();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_its_audit_is_reported_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    let service = Service::dev(&data, &[]);
    let token = service.login("ada").await;
    run(&service, &token, "m1").await;
    service.drained();
    let other = backups.join("notes");
    std::fs::create_dir_all(&other).unwrap();
    for day in 1..=3 {
        std::fs::create_dir(backups.join(format!("2026-01-0{day}T00-00-00Z"))).unwrap();
    }
    let made = script("quintet-backup", &[&data, &backups, Path::new("2")]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let mut left: Vec<_> =
        std::fs::read_dir(&backups).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let copy = Path::new(made.stdout.trim());
    assert_eq!(left, ["2026-01-03T00-00-00Z".as_ref(), copy.file_name().unwrap(), "notes".as_ref()]);

    let database = rusqlite::Connection::open(copy.join("quintet.db")).unwrap();
    let change = "UPDATE batches SET lines = CAST(replace(CAST(lines AS TEXT), 'plover', 'plower') AS BLOB)";
    database.execute(change, []).unwrap();
    drop(database);
    let refused = script("quintet-restore", &[copy, &data]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 2, "nothing was moved or left");

    std::fs::remove_dir_all(&data).unwrap();
    assert_ne!(script("quintet-backup", &[&data, &backups, Path::new("1")]).code, 0);
    assert_eq!(std::fs::read_dir(&backups).unwrap().count(), 3, "nothing was removed");
}
