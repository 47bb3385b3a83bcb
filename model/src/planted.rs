//! The table of planted defects, and the runner that tries those of Rust files in a copy of the tree.
//!
//! Guarantee: a defect counts as caught only if its tests pass without it, the tree compiles with it,
//! and at least one of its tests then fails, with the text that the defect names. A defect whose place is no
//! longer in the source, a test that does not exist and a tree that does not compile are errors, never a catch.
//!
//! Defects of specifications need no build: [`crate::mutants::specs`] and [`crate::specified`] try them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tempfile::TempDir;

use crate::spec;

/// One defect, and the tests that have to see it. See `planted.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defect {
    pub name: String,
    /// Ids of the rules that it breaks.
    pub rules: Vec<String>,
    /// The class of the predecessor's defects that it belongs to.
    pub class: Option<String>,
    /// The defect, in a sentence.
    pub says: String,
    #[serde(default)]
    pub file: String,
    #[serde(default)]
    pub find: String,
    #[serde(default)]
    pub replace: String,
    /// Arguments of `cargo test`; none for a defect of a specification.
    #[serde(default)]
    pub test: Vec<String>,
    /// The `--cfg` with which the tree is built, for a test that explores schedules.
    pub cfg: Option<String>,
    /// Variables of the environment of the tests.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// A text that the failing test prints.
    pub prints: Option<String>,
    /// The checks that a defect of a specification turns red.
    #[serde(default)]
    pub checks: Vec<String>,
    /// The defect makes its test wait for ever: the time limit is the catch.
    #[serde(default)]
    pub hangs: bool,
    /// Whether the defect compiles. If it does not, the compiler is the check, and `cases` are the programs
    /// that it refuses.
    #[serde(default = "yes")]
    pub compiles: bool,
    #[serde(default)]
    pub cases: Vec<String>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    defect: Vec<Defect>,
}

/// The result of a planted defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its tests went red.
    Caught,
    /// Its tests ran into the time limit, as foretold.
    Hung,
    /// Its tests stayed green.
    Survived,
}

/// The reason for a missing result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}: its place stands {1} times in {2}, and not once: mend planted.toml")]
    Place(String, usize, String),
    #[error("{0}: with the defect the tree does not compile: mend planted.toml")]
    Uncompilable(String),
    #[error("{0}: without the defect its tests are not green")]
    RedBefore(String),
    #[error("{0}: no test is called that: `cargo test {1}`")]
    NoTest(String, String),
    #[error("{0}: its tests hang, which was not foretold")]
    Hangs(String),
    #[error("{0}: its tests fail without printing {1:?}: see {2}")]
    OtherFailure(String, String, PathBuf),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Every defect of the table.
pub fn all() -> &'static [Defect] {
    static ALL: LazyLock<Vec<Defect>> = LazyLock::new(|| {
        let table: Table =
            toml::from_str(include_str!("../planted.toml")).expect("planted.toml is well-formed");
        table.defect
    });
    &ALL
}

/// The defects of specifications.
pub fn of_specifications() -> impl Iterator<Item = &'static Defect> {
    all().iter().filter(|defect| !defect.checks.is_empty())
}

/// Returns `count` of the defects that tests of schedules have to find, another selection for each seed.
pub fn sample_of_schedules(count: usize, seed: u64) -> Vec<&'static Defect> {
    let mut defects: Vec<_> = all().iter().filter(|defect| defect.cfg.is_some()).collect();
    defects.sort_by_cached_key(|defect| {
        let mut hasher = DefaultHasher::new();
        (seed, &defect.name).hash(&mut hasher);
        hasher.finish()
    });
    defects.truncate(count);
    defects
}

impl Defect {
    /// The source with the defect in it.
    ///
    /// # Errors
    /// If its place does not occur exactly once.
    pub fn plant(&self, source: &str) -> Result<String, Error> {
        match source.matches(&self.find).count() {
            1 => Ok(source.replacen(&self.find, &self.replace, 1)),
            n => Err(Error::Place(self.name.clone(), n, self.file.clone())),
        }
    }

    /// Copies the specifications, with this defect in one of them, to a folder that is removed with the value.
    ///
    /// # Errors
    /// If its place does not occur exactly once, or a file cannot be copied.
    pub fn specifications(&self) -> Result<TempDir, Error> {
        let scratch = copy_of_specifications()?;
        let path = scratch.path().join(Path::new(&self.file).file_name().unwrap_or_default());
        let source = fs::read_to_string(&path)?;
        fs::write(&path, self.plant(&source)?)?;
        Ok(scratch)
    }
}

/// Copies the specifications to a folder that is removed with the value.
///
/// # Errors
/// If a file cannot be copied.
pub fn copy_of_specifications() -> io::Result<TempDir> {
    let scratch = tempfile::tempdir()?;
    for file in fs::read_dir(spec::folder())? {
        let path = file?.path();
        if let (Some("tla"), Some(name)) = (path.extension().and_then(|e| e.to_str()), path.file_name()) {
            fs::copy(&path, scratch.path().join(name))?;
        }
    }
    Ok(scratch)
}

/// A copy of the project in which defects are planted.
pub struct Plot {
    tree: PathBuf,
    build: PathBuf,
    /// The folder in which `tests/schedules.sh` builds.
    built: PathBuf,
    /// The output of the last run of cargo.
    output: PathBuf,
    green: BTreeSet<Vec<String>>,
}

/// The end of a run of tests.
enum Ended {
    Green,
    Red,
    OutOfTime,
}

impl Plot {
    /// Copies what git knows of the project at `root`, which is built in `target`, to below `target/planted`.
    pub fn new(root: &Path, target: &Path) -> Result<Self, Error> {
        let plot = target.join("planted");
        let (tree, build) = (plot.join("tree"), plot.join("build"));
        let listed = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output()?;
        if !listed.status.success() {
            return Err(io::Error::other("`git ls-files` does not list the project").into());
        }
        for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = String::from_utf8_lossy(name).into_owned();
            let Ok(wanted) = fs::read(root.join(&name)) else { continue };
            write_if_other(&tree.join(&name), &wanted)?;
        }
        let (built, output) = (target.to_path_buf(), plot.join("output"));
        Ok(Self { tree, build, built, output, green: BTreeSet::new() })
    }

    /// Plants one defect, runs its tests, and takes it out again.
    pub fn try_out(&mut self, defect: &Defect) -> Result<Verdict, Error> {
        self.green_before(defect)?;
        if !defect.compiles {
            // The programs that must not compile are the test, and it was green.
            return Ok(Verdict::Caught);
        }
        let path = self.tree.join(&defect.file);
        let source = fs::read_to_string(&path)?;
        fs::write(&path, defect.plant(&source)?)?;
        let verdict = self.with_defect(defect);
        fs::write(&path, source)?;
        verdict
    }

    fn with_defect(&self, defect: &Defect) -> Result<Verdict, Error> {
        if !matches!(self.cargo(defect, true, BUILD_TIME_MAX)?, Ended::Green) {
            return Err(Error::Uncompilable(defect.name.clone()));
        }
        match self.cargo(defect, false, if defect.hangs { HANG_TIME } else { TEST_TIME_MAX })? {
            Ended::Green => Ok(Verdict::Survived),
            Ended::Red => match &defect.prints {
                Some(text) if !String::from_utf8_lossy(&fs::read(&self.output)?).contains(text) => {
                    Err(Error::OtherFailure(defect.name.clone(), text.clone(), self.output.clone()))
                }
                _ => Ok(Verdict::Caught),
            },
            Ended::OutOfTime if defect.hangs => Ok(Verdict::Hung),
            Ended::OutOfTime => Err(Error::Hangs(defect.name.clone())),
        }
    }

    fn green_before(&mut self, defect: &Defect) -> Result<(), Error> {
        if self.green.contains(&defect.test) {
            return Ok(());
        }
        self.cargo(defect, true, BUILD_TIME_MAX)?;
        if !self.runs_a_test(defect)? {
            return Err(Error::NoTest(defect.name.clone(), defect.test.join(" ")));
        }
        match self.cargo(defect, false, TEST_TIME_MAX)? {
            Ended::Green => {
                self.green.insert(defect.test.clone());
                Ok(())
            }
            Ended::Red | Ended::OutOfTime => Err(Error::RedBefore(defect.name.clone())),
        }
    }

    fn runs_a_test(&self, defect: &Defect) -> io::Result<bool> {
        let listed = self.command(defect, false)?.args(["--", "--list"]).output()?;
        Ok(String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.ends_with(": test")))
    }

    fn command(&self, defect: &Defect, build_only: bool) -> io::Result<Command> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.tree).arg("test").arg("--locked").envs(&defect.variables);
        if let Some(cfg) = &defect.cfg {
            let build = self.build.join(cfg);
            start_from(&self.built.join(cfg), &build)?;
            command.env("CARGO_TARGET_DIR", build).env("RUSTFLAGS", format!("--cfg {cfg}"));
        } else {
            command.env("CARGO_TARGET_DIR", &self.build);
        }
        if build_only {
            command.arg("--no-run");
        }
        command.args(&defect.test);
        Ok(command)
    }

    #[expect(clippy::disallowed_methods, reason = "the patience of a command line, not the service's time")]
    fn cargo(&self, defect: &Defect, build_only: bool, time_max: Duration) -> io::Result<Ended> {
        let mut command = self.command(defect, build_only)?;
        if !build_only && defect.prints.is_some() {
            // A deadlock under loom ends the process, and with it captured output.
            command.args(["--", "--nocapture"]);
        }
        let output = File::create(&self.output)?;
        command.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn()?;
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(if status.success() { Ended::Green } else { Ended::Red });
            }
            if begun.elapsed() > time_max {
                // Cargo's children too: a test that waits for ever would outlive it.
                Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).status()?;
                child.wait()?;
                return Ok(Ended::OutOfTime);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Copies a finished build to `build`, unless there is one, so that the dependencies are not built again. The packages
/// of the project are.
fn start_from(built: &Path, build: &Path) -> io::Result<()> {
    if build.exists() || !built.exists() {
        return Ok(());
    }
    if let Some(parent) = build.parent() {
        fs::create_dir_all(parent)?;
    }
    if !Command::new("cp").arg("-a").args([built, build]).status()?.success() {
        return Err(io::Error::other("the build cannot be copied"));
    }
    for package in fs::read_dir(build.join("debug/.fingerprint"))? {
        let package = package?;
        if package.file_name().to_string_lossy().starts_with("quintet") {
            fs::remove_dir_all(package.path())?;
        }
    }
    Ok(())
}

/// Leaves a file alone that is as it should be: what did not change is not built again.
fn write_if_other(path: &Path, wanted: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, wanted)
}

const BUILD_TIME_MAX: Duration = Duration::from_secs(1800);
const TEST_TIME_MAX: Duration = Duration::from_secs(900);
/// Time after which a test counts as one that waits for ever; without the defect it takes a moment.
const HANG_TIME: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
