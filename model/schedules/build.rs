//! Sets the cfg under which `src/runtime/sync.rs` takes its locks, counters and signals from loom, for this
//! package alone; and makes the mutants: a file of `src/` with a defect.

use std::{env, fs, path::Path};

/// A mutant: its name, its source file, the original text and the replacement.
const TWINS: [(&str, &str, &str, &str); 5] = [
    (
        "mutant_registry",
        "user/registry.rs",
        "let idle = self.slot.leases.load(Ordering::Acquire) == 0;",
        // The last lease removes its value without checking for a new lease.
        "let idle = true;",
    ),
    (
        "mutant_tail",
        "user/tail.rs",
        "        self.head.send_if_modified(|known| {
            let later = head > *known;
            if later {
                *known = head;
            }
            later
        });",
        // The head is compared first and set later, so it can go back.
        "        if head > *self.head.borrow() {
            self.head.send_replace(head);
        }",
    ),
    (
        "mutant_tail_order",
        "user/tail.rs",
        "        self.recent.lock().push(lines, &self.limits);
        self.raise(last);",
        // Readers are notified of entries that are not there yet.
        "        self.raise(last);
        self.recent.lock().push(lines, &self.limits);",
    ),
    (
        "mutant_signal",
        "agent/host/signal.rs",
        "            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if let Some(result) = self.take(call_id) {
                return Ok(result);
            }",
        // It reads first and registers later, so a close in between wakes no task.
        "            if let Some(result) = self.take(call_id) {
                return Ok(result);
            }
            let closed = self.closed.notified();",
    ),
    (
        "mutant_drain",
        "gateway/drain.rs",
        "        self.0.send_if_modified(|current| {
            let moves = stage > *current;
            *current = stage.max(*current);
            moves
        });",
        // A stage that was reached is left again.
        "        self.0.send_replace(stage);",
    ),
];

fn main() {
    println!("cargo:rustc-cfg=quintet_loom");
    println!("cargo:rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let mut modules = String::new();
    for (mutant, file, right, wrong) in TWINS {
        let file = Path::new("../../src").join(file);
        println!("cargo:rerun-if-changed={}", file.display());
        let text = fs::read_to_string(&file).expect("a file of src");
        assert_eq!(text.matches(right).count(), 1, "{} must contain once: {right}", file.display());
        let copy = Path::new(&out).join(format!("{mutant}.rs"));
        fs::write(&copy, text.replace(right, wrong)).expect("room");
        modules += &format!("#[path = {copy:?}]\npub mod {mutant};\n");
    }
    fs::write(Path::new(&out).join("twins.rs"), modules).expect("room");
}
