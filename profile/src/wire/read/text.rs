//! Texts and numbers of JSON as senders write them: borrowed where no escape forces a copy, shared where they repeat.

use std::{borrow::Cow, collections::HashSet, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use uuid::Uuid;

use super::super::limits::TEXT_MAX;

/// A string; without escapes it is not copied. (`Cow` inside `Option` would be.)
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl Text<'_> {
    /// A copy, cut at [`TEXT_MAX`].
    pub(super) fn owned(&self) -> String {
        cut(&self.0).to_owned()
    }

    /// The same; `None` of an empty one.
    pub(super) fn some(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.owned())
    }
}

/// As much of a text as is kept.
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Borrowing)
    }
}

/// A number that may be written as a string, as v1 has them, or a string that may be a number (`thread.id`).
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Scalar<'a> {
    Text(Text<'a>),
    Unsigned(u64),
    Number(f64),
}

impl Scalar<'_> {
    pub(super) fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Text(text) => text.0.parse().ok(),
            Self::Unsigned(number) => Some(*number),
            Self::Number(_) => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.0.parse().ok(),
            #[allow(clippy::cast_precision_loss, reason = "a measurement; 53 bits are enough")]
            Self::Unsigned(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
        }
        .filter(|number| number.is_finite())
    }

    /// As text; empty ones and fractions are none.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => text.some(),
            Self::Unsigned(number) => Some(number.to_string()),
            Self::Number(_) => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Text(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Text(Cow::Owned(text.to_owned()))))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Unsigned(number))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                #[allow(clippy::cast_precision_loss, reason = "negative: only a measurement may be")]
                Ok(Scalar::Number(number as f64))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(number))
            }
        }
        from.deserialize_any(Any)
    }
}

/// `0x` and hexadecimal digits, or decimal ones: so a hexadecimal address without `0x` is refused, or worse, not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub(super) u64);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(from)?;
        let parsed = match text.0.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.0.parse(),
        };
        parsed.map(Self).map_err(D::Error::custom)
    }
}

/// 16 hexadecimal digits, as span ids are written. Zero is none.
pub(super) fn span_id(text: &str) -> Option<u64> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten().filter(|id| *id != 0)
}

/// A UUID that is not nil.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| !id.is_nil())
}

/// Each distinct text once.
#[derive(Debug, Default)]
pub(super) struct Interner {
    // The hash is keyed: who sends texts must not be able to make them collide.
    texts: HashSet<Arc<str>>,
}

impl Interner {
    /// The shared one that is equal to `text`, cut at [`TEXT_MAX`].
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        let text = cut(text);
        if let Some(shared) = self.texts.get(text) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&shared));
        shared
    }
}
