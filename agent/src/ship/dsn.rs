//! The DSN: where envelopes go, and the key that lets them in. The key leaves this type only in the auth header: neither
//! `Display`, `Debug` nor an error shows it, nor any other part of a text that turned out not to be a DSN.

use std::{fmt, str::FromStr};

use reqwest::{Url, header::HeaderValue};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// A parsed DSN: `{scheme}://{key}[:{secret}]@{host}[:{port}]{path}/{project}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Dsn {
    /// Scheme, host, port and path prefix; neither key, project, query nor trailing slash.
    base: String,
    host: String,
    https: bool,
    key: String,
    secret: Option<String>,
    project: String,
}

/// Why a text is no DSN. The program ends with exit code 78 and shows [`DsnError::HINT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DsnError {
    /// Nothing, or only white space.
    #[error("the DSN is empty")]
    Empty,
    /// Not even a URL.
    #[error("the DSN is not a URL")]
    NotUrl,
    /// `ftp://` or none at all.
    #[error("the DSN starts with neither https:// nor http://")]
    Scheme,
    /// Nothing before the `@`.
    #[error("the DSN has no key before its host")]
    NoKey,
    /// The key would not survive the way in a header.
    #[error("the key of the DSN holds other characters than letters, digits, - and _")]
    BadKey,
    /// `https://key@/42`.
    #[error("the DSN has no host")]
    NoHost,
    /// `https://key@host/`.
    #[error("the DSN has no project id at its end")]
    NoProject,
    /// The project id would be another path.
    #[error("the project id of the DSN holds other characters than letters, digits, - and _")]
    BadProject,
    /// `?a=b` or `#c`; a query with `sentry_…` would count as a second way to authenticate.
    #[error("the DSN has something after its project id")]
    Trailing,
}

impl DsnError {
    /// What to do about it.
    pub const HINT: &str = "a DSN looks like https://KEY@o1.ingest.us.sentry.io/42; copy it from Sentry: Settings, \
                            Projects, your project, Client Keys (DSN)";
}

impl Dsn {
    /// Where envelopes are posted to. The trailing slash matters: without it, servers redirect.
    pub fn envelope_url(&self) -> String {
        format!("{}/api/{}/envelope/", self.base, self.project)
    }

    /// The value of `X-Sentry-Auth`, marked so that no layer of the HTTP client prints it. `client` is `name/version`.
    pub fn auth(&self, client: &str) -> Option<HeaderValue> {
        let secret = self.secret.as_ref().map(|secret| format!(", sentry_secret={secret}")).unwrap_or_default();
        let text = format!("Sentry sentry_version=7, sentry_client={client}, sentry_key={}{secret}", self.key);
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The name of the folder where chunks for this DSN wait, and of its sender. It gives away no key, and two DSNs never share one:
    /// whoever may choose a DSN must not get what is meant for another. So half a SHA-256, not a check sum.
    pub fn folder_name(&self) -> String {
        let whole = format!("{} {} {}", self.base, self.key, self.project);
        let host: String = self.host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '.' }).collect();
        let mut hash = Sha256::digest(whole.as_bytes()).to_vec();
        hash.truncate(16);
        format!("{host}-{}-{}", self.project, hex::encode(hash))
    }

    /// A text of someone else's (an answer's body) without the key and the secret.
    pub fn redact(&self, text: &str) -> String {
        let text = text.replace(&self.key, "***");
        match &self.secret {
            Some(secret) => text.replace(secret, "***"),
            None => text,
        }
    }
}

impl FromStr for Dsn {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(DsnError::Empty);
        }
        let url =
            Url::parse(text).map_err(|error| if is_host_error(text) { DsnError::NoHost } else { not_url(error) })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(DsnError::Scheme);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(DsnError::Trailing);
        }
        let key = url.username().to_owned();
        let secret = url.password().filter(|secret| !secret.is_empty()).map(str::to_owned);
        if key.is_empty() {
            return Err(DsnError::NoKey);
        }
        if !is_word(&key) || !secret.as_deref().is_none_or(is_word) {
            return Err(DsnError::BadKey);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(DsnError::NoHost)?.to_owned();
        let (prefix, project) = url.path().trim_end_matches('/').rsplit_once('/').ok_or(DsnError::NoProject)?;
        if !is_word(project) {
            return Err(if project.is_empty() { DsnError::NoProject } else { DsnError::BadProject });
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let base = format!("{}://{host}{port}{prefix}", url.scheme());
        Ok(Self { base, https: url.scheme() == "https", host, key, secret, project: project.to_owned() })
    }
}

/// `https://key@/42` and `https://key@:80/42` have everything but a host; the URL parser only says "empty host".
fn is_host_error(text: &str) -> bool {
    text.split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .is_some_and(|(_, host)| host.starts_with(['/', ':']))
}

fn not_url<E>(_: E) -> DsnError {
    DsnError::NotUrl
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl fmt::Display for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.base.split_once("://").unwrap_or(("", &self.base));
        write!(f, "{scheme}://***@{rest}/{}", self.project)
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dsn({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn shown(text: &str) -> String {
        match text.parse::<Dsn>() {
            Ok(dsn) => {
                let auth = dsn.auth("a/1").unwrap();
                let auth = auth.to_str().unwrap().split_once("sentry_key=").unwrap().1.to_owned();
                format!("{dsn} | {} | {auth}", dsn.envelope_url())
            }
            Err(error) => format!("{error:?}"),
        }
    }

    /// Check every form of a DSN, and what becomes of texts that are none.
    #[test]
    fn forms() {
        let table = [
            (
                "https://k1@o1.ingest.us.sentry.io/42",
                "https://***@o1.ingest.us.sentry.io/42 | https://o1.ingest.us.sentry.io/api/42/envelope/ | k1",
            ),
            (
                " http://k1:s2@localhost:9000/42\n",
                "http://***@localhost:9000/42 | http://localhost:9000/api/42/envelope/ | k1, sentry_secret=s2",
            ),
            (
                "https://k1@example.org/sentry/eu/42/",
                "https://***@example.org/sentry/eu/42 | https://example.org/sentry/eu/api/42/envelope/ | k1",
            ),
            ("http://k1@[::1]:9000/42", "http://***@[::1]:9000/42 | http://[::1]:9000/api/42/envelope/ | k1"),
            (
                "https://k1:@example.org:443/42",
                "https://***@example.org/42 | https://example.org/api/42/envelope/ | k1",
            ),
            ("", "Empty"),
            ("  ", "Empty"),
            ("k1@host/42", "NotUrl"),
            ("k1:s2@host/42", "Scheme"),
            ("ftp://k1@host/42", "Scheme"),
            ("https://host/42", "NoKey"),
            ("https://k%201@host/42", "BadKey"),
            ("https://k1:a%0ab@host/42", "BadKey"),
            ("https://k1@/42", "NoHost"),
            ("https://k1@host", "NoProject"),
            ("https://k1@host/", "NoProject"),
            ("https://k1@host/4 2", "BadProject"),
            ("https://k1@host/42?sentry_key=k", "Trailing"),
            ("https://k1@host/42#x", "Trailing"),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), expected, "for {text:?}");
        }
    }

    /// Check that no text that people read holds the key.
    #[test]
    fn the_key_stays_inside() {
        let dsn: Dsn = format!("https://{KEY}:5ec4e7@host/42").parse().unwrap();
        let shown = format!("{dsn} {dsn:?} {} {:?}", dsn.folder_name(), dsn.auth("a/1"));
        assert!(!shown.contains(KEY) && !shown.contains("5ec4e7"), "{shown}");
        assert_eq!(dsn.redact(&format!("no key {KEY} with 5ec4e7")), "no key *** with ***");
        assert_eq!(dsn.folder_name(), "host-42-a18fd8ca6da863faad8fa3a299cacfd2");
    }
}
