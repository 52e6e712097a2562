//! A module: an ELF file as it is mapped in one target. Sentry calls it an image; that word stays on the wire.

use serde::{Deserialize, Serialize};

use crate::{
    address::{FileAddr, LoadBias, RemoteAddr},
    code::Language,
    id::BuildId,
};

/// Which module of a process a frame is in: an index into the process's list of modules, which only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ModuleIndex(pub u32);

/// A module of a process, for those who name frames and write chunks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Module {
    /// The path as the target sees it, without " (deleted)"; `[vdso]` for the vDSO.
    pub path: String,
    /// Empty when the file has no `NT_GNU_BUILD_ID` note.
    pub build_id: Option<BuildId>,
    /// What the loader added.
    pub bias: LoadBias,
    /// The first mapped byte of the module.
    pub start: RemoteAddr,
    /// From the first mapped byte to the last.
    pub size: u64,
    /// The lowest `p_vaddr` of its `PT_LOAD` segments.
    pub base: FileAddr,
    /// The runtime of this language is in it: libpython, or an executable that has it linked in.
    pub interpreter: Option<Language>,
}
