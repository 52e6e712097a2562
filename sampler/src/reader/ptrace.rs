//! The reader on ptrace and procfs. A sleeping thread is never stopped; a running one is seized, interrupted, read and
//! let go within one window. All calls come from one OS thread: ptrace belongs to a thread.

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use nix::libc::user_regs_struct;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        ptrace,
        signal::{SigSet, SigmaskHow, Signal, pthread_sigmask},
        signalfd::{SfdFlags, SignalFd},
        time::TimeSpec,
    },
    unistd::Pid as NixPid,
};
use profile::{
    counters::Counters,
    id::{Pid, Tid},
    thread::ThreadState,
};
use unwinder::{ModuleMap, Registers};

use super::{
    Account, Capture, Read, Reader, Tick, eintr,
    window::{IN_FLIGHT_MAX, Slots, copied, dwarf_registers},
};
use crate::{
    ledger::Ledger,
    memory, procfs,
    procfs::Syscall,
    sys::{self, Urgency, Wait, monotonic_ns},
    target::Target,
    taskstats::{Runs, TaskStats},
    threads::{COPY_FIRST, COPY_MAX, SNAPSHOT_MAX, Thread, Threads},
    watchdog::Heartbeat,
};

/// A stop that does not come by then is late: its thread waits for a CPU, or for something that cannot be interrupted.
pub const LATE_AFTER: Duration = Duration::from_millis(5);
/// Spin this long for a stop before sleeping: the usual stop comes within 25 us, and being woken costs 12 us more.
const SPIN_NS: u64 = 50_000;
/// How often a late stop is looked for when no signal tells of it, and life is shown to the watchdog.
const LATE_LOOK_NS: u64 = 50_000_000;

/// An interrupt that was sent.
#[derive(Clone, Copy, Debug)]
struct Flight {
    tid: Tid,
    sent: u64,
    run_count: Option<u64>,
    slot: usize,
}

/// The reader. Lives and dies on one thread.
#[derive(Debug)]
pub struct PtraceReader {
    task_stats: Option<TaskStats>,
    /// Per process: what taskstats said at the last tick, and whether somebody was running.
    last: std::collections::HashMap<Pid, (Option<Runs>, bool)>,
    slots: Slots,
    children: SignalFd,
    late: Vec<Tid>,
    heartbeat: Arc<Heartbeat>,
    /// What the watchdog was told last: that somebody may be stopped.
    beating: bool,
    gate_works: bool,
    may_hurry: bool,
    scratch: Box<[u8]>,
    /// A setting, off by default: stop a sleeper whose stack needs rbp where its call restarts unseen.
    stop_for_rbp: bool,
}

impl PtraceReader {
    /// To be called on the thread that will read. SIGCHLD must be blocked in every thread.
    pub fn new(heartbeat: Arc<Heartbeat>, stop_for_rbp: bool) -> Result<Self, Errno> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&mask), None)?;
        Ok(Self {
            task_stats: TaskStats::open(),
            last: std::collections::HashMap::new(),
            slots: Slots::new(),
            children: SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?,
            late: Vec::with_capacity(1024),
            heartbeat,
            beating: false,
            gate_works: run_count_moves(),
            may_hurry: true,
            scratch: vec![0; SNAPSHOT_MAX].into_boxed_slice(),
            stop_for_rbp,
        })
    }

    /// Whether a whole process can be asked at once (CAP_NET_ADMIN).
    pub fn has_task_stats(&self) -> bool {
        self.task_stats.is_some()
    }

    /// Whether the kernel counts runs by thread, so that sleepers need not be read at every tick.
    pub fn has_run_counts(&self) -> bool {
        self.gate_works
    }

    /// One question about the whole process: if its sum stands and nobody was running, nobody has run.
    fn ask(&mut self, pid: Pid, threads: &mut Threads) -> Gate {
        let runs = self.task_stats.as_mut().and_then(|stats| stats.runs(pid));
        let (before, running) = self.last.get(&pid).copied().unwrap_or((None, true));
        let unsettled = std::mem::take(&mut threads.unsettled);
        Gate { runs, unsettled, nobody_ran: runs.is_some() && runs == before && !running && !unsettled }
    }

    /// Reads the counts of the threads that ran lately; if then the sum proves that all counts are known, only they may
    /// have run. `None`: each must be asked.
    fn who_ran(&mut self, pid: Pid, threads: &mut Threads) -> Option<Vec<Tid>> {
        if !threads.ledger.is_exact() || !self.gate_works {
            return None;
        }
        let hot = threads.ledger.hot();
        for tid in &hot {
            let Some(thread) = threads.all.get_mut(tid) else { continue };
            let count = thread.schedstat.read(&mut [0; 128]).ok().and_then(procfs::parse_schedstat)?;
            threads.ledger.read(*tid, std::mem::replace(&mut thread.counted, count), count);
        }
        let runs = self.task_stats.as_mut()?.runs(pid)?;
        threads.ledger.is_current(runs.cpu_count).then_some(hot)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one tick, borrowed apart")]
    fn look_at(
        &mut self,
        tids: Vec<Tid>,
        target: &Target,
        threads: &mut Threads,
        modules: &ModuleMap,
        account: &mut Account,
        now: u64,
        tick: &mut Tick,
        seen: &mut Seen,
    ) {
        for tid in tids {
            let Some(thread) = threads.all.get_mut(&tid) else { continue };
            thread.late = thread.late && self.late.contains(&tid);
            match self.look(target, thread, modules, &mut threads.ledger, seen, account, now) {
                Look::Stands => {}
                Look::Stop => {
                    // It may run on without being switched, so its count alone would not show it.
                    threads.ledger.stays_hot(tid);
                    seen.to_stop.push(tid);
                }
                Look::Read(read) => tick.reads.push((tid, read)),
                Look::Unread => {
                    seen.unsettled = true;
                    tick.reads.push((tid, Read::Unread));
                }
                Look::Ended => seen.ended.push(tid),
            }
            seen.unsettled |= thread.again;
        }
    }

    /// Looks at one thread without disturbing it. `None`: it must be stopped to be read.
    #[allow(clippy::too_many_arguments, reason = "the parts of one tick, borrowed apart")]
    fn look(
        &mut self,
        target: &Target,
        thread: &mut Thread,
        modules: &ModuleMap,
        ledger: &mut Ledger,
        seen: &Seen,
        account: &mut Account,
        now: u64,
    ) -> Look {
        let mut text = [0; 256];
        let run_count = match thread.schedstat.read(&mut text) {
            Ok(text) => procfs::parse_schedstat(text).filter(|_| self.gate_works),
            Err(Errno::ESRCH | Errno::ENOENT) => return Look::Ended,
            Err(_) => None,
        };
        if let Some(count) = run_count {
            ledger.read(thread.tid, std::mem::replace(&mut thread.counted, count), count);
        }
        let stood = run_count.is_some()
            && run_count == thread.run_count
            && thread.state.is_some_and(ThreadState::is_blocked)
            && !thread.again;
        if stood {
            return Look::Stands;
        }
        thread.run_count = run_count;
        if thread.late {
            return Look::Unread;
        }
        let Ok(text) = thread.syscall.read(&mut text) else {
            return if is_alive(&thread.schedstat) { skip(account, "not_permitted") } else { Look::Ended };
        };
        match procfs::parse_syscall(text) {
            None => skip(account, "syscall_unreadable"),
            Some(Syscall::Running) if now < thread.retry_at => skip(account, "traced_by_other"),
            Some(Syscall::Running) => Look::Stop,
            Some(Syscall::In { sp, pc, .. }) if seen.group_stopped => {
                self.look_stopped(thread, modules, (sp, pc), account, now)
            }
            Some(Syscall::In { number, first, sp, pc }) => {
                let state = ThreadState::Sleeping(number);
                if self.stop_for_rbp && thread.wants_rbp && !eintr::is_shown(number) && !self.is_same(thread, sp, pc) {
                    return Look::Stop;
                }
                let registers = blocked(number, first, sp, pc);
                self.snapshot(thread, modules, Found { state, registers }, account)
            }
            Some(Syscall::Outside { sp, pc }) => {
                let state = match procfs::thread_stat(target.pid, thread.tid).map(|stat| stat.state) {
                    Ok(b'T') => ThreadState::Stopped,
                    Ok(b't') => ThreadState::Traced,
                    Ok(b'Z' | b'X') | Err(_) => return Look::Ended,
                    Ok(_) => ThreadState::Blocked,
                };
                if state == ThreadState::Stopped {
                    return self.look_stopped(thread, modules, (sp, pc), account, now);
                }
                self.snapshot(thread, modules, Found { state, registers: Registers::blocked(sp, pc) }, account)
            }
        }
    }

    /// A group-stopped thread: a ptrace stop disturbs nothing, and shows every register. Once is enough while it stays
    /// where it is.
    fn look_stopped(
        &mut self,
        thread: &mut Thread,
        modules: &ModuleMap,
        (sp, pc): (u64, u64),
        account: &mut Account,
        now: u64,
    ) -> Look {
        let state = ThreadState::Stopped;
        let stands = thread.state == Some(state) && (thread.fingerprint.sp, thread.fingerprint.pc) == (sp, pc);
        if stands && thread.fingerprint.words.is_empty() {
            // Read a moment ago, and what its unwind read is not back yet.
            return Look::Stands;
        }
        if stands && self.is_same(thread, sp, pc) {
            return self.snapshot(thread, modules, Found { state, registers: Registers::blocked(sp, pc) }, account);
        }
        if now < thread.retry_at { skip(account, "traced_by_other") } else { Look::Stop }
    }

    /// Copies the stack of a sleeper, and proves by its run count that it slept all the while.
    fn snapshot(&mut self, thread: &mut Thread, modules: &ModuleMap, found: Found, account: &mut Account) -> Look {
        let Found { state, registers } = found;
        let (sp, pc) = (registers.sp().0, registers.pc().0);
        let Some(buffer) = self.scratch.get_mut(..thread.copy_len) else { return Look::Unread };
        let got = memory::read(thread.tid, profile::address::RemoteAddr(sp), buffer).unwrap_or(0);
        let same = !thread.again && matches(&thread.fingerprint, sp, pc, self.scratch.get(..got).unwrap_or_default());
        let walks = !same && thread.is_walked();
        if walks && let Some(slot) = self.slots.get_mut(0) {
            slot.copy(thread.tid, sp, stop_copy(thread), &thread.pages);
            self.slots.walk(0, thread.tid, &registers, modules);
        }
        match self.slept(thread, sp, pc) {
            Some(true) => {}
            Some(false) => {
                thread.run_count = None;
                Counters::count(&mut account.counters.lost, "woke_while_read");
                return Look::Unread;
            }
            None => return Look::Ended,
        }
        thread.state = Some(state);
        if same {
            return Look::Read(Read::Same(state));
        }
        thread.again = false;
        thread.fingerprint.words.clear();
        let (stack, pages) = match self.slots.get_mut(0).filter(|_| walks) {
            Some(slot) => (slot.stack().into(), slot.pages().map(|(at, bytes)| (at, bytes.into())).collect()),
            None => (self.scratch.get(..got).unwrap_or_default().into(), Vec::new()),
        };
        learn_pages(thread, &pages);
        Look::Read(Read::Captured(Box::new(Capture { registers, state, stack, pages })))
    }

    /// Whether a sleeper has not run since its run count was read. `None`: it has ended.
    fn slept(&self, thread: &Thread, sp: u64, pc: u64) -> Option<bool> {
        let mut text = [0; 128];
        let after = procfs::parse_schedstat(thread.schedstat.read(&mut text).ok()?);
        // Where the kernel counts no runs: the weaker proof, that it is in the same place still.
        Some(if self.gate_works { after == thread.run_count } else { still_at(thread, sp, pc) })
    }

    /// Whether the thread's stack is the one it had: every word that its last unwind read is as it was.
    fn is_same(&mut self, thread: &Thread, sp: u64, pc: u64) -> bool {
        let Some(buffer) = self.scratch.get_mut(..thread.copy_len) else { return false };
        let got = memory::read(thread.tid, profile::address::RemoteAddr(sp), buffer).unwrap_or(0);
        matches(&thread.fingerprint, sp, pc, self.scratch.get(..got).unwrap_or_default())
    }

    /// Stops and reads the listed threads, at most [`IN_FLIGHT_MAX`] at a time.
    fn stop_all(
        &mut self,
        list: &[Tid],
        threads: &mut Threads,
        modules: &ModuleMap,
        account: &mut Account,
        reads: &mut Vec<(Tid, Read)>,
    ) {
        let mut waiting = list.iter();
        let mut flights: Vec<Flight> = Vec::with_capacity(IN_FLIGHT_MAX);
        let mut free: Vec<usize> = (0..IN_FLIGHT_MAX).rev().collect();
        self.heartbeat.open();
        self.beating = true;
        loop {
            while let Some(slot) = free.pop() {
                let Some(tid) = waiting.next() else {
                    free.push(slot);
                    break;
                };
                match send(*tid, threads, account, slot) {
                    Ok(flight) => flights.push(flight),
                    Err(read) => {
                        free.push(slot);
                        reads.push((*tid, read));
                    }
                }
            }
            if flights.is_empty() {
                break;
            }
            let deadline =
                flights.iter().map(|flight| flight.sent).min().unwrap_or(0).saturating_add(sys::ns(LATE_AFTER));
            match self.wait(deadline) {
                Some(Wait::Stopped { tid, signal, event }) => {
                    let Some(place) = flights.iter().position(|flight| flight.tid == tid) else {
                        self.let_go(tid, signal, event);
                        continue;
                    };
                    let flight = flights.swap_remove(place);
                    let read = self.handle(flight, signal, event, threads, modules, account);
                    free.push(flight.slot);
                    reads.push((tid, read));
                }
                Some(Wait::Ended { tid, .. }) => {
                    if let Some(place) = flights.iter().position(|flight| flight.tid == tid) {
                        free.push(flights.swap_remove(place).slot);
                        Counters::count(&mut account.counters.lost, "ended_while_read");
                        reads.push((tid, Read::Ended));
                    }
                    self.late.retain(|late| *late != tid);
                }
                None => {
                    let now = monotonic_ns();
                    let late = |flight: &Flight| now.saturating_sub(flight.sent) >= sys::ns(LATE_AFTER);
                    for flight in flights.extract_if(.., |flight| late(flight)) {
                        free.push(flight.slot);
                        self.late.push(flight.tid);
                        account.counters.late = account.counters.late.saturating_add(1);
                        if let Some(thread) = threads.all.get_mut(&flight.tid) {
                            thread.late = true;
                        }
                        reads.push((flight.tid, Read::Unread));
                    }
                }
            }
        }
        self.beat();
    }

    /// The stop window: from here to the detach, no allocation, log, lock or channel.
    fn handle(
        &mut self,
        flight: Flight,
        signal: i32,
        event: i32,
        threads: &mut Threads,
        modules: &ModuleMap,
        account: &mut Account,
    ) -> Read {
        let tid = flight.tid;
        let deliver = if event == 0 { signal } else { 0 };
        let stopped_at = monotonic_ns();
        let Some(thread) = threads.all.get_mut(&tid) else {
            self.let_go(tid, signal, event);
            return Read::Unread;
        };
        let registers = ptrace::getregs(NixPid::from_raw(tid.0));
        let mut text = [0; 128];
        let run_count = thread.schedstat.read(&mut text).ok().and_then(procfs::parse_schedstat);
        if let (Ok(registers), Some(slot)) = (&registers, self.slots.get_mut(flight.slot)) {
            slot.copy(tid, registers.rsp, stop_copy(thread), &thread.pages);
            if thread.is_walked() {
                self.slots.walk(flight.slot, tid, &dwarf_registers(registers), modules);
            }
            if is_ours(signal, event) && eintr::was_aborted(registers) {
                wind_back(tid, registers);
            }
        }
        let gone = sys::detach(tid, deliver);
        let done = monotonic_ns();
        // The window is over.
        let on_cpu = run_count.is_some() && run_count == flight.run_count;
        let held = done.saturating_sub(if on_cpu { flight.sent } else { stopped_at });
        account.stopped_ns = account.stopped_ns.saturating_add(held);
        account.stop_max_ns = account.stop_max_ns.max(held);
        account.stops = account.stops.saturating_add(1);
        thread.retries = 0;
        let (Ok(registers), Ok(())) = (registers, gone) else {
            Counters::count(&mut account.counters.lost, "gone_while_stopped");
            return Read::Unread;
        };
        let stopped = event != 0 && !is_ours(signal, event);
        thread.state = Some(state_at_stop(thread.state, stopped, on_cpu));
        thread.run_count = None;
        self.captured(flight.slot, thread, &registers)
    }

    fn captured(&mut self, slot: usize, thread: &mut Thread, registers: &user_regs_struct) -> Read {
        let Some(slot) = self.slots.get_mut(slot) else { return Read::Unread };
        let pages: Vec<(u64, Box<[u8]>)> = slot.pages().map(|(at, bytes)| (at, bytes.into())).collect();
        learn_pages(thread, &pages);
        thread.fingerprint.words.clear();
        (thread.fingerprint.sp, thread.fingerprint.pc) = (registers.rsp, registers.rip);
        Read::Captured(Box::new(Capture {
            registers: dwarf_registers(registers),
            state: thread.state.unwrap_or(ThreadState::OnCpu),
            stack: slot.stack().into(),
            pages,
        }))
    }

    /// The next report, or `None` at the deadline. Spins a little, then sleeps.
    fn wait(&mut self, deadline: u64) -> Option<Wait> {
        let began = monotonic_ns();
        loop {
            if let Ok(Some(wait)) = sys::wait_any() {
                return Some(wait);
            }
            let now = monotonic_ns();
            if now >= deadline {
                return None;
            }
            if now.saturating_sub(began) > SPIN_NS {
                self.sleep(deadline.saturating_sub(now));
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Sleeps until a child's signal or for so long.
    fn sleep(&mut self, ns: u64) {
        let mut polled = [PollFd::new(self.children.as_fd(), PollFlags::POLLIN)];
        let timeout = TimeSpec::from_duration(Duration::from_nanos(ns));
        if matches!(ppoll(&mut polled, Some(timeout), None), Ok(ready) if ready > 0) {
            while let Ok(Some(_)) = self.children.read_signal() {}
        }
    }

    /// A stop that nobody waits for any more: let it go at once, with its signal.
    fn let_go(&mut self, tid: Tid, signal: i32, event: i32) {
        if is_ours(signal, event)
            && let Ok(registers) = ptrace::getregs(NixPid::from_raw(tid.0))
            && eintr::was_aborted(&registers)
        {
            wind_back(tid, &registers);
        }
        let _ = sys::detach(tid, if event == 0 { signal } else { 0 });
        self.late.retain(|late| *late != tid);
    }

    /// Answers whatever came by now.
    fn answer(&mut self) {
        while let Ok(Some(wait)) = sys::wait_any() {
            match wait {
                Wait::Stopped { tid, signal, event } => self.let_go(tid, signal, event),
                Wait::Ended { tid, .. } => self.late.retain(|late| *late != tid),
            }
        }
    }

    /// Tells the watchdog whether somebody may still be stopped.
    fn beat(&mut self) {
        match (self.late.is_empty(), self.beating) {
            (true, false) => {}
            (true, true) => self.heartbeat.close(),
            (false, _) => self.heartbeat.open(),
        }
        self.beating = !self.late.is_empty();
    }
}

impl Reader for PtraceReader {
    fn read(
        &mut self,
        target: &Target,
        threads: &mut Threads,
        modules: &Arc<ModuleMap>,
        account: &mut Account,
    ) -> Tick {
        let now = monotonic_ns();
        let mut tick = Tick { at_ns: now, ..Tick::default() };
        let gate = self.ask(target.pid, threads);
        if gate.nobody_ran {
            tick.samples = threads.all.len() as u64;
            return tick;
        }
        let found = threads.discover(now);
        tick.named = found.named;
        for (why, many) in found.left_out {
            Counters::count_many(&mut account.counters.skipped, why, many);
        }
        let few = if found.changed || gate.unsettled { None } else { self.who_ran(target.pid, threads) };
        let mut seen = Seen { group_stopped: is_group_stopped(target.pid, threads), ..Seen::default() };
        if let Some(tids) = few {
            self.look_at(tids, target, threads, modules, account, now, &mut tick, &mut seen);
        } else {
            let all: Vec<Tid> = threads.all.keys().copied().collect();
            self.look_at(all, target, threads, modules, account, now, &mut tick, &mut seen);
            let after = self.task_stats.as_mut().and_then(|stats| stats.runs(target.pid));
            if let (Some(before), Some(after)) = (gate.runs, after) {
                threads.ledger.swept(before.cpu_count, after.cpu_count);
            }
        }
        let running = !seen.to_stop.is_empty();
        if running {
            // Who holds a thread stopped must not wait for a CPU itself. Not permitted: then it may take a little longer.
            let urgent = self.may_hurry && sys::set_urgency(Urgency::Now).is_ok();
            self.stop_all(&seen.to_stop, threads, modules, account, &mut tick.reads);
            self.may_hurry = urgent && sys::set_urgency(Urgency::Normal).is_ok();
        }
        let ended = |(tid, read): &(Tid, Read)| matches!(read, Read::Ended).then_some(*tid);
        seen.ended.extend(tick.reads.iter().filter_map(ended));
        tick.reads.retain(|(_, read)| !matches!(read, Read::Ended));
        for tid in seen.ended {
            threads.remove(tid);
            tick.reads.push((tid, Read::Ended));
        }
        let unread = tick.reads.iter().filter(|(_, read)| matches!(read, Read::Unread)).count();
        tick.samples = threads.all.len().saturating_sub(unread) as u64;
        threads.unsettled |= seen.unsettled || threads.stale;
        self.last.insert(target.pid, (gate.runs, running));
        tick
    }

    fn idle(&mut self, deadline: u64) {
        loop {
            self.answer();
            self.beat();
            let now = monotonic_ns();
            if now >= deadline {
                return;
            }
            let left = deadline.saturating_sub(now);
            self.sleep(if self.late.is_empty() { left } else { left.min(LATE_LOOK_NS) });
            // A late thread that has ended, or whose id went with an exec, will never report.
            self.late.retain(|tid| std::path::Path::new(&format!("/proc/{tid}")).exists());
        }
    }

    fn drain(&mut self) -> bool {
        let deadline = monotonic_ns().saturating_add(1_000_000_000);
        while !self.late.is_empty() && monotonic_ns() < deadline {
            self.idle(monotonic_ns().saturating_add(5_000_000));
        }
        self.beat();
        self.late.is_empty()
    }
}

/// Where a sleeper is.
#[derive(Clone, Copy, Debug)]
struct Found {
    state: ThreadState,
    registers: Registers,
}

/// What a sleeper shows of its registers. glibc's vfork keeps its return address in rdi (the child will overwrite the
/// stack), and the kernel shows rdi as the first argument.
fn blocked(number: u32, first: u64, sp: u64, pc: u64) -> Registers {
    const VFORK: u32 = 58;
    const RDI: u16 = 5;
    let registers = Registers::blocked(sp, pc);
    if number == VFORK { registers.with(RDI, first) } else { registers }
}

/// What one question about a process gave.
#[derive(Clone, Copy, Debug)]
struct Gate {
    runs: Option<Runs>,
    unsettled: bool,
    nobody_ran: bool,
}

/// What looking at threads left to do.
#[derive(Debug, Default)]
struct Seen {
    /// The process is stopped by a signal.
    group_stopped: bool,
    to_stop: Vec<Tid>,
    ended: Vec<Tid>,
    unsettled: bool,
}

/// What looking at a thread led to.
#[derive(Debug)]
enum Look {
    Stands,
    Stop,
    Read(Read),
    Unread,
    Ended,
}

fn skip(account: &mut Account, why: &str) -> Look {
    Counters::count(&mut account.counters.skipped, why);
    Look::Unread
}

/// Seizes and interrupts; what became of it when that failed.
fn send(tid: Tid, threads: &mut Threads, account: &mut Account, slot: usize) -> Result<Flight, Read> {
    let Some(thread) = threads.all.get_mut(&tid) else { return Err(Read::Unread) };
    let pid = NixPid::from_raw(tid.0);
    let mut text = [0; 128];
    let run_count = thread.schedstat.read(&mut text).ok().and_then(procfs::parse_schedstat);
    match ptrace::seize(pid, ptrace::Options::empty()) {
        Ok(()) => {}
        Err(Errno::ESRCH) => return Err(Read::Ended),
        Err(_) if !is_alive(&thread.schedstat) => return Err(Read::Ended),
        Err(_) => {
            thread.back_off(monotonic_ns());
            Counters::count(&mut account.counters.skipped, "traced_by_other");
            return Err(Read::Unread);
        }
    }
    let sent = monotonic_ns();
    // It cannot fail but by the thread's end; then wait() reports that end, or the flight grows late and is dropped.
    let _ = ptrace::interrupt(pid);
    Ok(Flight { tid, sent, run_count, slot })
}

/// Whether our interrupt made the stop: else it is a signal's, and what that signal aborted is the program's to know.
fn is_ours(signal: i32, event: i32) -> bool {
    event != 0 && signal == libc::SIGTRAP
}

/// Makes an aborted call start again, if it is really ours to do: no signal waits, and the instruction is `syscall`.
fn wind_back(tid: Tid, registers: &user_regs_struct) {
    let back = eintr::wound_back(registers);
    let mut code = [0; 2];
    let mut status = [0; 4096];
    let is_syscall =
        memory::read(tid, profile::address::RemoteAddr(back.rip), &mut code) == Ok(2) && code == [0x0f, 0x05];
    if !is_syscall || procfs::has_pending_signal(read_status(tid, &mut status)) {
        return;
    }
    let _ = ptrace::setregs(NixPid::from_raw(tid.0), back);
}

/// `/proc/TID/status` without an allocation.
fn read_status(tid: Tid, buffer: &mut [u8]) -> &[u8] {
    use std::io::{Read as _, Write as _};
    let mut path = [0_u8; 32];
    let mut rest = path.as_mut_slice();
    if write!(rest, "/proc/{tid}/status").is_err() {
        return &[];
    }
    let unused = rest.len();
    let Some(name) = path.get(..path.len().saturating_sub(unused)) else { return &[] };
    let Ok(name) = std::str::from_utf8(name) else { return &[] };
    let len = std::fs::File::open(name).and_then(|mut file| file.read(buffer)).unwrap_or(0);
    buffer.get(..len).unwrap_or_default()
}

fn state_at_stop(before: Option<ThreadState>, group_stopped: bool, on_cpu: bool) -> ThreadState {
    match (group_stopped, on_cpu, before) {
        (true, _, _) => ThreadState::Stopped,
        (_, true, _) => ThreadState::OnCpu,
        _ => ThreadState::Runnable,
    }
}

/// Whether the process is stopped by a signal: all its threads are, also those that were in a system call.
fn is_group_stopped(pid: Pid, threads: &Threads) -> bool {
    let first = threads.all.keys().next();
    first.is_some_and(|tid| procfs::thread_stat(pid, *tid).is_ok_and(|stat| stat.state == b'T'))
}

/// How much to copy in a stop: of a stack that is walked, its near end.
fn stop_copy(thread: &Thread) -> usize {
    let sparse = thread.is_walked() && !thread.dense;
    if sparse { COPY_FIRST } else { thread.copy_len.clamp(COPY_FIRST, COPY_MAX) }
}

/// The next read of the thread takes these pages at once.
fn learn_pages(thread: &mut Thread, pages: &[(u64, Box<[u8]>)]) {
    if thread.is_walked() {
        thread.pages.clear();
        thread.pages.extend(pages.iter().map(|(at, _)| *at));
    }
}

fn is_alive(schedstat: &procfs::Kept) -> bool {
    !matches!(schedstat.read(&mut [0; 128]), Err(Errno::ESRCH | Errno::ENOENT))
}

fn still_at(thread: &Thread, sp: u64, pc: u64) -> bool {
    let mut text = [0; 256];
    match thread.syscall.read(&mut text).ok().and_then(procfs::parse_syscall) {
        Some(Syscall::In { sp: now_sp, pc: now_pc, .. } | Syscall::Outside { sp: now_sp, pc: now_pc }) => {
            (now_sp, now_pc) == (sp, pc)
        }
        _ => false,
    }
}

fn matches(known: &crate::threads::Fingerprint, sp: u64, pc: u64, stack: &[u8]) -> bool {
    !known.words.is_empty()
        && (known.sp, known.pc) == (sp, pc)
        && known.words.iter().all(|(at, value)| {
            let mut word = [0; 8];
            copied(sp, stack, *at, &mut word) && u64::from_le_bytes(word) == *value
        })
}

/// Whether our own run count moves when we sleep: on a kernel without CONFIG_SCHED_INFO it does not.
pub fn run_count_moves() -> bool {
    let Ok(own) = i32::try_from(std::process::id()) else { return false };
    let tid = Tid(nix::unistd::gettid().as_raw());
    let Ok(file) = procfs::Kept::open(Pid(own), tid, "schedstat") else { return false };
    let count = |file: &procfs::Kept| file.read(&mut [0; 128]).ok().and_then(procfs::parse_schedstat);
    let before = count(&file);
    std::thread::sleep(Duration::from_millis(1));
    let after = count(&file);
    before.is_some() && after > before
}
