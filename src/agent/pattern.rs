//! Patterns of tool names.

/// A pattern of names: a name, in which `*` stands for any characters, none included.
///
/// # Examples
///
/// ```
/// use quintet_agent::ToolPattern;
///
/// let pattern = ToolPattern::new("files/*");
/// assert!(pattern.matches("files/read") && !pattern.matches("calculate"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct ToolPattern(String);

impl ToolPattern {
    /// Creates a pattern.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Returns the text of the pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(mut name) = name.strip_prefix(first) else { return false };
        let Some((middle, last)) = rest.rsplit_once('*') else { return name.ends_with(rest) };
        for part in middle.split('*') {
            // The first place leaves the most for the parts that follow.
            let Some(at) = name.find(part) else { return false };
            name = &name[at + part.len()..];
        }
        name.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a/b"),
            ("files/*", "files/"),
            ("files/*", "files/a/b"),
            ("*_read", "files_read"),
            ("a*b*c", "abc"),
            ("a*b*c", "aXbYc"),
            ("a**b", "ab"),
            ("a*a", "aa"),
        ] {
            assert!(ToolPattern::new(pattern).matches(name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("files/*", "file"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("*b", "bc"),
            ("a", "ab"),
            ("a*", "ba"),
        ] {
            assert!(!ToolPattern::new(pattern).matches(name), "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_match_equals_that_of_a_regular_expression(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            fn matches(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => {
                        matches(rest, name) || name.split_first().is_some_and(|(_, name)| matches(pattern, name))
                    }
                    (Some((first, pattern)), Some((next, name))) => first == next && matches(pattern, name),
                    _ => false,
                }
            }
            let expected = matches(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(ToolPattern::new(pattern).matches(&name), expected);
        }
    }
}
