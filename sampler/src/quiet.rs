//! Proves by two cheap questions that no thread of a large process ran, so that the dear one need not be asked: nothing on
//! this machine but ourselves is runnable, and the process's CPU clock has not moved. Touches no thread.
//!
//! The kernel adds a thread's CPU time to the process's total when it takes the thread off a CPU (`update_curr` of
//! `kernel/sched/fair.c`) and at the scheduler's tick. So at a moment at which we are the only runnable thread of the
//! machine, every run that began has ended and been added: a total that is as it was means that there was none. A total is
//! kept, and need not be summed up over the threads, only while some timer waits on that clock
//! (`kernel/time/posix-cpu-timers.c: cpu_clock_sample_group`): ours does, for a time that never comes. It is taken away
//! as soon as the process works again, and by the kernel when we end.

use std::{collections::HashMap, fs::File, os::fd::AsFd};

use nix::{
    sys::{
        signal::{SigEvent, SigevNotify, Signal},
        statfs::{PROC_SUPER_MAGIC, fstatfs},
        time::TimeSpec,
        timer::{Expiration, Timer, TimerSetTimeFlags},
    },
    time::ClockId,
};
use profile::id::Pid;
use tracing::warn;

/// Fewer threads are quickly summed up.
const THREADS_MIN: usize = 64;
/// A process is watched when nobody of it ran for so many ticks.
const WATCH_AFTER: u32 = 50;
/// After so many proofs the dear question is asked all the same, to see whether the clock can be trusted here.
const PROOFS_MAX: u32 = 24;

/// What is watched.
#[derive(Debug)]
pub struct Quiet {
    /// `None`: what this machine shows there is not the kernel's own.
    runnable: Option<Runnable>,
    watches: HashMap<Pid, Watch>,
}

/// One process.
#[derive(Default, Debug)]
struct Watch {
    /// Ticks in a row at which nobody had run.
    ticks: u32,
    clock: Option<ProcessClock>,
    /// What the clock said before the last tick at which the dear question had shown that nobody ran.
    base: Option<TimeSpec>,
    /// What it said at this tick.
    seen: Option<TimeSpec>,
    /// Proofs since then.
    proofs: u32,
    /// The clock has stood while a thread ran.
    distrusted: bool,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { runnable: Runnable::open(), watches: HashMap::new() }
    }
}

impl Quiet {
    /// Whether it is certain that nobody of the process has run since the last [`Self::confirm`]. At that time nobody
    /// may have been on a CPU.
    pub fn is_proved(&mut self, pid: Pid) -> bool {
        // In this order: what ran before we were alone has been added when the clock is asked.
        let watched = self.watches.get(&pid).is_some_and(|watch| watch.clock.is_some());
        let alone = watched && self.runnable.as_ref().is_some_and(Runnable::are_we_alone);
        self.is_proved_when(pid, alone)
    }

    fn is_proved_when(&mut self, pid: Pid, alone: bool) -> bool {
        let Some(watch) = self.watches.get_mut(&pid) else { return false };
        watch.seen = watch.clock.as_ref().and_then(ProcessClock::now);
        let proved = alone && watch.seen.is_some() && watch.seen == watch.base && watch.proofs < PROOFS_MAX;
        watch.proofs = if proved { watch.proofs.saturating_add(1) } else { 0 };
        proved
    }

    /// The dear question, asked after [`Self::is_proved`], has shown that nobody of the process's `threads` had run.
    pub fn confirm(&mut self, pid: Pid, threads: usize) {
        if self.runnable.is_none() || threads < THREADS_MIN {
            return;
        }
        let watch = self.watches.entry(pid).or_default();
        watch.ticks = watch.ticks.saturating_add(1);
        watch.base = watch.seen.take();
        if watch.clock.is_none() && watch.ticks >= WATCH_AFTER && !watch.distrusted {
            watch.clock = ProcessClock::start(pid);
            watch.distrusted = watch.clock.is_none();
        }
    }

    /// Somebody of the process has run, or may have.
    pub fn moved(&mut self, pid: Pid, certainly: bool) {
        let Some(watch) = self.watches.get_mut(&pid) else { return };
        if certainly && let (Some(clock), Some(runnable)) = (&watch.clock, &self.runnable) {
            let stood = watch.base.is_some() && runnable.are_we_alone() && clock.now() == watch.base;
            if stood {
                warn!(%pid, "A thread ran, and the process's CPU clock did not move: it is not used to find that out.");
            }
            watch.distrusted |= stood;
        }
        *watch = Watch { distrusted: watch.distrusted, ..Watch::default() };
    }

    /// The process is sampled no more.
    pub fn forget(&mut self, pid: Pid) {
        self.watches.remove(&pid);
    }
}

/// The CPU time of all threads of a process, kept as a total by the kernel as long as this lives.
#[derive(Debug)]
struct ProcessClock {
    clock: ClockId,
    _timer: Timer,
}

impl ProcessClock {
    fn start(pid: Pid) -> Option<Self> {
        /// Thirty years of CPU.
        const NEVER_S: i64 = 1_000_000_000;
        let clock = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(pid.0)).ok()?;
        // A timer without a signal is not kept by the kernel; this one is ignored by default.
        let signal = SigevNotify::SigevSignal { signal: Signal::SIGURG, si_value: 0 };
        let mut timer = Timer::new(clock, SigEvent::new(signal)).ok()?;
        let never = Expiration::OneShot(TimeSpec::new(NEVER_S, 0));
        timer.set(never, TimerSetTimeFlags::empty()).ok()?;
        Some(Self { clock, _timer: timer })
    }

    /// `None`: the process is gone.
    fn now(&self) -> Option<TimeSpec> {
        self.clock.now().ok()
    }
}

/// How many threads of the machine run or wait for a CPU: the fourth field of `/proc/loadavg`.
#[derive(Debug)]
struct Runnable(File);

impl Runnable {
    fn open() -> Option<Self> {
        let file = File::open("/proc/loadavg").ok()?;
        // In containers, lxcfs puts a file of its own there.
        (fstatfs(file.as_fd()).ok()?.filesystem_type() == PROC_SUPER_MAGIC).then_some(Self(file))
    }

    fn are_we_alone(&self) -> bool {
        let mut text = [0; 128];
        let len = nix::sys::uio::pread(self.0.as_fd(), &mut text, 0).unwrap_or(0);
        parse_runnable(text.get(..len).unwrap_or_default()) == Some(1)
    }
}

/// Parses `0.12 0.34 0.56 1/1079 804` (`fs/proc/loadavg.c`).
fn parse_runnable(text: &[u8]) -> Option<u64> {
    let field = text.split(|byte| *byte == b' ').nth(3)?;
    let runnable = field.split(|byte| *byte == b'/').next()?;
    std::str::from_utf8(runnable).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        process::{Command, Stdio},
    };

    use super::*;

    /// Check that the clock of another process stands while it sleeps and moves when it has run.
    #[test]
    fn clock_moves_with_a_run() {
        let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pid = Pid(i32::try_from(cat.id()).unwrap());
        let (mut stdin, mut stdout) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
        let mut echo = || {
            stdin.write_all(b"x").unwrap();
            stdout.read_exact(&mut [0]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
        };
        echo();
        let clock = ProcessClock::start(pid).unwrap();
        let before = clock.now().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(clock.now().unwrap(), before);
        echo();
        let after = clock.now().unwrap();
        assert!(after > before, "{after:?} {before:?}");
        drop(stdin);
        cat.wait().unwrap();
        assert_eq!(clock.now(), None);
    }

    /// Check the proof's life: none before the dear question confirmed it, none while others are runnable, one in
    /// between that asks all the same, and none after a move.
    #[test]
    fn proof_needs_a_base() {
        let mut sleep = Command::new("sleep").arg("60").spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let pid = Pid(i32::try_from(sleep.id()).unwrap());
        let mut quiet = Quiet::default();
        for _ in 0..WATCH_AFTER {
            assert!(!quiet.is_proved_when(pid, true));
            quiet.confirm(pid, THREADS_MIN);
        }
        assert!(!quiet.is_proved_when(pid, true));
        quiet.confirm(pid, THREADS_MIN);
        let proofs: Vec<bool> = (0..26).map(|tick| quiet.is_proved_when(pid, tick != 0)).collect();
        assert_eq!(proofs, [vec![false], vec![true; 24], vec![false]].concat());
        quiet.moved(pid, false);
        assert!(!quiet.is_proved_when(pid, true));
        sleep.kill().unwrap();
        sleep.wait().unwrap();
    }

    /// Check the parser on what kernels print and on nonsense.
    #[test]
    fn parse_loadavg() {
        assert_eq!(parse_runnable(b"0.12 0.34 0.56 3/1079 804\n"), Some(3));
        assert_eq!(parse_runnable(b""), None);
        assert_eq!(parse_runnable(b"a b c d"), None);
    }
}
