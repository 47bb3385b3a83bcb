//! Case-insensitive search for words, in any script.
//!
//! Guarantee: the time is linear in the text for each word, and a search allocates nothing beyond a reused
//! buffer.

use memchr::memmem::Finder;

/// The case-folded words of a query.
pub(crate) struct QueryWords {
    finders: Vec<Finder<'static>>,
    /// The original words that are searched for.
    query: String,
}

impl QueryWords {
    /// Folds the first [`WORDS_MAX`] words of a query, cut to [`WORD_CHARS_MAX`] characters each.
    pub(crate) fn of(query: &str) -> Self {
        let words = query.split_whitespace().take(WORDS_MAX);
        let words: Vec<String> = words.map(|word| word.chars().take(WORD_CHARS_MAX).collect()).collect();
        let finder = |word: &String| {
            let mut folded = String::new();
            fold_into(word, &mut folded);
            Finder::new(&folded).into_owned()
        };
        Self { finders: words.iter().map(finder).collect(), query: words.join(" ") }
    }

    /// Returns true if the query has no words.
    pub(crate) fn is_empty(&self) -> bool {
        self.finders.is_empty()
    }

    /// Returns the part of the query that is searched for.
    pub(crate) fn query(&self) -> &str {
        &self.query
    }

    /// Returns an excerpt around the first word if `text` has all words. `folded` is a reused buffer.
    pub(crate) fn excerpt(&self, text: &str, folded: &mut String) -> Option<String> {
        fold_into(text, folded);
        let mut first = usize::MAX;
        for finder in &self.finders {
            first = first.min(finder.find(folded.as_bytes())?);
        }
        let first = origin(text, first);
        let before = text[..first].char_indices().rev().take(EXCERPT_CHARS_BEFORE);
        let start = before.last().map_or(first, |(at, _)| at);
        let shown: String = text[start..].chars().take(EXCERPT_CHARS).collect();
        let (before, after) =
            (if start > 0 { "…" } else { "" }, if start + shown.len() < text.len() { "…" } else { "" });
        Some(format!("{before}{}{after}", shown.split_whitespace().collect::<Vec<_>>().join(" ")))
    }
}

/// Returns the start of the character in `text` that became byte `at` of the folded text.
fn origin(text: &str, at: usize) -> usize {
    let mut end = 0;
    for (start, c) in text.char_indices() {
        end += folds(c).map(char::len_utf8).sum::<usize>();
        if at < end {
            return start;
        }
    }
    text.len()
}

fn fold_into(text: &str, folded: &mut String) {
    folded.clear();
    if text.is_ascii() {
        folded.push_str(text);
        folded.make_ascii_lowercase();
    } else {
        folded.extend(text.chars().flat_map(folds));
    }
}

/// Folds the case of a character: `ß` to `ss`, every sigma to one.
fn folds(c: char) -> impl Iterator<Item = char> {
    c.to_uppercase().flat_map(char::to_lowercase)
}

/// Greatest number of words of a query.
pub(crate) const WORDS_MAX: usize = 16;

/// Greatest number of characters of a word.
pub(crate) const WORD_CHARS_MAX: usize = 64;

const EXCERPT_CHARS: usize = 160;

const EXCERPT_CHARS_BEFORE: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str, query: &str) -> Option<String> {
        QueryWords::of(query).excerpt(text, &mut String::new())
    }

    #[test]
    fn case_does_not_matter_in_any_script() {
        assert_eq!(found("Die STRASSE nach Köln", "straße KÖLN").unwrap(), "Die STRASSE nach Köln");
        assert!(found("ΟΔΟΣ", "οδος").is_some());
        assert!(found("οδός", "ΟΔΌΣ").is_some());
        assert!(found("ÇA VA", "ça").is_some());
        assert!(found("about cats", "dogs").is_none());
        assert!(found("about cats", "cats dogs").is_none(), "all words are needed");
        assert!(found("", "x").is_none());
    }

    #[test]
    fn an_excerpt_shows_the_place_and_what_is_left_out() {
        let text = format!("{} needle {}", "é".repeat(500), "ü".repeat(500));
        let shown = found(&text, "NEEDLE").unwrap();
        assert!(shown.starts_with('…') && shown.ends_with('…') && shown.contains(" needle "));
        assert!(shown.chars().count() <= EXCERPT_CHARS + 2);
        assert_eq!(found("İstanbul", "stanbul").unwrap(), "İstanbul");
    }

    #[test]
    fn a_query_is_bounded_in_words_and_in_their_length() {
        let long = "a".repeat(40_000);
        let words = QueryWords::of(&format!("{} {long}", "b ".repeat(100)));
        assert_eq!(words.query().split(' ').count(), WORDS_MAX);
        assert_eq!(QueryWords::of(&long).query().len(), WORD_CHARS_MAX);
    }

    proptest! {
        /// The excerpt begins at the word although folding changes lengths (`ß`, `İ`).
        #[test]
        fn an_excerpt_begins_where_the_word_is(before in "[ßİﬁaÉ ]{0,30}", after in "\\PC{0,10}") {
            let text = format!("{before}{}needle{after}", " ".repeat(EXCERPT_CHARS_BEFORE));
            let shown = found(&text, "NEEDLE").unwrap();
            let shown = shown.trim_start_matches('…');
            prop_assert!(shown.starts_with("needle"), "{shown:?}");
        }
    }
}
