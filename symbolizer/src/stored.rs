//! Where the bytes of a debug section are: in its file, or in memory, inflated.

use std::sync::Arc;

use object::{
    elf,
    read::{CompressedData, CompressionFormat},
};

use crate::elf::{ElfFile, Section, u32_at, u64_at};

/// Larger sections are refused: the offsets of 32-bit DWARF end here.
const SECTION_MAX: u64 = u32::MAX as u64;

/// The bytes of a section. A copy shares them.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    source: Source,
    len: usize,
}

#[derive(Clone, Debug)]
enum Source {
    Nowhere,
    File { file: Arc<ElfFile>, offset: u64 },
    Memory(Arc<Vec<u8>>),
}

/// A compressed section takes more memory than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Stored {
    /// No bytes.
    pub(crate) fn nowhere() -> Self {
        Self { source: Source::Nowhere, len: 0 }
    }

    /// The section `name` (`.debug_info`), empty if there is none or it is damaged. What is compressed is inflated whole:
    /// zlib can only be read from the start.
    pub(crate) fn of(file: &Arc<ElfFile>, name: &str, most: usize) -> Result<Self, TooLarge> {
        let Some(section) = named(file, name) else { return Ok(Self::nowhere()) };
        if packing(section) == Packing::Plain {
            return Ok(Self::plain(file, section));
        }
        if section.size > most as u64 || inflated_size(file, section).is_some_and(|size| size > most as u64) {
            return Err(TooLarge);
        }
        Ok(unpacked(file, section, most).map_or_else(Self::nowhere, Self::memory))
    }

    fn plain(file: &Arc<ElfFile>, section: &Section) -> Self {
        let inside = file.image.len().saturating_sub(section.offset).min(section.size);
        let len = usize::try_from(inside).unwrap_or(0);
        if inside > SECTION_MAX || len == 0 {
            return Self::nowhere();
        }
        Self { source: Source::File { file: Arc::clone(file), offset: section.offset }, len }
    }

    fn memory(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), source: Source::Memory(Arc::new(bytes)) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory.
    pub(crate) fn held(&self) -> usize {
        if let Source::Memory(bytes) = &self.source { bytes.len() } else { 0 }
    }

    /// Fills `into` from `at`; false if any byte is not there.
    pub(crate) fn read(&self, at: usize, into: &mut [u8]) -> bool {
        match &self.source {
            Source::Nowhere => into.is_empty(),
            Source::File { file, offset } => file.image.read(offset.saturating_add(at as u64), into),
            Source::Memory(bytes) => {
                let Some(from) = bytes.get(at..).and_then(|rest| rest.get(..into.len())) else { return false };
                into.copy_from_slice(from);
                true
            }
        }
    }
}

/// How a section's bytes are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    /// `SHF_COMPRESSED`: 24 bytes of header (kind, reserved, size, alignment), then zlib or zstd.
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

/// What a compressed section says of its size.
fn inflated_size(file: &ElfFile, section: &Section) -> Option<u64> {
    let header = file.image.bytes(section.offset, 24.min(section.size), 24)?;
    match packing(section) {
        Packing::Plain => Some(section.size),
        Packing::Header => u64_at(&header, 8),
        Packing::Name => Some(u64::from_be_bytes(*header.strip_prefix(b"ZLIB")?.first_chunk()?)),
    }
}

/// All bytes of a section, if they are at most `most`.
pub(crate) fn unpacked(file: &ElfFile, section: &Section, most: usize) -> Option<Vec<u8>> {
    let size = inflated_size(file, section)?;
    let bytes = file.image.bytes(section.offset, section.size, most)?;
    match packing(section) {
        Packing::Plain => Some(bytes),
        Packing::Header => {
            let format = match u32_at(&bytes, 0)? {
                kind if kind == elf::ELFCOMPRESS_ZLIB.0 => CompressionFormat::Zlib,
                kind if kind == elf::ELFCOMPRESS_ZSTD.0 => CompressionFormat::Zstandard,
                _ => return None,
            };
            inflate(format, bytes.get(24..)?, size, most)
        }
        Packing::Name => inflate(CompressionFormat::Zlib, bytes.get(12..)?, size, most),
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
