//! The unwind sections of one file, copied out of it: `.eh_frame` with its search table, or an index of our own where
//! there is none; `.debug_frame` as well.

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, EhFrameHdr, EndianSlice, LittleEndian,
    Section, UnwindOffset, UnwindSection,
};
use object::{
    LittleEndian as ObjectLittleEndian, ReadRef, elf,
    read::{
        CompressedData, CompressionFormat,
        elf::{FileHeader, ProgramHeader, SectionHeader},
    },
};
use profile::address::FileAddr;

use crate::{
    capped::Capped,
    elf::{ElfError, header, program_headers},
};

/// A section as gimli reads it.
pub(crate) type Slice<'s> = EndianSlice<'s, LittleEndian>;
/// gimli's description of one function.
pub(crate) type Fde<'s> = gimli::FrameDescriptionEntry<Slice<'s>>;

/// A longer augmentation (`zPLRS` are all letters there are) is none: it is read anew for each function, so a long one
/// would make reading a section take the square of its length.
const AUGMENTATION_MAX: usize = 8;
/// A longer description is damaged: all of it is run through to find one row. Of 1.3 million functions in Debian's and
/// rustc's libraries, the longest has 33,676 bytes.
const DESCRIPTION_MAX: usize = 64 << 10;
/// `DW_EH_PE_udata4`: how a search table counts its functions, in all linkers. (A count near 2^64 overflows in gimli.)
const COUNT_ENCODING: u8 = 0x03;

/// Bounds on what is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// A larger section is left out. librustc_driver (154 MB) has 6.1 MB, chromium about 15 MB.
    pub section_bytes: u64,
    /// More functions are left out of our own index.
    pub functions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { section_bytes: 64 << 20, functions: 4 << 20 }
    }
}

/// The unwind information of one file. Immutable; shared by all that map it.
#[derive(Debug)]
pub struct UnwindInfo {
    /// Never two of a process have the same: the key of the rule cache.
    id: u32,
    bases: BaseAddresses,
    eh_frame: Vec<u8>,
    eh_frame_hdr: Vec<u8>,
    /// Where there is no search table: function start to offset in `.eh_frame`, sorted.
    eh_index: Vec<Entry>,
    debug_frame: Vec<u8>,
    debug_index: Vec<Entry>,
}

/// One function of an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    start: u64,
    offset: u32,
}

/// Which section a description is in: its expressions are read from there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'s> {
    Eh(EhFrame<Slice<'s>>),
    Debug(DebugFrame<Slice<'s>>),
}

impl UnwindInfo {
    /// Copies the sections out of a file. A file without any is fine: then its code has no unwind information.
    pub fn parse<'d, R: ReadRef<'d>>(elf: R, limits: Limits) -> Result<Self, ElfError> {
        let copy = |offset, len| elf.read_bytes_at(offset, len).ok().map(<[u8]>::to_vec);
        Self::parse_with(elf, limits, &copy)
    }

    /// The same where headers come from `elf` and sections from `copy(offset, length)`: a section of 8 MB should not
    /// be in memory twice, not even for a moment.
    pub fn parse_with<'d, R: ReadRef<'d>>(
        elf: R,
        limits: Limits,
        copy: &dyn Fn(u64, u64) -> Option<Vec<u8>>,
    ) -> Result<Self, ElfError> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        header(elf)?;
        let mut info = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            bases: BaseAddresses::default(),
            eh_frame: Vec::new(),
            eh_frame_hdr: Vec::new(),
            eh_index: Vec::new(),
            debug_frame: Vec::new(),
            debug_index: Vec::new(),
        };
        info.by_sections(elf, limits, copy);
        if info.eh_frame.is_empty() {
            info.by_segments(elf, limits, copy);
        }
        if info.eh_frame_hdr.is_empty() || !info.has_table() {
            info.eh_frame_hdr = Vec::new();
            info.eh_index = index(&EhFrame::new(&info.eh_frame, LittleEndian), &info.bases, limits.functions);
        }
        let mut debug_frame = DebugFrame::new(&info.debug_frame, LittleEndian);
        debug_frame.set_address_size(8);
        info.debug_index = index(&debug_frame, &info.bases, limits.functions);
        Ok(info)
    }

    /// The key of rules made from this file.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Memory that it holds.
    pub fn bytes(&self) -> usize {
        let entries = self.eh_index.len().saturating_add(self.debug_index.len());
        let sections = [self.eh_frame.len(), self.eh_frame_hdr.len(), self.debug_frame.len()];
        sections.iter().sum::<usize>().saturating_add(entries.saturating_mul(size_of::<Entry>()))
    }

    /// The range around a file address that is described as one function. A compiler may split one of the source.
    pub fn function_at(&self, at: FileAddr) -> Option<Range<FileAddr>> {
        let (_, fde) = self.find(at.0).ok().flatten()?;
        let start = fde.initial_address();
        Some(FileAddr(start)..FileAddr(start.saturating_add(fde.len())))
    }

    pub(crate) fn bases(&self) -> &BaseAddresses {
        &self.bases
    }

    /// The description of the function at a file address, whose end is checked: a gap belongs to nobody.
    pub(crate) fn find(&self, at: u64) -> Result<Option<(Found<'_>, Fde<'_>)>, gimli::Error> {
        if let Some(fde) = self.find_eh(at)? {
            return Ok(Some((Found::Eh(EhFrame::new(&self.eh_frame, LittleEndian)), fde)));
        }
        let mut section = DebugFrame::new(&self.debug_frame, LittleEndian);
        section.set_address_size(8);
        let Some(offset) = before(&self.debug_index, at) else { return Ok(None) };
        let fde = section.fde_from_offset(&self.bases, offset.into(), cie)?;
        Ok(covers(&fde, at)?.then_some((Found::Debug(section), fde)))
    }

    fn find_eh(&self, at: u64) -> Result<Option<Fde<'_>>, gimli::Error> {
        let section = EhFrame::new(&self.eh_frame, LittleEndian);
        let offset = if self.eh_frame_hdr.is_empty() {
            before(&self.eh_index, at).map(gimli::EhFrameOffset)
        } else {
            let header = EhFrameHdr::new(&self.eh_frame_hdr, LittleEndian).parse(&self.bases, 8)?;
            let table = header.table().ok_or(gimli::Error::NoUnwindInfoForAddress)?;
            let pointer = table.lookup(at, &self.bases)?.direct()?;
            // Not gimli's `pointer_to_offset`: it overflows where the pointer is before the section.
            let offset = pointer.checked_sub(header.eh_frame_ptr().direct()?);
            let offset = offset.and_then(|offset| usize::try_from(offset).ok());
            Some(gimli::EhFrameOffset(offset.ok_or(gimli::Error::OffsetOutOfBounds(pointer))?))
        };
        let Some(offset) = offset else { return Ok(None) };
        let fde = section.fde_from_offset(&self.bases, offset, cie)?;
        Ok(covers(&fde, at)?.then_some(fde))
    }

    fn has_table(&self) -> bool {
        let header = EhFrameHdr::new(&self.eh_frame_hdr, LittleEndian).parse(&self.bases, 8);
        self.eh_frame_hdr.get(2) == Some(&COUNT_ENCODING) && header.is_ok_and(|header| header.table().is_some())
    }

    fn by_sections<'d, R: ReadRef<'d>>(&mut self, elf: R, limits: Limits, copy: &dyn Fn(u64, u64) -> Option<Vec<u8>>) {
        let endian = ObjectLittleEndian;
        let Ok(sections) = header(elf).map(|header| header.sections(endian, Capped(elf))) else { return };
        let Ok(sections) = sections else { return };
        let find = |name: &[u8]| sections.section_by_name(endian, name).map(|(_, section)| section);
        let read = |name: &[u8]| -> Option<(u64, Vec<u8>)> {
            let section = find(name)?;
            let (offset, len) = section.file_range(endian).filter(|(_, len)| *len <= limits.section_bytes)?;
            let bytes = copy(offset, len)?;
            let bytes = if section.sh_flags(endian).0 & elf::SHF_COMPRESSED.0 == 0 {
                bytes
            } else {
                decompress(&bytes, limits.section_bytes)?
            };
            Some((section.sh_addr(endian), bytes))
        };
        let mut bases = std::mem::take(&mut self.bases);
        if let Some(text) = find(b".text") {
            bases = bases.set_text(text.sh_addr(endian));
        }
        if let Some(got) = find(b".got") {
            bases = bases.set_got(got.sh_addr(endian));
        }
        if let Some((address, bytes)) = read(b".eh_frame") {
            bases = bases.set_eh_frame(address);
            self.eh_frame = bytes;
        }
        if let Some((address, bytes)) = read(b".eh_frame_hdr").filter(|_| !self.eh_frame.is_empty()) {
            bases = bases.set_eh_frame_hdr(address);
            self.eh_frame_hdr = bytes;
        }
        if let Some((_, bytes)) = read(b".debug_frame") {
            self.debug_frame = bytes;
        }
        self.bases = bases;
    }

    /// Without section headers: `PT_GNU_EH_FRAME` is the search table and tells where `.eh_frame` begins; where it ends,
    /// nobody tells, so all up to the end of its segment is taken.
    fn by_segments<'d, R: ReadRef<'d>>(&mut self, elf: R, limits: Limits, copy: &dyn Fn(u64, u64) -> Option<Vec<u8>>) {
        let endian = ObjectLittleEndian;
        let Ok(segments) = header(elf).and_then(|header| program_headers(header, elf)) else { return };
        let found = segments.iter().find(|segment| segment.p_type(endian) == elf::PT_GNU_EH_FRAME);
        let Some(table) = found.filter(|segment| segment.p_filesz(endian) <= limits.section_bytes) else { return };
        let Ok(bytes) = elf.read_bytes_at(table.p_offset(endian), table.p_filesz(endian)) else { return };
        let bases = BaseAddresses::default().set_eh_frame_hdr(table.p_vaddr(endian));
        let Ok(parsed) = EhFrameHdr::new(bytes, LittleEndian).parse(&bases, 8) else { return };
        let Ok(start) = parsed.eh_frame_ptr().direct() else { return };
        let holder = segments.iter().find(|segment| {
            let begin = segment.p_vaddr(endian);
            segment.p_type(endian) == elf::PT_LOAD
                && (begin..begin.saturating_add(segment.p_filesz(endian))).contains(&start)
        });
        let Some(holder) = holder else { return };
        let skip = start.saturating_sub(holder.p_vaddr(endian));
        let len = holder.p_filesz(endian).saturating_sub(skip).min(limits.section_bytes);
        let Some(offset) = holder.p_offset(endian).checked_add(skip) else { return };
        let Some(eh_frame) = copy(offset, len) else { return };
        self.bases = bases.set_eh_frame(start);
        self.eh_frame_hdr = bytes.to_vec();
        self.eh_frame = eh_frame;
    }
}

/// A section behind `Elf64_Chdr`: type, reserved, size, alignment.
fn decompress(bytes: &[u8], limit: u64) -> Option<Vec<u8>> {
    let (head, data) = bytes.split_at_checked(24)?;
    let kind = u32::from_le_bytes(head.get(..4)?.try_into().ok()?);
    let uncompressed_size = u64::from_le_bytes(head.get(8..16)?.try_into().ok()?);
    let format = match kind {
        1 => CompressionFormat::Zlib,
        2 => CompressionFormat::Zstandard,
        _ => return None,
    };
    if uncompressed_size > limit {
        return None;
    }
    Some(CompressedData { format, data, uncompressed_size }.decompress().ok()?.into_owned())
}

/// Whether a description that was found covers the address. By reference: it has 200 bytes.
#[inline]
fn covers(fde: &Fde<'_>, at: u64) -> Result<bool, gimli::Error> {
    let longest = fde.entry_len().max(fde.cie().entry_len());
    if fde.contains(at) && longest > DESCRIPTION_MAX {
        Err(gimli::Error::TooManyIterations)
    } else {
        Ok(fde.contains(at))
    }
}

/// What several functions have in common, if its augmentation is one.
fn cie<'s, S>(
    section: &S,
    bases: &BaseAddresses,
    offset: S::Offset,
) -> Result<CommonInformationEntry<Slice<'s>>, gimli::Error>
where
    S: UnwindSection<Slice<'s>> + Section<Slice<'s>>,
    S::Offset: UnwindOffset<usize>,
{
    let entry = section.reader().slice().get(UnwindOffset::into(offset)..).unwrap_or_default();
    // Length, id and version (DWARF 5, 7.4 and 6.4.1), then the augmentation.
    let head = match (entry.starts_with(&[0xff; 4]), S::id()) {
        (true, gimli::SectionId::DebugFrame) => 12 + 8 + 1,
        (true, _) => 12 + 4 + 1,
        (false, _) => 4 + 4 + 1,
    };
    let augmentation = entry.get(head..).unwrap_or_default();
    if augmentation.iter().take(AUGMENTATION_MAX).all(|letter| *letter != 0) {
        return Err(gimli::Error::UnknownAugmentation);
    }
    section.cie_from_offset(bases, offset)
}

/// The last function that starts at or before an address.
fn before(index: &[Entry], at: u64) -> Option<usize> {
    let after = index.partition_point(|entry| entry.start <= at);
    let entry = index.get(after.checked_sub(1)?)?;
    usize::try_from(entry.offset).ok()
}

/// Every function of a section, by start. Ends quietly where the section makes no sense any more.
fn index<'s, S>(section: &S, bases: &BaseAddresses, functions_max: usize) -> Vec<Entry>
where
    S: UnwindSection<Slice<'s>> + Section<Slice<'s>>,
    S::Offset: UnwindOffset<usize>,
{
    let mut found = Vec::new();
    let mut entries = section.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        if found.len() >= functions_max {
            break;
        }
        let CieOrFde::Fde(partial) = entry else { continue };
        let Ok(fde) = partial.parse(cie) else { continue };
        // Zero-length and discarded functions (start 0) would shadow others.
        if fde.is_empty_range() {
            continue;
        }
        let Ok(offset) = u32::try_from(fde.offset()) else { break };
        found.push(Entry { start: fde.initial_address(), offset });
    }
    found.sort_unstable();
    found.shrink_to_fit();
    found
}

trait EmptyRange {
    fn is_empty_range(&self) -> bool;
}

impl EmptyRange for Fde<'_> {
    fn is_empty_range(&self) -> bool {
        self.len() == 0 || self.initial_address() == 0
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "the sums of tests are small")]
mod tests {
    use super::*;

    /// A length, then what it is the length of (DWARF 5, 7.4).
    fn entry(parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&u32::try_from(content.len()).unwrap().to_le_bytes(), content.as_slice()].concat()
    }

    /// `.eh_frame`: one CIE, then `functions` of 16 bytes each from 0x1000 on, with `instructions`.
    fn section(augmentation: &[u8], functions: u32, instructions: &[u8]) -> Vec<u8> {
        // Version 1; code and data alignment 1 and -8; return address in column 16.
        let mut section = entry(&[&[0; 4], &[1], augmentation, &[0, 1, 0x78, 16]]);
        for number in 0..u64::from(functions) {
            let back = u32::try_from(section.len() + 4).unwrap().to_le_bytes();
            let (start, len) = ((0x1000 + 16 * number).to_le_bytes(), 16_u64.to_le_bytes());
            section.extend(entry(&[&back, &start, &len, instructions]));
        }
        section
    }

    /// An unwind information without a search table.
    fn info(eh_frame: Vec<u8>) -> UnwindInfo {
        let bases = BaseAddresses::default();
        let eh_index = index(&EhFrame::new(&eh_frame, LittleEndian), &bases, 1 << 20);
        let (eh_frame_hdr, debug_frame, debug_index) = (Vec::new(), Vec::new(), Vec::new());
        UnwindInfo { id: 1, bases, eh_frame, eh_frame_hdr, eh_index, debug_frame, debug_index }
    }

    /// Whether functions were indexed, and whether the first one is found at its second byte.
    fn found(info: &UnwindInfo) -> (usize, Result<bool, gimli::Error>) {
        (info.eh_index.len(), info.find(0x1001).map(|found| found.is_some()))
    }

    /// Check that functions that share an augmentation of 1 MB are left out: each would read all of it again, which took
    /// 1.3 s a thousand functions.
    #[test]
    fn long_augmentation() {
        assert_eq!(found(&info(section(b"S", 2, &[]))), (2, Ok(true)));
        assert_eq!(found(&info(section(&vec![b'S'; 1 << 20], 50_000, &[]))), (0, Ok(false)));
    }

    /// Check that a description of a megabyte is damage: each look-up would run through all of it.
    #[test]
    fn long_description() {
        assert_eq!(found(&info(section(b"", 1, &vec![0; 40_000]))), (1, Ok(true)));
        assert_eq!(found(&info(section(b"", 1, &vec![0; 1 << 20]))), (1, Err(gimli::Error::TooManyIterations)));
    }

    /// Check that a search table whose count would overflow, or whose entry lies before the section, is none.
    #[test]
    fn table_that_overflows() {
        let eh_frame = section(b"", 2, &[]);
        let first_fde = 0x2000 + u64::from(eh_frame[0]) + 4;
        // Version 1, encodings (pointer, count, table): absolute; sdata4 for what is 4 bytes, udata8 for 8.
        let table = |count: &[u8], encoding, fde: u64| {
            let mut info = info(eh_frame.clone());
            let head = [&[1, 0x04, encoding, 0x04], &0x2000_u64.to_le_bytes()[..], count].concat();
            let rows = [0x1000, fde].map(u64::to_le_bytes).concat();
            info.eh_frame_hdr = [head, rows].concat();
            (info.has_table(), info.find(0x1001).map(|found| found.is_some()))
        };
        assert_eq!(table(&[1, 0, 0, 0], 0x03, first_fde), (true, Ok(true)));
        assert_eq!(table(&[1, 0, 0, 0], 0x03, 0x1fff), (true, Err(gimli::Error::OffsetOutOfBounds(0x1fff))));
        let mut huge = info(eh_frame.clone());
        huge.eh_frame_hdr = [&[1, 0x04, 0x04, 0x04], &0x2000_u64.to_le_bytes()[..], &[0xff; 24]].concat();
        assert!(!huge.has_table(), "2^64 functions");
    }
}
