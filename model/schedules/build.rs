//! Sets the cfg under which `src/runtime/sync.rs` takes its locks, counters and signals from loom, for this
//! package alone; and makes the twins: a file of `src/` with a defect.

use std::{env, fs, path::Path};

/// A twin, the file that it is made of, and what is different in it.
const TWINS: [(&str, &str, &str, &str); 5] = [
    (
        "twin_registry",
        "user/registry.rs",
        "let idle = self.slot.leases.load(Ordering::Acquire) == 0;",
        // The last lease removes its value without looking whether somebody leased it anew.
        "let idle = true;",
    ),
    (
        "twin_tail",
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
        "twin_tail_order",
        "user/tail.rs",
        "        self.recent.lock().push(lines, &self.limits);
        self.raise(last);",
        // Readers are told of entries that are not there yet.
        "        self.raise(last);
        self.recent.lock().push(lines, &self.limits);",
    ),
    (
        "twin_signal",
        "agent/host/signal.rs",
        "            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            if let Some(result) = self.take(call_id) {
                return Ok(result);
            }",
        // It looks first and listens later, so a close in between wakes nobody.
        "            if let Some(result) = self.take(call_id) {
                return Ok(result);
            }
            let closed = self.closed.notified();",
    ),
    (
        "twin_drain",
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
    for (twin, file, right, wrong) in TWINS {
        let file = Path::new("../../src").join(file);
        println!("cargo:rerun-if-changed={}", file.display());
        let text = fs::read_to_string(&file).expect("a file of src");
        assert_eq!(text.matches(right).count(), 1, "{} does not say once: {right}", file.display());
        let copy = Path::new(&out).join(format!("{twin}.rs"));
        fs::write(&copy, text.replace(right, wrong)).expect("room");
        modules += &format!("#[path = {copy:?}]\npub mod {twin};\n");
    }
    fs::write(Path::new(&out).join("twins.rs"), modules).expect("room");
}
