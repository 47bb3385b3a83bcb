//! `current_time`: the time now in any time zone, now shifted by a duration, a time of day converted
//! between zones, and the weekday of a date with its distance from today.
//!
//! The clock is read when the tool is invoked. The result is in the log, so a resumed run does not see another
//! time (RUN-9).

use async_trait::async_trait;
use jiff::{
    Span, Timestamp, Zoned,
    civil::{Date, Time},
};
use quintet_agent::{Tool, ToolContext, ToolError};
use quintet_kernel::json::Json;
use quintet_runtime::clock;
use serde_json::{Value, json};

use super::zones::Zone;

/// The tool `current_time`.
pub struct CurrentTime;

#[async_trait]
impl Tool for CurrentTime {
    fn name(&self) -> &str {
        "current_time"
    }

    fn description(&self) -> &str {
        "Tells the time now in an IANA time zone, such as Europe/Berlin, or in a well-known place; shifts it, \
         converts a time of day between zones, and counts the days to a date."
    }

    fn parameters_schema(&self) -> Value {
        let text = |description: &str| json!({"type": "string", "description": description});
        json!({
            "type": "object",
            "properties": {
                "zone": {"type": "string", "default": "UTC", "description": "such as Asia/Tokyo or Tokyo"},
                "shift": text("an ISO 8601 duration that is added to now, such as PT3H or -P1D"),
                "at": text("a time of day in `from`, today, such as 15:30, to be converted to `zone`"),
                "from": text("the zone of `at`"),
                "date": text("a date, such as 2026-12-25 or, for the next one, 12-25"),
            },
        })
    }

    fn idempotent(&self) -> bool {
        true
    }

    async fn invoke(&self, parameters: &Json, _: &ToolContext) -> Result<Json, ToolError> {
        let results = answer(&parameters.to_value(), clock::now().0).map_err(ToolError::user_facing)?;
        Ok(Json::from(&results))
    }
}

/// Returns the results for `parameters` at the time `unix_ms`, in milliseconds since 1970 UTC.
///
/// # Errors
///
/// Returns a message for the user if a parameter is invalid, a zone is unknown, or the time is out of range.
pub fn answer(parameters: &Value, unix_ms: u64) -> Result<Value, String> {
    let text = |name: &str| match &parameters[name] {
        Value::Null => Ok(None),
        value => value.as_str().map(Some).ok_or_else(|| format!("{name} has to be a text")),
    };
    let named = |name: &str| Zone::named(name).map_err(|error| error.to_string());
    let zone = named(text("zone")?.unwrap_or("UTC"))?;
    let now = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let now = now.ok_or("the clock is out of range")?;
    let here = now.to_zoned(zone.rules.clone());
    let shift = text("shift")?.map(duration).transpose()?;
    if let Some(date) = text("date")? {
        return counted(&zone, &here, date);
    }
    let Some(at) = text("at")? else {
        let moment = match shift {
            Some(shift) => here.checked_add(shift).map_err(|_| OUT_OF_RANGE)?,
            None => here,
        };
        return Ok(told(&zone, &moment));
    };
    let from = named(text("from")?.unwrap_or("UTC"))?;
    let time = Time::strptime("%H:%M", at).map_err(|_| "at has to be a time of day such as 15:30")?;
    let start = now.to_zoned(from.rules.clone());
    let start = match shift {
        Some(shift) => start.checked_add(shift).map_err(|_| OUT_OF_RANGE)?,
        None => start,
    };
    let there = start.date().to_datetime(time).to_zoned(from.rules.clone()).map_err(|_| OUT_OF_RANGE)?;
    if there.time() != time {
        return Err(format!(
            "{at} does not exist in {} on {}: the clocks go forward",
            from.name,
            start.date()
        ));
    }
    let mut results = told(&zone, &there.with_time_zone(zone.rules.clone()));
    results["from"] = told(&from, &there);
    Ok(results)
}

fn duration(text: &str) -> Result<Span, String> {
    text.parse().map_err(|_| "shift has to be an ISO 8601 duration in range, such as PT3H or -P1D".to_owned())
}

fn told(zone: &Zone, there: &Zoned) -> Value {
    json!({
        "zone": zone.name,
        "time": there.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        "clock": there.strftime("%H:%M").to_string(),
        "day": day(there.date()),
        "offset": there.strftime("UTC%:z").to_string(),
        "unix_ms": there.timestamp().as_millisecond(),
    })
}

/// Returns the weekday of a date and its distance in days from today in the zone.
fn counted(zone: &Zone, here: &Zoned, asked: &str) -> Result<Value, String> {
    let today = here.date();
    let date = if let Ok(date) = Date::strptime("%Y-%m-%d", asked) {
        date
    } else {
        // The next such date; 29 February can be up to eight years away.
        let years = (0..=8).filter_map(|years| i16::try_from(i32::from(today.year()) + years).ok());
        let dates = years.filter_map(|year| Date::strptime("%Y-%m-%d", format!("{year:04}-{asked}")).ok());
        dates.into_iter().find(|date| *date >= today).ok_or("date has to be such as 2026-12-25 or 12-25")?
    };
    let days = today.until(date).map_err(|_| OUT_OF_RANGE)?.get_days();
    Ok(
        json!({"zone": zone.name, "date": date.to_string(), "day": day(date), "days": days, "today": day(today)}),
    )
}

fn day(date: Date) -> String {
    date.strftime("%A, %-d %B %Y").to_string()
}

const OUT_OF_RANGE: &str = "the time is out of range";

#[cfg(test)]
mod tests {
    use super::*;

    /// Saturday, 21 November 2026, 01:00 UTC.
    const NOW_MS: u64 = 1_795_222_800_000;

    fn told(parameters: Value) -> Value {
        answer(&parameters, NOW_MS).unwrap_or_else(|error| panic!("{parameters}: {error}"))
    }

    #[test]
    fn summer_and_winter_time_are_kept() {
        let winter = told(json!({"zone": "Berlin"}));
        assert_eq!(winter["time"], "2026-11-21T02:00:00+01:00");
        assert_eq!(winter["day"], "Saturday, 21 November 2026");
        let summer = answer(&json!({"zone": "Berlin"}), 1_782_000_000_000).unwrap();
        assert_eq!((&summer["offset"], &summer["clock"]), (&json!("UTC+02:00"), &json!("02:00")));
    }

    #[test]
    fn a_shift_is_added_in_the_zone() {
        let cases = [
            ("PT3H", "2026-11-21T05:00:00+01:00"),
            ("P1D", "2026-11-22T02:00:00+01:00"),
            ("-P1D", "2026-11-20T02:00:00+01:00"),
            ("P7M", "2027-06-21T02:00:00+02:00"),
            ("-PT2H30M", "2026-11-20T23:30:00+01:00"),
        ];
        for (shift, time) in cases {
            assert_eq!(told(json!({"zone": "Berlin", "shift": shift}))["time"], time, "{shift}");
        }
    }

    #[test]
    fn a_time_of_day_is_converted() {
        let converted = told(json!({"at": "15:00", "from": "Berlin", "zone": "Sydney"}));
        assert_eq!(converted["time"], "2026-11-22T01:00:00+11:00");
        assert_eq!(converted["from"]["clock"], "15:00");
        let gap = answer(&json!({"at": "02:30", "from": "Berlin"}), 1_774_742_400_000).unwrap_err();
        assert!(gap.contains("does not exist"), "{gap}");
    }

    #[test]
    fn days_are_counted_from_today_in_the_zone() {
        let christmas = told(json!({"date": "12-25"}));
        assert_eq!((&christmas["date"], &christmas["days"]), (&json!("2026-12-25"), &json!(34)));
        assert_eq!(christmas["day"], "Friday, 25 December 2026");
        assert_eq!(told(json!({"date": "01-01"}))["date"], "2027-01-01");
        assert_eq!(told(json!({"date": "02-29"}))["date"], "2028-02-29");
        assert_eq!(told(json!({"date": "2026-11-20"}))["days"], -1);
        assert_eq!(told(json!({"date": "2026-11-21", "zone": "Los Angeles"}))["days"], 1);
    }

    #[test]
    fn unparseable_input_is_an_error() {
        for parameters in [
            json!({"zone": 1}),
            json!({"zone": "Hogwarts"}),
            json!({"shift": "3 hours and a bit"}),
            json!({"shift": "P99999999Y"}),
            json!({"at": "25:00"}),
            json!({"at": "noonish", "from": "Berlin"}),
            json!({"date": "02-30"}),
            json!({"date": "2026-02-29"}),
            json!({"date": "christmas"}),
        ] {
            assert!(answer(&parameters, NOW_MS).is_err(), "{parameters}");
        }
        assert!(answer(&json!({}), u64::MAX).is_err());
        assert_eq!(answer(&json!({}), 0).unwrap()["time"], "1970-01-01T00:00:00+00:00");
    }
}
