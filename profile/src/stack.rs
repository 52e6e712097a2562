//! A stack of return addresses, as the unwinder gives it: leaf first, not yet named, and how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    address::{FileAddr, LoadBias, RemoteAddr},
    code::{Code, CodeIndex},
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

/// One native frame of a stack: an address and what is known about it before it is named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct NativeFrame {
    /// The address in the target.
    pub pc: RemoteAddr,
    /// Whether it is the instruction or the one after its call.
    pub kind: PcKind,
    /// The module it is in; `None` in code that no file backs (JIT).
    pub module: Option<ModuleIndex>,
}

/// One frame of a language whose runtime keeps stacks of its own: a code object and where it is in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CodeFrame {
    /// Which code object.
    pub code: CodeIndex,
    /// The source line, 1-based; `None` where the runtime has none for this instruction.
    pub line: Option<u32>,
}

/// One frame of a stack, as it is kept before it is named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum RawFrame {
    /// Machine code.
    Native(NativeFrame),
    /// A function of a language runtime.
    Code(CodeFrame),
    /// So many frames were left out here, between the leaf and the root: the stack is deeper than what is kept.
    Omitted(u32),
    /// Here the frames towards the root do not follow for certain.
    Gap(Gap),
}

/// Why the frames on both sides of a place in a stack may not have called each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Gap {
    /// For the language frames behind it no place was found among the native ones before it, which were cut, if that is why.
    Unplaced(Option<Truncation>),
    /// A generator was being entered or left: its caller was nowhere in memory.
    NoCaller,
}

impl Gap {
    /// The reason as a stable word, in outputs and counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unplaced(_) => "unplaced",
            Self::NoCaller => "no_caller",
        }
    }
}

impl RawFrame {
    /// The native frame, if it is one.
    pub fn native(&self) -> Option<&NativeFrame> {
        if let Self::Native(frame) = self { Some(frame) } else { None }
    }

    /// Whether it is of a language that an interpreter runs.
    pub fn is_interpreted<'c>(&self, code_of: impl FnOnce(CodeIndex) -> Option<&'c Code>) -> bool {
        let Self::Code(frame) = self else { return false };
        code_of(frame.code).is_some_and(|code| code.language.is_interpreted())
    }
}

impl NativeFrame {
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
    /// At the root, but a [`RawFrame::Gap`] is among the frames.
    Gap(Gap),
}

impl StackEnd {
    /// Why the native part was cut, wherever that is.
    pub fn truncation(self) -> Option<Truncation> {
        match self {
            Self::Truncated(why) | Self::Gap(Gap::Unplaced(Some(why))) => Some(why),
            _ => None,
        }
    }
}

impl fmt::Display for StackEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Guessed => f.write_str("guessed"),
            Self::Truncated(why) => write!(f, "truncated: {}", why.as_str()),
            Self::Gap(Gap::Unplaced(Some(why))) => write!(f, "unplaced: {}", why.as_str()),
            Self::Gap(Gap::Unplaced(None)) => f.write_str("unplaced"),
            Self::Gap(gap) => write!(f, "truncated: {}", gap.as_str()),
        }
    }
}

/// A stack of native frames, as the unwinder gives it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NativeStack {
    /// Leaf first.
    pub frames: Vec<NativeFrame>,
    /// The stack pointer in each frame: what lies from it up to the next frame's is the frame's own.
    pub sps: Vec<RemoteAddr>,
    /// How it ended.
    pub end: StackEnd,
}

impl NativeStack {
    /// Without frames.
    pub fn new() -> Self {
        Self { frames: Vec::new(), sps: Vec::new(), end: StackEnd::Complete }
    }
}

impl Default for NativeStack {
    fn default() -> Self {
        Self::new()
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

impl RawStack {
    /// Its native frames, leaf first.
    pub fn native(&self) -> impl Iterator<Item = &NativeFrame> {
        self.frames.iter().filter_map(RawFrame::native)
    }
}

impl From<&NativeStack> for RawStack {
    fn from(stack: &NativeStack) -> Self {
        Self { frames: stack.frames.iter().copied().map(RawFrame::Native).collect(), end: stack.end }
    }
}
