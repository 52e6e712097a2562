//! The file that is shipped: every key at its default, or commented out. It says what keys there are, and where each
//! belongs.

/// `config.toml`.
pub(crate) const TEXT: &str = include_str!("../config.toml");

/// A key of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    /// Its section, as `sampling`; `[target]` for entries.
    pub(crate) section: &'static str,
    /// The key, as `rate_hz`; with a dot, as `match.exe`, where it is below another one.
    pub(crate) name: &'static str,
}

/// All keys, in the file's order.
pub(crate) fn keys() -> impl Iterator<Item = Key> {
    let mut section = "";
    TEXT.lines().filter_map(move |line| {
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            section = name.strip_suffix(']')?;
            return None;
        }
        let (name, _) = line.split_once(" = ")?;
        // A sentence that happens to have an equals sign in it begins with a blank.
        (!name.contains(' ')).then_some(Key { section, name })
    })
}

/// The file with every key switched on.
#[cfg(test)]
pub(crate) fn with_optional_keys() -> String {
    let on = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key,
        _ => line,
    };
    TEXT.lines().flat_map(|line| [on(line), "\n"]).collect()
}
