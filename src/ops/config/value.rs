//! How a setting reads what it was given, and how it is written down again.

/// A value as it was given: text from flags and variables, a type from the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    Text(String),
    Number(i64),
    List(Vec<String>),
    /// A type that no setting has.
    Other(&'static str),
}

impl Raw {
    pub fn from_toml(value: &toml::Value) -> Self {
        match value {
            toml::Value::String(text) => Self::Text(text.clone()),
            toml::Value::Integer(number) => Self::Number(*number),
            toml::Value::Boolean(flag) => Self::Text(flag.to_string()),
            toml::Value::Array(items) => {
                match items.iter().map(|item| item.as_str().map(str::to_owned)).collect() {
                    Some(texts) => Self::List(texts),
                    None => Self::Other("a list with something else than text in it"),
                }
            }
            toml::Value::Table(_) => Self::Other("a table"),
            toml::Value::Float(_) => Self::Other("a fraction"),
            toml::Value::Datetime(_) => Self::Other("a date"),
        }
    }

    /// One text.
    pub fn text(self) -> Result<String, String> {
        match self {
            Self::Text(text) if text.is_empty() => Err("is empty; leave it out instead".to_owned()),
            Self::Text(text) => Ok(text),
            Self::Number(number) => Ok(number.to_string()),
            Self::List(_) => Err("is a list; one text is needed".to_owned()),
            Self::Other(what) => Err(format!("is {what}; one text is needed")),
        }
    }

    /// Several texts: a list, or one text with commas between them.
    pub fn list(self) -> Result<Vec<String>, String> {
        match self {
            Self::List(items) => Ok(items),
            other => Ok(other.text()?.split(',').map(|item| item.trim().to_owned()).collect()),
        }
    }

    /// A whole number from `min` to `max`.
    pub fn number(self, min: u64, max: u64) -> Result<u64, String> {
        let given = match &self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(_) => "a list".to_owned(),
            Self::Other(what) => (*what).to_owned(),
        };
        let number = given.replace('_', "").parse::<u64>().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("is {given}; a whole number from {min} to {max} is needed"))
    }

    /// Whatever `T` reads from text.
    pub fn parse<T: std::str::FromStr>(self, needed: &str) -> Result<T, String> {
        let text = self.text()?;
        text.parse().map_err(|_| format!("is {text:?}; {needed} is needed"))
    }
}

/// A text as TOML.
pub fn quoted(text: impl Into<String>) -> String {
    toml::Value::String(text.into()).to_string()
}

/// A list as TOML.
pub fn quoted_list(items: &[String]) -> String {
    toml::Value::Array(items.iter().cloned().map(toml::Value::String).collect()).to_string()
}

/// Returns a URL without what may be secret in it: user, password, values of the query, fragment. What is no
/// URL, and may hold a password in another notation, is hidden whole.
pub fn without_secrets(url: &str) -> String {
    let hidden = || "(hidden)".to_owned();
    let Ok(mut parsed) = reqwest::Url::parse(url) else {
        let plain = !url.contains('@') && !url.contains('=') && !url.contains('?');
        return if plain { url.to_owned() } else { hidden() };
    };
    if parsed.cannot_be_a_base() {
        return if url.contains(['@', '?', '#']) { hidden() } else { url.to_owned() };
    }
    let user = !parsed.username().is_empty() && parsed.set_username(HIDDEN).is_err();
    let password = parsed.password().is_some() && parsed.set_password(Some(HIDDEN)).is_err();
    if user || password {
        return hidden();
    }
    if let Some(query) = parsed.query() {
        let hide = |pair: &str| match pair.split_once('=') {
            Some((name, _)) => format!("{name}={HIDDEN}"),
            None => HIDDEN.to_owned(),
        };
        let pairs: Vec<String> = query.split('&').map(hide).collect();
        parsed.set_query(Some(&pairs.join("&")));
    }
    parsed.set_fragment(None);
    // A URL that holds nothing secret is shown as it was written.
    if parsed.as_str().trim_end_matches('/') == url.trim_end_matches('/') {
        url.to_owned()
    } else {
        parsed.to_string()
    }
}

/// Stands in the place of a secret.
const HIDDEN: &str = "hidden";
