//! Source lines and inlined calls of one file, by addr2line over paged sections. Opened at the first line asked for;
//! dropped whole when it holds too much, and opened again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use addr2line::{Context, LookupContinuation as _, LookupResult};
use gimli::{Dwarf, Reader as _, SectionId};

use crate::{
    elf::ElfFile,
    reader::Reader,
    section::{Meter, PagedSection},
    split::{SplitFiles, SplitUnits},
};

/// Opening walks over all units of a file: 60 ms for 78 MB of `.debug_info`. What takes longer than this is left out.
const OPEN_TIME: Duration = Duration::from_secs(3);
/// Inlined calls at one address; deeper ones are cut (at the root's side but for the last). 70 were seen in rustc.
pub(crate) const INLINED_MAX: usize = 256;
/// Units that claim one address and want a file each; more go without. Two were seen, where a linker merged functions.
const LOADS_MAX: usize = 16;

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

/// The debug information of a file.
pub(crate) struct Lines {
    context: Context<Reader>,
    meter: Arc<Meter>,
    split: SplitUnits,
}

impl Lines {
    /// Whether the file has lines to tell.
    pub(crate) fn has(file: &ElfFile) -> bool {
        file.section(".debug_info").or_else(|| file.section(".zdebug_info")).is_some()
    }

    /// Walks over the units of `file`, and of the supplementary file that it shares with others.
    pub(crate) fn open(
        file: &Arc<ElfFile>,
        supplement: Option<&Arc<ElfFile>>,
        memory: usize,
    ) -> Result<Self, LinesError> {
        let deadline = Instant::now() + OPEN_TIME;
        let meter = Arc::new(Meter::new(memory, deadline));
        let mut sections = dwarf(file, &meter);
        if let Some(supplement) = supplement {
            sections.set_sup(dwarf(supplement, &meter));
        }
        let context = Context::from_dwarf(sections).map_err(|_| {
            if meter.is_over() || Instant::now() >= deadline { LinesError::OverLimit } else { LinesError::Damaged }
        });
        match (context, supplement) {
            // What the file has itself is better than nothing.
            (Err(LinesError::Damaged), Some(_)) => Self::open(file, None, memory),
            (context, _) => {
                meter.opened();
                Ok(Self { context: context?, meter, split: SplitUnits::default() })
            }
        }
    }

    /// The frames at an address, innermost first; empty when no unit covers it. Parts that compilers left in other
    /// files come from `split`.
    pub(crate) fn find(&mut self, at: u64, split: &mut SplitFiles) -> Result<Vec<Found>, LinesError> {
        let found = self.frames(at, split);
        if self.meter.is_over() {
            return Err(LinesError::OverLimit);
        }
        // A damaged unit may still have a good line table.
        found.or_else(|_| self.place(at)).map_err(|_| LinesError::Damaged)
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.meter.held()
    }

    /// Bytes read from the file so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.meter.bytes_read()
    }

    fn frames(&mut self, at: u64, split: &mut SplitFiles) -> gimli::Result<Vec<Found>> {
        if at == u64::MAX {
            // addr2line looks up to `at + 1`.
            return Ok(Vec::new());
        }
        let mut loads = 0;
        let mut looked = self.context.find_frames(at);
        let mut frames = loop {
            match looked {
                LookupResult::Output(frames) => break frames?,
                LookupResult::Load { load, continuation } => {
                    loads += 1;
                    let wanted = loads <= LOADS_MAX;
                    let part = wanted.then(|| self.split.load(&load, &self.meter, split)).flatten();
                    looked = continuation.resume(part);
                }
            }
        };
        let mut found: Vec<Found> = Vec::new();
        while let Some(frame) = frames.next()? {
            let function = frame.function.as_ref().and_then(|name| name.raw_name().ok()).map(String::from);
            if found.len() > INLINED_MAX {
                found.pop();
            }
            found.push(Found { function, source: frame.location.as_ref().and_then(source), inlined: true });
        }
        if let Some(outermost) = found.last_mut() {
            outermost.inlined = false;
        }
        self.add_folder(at, &mut found);
        Ok(found)
    }

    fn place(&self, at: u64) -> gimli::Result<Vec<Found>> {
        let source = self.context.find_location(at)?.as_ref().and_then(source);
        Ok(source.map(|source| Found { source: Some(source), ..Found::default() }).into_iter().collect())
    }

    fn add_folder(&self, at: u64, found: &mut [Found]) {
        let unit = self.context.find_dwarf_and_unit(at).skip_all_loads();
        let folder = |unit| self.split.folder(unit).or(unit.comp_dir.as_ref());
        let Some(folder) = unit.as_ref().and_then(|unit| folder(unit.unit)) else { return };
        let Ok(folder) = folder.to_string_lossy() else { return };
        for source in found.iter_mut().filter_map(|frame| frame.source.as_mut()) {
            source.folder = Some(folder.clone().into_owned());
        }
    }
}

fn source(place: &addr2line::Location<'_>) -> Option<Source> {
    Some(Source { path: place.file?.to_owned(), folder: None, line: place.line })
}

fn dwarf(file: &Arc<ElfFile>, meter: &Arc<Meter>) -> Dwarf<Reader> {
    let section = |id: SectionId| {
        // The others have nothing for lines and are large: .debug_loc alone 70 MB of 229.
        let needed = matches!(
            id,
            SectionId::DebugAbbrev
                | SectionId::DebugAddr
                | SectionId::DebugAranges
                | SectionId::DebugInfo
                | SectionId::DebugLine
                | SectionId::DebugLineStr
                | SectionId::DebugRanges
                | SectionId::DebugRngLists
                | SectionId::DebugStr
                | SectionId::DebugStrOffsets
        );
        let pages = if needed { PagedSection::open(file, meter, id.name()) } else { PagedSection::empty(meter) };
        Ok::<_, std::convert::Infallible>(Reader::new(pages))
    };
    match Dwarf::load(section) {
        Ok(dwarf) => dwarf,
        Err(never) => match never {},
    }
}
