//! Values that nobody may see, and the one part of a DSN that anybody may: its host.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::Read;

/// What stands for a secret where one is shown.
pub(crate) const HIDDEN: &str = "***";

/// A value that is in no log: `Debug` and serde hide it, `Display` there is none.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Of a DSN, where it leads to; of anything else nothing.
    pub(crate) fn shown_dsn(&self) -> String {
        let whole = host_of_dsn(&self.0).and(self.0.split_once("://")).zip(self.0.split_once('@'));
        match whole {
            Some(((scheme, _), (_, rest))) => format!("{scheme}://{HIDDEN}@{rest}"),
            None => HIDDEN.to_owned(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl Read for Secret {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Ok(String::read(deserializer)?.map(Self))
    }
}

/// The host of `https://KEY@HOST[:PORT]/PROJECT`. Stricter than any parser of URLs, so that none sees another host in it:
/// no backslash, no escape, no second `@`, nothing after the project.
pub fn host_of_dsn(dsn: &str) -> Option<&str> {
    let rest = dsn.strip_prefix("https://").or_else(|| dsn.strip_prefix("http://"))?;
    let (key, rest) = rest.split_once('@')?;
    let (authority, path) = rest.split_once('/')?;
    let host = match authority.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((address, port)) => is_port(port).then_some(address).filter(|text| text.contains(':'))?,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    let port = authority.get(authority.rfind(']').map_or(host.len(), |at| at + 1)..)?;
    let of = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    (of(key, b"-_:") && of(host, b"-.:") && is_port(port) && of(path, b"-_./")).then_some(host)
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a secret shows itself in no debug output.
    #[test]
    fn secret_is_hidden() {
        assert_eq!(format!("{:?}", Some(Secret::new("https://key@host/1"))), "Some(Secret(…))");
        assert_eq!(serde_json::to_string(&Secret::new("https://key@host/1")).unwrap(), r#""***""#);
        assert_eq!(Secret::new("https://key:more@host:90/a/1").shown_dsn(), "https://***@host:90/a/1");
        assert_eq!(Secret::new("a long random text").shown_dsn(), "***");
    }

    /// Check that the host is that of every URL parser, and that what one might read otherwise has none.
    #[test]
    fn hosts() {
        for (dsn, host) in [
            ("https://k@o1.ingest.us.sentry.io/42", "o1.ingest.us.sentry.io"),
            ("http://k:s@localhost:9000/sub/42", "localhost"),
            ("http://k@[::1]:9000/42", "::1"),
            ("http://k@[::1]/42", "::1"),
        ] {
            assert_eq!(host_of_dsn(dsn), Some(host), "{dsn}");
        }
        for wrong in [
            "",
            "k@h/1",
            "ftp://k@h/1",
            "https://h/1",
            "https://k@h",
            "https://@h/1",
            "https://k@/1",
            "https://k@good.example\\@evil.example/1",
            "https://k@good.example@evil.example/1",
            "https://k@good.example#@evil.example/1",
            "https://k@good%2eexample/1",
            "https://k@go\tod/1",
            "https://k@h:70000/1",
            "https://k@h:/1",
            "https://k@[h]/1",
            "https://k@[::1]x/1",
            "https://k@h/1?sentry_key=x",
            "https://k@gööd.example/1",
        ] {
            assert_eq!(host_of_dsn(wrong), None, "{wrong}");
        }
    }
}
