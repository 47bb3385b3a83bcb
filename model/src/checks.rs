//! A property of a model, with the rules that it stands for as data.
//!
//! Guarantee: the name of a check begins with its rules, so that a counterexample, stateright's explorer
//! and the traceability table cite the same. An `always` names the `sometimes` that is its case. What is no rule of the contract has a word of [`OWN_TERMS`].

use stateright::{Expectation, Model, Property};

/// The claim of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// In every state.
    Always,
    /// Holds in some state: the case of an `always`, which would be vacuous without it.
    Sometimes,
    /// In the end, under a named fairness.
    Liveness,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Always => "always",
            Kind::Sometimes => "sometimes",
            Kind::Liveness => "liveness",
        }
    }
}

/// One property of a model.
pub struct Check<M: Model> {
    pub rules: &'static [&'static str],
    /// The rules, and what is claimed.
    pub name: &'static str,
    pub kind: Kind,
    /// The case of an `always`: the claim of a `sometimes`.
    pub case: Option<&'static str>,
    pub holds: fn(&M, &M::State) -> bool,
}

impl<M: Model> Check<M> {
    pub fn always(
        rules: &'static [&'static str],
        name: &'static str,
        holds: fn(&M, &M::State) -> bool,
    ) -> Self {
        Self { rules, name, kind: Kind::Always, case: None, holds }
    }

    pub fn sometimes(
        rules: &'static [&'static str],
        name: &'static str,
        holds: fn(&M, &M::State) -> bool,
    ) -> Self {
        Self { rules, name, kind: Kind::Sometimes, case: None, holds }
    }

    #[must_use]
    pub fn in_case(self, case: &'static str) -> Self {
        Self { case: Some(case), ..self }
    }

    /// As stateright's checker and its explorer take it.
    ///
    /// # Panics
    /// If it is a claim of liveness: stateright's `eventually` is unsound, see [`crate::fair`].
    pub fn property(self) -> Property<M> {
        let expectation = match self.kind {
            Kind::Always => Expectation::Always,
            Kind::Sometimes => Expectation::Sometimes,
            Kind::Liveness => panic!("{}: liveness is checked by `fair`", self.name),
        };
        Property { expectation, name: self.name, condition: self.holds }
    }
}

/// A model with the rules of its checks.
pub trait Checked: Model + Sized {
    /// As the tables name it.
    const NAME: &'static str;

    fn checks() -> Vec<Check<Self>>;

    fn stateright_properties() -> Vec<Property<Self>> {
        Self::checks().into_iter().map(Check::property).collect()
    }
}

/// The checks of a model: `always` or `sometimes`, the rules, the claim, the claim of the `sometimes` that
/// is its case, and what decides it.
#[macro_export]
macro_rules! checks {
    ($model:ty; $($kind:ident [$first:literal $(, $rule:literal)*] $says:literal $(case $case:literal)? => $holds:expr;)+) => {
        vec![$($crate::checks::Check::<$model>::$kind(
            &[$first $(, $rule)*],
            concat!($first, " ", $($rule, " ",)* $says),
            $holds,
        )$(.in_case($case))?),+]
    };
}

/// Claims of checks that are not rules of the contract, and their meanings.
pub const OWN_TERMS: [(&str, &str); 6] = [
    ("FOLD", "what is known is the fold of the log"),
    ("RECOVERY", "recovery is the live state"),
    ("UNCHANGED", "what is refused changes nothing"),
    ("LIMIT", "what is over a limit is refused, and nothing else for it"),
    ("TREE", "a message follows the message of its thread that it names, or the latest"),
    ("FIT", "the environment offers only what the machine expects"),
];
