//! One row of the table of settings.

use super::{Raw, Settings};

/// One setting. The TOML key is its name; the variable is its name in upper case, prefixed with `QUINTET_`.
pub struct Setting {
    /// The name: lower case, with underscores, the unit last.
    pub name: &'static str,
    /// The description, one or more sentences.
    pub doc: &'static str,
    /// A description of the accepted values.
    pub range: String,
    /// Returns the effective value as TOML, with secrets hidden; `None` if it is not set.
    pub read: ReadSetting,
    /// Parses and sets a value. The error text completes a sentence that begins with the setting's name.
    pub write: WriteSetting,
}

type ReadSetting = Box<dyn Fn(&Settings) -> Option<String>>;
type WriteSetting = Box<dyn Fn(&mut Settings, Raw) -> Result<(), String>>;
