//! Source lines and inlined calls of one file: a list of its units, and of those units what was last asked for.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use gimli::{AbbreviationsCacheStrategy, Dwarf};

use crate::{
    dwarf::Sections,
    elf::ElfFile,
    meter::Meter,
    reader::Reader,
    references::{Needed, References, needed},
    split::SplitFiles,
    stored::TooLarge,
    unit::UnitLines,
    units::Units,
};

/// Listing the units of a file: 100 ms for 62 MB of `.debug_info`. What takes longer than this is left out.
const OPEN_TIME: Duration = Duration::from_secs(3);
/// Units that are open stay so up to this many bytes together, and the one that was asked for last: names come by the
/// function and are asked for once, so more would wait in vain.
const KEPT: usize = 8 << 20;
/// Units that claim one address; more are not tried. Two were seen, where a linker merged functions.
const CLAIMS_MAX: usize = 64;

/// A frame as the debug information tells it, innermost first.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// As the linker knows it, or as the source does.
    pub(crate) function: Option<String>,
    pub(crate) source: Option<Source>,
    pub(crate) inlined: bool,
}

/// A place in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: String,
    /// The folder in which the compiler ran.
    pub(crate) folder: Option<String>,
    pub(crate) line: Option<u32>,
}

/// Why there are no lines although there is debug information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinesError {
    #[error("the debug information needs more memory or time than it may")]
    OverLimit,
    #[error("the debug information is damaged")]
    Damaged,
}

impl From<TooLarge> for LinesError {
    fn from(_: TooLarge) -> Self {
        Self::OverLimit
    }
}

/// The debug information of a file.
pub(crate) struct Lines {
    own: File,
    /// What the file shares with others.
    supplement: Option<File>,
    memory: usize,
    /// The one asked for last is at the back.
    open: VecDeque<(u32, UnitLines)>,
    /// Units that need more than all memory, or are damaged.
    refused: BTreeSet<u32>,
    read: u64,
}

/// A file and what is known of it.
struct File {
    elf: Arc<ElfFile>,
    units: Units,
    /// `None`: not asked for lately.
    sections: Option<Sections>,
}

impl File {
    fn bytes(&self) -> usize {
        self.units.bytes() + self.sections.as_ref().map_or(0, Sections::held)
    }

    /// Bytes read to open it.
    fn read(&self) -> u64 {
        self.units.read + self.sections.as_ref().map_or(0, Sections::held) as u64
    }

    /// Gets the sections if they were dropped. Gives how many bytes were inflated for that.
    fn load(&mut self, most: usize) -> Result<u64, LinesError> {
        if self.sections.is_some() {
            return Ok(0);
        }
        let sections = Sections::open(&self.elf, most)?;
        let inflated = sections.held() as u64;
        self.sections = Some(sections);
        Ok(inflated)
    }
}

impl Lines {
    /// Whether the file has lines to tell.
    pub(crate) fn has(file: &ElfFile) -> bool {
        file.section(".debug_info").or_else(|| file.section(".zdebug_info")).is_some()
    }

    /// Lists the units of `file`, and of the supplementary file that it shares with others.
    pub(crate) fn open(
        file: &Arc<ElfFile>,
        supplement: Option<&Arc<ElfFile>>,
        memory: usize,
    ) -> Result<Self, LinesError> {
        let deadline = Instant::now() + OPEN_TIME;
        let sections = Sections::open(file, memory)?;
        let units = Units::with_code(file, &sections, memory.saturating_sub(sections.held()), deadline)?;
        let own = File { elf: Arc::clone(file), units, sections: Some(sections) };
        let mut lines =
            Self { read: own.read(), own, supplement: None, memory, open: VecDeque::new(), refused: BTreeSet::new() };
        if let Some(file) = supplement {
            lines.add_supplement(file, deadline)?;
        }
        Ok(lines)
    }

    fn add_supplement(&mut self, file: &Arc<ElfFile>, deadline: Instant) -> Result<(), LinesError> {
        let most = self.memory.saturating_sub(self.own.bytes());
        let sections = Sections::open(file, most)?;
        match Units::without_code(&sections, most.saturating_sub(sections.held()), deadline) {
            Ok(units) => {
                let supplement = File { elf: Arc::clone(file), units, sections: Some(sections) };
                self.read += supplement.read();
                self.supplement = Some(supplement);
                Ok(())
            }
            // What the file has itself is better than nothing.
            Err(LinesError::Damaged) => Ok(()),
            Err(over) => Err(over),
        }
    }

    /// The frames at an address, innermost first; empty when no unit covers it. Parts that compilers left in other
    /// files come from `split`. [`LinesError::OverLimit`] is told once for each unit.
    pub(crate) fn find(&mut self, at: u64, split: &mut SplitFiles) -> Result<Vec<Found>, LinesError> {
        if at == u64::MAX {
            // addr2line looks up to `at + 1`.
            return Ok(Vec::new());
        }
        let mut claims = Vec::new();
        for unit in self.own.units.at(at).take(CLAIMS_MAX) {
            if !claims.contains(&unit) && !self.refused.contains(&unit) {
                claims.push(unit);
            }
        }
        let mut room = if claims.is_empty() { 0 } else { self.load()? };
        for unit in claims {
            let found = self.find_in(unit, at, split, &mut room)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.files_bytes() + self.open.iter().map(|(_, unit)| unit.meter().held()).sum::<usize>()
    }

    /// Bytes read from files since this was last asked.
    pub(crate) fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    /// Drops all but the list of units.
    pub(crate) fn rest(&mut self) {
        self.open = VecDeque::new();
        std::iter::once(&mut self.own).chain(&mut self.supplement).for_each(|file| file.sections = None);
    }

    /// Whether [`Self::rest`] drops something.
    pub(crate) fn can_rest(&self) -> bool {
        self.own.sections.is_some()
    }

    /// Gets the sections of the files if they were dropped. Gives what a unit may hold.
    fn load(&mut self) -> Result<usize, LinesError> {
        let most = self.memory.saturating_sub(self.bytes());
        self.read += self.own.load(most)?;
        if let Some(supplement) = &mut self.supplement {
            self.read += supplement.load(most.saturating_sub(self.own.bytes()))?;
        }
        Ok(self.memory.saturating_sub(self.files_bytes()).saturating_sub(self.kept()))
    }

    fn files_bytes(&self) -> usize {
        self.own.bytes() + self.supplement.as_ref().map_or(0, File::bytes)
    }

    fn kept(&self) -> usize {
        KEPT.min(self.memory / 4)
    }

    /// The same in one unit, which may hold `room`; takes from that what it held if it was not open.
    fn find_in(
        &mut self,
        unit: u32,
        at: u64,
        split: &mut SplitFiles,
        room: &mut usize,
    ) -> Result<Vec<Found>, LinesError> {
        let place = self.open.iter().position(|(open, _)| *open == unit);
        if let Some((_, lines)) = place.and_then(|place| self.open.remove(place))
            && let Some(found) = self.ask(unit, lines, at, split)
        {
            return Ok(found);
        }
        // Also when what has gathered in it over time was over the limit.
        let meter = Arc::new(Meter::new(*room));
        let opened = self.open_unit(unit, &meter);
        self.read += meter.bytes_read();
        let found = opened.ok().and_then(|lines| self.ask(unit, lines, at, split));
        *room = room.saturating_sub(meter.held());
        if let Some(found) = found {
            return Ok(found);
        }
        self.refused.insert(unit);
        if meter.is_over() { Err(LinesError::OverLimit) } else { Ok(Vec::new()) }
    }

    /// `None`: it is over its limit, and dropped.
    fn ask(&mut self, unit: u32, mut lines: UnitLines, at: u64, split: &mut SplitFiles) -> Option<Vec<Found>> {
        let before = lines.meter().bytes_read();
        let found = lines.find(at, split);
        self.read += lines.meter().bytes_read() - before;
        if lines.meter().is_over() {
            return None;
        }
        self.open.push_back((unit, lines));
        self.drop_oldest();
        Some(found.unwrap_or_default())
    }

    fn drop_oldest(&mut self) {
        let mut held: usize = self.open.iter().map(|(_, unit)| unit.meter().held()).sum();
        while held > self.kept() && self.open.len() > 1 {
            held -= self.open.pop_front().map_or(0, |(_, unit)| unit.meter().held());
        }
    }

    fn open_unit(&mut self, unit: u32, meter: &Arc<Meter>) -> gimli::Result<UnitLines> {
        let needed = self.needed(unit, meter)?;
        let mut dwarf = show(&self.own, meter, &needed.own)?;
        if let Some(supplement) = &self.supplement {
            dwarf.set_sup(show(supplement, meter, &needed.supplement)?);
        }
        UnitLines::open(dwarf, Arc::clone(meter))
    }

    fn needed(&self, unit: u32, meter: &Arc<Meter>) -> gimli::Result<Needed> {
        let scratch = Arc::new(Meter::new(meter.room()));
        let own = references(&self.own, &scratch).ok_or(gimli::Error::Io)?;
        let supplement = self.supplement.as_ref().and_then(|file| references(file, &scratch));
        let needed = needed(unit, own, supplement, &scratch);
        meter.count_read(usize::try_from(scratch.bytes_read()).unwrap_or(usize::MAX));
        if scratch.is_over() {
            // What the search could not hold, the units could not either.
            meter.hold(scratch.held())?;
        }
        // A damaged unit may still have a good line table.
        Ok(needed.unwrap_or_else(|_| Needed { own: vec![self.own.units.place(unit)], ..Needed::default() }))
    }
}

fn show(file: &File, meter: &Arc<Meter>, units: &[Range<usize>]) -> gimli::Result<Dwarf<Reader>> {
    let mut dwarf = file.sections.as_ref().ok_or(gimli::Error::Io)?.dwarf_of(meter, units);
    if units.len() > 1 {
        // What was optimized as one has one table of abbreviations for all units.
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
    }
    Ok(dwarf)
}

fn references<'f>(file: &'f File, meter: &Arc<Meter>) -> Option<References<'f>> {
    Some(References { dwarf: file.sections.as_ref()?.dwarf(meter), units: &file.units })
}
