//! `/export`: the same answers as files that other tools read.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use profile::{
    export::{Options, View, collapsed, firefox, pprof, speedscope},
    received::Received,
    wire,
};
use store::{item::Selection, query::Queries, tree::Shape};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
};
use tracing::warn;

use super::{Turn, error::ApiError, parameters::Parameters, reply::Reply, view};

/// A reader that takes nothing for so long is left.
const READER_MAX: Duration = Duration::from_secs(30);
/// And, after that time, one that has taken less than this, bytes a second.
const READER_RATE: u64 = 64 << 10;
/// Exports in pieces at a time: their readers set the pace, and must not hold up other questions.
static EXPORTS: Semaphore = Semaphore::const_new(4);
/// Names repeat in every stack of collapsed ones: a kilobyte from a hostile sender would become gigabytes.
const COLLAPSED_BYTES_MAX: u64 = 256 << 20;
/// Chunks on their way to a reader.
const ON_THE_WAY: usize = 2;

/// What an export is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One line a distinct stack, with its microseconds.
    Collapsed,
    /// For speedscope.app.
    Speedscope,
    /// For `go tool pprof`.
    Pprof,
    /// For profiler.firefox.com.
    Firefox,
    /// Sentry's sample format v2, one chunk a line.
    Sentry,
}

impl Format {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("collapsed", Self::Collapsed),
        ("speedscope", Self::Speedscope),
        ("pprof", Self::Pprof),
        ("firefox", Self::Firefox),
        ("sentry", Self::Sentry),
    ];

    fn of(parameters: &Parameters) -> Result<Self, ApiError> {
        let name = parameters.get("format").unwrap_or("collapsed");
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        let hint = || format!("write one of {}", Self::ALL.map(|(name, _)| name).join(", "));
        found.map(|(_, format)| *format).ok_or_else(|| ApiError::parameter("format", "is not known", hint()))
    }

    /// Its media type and how its files end.
    fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Collapsed => ("text/plain; charset=utf-8", "collapsed.txt"),
            Self::Speedscope => ("application/json", "speedscope.json"),
            Self::Pprof => ("application/gzip", "pb.gz"),
            Self::Firefox => ("application/json", "firefox.json"),
            Self::Sentry => ("application/x-ndjson", "sentry.ndjson"),
        }
    }
}

/// `/export`
pub(crate) fn export(queries: &Queries, parameters: &Parameters, turn: Turn) -> Result<Reply, ApiError> {
    let (format, selection) = (Format::of(parameters)?, parameters.selection()?);
    let lines = parameters.flag("lines")?;
    let is_timeline = is_timeline(parameters)?;
    let (kind, end) = format.kind();
    let name = format!("project-{}-{}.{end}", selection.project.0, selection.from_us / 1_000_000);
    if format == Format::Sentry {
        // Its turn is over: from here on the reader sets the pace.
        drop(turn);
        return Ok(Reply::Pieces { kind, name, pieces: chunks(queries, selection)? });
    }
    let view = if is_timeline {
        view::of_timeline(&queries.timeline(&selection, lines)?.of, &selection)
    } else {
        view::of_tree(&queries.tree(&selection, Shape { lines, inverted: false, states: false })?.of, &selection)
    };
    if format == Format::Collapsed && collapsed::size(&view, Options { lines }) > COLLAPSED_BYTES_MAX {
        let hint = "ask for a shorter window or one thread, or for speedscope or pprof, which say each name once";
        return Err(ApiError::parameter("format", "would be more than 256 MiB of collapsed stacks", hint));
    }
    let mut bytes = Vec::new();
    write(format, &view, lines, &mut bytes).map_err(|_| ApiError::Broken)?;
    Ok(Reply::File { kind, name, bytes })
}

fn is_timeline(parameters: &Parameters) -> Result<bool, ApiError> {
    match parameters.get("view") {
        None | Some("tree") => Ok(false),
        Some("timeline") => Ok(true),
        Some(_) => Err(ApiError::parameter("view", "is not known", "write tree or timeline")),
    }
}

fn write(format: Format, view: &View, lines: bool, out: &mut Vec<u8>) -> std::io::Result<()> {
    match format {
        Format::Collapsed => collapsed::write(view, Options { lines }, out),
        Format::Speedscope => speedscope::write(view, out),
        Format::Pprof => pprof::write(view, out),
        Format::Firefox => firefox::write(view, out),
        // Goes out in pieces.
        Format::Sentry => Ok(()),
    }
}

/// Chunk by chunk: all that is kept may be more than fits into memory.
fn chunks(queries: &Queries, selection: Selection) -> Result<mpsc::Receiver<Result<Bytes, ApiError>>, ApiError> {
    let place = EXPORTS.try_acquire().map_err(|_| ApiError::Busy)?;
    let (to, pieces) = mpsc::channel(ON_THE_WAY);
    let (queries, runtime) = (queries.clone(), Handle::current());
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let (began, mut bytes) = (Instant::now(), 0_u64);
        let mut send = |piece: Result<Bytes, ApiError>| {
            bytes = bytes.saturating_add(piece.as_ref().map_or(0, |piece| piece.len() as u64));
            let is_in_time = began.elapsed() <= READER_MAX + Duration::from_secs(bytes / READER_RATE);
            is_in_time
                && runtime.block_on(tokio::time::timeout(READER_MAX, to.send(piece))).is_ok_and(|sent| sent.is_ok())
        };
        let done = queries.received(&selection, &mut |_, received| send(line(&received)));
        match done {
            Ok(covers) if covers.damaged.is_empty() => {}
            Ok(covers) => warn!(damaged = covers.damaged.len(), "An export goes without what is damaged."),
            Err(error) => {
                send(Err(error.into()));
            }
        }
    });
    Ok(pieces)
}

fn line(received: &Received) -> Result<Bytes, ApiError> {
    let mut line = Vec::new();
    wire::write(received, &mut line).map_err(|_| ApiError::Broken)?;
    line.push(b'\n');
    Ok(line.into())
}
