//! What is said about a wrong setting: where it stands, and what was probably meant. Never quotes a value of the file,
//! which may be a secret; names of keys it does, if they look like one.

use std::{ops::Range, path::PathBuf};

use thiserror::Error;

use crate::shipped::{self, Key};

/// A wrong key that is longer is not quoted: it may have been pasted to the wrong place, and be a secret.
const KEY_MAX: usize = 24;

/// A setting is wrong.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the settings file {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The file says something that cannot be.
    #[error("{}:{line}:{column}: {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// 1-based, in characters.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// What systemd hands over could not be read.
    #[error("cannot read the credential {}", path.display())]
    Credential {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A variable of the environment says something that cannot be.
    #[error("{name}: {what}")]
    Environment {
        /// Which.
        name: &'static str,
        /// What is wrong.
        what: String,
    },
}

impl ConfigError {
    pub(crate) fn in_file(path: PathBuf, text: &str, error: &toml::de::Error) -> Self {
        let (line, column) = place(text, error.span());
        Self::File { path, line, column, what: with_nearest(&without_value(error.message())) }
    }
}

/// Line and column of the first byte of a span; the file's first character where there is none.
fn place(text: &str, span: Option<Range<usize>>) -> (usize, usize) {
    let start = span.map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).map_or(0, |text| text.chars().count()) + 1;
    (before.matches('\n').count() + 1, column)
}

/// "invalid type: string "a", expected f64" becomes "invalid type: string, expected f64". Any other message is left.
fn without_value(message: &str) -> String {
    match message.rsplit_once(", expected ") {
        Some((told, wanted)) if told.starts_with("invalid ") => {
            let kind = told.split(['"', '`']).next().unwrap_or_default().trim_end();
            format!("{kind}, expected {wanted}")
        }
        _ => message.to_owned(),
    }
}

/// "unknown field `a`, expected one of `b`, `c`" becomes "unknown key `a`; did you mean `b`?", or says in which section `a`
/// stands. Any other message is left.
fn with_nearest(message: &str) -> String {
    let message = message.trim_end();
    if !message.starts_with("unknown field") {
        return message.to_owned();
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(typed) = names.next() else { return message.to_owned() };
    let known: Vec<&str> = names.collect();
    let near = known.iter().map(|name| (distance(typed, name), *name)).min();
    let near = near.and_then(|(edits, name)| (edits <= name.len().div_ceil(2)).then_some(name));
    if let Some(belongs) = place_of(typed) {
        return format!("unknown key `{typed}` here; {belongs}");
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if typed.len() > KEY_MAX || !typed.chars().all(plain) {
        return near.map_or_else(|| "unknown key".to_owned(), |name| format!("unknown key; did you mean `{name}`?"));
    }
    match near {
        Some(name) => format!("unknown key `{typed}`; did you mean `{name}`?"),
        None => format!("unknown key `{typed}`; there are {}", known.join(", ")),
    }
}

/// Where the shipped file has a key, or what became of a section.
fn place_of(key: &str) -> Option<String> {
    if key == "output" {
        return Some("its keys belong in [options]".to_owned());
    }
    let whole = |of: &Key| of.name == key;
    let part = |of: &Key| of.name.rsplit_once('.').is_some_and(|(_, last)| last == key);
    match shipped::keys().find(whole) {
        Some(Key { section, .. }) => Some(format!("it belongs in [{section}]")),
        None => shipped::keys().find(part).map(|Key { section, name }| format!("it belongs in [{section}], as {name}")),
    }
}

/// Edits (insert, delete, replace) from one word to another: Levenshtein's, one row at a time.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, cell) in to.chars().zip(row.iter_mut().skip(1)) {
            let here = (diagonal + usize::from(a != b)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the distance against words counted by hand.
    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("rate_hertz", "rate_hz"), 3);
        assert_eq!(distance("spool", "spool"), 0);
    }
}
