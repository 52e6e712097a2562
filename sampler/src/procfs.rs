//! Small files of /proc, read on descriptors that stay open and parsed without allocation: schedstat, syscall, stat.
//! Such a descriptor answers ESRCH after its thread has ended; it never reads a thread that got the id later.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
    path::PathBuf,
};

use nix::errno::Errno;
use profile::{
    address::RemoteAddr,
    id::{Pid, Tid},
};

/// `task/TID/syscall` (`fs/proc/base.c: proc_pid_syscall`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syscall {
    /// On a CPU or ready to run.
    Running,
    /// Blocked in a system call.
    In {
        /// x86-64 number.
        number: u32,
        /// The call's first argument: what rdi holds.
        first: u64,
        /// User stack pointer.
        sp: u64,
        /// User program counter.
        pc: u64,
    },
    /// Blocked outside a system call: page fault, group stop, trace stop, frozen.
    Outside {
        /// User stack pointer.
        sp: u64,
        /// User program counter.
        pc: u64,
    },
}

impl Syscall {
    /// Where a thread that is in a call with this number and first argument sleeps in a futex.
    pub fn futex(number: u32, first: u64) -> Option<RemoteAddr> {
        const FUTEX: u32 = 202;
        (number == FUTEX).then_some(RemoteAddr(first))
    }
}

/// A file of /proc kept open.
#[derive(Debug)]
pub struct Kept(File);

impl Kept {
    /// Opens `/proc/PID/task/TID/NAME`.
    pub fn open(pid: Pid, tid: Tid, name: &str) -> io::Result<Self> {
        File::open(format!("/proc/{pid}/task/{tid}/{name}")).map(Self)
    }

    /// Whether hardly a descriptor is left behind this one: those are for what must never fail.
    pub fn is_among_last(&self) -> bool {
        const RESERVE: u64 = 64;
        let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
        let number = u64::try_from(self.0.as_raw_fd()).unwrap_or(u64::MAX);
        limit.is_ok_and(|(soft, _)| number.saturating_add(RESERVE) > soft)
    }

    /// Reads from its start into `buffer`; what was read.
    pub fn read<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        let len = nix::sys::uio::pread(self.0.as_fd(), buffer, 0)?;
        Ok(buffer.get(..len).unwrap_or_default())
    }
}

/// What the scheduler counts of a thread (`fs/proc/base.c: proc_pid_schedstat`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedstat {
    /// Nanoseconds that it has waited for a CPU, the present wait not included.
    pub waited_ns: u64,
    /// `sched_info.pcount`: how often it was put on a CPU. Unchanged and blocked before: it has not run.
    pub run_count: u64,
}

/// Parses `schedstat`. `None` where the kernel does not count.
pub fn parse_schedstat(text: &[u8]) -> Option<Schedstat> {
    let mut from_end = text.trim_ascii_end().rsplit(|byte| *byte == b' ');
    let run_count = decimal(from_end.next()?)?;
    Some(Schedstat { waited_ns: decimal(from_end.next()?)?, run_count })
}

/// How often a thread was put on a CPU; the rest as [`parse_schedstat`].
pub fn parse_run_count(text: &[u8]) -> Option<u64> {
    parse_schedstat(text).map(|schedstat| schedstat.run_count)
}

/// How long a thread has been on a CPU, nanoseconds, as of the last tick of the kernel's clock; the rest as [`parse_schedstat`].
pub fn parse_ran(text: &[u8]) -> Option<u64> {
    decimal(text.split(|byte| *byte == b' ').next()?)
}

/// Parses `task/TID/syscall`. `None` for what no kernel prints.
pub fn parse_syscall(text: &[u8]) -> Option<Syscall> {
    let text = text.trim_ascii_end();
    if text == b"running" {
        return Some(Syscall::Running);
    }
    let mut fields = text.split(|byte| *byte == b' ');
    let number = fields.next()?;
    let first = fields.clone().next().and_then(hexadecimal).unwrap_or(0);
    let mut from_end = fields.rev();
    let pc = hexadecimal(from_end.next()?)?;
    let sp = hexadecimal(from_end.next()?)?;
    match number {
        b"-1" => Some(Syscall::Outside { sp, pc }),
        number => Some(Syscall::In { number: u32::try_from(decimal(number)?).ok()?, first, sp, pc }),
    }
}

/// What the sampler wants of `stat` (`proc_pid_stat(5)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// R, S, D, T, t, Z, X, I ...
    pub state: u8,
    /// The parent, or who took its place.
    pub parent: Pid,
    /// The session: the id of the process that began it.
    pub session: Pid,
    /// `PF_*` of `include/linux/sched.h`.
    pub flags: u64,
    /// Clock ticks of CPU used in user and kernel mode.
    pub cpu_ticks: u64,
    /// Threads of the process.
    pub threads: u64,
    /// Clock ticks after boot at which the process or thread began.
    pub start_time: u64,
    /// Resident pages.
    pub rss_pages: u64,
}

impl Stat {
    const PF_IO_WORKER: u64 = 0x10;
    const PF_USER_WORKER: u64 = 0x4000;
    const PF_KTHREAD: u64 = 0x20_0000;

    /// A kernel thread: no user code at all.
    pub fn is_kernel_thread(self) -> bool {
        self.flags & Self::PF_KTHREAD != 0
    }

    /// A thread that the kernel made for the process (io_uring worker, vhost): it runs no user code.
    pub fn is_kernel_worker(self) -> bool {
        self.flags & (Self::PF_IO_WORKER | Self::PF_USER_WORKER) != 0
    }
}

/// Parses `stat`; the name in parentheses may hold anything.
pub fn parse_stat(text: &[u8]) -> Option<Stat> {
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let rest = text.get(close.checked_add(2)?..)?.trim_ascii_end();
    let mut fields = rest.split(|byte| *byte == b' ');
    // `rest` starts at field 3; nth() counts on from the one taken last.
    let state = *fields.next()?.first()?;
    let parent = Pid(i32::try_from(decimal(fields.next()?)?).ok()?); // 4
    let session = Pid(i32::try_from(decimal(fields.nth(1)?)?).ok()?); // 6
    let flags = decimal(fields.nth(2)?)?; // 9
    let user = decimal(fields.nth(4)?)?; // 14
    let kernel = decimal(fields.next()?)?; // 15
    let threads = decimal(fields.nth(4)?)?; // 20
    let start_time = decimal(fields.nth(1)?)?; // 22
    let rss_pages = decimal(fields.nth(1)?)?; // 24
    let cpu_ticks = user.saturating_add(kernel);
    Some(Stat { state, parent, session, flags, cpu_ticks, threads, start_time, rss_pages })
}

/// `/proc/TID/status` without an allocation: read while the thread is stopped.
pub fn read_status(tid: Tid, buffer: &mut [u8]) -> &[u8] {
    use std::io::{Read as _, Write as _};
    let mut path = [0_u8; 32];
    let mut rest = path.as_mut_slice();
    if write!(rest, "/proc/{tid}/status").is_err() {
        return &[];
    }
    let unused = rest.len();
    let Some(name) = path.get(..path.len().saturating_sub(unused)) else { return &[] };
    let Ok(name) = std::str::from_utf8(name) else { return &[] };
    let len = File::open(name).and_then(|mut file| file.read(buffer)).unwrap_or(0);
    buffer.get(..len).unwrap_or_default()
}

/// Whether some process traces the thread. `false` when it has ended; `true` when that cannot be read, because who is
/// taken for free while it is not would stay stopped.
pub fn is_traced(tid: Tid) -> bool {
    match std::fs::read(format!("/proc/{tid}/status")) {
        Ok(status) => field(&status, b"TracerPid:").is_none_or(|tracer| tracer != b"0"),
        Err(error) => !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)),
    }
}

/// `stat` of a process.
pub fn process_stat(pid: Pid) -> io::Result<Stat> {
    let path = format!("/proc/{pid}/stat");
    let mut buffer = [0; 1024];
    let len = io::Read::read(&mut File::open(&path)?, &mut buffer)?;
    parse_stat(buffer.get(..len).unwrap_or_default())
        .ok_or_else(|| io::Error::other(format!("cannot make sense of {path}")))
}

/// `stat` of a thread.
pub fn thread_stat(pid: Pid, tid: Tid) -> io::Result<Stat> {
    let path = format!("/proc/{pid}/task/{tid}/stat");
    parse_stat(&std::fs::read(&path)?).ok_or_else(|| io::Error::other(format!("cannot make sense of {path}")))
}

/// The thread's name, at most 15 bytes; lossy.
pub fn comm(pid: Pid, tid: Tid) -> io::Result<String> {
    let name = std::fs::read(format!("/proc/{pid}/task/{tid}/comm"))?;
    Ok(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

/// `/proc/PID/task/TID/NAME`: through a live thread everything stays readable when the leader is a zombie.
pub fn thread_path(pid: Pid, tid: Tid, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/task/{tid}/{name}"))
}

/// Whether a signal waits for the thread that it does not block: then an EINTR is the program's due.
/// Reads `SigPnd`, `ShdPnd` and `SigBlk` of `task/TID/status`; `true` when in doubt.
pub fn has_pending_signal(status: &[u8]) -> bool {
    let mask = |name: &[u8]| field(status, name).and_then(hexadecimal);
    match (mask(b"SigPnd:"), mask(b"ShdPnd:"), mask(b"SigBlk:")) {
        (Some(own), Some(shared), Some(blocked)) => (own | shared) & !blocked != 0,
        _ => true,
    }
}

/// The thread's id in the innermost pid namespace that it is in: the last field of `NSpid` in `task/TID/status`.
pub fn namespace_tid(pid: Pid, tid: Tid) -> Option<u32> {
    let status = std::fs::read(thread_path(pid, tid, "status")).ok()?;
    let ids = field(&status, b"NSpid:")?;
    u32::try_from(decimal(ids.rsplit(u8::is_ascii_whitespace).next()?)?).ok()
}

/// The process's ids, from our pid namespace to the innermost that it is in: `NStgid` of `task/TID/status`.
pub fn namespace_pids(pid: Pid, tid: Tid) -> Vec<u32> {
    let status = std::fs::read(thread_path(pid, tid, "status")).unwrap_or_default();
    let ids = field(&status, b"NStgid:").unwrap_or_default().split(u8::is_ascii_whitespace);
    ids.filter_map(|id| u32::try_from(decimal(id)?).ok()).collect()
}

/// The real, effective and saved user ids: `Uid` in `task/TID/status`.
pub fn users(pid: Pid, tid: Tid) -> Option<[u32; 3]> {
    let status = std::fs::read(thread_path(pid, tid, "status")).ok()?;
    let mut ids = field(&status, b"Uid:")?.split(u8::is_ascii_whitespace).map(|id| u32::try_from(decimal(id)?).ok());
    Some([ids.next()??, ids.next()??, ids.next()??])
}

/// The effective one of them.
pub fn effective_user(pid: Pid, tid: Tid) -> Option<u32> {
    users(pid, tid).map(|[_, effective, _]| effective)
}

/// The value of a line of `status` that begins with `name`.
fn field<'s>(status: &'s [u8], name: &[u8]) -> Option<&'s [u8]> {
    let line = status.split(|byte| *byte == b'\n').find(|line| line.starts_with(name))?;
    Some(line.get(name.len()..)?.trim_ascii())
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check each form of the syscall file.
    #[test]
    fn parse_syscall_forms() {
        assert_eq!(parse_syscall(b"running\n"), Some(Syscall::Running));
        assert_eq!(
            parse_syscall(b"232 0x4 0x7ffd 0x1 0x3e8 0x0 0x8 0x7ffd1230 0x7f00abcd\n"),
            Some(Syscall::In { number: 232, first: 4, sp: 0x7ffd_1230, pc: 0x7f00_abcd })
        );
        assert_eq!(
            parse_syscall(b"-1 0x7ffd1230 0x7f00abcd\n"),
            Some(Syscall::Outside { sp: 0x7ffd_1230, pc: 0x7f00_abcd })
        );
        assert_eq!(parse_syscall(b""), None);
        assert_eq!(parse_syscall(b"232"), None);
    }

    /// Check that a name with blanks and parentheses does not move the fields.
    #[test]
    fn parse_stat_with_odd_name() {
        let text =
            b"77 (a) R 1 (b)) S 1 78 79 0 -1 4194560 100 0 0 0 11 22 0 0 20 0 3 0 5555 9999 42 18446744073709551615\n";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                state: b'S',
                parent: Pid(1),
                session: Pid(79),
                flags: 4_194_560,
                cpu_ticks: 33,
                threads: 3,
                start_time: 5555,
                rss_pages: 42
            })
        );
    }

    /// Check the run count and the pending-signal test.
    #[test]
    fn parse_small_ones() {
        assert_eq!(parse_ran(b"123 456 789\n"), Some(123));
        assert_eq!(parse_schedstat(b"123 456 789\n"), Some(Schedstat { waited_ns: 456, run_count: 789 }));
        assert_eq!(parse_run_count(b"0 0 0\n"), Some(0));
        assert_eq!(parse_schedstat(b""), None);
        let status = b"Name:\tx\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000200\nSigBlk:\t0000000000000000\n";
        assert!(has_pending_signal(status));
        let blocked = b"SigPnd:\t0\nShdPnd:\t0000000000000200\nSigBlk:\t0000000000000200\n";
        assert!(!has_pending_signal(blocked));
        assert!(has_pending_signal(b"nothing of the kind"));
    }
}
