//! Tests of questions about time.

use super::{
    super::intent::{Intent, Understood, understand},
    PlacedTime, Time,
};
use crate::tools::current_time;

/// Returns the questions about time in a message, or the sentence that declines one.
fn times(text: &str) -> Result<Vec<Time>, String> {
    match understand(text) {
        Understood::Requests { intents, declined, .. } => match declined.first() {
            Some(why) => Err(why.clone()),
            None => Ok(intents
                .into_iter()
                .filter_map(|intent| match intent {
                    Intent::Time(time) => Some(time),
                    _ => None,
                })
                .collect()),
        },
        _ => Ok(Vec::new()),
    }
}

fn now(place: &str) -> Time {
    Time { place: Some(place.into()), ..Time::default() }
}

#[test]
fn questions_about_the_current_time_are_understood() {
    let cases = [
        ("What time is it?", vec![Time::default()]),
        ("what time is it in Tokyo?", vec![now("Tokyo")]),
        ("what's the time in new york and London", vec![now("new york"), now("London")]),
        ("Current time in Europe/Berlin, please", vec![now("Europe/Berlin")]),
        ("time in America/Argentina/Ushuaia", vec![now("America/Argentina/Ushuaia")]),
        ("Time in New_York", vec![now("New_York")]),
        (
            "how late is it in São Paulo, Munich and Mumbai?",
            vec![now("São Paulo"), now("Munich"), now("Mumbai")],
        ),
        ("what time is it in Hogwarts?", vec![now("Hogwarts")]),
        ("what time is it on Mars?", vec![now("Mars")]),
        ("Tokyo time", vec![now("Tokyo")]),
        ("What day is it?", vec![Time::default()]),
        ("what day is it today", vec![Time::default()]),
        ("what year is it", vec![Time::default()]),
        ("what's the date?", vec![Time::default()]),
        ("Hello, what time is it right now in Paris please", vec![now("Paris")]),
        ("what time is it in PST", vec![now("PST")]),
        ("what time is it in UTC+3?", vec![now("UTC+3")]),
        ("what is the time in eastern time", vec![now("eastern time")]),
        ("time in Salt Lake City", vec![now("Salt Lake City")]),
        ("what time is it in South Africa", vec![now("South Africa")]),
        ("what time is it in Nepal and Brazil", vec![now("Nepal"), now("Brazil")]),
        ("what time is it in Port-au-Prince", vec![now("Port-au-Prince")]),
        ("tell me the time in the US", vec![now("the US")]),
    ];
    for (text, expected) in cases {
        assert_eq!(times(text), Ok(expected), "{text}");
    }
    let morning = times("is it morning in Tokyo?").unwrap();
    assert_eq!(morning, [Time { part_of_day: true, ..now("Tokyo") }]);
}

#[test]
fn another_time_is_shifted() {
    let cases = [
        ("what time will it be in Paris in 3 hours?", Some("Paris"), "PT3H"),
        ("what time is it 5 hours from now", None, "PT5H"),
        ("what date is it tomorrow?", None, "P1D"),
        ("what was the date yesterday", None, "-P1D"),
        ("what day is it the day after tomorrow", None, "P2D"),
        ("what time was it in Rome two hours ago", Some("Rome"), "-PT2H"),
        ("what time is it in half an hour", None, "PT30M"),
        ("what time will it be in an hour and a half", None, "PT1H30M"),
        ("what time will it be in 2 hours and 30 minutes in Tokyo", Some("Tokyo"), "PT2H30M"),
        ("what is the date next week", None, "P1W"),
        ("what date is it in 3 months", None, "P3M"),
        ("what day was it 10 days ago", None, "-P10D"),
        ("what time is it in Berlin in twenty-five minutes", Some("Berlin"), "PT25M"),
    ];
    for (text, place, duration) in cases {
        let found = times(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].place.as_deref(), place, "{text}");
        assert_eq!(found[0].shift.as_ref().map(|shift| shift.duration.as_str()), Some(duration), "{text}");
    }
}

#[test]
fn a_time_elsewhere_is_converted() {
    let cases = [
        ("if it is 3pm in Berlin, what time is it in Sydney?", "15:00", "Berlin", Some("Sydney")),
        ("If it's 9:30 am in London what time is it in New York", "09:30", "London", Some("New York")),
        ("what time is it in Sydney when it is 15:30 in Berlin?", "15:30", "Berlin", Some("Sydney")),
        ("what time is it at noon New York time", "12:00", "New York time", None),
        ("what time is it in Tokyo at noon New York time", "12:00", "New York time", Some("Tokyo")),
        ("what time is 3 p.m. PST in Tokyo", "15:00", "PST", Some("Tokyo")),
        ("convert 3pm EST to CET", "15:00", "EST", Some("CET")),
        ("12am UTC in Delhi", "00:00", "UTC", Some("Delhi")),
    ];
    for (text, clock, from, to) in cases {
        let found = times(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].place.as_deref(), to, "{text}");
        let at = PlacedTime { clock: clock.into(), place: from.trim_end_matches(" time").into() };
        let found = found[0]
            .at
            .clone()
            .map(|at| PlacedTime { place: at.place.trim_end_matches(" time").into(), ..at });
        assert_eq!(found, Some(at), "{text}");
    }
}

#[test]
fn questions_about_dates_are_understood() {
    let cases = [
        ("how many days until christmas?", "12-25", true),
        ("days until 2026-12-31", "2026-12-31", true),
        ("how many days till December 25th, 2026", "2026-12-25", true),
        ("how many days since 1 January 2026", "2026-01-01", true),
        ("what day of the week is 2026-12-25?", "2026-12-25", false),
        ("what weekday was 4 July 1976", "1976-07-04", false),
        ("what day is christmas", "12-25", false),
        ("what day is the 25th of December", "12-25", false),
        ("what day was 12/30/2025?", "2025-12-30", false),
        ("weekday of 1 May 2027", "2027-05-01", false),
    ];
    for (text, date, counted) in cases {
        let found = times(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        let day =
            found.first().and_then(|time| time.date.as_ref()).unwrap_or_else(|| panic!("{text}: {found:?}"));
        assert_eq!((day.date.as_str(), day.counted), (date, counted), "{text}");
    }
}

/// A question about another time is never answered with the current time.
#[test]
fn unsupported_questions_are_declined_by_name() {
    let cases = [
        ("what time does the train to Berlin leave?", "“train”"),
        ("what time is it in Sydney at 3pm", "the place where it is 15:00"),
        ("what time is it when the sun sets", "“sun sets”"),
        ("what time is it next monday in Berlin", "“next monday”"),
        ("what is the time difference between Berlin and Tokyo", "“difference between"),
        ("what week is it", ""),
        ("what day was 5/6/2026?", "“5/6/2026”"),
        ("what time will it be in 3 hours at noon in Berlin in Paris", "not both"),
        ("what time is it in Berlin in a while", "“a while”"),
        ("what time is it in Berlin in 3 fortnights", "fortnights"),
        ("what time was it when it rained", "“rained”"),
    ];
    for (text, expected) in cases {
        match times(text) {
            Err(why) => assert!(why.contains(expected), "{text}: {why}"),
            Ok(found) => assert!(
                found.iter().all(|time| time.place.as_deref().is_some_and(|place| current_time::answer(
                    &serde_json::json!({"zone": place}),
                    0
                )
                .is_err()))
                    || found.is_empty(),
                "{text}: {found:?}"
            ),
        }
    }
}

#[test]
fn text_without_a_question_about_time_is_ignored() {
    for text in [
        "next time I have no time",
        "I had the time of my life in Berlin",
        "I live in Berlin now",
        "two times I went to Paris",
        "we met at noon",
        "I am late for work in London",
        "time flies",
        "good morning",
        "have a nice day",
    ] {
        assert_eq!(times(text), Ok(Vec::new()), "{text}");
    }
}

proptest::proptest! {
    /// The parameters for any message are valid for the tool, or refused because of a place, a range or a gap
    /// of the clock.
    #[test]
    fn tool_accepts_the_parsed_questions(words in proptest::collection::vec(proptest::sample::select(vec![
        "what time", "is it", "in", "Berlin", "new york", "at", "3pm", "noon", "15:30", "in 3 hours", "tomorrow", "2 days ago",
        "UTC+3", "PST", "and", ",", "the", "date", "if", "Brazil", "99999 years from now", "when", "Mars", "days until",
        "christmas", "2026-02-30", "what day is", "31 June",
    ]), 1..10)) {
        let text = words.join(" ");
        for time in times(&text).into_iter().flatten() {
            if let Err(error) = current_time::answer(&time.parameters(), 1_795_222_800_000) {
                let reasons = ["no time zone", "more than one", "out of range", "in range", "does not exist", "date has to be"];
                proptest::prop_assert!(reasons.iter().any(|reason| error.contains(reason)), "{text}: {error}");
            }
        }
    }
}
