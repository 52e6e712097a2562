//! What a thread was doing when it was sampled.

use std::fmt;

use serde::{Deserialize, Serialize};

/// State of a thread at a sample.
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
