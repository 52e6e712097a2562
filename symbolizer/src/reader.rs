//! Lets gimli and addr2line read a section page by page.

use std::{borrow::Cow, sync::Arc};

use gimli::{Error, LittleEndian, ReaderOffsetId};

use crate::section::PagedSection;

/// A place in a section, and how far it may read.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pages: Arc<PagedSection>,
    at: usize,
    len: usize,
}

impl Reader {
    pub(crate) fn new(pages: PagedSection) -> Self {
        let len = pages.len();
        Self { pages: Arc::new(pages), at: 0, len }
    }

    /// The part from `at` on, at most `len` bytes long.
    pub(crate) fn part(&self, at: usize, len: usize) -> gimli::Result<Self> {
        let mut part = self.clone();
        part.advance(at)?;
        part.len = part.len.min(len);
        Ok(part)
    }

    #[inline]
    fn advance(&mut self, len: usize) -> gimli::Result<usize> {
        self.len = self.len.checked_sub(len).ok_or(Error::UnexpectedEof(ReaderOffsetId(self.at as u64)))?;
        let from = self.at;
        self.at += len;
        Ok(from)
    }
}

impl gimli::Reader for Reader {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    fn empty(&mut self) {
        self.len = 0;
    }

    fn truncate(&mut self, len: usize) -> gimli::Result<()> {
        if len > self.len {
            return Err(Error::UnexpectedEof(self.offset_id()));
        }
        // gimli asks for this where a header begins.
        self.pages.begin_header(self.at, len)?;
        self.len = len;
        Ok(())
    }

    fn offset_from(&self, base: &Self) -> usize {
        self.at.saturating_sub(base.at)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.at as u64)
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        let offset = usize::try_from(id.0).ok()?.checked_sub(self.at)?;
        (offset <= self.len).then_some(offset)
    }

    fn find(&self, byte: u8) -> gimli::Result<usize> {
        self.pages.find(byte, self.at, self.len)?.ok_or(Error::UnexpectedEof(self.offset_id()))
    }

    #[inline]
    fn skip(&mut self, len: usize) -> gimli::Result<()> {
        self.advance(len).map(drop)
    }

    fn split(&mut self, len: usize) -> gimli::Result<Self> {
        let at = self.advance(len)?;
        self.pages.attribute(at)?;
        Ok(Self { pages: Arc::clone(&self.pages), at, len })
    }

    fn to_slice(&self) -> gimli::Result<Cow<'_, [u8]>> {
        self.pages.slice(self.at, self.len)
    }

    fn to_string(&self) -> gimli::Result<Cow<'_, str>> {
        match self.to_slice()? {
            Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Error::BadUtf8),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Error::BadUtf8),
        }
    }

    fn to_string_lossy(&self) -> gimli::Result<Cow<'_, str>> {
        Ok(match self.to_slice()? {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    #[inline]
    fn read_slice(&mut self, into: &mut [u8]) -> gimli::Result<()> {
        let at = self.advance(into.len())?;
        self.pages.copy(at, into)
    }
}

#[cfg(test)]
mod tests {
    use gimli::{DebugLine, DebugLineOffset, FileEntry, LineProgramHeader};

    use super::*;
    use crate::{
        elf::{ElfFile, Section},
        image::Image,
        meter::Meter,
        stored::Stored,
    };

    /// `.debug_line` with one program of DWARF 5 (6.2.4) of that many files, whose names are of `form`.
    fn table(form: u8, entry: &[u8], files: u32) -> Vec<u8> {
        // Of an instruction: its length, the operations in it, whether it is a statement; line base and range; one opcode.
        // Then directories: their format (a path, in a string), none of them; then files: format, count.
        let mut header = vec![1, 1, 1, 0xfb, 14, 1, 1, 1, 8, 0, 1, 1, form];
        // As ULEB128, in four bytes.
        let septets = [0, 7, 14, 21].map(|shift| u8::try_from(files >> shift & 0x7f).unwrap());
        header.extend([septets[0] | 0x80, septets[1] | 0x80, septets[2] | 0x80, septets[3]]);
        header.extend(entry.repeat(files.try_into().unwrap()));
        let len = u32::try_from(header.len()).unwrap();
        [&(len + 8).to_le_bytes()[..], &[5, 0, 8, 0], &len.to_le_bytes(), &header].concat()
    }

    /// The header of the program, and what was counted for it.
    fn read(table: Vec<u8>, most: usize) -> (gimli::Result<LineProgramHeader<Reader>>, Arc<Meter>) {
        let size = table.len() as u64;
        let row = Section { name: b".debug_line"[..].into(), kind: 1, flags: 0, address: 0, offset: 0, size, link: 0 };
        let file = Arc::new(ElfFile { image: Image::Bytes(table.into()), sections: vec![row], build_id: None });
        let meter = Arc::new(Meter::new(most));
        let pages = PagedSection::open(&Stored::of(&file, ".debug_line", 0).unwrap(), &meter, ".debug_line");
        let program = DebugLine::from(Reader::new(pages)).program(DebugLineOffset(0), 8, None, None);
        (program.map(|program| program.header().clone()), meter)
    }

    /// Check that entries of files are counted by what is made of them, whatever their form: gimli's, its copy, and the
    /// name. A table of 10 MB made 2 GB.
    #[test]
    fn entries_of_files() {
        // Of one byte (strx1, data1, udata, an empty block, an empty string), and of 16 that nobody looks at.
        for (form, entry) in
            [(0x25, &[0][..]), (0x0b, &[0]), (0x0f, &[0]), (0x0a, &[0]), (0x08, &[0]), (0x1e, &[0; 16])]
        {
            let (header, meter) = read(table(form, entry, 20_000), usize::MAX);
            let made = 20_000 * (2 * size_of::<FileEntry<Reader>>() + size_of::<String>());
            assert_eq!(header.unwrap().file_names().len(), 20_000);
            assert!((made..4 * made).contains(&meter.held()), "form {form:#x}: {} for {made}", meter.held());
            let (header, meter) = read(table(form, entry, 20_000), 1 << 20);
            assert!(header.is_err() && meter.held() < (1 << 20) + 300, "form {form:#x}: {}", meter.held());
        }
    }

    /// Check that no memory is set aside for as many entries as a header has bytes: 4 GB of a sparse file would be 480 GB.
    #[test]
    fn long_header() {
        assert!(read(table(0x25, &[0], 1_000_000), usize::MAX).0.is_ok());
        assert_eq!(read(table(0x25, &[0], 1_100_000), usize::MAX).0.err(), Some(Error::Io));
    }
}
