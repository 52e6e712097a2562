//! Split DWARF: the part of a unit's debug information that its compiler left in a `.dwo` file of its own, which may be
//! packed with others into a `.dwp`. Finds it as the target sees it, and takes none but the one of the unit's id.
//!
//! The linked file keeps a skeleton of each unit: the addresses, the line table, an id, and where the rest is
//! (`DW_AT_dwo_name` below `DW_AT_comp_dir`). DWARF 5 has it in the standard, section 7.3.2; GNU's form for DWARF 4 is
//! read alike.

use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use addr2line::SplitDwarfLoad;
use gimli::{Dwarf, DwarfFileType, DwarfPackage, Reader as _, SectionId, UnitType};

use crate::{
    debugfile,
    dwarf::{Sections, is_needed_of_parts},
    elf::{ElfFile, Section},
    meter::Meter,
    reader::Reader,
    section::PagedSection,
    source::TargetFiles,
};

/// Units whose part is not there are remembered so far; then no further part is looked for. Chromium has 30,000 units.
const MISSING_MAX: usize = 100_000;
/// No longer path can be opened (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// Where the split parts of one module may be, and which are not there. Outlives the debug information that was read,
/// so that what is missing is looked for once.
pub(crate) struct SplitFiles {
    files: Arc<dyn TargetFiles + Sync>,
    /// Of the mapped file.
    folder: String,
    package: Package,
    missing: HashSet<u64>,
    /// Where the first missing one should be.
    example: String,
}

enum Package {
    /// Not looked for yet; here it may be.
    At(Vec<String>),
    Found(Arc<ElfFile>),
    Missing,
}

impl SplitFiles {
    /// For the module that the target sees at `path`, and its separate debug file.
    pub(crate) fn new(files: Arc<dyn TargetFiles + Sync>, path: &str, debug: Option<&str>) -> Self {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        // gdb and lldb look beside either; a stripped program's package is named for the whole one.
        let whole = debug.and_then(|debug| debug.strip_suffix(".debug"));
        let places = [Some(path), debug, whole].into_iter().flatten().map(|place| format!("{place}.dwp")).collect();
        let package = Package::At(places);
        Self { files, folder, package, missing: HashSet::new(), example: String::new() }
    }

    /// How many units lack their part, and where the first of these should be.
    pub(crate) fn missing(&self) -> Option<(usize, &str)> {
        (!self.missing.is_empty()).then(|| (self.missing.len(), &*self.example))
    }

    fn package(&mut self) -> Option<Arc<ElfFile>> {
        if let Package::At(places) = &self.package {
            let mut short = places.iter().filter(|place| place.len() < PATH_MAX);
            let found = short.find_map(|place| debugfile::open(&*self.files, place));
            self.package = found.map_or(Package::Missing, |file| Package::Found(Arc::new(file)));
        }
        if let Package::Found(file) = &self.package { Some(Arc::clone(file)) } else { None }
    }

    fn part(&self, place: &str) -> Option<ElfFile> {
        if place.len() < PATH_MAX { debugfile::open_part(&*self.files, place) } else { None }
    }

    /// Where a `.dwo` may be: where the compiler put it; and for programs that were moved since, below or in the
    /// program's own folder.
    fn places(&self, load: &SplitDwarfLoad<Reader>) -> Vec<String> {
        let text = |reader: &Reader| {
            let short = reader.len() < PATH_MAX;
            short.then(|| reader.to_string_lossy().ok().map(Cow::into_owned)).flatten()
        };
        let Some(name) = load.path.as_ref().and_then(text).filter(|name| !name.is_empty()) else { return Vec::new() };
        let compiled_in = load.comp_dir.as_ref().and_then(text).unwrap_or_default();
        let below =
            |folder: &str, name: &str| if name.starts_with('/') { name.into() } else { format!("{folder}/{name}") };
        let file_name = name.rsplit('/').next().unwrap_or_default();
        let mut places = vec![
            below(&below(&self.folder, &compiled_in), &name),
            below(&self.folder, &name),
            below(&self.folder, file_name),
        ];
        places.dedup();
        places
    }
}

/// The split parts in use.
#[derive(Default)]
pub(crate) struct SplitUnits {
    /// Opened at the first part that is asked for.
    package: OnceCell<Option<DwarfPackage<Reader>>>,
    /// The folder that each unit was compiled in: only its skeleton tells.
    folders: HashMap<u64, Reader>,
}

impl SplitUnits {
    /// The part that a skeleton wants: from the package, else from its own file.
    pub(crate) fn load(
        &mut self,
        load: &SplitDwarfLoad<Reader>,
        meter: &Arc<Meter>,
        files: &mut SplitFiles,
    ) -> Option<Arc<Dwarf<Reader>>> {
        if files.missing.contains(&load.dwo_id.0) || files.missing.len() >= MISSING_MAX {
            return None;
        }
        let places = files.places(load);
        let found = self
            .packed(load, meter, files)
            .or_else(|| places.iter().find_map(|place| from_file(&files.part(place)?, load, meter)));
        if let Some(folder) = load.comp_dir.as_ref().filter(|_| found.is_some()) {
            self.folders.insert(load.dwo_id.0, folder.clone());
        }
        if found.is_none() && !meter.is_over() {
            if files.missing.is_empty() {
                files.example = places.into_iter().next().unwrap_or_default();
            }
            files.missing.insert(load.dwo_id.0);
        }
        found.map(Arc::new)
    }

    /// Where the unit of a split part was compiled.
    pub(crate) fn folder(&self, unit: &gimli::Unit<Reader>) -> Option<&Reader> {
        self.folders.get(&unit.dwo_id?.0)
    }

    fn packed(
        &mut self,
        load: &SplitDwarfLoad<Reader>,
        meter: &Arc<Meter>,
        files: &mut SplitFiles,
    ) -> Option<Dwarf<Reader>> {
        let package = self.package.get_or_init(|| {
            let sections = Sections::of_package(&files.package()?, meter.room()).ok()?;
            meter.hold(sections.held()).ok()?;
            sections.package(meter)
        });
        let dwarf = package.as_ref()?.find_cu(load.dwo_id, &load.parent).ok()??;
        is_unit(&dwarf, load.dwo_id).then_some(dwarf)
    }
}

/// The part from a `.dwo` file, read whole: the unit's entries are all walked over anyway, and a program of 30,000
/// units must not hold as many files open.
fn from_file(file: &ElfFile, load: &SplitDwarfLoad<Reader>, meter: &Arc<Meter>) -> Option<Dwarf<Reader>> {
    let info_name = SectionId::DebugInfo.dwo_name()?;
    let mut holders =
        file.sections.iter().filter(|section| *section.name == *info_name.as_bytes() && section.has_bytes());
    // Half of what the module may hold; more would push out the rest of its debug information at every name.
    let mut left = meter.most() / 2;
    // A hostile file may name one section a thousand times.
    let mut scan = left;
    let (info, (at, len)) = holders.find_map(|section| {
        let (found, scanned) = find_unit(file, section, load.dwo_id, scan);
        meter.count_read(scanned);
        scan = scan.saturating_sub(scanned);
        Some((section, found?))
    })?;
    let mut whole = |name: &str, section: Option<&Section>| {
        let pages = match section.or_else(|| file.section(name)) {
            Some(section) => PagedSection::whole(file, meter, section, left),
            None => PagedSection::empty(meter),
        };
        left = left.saturating_sub(pages.len());
        Reader::new(pages)
    };
    let section = |id: SectionId| {
        let name = id.dwo_name().filter(|_| is_needed_of_parts(id));
        let info = (id == SectionId::DebugInfo).then_some(info);
        Ok::<_, gimli::Error>(name.map_or_else(|| Reader::new(PagedSection::empty(meter)), |name| whole(name, info)))
    };
    let mut dwarf = Dwarf::load(section).ok()?;
    dwarf.debug_info = gimli::Section::reader(&dwarf.debug_info).part(at, len).ok()?.into();
    dwarf.make_dwo(&load.parent);
    is_unit(&dwarf, load.dwo_id).then_some(dwarf)
}

/// Where in `section` the unit is, and how many bytes were read for that. With `-fdebug-types-section`, types come
/// before it, or in sections of the same name.
fn find_unit(file: &ElfFile, section: &Section, id: gimli::DwoId, most: usize) -> (Option<(usize, usize)>, usize) {
    let scratch = Arc::new(Meter::new(most));
    let pages = PagedSection::whole(file, &scratch, section, most);
    let scanned = pages.len();
    let mut units = gimli::DebugInfo::from(Reader::new(pages)).units();
    while let Ok(Some(unit)) = units.next() {
        let is_it = match unit.type_() {
            UnitType::SplitCompilation(found) => found == id,
            // GNU's form has the id in an attribute: checked when the whole is there.
            UnitType::Compilation => true,
            _ => false,
        };
        if is_it {
            return (unit.debug_info_offset().map(|at| (at.0, unit.length_including_self())), scanned);
        }
    }
    (None, scanned)
}

/// Whether what addr2line will take, the first unit, is the right one and can be read.
fn is_unit(dwarf: &Dwarf<Reader>, id: gimli::DwoId) -> bool {
    debug_assert_eq!(dwarf.file_type, DwarfFileType::Dwo);
    let unit = dwarf.units().next().ok().flatten().and_then(|header| dwarf.unit(header).ok());
    unit.is_some_and(|unit| unit.dwo_id == Some(id))
}
