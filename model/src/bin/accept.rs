//! Accepts traces of the running service, or names the first record that no behaviour allows.
//!
//!     cargo run -p quintet-model --bin accept -- [--brief | --refuse] TRACE...
//!
//! A folder stands for every `*.jsonl` in it. `--brief` prints what is refused, and the sum. With `--refuse`
//! each trace is known to be of a service that broke a rule. Exit code 1 if a trace is refused, or with
//! `--refuse` accepted; 2 if one cannot be read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use quintet_model::trace::{Account, Checked, accept};

fn main() -> ExitCode {
    let (flags, named): (Vec<_>, Vec<_>) =
        std::env::args_os().skip(1).partition(|argument| argument == BRIEF || argument == REFUSE);
    if named.is_empty() || flags.len() > 1 {
        eprintln!("usage: accept [{BRIEF} | {REFUSE}] TRACE...");
        return ExitCode::from(CANNOT_READ);
    }
    let (brief, refuse) = (flags == [BRIEF], flags == [REFUSE]);
    match all(&named.into_iter().map(PathBuf::from).collect::<Vec<_>>(), brief) {
        Ok(Judged { accepted: 0, .. }) if refuse => ExitCode::SUCCESS,
        Ok(Judged { refused: 0, .. }) if !refuse => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(CANNOT_READ)
        }
    }
}

/// Counts of traces by verdict.
struct Judged {
    accepted: usize,
    refused: usize,
}

fn all(named: &[PathBuf], brief: bool) -> Result<Judged, String> {
    let (mut checked, mut sum) = (Checked::default(), Account::default());
    let (mut accepted, mut refused) = (0, 0);
    for path in named {
        let cannot = |error: std::io::Error| format!("{}: {error}", path.display());
        let traces = traces(path).map_err(cannot)?;
        if traces.is_empty() {
            return Err(format!("{}: no traces", path.display()));
        }
        for trace in traces {
            let text = fs::read_to_string(&trace).map_err(cannot)?;
            match accept(&text, &mut checked) {
                Ok(account) => {
                    accepted += 1;
                    sum.add(&account);
                    if !brief {
                        println!("{}: accepted\n  {account}", trace.display());
                    }
                }
                Err(why) => {
                    refused += 1;
                    println!("{}: REFUSED at {why}", trace.display());
                }
            }
        }
    }
    println!("{accepted} traces accepted, {refused} refused\n  {sum}");
    Ok(Judged { accepted, refused })
}

/// Only what is refused, and the sum.
const BRIEF: &str = "--brief";
/// Each of them has to be refused.
const REFUSE: &str = "--refuse";
const CANNOT_READ: u8 = 2;

fn traces(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    let mut traces: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    traces.retain(|trace| trace.extension().is_some_and(|extension| extension == "jsonl"));
    traces.sort();
    Ok(traces)
}
