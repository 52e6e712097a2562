//! Numbers and texts to bytes and back, and the compression around them. Knows nothing of profiles.
//!
//! A section is its length unpacked (u32, little endian) and one zstd frame. In it stand numbers (LEB128) and columns: a
//! column is a width (a byte, 0 to 8) and, for each byte of that width, low ones first, that byte of every number. The high
//! bytes of most columns are nearly constant, and each plane is a block of the frame with an entropy table of its own.

use std::{cell::RefCell, io::Write};

use thiserror::Error;
use zstd::bulk::Decompressor;

/// Level 3 is zstd's default: level 9 takes 4 times as long for 4 % less.
const LEVEL: i32 = 3;
/// A section is not larger unpacked. The largest chunk that a receiver takes has 50 MiB of JSON.
pub const SECTION_BYTES_MAX: usize = 256 << 20;
/// A plane that is shorter is not given a block of its own: the block's header and table would cost more.
const BLOCK_BYTES_MIN: usize = 512;

/// Why bytes are no section.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Broken {
    /// They end too early.
    #[error("it ends too early")]
    Short,
    /// More than the sizes say.
    #[error("it has more bytes than it says")]
    Long,
    /// Not what zstd has written.
    #[error("it cannot be unpacked")]
    Packed,
    /// A number that refers to nothing.
    #[error("{0} refers to nothing")]
    Reference(&'static str),
    /// More of something than any profile has.
    #[error("it has too many {0}")]
    TooMany(&'static str),
    /// Not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A number that is larger than it may be.
    #[error("a number is too large")]
    Number,
}

/// Collects a section.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// Where blocks end.
    cuts: Vec<usize>,
}

impl Writer {
    pub(super) fn number(&mut self, number: u64) {
        let mut rest = number;
        while rest >= 0x80 {
            self.bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push((rest & 0x7f) as u8);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        self.cut(bytes.len());
    }

    /// Numbers of a known count: who reads them must know it.
    #[allow(clippy::needless_pass_by_value, reason = "an iterator is made to be given away")]
    pub(super) fn column(&mut self, numbers: impl Iterator<Item = u64> + Clone) {
        let widest = numbers.clone().fold(0, |all, number| all | number);
        let width = (u64::BITS - widest.leading_zeros()).div_ceil(8);
        self.bytes.push((width & 0xff) as u8);
        for plane in 0..width {
            let before = self.bytes.len();
            self.bytes.extend(numbers.clone().map(|number| (number >> (8 * plane) & 0xff) as u8));
            self.cut(self.bytes.len().saturating_sub(before));
        }
    }

    fn cut(&mut self, length: usize) {
        if length >= BLOCK_BYTES_MIN {
            self.cuts.push(self.bytes.len());
        }
    }

    /// `None`: larger than a section may be.
    pub(super) fn pack(self) -> Option<Vec<u8>> {
        let length = self.bytes.len();
        if length > SECTION_BYTES_MAX {
            return None;
        }
        let mut packed = u32::try_from(length).ok()?.to_le_bytes().to_vec();
        let mut encoder = zstd::stream::write::Encoder::new(&mut packed, LEVEL).ok()?;
        // Tables for what comes, not for the largest window: to clear those took a third of the time of a small section.
        encoder.set_pledged_src_size(Some(length as u64)).ok()?;
        let mut from = 0;
        for to in self.cuts.iter().copied().chain([length]) {
            encoder.write_all(self.bytes.get(from..to)?).ok()?;
            if to < length {
                encoder.flush().ok()?;
            }
            from = to;
        }
        encoder.finish().ok()?;
        Some(packed)
    }
}

thread_local! {
    /// What it is made of are 160 KB, which are not asked for anew for each of the sections of an answer.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Unpacks a section.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Broken> {
    let (length, frame) = packed.split_first_chunk::<4>().ok_or(Broken::Short)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > SECTION_BYTES_MAX {
        return Err(Broken::TooMany("bytes"));
    }
    let bytes = DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        kept.as_mut().ok_or(Broken::Packed)?.decompress(frame, length).map_err(|_| Broken::Packed)
    })?;
    if bytes.len() == length { Ok(bytes) } else { Err(Broken::Short) }
}

/// Packs bytes that are no section's.
#[cfg(test)]
pub(super) fn repack(bytes: &[u8]) -> Vec<u8> {
    Writer { bytes: bytes.to_vec(), cuts: Vec::new() }.pack().unwrap()
}

/// Reads an unpacked section.
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn end(self) -> Result<(), Broken> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Broken::Long) }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'b [u8], Broken> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Broken::Short)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        let (byte, rest) = self.bytes.split_first().ok_or(Broken::Short)?;
        self.bytes = rest;
        Ok(*byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, Broken> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Broken::Number)
    }

    /// A number that is at most `most`, as a count of `what`.
    pub(super) fn count(&mut self, most: usize, what: &'static str) -> Result<usize, Broken> {
        let number = self.number()?;
        usize::try_from(number).ok().filter(|count| *count <= most).ok_or(Broken::TooMany(what))
    }

    pub(super) fn raw(&mut self) -> Result<&'b [u8], Broken> {
        let length = self.count(SECTION_BYTES_MAX, "bytes")?;
        self.take(length)
    }

    pub(super) fn column(&mut self, count: usize) -> Result<Vec<u64>, Broken> {
        let width = self.byte()?;
        if width > 8 {
            return Err(Broken::Number);
        }
        let mut numbers = vec![0_u64; count];
        for plane in 0..width {
            for (number, byte) in numbers.iter_mut().zip(self.take(count)?) {
                *number |= u64::from(*byte) << (8 * plane);
            }
        }
        Ok(numbers)
    }

    /// A column whose numbers fit in 32 bits.
    pub(super) fn column32(&mut self, count: usize) -> Result<Vec<u32>, Broken> {
        let width = self.byte()?;
        if width > 4 {
            return Err(Broken::Number);
        }
        let mut numbers = vec![0_u32; count];
        for plane in 0..width {
            for (number, byte) in numbers.iter_mut().zip(self.take(count)?) {
                *number |= u32::from(*byte) << (8 * plane);
            }
        }
        Ok(numbers)
    }
}

/// Signed numbers as small ones: 0, -1, 1, -2 ...
pub(super) fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

/// The way back.
pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Check that numbers and columns come back as they went in, and that a shorter section is refused.
        #[test]
        fn round_trip(numbers in proptest::collection::vec(any::<u64>(), 0..2000), signed in any::<i64>()) {
            let mut writer = Writer::default();
            writer.column(numbers.iter().copied());
            numbers.iter().for_each(|number| writer.number(*number));
            let packed = writer.pack().unwrap();
            let bytes = unpack(&packed).unwrap();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(&reader.column(numbers.len()).unwrap(), &numbers);
            for number in &numbers {
                prop_assert_eq!(reader.number().unwrap(), *number);
            }
            reader.end().unwrap();
            prop_assert!(unpack(&packed[..packed.len() - 1]).is_err());
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }
}
