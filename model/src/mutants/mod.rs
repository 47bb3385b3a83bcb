//! Small named defects that run without a build, and the check that each turns red.
//!
//! Neither the kernel nor an environment contains any of them. A defect of a machine is another
//! implementation of the trait that the models are written against; a defect of an environment is a function
//! that takes the place of one of its steps; a defect of a specification is an edit of its text from
//! `planted.toml`. Every mutant is put before every check of its suite, and the check that it names has to
//! be red.
//!
//! - [`suites`]: what a mutant is put before; [`table`]: what is printed
//! - [`run`], [`user`], [`connection`], [`ticket`]: defects of the machines
//! - [`fence`], [`delivery`], [`isolation`], [`ticket`], [`erasure`]: defects of the environments
//! - [`specs`]: defects of the specifications

pub mod connection;
pub mod delivery;
pub mod erasure;
pub mod fence;
pub mod isolation;
pub mod run;
pub mod specs;
pub mod suites;
pub mod table;
pub mod ticket;
pub mod user;

use suites::Catch;

/// One defect, as a table of mutants names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    pub id: &'static str,
    /// The rules and own terms that it breaks: each is cited by a check that is red under it.
    pub rules: Vec<&'static str>,
    /// The class of the predecessor's defects that it belongs to, one of [`CLASSES`].
    pub class: Option<&'static str>,
    /// The defect, in a sentence.
    pub says: &'static str,
    /// The beginning of the name of the check that has to fail.
    pub caught_by: &'static str,
}

/// A mutant, and what it is put before.
pub struct Hunted {
    pub mutant: Mutant,
    hunt: Box<dyn Fn() -> Vec<Catch> + Send + Sync>,
}

/// Which checks are red under a mutant, the one that it names first.
pub struct Verdict {
    pub mutant: Mutant,
    pub red: Vec<Catch>,
}

impl Hunted {
    pub fn verdict(&self) -> Verdict {
        let mut red = (self.hunt)();
        red.sort_by_key(|catch| (!catch.check.starts_with(self.mutant.caught_by), catch.steps));
        Verdict { mutant: self.mutant.clone(), red }
    }
}

impl Verdict {
    /// The check that was expected to be red, if it is.
    pub fn caught(&self) -> Option<&Catch> {
        self.red.iter().find(|catch| catch.check.starts_with(self.mutant.caught_by))
    }
}

/// Every mutant there is.
pub fn all() -> Vec<Hunted> {
    let mut all = run::mutants();
    all.extend(user::mutants());
    all.extend(fence::mutants());
    all.extend(delivery::mutants());
    all.extend(isolation::mutants());
    all.extend(connection::mutants());
    all.extend(ticket::mutants());
    all.extend(erasure::mutants());
    all.extend(specs::mutants());
    all
}

/// Every mutant before its suite, on as many threads as the machine has, in the order of [`all`].
pub fn verdicts() -> Vec<Verdict> {
    let all = all();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(all.len());
    let mut verdicts: Vec<(usize, Verdict)> = std::thread::scope(|scope| {
        let hunt = |first: usize| {
            let all = &all;
            move || {
                let mine = (first..all.len()).step_by(threads);
                mine.map(|at| (at, all[at].verdict())).collect::<Vec<_>>()
            }
        };
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(hunt(first))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a hunt does not panic")).collect()
    });
    verdicts.sort_by_key(|(at, _)| *at);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// The classes of the predecessor's defects; each has a mutant.
pub const CLASSES: [&str; 20] = [
    "success reported without delivery",
    "connection never registered",
    "identifier confusion",
    "cross-user routing",
    "guard that does not guard",
    "identity fails open",
    "retry that never runs",
    "flush that never runs",
    "priority inversion",
    "deadlock on close",
    "orphaned storage",
    "loss on replay",
    "accepted taken for ready",
    "missing terminal event",
    "duplicate lifecycle events",
    "leaks",
    "acknowledged but ignored",
    "limits that do not limit",
    "ticket spent twice",
    "vacuous verification",
];

/// A list of mutants: id, rules, class, what is wrong, the check that has to be red, and the hunt.
#[macro_export]
macro_rules! mutants {
    ($($id:literal [$($rule:literal),+] $class:expr, $says:literal, $caught_by:literal => $hunt:expr;)+) => {
        vec![$($crate::mutants::Hunted {
            mutant: $crate::mutants::Mutant {
                id: $id, rules: vec![$($rule),+], class: $class, says: $says, caught_by: $caught_by,
            },
            hunt: Box::new(|| $hunt),
        }),+]
    };
}
