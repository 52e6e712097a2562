//! A stack of return addresses, as the unwinder gives it: leaf first, not yet named, and how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    address::{FileAddr, LoadBias, RemoteAddr},
    module::ModuleIndex,
};

/// Deeper stacks are cut. Recursion fixtures reach 100,000; a flame graph is unreadable far below this.
pub const FRAMES_MAX: usize = 1024;

/// What the address of a frame is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum PcKind {
    /// The instruction that ran or was interrupted: the leaf, and the frame below a signal trampoline.
    Exact,
    /// The address that a call will return to: one past the call.
    Return,
}

/// One frame of a stack: an address and what is known about it before it is named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RawFrame {
    /// The address in the target.
    pub pc: RemoteAddr,
    /// Whether it is the instruction or the one after its call.
    pub kind: PcKind,
    /// The module it is in; `None` in code that no file backs (JIT).
    pub module: Option<ModuleIndex>,
}

impl RawFrame {
    /// The address inside the instruction that is on the stack: a call may be the last instruction of its function,
    /// so a return address is looked up one byte earlier.
    pub fn lookup(&self) -> RemoteAddr {
        match self.kind {
            PcKind::Exact => self.pc,
            PcKind::Return => RemoteAddr(self.pc.0.saturating_sub(1)),
        }
    }

    /// The same inside the module's file.
    pub fn file_lookup(&self, bias: LoadBias) -> FileAddr {
        bias.to_file(self.lookup())
    }
}

/// Why a stack does not reach its root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Truncation {
    /// The next frame lies beyond the bytes that were copied.
    BeyondCopy,
    /// A rule needs a register that a sleeping thread does not show (nearly always rbp).
    RegisterUnknown,
    /// The code has no unwind information, and its frame pointers lead nowhere.
    NoUnwindInfo,
    /// The address is in no mapping that may be executed.
    NoModule,
    /// The unwind information is damaged or asks for what DWARF does not define.
    BadUnwindInfo,
    /// The stack pointer did not grow: going on would loop.
    NoProgress,
    /// More than [`FRAMES_MAX`] frames.
    TooDeep,
    /// The unwind information of the module could not be read (the file is gone, or over the limits).
    ModuleUnreadable,
}

impl Truncation {
    /// Every reason, for tables and counters.
    pub const ALL: [Self; 8] = [
        Self::BeyondCopy,
        Self::RegisterUnknown,
        Self::NoUnwindInfo,
        Self::NoModule,
        Self::BadUnwindInfo,
        Self::NoProgress,
        Self::TooDeep,
        Self::ModuleUnreadable,
    ];

    /// The reason as a stable word, in outputs and counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeyondCopy => "beyond_copy",
            Self::RegisterUnknown => "register_unknown",
            Self::NoUnwindInfo => "no_unwind_info",
            Self::NoModule => "no_module",
            Self::BadUnwindInfo => "bad_unwind_info",
            Self::NoProgress => "no_progress",
            Self::TooDeep => "too_deep",
            Self::ModuleUnreadable => "module_unreadable",
        }
    }
}

/// How a stack ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum StackEnd {
    /// At the root, by unwind information alone.
    Complete,
    /// At the root, but at least one frame was found by frame pointers or by the leaf rule, without unwind information.
    Guessed,
    /// Before the root.
    Truncated(Truncation),
}

impl fmt::Display for StackEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Guessed => f.write_str("guessed"),
            Self::Truncated(why) => write!(f, "truncated: {}", why.as_str()),
        }
    }
}

/// A stack before naming, leaf first.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RawStack {
    /// Leaf first.
    pub frames: Vec<RawFrame>,
    /// How it ended.
    pub end: StackEnd,
}
