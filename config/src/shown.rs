//! A value on one line, for people: nearly as a settings file has it.

use serde::Serialize;
use toml::Value;

/// What stands for no value.
pub(crate) const UNSET: &str = "unset";

/// Any value; secrets hide themselves.
pub(crate) fn shown(value: &impl Serialize) -> String {
    // `None` is no value of TOML.
    Value::try_from(value).map_or_else(|_| UNSET.to_owned(), |value| inline(&value))
}

/// A value as in a settings file, on one line whatever is in it.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let pairs: Vec<_> =
                table.iter().map(|(name, value)| format!("{} = {}", key(name), inline(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        plain => plain.to_string(),
    }
}

/// A key, in quotes where it needs them.
pub(crate) fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { format!("{name:?}") }
}
