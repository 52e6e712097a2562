//! The debug sections of one file that lines need, found and inflated once, shown to gimli as often as need be.

use std::{convert::Infallible, ops::Range, sync::Arc};

use gimli::{Dwarf, DwarfPackage, SectionId};

use crate::{
    elf::ElfFile,
    meter::Meter,
    reader::Reader,
    section::PagedSection,
    stored::{Stored, TooLarge},
};

/// The others have nothing for lines and are large: `.debug_loc` alone 70 MB of 229. `.debug_aranges` says less than the
/// units do, and not of all of them.
const NEEDED: [SectionId; 9] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
];
/// What names and inlined calls are read from in split parts.
const NEEDED_OF_PARTS: [SectionId; 6] = [
    SectionId::DebugAbbrev,
    SectionId::DebugCuIndex,
    SectionId::DebugInfo,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
];

/// Whether a split part's section is read.
pub(crate) fn is_needed_of_parts(id: SectionId) -> bool {
    NEEDED_OF_PARTS.contains(&id)
}

/// The sections of one file.
pub(crate) struct Sections(Vec<(SectionId, Stored)>);

impl Sections {
    /// Of a program, a debug file or a supplementary one; holds at most `most` bytes of what is compressed.
    pub(crate) fn open(file: &Arc<ElfFile>, most: usize) -> Result<Self, TooLarge> {
        Self::find(file, NEEDED.iter().map(|id| (*id, id.name())), most)
    }

    /// Also with what is left out.
    #[cfg(test)]
    pub(crate) fn with_aranges(file: &Arc<ElfFile>, most: usize) -> Result<Self, TooLarge> {
        let all = NEEDED.iter().chain(&[SectionId::DebugAranges]);
        Self::find(file, all.map(|id| (*id, id.name())), most)
    }

    /// Of a `.dwp` package.
    pub(crate) fn of_package(file: &Arc<ElfFile>, most: usize) -> Result<Self, TooLarge> {
        Self::find(file, NEEDED_OF_PARTS.iter().filter_map(|id| Some((*id, id.dwo_name()?))), most)
    }

    fn find<'n>(
        file: &Arc<ElfFile>,
        names: impl Iterator<Item = (SectionId, &'n str)>,
        most: usize,
    ) -> Result<Self, TooLarge> {
        let mut found = Self(Vec::new());
        for (id, name) in names {
            let stored = Stored::of(file, name, most.saturating_sub(found.held()))?;
            found.0.push((id, stored));
        }
        Ok(found)
    }

    /// Bytes of memory.
    pub(crate) fn held(&self) -> usize {
        self.0.iter().map(|(_, stored)| stored.held()).sum()
    }

    /// Length of `.debug_info`.
    pub(crate) fn info_len(&self) -> usize {
        self.stored(SectionId::DebugInfo).map_or(0, Stored::len)
    }

    /// Shown to gimli, with a meter for what is read through this.
    pub(crate) fn dwarf(&self, meter: &Arc<Meter>) -> Dwarf<Reader> {
        self.show(meter, |stored| PagedSection::open(stored, meter, SectionId::DebugInfo.name()))
    }

    /// The same, but of `.debug_info` only these units (in order).
    pub(crate) fn dwarf_of(&self, meter: &Arc<Meter>, units: &[Range<usize>]) -> Dwarf<Reader> {
        self.show(meter, |stored| PagedSection::open_parts(stored, meter, units))
    }

    fn show(&self, meter: &Arc<Meter>, info: impl Fn(&Stored) -> PagedSection) -> Dwarf<Reader> {
        let section = |id: SectionId| {
            let pages = match self.stored(id) {
                Some(stored) if id == SectionId::DebugInfo => info(stored),
                Some(stored) => PagedSection::open(stored, meter, id.name()),
                None => PagedSection::empty(meter),
            };
            Ok::<_, Infallible>(Reader::new(pages))
        };
        match Dwarf::load(section) {
            Ok(dwarf) => dwarf,
            Err(never) => match never {},
        }
    }

    /// A package's sections shown to gimli.
    pub(crate) fn package(&self, meter: &Arc<Meter>) -> Option<DwarfPackage<Reader>> {
        let section = |id: SectionId| {
            let pages = match (self.stored(id), id.dwo_name()) {
                (Some(stored), Some(name)) => PagedSection::open(stored, meter, name),
                // An index that is parsed, and empty if there is none.
                _ if id == SectionId::DebugTuIndex => PagedSection::empty(meter),
                // The index tells each unit's piece of all of them.
                _ => PagedSection::hollow(meter),
            };
            Ok::<_, gimli::Error>(Reader::new(pages))
        };
        DwarfPackage::load(section, Reader::new(PagedSection::empty(meter))).ok()
    }

    fn stored(&self, id: SectionId) -> Option<&Stored> {
        self.0.iter().find(|(of, _)| *of == id).map(|(_, stored)| stored)
    }
}
