//! The symbol tables of a module as one compact sorted table: where code begins, how long it is, and which row of the
//! file says its name. Names are read from the file when they are asked for: rustc's two libraries have 416,000
//! symbols with 37 MB of names, and a profile shows a few thousand of them.

use std::sync::Arc;

use object::elf;

use crate::{
    elf::{ElfFile, Section, u16_at, u32_at, u64_at},
    image::Image,
};

/// Rows looked at in one table (390 MB of them): a sparse file could state any number.
const ROWS_MAX: u64 = 16 << 20;
/// Names longer than this are not read to their end, so not shown. See `demangle` for what is seen in the wild.
const NAME_MAX: usize = 64 << 10;
/// How many symbols before an address may be looked at for one that covers it: labels and nested parts in between.
const BACK_MAX: usize = 64;
/// How many names of one address are compared; identical-code folding gives some addresses thousands.
const ALIASES_MAX: usize = 32;
/// Rows read at once: 48 KB.
const STEP: usize = 2048;
/// Bytes of one symbol in the file.
const ROW: usize = 24;

/// Where the rows and the names of one table are.
#[derive(Debug)]
struct Table {
    file: Arc<ElfFile>,
    rows: u64,
    names: u64,
    names_end: u64,
}

/// A symbol in memory: 12 bytes, so 5 MB for both of rustc's libraries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Symbol {
    /// Above the lowest code address of the module.
    start: u32,
    /// Zero only while the table is built.
    size: u32,
    /// The row in its table; the upper two bits say which table.
    row: u32,
}

impl Symbol {
    const ROW_BITS: u32 = 30;

    fn covers(self, at: u32) -> bool {
        at.checked_sub(self.start).is_some_and(|offset| offset < self.size)
    }
}

/// All function symbols of a module.
#[derive(Debug, Default)]
pub(crate) struct SymbolTable {
    base: u64,
    symbols: Vec<Symbol>,
    tables: Vec<Table>,
    /// Bytes read to build it.
    pub(crate) read: u64,
    /// Symbols left out because the table would be too large.
    pub(crate) over_limit: bool,
}

/// A range of code addresses of a section, end exclusive.
type CodeRange = (u64, u64);

impl SymbolTable {
    /// Reads the function symbols of `sources` (a file and its table's section), holding at most `bytes_max`.
    pub(crate) fn build(sources: &[(Arc<ElfFile>, &Section)], bytes_max: usize) -> Self {
        let code = code_ranges(sources);
        let base = code.first().map_or(0, |range| range.0);
        let mut table = Self { base, ..Self::default() };
        for (file, section) in sources {
            table.take(file, section, &code, bytes_max / size_of::<Symbol>());
        }
        table.symbols.sort_unstable();
        table.give_sizes(&code);
        table.symbols.shrink_to_fit();
        table
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let unpacked = |table: &Table| if let Image::Bytes(bytes) = &table.file.image { bytes.len() } else { 0 };
        self.symbols.capacity() * size_of::<Symbol>() + self.tables.iter().map(unpacked).sum::<usize>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// Adds the functions of one table, not yet sorted.
    fn take(&mut self, file: &Arc<ElfFile>, section: &Section, code: &[CodeRange], symbols_max: usize) {
        let Some(names) = file.sections.get(section.link as usize).filter(|names| names.has_bytes()) else { return };
        let Some(tag) = u32::try_from(self.tables.len()).ok().filter(|&tag| tag < 4) else { return };
        let Some(names_end) = names.offset.checked_add(names.size) else { return };
        self.tables.push(Table { file: Arc::clone(file), rows: section.offset, names: names.offset, names_end });

        let inside = file.image.len().saturating_sub(section.offset).min(section.size);
        let rows = (inside / ROW as u64).min(ROWS_MAX);
        self.symbols.reserve(usize::try_from(rows).unwrap_or(0).min(symbols_max.saturating_sub(self.symbols.len())));
        let mut buffer = vec![0; ROW * STEP];
        for first in (0..rows).step_by(STEP) {
            let len = ROW * usize::try_from((STEP as u64).min(rows - first)).unwrap_or(0);
            let Some(piece) = buffer.get_mut(..len) else { return };
            if !file.image.read(section.offset + first * ROW as u64, piece) {
                return;
            }
            self.read += len as u64;
            for (row, index) in piece.chunks_exact(ROW).zip(first..) {
                let Some((start, size)) = function(row, self.base, code) else { continue };
                if self.symbols.len() >= symbols_max {
                    self.over_limit = true;
                    return;
                }
                let row = u32::try_from(index).unwrap_or(0) | tag << Symbol::ROW_BITS;
                self.symbols.push(Symbol { start, size, row });
            }
        }
    }

    /// Ends each symbol: with its section, and those without a size (assembly, labels) with the next symbol. A label
    /// inside a function that has a size is left out: the function is what a person looks for.
    fn give_sizes(&mut self, code: &[CodeRange]) {
        let base = self.base;
        let section_end = |start: u32| {
            let end = range_of(code, base + u64::from(start)).map_or(0, |range| range.1);
            u32::try_from(end.saturating_sub(base)).unwrap_or(u32::MAX)
        };
        // From the back, so that the next start is known.
        let (mut next, mut last) = (u32::MAX, u32::MAX);
        for symbol in self.symbols.iter_mut().rev() {
            if symbol.start != last {
                (next, last) = (last, symbol.start);
            }
            let room = section_end(symbol.start).saturating_sub(symbol.start);
            let sized = symbol.size > 0;
            symbol.size = if sized { symbol.size.min(room) } else { room.min(next - symbol.start) };
            if !sized {
                // Marks it for the pass below, in a bit that no size needs: code sections are below 2 GB.
                symbol.size |= UNSIZED;
            }
        }
        let mut covered_to = 0;
        self.symbols.retain_mut(|symbol| {
            let end = symbol.start.saturating_add(symbol.size & !UNSIZED);
            if symbol.size & UNSIZED == 0 {
                covered_to = covered_to.max(end);
                return true;
            }
            symbol.size &= !UNSIZED;
            symbol.size > 0 && symbol.start >= covered_to
        });
    }

    /// The name of the function that covers `at`: of several, the one that starts last.
    pub(crate) fn find(&self, at: u64) -> Option<String> {
        let at = u32::try_from(at.checked_sub(self.base)?).ok()?;
        let after = self.symbols.partition_point(|symbol| symbol.start <= at);
        let before = self.symbols.get(..after)?;
        let nearest = before.iter().rev().take(BACK_MAX).find(|symbol| symbol.covers(at))?;
        let first = before.partition_point(|symbol| symbol.start < nearest.start);
        let aliases = before.get(first..)?.iter().take_while(|symbol| symbol.start == nearest.start);
        aliases
            .filter(|symbol| symbol.covers(at))
            .take(ALIASES_MAX)
            .filter_map(|symbol| self.name(*symbol))
            .min()
            .map(|named| named.name)
    }

    fn name(&self, symbol: Symbol) -> Option<Named> {
        let table = self.tables.get((symbol.row >> Symbol::ROW_BITS) as usize)?;
        let index = u64::from(symbol.row & ((1 << Symbol::ROW_BITS) - 1));
        let row = table.file.image.bytes(table.rows + index * ROW as u64, ROW as u64, ROW)?;
        let at = table.names.checked_add(u64::from(u32_at(&row, 0)?))?;
        let name = table.file.image.c_string(at, table.names_end, NAME_MAX)?;
        let name = String::from_utf8_lossy(&name);
        // `memcpy@@GLIBC_2.14`: the version is the linker's business.
        let name = name.split_once('@').map_or(&*name, |(name, _)| name);
        if name.is_empty() || name.starts_with('$') || name.starts_with(".L") {
            return None;
        }
        Some(Named::new(name, *row.get(4)?))
    }
}

/// Marks a symbol that states no size while the table is built.
const UNSIZED: u32 = 1 << 31;

/// A name in the order in which the names of one address are preferred: functions before labels, exported ones before
/// local ones, `malloc` before `__libc_malloc`, and then any order that stays the same.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    label: bool,
    local: bool,
    underscores: usize,
    len: usize,
    name: String,
}

impl Named {
    fn new(name: &str, info: u8) -> Self {
        Self {
            label: info & 0xf == elf::STT_NOTYPE.0,
            local: info >> 4 == elf::STB_LOCAL.0,
            underscores: name.bytes().take_while(|&byte| byte == b'_').count(),
            len: name.len(),
            name: name.to_owned(),
        }
    }
}

/// Start (above `base`) and stated size of a row that is a function or a label in code.
fn function(row: &[u8], base: u64, code: &[CodeRange]) -> Option<(u32, u32)> {
    let kind = row.get(4)? & 0xf;
    let is_function = kind == elf::STT_FUNC.0 || kind == elf::STT_GNU_IFUNC.0 || kind == elf::STT_NOTYPE.0;
    let section = u16_at(row, 6)?;
    if !is_function || section == 0 || section == 0xfff1 || u32_at(row, 0)? == 0 {
        return None;
    }
    let start = u64_at(row, 8)?;
    range_of(code, start)?;
    let size = u32::try_from(u64_at(row, 16)?).unwrap_or(u32::MAX).min(UNSIZED - 1);
    Some((u32::try_from(start.checked_sub(base)?).ok()?, size))
}

/// Where code is, by all files of the module, sorted.
fn code_ranges(sources: &[(Arc<ElfFile>, &Section)]) -> Vec<CodeRange> {
    let all = sources.iter().flat_map(|(file, _)| &file.sections).filter(|section| section.is_code());
    let ends = all.filter_map(|section| Some((section.address, section.address.checked_add(section.size)?)));
    let mut ranges: Vec<CodeRange> = ends.filter(|range| range.0 < range.1).collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

fn range_of(code: &[CodeRange], at: u64) -> Option<CodeRange> {
    let after = code.partition_point(|range| range.0 <= at);
    code.get(after.checked_sub(1)?).copied().filter(|range| at < range.1)
}
