//! What an ELF file says about where it is loaded and who it is: program headers and the build id. Works on files
//! without section headers, and on the vDSO.

use object::{
    LittleEndian, ReadRef,
    elf::{self, FileHeader64, ProgramHeader64},
    read::elf::{FileHeader, ProgramHeader},
};
use profile::{
    address::{FileAddr, LoadBias, RemoteAddr},
    id::BuildId,
};
use thiserror::Error;

use crate::capped::Capped;

/// x86-64's page; `p_offset` and maps offsets agree when rounded down to it.
const PAGE: u64 = 4096;
/// More segments are no program.
pub(crate) const SEGMENTS_MAX: usize = 4096;
/// In more segments of notes no build id is looked for; linkers make one to three.
const NOTES_MAX: usize = 16;

/// A `PT_LOAD` segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// `p_vaddr`.
    pub vaddr: FileAddr,
    /// `p_offset`.
    pub offset: u64,
    /// `p_filesz`.
    pub filesz: u64,
    /// `p_memsz`.
    pub memsz: u64,
    /// `p_flags`: 1 execute, 2 write, 4 read.
    pub flags: u32,
}

/// Where a file is loaded, and who it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ElfLayout {
    /// In file order.
    pub loads: Vec<Load>,
    /// From the `NT_GNU_BUILD_ID` note.
    pub build_id: Option<BuildId>,
    /// The lowest `p_vaddr`.
    pub base: FileAddr,
}

/// Why bytes are no ELF file that we can use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ElfError {
    /// Not ELF, or cut short.
    #[error("not an ELF file, or damaged")]
    Damaged,
    /// `EI_CLASS` says 32 bits.
    #[error("a 32-bit file")]
    Bits32,
    /// Another `e_machine` or byte order.
    #[error("not for x86-64")]
    Machine,
    /// No `PT_LOAD` segment.
    #[error("nothing in it is loaded")]
    NoLoads,
}

impl ElfLayout {
    /// Reads headers and notes.
    pub fn parse<'d, R: ReadRef<'d>>(elf: R) -> Result<Self, ElfError> {
        let header = header(elf)?;
        let segments = program_headers(header, elf)?;
        let endian = LittleEndian;
        let loads: Vec<Load> =
            segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).map(load).collect();
        let base = loads.iter().map(|load| load.vaddr).min().ok_or(ElfError::NoLoads)?;
        Ok(Self { build_id: build_id(segments, elf), loads, base })
    }

    /// The bias of a mapping that starts at `mapped_at` and at `file_offset` of the file.
    ///
    /// A page of the file may belong to two segments (lld, BOLT: R and R+X): the executable one counts whose `p_offset`,
    /// rounded down to a page, is the mapping's. Where none is exactly (a mapping that was split), the one that holds it.
    pub fn bias(&self, mapped_at: RemoteAddr, file_offset: u64) -> Option<LoadBias> {
        let executable = || self.loads.iter().filter(|load| load.flags & elf::PF_X.0 != 0);
        let exact = executable().find(|load| page_of(load.offset) == file_offset);
        let load = exact.or_else(|| executable().find(|load| load.holds(file_offset)))?;
        let vaddr = page_of(load.vaddr.0).wrapping_add(file_offset.wrapping_sub(page_of(load.offset)));
        Some(LoadBias::between(FileAddr(vaddr), mapped_at))
    }
}

impl Load {
    fn holds(&self, file_offset: u64) -> bool {
        let end = self.offset.saturating_add(self.filesz);
        (page_of(self.offset)..end).contains(&file_offset)
    }
}

fn page_of(at: u64) -> u64 {
    at & !PAGE.saturating_sub(1)
}

/// The header, if the file is a 64-bit little-endian x86-64 one.
pub(crate) fn header<'d, R: ReadRef<'d>>(elf: R) -> Result<&'d FileHeader64<LittleEndian>, ElfError> {
    let ident = elf.read_bytes_at(0, 20).map_err(|()| ElfError::Damaged)?;
    match ident {
        [0x7f, b'E', b'L', b'F', 1, ..] => return Err(ElfError::Bits32),
        [0x7f, b'E', b'L', b'F', 2, 1, ..] => {}
        [0x7f, b'E', b'L', b'F', ..] => return Err(ElfError::Machine),
        _ => return Err(ElfError::Damaged),
    }
    let header = FileHeader64::<LittleEndian>::parse(elf).map_err(|_| ElfError::Damaged)?;
    if header.e_machine(LittleEndian) == elf::EM_X86_64 { Ok(header) } else { Err(ElfError::Machine) }
}

/// Its program headers.
pub(crate) fn program_headers<'d, R: ReadRef<'d>>(
    header: &FileHeader64<LittleEndian>,
    elf: R,
) -> Result<&'d [ProgramHeader64<LittleEndian>], ElfError> {
    let segments = header.program_headers(LittleEndian, Capped(elf)).map_err(|_| ElfError::Damaged)?;
    Ok(segments.get(..segments.len().min(SEGMENTS_MAX)).unwrap_or_default())
}

fn load(segment: &ProgramHeader64<LittleEndian>) -> Load {
    let endian = LittleEndian;
    Load {
        vaddr: FileAddr(segment.p_vaddr(endian)),
        offset: segment.p_offset(endian),
        filesz: segment.p_filesz(endian),
        memsz: segment.p_memsz(endian),
        flags: segment.p_flags(endian).0,
    }
}

fn build_id<'d, R: ReadRef<'d>>(segments: &[ProgramHeader64<LittleEndian>], file: R) -> Option<BuildId> {
    let endian = LittleEndian;
    for segment in segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_NOTE).take(NOTES_MAX) {
        let Ok(Some(mut notes)) = segment.notes(endian, Capped(file)) else { continue };
        while let Ok(Some(note)) = notes.next() {
            if note.n_type(endian) == elf::NT_GNU_BUILD_ID && note.name() == elf::ELF_NOTE_GNU {
                return BuildId::new(note.desc());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(vaddr: u64, offset: u64, filesz: u64, flags: u32) -> Load {
        Load { vaddr: FileAddr(vaddr), offset, filesz, memsz: filesz, flags }
    }

    /// Check lld's layout, where one page of the file is in R and in R+X at different addresses.
    #[test]
    fn bias_of_shared_page() {
        let layout = ElfLayout {
            loads: vec![load(0, 0, 0x1a30, 4), load(0x2a30, 0x1a30, 0x5000, 5), load(0x8a30, 0x6a30, 0x100, 6)],
            build_id: None,
            base: FileAddr(0),
        };
        assert_eq!(layout.bias(RemoteAddr(0x7f00_0000_2000), 0x1000), Some(LoadBias(0x7f00_0000_0000)));
        // A mapping split by mprotect starts inside the segment.
        assert_eq!(layout.bias(RemoteAddr(0x7f00_0000_4000), 0x3000), Some(LoadBias(0x7f00_0000_0000)));
        assert_eq!(layout.bias(RemoteAddr(0x7f00_0000_4000), 0x9000), None);
    }

    /// Check that files of other kinds are told apart.
    #[test]
    fn refusals() {
        let mut ident = [0_u8; 64];
        assert_eq!(ElfLayout::parse(ident.as_slice()), Err(ElfError::Damaged));
        ident[..5].copy_from_slice(b"\x7fELF\x01");
        assert_eq!(ElfLayout::parse(ident.as_slice()), Err(ElfError::Bits32));
        ident[4..6].copy_from_slice(&[2, 2]);
        assert_eq!(ElfLayout::parse(ident.as_slice()), Err(ElfError::Machine));
        assert_eq!(ElfLayout::parse(&b"\x7fEL"[..]), Err(ElfError::Damaged));
    }
}
