//! CPython, from 3.7 to 3.15: its threads, their stacks and what their frames are named by, from a target's memory alone.
//! Neither says when the memory stands still (that is the sampler's) nor where Python frames lie among native ones.

mod asyncio;
mod bytes;
mod classes;
mod code;
mod copies;
mod debug_offsets;
mod dict;
mod distinct;
mod elf;
mod ends;
mod eval_loop;
mod find;
mod line_table;
mod names;
mod offsets;
mod proof;
mod receivers;
mod strings;
mod threads;
mod walk;

use profile::address::RemoteAddr;

pub use self::{
    asyncio::{BELOW_MAX, Below, TaskName},
    code::{Codes, Resolved},
    copies::Plan,
    elf::Symbols,
    find::{Candidate, Process, Unsupported},
    names::{ThreadName, ThreadNames},
    threads::{Lock, ThreadState, new_threads, threads, tid_of_ident},
    walk::{End, FRAMES_MAX, READS_MAX, STATES_MAX, Walk},
};

/// One Python frame as it was in the stop, not yet named.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Frame {
    /// Where it is.
    pub at: RemoteAddr,
    /// Its code object.
    pub code: RemoteAddr,
    /// The dictionary of its global names.
    pub globals: RemoteAddr,
    /// Its instruction as the version has it: an index (an `int`), or an address in the code.
    pub instruction: u64,
    /// What the code object held.
    pub key: CodeKey,
    /// Who owns the frame.
    pub kind: Owner,
    /// Up to 3.10: the type of its first argument if that is named `self`, the argument itself if it is named `cls`.
    pub class: Option<RemoteAddr>,
}

/// Who owns a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Owner {
    /// A thread: an ordinary call; all frames up to 3.10.
    #[default]
    Thread,
    /// A generator or coroutine.
    Generator,
    /// A frame object.
    FrameObject,
}

/// What tells a code object from another one that got its address later.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct CodeKey {
    first_line: u32,
    line_table: u64,
    name: u64,
}

/// Where one activation of the eval loop left its mark on the C stack.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Mark {
    /// The address of the mark.
    pub at: RemoteAddr,
    /// How many of the frames, leaf first, come before it: it ran the last of them, back to the mark before.
    pub frames: usize,
}
