//! Parsing of a message into requests by fixed rules, without a model. Interpretations appear in the reply.
//!
//! Guarantee: equal texts give equal requests, at most [`WISHES_MAX`], in the order of the text.

use std::ops::Range;

use super::{
    arithmetic::{self, Sum},
    language,
    lexer::{self, Token},
    times::{self, Time},
    units,
    words::Words,
};

/// A single request of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// A calculation, for the tool `calculate`.
    Calculate(Sum),
    /// A question about a time or a date, for the tool `current_time`.
    Time(Time),
    /// A search in the user's own log, for the tool `search_history`.
    Search {
        /// The words to search for, not empty.
        query: String,
        /// True if only the user's own messages are searched, false if answers are too.
        own_words_only: bool,
    },
}

/// A parsed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Understood {
    /// Requests that are fulfilled or declined, at least one of either.
    Requests {
        /// The requests to fulfil, at most [`WISHES_MAX`], in the order of the text.
        intents: Vec<Intent>,
        /// Reasons, as sentences without a full stop, in the order of the text.
        declined: Vec<String>,
        /// True if there are more requests than are fulfilled at once.
        more: bool,
    },
    /// A greeting, or a message without words.
    Greeting,
    /// Thanks.
    Thanks,
    /// A question about the assistant itself.
    Help,
    /// A message in a language other than English.
    Foreign,
    /// Any other message, with words to search for.
    Other {
        /// The longest words that are not common, at most 2.
        keywords: Vec<String>,
    },
}

/// Parses a message.
pub fn understand(text: &str) -> Understood {
    let text = &text[..text.floor_char_boundary(TEXT_BYTES_READ)];
    let words = Words::of(text);
    let mut requests = Requests::default();
    let searches = searches(&words);
    let taken: Vec<Range<usize>> = searches.iter().map(|(span, _)| span.clone()).collect();
    for (span, intent) in searches {
        requests.intents.push((span.start, intent));
    }
    let tokens = lexer::tokens(text);
    // Both lists are in the order of the text.
    let mut next_taken = taken.into_iter().peekable();
    for clause in lexer::clauses(text, &tokens) {
        let start = tokens[clause.start].span.start;
        while next_taken.next_if(|span| span.end <= start).is_some() {}
        let end = next_taken.peek().map_or(text.len(), |span| span.start);
        let free = tokens[clause].split(|token| token.span.start >= end).next().unwrap_or_default();
        if !free.is_empty() {
            requests.read(text, start, free);
        }
        if requests.read > REQUESTS_READ {
            break;
        }
    }
    requests
        .understood()
        .unwrap_or_else(|| if language::is_foreign(text) { Understood::Foreign } else { small_talk(&words) })
}

/// The requests of a message, with their positions.
#[derive(Default)]
struct Requests {
    intents: Vec<(usize, Intent)>,
    declined: Vec<String>,
    /// The sum of the preceding clause.
    previous: Option<Sum>,
    /// The number of clauses with a request.
    read: usize,
}

impl Requests {
    fn read(&mut self, text: &str, start: usize, clause: &[Token]) {
        let previous = self.previous.take();
        let sums = match units::read(text, clause) {
            arithmetic::SumReading::Nothing => None,
            reading => Some(reading),
        };
        let sums = sums.unwrap_or_else(|| match times::read(text, clause) {
            times::TimeReading::Times(times) => {
                self.intents.extend(times.into_iter().map(|time| (start, Intent::Time(time))));
                arithmetic::SumReading::Sums(Vec::new())
            }
            times::TimeReading::Declined(why) => arithmetic::SumReading::Declined(why),
            times::TimeReading::Nothing => arithmetic::read(text, clause, previous.as_ref()),
        });
        self.read += usize::from(sums != arithmetic::SumReading::Nothing);
        match sums {
            arithmetic::SumReading::Nothing => {}
            arithmetic::SumReading::Declined(why) => self.declined.push(why),
            arithmetic::SumReading::Sums(sums) => {
                self.replace_previous(previous.as_ref(), &sums);
                self.previous = sums.last().cloned();
                self.intents.extend(sums.into_iter().map(|sum| (start, Intent::Calculate(sum))));
            }
        }
    }

    /// Replaces the preceding sum by one that continues it.
    fn replace_previous(&mut self, previous: Option<&Sum>, sums: &[Sum]) {
        if let (Some(previous), Some(first)) = (previous, sums.first())
            && first.expression.starts_with(&format!("({}) ", previous.expression))
        {
            self.intents.pop();
        }
    }

    /// Returns the requests, or `None` if there are none.
    fn understood(mut self) -> Option<Understood> {
        self.intents.sort_by_key(|(at, _)| *at);
        let mut intents: Vec<Intent> = Vec::new();
        for (_, intent) in self.intents {
            if intents.len() <= WISHES_MAX && !intents.contains(&intent) {
                intents.push(intent);
            }
        }
        let mut declined = self.declined;
        declined.dedup();
        let more = intents.len() > WISHES_MAX || declined.len() > DECLINED_MAX;
        intents.truncate(WISHES_MAX);
        declined.truncate(DECLINED_MAX);
        let any = !intents.is_empty() || !declined.is_empty();
        any.then_some(Understood::Requests { intents, declined, more })
    }
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

/// Finds the search requests and their positions in the text.
fn searches(words: &Words) -> Vec<(Range<usize>, Intent)> {
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
                let intent = Intent::Search { query, own_words_only: *own_words_only };
                found.push((words.span(at..end), intent));
            }
        }
        at = end.max(at + 1);
    }
    found
}

/// Phrases that begin a search, longest first, and whether only the user's own messages are searched.
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

/// Words between such a phrase and the query.
const PARTICLES: &[&str] = &["me", "the word", "for", "messages", "about", "everything", "with", "my"];

const GREETINGS: &[&str] = &["hello", "hi", "hey", "hallo", "greetings", "good", "moin", "servus", "ciao"];

const THANKS: &[&str] = &["thanks", "thank", "thx", "cheers", "danke"];

const HELP: &[&str] =
    &["what can you do", "who are you", "what are you", "how do you work", "help me please", "can you help"];

/// Greatest number of requests of one message that are fulfilled.
pub const WISHES_MAX: usize = 8;

/// Bytes of a message that are parsed.
const TEXT_BYTES_READ: usize = 64 * 1024;

const SMALL_TALK_WORDS_MAX: usize = 5;

/// Greatest number of declined requests with a sentence of their own.
const DECLINED_MAX: usize = 3;

/// Greatest number of requests, after which the rest of a message is ignored.
const REQUESTS_READ: usize = 64;

const KEYWORDS_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn intents(text: &str) -> Vec<Intent> {
        match understand(text) {
            Understood::Requests { intents, declined, .. } if declined.is_empty() => intents,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn time(place: &str) -> Intent {
        Intent::Time(Time { place: Some(place.into()), ..Time::default() })
    }

    fn search(query: &str, own_words_only: bool) -> Intent {
        Intent::Search { query: query.into(), own_words_only }
    }

    fn sum(expression: &str) -> Intent {
        Intent::Calculate(Sum { expression: expression.into(), ..Sum::default() })
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
            assert_eq!(intents(text), expected, "{text}");
        }
    }

    #[test]
    fn several_requests_keep_their_order() {
        assert_eq!(
            intents("What is 12*(3+4), what time is it in Tokyo, and what did I say about cats?"),
            [sum("12 * (3 + 4)"), time("Tokyo"), search("cats", true)]
        );
        assert_eq!(intents("find cats and calculate 2+2"), [search("cats", false), sum("2 + 2")]);
        assert_eq!(intents("2+2. 2+2. 3+3"), [sum("2 + 2"), sum("3 + 3")], "the same wish is one wish");
        let many = (1..20).map(|n| format!("{n}+1")).collect::<Vec<_>>().join("; ");
        let Understood::Requests { intents, more, .. } = understand(&many) else { panic!("sums") };
        assert_eq!((intents.len(), more), (WISHES_MAX, true));
    }

    #[test]
    fn clause_continues_the_sum_before_it() {
        assert_eq!(intents("What is 2 + 2? Then times 3."), [sum("(2 + 2) * 3")]);
        assert_eq!(intents("2 + 2 and then times 3"), [sum("(2 + 2) * 3")]);
        assert_eq!(intents("2+2. And 3+3?"), [sum("2 + 2"), sum("3 + 3")]);
    }

    #[test]
    fn unsupported_parts_are_declined_and_the_rest_is_done() {
        let Understood::Requests { intents, declined, .. } =
            understand("What is 2+2 in base three, and what time is it in Tokyo?")
        else {
            panic!("requests");
        };
        assert_eq!(intents, [time("Tokyo")]);
        assert!(declined[0].contains("“in base three”"), "{declined:?}");
    }

    #[test]
    fn other_languages_are_named() {
        assert_eq!(understand("wie spät ist es?"), Understood::Foreign);
        assert_eq!(understand("東京は何時ですか"), Understood::Foreign);
    }

    #[test]
    fn small_talk_is_not_a_request() {
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
        fn any_text_is_parsed_without_a_panic(text in "(what|time|in|find|,|\\?|\\.| |Tokyo|2|\\+|and|\\PC){0,60}") {
            understand(&text);
        }
    }
}
