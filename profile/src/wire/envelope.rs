//! Sentry's envelope: written with one chunk, parsed with caps. Neither sends nor compresses.
//!
//! `headers LF { item headers LF payload LF }`: headers are one line of JSON; a payload has the length that its item
//! header says, and runs to the next LF or the end where that says none.

use std::{io, ops::Range};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::session::ClientSdk;

/// A longer line of headers is refused; Relay's own are a few hundred bytes.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// More items are refused. Relay takes 100 of the kind that it takes most of.
pub const ITEMS_MAX: usize = 200;
/// A larger envelope is refused, as Relay does.
pub const BYTES_MAX: usize = 200 << 20;

/// What the headers of an outgoing envelope say.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'h> {
    /// Holds the key: with it the envelope can be sent on by whoever gets hold of it. `None` where the request says it.
    pub dsn: Option<&'h str>,
    /// RFC 3339, UTC; the moment of this transmission.
    pub sent_at: &'h str,
    /// Who sends.
    pub sdk: &'h ClientSdk,
}

/// What was thrown away, for Sentry's Stats page.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClientReport {
    /// Seconds since 1970.
    pub timestamp: f64,
    /// Summed by reason and category.
    pub discarded_events: Vec<Discarded>,
}

/// A row of a client report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Discarded {
    /// `queue_overflow`, `cache_overflow`, `ratelimit_backoff`, `network_error`, `send_error`, `insufficient_data` ...
    pub reason: String,
    /// [`crate::session::Platform::category`].
    pub category: String,
    /// How many chunks.
    pub quantity: u64,
}

/// An envelope with at most one chunk (receivers refuse two), by its platform and its payload, and at most one report.
pub fn write(
    headers: &Headers<'_>,
    chunk: Option<(&str, &[u8])>,
    report: Option<&ClientReport>,
    out: &mut impl io::Write,
) -> io::Result<()> {
    line(out, &EnvelopeHeaders { sent_at: headers.sent_at, dsn: headers.dsn, sdk: headers.sdk })?;
    if let Some((platform, payload)) = chunk {
        let platform = Some(platform);
        item(
            out,
            ItemHeaders { kind: "profile_chunk", platform, content_type: Some("application/json"), length: 0 },
            payload,
        )?;
    }
    if let Some(report) = report {
        let payload = serde_json::to_vec(report)?;
        item(out, ItemHeaders { kind: "client_report", platform: None, content_type: None, length: 0 }, &payload)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct EnvelopeHeaders<'h> {
    sent_at: &'h str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dsn: Option<&'h str>,
    sdk: &'h ClientSdk,
}

#[derive(Clone, Copy, Serialize)]
struct ItemHeaders<'h> {
    #[serde(rename = "type")]
    kind: &'h str,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'h str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'h str>,
    length: usize,
}

fn item(out: &mut impl io::Write, headers: ItemHeaders<'_>, payload: &[u8]) -> io::Result<()> {
    line(out, &ItemHeaders { length: payload.len(), ..headers })?;
    out.write_all(payload)?;
    out.write_all(b"\n")
}

fn line(out: &mut impl io::Write, headers: &impl Serialize) -> io::Result<()> {
    // On one line: JSON escapes line feeds.
    serde_json::to_writer(&mut *out, headers)?;
    out.write_all(b"\n")
}

/// A parsed envelope. Payloads stay where they are: see [`Item::payload`].
#[derive(Clone, PartialEq, Debug)]
pub struct Envelope {
    /// As sent, unknown keys too.
    pub headers: Map<String, Value>,
    /// In order.
    pub items: Vec<Item>,
}

/// One item.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    /// As sent, unknown keys too; `type` is there and a string.
    pub headers: Map<String, Value>,
    /// Where its payload is in the bytes that were parsed.
    pub payload: Range<usize>,
}

impl Envelope {
    /// A string among the headers.
    pub fn header(&self, key: &str) -> Option<&str> {
        self.headers.get(key).and_then(Value::as_str)
    }
}

impl Item {
    /// `profile_chunk`, `client_report` ...
    pub fn kind(&self) -> &str {
        self.header("type").unwrap_or_default()
    }

    /// A string among its headers.
    pub fn header(&self, key: &str) -> Option<&str> {
        self.headers.get(key).and_then(Value::as_str)
    }

    /// Its bytes, out of the same bytes that were parsed.
    pub fn payload<'b>(&self, envelope: &'b [u8]) -> &'b [u8] {
        envelope.get(self.payload.clone()).unwrap_or_default()
    }
}

/// Why bytes are not an envelope that we take.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum EnvelopeError {
    /// Not even headers.
    #[error("envelope is empty")]
    Empty,
    /// Over [`BYTES_MAX`].
    #[error("envelope has {0} bytes, more than {BYTES_MAX}")]
    TooLarge(usize),
    /// A line of headers is over [`HEADER_BYTES_MAX`].
    #[error("headers at byte {at} have more than {HEADER_BYTES_MAX} bytes")]
    HeaderTooLong {
        /// Where the line starts.
        at: usize,
    },
    /// A line of headers is not a JSON object.
    #[error("headers at byte {at} are not a JSON object")]
    BadHeader {
        /// Where the line starts.
        at: usize,
    },
    /// An item has no `type`.
    #[error("item at byte {at} has no type")]
    NoType {
        /// Where its headers start.
        at: usize,
    },
    /// `length` is not a number of bytes that fits 32 bits.
    #[error("item at byte {at} has a length that is none")]
    BadLength {
        /// Where its headers start.
        at: usize,
    },
    /// The envelope ends before the payload does.
    #[error("item at byte {at} is cut: {missing} bytes are missing")]
    Cut {
        /// Where its headers start.
        at: usize,
        /// How many.
        missing: usize,
    },
    /// After a payload comes something else than a line feed or the end.
    #[error("payload is longer than its header says at byte {at}")]
    NoLineFeed {
        /// Where the line feed should be.
        at: usize,
    },
    /// Over [`ITEMS_MAX`].
    #[error("envelope has more than {ITEMS_MAX} items")]
    TooManyItems,
}

/// Takes an envelope apart, as Relay does. Copies no payload.
pub fn parse(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
    if bytes.len() > BYTES_MAX {
        return Err(EnvelopeError::TooLarge(bytes.len()));
    }
    if bytes.is_empty() {
        return Err(EnvelopeError::Empty);
    }
    let (headers, mut at) = header_line(bytes, 0)?;
    let mut items = Vec::new();
    while at < bytes.len() {
        // Line feeds after the last item are no item.
        if bytes.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'\n')) {
            break;
        }
        if items.len() == ITEMS_MAX {
            return Err(EnvelopeError::TooManyItems);
        }
        let (item, next) = parse_item(bytes, at)?;
        items.push(item);
        at = next;
    }
    Ok(Envelope { headers, items })
}

fn parse_item(bytes: &[u8], at: usize) -> Result<(Item, usize), EnvelopeError> {
    let (headers, start) = header_line(bytes, at)?;
    if !headers.get("type").is_some_and(Value::is_string) {
        return Err(EnvelopeError::NoType { at });
    }
    let end = match headers.get("length") {
        None | Some(Value::Null) => line_end(bytes, start),
        Some(length) => {
            let length = length.as_u64().and_then(|length| u32::try_from(length).ok());
            let length = length.ok_or(EnvelopeError::BadLength { at })? as usize;
            let there = bytes.len().saturating_sub(start);
            if length > there {
                return Err(EnvelopeError::Cut { at, missing: length - there });
            }
            start + length
        }
    };
    match bytes.get(end) {
        None => Ok((Item { headers, payload: start..end }, end)),
        Some(b'\n') => Ok((Item { headers, payload: start..end }, end + 1)),
        Some(_) => Err(EnvelopeError::NoLineFeed { at: end }),
    }
}

/// The JSON object in the line at `at`, and where the next line starts.
fn header_line(bytes: &[u8], at: usize) -> Result<(Map<String, Value>, usize), EnvelopeError> {
    let end = line_end(bytes, at);
    if end - at > HEADER_BYTES_MAX {
        return Err(EnvelopeError::HeaderTooLong { at });
    }
    let text = bytes.get(at..end).unwrap_or_default();
    let headers = serde_json::from_slice(text).map_err(|_| EnvelopeError::BadHeader { at })?;
    Ok((headers, bytes.len().min(end + 1)))
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(sdk: &ClientSdk) -> Headers<'_> {
        Headers { dsn: Some("https://k@o1.example/42"), sent_at: "2026-09-21T15:06:41.250Z", sdk }
    }

    fn sdk() -> ClientSdk {
        ClientSdk { name: "acme".into(), version: "0.1.0".into() }
    }

    /// Check every byte of an envelope with a chunk and a report, and that parsing gives the parts back.
    #[test]
    fn written_and_parsed() {
        let report = ClientReport {
            timestamp: 1.5,
            discarded_events: vec![Discarded {
                reason: "queue_overflow".into(),
                category: "profile_chunk".into(),
                quantity: 3,
            }],
        };
        let mut bytes = Vec::new();
        write(&headers(&sdk()), Some(("rust", b"{\"a\":\n1}")), Some(&report), &mut bytes).unwrap();
        insta::assert_snapshot!(String::from_utf8(bytes.clone()).unwrap(), @r#"
        {"sent_at":"2026-09-21T15:06:41.250Z","dsn":"https://k@o1.example/42","sdk":{"name":"acme","version":"0.1.0"}}
        {"type":"profile_chunk","platform":"rust","content_type":"application/json","length":8}
        {"a":
        1}
        {"type":"client_report","length":106}
        {"timestamp":1.5,"discarded_events":[{"reason":"queue_overflow","category":"profile_chunk","quantity":3}]}
        "#);
        let envelope = parse(&bytes).unwrap();
        assert_eq!(envelope.header("sent_at"), Some("2026-09-21T15:06:41.250Z"));
        let items: Vec<_> = envelope.items.iter().map(|item| (item.kind(), item.payload(&bytes))).collect();
        assert_eq!(items[0], ("profile_chunk", b"{\"a\":\n1}".as_slice()));
        assert_eq!(serde_json::from_slice::<ClientReport>(items[1].1).unwrap(), report);
        let mut alone = Vec::new();
        write(&Headers { dsn: None, ..headers(&sdk()) }, None, Some(&report), &mut alone).unwrap();
        let envelope = parse(&alone).unwrap();
        assert_eq!((envelope.header("dsn"), envelope.items.len()), (None, 1));
    }

    /// Check what is taken and what is refused, and why.
    #[test]
    fn framing() {
        let kinds = |text: &str| {
            let parsed = parse(text.as_bytes());
            parsed.map(|envelope| {
                let show =
                    |item: &Item| format!("{}={}", item.kind(), String::from_utf8_lossy(item.payload(text.as_bytes())));
                envelope.items.iter().map(show).collect::<Vec<_>>().join(",")
            })
        };
        let rows: [(&str, Result<&str, EnvelopeError>); 16] = [
            ("", Err(EnvelopeError::Empty)),
            ("{}", Ok("")),
            ("{}\n\n", Ok("")),
            ("{}\n{\"type\":\"a\",\"length\":2}\nxy\n", Ok("a=xy")),
            ("{}\n{\"type\":\"a\",\"length\":2}\nxy", Ok("a=xy")),
            ("{}\n{\"type\":\"a\"}\nxyz\n{\"type\":\"b\",\"length\":0}\n\n", Ok("a=xyz,b=")),
            ("{}\n{\"type\":\"a\",\"length\":0}", Ok("a=")),
            ("{}\n{\"type\":\"a\",\"length\":3}\nxy", Err(EnvelopeError::Cut { at: 3, missing: 1 })),
            ("{}\n{\"type\":\"a\",\"length\":1}\nxy", Err(EnvelopeError::NoLineFeed { at: 28 })),
            ("{}\n{\"type\":\"a\",\"length\":-1}\nxy", Err(EnvelopeError::BadLength { at: 3 })),
            ("{}\n{\"type\":\"a\",\"length\":4294967296}\nxy", Err(EnvelopeError::BadLength { at: 3 })),
            ("{}\n{\"length\":1}\nx", Err(EnvelopeError::NoType { at: 3 })),
            ("{}\n{\"type\":7}\nx", Err(EnvelopeError::NoType { at: 3 })),
            ("[]\n", Err(EnvelopeError::BadHeader { at: 0 })),
            ("{}\nhello\n", Err(EnvelopeError::BadHeader { at: 3 })),
            ("{}\r\n{\"type\":\"a\"}\nx", Ok("a=x")),
        ];
        for (text, expected) in rows {
            assert_eq!(kinds(text), expected.map(str::to_owned), "{text:?}");
        }
    }

    /// Check that nothing is read or counted without bound.
    #[test]
    fn caps() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(HEADER_BYTES_MAX));
        assert_eq!(parse(long.as_bytes()), Err(EnvelopeError::HeaderTooLong { at: 0 }));
        let many = format!("{{}}\n{}", "{\"type\":\"a\",\"length\":0}\n\n".repeat(ITEMS_MAX + 1));
        assert_eq!(parse(many.as_bytes()), Err(EnvelopeError::TooManyItems));
        let deep = format!("{}1", "{\"a\":".repeat(10_000));
        assert_eq!(parse(deep.as_bytes()), Err(EnvelopeError::BadHeader { at: 0 }));
    }
}
