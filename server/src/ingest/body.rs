//! The bytes of a request: collected within a time, decompressed within a size, both within the budget of all requests. A
//! decompressor is stopped at the cap, so a bomb costs what the cap allows.

use std::{
    io::{self, Write},
    time::Duration,
};

use axum::{body::Body, http::HeaderMap};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::NotTaken;
use crate::{budget::Lease, settings::Limits};

/// What a decompressed envelope grows by, bytes.
const STEP: usize = 256 << 10;
/// Brotli's own buffer, bytes.
const BROTLI_BUFFER: usize = 4096;
/// Zstandard: a window larger than 8 MiB is refused. SDKs' encoders stay below; Relay sends 4 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// What a decompressor holds for itself at most, bytes: Brotli's largest window is 16 MiB, Zstandard's here 8.
const WINDOW: usize = 18 << 20;

/// How long a refused body is still read: 100 MB at 400 Mbit/s.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// How a body is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Encoding {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, NotTaken> {
        let unknown = || NotTaken::BadRequest("content-encoding is none of gzip, deflate, br, zstd".to_owned());
        let mut found = Self::Identity;
        for value in headers.get_all("content-encoding") {
            let value = value.to_str().map_err(|_| unknown())?.trim().to_ascii_lowercase();
            let encoding = match value.as_str() {
                "" | "identity" | "utf-8" | "utf8" => continue,
                "gzip" | "x-gzip" => Self::Gzip,
                "deflate" => Self::Deflate,
                "br" => Self::Brotli,
                "zstd" => Self::Zstd,
                _ => return Err(unknown()),
            };
            if found != Self::Identity {
                return Err(unknown());
            }
            found = encoding;
        }
        Ok(found)
    }
}

/// The body as it came.
pub(super) async fn collect(
    body: &mut Body,
    encoding: Encoding,
    limits: &Limits,
    lease: &mut Lease,
) -> Result<Vec<u8>, NotTaken> {
    let max = if encoding == Encoding::Identity { limits.envelope_bytes } else { limits.compressed_bytes };
    let too_large = || NotTaken::TooLarge(format!("body has more than {max} bytes"));
    let announced = axum::body::HttpBody::size_hint(body).lower();
    if announced > max as u64 {
        return Err(too_large());
    }
    let deadline = Instant::now() + limits.body_time;
    let mut bytes = Vec::new();
    loop {
        let frame = timeout_at(deadline, timeout(limits.body_pause, body.frame())).await;
        let Ok(Ok(frame)) = frame else { return Err(NotTaken::Slow) };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| NotTaken::BadRequest(format!("body is cut: {error}")))?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > max {
            return Err(too_large());
        }
        lease.grow(data.len()).map_err(|_| NotTaken::Overloaded)?;
        let more = usize::try_from(announced).unwrap_or(max).saturating_sub(bytes.len());
        if more >= data.len() && bytes.capacity() - bytes.len() < data.len() {
            // In large steps, for each is a copy; but no further than was announced, and only once much of it is there.
            bytes.reserve_exact(more.min(bytes.len() * 4 + STEP).max(data.len()));
        }
        bytes.extend_from_slice(data);
    }
    // What a growing vector has beyond its bytes is not in the lease.
    bytes.shrink_to_fit();
    if bytes.is_empty() { Err(NotTaken::BadRequest("body is empty".to_owned())) } else { Ok(bytes) }
}

/// Reads what is left of a body that nobody wants, for a while.
pub(super) async fn discard(body: &mut Body) {
    let _ = timeout(DISCARD_TIME, async { while let Some(Ok(_)) = body.frame().await {} }).await;
}

/// The envelope. Gives back what the compressed bytes took.
pub(super) fn decode(
    sent: Vec<u8>,
    encoding: Encoding,
    limits: &Limits,
    lease: &mut Lease,
) -> Result<Vec<u8>, NotTaken> {
    if encoding == Encoding::Identity {
        return Ok(sent);
    }
    lease.grow(WINDOW).map_err(|_| NotTaken::Overloaded)?;
    let mut capped = Capped { bytes: Vec::new(), max: limits.envelope_bytes, lease, stopped: None };
    let decoded = decompress(&sent, encoding, &mut capped);
    let Capped { bytes, stopped, .. } = capped;
    if let Some(stopped) = stopped {
        return Err(stopped);
    }
    decoded.map_err(|error| NotTaken::BadRequest(format!("body cannot be decompressed: {error}")))?;
    lease.shrink(WINDOW + sent.len());
    Ok(bytes)
}

fn decompress(sent: &[u8], encoding: Encoding, out: &mut Capped<'_>) -> io::Result<()> {
    match encoding {
        Encoding::Identity => out.write_all(sent),
        Encoding::Gzip => copy(flate2::read::MultiGzDecoder::new(sent), out),
        Encoding::Deflate => copy(flate2::read::ZlibDecoder::new(sent), out),
        Encoding::Brotli => copy(brotli::Decompressor::new(sent, BROTLI_BUFFER), out),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(sent)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            copy(decoder, out)
        }
    }
}

fn copy(mut from: impl io::Read, to: &mut Capped<'_>) -> io::Result<()> {
    io::copy(&mut from, to).map(|_| ())
}

/// Takes bytes up to a cap and as far as the budget reaches.
struct Capped<'l> {
    bytes: Vec<u8>,
    max: usize,
    lease: &'l mut Lease,
    stopped: Option<NotTaken>,
}

impl Capped<'_> {
    /// Room for `more`, in steps, so that the lease is what is allocated.
    fn reserve(&mut self, more: usize) -> Result<(), NotTaken> {
        let needed = self.bytes.len() + more;
        if needed > self.max {
            return Err(NotTaken::TooLarge(format!("envelope has more than {} bytes", self.max)));
        }
        let there = self.bytes.capacity();
        if needed > there {
            let grown = needed.max(there + there / 2).max(STEP).min(self.max);
            self.lease.grow(grown - there).map_err(|_| NotTaken::Overloaded)?;
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        Ok(())
    }
}

impl Write for Capped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(stopped) = self.reserve(bytes.len()) {
            self.stopped = Some(stopped);
            return Err(io::Error::other("stopped"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
