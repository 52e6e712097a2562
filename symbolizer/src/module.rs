//! One module on its way to names: closed until the first name is asked for, then its ELF file, its symbol table, and
//! what of them may be dropped and read again when memory is short.

use std::sync::Arc;

use object::elf;
use profile::{frame::Missing, id::BuildId};

use crate::{
    elf::ElfFile,
    image::Image,
    source::{Elf, ModuleSource, TargetFiles},
    symbols::SymbolTable,
};

/// A frame as the file tells it, name still mangled.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) function: Option<String>,
    pub(crate) inlined: bool,
}

/// A module and what was read of it.
pub(crate) struct Module {
    pub(crate) path: Arc<str>,
    pub(crate) file_name: Arc<str>,
    stated_build_id: Option<BuildId>,
    #[allow(dead_code, reason = "debug files come next")]
    files: Arc<dyn TargetFiles + Sync>,
    state: State,
    symbols: Option<Symbols>,
    /// When it was last asked for a name, in names asked so far.
    pub(crate) last_used: u64,
    /// How many callers added it and did not forget it yet.
    pub(crate) users: usize,
    /// Frames without a name so far, for the hints.
    pub(crate) misses: u64,
}

enum State {
    Closed(Elf),
    Open(Arc<ElfFile>),
    Failed(Missing),
}

struct Symbols {
    table: SymbolTable,
    /// Not only the exported ones.
    full: bool,
}

impl Module {
    pub(crate) fn new(source: ModuleSource) -> Self {
        let file_name = source.path.rsplit('/').next().unwrap_or_default();
        Self {
            file_name: file_name.into(),
            path: source.path.as_str().into(),
            stated_build_id: source.build_id,
            files: source.files,
            state: match source.elf {
                Elf::Missing(why) => State::Failed(why),
                present => State::Closed(present),
            },
            symbols: None,
            last_used: 0,
            users: 1,
            misses: 0,
        }
    }

    /// The frames at an address, innermost first; never empty when `Ok`.
    pub(crate) fn find(&mut self, at: u64, file_memory: usize, read: &mut u64) -> Result<Vec<Found>, Missing> {
        let file = self.open()?;
        let symbols = self.symbols.get_or_insert_with(|| {
            let symbols = Symbols::read(&file, file_memory);
            *read += symbols.table.read;
            symbols
        });
        match symbols.table.find(at) {
            Some(name) => Ok(vec![Found { function: Some(name), inlined: false }]),
            None if symbols.full => Err(Missing::NoSymbol),
            None => Err(Missing::Stripped),
        }
    }

    /// Bytes held that [`Self::drop_tables`] frees.
    pub(crate) fn bytes(&self) -> usize {
        self.symbols.as_ref().map_or(0, |symbols| symbols.table.bytes())
    }

    /// Frees what can be read again.
    pub(crate) fn drop_tables(&mut self) {
        self.symbols = None;
    }

    /// Why it has no names, and what to do about it; `None` when all is well.
    pub(crate) fn hint(&self) -> Option<String> {
        if self.misses == 0 {
            return None;
        }
        let build_id = match &self.state {
            State::Open(file) => file.build_id.as_ref().or(self.stated_build_id.as_ref()),
            _ => self.stated_build_id.as_ref(),
        };
        let id = build_id.map_or_else(String::new, |id| format!(" (build id {id})"));
        let path = &self.path;
        match (&self.state, &self.symbols) {
            (State::Failed(Missing::FileChanged), _) => {
                Some(format!("{path}{id} was replaced while it ran: restart the process to see its names"))
            }
            (State::Failed(_), _) => Some(format!("{path}{id} cannot be read as an ELF file: no names from it")),
            (_, Some(symbols)) if symbols.table.over_limit => {
                Some(format!("{path}{id} has more symbols than the memory limit of naming allows: raise the limit"))
            }
            (_, Some(symbols)) if symbols.full => None,
            _ => Some(format!("debug symbols for {path}{id}: install its -dbgsym or -debuginfo package")),
        }
    }

    fn open(&mut self) -> Result<Arc<ElfFile>, Missing> {
        let image = match std::mem::replace(&mut self.state, State::Failed(Missing::NoFile)) {
            State::Closed(Elf::File(file)) => Image::of_file(file).map_err(|_| Missing::NoFile)?,
            State::Closed(Elf::Bytes(bytes)) => Image::Bytes(bytes),
            State::Open(file) => {
                self.state = State::Open(Arc::clone(&file));
                return Ok(file);
            }
            State::Closed(Elf::Missing(why)) | State::Failed(why) => {
                self.state = State::Failed(why);
                return Err(why);
            }
        };
        let file = Arc::new(ElfFile::parse(image).map_err(|_| Missing::NoFile)?);
        if let (Some(stated), Some(found)) = (&self.stated_build_id, &file.build_id)
            && stated != found
        {
            self.state = State::Failed(Missing::FileChanged);
            return Err(Missing::FileChanged);
        }
        self.state = State::Open(Arc::clone(&file));
        Ok(file)
    }
}

impl Symbols {
    fn read(file: &Arc<ElfFile>, file_memory: usize) -> Self {
        let full = file.section_of_kind(elf::SHT_SYMTAB.0);
        let exported = file.section_of_kind(elf::SHT_DYNSYM.0);
        let source = full.or(exported).map(|section| (Arc::clone(file), section));
        let table = SymbolTable::build(source.as_slice(), file_memory);
        Self { full: full.is_some() && !table.is_empty(), table }
    }
}
