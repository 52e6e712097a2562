//! What must hold for any bytes found in the state folder, told by a server or given as a DSN: the body of the fuzz
//! target, and of the test that replays its corpus.

use std::{
    fs::File,
    io::{Seek, Write},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use profile::{
    chunk::{BYTES_MAX, ChunkBuilder},
    feed::Event,
    frame::Frame,
    id::{Pid, ProfilerId},
    session::{Anchor, SessionInfo},
    stack::NativeFrame,
    wire,
};

use super::{
    dsn::Dsn,
    journal::{Header, MAGIC, RecoveredSession},
    limits::{Category, Headers, LIMIT_MAX, retry_after, told},
    records, spool,
};

/// What the first byte says the rest is: `j` a journal, `h` its records without checksums, `e` its events, `s` a chunk of
/// the spool, `d` a DSN, `l` rate limits. A record is its length (u16, little-endian) and its payload.
///
/// # Panics
/// When a promise is broken; never, if all is well.
pub fn shipped(bytes: &[u8]) {
    let Some((what, rest)) = bytes.split_first() else { return };
    match what {
        b'j' => journal(rest),
        b'h' => journal(&with_checksums(Vec::new(), rest)),
        b'e' => journal(&with_checksums(own_header(), rest)),
        b's' => spooled(rest),
        b'd' => dsn(&String::from_utf8_lossy(rest)),
        b'l' => limits(&String::from_utf8_lossy(rest)),
        _ => {}
    }
}

/// Reads a journal back and makes a chunk of it, as after a death.
fn journal(bytes: &[u8]) {
    let Some(mut dead) = in_memory(bytes).and_then(|file| RecoveredSession::begin(file, Path::new("memory")).ok()?)
    else {
        return;
    };
    let start_ns = dead.header.start_ns;
    // A header that is whole but senseless makes a chunk that a server refuses; so that of a real session.
    let mut builder = ChunkBuilder::new(session(), start_ns);
    let (mut count, mut last_ns) = (0, start_ns);
    for event in &mut dead {
        let again = postcard::to_stdvec(&event).ok().and_then(|bytes| postcard::from_bytes::<Event>(&bytes).ok());
        // As text: a number that is none is not even equal to itself.
        assert_eq!(format!("{again:?}"), format!("{:?}", Some(&event)), "an event changes when it is written");
        if let Event::Tick { at_ns } = event {
            last_ns = at_ns;
        }
        builder.apply(&event);
        count += 1;
    }
    assert!(count * (records::HEADER_BYTES + 1) <= bytes.len(), "more events than there are bytes for");
    let mut nameless = |_: &NativeFrame| Arc::from([Frame::default()]);
    if let Some(chunk) = builder.close(last_ns.saturating_add(1000), &mut nameless) {
        assert!(chunk.payload.len() <= BYTES_MAX, "a chunk of {} bytes", chunk.payload.len());
        assert_eq!(wire::check(&chunk.payload, Some(chunk.platform.as_str())), [], "receivers would refuse it");
    }
}

fn session() -> SessionInfo {
    let anchor = Anchor { unix_ns: 1_790_000_000_000_000_000, monotonic_ns: 1_000_000_000 };
    SessionInfo::new(ProfilerId(uuid::Uuid::from_u128(7)), anchor, 101.0, Pid(77))
}

fn own_header() -> Vec<u8> {
    let header = postcard::to_stdvec(&Header { session: session(), start_ns: 2_000_000_000 }).unwrap_or_default();
    let mut input = u16::try_from(header.len()).unwrap_or(0).to_le_bytes().to_vec();
    input.extend(header);
    input
}

/// A journal of these records.
fn with_checksums(mut input: Vec<u8>, rest: &[u8]) -> Vec<u8> {
    input.extend(rest);
    let mut file = MAGIC.to_vec();
    let mut input = input.as_slice();
    while let Some((len, rest)) = input.split_first_chunk() {
        let (payload, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into()).unwrap_or((rest, &[]));
        let done: Result<bool, ()> = records::append(&mut file, |buffer| {
            buffer.extend(payload);
            Ok(())
        });
        assert_eq!(done, Ok(true), "a record is not taken");
        input = rest;
    }
    file
}

fn in_memory(bytes: &[u8]) -> Option<File> {
    let mut file = File::from(memfd_create(c"journal", MFdFlags::MFD_CLOEXEC).ok()?);
    file.write_all(bytes).ok()?;
    file.rewind().ok()?;
    Some(file)
}

fn spooled(bytes: &[u8]) {
    let mut reader = bytes;
    let Some(header) = spool::read_header(&mut reader) else { return };
    let payload = spool::read_payload(&mut reader, &header);
    assert!(payload.is_none_or(|payload| bytes.ends_with(&payload)), "a payload that is not in the file");
    let line = serde_json::to_vec(&header).unwrap_or_default();
    let again = spool::read_header(&mut line.as_slice());
    assert!(again.as_ref() == Some(&header) || line.len() > 4096, "{header:?} changes when it is written");
}

fn dsn(text: &str) {
    let Ok(dsn) = text.parse::<Dsn>() else { return };
    let url = dsn.envelope_url();
    let scheme = if dsn.is_https() { "https://" } else { "http://" };
    assert!(url.starts_with(scheme) && url.ends_with("/envelope/") && url.parse::<reqwest::Url>().is_ok(), "{url}");
    let folder = dsn.folder_name();
    assert!(!folder.contains(['/', '\0']) && folder.len() > 2, "{folder} is no name of a folder");
    let auth = dsn.auth("sentry-profiled/1");
    assert!(auth.as_ref().is_some_and(reqwest::header::HeaderValue::is_sensitive), "no auth header");
    let auth = auth.as_ref().and_then(|auth| auth.to_str().ok()).unwrap_or_default();
    let told = format!("{dsn} {dsn:?} {folder} {}", dsn.redact(auth));
    for name in ["sentry_key=", "sentry_secret="] {
        let secret = auth.split_once(name).map(|(_, rest)| rest.split(',').next().unwrap_or_default());
        // One that stands in the path as well is no secret.
        let Some(secret) = secret.filter(|secret| secret.len() >= 16 && !url.contains(*secret)) else {
            continue;
        };
        assert!(!told.contains(secret), "{told} tells {secret}");
    }
}

fn limits(text: &str) {
    // 2026, so that dates lie before and after it.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let (rate_limits, after) = text.split_once('\n').unwrap_or((text, ""));
    assert!(retry_after(after, now).is_none_or(|wait| wait <= LIMIT_MAX), "a wait without a bound");
    for status in [200, 429] {
        let answer = Headers { status, rate_limits: Some(rate_limits), retry_after: Some(after) };
        for category in Category::ALL {
            let wait = told(answer, category, Some(Category::ProfileChunk), now);
            assert!(wait.is_none_or(|wait| !wait.is_zero() && wait <= LIMIT_MAX), "{wait:?} is no limit");
            let refused = status == 429 && category == Category::ProfileChunk;
            assert!(!refused || wait.is_some(), "a chunk that was refused is sent again at once");
        }
    }
}
