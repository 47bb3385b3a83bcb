//! Patterns of tool names.

/// Returns true if `name` matches `pattern`, in which `*` stands for any characters, also none. The cost is at most
/// the product of the lengths.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to continue after a mismatch: behind the last `*`, with one more character given to it.
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(byte) if *byte == name[n] => {
                p += 1;
                n += 1;
            }
            Some(_) | None => match retry {
                Some((behind, from)) => {
                    retry = Some((behind, from + 1));
                    p = behind;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, exponential.
    fn specified(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=name.len()).any(|taken| specified(rest, &name[taken..])),
            (Some((p, pattern)), Some((n, name))) => p == n && specified(pattern, name),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    proptest! {
        #[test]
        fn matches_as_specified(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(matches(&pattern, &name), specified(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(matches("write*", "write_file"));
        assert!(matches("*", ""));
        assert!(matches("read", "read"));
        assert!(!matches("read", "read_file"));
        assert!(!matches("*_file", "files"));
        assert!(matches("a*b*c", "a--b--b--c"));
    }
}
