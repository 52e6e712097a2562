//! The thread states of all interpreters, and who holds their lock. The lists are read without any lock: what does not fit
//! together is told.

use profile::address::RemoteAddr;

use super::{
    bytes::{pointer, u32_at, u64_at},
    find::Process,
    offsets::{GilLayout, Layout},
};
use crate::Memory;

/// Interpreters of one process. uWSGI and mod_wsgi make one for each application.
const INTERPRETERS_MAX: usize = 256;
/// Threads of one process; as many as a kernel gives a user by default on small machines.
const THREADS_MAX: usize = 32_768;
/// No tid is larger: the kernel's PID_MAX_LIMIT.
const TID_MAX: u64 = 1 << 22;
/// Where the C library keeps the tid of a thread, from its `pthread_t`, on x86-64.
const TID_IN_GLIBC: u64 = 720;
const TID_IN_MUSL: u64 = 48;
/// As much of a thread state as is read at once; 3.15 has 888 bytes.
pub(super) const THREAD_STATE_MAX: usize = 1024;

/// A Python thread state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadState {
    /// Where it is.
    pub tstate: RemoteAddr,
    /// The interpreter that it belongs to.
    pub interpreter: RemoteAddr,
    /// What `threading.get_ident` gives: its `pthread_t`.
    pub ident: u64,
    /// Its tid in the target's own pid namespace; since 3.11.
    pub native_id: Option<u32>,
    /// The lock of its interpreter.
    pub lock: Lock,
}

/// Where the global interpreter lock is that a thread needs; several interpreters may share one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lock {
    /// The thread state that held it last.
    pub(super) holder: RemoteAddr,
    /// Whether it is held: an `int`, 1 if so, -1 before the lock is made.
    pub(super) locked: RemoteAddr,
}

/// What lies in front of the last holder: the interval (`Include/internal/pycore_gil.h`).
const IN_FRONT: u64 = 8;
/// A lock, from its interval to its last mutex.
const LOCK_SIZE: u64 = 208;

impl Lock {
    /// Of an interpreter; `None` if it cannot be read.
    fn of(process: &Process, interpreter: RemoteAddr, memory: &mut impl Memory) -> Option<Self> {
        let (lock, locked, holder) = match process.layout.interpreter.gil {
            GilLayout::InRuntime { locked, holder } => (process.runtime, locked, holder),
            GilLayout::Behind { pointer: at, locked, holder } => (pointer(interpreter, at, memory)?, locked, holder),
        };
        Some(Self { holder: lock.checked_add(holder.into())?, locked: lock.checked_add(locked.into())? })
    }

    /// Whether an address is in it: a thread that sleeps in a futex there waits for the lock, or for somebody to take it.
    pub fn contains(self, at: RemoteAddr) -> bool {
        let start = self.holder.0.saturating_sub(IN_FRONT);
        (start..start.saturating_add(LOCK_SIZE)).contains(&at.0)
    }
}

impl ThreadState {
    /// Whether its memory says the same as when it was found. A list that is read while a state is being linked may end early.
    pub fn is_still(&self, process: &Process, memory: &mut impl Memory) -> bool {
        Self::at(process, self.lock, self.tstate, memory) == Some(*self)
    }

    /// The one at an address, whatever is there; for made memory.
    pub(crate) fn assumed(process: &Process, tstate: RemoteAddr, memory: &mut impl Memory) -> Option<Self> {
        Self::at(process, Lock::of(process, tstate, memory)?, tstate, memory)
    }

    fn at(process: &Process, lock: Lock, tstate: RemoteAddr, memory: &mut impl Memory) -> Option<Self> {
        let mut room = [0; THREAD_STATE_MAX];
        let state = room.get_mut(..usize::try_from(process.layout.thread.size).ok()?)?;
        memory.read(tstate, state).then(|| Self::parse(&process.layout, lock, tstate, state))?
    }

    /// From the bytes of a thread state.
    pub(super) fn parse(layout: &Layout, lock: Lock, tstate: RemoteAddr, bytes: &[u8]) -> Option<Self> {
        let native_id = match layout.thread.native_id {
            Some(at) => Some(u32::try_from(u64_at(bytes, at)?).ok()?),
            None => None,
        };
        let interpreter = RemoteAddr(u64_at(bytes, layout.thread.interpreter)?);
        Some(Self { tstate, interpreter, ident: u64_at(bytes, layout.thread.ident)?, native_id, lock })
    }
}

/// Adds the thread states of all interpreters. `false`: the lists were torn, since the process runs meanwhile; what was
/// added may be wrong. Try again later.
pub fn threads(process: &Process, memory: &mut impl Memory, into: &mut Vec<ThreadState>) -> bool {
    new_threads(process, memory, &|_| false, into)
}

/// The same, of each interpreter only those in front of the first that is known: it links a new one at the head of its list
/// (`add_threadstate` of `Python/pystate.c`). What was linked there before may be gone meanwhile.
pub fn new_threads(
    process: &Process,
    memory: &mut impl Memory,
    is_known: &dyn Fn(&ThreadState) -> bool,
    into: &mut Vec<ThreadState>,
) -> bool {
    let layout = &process.layout;
    // Of all interpreters together, also of states that are not used.
    let mut left = THREADS_MAX;
    let Some(mut interpreter) = pointer(process.runtime, layout.interpreters_head, memory) else { return false };
    for _ in 0..INTERPRETERS_MAX {
        if interpreter == RemoteAddr(0) {
            return true;
        }
        if of_interpreter(process, interpreter, memory, is_known, &mut left, into).is_none() {
            return false;
        }
        let Some(next) = pointer(interpreter, layout.interpreter.next, memory) else { return false };
        interpreter = next;
    }
    false
}

fn of_interpreter(
    process: &Process,
    interpreter: RemoteAddr,
    memory: &mut impl Memory,
    is_known: &dyn Fn(&ThreadState) -> bool,
    left: &mut usize,
    into: &mut Vec<ThreadState>,
) -> Option<()> {
    let layout = &process.layout;
    let lock = Lock::of(process, interpreter, memory)?;
    let mut room = [0; THREAD_STATE_MAX];
    let state = room.get_mut(..usize::try_from(layout.thread.size).ok()?)?;
    let mut at = pointer(interpreter, layout.interpreter.threads_head, memory)?;
    loop {
        if at == RemoteAddr(0) {
            return Some(());
        }
        *left = left.checked_sub(1)?;
        memory.read(at, state).then_some(())?;
        let thread = ThreadState::parse(layout, lock, at, state)?;
        (thread.interpreter == interpreter).then_some(())?;
        if is_known(&thread) {
            return Some(());
        }
        // A thread that is being made has none yet.
        if thread.ident != 0 {
            into.push(thread);
        }
        at = RemoteAddr(u64_at(state, layout.thread.next)?);
    }
}

/// Whether there is an interpreter with a thread that belongs to it.
pub(super) fn is_plausible(runtime: RemoteAddr, layout: &Layout, memory: &mut impl Memory) -> bool {
    let mut first = || {
        let interpreter = pointer(runtime, layout.interpreters_head, memory)?;
        let thread = pointer(interpreter, layout.interpreter.threads_head, memory)?;
        Some(pointer(thread, layout.thread.interpreter, memory)? == interpreter)
    };
    layout.thread.size as usize <= THREAD_STATE_MAX && first() == Some(true)
}

/// The tid that the C library keeps at a thread's ident; for 3.10 and older, which know none. `None` if that is no tid, or the
/// library neither glibc nor musl.
pub fn tid_of_ident(ident: u64, memory: &mut impl Memory) -> Option<u32> {
    let at = RemoteAddr(ident);
    let mut head = [0; 32];
    memory.read(at, &mut head).then_some(())?;
    // glibc's begins with its own address, a table, and its own address again; musl's with its own address, a table, and the
    // threads before and behind it, which is itself where it is the only one.
    let is_self = |offset| u64_at(&head, offset) == Some(ident);
    let offset = match (is_self(0), is_self(16), is_self(24)) {
        (true, true, false) => TID_IN_GLIBC,
        (true, _, _) => TID_IN_MUSL,
        _ => return None,
    };
    let mut tid = [0; 4];
    memory.read(at.checked_add(offset)?, &mut tid).then_some(())?;
    u32_at(&tid, 0).filter(|tid| (1..=TID_MAX).contains(&u64::from(*tid)))
}
