//! Plants the defects of `planted.toml` in a copy of the tree, one at a time, and prints whether their tests failed.
//! Defects of specifications are tried by `cargo test -p quintet-model`.
//!
//! ```text
//! cargo run -p quintet-model --bin planted [-- NAME…]
//! cargo run -p quintet-model --bin planted -- --sample N [SEED]     N of those that tests of schedules have to find
//! ```
//!
//! Exit code 1 if a defect survives or cannot be tried.

use std::{
    path::{self, Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use quintet_model::planted::{self, Defect, Plot, Verdict};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(defects) = selected(&arguments) else {
        eprintln!("usage: planted [NAME…] | planted --sample N [SEED]");
        return ExitCode::from(2);
    };
    if defects.is_empty() {
        eprintln!("no defect of planted.toml in a Rust file has that name");
        return ExitCode::from(2);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the model lies in the project");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = path::absolute(target).expect("a path of the environment is not empty");
    let mut plot = match Plot::new(root, &target) {
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

/// Returns the defects that the arguments select.
fn selected(arguments: &[String]) -> Option<Vec<&'static Defect>> {
    if let [option, count, rest @ ..] = arguments
        && option == "--sample"
    {
        let seed = match rest {
            [] => seconds(),
            [seed] => seed.parse().ok()?,
            _ => return None,
        };
        println!("seed {seed}");
        return Some(planted::sample_of_schedules(count.parse().ok()?, seed));
    }
    let in_rust = planted::all().iter().filter(|defect| defect.checks.is_empty());
    Some(in_rust.filter(|defect| arguments.is_empty() || arguments.contains(&defect.name)).collect())
}

#[expect(clippy::disallowed_methods, reason = "the seed of a command line, not the service's time")]
fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
