//! What Relay thinks of a request: path, auth, encoding, framing, number of items, and the chunk itself. No I/O.

use std::{collections::BTreeMap, io::Read, time::Instant};

use flate2::read::GzDecoder;
use profile::wire::{check, envelope};
use serde_json::Value;

use super::{Chunk, KEY, PREFIX, PROJECT, Request};

/// Relay's limit on a decompressed envelope.
const ENVELOPE_BYTES_MAX: u64 = 200 << 20;

/// A request whose body was not read to its end.
pub(super) fn unread(line: String, headers: Vec<(String, String)>, raw: Vec<u8>) -> Request {
    let (at, envelope) = (Instant::now(), Vec::new());
    Request { at, line, headers, raw, envelope, status: None, refusal: None, chunk: None, report: None }
}

/// A request with what Relay would answer.
pub(super) fn judge(line: String, headers: Vec<(String, String)>, raw: Vec<u8>) -> Request {
    let mut request = unread(line, headers, raw);
    let refusal = check_line(&request.line).or_else(|| check_auth(&request)).or_else(|| read(&mut request).err());
    let (status, why) = refusal.map_or((200, None), |(status, why)| (status, Some(why)));
    request.status = Some(status);
    request.refusal = why;
    request
}

type Refusal = (u16, String);

fn refuse(status: u16, why: impl Into<String>) -> Refusal {
    (status, why.into())
}

fn check_line(line: &str) -> Option<Refusal> {
    let Some(target) = line.strip_prefix("POST ") else { return Some(refuse(405, "not a POST")) };
    // A proxy is asked with the whole URL.
    let path =
        target.strip_prefix("http://").and_then(|rest| rest.find('/').and_then(|at| rest.get(at..))).unwrap_or(target);
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    (path != format!("/api/{PROJECT}/envelope/")).then(|| refuse(404, format!("nothing at {path}")))
}

fn check_auth(request: &Request) -> Option<Refusal> {
    let channels = ["x-sentry-auth", "authorization"];
    let given: Vec<&str> = request
        .headers
        .iter()
        .filter(|(name, _)| channels.contains(&name.as_str()))
        .map(|(_, value)| value.as_str())
        .collect();
    let [auth] = given.as_slice() else { return Some(refuse(401, format!("{} ways to authenticate", given.len()))) };
    let Some(pairs) = auth.strip_prefix("Sentry ") else { return Some(refuse(401, "not a Sentry auth header")) };
    let pairs: BTreeMap<&str, &str> = pairs.split(',').filter_map(|pair| pair.trim().split_once('=')).collect();
    if pairs.get("sentry_version") != Some(&"7")
        || !pairs.get("sentry_client").is_some_and(|client| client.contains('/'))
    {
        return Some(refuse(400, "version or client"));
    }
    (pairs.get("sentry_key") != Some(&KEY)).then(|| refuse(403, "ProjectId"))
}

/// Takes the body apart, byte by byte.
fn read(request: &mut Request) -> Result<(), Refusal> {
    request.envelope = decode(request)?;
    let parsed = envelope::parse(&request.envelope).map_err(|error| refuse(400, error.to_string()))?;
    let mut profiles = 0;
    for item in &parsed.items {
        let payload = item.payload(&request.envelope);
        match item.kind() {
            "profile_chunk" | "profile" => {
                profiles += 1;
                request.chunk = Some(read_chunk(item.header("platform"), payload)?);
            }
            "client_report" => {
                request.report = Some(serde_json::from_slice(payload).map_err(|error| refuse(400, error.to_string()))?);
            }
            kind => return Err(refuse(400, format!("item {kind} is not one of ours"))),
        }
    }
    if parsed.header("sent_at").is_none() {
        return Err(refuse(400, "no sent_at"));
    }
    if profiles > 1 { Err(refuse(413, "more than one chunk")) } else { Ok(()) }
}

fn decode(request: &Request) -> Result<Vec<u8>, Refusal> {
    match request.header("content-encoding") {
        None => Ok(request.raw.clone()),
        Some("gzip") => {
            let mut whole = Vec::new();
            let mut decoder = GzDecoder::new(request.raw.as_slice()).take(ENVELOPE_BYTES_MAX);
            decoder.read_to_end(&mut whole).map_err(|error| refuse(400, error.to_string()))?;
            Ok(whole)
        }
        Some(other) => Err(refuse(400, format!("encoding {other}"))),
    }
}

fn read_chunk(platform: Option<&str>, payload: &[u8]) -> Result<Chunk, Refusal> {
    let json: Value = serde_json::from_slice(payload).map_err(|error| refuse(400, error.to_string()))?;
    let chunk_id = json.get("chunk_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let refusals = check(payload, platform).iter().map(|refusal| format!("{refusal:?}")).collect();
    Ok(Chunk { chunk_id, platform: platform.unwrap_or_default().to_owned(), payload: payload.to_vec(), refusals })
}

/// `reason category quantity` of all reports together.
pub(super) fn sum_reports<'r>(reports: impl Iterator<Item = &'r Value>) -> Vec<String> {
    let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
    for row in reports.filter_map(|report| report.get("discarded_events")?.as_array()).flatten() {
        let word = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
        *sums.entry((word("reason"), word("category"))).or_default() +=
            row.get("quantity").and_then(Value::as_u64).unwrap_or(0);
    }
    sums.into_iter().map(|((reason, category), quantity)| format!("{reason} {category} {quantity}")).collect()
}
