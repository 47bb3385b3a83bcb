//! Commands that do not serve: settings, audits, evidence, backups.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;

use super::{args::AuditFlags, results::print};
use crate::{
    audit::{self, AuditOptions, EvidenceSubject},
    journal::sqlite::backup_folder,
    ops::{
        config::{LoadedSettings, check},
        telemetry,
    },
    runtime::{clock, private},
    service::{access::described_key, configured::ConfiguredAgents},
};

/// Prints all settings and a description of the key. Prints what `quintet serve` still requires to stderr.
pub fn check_config(loaded: &LoadedSettings) -> anyhow::Result<ExitCode> {
    check::consistent(loaded)?;
    ConfiguredAgents::check(&loaded.settings.agent_settings)?;
    print(&loaded.show())?;
    if let Some((name, key)) = described_key(&loaded.settings)? {
        print(&format!("# {name}: {key}\n"))?;
    }
    if !loaded.service_links.is_empty() {
        let names = loaded.service_links.join(", ");
        telemetry::report(&format!("variables of Kubernetes service links are ignored: {names}\n"));
    }
    if let Err(missing) = check::serve(loaded) {
        telemetry::report(&format!("{missing}\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Audits the journal in `folder`, or exports evidence from it.
pub fn audit(folder: &Path, flags: &AuditFlags) -> anyhow::Result<ExitCode> {
    if let (Some(user_id), Some(file)) = (&flags.user, &flags.export) {
        let subject = match flags.run {
            Some(run_id) => EvidenceSubject::Run(user_id.clone(), run_id),
            None => EvidenceSubject::User(user_id.clone()),
        };
        return export(folder, &subject, file);
    }
    let options = AuditOptions { user_id: flags.user.clone(), ..AuditOptions::default() };
    let report = audit::audit(folder, &options)?;
    print(&if flags.json { json_line(&report)? } else { report.to_string() })?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn export(folder: &Path, subject: &EvidenceSubject, file: &Path) -> anyhow::Result<ExitCode> {
    let unwritable = || format!("{} cannot be written", file.display());
    let mut out = BufWriter::new(private::create_file(file).with_context(unwritable)?);
    audit::export(folder, subject, &mut out)?;
    out.flush().with_context(unwritable)?;
    out.get_ref().sync_all().with_context(unwritable)?;
    Ok(ExitCode::SUCCESS)
}

/// Verifies evidence without the journal that it was exported from.
pub fn verify(evidence: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let file = File::open(evidence).with_context(|| format!("{} cannot be read", evidence.display()))?;
    let verdict = audit::verify(&mut BufReader::new(file))?;
    if json {
        print(&json_line(&verdict)?)?;
    } else {
        let about = verdict.run_id.as_ref().map_or(String::new(), |run_id| format!(", run {run_id}"));
        let mut text = format!(
            "consistent: user {:?}{about}, entries {} to {}, {} shown, {} hidden, {} erased\njournal {}, chain {}: it is not signed, so it proves the entries only if the chain hash is known from the journal\nviolations: {}\n",
            verdict.user_id,
            verdict.from,
            verdict.to,
            verdict.shown,
            verdict.hidden,
            verdict.erased,
            verdict.origin,
            verdict.chain_after,
            verdict.violations.len(),
        );
        verdict.violations.iter().for_each(|violation| text.push_str(&format!("  {violation}\n")));
        print(&text)?;
    }
    Ok(if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Copies the journal in `folder` to the folder `to`.
pub fn backup(folder: &Path, to: &Path) -> anyhow::Result<ExitCode> {
    backup_folder(folder, to, clock::now())?;
    print(&format!("{} is a copy of {}\n", to.display(), folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn json_line(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value).context("the findings cannot be written as JSON")? + "\n")
}
