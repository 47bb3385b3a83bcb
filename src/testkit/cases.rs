//! The number of cases of a property test.

use proptest::test_runner::Config;

/// Returns a configuration with `usual` cases, or with `PROPTEST_CASES` of them, as in the long campaign. A
/// failing case is printed, small enough to become a test of its own.
pub fn cases(usual: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    Config { cases: asked.unwrap_or(usual), failure_persistence: None, ..Config::default() }
}
