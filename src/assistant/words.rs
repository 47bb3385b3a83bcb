//! The words of a text, with positions, sentences and clauses.

use std::ops::Range;

/// The words of a text.
pub(crate) struct Words<'a> {
    text: &'a str,
    words: Vec<Word>,
}

struct Word {
    span: Range<usize>,
    lower: String,
    /// The separator between this word and the next.
    after: After,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Space,
    Comma,
    SentenceEnd,
}

impl<'a> Words<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let mut words: Vec<Word> = Vec::new();
        let part = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '’' | '/' | '_' | '-' | '+');
        let mut rest = 0;
        while let Some(start) = text[rest..].find(part).map(|at| at + rest) {
            let end = text[start..].find(|c| !part(c)).map_or(text.len(), |at| at + start);
            let between = &text[rest..start];
            if let Some(last) = words.last_mut() {
                last.after = After::of(between);
            }
            let word = text[start..end].trim_matches(|c: char| !c.is_alphanumeric());
            if !word.is_empty() {
                let start = start + text[start..end].find(word).expect("a part of it");
                let lower = word.to_lowercase().replace('’', "'").replace('_', " ");
                words.push(Word { span: start..start + word.len(), lower, after: After::SentenceEnd });
            }
            rest = end;
        }
        Self { text, words }
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Returns a word in lower case; empty past the end.
    pub(crate) fn lower(&self, at: usize) -> &str {
        self.words.get(at).map_or("", |word| &word.lower)
    }

    /// Returns the original text of words.
    pub(crate) fn text(&self, words: Range<usize>) -> &'a str {
        &self.text[self.span(words)]
    }

    pub(crate) fn span(&self, words: Range<usize>) -> Range<usize> {
        self.words[words.start].span.start..self.words[words.end - 1].span.end
    }

    /// Returns true if a phrase begins at this word and lies within one sentence.
    pub(crate) fn has_at(&self, at: usize, phrase: &str) -> bool {
        phrase.split(' ').enumerate().all(|(nth, word)| {
            let joined = nth == 0 || self.words[at + nth - 1].after != After::SentenceEnd;
            joined && self.lower(at + nth) == word
        })
    }

    pub(crate) fn contains_any(&self, phrases: &[&str]) -> bool {
        self.contains_within(&(0..self.len()), phrases).is_some()
    }

    /// Returns the position of the first of these phrases.
    pub(crate) fn contains_within(&self, within: &Range<usize>, phrases: &[&str]) -> Option<usize> {
        within.clone().find(|at| phrases.iter().any(|phrase| self.has_at(*at, phrase)))
    }

    /// Returns true if a request may begin here: at the start of a sentence, after a comma, after `and`, or
    /// after polite words.
    pub(crate) fn begins_clause(&self, at: usize) -> bool {
        at == 0
            || self.words[at - 1].after != After::Space
            || matches!(self.lower(at - 1), "and" | "then" | "please" | "also" | "to" | "you" | "me")
    }

    /// Returns the end of a word's clause: the end of its sentence or the start of a new request.
    pub(crate) fn clause_end(&self, start: usize) -> usize {
        let mut at = start;
        while at < self.len() {
            let asks = |next: usize| {
                let word = self.lower(next);
                REQUEST_WORDS.contains(&word) || CLAUSE_WORDS.contains(&word)
            };
            let conjunction = matches!(self.lower(at), "and" | "then");
            if at > start && ((conjunction && asks(at + 1)) || (self.follows_comma(at) && asks(at))) {
                return at;
            }
            at += 1;
            if self.words[at - 1].after == After::SentenceEnd {
                break;
            }
        }
        at
    }

    pub(crate) fn follows_comma(&self, at: usize) -> bool {
        at > 0 && self.words[at - 1].after == After::Comma
    }

    /// Returns the longest words of a text that are not common.
    pub(crate) fn keywords(&self, max: usize) -> Vec<String> {
        let mut words: Vec<&Word> = Vec::new();
        for word in self.words.iter().take(KEYWORD_CANDIDATES_MAX) {
            let plain = word.lower.chars().all(char::is_alphanumeric)
                && word.lower.chars().count() >= KEYWORD_CHARS_MIN;
            if plain
                && !COMMON.contains(&word.lower.as_str())
                && !words.iter().any(|known| known.lower == word.lower)
            {
                words.push(word);
            }
        }
        words.sort_by_key(|word| std::cmp::Reverse(word.lower.chars().count()));
        words
            .into_iter()
            .take(max)
            .map(|word| self.text[word.span.clone()].chars().take(KEYWORD_CHARS_MAX).collect())
            .collect()
    }
}

impl After {
    fn of(between: &str) -> Self {
        if between.contains(['.', '?', '!', ';', '\n', ':']) {
            After::SentenceEnd
        } else if between.contains(',') {
            After::Comma
        } else {
            After::Space
        }
    }
}

/// Words that begin a request after a conjunction or a comma.
pub(crate) const REQUEST_WORDS: &[&str] = &[
    "what",
    "what's",
    "when",
    "where",
    "who",
    "how",
    "calculate",
    "compute",
    "search",
    "find",
    "look",
    "tell",
    "give",
    "show",
    "did",
    "have",
];

/// Further words that begin a new clause after a conjunction or a comma.
const CLAUSE_WORDS: &[&str] = &["the", "also", "please", "time"];

/// Common words, which are no keywords.
const COMMON: &[&str] = &[
    "about", "after", "again", "also", "because", "been", "before", "being", "could", "does", "doing",
    "each", "from", "have", "having", "here", "into", "just", "know", "like", "make", "many", "maybe",
    "more", "most", "much", "need", "only", "other", "over", "please", "really", "said", "should", "some",
    "such", "tell", "than", "that", "their", "them", "then", "there", "these", "they", "thing", "think",
    "this", "those", "very", "want", "well", "were", "what", "when", "where", "which", "while", "will",
    "with", "without", "would", "your", "yours",
];

/// Greatest number of words that are examined for keywords.
const KEYWORD_CANDIDATES_MAX: usize = 1000;

const KEYWORD_CHARS_MIN: usize = 4;

const KEYWORD_CHARS_MAX: usize = 40;
