//! The language runtime of a target, as far as sampling goes: found among its modules, and which of its thread states is
//! which thread's. Reads memory, stops nobody, names nothing.

use std::{
    collections::{BTreeMap, HashMap},
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

use crate::{memory::Now, procfs, sampler::Native, sys::monotonic_ns, threads::Thread};

/// The lists of thread states are read again this long after a look, where threads have changed or one is wanted...
const LOOK_NS: u64 = 20_000_000;
/// ...or sooner, if looks take no more than one part in so many of the time. Until a look, a thread that serves one request and
/// lives for some milliseconds has no Python frames.
const LOOK_SHARE: u64 = 20;
/// All of them are read at least this often, for states that are made and taken away without a thread's beginning. A read takes
/// some 3 us, so that else only those in front of the first that is known are.
const LOOK_AT_ALL_NS: u64 = 1_000_000_000;
/// States that are known at most; beyond, all are looked at. A process has 32,768 of them at a time.
const KNOWN_MAX: usize = 65_536;
/// A thread that was found this long ago, and has no state, may get one yet: its parent makes it, the thread fills it in.
const NEW_NS: u64 = 50_000_000;
/// So often in a row the lists may not fit together until it is looked whether the process has become another program. (They may
/// not where threads come and go faster than all are looked at.)
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
    /// How long a look at what is new took.
    took_ns: u64,
    looked_at_all: u64,
    /// Threads have changed since, but too soon after to look again; or one that is new had no state yet.
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
    /// By address, those that were found since all were looked at. Their memory may have become another's, with another id.
    known: HashMap<RemoteAddr, python::ThreadState>,
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
        self.changed |= changed;
        let Some(all) = self.extent(now) else { return Looked::default() };
        let Some(tid) = threads.keys().next().copied() else { return Looked::default() };
        let began = monotonic_ns();
        (self.looked_at, self.changed) = (Some(now), false);
        self.found.clear();
        let mut memory = Patient { memory: Now(tid), between };
        if all {
            self.known.clear();
        }
        let is_known = |state: &python::ThreadState| self.known.get(&state.tstate) == Some(state);
        if !python::new_threads(process, &mut memory, &is_known, &mut self.found) {
            // Nothing is lost by it: threads keep the states that they had.
            self.torn = self.torn.saturating_add(1);
            let again = self.torn == TORN_MAX && forget_gone(process, threads, &mut memory);
            return Looked { told: Vec::new(), again };
        }
        self.torn = 0;
        // Older ones know no ids by which a state is known again.
        let with_ids = self.found.iter().filter(|state| state.native_id.is_some());
        self.known.extend(with_ids.map(|state| (state.tstate, *state)));
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        self.number(pid, threads, memory.between);
        let mut states = self.by_thread(threads, &mut memory);
        let mut looked = Looked::default();
        for (tid, thread) in threads {
            let before = thread.again;
            let of_thread = match states.remove(tid) {
                Some(of_thread) if all => Some(of_thread),
                Some(new) => Some(beside_older(&new, thread)),
                None if all => Some(still_there(process, thread, &mut memory)),
                None => None,
            };
            if let Some(ident) = of_thread.and_then(|of_thread| assign(thread, of_thread)) {
                looked.told.push((*tid, ident));
            }
            looked.again |= thread.again && !before;
            self.changed |= thread.python.is_none() && now.saturating_sub(thread.since) < NEW_NS;
        }
        self.in_vain = if looked.told.is_empty() && self.wanted { self.in_vain.saturating_add(1) } else { 0 };
        self.wanted = false;
        if all {
            self.looked_at_all = now;
        }
        if !all || self.known.is_empty() {
            self.took_ns = monotonic_ns().saturating_sub(began);
        }
        looked
    }

    /// Whether to look at all states now, or only at new ones; `None`: at none yet.
    fn extent(&self, now: u64) -> Option<bool> {
        let Some(looked_at) = self.looked_at else { return Some(true) };
        let is_old = now.saturating_sub(self.looked_at_all) >= LOOK_AT_ALL_NS;
        let wait = match (self.torn, self.changed, self.wanted) {
            (0, false, false) => return is_old.then_some(true),
            (0, false, true) if self.in_vain > 0 => LOOK_NS << self.in_vain.min(6),
            (0, ..) => self.took_ns.saturating_mul(LOOK_SHARE).min(LOOK_NS),
            (torn, ..) => LOOK_NS << torn.min(6),
        };
        let all = is_old || self.torn > 0 || self.known.is_empty();
        (now.saturating_sub(looked_at) >= wait).then_some(all)
    }

    /// The states that were found, by the thread to which each belongs.
    fn by_thread(
        &mut self,
        threads: &BTreeMap<Tid, Thread>,
        memory: &mut impl Memory,
    ) -> BTreeMap<Tid, Vec<python::ThreadState>> {
        let thread_of = |id: u32| {
            let (tid, since) = self.namespace.get(&id)?;
            threads.get(tid).is_some_and(|thread| thread.since == *since).then_some(*tid)
        };
        let mut states: BTreeMap<Tid, Vec<python::ThreadState>> = BTreeMap::new();
        for state in self.found.drain(..) {
            // A server that forks by itself leaves the child the parent's id.
            let by_ident = |memory| python::tid_of_ident(state.ident, memory).and_then(thread_of);
            if let Some(tid) = state.native_id.and_then(thread_of).or_else(|| by_ident(memory)) {
                let of_thread = states.entry(tid).or_default();
                if of_thread.len() < python::STATES_MAX {
                    of_thread.push(state);
                }
            }
        }
        states
    }

    /// Learns the ids that the target knows its threads by.
    fn number(&mut self, pid: Pid, threads: &mut BTreeMap<Tid, Thread>, between: &mut dyn FnMut()) {
        for (tid, thread) in threads.iter_mut().filter(|(_, thread)| !thread.is_numbered) {
            between();
            if let Some(id) = procfs::namespace_tid(pid, *tid) {
                self.namespace.insert(id, (*tid, thread.since));
                thread.is_numbered = true;
            }
        }
        // Twice as many: half of them have ended.
        if self.namespace.len() > threads.len().saturating_mul(2) {
            let is_known = |(tid, since): &(Tid, u64)| threads.get(tid).is_some_and(|thread| thread.since == *since);
            self.namespace.retain(|_, thread| is_known(thread));
        }
    }
}

/// The states that a thread had when they were looked for last.
fn listed(thread: &Thread) -> impl Iterator<Item = &python::ThreadState> {
    thread.python.iter().filter(|python| python.is_listed).flat_map(|python| &python.states)
}

/// The states of a thread that were not found any more, as far as their memory says the same.
fn still_there(process: &Process, thread: &Thread, memory: &mut impl Memory) -> Vec<python::ThreadState> {
    listed(thread).filter(|old| old.is_still(process, memory)).copied().collect()
}

/// States that are new, and then those that a thread has besides: that they are still there is proved when they are read.
fn beside_older(new: &[python::ThreadState], thread: &Thread) -> Vec<python::ThreadState> {
    let is_older = |old: &&python::ThreadState| !new.iter().any(|state| state.tstate == old.tstate);
    let older = listed(thread).filter(is_older);
    new.iter().chain(older).take(python::STATES_MAX).copied().collect()
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

/// Takes away the states whose memory does not say the same any more: what those threads stand on is read again, without them.
/// Whether there were any.
fn forget_gone(process: &Process, threads: &mut BTreeMap<Tid, Thread>, memory: &mut impl Memory) -> bool {
    let mut any = false;
    for thread in threads.values_mut() {
        let mut is_gone =
            |python: &mut PythonThread| !python.states.iter().any(|state| state.is_still(process, memory));
        let had = thread.python.take_if(&mut is_gone).is_some();
        thread.again |= had;
        any |= had;
    }
    any
}
