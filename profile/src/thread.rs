//! What a thread was doing when it was sampled.

use std::fmt;

use serde::{Deserialize, Serialize};

/// State of a thread at a sample.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct State {
    /// What the kernel had it do.
    pub thread: ThreadState,
    /// What it had of its interpreter's lock; `None`: it belongs to no interpreter that has one, or that is not known.
    pub gil: Option<Gil>,
}

/// What a thread has of the global interpreter lock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Gil {
    /// It holds it: no other thread of the interpreter can run code of the language.
    Held,
    /// It sleeps until it gets it.
    Awaited,
    /// It does without, or is about to ask for it.
    Free,
}

impl State {
    /// Whether the thread ran at the sample.
    pub fn is_on_cpu(self) -> bool {
        self.thread.is_on_cpu()
    }

    /// Whether the thread cannot run until something happens: its stack stands.
    pub fn is_blocked(self) -> bool {
        self.thread.is_blocked()
    }
}

impl From<ThreadState> for State {
    fn from(thread: ThreadState) -> Self {
        Self { thread, gil: None }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gil {
            None => write!(f, "{}", self.thread),
            Some(gil) => write!(f, "{}, gil {gil}", self.thread),
        }
    }
}

impl fmt::Display for Gil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Awaited => "awaited",
            Self::Free => "free",
        })
    }
}

/// Which states are kept; at all others a thread is shown without a stack.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Every one: what takes time by the clock on the wall.
    #[default]
    All,
    /// Of threads that run or could run: no idle ones.
    Active,
    /// Of threads on a CPU.
    OnCpu,
    /// Of the thread that holds the interpreter's lock.
    Gil,
}

impl Filter {
    /// Whether a state is kept.
    pub fn keeps(self, state: State) -> bool {
        match self {
            Self::All => true,
            Self::Active => !state.is_blocked(),
            Self::OnCpu => state.is_on_cpu(),
            Self::Gil => state.gil == Some(Gil::Held),
        }
    }
}

/// What a thread did at a sample, as far as the kernel goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ThreadState {
    /// On a CPU.
    OnCpu,
    /// Ready to run, waiting for a CPU.
    Runnable,
    /// Blocked in this system call (x86-64 number, `asm/unistd_64.h`).
    Sleeping(u32),
    /// Blocked outside a system call (page fault, frozen cgroup).
    Blocked,
    /// Stopped by a signal (SIGSTOP, SIGTSTP).
    Stopped,
    /// Held by another tracer.
    Traced,
}

impl ThreadState {
    /// Whether the thread ran at the sample.
    pub fn is_on_cpu(self) -> bool {
        matches!(self, Self::OnCpu)
    }

    /// Whether the thread cannot run until something happens: its stack stands.
    pub fn is_blocked(self) -> bool {
        !matches!(self, Self::OnCpu | Self::Runnable)
    }
}

impl fmt::Display for ThreadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnCpu => f.write_str("on_cpu"),
            Self::Runnable => f.write_str("runnable"),
            Self::Sleeping(number) => match syscall_name(*number) {
                Some(name) => write!(f, "sleeping: {name}"),
                None => write!(f, "sleeping: syscall {number}"),
            },
            Self::Blocked => f.write_str("blocked"),
            Self::Stopped => f.write_str("stopped"),
            Self::Traced => f.write_str("traced"),
        }
    }
}

/// The names of the system calls in which threads are found asleep (Linux x86-64, `asm/unistd_64.h`).
pub fn syscall_name(number: u32) -> Option<&'static str> {
    Some(match number {
        0 => "read",
        1 => "write",
        7 => "poll",
        16 => "ioctl",
        17 => "pread64",
        18 => "pwrite64",
        19 => "readv",
        20 => "writev",
        23 => "select",
        24 => "sched_yield",
        34 => "pause",
        35 => "nanosleep",
        42 => "connect",
        43 => "accept",
        44 => "sendto",
        45 => "recvfrom",
        46 => "sendmsg",
        47 => "recvmsg",
        61 => "wait4",
        65 => "semop",
        69 => "msgsnd",
        70 => "msgrcv",
        72 => "fcntl",
        73 => "flock",
        74 => "fsync",
        75 => "fdatasync",
        128 => "rt_sigtimedwait",
        130 => "rt_sigsuspend",
        202 => "futex",
        208 => "io_getevents",
        219 => "restart_syscall",
        220 => "semtimedop",
        230 => "clock_nanosleep",
        232 => "epoll_wait",
        242 => "mq_timedsend",
        243 => "mq_timedreceive",
        247 => "waitid",
        257 => "openat",
        270 => "pselect6",
        271 => "ppoll",
        281 => "epoll_pwait",
        288 => "accept4",
        299 => "recvmmsg",
        326 => "copy_file_range",
        333 => "io_pgetevents",
        426 => "io_uring_enter",
        441 => "epoll_pwait2",
        449 => "futex_waitv",
        _ => return None,
    })
}
