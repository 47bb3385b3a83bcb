//! What the specifications claim of themselves, each by a configuration: invariants, and what has to happen
//! in the end.
//!
//! Guarantee: none of it is vacuous. Each temporal property fails with less fairness, and each invariant in
//! a specification with one place in its text replaced.

use std::{fs, io};

use crate::{
    mutants::suites::Edit,
    spec::{Outcome, Spec, folder},
};

/// What the check of one configuration has to find: its invariants hold, and under the fairness that it
/// assumes its temporal property.
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
        [$($less:literal),+];)+) => {
        &[$(Specified {
            spec: $spec, config: $config, says: $says, states: $states, property: $property,
            fails_under: &[$($less),+],
        }),+]
    };
}

#[rustfmt::skip]
pub const SPECIFIED: &[Specified] = specified![
    "Run" "Run" "2 calls, 6 events" 2003 "Ends" ["Spec"];
    "User" "User" "2 messages, 2 events a run" 1463 "EveryRunEnds" ["Spec"];
    "User" "UserCalls" "1 message, 1 call, 4 events" 202 "EveryRunEnds" ["Spec"];
    "Fence" "Fence" "2 nodes, 1 message, 2 events" 1698 "EveryRunEnds" ["Spec", "WeakSpec"];
    "Fence" "FenceCalls" "1 node, 1 message, 3 events" 480 "EveryRunEnds" ["Spec", "WeakSpec"];
    "Delivery" "Delivery" "1 client, with retention" 5286 "CatchUp" ["Spec", "WeakSpec"];
    "Delivery" "DeliveryDrain" "1 client, with a drain, runs of 1 event" 4309 "DrainDone" ["Spec", "DrainWeakSpec"];
    "Ticket" "Ticket" "2 tickets, 4 moments" 3129 "NoneStays" ["Spec"];
];

/// A place in the text of a specification without which an invariant does not hold.
pub struct Breach {
    pub config: &'static str,
    pub invariant: &'static str,
    edit: Edit,
}

macro_rules! breaches {
    ($($config:literal $invariant:literal $file:literal, $find:literal => $replace:literal;)+) => {
        &[$(Breach {
            config: $config, invariant: $invariant,
            edit: Edit { file: $file, find: $find, replace: $replace },
        }),+]
    };
}

#[rustfmt::skip]
pub const BREACHES: &[Breach] = breaches![
    "Run" "Legal" "Kernel.tla", "r.phase \\in {\"thinking\", \"executing\"}  " => "TRUE  ";
    "Run" "Counts" "Kernel.tla", "Thinks(r)     == [r EXCEPT !.seq = @ + 1" => "Thinks(r)     == [r EXCEPT !.seq = @ + 2";
    "Run" "PhaseFits" "Kernel.tla", "IF DOMAIN rest = {} THEN \"thinking\" ELSE \"executing\"]" => "\"thinking\"]";

    "User" "Legal" "Kernel.tla", "IF open.run.phase = \"waiting\" THEN" => "IF FALSE THEN";
    "User" "Legal" "Kernel.tla", "open, seq + Len(closes) + 1, \"agent_completed\"" => "open, seq + Len(closes) + 2, \"agent_completed\"";
    "User" "Legal" "Kernel.tla", "ELSE IF ~legal THEN" => "ELSE IF FALSE THEN";
    "User" "Fold" "User.tla", "user' = EvolveAll(user, entries)" => "user' = [EvolveAll(user, entries) EXCEPT !.recent = <<>>]";
    "User" "OneActive" "Kernel.tla", "IF ~busy \\/ interrupt THEN" => "IF TRUE THEN";
    "User" "FirstIsActive" "Kernel.tla", "IF rest = {} THEN <<>> ELSE" => "IF TRUE THEN <<>> ELSE";
    "User" "OneMessage" "Kernel.tla", "Remembered(u, message) # {} \\/ isInJournal THEN" => "Remembered(u, message) # {} THEN";
    "User" "OpenIsOpen" "Kernel.tla", "!.runs = [r \\in DOMAIN u.runs \\ {e.run} |-> u.runs[r]]]" => "!.runs = u.runs]";
    "UserCalls" "Legal" "Kernel.tla", "/\\ c \\notin r.opened " => "/\\ TRUE ";
    "UserCalls" "Legal" "Kernel.tla", "== r.phase = \"thinking\" " => "== r.phase \\in {\"thinking\", \"executing\"} ";
    "UserCalls" "Legal" "Kernel.tla", "CloseEach(id, open, DOMAIN open.run.open, seq + 1, ClosedAs(what))" => "<<>>";

    "Fence" "Legal" "Fence.tla", "== node[n].user.head - Len(node[n].batch) = Len(log) " => "== TRUE ";
    "Fence" "OneMessage" "Fence.tla", "== node[n].user.head - Len(node[n].batch) = Len(log) " => "== TRUE ";
    "Fence" "Promised" "Fence.tla", "![n].promise = promise]\n  /\\ UNCHANGED <<log, told, invoked>>" =>
        "![n].promise = promise]\n  /\\ told' = IF promise = 0 THEN told ELSE told \\cup {<<promise, promise>>}\n  /\\ UNCHANGED <<log, invoked>>";
    "Fence" "Views" "Fence.tla", "[is |-> \"knows\", user |-> EvolveAll(u, entries)" => "[is |-> \"knows\", user |-> [u EXCEPT !.recent = <<>>]";
    "FenceCalls" "OneEffect" "Fence.tla", "![n].armed = @ \\ {r}]" => "![n].armed = @]";

    "Delivery" "Legal" "Kernel.tla", "== r.phase = \"thinking\" " => "== r.phase \\in {\"started\", \"thinking\"} ";
    "Delivery" "Durable" "Delivery.tla", "last <= Len(log)                        \\* DEL-1\n            /\\ ReadsSingly \\/ last = Least(Len(log), link[c].owes)" => "TRUE";
    "Delivery" "InOrder" "Delivery.tla", "LET after   == client[c].after" => "LET after   == 0";
    "Delivery" "Bounded" "Delivery.tla", "link[c].flushing /\\ Len(link[c].wire) < SocketFrames" => "link[c].flushing";
    "Delivery" "Promised" "Delivery.tla", "ELSE Decides(entries, c) /\\ UNCHANGED link" =>
        "ELSE Decides(entries, 0) /\\ link' = [link EXCEPT ![c] = Answered(@)]";
    "Delivery" "OneMessage" "Kernel.tla", "Remembered(u, message) # {} \\/ isInJournal THEN" => "FALSE THEN";
    "Delivery" "InOrder" "Delivery.tla", "Frame(\"gap\", after + 1, trimmed)" => "Frame(\"ready\", trimmed, trimmed)";

    "Ticket" "Once" "Ticket.tla", "seat[s] = Free /\\ ticket[t].is = \"issued\"" => "seat[s] = Free /\\ ticket[t].is \\in {\"issued\", \"redeemed\"}";
    "Ticket" "InTime" "Ticket.tla", "IF now < GoodUntil(t) " => "IF TRUE ";
    "Ticket" "Bounded" "Ticket.tla", "ttl \\in 1..TtlMax" => "ttl \\in 1..(TtlMax + 1)";
    "Ticket" "Consumed" "Ticket.tla", "![t].opened = @ + 1]" => "![t].opened = @]";
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

    /// What stands behind this word.
    pub fn named(&self, word: &str) -> Vec<&str> {
        self.0.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect()
    }

    /// Each constant, and what it is.
    pub fn constants(&self) -> Vec<&str> {
        self.0.lines().filter(|line| line.starts_with(' ')).map(str::trim).collect()
    }

    /// The same, under another specification of behaviours, asked for one thing only.
    fn asking(&self, specification: &str, question: &str) -> Config {
        Config(format!(
            "SPECIFICATION {specification}\nCONSTANTS\n  {}\n{question}\nCHECK_DEADLOCK FALSE\n",
            self.constants().join("\n  ")
        ))
    }
}

impl Specified {
    /// # Panics
    /// If an invariant or the property fails, if another property is asked for than this one, or if the
    /// number of states is another.
    pub fn verify(&self) {
        assert_eq!(Config::of(self.config).named("PROPERTY"), [self.property], "{}", self.config);
        match Spec::load(self.spec, self.config, &[]).and_then(|spec| spec.check()) {
            Ok(Outcome::Holds { states, properties, .. }) => {
                assert_eq!(states, self.states, "{}", self.config);
                assert_eq!(properties, [self.property], "{} checked other properties", self.config);
            }
            other => panic!("{}: {other:?}", self.config),
        }
    }

    /// # Panics
    /// If the property holds with less fairness: it would be vacuous.
    pub fn needs_its_fairness(&self) {
        for less in self.fails_under {
            let config = Config::of(self.config).asking(less, &format!("PROPERTY {}", self.property));
            match outcome(Edit::NONE, self.spec, &config) {
                Ok(Outcome::Violated { what, .. }) => assert_eq!(what, self.property, "{less}"),
                other => panic!("{} of {} under {less}: {other:?}", self.property, self.config),
            }
        }
    }
}

impl Breach {
    pub fn spec(&self) -> &'static str {
        let specified = SPECIFIED.iter().find(|specified| specified.config == self.config);
        specified.expect("a configuration of the table").spec
    }

    /// # Panics
    /// If the invariant holds all the same: it would be vacuous.
    pub fn verify(&self) {
        let config = Config::of(self.config).asking("Spec", &format!("INVARIANT {}", self.invariant));
        match outcome(self.edit, self.spec(), &config) {
            Ok(Outcome::Violated { what, .. }) => assert_eq!(what, self.invariant, "{:?}", self.edit),
            other => panic!("{} of {} with {:?}: {other:?}", self.invariant, self.config, self.edit),
        }
    }
}

/// Checks a specification with an edit in its text.
fn outcome(edit: Edit, spec: &str, config: &Config) -> Result<Outcome, String> {
    let scratch = edit.plant();
    let (module, file) = (scratch.path().join(format!("{spec}.tla")), scratch.path().join("Asked.cfg"));
    fs::write(&file, &config.0).map_err(|error| error.to_string())?;
    Spec::load_from(&module, &file, &[])?.check()
}
