//! Every property of every model and of every specification, as a table reads them: rule, name, where it
//! is, and what kind of claim it makes.
//!
//! Guarantee: nothing is listed by hand. A model's properties are those that its explorations check; a
//! specification's are those that its configurations name, with the rules that the comment behind the
//! definition cites.

use std::{collections::BTreeSet, fs, io};

use quintet::kernel::rules::Rule;

use crate::{
    checks::{Checked, Kind},
    claims::ENDINGS,
    models::{
        connection::ConnectionModel, delivery::DeliveryModel, erasure::ErasureModel, fence::FenceModel,
        isolation::IsolationModel, run::RunModel, ticket::TicketModel, user::UserModel,
    },
    spec::folder,
    specified::{Config, SPECIFIED},
};

/// One property of one model, for one of its rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Property {
    pub rule: &'static str,
    /// Begins with the ids of all its rules.
    pub name: String,
    pub model: &'static str,
    pub kind: Kind,
    /// The case of an `always`: the claim of a `sometimes` of the same model.
    pub case: Option<&'static str>,
}

/// One invariant or temporal property of a specification, for one of its rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpecProperty {
    pub rule: String,
    pub name: String,
    /// The name of the module, such as `User`.
    pub module: &'static str,
    pub kind: Kind,
    /// Of its definition in the module's file.
    pub line: usize,
}

/// All of them, by model.
pub fn properties() -> Vec<Property> {
    let mut all = Vec::new();
    all.extend(of::<RunModel>());
    all.extend(of::<UserModel>());
    all.extend(of::<FenceModel>());
    all.extend(of::<DeliveryModel>());
    all.extend(of::<IsolationModel>());
    all.extend(of::<ConnectionModel>());
    all.extend(of::<TicketModel>());
    all.extend(of::<ErasureModel>());
    for ending in ENDINGS {
        all.extend(ending.rules.iter().map(|rule| Property {
            rule,
            name: ending.property(),
            model: ending.model,
            kind: Kind::Liveness,
            case: None,
        }));
    }
    all
}

fn of<M: Checked>() -> impl Iterator<Item = Property> {
    M::checks().into_iter().flat_map(|check| {
        let named = |rule: &&'static str| Property {
            rule,
            name: check.name.to_owned(),
            model: M::NAME,
            kind: check.kind,
            case: check.case,
        };
        check.rules.iter().map(named).collect::<Vec<_>>()
    })
}

/// All that the configurations name.
pub fn spec_properties() -> io::Result<Vec<SpecProperty>> {
    let mut all = BTreeSet::new();
    for specified in SPECIFIED {
        let module = specified.spec;
        let text = fs::read_to_string(folder().join(format!("{module}.tla")))?;
        let config = Config::read(specified.config)?;
        for word in ["INVARIANT", "PROPERTY"] {
            for name in config.named(word) {
                let is_liveness = name == specified.property && !specified.fails_under.is_empty();
                let kind = if is_liveness { Kind::Liveness } else { Kind::Always };
                let Some((line, rules)) = definition(&text, name) else { continue };
                let named = |rule| SpecProperty { rule, name: name.to_owned(), module, kind, line };
                all.extend(rules.into_iter().map(named));
            }
        }
    }
    Ok(all.into_iter().collect())
}

/// Finds the definition of a name, and the rules that its comment cites.
fn definition(text: &str, name: &str) -> Option<(usize, BTreeSet<String>)> {
    let at = text
        .lines()
        .position(|line| line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with("==")))?;
    let line = text.lines().nth(at)?;
    let comment = line.split_once("\\*").map_or("", |(_, comment)| comment);
    let words = comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let rules = words.filter(|word| Rule::find(word).is_some()).map(str::to_owned).collect();
    Some((at + 1, rules))
}
