//! What an ELF file says of the interpreter in it: file addresses of the few things that are needed. Any bytes are a file; of a
//! file that has no interpreter a few hundred bytes are read, of no file more than [`SCAN_MAX`].
//!
//! Layouts: the System V ABI for ELF-64, and `.gnu.hash` as glibc's loader reads it.

use profile::address::FileAddr;

use super::{
    asyncio::STATED,
    bytes::{u16_at, u32_at, u64_at},
};
use crate::File;

/// What is looked for; the longest last.
const NAMES: [&[u8]; 8] = [
    b"_PyRuntime",
    b"Py_Version",
    b"PyCode_Type",
    b"PyUnicode_Type",
    b"PyBytes_Type",
    b"PyDict_Type",
    b"PyLong_Type",
    b"_PyEval_EvalFrameDefault",
];
/// The longest name and its end.
const NAME_LEN: usize = 25;
/// More segments or sections are not looked at; linkers make about 12 and 40.
const HEADERS_MAX: usize = 1024;
/// Bytes of section names; those of a program have 400.
const SECTION_NAMES_MAX: usize = 64 << 10;
/// Entries of a dynamic section; libpython has 30.
const DYNAMIC_MAX: usize = 256;
/// Symbols of one hash bucket; linkers aim at four.
const CHAIN_MAX: u64 = 4096;
/// Writable sections that are remembered; compilers write about eight.
const DATA_MAX: usize = 64;
/// Bytes of tables that are read where every symbol must be looked at; a debug build of Python has 3 MB of them.
const SCAN_MAX: usize = 64 << 20;
/// Bytes that are read at once of such tables: a whole number of symbols.
const SCAN_PART: usize = 2730 * SYMBOL_LEN;
const SYMBOL_LEN: usize = 24;
const SEGMENT_LEN: usize = 56;
const SECTION_LEN: usize = 64;

/// What one file says of an interpreter; parts may be absent.
#[derive(Clone, Default, Debug)]
pub struct Symbols {
    /// `_PyRuntime`: the state of the interpreter.
    pub(super) runtime: Option<FileAddr>,
    /// `Py_Version`, since 3.11.
    pub(super) version: Option<FileAddr>,
    pub(super) code: Option<FileAddr>,
    pub(super) string: Option<FileAddr>,
    pub(super) bytes: Option<FileAddr>,
    pub(super) dict: Option<FileAddr>,
    pub(super) int: Option<FileAddr>,
    /// Where the tasks of asyncio are, as its section tells since 3.14: of the interpreter itself, or of a module beside it.
    pub(super) tasks: Option<[u64; STATED]>,
    /// The eval loop and its length: exported by every build.
    pub(super) eval: Option<(FileAddr, u64)>,
    /// Writable data, as (address, length): where a text of the version may be.
    pub(super) data: Vec<(FileAddr, u64)>,
}

impl Symbols {
    /// `None` if there is no interpreter in the file, nor copies of one's types, nor asyncio. Tried first is what costs least: the section
    /// of the state (since 3.10; no tool strips it) and what is exported. Every symbol is looked at only in a program, which may
    /// have an interpreter linked in and export nothing of it; and where the state was found, but no types.
    pub fn of(file: &(impl File + ?Sized)) -> Option<Self> {
        let head = Head::read(file)?;
        let mut symbols = Self::default();
        let sections = head.sections(file);
        symbols.add_sections(&head, &sections, file);
        let has_hash = head.exported(file).is_some_and(|exported| symbols.add_exported(&exported, file).is_some());
        let mut left = SCAN_MAX;
        if !has_hash {
            symbols.scan(&sections, Section::DYNSYM, &mut left, file);
        }
        if symbols.code.is_none() && (symbols.runtime.is_some() || head.is_program) {
            symbols.scan(&sections, Section::SYMTAB, &mut left, file);
        }
        (symbols.runtime.is_some() || symbols.code.is_some() || symbols.tasks.is_some()).then_some(symbols)
    }

    /// Whether the state of an interpreter is in the file, not only types.
    pub fn has_state(&self) -> bool {
        self.runtime.is_some()
    }

    fn add_sections(&mut self, head: &Head, sections: &[Section], file: &(impl File + ?Sized)) {
        let Some(of_names) = sections.get(head.section_names) else { return };
        let mut names = vec![0; usize::try_from(of_names.size).unwrap_or(0).min(SECTION_NAMES_MAX)];
        if !file.read_at(of_names.offset, &mut names) {
            return;
        }
        for section in sections {
            let name = names.get(section.name as usize..).unwrap_or_default();
            if name.starts_with(b".PyRuntime\0") {
                self.runtime.get_or_insert(section.address);
            }
            if name.starts_with(b".AsyncioDebug\0") {
                let mut stated = [0; STATED * 8];
                self.tasks = file.read_at(section.offset, &mut stated).then(|| words(&stated)).flatten();
            }
            if section.is_writable && self.data.len() < DATA_MAX {
                self.data.push((section.address, section.size));
            }
        }
    }

    fn add_exported(&mut self, exported: &Exported, file: &(impl File + ?Sized)) -> Option<()> {
        let table = exported.hash_table(file)?;
        for name in NAMES {
            if let Some(symbol) = exported.find(&table, name, file) {
                self.take(name, symbol);
            }
        }
        Some(())
    }

    /// Looks at every symbol of the tables of a kind, as far as `left` bytes reach.
    fn scan(&mut self, sections: &[Section], kind: u32, left: &mut usize, file: &(impl File + ?Sized)) {
        for table in sections.iter().filter(|section| section.kind == kind) {
            let Some(strings) = sections.get(table.link as usize) else { continue };
            let mut names = Names { file, at: strings.offset, size: strings.size, page: Vec::new(), from: 0 };
            let mut part = vec![0; SCAN_PART];
            for offset in (0..table.size).step_by(SCAN_PART) {
                let len = usize::try_from(table.size - offset).map_or(SCAN_PART, |rest| rest.min(SCAN_PART));
                let Some(rest) = left.checked_sub(len) else { return };
                *left = rest;
                let (Some(part), Some(at)) = (part.get_mut(..len), table.offset.checked_add(offset)) else { return };
                if !file.read_at(at, part) {
                    return;
                }
                for symbol in part.chunks_exact(SYMBOL_LEN).filter_map(Symbol::parse) {
                    if let Some(name) = names.get(symbol.name, left).and_then(known_name) {
                        self.take(name, symbol);
                    }
                }
            }
        }
    }

    fn take(&mut self, name: &[u8], symbol: Symbol) {
        let slot = match name {
            b"_PyRuntime" => &mut self.runtime,
            b"Py_Version" => &mut self.version,
            b"PyCode_Type" => &mut self.code,
            b"PyUnicode_Type" => &mut self.string,
            b"PyBytes_Type" => &mut self.bytes,
            b"PyDict_Type" => &mut self.dict,
            b"PyLong_Type" => &mut self.int,
            _ => {
                self.eval.get_or_insert((symbol.value, symbol.size));
                return;
            }
        };
        slot.get_or_insert(symbol.value);
    }
}

/// The name that a text begins with, if it is one of those that are looked for.
fn known_name(text: &[u8]) -> Option<&'static [u8]> {
    // Nearly none begins so.
    text.starts_with(b"Py").then_some(()).or_else(|| text.starts_with(b"_Py").then_some(()))?;
    NAMES.into_iter().find(|name| text.strip_prefix(*name).is_some_and(|rest| rest.first() == Some(&0)))
}

/// A symbol that is defined.
#[derive(Clone, Copy)]
struct Symbol {
    name: u32,
    value: FileAddr,
    size: u64,
}

impl Symbol {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let section = u16_at(bytes, 6)?;
        let symbol = Self { name: u32_at(bytes, 0)?, value: FileAddr(u64_at(bytes, 8)?), size: u64_at(bytes, 16)? };
        (section != 0).then_some(symbol)
    }
}

/// Names of symbols, which mostly stand in the order of the symbols.
struct Names<'f, F: ?Sized> {
    file: &'f F,
    at: u64,
    size: u64,
    page: Vec<u8>,
    from: u64,
}

impl<F: File + ?Sized> Names<'_, F> {
    /// The text from an offset on: at least the longest name that is looked for, where there is as much.
    fn get(&mut self, offset: u32, left: &mut usize) -> Option<&[u8]> {
        let offset = u64::from(offset);
        let wanted = self.size.checked_sub(offset)?.min(NAME_LEN as u64);
        let end = self.from.saturating_add(self.page.len() as u64);
        if offset < self.from || offset + wanted > end {
            let len = usize::try_from(self.size - offset).map_or(SCAN_PART, |rest| rest.min(SCAN_PART));
            *left = left.checked_sub(len)?;
            self.page.resize(len, 0);
            self.from = offset;
            if !self.file.read_at(self.at.checked_add(offset)?, &mut self.page) {
                self.page.clear();
            }
        }
        self.page.get(usize::try_from(offset - self.from).ok()?..)
    }
}

/// The header of a file and its segments.
struct Head {
    sections_at: u64,
    section_count: usize,
    /// Which section has the names of all.
    section_names: usize,
    loads: Vec<Load>,
    /// File offset and length of the dynamic section.
    dynamic: Option<(u64, u64)>,
    /// It is started, not loaded by others.
    is_program: bool,
}

/// A segment: where it is loaded, and where and how long it is in the file.
struct Load {
    address: u64,
    offset: u64,
    len: u64,
}

impl Head {
    fn read(file: &(impl File + ?Sized)) -> Option<Self> {
        const FIXED: u16 = 2;
        let mut bytes = [0; 64];
        let is_elf = file.read_at(0, &mut bytes) && bytes.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]);
        is_elf.then_some(())?;
        let whole = |at, len| u16_at(&bytes, at).is_some_and(|said| usize::from(said) == len);
        let mut head = Self {
            sections_at: u64_at(&bytes, 40)?,
            section_count: if whole(58, SECTION_LEN) { u16_at(&bytes, 60)?.into() } else { 0 },
            section_names: u16_at(&bytes, 62)?.into(),
            loads: Vec::new(),
            dynamic: None,
            is_program: u16_at(&bytes, 16)? == FIXED,
        };
        if whole(54, SEGMENT_LEN) {
            let count = usize::from(u16_at(&bytes, 56)?).min(HEADERS_MAX);
            head.add_segments(u64_at(&bytes, 32)?, count, file);
        }
        Some(head)
    }

    fn add_segments(&mut self, at: u64, count: usize, file: &(impl File + ?Sized)) -> Option<()> {
        const LOAD: u32 = 1;
        const DYNAMIC: u32 = 2;
        const INTERPRETER: u32 = 3;
        let mut table = vec![0; count * SEGMENT_LEN];
        file.read_at(at, &mut table).then_some(())?;
        for row in table.chunks_exact(SEGMENT_LEN) {
            let (offset, address, len) = (u64_at(row, 8)?, u64_at(row, 16)?, u64_at(row, 32)?);
            match u32_at(row, 0)? {
                LOAD => self.loads.push(Load { address, offset, len }),
                DYNAMIC => self.dynamic = Some((offset, len)),
                INTERPRETER => self.is_program = true,
                _ => {}
            }
        }
        Some(())
    }

    /// Where in the file an address is.
    fn offset_of(&self, address: u64) -> Option<u64> {
        self.loads.iter().find_map(|load| {
            let ahead = address.checked_sub(load.address).filter(|ahead| *ahead < load.len)?;
            load.offset.checked_add(ahead)
        })
    }

    fn sections(&self, file: &(impl File + ?Sized)) -> Vec<Section> {
        let mut table = vec![0; self.section_count.min(HEADERS_MAX) * SECTION_LEN];
        if !file.read_at(self.sections_at, &mut table) {
            return Vec::new();
        }
        table.chunks_exact(SECTION_LEN).filter_map(Section::parse).collect()
    }

    /// Where the exported symbols are.
    fn exported(&self, file: &(impl File + ?Sized)) -> Option<Exported> {
        const STRINGS: u64 = 5;
        const SYMBOLS: u64 = 6;
        const GNU_HASH: u64 = 0x6fff_fef5;
        let (at, len) = self.dynamic?;
        let mut table = vec![0; usize::try_from(len).ok()?.min(DYNAMIC_MAX * 16)];
        file.read_at(at, &mut table).then_some(())?;
        let mut address = [None; 3];
        for row in table.chunks_exact(16) {
            let place = match u64_at(row, 0)? {
                STRINGS => 0,
                SYMBOLS => 1,
                GNU_HASH => 2,
                0 => break,
                _ => continue,
            };
            *address.get_mut(place)? = self.offset_of(u64_at(row, 8)?);
        }
        let [strings, symbols, hash] = address;
        Some(Exported { strings: strings?, symbols: symbols?, hash: hash? })
    }
}

#[derive(Clone, Copy)]
struct Section {
    name: u32,
    kind: u32,
    is_writable: bool,
    address: FileAddr,
    offset: u64,
    size: u64,
    link: u32,
}

impl Section {
    const SYMTAB: u32 = 2;
    const DYNSYM: u32 = 11;

    fn parse(row: &[u8]) -> Option<Self> {
        Some(Self {
            name: u32_at(row, 0)?,
            kind: u32_at(row, 4)?,
            is_writable: u64_at(row, 8)? & 1 != 0,
            address: FileAddr(u64_at(row, 16)?),
            offset: u64_at(row, 24)?,
            size: u64_at(row, 32)?,
            link: u32_at(row, 40)?,
        })
    }
}

/// File offsets of the tables of exported symbols.
struct Exported {
    strings: u64,
    symbols: u64,
    hash: u64,
}

/// The parts of `.gnu.hash`: a filter of 64-bit words, then the first symbol of each bucket, then a hash for each symbol, of
/// which the lowest bit ends a bucket.
struct HashTable {
    buckets: u32,
    first_symbol: u32,
    filter_words: u32,
    filter_shift: u32,
}

impl Exported {
    fn hash_table(&self, file: &(impl File + ?Sized)) -> Option<HashTable> {
        let mut bytes = [0; 16];
        file.read_at(self.hash, &mut bytes).then_some(())?;
        let table = HashTable {
            buckets: u32_at(&bytes, 0)?,
            first_symbol: u32_at(&bytes, 4)?,
            filter_words: u32_at(&bytes, 8)?,
            filter_shift: u32_at(&bytes, 12)?,
        };
        (table.buckets != 0 && table.filter_words != 0).then_some(table)
    }

    fn find(&self, table: &HashTable, name: &[u8], file: &(impl File + ?Sized)) -> Option<Symbol> {
        let hash = name.iter().fold(5381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add((*byte).into()));
        let filter = self.hash.checked_add(16)?;
        let word = long(file, filter.checked_add(u64::from(hash / 64 % table.filter_words) * 8)?)?;
        let bits = 1_u64 << (hash % 64) | 1 << (hash.checked_shr(table.filter_shift).unwrap_or(0) % 64);
        (word & bits == bits).then_some(())?;
        let buckets = filter.checked_add(u64::from(table.filter_words) * 8)?;
        let first = short(file, buckets.checked_add(u64::from(hash % table.buckets) * 4)?)?;
        let place = u64::from(first.checked_sub(table.first_symbol)?);
        let hashes = buckets.checked_add(u64::from(table.buckets) * 4)?.checked_add(place * 4)?;
        for further in 0..CHAIN_MAX {
            let other = short(file, hashes.checked_add(further * 4)?)?;
            if other | 1 == hash | 1
                && let Some(symbol) = self.symbol(u64::from(first) + further, name, file)
            {
                return Some(symbol);
            }
            if other & 1 != 0 {
                return None;
            }
        }
        None
    }

    /// The symbol of a number, if it has this name.
    fn symbol(&self, number: u64, name: &[u8], file: &(impl File + ?Sized)) -> Option<Symbol> {
        let mut bytes = [0; SYMBOL_LEN];
        file.read_at(self.symbols.checked_add(number * SYMBOL_LEN as u64)?, &mut bytes).then_some(())?;
        let symbol = Symbol::parse(&bytes)?;
        let mut text = [0; NAME_LEN];
        let text = text.get_mut(..name.len().checked_add(1)?)?;
        file.read_at(self.strings.checked_add(symbol.name.into())?, text).then_some(())?;
        (known_name(text) == Some(name)).then_some(symbol)
    }
}

fn short(file: &(impl File + ?Sized), at: u64) -> Option<u32> {
    let mut bytes = [0; 4];
    file.read_at(at, &mut bytes).then_some(u32::from_le_bytes(bytes))
}

fn long(file: &(impl File + ?Sized), at: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    file.read_at(at, &mut bytes).then_some(u64::from_le_bytes(bytes))
}

/// The words at the start of a section.
pub(super) fn words(bytes: &[u8]) -> Option<[u64; STATED]> {
    let (words, _) = bytes.as_chunks();
    let mut stated = [0; STATED];
    (words.len() >= STATED)
        .then(|| stated.iter_mut().zip(words).for_each(|(to, from)| *to = u64::from_le_bytes(*from)))?;
    Some(stated)
}
