//! Time zones by the names that people use: IANA names, cities, some countries and abbreviations.
//!
//! Guarantee: a name resolves the same way everywhere; one that does not is answered with names that
//! look like it.

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::tz::TimeZone;

/// A place and the zone that it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The IANA name.
    pub name: String,
    pub rules: TimeZone,
}

/// A name that is no zone, and names of zones that look like it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time zone is known as {asked:?}{}", meant(.near))]
pub struct UnknownZone {
    pub asked: String,
    pub near: Vec<String>,
}

fn meant(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

impl Zone {
    /// The zone of an IANA name in any case, a city, or another name of [`ALIASES`].
    pub fn named(asked: &str) -> Result<Self, UnknownZone> {
        let asked: String = asked.trim().chars().take(NAME_CHARS_MAX).collect();
        let name = PLACES.get(&spelling(&asked)).map_or(asked.as_str(), String::as_str);
        match TimeZone::get(name) {
            Ok(rules) => {
                let name = rules.iana_name().unwrap_or(name).to_owned();
                Ok(Self { name, rules })
            }
            Err(_) => {
                let near = near(&asked);
                Err(UnknownZone { asked, near })
            }
        }
    }

    /// Whether a phrase, in lower case, is a place that [`Zone::named`] knows.
    pub fn is_place(phrase: &str) -> bool {
        PLACES.contains_key(phrase)
    }
}

/// Every name that a place goes by, in lower case with spaces, and its IANA name.
static PLACES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let mut places = BTreeMap::new();
    for name in jiff::tz::db().available() {
        let name = name.as_str();
        if let Some((area, city)) = name.split_once('/')
            && AREAS.contains(&area)
        {
            // Of `America/Argentina/Ushuaia` the city is the last part.
            let city = city.rsplit('/').next().unwrap_or(city);
            places.entry(spelling(city)).or_insert_with(|| name.to_owned());
            places.insert(spelling(name), name.to_owned());
        }
    }
    for (name, aliases) in ALIASES {
        for alias in *aliases {
            places.insert((*alias).to_owned(), (*name).to_owned());
        }
    }
    places
});

fn spelling(name: &str) -> String {
    name.to_lowercase().replace('_', " ")
}

/// The names nearest to one that is unknown, nearest first.
fn near(asked: &str) -> Vec<String> {
    let asked = spelling(asked);
    let reach = (asked.chars().count() / 3).clamp(1, DISTANCE_MAX);
    let mut found: Vec<(usize, &String)> = PLACES
        .iter()
        .map(|(place, name)| (distance(&asked, place), name))
        .filter(|(distance, _)| *distance <= reach)
        .collect();
    found.sort();
    let mut names: Vec<String> = Vec::new();
    for (_, name) in found {
        if !names.contains(name) && names.len() < NEAR_MAX {
            names.push(name.clone());
        }
    }
    names
}

/// How many letters have to be added, taken away, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The areas of the IANA names whose last part is a city.
const AREAS: &[&str] =
    &["Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"];

/// Names that the IANA database does not have, or that would mean something else.
const ALIASES: &[(&str, &[&str])] = &[
    ("UTC", &["utc", "gmt", "z", "zulu", "universal time", "greenwich mean time"]),
    ("Africa/Cairo", &["egypt"]),
    ("Africa/Johannesburg", &["cape town", "south africa", "pretoria", "durban"]),
    ("Africa/Lagos", &["nigeria", "abuja"]),
    ("Africa/Nairobi", &["kenya"]),
    ("America/Argentina/Buenos_Aires", &["argentina"]),
    (
        "America/Chicago",
        &["houston", "dallas", "austin", "san antonio", "minneapolis", "new orleans", "nashville"],
    ),
    ("America/Denver", &["salt lake city"]),
    (
        "America/Los_Angeles",
        &[
            "san francisco",
            "seattle",
            "san diego",
            "las vegas",
            "portland",
            "silicon valley",
            "california",
            "la",
        ],
    ),
    (
        "America/New_York",
        &[
            "washington",
            "washington dc",
            "boston",
            "miami",
            "philadelphia",
            "atlanta",
            "nyc",
            "florida",
            "orlando",
        ],
    ),
    ("America/Sao_Paulo", &["rio", "rio de janeiro", "brasilia", "são paulo"]),
    ("America/Toronto", &["ottawa", "montreal", "quebec"]),
    ("America/Vancouver", &["british columbia"]),
    ("Asia/Dubai", &["abu dhabi", "emirates"]),
    ("Asia/Ho_Chi_Minh", &["vietnam"]),
    ("Asia/Hong_Kong", &["hongkong"]),
    ("Asia/Jakarta", &["indonesia"]),
    ("Asia/Jerusalem", &["israel", "haifa"]),
    ("Asia/Karachi", &["pakistan", "lahore", "islamabad"]),
    (
        "Asia/Kolkata",
        &[
            "india",
            "mumbai",
            "bombay",
            "delhi",
            "new delhi",
            "bangalore",
            "bengaluru",
            "chennai",
            "hyderabad",
            "pune",
        ],
    ),
    ("Asia/Manila", &["philippines"]),
    ("Asia/Riyadh", &["saudi arabia", "mecca", "jeddah"]),
    ("Asia/Seoul", &["korea", "south korea", "busan"]),
    ("Asia/Shanghai", &["china", "beijing", "peking", "shenzhen", "guangzhou"]),
    ("Asia/Singapore", &["singapore"]),
    ("Asia/Taipei", &["taiwan"]),
    ("Asia/Tehran", &["iran"]),
    ("Asia/Tokyo", &["japan", "osaka", "kyoto", "nagoya", "yokohama", "sapporo"]),
    ("Atlantic/Reykjavik", &["iceland"]),
    ("Australia/Sydney", &["canberra"]),
    ("Europe/Amsterdam", &["netherlands", "holland", "rotterdam", "the hague"]),
    ("Europe/Athens", &["greece"]),
    (
        "Europe/Berlin",
        &["germany", "munich", "münchen", "hamburg", "frankfurt", "cologne", "köln", "stuttgart", "leipzig"],
    ),
    ("Europe/Brussels", &["belgium", "antwerp"]),
    ("Europe/Bucharest", &["romania"]),
    ("Europe/Budapest", &["hungary"]),
    ("Europe/Copenhagen", &["denmark"]),
    ("Europe/Dublin", &["ireland"]),
    ("Europe/Helsinki", &["finland"]),
    ("Europe/Istanbul", &["turkey", "ankara", "türkiye"]),
    ("Europe/Kyiv", &["ukraine", "kiev"]),
    ("Europe/Lisbon", &["portugal", "porto"]),
    (
        "Europe/London",
        &[
            "england",
            "scotland",
            "wales",
            "britain",
            "united kingdom",
            "uk",
            "edinburgh",
            "manchester",
            "oxford",
            "cambridge",
            "glasgow",
            "birmingham",
        ],
    ),
    ("Europe/Madrid", &["spain", "barcelona", "valencia", "seville"]),
    ("Europe/Moscow", &["st petersburg", "saint petersburg"]),
    ("Europe/Oslo", &["norway", "bergen"]),
    ("Europe/Paris", &["france", "lyon", "marseille", "nice", "toulouse"]),
    ("Europe/Prague", &["czechia", "czech republic"]),
    ("Europe/Rome", &["italy", "milan", "naples", "florence", "venice", "turin"]),
    ("Europe/Stockholm", &["sweden", "gothenburg"]),
    ("Europe/Vienna", &["austria", "salzburg", "graz"]),
    ("Europe/Warsaw", &["poland", "krakow", "kraków", "gdansk"]),
    ("Europe/Zurich", &["switzerland", "geneva", "zürich", "basel", "bern", "lausanne"]),
    ("Pacific/Auckland", &["new zealand", "wellington"]),
    ("Pacific/Honolulu", &["hawaii"]),
];

/// Characters of a name that are looked at.
const NAME_CHARS_MAX: usize = 64;

/// Letters in which a suggestion may differ.
const DISTANCE_MAX: usize = 3;

/// Suggestions for a name that is unknown.
const NEAR_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(asked: &str) -> String {
        Zone::named(asked).unwrap_or_else(|unknown| panic!("{unknown}")).name
    }

    #[test]
    fn iana_names_cities_and_aliases_resolve() {
        let cases = [
            ("Europe/Berlin", "Europe/Berlin"),
            ("europe/berlin", "Europe/Berlin"),
            ("Berlin", "Europe/Berlin"),
            ("new york", "America/New_York"),
            ("New_York", "America/New_York"),
            ("Ushuaia", "America/Argentina/Ushuaia"),
            ("Munich", "Europe/Berlin"),
            ("Japan", "Asia/Tokyo"),
            ("UTC", "UTC"),
            ("  Tokyo ", "Asia/Tokyo"),
        ];
        for (asked, expected) in cases {
            assert_eq!(name(asked), expected, "{asked}");
        }
    }

    #[test]
    fn every_zone_of_the_database_resolves() {
        let all: Vec<_> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
        assert!(all.len() > 400, "{} zones", all.len());
        for zone in all {
            assert!(Zone::named(&zone).is_ok(), "{zone}");
        }
    }

    #[test]
    fn every_alias_leads_to_a_zone_under_its_own_name() {
        for (zone, aliases) in ALIASES {
            for alias in *aliases {
                assert_eq!(name(alias), *zone, "{alias}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_its_neighbours() {
        let unknown = Zone::named("Berln").unwrap_err();
        assert_eq!(unknown.near.first().map(String::as_str), Some("Europe/Berlin"));
        assert!(Zone::named("Europe/Brelin").unwrap_err().to_string().contains("did you mean Europe/Berlin"));
        assert_eq!(Zone::named("Hogwarts").unwrap_err().to_string(), "no time zone is known as \"Hogwarts\"");
        assert!(Zone::named(&"x".repeat(100_000)).unwrap_err().asked.len() <= NAME_CHARS_MAX);
        assert!(Zone::named("../../etc/passwd").is_err());
    }
}
