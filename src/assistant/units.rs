//! Conversions between units of measurement, as calculations.

use super::{
    arithmetic::{Sum, SumReading, quantity},
    fillers,
    lexer::{Lexeme, Token},
};

/// The quantity that a unit measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Length,
    Mass,
    Temperature,
    Time,
    Volume,
    Area,
    Speed,
    Data,
}

struct Unit {
    kind: Quantity,
    /// The plural, for answers.
    name: &'static str,
    /// The exact size in the base unit of its kind; empty for temperatures.
    size: &'static str,
    names: &'static [&'static str],
}

/// Reads a clause such as `5 miles in km`, `how many feet are in a mile`, `convert 72°F to Celsius`.
pub(super) fn read(text: &str, clause: &[Token]) -> SumReading {
    let core = fillers::trimmed(clause);
    let found = how_many(text, core).or_else(|| in_unit(text, core));
    let Some((amount, from, to)) = found else { return SumReading::Nothing };
    if from.kind != to.kind {
        return SumReading::Declined(format!(
            "I cannot convert {} to {}: they measure different things",
            from.name, to.name
        ));
    }
    let expression = match from.kind {
        Quantity::Temperature => temperature(&amount, from.name, to.name),
        _ if from.size == to.size => amount.clone(),
        _ => format!("{amount} * {} / {}", from.size, to.size),
    };
    let shown = Some(format!("{amount} {}", from.name));
    SumReading::Sums(vec![Sum { expression, shown, unit: Some(to.name.to_owned()) }])
}

fn temperature(amount: &str, from: &str, to: &str) -> String {
    let amount = if amount.starts_with('-') { format!("({amount})") } else { amount.to_owned() };
    match (from, to) {
        ("°F", "°C") => format!("({amount} - 32) * 5 / 9"),
        ("°C", "°F") => format!("{amount} * 9 / 5 + 32"),
        ("°C", "K") => format!("{amount} + 273.15"),
        ("K", "°C") => format!("{amount} - 273.15"),
        ("°F", "K") => format!("({amount} - 32) * 5 / 9 + 273.15"),
        ("K", "°F") => format!("({amount} - 273.15) * 9 / 5 + 32"),
        _ => amount,
    }
}

type Conversion = (String, &'static Unit, &'static Unit);

/// `[convert] 5 miles (to|in|into|as) km`
fn in_unit(text: &str, core: &[Token]) -> Option<Conversion> {
    let core = if core.first()?.word() == "convert" { &core[1..] } else { core };
    let (amount, from, rest) = measured(text, core)?;
    let joint = rest.first()?;
    let joined = matches!(joint.word(), "to" | "in" | "into" | "as") || joint.is('=');
    let rest = if joined { &rest[1..] } else { return None };
    let rest = if joint.is('=') || rest.first()?.word() == "how" { rest.get(2..)? } else { rest };
    let (to, rest) = unit(text, rest)?;
    rest.is_empty().then_some((amount, from, to))
}

/// `[how many] seconds (are|is|in|are there in|make) [a day]`
fn how_many(text: &str, core: &[Token]) -> Option<Conversion> {
    let core = match core {
        [how, many, rest @ ..] if how.word() == "how" && matches!(many.word(), "many" | "much") => rest,
        [many, rest @ ..] if many.word() == "many" => rest,
        _ => return None,
    };
    let (to, mut rest) = unit(text, core)?;
    while let [first, more @ ..] = rest
        && matches!(first.word(), "are" | "is" | "in" | "there" | "make" | "does" | "do" | "per")
    {
        rest = more;
    }
    let rest = match rest {
        [rest @ .., last] if matches!(last.word(), "have" | "has" | "contain") => rest,
        rest => rest,
    };
    let (amount, from, rest) = measured(text, rest)?;
    rest.is_empty().then_some((amount, from, to))
}

/// Reads an amount and its unit; `a mile` is 1.
fn measured<'a>(text: &str, tokens: &'a [Token]) -> Option<(String, &'static Unit, &'a [Token])> {
    if matches!(tokens.first()?.word(), "a" | "an" | "one")
        && let Some((from, rest)) = unit(text, &tokens[1..])
    {
        return Some(("1".into(), from, rest));
    }
    // Digits with an attached unit (`5km`) are not a number to the expression parser.
    let (amount, taken) = match (&tokens.first()?.lexeme, tokens.get(1)) {
        (Lexeme::Number(digits), Some(next)) if !next.spaced && !digits.contains(',') => (digits.clone(), 1),
        _ => match quantity(tokens) {
            Some(found) => found,
            None => {
                let (from, rest) = unit(text, tokens)?;
                return Some(("1".into(), from, rest));
            }
        },
    };
    let rest = &tokens[taken..];
    let degrees = rest.first()?;
    let rest = if matches!(degrees.word(), "degree" | "degrees") { &rest[1..] } else { rest };
    let (from, rest) = unit(text, rest)?;
    let plain = amount.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
    Some((if plain { amount } else { format!("({amount})") }, from, rest))
}

/// Reads a unit at the beginning of tokens, trying the longest name first.
fn unit<'a>(text: &str, tokens: &'a [Token]) -> Option<(&'static Unit, &'a [Token])> {
    let tokens = match tokens {
        [first, rest @ ..] if matches!(first.word(), "degree" | "degrees") && !rest.is_empty() => rest,
        tokens => tokens,
    };
    (1..=NAME_TOKENS_MAX.min(tokens.len())).rev().find_map(|count| {
        let name = &text[tokens[0].span.start..tokens[count - 1].span.end];
        let name: String = name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        let unit = UNITS.iter().find(|unit| unit.names.contains(&name.as_str()))?;
        Some((unit, &tokens[count..]))
    })
}

const NAME_TOKENS_MAX: usize = 4;

const fn of(kind: Quantity, name: &'static str, size: &'static str, names: &'static [&'static str]) -> Unit {
    Unit { kind, name, size, names }
}

const UNITS: &[Unit] = &[
    of(
        Quantity::Length,
        "millimetres",
        "0.001",
        &["mm", "millimeter", "millimeters", "millimetre", "millimetres"],
    ),
    of(
        Quantity::Length,
        "centimetres",
        "0.01",
        &["cm", "centimeter", "centimeters", "centimetre", "centimetres"],
    ),
    of(Quantity::Length, "metres", "1", &["m", "meter", "meters", "metre", "metres"]),
    of(
        Quantity::Length,
        "kilometres",
        "1000",
        &["km", "kms", "kilometer", "kilometers", "kilometre", "kilometres"],
    ),
    of(Quantity::Length, "inches", "0.0254", &["inch", "inches", "in", "\""]),
    of(Quantity::Length, "feet", "0.3048", &["foot", "feet", "ft"]),
    of(Quantity::Length, "yards", "0.9144", &["yard", "yards", "yd"]),
    of(Quantity::Length, "miles", "1609.344", &["mile", "miles", "mi"]),
    of(Quantity::Length, "nautical miles", "1852", &["nautical mile", "nautical miles", "nmi"]),
    of(Quantity::Mass, "milligrams", "0.000001", &["mg", "milligram", "milligrams"]),
    of(Quantity::Mass, "grams", "0.001", &["g", "gram", "grams", "gramme", "grammes"]),
    of(Quantity::Mass, "kilograms", "1", &["kg", "kgs", "kilo", "kilos", "kilogram", "kilograms"]),
    of(Quantity::Mass, "tonnes", "1000", &["tonne", "tonnes", "metric ton", "metric tons"]),
    of(Quantity::Mass, "ounces", "0.028349523125", &["oz", "ounce", "ounces"]),
    of(Quantity::Mass, "pounds", "0.45359237", &["lb", "lbs", "pound", "pounds"]),
    of(Quantity::Mass, "stone", "6.35029318", &["stone", "stones"]),
    of(Quantity::Temperature, "°C", "", &["c", "°c", "celsius", "degrees celsius", "centigrade"]),
    of(Quantity::Temperature, "°F", "", &["f", "°f", "fahrenheit", "degrees fahrenheit"]),
    of(Quantity::Temperature, "K", "", &["k", "kelvin", "kelvins"]),
    of(Quantity::Time, "milliseconds", "0.001", &["ms", "millisecond", "milliseconds"]),
    of(Quantity::Time, "seconds", "1", &["s", "sec", "secs", "second", "seconds"]),
    of(Quantity::Time, "minutes", "60", &["min", "mins", "minute", "minutes"]),
    of(Quantity::Time, "hours", "3600", &["h", "hr", "hrs", "hour", "hours"]),
    of(Quantity::Time, "days", "86400", &["day", "days"]),
    of(Quantity::Time, "weeks", "604800", &["week", "weeks"]),
    of(Quantity::Time, "years of 365 days", "31536000", &["year", "years"]),
    of(
        Quantity::Volume,
        "millilitres",
        "0.001",
        &["ml", "milliliter", "milliliters", "millilitre", "millilitres"],
    ),
    of(Quantity::Volume, "litres", "1", &["l", "liter", "liters", "litre", "litres"]),
    of(Quantity::Volume, "US cups", "0.2365882365", &["cup", "cups"]),
    of(Quantity::Volume, "US pints", "0.473176473", &["pint", "pints"]),
    of(
        Quantity::Volume,
        "US gallons",
        "3.785411784",
        &["gallon", "gallons", "gal", "us gallon", "us gallons"],
    ),
    of(Quantity::Volume, "US fluid ounces", "0.0295735295625", &["fl oz", "fluid ounce", "fluid ounces"]),
    of(
        Quantity::Area,
        "square metres",
        "1",
        &["m²", "square meter", "square meters", "square metre", "square metres"],
    ),
    of(Quantity::Area, "square feet", "0.09290304", &["square foot", "square feet", "sq ft"]),
    of(Quantity::Area, "hectares", "10000", &["hectare", "hectares", "ha"]),
    of(Quantity::Area, "acres", "4046.8564224", &["acre", "acres"]),
    of(Quantity::Speed, "km/h", "1", &["km/h", "kmh", "kph", "kilometers per hour", "kilometres per hour"]),
    of(Quantity::Speed, "mph", "1.609344", &["mph", "miles per hour"]),
    of(Quantity::Speed, "m/s", "3.6", &["m/s", "meters per second", "metres per second"]),
    of(Quantity::Data, "bytes", "1", &["byte", "bytes"]),
    of(Quantity::Data, "kB (1,000 bytes)", "1000", &["kb", "kilobyte", "kilobytes"]),
    of(Quantity::Data, "MB (1,000,000 bytes)", "1000000", &["mb", "megabyte", "megabytes"]),
    of(Quantity::Data, "GB", "1000000000", &["gb", "gigabyte", "gigabytes"]),
    of(Quantity::Data, "KiB", "1024", &["kib", "kibibyte", "kibibytes"]),
    of(Quantity::Data, "MiB", "1048576", &["mib", "mebibyte", "mebibytes"]),
    of(Quantity::Data, "GiB", "1073741824", &["gib", "gibibyte", "gibibytes"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lexer::tokens, tools::calculate::evaluate};

    #[test]
    fn conversions_are_calculations() {
        let cases = [
            ("convert 5 miles to km", "8.04672", "kilometres"),
            ("what is 10km in miles?", "6.21371192237", "miles"),
            ("72°F in Celsius", "22.2222", "°C"),
            ("what is 100 degrees celsius in fahrenheit", "212", "°F"),
            ("-40 C to F", "-40", "°F"),
            ("5 kg in lb", "11.0231", "pounds"),
            ("how many seconds are in a day?", "86400", "seconds"),
            ("how many seconds in a day", "86400", "seconds"),
            ("how many feet are there in a mile", "5280", "feet"),
            ("how many minutes are there in two hours", "120", "minutes"),
            ("how much is 3 cups in ml", "709.7647095", "millilitres"),
            ("60 mph in km/h", "96.56064", "km/h"),
            ("six feet in cm", "182.88", "centimetres"),
            ("how many hours does a week have", "168", "hours"),
        ];
        for (text, value, unit) in cases {
            let SumReading::Sums(sums) = read(text, &tokens(text)) else { panic!("{text}: nothing") };
            let result = evaluate(&sums[0].expression).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(result.decimal().0.starts_with(value), "{text}: {}", result.decimal().0);
            assert_eq!(sums[0].unit.as_deref(), Some(unit), "{text}");
        }
    }

    #[test]
    fn text_without_a_conversion_is_ignored() {
        for text in [
            "",
            "5 miles",
            "I ran 5 miles in the rain",
            "2 in 3",
            "what time is it in Berlin",
            "5 miles in km and back",
        ] {
            assert_eq!(read(text, &tokens(text)), SumReading::Nothing, "{text}");
        }
        assert!(matches!(read("5 km in kg", &tokens("5 km in kg")), SumReading::Declined(_)));
    }
}
