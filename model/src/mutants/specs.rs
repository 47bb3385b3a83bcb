//! Defects of the specifications, as `planted.toml` has them: guards taken out of their text. The graph of the
//! code is then another one, so that the comparison is as sharp in this direction as in the other.

use super::{Hunted, Mutant, suites};
use crate::planted;

/// The defects of `planted.toml` that change the graph of a specification.
pub fn mutants() -> Vec<Hunted> {
    planted::of_specifications()
        .filter_map(|defect| {
            let caught_by = defect.checks.iter().find(|check| check.ends_with(".tla"))?;
            let mutant = Mutant {
                id: &defect.name,
                rules: defect.rules.iter().map(String::as_str).collect(),
                class: defect.class.as_deref(),
                says: &defect.says,
                caught_by,
            };
            let spec = caught_by.trim_end_matches(".tla");
            Some(Hunted { mutant, hunt: Box::new(move || suites::spec(spec, defect)) })
        })
        .collect()
}
