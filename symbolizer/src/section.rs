//! A debug section as pages that are read when they are first touched, and counted by a meter. DWARF of a large program
//! has hundreds of megabytes, of which a profile touches a few; so nothing is read whole, but sections that are
//! compressed (`stored`).

use std::{
    borrow::Cow,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{
    elf::{ElfFile, Section},
    meter::Meter,
    stored::{Stored, unpacked},
};

/// A page of 4 KiB: names lie far apart, and a larger one would hold more of what nobody asks for.
const PAGE_BITS: u32 = 12;
/// Pages are listed by 64, where any was touched: each unit that is open has lists of its own.
const LIST_BITS: u32 = 6;
/// A string without an end within this is damage. No longer name is shown (`symbols`), and paths have 4 KiB.
const STRING_MAX: usize = 64 << 10;
/// Looking for a string's end costs no memory, but time: 16 bytes of it are counted as one held, so that a million entries
/// that share a long string end within a second.
const SCANNED: usize = 16;
/// A string in `.debug_line` is the name of a file, whose entry takes this much while the list grows: 10 MB of empty names
/// made 2.4 GB. In DWARF 5 an entry is any attributes, at least one: 10 MB of one byte each made as much.
const FILE_ENTRY: usize = 256;
/// A longer header of a line program of DWARF 5 is damaged: gimli sets memory aside for an entry a byte before it reads one.
/// That of 10,000 files has 200 KB.
const LINE_HEADER_MAX: usize = 1 << 20;

type Page = OnceLock<Box<[u8]>>;
type List = OnceLock<Box<[Page]>>;

/// One debug section, or what is shown of it.
#[derive(Debug)]
pub(crate) struct PagedSection {
    stored: Stored,
    len: usize,
    /// Of a page; a section that was read at once is one page.
    bits: u32,
    lists: Box<[List]>,
    gaps: Box<[Range<usize>]>,
    meter: Arc<Meter>,
    /// Bytes of memory that a consumer makes of each byte it reads.
    weight: usize,
    /// The same for each string whose end is looked for, and each attribute of a line program's header.
    string: usize,
    /// The header of a line program of DWARF 5 that was begun last: from, to.
    header: [AtomicUsize; 2],
}

impl PagedSection {
    /// A section without bytes.
    pub(crate) fn empty(meter: &Arc<Meter>) -> Self {
        Self {
            stored: Stored::nowhere(),
            len: 0,
            bits: PAGE_BITS,
            lists: Box::default(),
            gaps: Box::default(),
            meter: Arc::clone(meter),
            weight: 0,
            string: 0,
            header: [AtomicUsize::new(0), AtomicUsize::new(0)],
        }
    }

    /// A section that has any length, and no bytes: for one that is cut into pieces of which none is read.
    pub(crate) fn hollow(meter: &Arc<Meter>) -> Self {
        Self { len: usize::MAX >> 1, ..Self::empty(meter) }
    }

    /// The section `name` (`.debug_info`).
    pub(crate) fn open(stored: &Stored, meter: &Arc<Meter>, name: &str) -> Self {
        let string = if name == ".debug_line" { FILE_ENTRY } else { 0 };
        let lists: Box<[List]> =
            (0..stored.len().div_ceil(1 << (PAGE_BITS + LIST_BITS))).map(|_| OnceLock::new()).collect();
        let _ = meter.hold(size_of_val(&*lists));
        let (stored, len) = (stored.clone(), stored.len());
        Self { stored, len, lists, weight: weight(name), string, ..Self::empty(meter) }
    }

    /// `.debug_info` of which only some units are there, at their places: each gap (whole units, in order) is shown as one
    /// unit that no reader can use.
    pub(crate) fn open_parts(stored: &Stored, meter: &Arc<Meter>, parts: &[Range<usize>]) -> Self {
        let mut section = Self::open(stored, meter, ".debug_info");
        let starts = std::iter::once(0).chain(parts.iter().map(|part| part.end));
        let gaps = starts.zip(parts).map(|(start, part)| start..part.start).filter(|gap| !gap.is_empty());
        section.gaps = gaps.collect();
        section.len = parts.last().map_or(0, |last| last.end.min(section.len));
        section
    }

    /// One section of `file`, in memory at once, so that the file need not stay open: at most `most` bytes of it, else
    /// empty.
    pub(crate) fn whole(file: &ElfFile, meter: &Arc<Meter>, section: &Section, most: usize) -> Self {
        let name = String::from_utf8_lossy(&section.name);
        let mut pages = Self { weight: weight(&name), ..Self::empty(meter) };
        let Some(bytes) = unpacked(file, section, most) else { return pages };
        meter.count_read(bytes.len());
        let _ = meter.hold(bytes.len());
        (pages.len, pages.bits) = (bytes.len(), 40);
        let page = OnceLock::from(bytes.into_boxed_slice());
        pages.lists = [OnceLock::from(Box::from([page]))].into();
        pages
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes from `at` to the end of its page.
    #[inline]
    pub(crate) fn rest_of_page(&self, at: usize) -> gimli::Result<&[u8]> {
        let index = at >> self.bits;
        let list = self.lists.get(index >> LIST_BITS).ok_or(gimli::Error::Io)?;
        let list = match list.get() {
            Some(pages) => pages,
            None => self.list(list)?,
        };
        let page = list.get(index & ((1 << LIST_BITS) - 1)).ok_or(gimli::Error::Io)?;
        let bytes = match page.get() {
            Some(bytes) => bytes,
            None => self.load(page, index)?,
        };
        bytes.get(at & ((1 << self.bits) - 1)..).ok_or(gimli::Error::Io)
    }

    #[cold]
    fn list<'a>(&self, list: &'a List) -> gimli::Result<&'a [Page]> {
        self.meter.hold(size_of::<Page>() << LIST_BITS)?;
        Ok(list.get_or_init(|| (0..1 << LIST_BITS).map(|_| OnceLock::new()).collect()))
    }

    #[cold]
    fn load<'a>(&self, page: &'a Page, index: usize) -> gimli::Result<&'a [u8]> {
        if self.meter.is_late() {
            return Err(gimli::Error::Io);
        }
        let start = index << self.bits;
        let len = self.len.checked_sub(start).ok_or(gimli::Error::Io)?.min(1 << self.bits);
        self.meter.hold(len)?;
        self.meter.count_read(len);
        let mut bytes = vec![0; len].into_boxed_slice();
        if !self.stored.read(start, &mut bytes) {
            return Err(gimli::Error::Io);
        }
        self.fill_gaps(start, &mut bytes);
        Ok(page.get_or_init(|| bytes))
    }

    /// Puts the headers of gaps into the bytes from `start` on.
    fn fill_gaps(&self, start: usize, bytes: &mut [u8]) {
        let end = start + bytes.len();
        let first = self.gaps.partition_point(|gap| gap.start + UNUSABLE <= start);
        for gap in self.gaps.iter().skip(first).take_while(|gap| gap.start < end) {
            for (at, byte) in (gap.start..).zip(unusable(gap.len())) {
                if let Some(place) = at.checked_sub(start).and_then(|at| bytes.get_mut(at)) {
                    *place = byte;
                }
            }
        }
    }

    /// Fills `into` from `at`.
    #[inline]
    pub(crate) fn copy(&self, at: usize, into: &mut [u8]) -> gimli::Result<()> {
        self.meter.hold(into.len() * self.weight)?;
        self.attribute(at)?;
        let page = self.rest_of_page(at)?;
        if let Some(bytes) = page.get(..into.len()) {
            into.copy_from_slice(bytes);
            return Ok(());
        }
        self.copy_across(at, into)
    }

    #[cold]
    fn copy_across(&self, mut at: usize, into: &mut [u8]) -> gimli::Result<()> {
        let mut rest = into;
        while !rest.is_empty() {
            let page = self.rest_of_page(at)?;
            let step = page.len().min(rest.len());
            let (now, later) = rest.split_at_mut(step);
            now.copy_from_slice(page.get(..step).ok_or(gimli::Error::Io)?);
            rest = later;
            at += step;
        }
        Ok(())
    }

    /// `len` bytes at `at`, borrowed when they lie in one page.
    pub(crate) fn slice(&self, at: usize, len: usize) -> gimli::Result<Cow<'_, [u8]>> {
        if len == 0 {
            return Ok(Cow::Borrowed(&[]));
        }
        // Whoever asks for text keeps a copy of it.
        self.meter.hold(len)?;
        if let Some(bytes) = self.rest_of_page(at)?.get(..len) {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut bytes = vec![0; len];
        self.copy_across(at, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    /// What is read from `at` on, `len` bytes, is the header of a line program, if this is `.debug_line`.
    pub(crate) fn begin_header(&self, at: usize, len: usize) -> gimli::Result<()> {
        // The version is before the header's length, with an address's size and a reserved byte between them (DWARF 5,
        // 6.2.4); the length has 4 bytes, or 8. In an older program there is something else, or by chance a 5.
        let is_5 = |back: usize| {
            let mut version = [0; 2];
            let read = at.checked_sub(back).is_some_and(|at| self.copy_across(at, &mut version).is_ok());
            read && version == [5, 0]
        };
        if self.string == 0 || !(is_5(8) || is_5(12)) {
            return Ok(());
        }
        if len > LINE_HEADER_MAX {
            return Err(gimli::Error::Io);
        }
        let [from, to] = &self.header;
        from.store(at, Relaxed);
        to.store(at + len, Relaxed);
        Ok(())
    }

    /// Counts what is made of an attribute at `at`, where it is one of a file's entry.
    #[inline]
    pub(crate) fn attribute(&self, at: usize) -> gimli::Result<()> {
        let [from, to] = &self.header;
        if at < to.load(Relaxed) && at >= from.load(Relaxed) { self.meter.hold(self.string) } else { Ok(()) }
    }

    /// How far from `at` the next `byte` is, within `len` bytes and [`STRING_MAX`].
    pub(crate) fn find(&self, byte: u8, at: usize, len: usize) -> gimli::Result<Option<usize>> {
        let len = len.min(STRING_MAX);
        self.meter.hold(self.string)?;
        let mut seen = 0;
        while seen < len {
            let page = self.rest_of_page(at + seen)?;
            let page = page.get(..len - seen).unwrap_or(page);
            let found = page.iter().position(|&here| here == byte);
            self.meter.hold(found.unwrap_or(page.len()) / SCANNED)?;
            if let Some(found) = found {
                return Ok(Some(seen + found));
            }
            seen += page.len();
        }
        Ok(None)
    }
}

/// Bytes of the shortest header of a unit, so of the shortest gap.
const UNUSABLE: usize = 11;

/// The header of a unit of `len` bytes without abbreviations, as in DWARF 4 (section 7.5.1.1): length of what follows,
/// version, offset in `.debug_abbrev`, size of an address.
fn unusable(len: usize) -> [u8; UNUSABLE] {
    let mut header = [0, 0, 0, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 8];
    let rest = u32::try_from(len.saturating_sub(4)).unwrap_or(u32::MAX);
    for (byte, length) in header.iter_mut().zip(rest.to_le_bytes()) {
        *byte = length;
    }
    header
}

/// Measured on a 229 MB debug=2 binary: a row of a line table takes 24 bytes, and 3 to 4 bytes of program make one; a
/// hostile program makes one of each byte. Entries are mostly skipped over.
fn weight(section: &str) -> usize {
    match section.strip_suffix(".dwo").unwrap_or(section) {
        ".debug_line" | ".debug_abbrev" => 8,
        ".debug_ranges" | ".debug_rnglists" | ".debug_aranges" => 2,
        ".debug_info" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;

    /// Check that the end of a string is found across pages, that one without an end is given up, and that looking is
    /// counted: else a million entries with one string of a megabyte take hours.
    #[test]
    fn strings_end() {
        let mut bytes = vec![b'x'; 40_000];
        bytes.push(0);
        bytes.resize(1 << 20, b'y');
        let name = b".debug_str"[..].into();
        let row = Section { name, kind: 1, flags: 0, address: 0, offset: 0, size: 1 << 20, link: 0 };
        let file = Arc::new(ElfFile { image: Image::Bytes(bytes.into()), sections: vec![row], build_id: None });
        let meter = Arc::new(Meter::new(4 << 20));
        let mut section = PagedSection::open(&Stored::of(&file, ".debug_str", 0).unwrap(), &meter, ".debug_str");
        let len = section.len();
        assert_eq!(section.find(0, 0, len), Ok(Some(40_000)));
        assert_eq!(section.find(0, 10, 100), Ok(None));
        let before = meter.held();
        section.string = FILE_ENTRY;
        assert_eq!(section.find(0, 40_000, 10), Ok(Some(0)));
        assert_eq!(meter.held() - before, 256, "an empty name of a file");
        section.string = 0;
        assert_eq!(section.find(0, 40_001, len - 40_001), Ok(None));
        let enough = (0..10_000).position(|_| section.find(0, 40_001, len - 40_001).is_err());
        assert!(enough.is_some_and(|times| (100..1100).contains(&times)), "{enough:?}");
    }

    /// Check that gaps are units of their length that nothing can be read from, also where a page ends in their header,
    /// and that what is shown is as it was, at its place.
    #[test]
    fn gaps_are_units() {
        let bytes: Vec<u8> = (0..20_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let name = b".debug_info"[..].into();
        let row = Section { name, kind: 1, flags: 0, address: 0, offset: 0, size: 20_000, link: 0 };
        let file = Arc::new(ElfFile { image: Image::Bytes(bytes.clone().into()), sections: vec![row], build_id: None });
        let meter = Arc::new(Meter::new(1 << 20));
        let stored = Stored::of(&file, ".debug_info", 0).unwrap();
        for end in 4086..4098_u16 {
            let after = 9000 - u32::from(end);
            let end = usize::from(end);
            let section = PagedSection::open_parts(&stored, &meter, &[100..200, 200..end, 9000..9100, 9111..9200]);
            assert_eq!(section.len(), 9200);
            for (shown, len) in [(0..11, 100_u32), (end..end + 11, after), (9100..9111, 11)] {
                let mut header = [0; 11];
                section.copy(shown.start, &mut header).unwrap();
                let rest = (len - 4).to_le_bytes();
                let expected = [rest[0], rest[1], rest[2], rest[3], 4, 0, 255, 255, 255, 255, 8];
                assert_eq!(header, expected, "{shown:?}");
            }
            for shown in [100..end, 9000..9100, 9111..9200] {
                let mut read = vec![0; shown.len()];
                section.copy(shown.start, &mut read).unwrap();
                assert_eq!(read, bytes[shown]);
            }
        }
    }
}
