//! Who sends: the four ways in which SDKs say their key, of which a request may use one. What is said must be a key of the
//! project in the path.

use std::collections::HashMap;

use axum::http::{HeaderMap, header, request::Parts};
use profile::wire::envelope::Envelope;

use super::answer::NotTaken;
use crate::{guard::equal, projects::is_key, settings::Project};

/// The protocol that we speak. Newer ones are refused.
const VERSION_MAX: u32 = 7;
/// More of a client's name is cut.
const NAME_MAX: usize = 200;

/// What a request says of its sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Client {
    /// The public key.
    pub(super) key: String,
    /// `sentry.python/2.75.0`.
    pub(super) name: Option<String>,
}

/// The keys by project.
#[derive(Debug)]
pub(super) struct Projects(HashMap<u64, String>);

impl Projects {
    pub(super) fn new(projects: &[Project]) -> Self {
        Self(projects.iter().map(|project| (project.id, project.key.to_ascii_lowercase())).collect())
    }

    pub(super) fn check(&self, project: u64, key: &str) -> Result<(), NotTaken> {
        let known = self.0.get(&project).ok_or(NotTaken::Forbidden)?;
        if equal(known.as_bytes(), key.as_bytes()) { Ok(()) } else { Err(NotTaken::Forbidden) }
    }
}

/// What headers and query say; `None`: they do not, so the envelope must.
pub(super) fn client(parts: &Parts) -> Result<Option<Client>, NotTaken> {
    let query = parts.uri.query().unwrap_or_default();
    let of_query = query.contains("sentry_").then(|| from_query(query));
    let all = parts.headers.get_all("x-sentry-auth").iter().chain(parts.headers.get_all(header::AUTHORIZATION));
    let of_headers = all.filter_map(|value| from_header(value.to_str().ok()));
    let mut found = of_headers.chain(of_query);
    let Some(client) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(NotTaken::Unauthorized("more than one kind of credentials"));
    }
    client.map(Some)
}

/// Who sends by its `User-Agent`.
pub(super) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(cut(text))
}

/// Adds what the envelope's own `dsn` says; it must not contradict the request.
pub(super) fn with_envelope(project: u64, client: Option<Client>, envelope: &Envelope) -> Result<Client, NotTaken> {
    let dsn = match envelope.header("dsn") {
        Some(dsn) => {
            Some(parse_dsn(dsn).ok_or_else(|| NotTaken::BadRequest("dsn of the envelope is none".to_owned()))?)
        }
        None => None,
    };
    let Some((key, of)) = dsn else { return client.ok_or(NotTaken::Unauthorized("no credentials")) };
    if of != project || client.as_ref().is_some_and(|client| client.key != key) {
        return Err(NotTaken::BadRequest("dsn of the envelope is another one than the request's".to_owned()));
    }
    Ok(client.unwrap_or(Client { key, name: None }))
}

/// `Sentry sentry_key=..., sentry_version=7`, or `Basic` with the key as user. `None`: another scheme is nothing of ours.
fn from_header(value: Option<&str>) -> Option<Result<Client, NotTaken>> {
    let Some(value) = value else { return Some(Err(NotTaken::Unauthorized("credentials are not text"))) };
    let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    if scheme.eq_ignore_ascii_case("sentry") {
        return Some(from_pairs(rest.split(',').filter_map(pair)));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let user = base64(rest.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
        let key = user.as_deref().and_then(|user| user.split(':').next()).unwrap_or_default().to_owned();
        return Some(from_pairs(std::iter::once(("sentry_key", key))));
    }
    None
}

fn from_query(query: &str) -> Result<Client, NotTaken> {
    from_pairs(query.split('&').filter_map(pair).map(|(name, value)| (name, percent_decoded(&value))))
}

fn pair(text: &str) -> Option<(&str, String)> {
    let (name, value) = text.trim().split_once('=')?;
    Some((name.trim(), value.trim().to_owned()))
}

fn from_pairs<'a>(pairs: impl Iterator<Item = (&'a str, String)>) -> Result<Client, NotTaken> {
    let (mut key, mut name) = (None, None);
    for (what, value) in pairs {
        match what {
            "sentry_key" => key = Some(value.to_ascii_lowercase()),
            "sentry_client" => name = Some(cut(&value)),
            "sentry_version" => check_version(&value)?,
            _ => (),
        }
    }
    let key = key.filter(|key| !key.is_empty()).ok_or(NotTaken::Unauthorized("credentials have no sentry_key"))?;
    if !is_key(&key) {
        return Err(NotTaken::BadRequest("sentry_key is not 32 hexadecimal digits".to_owned()));
    }
    Ok(Client { key, name })
}

/// `7`, or `7.0` as old SDKs say.
fn check_version(text: &str) -> Result<(), NotTaken> {
    let major = text.split('.').next().unwrap_or_default();
    let version: u32 = major.parse().map_err(|_| NotTaken::Unauthorized("sentry_version is not a number"))?;
    if version > VERSION_MAX {
        return Err(NotTaken::BadRequest(format!("sentry_version {version} is not spoken here")));
    }
    Ok(())
}

/// Key and project of `https://KEY[:SECRET]@HOST/PATH/PROJECT`.
fn parse_dsn(dsn: &str) -> Option<(String, u64)> {
    let (_, rest) = dsn.split_once("://")?;
    let (user, rest) = rest.split_once('@')?;
    let key = user.split(':').next()?.to_ascii_lowercase();
    let project = rest.trim_end_matches('/').rsplit('/').next()?.parse().ok()?;
    is_key(&key).then_some((key, project))
}

fn cut(text: &str) -> String {
    text.chars().take(NAME_MAX).filter(|character| !character.is_control()).collect()
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = || text.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match (byte, digits().and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(decoded_byte)) => {
                decoded.push(decoded_byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// RFC 4648, padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut many) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        many += 6;
        if many >= 8 {
            many -= 8;
            bytes.push(u8::try_from((bits >> many) & 0xff).ok()?);
            bits &= (1 << many) - 1;
        }
    }
    Some(bytes)
}
