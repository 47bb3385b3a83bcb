//! Parses the values of settings and prints them as TOML.

/// An unparsed value: text from flags and variables, typed from the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// Text, also of a number or truth value that has still to be parsed.
    Text(String),
    /// A TOML integer.
    Number(i64),
    /// A list of texts.
    List(Vec<String>),
    /// A TOML type that no setting accepts.
    Other(&'static str),
}

impl Raw {
    /// Converts a TOML value.
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

    /// Returns the value as text.
    ///
    /// # Errors
    /// When it is empty, a list, or of an unsupported type.
    pub fn text(self) -> Result<String, String> {
        match self {
            Self::Text(text) if text.is_empty() => Err("is empty; omit it instead".to_owned()),
            Self::Text(text) => Ok(text),
            Self::Number(number) => Ok(number.to_string()),
            Self::List(_) => Err("is a list; one text is needed".to_owned()),
            Self::Other(what) => Err(format!("is {what}; one text is needed")),
        }
    }

    /// Returns the value as a list. Text is split at commas.
    ///
    /// # Errors
    /// When it is empty text, or of an unsupported type.
    pub fn list(self) -> Result<Vec<String>, String> {
        match self {
            Self::List(items) => Ok(items),
            other => Ok(other.text()?.split(',').map(|item| item.trim().to_owned()).collect()),
        }
    }

    /// Returns the value as a whole number. Underscores are ignored.
    ///
    /// # Errors
    /// When it is not a number, or not in `min..=max`.
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

    /// Parses the value as `T`. `needed` describes a valid value in the error.
    ///
    /// # Errors
    /// When it is not text, or `T` cannot be parsed from it.
    pub fn parse<T: std::str::FromStr>(self, needed: &str) -> Result<T, String> {
        let text = self.text()?;
        text.parse().map_err(|_| format!("is {text:?}; {needed} is needed"))
    }
}

/// Formats text as a TOML string.
pub fn quoted(text: impl Into<String>) -> String {
    toml::Value::String(text.into()).to_string()
}

/// Formats a list as a TOML array.
pub fn quoted_list(items: &[String]) -> String {
    toml::Value::Array(items.iter().cloned().map(toml::Value::String).collect()).to_string()
}

/// Returns a URL with the parts that may be secret hidden: user, password, query values and fragment. Other
/// text is hidden completely if it may contain a password.
pub fn without_secrets(url: &str) -> String {
    let hidden = || "(hidden)".to_owned();
    let Ok(mut parsed) = url::Url::parse(url) else {
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
    // Preserve the original spelling of a URL without secrets.
    if parsed.as_str().trim_end_matches('/') == url.trim_end_matches('/') {
        url.to_owned()
    } else {
        parsed.to_string()
    }
}

/// Replaces a secret.
const HIDDEN: &str = "hidden";
