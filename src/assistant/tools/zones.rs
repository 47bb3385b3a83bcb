//! Time zones by their usual names: [IANA](https://www.iana.org/time-zones) names, cities, countries, states,
//! abbreviations and offsets.
//!
//! Guarantee: a name resolves to one zone or to an error. An abbreviation with several meanings and a
//! country with several zones are errors that name the choices.

mod names;

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::tz::{Offset, TimeZone};

use self::names::{ALIASES, AREAS, FIXED, REGIONS, SEVERAL};

/// A time zone with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The IANA name, or that of a fixed offset, such as `CEST` or `UTC+03:00`.
    pub name: String,
    /// Its offsets from UTC over time.
    pub rules: TimeZone,
}

/// The reason for which a name does not resolve to one zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// No zone has the name.
    #[error("no time zone is known as {asked:?}{}", meant(.near))]
    Unknown {
        /// The name, at most 64 characters of it.
        asked: String,
        /// The known names that are spelled similarly, at most 3, nearest first.
        near: Vec<String>,
    },
    /// The name stands for several zones.
    #[error("{asked:?} has more than one time zone; name one, such as {}", .zones.join(" or "))]
    Several {
        /// The name, at most 64 characters of it.
        asked: String,
        /// The IANA names of some of its zones.
        zones: &'static [&'static str],
    },
}

fn meant(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

impl Zone {
    /// Resolves an IANA name in any case, a city, a region, an abbreviation or an offset (`UTC+3`).
    ///
    /// # Errors
    ///
    /// Returns [`ZoneError`] if the name is unknown or has several zones.
    pub fn named(asked: &str) -> Result<Self, ZoneError> {
        let asked: String = asked.trim().chars().take(NAME_CHARS_MAX).collect();
        let spelled = spelling(&asked);
        if let Some(zone) = Self::fixed(&spelled) {
            return Ok(zone);
        }
        let name = match PLACES.get(&spelled) {
            Some(name) => name.as_str(),
            None => match SEVERAL.iter().find(|(name, _)| *name == spelled) {
                Some((_, zones)) => return Err(ZoneError::Several { asked, zones }),
                None => asked.as_str(),
            },
        };
        match TimeZone::get(name) {
            Ok(rules) => {
                let name = rules.iana_name().unwrap_or(name).to_owned();
                Ok(Self { name, rules })
            }
            Err(_) => {
                let near = near(&spelled);
                Err(ZoneError::Unknown { asked, near })
            }
        }
    }

    /// Returns true if a phrase in lower case is a name that [`Zone::named`] knows, of one zone or several.
    pub fn is_place(phrase: &str) -> bool {
        PLACES.contains_key(phrase)
            || SEVERAL.iter().any(|(name, _)| *name == phrase)
            || Self::fixed(phrase).is_some()
    }

    /// Resolves an offset, or an abbreviation of one, in lower case.
    fn fixed(spelled: &str) -> Option<Self> {
        let abbreviation = spelled.strip_suffix(" time").unwrap_or(spelled);
        let known = FIXED.iter().find(|(name, _)| name.eq_ignore_ascii_case(abbreviation));
        let minutes = match known {
            Some((_, minutes)) => *minutes,
            None => offset_minutes(spelled)?,
        };
        let offset = Offset::from_seconds(minutes.checked_mul(60)?).ok()?;
        let sign = if minutes < 0 { '-' } else { '+' };
        let utc = format!("UTC{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
        let name = known.map_or(utc, |(name, _)| (*name).to_owned());
        Some(Self { name, rules: TimeZone::fixed(offset) })
    }
}

/// Parses `utc+3`, `gmt-03:30` or `utc +5.30` as minutes.
fn offset_minutes(spelled: &str) -> Option<i32> {
    let rest = spelled.strip_prefix("utc").or_else(|| spelled.strip_prefix("gmt"))?.trim_start();
    let (sign, rest) = match rest.chars().next()? {
        '+' => (1, &rest[1..]),
        '-' => (-1, &rest[1..]),
        '−' => (-1, &rest['−'.len_utf8()..]),
        _ => return None,
    };
    let (hours, minutes) = rest.trim_start().split_once([':', '.']).unwrap_or((rest.trim(), "0"));
    let plain =
        |text: &str| !text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(hours) || !plain(minutes) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= OFFSET_HOURS_MAX && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// The names of all places, in lower case with spaces, with their IANA names.
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
    for (name, aliases) in ALIASES.iter().chain(REGIONS) {
        for alias in *aliases {
            places.insert((*alias).to_owned(), (*name).to_owned());
        }
    }
    places
});

fn spelling(name: &str) -> String {
    name.to_lowercase().replace('_', " ")
}

/// Returns the known names nearest to an unknown one, nearest first. A short name has none, because too many
/// words differ from it by one letter.
fn near(spelled: &str) -> Vec<String> {
    let reach = match spelled.chars().count() {
        0..=4 => return Vec::new(),
        5..=8 => 1,
        _ => 2,
    };
    let mut found: Vec<(usize, &String)> = PLACES
        .iter()
        .map(|(place, name)| (strsim::osa_distance(spelled, place), name))
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

/// Characters of a name that are examined.
const NAME_CHARS_MAX: usize = 64;

/// Greatest offset from UTC in hours, in either direction.
const OFFSET_HOURS_MAX: i32 = 14;

/// Greatest number of suggestions for an unknown name.
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
        for (zone, aliases) in ALIASES.iter().chain(REGIONS) {
            for alias in *aliases {
                assert_eq!(name(alias), *zone, "{alias}");
            }
        }
    }

    #[test]
    fn offsets_and_abbreviations_are_fixed_zones() {
        for (asked, expected, minutes) in [
            ("PST", "PST", -480),
            ("cest", "CEST", 120),
            ("UTC+3", "UTC+03:00", 180),
            ("utc -03:30", "UTC-03:30", -210),
            ("GMT+5:30", "UTC+05:30", 330),
            ("Eastern time", "America/New_York", -300),
            ("Nepal", "Asia/Kathmandu", 345),
            ("Texas", "America/Chicago", -360),
        ] {
            let zone = Zone::named(asked).unwrap_or_else(|error| panic!("{error}"));
            let winter = jiff::Timestamp::from_second(1_795_222_800).unwrap();
            assert_eq!(zone.name, expected, "{asked}");
            assert_eq!(zone.rules.to_offset(winter).seconds(), minutes * 60, "{asked}");
        }
        for asked in ["UTC+99", "UTC+", "UTC+3:99", "UTC+3:", "UTC+1234", "gmt+-3"] {
            assert!(Zone::named(asked).is_err(), "{asked}");
        }
    }

    #[test]
    fn a_name_of_several_zones_is_an_error_that_names_them() {
        let error = Zone::named("Brazil").unwrap_err().to_string();
        assert!(error.contains("more than one time zone") && error.contains("America/Sao_Paulo"), "{error}");
        for (asked, zones) in SEVERAL {
            assert!(Zone::is_place(asked) && Zone::named(asked).is_err(), "{asked}");
            assert!(zones.iter().all(|zone| Zone::named(zone).is_ok()), "{asked}");
        }
    }

    #[test]
    fn unknown_zone_name_gets_suggestions() {
        assert!(Zone::named("Berln").unwrap_err().to_string().contains("did you mean Europe/Berlin"));
        assert!(Zone::named("Europe/Brelin").unwrap_err().to_string().contains("did you mean Europe/Berlin"));
        assert_eq!(Zone::named("Hogwarts").unwrap_err().to_string(), "no time zone is known as \"Hogwarts\"");
        for far in ["Mars", "the moon", "Middle Earth", "Narnia", "Tatooine", "Paradise", "Home"] {
            let error = Zone::named(far).unwrap_err().to_string();
            assert!(!error.contains("did you mean"), "{error}");
        }
        assert!(Zone::named(&"x".repeat(100_000)).unwrap_err().to_string().len() <= 100);
        assert!(Zone::named("../../etc/passwd").is_err());
    }
}
