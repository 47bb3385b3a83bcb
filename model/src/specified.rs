//! What the specifications claim of themselves, each by a configuration: invariants, what has to happen in
//! the end, and that each refines the abstract log of `EventLog.tla`.
//!
//! Guarantee: none of it is vacuous. Each liveness property fails with less fairness, and each invariant, and
//! each refinement, in a specification with a defect of `planted.toml`.

use std::{fs, io, path::Path};

use crate::{
    planted::{Defect, copy_of_specifications},
    spec::{Outcome, Spec, folder},
};

/// What the check of one configuration has to find: its invariants hold, its refinement, and under the
/// fairness that it assumes its temporal property.
pub struct Specified {
    pub spec: &'static str,
    /// The name of the configuration's file.
    pub config: &'static str,
    pub says: &'static str,
    pub states: usize,
    pub property: &'static str,
    /// Behaviours with less fairness, of the same configuration otherwise, of which the property is not
    /// true: what it begins with does happen, and does not end by itself.
    pub fails_under: &'static [&'static str],
}

macro_rules! specified {
    ($($spec:literal $config:literal $says:literal $states:literal $property:literal
        [$($less:literal),*];)+) => {
        &[$(Specified {
            spec: $spec, config: $config, says: $says, states: $states, property: $property,
            fails_under: &[$($less),*],
        }),+]
    };
}

#[rustfmt::skip]
pub const SPECIFIED: &[Specified] = specified![
    "EventLog" "EventLog" "2 readers, 3 entries" 1009 "Grows" [];
    "Run" "Run" "2 calls, 6 events" 2004 "Ends" ["Spec"];
    "User" "User" "2 messages, 2 events a run" 3943 "EveryRunEnds" ["Spec"];
    "User" "UserCalls" "1 message, 1 call, 4 events" 202 "EveryRunEnds" ["Spec"];
    "Erasure" "Erasure" "2 messages on 1 thread, 1 erasure, crashes" 858 "EveryErasureEnds" ["Spec"];
    "Fence" "Fence" "2 nodes, 1 message, 2 events" 1698 "EveryRunEnds" ["Spec", "WeakSpec"];
    "Fence" "FenceCalls" "1 node, 1 message, 3 events" 480 "EveryRunEnds" ["Spec", "WeakSpec"];
    "Delivery" "Delivery" "1 client, with retention" 5875 "CatchUp" ["Spec", "WeakSpec"];
    "Delivery" "DeliveryDrain" "1 client, with a drain, runs of 1 event" 4309 "DrainDone" ["Spec", "DrainWeakSpec"];
    "Ticket" "Ticket" "2 tickets, 4 moments" 3129 "NoneStays" ["Spec"];
];

/// The text of a configuration.
pub struct Config(String);

impl Config {
    pub fn read(name: &str) -> io::Result<Config> {
        fs::read_to_string(folder().join(format!("{name}.cfg"))).map(Config)
    }

    /// The same, for a claim.
    fn of(name: &str) -> Config {
        Config::read(name).unwrap_or_else(|error| panic!("{name}.cfg: {error}"))
    }

    /// The names after this keyword.
    pub fn named(&self, word: &str) -> Vec<&str> {
        self.0.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect()
    }

    /// Each constant, and what it is.
    pub fn constants(&self) -> Vec<&str> {
        self.0.lines().filter(|line| line.starts_with(' ')).map(str::trim).collect()
    }

    /// The same, under another specification of behaviours, asked for one invariant or one property. With a
    /// property comes `TypeOK`: without any invariant `tla-checker` would take it by its name, with a warning.
    fn asking(&self, specification: &str, name: &str) -> Config {
        let question = match self.named("INVARIANT").contains(&name) {
            true => format!("INVARIANT {name}"),
            false => format!("INVARIANT TypeOK\nPROPERTY {name}"),
        };
        Config(format!(
            "SPECIFICATION {specification}\nCONSTANTS\n  {}\n{question}\nCHECK_DEADLOCK FALSE\n",
            self.constants().join("\n  ")
        ))
    }
}

impl Specified {
    /// # Panics
    /// If an invariant or a property fails, if a property is not checked, or if the number of states is
    /// another.
    pub fn verify(&self) {
        let config = Config::of(self.config);
        let named = config.named("PROPERTY");
        assert_eq!(named.last(), Some(&self.property), "{}", self.config);
        match Spec::load(self.spec, self.config, &[]).and_then(|spec| spec.check()) {
            Ok(Outcome::Holds { states, properties, .. }) => {
                assert_eq!(states, self.states, "{}", self.config);
                assert_eq!(properties, named, "{} checked other properties", self.config);
            }
            other => panic!("{}: {other:?}", self.config),
        }
    }

    /// # Panics
    /// If the property holds with less fairness: it would be vacuous.
    pub fn needs_its_fairness(&self) {
        for less in self.fails_under {
            let config = Config::of(self.config).asking(less, self.property);
            let unchanged = copy_of_specifications().map_err(|error| error.to_string());
            match unchanged.and_then(|folder| outcome(folder.path(), self.spec, &config)) {
                Ok(Outcome::Violated { what, .. }) => assert_eq!(what, self.property, "{less}"),
                other => panic!("{} of {} under {less}: {other:?}", self.property, self.config),
            }
        }
    }
}

/// Checks that every invariant and safety property that a defect names is violated under it: one that held
/// would be vacuous.
///
/// # Panics
/// If one holds all the same.
pub fn violated_by(defect: &Defect) {
    for check in &defect.checks {
        let Some((config, name)) = check.split_once(".cfg ") else { continue };
        let of = SPECIFIED.iter().find(|specified| specified.config == config);
        let spec = of.unwrap_or_else(|| panic!("{check}: no such configuration")).spec;
        let asked = Config::of(config).asking("Spec", name);
        let found = defect.specifications().map_err(|error| error.to_string());
        match found.and_then(|scratch| outcome(scratch.path(), spec, &asked)) {
            Ok(Outcome::Violated { what, .. }) => assert_eq!(what, name, "{}", defect.name),
            other => panic!("{check} with {}: {other:?}", defect.name),
        }
    }
}

/// Checks the specification in this folder under a configuration.
fn outcome(folder: &Path, spec: &str, config: &Config) -> Result<Outcome, String> {
    let (module, file) = (folder.join(format!("{spec}.tla")), folder.join("Asked.cfg"));
    fs::write(&file, &config.0).map_err(|error| error.to_string())?;
    Spec::load_from(&module, &file, &[])?.check()
}
