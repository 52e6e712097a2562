//! A named frame: what a person reads. Not knowing a name is data, with a reason.

use std::sync::Arc;

use crate::{
    address::{FileAddr, RemoteAddr},
    code::Language,
};

/// Why a frame has no function name, or no line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Missing {
    /// No module covers the address (JIT, anonymous memory).
    NoModule,
    /// The module's file could not be opened or parsed.
    NoFile,
    /// The file was replaced on disk since it was mapped and the mapped one is out of reach.
    FileChanged,
    /// The file has symbols, none covers this address.
    NoSymbol,
    /// The file is stripped, and no debug file was found.
    Stripped,
    /// The time or byte budget of naming was used up.
    Budget,
}

impl Missing {
    /// The reason as a stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoModule => "no_module",
            Self::NoFile => "no_file",
            Self::FileChanged => "file_changed",
            Self::NoSymbol => "no_symbol",
            Self::Stripped => "stripped",
            Self::Budget => "budget",
        }
    }
}

/// A frame as it is shown and sent. One address gives several where calls were inlined.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Frame {
    /// Demangled name. `None` with a reason in `missing`.
    pub function: Option<Arc<str>>,
    /// Where the language has such a thing: the Rust path or C++ namespace before the function's own name is *not* cut
    /// off `function`; for native frames this is the file name of the module (`libc.so.6`). Python: `__name__` of the module.
    pub module: Option<Arc<str>>,
    /// The path of the ELF file as the target sees it.
    pub package: Option<Arc<str>>,
    /// The source file's short path, for people.
    pub filename: Option<Arc<str>>,
    /// The source file's full path as the compiler recorded it.
    pub abs_path: Option<Arc<str>>,
    /// 1-based source line.
    pub line: Option<u32>,
    /// The pc of the frame in the target: return address, or exact for the leaf.
    pub address: Option<RemoteAddr>,
    /// Part of the caller's machine code: the frame after it (towards the root) has the same address.
    pub inlined: bool,
    /// Why there is no name.
    pub missing: Option<Missing>,
    /// Where the function without a name begins in its file, if the file tells: it stands for the name, so that a stripped
    /// program shows functions, not addresses.
    pub start: Option<FileAddr>,
    /// Whose function it is, if not machine code's.
    pub language: Option<Language>,
}
