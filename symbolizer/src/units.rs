//! Which unit of a file's debug information has which code, in 4 bytes a unit and 16 a range. Made in one pass over the
//! first entry of each unit; keeps nothing of what it reads.

use std::{ops::Range, sync::Arc, time::Instant};

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrevOffset, DebugAddrBase, DebugInfoOffset, DebugLocListsBase,
    DebugRngListsBase, DebugStrOffsetsBase, Dwarf, DwarfFileType, Unit, UnitHeader, UnitType, constants,
};

use crate::{dwarf::Sections, elf::ElfFile, lines::LinesError, meter::Meter, reader::Reader};

/// After so many bytes of pages and work the pass drops them and reads on with none.
const WINDOW: usize = 1 << 20;

/// A range of code, above the lowest code address of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UnitRange {
    start: u32,
    end: u32,
    /// Lowest start from here to the end of the list: where a look-up may stop.
    lowest: u32,
    unit: u32,
}

/// The units of one file.
#[derive(Debug, Default)]
pub(crate) struct Units {
    /// Where each begins in `.debug_info`, and where the last ends.
    starts: Vec<u32>,
    base: u64,
    /// By their end, then by unit.
    ranges: Vec<UnitRange>,
    /// Bytes read to make this.
    pub(crate) read: u64,
}

impl Units {
    /// Of a file with code; holds at most `most` bytes.
    pub(crate) fn with_code(
        file: &ElfFile,
        sections: &Sections,
        most: usize,
        deadline: Instant,
    ) -> Result<Self, LinesError> {
        let base = file.sections.iter().filter(|section| section.is_code()).map(|section| section.address).min();
        let mut units = Self { base: base.unwrap_or(0), ..Self::default() };
        units.walk(sections, most, deadline, true)?;
        units.ranges.sort_unstable_by_key(|range| (range.end, range.unit));
        let mut lowest = u32::MAX;
        for range in units.ranges.iter_mut().rev() {
            lowest = lowest.min(range.start);
            range.lowest = lowest;
        }
        units.ranges.shrink_to_fit();
        units.starts.shrink_to_fit();
        Ok(units)
    }

    /// Of a file whose units are only referred to.
    pub(crate) fn without_code(sections: &Sections, most: usize, deadline: Instant) -> Result<Self, LinesError> {
        let mut units = Self::default();
        units.walk(sections, most, deadline, false)?;
        Ok(units)
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.starts.capacity() * size_of::<u32>() + self.ranges.capacity() * size_of::<UnitRange>()
    }

    /// The units that claim an address, in addr2line's order: by the end of the range that has it.
    pub(crate) fn at(&self, at: u64) -> impl Iterator<Item = u32> {
        let at = at.checked_sub(self.base).and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX);
        let from = self.ranges.partition_point(|range| range.end <= at);
        let after = self.ranges.iter().skip(from).take_while(move |range| range.lowest <= at);
        after.filter(move |range| range.start <= at).map(|range| range.unit)
    }

    /// The unit around a place in `.debug_info`.
    pub(crate) fn around(&self, offset: usize) -> Option<u32> {
        let offset = u32::try_from(offset).ok()?;
        let after = self.starts.partition_point(|start| *start <= offset);
        // The last start is the end of all.
        if after == self.starts.len() { None } else { u32::try_from(after.checked_sub(1)?).ok() }
    }

    /// Where a unit is in `.debug_info`.
    pub(crate) fn place(&self, unit: u32) -> Range<usize> {
        let index = unit as usize;
        let (start, end) = (self.starts.get(index), self.starts.get(index + 1));
        start.zip(end).map_or(0..0, |(start, end)| *start as usize..*end as usize)
    }

    fn walk(&mut self, sections: &Sections, most: usize, deadline: Instant, ranges: bool) -> Result<(), LinesError> {
        let mut at = 0;
        let mut abbreviations = None;
        while at < sections.info_len() {
            let meter = Arc::new(Meter::until(most.saturating_sub(self.bytes()), deadline));
            let dwarf = sections.dwarf(&meter);
            let walked = self.walk_window(&dwarf, &mut at, &meter, &mut abbreviations, ranges);
            self.read += meter.bytes_read();
            if meter.is_over() || meter.is_late() || self.bytes() > most {
                return Err(LinesError::OverLimit);
            }
            if walked.is_err() {
                break;
            }
        }
        self.starts.push(u32::try_from(at).map_err(|_| LinesError::Damaged)?);
        if at == 0 { Err(LinesError::Damaged) } else { Ok(()) }
    }

    /// Reads units from `at` on until there are enough pages.
    fn walk_window(
        &mut self,
        dwarf: &Dwarf<Reader>,
        at: &mut usize,
        meter: &Meter,
        abbreviations: &mut Option<(DebugAbbrevOffset, Arc<Abbreviations>)>,
        ranges: bool,
    ) -> gimli::Result<()> {
        let len = gimli::Reader::len(gimli::Section::reader(&dwarf.debug_info));
        let enough = meter.held().saturating_add(WINDOW);
        while *at < len && meter.held() < enough && !meter.is_late() {
            let header = dwarf.debug_info.header_from_offset(DebugInfoOffset(*at))?;
            let unit = u32::try_from(self.starts.len()).map_err(|_| gimli::Error::Io)?;
            self.starts.push(u32::try_from(*at).map_err(|_| gimli::Error::Io)?);
            *at += header.length_including_self();
            if !ranges
                || matches!(header.type_(), UnitType::Type { .. } | UnitType::SplitType { .. } | UnitType::Partial)
            {
                continue;
            }
            let table = header.debug_abbrev_offset();
            let parsed = match abbreviations.take().filter(|(of, _)| *of == table) {
                Some((_, parsed)) => parsed,
                None => match dwarf.abbreviations(&header) {
                    Ok(parsed) => parsed,
                    Err(_) => continue,
                },
            };
            *abbreviations = Some((table, Arc::clone(&parsed)));
            // Of a damaged unit, what could be read.
            let _ = ranges_of(dwarf, header, parsed, &mut |range| self.add(unit, range, meter));
        }
        Ok(())
    }

    fn add(&mut self, unit: u32, range: gimli::Range, meter: &Meter) {
        let above = |at: u64| u32::try_from(at.saturating_sub(self.base)).unwrap_or(u32::MAX);
        let (start, end) = (above(range.begin), above(range.end));
        // Twice, for the list grows by doubling.
        if start < end && meter.hold(2 * size_of::<UnitRange>()).is_ok() {
            self.ranges.push(UnitRange { start, end, lowest: 0, unit });
        }
    }
}

/// The code that a unit claims: as its first entry says, else as its line table does.
fn ranges_of(
    dwarf: &Dwarf<Reader>,
    header: UnitHeader<Reader>,
    abbreviations: Arc<Abbreviations>,
    add: &mut impl FnMut(gimli::Range),
) -> gimli::Result<()> {
    if !stated_ranges(dwarf, header.clone(), Arc::clone(&abbreviations), add)? {
        line_ranges(&Unit::new_with_abbreviations(dwarf, header, abbreviations)?, add)?;
    }
    Ok(())
}

/// What `DW_AT_ranges` says, else `DW_AT_low_pc` and `DW_AT_high_pc`. `false`: nothing.
fn stated_ranges(
    dwarf: &Dwarf<Reader>,
    header: UnitHeader<Reader>,
    abbreviations: Arc<Abbreviations>,
    add: &mut impl FnMut(gimli::Range),
) -> gimli::Result<bool> {
    let mut unit = bare(header, abbreviations);
    let mut cursor = unit.header.entries(&unit.abbreviations);
    cursor.next_dfs()?;
    let attributes = cursor.current().map(|root| root.attrs().to_vec()).unwrap_or_default();
    // Bases may come after what they are for.
    for attribute in &attributes {
        match attribute.value() {
            AttributeValue::DebugAddrBase(base) => unit.addr_base = base,
            AttributeValue::DebugRngListsBase(base) => unit.rnglists_base = base,
            _ => {}
        }
    }
    let (mut low, mut high, mut list) = (None, None, None);
    for attribute in &attributes {
        match (attribute.name(), attribute.value()) {
            (constants::DW_AT_low_pc, value) => low = dwarf.attr_address(&unit, value)?,
            (constants::DW_AT_high_pc, AttributeValue::Udata(len)) => high = Some((len, true)),
            (constants::DW_AT_high_pc, value) => high = dwarf.attr_address(&unit, value)?.map(|end| (end, false)),
            (constants::DW_AT_ranges, value) => list = dwarf.attr_ranges_offset(&unit, value)?,
            _ => {}
        }
    }
    unit.low_pc = low.unwrap_or(0);
    let mut any = false;
    let mut add = |range: gimli::Range| {
        if range.begin < range.end {
            any = true;
            add(range);
        }
    };
    if let Some(list) = list {
        let mut ranges = dwarf.ranges(&unit, list)?;
        while let Some(range) = ranges.next()? {
            add(range);
        }
    } else if let (Some(begin), Some((high, is_len))) = (low, high) {
        add(gimli::Range { begin, end: if is_len { begin.wrapping_add(high) } else { high } });
    }
    Ok(any)
}

/// A unit without what takes work: its names and the head of its line table.
fn bare(header: UnitHeader<Reader>, abbreviations: Arc<Abbreviations>) -> Unit<Reader> {
    let (encoding, kind) = (header.encoding(), DwarfFileType::Main);
    Unit {
        header,
        abbreviations,
        name: None,
        comp_dir: None,
        low_pc: 0,
        str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, kind),
        addr_base: DebugAddrBase(0),
        loclists_base: DebugLocListsBase::default_for_encoding_and_file(encoding, kind),
        rnglists_base: DebugRngListsBase::default_for_encoding_and_file(encoding, kind),
        line_program: None,
        dwo_id: None,
    }
}

/// From the first row of each sequence to its end.
fn line_ranges(unit: &Unit<Reader>, add: &mut impl FnMut(gimli::Range)) -> gimli::Result<()> {
    let Some(program) = &unit.line_program else { return Ok(()) };
    let mut rows = program.clone().rows();
    let mut begin = None;
    while let Some((_, row)) = rows.next_row()? {
        if !row.end_sequence() {
            begin.get_or_insert(row.address());
        } else if let Some(begin) = begin.take() {
            add(gimli::Range { begin, end: row.address() });
        }
    }
    Ok(())
}
