//! Source lines and inlined calls of one unit, by addr2line over paged sections.

use std::sync::Arc;

use addr2line::{Context, LookupContinuation as _, LookupResult};
use gimli::{Dwarf, Reader as _};

use crate::{
    lines::{Found, Source},
    meter::Meter,
    reader::Reader,
    split::{SplitFiles, SplitUnits},
};

/// Inlined calls at one address; deeper ones are cut (at the root's side but for the last). 70 were seen in rustc.
pub(crate) const INLINED_MAX: usize = 256;
/// Units that claim one address and want a file each; more go without. Two were seen, where a linker merged functions.
const LOADS_MAX: usize = 16;

/// A unit, with those it refers to.
pub(crate) struct UnitLines {
    context: Context<Reader>,
    meter: Arc<Meter>,
    split: SplitUnits,
}

impl UnitLines {
    /// Over the sections with just these units, which count by the same `meter`.
    pub(crate) fn open(sections: Dwarf<Reader>, meter: Arc<Meter>) -> gimli::Result<Self> {
        Ok(Self { context: Context::from_dwarf(sections)?, meter, split: SplitUnits::default() })
    }

    /// The frames at an address, innermost first; empty when the unit does not cover it. Parts that compilers left in
    /// other files come from `split`.
    pub(crate) fn find(&mut self, at: u64, split: &mut SplitFiles) -> gimli::Result<Vec<Found>> {
        // A damaged unit may still have a good line table.
        self.frames(at, split).or_else(|_| self.place(at))
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
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
