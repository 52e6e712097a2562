//! Code objects of language runtimes: what a frame of such a language is named by. Reads nothing; the names come from the
//! target's memory, or from the map of the code that it has generated.

use serde::{Deserialize, Serialize};

use crate::{frame::Frame, naming::file_name, python};

/// A code object of a session: an index into those defined by [`crate::feed::Event::Code`], which only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CodeIndex(pub u32);

/// A language with a runtime that says what its frames are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Language {
    /// CPython.
    Python,
    /// Any whose runtime generates machine code and tells it by a `perf-PID.map` (V8, HotSpot, .NET ...).
    Generated,
}

impl Language {
    /// Whether an interpreter runs it, whose own frames only show how it calls (see [`crate::machinery`]).
    pub fn is_interpreted(self) -> bool {
        self == Self::Python
    }
}

/// A function as its runtime knows it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Code {
    /// Whose.
    pub language: Language,
    /// Python: the qualified name (`Class.method`, `outer.<locals>.inner`) since 3.11; before, methods with their class. Generated:
    /// what the map says, without what its other fields say; `[JIT: RUNTIME]` where the runtime tells no name.
    pub function: String,
    /// Python: `__name__` of the globals that it was first seen with. Generated: the class, where there is one.
    pub module: Option<String>,
    /// Python: `co_filename`, as the compiler was given it. Generated: the path or URL of the source; empty for none.
    pub file: String,
    /// The line on which it begins; 0 where that is not known.
    pub first_line: u32,
}

impl Code {
    /// The frame of this function at a line, in a target with this working directory.
    pub fn frame(&self, line: Option<u32>, cwd: Option<&str>) -> Frame {
        let some = |text: &str| (!text.is_empty()).then(|| text.into());
        Frame {
            function: some(&self.function),
            module: self.module.as_deref().and_then(some),
            filename: some(match self.language {
                Language::Python => python::filename(&self.file, self.module.as_deref()),
                // Others are no paths: `node:internal/timers`.
                Language::Generated if self.file.starts_with('/') => file_name(&self.file),
                Language::Generated => &self.file,
            }),
            abs_path: match self.language {
                Language::Python => some(&python::abs_path(&self.file, cwd)),
                Language::Generated => some(&self.file),
            },
            line,
            language: Some(self.language),
            ..Frame::default()
        }
    }
}
