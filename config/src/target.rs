//! An entry of the file: which processes, and what holds for them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, Error as _, MapAccess},
};

use crate::{
    facts::Facts,
    options::{ENTRY_KEYS, TargetOptions},
    selector::Selector,
    text::{OneOf, Seed, few_of},
};

/// `[[target]]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Target {
    /// What people call it; where the file gives no name, by what it selects.
    pub name: String,
    /// Which processes.
    pub selector: Selector,
    /// Whether what they fork belongs to them, whatever it becomes.
    pub children: bool,
    /// What holds for them.
    pub options: TargetOptions,
}

impl Target {
    /// Whether a process is meant.
    pub fn matches(&self, facts: &dyn Facts) -> bool {
        self.selector.matches(facts)
    }
}

/// All entries.
pub(crate) fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Target>, D::Error> {
    few_of("entries, each below a [[target]] of its own", deserializer)
}

/// By hand: serde's `flatten` knows neither unknown keys nor where an error stands.
impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> de::Visitor<'de> for Entry {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an entry: [[target]] with match and options below it")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Target, A::Error> {
                let (mut name, mut selector, mut children) = (None, None, true);
                let mut options = TargetOptions::default();
                while let Some(key) = map.next_key_seed(OneOf(ENTRY_KEYS))? {
                    match key {
                        "name" => name = map.next_value_seed(Seed::new())?,
                        "match" => selector = Some(map.next_value::<Selector>()?),
                        "children" => children = map.next_value()?,
                        _ => options.read(key, &mut map)?,
                    }
                }
                let wanting = || {
                    A::Error::custom("a target without match; say which processes, as match.unit = \"shop.service\"")
                };
                let selector = selector.ok_or_else(wanting)?;
                Ok(Target { name: name.unwrap_or_else(|| selector.default_name()), selector, children, options })
            }
        }
        deserializer.deserialize_map(Entry)
    }
}
