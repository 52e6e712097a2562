//! Patterns with `*` for any text and `?` for any one character. Both take a slash, a dot and everything else.

use std::{fmt, str::FromStr};

use crate::text::{TEXT_MAX, as_text};

/// A pattern for a whole text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Glob(String);

impl Glob {
    /// Any text.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one text only.
    pub(crate) fn is_plain(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// Whether the whole text is as the pattern says. Takes at most pattern times text steps, whoever wrote the text.
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.chars(), text.chars());
        // What follows the last star, and where in the text to go on when that does not fit.
        let mut star = None;
        loop {
            let here = rest.clone();
            match (pattern.next(), rest.next()) {
                (Some('*'), _) => {
                    star = Some((pattern.clone(), here.clone()));
                    rest = here;
                }
                (Some('?'), Some(_)) => {}
                (Some(wanted), Some(found)) if wanted == found => {}
                (None, None) => return true,
                _ => {
                    let Some((after, from)) = &mut star else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    (pattern, rest) = (after.clone(), from.clone());
                }
            }
        }
    }

    /// Whether it takes all that the other one takes. May say no where it is so.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        // A star of the other's is a character like any other to a star of ours, but not to a question mark.
        (!self.0.contains('?') || !other.0.contains('*')) && self.matches(&other.0)
    }
}

impl FromStr for Glob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if !(1..=TEXT_MAX).contains(&text.len()) {
            return Err(format!("no pattern: give 1 to {TEXT_MAX} bytes; * stands for any text"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!("a pattern, in quotes": Glob);

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        text.parse().unwrap()
    }

    /// Check what fits and what does not, by hand.
    #[test]
    fn matching() {
        for (pattern, text) in [
            ("/srv/*", "/srv/a/b"),
            ("*", ""),
            ("**a", "a"),
            ("a*b*c", "a-b-b-c"),
            ("?é?", "xéx"),
            ("*.sentry.io", "o1.ingest.sentry.io"),
            ("*ab", "aab"),
            ("a?c*", "abc"),
        ] {
            assert!(glob(pattern).matches(text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("/srv/*", "/srv"), ("?", ""), ("a", "A"), ("a*b", "a"), ("ab", "abc"), ("*.io", "xio"), ("a*bc*d", "abd")]
        {
            assert!(!glob(pattern).matches(text), "{pattern} {text}");
        }
        assert!("".parse::<Glob>().is_err() && "a".repeat(1025).parse::<Glob>().is_err());
    }

    /// Check that a pattern made to go back and forth takes a bounded time.
    #[test]
    fn bounded() {
        let pattern = glob(&"*a".repeat(500));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(100_000))));
    }

    /// Check which pattern leaves nothing to which.
    #[test]
    fn covering() {
        assert!(glob("*").covers(&glob("a?*")));
        assert!(glob("/srv/*").covers(&glob("/srv/x*y")));
        assert!(glob("a?").covers(&glob("ab")) && glob("a?").covers(&glob("a?")));
        assert!(!glob("a?").covers(&glob("a*")));
        assert!(!glob("/srv/x").covers(&glob("/srv/*")));
    }
}
