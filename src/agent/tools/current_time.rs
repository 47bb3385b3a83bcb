//! `current_time`: the time now in any time zone. The clock is read when the tool is invoked, so the
//! time is in the log with the result, and a run that is taken up again does not see another (RUN-9).

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::zones::Zone;
use crate::{
    agent::roles::{Tool, ToolContext},
    kernel::{ids::ToolName, json::Json},
    runtime::clock,
};

/// The world clock.
pub struct CurrentTime;

#[async_trait]
impl Tool for CurrentTime {
    fn name(&self) -> ToolName {
        ToolName::parse("current_time").expect("a valid name")
    }

    fn description(&self) -> &str {
        "Tells the time now in an IANA time zone, such as Europe/Berlin, or in a well-known city."
    }

    fn parameters_schema(&self) -> serde_json::Value {
        json!({
            "type": "object",
            "properties": {"zone": {"type": "string", "default": "UTC", "description": "such as Asia/Tokyo or Tokyo"}},
        })
    }

    fn idempotent(&self) -> bool {
        true
    }

    async fn invoke(&self, parameters: &Json, _: &ToolContext) -> Result<Json, String> {
        let parameters = parameters.to_value();
        let zone = match &parameters["zone"] {
            serde_json::Value::Null => "UTC",
            zone => zone.as_str().ok_or("zone has to be a text")?,
        };
        let zone = Zone::named(zone).map_err(|unknown| unknown.to_string())?;
        Ok(Json::from(&told(&zone, clock::now().0)?))
    }
}

fn told(zone: &Zone, unix_ms: u64) -> Result<serde_json::Value, String> {
    let unix_ms = i64::try_from(unix_ms).map_err(|_| "the clock is beyond all dates")?;
    let moment = Timestamp::from_millisecond(unix_ms).map_err(|_| "the clock is beyond all dates")?;
    let there = moment.to_zoned(zone.rules.clone());
    Ok(json!({
        "zone": zone.name,
        "time": there.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        "clock": there.strftime("%H:%M").to_string(),
        "day": there.strftime("%A, %-d %B %Y").to_string(),
        "offset": there.strftime("UTC%:z").to_string(),
        "unix_ms": unix_ms,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summer_and_winter_time_are_kept() {
        let berlin = Zone::named("Berlin").unwrap();
        let winter = told(&berlin, 1_795_222_800_000).unwrap();
        assert_eq!(winter["time"], "2026-11-21T02:00:00+01:00");
        assert_eq!(winter["day"], "Saturday, 21 November 2026");
        let summer = told(&berlin, 1_782_000_000_000).unwrap();
        assert_eq!(summer["offset"], "UTC+02:00");
        assert_eq!(summer["clock"], "02:00");
    }

    #[test]
    fn a_clock_beyond_all_dates_is_an_error() {
        let utc = Zone::named("UTC").unwrap();
        assert!(told(&utc, u64::MAX).is_err());
        assert_eq!(told(&utc, 0).unwrap()["time"], "1970-01-01T00:00:00+00:00");
    }
}
