//! Who a target is: a pid proved by a pidfd and a start time, and what makes us refuse it. Attaches to nothing.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use profile::id::{Pid, Tid};
use thiserror::Error;

use crate::{
    lock::TargetLock,
    procfs::{self, Kept},
};

/// Why a process is not profiled. The text says what it is; [`Refused::hint`] what to do.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Refused {
    #[error("there is no process {0}")]
    NoSuchProcess(Pid),
    #[error("{0} is a thread of process {1}, not a process")]
    IsThread(Pid, Pid),
    #[error("process {0} is a kernel thread: it runs no user code")]
    KernelThread(Pid),
    #[error("process {0} is a zombie: it has ended, and its parent has not asked for its result")]
    Zombie(Pid),
    #[error("process {0} is a 32-bit program")]
    Bits32(Pid),
    #[error("process {0} is not an x86-64 ELF program")]
    ForeignMachine(Pid),
    #[error("process {0} is this profiler itself")]
    Ourselves(Pid),
    #[error("not permitted to read process {0}")]
    NotPermitted(Pid, #[source] io::Error),
    #[error("process {0} is already profiled by another sentry-profiled")]
    Locked(Pid),
    #[error("cannot look at process {0}")]
    Io(Pid, #[source] io::Error),
}

impl Refused {
    /// What the user can do, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSuchProcess(_) => {
                "check the id with `ps -e`; in a container, it is the id that this container sees"
            }
            Self::IsThread(..) => "give the id of the process: all its threads are profiled",
            Self::KernelThread(_) => "kernel threads can be profiled with `perf record -g -p`",
            Self::Zombie(_) => "the program has already ended",
            Self::Bits32(_) | Self::ForeignMachine(_) => "only x86-64 programs can be unwound so far",
            Self::Ourselves(_) => "give the id of another process",
            Self::NotPermitted(..) => {
                "run as root, or with CAP_SYS_PTRACE; in Kubernetes set shareProcessNamespace and add SYS_PTRACE; \
                 kernel.yama.ptrace_scope must be below 3"
            }
            Self::Locked(_) => "stop the other one first; one profiler a process is enough",
            Self::Io(..) => "see the cause",
        }
    }

    /// Whether the reason is a missing right (exit code 77).
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::NotPermitted(..))
    }
}

/// A process that may be profiled. Holds the lock that keeps other profilers away.
#[derive(Debug)]
pub struct Target {
    /// Its id.
    pub pid: Pid,
    /// Clock ticks after boot at which it began: with the pid, its identity.
    pub start_time: u64,
    /// What it runs.
    pub exe: PathBuf,
    pidfd: OwnedFd,
    _lock: TargetLock,
}

impl Target {
    /// Proves that `pid` can be profiled, and takes its lock. Waits for a profiler that is about to end: one that was
    /// killed, and is started again at once, takes a moment to go.
    pub fn open(pid: Pid) -> Result<Self, Refused> {
        const WAIT: Duration = Duration::from_secs(1);
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        let began = Instant::now();
        loop {
            match Self::open_now(pid) {
                Err(Refused::Locked(_)) if began.elapsed() < WAIT => std::thread::sleep(LOOK_EVERY),
                opened => return opened,
            }
        }
    }

    /// The same without a wait.
    pub fn open_now(pid: Pid) -> Result<Self, Refused> {
        if u32::try_from(pid.0).is_ok_and(|pid| pid == std::process::id()) {
            return Err(Refused::Ourselves(pid));
        }
        let pidfd = pidfd(pid)?;
        let stat = procfs::process_stat(pid).map_err(|error| not_there(pid, error))?;
        if stat.is_kernel_thread() {
            return Err(Refused::KernelThread(pid));
        }
        // The leader may have ended while its threads go on: look through one that lives.
        let tid = live_thread(pid).ok_or(Refused::Zombie(pid))?;
        let exe = std::fs::read_link(procfs::thread_path(pid, tid, "exe")).map_err(|error| not_there(pid, error))?;
        check_machine(pid, tid)?;
        let mut buffer = [0; 256];
        Kept::open(pid, tid, "syscall")
            .and_then(|file| file.read(&mut buffer).map(drop).map_err(io::Error::from))
            .map_err(|error| not_there(pid, error))?;
        let lock = TargetLock::take(pid).map_err(|error| Refused::Io(pid, error))?;
        let lock = lock.ok_or(Refused::Locked(pid))?;
        Ok(Self { pid, start_time: stat.start_time, exe, pidfd, _lock: lock })
    }

    /// Whether every thread of it has ended.
    pub fn is_gone(&self) -> bool {
        let mut polled = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut polled, PollTimeout::ZERO), Ok(ready) if ready > 0)
    }
}

/// Whether rustc made the program: it names itself in `.comment`, or, stripped of that, in its panic messages' paths.
pub fn is_rust(target: &Target) -> bool {
    let Some(tid) = live_thread(target.pid) else { return false };
    File::open(procfs::thread_path(target.pid, tid, "exe")).is_ok_and(is_rust_file)
}

/// The same of a program's file.
pub fn is_rust_file(file: File) -> bool {
    use object::{Object, ObjectSection};
    let cache = object::read::ReadCache::new(file);
    let Ok(elf) = object::read::elf::ElfFile64::<object::LittleEndian, _>::parse(&cache) else { return false };
    let Some(comment) = elf.section_by_name(".comment").filter(|section| section.size() < 4096) else { return false };
    comment.data().is_ok_and(|text| text.windows(6).any(|word| word == b"rustc "))
}

/// The id of a tracer that holds the process, 0 for none.
pub fn tracer_of(pid: Pid) -> i32 {
    ::procfs::process::Process::new(pid.0).and_then(|process| process.status()).map_or(0, |status| status.tracerpid)
}

/// A thread of the process that has not ended.
pub fn live_thread(pid: Pid) -> Option<Tid> {
    thread_ids(pid).ok()?.into_iter().find(|tid| {
        procfs::thread_stat(pid, *tid).is_ok_and(|stat| !matches!(stat.state, b'Z' | b'X') && !stat.is_kernel_worker())
    })
}

/// The threads that the kernel lists now.
pub fn thread_ids(pid: Pid) -> io::Result<Vec<Tid>> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Tid)).collect())
}

fn pidfd(pid: Pid) -> Result<OwnedFd, Refused> {
    // rustix panics on a negative id.
    let raw = rustix::process::Pid::from_raw(pid.0.max(0)).ok_or(Refused::NoSuchProcess(pid))?;
    match rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty()) {
        Ok(pidfd) => Ok(pidfd),
        // The kernel says so (EINVAL, since 6.9 ENOENT) for a thread that leads no process.
        Err(errno) => match leader_of(pid) {
            Some(leader) if leader != pid => Err(Refused::IsThread(pid, leader)),
            _ if errno == rustix::io::Errno::SRCH => Err(Refused::NoSuchProcess(pid)),
            _ => Err(Refused::Io(pid, errno.into())),
        },
    }
}

fn leader_of(pid: Pid) -> Option<Pid> {
    ::procfs::process::Process::new(pid.0).ok()?.status().ok().map(|status| Pid(status.tgid))
}

fn not_there(pid: Pid, error: io::Error) -> Refused {
    match error.kind() {
        io::ErrorKind::NotFound => Refused::NoSuchProcess(pid),
        io::ErrorKind::PermissionDenied => Refused::NotPermitted(pid, error),
        _ if error.raw_os_error() == Some(libc::ESRCH) => Refused::NoSuchProcess(pid),
        _ => Refused::Io(pid, error),
    }
}

/// `EI_CLASS` and `e_machine` of the program file.
fn check_machine(pid: Pid, tid: Tid) -> Result<(), Refused> {
    let mut header = [0_u8; 20];
    File::open(procfs::thread_path(pid, tid, "exe"))
        .and_then(|mut file| file.read_exact(&mut header))
        .map_err(|error| not_there(pid, error))?;
    match header {
        [0x7f, b'E', b'L', b'F', 1, ..] => Err(Refused::Bits32(pid)),
        [0x7f, b'E', b'L', b'F', 2, .., 62, 0] => Ok(()),
        _ => Err(Refused::ForeignMachine(pid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::Stat;

    /// Check the refusals that need no target of their own.
    #[test]
    fn refusals() {
        let told = |pid| Target::open(Pid(pid)).map(|_| ()).unwrap_err().to_string();
        assert_eq!(told(0), "there is no process 0");
        assert_eq!(told(-5), "there is no process -5");
        assert_eq!(told(i32::MAX), "there is no process 2147483647");
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(told(own), format!("process {own} is this profiler itself"));
        if procfs::process_stat(Pid(2)).is_ok_and(Stat::is_kernel_thread) {
            assert_eq!(told(2), "process 2 is a kernel thread: it runs no user code");
        }
    }
}
