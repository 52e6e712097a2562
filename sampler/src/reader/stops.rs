//! Stops running threads, reads them, and lets them go; keeps account of every interrupt until its thread has reported.
//! Decides nothing about whom to stop.

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use nix::{
    errno::Errno,
    libc::user_regs_struct,
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
    address::RemoteAddr,
    counters::Counters,
    id::{Pid, Tid},
    thread::{State, ThreadState},
};
use runtimes::python::{End, Process};
use unwinder::ModuleMap;

use super::{
    Account, Capture, Read, eintr,
    look::is_alive,
    reaper::Reaper,
    window::{IN_FLIGHT_MAX, Slots, dwarf_registers, learn_pages},
};
use crate::{
    interpreter, memory,
    procfs::{self, Schedstat, Syscall},
    sampler::Native,
    sys::{self, Wait, monotonic_ns},
    threads::{Thread, Threads},
    watchdog::Heartbeat,
};

/// A stop that does not come by then is late: its thread waits for a CPU, or for something that cannot be interrupted.
const LATE_AFTER: Duration = Duration::from_millis(5);
/// Spin this long for a stop before sleeping: the usual stop comes within 25 us, and being woken costs 12 us more.
const SPIN_NS: u64 = 50_000;
/// Hundreds of threads that all come late take longer than the watchdog waits: show life at least this often.
const LIFE_NS: u64 = 20_000_000;
/// No further thread is interrupted while those that are will take so long to read: it would stand still and wait.
const AT_ONCE_NS: u64 = 150_000;
/// How often a late stop is looked for when no signal tells of it, and life is shown to the watchdog.
const LATE_LOOK_NS: u64 = 50_000_000;

/// An interrupt that was sent.
#[derive(Clone, Copy, Debug)]
struct Flight {
    tid: Tid,
    sent: u64,
    /// As of before the interrupt.
    schedstat: Option<Schedstat>,
    slot: usize,
    /// How long its thread was read when it was stopped last.
    expected: u64,
}

/// A seized thread that has not reported yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pending {
    pub(super) tid: Tid,
    /// Its process: when the thread execs, the process's id becomes its own.
    process: Pid,
}

/// The stops of all targets. Lives and dies on one thread.
#[derive(Debug)]
pub(super) struct Stops {
    slots: Slots,
    native: Native,
    children: SignalFd,
    /// Seized threads that have not reported yet: late ones, and those that were killed in their stop.
    pending: Vec<Pending>,
    /// Takes ends while we are blocked in a seize.
    reaper: Reaper,
    heartbeat: Arc<Heartbeat>,
    /// What the watchdog was told last: that somebody may be stopped.
    beating: bool,
    /// When it was told.
    shown_at: u64,
}

/// What every stop of a tick needs.
pub(super) struct Errand<'t> {
    pub(super) threads: &'t mut Threads,
    pub(super) modules: &'t ModuleMap,
    pub(super) python: Option<&'t Process>,
    pub(super) account: &'t mut Account,
    /// For when the tick was due, `CLOCK_MONOTONIC`, ns: nobody lost a CPU to it before.
    pub(super) due: u64,
}

impl Stops {
    /// To be called on the thread that will stop others. SIGCHLD must be blocked in every thread.
    pub(super) fn new(heartbeat: Arc<Heartbeat>, native: Native) -> Result<Self, Errno> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&mask), None)?;
        Ok(Self {
            slots: Slots::new(),
            native,
            children: SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?,
            pending: Vec::with_capacity(1024),
            reaper: Reaper::start()?,
            heartbeat,
            beating: false,
            shown_at: 0,
        })
    }

    /// The copy buffers and the interrupted threads that have not reported yet, to look at sleepers with.
    pub(super) fn parts(&mut self) -> (&mut Slots, &[Pending]) {
        (&mut self.slots, &self.pending)
    }

    /// Stops and reads the listed threads, at most [`IN_FLIGHT_MAX`] at a time.
    pub(super) fn read_all(&mut self, list: &[Tid], mut errand: Errand<'_>, reads: &mut Vec<(Tid, Read)>) {
        if list.is_empty() {
            return;
        }
        self.fly(list, &mut errand, reads);
        self.beat();
    }

    fn fly(&mut self, list: &[Tid], errand: &mut Errand<'_>, reads: &mut Vec<(Tid, Read)>) {
        let mut waiting = list.iter();
        let mut flights: Vec<Flight> = Vec::with_capacity(IN_FLIGHT_MAX);
        let mut free: Vec<usize> = (0..IN_FLIGHT_MAX).rev().collect();
        loop {
            while flights.iter().map(|flight| flight.expected).sum::<u64>() < AT_ONCE_NS
                && let Some(slot) = free.pop()
            {
                let Some(tid) = waiting.next() else {
                    free.push(slot);
                    break;
                };
                self.reaper
                    .watch(flights.iter().map(|flight| flight.tid).chain(self.pending.iter().map(|late| late.tid)));
                let sent = self.send(*tid, errand, slot);
                self.reaper.rest();
                match sent {
                    Ok(flight) => flights.push(flight),
                    Err(read) => {
                        free.push(slot);
                        reads.push((*tid, read));
                    }
                }
            }
            let Some(first) = flights.iter().map(|flight| flight.sent).min() else { return };
            if monotonic_ns().saturating_sub(self.shown_at) > LIFE_NS {
                self.show_life();
            }
            match self.wait(first.saturating_add(sys::ns(LATE_AFTER))) {
                Some(Wait::Stopped { tid, signal, event }) => {
                    let Some(place) = flights.iter().position(|flight| flight.tid == tid) else {
                        self.let_go(tid, signal, event);
                        continue;
                    };
                    let flight = flights.swap_remove(place);
                    let read = self.stopped(flight, (signal, event), errand);
                    free.push(flight.slot);
                    reads.push((tid, read));
                }
                Some(Wait::Ended { tid, .. }) => {
                    if let Some(place) = flights.iter().position(|flight| flight.tid == tid) {
                        free.push(flights.swap_remove(place).slot);
                        Counters::count(&mut errand.account.counters.lost, "ended_while_read");
                        reads.push((tid, Read::Ended));
                    }
                    self.ended(tid);
                }
                None => self.give_up(&mut flights, &mut free, errand, reads),
            }
        }
    }

    /// Whether a stop that did not come in time may still come.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Flights that are over their time become pending.
    fn give_up(
        &mut self,
        flights: &mut Vec<Flight>,
        free: &mut Vec<usize>,
        errand: &mut Errand<'_>,
        reads: &mut Vec<(Tid, Read)>,
    ) {
        let now = monotonic_ns();
        let is_late = |flight: &mut Flight| now.saturating_sub(flight.sent) >= sys::ns(LATE_AFTER);
        for flight in flights.extract_if(.., is_late) {
            free.push(flight.slot);
            self.pending.push(Pending { tid: flight.tid, process: errand.threads.pid() });
            errand.account.counters.late = errand.account.counters.late.saturating_add(1);
            if let Some(thread) = errand.threads.all.get_mut(&flight.tid) {
                thread.late = true;
            }
            reads.push((flight.tid, Read::Unread));
        }
    }

    /// The stop window: from here to the detach, no allocation, log, lock or channel.
    fn stopped(&mut self, flight: Flight, (signal, event): (i32, i32), errand: &mut Errand<'_>) -> Read {
        let tid = flight.tid;
        let stopped_at = monotonic_ns();
        let process = errand.threads.pid();
        let Some(thread) = errand.threads.all.get_mut(&tid) else {
            self.let_go(tid, signal, event);
            return Read::Unread;
        };
        let registers = ptrace::getregs(NixPid::from_raw(tid.0));
        let mut text = [0; 128];
        let schedstat = thread.schedstat.read(&mut text).ok().and_then(procfs::parse_schedstat);
        let mut python = None;
        if let Ok(registers) = &registers {
            self.slots.clear(flight.slot);
            python = errand.python.and_then(|process| interpreter::walk(self.slots.python(), process, thread));
            if interpreter::wants_native(self.native, python.as_ref()) {
                self.slots.copy(flight.slot, thread, registers, errand.modules);
            }
            if is_ours(signal, event) && eintr::was_aborted(registers) {
                wind_back(tid, registers);
            }
        }
        let gone = self.detach(Pending { tid, process }, signal, event);
        let done = monotonic_ns();
        // The window is over.
        let switched = schedstat.is_none() || schedstat != flight.schedstat;
        let on_cpu = !switched || was_displaced(flight.schedstat, schedstat, stopped_at.saturating_sub(errand.due));
        let account = &mut *errand.account;
        let held = done.saturating_sub(if switched { stopped_at } else { flight.sent });
        account.stopped_ns = account.stopped_ns.saturating_add(held);
        account.stop_max_ns = account.stop_max_ns.max(held);
        account.stops = account.stops.saturating_add(1);
        thread.stop_ns = done.saturating_sub(stopped_at);
        thread.retries = 0;
        // Without the kept descriptor's word, the stopped thread may be another that got the id.
        let (Ok(registers), Ok(()), true) = (registers, gone, is_alive(&thread.schedstat)) else {
            Counters::count(&mut account.counters.lost, "gone_while_stopped");
            return Read::Unread;
        };
        let group_stopped = event != 0 && !is_ours(signal, event);
        let state = state_at_stop(group_stopped, on_cpu);
        thread.state = Some(state);
        thread.run_count = None;
        // Woken from a wait by the interrupt, it still says in which call it was.
        let call = u32::try_from(registers.orig_rax).ok();
        let futex = call.and_then(|number| Syscall::futex(number, registers.rdi));
        let state = interpreter::state(self.slots.python(), thread, state, futex);
        self.captured(flight.slot, thread, (&registers, state), python)
    }

    fn captured(
        &mut self,
        slot: usize,
        thread: &mut Thread,
        (registers, state): (&user_regs_struct, State),
        python: Option<End>,
    ) -> Read {
        if python.is_some() {
            interpreter::learn(self.slots.python(), thread);
        }
        let python = interpreter::capture(self.slots.python(), python, thread);
        let Some(slot) = self.slots.get_mut(slot) else { return Read::Unread };
        let pages: Vec<(u64, Box<[u8]>)> = slot.pages().map(|(at, bytes)| (at, bytes.into())).collect();
        learn_pages(thread, &pages);
        thread.captures += 1;
        thread.fingerprint.words.clear();
        (thread.fingerprint.sp, thread.fingerprint.pc) = (registers.rsp, registers.rip);
        Read::Captured(Box::new(Capture {
            registers: dwarf_registers(registers),
            state,
            stack: slot.stack().into(),
            pages,
            number: thread.captures,
            python,
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

    /// Lets a stopped thread go with the signal that it was about to get. Who cannot be let go was killed in its stop:
    /// its parent is not told before we have taken its report.
    fn detach(&mut self, thread: Pending, signal: i32, event: i32) -> Result<(), Errno> {
        let gone = sys::detach(thread.tid, if event == 0 { signal } else { 0 });
        let known = self.pending.iter().any(|pending| pending.tid == thread.tid);
        if gone.is_err() && !known && self.pending.len() < self.pending.capacity() {
            self.pending.push(thread);
        }
        gone
    }

    /// A thread has ended: it reports no more.
    fn ended(&mut self, tid: Tid) {
        self.pending.retain(|pending| pending.tid != tid);
    }

    /// Seizes and interrupts; what became of it when that failed.
    fn send(&mut self, tid: Tid, errand: &mut Errand<'_>, slot: usize) -> Result<Flight, Read> {
        let process = errand.threads.pid();
        let Some(thread) = errand.threads.all.get_mut(&tid) else { return Err(Read::Unread) };
        let pid = NixPid::from_raw(tid.0);
        let mut text = [0; 128];
        let schedstat = match thread.schedstat.read(&mut text) {
            // The id may be another's by now.
            Err(Errno::ESRCH | Errno::ENOENT) => return Err(Read::Ended),
            read => read.ok().and_then(procfs::parse_schedstat),
        };
        match ptrace::seize(pid, ptrace::Options::empty()) {
            Ok(()) => {}
            Err(Errno::ESRCH) => return Err(Read::Ended),
            Err(_) if !is_alive(&thread.schedstat) => return Err(Read::Ended),
            Err(_) => {
                thread.back_off(monotonic_ns());
                Counters::count(&mut errand.account.counters.skipped, "traced_by_other");
                return Err(Read::Unread);
            }
        }
        self.show_life();
        let sent = monotonic_ns();
        if ptrace::interrupt(pid).is_err() {
            // It has ended; or it was in an exec, and is seized under its process's id now.
            self.pending.push(Pending { tid, process });
            self.follow_execs();
            Counters::count(&mut errand.account.counters.lost, "ended_while_read");
            return Err(Read::Ended);
        }
        Ok(Flight { tid, sent, schedstat, slot, expected: thread.stop_ns })
    }

    /// Who execs takes the id of its process. Such a one is looked for under that id, and interrupted again: it would stay
    /// traced, and its next signal would stop it, with nobody to let it go.
    fn follow_execs(&mut self) {
        self.pending.retain_mut(|pending| {
            if procfs::is_traced(pending.tid) {
                return true;
            }
            let moved = pending.tid.0 != pending.process.0 && procfs::is_traced(Tid(pending.process.0));
            pending.tid = Tid(pending.process.0);
            // Fails unless it is we who trace it, and it is not about to stop anyway.
            moved && ptrace::interrupt(NixPid::from_raw(pending.tid.0)).is_ok()
        });
    }

    /// A stop that nobody waits for any more: let it go at once, with its signal.
    fn let_go(&mut self, tid: Tid, signal: i32, event: i32) {
        if is_ours(signal, event)
            && let Ok(registers) = ptrace::getregs(NixPid::from_raw(tid.0))
            && eintr::was_aborted(&registers)
        {
            wind_back(tid, &registers);
        }
        let known = self.pending.iter().find(|pending| pending.tid == tid).copied();
        if self.detach(known.unwrap_or(Pending { tid, process: Pid(tid.0) }), signal, event).is_ok() {
            self.ended(tid);
        }
    }

    /// Answers whatever came by now.
    fn answer(&mut self) {
        while let Ok(Some(wait)) = sys::wait_any() {
            match wait {
                Wait::Stopped { tid, signal, event } => self.let_go(tid, signal, event),
                Wait::Ended { tid, .. } => self.ended(tid),
            }
        }
    }

    /// Waits until `deadline`, answering stops that come late.
    pub(super) fn idle(&mut self, deadline: u64) {
        loop {
            // Also when nothing is pending: a thread may be traced under an id that we do not know.
            self.answer();
            let owed = !self.pending.is_empty();
            self.beat();
            let now = monotonic_ns();
            if now >= deadline {
                return;
            }
            let left = deadline.saturating_sub(now);
            self.sleep(if owed { left.min(LATE_LOOK_NS) } else { left });
            if owed {
                self.answer();
                self.follow_execs();
            }
        }
    }

    /// To be called again and again by what takes long: answers stops that come meanwhile, and shows life.
    pub(super) fn breathe(&mut self) {
        if !self.pending.is_empty() && monotonic_ns().saturating_sub(self.shown_at) > LIFE_NS {
            self.answer();
            self.beat();
        }
    }

    /// Waits, at most a second, until nothing is pending. `false`: something still is.
    pub(super) fn drain(&mut self) -> bool {
        let deadline = monotonic_ns().saturating_add(1_000_000_000);
        while !self.pending.is_empty() && monotonic_ns() < deadline {
            self.idle(monotonic_ns().saturating_add(5_000_000));
        }
        self.beat();
        self.pending.is_empty()
    }

    /// Tells the watchdog whether somebody may still be stopped.
    fn beat(&mut self) {
        if !self.pending.is_empty() {
            self.show_life();
        } else if self.beating {
            self.heartbeat.close();
            self.beating = false;
        }
    }

    /// Tells the watchdog that somebody may be stopped, and that we are alive.
    fn show_life(&mut self) {
        self.heartbeat.open();
        self.beating = true;
        self.shown_at = monotonic_ns();
    }
}

impl Drop for Stops {
    /// The thread that traced ends next, and with it every stop: nothing for the watchdog to end.
    fn drop(&mut self) {
        self.heartbeat.close();
    }
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
    let is_syscall = memory::read(tid, RemoteAddr(back.rip), &mut code) == Ok(2) && code == [0x0f, 0x05];
    if !is_syscall || procfs::has_pending_signal(procfs::read_status(tid, &mut status)) {
        return;
    }
    let _ = ptrace::setregs(NixPid::from_raw(tid.0), back);
}

/// Whether a thread that was put on a CPU again since the tick had one when the tick was due: where every CPU is busy, the
/// tick itself takes one away from somebody, who then has waited no longer than since then.
fn was_displaced(before: Option<Schedstat>, after: Option<Schedstat>, since_due_ns: u64) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let once = after.run_count.saturating_sub(before.run_count) == 1;
    once && after.waited_ns.saturating_sub(before.waited_ns) <= since_due_ns
}

fn state_at_stop(group_stopped: bool, on_cpu: bool) -> ThreadState {
    match (group_stopped, on_cpu) {
        (true, _) => ThreadState::Stopped,
        (false, true) => ThreadState::OnCpu,
        (false, false) => ThreadState::Runnable,
    }
}
