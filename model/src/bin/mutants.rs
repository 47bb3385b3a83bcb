//! Puts every mutant before the checks of its suite, and prints which are red, with the length of the
//! shortest counterexample.
//!
//! ```text
//! cargo run -p quintet-model --bin mutants                 the table; exit code 1 if one survives
//! cargo run -p quintet-model --bin mutants -- --show NAME  the shortest counterexamples of one, step by step
//! cargo run -p quintet-model --bin mutants -- --markdown   the table as the documents have it
//! ```

use std::process::ExitCode;

use quintet_model::mutants::{Verdict, all, table, verdicts};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => hunt(table::plain),
        ["--markdown"] => hunt(table::markdown),
        ["--show", name] => show(name),
        _ => {
            eprintln!("usage: mutants [--markdown | --show NAME]");
            ExitCode::from(2)
        }
    }
}

fn hunt(print: fn(&[Verdict]) -> String) -> ExitCode {
    let verdicts = verdicts();
    print!("{}", print(&verdicts));
    let survivors: Vec<&str> =
        verdicts.iter().filter(|v| v.caught().is_none()).map(|v| v.mutant.id).collect();
    eprintln!("{} mutants, {} survived {}", verdicts.len(), survivors.len(), survivors.join(" "));
    if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(name: &str) -> ExitCode {
    let all = all();
    let Some(hunted) = all.iter().find(|hunted| hunted.mutant.id == name) else {
        eprintln!("no mutant is called {name}");
        return ExitCode::from(2);
    };
    println!("{}: {} ({})", name, hunted.mutant.says, hunted.mutant.rules.join(" "));
    let verdict = hunted.verdict();
    for catch in &verdict.red {
        println!("\n{} is red in {} step(s)\n{}", catch.check, catch.steps, catch.example);
    }
    if verdict.caught().is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
