//! What a message asks for, by plain rules: no model, no guess that is not said.
//!
//! Guarantee: the same text gives the same wishes, at most [`WISHES_MAX`], in the order of the text.

use std::ops::Range;

use super::{sums, words::Words};
use crate::agent::tools::zones::Zone;

/// One thing that the message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Calculate {
        expression: String,
    },
    /// `None`: here, that is, in UTC.
    Time {
        place: Option<String>,
    },
    Search {
        query: String,
        own_words_only: bool,
    },
}

/// What the assistant makes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Understood {
    /// At least one wish, and whether there were more than it fulfils at once.
    Wishes {
        wishes: Vec<Wish>,
        more: bool,
    },
    Greeting,
    Thanks,
    /// A question about the assistant itself.
    Help,
    /// None of these: words of it that may have come up before.
    Other {
        keywords: Vec<String>,
    },
}

/// Reads a message.
pub fn understand(text: &str) -> Understood {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES_READ)];
    let words = Words::of(text);
    let mut found: Vec<(usize, Wish)> = Vec::new();
    let mut taken: Vec<Range<usize>> = Vec::new();
    for (span, wish) in searches(&words) {
        found.push((span.start, wish));
        taken.push(span);
    }
    let free = |at: usize| !taken.iter().any(|span| span.contains(&at));
    for (span, expression) in sums::find(text) {
        if free(span.start) {
            found.push((span.start, Wish::Calculate { expression }));
        }
    }
    for (at, place) in times(&words) {
        if free(at) {
            found.push((at, Wish::Time { place }));
        }
    }
    found.sort_by_key(|(at, _)| *at);
    let mut wishes: Vec<Wish> = Vec::new();
    for (_, wish) in found {
        if wishes.len() <= WISHES_MAX && !wishes.contains(&wish) {
            wishes.push(wish);
        }
    }
    let more = wishes.len() > WISHES_MAX;
    wishes.truncate(WISHES_MAX);
    if !wishes.is_empty() {
        return Understood::Wishes { wishes, more };
    }
    small_talk(&words)
}

fn small_talk(words: &Words) -> Understood {
    let short = words.len() <= SMALL_TALK_WORDS_MAX;
    let first = words.lower(0);
    if words.contains_any(HELP) || (short && first == "help") {
        Understood::Help
    } else if short && (THANKS.contains(&first) || words.contains_any(&["thank you"])) {
        Understood::Thanks
    } else if words.is_empty()
        || (short
            && (GREETINGS.contains(&first)
                || words.contains_any(&["good morning", "good evening", "good afternoon"])))
    {
        Understood::Greeting
    } else {
        Understood::Other { keywords: words.keywords(KEYWORDS_MAX) }
    }
}

/// What is to be searched for, and which part of the text said so.
fn searches(words: &Words) -> Vec<(Range<usize>, Wish)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let cue = CUES.iter().find(|(cue, _)| words.has_at(at, cue)).filter(|_| words.begins_clause(at));
        let Some((cue, own_words_only)) = cue else {
            at += 1;
            continue;
        };
        let mut start = at + cue.split(' ').count();
        while PARTICLES.contains(&words.lower(start)) {
            start += 1;
        }
        let end = words.clause_end(start);
        if start < end {
            let query = words.text(start..end).trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
            if !query.is_empty() {
                let wish = Wish::Search { query, own_words_only: *own_words_only };
                found.push((words.span(at..end), wish));
            }
        }
        at = end.max(at + 1);
    }
    found
}

/// Where the text asks for the time, and of which place.
fn times(words: &Words) -> Vec<(usize, Option<String>)> {
    let mut found = Vec::new();
    for sentence in words.sentences() {
        let strong = words.contains_within(&sentence, TIME_PHRASES);
        let weak = strong.or_else(|| words.contains_within(&sentence, TIME_WORDS));
        let Some(cue) = weak else { continue };
        let before = found.len();
        let mut at = sentence.start;
        while at < sentence.end {
            match (1..=PLACE_WORDS_MAX)
                .rev()
                .find(|length| at + length <= sentence.end && is_place(words, at, *length, &sentence))
            {
                Some(length) => {
                    found.push((
                        words.span(at..at + length).start,
                        Some(words.text(at..at + length).to_owned()),
                    ));
                    at += length;
                }
                None => at += 1,
            }
        }
        if found.len() == before && strong.is_some() {
            let unknown = unknown_place(words, &sentence, cue);
            found.push((words.span(cue..cue + 1).start, unknown));
        }
    }
    found
}

/// Whether these words name a place here: a zone's own name, or a known place that the sentence puts
/// where places stand.
fn is_place(words: &Words, at: usize, length: usize, sentence: &Range<usize>) -> bool {
    let phrase = words.joined(at..at + length);
    if !Zone::is_place(&phrase) {
        return false;
    }
    let introduced =
        at == sentence.start || PLACE_CUES.contains(&words.lower(at - 1)) || words.follows_comma(at);
    phrase.contains('/') || introduced || words.is_capitalised(at)
}

/// The words after `in`, where the sentence asks for the time in a place that is not known.
fn unknown_place(words: &Words, sentence: &Range<usize>, cue: usize) -> Option<String> {
    let place = (cue..sentence.end).find(|at| words.lower(*at) == "in")? + 1;
    let end = sentence.end.min(place + PLACE_WORDS_MAX);
    let text = (place < end).then(|| words.text(place..end).to_owned())?;
    Some(text.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()).filter(|text| !text.is_empty())
}

/// What begins a search, longest first, and whether only the user's own words are meant.
const CUES: &[(&str, bool)] = &[
    ("what did i say about", true),
    ("what did i write about", true),
    ("what did i ask about", true),
    ("what did i tell you about", true),
    ("what have i said about", true),
    ("what did you say about", false),
    ("what did we say about", false),
    ("when did i mention", true),
    ("did i ever mention", true),
    ("did i mention", true),
    ("have i mentioned", true),
    ("have i ever mentioned", true),
    ("where did i mention", true),
    ("search my history for", false),
    ("search my messages for", true),
    ("search the history for", false),
    ("search history for", false),
    ("search for", false),
    ("search", false),
    ("look up", false),
    ("look for", false),
    ("find", false),
];

/// Words between a cue and what is searched for.
const PARTICLES: &[&str] = &["me", "the word", "for", "messages", "about", "everything", "with", "my"];

/// Phrases that ask for the time, whether or not a place is named.
const TIME_PHRASES: &[&str] = &[
    "what time",
    "what's the time",
    "whats the time",
    "what is the time",
    "current time",
    "time now",
    "time is it",
    "the time in",
    "time in",
    "tell me the time",
    "what day is",
    "what's the date",
    "what is the date",
    "today's date",
    "what date",
    "how late is it",
    "current date",
    "what's today",
    "date today",
];

/// Words that ask for the time where a place is named.
const TIME_WORDS: &[&str] = &["time", "clock", "o'clock", "times", "late"];

/// Words before a place.
const PLACE_CUES: &[&str] = &["in", "at", "for", "and", "or", "from", "to", "time"];

const GREETINGS: &[&str] = &["hello", "hi", "hey", "hallo", "greetings", "good", "moin", "servus", "ciao"];

const THANKS: &[&str] = &["thanks", "thank", "thx", "cheers", "danke"];

const HELP: &[&str] =
    &["what can you do", "who are you", "what are you", "how do you work", "help me please", "can you help"];

/// Wishes that are fulfilled at once.
pub const WISHES_MAX: usize = 8;

/// Bytes of a message that are read.
const TEXT_BYTES_READ: usize = 64 * 1024;

const SMALL_TALK_WORDS_MAX: usize = 5;

const PLACE_WORDS_MAX: usize = 3;

const KEYWORDS_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(text: &str) -> Vec<Wish> {
        match understand(text) {
            Understood::Wishes { wishes, .. } => wishes,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn time(place: &str) -> Wish {
        Wish::Time { place: Some(place.into()) }
    }

    fn search(query: &str, own_words_only: bool) -> Wish {
        Wish::Search { query: query.into(), own_words_only }
    }

    fn sum(expression: &str) -> Wish {
        Wish::Calculate { expression: expression.into() }
    }

    #[test]
    fn times_are_understood() {
        let cases = [
            ("What time is it?", vec![Wish::Time { place: None }]),
            ("what time is it in Tokyo?", vec![time("Tokyo")]),
            ("what's the time in new york and London", vec![time("new york"), time("London")]),
            ("Current time in Europe/Berlin, please", vec![time("Europe/Berlin")]),
            ("time in America/Argentina/Ushuaia", vec![time("America/Argentina/Ushuaia")]),
            ("Time in New_York", vec![time("New_York")]),
            (
                "how late is it in São Paulo, Munich and Mumbai?",
                vec![time("São Paulo"), time("Munich"), time("Mumbai")],
            ),
            ("what time is it in Hogwarts?", vec![time("Hogwarts")]),
            ("Tokyo time", vec![time("Tokyo")]),
            ("What day is it?", vec![Wish::Time { place: None }]),
        ];
        for (text, expected) in cases {
            assert_eq!(wishes(text), expected, "{text}");
        }
    }

    #[test]
    fn searches_are_understood() {
        let cases = [
            ("what did I say about cats?", vec![search("cats", true)]),
            ("Search for my red bike", vec![search("red bike", false)]),
            ("please find \"the red bike\"!", vec![search("the red bike", false)]),
            ("search 2+2", vec![search("2+2", false)]),
            ("Did I mention Tokyo? I forget.", vec![search("Tokyo", true)]),
        ];
        for (text, expected) in cases {
            assert_eq!(wishes(text), expected, "{text}");
        }
    }

    #[test]
    fn several_wishes_keep_their_order() {
        assert_eq!(
            wishes("What is 12*(3+4), what time is it in Tokyo, and what did I say about cats?"),
            [sum("12 * (3 + 4)"), time("Tokyo"), search("cats", true)]
        );
        assert_eq!(wishes("find cats and calculate 2+2"), [search("cats", false), sum("2 + 2")]);
        assert_eq!(wishes("2+2. 2+2. 3+3"), [sum("2 + 2"), sum("3 + 3")], "the same wish is one wish");
        let many = (1..20).map(|n| format!("{n}+1")).collect::<Vec<_>>().join("; ");
        let Understood::Wishes { wishes, more } = understand(&many) else { panic!("sums") };
        assert_eq!((wishes.len(), more), (WISHES_MAX, true));
    }

    #[test]
    fn what_is_no_wish_is_not_made_one() {
        assert_eq!(understand("hello"), Understood::Greeting);
        assert_eq!(understand("  "), Understood::Greeting);
        assert_eq!(understand("thanks a lot!"), Understood::Thanks);
        assert_eq!(understand("What can you do?"), Understood::Help);
        let other = |keywords: &[&str]| Understood::Other {
            keywords: keywords.iter().map(|k| (*k).into()).collect(),
        };
        assert_eq!(understand("I live in Berlin now"), other(&["Berlin", "live"]));
        assert_eq!(understand("next time I have no time"), other(&["next", "time"]));
        assert_eq!(understand("Why is the sky blue?"), other(&["blue"]));
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_much_for_it(text in "(what|time|in|find|,|\\?|\\.| |Tokyo|2|\\+|and|\\PC){0,60}") {
            understand(&text);
        }
    }
}
