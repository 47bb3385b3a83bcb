//! The files of `packaging/` against the service and the software that they are for.
//!
//! `tests/packaging/run.sh` installs that software and sets the variables of [`tool`].

mod backup;
mod exposed;
mod files;
mod monitoring;
mod prometheus;
mod promql;
mod serving;
mod units;

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

/// Returns the program of others that a variable names. Without it, the test fails under CI and is skipped otherwise.
pub fn tool(variable: &str) -> Option<String> {
    let tool = std::env::var(variable).ok();
    if tool.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: use tests/packaging/run.sh");
        println!("skipped: {variable} is not set; see tests/packaging/run.sh");
    }
    tool
}

/// Runs a program, and returns its output if it succeeds.
pub fn succeeds(program: &str, arguments: &[impl AsRef<OsStr>]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(text.into_owned()) } else { Err(text.into_owned()) }
}
