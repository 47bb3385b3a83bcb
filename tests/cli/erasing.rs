//! `quintet erase` (DEL-8), on a journal that the service itself wrote.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{Outcome, Service, outcome, quintet};

fn command(name: &str, folder: &Path, more: &[&str]) -> Outcome {
    let mut command = quintet([name, "--data-dir"]);
    command.arg(folder).args(more);
    outcome(command)
}

fn has_text(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test]
async fn del_8_erase_prints_the_receipt_and_leaves_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    for (user, word) in [("ada", "plover"), ("bob", "xyzzy")] {
        let token = service.login(user).await;
        let run_id = service.rehearse(&token, "m1", json!([{"think": "hm"}, {"answer": word}])).await;
        service.until_run(&token, &run_id, "completed").await;
    }
    // A folder in use is not touched, and the message names the way.
    let refused = command("erase", folder.path(), &["--user", "ada"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("DELETE /v1/log"), "{}", refused.stderr);
    service.drained();
    assert!(has_text(folder.path(), "plover"));

    let erased = command("erase", folder.path(), &["--user", "ada"]);
    assert_eq!(erased.code, 0, "{}", erased.stderr);
    let receipt: Value = serde_json::from_str(&erased.stdout).unwrap();
    assert!(receipt["completed_at"].is_u64() && receipt["entries"].as_u64() > Some(3), "{receipt}");
    assert!(!has_text(folder.path(), "plover") && has_text(folder.path(), "xyzzy"));
    let audit = command("audit", folder.path(), &[]);
    assert_eq!(audit.code, 0, "{}", audit.stdout);
    assert!(audit.stdout.contains(receipt["receipt"].as_str().unwrap()), "{}", audit.stdout);

    let missing = tempfile::tempdir().unwrap();
    assert_eq!(command("erase", missing.path(), &["--user", "ada"]).code, 2);
    assert_eq!(command("erase", folder.path(), &[]).code, 2, "no user");
}
