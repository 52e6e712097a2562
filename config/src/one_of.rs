//! One key of a selector: alternatives of which one must hold, written as one value or as a list.

use std::{fmt, marker::PhantomData};

use regex::{Regex, RegexBuilder};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Error as _},
};

use crate::{
    glob::Glob,
    text::{ENTRIES_MAX, TEXT_MAX, too_many},
};

/// Memory of a compiled pattern. `\w{100}` of Unicode fits.
const REGEX_SIZE_MAX: usize = 4 << 20;
/// Longer command lines are cut before they are searched: as long as the kernel lets one argument be.
const COMMAND_LINE_MAX: usize = 128 << 10;

/// The alternatives; none: the key was not given, and everything holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Alternatives<T>(Vec<T>);

impl<T> Default for Alternatives<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Alternatives<T> {
    pub(crate) fn is_unset(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Whether one holds, for what is asked only if there is need.
    pub(crate) fn hold<F>(&self, fact: impl FnOnce() -> Option<F>, holds: impl Fn(&T, &F) -> bool) -> bool {
        self.is_unset() || fact().is_some_and(|fact| self.iter().any(|wanted| holds(wanted, &fact)))
    }

    /// Whether each alternative of the other is covered by one of these. An unset key covers all.
    pub(crate) fn cover(&self, other: &Self, covers: impl Fn(&T, &T) -> bool) -> bool {
        let covered = |wanted| self.iter().any(|wider| covers(wider, wanted));
        self.is_unset() || (!other.is_unset() && other.iter().all(covered))
    }
}

impl<T: Serialize> Serialize for Alternatives<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            all => all.serialize(serializer),
        }
    }
}

/// What can be one of several.
pub(crate) trait Alternative: Sized {
    const EXPECTED: &'static str;

    fn of_text(text: &str) -> Result<Self, String>;

    fn of_number(_: i64) -> Option<Self> {
        None
    }

    /// For `true`: whatever it is.
    fn of_any() -> Option<Self> {
        None
    }
}

impl<'de, T: Alternative> Deserialize<'de> for Alternatives<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore<T>(PhantomData<T>);
        impl<'de, T: Alternative> de::Visitor<'de> for OneOrMore<T> {
            type Value = Alternatives<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}, or a list of them", T::EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::of_text(text).map(|one| Alternatives(vec![one])).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                let one = T::of_number(number).ok_or_else(|| E::custom(format!("expected {}", T::EXPECTED)))?;
                Ok(Alternatives(vec![one]))
            }

            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Self::Value, E> {
                let any = T::of_any().filter(|_| yes);
                any.map(|one| Alternatives(vec![one])).ok_or_else(|| E::custom(format!("expected {}", T::EXPECTED)))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(Alternatives(one)) = items.next_element()? {
                    all.extend(one);
                    if all.len() > ENTRIES_MAX {
                        return Err(A::Error::custom(too_many()));
                    }
                }
                if all.is_empty() {
                    return Err(A::Error::custom("an empty list, which nothing matches"));
                }
                Ok(Alternatives(all))
            }
        }
        deserializer.deserialize_any(OneOrMore(PhantomData))
    }
}

impl Alternative for Glob {
    const EXPECTED: &'static str = "a pattern, in quotes";

    fn of_text(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

/// A pattern for a value that may also be asked for as such: `true`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Value(pub(crate) Glob);

impl Alternative for Value {
    const EXPECTED: &'static str = "a pattern, in quotes, or true for any value";

    fn of_text(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }

    fn of_any() -> Option<Self> {
        Some(Self(Glob::any()))
    }
}

/// A process id.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct ProcessId(pub(crate) i32);

impl Alternative for ProcessId {
    const EXPECTED: &'static str = "a process id, above 0";

    fn of_text(text: &str) -> Result<Self, String> {
        text.trim().parse().ok().and_then(Self::of_number).ok_or_else(|| format!("expected {}", Self::EXPECTED))
    }

    fn of_number(number: i64) -> Option<Self> {
        i32::try_from(number).ok().filter(|pid| *pid > 0).map(Self)
    }
}

/// A user, by name or number.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum User {
    Name(String),
    Number(u32),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Alternative for User {
    const EXPECTED: &'static str = "the name or number of a user";

    fn of_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text.parse() {
            Ok(number) => Ok(Self::Number(number)),
            Err(_) if (1..=TEXT_MAX).contains(&text.len()) => Ok(Self::Name(text.to_owned())),
            Err(_) => Err(format!("expected {}", Self::EXPECTED)),
        }
    }

    fn of_number(number: i64) -> Option<Self> {
        number.try_into().ok().map(Self::Number)
    }
}

/// The beginning of a container's id.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct ContainerId(pub(crate) String);

impl Alternative for ContainerId {
    const EXPECTED: &'static str = "a container's id or its beginning, in hexadecimal digits";

    fn of_text(text: &str) -> Result<Self, String> {
        let id = text.trim().to_ascii_lowercase();
        let is_id = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id { Ok(Self(id)) } else { Err(format!("expected {}", Self::EXPECTED)) }
    }
}

/// A regular expression, which may hold anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Takes time linear in the line, whatever a process has there.
    pub(crate) fn is_in(&self, line: &str) -> bool {
        self.0.is_match(line.get(..line.floor_char_boundary(COMMAND_LINE_MAX)).unwrap_or_default())
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Alternative for Pattern {
    const EXPECTED: &'static str = "a regular expression, in quotes";

    fn of_text(text: &str) -> Result<Self, String> {
        if !(1..=TEXT_MAX).contains(&text.len()) {
            return Err(format!("no regular expression: give 1 to {TEXT_MAX} bytes"));
        }
        // The crate's own text quotes the pattern, over several lines.
        let wrong = |error| match error {
            regex::Error::CompiledTooBig(_) => "a regular expression that needs too much memory".to_owned(),
            _ => "no regular expression: a bracket, a repetition or a \\ is wrong".to_owned(),
        };
        RegexBuilder::new(text).size_limit(REGEX_SIZE_MAX).nest_limit(64).build().map(Self).map_err(wrong)
    }
}
