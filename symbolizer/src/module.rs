//! One module on its way to names: closed until the first name is asked for, then its ELF file, its symbol table, its
//! debug information; and what of them may be dropped and read again when memory is short.

use std::sync::Arc;

use object::elf;
use profile::{frame::Missing, id::BuildId};

use crate::{
    debugdata, debugfile,
    demangle::is_mangled,
    elf::{ElfFile, Section},
    functions,
    image::Image,
    lines::{Found, Lines, LinesError},
    source::{Elf, Fetch, ModuleSource, TargetFiles},
    split::SplitFiles,
    supplement::Link,
    symbols::SymbolTable,
};

/// After so many units that need more than all memory by themselves, lines are given up: each costs seconds, and a file
/// may be made of nothing else.
const OVERRUNS_MAX: u8 = 4;

/// A module and what was read of it.
pub(crate) struct Module {
    pub(crate) path: Arc<str>,
    pub(crate) file_name: Arc<str>,
    stated_build_id: Option<BuildId>,
    files: Arc<dyn TargetFiles + Sync>,
    fetch: Option<Arc<dyn Fetch>>,
    /// Builds whose debug file was asked for and is not here yet: its own, or a supplementary one.
    awaited: Vec<BuildId>,
    state: State,
    symbols: Option<Symbols>,
    lines: LinesState,
    /// Of the open files.
    split: Option<SplitFiles>,
    /// The linked supplementary file that is not there.
    lacks_supplement: Option<String>,
    /// Units that needed more than all memory by themselves.
    overruns: u8,
    /// Bytes read since the last [`Self::take_read`].
    read: u64,
    /// When it was last asked for a name, in names asked so far.
    pub(crate) last_used: u64,
    /// How many callers added it and did not forget it yet.
    pub(crate) users: usize,
    /// Frames without a name so far, for the hints.
    pub(crate) misses: u64,
}

enum State {
    Closed(Elf),
    Open(Files),
    Failed(Missing),
}

/// The files that tell about a module.
#[derive(Clone)]
struct Files {
    mapped: Arc<ElfFile>,
    /// Looked for when the mapped one lacks symbols or lines.
    debug: Option<Arc<ElfFile>>,
    /// Shared by several files' debug information.
    supplement: Option<Arc<ElfFile>>,
}

impl Files {
    /// How many there are.
    fn count(&self) -> usize {
        1 + usize::from(self.debug.is_some()) + usize::from(self.supplement.is_some())
    }

    fn with_lines(&self) -> Option<&Arc<ElfFile>> {
        [Some(&self.mapped), self.debug.as_ref()].into_iter().flatten().find(|file| Lines::has(file))
    }
}

struct Symbols {
    table: SymbolTable,
    /// Not only the exported ones.
    full: bool,
}

enum LinesState {
    Closed,
    Open(Box<Lines>),
    None,
    OverLimit,
}

impl Module {
    pub(crate) fn new(source: ModuleSource, fetch: Option<Arc<dyn Fetch>>) -> Self {
        let file_name = source.path.rsplit('/').next().unwrap_or_default();
        Self {
            file_name: file_name.into(),
            path: source.path.as_str().into(),
            stated_build_id: source.build_id,
            files: source.files,
            fetch,
            awaited: Vec::new(),
            state: match source.elf {
                Elf::Missing(why) => State::Failed(why),
                present => State::Closed(present),
            },
            symbols: None,
            lines: LinesState::Closed,
            split: None,
            lacks_supplement: None,
            overruns: 0,
            read: 0,
            last_used: 0,
            users: 1,
            misses: 0,
        }
    }

    /// The frames at an address, innermost first; never empty when `Ok`. Holds about `memory` bytes at most.
    pub(crate) fn find(&mut self, at: u64, memory: usize) -> Result<Vec<Found>, Missing> {
        let files = self.open()?;
        let mut frames = self.lines(&files, at, memory);
        let symbol = self.symbols(&files, memory).table.find(at);
        let Some(outermost) = frames.last_mut() else {
            let full = self.symbols.as_ref().is_some_and(|symbols| symbols.full);
            let why = if full { Missing::NoSymbol } else { Missing::Stripped };
            return symbol.map(|name| vec![Found { function: Some(name), ..Found::default() }]).ok_or(why);
        };
        if symbol.as_deref().is_some_and(|symbol| says_more(symbol, outermost.function.as_deref())) {
            outermost.function = symbol;
        }
        Ok(frames)
    }

    /// Where the function at an address begins, for one without a name.
    pub(crate) fn start_of(&self, at: u64) -> Option<u64> {
        let State::Open(files) = &self.state else { return None };
        functions::start_of(&files.mapped, at)
    }

    /// Bytes held that [`Self::drop_tables`] frees.
    pub(crate) fn bytes(&self) -> usize {
        let lines = if let LinesState::Open(lines) = &self.lines { lines.bytes() } else { 0 };
        lines + self.symbols.as_ref().map_or(0, |symbols| symbols.table.bytes())
    }

    /// Bytes read from files since this was last asked.
    pub(crate) fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    /// Frees what can be read again.
    pub(crate) fn drop_tables(&mut self) {
        self.symbols = None;
        if matches!(self.lines, LinesState::Open(_)) {
            self.lines = LinesState::Closed;
        }
    }

    /// Frees what lines were read from, but not where to look for them.
    pub(crate) fn rest(&mut self) {
        if let LinesState::Open(lines) = &mut self.lines {
            lines.rest();
        }
    }

    /// Whether [`Self::rest`] frees something.
    pub(crate) fn can_rest(&self) -> bool {
        matches!(&self.lines, LinesState::Open(lines) if lines.can_rest())
    }

    /// Why it has no names or lines, and what to do about it; `None` when all is well.
    pub(crate) fn hint(&self) -> Option<String> {
        let build_id = match &self.state {
            State::Open(files) => files.mapped.build_id.as_ref().or(self.stated_build_id.as_ref()),
            _ => self.stated_build_id.as_ref(),
        };
        let id = build_id.map_or_else(String::new, |id| format!(" (build id {id})"));
        let path = &self.path;
        if matches!(self.lines, LinesState::OverLimit) {
            return Some(format!("{path}{id} has names only: its debug information is over the limits of naming"));
        }
        if self.overruns > 0 {
            let units = self.overruns;
            return Some(format!(
                "{path}{id} has names only in {units} of its units: each is over the limits of naming"
            ));
        }
        if let Some(link) = &self.lacks_supplement {
            return Some(format!(
                "{path}{id} shows some inlined calls without a name: they are in {link} (dwz), which is missing or of \
                 another build; install the package that has it"
            ));
        }
        if let Some((count, place)) = self.split.as_ref().and_then(SplitFiles::missing) {
            return Some(format!(
                "{path}{id} shows no inlined calls in {count} of its units: their .dwo files are missing or of another \
                 build, such as {place}, and no {path}.dwp has them"
            ));
        }
        if self.misses == 0 {
            return None;
        }
        match (&self.state, &self.symbols) {
            (State::Failed(Missing::FileChanged), _) => {
                Some(format!("{path}{id} was replaced while it ran: restart the process to see its names"))
            }
            (State::Failed(_), _) => Some(format!("{path}{id} cannot be read as an ELF file: no names from it")),
            (_, Some(symbols)) if symbols.table.over_limit => {
                Some(format!("{path}{id} has more symbols than the memory limit of naming allows: raise the limit"))
            }
            (_, Some(symbols)) if symbols.full => None,
            _ if self.awaited.is_empty() => {
                Some(format!("debug symbols for {path}{id}: install its -dbgsym or -debuginfo package"))
            }
            _ => Some(format!(
                "debug symbols for {path}{id}: install its -dbgsym or -debuginfo package; debuginfod has not sent them"
            )),
        }
    }

    fn open(&mut self) -> Result<Files, Missing> {
        let image = match std::mem::replace(&mut self.state, State::Failed(Missing::NoFile)) {
            State::Closed(Elf::File(file)) => Image::of_file(file).map_err(|_| Missing::NoFile)?,
            State::Closed(Elf::Bytes(bytes)) => Image::Bytes(bytes),
            State::Open(files) => {
                self.state = State::Open(files.clone());
                return Ok(files);
            }
            State::Closed(Elf::Missing(why)) | State::Failed(why) => {
                self.state = State::Failed(why);
                return Err(why);
            }
        };
        let mapped = Arc::new(ElfFile::parse(image).map_err(|_| Missing::NoFile)?);
        if let (Some(stated), Some(found)) = (&self.stated_build_id, &mapped.build_id)
            && stated != found
        {
            self.state = State::Failed(Missing::FileChanged);
            return Err(Missing::FileChanged);
        }
        let files = self.search(mapped);
        self.state = State::Open(files.clone());
        Ok(files)
    }

    /// Takes a debug file that was awaited. `true`: it has more to tell than there was.
    pub(crate) fn arrived(&mut self, build_id: &BuildId) -> bool {
        let State::Open(files) = &self.state else { return false };
        if !self.awaited.contains(build_id) {
            return false;
        }
        let (mapped, had) = (Arc::clone(&files.mapped), files.count());
        let files = self.search(mapped);
        let better = files.count() > had;
        self.state = State::Open(files);
        (self.symbols, self.lines) = (None, LinesState::Closed);
        better
    }

    /// Looks for what `mapped` lacks.
    fn search(&mut self, mapped: Arc<ElfFile>) -> Files {
        self.awaited.clear();
        let (mut debug, mut place) = (None, None);
        if mapped.section_of_kind(elf::SHT_SYMTAB.0).is_none() || !Lines::has(&mapped) {
            let search = debugfile::search(&mapped, &self.path, &*self.files);
            self.read += search.read;
            (debug, place) = (search.found, search.place);
            debug = debug.or_else(|| self.fetched(mapped.build_id.as_ref()?));
        }
        self.split = Some(SplitFiles::new(Arc::clone(&self.files), &self.path, place.as_deref()));
        let mut files = Files { mapped, debug, supplement: None };
        self.lacks_supplement = None;
        if let Some(link) = files.with_lines().and_then(|file| Link::of(file)) {
            let own = Lines::has(&files.mapped);
            let from = if own { &*self.path } else { place.as_deref().unwrap_or_default() };
            files.supplement = link.search(from, &*self.files).or_else(|| self.fetched(link.build_id()?));
            self.lacks_supplement = files.supplement.is_none().then_some(link.path);
        }
        files
    }

    /// From outside of the target, if it is here.
    fn fetched(&mut self, build_id: &BuildId) -> Option<Arc<ElfFile>> {
        let Some(file) = self.fetch.as_ref()?.debug_file(build_id) else {
            self.awaited.push(build_id.clone());
            return None;
        };
        let file = ElfFile::parse(Image::of_file(file).ok()?).ok()?;
        (file.build_id.as_ref() == Some(build_id)).then(|| Arc::new(file))
    }

    fn symbols(&mut self, files: &Files, memory: usize) -> &Symbols {
        self.symbols.get_or_insert_with(|| {
            let symbols = Symbols::read(files, memory);
            self.read += symbols.table.read;
            symbols
        })
    }

    /// The frames that the debug information tells; empty when it tells none.
    fn lines(&mut self, files: &Files, at: u64, memory: usize) -> Vec<Found> {
        if matches!(self.lines, LinesState::Closed) {
            self.lines = open_lines(files, memory);
        }
        let (LinesState::Open(lines), Some(split)) = (&mut self.lines, &mut self.split) else { return Vec::new() };
        let found = lines.find(at, split);
        self.read += lines.take_read();
        if found.is_err() {
            self.overruns = self.overruns.saturating_add(1);
            if self.overruns >= OVERRUNS_MAX {
                self.lines = LinesState::OverLimit;
            }
        }
        found.unwrap_or_default()
    }
}

fn open_lines(files: &Files, memory: usize) -> LinesState {
    let Some(file) = files.with_lines() else { return LinesState::None };
    match Lines::open(file, files.supplement.as_ref(), memory) {
        Ok(lines) => LinesState::Open(Box::new(lines)),
        Err(LinesError::OverLimit) => LinesState::OverLimit,
        Err(LinesError::Damaged) => LinesState::None,
    }
}

/// Whether the symbol's name is better than the one from the debug information. That knows which of several aliases
/// was compiled; but some compilers leave only the last part of a name there (`run` for `app::Server::run`).
fn says_more(symbol: &str, told: Option<&str>) -> bool {
    told.is_none_or(|told| !is_mangled(told) && is_mangled(symbol))
}

impl Symbols {
    /// From the mapped file or its debug file if either has the full table, else what is exported and what
    /// `.gnu_debugdata` adds to it.
    fn read(files: &Files, memory: usize) -> Self {
        let mut whole = [Some(&files.mapped), files.debug.as_ref()].into_iter().flatten();
        if let Some(source) = whole.find_map(|file| table_of(file, elf::SHT_SYMTAB.0)) {
            let table = SymbolTable::build(&[source], memory);
            return Self { full: !table.is_empty(), table };
        }
        let unpacked = debugdata::unpack(&files.mapped, memory);
        let local = unpacked.as_ref().and_then(|file| table_of(file, elf::SHT_SYMTAB.0));
        let full = local.is_some();
        let sources: Vec<_> = local.into_iter().chain(table_of(&files.mapped, elf::SHT_DYNSYM.0)).collect();
        Self { full, table: SymbolTable::build(&sources, memory) }
    }
}

fn table_of(file: &Arc<ElfFile>, kind: u32) -> Option<(Arc<ElfFile>, &Section)> {
    file.section_of_kind(kind).map(|section| (Arc::clone(file), section))
}
