//! `profiles_sampler` as rules: the first whose every condition holds gives the rate of a transaction. They are evaluated
//! where the transaction is, by the client; here they are read, checked, and written for it.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, Error as _, MapAccess},
    ser::SerializeMap,
};

use crate::{
    rates::SampleRate,
    text::{ENTRIES_MAX, Read, TEXT_MAX, few, too_many},
};

/// Who chooses which transactions are profiled.
#[derive(Clone, PartialEq, Debug)]
pub enum ProfilesSampler {
    /// A function of the program's own.
    Code,
    /// The first rule that holds; if none does, the transaction is not profiled.
    Rules(Vec<Rule>),
}

impl Read for ProfilesSampler {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let rules: Vec<Rule> = few(deserializer)?;
        Ok(Some(Self::Rules(rules)).filter(|sampler| *sampler != Self::Rules(Vec::new())))
    }
}

impl Serialize for ProfilesSampler {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Code => serializer.serialize_str("code"),
            Self::Rules(rules) => rules.serialize(serializer),
        }
    }
}

/// One of them.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// What must hold, by dotted path in the sampling context.
    pub when: BTreeMap<String, Plain>,
    /// How many of the transactions for which it does are profiled.
    pub rate: SampleRate,
}

/// What a condition compares with.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Plain {
    /// A pattern for the whole text, in which `*` stands for any text.
    Text(String),
    /// Equal or not.
    Bool(bool),
    /// Equal or not.
    Integer(i64),
    /// Equal or not; finite.
    Float(f64),
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.when.len() + 1))?;
        for (path, wanted) in &self.when {
            map.serialize_entry(path, wanted)?;
        }
        map.serialize_entry("rate", &self.rate)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> de::Visitor<'de> for Table {
            type Value = Rule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rule, as { op = \"http.server\", rate = 0.5 }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rule, A::Error> {
                let (mut when, mut rate) = (BTreeMap::new(), None);
                while let Some(key) = map.next_key::<String>()? {
                    if key == "rate" {
                        rate = Some(map.next_value::<RateOrBool>()?.0);
                    } else {
                        map.next_value_seed(Under { path: key, when: &mut when })?;
                    }
                }
                let rate = rate.ok_or_else(|| A::Error::custom("a rule without a rate: add rate = 0 to 1"))?;
                Ok(Rule { when, rate })
            }
        }
        deserializer.deserialize_map(Table)
    }
}

/// Puts the condition at a path, or those of a table below it: `a.b = 1` is `"a.b" = 1`.
struct Under<'w> {
    path: String,
    when: &'w mut BTreeMap<String, Plain>,
}

impl Under<'_> {
    fn put<E: de::Error>(self, wanted: Plain) -> Result<(), E> {
        if self.path.len() > TEXT_MAX || self.when.len() == ENTRIES_MAX {
            return Err(E::custom(too_many()));
        }
        match self.when.insert(self.path, wanted) {
            None => Ok(()),
            Some(_) => Err(E::custom("the same condition twice in a rule")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Under<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Under<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false")
    }

    fn visit_bool<E: de::Error>(self, wanted: bool) -> Result<(), E> {
        self.put(Plain::Bool(wanted))
    }

    fn visit_i64<E: de::Error>(self, wanted: i64) -> Result<(), E> {
        self.put(Plain::Integer(wanted))
    }

    fn visit_f64<E: de::Error>(self, wanted: f64) -> Result<(), E> {
        if !wanted.is_finite() {
            return Err(E::custom("nothing is equal to a number that is not finite"));
        }
        self.put(Plain::Float(wanted))
    }

    fn visit_str<E: de::Error>(self, wanted: &str) -> Result<(), E> {
        if wanted.len() > TEXT_MAX {
            return Err(E::custom(format!("text of more than {TEXT_MAX} bytes")));
        }
        self.put(Plain::Text(wanted.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            // Bounds the depth as well. A date of TOML comes as a table with such a key.
            if self.path.len() > TEXT_MAX || key.starts_with("$__") {
                return Err(A::Error::custom("no path in a sampling context"));
            }
            map.next_value_seed(Under { path: format!("{}.{key}", self.path), when: &mut *self.when })?;
        }
        Ok(())
    }
}

/// What a sampler may return: a share, or yes or no.
pub(crate) struct RateOrBool(pub(crate) SampleRate);

impl<'de> Deserialize<'de> for RateOrBool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rate = Number::deserialize(deserializer)?;
        SampleRate::new(rate.0).map(Self).map_err(D::Error::custom)
    }
}

/// Any number; true is 1 and false 0, as in Python.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl de::Visitor<'_> for Any {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 1, true or false")
            }

            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Number, E> {
                Ok(Number(f64::from(u8::from(yes))))
            }

            #[allow(clippy::cast_precision_loss, reason = "what is not 0 or 1 is refused, or cut to it")]
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            #[allow(clippy::cast_precision_loss, reason = "what is not 0 or 1 is refused, or cut to it")]
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number(number))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    /// The rules as the client gets them, or what is wrong with them.
    fn rules(text: &str) -> String {
        #[derive(Deserialize)]
        struct File {
            rules: Vec<Rule>,
        }
        match toml::from_str::<File>(text) {
            Ok(file) => serde_json::to_string(&ProfilesSampler::Rules(file.rules)).unwrap(),
            Err(error) => error.message().to_owned(),
        }
    }

    /// Check that the rules of docs/control.md reach the client, and that paths may be written with or without quotes.
    #[test]
    fn for_the_client() {
        assert_snapshot!(rules("rules = [{op = 'http.server', name = '*/api/*', rate = 1.0}, {parent_sampled = true, rate = 0.5}, {rate = 0.1}]"),
            @r#"[{"name":"*/api/*","op":"http.server","rate":1.0},{"parent_sampled":true,"rate":0.5},{"rate":0.1}]"#);
        assert_snapshot!(rules("[[rules]]\nwsgi_environ.REQUEST_METHOD = 'POST'\n\"a.b\" = 7\na.c = 1.5\nrate = true\n[[rules]]\nrate = false"),
            @r#"[{"a.b":7,"a.c":1.5,"wsgi_environ.REQUEST_METHOD":"POST","rate":1.0},{"rate":0.0}]"#);
        assert_eq!(serde_json::to_string(&ProfilesSampler::Code).unwrap(), r#""code""#);
    }

    /// Check what is said of rules that cannot be.
    #[test]
    fn wrong_rules() {
        assert_snapshot!(rules("rules = [{op = 'x'}]"), @"a rule without a rate: add rate = 0 to 1");
        assert_snapshot!(rules("rules = [{rate = 1.5}]"),
            @"no sample rate: give a share from 0 to 1, as 0.1 for a tenth");
        assert_snapshot!(rules("rules = [{rate = nan}]"),
            @"no sample rate: give a share from 0 to 1, as 0.1 for a tenth");
        assert_snapshot!(rules("rules = [{rate = 'all'}]"),
            @r#"invalid type: string "all", expected a number from 0 to 1, true or false"#);
        assert_snapshot!(rules("rules = [{op = ['a'], rate = 1}]"),
            @"invalid type: sequence, expected a text, a number, true or false");
        assert_snapshot!(rules("rules = [{at = 1979-05-27, rate = 1}]"), @"no path in a sampling context");
        assert_snapshot!(rules("rules = [{x = inf, rate = 1}]"), @"nothing is equal to a number that is not finite");
        assert_snapshot!(rules("[[rules]]\n'a.b' = 1\na.b = 2\nrate = 1"), @"the same condition twice in a rule");
        assert_snapshot!(rules("rules = [1]"),
            @r#"invalid type: integer `1`, expected a rule, as { op = "http.server", rate = 0.5 }"#);
    }
}
