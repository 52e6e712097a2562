//! What ends the agent when it hangs with a thread stopped: a process of its own session that watches a heartbeat in
//! shared memory. The kernel lets every stopped thread go when its tracer dies, so killing the agent is the cure.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::memfd::{MFdFlags, memfd_create},
};

use profile::id::{Pid, Tid};

use crate::{procfs, sys::monotonic_ns};

/// A thread held stopped this long without a sign of life of the sampler: the agent hangs.
pub const HANG_MAX: Duration = Duration::from_millis(250);
/// How often the watchdog looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A sampler that wants to run and gets no CPU is waited for that long: it does not hang, and an agent that is killed needs that
/// CPU, too, to end.
const STARVED_MAX: Duration = Duration::from_secs(2);
/// Bytes of the shared memory.
const BYTES: u64 = 24;
/// Where the sampler's thread id stands.
const TID_AT: u64 = 16;

/// The sampler's side: three numbers in a memfd, `open` (0 or 1), the time of the last sign of life, and the sampler's thread (0: not
/// said yet).
#[derive(Debug)]
pub struct Heartbeat {
    file: File,
}

impl Heartbeat {
    /// With nothing stopped.
    pub fn new() -> io::Result<Self> {
        let file = File::from(memfd_create(c"sentry-profiled-heartbeat", MFdFlags::MFD_CLOEXEC)?);
        file.set_len(BYTES)?;
        Ok(Self { file })
    }

    /// Whose signs of life these are: the calling thread's.
    pub fn is_mine(&self) {
        let tid = u64::try_from(nix::unistd::gettid().as_raw()).unwrap_or(0);
        drop(self.file.write_all_at(&tid.to_le_bytes(), TID_AT));
    }

    /// Threads may be stopped from here on; or still are, and we are alive.
    pub fn open(&self) {
        self.write(1);
    }

    /// Nobody is stopped.
    pub fn close(&self) {
        self.write(0);
    }

    fn write(&self, open: u64) {
        let mut bytes = [0; 16];
        let (first, second) = bytes.split_at_mut(8);
        first.copy_from_slice(&open.to_le_bytes());
        second.copy_from_slice(&monotonic_ns().to_le_bytes());
        // A memfd of fixed size takes 16 bytes always; were it not so, the watchdog would see no heartbeat and act.
        drop(self.file.write_all_at(&bytes, 0));
    }

    fn read(file: &File) -> Option<(bool, u64)> {
        let mut bytes = [0; 16];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let (open, at) = bytes.split_at(8);
        Some((open != [0; 8], u64::from_le_bytes(at.try_into().ok()?)))
    }

    fn tid(file: &File) -> Option<u64> {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, TID_AT).ok()?;
        Some(u64::from_le_bytes(bytes)).filter(|tid| *tid != 0)
    }

    /// A descriptor for the watchdog that survives exec.
    pub fn for_child(&self) -> io::Result<OwnedFd> {
        let copy = self.file.as_fd().try_clone_to_owned()?;
        fcntl(&copy, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(copy)
    }
}

/// The watchdog's whole life: ends when `agent` has ended, or after it has killed it.
///
/// `heartbeat` is the number of the inherited descriptor. Gives whether it had to kill.
pub fn run(heartbeat: i32, agent: i32) -> io::Result<bool> {
    let _ = nix::unistd::setsid();
    // It was started by a path under /proc, which says nothing to who reads a list of processes.
    let _ = nix::sys::prctl::set_name(c"sp-watchdog");
    watch(&File::open(format!("/proc/self/fd/{heartbeat}"))?, agent)
}

fn watch(heartbeat: &File, agent: i32) -> io::Result<bool> {
    let pid = rustix::process::Pid::from_raw(agent.max(0)).ok_or_else(|| io::Error::other("no agent to watch"))?;
    let pidfd = match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        opened => opened?,
    };
    // It may have ended before, and another process may have its pid. As long as it is our parent it is itself.
    if rustix::process::getppid() != Some(pid) {
        return Ok(false);
    }
    let mut patience = Patience::default();
    loop {
        let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(LOOK_EVERY).unwrap_or(PollTimeout::ZERO);
        if matches!(poll(&mut polled, timeout), Ok(ready) if ready > 0) {
            return Ok(false);
        }
        let Some((open, at)) = Heartbeat::read(heartbeat) else { continue };
        let ran_ns = open.then(|| Heartbeat::tid(heartbeat).and_then(|tid| wants_cpu(agent, tid))).flatten();
        if patience.is_over(open, at, ran_ns, monotonic_ns()) {
            rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL)?;
            return Ok(true);
        }
    }
}

/// How long a thread that is ready to run has been on a CPU, nanoseconds; `None`: it waits for something else, or is not there.
/// `stat` and `schedstat` of proc(5).
fn wants_cpu(agent: i32, tid: u64) -> Option<u64> {
    let (agent, tid) = (Pid(agent), Tid(i32::try_from(tid).ok()?));
    let is_ready = procfs::thread_stat(agent, tid).ok()?.state == b'R';
    let schedstat = std::fs::read(procfs::thread_path(agent, tid, "schedstat")).ok()?;
    procfs::parse_ran(&schedstat).filter(|_| is_ready)
}

/// How long the same sign of life has been seen.
///
/// One old sign is not enough: where the whole machine stood still (a virtual machine that was paused), the agent needs a
/// moment to show the next one. Nor is a sampler that is ready to run all the time, and is not let: one of the CPUs of a virtual
/// machine may stand still, with what was on it.
#[derive(Debug, Default)]
struct Patience {
    seen: Option<u64>,
    looks: u32,
    ran_ns: Option<u64>,
}

impl Patience {
    /// Takes what one look showed; `true`: the agent hangs with a thread stopped.
    ///
    /// `ran_ns`: the sampler is ready to run, and has run for so long.
    fn is_over(&mut self, open: bool, at: u64, ran_ns: Option<u64>, now: u64) -> bool {
        const LOOKS: u128 = HANG_MAX.as_millis() / LOOK_EVERY.as_millis();
        let is_starved = ran_ns.is_some() && self.ran_ns == ran_ns;
        self.looks = if open && self.seen == Some(at) { self.looks.saturating_add(1) } else { 0 };
        (self.seen, self.ran_ns) = (Some(at), ran_ns);
        let hangs_after = crate::sys::ns(if is_starved { STARVED_MAX } else { HANG_MAX });
        u128::from(self.looks) >= LOOKS && now.saturating_sub(at) > hangs_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that only the same sign of life, seen again and again with a thread stopped, is the end of patience.
    #[test]
    fn patience_ends() {
        let mut patience = Patience::default();
        let mut looks = |signs: &[(bool, u64)]| -> Vec<bool> {
            signs.iter().map(|(open, at)| patience.is_over(*open, *at, None, 1_000_000_000)).collect()
        };
        assert_eq!(looks(&[(true, 7); 6]), [false, false, false, false, false, true]);
        assert_eq!(looks(&[(true, 8), (true, 8), (false, 8), (true, 8), (true, 8), (true, 8), (true, 8)]), [false; 7]);
        assert_eq!(looks(&[(true, 999_999_999); 8]), [false; 8], "a young sign");
    }

    /// Check that a sampler that is not let run is waited for longer, and one that runs, or waits for something else, is not.
    #[test]
    fn starved() {
        let is_over = |ran: fn(u64) -> Option<u64>, now: u64| {
            let mut patience = Patience::default();
            let looks: Vec<bool> = (0..8).map(|look| patience.is_over(true, 7, ran(look), now)).collect();
            looks[7]
        };
        let (soon, late) = (1_000_000_000, 2_100_000_000);
        assert_eq!([is_over(|_| Some(5), soon), is_over(|_| Some(5), late)], [false, true], "stands still");
        assert_eq!([is_over(Some, soon), is_over(|_| None, soon)], [true, true], "runs; sleeps");
    }

    /// Check what is seen of a thread that runs, and of one that sleeps.
    #[test]
    fn of_threads() {
        let own = i32::try_from(std::process::id()).unwrap();
        let tid = u64::try_from(nix::unistd::gettid().as_raw()).unwrap();
        // The kernel counts at its ticks.
        let began = std::time::Instant::now();
        while wants_cpu(own, tid).is_none_or(|ran| ran == 0) {
            assert!(began.elapsed() < Duration::from_secs(5));
        }
        let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let seen = wants_cpu(i32::try_from(sleeper.id()).unwrap(), u64::from(sleeper.id()));
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert_eq!((seen, wants_cpu(own, u64::MAX)), (None, None));
    }

    /// Check that a process with the agent's pid that is not our parent is left alone, and that no agent is no error.
    #[test]
    fn only_the_parent_is_the_agent() {
        let beat = Heartbeat::new().unwrap();
        beat.open();
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(other.id()).unwrap();
        let watched = watch(&beat.file, pid).unwrap();
        let ended = other.try_wait().unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!((watched, ended), (false, None));
        assert!(!watch(&beat.file, pid).unwrap(), "its pid is nobody's now");
    }

    /// Check that what is written is read, and that the descriptor for the child reads the same memory.
    #[test]
    fn heartbeat_round_trip() {
        let beat = Heartbeat::new().unwrap();
        let seen = File::from(beat.for_child().unwrap());
        assert!(!Heartbeat::read(&seen).unwrap().0);
        beat.open();
        let (open, at) = Heartbeat::read(&seen).unwrap();
        assert!(open && monotonic_ns().saturating_sub(at) < 1_000_000_000);
        beat.close();
        assert!(!Heartbeat::read(&seen).unwrap().0);
    }
}
