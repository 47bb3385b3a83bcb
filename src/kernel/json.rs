//! Opaque JSON ([RFC 8259]) that the service stores and forwards as text: on one line, of bounded depth.
//!
//! [RFC 8259]: https://www.rfc-editor.org/rfc/rfc8259

use std::{cmp, fmt, hash, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Any JSON value as its original text, except that line breaks between tokens become spaces.
///
/// Guarantee: at most [`Json::DEPTH_MAX`] levels deep, without unpaired surrogates, and without numbers
/// outside the range of a 64-bit float. So every common parser can read it without overflow or failure.
///
/// # Examples
///
/// ```
/// use quintet_kernel::json::{InvalidJson, Json};
///
/// let parameters = Json::parse(r#"{"sides": 6}"#)?.object()?;
/// assert_eq!(parameters.as_str(), r#"{"sides": 6}"#);
/// assert_eq!(parameters.to_value()["sides"], 6);
///
/// assert_eq!(Json::parse("[1]")?.object(), Err(InvalidJson::NotAnObject));
/// # Ok::<(), InvalidJson>(())
/// ```
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

/// The reason for which a text is not a [`Json`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// The text is not JSON, or holds an unpaired surrogate or a number outside the range of a 64-bit float.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// Arrays and objects nest deeper than [`Json::DEPTH_MAX`] levels.
    #[error("nested deeper than {} levels", Json::DEPTH_MAX)]
    TooDeep,
    /// The value is valid, but an object is required.
    #[error("not a JSON object")]
    NotAnObject,
}

impl Json {
    /// Greatest nesting depth of arrays and objects.
    pub const DEPTH_MAX: usize = 64;

    /// Returns `null`.
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned().into())
    }

    /// Returns `{}`.
    pub fn empty_object() -> Self {
        Self(RawValue::from_string("{}".to_owned()).expect("an empty object is JSON").into())
    }

    /// Parses a JSON text.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidJson`] if `text` is not JSON, is nested too deep, or holds an unpaired surrogate or a
    /// number that is out of range.
    pub fn parse(text: &str) -> Result<Self, InvalidJson> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|e| InvalidJson::Syntax(e.to_string()))?;
        Self::from_raw(raw)
    }

    /// Parses a JSON text whose syntax has already been checked, as [`Self::parse`] does.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidJson`] if the value is nested too deep, or holds an unpaired surrogate or a number that is
    /// out of range.
    pub fn from_raw(raw: &RawValue) -> Result<Self, InvalidJson> {
        let text = raw.get();
        if depth(text) > Self::DEPTH_MAX {
            return Err(InvalidJson::TooDeep);
        }
        // A `RawValue` was delimited without decoding its escapes and numbers.
        let Strict = serde_json::from_str(text).map_err(|e| InvalidJson::Syntax(e.to_string()))?;
        if !text.contains(['\n', '\r']) {
            return Ok(Self(raw.to_owned().into()));
        }
        // A raw line break can only occur between tokens: inside a string JSON escapes it.
        let line = text.replace(['\n', '\r'], " ");
        Ok(Self(RawValue::from_string(line).map_err(|e| InvalidJson::Syntax(e.to_string()))?.into()))
    }

    /// Returns the value itself if it is an object.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidJson::NotAnObject`] for any other value.
    pub fn object(self) -> Result<Self, InvalidJson> {
        if self.as_str().starts_with('{') { Ok(self) } else { Err(InvalidJson::NotAnObject) }
    }

    /// Returns the JSON text, on one line.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Returns true for `null`.
    pub fn is_null(&self) -> bool {
        self.as_str() == "null"
    }

    /// Parses the text into a tree, for tools that inspect it.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(self.as_str()).expect("a Json holds checked JSON of bounded depth")
    }
}

impl From<&serde_json::Value> for Json {
    /// Encodes a tree that the service itself built. A tree that is nested too deep becomes `null`.
    fn from(value: &serde_json::Value) -> Self {
        Self::parse(&value.to_string()).unwrap_or_else(|_| Self::null())
    }
}

impl From<serde_json::Value> for Json {
    /// As from a reference.
    fn from(value: serde_json::Value) -> Self {
        Self::from(&value)
    }
}

/// Returns the nesting depth of a valid JSON text, without recursion.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            // Backslashes occur in strings only.
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Deserializes any value that fits a tree: no unpaired surrogate, no number out of range. Keeps nothing.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Strict)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Strict, A::Error> {
        while let Some(Strict) = seq.next_element()? {}
        Ok(Strict)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        while let Some((Strict, Strict)) = map.next_entry()? {}
        Ok(Strict)
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl PartialOrd for Json {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Json {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl hash::Hash for Json {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(d)?;
        Self::from_raw(raw).map_err(de::Error::custom)
    }
}

impl JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_but_for_line_breaks() {
        let json = Json::parse("{\"a\":\n [1.50, \"x\\ny\"]}").unwrap();
        assert_eq!(json.as_str(), "{\"a\":  [1.50, \"x\\ny\"]}");
        assert_eq!(serde_json::to_string(&json).unwrap(), json.as_str());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Json::parse(&nested(Json::DEPTH_MAX)).is_ok());
        assert_eq!(Json::parse(&nested(Json::DEPTH_MAX + 1)), Err(InvalidJson::TooDeep));
        assert!(Json::parse(&nested(1_000_000)).is_err());
        assert!(Json::parse("\"[[[\\\"[[[\"").is_ok());
    }

    #[test]
    fn only_brackets_between_tokens_are_levels() {
        for (text, levels) in [
            ("1", 0),
            (r#""[[""#, 0),
            (r#""\"[[""#, 0),
            (r#"["\\", {}]"#, 2),
            (r#"[[], {}, [], {}]"#, 2),
            (r#"["]", ["}", ["]", {}]]]"#, 4),
            (r#"["[", ["{"]]"#, 2),
            (r#"{"[": {"\"": 1}}"#, 2),
        ] {
            assert_eq!(depth(text), levels, "{text}");
        }
    }

    #[test]
    fn a_value_is_its_text() {
        use std::collections::{BTreeSet, HashSet};
        let [one, two, null] = ["[1]", "[2]", "null"].map(|text| Json::parse(text).unwrap());
        assert!(one != two && one == one.clone() && one < two);
        assert_eq!(one.partial_cmp(&two), Some(cmp::Ordering::Less));
        assert_eq!(HashSet::from([&one, &two, &null, &one.clone()]).len(), 3);
        assert_eq!(BTreeSet::from([&one, &two, &one.clone()]).len(), 2);
        let hash = |json: &Json| {
            hash::BuildHasher::hash_one(&hash::BuildHasherDefault::<hash::DefaultHasher>::default(), json)
        };
        assert_ne!(hash(&one), hash(&two));
        assert_eq!(format!("{one:?}"), "[1]");
        assert_eq!(one.to_value(), serde_json::json!([1]));
        assert!(null.is_null() && Json::null().is_null() && !one.is_null());
        assert_eq!(Json::json_schema(&mut SchemaGenerator::default()), true, "any JSON");
        assert!(Json::inline_schema());
    }

    #[test]
    fn json_that_no_tree_can_hold_is_refused() {
        for bad in [r#""\ud800""#, r#"{"\udc00":1}"#, "[1e400]", "-1e999"] {
            assert!(matches!(Json::parse(bad), Err(InvalidJson::Syntax(_))), "{bad}");
        }
        for good in [r#"["\ud83d\ude00"]"#, "1e308", "123456789012345678901234567890", "null", "[true,-1,{}]"]
        {
            Json::parse(good).unwrap().to_value();
        }
    }
}
