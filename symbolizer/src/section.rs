//! A debug section as pages that are read when they are first touched, and the meter that bounds them. DWARF of a
//! large program has hundreds of megabytes, of which a profile touches a few; so nothing is read whole, but sections
//! that are compressed.

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use object::{
    elf,
    read::{CompressedData, CompressionFormat},
};

use crate::elf::{ElfFile, Section, u32_at, u64_at};

/// A page of 16 KiB: a unit's header and its first entry fit, and the table of a 4 GiB section stays at 6 MB.
const PAGE_BITS: u32 = 14;
/// Larger sections are refused: the offsets of 32-bit DWARF end here.
const SECTION_MAX: u64 = 4 << 30;
/// A string without an end within this is damage. No longer name is shown (`symbols`), and paths have 4 KiB.
const STRING_MAX: usize = 64 << 10;
/// Looking for a string's end costs no memory, but time: 16 bytes of it are counted as one held, so that a million entries
/// that share a long string end within a second.
const SCANNED: usize = 16;
/// A string in `.debug_line` is the name of a file, whose entry takes this much while the list grows: 10 MB of empty names
/// made 2.4 GB.
const FILE_ENTRY: usize = 240;

/// What the debug information of one file holds in memory, roughly: the pages, and what was made of them. Once over
/// its limit, every read fails.
#[derive(Debug)]
pub(crate) struct Meter {
    held: AtomicUsize,
    most: usize,
    read: AtomicU64,
    deadline: OnceLock<Instant>,
    open: OnceLock<()>,
}

impl Meter {
    /// Up to `most` bytes; until [`Self::opened`] is said, also until `deadline`.
    pub(crate) fn new(most: usize, deadline: Instant) -> Self {
        let meter = Self {
            held: AtomicUsize::new(0),
            most,
            read: AtomicU64::new(0),
            deadline: OnceLock::new(),
            open: OnceLock::new(),
        };
        let _ = meter.deadline.set(deadline);
        meter
    }

    /// Ends the deadline: an error in the middle of a later lookup would be remembered for a whole unit.
    pub(crate) fn opened(&self) {
        let _ = self.open.set(());
    }

    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// What it may hold.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// What it may hold still.
    fn room(&self) -> usize {
        self.most.saturating_sub(self.held())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.held() > self.most
    }

    /// Bytes read from the file so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Counts memory. Not one atomic step: only one thread works with a meter, and it must cost nothing.
    fn hold(&self, bytes: usize) -> gimli::Result<()> {
        let held = self.held().saturating_add(bytes);
        self.held.store(held, Relaxed);
        if held > self.most { Err(gimli::Error::Io) } else { Ok(()) }
    }

    /// Counts what was read past the pages.
    pub(crate) fn count_read(&self, bytes: usize) {
        self.read.store(self.bytes_read().saturating_add(bytes as u64), Relaxed);
    }

    fn late(&self) -> bool {
        self.open.get().is_none() && self.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }
}

/// One debug section.
#[derive(Debug)]
pub(crate) struct PagedSection {
    /// `None`: nothing is left to be read.
    file: Option<Arc<ElfFile>>,
    offset: u64,
    len: usize,
    /// Of a page; a section in memory is one page.
    bits: u32,
    pages: Box<[OnceLock<Box<[u8]>>]>,
    meter: Arc<Meter>,
    /// Bytes of memory that a consumer makes of each byte it reads.
    weight: usize,
    /// The same for each string whose end is looked for.
    string: usize,
}

impl PagedSection {
    /// A section without bytes.
    pub(crate) fn empty(meter: &Arc<Meter>) -> Self {
        let meter = Arc::clone(meter);
        Self { file: None, offset: 0, len: 0, bits: PAGE_BITS, pages: Box::default(), meter, weight: 0, string: 0 }
    }

    /// A section that has any length, and no bytes: for one that is cut into pieces of which none is read.
    pub(crate) fn hollow(meter: &Arc<Meter>) -> Self {
        Self { len: usize::MAX >> 1, ..Self::empty(meter) }
    }

    /// The section `name` (`.debug_info`), empty if there is none or it is damaged.
    pub(crate) fn open(file: &Arc<ElfFile>, meter: &Arc<Meter>, name: &str) -> Self {
        let mut pages = Self { weight: weight(name), ..Self::empty(meter) };
        pages.string = if name == ".debug_line" { FILE_ENTRY } else { 0 };
        match named(file, name) {
            Some(section) if packing(section) == Packing::Plain => pages.page(file, section),
            Some(section) => pages.put(unpacked(file, section, meter.room())),
            None => {}
        }
        pages
    }

    /// One section of `file`, in memory at once, so that the file need not stay open: at most `most` bytes of it, else
    /// empty.
    pub(crate) fn whole(file: &ElfFile, meter: &Arc<Meter>, section: &Section, most: usize) -> Self {
        let name = String::from_utf8_lossy(&section.name);
        let mut pages = Self { weight: weight(&name), ..Self::empty(meter) };
        pages.put(unpacked(file, section, most));
        pages
    }

    fn page(&mut self, file: &Arc<ElfFile>, section: &Section) {
        let inside = file.image.len().saturating_sub(section.offset).min(section.size);
        if inside > SECTION_MAX {
            return;
        }
        self.file = Some(Arc::clone(file));
        (self.offset, self.len) = (section.offset, usize::try_from(inside).unwrap_or(0));
        self.pages = (0..self.len.div_ceil(1 << PAGE_BITS)).map(|_| OnceLock::new()).collect();
        let _ = self.meter.hold(size_of_val(&*self.pages));
    }

    fn put(&mut self, bytes: Option<Vec<u8>>) {
        let Some(bytes) = bytes else { return };
        self.meter.count_read(bytes.len());
        let _ = self.meter.hold(bytes.len());
        self.len = bytes.len();
        self.bits = 40;
        self.pages = [OnceLock::from(bytes.into_boxed_slice())].into();
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes from `at` to the end of its page.
    #[inline]
    pub(crate) fn rest_of_page(&self, at: usize) -> gimli::Result<&[u8]> {
        let page = self.pages.get(at >> self.bits).ok_or(gimli::Error::Io)?;
        let bytes = match page.get() {
            Some(bytes) => bytes,
            None => self.load(page, at >> self.bits)?,
        };
        bytes.get(at & ((1 << self.bits) - 1)..).ok_or(gimli::Error::Io)
    }

    #[cold]
    fn load<'a>(&self, page: &'a OnceLock<Box<[u8]>>, index: usize) -> gimli::Result<&'a [u8]> {
        if self.meter.late() {
            return Err(gimli::Error::Io);
        }
        let start = index << self.bits;
        let mut bytes = vec![0; (self.len - start).min(1 << self.bits)].into_boxed_slice();
        self.meter.hold(bytes.len())?;
        self.meter.count_read(bytes.len());
        let file = self.file.as_ref().ok_or(gimli::Error::Io)?;
        if !file.image.read(self.offset + start as u64, &mut bytes) {
            return Err(gimli::Error::Io);
        }
        Ok(page.get_or_init(|| bytes))
    }

    /// Fills `into` from `at`.
    #[inline]
    pub(crate) fn copy(&self, at: usize, into: &mut [u8]) -> gimli::Result<()> {
        self.meter.hold(into.len() * self.weight)?;
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

/// How a section's bytes are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    /// `SHF_COMPRESSED`: 24 bytes of header, then zlib or zstd.
    Header,
    /// The older way of binutils, by the section's name: "ZLIB", the size in big-endian, zlib.
    Name,
}

fn packing(section: &Section) -> Packing {
    if section.flags & elf::SHF_COMPRESSED.0 != 0 {
        Packing::Header
    } else if section.name.starts_with(b".zdebug") {
        Packing::Name
    } else {
        Packing::Plain
    }
}

fn named<'f>(file: &'f ElfFile, name: &str) -> Option<&'f Section> {
    file.section(name).or_else(|| file.section(&name.replacen(".debug", ".zdebug", 1)))
}

/// All bytes of a section, if they are at most `most`.
fn unpacked(file: &ElfFile, section: &Section, most: usize) -> Option<Vec<u8>> {
    let bytes = file.image.bytes(section.offset, section.size, most)?;
    match packing(section) {
        Packing::Plain => Some(bytes),
        Packing::Header => {
            let format = match u32_at(&bytes, 0)? {
                kind if kind == elf::ELFCOMPRESS_ZLIB.0 => CompressionFormat::Zlib,
                kind if kind == elf::ELFCOMPRESS_ZSTD.0 => CompressionFormat::Zstandard,
                _ => return None,
            };
            inflate(format, bytes.get(24..)?, u64_at(&bytes, 8)?, most)
        }
        Packing::Name => {
            let size = u64::from_be_bytes(*bytes.strip_prefix(b"ZLIB")?.first_chunk()?);
            inflate(CompressionFormat::Zlib, bytes.get(12..)?, size, most)
        }
    }
}

fn inflate(format: CompressionFormat, data: &[u8], size: u64, most: usize) -> Option<Vec<u8>> {
    // Deflate reaches 1032:1; a stated size beyond that is a lie that would only cost memory.
    let plausible = size / 2048 <= data.len() as u64 || format != CompressionFormat::Zlib;
    let fits = usize::try_from(size).is_ok_and(|size| size <= most);
    if !plausible || !fits {
        return None;
    }
    let bytes = CompressedData { format, data, uncompressed_size: size }.decompress().ok()?;
    Some(bytes.into_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::image::Image;

    /// Check that the end of a string is found across pages, that one without an end is given up, and that looking is
    /// counted: else a million entries with one string of a megabyte take hours.
    #[test]
    fn strings_end() {
        let mut bytes = vec![b'x'; 40_000];
        bytes.push(0);
        bytes.resize(1 << 20, b'y');
        let file = Arc::new(ElfFile { image: Image::Bytes(bytes.into()), sections: Vec::new(), build_id: None });
        let meter = Arc::new(Meter::new(4 << 20, Instant::now() + Duration::from_hours(1)));
        let mut section = PagedSection::empty(&meter);
        section.page(
            &file,
            &Section { name: Box::default(), kind: 1, flags: 0, address: 0, offset: 0, size: 1 << 20, link: 0 },
        );
        let len = section.len();
        assert_eq!(section.find(0, 0, len), Ok(Some(40_000)));
        assert_eq!(section.find(0, 10, 100), Ok(None));
        let before = meter.held();
        section.string = FILE_ENTRY;
        assert_eq!(section.find(0, 40_000, 10), Ok(Some(0)));
        assert_eq!(meter.held() - before, 240, "an empty name of a file");
        section.string = 0;
        assert_eq!(section.find(0, 40_001, len - 40_001), Ok(None));
        let enough = (0..10_000).position(|_| section.find(0, 40_001, len - 40_001).is_err());
        assert!(enough.is_some_and(|times| (100..1100).contains(&times)), "{enough:?}");
    }
}
