//! `quintet audit` and `quintet backup`, on journals that the service itself wrote.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{Outcome, Service, outcome, quintet, run};

/// Writes a journal with one run each of two users, and returns the id of Ada's.
async fn journal(folder: &Path) -> String {
    let service = Service::dev(folder, &[]);
    let mut runs = Vec::new();
    for user in ["ada", "bob"] {
        let token = service.login(user).await;
        let run_id = service.rehearse(&token, "m1", json!([{"think": "hm"}, {"answer": "plover"}])).await;
        service.until_run(&token, &run_id, "completed").await;
        runs.push(run_id);
    }
    service.drained();
    runs.swap_remove(0)
}

fn audit(folder: &Path, more: &[&str]) -> Outcome {
    let mut command = quintet(["audit", "--data-dir"]);
    command.arg(folder).args(more);
    outcome(command)
}

/// Replaces one word of the stored text in the database.
fn tamper(folder: &Path, from: &str, to: &str) {
    let file = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3")))
        .expect("the folder holds a database");
    let connection = rusqlite::Connection::open(file).unwrap();
    let update = "UPDATE batches SET lines = CAST(replace(CAST(lines AS TEXT), ?1, ?2) AS BLOB)
                  WHERE instr(CAST(lines AS TEXT), ?1) > 0";
    assert!(connection.execute(update, [from, to]).unwrap() > 0, "the database has no such text");
}

#[tokio::test]
async fn audit_of_a_written_journal_is_clean_and_of_a_changed_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    journal(folder.path()).await;
    let clean = audit(folder.path(), &[]);
    assert_eq!((clean.code, clean.stderr.as_str()), (0, ""), "{}", clean.stdout);
    assert!(clean.stdout.contains("users 2") && clean.stdout.contains("violations: 0"), "{}", clean.stdout);
    let one: Value =
        serde_json::from_str(&audit(folder.path(), &["--user", "ada", "--json"]).stdout).unwrap();
    assert_eq!((&one["users"], &one["violations_total"]), (&json!(1), &json!(0)));

    tamper(folder.path(), "plover", "plower");
    let changed = audit(folder.path(), &[]);
    assert_eq!(changed.code, 1, "{}", changed.stdout);
    assert!(
        changed.stdout.contains("user \"ada\"") && changed.stdout.contains("entry"),
        "{}",
        changed.stdout
    );
}

#[tokio::test]
async fn journal_in_use_is_refused_and_its_backup_is_audited() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    journal(&data).await;
    let service = Service::dev(&data, &[]);
    let refused = audit(&data, &[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("backup"), "{}", refused.stderr);

    let backup = || {
        let mut command = quintet(["backup", "--data-dir"]);
        command.arg(&data).arg("--to").arg(&copy);
        outcome(command)
    };
    let made = backup();
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert_eq!(backup().code, 1, "an existing copy is not overwritten");
    assert_eq!(service.admin("/readyz").await, Some((200, "ok\n".into())));
    service.drained();
    assert_eq!(audit(&copy, &[]).code, 0);

    // A copy serves in place of the original, under its own epoch (DEL-3).
    let epoch = async |folder: &Path| {
        let service = Service::dev(folder, &[]);
        let token = service.login("ada").await;
        let (_, page) = service.get("/v1/entries", &token).await;
        service.drained();
        (page["epoch"].clone(), page["entries"].clone())
    };
    let (original, restored) = (epoch(&data).await, epoch(&copy).await);
    assert_eq!(original.1, restored.1);
    assert_ne!(original.0, restored.0);
}

#[tokio::test]
async fn evidence_verifies_without_the_journal_and_fails_after_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let run_id = journal(&data).await;
    let file = folder.path().join("evidence.jsonl");
    let file = file.to_str().unwrap();
    let made = audit(&data, &["--user", "ada", "--run", &run_id, "--export", file]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert_eq!(
        audit(&data, &["--user", "ada", "--export", file]).code,
        1,
        "an existing file is not overwritten"
    );
    std::fs::remove_dir_all(&data).unwrap();
    let whole = run(&["audit", "--verify", file]);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    assert!(whole.stdout.contains(&run_id) && whole.stdout.contains("consistent"), "{}", whole.stdout);
    let verdict: Value = serde_json::from_str(&run(&["audit", "--verify", file, "--json"]).stdout).unwrap();
    assert_eq!(verdict["run_id"], run_id.as_str());

    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, text.replace("plover", "plower")).unwrap();
    let broken = run(&["audit", "--verify", file]);
    assert_eq!((broken.code, broken.stdout.as_str()), (1, ""), "{}", broken.stderr);
}

#[test]
fn missing_journal_or_user_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = audit(folder.path(), &[]);
    assert_eq!(nothing.code, 2, "{}", nothing.stderr);
    assert!(nothing.stderr.contains(folder.path().to_str().unwrap()), "{}", nothing.stderr);
    let mut backup = quintet(["backup", "--to", "/nowhere", "--data-dir"]);
    backup.arg(folder.path());
    assert_eq!(outcome(backup).code, 2);
    assert_eq!(run(&["audit", "--run", "018f3c2e-7b1a-7c3d-8e4f-0123456789ab"]).code, 2, "without --user");
    assert_eq!(run(&["audit", "--user", ""]).code, 2);
    assert_eq!(run(&["audit", "--verify", "x", "--user", "ada"]).code, 2);
    assert_eq!(run(&["backup"]).code, 2);
}
