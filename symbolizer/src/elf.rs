//! The section table and the notes of an ELF file, read by pread within caps. 64-bit little-endian only, as is
//! everything that can be profiled. Reads no section's contents but names and notes.

use object::elf;
use profile::id::BuildId;

use crate::image::Image;

/// A file with more sections is no program: the largest seen has 60. Object files, which have more, are not mapped.
const SECTIONS_MAX: u64 = 4096;
/// The same of a split part, which is not kept open: gcc makes a section of each type. 4 MB, and as much for the rows.
const SECTIONS_OF_PART_MAX: u64 = 64 << 10;
/// All section names together; the longest table seen has 700 bytes.
const SECTION_NAMES_MAX: usize = 64 << 10;
/// Longer names are cut: of those looked for the longest is `.debug_str_offsets.dwo`, and all may share one of 64 KB.
const SECTION_NAME_MAX: usize = 32;
/// A note section; the longest seen has 200 bytes.
const NOTES_MAX: usize = 64 << 10;

/// Why a file is no ELF file that we read.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub(crate) enum ElfError {
    #[error("not a 64-bit little-endian ELF file")]
    NotElf64,
    #[error("the section table is damaged, or the file is cut")]
    Sections,
}

/// One row of the section table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: Box<[u8]>,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
}

impl Section {
    pub(crate) fn is_code(&self) -> bool {
        self.flags & elf::SHF_EXECINSTR.0 != 0
    }

    /// Whether the bytes are in this file (in a separate debug file, code has only its place).
    pub(crate) fn has_bytes(&self) -> bool {
        self.kind != elf::SHT_NOBITS.0 && self.size > 0
    }
}

/// An ELF file: its bytes and where its sections are.
#[derive(Debug)]
pub(crate) struct ElfFile {
    pub(crate) image: Image,
    pub(crate) sections: Vec<Section>,
    pub(crate) build_id: Option<BuildId>,
}

impl ElfFile {
    /// A program, or its debug information.
    pub(crate) fn parse(image: Image) -> Result<Self, ElfError> {
        Self::parse_up_to(SECTIONS_MAX, image)
    }

    /// A `.dwo` file.
    pub(crate) fn parse_part(image: Image) -> Result<Self, ElfError> {
        Self::parse_up_to(SECTIONS_OF_PART_MAX, image)
    }

    fn parse_up_to(sections_max: u64, image: Image) -> Result<Self, ElfError> {
        let header = image.bytes(0, 64, 64).ok_or(ElfError::NotElf64)?;
        if header.get(..6) != Some(b"\x7fELF\x02\x01") {
            return Err(ElfError::NotElf64);
        }
        let sections = sections(&image, &header, sections_max).ok_or(ElfError::Sections)?;
        let build_id = sections.iter().find_map(|section| build_id(&image, section));
        Ok(Self { image, sections, build_id })
    }

    /// The section of that name that has bytes here.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| *section.name == *name.as_bytes() && section.has_bytes())
    }

    /// The first section of that kind that has bytes here.
    pub(crate) fn section_of_kind(&self, kind: u32) -> Option<&Section> {
        self.sections.iter().find(|section| section.kind == kind && section.has_bytes())
    }
}

/// A little-endian field; `None` beyond the end.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|field| u16::from_le_bytes(*field))
}

/// A little-endian field; `None` beyond the end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field))
}

/// A little-endian field; `None` beyond the end.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|field| u64::from_le_bytes(*field))
}

fn sections(image: &Image, header: &[u8], most: u64) -> Option<Vec<Section>> {
    const ROW: usize = 64;
    let offset = u64_at(header, 0x28)?;
    if offset == 0 {
        // Stripped of the table itself (sstrip), or the vDSO of some kernels: no sections is an answer, too.
        return Some(Vec::new());
    }
    if u16_at(header, 0x3a)? != 64 {
        return None;
    }
    let first = image.bytes(offset, ROW as u64, ROW)?;
    // With more than 0xff00 sections the count and the index of the names are in the first row.
    let count = match u16_at(header, 0x3c)? {
        0 => u64_at(&first, 0x20)?,
        few => u64::from(few),
    };
    let names = match u16_at(header, 0x3e)? {
        0xffff => u32_at(&first, 0x28)?,
        few => u32::from(few),
    };
    if count > most {
        return None;
    }
    let table = image.bytes(offset, count * ROW as u64, usize::MAX)?;
    let row = |bytes: &[u8]| {
        Some(Section {
            name: Box::default(),
            kind: u32_at(bytes, 4)?,
            flags: u64_at(bytes, 8)?,
            address: u64_at(bytes, 0x10)?,
            offset: u64_at(bytes, 0x18)?,
            size: u64_at(bytes, 0x20)?,
            link: u32_at(bytes, 0x28)?,
        })
    };
    let mut sections = table.chunks_exact(ROW).map(row).collect::<Option<Vec<_>>>()?;
    if let Some(names) = sections.get(usize::try_from(names).ok()?).filter(|names| names.has_bytes()) {
        let names = image.bytes(names.offset, names.size, SECTION_NAMES_MAX)?;
        for (section, bytes) in sections.iter_mut().zip(table.chunks_exact(ROW)) {
            section.name = name_at(&names, u32_at(bytes, 0)?).into();
        }
    }
    Some(sections)
}

fn name_at(names: &[u8], at: u32) -> &[u8] {
    let tail = usize::try_from(at).ok().and_then(|at| names.get(at..)).unwrap_or_default();
    let tail = tail.get(..SECTION_NAME_MAX).unwrap_or(tail);
    tail.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The GNU build id, if `section` is the note section that holds it.
fn build_id(image: &Image, section: &Section) -> Option<BuildId> {
    if section.kind != elf::SHT_NOTE.0 {
        return None;
    }
    let notes = image.bytes(section.offset, section.size, NOTES_MAX)?;
    let mut at = 0_usize;
    // Each turn moves on by at least the 12 bytes of a header.
    loop {
        let name_len = usize::try_from(u32_at(&notes, at)?).ok()?;
        let len = usize::try_from(u32_at(&notes, at + 4)?).ok()?;
        let kind = u32_at(&notes, at + 8)?;
        let name_at = at + 12;
        let from = name_at.checked_add(name_len)?.checked_next_multiple_of(4)?;
        let to = from.checked_add(len)?;
        if kind == elf::NT_GNU_BUILD_ID.0 && notes.get(name_at..name_at + name_len) == Some(b"GNU\0") {
            return BuildId::new(notes.get(from..to)?);
        }
        at = to.checked_next_multiple_of(4)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of so many sections, the first of which is as ELF has it and tells their number; the second has their
    /// names, which is one.
    fn file(sections: u64, name: &[u8]) -> Image {
        let mut rows = vec![0; 64 * usize::try_from(sections).unwrap()];
        rows[0x20..0x28].copy_from_slice(&sections.to_le_bytes());
        rows[64 + 4] = 3;
        rows[64 + 0x18..64 + 0x20].copy_from_slice(&64_u64.to_le_bytes());
        rows[64 + 0x20..64 + 0x28].copy_from_slice(&(name.len() as u64).to_le_bytes());
        let mut header = [0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[0x28..0x30].copy_from_slice(&(64 + name.len() as u64).to_le_bytes());
        header[0x3a] = 64;
        header[0x3e] = 1;
        Image::Bytes([&header, name, &rows].concat().into())
    }

    /// Check that more sections are taken of a split part than of a program, and no number of them of either; and that
    /// all sections together may not share a long name.
    #[test]
    fn sections_are_bounded() {
        let name = vec![b'x'; 60_000];
        let count = |parsed: Result<ElfFile, ElfError>| parsed.map(|file| file.sections.len());
        assert_eq!(count(ElfFile::parse(file(4096, &name))), Ok(4096));
        assert_eq!(count(ElfFile::parse(file(4097, &name))), Err(ElfError::Sections));
        assert_eq!(count(ElfFile::parse_part(file(65_536, &name))), Ok(65_536));
        assert_eq!(count(ElfFile::parse_part(file(65_537, &name))), Err(ElfError::Sections));
        let names = ElfFile::parse(file(4096, &name)).unwrap().sections;
        assert!(names.iter().all(|section| *section.name == [b'x'; 32]));
    }
}
