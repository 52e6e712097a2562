//! Text of files, environments and programs: stripped as the SDKs do, bounded, and where it is empty, not there.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, Error as _},
};

/// Longest text of a value, in bytes. Sentry cuts releases at 200, environments at 64.
pub(crate) const TEXT_MAX: usize = 1024;
/// Longest list or table. A host with more services than that wants globs.
pub(crate) const ENTRIES_MAX: usize = 256;

/// What a text says; `None`: nothing, or more than anybody means.
pub(crate) fn stripped(text: &str) -> Option<String> {
    let text = text.trim();
    (1..=TEXT_MAX).contains(&text.len()).then(|| text.to_owned())
}

/// The parts of a list that had to be one text, between commas.
pub(crate) fn listed(text: &str) -> Vec<String> {
    text.split(',').filter_map(stripped).collect()
}

/// How an option's value is read. `None`: it says nothing, as if its key were not there.
pub(crate) trait Read: Sized {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error>;
}

/// Reads the value behind a key.
pub(crate) struct Seed<T>(PhantomData<T>);

impl<T> Seed<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Read> DeserializeSeed<'de> for Seed<T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        T::read(deserializer)
    }
}

/// Takes one of the keys there are.
pub(crate) struct OneOf(pub(crate) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for OneOf {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl de::Visitor<'_> for OneOf {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, typed: &str) -> Result<&'static str, E> {
        self.0.iter().find(|key| **key == typed).copied().ok_or_else(|| E::unknown_field(typed, self.0))
    }
}

/// A text that is not too long; it may be empty.
pub(crate) struct Bounded(pub(crate) String);

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Bounded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, in quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bounded, E> {
                let text = text.trim();
                if text.len() > TEXT_MAX {
                    return Err(E::custom(format!("text of more than {TEXT_MAX} bytes")));
                }
                Ok(Bounded(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl Read for String {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Ok(Some(Bounded::deserialize(deserializer)?.0).filter(|text| !text.is_empty()))
    }
}

impl Read for Vec<String> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let list: Vec<Bounded> = few(deserializer)?;
        Ok(Some(list.into_iter().map(|text| text.0).filter(|text| !text.is_empty()).collect()))
    }
}

impl Read for BTreeMap<String, String> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let table = BTreeMap::<String, Bounded>::deserialize(deserializer)?;
        if table.len() > ENTRIES_MAX || table.keys().any(|key| key.len() > TEXT_MAX) {
            return Err(D::Error::custom(too_many()));
        }
        Ok(Some(table.into_iter().map(|(key, text)| (key, text.0)).collect()))
    }
}

macro_rules! read_as_is {
    ($($name:ty),*) => {$(
        impl crate::text::Read for $name {
            fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
                serde::Deserialize::deserialize(deserializer).map(Some)
            }
        }
    )*};
}
pub(crate) use read_as_is;
read_as_is!(bool);

/// A list that is not too long.
pub(crate) fn few<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    few_of("a list", deserializer)
}

/// The same, with what is said where there is something else.
pub(crate) fn few_of<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    expected: &'static str,
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Few<T>(&'static str, PhantomData<T>);
    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                if list.len() == ENTRIES_MAX {
                    return Err(A::Error::custom(too_many()));
                }
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(Few(expected, PhantomData))
}

/// What is said of a list or a table that is too long.
pub(crate) fn too_many() -> String {
    format!("more than {ENTRIES_MAX} of them")
}

/// Reads a type from text, in files and wherever else serde reads, and writes it as text.
macro_rules! as_text {
    ($expected:literal: $($name:ident),*) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
pub(crate) use as_text;
