//! Segment files: records one behind the other, never changed once written. Knows no catalogue.
//!
//! A file is `partitions/HOUR/segment-N`: HOUR is the hour of arrival in UTC (`2026-11-27T02`), N counts on over the whole
//! store. It begins with [`FILE_MAGIC`]. A record is a head of 64 bytes, all numbers little endian, and five bodies:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `SPR1` |
//! | 4 | 4 | 1: a profile, 2: a block of many |
//! | 8 | 8 | project |
//! | 16 | 20 | lengths of description, symbols, aggregate, timeline, measurements |
//! | 36 | 20 | their CRC-32 |
//! | 56 | 4 | 0 |
//! | 60 | 4 | CRC-32 of bytes 0 to 59 |
//! | 64 | | the five bodies |
//!
//! The description of a profile is its `Head` as JSON, so that a store without its catalogue can be understood; that of a
//! block is empty. What of a file lies behind the length that the catalogue has committed does not count.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
};

use crate::chunk_store::{Sections, Want};

/// What every segment begins with: name and version of the format.
pub(super) const FILE_MAGIC: &[u8; 16] = b"sentryprof seg 1";
const RECORD_MAGIC: &[u8; 4] = b"SPR1";
/// Bytes of a record before its bodies.
pub(super) const HEAD_BYTES: usize = 64;
/// A body is not larger. The sections' own limit unpacked is as large.
const BODY_BYTES_MAX: u32 = 256 << 20;

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A profile.
    Profile = 1,
    /// A block.
    Block = 2,
}

/// A record's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RecordHead {
    kind: u32,
    project: u64,
    lengths: [u32; 5],
    sums: [u32; 5],
}

/// Appends a record to `out`.
pub(super) fn write(out: &mut Vec<u8>, kind: Kind, project: u64, description: &[u8], sections: &Sections) {
    let bodies: [&[u8]; 5] =
        [description, &sections.symbols, &sections.aggregate, &sections.timeline, &sections.measurements];
    let start = out.len();
    out.extend_from_slice(RECORD_MAGIC);
    out.extend_from_slice(&(kind as u32).to_le_bytes());
    out.extend_from_slice(&project.to_le_bytes());
    for body in bodies {
        out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    }
    for body in bodies {
        out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    let sum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&sum.to_le_bytes());
    for body in bodies {
        out.extend_from_slice(body);
    }
}

/// Bytes that a record takes.
pub(super) fn record_bytes(description: &[u8], sections: &Sections) -> u64 {
    let bodies = [description, &sections.symbols, &sections.aggregate, &sections.timeline, &sections.measurements]
        .map(<[u8]>::len);
    (HEAD_BYTES + bodies.iter().sum::<usize>()) as u64
}

impl RecordHead {
    fn parse(bytes: &[u8; HEAD_BYTES]) -> Result<Self, String> {
        let number =
            |at: usize| bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes);
        if !bytes.starts_with(RECORD_MAGIC) {
            return Err("no record begins here".to_owned());
        }
        if crc32fast::hash(bytes.get(..60).unwrap_or_default()) != number(60) {
            return Err("the checksum of its head is wrong".to_owned());
        }
        let lengths = [16, 20, 24, 28, 32].map(number);
        if lengths.iter().any(|length| *length > BODY_BYTES_MAX) {
            return Err("a section is too long".to_owned());
        }
        let project = u64::from(number(8)) | u64::from(number(12)) << 32;
        Ok(Self { kind: number(4), project, lengths, sums: [36, 40, 44, 48, 52].map(number) })
    }
}

/// What a record says of itself, and the sections that are wanted, checked.
pub(super) fn read(file: &File, offset: u64, want: Want) -> Result<Sections, String> {
    let head = read_head(file, offset)?;
    let body = |at: usize, name: &str, is_wanted: bool| {
        if is_wanted { read_body(file, offset, &head, at, name) } else { Ok(Vec::new()) }
    };
    Ok(Sections {
        symbols: body(1, "symbols", want.symbols)?,
        aggregate: body(2, "sums", want.aggregate)?,
        timeline: body(3, "samples", want.timeline)?,
        measurements: body(4, "measurements", want.measurements)?,
    })
}

fn read_head(file: &File, offset: u64) -> Result<RecordHead, String> {
    let mut head = [0; HEAD_BYTES];
    read_at(file, &mut head, offset)?;
    RecordHead::parse(&head)
}

fn read_body(file: &File, offset: u64, head: &RecordHead, at: usize, name: &str) -> Result<Vec<u8>, String> {
    let before: u64 = head.lengths.iter().take(at).map(|length| u64::from(*length)).sum();
    let length = head.lengths.get(at).copied().unwrap_or(0);
    let mut body = vec![0; length as usize];
    read_at(file, &mut body, offset.saturating_add(HEAD_BYTES as u64).saturating_add(before))?;
    if crc32fast::hash(&body) == head.sums.get(at).copied().unwrap_or(0) {
        Ok(body)
    } else {
        Err(format!("the checksum of its {name} is wrong"))
    }
}

fn read_at(file: &File, into: &mut [u8], at: u64) -> Result<(), String> {
    file.read_exact_at(into, at).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => "the file ends before".to_owned(),
        _ => format!("it cannot be read: {error}"),
    })
}

/// Whether a file is a segment of this format.
pub(super) fn is_segment(file: &File) -> io::Result<bool> {
    let mut magic = [0; FILE_MAGIC.len()];
    match file.read_exact_at(&mut magic, 0) {
        Ok(()) => Ok(&magic == FILE_MAGIC),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
