//! Plants the defects of `planted.toml` in a copy of the tree, one at a time, and prints whether their tests failed.
//! Defects of specifications are tried by `cargo test -p quintet-model`.
//!
//! ```text
//! cargo run -p quintet-model --bin planted [-- NAME…]
//! ```
//!
//! Exit code 1 if a defect survives or cannot be tried.

use std::{path::Path, process::ExitCode};

use quintet_model::planted::{self, Plot, Verdict};

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let defects: Vec<_> = planted::all()
        .iter()
        .filter(|defect| defect.checks.is_empty())
        .filter(|defect| wanted.is_empty() || wanted.contains(&defect.name))
        .collect();
    if defects.is_empty() {
        eprintln!("no defect of planted.toml in a Rust file has that name");
        return ExitCode::from(2);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the model lies in the project");
    let mut plot = match Plot::new(root, &root.join("target/planted")) {
        Ok(plot) => plot,
        Err(error) => {
            eprintln!("the project cannot be copied: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = 0;
    println!("| defect | breaks | class | test | outcome |\n|---|---|---|---|---|");
    for defect in defects.iter().copied() {
        let outcome = match plot.try_out(defect) {
            Ok(Verdict::Caught) if !defect.compiles => "does not compile".to_owned(),
            Ok(Verdict::Caught) => "caught".to_owned(),
            Ok(Verdict::Hung) => "caught: the test waits for ever".to_owned(),
            Ok(Verdict::Survived) => {
                failed += 1;
                "SURVIVED".to_owned()
            }
            Err(error) => {
                failed += 1;
                format!("ERROR: {error}")
            }
        };
        let test = defect.test.last().map_or("", String::as_str);
        let class = defect.class.as_deref().unwrap_or("–");
        println!("| `{}` | {} | {class} | `{test}` | {outcome} |", defect.name, defect.rules.join(", "));
    }
    println!("\n{} defects, {failed} not caught", defects.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
