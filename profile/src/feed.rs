//! What happens while a process is profiled, as one closed list of events. The chunk builder, the recorder and the
//! journal on disk all eat the same events, so that a chunk can be built again after a crash.

use serde::{Deserialize, Serialize};

use crate::{
    code::{Code, CodeIndex},
    counters::Counters,
    id::Tid,
    module::{Module, ModuleIndex},
    stack::RawStack,
    thread::State,
};

/// A stack of this session: an index into the stacks defined by [`Event::Stack`], which only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct StackId(pub u32);

/// One thing that happened to a target. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Event {
    /// A module was first seen. Comes before any stack that names it.
    Module(ModuleIndex, Module),
    /// A code object was first seen. Comes before any stack that names it.
    Code(CodeIndex, Code),
    /// A stack was first seen. Comes before any sample that names it.
    Stack(StackId, RawStack),
    /// A thread was first seen, or changed its name.
    Thread {
        /// Which.
        tid: Tid,
        /// `comm` as the kernel has it; lossy UTF-8.
        name: String,
    },
    /// A language runtime's own id of a thread came to be known: the one by which its users know it.
    Ident {
        /// Which.
        tid: Tid,
        /// Python: `threading.get_ident()`.
        ident: u64,
    },
    /// A tick begins. Every live thread for which nothing else is said before the next tick was proved not to have
    /// run: its last stack stands at this tick too.
    Tick {
        /// When.
        at_ns: u64,
    },
    /// A thread was read at the current tick.
    Sample {
        /// Which.
        tid: Tid,
        /// What it was doing, by stack.
        stack: StackId,
        /// And by state.
        state: State,
    },
    /// A thread could not be read at the current tick (late, skipped, lost). Nothing is claimed for it: no tick is
    /// counted, and a receiver gives the time to its last stack.
    Unread {
        /// Which.
        tid: Tid,
    },
    /// A thread was gone at the current tick.
    Ended {
        /// Which.
        tid: Tid,
    },
    /// The target's own use of the machine.
    Usage {
        /// When.
        at_ns: u64,
        /// CPU used since the last such event, in percent of one CPU.
        cpu_percent: f64,
        /// Resident memory, bytes.
        rss_bytes: u64,
    },
    /// Counts since the last such event.
    Counters(Box<Counters>),
    /// What sampling cost since the last such event.
    Cost {
        /// Time that threads of the target were held stopped, microseconds.
        stopped_us: u64,
        /// Longest single stop, microseconds.
        stop_max_us: u64,
        /// CPU time of the agent for this target, microseconds.
        agent_cpu_us: u64,
    },
    /// A function or block of a thread was noted by its process, or has ended.
    Mark(Mark),
    /// Nothing was seen for a while: what is known of threads stands from the next tick on, not from the last.
    Begun,
}

/// A function or block that a process noted: what a thread does meanwhile can be looked at by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Tells it from all others of its session.
    pub sequence: u64,
    /// A block; otherwise a function.
    pub is_block: bool,
    /// The thread, by the id that its language has for it.
    pub ident: u64,
    /// As the process names it.
    pub name: String,
    /// When it began, nanoseconds of `CLOCK_MONOTONIC`.
    pub start_ns: u64,
    /// When it ended; `None`: it goes on.
    pub end_ns: Option<u64>,
}
