//! Names of tools in the alphabet of the models' APIs: 1 to 64 characters of `[a-zA-Z0-9_-]`.
//!
//! Guarantee: different tools have different names, and the name of a tool depends on its own name, and on
//! whether another tool maps to the same one, but not on the order of the tools.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

/// Returns the models' names of these tools, in their order. Equal tools get equal names.
pub(crate) fn model_names<'a>(tools: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let tools: Vec<&str> = tools.into_iter().collect();
    let distinct: BTreeSet<&str> = tools.iter().copied().collect();
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    for tool in &distinct {
        *wanted.entry(plain_name(tool)).or_default() += 1;
    }
    let mut taken: BTreeSet<String> =
        distinct.iter().filter(|tool| is_valid(tool)).map(|tool| (*tool).to_owned()).collect();
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for tool in distinct {
        let plain = plain_name(tool);
        let name = if is_valid(tool) {
            tool.to_owned()
        } else if wanted[&plain] == 1 && plain.len() <= NAME_CHARS_MAX && taken.insert(plain.clone()) {
            plain
        } else {
            (0_u64..)
                .map(|attempt| marked_name(&plain, tool, attempt))
                .find(|name| taken.insert(name.clone()))
                .expect("one of any number of names is free")
        };
        names.insert(tool, name);
    }
    tools.into_iter().map(|tool| names[tool].clone()).collect()
}

/// Returns a valid name for a tool that is not among the current ones, as in an old conversation.
pub(crate) fn any_name(tool: &str) -> String {
    let mut name = plain_name(tool);
    name.truncate(NAME_CHARS_MAX);
    name
}

fn is_valid(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Replaces each character that is not allowed; the result may be too long.
fn plain_name(tool: &str) -> String {
    let name: String =
        tool.chars().map(|c| if u8::try_from(c).is_ok_and(is_allowed) { c } else { '_' }).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

/// Appends a mark, derived from the tool's name, to the start of a name.
fn marked_name(plain: &str, tool: &str, attempt: u64) -> String {
    let mut hasher = DefaultHasher::new();
    (tool, attempt).hash(&mut hasher);
    let mark = format!("_{:08x}", hasher.finish() >> 32);
    let kept = plain.len().min(NAME_CHARS_MAX - mark.len());
    format!("{}{mark}", &plain[..kept])
}

/// Longest name that the APIs accept.
const NAME_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_kept_where_they_are_valid_and_told_apart_where_they_collide() {
        let long = "x".repeat(100);
        let names = model_names(["calculate", "files/read", "a.b", "a/b", "a_b", "ä", &long]);
        assert_eq!(names[..2], ["calculate", "files_read"]);
        assert_eq!(names[4], "a_b");
        assert!(names[2].starts_with("a_b_") && names[3].starts_with("a_b_") && names[2] != names[3]);
        // Without the mark, the first of two would keep its name, whichever that is.
        let names_of_two = model_names(["a/b", "a.b"]);
        assert!(names_of_two.iter().all(|name| name.len() == "a_b".len() + 9), "{names_of_two:?}");
        assert_eq!((names[5].as_str(), names[6].len()), ("_", 64));
    }

    proptest! {
        #[test]
        fn any_tools_get_distinct_valid_names_that_do_not_depend_on_their_order(
            mut tools in prop::collection::vec("[ab/._]{1,3}|[!-~]{60,80}", 0..20),
        ) {
            tools.sort();
            tools.dedup();
            let names = model_names(tools.iter().map(String::as_str));
            prop_assert!(names.iter().all(|name| is_valid(name)));
            prop_assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), tools.len());
            let mut reversed = model_names(tools.iter().rev().map(String::as_str));
            reversed.reverse();
            prop_assert_eq!(names, reversed);
        }
    }
}
