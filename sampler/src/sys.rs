//! The few system calls that no safe wrapper can express. Everything else goes through nix or rustix.
//!
//! JUSTIFICATION (docs/decisions/0002-unsafe-ptrace.md): nix's `waitpid` turns a stop by a real-time signal into
//! `EINVAL` after the kernel has handed the status out, and its `detach` takes no real-time signal. Either would lose a
//! signal of the target.
#![allow(unsafe_code, reason = "see docs/decisions/0002-unsafe-ptrace.md; each block has its SAFETY note")]

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nix::errno::Errno;
use profile::id::Tid;

/// What `waitpid` reported of a traced thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// The thread stands still.
    Stopped {
        /// Which.
        tid: Tid,
        /// The stop's signal (a real-time one too).
        signal: i32,
        /// `PTRACE_EVENT_*`, 0 for a signal-delivery stop.
        event: i32,
    },
    /// The thread ended; its raw wait status.
    Ended {
        /// Which.
        tid: Tid,
        /// As `waitpid` gave it.
        status: i32,
    },
}

/// Takes one report of the calling thread's tracees (and of its own children), if there is one. Never blocks.
pub fn wait_any() -> Result<Option<Wait>, Errno> {
    let mut status: libc::c_int = 0;
    // SAFETY: `status` is a live, writable int for the whole call; the other arguments are plain numbers.
    let got = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD | libc::WNOHANG) };
    match got {
        0 => Ok(None),
        -1 => match Errno::last() {
            Errno::ECHILD | Errno::EINTR => Ok(None),
            errno => Err(errno),
        },
        tid if libc::WIFSTOPPED(status) => {
            Ok(Some(Wait::Stopped { tid: Tid(tid), signal: libc::WSTOPSIG(status), event: (status >> 16) & 0xff }))
        }
        tid => {
            remember_end(tid, status);
            Ok(Some(Wait::Ended { tid: Tid(tid), status }))
        }
    }
}

/// Takes the end of one traced thread, if it has ended, from any thread of the tracer's process. Leaves its stops alone.
pub fn take_end(tid: Tid) {
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
    match waitid(Id::Pid(nix::unistd::Pid::from_raw(tid.0)), flags) {
        Ok(WaitStatus::Exited(pid, code)) => remember_end(pid.as_raw(), code << 8),
        Ok(WaitStatus::Signaled(pid, signal, _)) => remember_end(pid.as_raw(), signal as i32),
        _ => {}
    }
}

/// Ends that were taken lately: a tracer that is also the parent takes what its own `wait` would have told.
static ENDS: Mutex<VecDeque<(i32, i32)>> = Mutex::new(VecDeque::new());

fn remember_end(pid: i32, status: i32) {
    /// More than a command has threads that end at once in its last moment.
    const ENDS_MAX: usize = 256;
    let mut ends = ENDS.lock().unwrap_or_else(PoisonError::into_inner);
    if ends.len() >= ENDS_MAX {
        ends.pop_front();
    }
    ends.push_back((pid, status));
}

/// The raw wait status of a process whose end was taken here; `None` if it was not.
pub fn end_of(pid: i32) -> Option<i32> {
    let ends = ENDS.lock().unwrap_or_else(PoisonError::into_inner);
    ends.iter().rev().find(|(ended, _)| *ended == pid).map(|(_, status)| *status)
}

/// Lets a stopped thread go, no longer traced, and gives it `signal` (0: none). `ESRCH` when it is gone or not stopped.
pub fn detach(tid: Tid, signal: i32) -> Result<(), Errno> {
    // SAFETY: PTRACE_DETACH reads no memory of ours: address is ignored, data is the signal number itself.
    let done = unsafe {
        libc::ptrace(libc::PTRACE_DETACH, tid.0, std::ptr::null_mut::<libc::c_void>(), libc::c_long::from(signal))
    };
    Errno::result(done).map(drop)
}

/// Has the allocator keep 128 MiB of what was freed, where it is glibc's, instead of giving it back at once: a server that
/// reads tens of megabytes for each answer (50 for a call tree of a day) would get them anew each time, a page fault for
/// each 4 kB.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: two numbers; glibc takes its own lock (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 20);
        libc::mallopt(libc::M_TOP_PAD, 32 << 20);
    }
}

/// Has the allocator give back to the system what was freed, where it is glibc's: it keeps what lies below anything that is
/// still in use, so that a process that once had a gigabyte would have it until its end.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: one number; glibc takes the locks of its arenas one after the other (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Keeps a buffer resident, so that no page fault of ours lengthens a stop.
pub fn lock_in_memory(buffer: &[u8]) -> Result<(), Errno> {
    // SAFETY: the range is exactly a live slice; mlock changes no byte of it, and unmapping it later undoes the lock.
    let done = unsafe { libc::mlock(buffer.as_ptr().cast(), buffer.len()) };
    Errno::result(done).map(drop)
}

/// How urgently the calling thread wants a CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// As any other thread.
    Normal,
    /// Before every normal thread (`SCHED_FIFO`): to be on time, and while it holds another one stopped.
    Now,
}

/// Sets it. Not permitted without CAP_SYS_NICE.
pub fn set_urgency(urgency: Urgency) -> Result<(), Errno> {
    let (policy, priority) = match urgency {
        Urgency::Normal => (libc::SCHED_OTHER, 0),
        Urgency::Now => (libc::SCHED_FIFO, 1),
    };
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: `parameters` is a live struct that the kernel only reads; 0 names the calling thread.
    let done = unsafe { libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
    Errno::result(done).map(drop)
}

/// Now, on `CLOCK_MONOTONIC`, in nanoseconds.
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    to_ns(now)
}

/// CPU time of the calling thread, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    to_ns(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime))
}

/// CPU time of this process, in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    to_ns(rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime))
}

fn to_ns(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let part = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(part)
}

/// Nanoseconds as a [`Duration`]'s, saturating.
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
