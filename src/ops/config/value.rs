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

/// A URL without the password it may carry.
pub fn without_password(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            let hidden = parsed.set_password(Some("hidden"));
            if hidden.is_ok() { parsed.to_string() } else { "(hidden)".to_owned() }
        }
        _ => url.to_owned(),
    }
}
