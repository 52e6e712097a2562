//! Records of an append-only file: each with its length and a checksum, so that the end of a file that was cut anywhere
//! is found. Knows nothing of what a record means.
//!
//! ```text
//! record := length u32 LE, crc32 u32 LE (of the payload), payload [length]
//! ```

use std::io::{self, Read};

/// No record is longer; what claims to be is damage. The longest real one is a stack of 1024 frames, some 14 KiB.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;

/// Length and checksum.
pub(super) const HEADER_BYTES: usize = 8;

/// Appends a record to `buffer`, whose payload is written by `fill`. Nothing is appended if that fails or is too long.
pub(super) fn append<E>(buffer: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<bool, E> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    let filled = fill(buffer);
    let payload = buffer.get(start.saturating_add(HEADER_BYTES)..).unwrap_or_default();
    if filled.is_err() || payload.len() > RECORD_BYTES_MAX {
        buffer.truncate(start);
        return filled.map(|()| false);
    }
    let (length, crc) = (u32::try_from(payload.len()).unwrap_or(u32::MAX), crc32fast::hash(payload));
    let header = length.to_le_bytes().into_iter().chain(crc.to_le_bytes());
    for (to, from) in buffer.iter_mut().skip(start).zip(header) {
        *to = from;
    }
    Ok(true)
}

/// Reads the next record into `payload`. `false` at the end, or at the first record that is not whole: what comes
/// after it is not to be trusted either.
pub(super) fn next(from: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<bool> {
    let mut header = [0; HEADER_BYTES];
    if !fill(from, &mut header)? {
        return Ok(false);
    }
    let (length, crc) = header.split_at(4);
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    let length = usize::try_from(number(length)).unwrap_or(usize::MAX);
    if length == 0 || length > RECORD_BYTES_MAX {
        return Ok(false);
    }
    payload.resize(length, 0);
    Ok(fill(from, payload)? && crc32fast::hash(payload) == number(crc))
}

fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(payloads: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        for payload in payloads {
            let fill = |buffer: &mut Vec<u8>| {
                buffer.extend_from_slice(payload);
                Ok::<(), ()>(())
            };
            assert_eq!(append(&mut file, fill), Ok(true));
        }
        file
    }

    fn read(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut all, mut payload) = (Vec::new(), Vec::new());
        while next(&mut bytes, &mut payload).unwrap() {
            all.push(payload.clone());
        }
        all
    }

    /// Check that a file cut at any byte gives the records that are whole.
    #[test]
    fn cut_anywhere() {
        let payloads: [&[u8]; 3] = [b"a", b"bcd", &[7; 300]];
        let (whole, ends) = (file(&payloads), [9, 9 + 11, 9 + 11 + 308]);
        for cut in 0..=whole.len() {
            let expected = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(read(&whole[..cut]), payloads[..expected], "cut at {cut}");
        }
    }

    /// Check that a flipped bit anywhere ends the reading at that record.
    #[test]
    fn flipped_anywhere() {
        let payloads: [&[u8]; 2] = [b"first", b"second"];
        let whole = file(&payloads);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let expected = usize::from(bit / 8 >= 13);
            assert_eq!(read(&bytes), payloads[..expected], "bit {bit}");
        }
    }

    /// Check that a record that is too long is not written, and leaves no trace.
    #[test]
    fn too_long() {
        let mut buffer = vec![1, 2, 3];
        let fill = |buffer: &mut Vec<u8>| {
            buffer.resize(buffer.len() + RECORD_BYTES_MAX + 1, 0);
            Ok::<(), ()>(())
        };
        assert_eq!(append(&mut buffer, fill), Ok(false));
        assert_eq!(append(&mut buffer, |_| Err("no")), Err("no"));
        assert_eq!(buffer, [1, 2, 3]);
    }
}
