//! How many cases a property is tried with.

use proptest::test_runner::Config;

/// `usual` cases, or as many as `PROPTEST_CASES` says, as in the long campaign. A case that fails is
/// printed, and small enough to be written down as a test of its own.
pub fn cases(usual: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    Config { cases: asked.unwrap_or(usual), failure_persistence: None, ..Config::default() }
}
