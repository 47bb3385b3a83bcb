//! The table of the command and the documents: mutant × check, with the shortest counterexample.

use super::Verdict;

/// The table, as text for a terminal.
pub fn plain(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let Verdict { mutant, red } = verdict;
        let caught = verdict
            .caught()
            .map_or("SURVIVED".to_owned(), |catch| format!("{} in {} step(s)", catch.check, catch.steps));
        text.push_str(&format!("{:32} {:16} {caught}", mutant.id, mutant.rules.join(" ")));
        let others = others(verdict);
        if !others.is_empty() {
            text.push_str(&format!("; also {}", others.join(", ")));
        }
        if verdict.caught().is_none() && red.is_empty() {
            text.push_str(&format!("; expected {}", mutant.caught_by));
        }
        text.push('\n');
    }
    text
}

/// The table, as Markdown.
pub fn markdown(verdicts: &[Verdict]) -> String {
    let mut text = String::from(
        "| mutant | rules | what is wrong | class of the predecessor | red | steps | also red (steps) |\n|---|---|---|---|---|---|---|\n",
    );
    for verdict in verdicts {
        let mutant = &verdict.mutant;
        let (check, steps) = verdict.caught().map_or(("**survived**".to_owned(), "–".to_owned()), |c| {
            (c.check.clone(), c.steps.to_string())
        });
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {check} | {steps} | {} |\n",
            mutant.id,
            mutant.rules.join(" "),
            mutant.says,
            mutant.class.unwrap_or("–"),
            others(verdict).join(", "),
        ));
    }
    text
}

/// The other checks that are red, by model and first rule, with the lengths of their counterexamples.
fn others(verdict: &Verdict) -> Vec<String> {
    let caught = verdict.caught().map(|catch| &catch.check);
    let others = verdict.red.iter().filter(|catch| Some(&catch.check) != caught);
    others.map(|catch| format!("{} ({})", short(&catch.check), catch.steps)).collect()
}

/// `user: RUN-1 agent_started …` as `user RUN-1`.
fn short(check: &str) -> String {
    match check.split_once(": ") {
        Some((model, "the graph of the code")) => format!("{model} graph"),
        Some((model, claim)) => {
            let rules = claim.split(' ').take_while(|word| word.chars().all(|c| !c.is_lowercase()));
            let rules: Vec<&str> = rules.collect();
            let rules = if rules.is_empty() { "witness".to_owned() } else { rules.join(" ") };
            format!("{model} {rules}")
        }
        None => check.to_owned(),
    }
}
