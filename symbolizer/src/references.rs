//! Which other units a unit needs for the names of its functions: compilers that optimize across units, and `dwz`, leave
//! a function's name in one unit and refer to it from others.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Range,
    sync::Arc,
};

use gimli::{Abbreviation, Abbreviations, AttributeValue, DebugInfoOffset, Dwarf, UnitHeader, UnitOffset, constants};

use crate::{meter::Meter, reader::Reader, units::Units};

/// addr2line follows a function's origins so far.
const DEPTH_MAX: usize = 16;

/// Which file an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Side {
    Own,
    Supplement,
}

/// One file's debug information.
pub(crate) struct References<'u> {
    pub(crate) dwarf: Dwarf<Reader>,
    pub(crate) units: &'u Units,
}

/// Places in `.debug_info`, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) own: Vec<Range<usize>>,
    pub(crate) supplement: Vec<Range<usize>>,
}

/// The unit itself and all it needs. What it costs is counted by `meter`, which the sources have, too.
pub(crate) fn needed(
    unit: u32,
    own: References<'_>,
    supplement: Option<References<'_>>,
    meter: &Meter,
) -> gimli::Result<Needed> {
    let mut search = Search {
        own,
        supplement,
        meter,
        tables: BTreeMap::new(),
        units: BTreeSet::from([(Side::Own, unit)]),
        seen: HashSet::new(),
        next: Vec::new(),
    };
    search.scan(unit)?;
    for _ in 0..DEPTH_MAX {
        if search.next.is_empty() {
            break;
        }
        search.follow()?;
    }
    Ok(search.needed())
}

struct Search<'s> {
    own: References<'s>,
    supplement: Option<References<'s>>,
    meter: &'s Meter,
    tables: BTreeMap<(Side, usize), Arc<Abbreviations>>,
    units: BTreeSet<(Side, u32)>,
    seen: HashSet<(Side, usize)>,
    next: Vec<(Side, usize)>,
}

impl Search<'_> {
    /// All entries of the unit that is asked about.
    fn scan(&mut self, unit: u32) -> gimli::Result<()> {
        let Some((header, abbreviations)) = self.unit(Side::Own, unit)? else { return Ok(()) };
        // Most compilers number them from one on.
        if !(1..).map_while(|code| abbreviations.get(code)).any(leads_out) {
            return Ok(());
        }
        let mut entries = header.entries_raw(&abbreviations, None)?;
        while !entries.is_empty() {
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            if !leads_out(abbreviation) {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            for attribute in abbreviation.attributes() {
                let attribute = entries.read_attribute(*attribute)?;
                if is_origin(attribute.name()) {
                    self.push(Side::Own, None, &attribute.value())?;
                }
            }
        }
        Ok(())
    }

    /// The entries that were referred to, which may refer on.
    fn follow(&mut self) -> gimli::Result<()> {
        let mut now = std::mem::take(&mut self.next);
        now.sort_unstable();
        now.dedup();
        now.retain(|entry| self.seen.insert(*entry));
        let mut unit = None;
        for (side, offset) in now {
            let Some(index) = self.source(side).and_then(|source| source.units.around(offset)) else { continue };
            if unit.as_ref().is_none_or(|(of, _)| *of != (side, index)) {
                self.units.insert((side, index));
                unit = self.unit(side, index).ok().flatten().map(|read| ((side, index), read));
            }
            // A damaged unit or entry has no name, nor has what refers to it.
            let Some((_, (header, abbreviations))) = &unit else { continue };
            let _ = self.entry(side, header, abbreviations, offset);
        }
        if self.meter.is_over() { Err(gimli::Error::Io) } else { Ok(()) }
    }

    fn entry(
        &mut self,
        side: Side,
        header: &UnitHeader<Reader>,
        abbreviations: &Abbreviations,
        offset: usize,
    ) -> gimli::Result<()> {
        let Some(inside) = DebugInfoOffset(offset).to_unit_offset(header) else { return Ok(()) };
        let mut entries = header.entries_raw(abbreviations, Some(inside))?;
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(()) };
        let attributes = abbreviation.attributes();
        if attributes.iter().any(|attribute| is_name(attribute.name())) {
            return Ok(());
        }
        for attribute in attributes {
            let attribute = entries.read_attribute(*attribute)?;
            if is_origin(attribute.name()) {
                self.push(side, Some(header), &attribute.value())?;
            }
        }
        Ok(())
    }

    /// Notes where a reference leads; one within the unit only with the unit's header.
    fn push(
        &mut self,
        side: Side,
        within: Option<&UnitHeader<Reader>>,
        to: &AttributeValue<Reader>,
    ) -> gimli::Result<()> {
        let entry = match (to, within) {
            (AttributeValue::DebugInfoRef(to), _) => (side, to.0),
            (AttributeValue::DebugInfoRefSup(to), _) => (Side::Supplement, to.0),
            (AttributeValue::UnitRef(UnitOffset(to)), Some(header)) => {
                (side, header.debug_info_offset().map_or(0, |start| start.0).saturating_add(*to))
            }
            _ => return Ok(()),
        };
        // Here and among those seen.
        self.meter.hold(4 * size_of_val(&entry))?;
        self.next.push(entry);
        Ok(())
    }

    fn unit(&mut self, side: Side, unit: u32) -> gimli::Result<Option<(UnitHeader<Reader>, Arc<Abbreviations>)>> {
        let Some(source) = self.source(side) else { return Ok(None) };
        let start = source.units.place(unit).start;
        let header = source.dwarf.debug_info.header_from_offset(DebugInfoOffset(start))?;
        let table = (side, header.debug_abbrev_offset().0);
        let abbreviations = match self.tables.get(&table) {
            Some(known) => Arc::clone(known),
            None => source.dwarf.abbreviations(&header)?,
        };
        self.tables.insert(table, Arc::clone(&abbreviations));
        Ok(Some((header, abbreviations)))
    }

    fn source(&self, side: Side) -> Option<&References<'_>> {
        match side {
            Side::Own => Some(&self.own),
            Side::Supplement => self.supplement.as_ref(),
        }
    }

    fn needed(&self) -> Needed {
        let places = |of: Side| {
            let units = self.units.iter().filter(|(side, _)| *side == of);
            units.filter_map(|(side, unit)| Some(self.source(*side)?.units.place(*unit))).collect()
        };
        Needed { own: places(Side::Own), supplement: places(Side::Supplement) }
    }
}

/// Whether such entries are functions or inlined calls that are described in another unit.
fn leads_out(abbreviation: &Abbreviation) -> bool {
    let is_function = matches!(abbreviation.tag(), constants::DW_TAG_subprogram | constants::DW_TAG_inlined_subroutine);
    is_function
        && abbreviation.attributes().iter().any(|attribute| is_origin(attribute.name()) && crosses(attribute.form()))
}

fn crosses(form: constants::DwForm) -> bool {
    matches!(
        form,
        constants::DW_FORM_ref_addr
            | constants::DW_FORM_GNU_ref_alt
            | constants::DW_FORM_ref_sup4
            | constants::DW_FORM_ref_sup8
            | constants::DW_FORM_indirect
    )
}

fn is_origin(name: constants::DwAt) -> bool {
    matches!(name, constants::DW_AT_abstract_origin | constants::DW_AT_specification)
}

fn is_name(name: constants::DwAt) -> bool {
    matches!(name, constants::DW_AT_name | constants::DW_AT_linkage_name | constants::DW_AT_MIPS_linkage_name)
}
