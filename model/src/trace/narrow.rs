//! A slice of a trace against a specification: `TraceRun.tla`, `TraceUser.tla`, `TraceDelivery.tla` and
//! `TraceTicket.tla` may only step as the slice has it, with the hidden steps that this takes. A module `Trace`
//! is generated that gives one of them its constants; the checker of TLA+ has to find the end.

use std::{collections::HashSet, fs, path::Path};

use super::{Narrow, Refused};
use crate::{
    planted::copy_of_specifications,
    spec::{Outcome, Spec},
};

/// A slice as a module `Trace` that extends its trace specification, and a configuration. `l` counts the steps
/// that are seen, from 1, and `NotAccepted` fails where all of them are done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    pub module: String,
    pub config: String,
    /// The line of each step that is seen.
    pub lines: Vec<usize>,
}

impl Slice {
    /// `values` are defined in the module, since a configuration takes no sequence; `constants` are as they are.
    pub fn new(
        spec: &str,
        values: &[(&str, String)],
        constants: &[(&str, String)],
        lines: Vec<usize>,
    ) -> Self {
        let defined: String = values.iter().map(|(name, value)| format!("The{name} == {value}\n")).collect();
        let given = values.iter().map(|(name, _)| format!("  {name} <- The{name}\n"));
        let given = given.chain(constants.iter().map(|(name, value)| format!("  {name} {value}\n")));
        Slice {
            module: format!("---- MODULE Trace ----\nEXTENDS Trace{spec}\n{defined}====\n"),
            config: format!(
                "SPECIFICATION TraceSpec\nCONSTANTS\n{}INVARIANT NotAccepted\nCHECK_DEADLOCK FALSE\n",
                given.collect::<String>()
            ),
            lines,
        }
    }
}

/// A sequence, with an element a line.
pub fn sequence(elements: impl IntoIterator<Item = impl ToString>) -> String {
    let elements: Vec<String> = elements.into_iter().map(|element| element.to_string()).collect();
    format!("<< {} >>", elements.join(",\n  "))
}

/// A set of numbers.
pub fn set(numbers: impl IntoIterator<Item = usize>) -> String {
    let numbers: Vec<String> = numbers.into_iter().map(|number| number.to_string()).collect();
    format!("{{{}}}", numbers.join(", "))
}

/// These limits of `Kernel.tla`, which no slice reaches.
pub fn without_limits(calls: usize) -> Vec<(&'static str, String)> {
    let limits = ["EventsMax", "OpenCallsMax", "RunCallsMax", "OpenRunsMax", "QueuedMax", "RecentMax"];
    let limits = limits.map(|name| (name, "= 99".to_owned()));
    [("Calls", format!("= {}", set(1..=calls)))].into_iter().chain(limits).collect()
}

/// The slices for one specification.
#[derive(Clone, Debug)]
pub struct Slices {
    pub spec: &'static str,
    pub slices: Vec<Slice>,
    pub left_out: usize,
}

impl Slices {
    pub fn new(spec: &'static str) -> Self {
        Self { spec, slices: Vec::new(), left_out: 0 }
    }

    pub fn add(&mut self, slice: Option<Slice>) {
        match slice {
            Some(slice) => self.slices.push(slice),
            None => self.left_out += 1,
        }
    }
}

/// Slices that their specification has accepted.
#[derive(Debug, Default)]
pub struct Checked(HashSet<(&'static str, String, String)>, bool);

impl Checked {
    /// Uses `Delivery.tla` and `Ticket.tla`, too.
    pub fn with_deliveries() -> Self {
        Self(HashSet::new(), true)
    }

    pub fn asks_for_deliveries(&self) -> bool {
        self.1
    }
}

/// Every distinct slice once; the first that is not accepted, at the record that no behaviour allows.
pub fn check(slices: Slices, checked: &mut Checked) -> Result<Narrow, Refused> {
    let Slices { spec, slices, left_out } = slices;
    let count = slices.len();
    let workplace = copy_of_specifications();
    let workplace = workplace.map_err(|error| Refused::at(0, format!("no place for modules: {error}")))?;
    let mut distinct = 0;
    for slice in slices {
        let key = (spec, slice.module.clone(), slice.config.clone());
        if !checked.0.contains(&key) {
            one(workplace.path(), spec, &slice)?;
            checked.0.insert(key);
            distinct += 1;
        }
    }
    Ok(Narrow { spec, slices: count, distinct, left_out })
}

fn one(workplace: &Path, spec: &str, slice: &Slice) -> Result<(), Refused> {
    let first = slice.lines.first().copied().unwrap_or(0);
    let failed = |why: String| Refused::at(first, format!("{spec}.tla could not be asked: {why}"));
    let (module, config) = (workplace.join("Trace.tla"), workplace.join("Trace.cfg"));
    fs::write(&module, &slice.module).map_err(|e| failed(e.to_string()))?;
    fs::write(&config, &slice.config).map_err(|e| failed(e.to_string()))?;
    let loaded = Spec::load_from(&module, &config, &[]).map_err(failed)?;
    match loaded.check().map_err(failed)? {
        // It is not so that the trace is not accepted.
        Outcome::Violated { what, .. } if what == "NotAccepted" => Ok(()),
        Outcome::Violated { what, .. } => Err(failed(format!("{what} is violated"))),
        Outcome::Holds { .. } => {
            let graph = loaded.explore().map_err(failed)?;
            let at = graph.vars.iter().position(|var| &**var == "l");
            let furthest = graph.states.iter().filter_map(|state| match at.map(|at| &state.values[at]) {
                Some(tla_checker::ast::Value::Int(l)) => usize::try_from(*l).ok(),
                _ => None,
            });
            // In `Run`, the first event is there from the beginning.
            let before = if spec == "Run" { 2 } else { 1 };
            let step = furthest.max().unwrap_or(before).saturating_sub(before);
            let line = slice.lines.get(step).copied().unwrap_or(first);
            Err(Refused::at(line, format!("no behaviour of {spec}.tla goes on from here:\n{}", slice.module)))
        }
    }
}
