//! A text as words with their places, sentences and clauses.

use std::ops::Range;

/// The words of a text.
pub struct Words<'a> {
    text: &'a str,
    words: Vec<Word>,
}

struct Word {
    span: Range<usize>,
    lower: String,
    /// What stands between this word and the next.
    after: After,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Space,
    Comma,
    SentenceEnd,
}

impl<'a> Words<'a> {
    pub fn of(text: &'a str) -> Self {
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

    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// A word in lower case; empty past the end.
    pub fn lower(&self, at: usize) -> &str {
        self.words.get(at).map_or("", |word| &word.lower)
    }

    /// The words as they stand in the text.
    pub fn text(&self, words: Range<usize>) -> &'a str {
        &self.text[self.span(words)]
    }

    pub fn span(&self, words: Range<usize>) -> Range<usize> {
        self.words[words.start].span.start..self.words[words.end - 1].span.end
    }

    /// Whether a phrase stands here, its words within one sentence.
    pub fn has_at(&self, at: usize, phrase: &str) -> bool {
        phrase.split(' ').enumerate().all(|(nth, word)| {
            let joined = nth == 0 || self.words[at + nth - 1].after != After::SentenceEnd;
            joined && self.lower(at + nth) == word
        })
    }

    pub fn contains_any(&self, phrases: &[&str]) -> bool {
        self.contains_within(&(0..self.len()), phrases).is_some()
    }

    /// Where the first of these phrases stands.
    pub fn contains_within(&self, within: &Range<usize>, phrases: &[&str]) -> Option<usize> {
        within.clone().find(|at| phrases.iter().any(|phrase| self.has_at(*at, phrase)))
    }

    /// Whether a request may begin here: at the start of a sentence, after a comma, after `and`, or
    /// after words of politeness.
    pub fn begins_clause(&self, at: usize) -> bool {
        at == 0
            || self.words[at - 1].after != After::Space
            || matches!(self.lower(at - 1), "and" | "then" | "please" | "also" | "to" | "you" | "me")
    }

    /// The end of the clause that a word is in: the end of its sentence, or where a new request begins.
    pub fn clause_end(&self, start: usize) -> usize {
        let mut at = start;
        while at < self.len() {
            let asks = |next: usize| REQUESTS.contains(&self.lower(next));
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

    pub fn follows_comma(&self, at: usize) -> bool {
        at > 0 && self.words[at - 1].after == After::Comma
    }

    /// Words that say what the text is about: the longest that are not in every text.
    pub fn keywords(&self, max: usize) -> Vec<String> {
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

/// Words that begin a new request after a conjunction or a comma.
const REQUESTS: &[&str] = &[
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
    "the",
    "also",
    "please",
    "time",
];

/// Words that tell nothing of what a text is about.
const COMMON: &[&str] = &[
    "about", "after", "again", "also", "because", "been", "before", "being", "could", "does", "doing",
    "each", "from", "have", "having", "here", "into", "just", "know", "like", "make", "many", "maybe",
    "more", "most", "much", "need", "only", "other", "over", "please", "really", "said", "should", "some",
    "such", "tell", "than", "that", "their", "them", "then", "there", "these", "they", "thing", "think",
    "this", "those", "very", "want", "well", "were", "what", "when", "where", "which", "while", "will",
    "with", "without", "would", "your", "yours",
];

/// Words of a text among which keywords are looked for.
const KEYWORD_CANDIDATES_MAX: usize = 1000;

const KEYWORD_CHARS_MIN: usize = 4;

const KEYWORD_CHARS_MAX: usize = 40;
