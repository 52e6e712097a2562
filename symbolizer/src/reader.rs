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
