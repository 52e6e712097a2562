//! Reads of headers with a bound. A file may state tables of any length, and a sparse one has them: `object` reads them
//! whole, and through a cache that would be as much memory as the file is long.

use std::ops::Range;

use object::ReadRef;

/// Longer tables are refused: 16,384 section headers, 18,724 program headers. Chromium has 40 and 12.
const READ_MAX: u64 = 1 << 20;
/// Longer names are no name that is looked for; `.eh_frame_hdr` has 13 bytes.
const NAME_MAX: u64 = 32;

/// The same bytes, as far as they may be read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capped<R>(pub(crate) R);

impl<'d, R: ReadRef<'d>> ReadRef<'d> for Capped<R> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'d [u8], ()> {
        if size > READ_MAX { Err(()) } else { self.0.read_bytes_at(offset, size) }
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'d [u8], ()> {
        let end = range.end.min(range.start.saturating_add(NAME_MAX));
        self.0.read_bytes_at_until(range.start..end, delimiter)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, Read, Seek, SeekFrom};

    use object::{ReadRef as _, read::ReadCache};

    use super::*;

    /// A sparse file of 1 TiB, that is not read.
    struct Sparse;

    impl Read for Sparse {
        fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
            assert!(into.len() <= 1 << 20, "{} bytes are read at once", into.len());
            into.fill(0);
            Ok(into.len())
        }
    }

    impl Seek for Sparse {
        fn seek(&mut self, to: SeekFrom) -> Result<u64, Error> {
            let SeekFrom::Start(at) = to else { return Ok(1 << 40) };
            Ok(at)
        }
    }

    /// Check that what a sparse file states is not taken into memory, and that names end.
    #[test]
    fn sparse_file() {
        let cache = ReadCache::new(Sparse);
        let capped = Capped(&cache);
        assert_eq!(capped.len(), Ok(1 << 40));
        assert_eq!(capped.read_bytes_at(0, 1 << 39), Err(()));
        assert_eq!(capped.read_bytes_at(1 << 39, 4), Ok(&[0; 4][..]));
        assert_eq!(capped.read_bytes_at_until(0..1 << 39, 1), Err(()));
        assert_eq!(Capped(&b"ab\0"[..]).read_bytes_at_until(0..3, 0), Ok(&b"ab"[..]));
    }
}
