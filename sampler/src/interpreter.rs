//! The language runtime of a target, as far as sampling goes: found among its modules, and which of its thread states is
//! which thread's. Reads memory, stops nobody, names nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use profile::{
    address::RemoteAddr,
    id::{Pid, Tid},
    module::{Module, ModuleIndex},
    thread::{Gil, State, ThreadState},
};
use runtimes::{
    Memory,
    python::{self, Below, Candidate, End, Frame, Mark, Plan, Process, Symbols, Unsupported, Walk},
};

use crate::{memory::Now, procfs, sampler::Native, threads::Thread};

/// The lists of thread states are read again at most this often: one read a thread.
const LOOK_NS: u64 = 20_000_000;
/// And at least this often, for states that are made and taken away without a thread's beginning.
const LOOK_ANYWAY_NS: u64 = 1_000_000_000;
/// So often in a row the lists may not fit together until the process is taken for another program, and read without Python.
const TORN_MAX: u32 = 4;

/// What was found among the modules of a target.
#[derive(Debug, Default)]
pub enum Interpreter {
    /// None of those that are known.
    #[default]
    None,
    /// CPython.
    Python {
        /// How it is read.
        process: Arc<Process>,
        /// Where it is.
        module: ModuleIndex,
    },
    /// One that cannot be read.
    Unsupported(Unsupported),
}

/// A module that has an interpreter, or parts of one.
#[derive(Debug)]
pub struct Suspect {
    /// Which.
    pub index: ModuleIndex,
    /// The module.
    pub module: Module,
    /// What its file says.
    pub symbols: Arc<Symbols>,
}

impl Suspect {
    fn candidate(&self) -> Candidate<'_> {
        Candidate { path: &self.module.path, symbols: &self.symbols, bias: self.module.bias }
    }
}

/// Looks for an interpreter. `paths`: of mapped files, which may tell its version. Reads memory alone.
pub fn find(suspects: &[&Suspect], paths: &[&str], tid: Tid) -> Interpreter {
    let candidates: Vec<Candidate<'_>> = suspects.iter().map(|suspect| suspect.candidate()).collect();
    match Process::find(&candidates, paths, &mut Now(tid)) {
        Ok(Some(process)) => {
            let Some(suspect) = suspects.get(process.module_of_interpreter()) else { return Interpreter::None };
            Interpreter::Python { process: Arc::new(process), module: suspect.index }
        }
        Ok(None) => Interpreter::None,
        Err(why) => Interpreter::Unsupported(why),
    }
}

/// A thread's Python side.
#[derive(Debug, Default)]
pub struct PythonThread {
    /// Its thread states: one in each interpreter that it has entered. Those that it had last, if it has none now: who calls
    /// Python from C may get one for each call, mostly at the same address.
    pub states: Vec<python::ThreadState>,
    /// They were there when they were looked for last.
    is_listed: bool,
    /// What the last walk learned for the next.
    pub plan: Plan,
    /// As last read: a thread that sleeps again may be at another line, with the very same native stack.
    pub frames: Vec<Frame>,
    marks: Vec<Mark>,
    omitted: Option<(usize, usize)>,
    end: Option<End>,
    /// The same of the tasks of asyncio.
    pub tasks: Option<Tasks>,
}

/// After how many frames, leaf first, tasks of asyncio come, and which.
pub type Tasks = (usize, Box<[Below]>);

/// A Python stack as it was at the sample.
#[derive(Debug)]
pub struct PythonCapture {
    /// How the walk ended.
    pub end: End,
    /// Leaf first.
    pub frames: Box<[Frame]>,
    /// Where activations of the eval loop left their marks.
    pub marks: Box<[Mark]>,
    /// Where frames were left out, and how many.
    pub omitted: Option<(usize, usize)>,
    /// Behind how many frames some are not known.
    pub gap: Option<usize>,
    /// The running task of asyncio, and those that wait for it.
    pub tasks: Option<Tasks>,
}

/// Reads the Python stack of a thread that stands still.
pub fn walk(walk: &mut Walk, process: &Process, thread: &mut Thread) -> Option<End> {
    let tid = thread.tid;
    let python = thread.python.as_mut()?;
    Some(walk.read(process, &python.states, &mut python.plan, &mut Now(tid)))
}

/// Prepares the next walk of a thread by what the last one needed; after it runs again.
pub fn learn(walk: &mut Walk, thread: &mut Thread) {
    if let Some(python) = &mut thread.python {
        walk.learn(&mut python.plan);
    }
}

/// Whether the native stack is wanted, too, of a thread whose walk ended so.
pub fn wants_native(native: Native, end: Option<&End>) -> bool {
    native != Native::Off || !matches!(end, Some(End::Complete | End::Cut))
}

/// A thread's state with what it has of its interpreter's lock, as the walk found it; `futex` is where it sleeps in one.
pub fn state(walk: &Walk, thread: &Thread, state: ThreadState, futex: Option<RemoteAddr>) -> State {
    let states = thread.python.as_ref().map(|python| &python.states);
    let gil = match (states, walk.is_holder()) {
        (Some(_), Some(true)) => Some(Gil::Held),
        (Some(states), Some(false)) => {
            let awaits = |at| states.iter().any(|state| state.lock.contains(at));
            Some(if futex.is_some_and(awaits) { Gil::Awaited } else { Gil::Free })
        }
        _ => None,
    };
    State { thread: state, gil }
}

/// Whether a walk found what the thread's last one found.
pub fn is_same(walk: &Walk, end: Option<&End>, thread: &Thread) -> bool {
    match (end, &thread.python) {
        (Some(End::Torn), _) | (Some(_), None) => false,
        (Some(end), Some(python)) => {
            let tasks = python.tasks.as_ref().map(|(place, tasks)| (*place, &**tasks));
            python.end == Some(*end)
                && python.frames == walk.frames()
                && python.marks == walk.marks()
                && python.omitted == walk.omitted()
                && tasks == walk.tasks()
        }
        (None, _) => true,
    }
}

/// Under which word a walk that gave no stack is counted as lost.
pub fn failure(end: &End) -> Option<&'static str> {
    (*end == End::Torn).then_some("python_torn")
}

/// What a walk found; the thread remembers it. `None`: it runs no Python.
pub fn capture(walk: &Walk, end: Option<End>, thread: &mut Thread) -> Option<PythonCapture> {
    let python = thread.python.as_mut()?;
    python.frames.clear();
    python.marks.clear();
    (python.end, python.omitted, python.tasks) = (end, None, None);
    let end = end?;
    python.frames.extend_from_slice(walk.frames());
    python.marks.extend_from_slice(walk.marks());
    python.omitted = walk.omitted();
    python.tasks = walk.tasks().map(|(place, tasks)| (place, tasks.into()));
    Some(PythonCapture {
        end,
        frames: walk.frames().into(),
        marks: walk.marks().into(),
        omitted: walk.omitted(),
        gap: walk.gap(),
        tasks: python.tasks.clone(),
    })
}

/// Keeps the thread states of a process beside its threads.
#[derive(Debug, Default)]
pub struct States {
    looked_at: Option<u64>,
    /// Threads have changed since, but too soon after to look again.
    changed: bool,
    /// How often in a row the lists did not fit together.
    torn: u32,
    /// A thread was seen in the interpreter that has no state.
    wanted: bool,
    /// How often in a row it was looked for in vain.
    in_vain: u32,
    /// Ids in the target's own pid namespace, and when the thread that has it was found: the kernel may give its own id anew.
    namespace: BTreeMap<u32, (Tid, u64)>,
    found: Vec<python::ThreadState>,
}

/// What a look at thread states led to.
#[derive(Debug, Default)]
pub struct Looked {
    /// Threads that are Python's for the first time, with their own ids.
    pub told: Vec<(Tid, u64)>,
    /// Threads must be read again that have not run.
    pub again: bool,
}

/// Memory that is read for long: what must be answered meanwhile is.
struct Patient<'b> {
    memory: Now,
    between: &'b mut dyn FnMut(),
}

impl Memory for Patient<'_> {
    fn read(&mut self, at: RemoteAddr, into: &mut [u8]) -> bool {
        (self.between)();
        self.memory.read(at, into)
    }
}

impl States {
    /// Nobody has looked yet.
    pub fn is_new(&self) -> bool {
        self.looked_at.is_none()
    }

    /// A thread was seen in the interpreter whose state is not known: look soon.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Looks for thread states where threads have changed, one is wanted, or the lists did not fit together. Calls `between` now
    /// and then: many take long.
    pub fn look(
        &mut self,
        process: &Process,
        pid: Pid,
        threads: &mut BTreeMap<Tid, Thread>,
        (now, changed): (u64, bool),
        between: &mut dyn FnMut(),
    ) -> Looked {
        let age = self.looked_at.map_or(u64::MAX, |at| now.saturating_sub(at));
        self.changed |= changed;
        let wait = match (self.changed || self.torn > 0, self.wanted) {
            (true, _) => LOOK_NS << self.torn.min(6),
            (false, true) => LOOK_NS << self.in_vain.min(6),
            (false, false) => LOOK_ANYWAY_NS,
        };
        if age < wait {
            return Looked::default();
        }
        let Some(tid) = threads.keys().next().copied() else { return Looked::default() };
        self.looked_at = Some(now);
        self.changed = false;
        self.found.clear();
        let mut memory = Patient { memory: Now(tid), between };
        if !python::threads(process, &mut memory, &mut self.found) {
            // Nothing is lost by it: threads keep the states that they had.
            self.torn = self.torn.saturating_add(1);
            return Looked { told: Vec::new(), again: self.torn == TORN_MAX && forget(threads) };
        }
        self.torn = 0;
        self.number(pid, threads, memory.between);
        let mut states = self.by_thread(&mut memory);
        let mut looked = Looked::default();
        for (tid, thread) in threads {
            let before = thread.again;
            let of_thread = states.remove(tid).unwrap_or_default();
            looked.told.extend(assign(thread, of_thread).map(|ident| (*tid, ident)));
            looked.again |= thread.again && !before;
        }
        self.in_vain = if looked.told.is_empty() && self.wanted { self.in_vain.saturating_add(1) } else { 0 };
        self.wanted = false;
        looked
    }

    /// The states that were found, by the thread to which each belongs.
    fn by_thread(&mut self, memory: &mut impl Memory) -> BTreeMap<Tid, Vec<python::ThreadState>> {
        let mut states: BTreeMap<Tid, Vec<python::ThreadState>> = BTreeMap::new();
        for state in self.found.drain(..) {
            // A server that forks by itself leaves the child the parent's id.
            let native = state.native_id.filter(|id| self.namespace.contains_key(id));
            let id = native.or_else(|| python::tid_of_ident(state.ident, memory));
            if let Some((tid, _)) = id.and_then(|id| self.namespace.get(&id)) {
                let of_thread = states.entry(*tid).or_default();
                if of_thread.len() < python::STATES_MAX {
                    of_thread.push(state);
                }
            }
        }
        states
    }

    /// Learns the ids that the target knows its threads by.
    fn number(&mut self, pid: Pid, threads: &BTreeMap<Tid, Thread>, between: &mut dyn FnMut()) {
        let is_known = |(tid, since): &(Tid, u64)| threads.get(tid).is_some_and(|thread| thread.since == *since);
        self.namespace.retain(|_, thread| is_known(thread));
        let known: BTreeSet<Tid> = self.namespace.values().map(|(tid, _)| *tid).collect();
        for (tid, thread) in threads.iter().filter(|(tid, _)| !known.contains(tid)) {
            between();
            if let Some(id) = procfs::namespace_tid(pid, *tid) {
                self.namespace.insert(id, (*tid, thread.since));
            }
        }
    }
}

/// Gives a thread the states that were found for it. The thread's own id, if that is new.
fn assign(thread: &mut Thread, states: Vec<python::ThreadState>) -> Option<u64> {
    let Some(first) = states.first().map(|state| state.ident) else {
        // What was read of it so far may have Python frames.
        let was_listed = thread.python.as_mut().is_some_and(|old| std::mem::take(&mut old.is_listed));
        thread.again |= was_listed;
        return None;
    };
    let is_new = !thread.python.as_ref().is_some_and(|old| old.is_listed && old.states == states);
    // What was read of it so far may lack its Python frames.
    thread.again |= is_new;
    let known = thread.python.as_ref().and_then(|old| old.states.first()).map(|state| state.ident);
    let old = thread.python.take().unwrap_or_default();
    thread.python = Some(PythonThread { states, is_listed: true, ..old });
    (known != Some(first)).then_some(first)
}

/// Takes the thread states away: what the threads stand on is read again, without them. Whether any had some.
fn forget(threads: &mut BTreeMap<Tid, Thread>) -> bool {
    let mut any = false;
    for thread in threads.values_mut() {
        let had = thread.python.take().is_some();
        thread.again |= had;
        any |= had;
    }
    any
}
