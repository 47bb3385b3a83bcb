//! Sets the cfg under which `src/runtime/sync.rs` takes its locks and counters from shuttle, for this package alone; and
//! makes the mutants: the files of `src/user/` and `src/agent/host/`, one of them with a defect.

use std::{env, fs, path::Path};

/// A mutant: its name, its changed file, the original text and the replacement.
const TWINS: [(&str, &str, &str, &str); 4] = [
    (
        "mutant_registry",
        "user/registry.rs",
        "let idle = self.slot.leases.load(Ordering::Acquire) == 0;",
        // The last lease removes its value without checking for a new lease.
        "let idle = true;",
    ),
    (
        "mutant_cursor",
        "user/cursor.rs",
        "let _ = self.head.wait_for(|head| *head > after).await;",
        // It reads first and registers later: an entry published in between wakes no reader. Shuttle switches
        // tasks before a lock, so there is one in between.
        "if self.head() <= after {
            let _ = self.user.tail().head();
            let mut head = self.user.tail().watch();
            let _ = head.changed().await;
        }",
    ),
    (
        "mutant_signal",
        "agent/host/signal.rs",
        "        if let Some(waiting) = self.calls.lock().get_mut(call_id) {
            *waiting = Some(result.clone());
            self.closed.notify_waiters();",
        // It wakes first and stores the reason later.
        "        self.closed.notify_waiters();
        if let Some(waiting) = self.calls.lock().get_mut(call_id) {
            *waiting = Some(result.clone());",
    ),
    (
        "mutant_drain",
        "user/factory.rs",
        "        // A batch that began before `quiesce` may have advanced a run; a later one does not.
        self.idle().await;",
        // A decision made before `quiesce` may still advance a run.
        "",
    ),
];

/// The folders of `src/` that a mutant consists of.
const FOLDERS: [&str; 2] = ["user", "agent/host"];

fn main() {
    println!("cargo:rustc-cfg=quintet_shuttle");
    println!("cargo:rerun-if-changed=build.rs");
    for folder in FOLDERS {
        println!("cargo:rerun-if-changed=../../src/{folder}");
    }
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let out = Path::new(&out);
    for (mutant, file, right, wrong) in TWINS {
        let folder = out.join(mutant);
        for part in FOLDERS {
            copy(&Path::new("../../src").join(part), &folder.join(part));
        }
        let text = fs::read_to_string(folder.join(file)).expect("a file of the mutant");
        assert_eq!(text.matches(right).count(), 1, "{file} must contain once: {right}");
        fs::write(folder.join(file), text.replace(right, wrong)).expect("room");
        let root = format!(
            "#[path = {:?}]\npub mod user;\n#[path = {:?}]\npub mod host;\n",
            folder.join("user/mod.rs"),
            folder.join("agent/host/mod.rs"),
        );
        fs::write(out.join(format!("{mutant}.rs")), root).expect("room");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("room");
    for file in fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file").path();
        let to = to.join(file.file_name().expect("a name"));
        if file.is_dir() {
            copy(&file, &to);
        } else {
            fs::copy(&file, to).expect("room");
        }
    }
}
